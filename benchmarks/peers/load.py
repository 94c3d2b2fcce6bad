"""A load generator that takes little of the machine: one thread, epoll, OpenSSL, one prepared message.

In: the bytes of one request, how many are to be under way at a time, for how many seconds. Out: the time of every
request, the bodies that came, and what went wrong. Closed loop: each connection sends its next request when it has
its answer. A connection that breaks, or does not answer in time, is an error and is made anew.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field

PATIENCE = 60.0  # seconds for which an answer is waited for
FEWEST = 2  # answers a connection, or a server that answers all at once would be judged by chance
OK = b"HTTP/1.1 200"


@dataclass
class Load:
    """What one run of the generator saw.

    Attributes:
        seconds: length of the run, to the last answer that counts as done.
        milliseconds: of each request that got a 200, in the order of the answers.
        done: how many of these came before the run's end; what was under way then was waited for.
        bodies: body of a 200 → how often.
        errors: what went wrong → how often.
        own_seconds: processor time of the generator itself.
    """

    seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    done: int = 0
    bodies: Counter[bytes] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    own_seconds: float = 0.0


class Connection:
    """One connection and the request that is under way on it; if not `shaken`, the handshake is part of it."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, *, shaken: bool = True) -> None:
        plain = socket.create_connection(address, timeout=PATIENCE)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=shaken)
        self.socket.setblocking(False)  # noqa: FBT003
        self.unsent = memoryview(b"")
        self.answer = bytearray()
        self.start = 0.0
        self.events = 0

    def send(self, message: bytes) -> int:
        """Begin a request; return the events to wait for."""
        self.unsent, self.start = memoryview(message), time.perf_counter()
        self.answer.clear()
        return self.go_on()

    def go_on(self) -> int:
        """Send what is left of the request; return the events to wait for."""
        try:
            while self.unsent:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except ssl.SSLWantWriteError:
            return select.EPOLLIN | select.EPOLLOUT
        except ssl.SSLWantReadError:
            return select.EPOLLIN
        return select.EPOLLIN

    def watch(self, epoll: select.epoll, events: int) -> None:
        """Wait for these events from now on; most often they are the same, and a system call is saved."""
        if events != self.events:
            self.events = events
            epoll.modify(self.socket.fileno(), events)

    def step(self, epoll: select.epoll, events: int) -> tuple[bytes, bytes] | None:
        """Send and take what these events allow; return head and body once the answer is whole.

        Raises:
            OSError: the connection was closed or broke.
        """
        if self.unsent:
            self.watch(epoll, self.go_on())
        return self.receive() if events & ~select.EPOLLOUT else None

    def receive(self) -> tuple[bytes, bytes] | None:
        """Take what came; return head and body once the answer is whole.

        Raises:
            OSError: the connection was closed or broke.
        """
        try:
            while True:
                if not (piece := self.socket.recv(65_536)):
                    raise ConnectionResetError("closed before the answer was whole")
                self.answer += piece
                if whole := split(self.answer):
                    return whole
        except ssl.SSLWantReadError:
            return None


def split(answer: bytes | bytearray) -> tuple[bytes, bytes] | None:
    """Take an HTTP/1.1 answer apart into head and body; None while some of it is missing."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head, body = bytes(answer[:end]), bytes(answer[end + 4 :])
    lower = head.lower()
    if b"\r\ntransfer-encoding: chunked" in lower:
        return (head, _joined(body)) if body.endswith(b"0\r\n\r\n") else None
    start = lower.find(b"\r\ncontent-length:")
    length = int(lower[start + 17 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
    return (head, body) if len(body) >= length else None


def _joined(chunks: bytes) -> bytes:
    body = b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        length = int(size, 16)
        body, chunks = body + rest[:length], rest[length + 2 :]
        if not length:
            break
    return body


class Generator:
    """Keeps a number of requests under way on one server."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, message: bytes) -> None:
        self.address, self.context, self.message = address, context, message
        self.epoll = select.epoll()
        self.open: dict[int, Connection] = {}

    def run(self, concurrency: int, seconds: float) -> Load:
        """Load the server for so long, or until each connection has had two answers; wait for what is under way."""
        connections = [Connection(self.address, self.context) for _ in range(concurrency)]
        own, self.start = time.process_time(), time.perf_counter()
        self.load, self.end, self.fewest = Load(), self.start + seconds, FEWEST * concurrency
        for each in connections:
            self._begin(each)
        while self.open:
            for number, events in self.epoll.poll(1.0):
                self._step(self.open[number], events)
            self._give_up()
        self.load.own_seconds = time.process_time() - own
        self.epoll.close()
        return self.load

    def _over(self, now: float) -> bool:
        return now >= self.end and (self.load.done >= self.fewest or now >= self.end + PATIENCE)

    def _begin(self, connection: Connection) -> None:
        self.open[connection.socket.fileno()] = connection
        connection.events = connection.send(self.message)
        self.epoll.register(connection.socket.fileno(), connection.events)

    def _step(self, connection: Connection, events: int) -> None:
        try:
            answer = connection.step(self.epoll, events)
        except OSError as error:
            self.load.errors[type(error).__name__] += 1
            self._renew(connection)
            return
        if answer is None:
            return
        now = time.perf_counter()
        over = self._over(now)
        self._count(*answer, 1e3 * (now - connection.start), now - self.start, in_time=not over)
        if over or b"\r\nconnection: close" in answer[0].lower():
            self._renew(connection)
        else:
            connection.watch(self.epoll, connection.send(self.message))

    def _count(self, head: bytes, body: bytes, milliseconds: float, at: float, *, in_time: bool) -> None:
        if not head.startswith(OK):
            self.load.errors[head.split(b"\r\n", 1)[0].decode(errors="replace")] += 1
            return
        self.load.milliseconds.append(milliseconds)
        self.load.bodies[body] += 1
        if in_time:
            self.load.done, self.load.seconds = self.load.done + 1, at

    def _renew(self, connection: Connection) -> None:
        """Close a connection; while the run goes on, open another in its place."""
        self._drop(connection)
        while not self._over(time.perf_counter()):
            try:
                return self._begin(Connection(self.address, self.context))
            except OSError as error:
                self.load.errors[f"connecting: {type(error).__name__}"] += 1
                time.sleep(0.1)
        return None

    def _give_up(self) -> None:
        latest = time.perf_counter() - PATIENCE
        for each in [one for one in self.open.values() if one.start < latest]:
            self.load.errors["no answer"] += 1
            self._renew(each)

    def _drop(self, connection: Connection) -> None:
        del self.open[connection.socket.fileno()]
        self.epoll.unregister(connection.socket.fileno())
        connection.socket.close()
