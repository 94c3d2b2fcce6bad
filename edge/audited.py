"""The audit log of requests: one line for each that matters, written before its answer leaves.

Recorded are tokens, forecasts and whatever else a POST, PUT, PATCH or DELETE did, and every refusal and failure. Not
recorded are probes, the documentation and what was only read. If the line cannot be written, the answer is a refusal
(503) instead, and so is every request that would need a line, until one can be written again. What changes users,
clients or models has a line before, too (`begun`), so that nothing is changed of which nothing is known.

What only inner layers know they put into `scope["state"]["audit"]`, by the names of `audit.lines.FACTS`: the token's
route whom it concerns, `edge.uploads` the digest of the file, `edge.asking` the model and its version.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Collection
from http import HTTPStatus
from time import perf_counter
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audit.errors import TrailUnwritable
from audit.refusals import Refusals
from audit.trail import LINE, Trail, content_of
from edge.problems import problem
from edge.routes import METHODS, OTHER, Routes
from edge.timing import RECORD

logger = logging.getLogger("lastgang.audit")

READING = frozenset({"GET", "HEAD", "OPTIONS"})
EVENTS = frozenset({"token", "predict", "forecast", "backtest", "anomalies"})  # the first part of their paths
REQUEST = "request"  # the event of every other route
CHANGES = ("/users", "/clients", "/models/")  # where paths begin that change what stays
BEGUN = "begun"
SETTLES_WITHIN = 30.0  # seconds for a line to be on the disk, where it has to be
LARGE = 131_072  # bytes; the digest of more is made in a thread, as it takes longer than going there


def facts_of(scope: Scope) -> dict[str, Any]:
    """Return what is known of a request for its line; whoever knows more adds it."""
    facts: dict[str, Any] = scope.setdefault("state", {}).setdefault("audit", {})
    return facts


def tell_input(scope: Scope, upload: bytes | bytearray) -> None:
    """Add the digest of the file that a request carries, and its size, if the request is recorded.

    That of a large file is made in a thread while the request goes on, and is awaited when its line is written.
    """
    facts = scope.get("state", {}).get("audit")
    if facts is not None:
        large = len(upload) > LARGE
        facts["input"] = asyncio.ensure_future(asyncio.to_thread(_digest, upload)) if large else _digest(upload)
        facts["input_bytes"] = len(upload)


def _digest(upload: bytes | bytearray) -> str:
    return hashlib.sha256(upload).hexdigest()


class Auditor:
    """What a worker records: lines of requests, counted refusals, its own start and end.

    Args:
        trail: where to.
        actor: who runs the service.
        pid: of this worker.
        observe: is told of each line whether it was `written`, or `failed`.
    """

    def __init__(self, trail: Trail, actor: str, pid: int, observe: Callable[[str], None] = lambda _: None) -> None:
        self.trail, self._actor, self._pid, self._observe = trail, actor, pid, observe
        self.refusals = Refusals()
        self.failing = False
        self._waiting: list[tuple[dict[str, Any], asyncio.Future[None]]] = []
        self._refused = 0  # requests, since the log fails
        self._timer: asyncio.TimerHandle | None = None

    def note(self, event: str, *, outcome: str = "ok", **facts: Any) -> None:
        """Record what this worker does by itself; that it cannot is logged and stops nothing."""
        try:
            self.trail.record(event, outcome=outcome, subject=self._actor, pid=self._pid, **facts)
            self._observe("written")
        except TrailUnwritable as error:
            self._observe("failed")
            logger.error("%s was not recorded: %s", event, error)  # noqa: TRY400  # a sentence, for an operator

    async def keep(self, event: str, *, outcome: str, **facts: Any) -> None:
        """Record a request.

        Raises:
            TrailUnwritable: it cannot be recorded, and so must not be answered.
        """
        try:
            await self._together(content_of(event, outcome=outcome, **facts))
            if self.trail.sync == LINE:
                await self._settled()
        except TrailUnwritable as error:
            if not self.failing:
                logger.error("requests are refused: %s", error)  # noqa: TRY400  # once, for an operator
            self.failing = True
            self._refused += 1
            self._observe("failed")
            raise
        self.failing = False
        self._observe("written")

    async def _settled(self) -> None:
        """Wait for the disk, but not for ever: nothing further out gives a request up."""
        try:
            async with asyncio.timeout(SETTLES_WITHIN):
                await asyncio.to_thread(self.trail.settle)
        except TimeoutError:
            reason = f"the disk did not take a line within {SETTLES_WITHIN:g} seconds"
            raise TrailUnwritable(self.trail.folder, reason) from None

    async def _together(self, content: dict[str, Any]) -> None:
        """Write a line with those of all requests that the event loop has in its hands now.

        Workers lock one another out while they write. Two that were busy spent 0.3 ms of each request on that when
        each line was written by itself, and a batch of the model answers up to 32 requests in one moment.
        """
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._write)
        self._waiting.append((content, written))
        await written

    def _write(self) -> None:
        """Write all lines that wait. One whose request was given up meanwhile is written, too: the work was done."""
        waiting, self._waiting = self._waiting, []
        error: Exception | None = None
        try:
            self.trail.append_all([content for content, _ in waiting])
        except Exception as failure:  # noqa: BLE001  # whatever it is, those who wait have to be told
            error = failure
        for _, written in waiting:
            if written.done():
                continue
            if error is None:
                written.set_result(None)
            else:
                written.set_exception(error)

    async def resume(self) -> None:
        """Find out whether a log that failed can be written again, before anything is done that would need a line.

        Raises:
            TrailUnwritable: it cannot.
        """
        if self.failing:
            await self.keep("trail.resumed", outcome="ok", count=self._refused, pid=self._pid)
            logger.info("the audit log is written again; %d requests were refused meanwhile", self._refused)
            self._refused = 0

    def count(self, problem_of: str, address: str, subject: str | None, target: str | None) -> None:
        """Count a refusal that gets no line, and see to it that the count becomes one."""
        self.refusals.count(problem_of, address, subject, target)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.refusals.wait(), self.tell_counted)

    def tell_counted(self) -> None:
        """Write the line of the refusals that were counted; if it cannot be written they stay counted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        told = self.refusals.summary()
        if told is None:
            return
        try:
            self.trail.append("refusals", outcome="refused", pid=self._pid, **told)
            self._observe("written")
        except TrailUnwritable:
            self._observe("failed")
            self.refusals.put_back(told)

    def close(self) -> None:
        """Tell what is counted, and that this worker ends."""
        self.tell_counted()
        self.note("worker.stop")
        self.trail.close()


