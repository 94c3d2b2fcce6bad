"""Keys for the tests of tokens: each made once, as PEM text; among them kinds that must be refused."""

from functools import cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

PEM = serialization.Encoding.PEM
PLAIN = serialization.NoEncryption()
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def private(kind: str, which: str = "") -> Private:
    """Return a private key of the kind, such as 'RSA 3072' or 'P-256'; another one for another `which`."""
    return _made(kind, which)


@cache
def _made(kind: str, _: str) -> Private:
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind.startswith("RSA"):
        return rsa.generate_private_key(65_537, int(kind.split()[1]))
    curves: dict[str, ec.EllipticCurve] = {
        "P-256": ec.SECP256R1(),
        "P-384": ec.SECP384R1(),
        "secp256k1": ec.SECP256K1(),
    }
    return ec.generate_private_key(curves[kind])


def private_pem(kind: str, which: str = "", password: bytes | None = None, *, traditional: bool = False) -> str:
    """Return the PEM text of that private key: PKCS 8, or the older form; encrypted if a password is given."""
    form = serialization.PrivateFormat.TraditionalOpenSSL if traditional else serialization.PrivateFormat.PKCS8
    encryption = serialization.BestAvailableEncryption(password) if password else PLAIN
    return private(kind, which).private_bytes(PEM, form, encryption).decode()


def public_pem(kind: str, which: str = "") -> str:
    """Return the PEM text of its public half."""
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return private(kind, which).public_key().public_bytes(PEM, spki).decode()
