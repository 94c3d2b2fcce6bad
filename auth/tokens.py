"""Access tokens: signed with HMAC-SHA-256, RSA or P-256, short-lived, and refused unless every part is as we write it.

Comes in: a subject, or the text of a token, and the time now. Goes out: the text of a token, or its
`Claims`. The form follows RFC 9068 (JWT access tokens) and is checked as RFC 8725 (JWT best practices) asks.

python-jose accepts much more than that: unknown ``crit``, any ``typ``, missing claims, padding, headers so
deep that they exhaust the stack. So the form is settled before, by `auth.token_form`, and the library is asked for
one thing only: the signature, with the one algorithm that the key is for. No other module knows it.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jose import jwk, jws
from jose.exceptions import JOSEError

from auth.errors import InvalidToken, WeakSigningKey
from auth.keys import Key, secret_key
from auth.scopes import written
from auth.token_form import flat_object, split

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

TYPE = "at+jwt"
LONGEST = 4096  # characters of a whole token; a signature with RSA has up to 1366 of them
LEEWAY = 5  # seconds by which the clock of another process may be ahead
REMEMBERED = 1024  # tokens, half a megabyte
LATEST = 253_402_300_799  # seconds since 1970 to the end of the year 9999, the last that datetime knows

_PLAIN = re.compile(r"[!-Z^-z|~]{1,255}", re.ASCII)  # printable, no space, and nothing that nests or escapes
_SCOPES = re.compile(r"(?:[!-Z^-z|~]+(?: [!-Z^-z|~]+)*)?", re.ASCII)
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_CLAIMS = frozenset({"iss", "aud", "sub", "exp", "iat", "jti", "client_id", "scope"})


@dataclass(frozen=True)
class Claims:
    """What a good token says.

    Attributes:
        subject: name of the user, or of the client where it asked for itself.
        issued_at: whole second, UTC.
        expires_at: whole second, UTC; the token is good until just before it.
        id: 32 hexadecimal digits, unique to the token.
        issuer: who signed it.
        audience: whom it is for.
        client: who asked for it.
        scopes: what it is good for, at most: its subject may have lost some since.
    """

    subject: str
    issued_at: datetime
    expires_at: datetime
    id: str
    issuer: str
    audience: str
    client: str
    scopes: frozenset[str]


class Tokens:
    """Issues and verifies the tokens of one issuer for one audience.

    Args:
        keys: the last one signs, all of them verify, so a key is replaced by adding the new one and dropping the
            old one after a `lifetime`. Bytes are the secret of an HS256 key.
        issuer: 1 to 255 printable ASCII characters without brackets, braces, backslash and space.
        audience: the same.
        lifetime: of every token, in whole seconds.

    Raises:
        WeakSigningKey: a key is weak, given twice, the last one cannot sign, or there is none.
        ValueError: another argument is not as said.
    """

    def __init__(self, keys: Sequence[Key | bytes], issuer: str, audience: str, lifetime: timedelta) -> None:
        if not keys:
            raise WeakSigningKey("is missing")
        judged = [key if isinstance(key, Key) else secret_key(key) for key in keys]
        self.keys = {key.kid: key for key in judged}
        if len(self.keys) < len(judged):
            raise WeakSigningKey("is given twice", "leave it out of the keys that only verify")
        if judged[-1].signs is None:
            raise WeakSigningKey("can only verify", "give its private key")
        if lifetime < timedelta(seconds=1) or lifetime % timedelta(seconds=1):
            raise ValueError(f"A token's lifetime must be whole seconds, at least one, not {lifetime}")
        for key in judged:
            _verifier(key)  # what the library does not take is told now
        self._newest = judged[-1]
        self._signer = _library_key(self._newest.signs, self._newest.algorithm)
        self.issuer = _plain("issuer", issuer)
        self.audience = _plain("audience", audience)
        self.lifetime = lifetime
        # A client sends its token with each request: what was found good is not computed again (0.1 ms). A refusal is
        # an exception, which this does not keep, so no stranger's token takes the place of a good one.
        self._signed = lru_cache(REMEMBERED)(self._said)

    def issue(
        self, subject: str, now: datetime, *, client: str, scopes: Collection[str], token_id: str | None = None
    ) -> str:
        """Return a new token for the subject, good from now for the lifetime.

        Args:
            subject: name of the user or client; as the issuer's, 1 to 255 printable ASCII characters.
            now: aware time; counted in whole seconds, rounded down.
            client: who asked for it; as the subject.
            scopes: what it is good for; each as the subject, all together as `auth.scopes` allows.
            token_id: 32 hexadecimal digits; new ones by default.

        Raises:
            ValueError: an argument is not as said.
        """
        issued = int(seconds(now))
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": _plain("subject", subject),
            "iat": issued,
            "exp": issued + int(self.lifetime.total_seconds()),
            "jti": token_id or uuid.uuid4().hex,
            "client_id": _plain("client", client),
            "scope": written(_plain("scope", scope) for scope in scopes),
        }
        header = {"typ": TYPE, "kid": self._newest.kid}
        return str(jws.sign(claims, self._signer, headers=header, algorithm=self._newest.algorithm))

    def verify(self, token: str, now: datetime) -> Claims:
        """Return the claims of a good token.

        Args:
            token: what stood after ``Bearer``; any text.
            now: aware time.

        Raises:
            InvalidToken: for every other text.
            ValueError: `now` has no time zone.
        """
        moment = seconds(now)
        return self._claims(self._signed(token), moment)

    def _said(self, token: str) -> dict[str, Any]:
        """Return what a token says whose form and signature are good; the time has no part in it."""
        parts = split(token, LONGEST)
        check_signature(token, parts.signature, self._key_of(flat_object(parts.header, "header")))
        return flat_object(parts.claims, "claims")

    def _key_of(self, header: dict[str, Any]) -> Key:
        if header.keys() != {"alg", "typ", "kid"}:
            raise InvalidToken("header members")
        if header["typ"] != TYPE:
            raise InvalidToken("type")
        key = self.keys.get(header["kid"]) if isinstance(header["kid"], str) else None
        if key is None:
            raise InvalidToken("key")
        if header["alg"] != key.algorithm:
            raise InvalidToken("algorithm")
        return key

    def _claims(self, said: dict[str, Any], now: float) -> Claims:
        if said.keys() != _CLAIMS:
            raise InvalidToken("claims members")
        if said["iss"] != self.issuer:
            raise InvalidToken("issuer")
        if said["aud"] != self.audience:
            raise InvalidToken("audience")
        subject, token_id = _text(said["sub"], _PLAIN, "subject"), _text(said["jti"], _ID, "id")
        client, scopes = _text(said["client_id"], _PLAIN, "client"), _text(said["scope"], _SCOPES, "scope")
        issued, expires = second(said["iat"], "issued at"), second(said["exp"], "expiry")
        if issued > now + LEEWAY:
            raise InvalidToken("issued in the future")
        if not 0 < expires - issued <= self.lifetime.total_seconds():
            raise InvalidToken("lifetime")
        if now >= expires:
            raise InvalidToken("expired")
        start, end = datetime.fromtimestamp(issued, UTC), datetime.fromtimestamp(expires, UTC)
        granted = frozenset(scopes.split())
        return Claims(subject, start, end, token_id, self.issuer, self.audience, client, granted)


def _text(value: object, form: re.Pattern[str], name: str) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise InvalidToken(name)
    return value


def second(value: object, name: str) -> int:
    """Return a claim that is a time: whole seconds since 1970, before the year 10000."""
    # To isinstance, true would be an integer.
    if type(value) is not int or not 0 <= value <= LATEST:
        raise InvalidToken(name)
    return value


def seconds(now: datetime) -> float:
    """Return an aware time as seconds since 1970."""
    if now.tzinfo is None:
        raise ValueError("The time now needs a time zone")
    return now.timestamp()


def _plain(name: str, text: str) -> str:
    if not _PLAIN.fullmatch(text):
        raise ValueError(f"The {name} of a token cannot be {text[:80]!a}")
    return text


def check_signature(token: str, signature: bytes, key: Key) -> None:
    """Return if the signature of a token is this key's, made with the key's own algorithm.

    Args:
        token: of a form that was checked, whose header names the key's algorithm.
        signature: its last part, decoded.
        key: that the token should have been signed with.

    Raises:
        InvalidToken: it is not.
    """
    if len(signature) != key.signature_bytes:
        raise InvalidToken("signature length")
    try:
        jws.verify(token, _verifier(key), algorithms=[key.algorithm])
    except JOSEError:
        raise InvalidToken("signature") from None


@lru_cache(256)
def _verifier(key: Key) -> Any:
    return _library_key(key.verifies, key.algorithm)


def _library_key(material: Any, algorithm: str) -> Any:
    """Make the library's own key; bytes that read as PEM would mean something else to it."""
    try:
        return jwk.construct(material, algorithm)
    except JOSEError:
        raise WeakSigningKey("is a public key or certificate") from None