class AuditMiddleware:
    """Writes the lines of requests, and refuses what cannot be recorded.

    Args:
        app: the rest of the service.
        auditor: gives what records; asked when there is a request.
        routes: the templates of all paths that are served.
        unrecorded: methods and paths of probes and documentation.
    """

    def __init__(
        self, app: ASGIApp, *, auditor: Callable[[], Auditor], routes: Routes, unrecorded: Collection[tuple[str, str]]
    ) -> None:
        self.app = app
        self._auditor, self._route = auditor, routes
        self._unrecorded = frozenset(unrecorded) | {("HEAD", path) for method, path in unrecorded if method == "GET"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and its answer back once it is recorded."""
        if scope["type"] == "websocket":
            await self.app(scope, receive, self._recording_refusal(scope, send))
            return
        if scope["type"] != "http" or self._is_unrecorded(scope):
            await self.app(scope, receive, send)
            return
        start = perf_counter()
        facts_of(scope)
        auditor = self._auditor()
        refused = False

        async def recorded(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and not refused:
                try:
                    await self._record(auditor, scope, message["status"], perf_counter() - start)
                except TrailUnwritable as error:
                    refused = True
                    await problem(error)(scope, receive, send)
            if not refused:
                await send(message)

        if auditor.failing and scope["method"] not in READING:
            try:
                await auditor.resume()
            except TrailUnwritable as error:
                await problem(error)(scope, receive, send)
                return
        await self.app(scope, receive, recorded)

    def _is_unrecorded(self, scope: Scope) -> bool:
        if (scope["method"], scope["path"]) not in self._unrecorded:
            return False
        # Written in another way, a path is none of these (see `auth.middleware.AuthMiddleware`).
        sent: bytes = (scope.get("raw_path") or b"").partition(b"?")[0]
        return sent.decode("latin-1") == str(scope["path"])

    def _recording_refusal(self, scope: Scope, send: Send) -> Send:
        async def recorded(message: Message) -> None:
            if message["type"] == "websocket.close":
                address = (scope.get("client") or ("",))[0]
                self._auditor().count(f"websocket {HTTPStatus.FORBIDDEN.value}", address, None, None)
            await send(message)

        return recorded

    async def _record(self, auditor: Auditor, scope: Scope, status: int, seconds: float) -> None:
        """Write the line of a request that comes to this status, if it is to have one."""
        method = scope["method"]
        if status < HTTPStatus.BAD_REQUEST and method in READING:
            return
        state = scope["state"]
        told = state["audit"]
        user = state.get("user")
        route = self._route(scope["path"])
        first = route.split("/", 2)[1] if route != OTHER else OTHER
        event = first if first in EVENTS else REQUEST
        address = (scope.get("client") or ("",))[0]
        subject = getattr(user, "name", None)
        record = RECORD.get()
        refusal = (record.problem if record is not None else "") or None
        outcome = "ok"
        if status >= HTTPStatus.BAD_REQUEST:
            outcome = "failed" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "refused"
        # A stranger who takes back what is no token is answered well, as RFC 7009 has it; nothing was done.
        idle = outcome == "ok" and subject is None and told.get("subject") is None and told.get("target") is None
        if (idle or outcome != "ok") and not auditor.refusals.own_line(
            event if event == "token" else REQUEST, address, subject
        ):
            auditor.count(f"{route} {status} {refusal or ''}".rstrip(), address, subject, told.get("target"))
            return
        if isinstance(told.get("input"), asyncio.Future):
            told["input"] = await told["input"]
        # What an inner layer tells counts for more: whose token is given out, say.
        facts = {
            **_asked(scope, route),
            "status": int(status),
            "problem": refusal if status >= HTTPStatus.BAD_REQUEST else None,
            "duration_us": int(1e6 * seconds),
            **told,
        }
        await auditor.keep(event, outcome=outcome, **facts)


class IntentMiddleware:
    """Writes a line before something is changed that stays; stands behind the gate and the limits.

    Args:
        app: the rest of the service.
        auditor: gives what records; asked when there is a request.
        routes: the templates of all paths that are served.

    Raises, when called:
        TrailUnwritable: it cannot be recorded, and so is not done.
    """

    def __init__(self, app: ASGIApp, *, auditor: Callable[[], Auditor], routes: Routes) -> None:
        self.app, self._auditor, self._route = app, auditor, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http" and scope["method"] not in READING and scope["path"].startswith(CHANGES):
            await self._auditor().keep(REQUEST, outcome=BEGUN, **_asked(scope, self._route(scope["path"])))
        await self.app(scope, receive, send)


def _asked(scope: Scope, route: str) -> dict[str, Any]:
    """Return who asks for what, for a line."""
    state, method = scope["state"], scope["method"]
    user = state.get("user")
    return {
        "subject": getattr(user, "name", None),
        "client": getattr(user, "client", None),
        "token": getattr(user, "token_id", None),
        "address": (scope.get("client") or ("",))[0],
        "request": state.get("request_id"),
        "method": method if method in METHODS else OTHER,
        "route": route,
    }
