"""Throws changed tokens at the check of tokens: only what its own key signed, in every part as it is issued, is taken.

A good token is changed as text, which breaks its signature, or in its header or claims and then signed anew with the
right key, so that what lies behind the signature is reached, too. What is taken must say what an independent reading
of the same token finds: the members, types and times of RFC 9068.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from auth.errors import InvalidToken
from auth.tokens import LEEWAY, Tokens
from scripts.fuzzers.rounds import require

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

SECRET = hashlib.sha256(b"of a fuzzer").digest()
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LIFETIME = timedelta(minutes=60)
TOKENS = Tokens([SECRET], "lastgang", "lastgang", LIFETIME)
GOOD = TOKENS.issue("ada", NOW, client="lastgang", scopes={"forecast"})
CLAIMS = {"iss", "aud", "sub", "exp", "iat", "jti", "client_id", "scope"}
NAMES = [*CLAIMS, "nbf", "alg", "typ", "kid", "crit", "b64", "jku", "jwk", "x5u", "x5c", "zip", "cty", "", "é", "\0"]
VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        2**31,
        2**63,
        10**400,
        "",
        "a",
        "ada",
        "admin",
        "lastgang",
        "none",
        "None",
        "HS256",
    ),
    *("RS256", "at+jwt", "JWT", "../../etc/passwd", "' or 1=1", "a" * 300, "\0", "é", "\ud800", [], ["lastgang"], {}),
    *(["b64"], {"a": {"a": {}}}, float("nan"), float("inf"), int(NOW.timestamp()), int(NOW.timestamp()) + 3600),
]
PIECES = ["", ".", "..", "=", "==", "-", "_", "+", "/", " ", "\n", "\0", "é", "e30", "bnVsbA", "W10", "A" * 5000]


def attempt(chance: random.Random) -> tuple[str, Callable[[], bool]]:
    """Change the good token; return it, and what checks it and tells whether it was taken."""
    token = _as_text(chance) if chance.random() < 0.5 else _signed(chance)  # noqa: PLR2004
    return token, lambda: check(token)


def check(token: str) -> bool:
    """Verify a token and hold what is taken against an independent reading; tell whether it was."""
    try:
        claims = TOKENS.verify(token, NOW)
    except InvalidToken as refused:
        require(token not in str(refused) + refused.reason or not token, "a refusal quotes nothing of the token")
        return False
    header, said, signature = token.split(".")
    require(signature == _b64(_mac(f"{header}.{said}")), "what is taken was signed")
    told = json.loads(_unb64(header))
    require(told == {"alg": "HS256", "typ": "at+jwt", "kid": told["kid"]}, "a header says nothing else")
    found = json.loads(_unb64(said))
    require(set(found) == CLAIMS, "no claim is missing and none is more")
    require(all(type(found[name]) is int for name in ("iat", "exp")), "times are whole seconds")
    require(all(isinstance(found[name], str) for name in CLAIMS - {"iat", "exp"}), "all other claims are texts")
    require(found["iss"] == found["aud"] == "lastgang", "issuer and audience are ours")
    now = NOW.timestamp()
    require(found["iat"] <= now + LEEWAY and now < found["exp"], "it is good now")
    require(0 < found["exp"] - found["iat"] <= LIFETIME.total_seconds(), "it is not good for longer than we issue")
    require((claims.subject, claims.client) == (found["sub"], found["client_id"]), "it is read as it is written")
    require(claims.scopes == frozenset(found["scope"].split()), "its scopes are read as they are written")
    return True


def _as_text(chance: random.Random) -> str:
    token = GOOD
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(token) + 1)
        match chance.randrange(5):
            case 0:
                token = token[:at] + chance.choice(PIECES) + token[at:]
            case 1:
                token = token[:at] + token[at + chance.randint(1, 20) :]
            case 2:
                token = token[:at] + chr(chance.randrange(256)) + token[at + 1 :]
            case 3:
                token = token[:at] + token[at : at + 1].swapcase() + token[at + 1 :]
            case _:
                parts = token.split(".")
                chance.shuffle(parts)
                token = ".".join(parts)
    return token


def _signed(chance: random.Random) -> str:
    parts = [_changed(_unb64(part), chance) if chance.random() < 0.7 else _unb64(part) for part in GOOD.split(".")[:2]]  # noqa: PLR2004
    signed = ".".join(map(_b64, parts))
    return f"{signed}.{_b64(_mac(signed))}"


def _changed(raw: bytes, chance: random.Random) -> bytes:
    """Change a JSON object in a member or two, or its text in a place."""
    members = list(json.loads(raw).items())
    for _ in range(chance.randint(1, 2)):
        at = chance.randrange(len(members)) if members else 0
        match chance.randrange(4):
            case 0:
                members[at : at + 1] = [(members[at][0], chance.choice(VALUES))] if members else []
            case 1:
                members.insert(at, (chance.choice(NAMES), chance.choice(VALUES)))
            case 2:
                del members[at : at + 1]
            case _:
                members += members[at : at + 1]
    # By hand, so that a name can stand twice.
    text = "{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in members) + "}"
    if chance.random() < 0.3:  # noqa: PLR2004
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice(["{", "}", "[" * 300, '"', ",", " ", "\\u0061", "\0", "1e400"]) + text[at:]
    return text.encode()


def _mac(signed: str) -> bytes:
    return hmac.digest(SECRET, signed.encode(), "sha256")


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
