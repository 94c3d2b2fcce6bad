"""The Bento: what is packed in it, and that it serves in production, from anywhere, what the checkout serves."""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2e.running import BENTOML, PASSWORD, PROJECT, Place, Running, free_port, run

ROOTS = {
    "auditing.py",
    "bentofile.yaml",
    "config.py",
    "first_start.py",
    "garbage.py",
    "import_models.py",
    "probe.py",
    "service.py",
    "worker.py",
}
PACKAGES = ("audit", "auth", "edge", "forecasting", "models", "processing")
TRAINING = {f"models/{name}.py" for name in ("train", "fitting", "virtual", "networks", "retrain", "reports", "trial")}


@pytest.fixture(scope="module")
def bento(place: Place) -> Path:
    """Build the Bento and give its folder."""
    tag = run([BENTOML, "build", "--output", "tag"], place.environment()).strip().rpartition("__tag__:")[2]
    return place.store / "bentos" / tag.replace(":", "/")


@pytest.fixture(scope="module")
def production(bento: Path, server: Running, place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Serve the Bento in production, every secret from a file, from a folder that has nothing to do with it."""
    home, secret_files = tmp_path_factory.mktemp("production"), tmp_path_factory.mktemp("secrets")
    (secret_files / "signing").write_text(secrets.token_hex(32))
    (secret_files / "password").write_text(PASSWORD)
    certificate = place.home / "tls.crt"
    there = Place(home, place.store, free_port(), certificate)
    environment = there.environment(
        LASTGANG_ENV="production",
        LASTGANG_SIGNING_KEY_FILE=str(secret_files / "signing"),
        LASTGANG_TLS_CERT_FILE=str(certificate),
        LASTGANG_TLS_KEY_FILE=str(place.home / "tls.key"),
        LASTGANG_FIRST_USER="grace",
        LASTGANG_FIRST_PASSWORD_FILE=str(secret_files / "password"),
    )
    with Running([BENTOML, "serve", "lastgang:latest"], environment, secret_files) as running:
        running.wait_for("Service lastgang initialized")
        yield there
        assert running.stop() == 0
        assert PASSWORD not in running.output


def test_it_packs_what_serves_and_nothing_else(bento: Path) -> None:
    """The modules of the service and of its packages; no tests, samples, scripts, training, state or weights."""
    packages = {
        file.relative_to(PROJECT).as_posix() for package in PACKAGES for file in (PROJECT / package).rglob("*.py")
    }
    packed = {file.relative_to(bento / "src").as_posix() for file in (bento / "src").rglob("*") if file.is_file()}
    assert packages > TRAINING
    assert packed == ROOTS | packages - TRAINING


def test_it_names_the_shipped_models(bento: Path, place: Place) -> None:
    """Exactly these two, in the versions of the store, although a third one lies there."""
    named = re.findall(r"^- tag: (\S+)$", (bento / "bento.yaml").read_text(), re.MULTILINE)
    stored = {path.parent.parent.name: path.parent.name for path in place.store.glob("models/*/*/card.json")}
    assert sorted(named) == [f"{name}:{stored[name]}" for name in ("cnn", "gru")]


def test_it_pins_every_package_by_hash(bento: Path) -> None:
    """The image is made of the locked packages: the lock stands in the Bento, hashes and all."""
    lock, packed = (
        (path).read_text() for path in (PROJECT / "requirements.lock", bento / "env/python/requirements.txt")
    )
    hashes = {line.strip(" \\") for line in lock.splitlines() if "--hash=" in line}
    assert hashes
    assert hashes <= {line.strip(" \\") for line in packed.splitlines()}


@pytest.mark.parametrize("model", ["cnn", "gru"])
def test_it_forecasts_as_the_checkout_does(
    production: Place, ada: httpx.Client, week: bytes, model: str, grace: httpx.Client
) -> None:
    """The same file gives the same answer, to 0.1 W: one of them may not have been compiled yet (decision 46)."""
    files: dict[str, Any] = {"file": week}
    answers = [client.post(f"/forecast/{model}", files=files).raise_for_status().json() for client in (grace, ada)]
    powers = [[step.pop("power") for step in answer["forecast"]] for answer in answers]
    assert powers[0] == pytest.approx(powers[1], rel=0, abs=1e-4)
    assert answers[0] == answers[1]


@pytest.fixture(scope="module")
def grace(production: Place) -> Iterator[httpx.Client]:
    """Give a client of the production service with the token of its first user."""
    with production.client(production.log_in("grace", PASSWORD)) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/docs.json", "/static_content/swagger-ui.css"])
def test_the_page_is_closed_in_production(production: Place, grace: httpx.Client, path: str) -> None:
    """Only who has a token may read what there is."""
    with production.client() as anyone:
        assert anyone.get(path).status_code == 401
    assert grace.get(path).status_code == 200


def test_a_token_of_another_installation_is_none(production: Place, ada: httpx.Client, token: str) -> None:
    """Every installation has its own signing key, so what one issues does not open the other."""
    assert ada.get("/users/me").status_code == 200
    with production.client(token) as client:
        assert client.get("/users/me").status_code == 401


def test_production_generates_nothing(grace: httpx.Client, production: Place) -> None:
    """Its home holds the users, whom it was told to make, the audit log, and no key or certificate."""
    assert {file.name.partition("-")[0] for file in production.home.iterdir()} == {"audit", "users.db"}
