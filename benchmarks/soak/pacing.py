"""A load generator that keeps a steady rate: an open loop, one thread, epoll.

In: requests in their order, a rate, a number of seconds. Out: an `Answer` for each request. A request is timed from
when it was due: one that had to wait because the service was late is late itself. Without a rate it is a closed loop,
and each connection sends its next request when it has its answer. A connection that the service closes is made anew,
and one that has idled is not used again, as the service might close it at that moment. Handshakes are waited for as
answers are, so that a service that is late with one delays no other request.
"""

from __future__ import annotations

import select
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.peers.load import PATIENCE, Connection

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

STEP = 0.2  # seconds
FRESH = 3.0  # seconds for which an idle connection is good; the service closes it after 5
CLOSING = b"\r\nconnection: close"


class Answer(NamedTuple):
    """What came of one request.

    Attributes:
        at: when it was due, in seconds from the start.
        milliseconds: from then to the whole answer.
        wrong: what went wrong; empty if nothing.
    """

    at: float
    kind: str
    milliseconds: float
    wrong: str


class Pace:
    """Loads a server; `judge` gets the kind, head and body of an answer and says what is wrong with it."""

    def __init__(
        self,
        address: tuple[str, int],
        context: ssl.SSLContext,
        requests: Iterator[tuple[str, bytes]],
        judge: Callable[[str, bytes, bytes], str],
    ) -> None:
        self._address, self._context, self._requests, self._judge = address, context, requests, judge
        self._answers: list[Answer] = []
        self._idle: deque[Connection] = deque()
        self._open: dict[int, Connection] = {}
        self._busy: dict[int, tuple[str, float]] = {}  # socket → kind, when it was due
        self._start = time.perf_counter()

    def run(
        self, connections: int, seconds: float, rate: float | None = None, tell: Callable[[float], None] | None = None
    ) -> list[Answer]:
        """Load for so long, `rate` requests a second or as many as are answered; `tell` gets the seconds gone by."""
        self._epoll, self._answers = select.epoll(), []
        self._idle, self._open, self._busy = deque(), {}, {}
        self._start = time.perf_counter()
        due, end, sent = self._start, self._start + seconds, 0
        while (now := time.perf_counter()) < end or self._busy or (rate and due < end and now < end + PATIENCE):
            self._retire(now - FRESH)
            while (due <= now and due < end if rate else now < end) and (free := self._free(connections)):
                self._send(free, due if rate else now)
                sent += 1
                due = self._start + sent / rate if rate else due  # a sum of steps would drift from the end
            wait = due - now if rate and len(self._busy) < connections else STEP
            for number, events in self._epoll.poll(min(max(wait, 0.0), STEP)):
                self._step(self._open[number], events)
            self._give_up()
            if tell:
                tell(min(now - self._start, seconds))
        while rate and due < end:
            self._answers.append(Answer(due - self._start, next(self._requests)[0], 0.0, "never sent"))
            sent += 1
            due = self._start + sent / rate
        for connection in self._open.values():
            connection.socket.close()
        self._epoll.close()
        return self._answers

    def _free(self, connections: int) -> Connection | None:
        """Return a connection for the next request; a service that takes none is asked again in the next turn."""
        if self._idle:
            return self._idle.pop()  # the newest: the others may retire
        if len(self._open) == connections:
            return None
        try:
            connection = Connection(self._address, self._context, shaken=False)
        except OSError as error:
            wrong = type(error).__name__
            self._answers.append(Answer(time.perf_counter() - self._start, "connecting", 0.0, wrong))
            time.sleep(STEP)
            return None
        connection.events = select.EPOLLIN
        self._open[connection.socket.fileno()] = connection
        self._epoll.register(connection.socket.fileno(), connection.events)
        return connection

    def _retire(self, latest: float) -> None:
        """Close connections whose last request began before that moment."""
        while self._idle and self._idle[0].start < latest:
            self._close(self._idle.popleft())

    def _send(self, connection: Connection, due: float) -> None:
        kind, message = next(self._requests)
        self._busy[connection.socket.fileno()] = kind, due
        try:
            connection.watch(self._epoll, connection.send(message))
        except OSError as error:
            self._done(connection, wrong=type(error).__name__)

    def _step(self, connection: Connection, events: int) -> None:
        try:
            answer = connection.step(self._epoll, events)
        except OSError as error:
            self._done(connection, wrong=type(error).__name__)
            return
        if answer:
            self._done(connection, *answer)

    def _done(self, connection: Connection, head: bytes = b"", body: bytes = b"", wrong: str = "") -> None:
        """Note what came of the request that is under way, if any, and make the connection free, or close it."""
        now, number = time.perf_counter(), connection.socket.fileno()
        if number in self._busy:
            kind, due = self._busy.pop(number)
            wrong = wrong or self._judge(kind, head, body)
            self._answers.append(Answer(due - self._start, kind, 1e3 * (now - due), wrong))
            if head and CLOSING not in head.lower():
                self._idle.append(connection)
                return
        else:
            self._idle.remove(connection)  # the service may close what is idle
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        del self._open[connection.socket.fileno()]
        self._epoll.unregister(connection.socket.fileno())
        connection.socket.close()

    def _give_up(self) -> None:
        latest = time.perf_counter() - PATIENCE
        for number in [number for number in self._busy if self._open[number].start < latest]:
            self._done(self._open[number], wrong="no answer")
