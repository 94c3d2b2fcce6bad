"""Keys that sign tokens and keys that verify them: read, judged, named; each good for one algorithm and no other.

In: the text of a secret or a PEM file, or the members of a JSON Web Key. Out: a `Key`, or the public key set that
others verify our tokens with. Refused: whatever would not protect a token, with a sentence that quotes nothing of it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from auth.errors import WeakSigningKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SHORTEST_SECRET = 32  # bytes: the size of the hash, RFC 7518 section 3.2
WEAKEST_RSA = 3072  # bits of a key of ours: BSI TR-02102-1 asks for 3000
WEAKEST_FOREIGN_RSA = 2048  # bits; RFC 7518 section 3.3, and what Entra ID signs with
LARGEST_RSA = 8192  # bits; beyond, a signature takes milliseconds to check
FEWEST_DIFFERENT = 10  # byte values, and steps from one byte to the next
_PLACEHOLDERS = (b"secret", b"password", b"changeme", b"change-me", b"change_me", b"example")
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_EXPONENTS = range(65_537, 2**32, 2)  # with larger ones a check takes long, with smaller ones padding errors are fatal
_COORDINATE = 32  # bytes
_NAME = re.compile(r"[!-~]{1,255}", re.ASCII)

Public = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, eq=False)
class Key:
    """A key that has been judged; two of them are the same only if they are one object.

    Attributes:
        kid: what tokens call it; tells nothing of a secret.
        algorithm: the one that it is for: HS256, RS256 or ES256.
        signature_bytes: the length of each of its signatures.
        verifies: the secret, or the public key.
        signs: the secret, or the private key; None if it can only verify.
    """

    kid: str
    algorithm: str
    signature_bytes: int
    verifies: bytes | Public = field(repr=False)
    signs: bytes | Private | None = field(repr=False, default=None)


def secret_key(secret: bytes) -> Key:
    """Return the HS256 key of a secret, which is taken as it is: strip the newline of a file before.

    Raises:
        WeakSigningKey: it is shorter than 32 bytes, or plainly not random.
    """
    if len(secret) < SHORTEST_SECRET:
        raise WeakSigningKey(f"has {len(secret)} bytes")
    steps = {(b - a) % 256 for a, b in pairwise(secret)}
    if min(len(set(secret)), len(steps)) < FEWEST_DIFFERENT:
        raise WeakSigningKey("has too few different bytes")
    if (secret * 2).find(secret, 1) < len(secret):
        raise WeakSigningKey("repeats a shorter text")
    if b"-----BEGIN" in secret or secret.startswith((b"ssh-", b"ecdsa-")):
        raise WeakSigningKey("is a PEM or SSH key, which HS256 cannot sign with")
    if any(word in secret.lower() for word in _PLACEHOLDERS):
        raise WeakSigningKey("looks like a placeholder from some documentation")
    kid = hashlib.sha256(b"lastgang signing key\0" + secret).hexdigest()[:16]
    return Key(kid, "HS256", 32, secret, secret)


def signing_key(text: str, algorithm: str) -> Key:
    """Return the key that signs: of a secret for HS256, of a PEM private key for RS256 and ES256.

    Raises:
        WeakSigningKey: it cannot sign with this algorithm, or not safely.
    """
    if algorithm == "HS256":
        return secret_key(text.encode())
    key = _pem_key(text)
    if key.signs is None:
        raise WeakSigningKey("is a public key, which signs nothing", _remedy(algorithm))
    if key.algorithm != algorithm:
        raise WeakSigningKey(f"is one for {key.algorithm}, not for {algorithm}", _remedy(algorithm))
    return key


def verifying_keys(text: str) -> list[Key]:
    """Return keys that verify, of a text with any number of PEM blocks, private or public, and a secret on each line.

    Empty lines and those that begin with ``#`` are passed over.

    Raises:
        WeakSigningKey: one of them is not safe, or is no key.
    """
    # `openssl ecparam -genkey` writes the name of the curve, in a block of its own, before the key.
    blocks = [_pem_key(found[0]) for found in _PEM.finditer(text) if found[1] != "EC PARAMETERS"]
    lines = [line.strip() for line in _PEM.sub("", text).splitlines()]
    return [*blocks, *(secret_key(line.encode()) for line in lines if line and not line.startswith("#"))]


def new_key(algorithm: str) -> str:
    """Make a key; return it as `signing_key` reads it, with a newline at its end."""
    if algorithm == "HS256":
        return secrets.token_hex(SHORTEST_SECRET) + "\n"
    key: Private = (
        rsa.generate_private_key(65_537, WEAKEST_RSA)
        if algorithm == "RS256"
        else ec.generate_private_key(ec.SECP256R1())
    )
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


def published(keys: Iterable[Key]) -> dict[str, list[dict[str, str]]]:
    """Return the JSON Web Key Set (RFC 7517) of the keys that may be known to everybody; a secret is not among them."""
    public = [(key, key.verifies) for key in keys if not isinstance(key.verifies, bytes)]
    return {"keys": [{"kid": key.kid, "use": "sig", "alg": key.algorithm} | _members(half) for key, half in public]}


def foreign_key(members: Mapping[str, Any]) -> Key:
    """Return the key that an issuer published as a JSON Web Key.

    Raises:
        WeakSigningKey: it is not public, not for signatures, not for RS256 or ES256, not safe, or no key.
    """
    kid, remedy = members.get("kid"), "the issuer must publish a public RSA or P-256 key"
    if not isinstance(kid, str) or not _NAME.fullmatch(kid):
        raise WeakSigningKey("has no id", remedy)
    try:
        if members.get("use", "sig") != "sig" or "verify" not in members.get("key_ops", ("verify",)):
            raise WeakSigningKey("is not for signatures", remedy)
        algorithm, public = _public_numbers(members)
    except (ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        raise WeakSigningKey("cannot be read", remedy) from None
    if members.get("alg", algorithm) != algorithm:
        raise WeakSigningKey("is for an algorithm that is not taken here", remedy)
    return _asymmetric(kid, public, None, WEAKEST_FOREIGN_RSA)


def _pem_key(text: str) -> Key:
    remedy = "give an RSA or P-256 key as PEM, without a password"
    data = text.encode()
    try:
        if "PRIVATE KEY-----" in text:
            private: Any = serialization.load_pem_private_key(data, password=None)
            public: Any = private.public_key()
        else:
            private, public = None, serialization.load_pem_public_key(data)
    except TypeError:
        raise WeakSigningKey("is encrypted with a password", remedy) from None
    except (ValueError, UnsupportedAlgorithm, AttributeError):
        raise WeakSigningKey("is no PEM key that can be read", remedy) from None
    if not isinstance(public, Public):
        raise WeakSigningKey("is neither an RSA nor an elliptic-curve key", remedy)
    return _asymmetric(_thumbprint(public), public, private, WEAKEST_RSA)


def _asymmetric(kid: str, public: Public, private: Private | None, weakest: int) -> Key:
    if isinstance(public, ec.EllipticCurvePublicKey):
        if not isinstance(public.curve, ec.SECP256R1):
            raise WeakSigningKey(f"is on the curve {public.curve.name}", _remedy("ES256"))
        return Key(kid, "ES256", 2 * _COORDINATE, public, private)
    if not weakest <= public.key_size <= LARGEST_RSA:
        raise WeakSigningKey(f"has {public.key_size} bits, not {weakest} to {LARGEST_RSA}", _remedy("RS256"))
    if public.public_numbers().e not in _EXPONENTS:
        raise WeakSigningKey("has an unusual public exponent", _remedy("RS256"))
    return Key(kid, "RS256", (public.key_size + 7) // 8, public, private)


def _remedy(algorithm: str) -> str:
    if algorithm == "RS256":
        return f"make one with `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{WEAKEST_RSA}`"
    return "make one with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`"


def _public_numbers(members: Mapping[str, Any]) -> tuple[str, Public]:
    """Read the public key of a JSON Web Key; any error of the kinds that `foreign_key` turns into a refusal."""
    if members["kty"] == "RSA":
        return "RS256", rsa.RSAPublicNumbers(_integer(members["e"]), _integer(members["n"])).public_key()
    if members["kty"] == "EC" and members["crv"] == "P-256":
        x, y = _integer(members["x"]), _integer(members["y"])
        return "ES256", ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    raise ValueError(members["kty"])


def _integer(text: str) -> int:
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if not 0 < len(raw) <= LARGEST_RSA // 8 + 1:
        raise ValueError(len(raw))
    return int.from_bytes(raw, "big")


def _members(public: Public) -> dict[str, str]:
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": _text(numbers.n), "e": _text(numbers.e)}
    point = public.public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": _text(point.x, _COORDINATE), "y": _text(point.y, _COORDINATE)}


def _thumbprint(public: Public) -> str:
    """Return the key's thumbprint by RFC 7638: 43 characters."""
    if isinstance(public, ec.EllipticCurvePublicKey) and not isinstance(public.curve, ec.SECP256R1):
        return ""  # `_asymmetric` refuses it
    canonical = json.dumps(_members(public), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def _text(number: int, length: int = 0) -> str:
    return _base64url(number.to_bytes(length or (number.bit_length() + 7) // 8, "big"))


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
