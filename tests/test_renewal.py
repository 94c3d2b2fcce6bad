"""A renewed certificate is taken up without a restart, and one that cannot be used leaves what serves."""

import http.client
import logging
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from bounded_server import Server, make_certificate, serving
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from edge.renewal import Renewal

WITHIN = 30  # seconds, far more than the second between two looks


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path) as server:
        yield server


def serial(server: Server) -> int:
    """Return the number of the certificate that a new connection gets."""
    return x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", server.port)).encode()).serial_number


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_new_connections_get_the_renewed_one_and_old_ones_go_on(server: Server, tmp_path: Path) -> None:
    old = http.client.HTTPSConnection("127.0.0.1", server.port, context=server.trust, timeout=20)
    old.connect()
    assert serial(server) == 1
    make_certificate(tmp_path / "tls.pem", serial=2)
    wait_until(lambda: serial(server) == 2)
    old.request("GET", "/")
    assert old.getresponse().read()
    old.close()


def test_a_link_that_is_turned_is_followed(tmp_path: Path) -> None:
    """As Kubernetes renews a mounted secret: the file is a link into a folder that is a link itself."""
    for number in (1, 2):
        (tmp_path / f"secret{number}").mkdir()
        make_certificate(tmp_path / f"secret{number}" / "tls.pem", serial=number)
    (tmp_path / "data").symlink_to("secret1")
    (tmp_path / "tls.pem").symlink_to("data/tls.pem")
    with serving(tmp_path) as server:
        assert serial(server) == 1
        (tmp_path / "new").symlink_to("secret2")
        (tmp_path / "new").replace(tmp_path / "data")
        wait_until(lambda: serial(server) == 2)


def test_a_pair_that_is_renewed_while_the_service_starts_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Between the server's own reading of the files and the first look lie the seconds in which models are loaded."""
    caplog.set_level(logging.INFO, "lastgang")
    pem = tmp_path / "tls.pem"
    make_certificate(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    make_certificate(pem, serial=2)
    Renewal(pem, pem).look(context)
    assert served(context) == 2
    assert not caplog.records


def served(context: ssl.SSLContext) -> int:
    """Return the number of the certificate that a context shows, by a handshake in memory."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = context.wrap_bio(there, back, server_side=True), trusting.wrap_bio(back, there)
    for _ in range(3):
        for side in sides:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    shown = sides[1].getpeercert(binary_form=True)
    assert shown
    return x509.load_der_x509_certificate(shown).serial_number


def test_what_cannot_be_used_is_told_once_and_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A new certificate beside the old key, an empty file, none at all; then the right pair."""
    caplog.set_level(logging.INFO, "lastgang")
    pem, key = tmp_path / "tls.pem", tmp_path / "tls.key"
    make_certificate(pem)
    key.write_bytes(pem.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    renewal = Renewal(pem, key)
    renewal.look(context)
    make_certificate(pem, serial=2)
    for _ in range(3):
        renewal.look(context)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert str(pem) in caplog.text
    assert "PRIVATE" not in caplog.text
    new = pem.read_bytes()
    pem.unlink()
    renewal.look(context)
    pem.write_bytes(b"")
    renewal.look(context)
    assert len(caplog.records) == 2
    pem.write_bytes(new)
    key.write_bytes(new)
    renewal.look(context)
    assert caplog.records[-1].levelname == "INFO"


def test_a_key_with_a_password_asks_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pem = tmp_path / "tls.pem"
    make_certificate(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    renewal = Renewal(pem, pem)
    renewal.look(context)
    key = load_pem_private_key(pem.read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    pem.write_bytes(locked + pem.read_bytes()[pem.read_bytes().index(b"-----BEGIN CERT") :])
    renewal.look(context)
    assert "cannot be used" in caplog.text
