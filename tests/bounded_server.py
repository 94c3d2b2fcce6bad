"""A uvicorn within the bounds of `edge.wire`, over TLS, with an application that needs no models.

Run as a program it serves until it is killed: a certificate, a port, and the bounds as JSON come in as arguments.
"""

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psutil
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge import wire
from edge.renewal import Renewal

LARGE = 30_000_000  # bytes of the answer to /large


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer with how many bytes came and who asks; /large much, /early before the body has come, /slow late."""
    if scope["type"] != "http":
        return
    size = 0
    while scope["path"] != "/early":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        if not message["more_body"]:
            break
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    headers = [name.decode() for name, _ in scope["headers"]]
    told = json.dumps({"size": size, "client": scope["client"][0], "headers": headers}).encode()
    body = b"a" * LARGE if scope["path"] == "/large" else told
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Server:
    """A running server."""

    port: int
    process: psutil.Process
    trust: ssl.SSLContext

    def connect(self) -> ssl.SSLSocket:
        """Return an open connection."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        return self.trust.wrap_socket(plain, server_hostname="127.0.0.1")

    @property
    def memory(self) -> float:
        """Resident memory, MB."""
        return float(self.process.memory_info().rss / 1e6)


@contextmanager
def serving(folder: Path, **bounds: Any) -> Iterator[Server]:
    """Give a server within these bounds; the others are the usual ones."""
    certificate = folder / "tls.pem"
    if not certificate.exists():
        make_certificate(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, __file__, str(certificate), str(port), json.dumps(bounds)]
    path = os.pathsep.join([str(Path(__file__).parent.parent), str(Path(__file__).parent)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            trust = ssl.create_default_context(cafile=str(certificate))
            yield Server(port, psutil.Process(process.pid), trust)
        finally:
            process.kill()


def make_certificate(certificate: Path, serial: int = 1) -> None:
    """Write a key and its certificate for this machine into one file, at once."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    names = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), serial, now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    new = certificate.with_suffix(".new")
    new.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    new.replace(certificate)


class _Saying(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write("ready\n")
        sys.stdout.flush()


def main(certificate: str, port: str, bounds: str) -> None:
    """Serve."""
    given = json.loads(bounds)
    if given.pop("bounded", True):  # False shows what would happen without
        wire.install(wire.Bounds(**given), Renewal(Path(certificate), Path(certificate)))
    _Saying(uvicorn.Config(application, port=int(port), ssl_certfile=certificate, log_config=None)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
