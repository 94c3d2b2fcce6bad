"""Keys of tokens: what may sign, what may verify, what the public sees of them, and how a key is exchanged."""

import asyncio
import base64
import hashlib
import json
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from key_material import private, private_pem, public_pem

from auth.__main__ import main
from auth.errors import InvalidToken, WeakSigningKey
from auth.keys import Key, _thumbprint, foreign_key, new_key, published, signing_key, verifying_keys
from auth.published import PATH, publish_keys
from auth.rotation import rotate
from auth.tokens import Tokens
from config import SettingsError, load_settings
from first_start import prepare, token_keys

NOW = datetime(2026, 5, 4, 8, 15, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECRET = hashlib.sha256(b"a key").hexdigest()
KINDS = {"HS256": None, "RS256": "RSA 3072", "ES256": "P-256"}


def text_of(algorithm: str, which: str = "") -> str:
    """A key of the algorithm, as it stands in a setting."""
    kind = KINDS[algorithm]
    return private_pem(kind, which) if kind else hashlib.sha256(which.encode()).hexdigest()


def tokens_of(*keys: Key) -> Tokens:
    return Tokens(keys, "lastgang", "lastgang", HOUR)


def subject(tokens: Tokens, token: str) -> str:
    return tokens.verify(token, NOW).subject


@pytest.mark.parametrize("algorithm", KINDS)
def test_round_trip(algorithm: str) -> None:
    """What a key of each algorithm signs, it verifies, and another key of the same algorithm does not."""
    tokens, others = (tokens_of(signing_key(text_of(algorithm, which), algorithm)) for which in ("", "other"))
    token = tokens.issue("ada", NOW, client="anyone", scopes=())
    assert subject(tokens, token) == "ada"
    with pytest.raises(InvalidToken):
        others.verify(token, NOW)


@pytest.mark.parametrize("old", KINDS)
@pytest.mark.parametrize("new", KINDS)
def test_a_change_of_key_or_algorithm(old: str, new: str) -> None:
    """Tokens of a key that only verifies are good, whatever algorithm signs now; a public half is enough."""
    before = tokens_of(signing_key(text_of(old, "old"), old))
    kept = text_of(old, "old") if KINDS[old] is None else public_pem(str(KINDS[old]), "old")
    after = tokens_of(*verifying_keys(kept), signing_key(text_of(new), new))
    assert subject(after, before.issue("ada", NOW, client="anyone", scopes=())) == "ada"
    assert subject(after, after.issue("bob", NOW, client="anyone", scopes=())) == "bob"
    with pytest.raises(InvalidToken):
        before.verify(after.issue("bob", NOW, client="anyone", scopes=()), NOW)


@pytest.mark.parametrize("traditional", [True, False])
@pytest.mark.parametrize("kind", ["RSA 3072", "P-256"])
def test_both_forms_of_pem(kind: str, traditional: bool) -> None:
    """PKCS 8 and the older forms of OpenSSL are the same key."""
    (key,) = verifying_keys(private_pem(kind, traditional=traditional))
    assert key.kid == verifying_keys(public_pem(kind))[0].kid


REFUSED = {
    "secret for RS256": (SECRET, "RS256", "is no PEM key"),
    "secret for ES256": (SECRET, "ES256", "is no PEM key"),
    "PEM for HS256": (private_pem("P-256"), "HS256", "is a PEM or SSH key"),
    "public PEM for HS256": (public_pem("P-256"), "HS256", "is a PEM or SSH key"),
    "RSA for ES256": (private_pem("RSA 3072"), "ES256", "is one for RS256, not for ES256"),
    "P-256 for RS256": (private_pem("P-256"), "RS256", "is one for ES256, not for RS256"),
    "RSA of 1024 bits": (private_pem("RSA 1024"), "RS256", "has 1024 bits, not 3072 to 8192"),
    "RSA of 2048 bits": (private_pem("RSA 2048"), "RS256", "has 2048 bits"),
    "P-384": (private_pem("P-384"), "ES256", "is on the curve secp384r1"),
    "secp256k1": (private_pem("secp256k1"), "ES256", "is on the curve secp256k1"),
    "Ed25519": (private_pem("Ed25519"), "ES256", "is neither an RSA nor"),
    "public": (public_pem("P-256"), "ES256", "is a public key"),
    "public RSA": (public_pem("RSA 3072"), "RS256", "is a public key"),
    "encrypted": (private_pem("P-256", password=b"a good one"), "ES256", "is encrypted"),
    "torn": (private_pem("P-256")[:-60], "ES256", "is no PEM key"),
    "changed": (private_pem("P-256").replace("A", "B", 1), "ES256", "is no PEM key"),
    "empty": ("", "ES256", "is no PEM key"),
    "no secret": ("", "HS256", "has 0 bytes"),
}


@pytest.mark.parametrize("text, algorithm, problem", REFUSED.values(), ids=REFUSED)
def test_what_must_not_sign(text: str, algorithm: str, problem: str) -> None:
    """A key that cannot or should not sign is refused with a sentence that quotes nothing of it and says what to do."""
    with pytest.raises(WeakSigningKey) as refusal:
        signing_key(text, algorithm)
    assert refusal.value.problem.startswith(problem)
    assert "; " in str(refusal.value)
    assert not any(line in str(refusal.value) for line in text.splitlines() if line)


def test_the_settings_say_it_too(tmp_path: Path) -> None:
    """The sentence names the setting."""
    settings = load_settings({"LASTGANG_HOME": str(tmp_path), "LASTGANG_VERIFYING_KEYS": "short"})
    with pytest.raises(SettingsError, match="LASTGANG_VERIFYING_KEYS: The key has 5 bytes"):
        prepare(settings)
    settings = load_settings({"LASTGANG_HOME": str(tmp_path), "LASTGANG_SIGNING_ALGORITHM": "ES256"})
    with pytest.raises(SettingsError, match=r"LASTGANG_SIGNING_KEY: .* `python -m auth key rotate` makes another"):
        prepare(settings)


def test_many_keys_in_one_text() -> None:
    """PEM blocks and lines of secrets may stand in one file, with comments and empty lines between."""
    text = f"# old\n{SECRET}\n\n{private_pem('P-256')}\n  {SECRET[::-1]}\r\n# none\n{public_pem('RSA 3072')}"
    algorithms = [key.algorithm for key in verifying_keys(text)]
    assert sorted(algorithms) == ["ES256", "HS256", "HS256", "RS256"]
    assert verifying_keys("\n# nothing\n") == []


def test_a_key_as_openssl_writes_it() -> None:
    """The name of the curve, which one of its commands puts before the key, is no key."""
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    text = parameters + private_pem("P-256", traditional=True)
    assert verifying_keys(text)[0].kid == signing_key(text, "ES256").kid


def test_a_public_key_signs_nothing() -> None:
    """The last key has to be one that can sign."""
    with pytest.raises(WeakSigningKey, match="can only verify"):
        tokens_of(*verifying_keys(public_pem("P-256")))


@pytest.mark.parametrize("algorithm", KINDS)
def test_made_keys_sign(algorithm: str) -> None:
    """A key that is made here is one that is taken here, and another one each time."""
    first, second = (signing_key(new_key(algorithm).strip(), algorithm) for _ in range(2))
    assert first.kid != second.kid


def test_keys_show_nothing() -> None:
    """Neither secret nor private key shows in a key's text."""
    key = signing_key(SECRET, "HS256")
    assert SECRET not in repr(key)
    assert "RSA" not in repr(signing_key(private_pem("RSA 3072"), "RS256"))


def test_thumbprint() -> None:
    """The id of a public key is its thumbprint by RFC 7638, whose own example comes out."""
    members = {
        "kty": "RSA",
        "n": (
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiF"
            "V4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9"
            "c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1"
            "jF44-csFCur-kEgU8awapJzKnqDKgw"
        ),
        "e": "AQAB",
        "kid": "2011-04-29",
    }
    key = foreign_key(members)
    assert not isinstance(key.verifies, bytes)
    assert _thumbprint(key.verifies) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert (key.kid, key.algorithm) == ("2011-04-29", "RS256")


def test_the_public_key_set() -> None:
    """Every public key is published, old ones too, without a private member; what it says is the same key."""
    keys = [*verifying_keys(SECRET + "\n" + public_pem("RSA 3072")), signing_key(private_pem("P-256"), "ES256")]
    shown = published(keys)["keys"]
    assert [set(one) for one in shown] == [
        {"kid", "use", "alg", "kty", "n", "e"},
        {"kid", "use", "alg", "kty", "crv", "x", "y"},
    ]
    assert [len(shown[1][name]) for name in "xy"] == [43, 43]
    token = tokens_of(*keys).issue("ada", NOW, client="anyone", scopes=())
    header = json.loads(_decoded(token.split(".")[0]))
    assert header == {"alg": "ES256", "kid": shown[1]["kid"], "typ": "at+jwt"}
    for one, key in zip(shown, [keys[0], keys[2]], strict=True):
        again = foreign_key(one)
        assert (again.kid, again.algorithm) == (key.kid, key.algorithm)


def _decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "==")


