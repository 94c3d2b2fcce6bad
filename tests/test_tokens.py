"""Only tokens exactly as this service writes them are good; every other text brings the one refusal."""

import base64
import hashlib
import hmac
import json
import logging
import string
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth.errors import InvalidToken, WeakSigningKey
from auth.keys import Key, secret_key
from auth.tokens import Claims, Tokens

NOW = datetime(2026, 5, 4, 8, 15, 0, 250_000, tzinfo=UTC)
SECOND = int(NOW.timestamp())
OLD, NEW, FOREIGN = (hashlib.sha256(name).digest() for name in (b"old", b"new", b"foreign"))
HOUR = timedelta(hours=1)
TOKENS = Tokens([OLD, NEW], "https://lastgang.test", "lastgang", HOUR)
FOR: Any = {"client": "anyone", "scopes": ("models:read", "forecast")}
GOOD = TOKENS.issue("ada", NOW, **FOR)
HEADER = {"alg": "HS256", "kid": secret_key(NEW).kid, "typ": "at+jwt"}
CLAIMS = {
    "iss": "https://lastgang.test",
    "aud": "lastgang",
    "sub": "ada",
    "iat": SECOND,
    "exp": SECOND + 3600,
    "jti": "0123456789abcdef" * 2,
    "client_id": "anyone",
    "scope": "forecast models:read",
}


def segment(content: Any) -> str:
    """Base64url without padding of bytes, of a text, or of anything as JSON."""
    if not isinstance(content, bytes | str):
        content = json.dumps(content)
    raw = content.encode() if isinstance(content, str) else content
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(header: str, claims: str, key: bytes = NEW, digest: str = "sha256") -> str:
    """Join two segments and their HMAC."""
    signed = f"{header}.{claims}"
    return f"{signed}.{segment(hmac.digest(key, signed.encode(), digest))}"


def forge(header: Any = HEADER, claims: Any = CLAIMS, key: bytes = NEW, digest: str = "sha256") -> str:
    """A token with a *right* signature over whatever content."""
    return sign(segment(header), segment(claims), key, digest)


def head(**members: Any) -> str:
    """A rightly signed token whose header has these members changed or added."""
    return forge(header=HEADER | members)


def claim(**members: Any) -> str:
    """A rightly signed token whose claims are changed or added."""
    return forge(claims=CLAIMS | members)


def without(content: dict[str, Any], name: str) -> dict[str, Any]:
    """The same members but one."""
    return {member: value for member, value in content.items() if member != name}


def raw(content: dict[str, Any], name: str, value: str) -> str:
    """JSON in which one member's value is this text, be it JSON or not."""
    return json.dumps(content | {name: "HERE"}).replace('"HERE"', value)


def doubled(content: dict[str, Any], name: str) -> str:
    """JSON in which one member stands twice with the same value."""
    return json.dumps(content)[:-1] + f", {json.dumps(name)}: {json.dumps(content[name])}}}"


GOOD_HEADER, GOOD_CLAIMS, GOOD_SIGNATURE = GOOD.split(".")
SPARE_BITS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
LAST = SPARE_BITS[SPARE_BITS.index(GOOD_SIGNATURE[-1]) ^ 1]  # decodes to the same 32 bytes

