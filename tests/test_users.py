"""Users are stored once each, seen by every thread and process at once, and found by name in any case."""

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from frozen import Clock

from auth.errors import InvalidUserName, UnknownUser, UnusableDatabase, UserExists
from auth.users import User, UserStore, canonical_name

NOW = datetime(2026, 5, 4, 8, 15, 0, 250_000, tzinfo=UTC)
START = NOW.replace(microsecond=0)
SECOND = timedelta(seconds=1)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def users(tmp_path: Path, clock: Clock) -> Iterator[UserStore]:
    store = UserStore(f"sqlite:///{tmp_path}/users.db", clock)
    yield store
    store.close()


def known(users: UserStore, name: str) -> User:
    """The user of that name, who must be there."""
    user = users.get(name)
    assert user is not None
    return user


def test_add_and_get(users: UserStore) -> None:
    """What is added comes back as stored: lower case, not disabled, whole seconds, UTC."""
    added = users.add("Ada", "hash")
    assert added == User("ada", "hash", False, START, START)
    assert users.get("ada") == added
    assert users.get("nobody") is None


@pytest.mark.parametrize("name", ["ada", "Ada", "ADA"])
def test_case_does_not_matter(users: UserStore, name: str) -> None:
    """A name in any case is the same user: found, and not to be taken twice."""
    users.add("aDa", "hash")
    assert known(users, name).name == "ada"
    with pytest.raises(UserExists, match="User ada exists already") as refusal:
        users.add(name, "other")
    assert refusal.value.name == "ada"
    assert known(users, "ada").password_hash == "hash"


@pytest.mark.parametrize("name", ["a", "0", "ada", "Ada.Lovelace", "ada@example.org", "a-b_c", "a" * 64])
def test_names(name: str) -> None:
    """Letters, digits, dot, underscore, at and hyphen make a name, up to 64 of them."""
    assert canonical_name(name) == name.lower()


