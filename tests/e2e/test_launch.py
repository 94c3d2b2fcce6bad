"""`scripts/serve` as a person uses it: two starts, the pasted lines, Ctrl-C, and what stops a start."""

import json
import os
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.running import BENTOML, LAUNCH, PROJECT, READY, Place, Running, free_port

SERVE = [str(PROJECT / "scripts" / "serve")]


@dataclass(frozen=True)
class FirstStart:
    """What the first start of a fresh installation left: its place, its output and its generated password."""

    place: Place
    output: str
    password: str
    status: int
    forecast: str | None


@pytest.fixture(scope="module")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> FirstStart:
    """Start with nothing prepared and nothing set, from another folder; paste the printed lines; press Ctrl-C."""
    folder = tmp_path_factory.mktemp("fresh")
    place = Place(folder / "home with a space", folder / "store", free_port())
    with Running(SERVE, place.environment(), folder) as running:
        running.wait_for("/forecast/gru; echo\n")
        output = running.output
        forecast = paste(lines_to_paste(output)) if shutil.which("curl") else None
        status = running.stop(signal.SIGINT)
        password = lines_to_paste(output).removeprefix("PASSWORD=").split()[0]
        return FirstStart(place, running.output, password, status, forecast)


def lines_to_paste(output: str) -> str:
    """Return the lines that a start prints for pasting."""
    return output[output.index("PASSWORD=") :]


def paste(lines: str) -> str:
    """Run the lines in a shell that knows nothing of this test; return what they print."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    shell = ["bash", "-euo", "pipefail", "-c", lines]
    done = subprocess.run(shell, env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_pasted_lines_give_a_forecast(first_start: FirstStart) -> None:
    """Exactly as printed: a token with the generated password, then eight powers for the shipped sample."""
    if first_start.forecast is None:
        pytest.skip("the printed lines need curl, which is not installed")
    answer = json.loads(first_start.forecast)
    assert (answer["model"], answer["unit"], len(answer["forecast"])) == ("gru", "kW", 8)


def test_the_password_is_shown_once_and_stored_nowhere(first_start: FirstStart) -> None:
    """One line of the output holds it, and no file of the home."""
    assert first_start.output.count(first_start.password) == 1
    assert len(first_start.password) >= 20
    files = [path for path in first_start.place.home.rglob("*") if path.is_file()]
    assert {"users.db", "signing.key", "tls.crt", "tls.key"} <= {file.name for file in files}
    assert not [file for file in files if first_start.password.encode() in file.read_bytes()]


def test_ctrl_c_ends_it_well(first_start: FirstStart) -> None:
    """Exit status 0, no complaint, and the port is free: nothing runs on."""
    assert first_start.status == 0
    assert "Traceback" not in first_start.output
    socket.create_server(("127.0.0.1", first_start.place.port)).close()


def test_a_second_start_shows_no_password(first_start: FirstStart) -> None:
    """It imports nothing anew, works with the first password, and ends with 0 when it is told to."""
    place = first_start.place
    with Running(SERVE, place.environment()) as running:
        running.wait_for("/forecast/gru; echo\n")
        lines = lines_to_paste(running.output)
        assert "PASSWORD='the password shown at the first start'" in lines
        assert place.log_in("admin", first_start.password)
        assert running.stop(signal.SIGTERM) == 0
    assert first_start.password not in running.output
    assert running.output.count("was already there") == 2
    assert " imported " not in running.output
    socket.create_server(("127.0.0.1", place.port)).close()


def test_bentoml_serves_it_by_hand(first_start: FirstStart, week: bytes) -> None:
    """After the set-up `bentoml serve service:Lastgang` needs nothing but the same settings."""
    place = first_start.place
    with Running([BENTOML, "serve", "service:Lastgang"], place.environment()) as running:
        running.wait_for("Service lastgang initialized")
        with place.client(place.log_in("admin", first_start.password)) as client:
            (numbers,) = client.post("/predict/cnn", files={"file": week}).raise_for_status().json()
        assert running.stop() == 0
    assert len(numbers) == 8


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, int, str]:
    """Interrupt a first start while it imports the models."""
    folder = tmp_path_factory.mktemp("interrupted")
    place = Place(folder / "home", folder / "store", free_port())
    with Running(LAUNCH, place.environment()) as running:
        running.wait_for(" imported ")
        return place, running.stop(signal.SIGINT), running.output


def test_an_interrupted_start_ends_well_and_keeps_the_password_known(interrupted: tuple[Place, int, str]) -> None:
    """Ctrl-C before anything serves: status 0, no traceback, and the password of the user it made is shown."""
    _, status, output = interrupted
    assert (status, "Traceback" in output, READY in output) == (0, False, False)
    assert output.count("First user: admin   password, shown only now: ") == 1


def refused(place: Place, **settings: str) -> str:
    """Start what cannot start; return its words, after checking that it failed as it should."""
    with Running(LAUNCH, place.environment(**settings)) as running:
        assert running.end() == 1
        return running.output


def test_a_port_in_use_stops_the_start(server: Running, place: Place, tmp_path: Path) -> None:
    """One sentence names the setting; nobody was made whose password would be lost."""
    output = refused(Place(tmp_path / "home", place.store, place.port))
    assert output.startswith(f"Lastgang cannot start. 127.0.0.1 port {place.port} cannot be listened on")
    assert "LASTGANG_PORT" in output
    assert output.count("\n") == 1
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "settings, names",
    [
        (
            {"LASTGANG_ENV": "production"},
            ["LASTGANG_SIGNING_KEY_FILE", "LASTGANG_TLS_CERT_FILE", "LASTGANG_TLS_KEY_FILE"],
        ),
        ({"LASTGANG_ENV": "prod"}, ["LASTGANG_ENV=prod"]),
        ({"LASTGANG_SIGNING_KEY": "secret"}, ["LASTGANG_SIGNING_KEY"]),
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_stops_the_start(
    place: Place, tmp_path: Path, settings: dict[str, str], names: list[str]
) -> None:
    """One line says what to set, without a traceback and without the secret; in production nothing is generated."""
    output = refused(Place(tmp_path / "home", place.store, free_port()), **settings)
    assert output.startswith("Lastgang cannot start. ")
    assert output.count("\n") == 1
    assert all(name in output for name in names)
    if settings.get("LASTGANG_ENV") == "production":
        assert not list((tmp_path / "home").glob("*"))
