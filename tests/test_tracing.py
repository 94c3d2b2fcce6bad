"""Traces, as a collector gets them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from collector import Collector, collecting
from conftest import PROJECT
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge.errors import BodyTooLarge
from edge.metrics import Metrics
from edge.problems import ProblemMiddleware, handle_errors
from edge.routes import Routes
from edge.telemetry import TelemetryMiddleware
from edge.timing import RECORD, stage
from edge.tracing import END_WITHIN, Tracing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

PARENT_TRACE, PARENT_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
INTERNAL, SERVER = 1, 2  # kinds of spans in OTLP


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Give a collector that runs."""
    with collecting() as running:
        yield running


async def forecast(request: Request) -> Response:
    with stage("read"):
        await asyncio.sleep(0.002)
        with stage("model"):
            await asyncio.sleep(0.002)
    record = RECORD.get()
    assert record is not None
    return JSONResponse({"trace": record.trace})


async def refuse(_: Request) -> Response:
    raise BodyTooLarge(9)


async def break_down(_: Request) -> Response:
    raise TimeoutError


def ask(tracing: Tracing, *paths: str, headers: Any = None, method: str = "POST") -> list[httpx.Response]:
    """Send requests through the outer layers of the service, and the traces to the collector."""
    app = FastAPI(openapi_url=None)
    routes = {"/forecast/{model}": forecast, "/refuse": refuse, "/break": break_down}
    app.router.routes += [Route(path, endpoint, methods=["POST"]) for path, endpoint in routes.items()]
    handle_errors(app)
    metrics = Metrics(CollectorRegistry())
    layers = TelemetryMiddleware(
        ProblemMiddleware(app, seconds=5), routes=Routes(routes), metrics=lambda: metrics, tracing=lambda: tracing
    )

    async def asked() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(layers), base_url="http://test") as client:
            return [await client.request(method, path, headers=headers, content=b"nightingale") for path in paths]

    answers = asyncio.run(asked())
    tracing.close()
    return answers


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_a_request_is_a_span_and_so_is_each_stage(collector: Collector) -> None:
    """Of one trace, the stages within the request, with their own times."""
    tracing = Tracing(collector.url, 1, {"authorization": "Bearer collector"}, build="7")
    (answer,) = ask(tracing, "/forecast/gru")
    (root,) = collector.named("POST /forecast/{model}")
    (read,), (model,) = collector.named("read"), collector.named("model")
    assert len(collector.spans) == 3
    assert root.trace_id.hex() == answer.json()["trace"]
    assert {span.trace_id for span in collector.spans} == {root.trace_id}
    assert read.parent_span_id == model.parent_span_id == root.span_id
    assert (root.kind, read.kind, root.parent_span_id) == (SERVER, INTERNAL, b"")
    assert root.start_time_unix_nano <= read.start_time_unix_nano <= model.start_time_unix_nano
    assert model.end_time_unix_nano <= read.end_time_unix_nano <= root.end_time_unix_nano
    assert model.end_time_unix_nano - model.start_time_unix_nano >= 2_000_000
    assert attributes(root) == {
        "http.request.method": "POST",
        "http.route": "/forecast/{model}",
        "http.response.status_code": 200,
        "lastgang.request_id": answer.headers["x-request-id"],
    }
    assert collector.headers[0]["authorization"] == "Bearer collector"
    assert attributes(collector.resources[0]) == {"service.name": "lastgang", "service.version": "7"}


@pytest.mark.parametrize(
    "path, problem, status, code", [("/refuse", "body-too-large", 413, 0), ("/break", "timeout", 504, 2)]
)
def test_what_went_wrong_is_told(collector: Collector, path: str, problem: str, status: int, code: int) -> None:
    """By the problem's type; the service's own failures are errors."""
    ask(Tracing(collector.url, 1), path)
    (span,) = collector.spans
    told = attributes(span)
    assert (told["error.type"], told["http.response.status_code"], span.status.code) == (problem, status, code)


def test_nothing_that_a_client_made_up_is_told(collector: Collector) -> None:
    """No path, query, method, header or body stands in what is sent."""
    headers = {"Authorization": "Bearer nightingale", "Cookie": "nightingale", "tracestate": "nightingale=1"}
    tracing = Tracing(collector.url, 1)
    ask(tracing, "/nightingale", "/forecast/nightingale?nightingale=1", headers=headers, method="NIGHTINGALE")
    assert len(collector.spans) == 2
    assert b"nightingale" not in collector.raw.lower()


PARENTS = [
    (f"00-{PARENT_TRACE}-{PARENT_SPAN}-01", 1.0, PARENT_TRACE, PARENT_SPAN),
    (f"00-{PARENT_TRACE}-{PARENT_SPAN}-00", 1.0, None, None),
    (f"00-{PARENT_TRACE}-{PARENT_SPAN}-01", 0.0, None, None),
    (f"00-{'0' * 32}-{PARENT_SPAN}-01", 1.0, "", ""),
    ("garbage", 1.0, "", ""),
    ("00-\xff", 1.0, "", ""),
]


@pytest.mark.parametrize("sent, ratio, trace, span", PARENTS)
def test_a_request_may_belong_to_a_trace(
    collector: Collector, sent: str, ratio: float, trace: str | None, span: str | None
) -> None:
    """A good `traceparent` names it; one that says no is heeded, one that says yes is not; a bad one is as none."""
    ask(Tracing(collector.url, ratio), "/refuse", headers={"traceparent": sent.encode("latin-1")})
    if trace is None:
        assert not collector.spans
        return
    (root,) = collector.spans
    assert root.parent_span_id.hex() == span
    assert root.trace_id.hex() == trace if trace else root.trace_id.hex() != PARENT_TRACE


def test_some_requests_are_traced(collector: Collector) -> None:
    """About the share that is asked for; the others make no spans and name no trace."""
    answers = ask(Tracing(collector.url, 0.25), *["/forecast/gru"] * 100)
    traced = [answer for answer in answers if answer.json()["trace"]]
    assert 5 <= len(traced) <= 60
    names = Counter(span.name for span in collector.spans)
    assert names == dict.fromkeys(("POST /forecast/{model}", "read", "model"), len(traced))


def test_a_collector_that_hangs_holds_nobody(collector: Collector) -> None:
    """Neither the requests nor, for long, the end of a worker."""
    collector.hangs.set()
    start = time.monotonic()
    (answer,) = ask(Tracing(collector.url, 1), "/forecast/gru")
    assert answer.status_code == 200
    assert time.monotonic() - start < END_WITHIN + 2


def test_nothing_is_loaded_without_a_collector() -> None:
    """The layer that would trace loads none of what it would need."""
    script = "import edge.telemetry, sys, json; print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert not [name for name in json.loads(done.stdout) if name.startswith("opentelemetry")]
