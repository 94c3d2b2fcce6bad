"""What is counted, that no client can make a label, and that no worker's end loses or leaves anything."""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from conftest import PROJECT
from e2e.running import free_port
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.metrics import MetricWrapperBase
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from auth.errors import InvalidCredentials
from edge.metrics import Metrics, _observe
from edge.problems import ProblemMiddleware, handle_errors
from edge.routes import METHODS, OTHER, Routes
from edge.sampling import Sampler
from edge.scraping import forget_the_dead, registry_of, serve
from edge.telemetry import TelemetryMiddleware
from edge.timing import STAGES, stage
from edge.turns import Turns
from models.catalogue import Known

if TYPE_CHECKING:
    from pathlib import Path

    from prometheus_client import Metric
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message

IN_FLIGHT = "lastgang_requests_in_flight"


@pytest.fixture
def registry() -> CollectorRegistry:
    """Give an empty list of metrics."""
    return CollectorRegistry()


class Writing:
    """A collector that has nothing to tell, and lets the metrics be written before the others tell theirs."""

    metrics: Metrics | None = None

    def collect(self) -> list[Metric]:
        """Write."""
        if self.metrics is not None:
            self.metrics.write()
        return []


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    """Give the metrics of a worker that counts in memory; they are written whenever somebody looks."""
    writing = Writing()
    registry.register(writing)
    writing.metrics = Metrics(registry)
    return writing.metrics


async def staged(request: Request) -> Response:
    with stage("read"):
        await request.body()
    with stage("answer"):
        return Response("done")


async def log_in(request: Request) -> Response:
    if request.query_params.get("wrong"):
        raise InvalidCredentials
    return Response("a token")


def following(metrics: Metrics, extra: Any = ()) -> ASGIApp:
    """Return an application with the outer layers of the service around it."""
    app = FastAPI(openapi_url=None)
    app.router.routes += [
        Route("/predict/{model}", staged, methods=["POST"]),
        Route("/token", log_in, methods=["POST"]),
        *extra,
    ]
    handle_errors(app)
    routes = Routes(["/predict/{model}", "/token"])
    return TelemetryMiddleware(ProblemMiddleware(app, seconds=5), routes=routes, metrics=lambda: metrics)


def ask(app: ASGIApp, *requests: tuple[str, str], body: bytes = b"") -> list[httpx.Response]:
    """Send requests, each a method and a path, one after the other."""

    async def asked() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return [await client.request(method, path, content=body) for method, path in requests]

    return asyncio.run(asked())


def series(registry: CollectorRegistry) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """Return name and labels of every series."""
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for metric in registry.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


def test_a_request_is_counted(metrics: Metrics, registry: CollectorRegistry) -> None:
    """By route, method and status; with its time, its bytes and its stages."""
    ask(following(metrics), ("POST", "/predict/gru"), ("POST", "/predict/cnn"), body=b"x" * 500)
    route = {"route": "/predict/{model}"}
    assert registry.get_sample_value("lastgang_requests_total", route | {"method": "POST", "status": "200"}) == 2
    assert registry.get_sample_value("lastgang_request_seconds_count", route) == 2
    assert 0 < (registry.get_sample_value("lastgang_request_seconds_sum", route) or 0) < 10
    assert registry.get_sample_value("lastgang_request_bytes_total", route) == 1_000
    for name in ("read", "answer"):
        assert registry.get_sample_value("lastgang_stage_seconds_count", {"stage": name}) == 2
    assert registry.get_sample_value(IN_FLIGHT) == 0


@given(amounts=st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.2, 7.5, 30.0, 31.0, 1e9]), min_size=1))
def test_many_observations_are_written_as_one_by_one(amounts: list[float]) -> None:
    """Into the same buckets, bounds and what is above all of them included."""
    histograms = [Histogram("h", "of a test", buckets=(0.1, 7.5, 30), registry=None) for _ in range(2)]
    for amount in amounts:
        histograms[0].observe(amount)
    _observe(histograms[1], amounts)
    for one, other in zip(*(histogram._child_samples() for histogram in histograms), strict=True):
        assert (one.name, one.labels) == (other.name, other.labels)
        assert one.value == pytest.approx(other.value)


def test_counts_wait_until_they_are_written(registry: CollectorRegistry) -> None:
    """Then each is told once."""
    metrics = Metrics(registry)
    metrics.batch("gru", 3)
    assert registry.get_sample_value("lastgang_batch_windows_sum", {"model": "gru"}) == 0
    for _ in range(2):
        metrics.write()
        assert registry.get_sample_value("lastgang_batch_windows_sum", {"model": "gru"}) == 3


