"""The leave of a worker: on SIGTERM it says that it is not ready, answers on for a while, and then stops.

Without this the listening socket closes at once, while a balancer still sends new connections there. Between SIGTERM
and the stop `/readyz` is 503, and each answer closes its connection, so that clients take their next one elsewhere.
The stop is the server's own: it lets running requests finish.
"""

import asyncio
import signal
from types import FrameType

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Drain:
    """Whether this worker is taking its leave."""

    def __init__(self, seconds: float) -> None:
        """Make one that lasts so long; 0 stops at once."""
        self.seconds = seconds
        self.begun = False

    def on_sigterm(self) -> None:
        """Stand before the server's own handler of SIGTERM; for the main thread, while its event loop runs."""
        stop = signal.getsignal(signal.SIGTERM)
        if not self.seconds or not callable(stop):
            return
        loop = asyncio.get_running_loop()

        def begin(number: int, frame: FrameType | None) -> None:
            if self.begun:  # told twice: whoever waits does not want to
                stop(number, frame)
                return
            self.begun = True
            loop.call_soon_threadsafe(loop.call_later, self.seconds, stop, number, None)

        signal.signal(signal.SIGTERM, begin)


class DrainMiddleware:
    """Closes the connection after each answer as soon as the worker takes its leave."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self.app = app
        self.drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and its answer back."""
        if not self.drain.begun or scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(raw=message["headers"])["Connection"] = "close"
            await send(message)

        await self.app(scope, receive, closing)
