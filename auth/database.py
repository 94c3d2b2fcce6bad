"""A database engine for what `auth` stores: any that SQLAlchemy reaches, SQLite made safe to share.

Comes in: a URL in SQLAlchemy's form. Goes out: a `Database` whose schema is the one that this code knows. Refuses a
database that cannot be opened, one in memory, which every worker of the service would have for itself, and one with
another schema: `auth.schema.prepare_database` makes and changes that, nothing here does.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, SQLAlchemyError

from auth.errors import UnusableDatabase, WrongSchema

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

    _Files = tuple[tuple[int, int] | None, ...]  # device and inode of each

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
        self._watched: _Files | None = None
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
            if self._watch is None or self._watched != files_of(self._path):
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
        self._watch, self._watched = None, files_of(self._path)
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
    except (ArgumentError, ValueError):  # of a port that is no number
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


def files_of(path: str) -> _Files | None:
    """Return which database lies at a path now: other files, of which its log is made, too, have other numbers.

    None if there is none. Where SQLite finds no log it makes one, and never looks again whether another one was moved
    there; a connection is to the right one if that was there before it was opened, and still is.
    """
    files = tuple(_numbers(f"{path}{suffix}") for suffix in ("", "-wal", "-shm"))
    return files if files[0] else None


def _numbers(path: str) -> tuple[int, int] | None:
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
    _hold_to(path, engine)
    return engine


def _hold_to(path: str, engine: sa.Engine) -> None:
    """Let connections be to the files that are at the path: SQLite would go on with those that were moved away.

    And it would make an empty one where there is none, whose connections would never find what was moved back.
    """

    def connecting(
        dialect: sa.Dialect, record: ConnectionPoolEntry | None, words: tuple[Any, ...], options: dict[str, Any]
    ) -> DBAPIConnection:
        # The first one makes the log, if there is none; it must stay open until the second one has it open, too.
        with closing(_opened(path, dialect, words, options)):
            files = files_of(path)
            connection = _opened(path, dialect, words, options)
        if record is not None:
            record.info["files"] = files
        return connection

    def taken(_: Any, record: ConnectionPoolEntry, __: Any) -> None:
        if record.info.get("files") != files_of(path):
            raise DisconnectionError

    sa.event.listen(engine, "do_connect", connecting)
    sa.event.listen(engine, "checkout", taken)


def _opened(path: str, dialect: sa.Dialect, words: tuple[Any, ...], options: dict[str, Any]) -> DBAPIConnection:
    if files_of(path) is None:
        raise sqlite3.OperationalError("unable to open database file")
    connection = dialect.connect(*words, **options)
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    # While several processes open a new file, only one can switch it; the others see the switch afterwards.
    with suppress(sqlite3.OperationalError):
        cursor.execute("PRAGMA journal_mode = WAL")
    # Into the file with every change, for 0.2 ms: who copies, moves or restores the file alone loses none.
    cursor.execute("PRAGMA wal_autocheckpoint = 1")
    cursor.close()
    return connection


def _server(place: sa.URL) -> sa.Engine:
    patience: dict[str, Any] = {}
    if place.get_backend_name() == "postgresql":
        # Else the system waits for minutes for a machine that is off or a network that swallows, and a thread with it.
        patience = {"connect_timeout": ANSWERS_WITHIN, "tcp_user_timeout": 1_000 * ANSWERS_WITHIN}
        patience = {name: value for name, value in patience.items() if name not in place.query}
    return sa.create_engine(place, hide_parameters=True, pool_pre_ping=True, connect_args=patience)
