"""What several test files share: the golden figures and the shipped samples."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from databases import url_of
from hypothesis import settings
from postgres import NoPostgres, private_server

PROJECT = Path(__file__).resolve().parent.parent
# A shared machine pauses a process for longer than hypothesis allows an example; no property here is about time.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

GOLDEN = PROJECT.parent / "shared" / "golden"


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give commands that a test runs without a home of its own one that is not the project's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LASTGANG_HOME", str(tmp_path_factory.mktemp("home-of-commands")))
        yield


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Any]:
    """Give the golden file of that name, read: JSON as objects, CSV as bytes."""
    if not GOLDEN.is_dir():
        pytest.skip("the golden figures are not beside this checkout (../shared/golden)")

    def read(name: str) -> Any:
        content = (GOLDEN / name).read_bytes()
        return json.loads(content) if name.endswith(".json") else content

    return read


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Give the URL of a PostgreSQL that only these tests reach."""
    try:
        with private_server() as url:
            yield url
    except NoPostgres as cannot:
        pytest.skip(str(cannot))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of an empty database, once of each kind that the service is run on."""
    if request.param == "sqlite":
        return url_of(tmp_path)
    url: str = request.getfixturevalue("postgres")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    return url


@pytest.fixture(scope="session")
def shop() -> bytes:
    """Give the shipped sample year of a shop as CSV."""
    return gzip.decompress((PROJECT / "samples" / "shop.csv.gz").read_bytes())


@pytest.fixture(scope="session")
def week() -> bytes:
    """Give the shipped sample week as CSV."""
    return (PROJECT / "samples" / "week.csv").read_bytes()


@pytest.fixture(scope="session")
def fortnight(shop: bytes) -> bytes:
    """Give the last two weeks of the sample year as CSV: long enough for a backtest."""
    header, *rows = shop.splitlines()
    return b"\n".join([header, *rows[-2 * 672 :]])
