"""Requests byte by byte over TLS, for what no well-behaved client would send."""

import contextlib
import http.client
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass

from e2e.running import Place

PATIENCE = 30  # seconds


@dataclass(frozen=True)
class Answer:
    """A status, the headers with their names in lower case, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes


def connect(place: Place, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    """Return an open connection to the service."""
    plain = socket.create_connection(("127.0.0.1", place.port), timeout=PATIENCE)
    return (context or place.tls()).wrap_socket(plain, server_hostname="localhost")


def exchange(place: Place, sent: bytes | Iterable[bytes], method: str = "GET") -> Answer:
    """Send these bytes and return the first answer; sending stops where the server no longer listens."""
    with connect(place) as connection:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            for piece in [sent] if isinstance(sent, bytes) else sent:
                connection.sendall(piece)
        return read_answer(connection, method)


def read_answer(connection: ssl.SSLSocket, method: str = "GET") -> Answer:
    """Return the next answer on a connection."""
    answer = http.client.HTTPResponse(connection, method=method)
    answer.begin()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(answer.status, headers, answer.read())


def request(method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    """Write a request line as it is given, with nothing tidied up."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *headers, "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
