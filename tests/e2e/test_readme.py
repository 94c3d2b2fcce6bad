"""The README keeps its word: its commands and programs are run as they stand there."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from e2e.running import PASSWORD, PROJECT, Place, Running, run

README = (PROJECT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the README's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, place: Place, server: Running) -> Path:
    """Give a folder that looks like the project to a reader: the samples, and the service's home."""
    (tmp_path / "samples").symlink_to(PROJECT / "samples")
    (tmp_path / ".lastgang").symlink_to(place.home)
    return tmp_path


def run_block(command: list[str], block: str, folder: Path, place: Place) -> str:
    """Run a block of the README for the shared service's port and user; return what it prints."""
    text = block.replace("localhost:8443", f"localhost:{place.port}").replace("admin", "ada")
    environment = os.environ | {"PASSWORD": PASSWORD}
    done = subprocess.run([*command, text], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed on this machine")
def test_the_first_forecast_with_curl(folder: Path, place: Place) -> None:
    """The lines for the shell give a forecast of eight quarter-hours."""
    (block,) = blocks("bash")
    answer = json.loads(run_block(["bash", "-euc"], block, folder, place))
    assert len(answer["forecast"]) == 8


def test_the_first_forecast_from_python(folder: Path, place: Place) -> None:
    """The program prints eight lines with a time and a power."""
    (block,) = blocks("python")
    lines = run_block([sys.executable, "-c"], block, folder, place).splitlines()
    assert len(lines) == 8
    assert all(re.fullmatch(r"2017-01-01T0\d:\d\d:00\+01:00 \d+\.\d kW", line) for line in lines)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed on this machine")
def test_the_backtest_with_curl(folder: Path, place: Place) -> None:
    """With the token of the lines before, the year of the shop gets a verdict in the words that stand there."""
    (log_in,), (block,) = blocks("bash"), blocks("sh")
    answer = json.loads(run_block(["bash", "-euc"], f"{log_in.rstrip()} >/dev/null\n{block}", folder, place))
    assert answer["origins"]["stride"] == 5
    (quoted,) = re.findall(r"^> gru was off by (?:.*\n> )*.*", README, re.MULTILINE)
    shown, said = (re.sub(r"[\d.]+", "#", text) for text in (quoted.replace("\n> ", " "), answer["verdict"]))
    assert shown.removeprefix("> ") == said


def test_the_problem_document(ada: httpx.Client, shop: bytes) -> None:
    """The example of a refusal is what a file with these two faults gets."""
    header, *rows = shop.decode().splitlines()
    rows = rows[-680:]
    rows[2] = rows[2].split(",")[0] + ",abc"
    del rows[7]
    answer = ada.post("/forecast/gru", files={"file": ("load.csv", "\n".join([header, *rows]))})
    (shown,) = [document for block in blocks("json") if "problems" in (document := json.loads(block))]
    assert answer.json() == shown | {"instance": f"urn:lastgang:request:{answer.headers['x-request-id']}"}
    assert shown["instance"].startswith("urn:lastgang:request:")


def test_users_by_command(place: Place, server: Running) -> None:
    """The commands for users and clients do what stands beside them; a new key would not be the running service's."""
    block = README.split("\n## Users\n")[1].split("\n## ")[0]
    lines = [line for line in block.splitlines() if line.startswith("    python ") and " key " not in line]
    environment = place.environment()
    assert len(lines) == 6
    for _, *command in (shlex.split(line, comments=True) for line in lines):
        arguments = [word.replace("ada", "grace").replace("meter-gateway", "shown-gateway") for word in command]
        run([sys.executable, *arguments], environment, typed="Abends-um-sechs-brennt-Licht\n")


def test_every_route_is_listed(anyone: httpx.Client) -> None:
    """The table of routes names each path of the OpenAPI document."""
    paths = anyone.get("/docs.json").json()["paths"]
    assert not [path for path in paths if f"{path}`" not in README]


def test_links_lead_somewhere() -> None:
    """Every file that the README links or shows is there."""
    linked = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert linked
    assert not [name for name in linked if not (PROJECT / name).exists()]
