"""Tokens of another issuer: which are good, what they open, and how its keys are fetched; against real HTTP servers."""

import asyncio
import gzip
import importlib
import json
import logging
import re
import shlex
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import uvicorn
from databases import prepared, url_of
from fastapi import FastAPI
from issuing import DISCOVERY, KEYS, Answer, Issuer, issuer, jwk, signed
from key_material import private_pem

from auth import issuer_keys
from auth import trusted as trusted_module
from auth.errors import InvalidToken, IssuerUnavailable, UnusableIssuer
from auth.issuer_keys import FLOOR, FRESH, KEPT, IssuerKeys, fetchable
from auth.keys import signing_key
from auth.middleware import Authenticator
from auth.published import PATH, publish_keys
from auth.tokens import Claims, Tokens
from auth.trusted import LONGEST, Trust, TrustedIssuer
from auth.users import UserStore
from config import PROJECT, SettingsError, load_settings
from first_start import trusted_issuer

NOW = datetime(2026, 5, 4, 8, 15, 0, 250_000, tzinfo=UTC)
SECOND = int(NOW.timestamp())
GRANTS = {"forecaster": frozenset({"forecast", "models:read"}), "tester": frozenset({"backtest"})}
Result = TypeVar("Result")


@pytest.fixture(scope="module")
def there() -> Iterator[Issuer]:
    """Run an issuer."""
    with issuer() as server:
        yield server


@pytest.fixture
def fresh() -> Iterator[Issuer]:
    """Run an issuer that a test may change."""
    with issuer() as server:
        yield server


class Clock:
    """Seconds that grow when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Return them."""
        return self.now


def trusting(server: Issuer, keys: IssuerKeys | None = None, **more: Any) -> TrustedIssuer:
    """Trust the issuer, with these things said otherwise."""
    said: dict[str, Any] = {
        "issuer": server.url,
        "audience": "lastgang",
        "type": "at+jwt",
        "scope_claims": ["scope"],
        "grants": GRANTS,
        "plain_http": True,
        **more,
    }
    return TrustedIssuer(Trust(**said), keys or IssuerKeys(server.url, plain_http=True))


def claims(server: Issuer, **changed: Any) -> dict[str, Any]:
    """The claims of a good token; None leaves one out."""
    whole = {
        "iss": server.url,
        "aud": "lastgang",
        "sub": "f3a1-77",
        "iat": SECOND,
        "exp": SECOND + 300,
        "jti": "1",
        "client_id": "web",
        "scope": "openid forecaster",
        **changed,
    }
    return {name: value for name, value in whole.items() if value is not None}


def verify(trusted: TrustedIssuer, token: str, now: datetime = NOW) -> Claims:
    """Return what the token says."""
    return asyncio.run(trusted.verify(token, now))


def reason(trusted: TrustedIssuer, token: str, now: datetime = NOW) -> str:
    """Return why the token is refused."""
    with pytest.raises(InvalidToken) as refusal:
        verify(trusted, token, now)
    return refusal.value.reason


@pytest.mark.parametrize("kind", ["P-256", "RSA 3072"])
def test_a_good_token(there: Issuer, kind: str) -> None:
    """It says who asks, under a name that no user here can have, and what the settings grant for its permissions."""
    said = verify(trusting(there), signed(claims(there), kind))
    assert (said.subject, said.client) == (f"{there.url}#f3a1-77", f"{there.url}#web")
    assert said.scopes == {"forecast", "models:read"}
    assert said.expires_at - said.issued_at == timedelta(minutes=5)
    assert len(said.id) == 32


ENTRA = {  # as its documentation shows version 2.0, for a person and for an application
    "person": ({"scp": "Forecast.Read openid", "azp": "6731de76", "ver": "2.0", "uti": "x", "nbf": SECOND - 300}, None),
    "application": ({"roles": ["Forecast.Read"], "azp": "6731de76", "oid": "f3a1-77"}, None),
    "version 1.0": ({"scp": "Forecast.Read", "appid": "6731de76", "ver": "1.0"}, None),
    "ID token": ({"roles": ["Forecast.Read"], "nonce": "n"}, "not an access token"),
    "ID token with azp": ({"roles": ["Forecast.Read"], "azp": "6731de76", "nonce": "n"}, "not an access token"),
    "ID token of a code": ({"scp": "Forecast.Read", "azp": "6731de76", "c_hash": "x"}, "not an access token"),
}


