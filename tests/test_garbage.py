"""Python looks for young garbage seldom, from the first import of the service on."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[1]
SHOW = """
import gc, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name in {"auth", "worker"}:
            print(name, gc.get_threshold()[0])
sys.meta_path.insert(0, Finder())
import service
print("service", gc.get_threshold()[0])
"""


def test_the_threshold_is_set_before_what_is_large(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=PROJECT,
        env=os.environ | {"LASTGANG_HOME": str(tmp_path), "BENTOML_HOME": str(tmp_path / "bentoml")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[:3] == ["auth 20000", "worker 20000", "service 20000"]


def test_every_module_ships() -> None:
    """What lies beside `service.py` is imported by it, or by what it imports."""
    includes = yaml.safe_load((PROJECT / "bentofile.yaml").read_text())["include"]
    assert {f"/{path.name}" for path in PROJECT.glob("*.py")} <= set(includes)
