"""Clients log in by their secrets, users stay logged in by refresh tokens, tokens can be taken back and asked about."""

import asyncio
import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from threading import Barrier
from typing import Any

import httpx
import pytest
from databases import prepared, throttle_of
from desks import IDLE, LONGEST, desk_on
from frozen import Clock

from auth.access import Access, Needs, Without
from auth.administration import Change
from auth.app import create_app
from auth.budgets import Budget
from auth.clients import Client, ClientStore, canonical_id
from auth.database import Database, open_database
from auth.errors import (
    ClientExists,
    InvalidClient,
    InvalidClientId,
    InvalidGrant,
    InvalidScope,
    InvalidToken,
    InvalidTokenRequest,
    LimitReached,
    UnknownClient,
    UnsupportedGrant,
)
from auth.grants import Asked
from auth.metadata import PATH as METADATA
from auth.metadata import describe
from auth.middleware import Authenticator, AuthMiddleware
from auth.passwords import Passwords
from auth.refresh import KEPT, RefreshTokens
from auth.refresh import Access as AccessOfRefresh
from auth.tables import REFRESH_TOKENS, REVOKED
from auth.tokens import Tokens
from auth.users import UserStore

NOW = datetime(2026, 5, 4, 8, 15, 0, 250_000, tzinfo=UTC)
START = NOW.replace(microsecond=0)
HOUR = timedelta(hours=1)
TOKENS = Tokens([sha256(b"key").digest()], "https://lastgang.test", "lastgang", HOUR)
PASSWORD = "correct horse battery"
LOG_IN = {"username": "ada", "password": PASSWORD, "scope": "offline_access"}
METER, PROBE = "client:meter-gateway", "client:probe"
NEEDS: dict[tuple[str, str], Needs] = {
    **dict.fromkeys([("POST", "/token"), ("POST", "/revoke"), ("POST", "/introspect")], Without.GATE),
    ("GET", "/users/me"): Without.SCOPE,
    ("GET", METADATA): Without.TOKEN,
}


@dataclass
class Place:
    """The application behind the gate, on a database, at a time that the test sets."""

    database: Database
    passwords: Passwords
    clock: Clock
    secrets: dict[str, str] = field(default_factory=dict)
    desk: dict[str, Any] = field(default_factory=dict)

    def request(self, method: str, path: str, database: Database | None = None, **options: Any) -> httpx.Response:
        """Send one request, to another worker if it has another connection; what is raised is raised here."""
        where = database or self.database
        desk = desk_on(where, self.passwords, TOKENS, self.clock, throttle_of(where), **self.desk)
        app = create_app(lambda: desk)
        describe(app, TOKENS.issuer, "https://localhost:8443", lambda: desk.grants.names)
        gate = AuthMiddleware(app, authenticate=Authenticator(TOKENS, where, self.clock), access=Access(NEEDS))

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(gate)
            async with httpx.AsyncClient(transport=transport, base_url="https://lastgang.test") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    def token(self, client: str | None = None, **form: str) -> dict[str, Any]:
        """Ask for a token; return the answer."""
        reply = self.request("POST", "/token", data=form, auth=self.auth(client))
        assert reply.status_code == 200
        assert reply.headers["cache-control"] == "no-store"
        answer: dict[str, Any] = reply.json()
        return answer

    def auth(self, client: str | None) -> tuple[str, str] | None:
        """Return what the client shows."""
        return None if client is None else (client, self.secrets[client])

    def log_in(self, client: str | None = None, **form: str) -> dict[str, Any]:
        """Log ada in, with a refresh token."""
        return self.token(client, **(LOG_IN | form))

    def refresh(self, token: str, client: str | None = None, **form: str) -> dict[str, Any]:
        """Bring a refresh token."""
        return self.token(client, grant_type="refresh_token", refresh_token=token, **form)

    def is_good(self, token: str, database: Database | None = None) -> bool:
        """Tell whether an access token opens a route."""
        try:
            self.request("GET", "/users/me", database, headers={"Authorization": f"Bearer {token}"})
        except InvalidToken:
            return False
        return True

    def introspect(self, token: str, client: str = PROBE) -> dict[str, Any]:
        """Ask about a token as a client that may ask about all."""
        reply = self.request("POST", "/introspect", data={"token": token}, auth=self.auth(client))
        answer: dict[str, Any] = reply.json()
        return answer

    def revoke(self, token: str, client: str | None = None) -> httpx.Response:
        """Take a token back."""
        return self.request("POST", "/revoke", data={"token": token}, auth=self.auth(client))


