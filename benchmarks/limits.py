"""What the limits cost each request: `python -m benchmarks.limits`, some seconds, no service needed.

Runs the layers of `edge/` around an application that does nothing, and uvicorn's protocol with and without the bounds
of `edge/wire.py` on a connection that goes nowhere. Prints a Markdown table of processor time, the fastest of five
turns.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvicorn
from starlette.datastructures import State
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from auth.budgets import Budget
from auth.counters import Counters
from auth.database import connect
from edge.limits import LimitsMiddleware, charge
from edge.shedding import Load, PlaceMiddleware, SheddingMiddleware
from edge.wire import BoundedProtocol

REQUESTS, TURNS = 5_000, 5
LIMIT = 100_000_000
BODY = b"x" * 20_000
REQUEST = (
    b"POST /predict/gru HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nUser-Agent: measure\r\n"
    b"Authorization: Bearer %s\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n\r\n%s"
) % (b"a" * 400, len(BODY), BODY)


async def _nothing(*_: Any) -> None: ...


async def _answer(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


class _Nowhere(asyncio.Transport):
    """A connection whose other end takes everything and says nothing."""

    def write(self, data: Any) -> None: ...
    def close(self) -> None: ...
    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


async def _of_layers(app: Any) -> float:
    state = {"user": SimpleNamespace(name="ada")}
    start = time.process_time()
    for _ in range(REQUESTS):
        scope = {"type": "http", "method": "GET", "path": "/predict/gru", "headers": [], "state": dict(state)}
        await app(scope, _nothing, _nothing)
    return 1e6 * (time.process_time() - start) / REQUESTS


async def _of_protocol(kind: type[HttpToolsProtocol]) -> float:
    protocol = kind(uvicorn.Config(_answer, log_config=None), ServerState(), {})
    protocol.connection_made(_Nowhere())
    start = time.process_time()
    for _ in range(REQUESTS):
        protocol.data_received(REQUEST)
        await asyncio.sleep(0)
    taken = time.process_time() - start
    protocol.connection_lost(None)
    return 1e6 * taken / REQUESTS


async def _fastest(measured: Callable[[], Awaitable[float]]) -> float:
    return min([await measured() for _ in range(TURNS)])


async def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        counters = Counters(connect(f"sqlite:///{Path(folder) / 'counters.db'}"))
        requests, sites = Budget(counters, "requests", LIMIT, 60), Budget(counters, "sites", LIMIT, 3_600)
        load = Load(64, 128, LIMIT)

        async def charged(scope: Any, receive: Any, send: Any) -> None:
            await charge(sites, State(scope["state"]), 1)
            await _answer(scope, receive, send)

        layers = {
            "places and shedding": SheddingMiddleware(
                PlaceMiddleware(_answer, load=load, probes=["/livez"]), load=load, probes=["/livez"]
            ),
            "limit of requests": LimitsMiddleware(_answer, requests=lambda: requests, sites=lambda: None),
            "limits of requests and sites": LimitsMiddleware(charged, requests=lambda: requests, sites=lambda: sites),
        }
        bare = await _fastest(lambda: _of_layers(_answer))
        print("| what | microseconds for each request |\n|---|---:|")
        for name, app in layers.items():
            print(f"| {name} | {await _fastest(lambda app=app: _of_layers(app)) - bare:.1f} |")  # type: ignore[misc]
        bare = await _fastest(lambda: _of_protocol(HttpToolsProtocol))
        print(f"| bounds of the connection | {await _fastest(lambda: _of_protocol(BoundedProtocol)) - bare:.1f} |")
        start = time.perf_counter()
        for _ in range(200):
            await asyncio.to_thread(counters.take, "k", 1, LIMIT, time.time() + 60, 60)
        print(f"| instead: a write to the counters | {1e6 * (time.perf_counter() - start) / 200:.0f} |")
        counters.close()


if __name__ == "__main__":
    asyncio.run(main())