@pytest.mark.parametrize("algorithm, count", [("HS256", 0), ("RS256", 1), ("ES256", 1)])
def test_the_route_of_the_key_set(algorithm: str, count: int) -> None:
    """The route gives the public keys to anyone, for some minutes' keeping; of a secret it knows nothing."""
    app, key = FastAPI(), signing_key(text_of(algorithm), algorithm)
    publish_keys(app, lambda: tokens_of(key))
    answer = asyncio.run(_get(app, PATH))
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=300")
    assert answer.json() == published([key])
    assert len(answer.json()["keys"]) == count


async def _get(app: FastAPI, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://lastgang.test") as client:
        return await client.get(path)


GOOD = {"kid": "1", **published([signing_key(private_pem("P-256"), "ES256")])["keys"][0]}
GOOD_RSA = published(verifying_keys(public_pem("RSA 3072")))["keys"][0]
SMALL_RSA = private("RSA 1024").public_key()


@pytest.mark.parametrize(
    "members",
    [
        {},
        {**GOOD, "kid": None},
        {**GOOD, "kid": ""},
        {**GOOD, "kid": "with space"},
        {**GOOD, "kid": "a" * 256},
        {name: value for name, value in GOOD.items() if name != "kid"},
        {**GOOD, "use": "enc"},
        {**GOOD, "key_ops": ["sign"]},
        {**GOOD, "key_ops": 7},
        {**GOOD, "alg": "ES384"},
        {**GOOD, "alg": "HS256"},
        {**GOOD, "alg": "none"},
        {**GOOD, "alg": ["ES256"]},
        {**GOOD, "kty": "OKP", "crv": "Ed25519"},
        {**GOOD, "kty": "oct", "k": "c2VjcmV0"},
        {**GOOD, "kty": "RSA"},
        {**GOOD, "kty": ["EC"]},
        {**GOOD, "crv": "P-384"},
        {**GOOD, "x": GOOD["y"]},
        {**GOOD, "x": "AAAA"},
        {**GOOD, "x": "!!!"},
        {**GOOD, "x": ""},
        {**GOOD, "x": 7},
        {**GOOD, "x": "\u00e4"},
        {**GOOD_RSA, "e": "Aw"},
        {**GOOD_RSA, "e": "AQ"},
        {**GOOD_RSA, "e": "AAAA"},
        {**GOOD_RSA, "e": GOOD_RSA["n"]},
        {**GOOD_RSA, "n": GOOD_RSA["n"][:100]},
        {**GOOD_RSA, "n": GOOD_RSA["n"] * 9},
        {**GOOD_RSA, "n": None},
        {**GOOD_RSA, "alg": "PS256"},
    ],
)
def test_foreign_keys_that_are_refused(members: dict[str, Any]) -> None:
    """Of an issuer's keys only sound public RSA and P-256 keys for signatures are taken, each for one algorithm."""
    assert foreign_key(GOOD).algorithm == "ES256"
    with pytest.raises(WeakSigningKey):
        foreign_key(members)


def test_rotation_keeps_what_may_still_be_needed(tmp_path: Path) -> None:
    """The key before stays as long as its tokens may live, and is dropped by a later exchange; owners only may read."""
    signing, old = tmp_path / "signing.key", tmp_path / "verifying.keys"
    assert rotate(signing, old, "HS256", HOUR, NOW) == 0
    seen = [signing.read_text().strip()]
    for minutes, algorithm, kept in [(0, "HS256", 1), (50, "ES256", 2), (59, "ES256", 3), (61, "HS256", 3)]:
        assert rotate(signing, old, algorithm, HOUR, NOW + timedelta(minutes=minutes)) == kept
        seen.append(signing.read_text().strip())
        assert len(verifying_keys(old.read_text())) == kept
    assert [key in old.read_text() for key in seen] == [False, True, True, True, False]
    assert {stat.S_IMODE(file.stat().st_mode) for file in (signing, old)} == {0o600}
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("algorithm", KINDS)
def test_the_command_logs_nobody_out(
    algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m auth key rotate` exchanges the key of a first start; tokens of the old one stay good."""
    monkeypatch.setenv("LASTGANG_HOME", str(tmp_path))
    before = load_settings()
    prepare(before)
    replaced = tokens_of(*token_keys(before))
    token = replaced.issue("ada", NOW, client="anyone", scopes=())
    monkeypatch.setenv("LASTGANG_SIGNING_ALGORITHM", algorithm)
    assert main(["key", "rotate"]) == 0
    assert re.search(r"tokens of 1 older keys stay good.* Restart", capsys.readouterr().out)
    after = tokens_of(*token_keys(load_settings()))
    assert subject(after, token) == "ada"
    assert list(after.keys.values())[-1].algorithm == algorithm
    with pytest.raises(InvalidToken):
        replaced.verify(after.issue("ada", NOW, client="anyone", scopes=()), NOW)


@pytest.mark.parametrize("name", ["LASTGANG_SIGNING_KEY", "LASTGANG_VERIFYING_KEYS"])
def test_the_command_leaves_keys_of_the_settings_alone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key that somebody gave is exchanged where it was given."""
    monkeypatch.setenv("LASTGANG_HOME", str(tmp_path))
    monkeypatch.setenv(name, SECRET)
    assert main(["key", "rotate"]) == 1
    assert "docs/tokens.md" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["audit"]


def test_production_takes_no_keys_from_the_home(tmp_path: Path) -> None:
    """What development replaced does not verify anything in production."""
    rotate(tmp_path / "signing.key", tmp_path / "verifying.keys", "HS256", HOUR, NOW)
    rotate(tmp_path / "signing.key", tmp_path / "verifying.keys", "HS256", HOUR, NOW)
    given = {"LASTGANG_HOME": str(tmp_path), "LASTGANG_SIGNING_KEY": SECRET}
    assert [len(token_keys(load_settings(given | more))) for more in ({}, {"LASTGANG_ENV": "production"})] == [2, 1]


def test_a_key_that_is_exchanged_may_stand_in_both_settings(tmp_path: Path) -> None:
    """Where the next key is already among those that verify, it still signs, once."""
    given = {"LASTGANG_SIGNING_KEY": SECRET, "LASTGANG_VERIFYING_KEYS": f"{SECRET[::-1]}\n{SECRET}"}
    keys = token_keys(load_settings({"LASTGANG_HOME": str(tmp_path), **given}))
    assert [key.signs for key in keys] == [SECRET[::-1].encode(), SECRET.encode()]
