"""Tokens over TLS: hostile ones, a key exchanged between two starts, and one service that trusts another."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from e2e.raw import exchange, request
from e2e.running import LAUNCH, PASSWORD, READY, Place, Running, free_port, run
from issuing import installation

from auth import issuer_keys
from auth.errors import InvalidToken
from auth.issuer_keys import IssuerKeys
from auth.trusted import Trust, TrustedIssuer
from benchmarks.forgeries import forgeries

HEADER_LIMIT = 60_000  # bytes; the server itself answers to longer headers
EACH = 9  # of the forgeries one in so many is sent; `test_hostile_tokens.py` sends them all, without a server


@pytest.fixture(scope="module")
def tokens(server: Running, place: Place) -> dict[str, str]:
    """Give hostile tokens for the shared service, and a good one; of its keys only the secret is one."""
    secret = (place.home / "signing.key").read_text().strip().encode()
    there = installation(secret, int(datetime.now(UTC).timestamp()))
    return dict(list(forgeries(there).items())[::EACH]) | {"good": there.hs256()}


def test_hostile_tokens_over_tls(place: Place, tokens: dict[str, str]) -> None:
    """What the server lets through is refused as it is without a server; the rest gets no further than the server."""
    wrong = {}
    for name, token in tokens.items():
        sent = request("GET", "/users/me", f"Authorization: Bearer {token}")
        answer = exchange(place, sent)
        got = (answer.status, answer.headers.get("www-authenticate"))
        good = (200, None) if name == "good" else (401, 'Bearer error="invalid_token"')
        by_the_server = (len(sent) > HEADER_LIMIT or "\0" in token) and answer.status < 500
        if got != good and not by_the_server:
            wrong[name] = got
    assert not wrong


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, store: Path) -> tuple[Place, dict[str, str]]:
    """Give the place of a service that signs with ES256 and has a URL for its name."""
    place = Place(tmp_path_factory.mktemp("issuing"), store, free_port())
    settings = {"LASTGANG_SIGNING_ALGORITHM": "ES256", "LASTGANG_ISSUER": place.url, "LASTGANG_WORKERS": "1"}
    user = {"LASTGANG_FIRST_USER": "ada", "LASTGANG_FIRST_PASSWORD": PASSWORD}
    return place, place.environment(**settings, **user)


def kids_of(place: Place) -> list[str]:
    """Return the ids of the keys that a service publishes."""
    with place.client() as anyone:
        return [key["kid"] for key in anyone.get("/.well-known/jwks.json").raise_for_status().json()["keys"]]


def test_a_key_is_exchanged_and_another_service_follows(
    other: tuple[Place, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was logged in before the exchange still is after it, here and where this service is trusted."""
    place, environment = other
    with Running(LAUNCH, environment) as first:
        first.wait_for(READY)
        before, old = place.log_in("ada", PASSWORD), kids_of(place)
        assert first.stop() == 0
    assert "Restart" in run([sys.executable, "-m", "auth", "key", "rotate"], environment)
    with Running(LAUNCH, environment) as second:
        second.wait_for(READY)
        after, new = place.log_in("ada", PASSWORD), kids_of(place)
        for token in (before, after):
            with place.client(token) as ada:
                assert ada.get("/users/me").json()["username"] == "ada"
        assert (len(old), len(new)) == (1, 2)
        assert set(old) < set(new)

        monkeypatch.setenv("SSL_CERT_FILE", str(place.home / "tls.crt"))
        issuer_keys._tls.cache_clear()
        trust = Trust(place.url, "lastgang", "at+jwt", ["scope"], {"forecast": frozenset({"forecast"})})
        trusted = TrustedIssuer(trust, IssuerKeys(place.url, f"{place.url}/.well-known/jwks.json"))
        assert asyncio.run(_verify(trusted, before, after)) == [f"{place.url}#ada"] * 2
        assert second.stop() == 0
    issuer_keys._tls.cache_clear()


async def _verify(trusted: TrustedIssuer, *tokens: str) -> list[str]:
    """Return whose they are; a token of nobody's key is refused all the same."""
    now = datetime.now(UTC)
    subjects = [(await trusted.verify(token, now)).subject for token in tokens]
    with pytest.raises(InvalidToken):
        await trusted.verify(tokens[0][:-8] + "A" * 8, now)
    return subjects