BAD_NAMES = ["", " ", "a b", ".ada", "-ada", "_ada", "@ada", "a/b", "a\\b", "a'b", "a\n", "a\0", "a" * 65]
BAD_NAMES += ["ädä", "\u212aelvin", "\uff41da", "ada\u202e", "\ud800", "a;b", "a%"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names(users: UserStore, name: str) -> None:
    """Nobody can be called anything else, so nobody is found or changed by it."""
    with pytest.raises(InvalidUserName) as refusal:
        users.add(name, "hash")
    assert refusal.value.name == name
    assert str(refusal.value).isascii()
    assert users.get(name) is None
    with pytest.raises(UnknownUser):
        users.set_disabled(name, disabled=True)


def test_all_and_any(users: UserStore) -> None:
    """The list is by name; an empty store has no user at all."""
    assert not users.any()
    assert users.all() == []
    for name in ("cy", "ada", "Bob"):
        users.add(name, "hash")
    assert users.any()
    assert [user.name for user in users.all()] == ["ada", "bob", "cy"]


def test_disable_and_enable(users: UserStore) -> None:
    """Only the named user is disabled, and may be enabled again; the password does not change."""
    users.add("ada", "hash")
    bob = users.add("bob", "hash")
    users.set_disabled("ADA", disabled=True)
    assert known(users, "ada").disabled
    assert known(users, "bob") == bob
    users.set_disabled("ada", disabled=False)
    assert known(users, "ada") == User("ada", "hash", False, START, START)


def test_unknown_user(users: UserStore) -> None:
    """A user who is not there cannot be changed."""
    with pytest.raises(UnknownUser, match="'nobody'") as refusal:
        users.set_disabled("nobody", disabled=True)
    assert refusal.value.name == "nobody"
    with pytest.raises(UnknownUser):
        users.set_password_hash("nobody", "hash")


@pytest.mark.parametrize(
    "seconds, changed",
    [([0], [1]), ([0.5], [1]), ([0.75], [2]), ([9], [10]), ([0, 0, 0], [1, 2, 3]), ([60, 30], [61, 62])],
)
def test_password_change_is_later(users: UserStore, clock: Clock, seconds: list[float], changed: list[int]) -> None:
    """A change counts from the second after it, and always later than the change before."""
    users.add("ada", "hash")
    seen = []
    for number, after in enumerate(seconds):
        clock.now = NOW + timedelta(seconds=after)
        users.set_password_hash("Ada", f"hash {number}")
        seen.append((known(users, "ada").password_changed_at - START) // SECOND)
    assert seen == changed
    assert known(users, "ada").password_hash == f"hash {len(seconds) - 1}"
    assert known(users, "ada").created_at == START


def test_renewed_hash(users: UserStore) -> None:
    """The same password's new hash replaces the old one only while that is still there."""
    users.add("ada", "old")
    users.renew_hash("ada", "old", "new")
    assert known(users, "ada") == User("ada", "new", False, START, START)
    users.renew_hash("ada", "old", "late")
    assert known(users, "ada").password_hash == "new"


def test_hash_stays_hidden(users: UserStore) -> None:
    """A user in a log shows no password hash."""
    assert "$argon2id$" not in repr(users.add("ada", "$argon2id$..."))


def test_stays_after_closing(tmp_path: Path, users: UserStore) -> None:
    """Another store on the same file sees what is there, at once and after the first one is closed."""
    users.add("ada", "hash")
    other = UserStore(f"sqlite:///{tmp_path}/users.db")
    assert known(other, "ada").created_at == START
    users.set_disabled("ada", disabled=True)
    users.close()
    assert known(other, "ada").disabled
    other.close()


def test_own_clock(tmp_path: Path) -> None:
    """Without a clock of the test the time is the real one."""
    store = UserStore(f"sqlite:///{tmp_path}/other.db")
    before = datetime.now(UTC).replace(microsecond=0)
    assert before <= store.add("ada", "hash").created_at <= datetime.now(UTC)
    store.close()


def test_file(tmp_path: Path, users: UserStore) -> None:
    """The file and what SQLite puts beside it are its owner's only, and it writes ahead."""
    users.add("ada", "hash")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes["users.db"] == 0o600
    assert set(modes.values()) == {0o600}
    connection = sqlite3.connect(tmp_path / "users.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_threads(users: UserStore) -> None:
    """Of many threads that add the same users at once, each user is added by exactly one."""

    def add(number: int) -> bool:
        try:
            users.add(f"user{number % 8}", "hash")
        except UserExists:
            return False
        return known(users, f"user{number % 8}").password_hash == "hash"

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(add, range(64))) == 8
    assert len(users.all()) == 8


PROCESS = """
import sys
from auth.users import UserStore
sys.stdin.readline()
store = UserStore(sys.argv[1])
store.add(sys.argv[2], "hash")
print(store.any())
store.close()
"""


def test_processes_start_together(tmp_path: Path) -> None:
    """Processes that open the same new file at the same time all succeed, and none loses a user."""
    for attempt in range(3):
        url = f"sqlite:///{tmp_path}/{attempt}.db"
        started = [
            subprocess.Popen(
                [sys.executable, "-W", "error", "-c", PROCESS, url, f"user{number}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parents[1],
            )
            for number in range(4)
        ]
        for process in started:  # they wait for this line, with everything imported
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=60)[0] for process in started]
        assert answers == ["True\n"] * 4
        store = UserStore(url)
        assert len(store.all()) == 4
        store.close()


@pytest.mark.parametrize(
    "url, problem",
    [
        ("nonsense", "this is no URL"),
        ("", "this is no URL"),
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
        ("sqlite:///file:users?mode=memory&uri=true", "must be a file"),
        ("sqlite:////no/such/folder/users.db", "No such file"),
        ("sqlite:////", "directory"),
        ("nosuch://host/users", "nosuch"),
        ("nosuch://ada:geheim@host/users?password=geheim", "nosuch"),
    ],
)
def test_unusable_database(url: str, problem: str) -> None:
    """A database that cannot be shared or opened is refused, with the cause and without its password."""
    with pytest.raises(UnusableDatabase) as refusal:
        UserStore(url)
    assert problem in refusal.value.problem
    assert "geheim" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_not_a_database(tmp_path: Path) -> None:
    """A file that is something else is refused and left as it is."""
    file = tmp_path / "letter.txt"
    file.write_text("Dear Ada, " * 1000)
    with pytest.raises(UnusableDatabase, match="not a database"):
        UserStore(f"sqlite:///{file}")
    assert file.read_text() == "Dear Ada, " * 1000


def test_name_of_the_table_is_taken(tmp_path: Path) -> None:
    """A database in which the table cannot be made is refused with the database's own words."""
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.executescript("CREATE TABLE t (x); CREATE INDEX users ON t (x);")
    connection.close()
    with pytest.raises(UnusableDatabase, match="already an index named users"):
        UserStore(f"sqlite:///{tmp_path}/other.db")
