"""Every request gets an id, and leaves behind what an operator wants to know of it.

The id is the client's own `X-Request-Id` if that is safe to write anywhere, and made here otherwise. It stands in
`scope["state"]["request_id"]`, in the answer's header, as `instance` in problem documents and in every line that is
logged meanwhile. Nothing here reads a query or a body, and a path is only ever told as its route's template.
"""

from __future__ import annotations

import logging
import re
import secrets
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING

from edge.routes import METHODS, OTHER
from edge.timing import RECORD, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from edge.metrics import Metrics
    from edge.routes import Routes
    from edge.tracing import Tracing

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
        tracing: gives what traces requests, or None if nothing does.
        server_timing: whether each answer says where its time went, in the header `Server-Timing` (W3C).
        access_log: whether each request leaves a line in the log.
    """

    def __init__(  # noqa: PLR0913  # one layer, so that a request passes one
        self,
        app: ASGIApp,
        *,
        routes: Routes,
        metrics: Callable[[], Metrics],
        tracing: Callable[[], Tracing | None] = lambda: None,
        server_timing: bool = False,
        access_log: bool = False,
    ) -> None:
        self.app = app
        self._route, self._metrics, self._tracing = routes, metrics, tracing
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
        metrics, tracing = self._metrics(), self._tracing()
        route = self._route(scope["path"])
        span = tracing and tracing.begin(record, scope["headers"], scope["method"], route)

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
            seconds = perf_counter() - start
            with metrics.never_failing():
                metrics.answered(route, scope["method"], status, seconds, received, record)
            if self._access_log:
                self._log(scope, route, record, status, seconds)
            if tracing and span:
                tracing.end(span, record, status)
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
