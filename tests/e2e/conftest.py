"""One running service for all end-to-end tests: real processes, a real port, TLS verified, nothing patched."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from e2e.faults import gru_store
from e2e.running import LAUNCH, PASSWORD, PROJECT, READY, Place, Running, free_port, run


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a Bento store with the shipped models and one of a user's own, imported by the command."""
    own = tmp_path_factory.mktemp("own-model")
    store = tmp_path_factory.mktemp("bentoml")
    pretrained = PROJECT / "models" / "pretrained"
    environment = Place(tmp_path_factory.mktemp("home-of-imports"), store, 1).environment(TF_CPP_MIN_LOG_LEVEL="2")
    maker = Path(__file__).with_name("last_two_hours.py")
    run([sys.executable, str(maker), str(own), str(pretrained / "gru" / "card.json")], environment)
    run([sys.executable, "-m", "models.card", str(own)], environment)
    run([sys.executable, "import_models.py", str(own), *map(str, sorted(pretrained.iterdir()))], environment)
    return store


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Place:
    """Give the place of the shared service: a fresh home, the store, a free port."""
    return Place(tmp_path_factory.mktemp("home"), store, free_port())


@pytest.fixture(scope="session")
def server(place: Place) -> Iterator[Running]:
    """Give the shared service; after the last test it has to end well when it is told to."""
    settings = {"LASTGANG_FIRST_USER": "ada", "LASTGANG_FIRST_PASSWORD": PASSWORD}
    with Running(LAUNCH, place.environment(**settings)) as server:
        yield server.wait_for(READY)
        assert server.stop() == 0
        assert not [words for words in ("Traceback", "ERROR", PASSWORD) if words in server.output]


@pytest.fixture(scope="session")
def declared(place: Place) -> set[tuple[str, str]]:
    """Give the method and path of every route of the application that the workers serve."""
    listed = run([sys.executable, str(Path(__file__).with_name("list_routes.py"))], place.environment())
    return {(method, path) for method, path in json.loads(listed)}


@pytest.fixture(scope="session")
def token(server: Running, place: Place) -> str:
    """Give a token of the first user."""
    return place.log_in("ada", PASSWORD)


@pytest.fixture(scope="session")
def anyone(server: Running, place: Place) -> Iterator[httpx.Client]:
    """Give a client without a token."""
    with place.client() as client:
        yield client


@pytest.fixture(scope="session")
def ada(place: Place, token: str) -> Iterator[httpx.Client]:
    """Give a client with the first user's token."""
    with place.client(token) as client:
        yield client


@pytest.fixture(scope="session")
def gru_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a Bento store with one shipped model, for services that something happens to."""
    return gru_store(tmp_path_factory.mktemp("gru"))
