"""The outermost layer: every request gets an id, and leaves behind what an operator wants to know of it.

The id is the client's own `X-Request-Id` if that is safe to write anywhere, and made here otherwise. It stands in
`scope["state"]["request_id"]`, in the answer's header, as `instance` in problem documents and in every line that is
logged meanwhile. Nothing here reads a query or a body, and a path is only ever told as its route's template.
"""

import logging
import re
import secrets
from collections.abc import Callable, Iterable
from http import HTTPStatus
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.metrics import Metrics
from edge.routes import METHODS, OTHER, Routes
from edge.timing import RECORD, Record

access = logging.getLogger("lastgang.access")

REQUEST_ID = b"x-request-id"
SERVER_TIMING = b"server-timing"
_SAFE = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the client's own id, if it sent one and it is short and plain; a new one otherwise."""
    sent = [value for name, value in headers if name == REQUEST_ID]
    if len(sent) == 1 and _SAFE.fullmatch(sent[0]):
        return sent[0].decode("ascii")
    return secrets.token_hex(16)


class TelemetryMiddleware:
    """Follows each request from its first byte to the last of its answer.

    Args:
        app: the rest of the service.
        routes: the templates of all paths that are served.
        metrics: gives what counts in this worker.
        server_timing: whether each answer says where its time went, in the header `Server-Timing` (W3C).
        access_log: whether each request leaves a line in the log.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: Routes,
        metrics: Callable[[], Metrics],
        server_timing: bool = False,
        access_log: bool = False,
    ) -> None:
        self.app = app
        self._route, self._metrics = routes, metrics
        self._server_timing, self._access_log = server_timing, access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and its answer back with the id."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = perf_counter()
        record = Record(request_id(scope["headers"]))
        scope.setdefault("state", {})["request_id"] = record.id
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)  # what the server answers if nobody here does
        received = 0
        metrics = self._metrics()

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (REQUEST_ID, record.id.encode())]
                if self._server_timing:
                    message["headers"].append((SERVER_TIMING, _server_timing(record, perf_counter() - start)))
            await send(message)

        # The endpoint's thread works in a copy of this context, and on the same record.
        token = RECORD.set(record)
        with metrics.never_failing():
            metrics.began()
        try:
            await self.app(scope, counted, told)
        finally:
            route, seconds = self._route(scope["path"]), perf_counter() - start
            with metrics.never_failing():
                metrics.answered(route, scope["method"], status, seconds, received, record)
            if self._access_log:
                self._log(scope, route, record, status, seconds)
            RECORD.reset(token)

    @staticmethod
    def _log(scope: Scope, route: str, record: Record, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else OTHER
        facts = {
            "method": method,
            "route": route,
            "status": status,
            "duration_ms": round(1_000 * seconds, 3),
            "subject": getattr(scope["state"].get("user"), "name", None),
            "problem": record.problem or None,
        }
        access.info("%s %s %d", method, route, status, extra={"facts": facts})


def _server_timing(record: Record, total: float) -> bytes:
    shown = {**record.stages, "total": total}
    return ", ".join(f"{name};dur={1000 * seconds:.2f}" for name, seconds in shown.items()).encode()