@pytest.fixture(scope="module")
def passwords() -> Iterator[Passwords]:
    quick = Passwords(memory=64, passes=1)
    yield quick
    quick.close()


@pytest.fixture
def place(database_url: str, passwords: Passwords) -> Iterator[Place]:
    with prepared(database_url) as database:
        clock = Clock(NOW)
        UserStore(database, clock).add("ada", passwords.hash(PASSWORD), {"forecast", "models:read"})
        clients = ClientStore(database, clock)
        secrets = {METER: clients.add(METER, {"forecast"})[1], PROBE: clients.add("probe", {"tokens:introspect"})[1]}
        yield Place(database, passwords, clock, secrets)


# Clients.


@pytest.mark.parametrize("name", ["meter", "client:meter", "METER", "Client:Meter"])
def test_ids_of_clients(name: str) -> None:
    """The prefix may be left out, and upper and lower case are one."""
    assert canonical_id(name) == "client:meter"


@pytest.mark.parametrize("name", ["", "client:", "a b", "client:client:a", "a:b", "-a", "ä", "a@b", "a" * 58, "a\n"])
def test_no_ids_of_clients(place: Place, name: str) -> None:
    """Nothing else is one, and no user's name can be one."""
    clients = ClientStore(place.database)
    with pytest.raises(InvalidClientId):
        clients.add(name)
    with pytest.raises(UnknownClient):
        clients.remove(name)


def test_a_client_as_stored(place: Place) -> None:
    """Only a hash of the secret is stored; the secret has 256 random bits and a prefix that scanners know."""
    clients = ClientStore(place.database, place.clock)
    client, secret = clients.add("Roof", {"forecast:gru"})
    assert client == Client("client:roof", client.secret_hash, False, START, START, frozenset({"forecast:gru"}))
    assert secret.startswith("lgc_")
    assert len(base64.urlsafe_b64decode(secret.removeprefix("lgc_") + "=")) == 32
    assert secret not in repr(client)
    assert client.secret_hash == sha256(secret.encode()).hexdigest()
    assert [one.id for one in clients.all()] == [METER, PROBE, "client:roof"]
    with pytest.raises(ClientExists):
        clients.add("roof")


def test_a_client_gets_a_token(place: Place) -> None:
    """Its subject is the client itself; there is no refresh token, as the client has its secret."""
    answer = place.token(METER, grant_type="client_credentials")
    claims = TOKENS.verify(answer["access_token"], NOW)
    assert (claims.subject, claims.client, claims.scopes) == (METER, METER, frozenset({"forecast"}))
    assert answer.keys() == {"access_token", "token_type", "expires_in", "scope"}
    me = place.request("GET", "/users/me", headers={"Authorization": f"Bearer {answer['access_token']}"}).json()
    assert (me["username"], me["scopes"]) == (METER, ["forecast"])


@pytest.mark.parametrize("quoted", ["client%3Ameter-gateway", "client:meter-gateway", "client%3ameter%2Dgateway"])
def test_the_colon_in_the_header(place: Place, quoted: str) -> None:
    """The id is taken form-encoded, as RFC 6749 asks, and as it is, as many clients send it."""
    shown = base64.b64encode(f"{quoted}:{place.secrets[METER]}".encode()).decode()
    for scheme in ("Basic", "basic", "BASIC"):
        headers = {"Authorization": f"{scheme} {shown}"}
        reply = place.request("POST", "/token", data={"grant_type": "client_credentials"}, headers=headers)
        assert reply.status_code == 200


