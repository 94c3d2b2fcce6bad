"""Where the time of a request goes: the header `Server-Timing` (W3C), for who switched it on.

`TimingMiddleware` is the outermost layer; below it, whoever does a stage of the work says so with `stage`. Without the
middleware a stage costs the look at one variable. The stages of a request add up to less than its `total`: what is
left is BentoML, the event loop and waiting. TLS lies below ASGI and in none of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "Server-Timing"
_STAGES: ContextVar[dict[str, float] | None] = ContextVar("stages", default=None)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the time within as a stage of the request that is being answered; stages of one name are added up.

    What a stage within takes is counted for that one alone.
    """
    stages = _STAGES.get()
    if stages is None:
        yield
        return
    start = perf_counter() - sum(stages.values())
    try:
        yield
    finally:
        stages[name] = stages.get(name, 0.0) + perf_counter() - sum(stages.values()) - start


class TimingMiddleware:
    """Puts the stages of each request into a header of its answer, in milliseconds and in the order of their ends."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and its answer back with the header."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = perf_counter()
        stages: dict[str, float] = {}

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                shown = {**stages, "total": perf_counter() - start}
                told = ", ".join(f"{name};dur={1000 * seconds:.2f}" for name, seconds in shown.items())
                MutableHeaders(raw=message["headers"])[HEADER] = told
            await send(message)

        # The endpoint's thread works in a copy of this context, and in the same dictionary.
        token = _STAGES.set(stages)
        try:
            await self.app(scope, receive, timed)
        finally:
            _STAGES.reset(token)
