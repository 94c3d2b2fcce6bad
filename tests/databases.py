"""A new database for a test, prepared as the first start of a service prepares it."""

from pathlib import Path

from auth.database import Database, open_database
from auth.schema import prepare_database


def url_of(folder: Path) -> str:
    """Return the URL of the database file that a service would make in its home folder."""
    return f"sqlite:///{folder}/users.db"


def prepared(url: str) -> Database:
    """Prepare the database and open it."""
    prepare_database(url)
    return open_database(url)
