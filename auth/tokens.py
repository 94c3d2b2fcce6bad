"""Access tokens: signed with HMAC-SHA-256, short-lived, and refused unless every part is as we write it.

Comes in: a subject, or the text of a token, and the time now. Goes out: the text of a token, or its
`Claims`. The form follows RFC 9068 (JWT access tokens) and is checked as RFC 8725 (JWT best practices) asks.

python-jose accepts much more than that: unknown ``crit``, any ``typ``, missing claims, padding, headers so
deep that they exhaust the stack. So the form is settled here, before the library sees a token, and the
library is asked for one thing only: the signature. No other module knows it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from jose import jwk, jws
from jose.exceptions import JOSEError

from auth.errors import InvalidToken, WeakSigningKey

if TYPE_CHECKING:
    from collections.abc import Sequence

ALGORITHM = "HS256"
TYPE = "at+jwt"
LONGEST = 2048  # characters of a whole token
LEEWAY = 5  # seconds by which the clock of another process may be ahead
REMEMBERED = 1024  # tokens, half a megabyte
LATEST = 253_402_300_799  # seconds since 1970 to the end of the year 9999, the last that datetime knows

_SEGMENTS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})", re.ASCII)
_FLAT_OBJECT = re.compile(r"\{[^{}\[\]]*\}")
_PLAIN = re.compile(r"[!-Z^-z|~]{1,255}", re.ASCII)  # printable, no space, and nothing that nests or escapes
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_CLAIMS = frozenset({"iss", "aud", "sub", "exp", "iat", "jti"})

SHORTEST_KEY = 32  # bytes: the size of the hash, RFC 7518 section 3.2
FEWEST_DIFFERENT = 10  # byte values, and steps from one byte to the next
_PLACEHOLDERS = (b"secret", b"password", b"changeme", b"change-me", b"change_me", b"example")


@dataclass(frozen=True)
class Claims:
    """What a good token says.

    Attributes:
        subject: name of the user.
        issued_at: whole second, UTC.
        expires_at: whole second, UTC; the token is good until just before it.
        id: 32 hexadecimal digits, unique to the token.
        issuer: who signed it.
        audience: whom it is for.
    """

    subject: str
    issued_at: datetime
    expires_at: datetime
    id: str
    issuer: str
    audience: str


@dataclass(frozen=True)
class SigningKey:
    """A secret that signs tokens; `kid` names it without telling anything of it.

    Args:
        secret: at least 32 random bytes, taken as they are: strip the newline of a file before.

    Raises:
        WeakSigningKey: too short, or plainly not random.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < SHORTEST_KEY:
            problem = f"has {len(self.secret)} bytes"
            raise WeakSigningKey(problem)
        steps = {(b - a) % 256 for a, b in zip(self.secret, self.secret[1:], strict=False)}
        if min(len(set(self.secret)), len(steps)) < FEWEST_DIFFERENT:
            raise WeakSigningKey("has too few different bytes")
        if (self.secret * 2).find(self.secret, 1) < len(self.secret):
            raise WeakSigningKey("repeats a shorter text")
        if any(word in self.secret.lower() for word in _PLACEHOLDERS):
            raise WeakSigningKey("looks like a placeholder from some documentation")

    @property
    def kid(self) -> str:
        """16 hexadecimal digits of a hash of the secret, for the ``kid`` header."""
        return hashlib.sha256(b"lastgang signing key\0" + self.secret).hexdigest()[:16]


