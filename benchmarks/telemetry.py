"""What following a request costs: `python -m benchmarks.telemetry`, some seconds.

Sends requests to an application that does nothing but the six stages of a small forecast: bare, below
`TelemetryMiddleware` as it is by default, with an access line of JSON (thrown away), and with every request traced (for
a collector that is not there); in turns, in process and on one event loop, with the metrics in files as in the service.
Prints microseconds of a request for each. The quickest hundredth counts, so that a busy machine changes little.
"""

import asyncio
import os
import statistics
import tempfile
from contextlib import redirect_stderr
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

STAGES = ("token", "body", "read", "features", "model", "answer")
ROUNDS, EACH = 500, 100  # a worker with 200 requests a second writes its counts after so many
HEADERS = [(b"host", b"localhost"), (b"accept", b"*/*"), (b"user-agent", b"bench"), (b"authorization", b"Bearer x")]


async def rounds(apps: dict[str, Any], write: "Callable[[], None]") -> dict[str, list[float]]:
    """Measure each application in turns; return microseconds of a request in each round, its counts written with it."""
    found: dict[str, list[float]] = {name: [] for name in apps}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x" * 17_000}

    async def send(_: Any) -> None:
        pass

    for _ in range(ROUNDS):
        for name, app in apps.items():
            start = perf_counter()
            for _ in range(EACH):
                scope = {"type": "http", "method": "POST", "path": "/predict/gru", "headers": HEADERS}
                await app(scope, receive, send)
            write()
            found[name].append(1e6 * (perf_counter() - start) / EACH)
    return found


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # before the library is imported
        from edge.logs import configure  # noqa: PLC0415
        from edge.metrics import Metrics  # noqa: PLC0415
        from edge.routes import Routes  # noqa: PLC0415
        from edge.telemetry import TelemetryMiddleware  # noqa: PLC0415
        from edge.timing import stage  # noqa: PLC0415
        from edge.tracing import Tracing  # noqa: PLC0415

        async def bare(_: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"[]"})

        async def staged(scope: Any, receive: Any, send: Any) -> None:
            for name in STAGES:
                with stage(name):
                    pass
            await bare(scope, receive, send)

        metrics, tracing = Metrics(), Tracing("http://127.0.0.1:9", 1)
        routes = Routes(["/", "/token", "/predict/{model}", "/forecast/{model}", "/models", "/models/{model}"])

        def followed(**options: Any) -> Any:
            return TelemetryMiddleware(staged, routes=routes, metrics=lambda: metrics, **options)

        apps = {"bare": bare, "followed": followed(), "logged": followed(access_log=True)}
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
            configure("json")
            found = asyncio.run(rounds(apps, metrics.write))
            # By itself: the thread that sends takes turns with whatever is measured beside it.
            found |= asyncio.run(rounds({"traced": followed(tracing=lambda: tracing)}, metrics.write))
            tracing.close()
    quick = {name: statistics.quantiles(values, n=100)[0] for name, values in found.items()}
    for name, value in quick.items():
        print(f"{name}: {value - quick['bare']:.1f} us more than bare")


if __name__ == "__main__":
    main()
