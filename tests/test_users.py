"""Users are stored once each, seen by every thread and process at once, and found by name in any case."""

import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from databases import prepared, url_of
from frozen import Clock
from sqlalchemy.exc import SQLAlchemyError

from auth.database import Database, open_database
from auth.errors import InvalidScope, InvalidUserName, UnknownUser, UserExists
from auth.users import User, UserStore, canonical_name

NOW = datetime(2026, 5, 4, 8, 15, 0, 250_000, tzinfo=UTC)
START = NOW.replace(microsecond=0)
SECOND = timedelta(seconds=1)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with prepared(database_url) as database:
        yield database


@pytest.fixture
def users(database: Database, clock: Clock) -> UserStore:
    return UserStore(database, clock)


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


def test_stays_after_closing(database_url: str, database: Database, users: UserStore) -> None:
    """Another store on the same database sees what is there, at once and after the first one is closed."""
    users.add("ada", "hash")
    with open_database(database_url) as again:
        other = UserStore(again)
        assert known(other, "ada").created_at == START
        users.set_disabled("ada", disabled=True)
        database.close()
        assert known(other, "ada").disabled


def test_own_clock(database: Database) -> None:
    """Without a clock of the test the time is the real one."""
    before = datetime.now(UTC).replace(microsecond=0)
    assert before <= UserStore(database).add("ada", "hash").created_at <= datetime.now(UTC)


def test_file(tmp_path: Path) -> None:
    """The file and what SQLite puts beside it are its owner's only, and it writes ahead."""
    with prepared(url_of(tmp_path)) as database:
        UserStore(database).add("ada", "hash")
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
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


def test_no_scopes_by_default(users: UserStore) -> None:
    """A user may do nothing until it is granted; what is granted comes back, without what another scope covers."""
    users.add("ada", "hash")
    users.add("bob", "hash", {"forecast", "forecast:gru", "metrics"})
    assert known(users, "ada").scopes == frozenset()
    assert known(users, "bob").scopes == {"forecast", "metrics"}
    with pytest.raises(InvalidScope):
        users.add("cy", "hash", {"everything"})
    assert users.get("cy") is None


@pytest.mark.parametrize(
    "had, granted, revoked, has",
    [
        ("", "forecast:gru", "", "forecast:gru"),
        ("forecast:gru", "forecast", "", "forecast"),
        ("forecast", "forecast:gru", "", "forecast"),
        ("forecast metrics", "", "metrics", "forecast"),
        ("forecast metrics", "", "backtest", "forecast metrics"),
        ("forecast:cnn forecast:gru", "", "forecast", ""),
        ("forecast:cnn forecast:gru", "", "forecast:cnn", "forecast:gru"),
        ("models:read", "models:write", "models:read", "models:write"),
    ],
)
def test_grant_and_revoke(users: UserStore, had: str, granted: str, revoked: str, has: str) -> None:
    """Scopes come and go one by one; with the scope for all models go those for one."""
    users.add("ada", "hash", had.split())
    users.grant("Ada", granted.split())
    assert users.revoke("Ada", revoked.split()).scopes == frozenset(has.split())
    assert known(users, "ada").scopes == frozenset(has.split())


def test_a_scope_for_all_models_cannot_lose_one(users: UserStore) -> None:
    """To take one model away from who has them all would change nothing, so it is refused."""
    users.add("ada", "hash", {"forecast"})
    with pytest.raises(InvalidScope, match="ada has forecast, which holds for every model"):
        users.revoke("ada", {"forecast:gru"})
    for change in (users.grant, users.revoke):
        with pytest.raises(UnknownUser):
            change("nobody", {"forecast"})


def test_grants_at_once_lose_nothing(users: UserStore) -> None:
    """Of many threads that grant one user different scopes, none undoes what another did."""
    users.add("ada", "hash")
    models = [f"forecast:model-{number}" for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda scope: users.grant("ada", {scope}), models))
    assert known(users, "ada").scopes == frozenset(models)


def test_what_a_database_says_quotes_no_value(users: UserStore) -> None:
    """Its errors go to the log: neither the name that was typed, which may be a password, nor a hash is in them."""
    with users._engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE users"))
    for attempt in (partial(users.get, "nightingale"), partial(users.add, "nightingale", "nightingale")):
        with pytest.raises(SQLAlchemyError) as told:
            attempt()
        assert "nightingale" not in str(told.value)
