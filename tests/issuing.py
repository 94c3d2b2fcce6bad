"""An issuer for the tests: a real HTTP server on the loopback address that publishes keys, and signs whatever is asked.

What it answers can be changed while it runs, and every path that was asked for is remembered.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from key_material import private, public_pem

from auth.keys import published, secret_key, verifying_keys
from benchmarks.forgeries import Installation, segment

DISCOVERY, KEYS = "/.well-known/openid-configuration", "/keys"


class Answer:
    """What the server answers to a path.

    Args:
        document: bytes as they are, or anything as JSON.
        status: of the answer.
        after: seconds that it takes.
        headers: more of them.
    """

    def __init__(self, document: Any, status: int = 200, after: float = 0, **headers: str) -> None:
        self.body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.status, self.after = status, after
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Issuer(ThreadingHTTPServer):
    """The server; `url` is the issuer's name."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: list[str] = []
        self.answers: dict[str, Answer] = {
            DISCOVERY: Answer({"issuer": self.url, "jwks_uri": self.url + KEYS}),
        }
        self.publish(("P-256", ""), ("RSA 3072", ""))

    def publish(self, *kinds: tuple[str, str], **more: Any) -> None:
        """Make these keys of `key_material` the key set."""
        keys = [members for kind, which in kinds for members in jwk(kind, which)]
        self.answers[KEYS] = Answer({"keys": [one | more for one in keys]})


class _Handler(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        """Answer as the table says."""
        self.server.asked.append(self.path)
        answer = self.server.answers.get(self.path, Answer({}, 404))
        time.sleep(answer.after)
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(answer.body)
        except OSError:
            self.close_connection = True  # the client had enough

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def issuer() -> Iterator[Issuer]:
    """Run an issuer until left."""
    with Issuer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def jwk(kind: str, which: str = "") -> list[dict[str, str]]:
    """Return the JSON Web Key of a key of `key_material`, in a list."""
    return published(verifying_keys(public_pem(kind, which)))["keys"]


def signed(claims: Any, kind: str = "P-256", which: str = "", **header: Any) -> str:
    """Return a token with these claims, and its header with these members changed; None leaves one out."""
    (key,) = jwk(kind, which)
    whole = {"alg": key["alg"], "typ": "at+jwt", "kid": key["kid"], **header}
    text = f"{segment({name: value for name, value in whole.items() if value is not None})}.{segment(claims)}"
    signer = private(kind, which)
    if isinstance(signer, rsa.RSAPrivateKey):
        signature = signer.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    else:
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        r, s = decode_dss_signature(signer.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return f"{text}.{segment(signature)}"


def installation(secret: bytes, now: int) -> Installation:
    """Return the keys of a service that is attacked, and the claims of its user ada."""
    point, modulus = private("P-256"), private("RSA 3072")
    assert isinstance(point, ec.EllipticCurvePrivateKey)
    assert isinstance(modulus, rsa.RSAPrivateKey)
    ids = [verifying_keys(public_pem(kind))[0].kid for kind in ("P-256", "RSA 3072")]
    claims = {
        "iss": "lastgang",
        "aud": "lastgang",
        "sub": "ada",
        "iat": now,
        "exp": now + 3600,
        "jti": "0123456789abcdef" * 2,
        "client_id": "anyone",
        "scope": "forecast",
    }
    return Installation(secret, secret_key(secret).kid, point, ids[0], modulus, ids[1], claims)
