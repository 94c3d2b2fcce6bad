"""The users as a worker knows them: read once, and again after every change by anyone."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import prepared, url_of
from sqlalchemy.exc import OperationalError

from auth.database import Database, open_database
from auth.known import KnownUsers
from auth.users import User, UserStore


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Give the URL of a database."""
    return url_of(tmp_path)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """Give the database."""
    with prepared(url) as database:
        yield database


@pytest.fixture
def store(database: Database) -> UserStore:
    """Give a store with ada in it."""
    store = UserStore(database)
    store.add("ada", "hash")
    return store


@pytest.fixture
def reads(store: UserStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the names that are read from the store from now on."""
    names: list[str] = []
    read = store.get

    def get(name: str) -> User | None:
        names.append(name)
        return read(name)

    monkeypatch.setattr(store, "get", get)
    return names


def get(known: KnownUsers, *names: str) -> list[User | None]:
    """Ask for users one after the other."""

    async def ask() -> list[User | None]:
        return [await known.get(name) for name in names]

    return asyncio.run(ask())


def test_a_user_is_read_once(store: UserStore, reads: list[str]) -> None:
    """As long as nothing changes nothing is read again, not even of a name that nobody has."""
    known = KnownUsers(store)
    first, *rest = get(known, "ada", "ada", "bob", "bob")
    assert first is not None
    assert first.name == "ada"
    assert rest == [first, None, None]
    assert reads == ["ada", "bob"]


def test_a_change_by_another_process_counts_at_once(store: UserStore, url: str, reads: list[str]) -> None:
    """Whoever changes whatever: the next request sees it."""
    known = KnownUsers(store)
    get(known, "ada")
    with open_database(url) as another:
        other = UserStore(another)
        for disabled in (True, False, True):
            other.set_disabled("ada", disabled=disabled)
            (user,) = get(known, "ada")
            assert user is not None
            assert user.disabled is disabled
    assert len(reads) == 4


def test_a_change_by_this_very_store_counts_at_once(store: UserStore) -> None:
    """A worker that changes a password itself looks from a connection of its own, too."""
    known = KnownUsers(store)
    (before,) = get(known, "ada")
    store.set_password_hash("ada", "another")
    (after,) = get(known, "ada")
    assert before is not None
    assert after is not None
    assert after.password_hash == "another"
    assert after.password_changed_at > before.password_changed_at


def test_a_change_while_a_user_is_read_is_not_missed(store: UserStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read before a change that came meanwhile is not taken for what is there after it."""
    known, read = KnownUsers(store), store.get

    def get_and_change(name: str) -> User | None:
        user = read(name)
        monkeypatch.undo()
        store.set_disabled("ada", disabled=True)
        return user

    monkeypatch.setattr(store, "get", get_and_change)
    before, after = get(known, "ada", "ada")
    assert before is not None
    assert after is not None
    assert (before.disabled, after.disabled) == (False, True)


def test_few_enough_are_kept(store: UserStore, reads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of names costs a bounded memory: a full view begins anew."""
    monkeypatch.setattr("auth.known.MOST", 2)
    get(KnownUsers(store), "ada", "bob", "cid", "ada")
    assert reads == ["ada", "bob", "cid", "ada"]


def test_a_database_that_cannot_be_looked_at_tells_no_changes(database: Database, store: UserStore) -> None:
    """A look that fails is no answer: the users are then read, which waits, or says what is wrong."""
    assert store.changes() is not None
    database.close()
    assert store.changes() is None


def test_a_database_that_tells_no_changes_is_asked_each_time(
    store: UserStore, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL and the like are asked for the user of every request, and their errors are told."""
    monkeypatch.setattr(store, "changes", lambda: None)
    known = KnownUsers(store)
    get(known, "ada", "ada")
    assert reads == ["ada", "ada"]

    def fails(_: str) -> None:
        raise OperationalError("select", {}, Exception("gone"))

    monkeypatch.setattr(store, "get", fails)
    with pytest.raises(OperationalError):
        get(known, "ada")
