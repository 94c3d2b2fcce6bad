"""The form of a token, settled before any library sees it: three parts of base64url, each written in the one right way.

In: the text of a token from anybody. Out: the JSON objects in it and the length of its signature; nothing is verified
here. Refused, as `InvalidToken`: every other text. What a text may cost is bounded by its length, and the depth
of its JSON by counting brackets before it is parsed.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, NamedTuple, NoReturn

from auth.errors import InvalidToken

MOST_BRACKETS = 200  # opening ones in a JSON text; Python's parser gives up at a thousand levels
_SEGMENTS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
_FLAT_OBJECT = re.compile(r"\{[^{}\[\]\\]*\}")


class Parts(NamedTuple):
    """The three parts of a token, decoded."""

    header: bytes
    claims: bytes
    signature: bytes


def split(token: str, longest: int) -> Parts:
    """Return the parts of a token of at most so many characters."""
    if len(token) > longest:
        raise InvalidToken("length")
    parts = _SEGMENTS.fullmatch(token)
    if parts is None:
        raise InvalidToken("form")
    return Parts(*map(_decode, parts.groups()))


def flat_object(raw: bytes, part: str) -> dict[str, Any]:
    """Read a JSON object whose members are texts, integers, true, false or null, each named once, without escapes."""
    text = _text(raw, part)
    if not _FLAT_OBJECT.fullmatch(text):
        raise InvalidToken(f"{part} not a flat object")
    return _parsed(text, part, parse_float=_refuse)


def bounded_object(raw: bytes, part: str, most_brackets: int = MOST_BRACKETS) -> dict[str, Any]:
    """Read a JSON object of any content, each member of each object in it named once."""
    text = _text(raw, part)
    if text.count("{") + text.count("[") > most_brackets:
        raise InvalidToken(f"{part} too deep")
    return _parsed(text, part)


def _decode(segment: str) -> bytes:
    """Decode base64url without padding; of the several spellings of some bytes only one is taken."""
    try:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise InvalidToken("base64") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != segment:
        raise InvalidToken("base64")
    return raw


def _text(raw: bytes, part: str) -> str:
    try:
        return raw.decode()
    except ValueError:
        raise InvalidToken(f"{part} not JSON") from None


def _parsed(text: str, part: str, **options: Any) -> dict[str, Any]:
    try:
        members = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, **options)
    except _Twice:
        raise InvalidToken(f"{part} with a duplicate") from None
    except ValueError:
        raise InvalidToken(f"{part} not JSON") from None
    if not isinstance(members, dict):
        raise InvalidToken(f"{part} not an object")
    return members


class _Twice(ValueError):
    pass


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(named := dict(members)) < len(members):
        raise _Twice
    return named


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)
