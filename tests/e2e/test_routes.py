"""Every route with every kind of credential: closed by default, open by the letter, none forgotten."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from e2e.raw import connect, exchange, read_answer, request
from e2e.running import PASSWORD, Place, Running, run

from auth.scopes import SCOPES
from auth.tokens import Tokens

AUDIENCE = ISSUER = "lastgang"
LIFETIME = timedelta(minutes=60)
FOR: Any = {"client": "anyone", "scopes": sorted(SCOPES)}


@dataclass(frozen=True)
class Route:
    """A route as the application declares it, and a request that it answers with 200."""

    method: str
    path: str
    asked: str
    is_open: bool = False
    sent: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.asked}"


CSV = {"files": {"file": "week"}}  # the name stands for the sample week
LONGER_CSV = {"files": {"file": "fortnight"}}
LOG_IN = {"data": {"username": "ada", "password": PASSWORD}}
ROUTES = [
    Route("GET", "/livez", "/livez", is_open=True),
    Route("GET", "/readyz", "/readyz", is_open=True),
    Route("GET", "/healthz", "/healthz", is_open=True),
    Route("GET", "/.well-known/jwks.json", "/.well-known/jwks.json", is_open=True),
    Route("POST", "/token", "/token", is_open=True, sent=LOG_IN),
    # The page, open in development; test_bento.py has it closed in production.
    Route("GET", "/", "/", is_open=True),
    Route("GET", "/docs.json", "/docs.json", is_open=True),
    Route("GET", "/static_content", "/static_content/swagger-ui-bundle.js", is_open=True),
    Route("GET", "/static_content", "/static_content/swagger-ui.css", is_open=True),
    Route("GET", "/static_content", "/static_content/favicon-light-32x32.png", is_open=True),
    Route("GET", "/schema.json", "/schema.json"),
    Route("GET", "/users/me", "/users/me"),
    Route("GET", "/models", "/models"),
    Route("GET", "/metrics", "/metrics"),
    Route("GET", "/models/{model}", "/models/gru"),
    Route("POST", "/predict/{model}", "/predict/gru", sent=CSV),
    Route("POST", "/predict/{model}", "/predict/cnn", sent=CSV),
    Route("POST", "/forecast/{model}", "/forecast/gru", sent=CSV),
    Route("POST", "/backtest/{model}", "/backtest/gru", sent=LONGER_CSV),
    Route("POST", "/anomalies/{model}", "/anomalies/gru", sent=LONGER_CSV),
]

NO_TOKEN, BAD_TOKEN = "Not authenticated", "Could not validate credentials"
REFUSALS = {
    "no token": NO_TOKEN,
    "Basic": NO_TOKEN,
    "the token without Bearer": NO_TOKEN,
    "an empty Bearer": BAD_TOKEN,
    "garbage": BAD_TOKEN,
    "another key's": BAD_TOKEN,
    "another audience's": BAD_TOKEN,
    "expired": BAD_TOKEN,
    "not yet issued": BAD_TOKEN,
    "of nobody": BAD_TOKEN,
    "of a disabled user": BAD_TOKEN,
    "older than the password": BAD_TOKEN,
    "good, with a letter changed": BAD_TOKEN,
}


@pytest.fixture(scope="module")
def authorization(server: Running, place: Place, token: str) -> dict[str, str | None]:
    """Give the header `Authorization` for each kind of credential; those of users are made by `python -m auth`."""
    key = (place.home / "signing.key").read_text().strip().encode()
    tokens = Tokens([key], ISSUER, AUDIENCE, LIFETIME)
    now = datetime.now(UTC)
    bearers = {
        "garbage": "garbage",
        "another key's": Tokens([key[::-1]], ISSUER, AUDIENCE, LIFETIME).issue("ada", now, **FOR),
        "another audience's": Tokens([key], ISSUER, "other", LIFETIME).issue("ada", now, **FOR),
        "expired": tokens.issue("ada", now - LIFETIME, **FOR),
        "not yet issued": tokens.issue("ada", now + timedelta(minutes=5), **FOR),
        "of nobody": tokens.issue("nobody", now, **FOR),
        "of a disabled user": _of_a_new_user(place, "berta", "disable"),
        "older than the password": _of_a_new_user(place, "carl", "password"),
        "good, with a letter changed": f"{token[:-1]}{'A' if token[-1] != 'A' else 'B'}",
        "good": token,
    }
    plain = {"no token": None, "Basic": "Basic YWRhOmFkYQ==", "the token without Bearer": token}
    return plain | {"an empty Bearer": "Bearer"} | {name: f"Bearer {bearer}" for name, bearer in bearers.items()}


def _of_a_new_user(place: Place, name: str, then: str) -> str:
    """Return the token of a user to whom something happens after it was issued."""
    auth = (sys.executable, "-m", "auth")
    run([*auth, "add", name], place.environment(), typed=f"{PASSWORD}\n")
    token = place.log_in(name, PASSWORD)
    with place.client(token) as client:
        assert client.get("/users/me").status_code == 200  # it was good
    run([*auth, then, name], place.environment(), typed=f"{PASSWORD} anew\n")
    return token


@pytest.fixture(scope="module")
def files(week: bytes, fortnight: bytes) -> dict[str, bytes]:
    """Give the files by the names that stand for them in the table above."""
    return {"week": week, "fortnight": fortnight}


def ask(client: httpx.Client, route: Route, files: dict[str, bytes], authorization: str | None) -> httpx.Response:
    """Send a route's good request with this header."""
    sent: dict[str, Any] = {**route.sent}
    if "files" in sent:
        sent["files"] = {"file": files[sent["files"]["file"]]}
    headers = {} if authorization is None else {"Authorization": authorization}
    return client.request(route.method, route.asked, headers=headers, **sent)