class Tokens:
    """Issues and verifies the tokens of one issuer for one audience.

    Args:
        keys: oldest first; the newest signs, all of them verify, so a key is replaced by adding the new one
            and dropping the old one after a `lifetime`.
        issuer: 1 to 255 printable ASCII characters without brackets, braces, backslash and space.
        audience: the same.
        lifetime: of every token, in whole seconds.

    Raises:
        WeakSigningKey: a key is weak, given twice, or there is none.
        ValueError: another argument is not as said.
    """

    def __init__(self, keys: Sequence[SigningKey | bytes], issuer: str, audience: str, lifetime: timedelta) -> None:
        if not keys:
            raise WeakSigningKey("is missing")
        signing = [key if isinstance(key, SigningKey) else SigningKey(key) for key in keys]
        self._keys = {key.kid: _library_key(key) for key in signing}
        if len(self._keys) < len(signing):
            raise WeakSigningKey("is given twice")
        if lifetime < timedelta(seconds=1) or lifetime % timedelta(seconds=1):
            raise ValueError(f"A token's lifetime must be whole seconds, at least one, not {lifetime}")
        self._newest = signing[-1].kid
        self.issuer = _plain("issuer", issuer)
        self.audience = _plain("audience", audience)
        self.lifetime = lifetime
        # A client sends its token with each request: what was found good is not computed again (0.1 ms). A refusal is
        # an exception, which this does not keep, so no stranger's token takes the place of a good one.
        self._signed = lru_cache(REMEMBERED)(self._said)

    def issue(self, subject: str, now: datetime) -> str:
        """Return a new token for the subject, good from now for the lifetime.

        Args:
            subject: name of the user; as the issuer's, 1 to 255 printable ASCII characters.
            now: aware time; counted in whole seconds, rounded down.

        Raises:
            ValueError: the subject or the time is not as said.
        """
        issued = int(_seconds(now))
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": _plain("subject", subject),
            "iat": issued,
            "exp": issued + int(self.lifetime.total_seconds()),
            "jti": uuid.uuid4().hex,
        }
        header = {"typ": TYPE, "kid": self._newest}
        return str(jws.sign(claims, self._keys[self._newest], headers=header, algorithm=ALGORITHM))

    def verify(self, token: str, now: datetime) -> Claims:
        """Return the claims of a good token.

        Args:
            token: what stood after ``Bearer``; any text.
            now: aware time.

        Raises:
            InvalidToken: for every other text.
            ValueError: `now` has no time zone.
        """
        seconds = _seconds(now)
        return self._claims(self._signed(token), seconds)

    def _said(self, token: str) -> dict[str, Any]:
        """Return what a token says whose form and signature are good; the time has no part in it."""
        kid = self._key_of(_flat_object(_header_of(token), "header"))
        try:
            signed = jws.verify(token, self._keys[kid], algorithms=[ALGORITHM])
        except JOSEError:
            raise InvalidToken("signature") from None
        return _flat_object(signed, "claims")

    def _key_of(self, header: dict[str, Any]) -> str:
        if header.keys() != {"alg", "typ", "kid"}:
            raise InvalidToken("header members")
        if header["alg"] != ALGORITHM:
            raise InvalidToken("algorithm")
        if header["typ"] != TYPE:
            raise InvalidToken("type")
        kid = header["kid"]
        if not isinstance(kid, str) or kid not in self._keys:
            raise InvalidToken("key")
        return kid

    def _claims(self, said: dict[str, Any], now: float) -> Claims:
        if said.keys() != _CLAIMS:
            raise InvalidToken("claims members")
        if said["iss"] != self.issuer:
            raise InvalidToken("issuer")
        if said["aud"] != self.audience:
            raise InvalidToken("audience")
        if not isinstance(said["sub"], str) or not _PLAIN.fullmatch(said["sub"]):
            raise InvalidToken("subject")
        if not isinstance(said["jti"], str) or not _ID.fullmatch(said["jti"]):
            raise InvalidToken("id")
        issued, expires = _second(said["iat"], "issued at"), _second(said["exp"], "expiry")
        if issued > now + LEEWAY:
            raise InvalidToken("issued in the future")
        if not 0 < expires - issued <= self.lifetime.total_seconds():
            raise InvalidToken("lifetime")
        if now >= expires:
            raise InvalidToken("expired")
        start, end = datetime.fromtimestamp(issued, UTC), datetime.fromtimestamp(expires, UTC)
        return Claims(said["sub"], start, end, said["jti"], self.issuer, self.audience)


def _header_of(token: str) -> bytes:
    """Return the decoded header of a text all of whose three parts have the form of a token's."""
    if len(token) > LONGEST:
        raise InvalidToken("length")
    parts = _SEGMENTS.fullmatch(token)
    if parts is None:
        raise InvalidToken("form")
    header, _, _ = [_decode(segment) for segment in parts.groups()]
    return header


def _decode(segment: str) -> bytes:
    """Decode base64url without padding; of the several spellings of some bytes only one is taken."""
    try:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise InvalidToken("base64") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != segment:
        raise InvalidToken("base64")
    return raw


def _flat_object(raw: bytes, part: str) -> dict[str, Any]:
    """Read a JSON object whose members are texts, integers, true, false or null, each named once."""
    try:
        text = raw.decode()
        if not _FLAT_OBJECT.fullmatch(text):
            raise InvalidToken(f"{part} not a flat object")
        members = json.loads(text, object_pairs_hook=list, parse_float=_no_number, parse_constant=_no_number)
    except ValueError:
        raise InvalidToken(f"{part} not JSON") from None
    if len(dict(members)) < len(members):
        raise InvalidToken(f"{part} with a duplicate")
    return dict(members)


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _second(value: object, name: str) -> int:
    # To isinstance, true would be an integer.
    if type(value) is not int or not 0 <= value <= LATEST:
        raise InvalidToken(name)
    return value


def _seconds(now: datetime) -> float:
    if now.tzinfo is None:
        raise ValueError("The time now needs a time zone")
    return now.timestamp()


def _plain(name: str, text: str) -> str:
    if not _PLAIN.fullmatch(text):
        raise ValueError(f"The {name} of a token cannot be {text[:80]!a}")
    return text


def _library_key(key: SigningKey) -> Any:
    """Make the library's own key; bytes that read as JSON or PEM would mean something else to it."""
    try:
        return jwk.construct(key.secret, ALGORITHM)
    except JOSEError:
        raise WeakSigningKey("is a public key or certificate") from None
