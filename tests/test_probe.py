"""The question of the image's health check: where it is asked, and what counts as an answer."""

import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from conftest import PROJECT

from config import load_settings
from first_start import prepare
from probe import address, ready


@pytest.mark.parametrize(
    "host, expected",
    [
        ("0.0.0.0", "https://127.0.0.1:8443"),
        ("127.0.0.1", "https://127.0.0.1:8443"),
        ("10.0.0.7", "https://10.0.0.7:8443"),
        ("::", "https://[::1]:8443"),
        ("fd00::1", "https://[fd00::1]:8443"),
    ],
)
def test_it_asks_where_the_service_listens(host: str, expected: str) -> None:
    """A service on every interface is asked on the loopback one."""
    assert address(host, "8443") == expected


@contextmanager
def answering(status: int, home: Path) -> Iterator[int]:
    """Serve over TLS, with a certificate for this machine, and answer /readyz with this status; give the port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    settings = load_settings({"LASTGANG_HOME": str(home), "LASTGANG_FIRST_PASSWORD": "Sieben-Tage-zwei-Stunden-04"})
    prepare(settings)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings.certificate, settings.private_key)
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status, expected", [(200, True), (503, False), (404, False)])
def test_only_200_is_ready(status: int, expected: bool, tmp_path: Path) -> None:
    """The function and the command say the same, over TLS, whoever the certificate is for."""
    with answering(status, tmp_path) as port:
        assert ready(address("127.0.0.1", str(port))) is expected
        command = [sys.executable, str(PROJECT / "probe.py")]
        done = subprocess.run(command, env={"LASTGANG_PORT": str(port)}, check=False, capture_output=True)
    assert (done.returncode == 0, done.stderr) == (expected, b"")


def test_nobody_there_is_not_ready() -> None:
    """Where nothing listens, nothing is ready."""
    assert not ready("https://127.0.0.1:1")