@pytest.mark.parametrize("kind", REFUSALS)
@pytest.mark.parametrize("route", [route for route in ROUTES if not route.is_open], ids=str)
def test_a_closed_route_refuses(
    anyone: httpx.Client, files: dict[str, bytes], authorization: dict[str, str | None], route: Route, kind: str
) -> None:
    """Without a good token: 401, a problem document in the known words, and the challenge that RFC 6750 asks for."""
    answer = ask(anyone, route, files, authorization[kind])
    assert (answer.status_code, answer.json()["detail"]) == (401, REFUSALS[kind])
    assert answer.headers["content-type"] == "application/problem+json"
    challenge = "Bearer" if REFUSALS[kind] == NO_TOKEN else 'Bearer error="invalid_token"'
    assert answer.headers["www-authenticate"] == challenge


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_a_good_token_opens_every_route(
    anyone: httpx.Client, files: dict[str, bytes], authorization: dict[str, str | None], route: Route
) -> None:
    """With it, the good request gets its answer."""
    assert ask(anyone, route, files, authorization["good"]).status_code == 200


@pytest.mark.parametrize("kind", ["no token", "Basic", "garbage", "expired", "of a disabled user"])
@pytest.mark.parametrize("route", [route for route in ROUTES if route.is_open], ids=str)
def test_an_open_route_asks_for_nothing(
    anyone: httpx.Client, files: dict[str, bytes], authorization: dict[str, str | None], route: Route, kind: str
) -> None:
    """Whatever is sent as a credential, an open route answers."""
    assert ask(anyone, route, files, authorization[kind]).status_code == 200


def test_a_disabled_user_gets_no_token(authorization: object, anyone: httpx.Client) -> None:
    """The right password of a disabled user is refused in the words for a wrong one."""
    answer = anyone.post("/token", data={"username": "berta", "password": PASSWORD})
    assert (answer.status_code, answer.json()["detail"]) == (401, "Incorrect username or password")


def test_no_route_is_forgotten(declared: set[tuple[str, str]]) -> None:
    """The table above names every route of the application that the workers serve, and no other."""
    assert {(route.method, route.path) for route in ROUTES} == declared