def test_the_secret_in_the_form(place: Place) -> None:
    """A client may send its id and secret as fields, but not both ways at once."""
    form = {"grant_type": "client_credentials", "client_id": METER, "client_secret": place.secrets[METER]}
    assert place.token(None, **form)["scope"] == "forecast"
    with pytest.raises(InvalidTokenRequest, match="use one of them"):
        place.token(METER, **form)


@pytest.mark.parametrize(
    "client, secret",
    [
        (METER, "wrong"),
        (METER, ""),
        ("client:nobody", "wrong"),
        ("client:meter-gatewa", None),
        (METER.upper(), None),
        ("client:' OR 1=1", "x"),
        (PROBE, None),
    ],
)
def test_a_client_that_is_not_known(place: Place, client: str, secret: str | None) -> None:
    """A wrong secret, an unknown client and no client are refused alike, in the header and in the form."""
    secret = place.secrets[METER] if secret is None else secret
    form = {"grant_type": "client_credentials"}
    with pytest.raises(InvalidClient):
        place.request("POST", "/token", data=form, auth=(client, secret))
    with pytest.raises(InvalidClient):
        place.request("POST", "/token", data=form | {"client_id": client, "client_secret": secret})


@pytest.mark.parametrize("header", ["Basic", "Basic %%%", "Basic Og==", "Basic YWRhOmFkYQ==", "Digest x", "Basic gA=="])
def test_what_names_no_client(place: Place, header: str) -> None:
    """A header that is no client's is as good as none: a log-in goes on, and a client's own token is refused."""
    headers = {"Authorization": header}
    assert place.request("POST", "/token", data=LOG_IN, headers=headers).status_code == 200
    with pytest.raises(InvalidClient):
        place.request("POST", "/token", data={"grant_type": "client_credentials"}, headers=headers)


def test_two_headers(place: Place) -> None:
    """Two headers could be read differently by a proxy."""
    with pytest.raises(InvalidTokenRequest):
        place.request("POST", "/token", data=LOG_IN, headers=[("Authorization", "Basic eA=="), ("Authorization", "x")])


@pytest.mark.parametrize("change", ["disabled", "secret", "removed"])
def test_a_client_is_shut_out_at_once(place: Place, change: str) -> None:
    """Its open token is refused at the next request, by another worker too, and it gets no other."""
    clients = ClientStore(place.database, place.clock)
    token = place.token(METER, grant_type="client_credentials")["access_token"]
    assert place.is_good(token)
    if change == "disabled":
        clients.set_disabled("meter-gateway", disabled=True)
    elif change == "secret":
        clients.renew_secret("meter-gateway")
    else:
        clients.remove("meter-gateway")
    assert not place.is_good(token)
    with pytest.raises(InvalidClient):
        place.token(METER, grant_type="client_credentials")


def test_a_new_secret_works_at_once(place: Place) -> None:
    """A token got in the very second of the change is good."""
    place.secrets[METER] = ClientStore(place.database, place.clock).renew_secret(METER)
    assert place.is_good(place.token(METER, grant_type="client_credentials")["access_token"])


def test_scopes_of_a_client(place: Place) -> None:
    """It gets what it asks for of what was granted; a scope that is taken away counts at once."""
    assert place.token(METER, grant_type="client_credentials", scope="forecast:gru")["scope"] == "forecast:gru"
    with pytest.raises(InvalidScope):
        place.token(METER, grant_type="client_credentials", scope="models:read")
    token = place.token(METER, grant_type="client_credentials")["access_token"]
    ClientStore(place.database).set_scopes(METER, {"metrics"})
    me = place.request("GET", "/users/me", headers={"Authorization": f"Bearer {token}"}).json()
    assert me["scopes"] == []


def test_a_client_logs_a_user_in(place: Place) -> None:
    """The token is good for what both may do, as long as both may do it."""
    answer = place.log_in(METER, scope="")
    claims = TOKENS.verify(answer["access_token"], NOW)
    assert (claims.subject, claims.client, claims.scopes) == ("ada", METER, frozenset({"forecast"}))
    with pytest.raises(InvalidScope):
        place.log_in(METER, scope="models:read")
    ClientStore(place.database).set_disabled(METER, disabled=True)
    assert not place.is_good(answer["access_token"])


