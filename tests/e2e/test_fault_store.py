"""Somebody tampers with the model store: what serves goes on, and a new start refuses what is not what was imported."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from e2e.faults import CSV, PREDICT, SERVE, Faulty, crowd, serving, status, wait_until
from e2e.running import PASSWORD, PROJECT, Place, Running, free_port, run

GRU = PROJECT / "models" / "pretrained" / "gru"


def one_byte(entry: Path, _: Path) -> None:
    """Turn one bit of a weight."""
    file = max((entry / "saved_model" / "variables").glob("variables.data*"), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def symlink(entry: Path, aside: Path) -> None:
    """Put a link in the place of a file, to the same bytes."""
    file = entry / "saved_model" / "saved_model.pb"
    shutil.move(file, aside / "saved_model.pb")
    file.symlink_to(aside / "saved_model.pb")


def extra_file(entry: Path, _: Path) -> None:
    """Add a file."""
    (entry / "saved_model" / "assets").mkdir(exist_ok=True)
    (entry / "saved_model" / "assets" / "more.txt").write_text("more")


def card(entry: Path, _: Path) -> None:
    """Change the card where no digest of a weight is."""
    file = entry / "card.json"
    text = file.read_text()
    changed = text.replace('"description": "', '"description": "Better. ', 1).replace(
        '"description":"', '"description":"Better. ', 1
    )
    assert changed != text
    file.write_text(changed)


def older_version(entry: Path, aside: Path) -> None:
    """Put another version's folder, whole and with its own card, in the place of the one that serves."""
    shutil.copytree(aside / "older", entry, dirs_exist_ok=True)


TOLD: dict[Callable[[Path, Path], None], str] = {
    one_byte: "differs from its SHA-256",
    symlink: "symbolic link",
    extra_file: "is not listed in the card",
    card: "is that of version",
    older_version: "is that of version",
}


@pytest.fixture(scope="module")
def tampered(tmp_path_factory: pytest.TempPathFactory, gru_only: Path) -> tuple[Place, Path, Path]:
    """Give a place whose store has one version, the folder of that, and one with another version aside."""
    aside = tmp_path_factory.mktemp("aside")
    store = aside / "store"
    shutil.copytree(gru_only, store)
    (entry,) = [file.parent for file in (store / "models" / "gru").glob("*/model.yaml")]
    shutil.copytree(entry, aside / "older")
    card(aside / "older", aside)
    shutil.copytree(entry, aside / "whole")
    return Place(tmp_path_factory.mktemp("tampered"), store, free_port()), entry, aside


@pytest.mark.parametrize("damage", TOLD, ids=lambda damage: damage.__name__)
def test_the_store_is_tampered_with(damage: Callable[[Path, Path], None], tampered: tuple[Place, Path, Path]) -> None:
    """A service that is started with it is not ready, says why, and answers nothing with it."""
    place, entry, aside = tampered
    damage(entry, aside)
    environment = place.environment(
        LASTGANG_FIRST_USER="ada", LASTGANG_FIRST_PASSWORD=PASSWORD, LASTGANG_WORKERS="1", TF_CPP_MIN_LOG_LEVEL="2"
    )
    try:
        with Running(SERVE, environment) as running:
            running.wait_for(TOLD[damage])
            wait_until(lambda: status(place, "/livez") == httpx.codes.OK)
            assert status(place, "/readyz") == 503
            with place.client(place.log_in("ada", PASSWORD)) as ada:
                assert ada.post(PREDICT, **CSV).status_code == 503
            assert running.stop() == 0
    finally:
        shutil.rmtree(entry)
        shutil.copytree(aside / "whole", entry)


def test_what_serves_goes_on(tampered: tuple[Place, Path, Path]) -> None:
    """All of it at once under a running service, and a look at the store after it: not one answer is another."""
    place, entry, aside = tampered
    with serving(place, LASTGANG_WORKERS="1", LASTGANG_WATCH_SECONDS="0.2") as running:
        faulty = Faulty(place, running)
        with crowd(place, faulty.tokens) as asking:
            for damage in (one_byte, extra_file, older_version):
                damage(entry, aside)
                (entry / "model.yaml").touch()
                asking.goes_on()
            # Another version is imported and refused, as its card is changed before it is taken up.
            shutil.rmtree(entry)
            asking.goes_on()
            run([sys.executable, "import_models.py", str(GRU)], place.environment(TF_CPP_MIN_LOG_LEVEL="2"))
            asking.goes_on()
        asking.check()
        asking.tell("model store tampered with")
        assert status(place, "/readyz") == httpx.codes.OK
        assert running.stop() == 0