@pytest.mark.parametrize("more, refused", ENTRA.values(), ids=ENTRA)
def test_tokens_like_those_of_entra_id(there: Issuer, more: dict[str, Any], refused: str | None) -> None:
    """They say JWT, permissions of people in `scp` and of applications in `roles`; an ID token is none of them."""
    grants = {"Forecast.Read": frozenset({"forecast"})}
    trusted = trusting(there, type="JWT", scope_claims=["scp", "roles"], grants=grants)
    token = signed(claims(there, scope=None, client_id=None, **more), "RSA 3072", typ="JWT", x5t="abc")
    if refused:
        assert reason(trusted, token) == refused
    else:
        assert verify(trusted, token).scopes == {"forecast"}


KEYCLOAK = {
    "Bearer": ({}, None),
    "with a nonce, before version 24": ({"nonce": "n"}, None),
    "several audiences": ({"aud": ["account", "lastgang"]}, None),
    "ID": ({"typ": "ID"}, "not an access token"),
    "Refresh": ({"typ": "Refresh"}, "not an access token"),
    "Offline": ({"typ": "Offline"}, "not an access token"),
    "Logout": ({"typ": "Logout"}, "not an access token"),
    "another audience": ({"aud": "account"}, "audience"),
}


@pytest.mark.parametrize("more, refused", KEYCLOAK.values(), ids=KEYCLOAK)
@pytest.mark.parametrize("place", ["realm_access.roles", "resource_access.lastgang.roles"])
def test_tokens_like_those_of_keycloak(there: Issuer, place: str, more: dict[str, Any], refused: str | None) -> None:
    """They say JWT, their kind in a claim `typ`, and roles of the realm and of each client within others."""
    roles: Any = ["offline_access", "forecaster"]
    first, *others = reversed(place.split("."))
    nested: Any = {first: roles}
    for name in others[:-1]:
        nested = {name: nested}
    said = {
        "typ": "Bearer",
        "azp": "web",
        "acr": "1",
        "allowed-origins": ["https://x.test"],
        others[-1]: nested,
        **more,
    }
    trusted = trusting(there, type="JWT", scope_claims=[place])
    token = signed(claims(there, scope="openid profile", client_id=None, **said), typ="JWT")
    if refused:
        assert reason(trusted, token) == refused
    else:
        assert verify(trusted, token).scopes == GRANTS["forecaster"]


HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({"alg": "none"}, "algorithm"),
    "HS256": ({"alg": "HS256"}, "algorithm"),
    "RS256 with the id of ES256": ({"alg": "RS256"}, "algorithm"),
    "list": ({"alg": ["ES256"]}, "algorithm"),
    "no alg": ({"alg": None}, "algorithm"),
    "JWT": ({"typ": "JWT"}, "type"),
    "no typ": ({"typ": None}, "type"),
    "typ number": ({"typ": 1}, "type"),
    "rt+jwt": ({"typ": "rt+jwt"}, "type"),
    "crit": ({"crit": ["x"], "x": 1}, "header members"),
    "b64": ({"b64": False}, "header members"),
    "jku": ({"jku": "https://evil.test/keys"}, "header members"),
    "jwk": ({"jwk": {"kty": "EC"}}, "header members"),
    "x5u": ({"x5u": "https://evil.test/keys"}, "header members"),
    "x5c": ({"x5c": ["MIIB"]}, "header members"),
    "zip": ({"zip": "DEF"}, "header members"),
    "deep": ({"x5t": json.loads("[" * 300 + "]" * 300)}, "header too deep"),
    "kid unknown": ({"kid": "another"}, "key"),
    "kid number": ({"kid": 7}, "key"),
    "kid list": ({"kid": ["a"]}, "key"),
    "no kid, of two keys": ({"kid": None}, "key"),
}


