"""What it was measured on: processor, cores, memory, systems and versions."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path

import psutil

from benchmarks.peers.lineup import CORES

PACKAGES = ("tensorflow-cpu", "keras", "bentoml", "starlette", "uvicorn", "numpy")


def facts() -> dict[str, str]:
    """Return what the reader of a table of times wants to know first."""
    memory = psutil.virtual_memory().total / 1e9
    return {
        "machine": f"{processor()}, {CORES} cores, {memory:.0f} GB; {platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Lastgang": f"commit {commit()}; {', '.join(f'{name} {_version(name)}' for name in PACKAGES)}",
    }


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's own name for itself."""
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def commit() -> str:
    """Return what is checked out, as git describes it."""
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return done.stdout.strip() or "unknown"
