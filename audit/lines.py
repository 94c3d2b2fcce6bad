"""One line of the audit log, and the chain that ties it to the line before.

A line is a JSON object in canonical form (keys sorted, no white space, ASCII, no fractions), ``hash`` at its end, and a
line feed. ``hash`` is that of the object without it, byte by byte: SHA-256, or HMAC-SHA-256 where there is a key. The
object holds ``prev``, the hash of the line before, and ``seq``, one more than that line's.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from audit.errors import WeakAuditKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT = 1
GENESIS = "0" * 64  # what the very first line has for `prev`
LONGEST = 16_384  # bytes of a line
LONGEST_TEXT = 200  # characters of a value
SHORTEST_KEY = 32  # bytes
FEWEST_DIFFERENT = 10  # byte values of a key
PLAIN = ""  # the id of no key

# Whatever else a caller has to tell is no matter of this log: a name that is not here is refused.
FACTS = frozenset(
    {
        # who
        "subject", "client", "address", "token", "command", "pid",
        # what was asked, and what became of it
        "request", "method", "route", "status", "problem", "duration_us", "model", "version", "label", "input",
        "input_bytes", "target", "scopes", "reason",
        # counted refusals
        "count", "seconds", "problems", "addresses", "subjects", "targets",
        # the log itself
        "format", "chain", "key", "damaged_bytes", "damaged_sha256", "lost_from", "lost_to", "head",
        "first", "last",
    }
)  # fmt: skip

_ENCODE = json.JSONEncoder(ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":")).encode
_LINE = re.compile(rb'(\{"[^\n]*),"hash":"([0-9a-f]{64})"\}\n')
_HASH = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)

Value = str | int | bool | dict[str, int] | None


@dataclass(frozen=True)
class Key:
    """A key of the chain, made from a secret by HKDF (RFC 5869), so that the secret may serve other ends, too.

    Attributes:
        id: 16 hexadecimal digits that name the key and tell nothing of it.
    """

    _bytes: bytes = field(repr=False)
    id: str

    @classmethod
    def of(cls, secret: bytes) -> Key:
        """Derive the key.

        Raises:
            WeakAuditKey: the secret is too short, or plainly not random.
        """
        if len(secret) < SHORTEST_KEY:
            raise WeakAuditKey(f"has {len(secret)} bytes")
        if len(set(secret)) < FEWEST_DIFFERENT:
            raise WeakAuditKey("has too few different bytes")
        derived = HKDF(SHA256(), 32, salt=None, info=b"lastgang audit chain").derive(secret)
        return cls(derived, hashlib.sha256(b"lastgang audit key\0" + derived).hexdigest()[:16])

    def digest(self, body: bytes) -> str:
        """Return the keyed hash of a line without its hash."""
        return hmac.digest(self._bytes, body, "sha256").hex()


def digest(body: bytes, key: Key | None) -> str:
    """Return the hash of a line without its hash."""
    return hashlib.sha256(body).hexdigest() if key is None else key.digest(body)


@dataclass(frozen=True)
class Line:
    """A line that has the right form; whether its hash is right is another question.

    Attributes:
        seq: its number, from 1.
        time: UTC, ISO 8601 with microseconds and Z.
        event: what happened.
        prev: the hash that the line before has.
        hash: its own.
        body: what its hash is of.
        content: all of it but the hash.
    """

    seq: int
    time: str
    event: str
    prev: str
    hash: str
    body: bytes = field(repr=False)
    content: Mapping[str, Any]

    def sealed_by(self, keys: Sequence[Key]) -> str | None:
        """Return the id of the key that made the hash, `PLAIN` for a hash without a key, None for a wrong one."""
        for key in keys:
            if hmac.compare_digest(key.digest(self.body), self.hash):
                return key.id
        return PLAIN if hmac.compare_digest(digest(self.body, None), self.hash) else None


def seal(content: dict[str, Any], key: Key | None) -> tuple[bytes, str]:
    """Return the line for a content that holds `seq`, `time`, `event` and `prev`, and the line's hash."""
    body = _ENCODE(content).encode("ascii")
    sealed = digest(body, key)
    return b'%b,"hash":"%b"}\n' % (body[:-1], sealed.encode()), sealed


def checked(facts: Mapping[str, Value]) -> dict[str, Value]:
    """Return the facts that are worth a place: no None, no endless text.

    Raises:
        ValueError: a fact of this name has no place in the log.
    """
    if not FACTS.issuperset(facts):
        raise ValueError(f"no facts of an audit line: {sorted(set(facts) - FACTS)}")
    return {
        name: value[:LONGEST_TEXT] if isinstance(value, str) else value
        for name, value in facts.items()
        if value is not None
    }


def parse(raw: bytes) -> Line | None:
    """Return the line that these bytes, with their line feed, are; None if they are none."""
    found = _LINE.fullmatch(raw) if len(raw) <= LONGEST else None
    if found is None:
        return None
    body = found[1] + b"}"
    try:
        content = json.loads(body)
        canonical = _ENCODE(content).encode("ascii") == body
    except (ValueError, RecursionError):
        return None
    # What has two readings (a key twice, an escape more) is none of ours, whatever its hash.
    if not canonical or not _is_line(content):
        return None
    return Line(content["seq"], content["time"], content["event"], content["prev"], found[2].decode(), body, content)


def _is_line(content: Any) -> bool:
    seq, time, event, prev = (content.get(name) for name in ("seq", "time", "event", "prev"))
    if not (type(seq) is int and seq > 0 and isinstance(event, str)):
        return False
    return (
        isinstance(time, str) and bool(_TIME.fullmatch(time)) and isinstance(prev, str) and bool(_HASH.fullmatch(prev))
    )