def test_without_passwords(place: Place) -> None:
    """Where the settings switch the password grant off, a right password is refused like any other unknown grant."""
    place.desk = {"password_grant": False}
    with pytest.raises(UnsupportedGrant, match="client_credentials, refresh_token; not 'password'"):
        place.log_in()
    assert place.token(METER, grant_type="client_credentials")["scope"] == "forecast"


# Refresh tokens.


def test_only_who_asks_gets_a_refresh_token(place: Place) -> None:
    """The field `scope` asks for it; the scope is not one of the token's, and alone asks for all others too."""
    assert "refresh_token" not in place.log_in(scope="forecast")
    answer = place.log_in(scope="forecast offline_access")
    assert answer["scope"] == "forecast"
    assert answer["refresh_token"].startswith("lgr_")
    assert place.log_in()["scope"] == "forecast models:read"
    place.desk = {"refreshing": False}
    assert "refresh_token" not in place.log_in()
    with pytest.raises(UnsupportedGrant):
        place.refresh(answer["refresh_token"])


def test_each_is_good_once(place: Place) -> None:
    """Each use gives the next one, and an access token."""
    answer = place.log_in()
    seen = {answer["refresh_token"]}
    for _ in range(3):
        place.clock.now += HOUR
        answer = place.refresh(answer["refresh_token"])
        assert place.is_good(answer["access_token"])
        seen.add(answer["refresh_token"])
    assert len(seen) == 4


def test_only_hashes_are_stored(place: Place) -> None:
    """Who reads the database can bring no refresh token."""
    token = place.log_in()["refresh_token"]
    with place.database.engine.connect() as connection:
        (row,) = connection.execute(REFRESH_TOKENS.select()).all()
    assert row.hash == sha256(token.encode()).hexdigest()
    assert token not in str(row)


def test_a_second_use_ends_the_family(place: Place) -> None:
    """Owner or thief: when one refresh token comes twice, everything from that log-in is over, and no other log-in."""
    other, first = place.log_in(), place.log_in()
    second = place.refresh(first["refresh_token"])
    assert place.is_good(first["access_token"])
    for _ in range(2):
        with pytest.raises(InvalidGrant):
            place.refresh(first["refresh_token"])
    with pytest.raises(InvalidGrant):
        place.refresh(second["refresh_token"])
    assert not place.is_good(first["access_token"])
    assert not place.is_good(second["access_token"])
    assert place.is_good(other["access_token"])
    assert place.refresh(other["refresh_token"])


def test_a_second_use_ends_the_family_whenever_it_comes(place: Place) -> None:
    """A used token tells of a thief also when it would no longer be good itself."""
    first = place.log_in()
    place.clock.now += IDLE / 2
    second = place.refresh(first["refresh_token"])
    place.clock.now += IDLE * 3 / 4
    with pytest.raises(InvalidGrant):
        place.refresh(first["refresh_token"])
    with pytest.raises(InvalidGrant):
        place.refresh(second["refresh_token"])


def test_of_two_at_once_one_succeeds_at_most(place: Place) -> None:
    """Threads that bring one refresh token at the same time never get two families."""
    token = place.log_in()["refresh_token"]
    refresh = RefreshTokens(place.database, IDLE, LONGEST)

    def exchange(number: int) -> bool:
        try:
            refresh.exchange(token, "anyone", AccessOfRefresh(f"{number:032x}", NOW + HOUR), NOW)
        except InvalidGrant:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(exchange, range(8))) == 1


