"""How the HTTP server below the service is bounded: what a connection may send, hold and keep waiting for.

uvicorn bounds neither the head of a request nor the time that it takes to come, keeps what a refused request still
sends, and believes `X-Forwarded-For` from whoever is on this machine. BentoML starts uvicorn and passes none of its
options on, but uvicorn looks up its protocol and its event loop by name, in tables: `install` writes ours there.

What is too much is answered by a problem document and a close; what is too late, where nothing was asked, by a close.
"""

import resource
from asyncio import AbstractEventLoop, TimerHandle, Transport
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, cast

import httptools
import uvicorn.config
import uvloop
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from auth.addresses import Networks, block, client_of, is_trusted
from edge.problems import problem_of_status
from edge.renewal import Renewal

LARGEST_HEAD = 32_768  # bytes of all header fields together
MOST_FIELDS = 100
LONGEST_TARGET = 8_192  # bytes of path and query; RFC 9110 asks for 8,000 at least
PIPELINED = 8  # requests of one connection that wait behind the one being answered
LINGER = 5.0  # seconds for which a refused client is listened to, so that it can read why
HANDSHAKE = 10.0  # seconds for TLS
PIECE = 262_144  # bytes of an answer that are encrypted at a time


@dataclass(frozen=True)
class Bounds:
    """What the connections of one worker may do.

    Attributes:
        connections: at most at a time; of one address at most half of them.
        head_seconds: within which the head of a request must have come.
        answer_seconds: within which a client must have read its answer.
        proxies: the networks of trusted proxies, whose connections are those of many.
    """

    connections: int = 1_000
    head_seconds: float = 10.0
    answer_seconds: float = 60.0
    proxies: Networks = ()


