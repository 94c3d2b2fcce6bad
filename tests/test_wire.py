"""Whatever is sent, byte by byte over TLS: bounded memory, an answer or a close in time, and others are served."""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from bounded_server import LARGE, Server, serving

from edge import wire

HEAD_SECONDS, ANSWER_SECONDS, CONNECTIONS = 1.0, 2.0, 20
MOST_MB = 30.0  # growth that is allowed; each attack sends a hundred or more
HOST = b"Host: localhost\r\n"
CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
MEGABYTE = b"a" * 1_000_000
FIELDS = b"".join(b"X-%d: a\r\n" % at for at in range(90_000))  # 1 MB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server with little patience."""
    bounds = {"head_seconds": HEAD_SECONDS, "answer_seconds": ANSWER_SECONDS, "connections": CONNECTIONS}
    with serving(tmp_path_factory.mktemp("tls"), **bounds) as server:
        yield server


def send(connection: ssl.SSLSocket, pieces: Iterable[bytes]) -> None:
    """Send for as long as anyone listens."""
    with suppress(OSError):
        for piece in pieces:
            connection.sendall(piece)


def answer(connection: ssl.SSLSocket) -> tuple[int, dict[str, str], Any]:
    """Return status, headers and JSON of the next answer."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return response.status, headers, json.loads(response.read())


def good(server: Server, head: bytes = b"") -> dict[str, Any]:
    """Send a good request and return what the application saw."""
    with server.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\n" + HOST + head + b"Content-Length: 3\r\n\r\nabc")
        status, _, told = answer(connection)
    assert (status, told["size"]) == (200, 3)
    return dict(told)


def ends(connection: ssl.SSLSocket) -> bool:
    """Tell whether the server ended the connection without another byte."""
    try:
        return connection.recv(1) == b""
    except (ConnectionError, ssl.SSLError):
        return True


FLOODS = {
    "a field of 100 MB": (431, [b"GET / HTTP/1.1\r\nX: ", *[MEGABYTE] * 100]),
    "a field's name of 100 MB": (431, [b"GET / HTTP/1.1\r\n", *[MEGABYTE] * 100]),
    "9,000,000 fields": (431, [b"GET / HTTP/1.1\r\n", *[FIELDS] * 100]),
    "a path of 100 MB": (414, [b"GET /", *[MEGABYTE] * 100]),
    "a query of 100 MB": (414, [b"GET /?a=", *[MEGABYTE] * 100]),
    "a method of 100 MB": (400, [MEGABYTE] * 100),
    "100 MB of empty lines": (431, [b"\r\n" * 500_000] * 100),
    "a chunk's extension of 100 MB": (431, [CHUNKED, b"5;a=", *[MEGABYTE] * 100]),
    "a trailer's field of 100 MB": (431, [CHUNKED, b"0\r\nX: ", *[MEGABYTE] * 100]),
    "a trailer of 9,000,000 fields": (431, [CHUNKED, b"0\r\n", *[FIELDS] * 100]),
    "a chunk's length without end": (400, [CHUNKED, b"f" * 100]),
    "300,000 requests ahead": (400, [(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n") * 10_000] * 30),
}


@pytest.mark.parametrize("name", FLOODS)
def test_what_is_too_much_is_refused(server: Server, name: str) -> None:
    """It costs neither memory nor time, is told by a problem document, and the connection ends."""
    status, pieces = FLOODS[name]
    before = server.memory
    with server.connect() as connection:
        start = time.monotonic()
        send(connection, pieces)
        assert good(server)  # beside it
        told = answer(connection)
        assert time.monotonic() - start < 15
    assert told[0] == told[2]["status"] == status
    assert told[1]["content-type"] == "application/problem+json"
    assert told[1]["connection"] == "close"
    assert server.memory - before < MOST_MB


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET / HTTP/1.1\r\nX: a", b"GET /"])
@pytest.mark.parametrize("again", [False, True], ids=["first", "after another"])
def test_a_head_that_does_not_come(server: Server, sent: bytes, again: bool) -> None:
    """Who begins a request and does not go on is told so; who says nothing finds the connection closed."""
    with server.connect() as connection:
        if again:
            connection.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            assert answer(connection)[0] == 200
        connection.sendall(sent)
        if sent.strip():
            assert answer(connection)[0] == 408
        elif sent or not again:  # else it is as idle as any connection that is kept open
            assert ends(connection)


def test_a_head_in_drops(server: Server) -> None:
    """A byte now and then buys no time."""
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        start = time.monotonic()
        for _ in range(40):
            time.sleep(HEAD_SECONDS / 5)
            try:
                connection.sendall(b"a")
            except (ConnectionError, ssl.SSLError):
                break
        assert time.monotonic() - start < HEAD_SECONDS + wire.LINGER + 2
    assert good(server)


def test_a_body_after_its_answer(server: Server) -> None:
    """What a request that was answered early still sends is read for a moment only."""
    before = server.memory
    with server.connect() as connection:
        connection.sendall(CHUNKED.replace(b"/", b"/early", 1))
        start = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - start < 60:
                connection.sendall(b"f4240\r\n" + MEGABYTE + b"\r\n")
        assert time.monotonic() - start < wire.LINGER + 5
    assert server.memory - before < MOST_MB
    assert good(server)


def test_an_answer_that_nobody_reads(server: Server) -> None:
    """The memory of an answer is not held for a client that does not read it."""
    before = server.memory
    with server.connect() as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n")
        time.sleep(ANSWER_SECONDS / 2)
        held = server.memory
        time.sleep(ANSWER_SECONDS)
        assert good(server)
        with suppress(OSError):
            got = sum(len(piece) for piece in iter(lambda: connection.recv(2**20), b""))
            assert got < LARGE
    assert held - before > LARGE / 2e6
    assert server.memory < held


def test_a_slow_reader(server: Server) -> None:
    """An answer that is read in time is whole, although the reader pauses for longer than half of it."""
    with server.connect() as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        time.sleep(0.6 * ANSWER_SECONDS)
        got = sum(len(piece) for piece in iter(lambda: connection.recv(2**20), b""))
    assert got > LARGE


def test_connections_are_counted(server: Server) -> None:
    """One address has half of the places; what comes above is refused, and a place that was left is free again."""
    held = [server.connect() for _ in range(CONNECTIONS // 2)]
    try:
        with server.connect() as connection:
            status, headers, document = answer(connection)
        assert (status, document["status"], headers["connection"]) == (503, 503, "close")
        assert int(headers["retry-after"]) > 0
    finally:
        for connection in held:
            connection.close()
    deadline = time.monotonic() + 10
    while True:
        with suppress(AssertionError, OSError, http.client.HTTPException):
            assert good(server)
            break
        assert time.monotonic() < deadline


def test_a_proxy_is_not_believed_by_itself(server: Server) -> None:
    """The server trusts not even this machine's own address to say who asks."""
    assert good(server, b"X-Forwarded-For: 192.0.2.7\r\n")["client"] == "127.0.0.1"