def test_a_family_ends_whole_however_fast_the_thief_is(place: Place) -> None:
    """A refresh token that is exchanged in the moment in which its family ends leaves nothing that is good."""
    refresh = RefreshTokens(place.database, IDLE, LONGEST)
    numbers = iter(range(1_000))

    def exchange(token: str, start: Barrier) -> AccessOfRefresh | None:
        access = AccessOfRefresh(f"{next(numbers):032x}", NOW + HOUR)
        start.wait()
        try:
            refresh.exchange(token, "anyone", access, NOW)
        except InvalidGrant:
            return None
        return access

    with ThreadPoolExecutor(2) as pool:
        for _ in range(30):
            used = refresh.begin("ada", "anyone", [], AccessOfRefresh(f"{next(numbers):032x}", NOW + HOUR), NOW)
            stolen = refresh.exchange(used, "anyone", AccessOfRefresh(f"{next(numbers):032x}", NOW + HOUR), NOW)
            both = partial(exchange, start=Barrier(2))
            got = [one.id for one in pool.map(both, [used, stolen]) if one is not None]
            with place.database.engine.connect() as connection:
                assert not connection.execute(REFRESH_TOKENS.select()).all()
                assert {row.id for row in connection.execute(REVOKED.select())}.issuperset(got)


@pytest.mark.parametrize(
    "wait, good",
    [
        ([IDLE - timedelta(seconds=1)], True),
        ([IDLE], False),
        ([timedelta(hours=23)] * 31, True),
        ([timedelta(hours=23)] * 32, False),
    ],
    ids=["unused for a day", "a second longer", "used for 30 days", "a day longer"],
)
def test_lifetimes(place: Place, wait: list[timedelta], good: bool) -> None:
    """A refresh token ends if it is not used for a day, and all of them 30 days after the log-in."""
    token = place.log_in()["refresh_token"]
    try:
        for time in wait:
            place.clock.now += time
            token = place.refresh(token)["refresh_token"]
    except InvalidGrant:
        assert not good
    else:
        assert good


def test_expired_families_are_forgotten(place: Place) -> None:
    """What nobody can use any more is deleted with the next log-in."""
    place.log_in()
    place.clock.now += LONGEST
    place.log_in()
    with place.database.engine.connect() as connection:
        assert len(connection.execute(REFRESH_TOKENS.select()).all()) == 1


@pytest.mark.parametrize("change", ["disabled", "password", "removed"])
def test_a_change_of_the_user_ends_it(place: Place, change: str) -> None:
    """Who is disabled, removed or has a new password is not refreshed."""
    token, users = place.log_in()["refresh_token"], UserStore(place.database, place.clock)
    if change == "disabled":
        users.set_disabled("ada", disabled=True)
    elif change == "password":
        users.set_password_hash("ada", "another")
    else:
        users.remove("ada")
    with pytest.raises(InvalidGrant):
        place.refresh(token)


@pytest.mark.parametrize("over_http", [True, False])
def test_who_is_let_in_again_has_to_log_in(place: Place, over_http: bool) -> None:
    """The refresh tokens of who was disabled do not come back; to enable who is enabled takes none away."""
    token, users = place.log_in()["refresh_token"], UserStore(place.database, place.clock)

    def set_disabled(*, disabled: bool) -> None:
        if over_http:
            users.change("ada", lambda _: None, disabled=disabled)
        else:
            users.set_disabled("ada", disabled=disabled)

    set_disabled(disabled=False)
    token = place.refresh(token)["refresh_token"]
    set_disabled(disabled=True)
    set_disabled(disabled=False)
    with pytest.raises(InvalidGrant):
        place.refresh(token)
    assert place.log_in()


def test_a_client_asks_for_no_more_tokens_than_requests(place: Place) -> None:
    """What it may send in a minute counts here, too; others are not kept out."""
    budget = Budget(throttle_of(place.database)._counters, "requests", 3, 60, NOW.timestamp)
    place.desk = {"requests": budget}
    for _ in range(3):
        place.token(METER, grant_type="client_credentials")
    with pytest.raises(LimitReached):
        place.token(METER, grant_type="client_credentials")
    with pytest.raises(LimitReached):
        place.request("POST", "/introspect", data={"token": "x"}, auth=place.auth(METER))
    assert place.log_in()
    assert place.token(PROBE, grant_type="client_credentials")