@pytest.mark.parametrize("header, expected", HEADERS.values(), ids=HEADERS)
def test_hostile_headers(
    there: Issuer, header: dict[str, Any], expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A header may name a key that the issuer publishes and its algorithm, and nothing else."""
    trusted = trusting(there)
    assert verify(trusted, signed(claims(there))).issuer == there.url
    with caplog.at_level(logging.DEBUG):
        assert reason(trusted, signed(claims(there), **header)) == expected
    assert not [record for record in caplog.records if record.name.startswith(("lastgang", "auth"))]


CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    "iss another": ({"iss": "https://evil.test"}, "issuer"),
    "no iss": ({"iss": None}, "issuer"),
    "iss list": ({"iss": ["https://evil.test"]}, "issuer"),
    "aud another": ({"aud": "another"}, "audience"),
    "aud list": ({"aud": ["another", "Lastgang", 7]}, "audience"),
    "aud object": ({"aud": {"lastgang": 1}}, "audience"),
    "no aud": ({"aud": None}, "audience"),
    "no sub": ({"sub": None}, "subject"),
    "sub number": ({"sub": 7}, "subject"),
    "sub empty": ({"sub": ""}, "subject"),
    "sub with a space": ({"sub": "a b"}, "subject"),
    "sub lone surrogate": ({"sub": "\ud800"}, "subject"),
    "sub huge": ({"sub": "a" * 256}, "subject"),
    "client list": ({"client_id": ["web"]}, "client"),
    "client with a newline": ({"client_id": "web\n"}, "client"),
    "no exp": ({"exp": None}, "expiry"),
    "exp float": ({"exp": SECOND + 60.5}, "expiry"),
    "exp true": ({"exp": True}, "expiry"),
    "exp text": ({"exp": str(SECOND + 60)}, "expiry"),
    "exp NaN": ({"exp": float("nan")}, "claims not JSON"),
    "exp Infinity": ({"exp": float("inf")}, "claims not JSON"),
    "exp passed": ({"iat": SECOND - 60, "exp": SECOND}, "expired"),
    "exp in two days": ({"exp": SECOND + 172_800}, "lifetime"),
    "exp before iat": ({"exp": SECOND - 1}, "lifetime"),
    "no iat": ({"iat": None}, "issued at"),
    "iat negative": ({"iat": -1}, "issued at"),
    "iat in the future": ({"iat": SECOND + 61, "exp": SECOND + 90}, "issued in the future"),
    "nbf in the future": ({"nbf": SECOND + 61}, "issued in the future"),
    "nbf text": ({"nbf": "0"}, "not before"),
    "deep": ({"x": json.loads("[" * 300 + "]" * 300)}, "claims too deep"),
}


@pytest.mark.parametrize("changed, expected", CLAIMS.values(), ids=CLAIMS)
def test_hostile_claims(there: Issuer, changed: dict[str, Any], expected: str) -> None:
    """Every claim that counts has to be there, of its type, and right."""
    assert reason(trusting(there), signed(claims(there, **changed))) == expected


def test_hostile_forms(there: Issuer) -> None:
    """A signature of another key, a claim twice, a text too long, and what is no token are refused."""
    trusted, good = trusting(there), signed(claims(there))
    head, body, signature = good.split(".")
    other = signed(claims(there), which="another", kid=jwk("P-256")[0]["kid"])
    assert reason(trusted, other) == "signature"
    assert reason(trusted, f"{head}.{signed(claims(there, sub='root')).split('.')[1]}.{signature}") == "signature"
    assert reason(trusted, f"{head}.{body}.{signature[:-4]}") in {"base64", "signature length"}
    assert (
        reason(trusted, signed(json.dumps(claims(there))[:-1] + ', "\\u0073ub": "root"}')) == "claims with a duplicate"
    )
    assert reason(trusted, signed(json.dumps([claims(there)]))) == "claims not an object"
    assert reason(trusted, signed(claims(there, x="a" * LONGEST))) == "length"
    assert reason(trusted, "") == "form"


@pytest.mark.parametrize(
    "scope, scopes",
    [
        ("forecaster tester", {"forecast", "models:read", "backtest"}),
        (["tester"], {"backtest"}),
        (["tester", 7, None, ["forecaster"]], {"backtest"}),
        ("forecast models:write users:admin", set()),
        ("Tester", set()),
        ({"tester": True}, set()),
        (7, set()),
        (None, set()),
    ],
)
def test_only_what_was_granted_opens_something(there: Issuer, scope: Any, scopes: set[str]) -> None:
    """A permission opens what the settings say for its very name; the name of a scope of ours opens nothing."""
    assert verify(trusting(there), signed(claims(there, scope=scope))).scopes == scopes


def test_a_claim_whose_name_has_dots(there: Issuer) -> None:
    """A claim of exactly that name counts before what its dots could mean."""
    trusted = trusting(there, scope_claims=["https://x.test/roles"])
    assert verify(trusted, signed(claims(there, **{"https://x.test/roles": ["tester"]}))).scopes == {"backtest"}


@pytest.mark.parametrize(
    "after, good", [(0, True), (-60, True), (-61.5, False), (299.7, True), (299.75, False), (86_400, False)]
)
def test_the_time_that_counts_is_now(there: Issuer, after: float, good: bool) -> None:
    """A token that was found good is not good for ever."""
    trusted, token = trusting(there), signed(claims(there))
    verify(trusted, token)
    try:
        verify(trusted, token, NOW + timedelta(seconds=after))
    except InvalidToken:
        assert not good
    else:
        assert good


def test_good_tokens_are_remembered_and_bounded(there: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found good is not looked at again, a few at a time; what was not is never kept."""
    monkeypatch.setattr(trusted_module, "REMEMBERED", 2)
    trusted = trusting(there)
    good = [signed(claims(there, sub=str(n))) for n in range(5)]
    assert [verify(trusted, token).subject.rpartition("#")[2] for token in good * 2] == list("0123401234")
    for token in (*good, signed(claims(there, aud="another"))):
        with suppress(InvalidToken):
            verify(trusted, token)
        assert len(trusted._good) <= 2
    assert set(trusted._good) <= set(good)


def in_one_loop(work: Callable[[], Awaitable[Result]]) -> Result:
    """Run it in a loop of its own, and wait for what it began."""

    async def whole() -> Result:
        result = await work()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        return result

    return asyncio.run(whole())


P256, RSA = (jwk(kind)[0]["kid"] for kind in ("P-256", "RSA 3072"))
OTHER = jwk("P-256", "other")[0]["kid"]


def test_keys_are_fetched_once(fresh: Issuer) -> None:
    """However many ask at the same time, the documents are fetched once, and then kept."""
    keys = IssuerKeys(fresh.url, plain_http=True)

    async def many() -> list[Any]:
        return await asyncio.gather(*(keys.get(kid) for kid in [P256, RSA, "unknown"] * 30))

    found = in_one_loop(many)
    assert {key.kid for key in found if key} == {P256, RSA}
    assert found.count(None) == 30
    assert fresh.asked == [DISCOVERY, KEYS]


def test_a_new_key_is_found_at_once_and_strangers_cause_no_storm(fresh: Issuer) -> None:
    """An unknown id lets the keys be fetched anew, but not twice within the floor, whatever is sent."""
    clock = Clock()
    keys = IssuerKeys(fresh.url, plain_http=True, clock=clock)

    async def story() -> list[bool]:
        known = [await keys.get(P256) is not None]
        fresh.publish(("P-256", ""), ("P-256", "other"))
        for step in (FLOOR - 1, 2, 0, FLOOR):
            clock.now += step
            known.append(await keys.get(OTHER) is not None)
            for n in range(50):
                assert await keys.get(f"stranger-{n}") is None
        return known

    assert in_one_loop(story) == [True, False, True, True, True]
    assert fresh.asked.count(KEYS) == 3


def test_a_withdrawn_key_is_let_go(fresh: Issuer) -> None:
    """After some minutes the keys are looked at again behind the requests; those of a key that has gone are refused."""
    clock = Clock()
    trusted = trusting(fresh, IssuerKeys(fresh.url, plain_http=True, clock=clock))
    token, other = signed(claims(fresh)), signed(claims(fresh), "RSA 3072")

    async def story() -> None:
        await trusted.verify(token, NOW)
        fresh.publish(("RSA 3072", ""))
        clock.now += FRESH
        await trusted.verify(token, NOW)  # not kept waiting for the fetch, which begins now
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        await trusted.verify(other, NOW)
        with pytest.raises(InvalidToken):
            await trusted.verify(token, NOW)

    in_one_loop(story)
    assert fresh.asked.count(KEYS) == 2


def test_the_same_id_with_another_key(fresh: Issuer) -> None:
    """What was found good is forgotten when the key behind the id is another one."""
    clock = Clock()
    trusted = trusting(fresh, IssuerKeys(fresh.url, plain_http=True, clock=clock))
    fresh.publish(("P-256", ""), kid="1")
    first, second = (signed(claims(fresh), which=which, kid="1") for which in ("", "other"))

    async def story() -> None:
        await trusted.verify(first, NOW)
        fresh.publish(("P-256", "other"), kid="1")
        clock.now += FRESH
        await trusted.verify(first, NOW)
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        await trusted.verify(second, NOW)
        with pytest.raises(InvalidToken):
            await trusted.verify(first, NOW)

    in_one_loop(story)


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for an issuer as long as a test may take."""
    monkeypatch.setattr(issuer_keys, "PATIENCE", 0.3)


BAD_ANSWERS: dict[str, tuple[str, Answer, str]] = {
    "no discovery": (DISCOVERY, Answer({}, 404), "answered 404"),
    "redirect": (DISCOVERY, Answer({}, 302, Location="http://127.0.0.1:1/"), "answered 302"),
    "another issuer": (DISCOVERY, Answer({"issuer": "https://evil.test", "jwks_uri": "x"}), "of another issuer"),
    "discovery a list": (DISCOVERY, Answer([]), "not an object"),
    "keys down": (KEYS, Answer({}, 503), "answered 503"),
    "keys redirect": (KEYS, Answer({}, 307, Location="/other"), "answered 307"),
    "not JSON": (KEYS, Answer(b"<html>"), "not JSON"),
    "not UTF-8": (KEYS, Answer(b"\xff\xfe{}"), "not JSON"),
    "huge": (KEYS, Answer(b" " * 300_000), "more than 262144 bytes"),
    "deep": (KEYS, Answer(b"[" * 100_000), "too deep"),
    "packed": (KEYS, Answer(gzip.compress(b"{}"), Content_Encoding="gzip"), "something packed"),
    "no list": (KEYS, Answer({"keys": {}}), "no list"),
    "too many": (KEYS, Answer({"keys": [{}] * 101}), "no list"),
    "empty": (KEYS, Answer({"keys": []}), "has no RSA or P-256 key"),
    "useless": (KEYS, Answer({"keys": [7, {"kty": "oct", "kid": "1", "k": "c2VjcmV0"}]}), "has no RSA or P-256 key"),
    "one id twice": (KEYS, Answer({"keys": jwk("P-256") * 2}), "has no RSA or P-256 key"),
    "too slow": (KEYS, Answer({}, after=1), "TimeoutError"),
}


@pytest.mark.usefixtures("short_patience")
@pytest.mark.parametrize("path, answer, words", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_what_an_issuer_may_answer(
    fresh: Issuer, path: str, answer: Answer, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A bad answer is told in the log; keys of before count for a day, and without any nothing can be verified."""
    clock = Clock()
    good, keys, late = dict(fresh.answers), IssuerKeys(fresh.url, plain_http=True, clock=clock), IssuerKeys(fresh.url)
    fresh.answers[path] = answer

    async def story() -> None:
        with pytest.raises(IssuerUnavailable):
            await keys.get(P256)
        with pytest.raises(IssuerUnavailable):
            await keys.get(P256)
        fresh.answers = dict(good)
        clock.now += FLOOR
        first = await keys.get(P256)
        fresh.answers[path] = answer
        for step in (FLOOR, FRESH, KEPT - FRESH - FLOOR - 1):
            clock.now += step
            assert await keys.get(P256) is first
            assert await keys.get("unknown") is None
        clock.now += 1
        with pytest.raises(IssuerUnavailable):
            await keys.get(P256)
        with pytest.raises(IssuerUnavailable):
            await late.get(P256)  # where http is not allowed

    with caplog.at_level(logging.WARNING):
        in_one_loop(story)
    assert words in caplog.records[0].getMessage()
    assert fresh.url in caplog.records[0].getMessage()


def test_an_issuer_that_is_not_there() -> None:
    """Where nothing listens, its tokens cannot be verified, and that is said."""
    with issuer() as gone:
        url = gone.url
    with pytest.raises(IssuerUnavailable, match=url):
        in_one_loop(lambda: IssuerKeys(url, plain_http=True).get(P256))


def test_keys_elsewhere_must_be_fetchable_too(fresh: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    """A discovery document cannot send us to an address that settings could not name."""
    for url in ("http://lastgang.test/keys", "file:///etc/passwd", "ftp://127.0.0.1/", 7, None):
        fresh.answers[DISCOVERY] = Answer({"issuer": fresh.url, "jwks_uri": url})
        with pytest.raises(IssuerUnavailable):
            in_one_loop(lambda: IssuerKeys(fresh.url, plain_http=True).get(P256))
    assert caplog.text.count("names no https address") == 5


@pytest.mark.parametrize(
    "url, anyhow, at_home",
    [
        ("https://login.microsoftonline.com/tenant/v2.0", True, True),
        ("https://sso.test:8443/realms/x", True, True),
        ("http://localhost:8080/realms/x", False, True),
        ("http://127.0.0.1:1", False, True),
        ("http://[::1]:1", False, True),
        ("http://sso.test", False, False),
        ("http://localhost.evil.test", False, False),
        ("https://", False, False),
        ("https://user:password@sso.test", False, False),
        ("https://sso.test/#x", False, False),
        ("https://sso.test/ x", False, False),
        ("https://sso.test:port", False, False),
        ("https://[::1", False, False),
        ("https://s\u00f6.test", False, False),
        ("file:///etc/passwd", False, False),
        ("lastgang", False, False),
        ("", False, False),
    ],
)
def test_what_may_be_fetched(url: str, anyhow: bool, at_home: bool) -> None:
    """Only https, and http on this machine where that is allowed."""
    assert fetchable(url, plain_http=False) is anyhow
    assert fetchable(url, plain_http=True) is at_home


SETTINGS = {
    "LASTGANG_TRUSTED_ISSUER": "https://sso.test/realms/x",
    "LASTGANG_TRUSTED_AUDIENCE": "lastgang",
    "LASTGANG_TRUSTED_GRANTS": '{"forecaster": "forecast models:read"}',
}


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"ISSUER": "http://sso.test"}, "LASTGANG_TRUSTED_ISSUER must be a URL that begins with https://"),
        ({"ISSUER": "https://sso.test/?x=1"}, "LASTGANG_TRUSTED_ISSUER must be"),
        ({"ISSUER": ""}, "set LASTGANG_TRUSTED_ISSUER, too"),
        ({"AUDIENCE": ""}, "LASTGANG_TRUSTED_AUDIENCE must be"),
        ({"KEYS_URL": "http://sso.test"}, "LASTGANG_TRUSTED_KEYS_URL must be"),
        ({"SCOPE_CLAIMS": "scp,,roles"}, "LASTGANG_TRUSTED_SCOPE_CLAIMS must be"),
        ({"GRANTS": ""}, "LASTGANG_TRUSTED_GRANTS must say"),
        ({"GRANTS": '{"a": "forecasts"}'}, "LASTGANG_TRUSTED_GRANTS: There is no scope 'forecasts'"),
    ],
)
def test_settings_that_cannot_be_used(changed: dict[str, str], sentence: str) -> None:
    """A setting that would trust nobody, or too many, stops the start with a sentence that names it."""
    given = SETTINGS | {f"LASTGANG_TRUSTED_{name}": value for name, value in changed.items()}
    assert trusted_issuer(load_settings(SETTINGS)) is not None
    with pytest.raises(SettingsError, match=sentence):
        trusted_issuer(load_settings(given))