class _Refusal(Exception):
    """What was sent is too much or too late."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Paced:
    """A transport that is given a large answer piece by piece, as the client reads it.

    uvloop encrypts at once whatever it is given, hands it on, and says that nothing waits: a large answer would be held
    twice, and nobody would know whether it is read.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._waiting: deque[memoryview] = deque()
        self._paused = self._closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    @property
    def done(self) -> bool:
        """Whether all but what the kernel holds has gone out."""
        return not self._waiting and not self._paused

    def write(self, data: bytes) -> None:
        """Take a piece of an answer."""
        if not self._waiting and len(data) <= PIECE:
            self._transport.write(data)
        elif data:
            self._waiting.append(memoryview(data))
            self._go_on()

    def pause(self) -> None:
        """Wait; enough has been given."""
        self._paused = True

    def resume(self) -> None:
        """Go on giving."""
        self._paused = False
        self._go_on()

    def close(self) -> None:
        """Close when all has been given."""
        self._closing = True
        if not self._waiting:
            self._transport.close()

    def is_closing(self) -> bool:
        """Tell whether nothing may be written any more."""
        return self._closing or self._transport.is_closing()

    def _go_on(self) -> None:
        while self._waiting and not self._paused:
            piece = self._waiting.popleft()
            if len(piece) > PIECE:
                self._waiting.appendleft(piece[PIECE:])
            self._transport.write(piece[:PIECE])
        if self._closing and not self._waiting:
            self._transport.close()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol for one connection, bounded."""

    bounds = Bounds()
    _of_address: ClassVar[Counter[str]] = Counter()

    def __init__(self, config: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        if isinstance(self.app, ProxyHeadersMiddleware):
            # It trusts this machine's own address by default; whom to trust is said in `auth.addresses` alone.
            self.app = self.app.app
        self._address = ""
        self._refused = self._in_body = self._in_head = self._moved = self._is_proxy = False
        self._stalled = self._head = self._fields = 0
        self._head_timer: TimerHandle | None = None
        self._linger_timer: TimerHandle | None = None
        self._answer_timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Take a connection, if there is room for it."""
        self._paced = _Paced(transport)
        super().connection_made(cast("Transport", self._paced))
        peer = self.client[0] if self.client else ""
        self._address, self._is_proxy = block(peer), is_trusted(peer, self.bounds.proxies)
        self._of_address[self._address] += 1
        self._head_timer = self.loop.call_later(self.bounds.head_seconds, self._head_too_slow)
        most, of_one = self.bounds.connections, self._of_address[self._address]
        if len(self.connections) > most or (of_one > most // 2 and not self._is_proxy):
            self._refuse(_Refusal(503, "There are too many connections. Close some, or try again soon."))
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._of_address[self._address] -= 1
        if not self._of_address[self._address]:
            del self._of_address[self._address]
        for timer in (self._head_timer, self._linger_timer, self._answer_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what came; refuse what is too much."""
        if self._refused:  # see LINGER
            return
        self._unset_keepalive_if_required()
        self._moved = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, _Refusal) else _Refusal(400, "This is no HTTP request."))
        else:
            # Names, values, chunk extensions and trailers that do not end are kept by the parser and told to nobody.
            self._stalled = 0 if self._moved else self._stalled + len(data)
            if self._stalled > LARGEST_HEAD:
                self._refuse(_too_large_head())
            elif self._head_timer is None and not self._in_body and (self._in_head or self._stalled):
                self._head_timer = self.loop.call_later(self.bounds.head_seconds, self._head_too_slow)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_head = True
        self._head = self._fields = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        super().on_url(url)
        if len(self.url) > LONGEST_TARGET:
            raise _Refusal(414, f"The path and the query are longer than {LONGEST_TARGET} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field."""
        self._fields += 1
        self._head += len(name) + len(value)
        if self._fields > MOST_FIELDS or self._head > LARGEST_HEAD:
            raise _too_large_head()
        if not self._in_body:  # a field of the trailer would look as if it had stood in the head
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start with a request whose head has come."""
        self._moved = self._in_body = True
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self.parser.should_upgrade():
            # The parser would not read the body of such a request, and take it for the next one.
            raise _Refusal(403, "No other protocol, such as WebSocket, is spoken here. Send no Upgrade.")
        if len(self.pipeline) >= PIPELINED:
            raise _Refusal(400, f"More than {PIPELINED} requests were sent ahead on one connection.")
        if self._is_proxy and self.client is not None:
            forwarded = [value for name, value in self.headers if name == b"x-forwarded-for"]
            self.scope["client"] = (client_of(self.client[0], forwarded, self.bounds.proxies), 0)
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Take note that a chunk begins."""
        self._moved = True

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take note that all of a request has come."""
        self._moved, self._in_body = True, False
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Take note that a request has been answered; if it is still being sent, not for much longer."""
        super().on_response_complete()
        if self._in_body and not self.pipeline and self._linger_timer is None and not self.transport.is_closing():
            self._linger_timer = self.loop.call_later(LINGER, self.transport.abort)

    def pause_writing(self) -> None:
        """Take note that the client does not read as fast as it is answered."""
        super().pause_writing()
        self._paced.pause()
        if self._answer_timer is None:
            self._answer_timer = self.loop.call_later(self.bounds.answer_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Take note that it caught up."""
        super().resume_writing()
        self._paced.resume()
        if self._answer_timer is not None and self._paced.done:
            self._answer_timer.cancel()
            self._answer_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one whose client still reads its answer is not idle."""
        if self._answer_timer is None:
            super().timeout_keep_alive_handler()
        else:
            again = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
            self.timeout_keep_alive_task = again

    def _head_too_slow(self) -> None:
        self._head_timer = None
        if self._in_head:
            self._refuse(_Refusal(408, f"The head did not arrive within {self.bounds.head_seconds:g} seconds."))
        else:
            self.transport.close()

    def _refuse(self, refusal: _Refusal) -> None:
        """Say why, and close; in the middle of another answer only close."""
        self._refused = True
        self.pipeline.clear()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            started, cycle.disconnected = cycle.response_started, True
            cycle.message_event.set()
            if started:
                self.transport.abort()
                return
        if not self.transport.is_closing():
            self.transport.write(_written(refusal))
            if self._linger_timer is None:
                self._linger_timer = self.loop.call_later(LINGER, self.transport.abort)


def _too_large_head() -> _Refusal:
    return _Refusal(431, f"The header has more than {MOST_FIELDS} fields or {LARGEST_HEAD} bytes. Send fewer.")


def _written(refusal: _Refusal) -> bytes:
    """Return a problem document as the bytes of a whole answer."""
    headers = {"Connection": "close"} | ({"Retry-After": "5"} if refusal.status == 503 else {})  # noqa: PLR2004
    answer = problem_of_status(refusal.status, headers, str(refusal))
    lines = [f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}".encode()]
    lines += [b"%s: %s" % field for field in answer.raw_headers]
    return b"\r\n".join([*lines, b"", bytes(answer.body)])


class _Loop(uvloop.Loop):
    """uvloop with less patience for TLS: its own sixty seconds let anyone hold connections that nobody counts."""

    renewal: ClassVar[Renewal | None] = None

    async def create_server(self, *arguments: Any, **options: Any) -> Any:
        if options.get("ssl") is not None:
            options |= {"ssl_handshake_timeout": HANDSHAKE}
            if self.renewal is not None:
                self.renewal.watch(self, options["ssl"])
        return await super().create_server(*arguments, **options)


def loop_factory(*, use_subprocess: bool = False) -> Callable[[], AbstractEventLoop]:  # noqa: ARG001 - uvicorn's form
    """Return what makes the event loop of a worker."""
    return cast("Callable[[], AbstractEventLoop]", _Loop)


def install(bounds: Bounds, renewal: Renewal | None = None) -> None:
    """Let every uvicorn of this process serve within these bounds, renew its certificate, and open all files it may."""
    BoundedProtocol.bounds = bounds
    _Loop.renewal = renewal
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{BoundedProtocol.__name__}"
    uvicorn.config.LOOP_FACTORIES["auto"] = f"{__name__}:{loop_factory.__name__}"
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