def test_the_scope_of_the_log_in_may_be_asked_for_again(place: Place) -> None:
    """Also with the word that made the refresh token."""
    answer = place.log_in(scope="offline_access forecast")
    assert place.refresh(answer["refresh_token"], scope="offline_access forecast")["scope"] == "forecast"


def test_a_name_that_no_database_can_hold(place: Place) -> None:
    """It is an unknown client, not a failure; PostgreSQL knows no NUL."""
    with pytest.raises(InvalidClient):
        place.request("POST", "/token", data={"client_id": "client:\0", "client_secret": "x"})


def test_what_a_form_says_in_secret_is_in_no_log() -> None:
    """Neither a password nor a refresh token is shown by what holds them."""
    assert "nightingale" not in repr(Asked(password="nightingale", refresh_token="nightingale"))
    assert "nightingale" not in repr(Change(password="nightingale"))


def test_scopes_of_a_refreshed_token(place: Place) -> None:
    """Less can be asked for, more cannot; what the user has lost is not given again."""
    answer = place.refresh(place.log_in()["refresh_token"], scope="forecast:gru")
    assert answer["scope"] == "forecast:gru"
    answer = place.refresh(answer["refresh_token"])
    assert answer["scope"] == "forecast models:read"
    with pytest.raises(InvalidScope):
        place.refresh(answer["refresh_token"], scope="metrics")
    UserStore(place.database).revoke("ada", {"models:read"})
    assert place.refresh(answer["refresh_token"])["scope"] == "forecast"  # a refusal did not use it up


def test_a_refresh_token_is_its_clients(place: Place) -> None:
    """No other client can use it, nor can anyone who shows no client; its own one can, afterwards too."""
    token = place.log_in(METER)["refresh_token"]
    for client in (None, PROBE):
        with pytest.raises(InvalidGrant):
            place.refresh(token, client)
    assert place.refresh(token, METER)["scope"] == "forecast"
    nobodys = place.log_in()["refresh_token"]
    with pytest.raises(InvalidGrant):
        place.refresh(nobodys, METER)


@pytest.mark.parametrize("token", ["x", "lgr_" + "A" * 43, "\xed\xa0\x80", "\0"])
def test_no_refresh_token(place: Place, token: str) -> None:
    """Any other text is refused."""
    with pytest.raises(InvalidGrant):
        place.refresh(token)


def test_an_access_token_is_none(place: Place) -> None:
    """Nor can one be used as the other."""
    answer = place.log_in()
    with pytest.raises(InvalidGrant):
        place.refresh(answer["access_token"])
    assert not place.is_good(answer["refresh_token"])


# Revocation.


def test_an_access_token_is_taken_back(place: Place, database_url: str) -> None:
    """It is refused at the next request, by every worker, and no other token is."""
    answer, other = place.log_in(), place.log_in()
    with open_database(database_url) as another:
        assert place.is_good(answer["access_token"], another)
        reply = place.revoke(answer["access_token"])
        assert (reply.status_code, reply.content) == (200, b"")
        assert not place.is_good(answer["access_token"], another)
    assert not place.is_good(answer["access_token"])
    assert place.is_good(other["access_token"])
    assert place.revoke(answer["access_token"]).status_code == 200


@pytest.mark.parametrize("which", [0, 1])
def test_a_refresh_token_is_taken_back(place: Place, which: int) -> None:
    """With it, the last one or one before, go the access tokens of its log-in (RFC 7009, section 2.1)."""
    first = place.log_in()
    second = place.refresh(first["refresh_token"])
    assert place.revoke((first, second)[which]["refresh_token"]).status_code == 200
    assert not place.is_good(first["access_token"])
    assert not place.is_good(second["access_token"])
    with pytest.raises(InvalidGrant):
        place.refresh(second["refresh_token"])


def test_only_its_client_takes_a_token_back(place: Place) -> None:
    """Of a token that was issued to a client, another one is told that it is not the right client."""
    answer = place.log_in(METER)
    for token in (answer["access_token"], answer["refresh_token"]):
        for client in (None, PROBE):
            with pytest.raises(InvalidClient):
                place.revoke(token, client)
    assert place.is_good(answer["access_token"])
    assert place.revoke(answer["access_token"], METER).status_code == 200
    assert not place.is_good(answer["access_token"])


