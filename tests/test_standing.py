"""How a bearer stands, as a worker knows it: read once, and again after every change by anyone."""

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from databases import prepared, url_of
from sqlalchemy.exc import OperationalError

from auth import standing
from auth.clients import ClientStore
from auth.database import Database, open_database
from auth.refresh import Revocations
from auth.standing import Standing, Standings, read_standing
from auth.users import UserStore

TOKEN = "0" * 32
NOW = datetime(2026, 5, 4, 8, 15, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Give the database with the user ada and the client meter."""
    with prepared(url_of(tmp_path)) as database:
        UserStore(database).add("ada", "hash")
        ClientStore(database).add("meter")
        yield database


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the names of users that are read from now on."""
    names: list[str] = []

    def read(database: Database, user: str, client: str, token: str) -> Standing:
        names.append(user)
        return read_standing(database, user, client, token)

    monkeypatch.setattr(standing, "read_standing", read)
    return names


def get(standings: Standings, *names: str, client: str = "anyone", token: str = TOKEN) -> list[Standing]:
    """Ask for users one after the other."""

    async def ask() -> list[Standing]:
        return [await standings.get(name, client, token) for name in names]

    return asyncio.run(ask())


def test_everything_in_one_look(database: Database) -> None:
    """User, client and revocation, each there or not there, come from one query."""
    Revocations(database).add(TOKEN, NOW + timedelta(hours=1), NOW)
    (ada,) = UserStore(database).all()
    (meter,) = ClientStore(database).all()
    assert read_standing(database, "ada", "client:meter", "1" * 32) == Standing(ada, meter, False)
    assert read_standing(database, "ada", "anyone", TOKEN) == Standing(ada, None, True)
    assert read_standing(database, "client:meter", "client:meter", TOKEN) == Standing(None, meter, True)
    assert read_standing(database, "bob", "client:x", "") == Standing(None, None, False)


def test_a_clock_that_is_ahead_forgets_no_revocation(database: Database) -> None:
    """A revoked token stays revoked though another is revoked while the clock is a day ahead."""
    ahead = NOW + timedelta(days=1)
    Revocations(database).add(TOKEN, NOW + timedelta(hours=1), NOW)
    Revocations(database).add("2" * 32, ahead + timedelta(hours=1), ahead)
    assert read_standing(database, "ada", "anyone", TOKEN).revoked
    Revocations(database).add("3" * 32, ahead + timedelta(days=30), ahead + timedelta(days=30))
    assert not read_standing(database, "ada", "anyone", TOKEN).revoked


def test_a_database_that_is_moved_away_and_back(database: Database) -> None:
    """Nobody is known while the file is away, none is made in its place, and what comes in its place counts at once."""
    path = Path(str(database.engine.url.database))
    away, standings = path.with_name("away.db"), Standings(database)
    assert get(standings, "ada")[0].user
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    path.rename(away)
    for _ in range(2):
        with pytest.raises(OperationalError):
            get(standings, "ada")
    assert not path.exists()
    away.rename(path)
    assert get(standings, "ada")[0].user

    other = path.with_name("restored.db")
    with closing(sqlite3.connect(path)) as here, closing(sqlite3.connect(other)) as there:
        here.backup(there)
        there.execute("UPDATE users SET disabled = 1")
        there.commit()
    other.replace(path)
    users = [one.user for one in get(standings, "ada", "ada")]
    assert [user is not None and user.disabled for user in users] == [True, True]


@pytest.mark.parametrize("asked", [True, False])
def test_a_database_that_is_moved_back_before_its_log(database: Database, asked: bool) -> None:
    """Connections that were opened between the two made a log of their own: they end when the right one is there.

    What is only in SQLite's write-ahead log (`-wal`), here a revocation, would stay unseen by them for good.
    """
    path = Path(str(database.engine.url.database))
    standings = Standings(database)
    with closing(sqlite3.connect(path)) as another:
        another.execute("INSERT INTO revoked_tokens VALUES (?, ?)", (TOKEN, (NOW + timedelta(hours=1)).timestamp()))
        another.commit()
        assert get(standings, "ada")[0].revoked
        files = [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]
        for file in files:
            file.rename(f"{file}.away")
        for file in files:
            if asked:
                with suppress(OperationalError):
                    get(standings, "ada")
            database.changes()
            Path(f"{file}.away").replace(file)
        assert all(one.revoked for one in get(standings, "ada", "ada"))
    assert read_standing(database, "ada", "anyone", TOKEN).revoked


def test_a_copy_of_the_file_alone_has_every_change(database: Database, tmp_path: Path) -> None:
    """No change waits in the log: a file that is copied or moved without it knows of each revocation."""
    path, copy = Path(str(database.engine.url.database)), tmp_path / "copy.db"
    for number in range(3):
        Revocations(database).add(str(number) * 32, NOW + timedelta(hours=1), NOW)
        shutil.copyfile(path, copy)
        with open_database(f"sqlite:///{copy}") as restored:
            assert read_standing(restored, "ada", "anyone", str(number) * 32).revoked


def test_a_bearer_is_read_once(database: Database, reads: list[str]) -> None:
    """As long as nothing changes nothing is read again, not even of a name that nobody has."""
    known = Standings(database)
    first, *rest = get(known, "ada", "ada", "bob", "bob")
    assert first.user is not None
    assert first.user.name == "ada"
    assert rest == [first, Standing(None, None, False), Standing(None, None, False)]
    assert reads == ["ada", "bob"]


def test_a_change_by_another_process_counts_at_once(database: Database, tmp_path: Path, reads: list[str]) -> None:
    """Whoever changes whatever: the next request sees it."""
    known = Standings(database)
    get(known, "ada")
    with open_database(url_of(tmp_path)) as another:
        for disabled in (True, False, True):
            UserStore(another).set_disabled("ada", disabled=disabled)
            (found,) = get(known, "ada")
            assert found.user is not None
            assert found.user.disabled is disabled
        Revocations(another).add(TOKEN, NOW + timedelta(hours=1), NOW)
        assert get(known, "ada")[0].revoked
        ClientStore(another).set_disabled("meter", disabled=True)
        (found,) = get(known, "ada", client="client:meter")
        assert found.client is not None
        assert found.client.disabled
    assert len(reads) == 6


def test_requests_of_one_moment_share_a_look(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look for all that the event loop has in its hands, and another as soon as it has taken up what came since."""
    known = Standings(database)
    looks: list[int | None] = []
    look = database.changes

    def counted() -> int | None:
        looks.append(look())
        return looks[-1]

    monkeypatch.setattr(database, "changes", counted)

    async def two_moments() -> tuple[list[Standing], list[Standing]]:
        first = await asyncio.gather(*(known.get("ada", "lastgang", TOKEN) for _ in range(5)))
        before = len(looks)
        UserStore(database).set_disabled("ada", disabled=True)
        second = await asyncio.gather(*(known.get("ada", "lastgang", TOKEN) for _ in range(5)))
        assert (before, len(looks)) == (1, 2)
        return first, second

    first, second = asyncio.run(two_moments())
    assert [one.user is not None and one.user.disabled for one in first] == [False] * 5
    assert [one.user is not None and one.user.disabled for one in second] == [True] * 5


def test_a_change_by_this_very_process_counts_at_once(database: Database) -> None:
    """A worker that changes a password itself looks from a connection of its own, too."""
    known = Standings(database)
    (before,) = get(known, "ada")
    UserStore(database).set_password_hash("ada", "another")
    (after,) = get(known, "ada")
    assert before.user is not None
    assert after.user is not None
    assert after.user.password_hash == "another"
    assert after.user.password_changed_at > before.user.password_changed_at


def test_a_change_while_a_bearer_is_read_is_not_missed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read before a change that came meanwhile is not taken for what is there after it."""

    def read_and_change(database: Database, user: str, client: str, token: str) -> Standing:
        found = read_standing(database, user, client, token)
        monkeypatch.undo()
        UserStore(database).set_disabled("ada", disabled=True)
        return found

    monkeypatch.setattr(standing, "read_standing", read_and_change)
    before, after = get(Standings(database), "ada", "ada")
    assert before.user is not None
    assert after.user is not None
    assert (before.user.disabled, after.user.disabled) == (False, True)


def test_few_enough_are_kept(database: Database, reads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of tokens costs a bounded memory: a full view begins anew."""
    monkeypatch.setattr(standing, "MOST", 2)
    get(Standings(database), "ada", "bob", "cid", "ada")
    assert reads == ["ada", "bob", "cid", "ada"]


def test_a_database_that_cannot_be_looked_at_tells_no_changes(database: Database) -> None:
    """A look that fails is no answer: everything is then read, which waits, or says what is wrong."""
    assert database.changes() is not None
    database.close()
    assert database.changes() is None


def test_a_database_that_tells_no_changes_is_asked_each_time(
    database: Database, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL and the like are asked once for each request, and their errors are told."""
    monkeypatch.setattr(database, "changes", lambda: None)
    known = Standings(database)
    get(known, "ada", "ada")
    assert reads == ["ada", "ada"]

    def fails(*_: object) -> None:
        raise OperationalError("select", {}, Exception("gone"))

    monkeypatch.setattr(standing, "read_standing", fails)
    with pytest.raises(OperationalError):
        get(known, "ada")
