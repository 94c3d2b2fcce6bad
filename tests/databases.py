"""A new database for a test, prepared as the first start of a service prepares it."""

from pathlib import Path

from auth.counters import Counters, beside
from auth.database import Database, connect, open_database
from auth.places import KnownPlaces
from auth.schema import prepare_database
from auth.throttle import Throttle


def url_of(folder: Path) -> str:
    """Return the URL of the database file that a service would make in its home folder."""
    return f"sqlite:///{folder}/users.db"


def prepared(url: str) -> Database:
    """Prepare the database and open it."""
    prepare_database(url)
    return open_database(url)


def throttle_of(database: Database) -> Throttle:
    """Return a throttle whose counters lie where the service has them."""
    engine = database.engine
    if engine.dialect.name == "sqlite":
        engine = connect(beside(engine.url.render_as_string(hide_password=False)))
    return Throttle(Counters(engine), KnownPlaces(database), b"secret")