HOSTILE = {
    # the form
    "empty": ("", "form"),
    "two dots": ("..", "form"),
    "two parts": (f"{GOOD_HEADER}.{GOOD_CLAIMS}", "form"),
    "no signature": (f"{GOOD_HEADER}.{GOOD_CLAIMS}.", "form"),
    "no claims": (f"{GOOD_HEADER}..{GOOD_SIGNATURE}", "form"),
    "five parts, as JWE": (f"{GOOD}.AAAA.AAAA", "form"),
    "twice": (f"{GOOD},{GOOD}", "form"),
    "scheme twice": (f"Bearer {GOOD}", "form"),
    "newline after": (f"{GOOD}\n", "form"),
    "space before": (f" {GOOD}", "form"),
    "space within": (GOOD.replace(".", ". ", 1), "form"),
    "padding": (f"{GOOD}=", "form"),
    "NUL after": (f"{GOOD}\0", "form"),
    "plus of base64": (GOOD[:-3] + "+" + GOOD[-2:], "form"),
    "full-width letter": (GOOD[:-3] + "\uff21" + GOOD[-2:], "form"),
    "Arabic digit": (GOOD[:-3] + "\u0661" + GOOD[-2:], "form"),
    "half a surrogate pair": (GOOD[:-3] + "\ud800" + GOOD[-2:], "form"),
    "signature of 31 bytes": (f"{GOOD_HEADER}.{GOOD_CLAIMS}.{segment(bytes(31))}", "signature length"),
    "signature of 30 bytes": (GOOD[:-3], "signature length"),
    "1 MB": ("A" * 1_000_000, "length"),
    "longer than 4096": (claim(sub="a" * 3000), "length"),
    "spare bits in the signature": (GOOD[:-1] + LAST, "base64"),
    "spare bits in the header": (sign(segment(json.dumps(HEADER) + " ")[:-1] + "B", GOOD_CLAIMS), "base64"),
    "one letter of base64 too many": (
        sign(GOOD_HEADER + "A" * (5 - len(GOOD_HEADER) % 4), GOOD_CLAIMS),
        "base64",
    ),
    # the header
    "header not an object": (forge(header=["HS256"]), "header not a flat object"),
    "header a text": (forge(header='"HS256"'), "header not a flat object"),
    "header not UTF-8": (forge(header=b"\xff\xfe"), "header not JSON"),
    "header not JSON": (forge(header="{alg: HS256}"), "header not JSON"),
    "header nested": (head(x={}), "header not a flat object"),
    "header 600 deep": (forge(header="[" * 600 + "]" * 600), "header not a flat object"),
    "header 200 objects deep": (forge(header='{"":' * 200 + "1" + "}" * 200), "header not a flat object"),
    "alg twice": (forge(header=doubled(HEADER, "alg")), "header with a duplicate"),
    "none": (f"{segment(HEADER | {'alg': 'none'})}.{GOOD_CLAIMS}.", "form"),
    "none with a signature": (head(alg="none"), "algorithm"),
    "None": (head(alg="None"), "algorithm"),
    "nOnE": (head(alg="nOnE"), "algorithm"),
    "empty alg": (head(alg=""), "algorithm"),
    "null alg": (head(alg=None), "algorithm"),
    "number alg": (head(alg=256), "algorithm"),
    "hs256": (head(alg="hs256"), "algorithm"),
    "HS384, rightly signed": (forge(header=HEADER | {"alg": "HS384"}, digest="sha384"), "algorithm"),
    "HS512 in the header only": (head(alg="HS512"), "algorithm"),
    "RS256": (head(alg="RS256"), "algorithm"),
    "no alg": (forge(header=without(HEADER, "alg")), "header members"),
    "no typ": (forge(header=without(HEADER, "typ")), "header members"),
    "no kid": (forge(header=without(HEADER, "kid")), "header members"),
    "typ JWT": (head(typ="JWT"), "type"),
    "typ AT+JWT": (head(typ="AT+JWT"), "type"),
    "crit": (head(crit="exp"), "header members"),
    "crit list": (head(crit=["b64"]), "header not a flat object"),
    "b64 false": (head(b64=False), "header members"),
    "jku": (head(jku="https://evil.test/keys"), "header members"),
    "jwk": (head(jwk={"kty": "oct", "k": segment(FOREIGN)}), "header not a flat object"),
    "x5u": (head(x5u="https://evil.test/cert"), "header members"),
    "zip": (head(zip="DEF"), "header members"),
    "kid traversal": (head(kid="../../../../dev/null"), "key"),
    "kid SQL": (head(kid="' OR 1=1 --"), "key"),
    "kid null": (head(kid=None), "key"),
    "kid true": (head(kid=True), "key"),
    "kid of a foreign key": (forge(HEADER | {"kid": secret_key(FOREIGN).kid}, key=FOREIGN), "key"),
    # the signature
    "foreign key": (forge(key=FOREIGN), "signature"),
    "empty key": (forge(key=b""), "signature"),
    "old key under the new one's kid": (forge(key=OLD), "signature"),
    "kid as the key": (forge(key=HEADER["kid"].encode()), "signature"),
    "zeros": (f"{GOOD_HEADER}.{GOOD_CLAIMS}.{'A' * 43}", "signature"),
    "other claims, same signature": (
        f"{GOOD_HEADER}.{segment(CLAIMS | {'sub': 'root'})}.{GOOD_SIGNATURE}",
        "signature",
    ),
    # the claims
    "claims not an object": (forge(claims=["ada"]), "claims not a flat object"),
    "claims not UTF-8": (forge(claims=b"\xff"), "claims not JSON"),
    "claims not JSON": (forge(claims="{'iss': 1}"), "claims not JSON"),
    "claims in spaces": (forge(claims=" " + json.dumps(CLAIMS)), "claims not a flat object"),
    "claims after a byte order mark": (
        forge(claims="\ufeff" + json.dumps(CLAIMS)),
        "claims not a flat object",
    ),
    "claims 400 deep": (forge(claims="[" * 400 + "]" * 400), "claims not a flat object"),
    **{f"no {name}": (forge(claims=without(CLAIMS, name)), "claims members") for name in CLAIMS},
    **{f"{name} twice": (forge(claims=doubled(CLAIMS, name)), "claims with a duplicate") for name in CLAIMS},
    "nbf": (claim(nbf=SECOND + 900), "claims members"),
    "another claim": (claim(acr="2"), "claims members"),
    "client empty": (claim(client_id=""), "client"),
    "client number": (claim(client_id=1), "client"),
    "client with a space": (claim(client_id="a b"), "client"),
    "scope null": (claim(scope=None), "scope"),
    "scope with two spaces": (claim(scope="forecast  metrics"), "scope"),
    "scope with a space behind": (claim(scope="forecast "), "scope"),
    "scope with a newline": (claim(scope="forecast\n"), "claims not a flat object"),
    "other issuer": (claim(iss="https://evil.test"), "issuer"),
    "issuer with a slash": (claim(iss="https://lastgang.test/"), "issuer"),
    "issuer null": (claim(iss=None), "issuer"),
    "other audience": (claim(aud="Lastgang"), "audience"),
    "audience list": (claim(aud=["lastgang"]), "claims not a flat object"),
    "audience true": (claim(aud=True), "audience"),
    "subject empty": (claim(sub=""), "subject"),
    "subject number": (claim(sub=1), "subject"),
    "subject null": (claim(sub=None), "subject"),
    "subject with a newline": (claim(sub="ada\n"), "claims not a flat object"),
    "subject with a delete character": (forge(claims=json.dumps(CLAIMS).replace("ada", "ada\x7f")), "subject"),
    "subject with half a surrogate pair": (claim(sub="\ud800"), "claims not a flat object"),
    "claims with an escape": (forge(claims=json.dumps(CLAIMS).replace("sub", "\\u0073ub")), "claims not a flat object"),
    "subject of 256": (claim(sub="a" * 256), "subject"),
    "id short": (claim(jti="0" * 31), "id"),
    "id in capitals": (claim(jti="ABCDEF01" * 4), "id"),
    "id with a newline": (claim(jti="0" * 32 + "\n"), "claims not a flat object"),
    "id number": (claim(jti=7), "id"),
    "exp text": (claim(exp=str(SECOND + 60)), "expiry"),
    "exp true": (claim(exp=True), "expiry"),
    "exp null": (claim(exp=None), "expiry"),
    "exp float": (claim(exp=SECOND + 60.0), "claims not JSON"),
    "exp exponent": (forge(claims=raw(CLAIMS, "exp", "2e9")), "claims not JSON"),
    "exp NaN": (claim(exp=float("nan")), "claims not JSON"),
    "exp Infinity": (claim(exp=float("inf")), "claims not JSON"),
    "exp of a thousand digits": (forge(claims=raw(CLAIMS, "exp", "9" * 1000)), "expiry"),
    "exp beyond the year 9999": (claim(exp=253_402_300_800), "expiry"),
    "exp negative": (claim(exp=-1), "expiry"),
    "exp before iat": (claim(exp=SECOND - 1), "lifetime"),
    "exp at iat": (claim(exp=SECOND), "lifetime"),
    "too long a life": (claim(exp=SECOND + 3601), "lifetime"),
    "the longest life": (claim(exp=253_402_300_799), "lifetime"),
    "iat text": (claim(iat=str(SECOND)), "issued at"),
    "iat false": (claim(iat=False), "issued at"),
    "iat negative": (claim(iat=-1), "issued at"),
    "iat in the future": (claim(iat=SECOND + 6, exp=SECOND + 60), "issued in the future"),
    "expired just now": (claim(iat=SECOND - 60, exp=SECOND), "expired"),
    "expired long ago": (claim(iat=0, exp=60), "expired"),
}


