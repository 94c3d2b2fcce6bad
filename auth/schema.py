"""The schema of the database: made and brought up to date by whoever prepares it, one process at a time.

In: the URL of a database: new, of any older version, or as it should be. Out: the same one with the newest schema that
this code knows (`auth/migrations/versions`, by Alembic). A database from before there were schemas is taken over with
its users. Refused: a schema that only newer code knows.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from auth.database import MIGRATIONS, alone, check_schema, connect, schema_of, schemas, unusable
from auth.errors import WrongSchema

if TYPE_CHECKING:
    from collections.abc import Iterator


def prepare_database(url: str) -> None:
    """Make the database's schema the newest; any number of processes and machines may do so at once.

    Raises:
        UnusableDatabase: see `auth.database.connect`; or the schema cannot be changed, and was left as it is.
        WrongSchema: newer code has changed it.
    """
    engine = connect(url)
    try:
        if not _is_newest(engine):
            with _alone(engine) as connection:
                _upgrade(connection)
    except SQLAlchemyError as error:
        raise unusable(engine, error) from None
    finally:
        engine.dispose()


def _is_newest(engine: sa.Engine) -> bool:
    try:
        check_schema(engine)
    except WrongSchema as wrong:
        if wrong.newer:
            raise
        return False
    return True


@contextmanager
def _alone(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Give a connection in a transaction that waits for the same one of every other process."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            # Python's driver begins a transaction only before an INSERT, and then one that does not wait its turn.
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")  # noqa: PLW2901 - the same one
        alone(connection)
        try:
            yield connection
        except BaseException:
            _end(connection, "ROLLBACK")
            raise
        _end(connection, "COMMIT")


def _end(connection: sa.Connection, word: str) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(word)
    elif word == "COMMIT":
        connection.commit()
    else:
        connection.rollback()


def _upgrade(connection: sa.Connection) -> None:
    # Only who prepares a database needs them, and they take as long to import as a hundred log-ins.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    if schema_of(connection) is None and sa.inspect(connection).has_table("users"):
        command.stamp(config, schemas()[0])
    command.upgrade(config, "head")
