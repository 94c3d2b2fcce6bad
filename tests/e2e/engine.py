"""A container engine for the tests: the machine's own or, where there is none, a private one if it can be had.

In: an empty folder. Out: what runs `docker` and `docker-compose`, and a base image with Python 3.11. Where one of them
cannot be had the tests are skipped, and the skip says what is missing. The private engine and its base image are made
by scripts that lie beside some checkouts, of Debian's packages, without any registry.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import pytest
from e2e.running import PROJECT

MAKERS = PROJECT.parent / "shared" / "containers"
BASE_IMAGE = "python:3.11-slim"
PATIENCE = 400  # seconds for what downloads
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Engine:
    """A container engine that answers."""

    environment: Mapping[str, str]

    def with_settings(self, settings: Mapping[str, str]) -> Self:
        """Return the same engine for commands that see these variables, too."""
        return replace(self, environment={**self.environment, **settings})

    def try_(self, *command: str, seconds: float = PATIENCE) -> Done:
        """Run a command beside the engine; return how it ended."""
        return subprocess.run(
            command, cwd=PROJECT, env=self.environment, capture_output=True, text=True, timeout=seconds, check=False
        )

    def run(self, *command: str, seconds: float = PATIENCE) -> str:
        """Run a command that has to succeed; return what it printed on its standard output."""
        done = self.try_(*command, seconds=seconds)
        assert done.returncode == 0, f"{command}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout.strip()

    def docker(self, *arguments: str) -> str:
        """Run `docker` with these arguments."""
        return self.run("docker", *arguments)

    def has(self, image: str) -> bool:
        """Tell whether an image is there."""
        return self.try_("docker", "image", "inspect", image).returncode == 0


@contextmanager
def an_engine(folder: Path) -> Iterator[Engine]:
    """Give the machine's engine, or a private one for as long as this lasts; skip where there is none."""
    # Debian's client builds by itself; a newer one that lies before it on the path may lack the plugin for that.
    path = f"/usr/bin:{os.environ['PATH']}" if Path("/usr/bin/docker").exists() else os.environ["PATH"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LASTGANG_", "BENTOML"))}
    engine = Engine({**inherited, "PATH": path, "HOME": str(folder)})
    if _answers(engine):
        yield engine
        return
    if not (MAKERS / "engine.sh").exists() or os.geteuid():
        pytest.skip("no container engine answers here (`docker info` fails), and none can be started")
    made = _make(engine, "engine.sh", str(folder))
    if not made.stdout.startswith("unix://"):
        pytest.skip(f"a private container engine does not start: {(made.stderr or made.stdout)[-300:]}")
    try:
        yield Engine({**engine.environment, "PATH": f"/usr/bin:{path}", "DOCKER_HOST": made.stdout.strip()})
    finally:
        _stop(folder)


def demand_parts(engine: Engine) -> None:
    """Have at hand what the service's image is made of, the base image and packages; skip where it cannot be had."""
    if not engine.has(BASE_IMAGE) and engine.try_("docker", "pull", "-q", BASE_IMAGE).returncode:
        _make_base_image(engine)
    asking = f"docker run --rm {BASE_IMAGE} python3 -m pip download -q --no-deps --no-cache-dir -d /tmp wheel"
    asked = engine.try_(*asking.split())
    if asked.returncode:
        pytest.skip(f"a container reaches no package index: {asked.stderr[-300:]}")


def _make_base_image(engine: Engine) -> None:
    if not (MAKERS / "base-image.sh").exists():
        pytest.skip(f"no registry is in reach for {BASE_IMAGE}, and nothing here makes it")
    made = _make(engine, "base-image.sh", BASE_IMAGE)
    if made.returncode:
        pytest.skip(f"no registry is in reach for {BASE_IMAGE}, and making it failed: {made.stderr[-300:]}")


def compose_command(engine: Engine) -> tuple[str, ...]:
    """Return how Compose is called here; skip where it is not installed."""
    if shutil.which("docker-compose", path=engine.environment["PATH"]):
        return ("docker-compose",)
    if engine.try_("docker", "compose", "version").returncode == 0:
        return ("docker", "compose")
    pytest.skip("Docker Compose is not installed")


def _answers(engine: Engine) -> bool:
    return bool(
        shutil.which("docker", path=engine.environment["PATH"])
        and engine.try_("docker", "info", seconds=30).returncode == 0
    )


def _make(engine: Engine, script: str, argument: str) -> Done:
    try:
        return engine.try_("bash", str(MAKERS / script), argument)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{script} took more than {PATIENCE} s")


def _stop(folder: Path) -> None:
    """End the private engine and remove what it stored."""
    process = int((folder / "docker.pid").read_text())
    os.kill(process, signal.SIGTERM)
    waiting = ["timeout", "60", "tail", f"--pid={process}", "-f", "/dev/null"]
    subprocess.run(waiting, check=False)
    shutil.rmtree(folder / "data", ignore_errors=True)