def test_a_trailer_is_no_header(server: Server) -> None:
    """A field behind the body is not taken for one of the head."""
    with server.connect() as connection:
        connection.sendall(CHUNKED + b"3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
        status, _, told = answer(connection)
    assert (status, told["size"]) == (200, 3)
    assert "authorization" not in told["headers"]


def test_ordinary_clients_notice_nothing(server: Server) -> None:
    """Some requests ahead, chunks of a byte, a hundred fields, a long query: all are served, in their order."""
    fields = b"".join(b"X-%d: a\r\n" % at for at in range(wire.MOST_FIELDS - 1))
    with server.connect() as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n")
        connection.sendall((b"GET /?" + b"a" * 8_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n") * 4)
        connection.sendall(b"GET / HTTP/1.1\r\n" + HOST + fields + b"\r\n")
        connection.sendall(CHUNKED + b"1;x=y\r\na\r\n" * 20_000 + b"0\r\n\r\n")
        told = [answer(connection) for _ in range(7)]
    assert [status for status, _, _ in told] == [200] * 7
    assert told[-1][2]["size"] == 20_000


def test_a_body_is_not_taken_for_the_next_request(server: Server) -> None:
    """Behind another protocol's name the parser would skip the length: a proxy in front would see another request."""
    hidden = b"GET /hidden HTTP/1.1\r\n" + HOST + b"\r\n"
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(head % len(hidden))
        assert answer(connection)[0] == 403
        send(connection, [hidden])
        assert ends(connection)


def test_websocket(server: Server) -> None:
    """WebSocket is not spoken."""
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert answer(connection)[0] == 403


def test_a_handshake_that_does_not_come(server: Server) -> None:
    """Who connects and never begins with TLS is dropped well before the event loop's own minute."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wire.HANDSHAKE + 10) as silent:
        assert silent.recv(1) == b""
