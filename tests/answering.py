"""A small TLS server for tests of what loads servers."""

from __future__ import annotations

import socketserver
import ssl
import threading
from contextlib import contextmanager, suppress
from itertools import cycle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class Server(socketserver.ThreadingTCPServer):
    """A TLS server that gives the same answers over and over, to each connection from the first on."""

    request_queue_size = 64

    def __init__(self, answers: Sequence[bytes], certificate: Path, key: Path) -> None:
        self.answers = answers
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        super().__init__(("127.0.0.1", 0), Answering)


class Answering(socketserver.BaseRequestHandler):
    """One connection: answers every request, each of which comes in one piece."""

    server: Server

    def handle(self) -> None:
        """Answer until the client closes the connection, an answer is empty or says that it is the last."""
        with self.server.context.wrap_socket(self.request, server_side=True) as connection, suppress(OSError):
            for answer in cycle(self.server.answers):
                if not connection.recv(1_000) or not answer:
                    break
                connection.sendall(answer)
                if b"Connection: close" in answer:
                    break


@contextmanager
def serving(answers: Sequence[bytes], home: Path) -> Iterator[tuple[str, int]]:
    """Serve those answers with the certificate of a home folder until left; give the address."""
    with Server(answers, home / "tls.crt", home / "tls.key") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield "127.0.0.1", server.server_address[1]
        server.shutdown()
        thread.join()
