"""What a running service tells of itself: metrics on a port of their own, traces, and a log of JSON lines."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from collector import Collector, collecting
from e2e.running import LAUNCH, PASSWORD, PROJECT, READY, Place, Running, free_port

WORKER = "_bentoml_impl.worker.service"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Give a collector of traces."""
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def metrics_port() -> int:
    """Give the port of the metrics."""
    return free_port()


@pytest.fixture(scope="module")
def told(
    tmp_path_factory: pytest.TempPathFactory, store: Path, collector: Collector, metrics_port: int
) -> Iterator[tuple[Place, Running]]:
    """Give a service that tells all that it can."""
    place = Place(tmp_path_factory.mktemp("home"), store, free_port())
    settings = {
        "TMPDIR": str(place.home),
        "LASTGANG_FIRST_USER": "ada",
        "LASTGANG_FIRST_PASSWORD": PASSWORD,
        "LASTGANG_LOG_FORMAT": "json",
        "LASTGANG_ACCESS_LOG": "true",
        "LASTGANG_METRICS_PORT": str(metrics_port),
        "LASTGANG_OTLP_ENDPOINT": collector.url,
        "LASTGANG_TRACE_RATIO": "1",
        "LASTGANG_WORKERS": "2",
    }
    with Running(LAUNCH, place.environment(**settings)) as running:
        yield place, running.wait_for(READY)


def scrape(port: int) -> str:
    """Return the metrics as a scraper nearby gets them."""
    return httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).raise_for_status().text


def requests(text: str) -> float:
    """Return how many requests were answered in all."""
    return sum(map(float, re.findall(r"^lastgang_requests_total\{.*\} (\S+)$", text, re.MULTILINE)))


def test_a_service_tells_of_itself(
    told: tuple[Place, Running], collector: Collector, metrics_port: int, week: bytes
) -> None:
    """A request is counted, traced and logged under its id; a killed worker takes nothing with it that was told."""
    place, running = told
    with place.client(place.log_in("ada", PASSWORD)) as client:
        answer = client.post("/predict/gru", files={"file": week}, headers={"X-Request-Id": "e2e-1"})
        assert (answer.status_code, answer.headers["x-request-id"]) == (200, "e2e-1")
        bad = client.get("/nightingale%0aERROR")
        assert bad.json()["instance"] == f"urn:lastgang:request:{bad.headers['x-request-id']}"
        once = 'lastgang_requests_total{method="POST",route="/predict/{model}",status="200"} 1.0'
        end = time.monotonic() + 30  # a worker writes its counts twice a second
        while once not in scrape(metrics_port) and time.monotonic() < end:
            time.sleep(0.1)
        inside = client.get("/metrics").text
    table = (PROJECT / "docs" / "observability.md").read_text()
    documented = set(re.findall(r"^\| `(lastgang_\w+)` \|", table, re.MULTILINE))
    outside = scrape(metrics_port)
    for text in (inside, outside):
        listed = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
        assert listed <= documented
        assert documented - listed <= {"lastgang_model_switches_total", "lastgang_audit_lines_total"}
    assert once in outside

    names = {"POST /token", "POST /predict/{model}", "GET /metrics", "GET other"}
    end = time.monotonic() + 30  # spans are sent every two seconds, and a worker that is killed sends no more
    while not names <= {span.name for span in collector.spans} and time.monotonic() < end:
        time.sleep(0.1)
    assert names <= {span.name for span in collector.spans}
    before = requests(outside)
    first = a_worker(running)
    first.kill()
    first.wait(60)  # until its parent has noticed
    assert requests(scrape(metrics_port)) >= before
    (folder,) = place.home.glob("lastgang-metrics-*")
    assert not list(folder.glob(f"*_{first.pid}.db"))

    assert running.stop() == 0
    assert not folder.exists()
    assert b"nightingale" not in collector.raw


def a_worker(running: Running) -> psutil.Process:
    """Return one of the processes that serve."""
    children = psutil.Process(running._process.pid).children(recursive=True)
    return next(one for one in children if WORKER in one.cmdline())


def test_its_log_is_json(told: tuple[Place, Running]) -> None:
    """Every line of ours and of the libraries' is an object; the access line has the id; nobody forged one."""
    _, running = told
    lines = [json.loads(line) for line in running.output.splitlines() if line.startswith("{")]
    access = [line for line in lines if line["logger"] == "lastgang.access"]
    (one,) = [line for line in access if line.get("request_id") == "e2e-1"]
    assert (one["route"], one["status"], one["subject"]) == ("/predict/{model}", 200, "ada")
    assert re.fullmatch("[0-9a-f]{32}", one["trace_id"])
    assert "nightingale" not in running.output
    assert {"bentoml.serve", "models.catalogue", "lastgang.access"} <= {line["logger"] for line in lines}