def test_problems_and_log_ins_are_counted(metrics: Metrics, registry: CollectorRegistry) -> None:
    """A refusal by the type of its problem; a log-in by what became of it."""
    ask(following(metrics), ("POST", "/token"), ("POST", "/token?wrong=1"), ("GET", "/nowhere"), ("GET", "/token"))
    for outcome in ("granted", "invalid-credentials", "method-not-allowed"):
        assert registry.get_sample_value("lastgang_log_ins_total", {"outcome": outcome}) == 1
    for problem in ("invalid-credentials", "not-found", "method-not-allowed"):
        assert registry.get_sample_value("lastgang_problems_total", {"problem": problem}) == 1


def test_requests_in_flight(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Those that are being answered now, and none that failed."""
    seen = []

    async def look(_: Request) -> Response:
        seen.append(registry.get_sample_value(IN_FLIGHT))
        return PlainTextResponse("seen")

    async def fail(_: Request) -> Response:
        raise ValueError("a bug")

    app = following(metrics, [Route("/look", look), Route("/fail", fail)])
    with pytest.raises(ValueError, match="a bug"):  # Starlette raises it again after its answer
        ask(TelemetryMiddleware(app.app.app, routes=Routes([]), metrics=lambda: metrics), ("GET", "/fail"))  # type: ignore[attr-defined]
    ask(app, ("GET", "/look"))
    assert seen == [1]
    assert registry.get_sample_value(IN_FLIGHT) == 0


def odd_scopes(seed: int, count: int) -> list[dict[str, Any]]:
    """Make up requests as a scanner or a vandal would send them."""
    dice = random.Random(seed)
    letters = "abcXYZ019-_.~% \n\x00;:@!$&'()*+,=/\u20ac"

    def word(most: int = 30) -> str:
        return "".join(dice.choice(letters) for _ in range(dice.randrange(most)))

    starts = ["", "/", "/predict/", "/models/", "/token/", "/x/../predict/", "//", "/token"]
    scopes = []
    for _ in range(count):
        method = dice.choice([*METHODS, "TRACE", "BREW", f"M{dice.randrange(10**9)}"])
        path = dice.choice(starts) + word()
        headers = [(b"x-request-id", word().encode()), (b"host", word().encode())]
        scopes.append({"type": "http", "method": method, "path": path, "headers": headers})
    return [{**scope, "query_string": b"version=%d" % at} for at, scope in enumerate(scopes)]


def send(app: ASGIApp, scopes: list[dict[str, Any]]) -> int:
    """Send requests straight to the application, which httpx would refuse to; return how many were answered."""
    answered = 0

    async def receive() -> Message:
        return {"type": "http.request", "body": b"x"}

    async def count(message: Message) -> None:
        nonlocal answered
        answered += message["type"] == "http.response.start"

    async def sent() -> None:
        for scope in scopes:
            await app(scope, receive, count)

    asyncio.run(sent())
    return answered


def test_no_client_can_make_series(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Thousands of odd paths, methods, models and ids make a few series at first, and then none at all."""
    app = following(metrics)
    ask(app, ("POST", "/token?wrong=1"), *product((*METHODS, "TRACE"), ("/token", "/predict/gru", "/nowhere")))
    assert send(app, odd_scopes(1, 4_000)) == 4_000
    few = series(registry)
    assert send(app, odd_scopes(2, 4_000)) == 4_000
    assert series(registry) == few
    assert len(few) < 300
    values = {
        name: {value for _, labels in few for key, value in labels if key == name} for name in ("route", "method")
    }
    assert values == {"route": {"/predict/{model}", "/token", OTHER}, "method": {*METHODS, OTHER}}
    assert len(metrics._answered) < 100


FULL = """
import resource
from edge.metrics import Metrics

metrics = Metrics()
resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))  # no file can grow, as on a full disk
for at in range(1_000):
    with metrics.never_failing():
        metrics.batch(f"model-{at}", 1)
        metrics.write()
print("went on")
"""


def test_what_cannot_be_counted_stops_nothing(tmp_path: Path) -> None:
    """The log says it once, in a line."""
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", FULL], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "went on\n"
    assert done.stderr == "The metrics cannot be written (File too large); the service goes on\n"


def test_a_mistake_in_counting_is_told_with_where_it_is(metrics: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    """It stops nothing either, and is not told twice."""
    for _ in range(2):
        with metrics.never_failing():
            metrics.worker(*[])
    assert [one.getMessage() for one in caplog.records] == [
        "The metrics cannot be written (TypeError); the service goes on"
    ]
    assert caplog.records[0].exc_info


class Version:
    """What the metrics ask of a served model."""

    def __init__(self, version: str) -> None:
        self.version = version


def known(name: str, failures: Any = None, **served: str) -> Known:
    """Return a name with what answers under its labels."""
    models: Any = {label: Version(version) for label, version in served.items()}
    return replace(Known(name), served=models, failures=failures or {})


def test_models_and_their_changes_are_told(metrics: Metrics, registry: CollectorRegistry) -> None:
    """What answers under which label; switches, removals and failures after the start, each once."""

    def count(outcome: str) -> float | None:
        return registry.get_sample_value("lastgang_model_switches_total", {"model": "gru", "outcome": outcome})

    def workers(version: str, label: str = "stable") -> float | None:
        labels = {"model": "gru", "version": version, "label": label}
        return registry.get_sample_value("lastgang_model_info", labels)

    metrics.models([known("gru", stable="1")])
    assert (workers("1"), count("switched")) == (1, None)
    for _ in range(3):
        metrics.models([known("gru", stable="2", canary="3")])
    assert (workers("1"), workers("2"), workers("3", "canary"), count("switched")) == (0, 1, 1, 2)
    metrics.models([known("gru", {"canary": "broken"}, stable="2", canary="3")])
    assert (workers("3", "canary"), count("failed")) == (1, 1)
    assert registry.get_sample_value("lastgang_models_failing") == 1
    metrics.models([known("gru", stable="2")])
    assert (workers("3", "canary"), count("removed")) == (0, 1)
    assert registry.get_sample_value("lastgang_models_failing") == 0
    metrics.models([])
    assert (workers("2"), count("removed")) == (0, 2)


def test_a_model_that_comes_later_is_a_switch(metrics: Metrics, registry: CollectorRegistry) -> None:
    """A service may start without any."""
    metrics.models([])
    metrics.models([known("gru", stable="1")])
    labels = {"model": "gru", "outcome": "switched"}
    assert registry.get_sample_value("lastgang_model_switches_total", labels) == 1


def test_a_worker_watches_itself(metrics: Metrics, registry: CollectorRegistry) -> None:
    """How late its event loop was at the worst, its memory, its processor time, who works and who waits."""
    turns = Turns(1, 9)

    async def watched() -> None:
        watching = asyncio.create_task(Sampler(metrics, turns, lambda: [known("gru", stable="1")]).run())
        await asyncio.sleep(0.3)
        time.sleep(0.5)  # noqa: ASYNC251  # it is the event loop that is to be late
        long = [asyncio.create_task(turns.long(lambda: time.sleep(1))) for _ in range(3)]
        await asyncio.sleep(0.7)
        watching.cancel()
        assert registry.get_sample_value("lastgang_long_requests", {"state": "running"}) == 1
        assert registry.get_sample_value("lastgang_long_requests", {"state": "waiting"}) == 2
        for one in long:
            one.cancel()

    asyncio.run(watched())
    worker = {"worker": "1"}
    assert (registry.get_sample_value("lastgang_event_loop_lag_seconds", worker) or 0) >= 0.25
    assert (registry.get_sample_value("lastgang_worker_memory_bytes", worker) or 0) > 20_000_000
    assert (registry.get_sample_value("lastgang_worker_cpu_seconds_total", worker) or 0) > 0
    assert (registry.get_sample_value("lastgang_worker_start_time_seconds", worker) or 0) < time.time()
    assert registry.get_sample_value("lastgang_model_info", {"model": "gru", "version": "1", "label": "stable"}) == 1


WORKER = """
import sys
from edge.metrics import Metrics
from edge.timing import Record

metrics = Metrics(worker=int(sys.argv[1]))
metrics.worker(0.1, 1_000_000, 0.5, 1.0)
for seconds in (0.001, 0.2):
    metrics.began()
    metrics.answered("/token", "POST", 200, seconds, 10, Record("id", {"read": seconds}))
metrics.began()
metrics.write()
print("counted", flush=True)
sys.stdin.read()
"""


def worker(folder: Path, number: int = 1) -> subprocess.Popen[str]:
    """Start a process that counts two requests and has one in flight; it lives until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(number)],
        cwd=PROJECT,
        env={"PROMETHEUS_MULTIPROC_DIR": str(folder), "PATH": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "counted\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def told(folder: Path) -> dict[str, float]:
    """Return some figures as all workers together tell them."""
    registry = registry_of(folder)
    names = {
        "requests": ("lastgang_requests_total", {"route": "/token", "method": "POST", "status": "200"}),
        "quick": ("lastgang_request_seconds_bucket", {"route": "/token", "le": "0.001"}),
        "all": ("lastgang_request_seconds_bucket", {"route": "/token", "le": "+Inf"}),
        "count": ("lastgang_request_seconds_count", {"route": "/token"}),
        "sum": ("lastgang_request_seconds_sum", {"route": "/token"}),
        "in flight": (IN_FLIGHT, {}),
        "memory": ("lastgang_worker_memory_bytes", {"worker": "1"}),
    }
    found = {name: registry.get_sample_value(*of) for name, of in names.items()}
    return {name: round(value, 6) for name, value in found.items() if value is not None}


def test_the_workers_that_have_ended_count_on(tmp_path: Path) -> None:
    """No count is lost, nothing of theirs is told as if it were now, and the folder does not grow."""
    first, second = worker(tmp_path, 1), worker(tmp_path, 2)
    alive = told(tmp_path)
    assert alive == {
        "requests": 4,
        "quick": 2,
        "all": 4,
        "count": 4,
        "sum": 0.402,
        "in flight": 2,
        "memory": 1_000_000,
    }
    end(first)
    assert told(tmp_path) == {name: value for name, value in alive.items() if name != "memory"} | {"in flight": 1}
    for again in range(3):
        end(worker(tmp_path))
        assert told(tmp_path)["requests"] == told(tmp_path)["count"] == 6 + 2 * again
    names = {re.sub(str(second.pid), "alive", file.name) for file in tmp_path.iterdir()}
    assert names == {
        *("counter_0.db", "histogram_0.db", "counter_alive.db", "histogram_alive.db", "lock"),
        *(f"gauge_live{mode}_alive.db" for mode in ("sum", "max", "mostrecent")),
    }
    end(second)
    forget_the_dead(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"counter_0.db", "histogram_0.db", "lock"}
    assert told(tmp_path)["requests"] == 10


def test_a_version_that_answers_nowhere_is_told_no_more(tmp_path: Path) -> None:
    """Or every version that ever served would be told for ever."""
    script = """
from edge.metrics import Metrics
from types import SimpleNamespace as One
metrics = Metrics()
for version in "123":
    metrics.models([One(name="gru", served={"stable": One(version=version)}, failures={})])
from edge.scraping import exposition
print(exposition().body.decode())
"""
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("lastgang_model_info{")]
    assert lines == ['lastgang_model_info{label="stable",model="gru",version="3"} 1.0']


def test_a_port_of_their_own(tmp_path: Path) -> None:
    """Plain HTTP, for whoever reaches it; a port that is taken is an error."""
    process, port = worker(tmp_path), free_port()
    try:
        serve("127.0.0.1", port, tmp_path)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert "text/plain" in answer.headers["content-type"]
            assert b'lastgang_requests_total{method="POST",route="/token",status="200"} 2.0' in answer.read()
        with pytest.raises(OSError, match="in use"):
            serve("127.0.0.1", port, tmp_path)
    finally:
        end(process)


def documented() -> dict[str, tuple[str, set[str]]]:
    """Return name → kind and labels of every metric in the documentation's table."""
    text = (PROJECT / "docs" / "observability.md").read_text()
    rows = re.findall(r"^\| `(lastgang_\w+)` \| (\w+) \| (.*?) \|", text, re.MULTILINE)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def test_every_metric_is_documented(metrics: Metrics, registry: CollectorRegistry) -> None:
    """The table has each with its kind and labels, and no other."""
    known = {
        of.name + "_total" * (of.type == "counter"): (of.type, set(collector._labelnames))
        for collector in registry._collector_to_names
        if isinstance(collector, MetricWrapperBase)
        for of in collector.describe()
    }
    assert documented() == known


def test_every_stage_is_known() -> None:
    """What the service calls a stage is in the list of stages."""
    sources = [*PROJECT.glob("*.py"), *PROJECT.glob("edge/*.py"), *PROJECT.glob("forecasting/*.py")]
    named = {name for source in sources for name in re.findall(r"\bstage\(\"(\w+)\"\)", source.read_text())}
    assert named == set(STAGES)
