"""A database engine for what `auth` stores: any that SQLAlchemy reaches, SQLite made safe to share.

Comes in: a URL in SQLAlchemy's form and the tables that must be there. Goes out: an engine whose database
holds these tables. Refuses a database that cannot be opened, and one in memory, which every worker of the
service would have for itself.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from auth.errors import UnusableDatabase

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection

BUSY = 10  # seconds that a connection to SQLite waits for the write of another one


def open_database(url: str, tables: sa.MetaData) -> sa.Engine:
    """Connect, and make those of the tables that are missing; several processes may do this at once.

    Raises:
        UnusableDatabase: the URL is wrong, its driver is not installed, or the database cannot be opened.
    """
    try:
        place = sa.make_url(url)
    except ArgumentError:
        raise UnusableDatabase("set", "this is no URL such as sqlite:////folder/users.db") from None
    try:
        engine = _sqlite(place) if place.get_backend_name() == "sqlite" else _server(place)
    except (ArgumentError, ImportError, OSError) as error:
        raise UnusableDatabase(_shown(place), str(error)) from None
    try:
        for table in tables.sorted_tables:
            _create(engine, table)
    except SQLAlchemyError as error:
        engine.dispose()
        cause = str(error.orig) if isinstance(error, DBAPIError) else str(error)
        raise UnusableDatabase(_shown(place), cause.partition("\n")[0]) from None
    return engine


def watch(engine: sa.Engine) -> sqlite3.Connection | None:
    """Open a connection that looks for the changes of others and never waits; None where there is no SQLite file.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    if engine.dialect.name != "sqlite":
        return None
    return sqlite3.connect(str(engine.url.database), timeout=0, isolation_level=None, check_same_thread=False)


def _sqlite(place: sa.URL) -> sa.Engine:
    path = place.database
    if not path or path == ":memory:" or path.startswith("file:"):
        raise UnusableDatabase(_shown(place), "it must be a file, given by its path")
    # SQLite would make the file with the rights of the umask; its -wal and -shm files copy those of the file.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    engine = sa.create_engine(place, connect_args={"timeout": BUSY})
    sa.event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: DBAPIConnection, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    # While several processes open a new file, only one can switch it; the others see the switch afterwards.
    with suppress(sqlite3.OperationalError):
        cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()


def _server(place: sa.URL) -> sa.Engine:
    return sa.create_engine(place, pool_pre_ping=True)


def _create(engine: sa.Engine, table: sa.Table) -> None:
    try:
        table.create(engine, checkfirst=True)
    except DBAPIError:
        # Another process may have made it between the look and the making.
        if not sa.inspect(engine).has_table(table.name):
            raise


def _shown(place: sa.URL) -> str:
    """Return the URL without a password and without options, which may hold one too."""
    return place.set(query={}).render_as_string(hide_password=True)
