"""What the port speaks: TLS 1.3 and TLS 1.2 with AEAD suites and forward secrecy; nothing else, and no plain HTTP.

A refusal proves nothing if the client could not have spoken so at all. Hence each refused way is first tried on
a permissive server of the test's own, with the same certificate.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
from e2e.running import Place, Running

pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")

EVERYTHING = "ALL:@SECLEVEL=0"
GOOD_SUITES = [
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
]
BAD_SUITES = [
    "ECDHE-ECDSA-AES256-SHA384",  # CBC
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-CAMELLIA256-SHA384",
    "ECDHE-ECDSA-AES128-CCM8",  # a short tag
    "AECDH-AES256-SHA",  # nobody is authenticated
    "AECDH-AES128-SHA",
]


@pytest.fixture(scope="module")
def permissive(server: Running, place: Place) -> Iterator[int]:
    """Give the port of a server that takes every version and suite that this OpenSSL knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers(EVERYTHING)
    context.load_cert_chain(place.home / "tls.crt", place.home / "tls.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_shake_hands, args=(listener, context), daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(30)


def _shake_hands(listener: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):  # the listener was closed
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
                tls.recv(1)


def handshake(place: Place, port: int, version: ssl.TLSVersion, ciphers: str = EVERYTHING) -> str | None:
    """Return the suite agreed on with exactly this version and these suites, the certificate verified; else None."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(place.home / "tls.crt")
    context.minimum_version = context.maximum_version = version
    context.set_ciphers(ciphers)
    if "AECDH" in ciphers:  # there is no certificate to verify
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as connection:
                agreed = connection.cipher()
        except (ssl.SSLError, ConnectionError):
            return None
    return agreed[0] if agreed else None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_version_of_today_is_spoken(server: Running, place: Place, version: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3, with the service's own certificate for localhost."""
    assert handshake(place, place.port, version) is not None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_a_version_of_yesterday_is_refused(place: Place, permissive: int, version: ssl.TLSVersion) -> None:
    """TLS 1.0 and 1.1, which RFC 8996 forbids."""
    if handshake(place, permissive, version) is None:
        pytest.skip("the OpenSSL of this machine cannot speak it")
    assert handshake(place, place.port, version) is None


@pytest.mark.parametrize("suite", GOOD_SUITES)
def test_a_suite_with_aead_and_forward_secrecy_is_spoken(server: Running, place: Place, suite: str) -> None:
    """Alone offered in TLS 1.2, it is agreed on."""
    assert handshake(place, place.port, ssl.TLSVersion.TLSv1_2, suite) == suite


@pytest.mark.parametrize("suite", BAD_SUITES)
def test_another_suite_is_refused(place: Place, permissive: int, suite: str) -> None:
    """Alone offered in TLS 1.2, a suite without AEAD, with a short tag or without authentication finds no taker."""
    offered = f"{suite}:@SECLEVEL=0"
    if handshake(place, permissive, ssl.TLSVersion.TLSv1_2, offered) != suite:
        pytest.skip("the OpenSSL of this machine cannot speak it")
    assert handshake(place, place.port, ssl.TLSVersion.TLSv1_2, offered) is None


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_the_certificate_is_for_this_machine(server: Running, place: Place, name: str) -> None:
    """A client that trusts it and checks names gets through by either name."""
    plain = socket.create_connection(("127.0.0.1", place.port), timeout=30)
    with plain, place.tls().wrap_socket(plain, server_hostname=name) as connection:
        assert connection.version() == "TLSv1.3"


def test_a_client_that_does_not_know_the_certificate_is_warned(server: Running, place: Place) -> None:
    """A self-signed certificate is good for nothing where it was not handed over: verification fails."""
    plain = socket.create_connection(("127.0.0.1", place.port), timeout=30)
    with plain, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")


@pytest.mark.parametrize(
    "sent", [b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
)
def test_plain_http_is_refused(server: Running, place: Place, sent: bytes) -> None:
    """Not one byte of HTTP comes back, no redirect either: whoever forgot the s finds out before sending a token."""
    with socket.create_connection(("127.0.0.1", place.port), timeout=30) as connection:
        connection.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            assert b"HTTP" not in connection.recv(1_000)


def test_the_key_is_for_its_owner_alone(server: Running, place: Place) -> None:
    """Nobody else on the machine can read the home: not the private key, the signing key or the users."""
    assert place.home.stat().st_mode & 0o077 == 0
    for name in ("tls.key", "signing.key", "users.db"):
        assert (place.home / name).stat().st_mode & 0o077 == 0, name