@pytest.mark.parametrize("token", ["x", "lgr_x", "a.b.c"])
def test_what_is_not_good_is_no_error(place: Place, token: str) -> None:
    """A token that nobody knows is as if it were taken back already."""
    assert place.revoke(token).status_code == 200


def test_revocations_are_forgotten_when_they_expire(place: Place) -> None:
    """A token that expired long ago need not be known as revoked."""
    first = place.log_in()["access_token"]
    place.revoke(first)
    place.clock.now += HOUR + KEPT  # see decision 116
    place.revoke(place.log_in()["access_token"])
    with place.database.engine.connect() as connection:
        ids = [row.id for row in connection.execute(REVOKED.select())]
    assert len(ids) == 1
    assert TOKENS.verify(first, NOW).id not in ids


# Introspection.


def test_an_access_token_is_told_of(place: Place) -> None:
    """What stands in it, and what it is good for now."""
    token = place.log_in()["access_token"]
    UserStore(place.database).revoke("ada", {"models:read"})
    second = int(START.timestamp())
    assert place.introspect(token) == {
        "active": True,
        "scope": "forecast",
        "client_id": "anyone",
        "username": "ada",
        "token_type": "bearer",
        "exp": second + 3600,
        "iat": second,
        "sub": "ada",
        "aud": "lastgang",
        "iss": "https://lastgang.test",
        "jti": TOKENS.verify(token, NOW).id,
    }


def test_a_refresh_token_is_told_of(place: Place) -> None:
    """When the user logged in, and when it ends."""
    token = place.log_in(METER)["refresh_token"]
    told = place.introspect(token)
    assert (told["active"], told["token_type"], told["scope"]) == (True, "refresh_token", "forecast")
    assert told["exp"] - told["iat"] == LONGEST.total_seconds()
    ClientStore(place.database).set_disabled(METER, disabled=True)
    assert place.introspect(token) == {"active": False}


@pytest.mark.parametrize("change", ["revoked", "disabled", "expired", "used"])
def test_what_is_no_longer_good_is_told_nothing_of(place: Place, change: str) -> None:
    """Of a token that is not good only that is said, whatever the reason."""
    answer = place.log_in()
    if change == "revoked":
        place.revoke(answer["refresh_token"])
    elif change == "disabled":
        UserStore(place.database).set_disabled("ada", disabled=True)
    elif change == "expired":
        place.clock.now += LONGEST
    else:
        place.refresh(answer["refresh_token"])
    tokens = [answer["refresh_token"], "x", *([] if change == "used" else [answer["access_token"]])]
    assert [place.introspect(token) for token in tokens] == [{"active": False}] * len(tokens)


def test_a_client_may_ask_about_its_own(place: Place) -> None:
    """Without the scope it is told of its own tokens, and of others what is told of any text."""
    own = place.token(METER, grant_type="client_credentials")["access_token"]
    assert place.introspect(own, METER)["sub"] == METER
    assert "username" not in place.introspect(own, METER)
    assert place.introspect(place.log_in()["access_token"], METER) == {"active": False}
    with pytest.raises(InvalidClient):
        place.request("POST", "/introspect", data={"token": own})
    for path in ("/introspect", "/revoke"):
        with pytest.raises(InvalidTokenRequest):
            place.request("POST", path, auth=place.auth(METER))


# Metadata.


def test_metadata(place: Place) -> None:
    """A program finds the routes by the issuer, never by the header Host."""
    told = place.request("GET", METADATA, headers={"Host": "evil.example"}).json()
    assert told["issuer"] == "https://lastgang.test"
    assert told["token_endpoint"] == "https://lastgang.test/token"
    assert told["grant_types_supported"] == ["password", "client_credentials", "refresh_token"]
    assert "evil" not in str(told)
    place.desk = {"password_grant": False, "refreshing": False}
    assert place.request("GET", METADATA).json()["grant_types_supported"] == ["client_credentials"]