@pytest.mark.parametrize(
    "method, target",
    [
        ("GET", "//livez"),
        ("GET", "/livez/"),
        ("GET", "/livez/."),
        ("GET", "/./livez"),
        ("GET", "/LIVEZ"),
        ("GET", "/Livez"),
        ("GET", "/%6civez"),
        ("GET", "/livez%20"),
        ("GET", "/livez%00"),
        ("GET", "/livez%0a"),
        ("GET", "/livez;x"),
        ("GET", "/livez/../models"),
        ("GET", "/livez/..%2fmodels"),
        ("GET", "/livez%2f..%2fmodels"),
        ("GET", "/models?/livez"),
        ("GET", "/models#/livez"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/redoc"),
        ("GET", "/static_content/"),
        ("GET", "/static_content//swagger-ui.css"),
        ("GET", "/static_content/../models"),
        ("GET", "/static_content/%2e%2e/models"),
        ("GET", "/static_content/swagger-ui.css/../../models"),
        ("POST", "/x/../token"),
        ("POST", "/./token"),
        ("POST", "//token"),
        ("POST", "/token/"),
        ("POST", "/token%2f"),
        ("POST", "/token;x"),
        ("POST", "/%74oken"),
        ("POST", "/Token"),
        ("GET", "/token"),
        ("PUT", "/token"),
        ("HEAD", "/token"),
        ("OPTIONS", "/token"),
        ("OPTIONS", "/livez"),
        ("OPTIONS", "/models"),
        ("OPTIONS", "*"),
        ("TRACE", "/livez"),
        ("TRACE", "/models"),
        ("POST", "/livez"),
        ("PROPFIND", "/livez"),
        ("HEAD", "/models"),
        ("HEAD", "/users/me"),
        ("HEAD", "/schema.json"),
        ("GET", "https://localhost/models"),
        ("GET", "http://localhost//livez"),
        ("GET", "/nothing-here"),
    ],
)
def test_what_is_not_open_by_the_letter_is_closed(server: Running, place: Place, method: str, target: str) -> None:
    """No other way of writing an open path, and no other method on it, gets past the gate."""
    answer = exchange(place, request(method, target), method)
    assert (answer.status, answer.headers["content-type"]) == (401, "application/problem+json")


@pytest.mark.parametrize(
    "method, target",
    [
        ("GET", "/livez"),
        ("HEAD", "/livez"),
        ("HEAD", "/docs.json"),
        ("GET", "/livez?verbose"),
        ("GET", "https://localhost/livez"),  # the form that a request to a proxy has: RFC 9112 section 3.2.2
    ],
)
def test_what_is_open_by_the_letter_answers(server: Running, place: Place, method: str, target: str) -> None:
    """HEAD goes where GET goes; a query and the absolute form name the same path."""
    assert exchange(place, request(method, target), method).status == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "target", ["/models/", "/users/me/", "/token/", "/livez/", "/predict/gru/", "/static_content/", "/static_content"]
)
def test_nothing_redirects(server: Running, place: Place, token: str, method: str, target: str) -> None:
    """A slash too many is a path that is not there; a Host of the client's own choice is not handed back."""
    headers = [f"Authorization: Bearer {token}", "Content-Type: text/csv", "Content-Length: 0"]
    sent = request(method, target, *headers).replace(b"localhost", b"evil.example")
    answer = exchange(place, sent, method)
    assert answer.status in {404, 405}
    assert "location" not in answer.headers
    assert answer.headers["content-type"] == "application/problem+json"
    assert b"evil" not in answer.body


def test_two_authorization_headers_are_none(server: Running, place: Place, token: str) -> None:
    """A request with two of them could be read differently by a proxy, so even two good ones are refused."""
    header = f"Authorization: Bearer {token}"
    assert exchange(place, request("GET", "/models", header)).status == 200
    assert exchange(place, request("GET", "/models", header, header)).status == 401


@pytest.mark.parametrize("target", ["/", "/livez", "/token", "/models", "/predict/gru"])
@pytest.mark.parametrize("with_token", [False, True])
def test_there_is_no_way_in_by_websocket(
    server: Running, place: Place, token: str, target: str, with_token: bool
) -> None:
    """The service speaks no WebSocket: the handshake is refused everywhere, whoever asks."""
    handshake = ["Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
    headers = [*handshake, *([f"Authorization: Bearer {token}"] if with_token else [])]
    upgrade = request("GET", target, *headers).replace(b"Connection: close", b"Connection: Upgrade")
    assert exchange(place, upgrade).status == 403


def test_a_connection_is_not_logged_in(server: Running, place: Place, token: str) -> None:
    """After a good request on a connection kept alive, the next one without a token is refused."""
    good = request("GET", "/models", f"Authorization: Bearer {token}").replace(b"Connection: close\r\n", b"")
    with connect(place) as connection:
        connection.sendall(good)
        assert read_answer(connection).status == 200
        connection.sendall(request("GET", "/models"))
        assert read_answer(connection).status == 401
