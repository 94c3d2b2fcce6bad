"""An environment for each peer: made when first needed, from a list that pins every package.

In: `requirements/NAME.txt`, which `uv pip compile` made of `NAME.in`. Out: the environment's Python, and the versions
in it. What cannot be installed is told with the installer's own last words, and its rows are left out.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
VERSIONS = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"


class NotInstalled(Exception):
    """An environment cannot be made; the message says what the installer said."""

    def __init__(self, name: str, said: str) -> None:
        self.name = name
        super().__init__(f"{name} cannot be installed: {' '.join(said.split())[-600:]}")


def python_of(name: str | None, work: Path) -> Path:
    """Return the Python of an environment, made now if it is not there or its list has changed.

    Raises:
        NotInstalled: it cannot be made.
    """
    if name is None:
        return Path(sys.executable)
    listed, folder = REQUIREMENTS / f"{name}.txt", work / "venvs" / name
    python, stamp = folder / "bin" / "python", folder / "installed"
    digest = hashlib.sha256(listed.read_bytes() + sys.version.encode()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == digest):
        uv = str(_uv(work))
        print(f"installing {name} ...", file=sys.stderr)
        _run(name, [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)])
        _run(name, [uv, "pip", "install", "--quiet", "--python", str(python), "--requirement", str(listed)])
        stamp.write_text(digest)
    return python


def versions(python: Path, packages: tuple[str, ...]) -> dict[str, str]:
    """Return package → version in an environment."""
    done = subprocess.run([python, "-c", VERSIONS, *packages], capture_output=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _uv(work: Path) -> Path:
    """Return uv, which stores a package once for all environments: TensorFlow is 1 GB."""
    uv = work / "tools" / "bin" / "uv"
    if not uv.exists():
        _run("uv", [sys.executable, "-m", "venv", str(work / "tools")])
        _run("uv", [str(work / "tools" / "bin" / "pip"), "install", "--quiet", "uv"])
    return uv


def _run(name: str, command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstalled(name, done.stderr)
