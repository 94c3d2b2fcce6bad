"""What is known of a request: the stages of its time, as the header `Server-Timing` tells them."""

import asyncio
import time

import httpx
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from edge.metrics import Metrics
from edge.routes import Routes
from edge.telemetry import TelemetryMiddleware
from edge.timing import stage

HEADER = "Server-Timing"


def following(app: ASGIApp) -> TelemetryMiddleware:
    """Return the application below the layer that tells of the stages."""
    metrics = Metrics(CollectorRegistry())
    return TelemetryMiddleware(app, routes=Routes(["/"]), metrics=lambda: metrics, server_timing=True)


def work() -> None:
    """Take two stages of 5 ms and another of 10, in a thread, as endpoints do."""
    for _ in range(2):
        with stage("read"):
            wait(0.005)
    with stage("model"):
        wait(0.01)


def wait(seconds: float) -> None:
    """Be busy."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


async def endpoint(_: Request) -> Response:
    with stage("token"):
        pass
    await run_in_threadpool(work)
    return Response("done")


APP = Starlette(routes=[Route("/", endpoint)])


def told(app: ASGIApp, times: int = 1) -> list[str | None]:
    """Ask some times at once; give the header of each answer."""

    async def ask() -> list[str | None]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            answers = await asyncio.gather(*(client.get("/") for _ in range(times)))
        return [answer.headers.get(HEADER) for answer in answers]

    return asyncio.run(ask())


def test_stages_and_total_stand_in_the_header() -> None:
    """In milliseconds, in the order of their ends, those of one name added up; no stage is longer than the whole."""
    (header,) = told(following(APP))
    assert header is not None
    names, durations = zip(*(part.split(";dur=") for part in header.split(", ")), strict=True)
    assert names == ("token", "read", "model", "total")
    token, read, model, total = map(float, durations)
    assert read >= 10
    assert model >= 10
    assert token + read + model <= total + 0.05  # each is rounded


def test_a_stage_within_another_counts_for_itself_alone() -> None:
    """An answer that is written while sites are read has the time of its writing, not that of the reading."""

    def nested() -> None:
        with stage("answer"):
            wait(0.005)
            with stage("read"):
                wait(0.02)
            wait(0.005)

    async def both(_: Request) -> Response:
        await run_in_threadpool(nested)
        return Response("done")

    (header,) = told(following(Starlette(routes=[Route("/", both)])))
    read, answer, total = (float(part.split("=")[1]) for part in (header or "").split(", "))
    assert read >= 20
    assert 10 <= answer <= total - read + 0.05


def test_nothing_is_told_unless_asked_for() -> None:
    """Without the middleware there is no header, and a stage does nothing."""
    assert told(APP) == [None]


def test_requests_do_not_mix() -> None:
    """Of requests that are answered at once each tells of its own stages."""
    headers = told(following(APP), times=4)
    assert [str(header).count("read;") for header in headers] == [1] * 4
    assert len(set(headers)) == 4
