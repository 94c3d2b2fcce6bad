"""Schemathesis throws what the OpenAPI document allows, and what it forbids, at a service of its own: no 5xx, no lie.

The service is its own because the routes that change users and models are tried, too.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.running import LAUNCH, PASSWORD, PROJECT, READY, Place, Running, free_port

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
COMMAND = str(Path(sys.executable).with_name("schemathesis"))
CONFIG = str(Path(__file__).with_name("schemathesis.toml"))


@pytest.mark.parametrize("seed", [1])
def test_whatever_the_document_allows_or_forbids(store: Path, tmp_path: Path, seed: int) -> None:
    place = Place(tmp_path, store, free_port())
    settings = {"LASTGANG_FIRST_USER": "ada", "LASTGANG_FIRST_PASSWORD": PASSWORD, "LASTGANG_WORKERS": "1"}
    with Running(LAUNCH, place.environment(**settings)) as server:
        server.wait_for(READY)
        token = place.log_in("ada", PASSWORD)
        options = ["--tls-verify", str(tmp_path / "tls.crt"), "--header", f"Authorization: Bearer {token}"]
        options += ["--checks", CHECKS, "--max-examples", "30", "--seed", str(seed), "--no-color"]
        command = [COMMAND, "--config-file", CONFIG, "run", f"{place.url}/docs.json", *options]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-8_000:] + done.stderr
        assert server.stop() == 0
        assert "Traceback" not in server.output
    (count,) = re.findall(r"(\d+) generated", done.stdout)
    assert int(count) > 500
