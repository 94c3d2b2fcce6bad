"""The log-in gives tokens for right passwords only, in the words of the golden file; /users/me says who asks."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from databases import prepared, throttle_of, url_of
from desks import desk_on

from auth.access import Access, Needs, Without
from auth.app import create_app
from auth.desk import TokenDesk
from auth.errors import (
    AuthError,
    InvalidClient,
    InvalidCredentials,
    InvalidScope,
    InvalidToken,
    InvalidTokenRequest,
    NotAuthenticated,
    PasswordChecksBusy,
    UnsupportedGrant,
)
from auth.middleware import Authenticator, AuthMiddleware
from auth.passwords import Passwords
from auth.throttle import Throttle
from auth.tokens import Tokens
from auth.users import UserStore

NOW = datetime(2026, 5, 4, 8, 15, 0, 250_000, tzinfo=UTC)
START = NOW.replace(microsecond=0)
TOKENS = Tokens([sha256(b"key").digest()], "lastgang", "lastgang", timedelta(minutes=30))
PASSWORD = "correct horse battery"
NEEDS: dict[tuple[str, str], Needs] = {
    **dict.fromkeys([("POST", "/token"), ("POST", "/revoke"), ("POST", "/introspect")], Without.GATE),
    ("GET", "/users/me"): Without.SCOPE,
}
FORM = {"username": "ada", "password": PASSWORD}


@pytest.fixture(scope="module")
def passwords() -> Iterator[Passwords]:
    quick = Passwords(memory=64, passes=1)
    yield quick
    quick.close()


@dataclass
class Site:
    """The application behind the gate, and what it stands on."""

    users: UserStore
    passwords: Passwords
    throttle: Throttle
    now: datetime = NOW
    desk: dict[str, Any] = field(default_factory=dict)

    def clock(self) -> datetime:
        """The time that the test set."""
        return self.now

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request; what the application raises is raised here."""
        desk = desk_on(self.users._database, self.passwords, TOKENS, self.clock, self.throttle, **self.desk)
        app = create_app(lambda: desk)
        gate = AuthMiddleware(
            app,
            authenticate=Authenticator(TOKENS, self.users._database, self.clock),
            access=Access(NEEDS),
        )

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(gate)
            async with httpx.AsyncClient(transport=transport, base_url="https://lastgang.test") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    def log_in(self, **form: str) -> httpx.Response:
        """Post the good form with these fields changed."""
        return self.request("POST", "/token", data=FORM | form)

    def me(self, token: str) -> httpx.Response:
        """Ask who bears the token."""
        return self.request("GET", "/users/me", headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def site(tmp_path: Path, passwords: Passwords) -> Iterator[Site]:
    with prepared(url_of(tmp_path)) as database:
        users = UserStore(database, lambda: NOW)
        users.add("Ada", passwords.hash(PASSWORD), {"forecast", "models:read"})
        yield Site(users, passwords, throttle_of(database))


@pytest.mark.parametrize("name", ["ada", "Ada", "ADA"])
def test_token(site: Site, name: str) -> None:
    """The right password, with the name in any case, gives a bearer token that nobody may keep in a cache."""
    reply = site.log_in(username=name)
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-store"
    body = reply.json()
    claims = TOKENS.verify(body.pop("access_token"), NOW)
    assert body == {"token_type": "bearer", "expires_in": 1800, "scope": "forecast models:read"}
    assert (claims.subject, claims.issued_at, claims.client) == ("ada", START, "anyone")
    assert claims.scopes == {"forecast", "models:read"}


@pytest.mark.parametrize("scope", ["forecast", "forecast:gru", "models:read forecast:cnn", "  forecast  "])
def test_a_token_for_less(site: Site, scope: str) -> None:
    """Who asks for some scopes gets a token for these and no others."""
    body = site.log_in(scope=scope).json()
    assert body["scope"] == " ".join(sorted(scope.split()))
    assert TOKENS.verify(body["access_token"], NOW).scopes == frozenset(scope.split())


@pytest.mark.parametrize(
    "scope", ["metrics", "forecast metrics", "everything", "forecast:", "backtest:gru", "FORECAST"]
)
def test_a_token_for_more(site: Site, scope: str) -> None:
    """A scope that is unknown or was not granted is refused, and only to who knows the password."""
    with pytest.raises(InvalidScope):
        site.log_in(scope=scope)
    with pytest.raises(InvalidCredentials):
        site.log_in(scope=scope, password="wrong horse battery")


def test_a_user_without_scopes(site: Site) -> None:
    """Somebody who may do nothing yet can log in all the same, to see just that."""
    site.users.revoke("ada", {"forecast", "models:read"})
    body = site.log_in().json()
    assert body["scope"] == ""
    assert site.me(body["access_token"]).json()["scopes"] == []


@pytest.mark.parametrize(
    "extra",
    [
        {"grant_type": "password"},
        {"scope": "", "client_id": "swagger", "client_secret": ""},
        {"unknown": "field"},
    ],
)
def test_other_fields(site: Site, extra: dict[str, str]) -> None:
    """The other fields of the OAuth2 form may come along."""
    assert site.log_in(**extra).status_code == 200


def test_multipart(site: Site) -> None:
    """A form sent as multipart is read too."""
    files = {name: (None, value) for name, value in FORM.items()}
    assert site.request("POST", "/token", files=files).status_code == 200


@pytest.mark.parametrize(
    "form",
    [
        {"password": "wrong horse battery"},
        {"password": PASSWORD + " "},
        {"password": "x" * 100_000},
        {"password": "a\0b"},
        {"username": "nobody"},
        {"username": "ada "},
        {"username": "ada\0"},
        {"username": "' OR 1=1 --"},
        {"username": "x" * 100_000},
        {"username": "äda"},
    ],
    ids=str,
)
def test_refused(site: Site, form: dict[str, str]) -> None:
    """A wrong password and an unknown name are refused in the same words."""
    with pytest.raises(InvalidCredentials, match=r"^Incorrect username or password$"):
        site.log_in(**form)


def test_disabled(site: Site) -> None:
    """A disabled user is refused as if the password were wrong, and let in again when enabled."""
    site.users.set_disabled("ada", disabled=True)
    with pytest.raises(InvalidCredentials):
        site.log_in()
    site.users.set_disabled("ada", disabled=False)
    assert site.log_in().status_code == 200


@pytest.mark.parametrize(
    "form, error, words",
    [
        ({}, InvalidTokenRequest, "username and password"),
        ({"username": "ada"}, InvalidTokenRequest, "username and password"),
        ({"username": "ada", "password": ""}, InvalidTokenRequest, "username and password"),
        ({"username": "", "password": PASSWORD}, InvalidTokenRequest, "username and password"),
        (FORM | {"scope": ["forecast", "models:read"]}, InvalidTokenRequest, "there twice"),
        (FORM | {"grant_type": "client_credentials"}, InvalidClient, "The client is unknown"),
        ({"grant_type": "refresh_token"}, InvalidTokenRequest, "refresh_token is needed"),
        (
            FORM | {"grant_type": "PASSWORD"},
            UnsupportedGrant,
            "refresh_token; not 'PASSW",
        ),
        ({"grant_type": "authorization_code", "code": "x"}, UnsupportedGrant, "not 'authorization_code'"),
    ],
    ids=str,
)
def test_incomplete_form(site: Site, form: dict[str, Any], error: type[AuthError], words: str) -> None:
    """A form with a field missing, empty, twice or of another grant is refused by the name of the field."""
    with pytest.raises(error, match=words):
        site.request("POST", "/token", data=form)


def test_no_other_body(site: Site) -> None:
    """JSON, a query and a file for a field are no form."""
    for options in ({"json": FORM}, {"params": FORM}):
        with pytest.raises(InvalidTokenRequest):
            site.request("POST", "/token", **options)
    files = {"username": ("name.txt", b"ada"), "password": (None, PASSWORD)}
    assert site.request("POST", "/token", files=files).status_code == 422


def test_busy(tmp_path: Path) -> None:
    """When no place for a password check is free, the log-in says so at once."""
    full = Passwords(memory=64, passes=1, workers=1, queue=0)
    full._places.acquire()
    with prepared(url_of(tmp_path)) as database, pytest.raises(PasswordChecksBusy):
        Site(UserStore(database), full, throttle_of(database)).log_in()
    full.close()


class Meanwhile:
    """Passwords all of which are right, but while one is checked something else happens."""

    def __init__(self, happens: Callable[[], object], renewed: str | None = None) -> None:
        self.happens, self.renewed = happens, renewed

    def check(self, _password: str, _stored: str | None) -> Awaitable[str | None]:
        """Let it happen and accept the password."""

        async def accept() -> str | None:
            self.happens()
            return self.renewed

        return accept()


@pytest.mark.parametrize("change", ["disabled", "password", "unknown from the start"])
def test_change_during_the_check(site: Site, change: str) -> None:
    """Whoever is disabled or gets another password while the old one is checked, gets no token."""

    def happens() -> None:
        if change == "disabled":
            site.users.set_disabled("ada", disabled=True)
        elif change == "password":
            site.users.set_password_hash("ada", "other")

    site.passwords = Meanwhile(happens)  # type: ignore[assignment]
    with pytest.raises(InvalidCredentials):
        site.log_in(username="nobody" if change == "unknown from the start" else "ada")


def test_two_log_ins_renew_at_once(site: Site) -> None:
    """A hash that another log-in renewed in the meantime does not refuse this one, and is kept."""
    stored = site.users.all()[0].password_hash

    def other_log_in() -> None:
        site.users.renew_hash("ada", stored, "renewed by the other")

    site.passwords = Meanwhile(other_log_in, renewed="renewed")  # type: ignore[assignment]
    assert site.log_in().status_code == 200
    assert site.users.all()[0].password_hash == "renewed by the other"


def test_hash_is_renewed(site: Site) -> None:
    """A log-in with a hash of older parameters stores a new one, and ends no token."""
    before = site.log_in().json()["access_token"]
    site.passwords = Passwords(memory=128, passes=1)
    assert site.log_in().status_code == 200
    site.passwords.close()
    (user,) = site.users.all()
    assert user.password_hash.startswith("$argon2id$v=19$m=128,t=1,p=1$")
    assert user.password_changed_at == START
    assert site.me(before).status_code == 200


def test_log_in_after_password_change(site: Site) -> None:
    """A token got in the very second of a change of password is good; the one from before is not."""
    before = site.log_in().json()["access_token"]
    site.users.set_password_hash("ada", site.passwords.hash("another horse battery"))
    after = site.log_in(password="another horse battery").json()["access_token"]
    assert site.me(after).status_code == 200
    with pytest.raises(InvalidToken):
        site.me(before)


def test_me(site: Site) -> None:
    """The bearer of a token is told name, state and time of creation, and no more."""
    reply = site.me(site.log_in().json()["access_token"])
    assert reply.json() == {"username": "ada", "disabled": False, "created_at": "2026-05-04T08:15:00Z"} | {
        "scopes": ["forecast", "models:read"]
    }


@pytest.mark.parametrize(
    "headers, error",
    [({}, NotAuthenticated), ({"Authorization": "Bearer x"}, InvalidToken)],
)
def test_me_behind_the_gate(site: Site, headers: dict[str, str], error: type[AuthError]) -> None:
    """Without a good token nobody is told anything."""
    with pytest.raises(error):
        site.request("GET", "/users/me", headers=headers)


def no_log_in() -> TokenDesk:
    """Stands for users and keys that are not there."""
    raise AssertionError("nobody logs in")


@pytest.mark.parametrize("state", [{}, {"user": None}, {"user": "ada"}])
def test_me_without_the_gate(state: dict[str, Any]) -> None:
    """Should the gate ever be missing, the route refuses by itself, even with a token."""
    app = create_app(no_log_in)
    scope = {"type": "http", "method": "GET", "path": "/users/me", "query_string": b"", "state": state}
    scope["headers"] = [(b"authorization", b"Bearer " + TOKENS.issue("ada", NOW, client="anyone", scopes=()).encode())]

    async def nothing(*_: Any) -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    with pytest.raises(NotAuthenticated):
        asyncio.run(app(scope, nothing, nothing))


def test_real_clock(site: Site) -> None:
    """Without a clock of the test the log-in takes the real time."""
    desk = desk_on(site.users._database, site.passwords, TOKENS, lambda: datetime.now(UTC), site.throttle)
    app = create_app(lambda: desk)

    async def log_in() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="https://lastgang.test") as client:
            return await client.post("/token", data=FORM)

    token = asyncio.run(log_in()).json()["access_token"]
    now = datetime.now(UTC)
    assert abs(TOKENS.verify(token, now).issued_at - now) < timedelta(minutes=1)


def test_openapi() -> None:
    """The document names both routes, closes only one, needs no users, and is not served by the application."""
    app = create_app(no_log_in)
    document = app.openapi()
    assert set(document["paths"]) == {"/token", "/revoke", "/introspect", "/users/me"}
    assert "security" not in document["paths"]["/token"]["post"]
    assert document["paths"]["/users/me"]["get"]["security"] == [{"bearer": []}]
    flow = document["components"]["securitySchemes"]["bearer"]["flows"]["password"]
    assert flow["tokenUrl"] == "/token"
    assert {getattr(route, "path", None) for route in app.routes} == set(document["paths"])
