"""A worker's leave: what comes between SIGTERM and the stop, in a process of its own that gets the signal for real."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge.draining import Drain, DrainMiddleware

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")


@contextmanager
def server_that_stops() -> Iterator[list[int]]:
    """Handle SIGTERM as a server does: give the list of the signals on which it would have stopped."""
    stopped: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        stopped.append(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGTERM, before)


async def until(told: list[int]) -> None:
    """Wait until the server has been told to stop."""
    async with asyncio.timeout(10):
        while not told:  # noqa: ASYNC110  # a signal handler wakes no event loop
            await asyncio.sleep(0.01)


def test_the_leave_comes_before_the_stop() -> None:
    """At SIGTERM the worker is leaving and the server not stopped; after the time that was set it is."""

    async def leave() -> float:
        loop = asyncio.get_running_loop()
        drain = Drain(0.3)
        drain.on_sigterm()
        assert not drain.begun
        os.kill(os.getpid(), signal.SIGTERM)
        start = loop.time()
        await asyncio.sleep(0.05)
        assert (drain.begun, stopped) == (True, [])
        await until(stopped)
        return loop.time() - start

    with server_that_stops() as stopped:
        assert asyncio.run(leave()) >= 0.29
    assert stopped == [signal.SIGTERM]


def test_a_second_signal_stops_at_once() -> None:
    """Who asks twice does not want to wait."""

    async def leave() -> None:
        drain = Drain(60)
        drain.on_sigterm()
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0)
        await until(stopped)

    with server_that_stops() as stopped:
        asyncio.run(leave())


def test_without_a_time_the_server_stops_at_once() -> None:
    """With 0 seconds nothing stands before the server's own handler."""

    async def leave() -> None:
        drain = Drain(0)
        drain.on_sigterm()
        os.kill(os.getpid(), signal.SIGTERM)
        await until(stopped)
        assert not drain.begun

    with server_that_stops() as stopped:
        asyncio.run(leave())


async def hello(_: Request) -> Response:
    return Response("hello")


@pytest.mark.parametrize("begun, expected", [(False, None), (True, "close")])
def test_answers_close_their_connection_during_the_leave(begun: bool, expected: str | None) -> None:
    """A client takes its next request elsewhere; before the leave nothing is said of connections."""
    drain = Drain(5)
    drain.begun = begun

    async def ask() -> httpx.Response:
        app = DrainMiddleware(Starlette(routes=[Route("/", hello)]), drain)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            return await client.get("/")

    answer = asyncio.run(ask())
    assert (answer.text, answer.headers.get("connection")) == ("hello", expected)