@pytest.mark.parametrize("token, reason", HOSTILE.values(), ids=HOSTILE)
def test_hostile(token: str, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """A token with one thing wrong is refused for just that thing, told to nobody but the caller."""
    with caplog.at_level(logging.DEBUG), pytest.raises(InvalidToken) as refusal:
        TOKENS.verify(token, NOW)
    assert refusal.value.reason == reason
    assert str(refusal.value) == "Could not validate credentials"
    assert refusal.value.__cause__ is None
    assert caplog.records == []


@pytest.mark.parametrize(
    "token",
    [
        forge(),
        forge(header=dict(reversed(HEADER.items()))),
        forge(HEADER | {"kid": secret_key(OLD).kid}, key=OLD),
        claim(iat=SECOND + 5, exp=SECOND + 60),
        claim(iat=SECOND - 3599, exp=SECOND + 1),
        claim(sub="a" * 255),
    ],
    ids=["as issued", "other order", "old key", "clock 5 s ahead", "last second", "longest subject"],
)
def test_forgeries_are_else_right(token: str) -> None:
    """What the hostile tokens are made from is good, so each is refused for its one difference."""
    assert TOKENS.verify(token, NOW).issuer == "https://lastgang.test"


def test_round_trip() -> None:
    """A token says what it was issued for, in whole seconds, UTC."""
    start = NOW.replace(microsecond=0)
    claims = TOKENS.verify(GOOD, NOW)
    scopes = frozenset({"forecast", "models:read"})
    expected = Claims("ada", start, start + HOUR, claims.id, "https://lastgang.test", "lastgang", "anyone", scopes)
    assert claims == expected
    assert len(GOOD) < 500


def test_no_scopes() -> None:
    """A token may be good for nothing but to say whose it is."""
    assert TOKENS.verify(TOKENS.issue("ada", NOW, client="anyone", scopes=()), NOW).scopes == frozenset()


def test_time_zone_of_now() -> None:
    """Any time zone will do for the time now, and none at all will not."""
    berlin = NOW.astimezone(datetime.fromisoformat("2026-05-04T10:15:00+02:00").tzinfo)
    assert TOKENS.verify(TOKENS.issue("ada", berlin, **FOR), NOW).issued_at == NOW.replace(microsecond=0)
    with pytest.raises(ValueError, match="time zone"):
        TOKENS.verify(GOOD, NOW.replace(tzinfo=None))
    with pytest.raises(ValueError, match="time zone"):
        TOKENS.issue("ada", NOW.replace(tzinfo=None), **FOR)


@pytest.mark.parametrize(
    "after, good",
    [
        (timedelta(0), True),
        (timedelta(seconds=-5), True),
        (timedelta(seconds=-5, microseconds=-250_001), False),
        (HOUR - timedelta(microseconds=250_001), True),
        (HOUR - timedelta(microseconds=250_000), False),
        (HOUR, False),
        (timedelta(days=9999), False),
    ],
)
def test_lifetime(after: timedelta, good: bool) -> None:
    """A token is good from 5 s before its first second until just before its last, to the microsecond."""
    try:
        TOKENS.verify(GOOD, NOW + after)
    except InvalidToken:
        assert not good
    else:
        assert good


def test_ids_differ() -> None:
    """Two tokens of the same second and user have different ids."""
    assert TOKENS.verify(TOKENS.issue("ada", NOW, **FOR), NOW).id != TOKENS.verify(GOOD, NOW).id


def test_rotation() -> None:
    """The newest key signs; a token of an older key is good as long as that key is kept."""
    before = Tokens([OLD], "https://lastgang.test", "lastgang", HOUR).issue("ada", NOW, **FOR)
    after = Tokens([secret_key(NEW)], "https://lastgang.test", "lastgang", HOUR)
    assert TOKENS.verify(before, NOW).subject == "ada"
    assert after.verify(GOOD, NOW).subject == "ada"
    with pytest.raises(InvalidToken):
        after.verify(before, NOW)


@pytest.mark.parametrize(
    "issuer, audience, lifetime",
    [
        ("https://evil.test", "lastgang", HOUR),
        ("https://lastgang.test", "other", HOUR),
        ("https://lastgang.test", "lastgang", HOUR / 2),
    ],
)
def test_same_key_elsewhere(issuer: str, audience: str, lifetime: timedelta) -> None:
    """The same key does not make another service's token ours, nor one made to live longer."""
    with pytest.raises(InvalidToken):
        Tokens([NEW], issuer, audience, lifetime).verify(GOOD, NOW)


@settings(max_examples=1500, deadline=None)
@given(place=st.integers(0, len(GOOD) - 1), character=st.sampled_from(SPARE_BITS + ".=+/ \n") | st.characters())
def test_any_change(place: int, character: str) -> None:
    """A good token with any one character changed is refused."""
    changed = GOOD[:place] + character + GOOD[place + 1 :]
    if changed != GOOD:
        with pytest.raises(InvalidToken):
            TOKENS.verify(changed, NOW)


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.characters(exclude_categories=())) | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text(text: str) -> None:
    """Arbitrary text brings the one refusal and nothing else."""
    with pytest.raises(InvalidToken):
        TOKENS.verify(text, NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(part=st.sampled_from(["header", "claims"]), name=st.sampled_from([*HEADER, *CLAIMS]), value=JSON)
def test_any_member(part: str, name: str, value: Any) -> None:
    """A rightly signed token with any JSON for any member is refused or says what it should, nothing else."""
    header = HEADER | ({name: value} if part == "header" else {})
    claims = CLAIMS | ({name: value} if part == "claims" else {})
    try:
        said = TOKENS.verify(forge(header, claims), NOW)
    except InvalidToken:
        return
    assert said.audience == "lastgang"
    assert NOW < said.expires_at <= said.issued_at + HOUR


@pytest.mark.parametrize(
    "key, problem",
    [
        (b"", "has 0 bytes"),
        (NEW[:31], "has 31 bytes"),
        (b"\0" * 32, "has too few different bytes"),
        (b"ab" * 40, "has too few different bytes"),
        (bytes(range(64)), "has too few different bytes"),
        (b"abcdefghijklmnopqrstuvwxyz0123456789", "has too few different bytes"),
        (NEW[:16] * 2, "repeats a shorter text"),
        (NEW[:16] * 3, "repeats a shorter text"),
        (b"a-string-secret-at-least-256-bits-long", "looks like a placeholder"),
        (b"please-CHANGE-ME-before-production-42", "looks like a placeholder"),
        (b"-----BEGIN PUBLIC KEY-----\n" + segment(NEW).encode(), "is a PEM or SSH key"),
        (b"0123456789abcdef, ssh-rsa " + segment(NEW).encode(), "is a public key or certificate"),
        (b"ssh-ed25519 " + segment(NEW).encode(), "is a PEM or SSH key"),
    ],
)
def test_weak_key(key: bytes, problem: str) -> None:
    """A key that is short, plain, a placeholder or public is refused, and told why without quoting it."""
    with pytest.raises(WeakSigningKey) as refusal:
        Tokens([NEW, key], "lastgang", "lastgang", HOUR)
    assert refusal.value.problem.startswith(problem)
    assert "openssl rand" in str(refusal.value)


@pytest.mark.parametrize("keys", [[], [NEW, NEW], [NEW, secret_key(NEW)]])
def test_keys_together(keys: list[bytes | Key]) -> None:
    """At least one key is needed, and each only once."""
    with pytest.raises(WeakSigningKey):
        Tokens(keys, "lastgang", "lastgang", HOUR)


@pytest.mark.parametrize("key", [NEW, NEW.hex().encode(), b"7" * 3 + NEW, b'"' + NEW.hex().encode() + b'"'])
def test_key_is_taken_literally(key: bytes) -> None:
    """A key is its bytes: hexadecimal digits and JSON are not read as something else."""
    tokens = Tokens([key], "https://lastgang.test", "lastgang", HOUR)
    token = tokens.issue("ada", NOW, **FOR)
    header, claims, _ = token.split(".")
    assert sign(header, claims, key) == token


@settings(max_examples=200, deadline=None)
@given(seed=st.integers())
def test_random_keys_pass(seed: int) -> None:
    """Thirty-two random bytes are a good key, raw or in hexadecimal digits."""
    key = hashlib.sha256(str(seed).encode()).digest()
    assert secret_key(key).kid != secret_key(key.hex().encode()).kid


def test_key_stays_hidden() -> None:
    """Neither the text of a key nor its kid shows the secret."""
    key = secret_key(NEW.hex().encode())
    assert NEW.hex() not in repr(key)
    assert key.kid not in NEW.hex()
    assert len(key.kid) == 16


@pytest.mark.parametrize("text", ["", "with space", "[::1]", "{x}", "back\\slash", "ümlaut", "line\n", "a" * 256])
@pytest.mark.parametrize("place", ["issuer", "audience", "subject"])
def test_unwritable_names(place: str, text: str) -> None:
    """A name that `verify` would refuse is not written into a token in the first place."""
    names = {"issuer": "lastgang", "audience": "lastgang", "subject": "ada", place: text}
    with pytest.raises(ValueError, match=place):
        Tokens([NEW], names["issuer"], names["audience"], HOUR).issue(names["subject"], NOW, **FOR)


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(seconds=-1), timedelta(seconds=1.5)])
def test_impossible_lifetime(lifetime: timedelta) -> None:
    """A lifetime is whole seconds, at least one."""
    with pytest.raises(ValueError, match="whole seconds"):
        Tokens([NEW], "lastgang", "lastgang", lifetime)
