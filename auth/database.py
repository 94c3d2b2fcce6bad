"""A database engine for what `auth` stores: any that SQLAlchemy reaches, SQLite made safe to share.

Comes in: a URL in SQLAlchemy's form. Goes out: a `Database` whose schema is the one that this code knows. Refuses a
database that cannot be opened, one in memory, which every worker of the service would have for itself, and one with
another schema: `auth.schema.prepare_database` makes and changes that, nothing here does.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, SQLAlchemyError

from auth.errors import UnusableDatabase, WrongSchema

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

    _File = tuple[int, int]  # device and inode

BUSY = 10  # seconds that a connection to SQLite waits for the write of another one
ANSWERS_WITHIN = 5  # seconds in which a server takes a connection, or takes note of what was sent to it
LOCK = 0x4C41_5354_4741_4E47  # of PostgreSQL's advisory locks: "LASTGANG"
MIGRATIONS = Path(__file__).with_name("migrations")


class Database:
    """An open database, for all stores of one process; safe to use from threads.

    Attributes:
        engine: SQLAlchemy's.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._path = str(engine.url.database) if engine.dialect.name == "sqlite" else ""
        self._watch: sqlite3.Connection | None = None
        self._watched: _File | None = None
        self._opened = 0
        if self._path:
            self._watch_anew()

    def changes(self) -> int | None:
        """Return a number that is another one after any change, by whomever, in microseconds and without waiting.

        None where it cannot be told: the database is no SQLite file, or is locked or gone just now.
        """
        if not self._path:
            return None
        try:
            if self._watch is None or self._watched != file_of(self._path):
                self._watch_anew()
                return None
            (version,) = self._watch.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:  # reading waits for the lock, or says what is wrong
            return None
        return self._opened * 2**32 + int(version)  # each file counts anew

    def _watch_anew(self) -> None:
        """Open a connection to the file that is there now, which looks for the changes of others and never waits."""
        if self._watch is not None:
            self._watch.close()
        self._watch, self._watched = None, file_of(self._path)
        uri = f"{Path(self._path).absolute().as_uri()}?mode=rw"  # makes none
        self._watch = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False)
        self._opened += 1

    def close(self) -> None:
        """Close every connection."""
        if self._watch is not None:
            self._watch.close()
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_database(url: str) -> Database:
    """Connect to a database that has been prepared.

    Raises:
        UnusableDatabase: the URL is wrong, its driver is not installed, or the database cannot be opened.
        WrongSchema: it was never prepared, or by an older or newer version of this code.
    """
    engine = connect(url)
    try:
        check_schema(engine)
    except BaseException:
        engine.dispose()
        raise
    return Database(engine)


def alone(connection: sa.Connection) -> None:
    """Let a transaction wait until no other one that called this goes on; nothing may have been written in it yet.

    SQLite has one writer at a time by itself, once it writes; it begins to here.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
    elif connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def connect(url: str) -> sa.Engine:
    """Return an engine, without looking at what the database holds.

    Raises:
        UnusableDatabase: the URL is wrong or its driver is not installed.
    """
    try:
        place = sa.make_url(url)
    except ArgumentError:
        raise UnusableDatabase("set", "this is no URL such as sqlite:////folder/users.db") from None
    try:
        return _sqlite(place) if place.get_backend_name() == "sqlite" else _server(place)
    except (ArgumentError, ImportError, OSError) as error:
        raise UnusableDatabase(shown(place), str(error)) from None


def check_schema(engine: sa.Engine) -> None:
    """Return if the schema is the newest that this code knows.

    Raises:
        UnusableDatabase: the database cannot be read.
        WrongSchema: it has another schema, or none.
    """
    try:
        with engine.connect() as connection:
            found = schema_of(connection)
    except SQLAlchemyError as error:
        raise unusable(engine, error) from None
    newest = schemas()[-1]
    if found != newest:
        raise WrongSchema(shown(engine.url), found, newest, newer=found is not None and found not in schemas())


def schema_of(connection: sa.Connection) -> str | None:
    """Return the name of the database's schema; None if it was never prepared."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def schemas() -> tuple[str, ...]:
    """Return the schemas that this code knows, the oldest first: each is named as the file that leads to it."""
    return tuple(sorted(path.stem for path in MIGRATIONS.glob("versions/v*.py")))


def unusable(engine: sa.Engine, error: SQLAlchemyError) -> UnusableDatabase:
    """Return the refusal of a database that failed, in its driver's own words."""
    cause = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    return UnusableDatabase(shown(engine.url), cause.partition("\n")[0])


def shown(place: sa.URL) -> str:
    """Return the URL without a password and without options, which may hold one too."""
    return place.set(query={}).render_as_string(hide_password=True)


def file_of(path: str) -> _File | None:
    """Return which file lies at a path now: another one has other numbers. None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  # this is done for each request, and a Path costs
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _sqlite(place: sa.URL) -> sa.Engine:
    path = place.database
    if not path or path == ":memory:" or path.startswith("file:"):
        raise UnusableDatabase(shown(place), "it must be a file, given by its path")
    # SQLite would make the file with the rights of the umask; its -wal and -shm files copy those of the file.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    engine = sa.create_engine(place, hide_parameters=True, connect_args={"timeout": BUSY})
    sa.event.listen(engine, "connect", _prepare)
    _hold_to(path, engine)
    return engine


def _hold_to(path: str, engine: sa.Engine) -> None:
    """Let connections be to the file that is at the path: SQLite would go on with one that was moved away.

    And it would make an empty one where there is none, whose connections would never find what was moved back.
    """

    def connecting(_: Any, record: ConnectionPoolEntry | None, *__: Any) -> None:
        file = file_of(path)
        if file is None:
            raise sqlite3.OperationalError("unable to open database file")
        if record is not None:
            record.info["file"] = file

    def taken(_: Any, record: ConnectionPoolEntry, __: Any) -> None:
        if record.info.get("file") != file_of(path):
            raise DisconnectionError

    sa.event.listen(engine, "do_connect", connecting)
    sa.event.listen(engine, "checkout", taken)


def _prepare(connection: DBAPIConnection, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    # While several processes open a new file, only one can switch it; the others see the switch afterwards.
    with suppress(sqlite3.OperationalError):
        cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()


def _server(place: sa.URL) -> sa.Engine:
    patience: dict[str, Any] = {}
    if place.get_backend_name() == "postgresql":
        # Else the system waits for minutes for a machine that is off or a network that swallows, and a thread with it.
        patience = {"connect_timeout": ANSWERS_WITHIN, "tcp_user_timeout": 1_000 * ANSWERS_WITHIN}
        patience = {name: value for name, value in patience.items() if name not in place.query}
    return sa.create_engine(place, hide_parameters=True, pool_pre_ping=True, connect_args=patience)