def test_settings_about_nobody_and_about_ourselves() -> None:
    """Without the settings nobody else is trusted; our own name is not another issuer's; http is for development."""
    assert trusted_issuer(load_settings({})) is None
    with pytest.raises(SettingsError, match="are the same"):
        trusted_issuer(load_settings(SETTINGS | {"LASTGANG_ISSUER": SETTINGS["LASTGANG_TRUSTED_ISSUER"]}))
    with pytest.raises(SettingsError, match="LASTGANG_TRUSTED_GRANTS=not JSON"):
        load_settings({"LASTGANG_TRUSTED_GRANTS": "not JSON"})
    local = SETTINGS | {"LASTGANG_TRUSTED_ISSUER": "http://localhost:8080/realms/x"}
    assert trusted_issuer(load_settings(local)) is not None
    with pytest.raises(SettingsError, match="LASTGANG_TRUSTED_ISSUER must be"):
        trusted_issuer(load_settings(local | {"LASTGANG_ENV": "production"}))
    with pytest.raises(UnusableIssuer):
        Trust("https://sso.test", "lastgang", "JWT", [], GRANTS)


EXAMPLES = re.findall(r"^```sh\n(.*?)^```", (PROJECT / "docs" / "tokens.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=["Entra ID", "Keycloak", "Lastgang"])
def test_the_examples_of_the_documentation(example: str) -> None:
    """The settings that stand there can be used as they are, in production, too."""
    given = dict(line.split("=", 1) for line in shlex.split(example, comments=True))
    assert set(given) >= {"LASTGANG_TRUSTED_ISSUER", "LASTGANG_TRUSTED_AUDIENCE", "LASTGANG_TRUSTED_GRANTS"}
    assert trusted_issuer(load_settings(given | {"LASTGANG_ENV": "production"})) is not None


LOCAL = Tokens([b"0123456789abcdef-and-a-key-of-the-tests"], "lastgang", "lastgang", timedelta(hours=1))


def test_the_issuer_in_the_token_chooses_who_verifies_it(there: Issuer, tmp_path: Path) -> None:
    """Local tokens go on as before; the other issuer's are good without a user here, and never are one."""
    with prepared(url_of(tmp_path)) as database:
        _choose(there, UserStore(database, lambda: NOW - timedelta(days=1)))


def _choose(there: Issuer, users: UserStore) -> None:
    users.add("ada", "hash", {"forecast"})
    authenticate = Authenticator(LOCAL, users._database, lambda: NOW, trusted=trusting(there))
    ada = asyncio.run(authenticate(LOCAL.issue("ada", NOW, client="web", scopes={"forecast"})))
    assert (ada.name, sorted(ada.scopes)) == ("ada", ["forecast"])
    other = asyncio.run(authenticate(signed(claims(there, sub="ada", scope="tester"))))
    assert (other.name, sorted(other.scopes), other.created_at) == (f"{there.url}#ada", ["backtest"], None)
    theirs = signed(claims(there, sub="ada"))
    assert asyncio.run(authenticate(theirs)) == asyncio.run(authenticate(theirs))
    users.set_disabled("ada", disabled=True)
    assert asyncio.run(authenticate(signed(claims(there, sub="ada")))).name == f"{there.url}#ada"
    for token in (
        signed(claims(there, iss="lastgang")),
        signed(claims(there, iss="lastgang", sub="ada"), kid=next(iter(LOCAL.keys))),
        Tokens([b"0123456789abcdef-and-a-key-of-the-tests"], there.url, "lastgang", timedelta(hours=1)).issue(
            "ada", NOW, client="web", scopes={"forecast"}
        ),
        "garbage",
    ):
        with pytest.raises(InvalidToken):
            asyncio.run(authenticate(token))


@pytest.fixture
def provider() -> Iterator[str]:
    """Run a whole OpenID provider, that others wrote; give its address."""
    with warnings.catch_warnings(record=True):  # Authlib tells that its own parts will be renamed
        mock = importlib.import_module("oidc_provider_mock")
    shaped = {"typ": "Bearer", "azp": "web", "realm_access": {"roles": ["forecaster"]}}
    people = [mock.User(sub="alice", claims=shaped), mock.User(sub="bob", claims={"roles": ["forecaster"]})]
    with mock.run_server_in_thread(user_claims=people) as server:
        yield f"http://localhost:{server.server_port}"


def logged_in(provider: str, subject: str) -> dict[str, Any]:
    """Log in at the provider, as a browser and its application do; return its tokens."""
    about = httpx.get(f"{provider}{DISCOVERY}").json()
    back = "http://localhost/back"
    asked = {"client_id": "lastgang", "redirect_uri": back, "response_type": "code", "scope": "openid"}
    answer = httpx.post(about["authorization_endpoint"], params=asked, data={"sub": subject})
    code = httpx.URL(answer.headers["location"]).params["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "client_id": "lastgang"}
    tokens: dict[str, Any] = httpx.post(about["token_endpoint"], data=form | {"client_secret": "x"}).json()
    return tokens


@pytest.mark.filterwarnings("ignore:get_jwt_config:DeprecationWarning")
def test_a_provider_that_others_wrote(provider: str) -> None:
    """Its discovery, its keys and its signatures are understood; its ID token and its opaque tokens are refused."""
    trust = Trust(provider, "lastgang", "JWT", ["realm_access.roles", "roles"], GRANTS, plain_http=True)
    trusted = TrustedIssuer(trust, IssuerKeys(provider, plain_http=True))
    alice, bob = (logged_in(provider, name) for name in ("alice", "bob"))
    now = datetime.now(UTC)
    assert verify(trusted, alice["id_token"], now).scopes == GRANTS["forecaster"]  # it has the form of Keycloak's
    assert reason(trusted, bob["id_token"], now) == "not an access token"
    for opaque in (alice["access_token"], alice["refresh_token"]):
        assert not trusted.issued(opaque)
        assert reason(trusted, opaque, now) == "form"


@pytest.fixture
def lastgang() -> Iterator[tuple[str, Tokens]]:
    """Run the key set of another Lastgang; give its address, and what signs there."""
    app, address = FastAPI(), "https://other.lastgang.test"
    tokens = Tokens([signing_key(private_pem("RSA 3072"), "RS256")], address, "lastgang", timedelta(minutes=5))
    publish_keys(app, lambda: tokens)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    listener = server.config.bind_socket()
    listener.listen()
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}", tokens
    server.should_exit = True
    thread.join()
    listener.close()


def test_another_lastgang(lastgang: tuple[str, Tokens]) -> None:
    """The tokens of one installation are good at another that trusts it and is told where its keys are."""
    keys_url, tokens = lastgang
    settings = {
        "LASTGANG_TRUSTED_ISSUER": tokens.issuer,
        "LASTGANG_TRUSTED_AUDIENCE": "lastgang",
        "LASTGANG_TRUSTED_KEYS_URL": keys_url,
        "LASTGANG_TRUSTED_GRANTS": '{"forecast": "forecast"}',
    }
    trusted = trusted_issuer(load_settings(settings))
    assert trusted is not None
    now = datetime.now(UTC)
    said = verify(trusted, tokens.issue("ada", now, client="web", scopes={"forecast", "users:admin"}), now)
    assert (said.subject, sorted(said.scopes)) == (f"{tokens.issuer}#ada", ["forecast"])
