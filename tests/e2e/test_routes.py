"""Every route with every kind of credential: closed by default, open by the letter, none forgotten."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from e2e.raw import connect, exchange, read_answer, request
from e2e.running import PASSWORD, Place, Running, run

from auth.access import Access, Without
from auth.metadata import PATH as METADATA
from auth.scopes import SCOPES
from auth.tokens import Tokens
from edge.access import NEEDS

AUDIENCE = ISSUER = "lastgang"
LIFETIME = timedelta(minutes=60)
FOR: Any = {"client": "anyone", "scopes": sorted(SCOPES)}


@dataclass(frozen=True)
class Route:
    """A route as the application declares it, and a request that it answers well.

    Attributes:
        needs: the scope; "" where any good token will do; None where the gate asks for no token.
        status: of the answer to the request.
    """

    method: str
    path: str
    asked: str
    needs: str | None
    sent: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200

    def __str__(self) -> str:
        return f"{self.method} {self.asked}"


CSV = {"files": {"file": "week"}}  # the name stands for the sample week
LONGER_CSV = {"files": {"file": "fortnight"}}
LOG_IN = {"data": {"username": "ada", "password": PASSWORD}}
NEW_USER = {"json": {"username": "zoe", "password": f"{PASSWORD} of zoe"}}
NO_VERSION = {"json": {"version": None}}
ROUTES = [
    Route("GET", "/livez", "/livez", None),
    Route("GET", "/readyz", "/readyz", None),
    Route("GET", "/healthz", "/healthz", None),
    Route("GET", "/.well-known/jwks.json", "/.well-known/jwks.json", None),
    Route("GET", METADATA, METADATA, None),
    Route("POST", "/token", "/token", None, LOG_IN),
    Route("POST", "/revoke", "/revoke", None, {"data": {"token": "x"}}),
    # Who asks is a client that shows its secret; test_grants.py and a test below have it do so.
    Route("POST", "/introspect", "/introspect", None, {"data": {"token": "x"}}, status=401),
    # The page, open in development; test_bento.py has it closed in production.
    Route("GET", "/", "/", None),
    Route("GET", "/docs.json", "/docs.json", None),
    Route("GET", "/static_content", "/static_content/swagger-ui-bundle.js", None),
    Route("GET", "/static_content", "/static_content/swagger-ui.css", None),
    Route("GET", "/static_content", "/static_content/favicon-light-32x32.png", None),
    Route("GET", "/schema.json", "/schema.json", ""),
    Route("GET", "/users/me", "/users/me", ""),
    Route("GET", "/models", "/models", "models:read"),
    Route("GET", "/metrics", "/metrics", "metrics"),
    Route("GET", "/models/{model}", "/models/gru", "models:read"),
    Route(
        "PUT",
        "/models/{model}/labels/{label}",
        "/models/gru/labels/canary",
        "models:write",
        {"json": {"version": None}},
    ),
    # Nothing was stable before, which only who may ask is told.
    Route("POST", "/models/{model}/rollback", "/models/gru/rollback", "models:write", status=404),
    Route("GET", "/users", "/users", "users:admin"),
    Route("POST", "/users", "/users", "users:admin", NEW_USER, status=201),
    Route("PATCH", "/users/{name}", "/users/dora", "users:admin", {"json": {"disabled": True}}),
    Route("DELETE", "/users/{name}", "/users/emil", "users:admin", status=204),
    Route("GET", "/clients", "/clients", "users:admin"),
    Route("POST", "/clients", "/clients", "users:admin", {"json": {"name": "new"}}, status=201),
    Route("DELETE", "/clients/{name}", "/clients/old", "users:admin", status=204),
    Route("POST", "/predict/{model}", "/predict/gru", "forecast", CSV),
    Route("POST", "/predict/{model}", "/predict/cnn", "forecast", CSV),
    Route("POST", "/forecast/{model}", "/forecast/gru", "forecast", CSV),
    Route("POST", "/backtest/{model}", "/backtest/gru", "backtest", LONGER_CSV),
    Route("POST", "/anomalies/{model}", "/anomalies/gru", "backtest", LONGER_CSV),
]
OPEN = [route for route in ROUTES if route.needs is None]
CLOSED = [route for route in ROUTES if route.needs is not None]
SCOPED = [route for route in ROUTES if route.needs]
OF_A_MODEL = [route for route in ROUTES if route.needs in {"forecast", "backtest"}]

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
@pytest.mark.parametrize("route", CLOSED, ids=str)
def test_a_closed_route_refuses(
    anyone: httpx.Client, files: dict[str, bytes], authorization: dict[str, str | None], route: Route, kind: str
) -> None:
    """Without a good token: 401, a problem document in the known words, and the challenge that RFC 6750 asks for."""
    answer = ask(anyone, route, files, authorization[kind])
    assert (answer.status_code, answer.json()["detail"]) == (401, REFUSALS[kind])
    assert answer.headers["content-type"] == "application/problem+json"
    challenge = "Bearer" if REFUSALS[kind] == NO_TOKEN else 'Bearer error="invalid_token"'
    assert answer.headers["www-authenticate"] == challenge


@pytest.fixture(scope="module")
def issue(server: Running, place: Place, authorization: object) -> Callable[..., str]:
    """Give what makes the header of a token of ada's that is good for some scopes alone."""
    tokens = Tokens([(place.home / "signing.key").read_text().strip().encode()], ISSUER, AUDIENCE, LIFETIME)
    auth = (sys.executable, "-m", "auth")
    for name in ("dora", "emil"):
        run([*auth, "add", name], place.environment(), typed=f"{PASSWORD} of {name}\n")
    run([*auth, "client", "add", "old"], place.environment())

    def issued(*scopes: str) -> str:
        return f"Bearer {tokens.issue('ada', datetime.now(UTC), client='anyone', scopes=scopes)}"

    return issued


@pytest.mark.parametrize("route", SCOPED, ids=str)
def test_another_scope_does_not_open(
    anyone: httpx.Client, files: dict[str, bytes], issue: Callable[..., str], route: Route
) -> None:
    """With all scopes but its own, and with its own for another model, a route says 403 and which scope it takes."""
    assert route.needs
    others = sorted(SCOPES.keys() - {route.needs})
    tokens = [(), (*others,)]
    if route in OF_A_MODEL:
        tokens += [(f"{route.needs}:another",), (*others, f"{route.needs}:gru-2")]
    for scopes in tokens:
        answer = ask(anyone, route, files, issue(*scopes))
        assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
        challenge = f'Bearer error="insufficient_scope", scope="{route.needs}"'
        assert answer.headers["www-authenticate"] == challenge


@pytest.mark.parametrize("route", CLOSED, ids=str)
def test_the_right_scope_opens(
    anyone: httpx.Client, files: dict[str, bytes], issue: Callable[..., str], route: Route
) -> None:
    """With its scope, and no other, the good request gets its answer; HEAD goes where GET goes, and no further."""
    right = issue(route.needs) if route.needs else issue()
    assert ask(anyone, route, files, right).status_code == route.status
    if route.method == "GET":
        assert anyone.head(route.asked, headers={"Authorization": right}).status_code in {200, 405}
        if route.needs:
            assert anyone.head(route.asked, headers={"Authorization": issue()}).status_code == 403


@pytest.mark.parametrize("route", OF_A_MODEL, ids=str)
def test_the_scope_for_one_model_opens_it(
    anyone: httpx.Client, files: dict[str, bytes], issue: Callable[..., str], route: Route
) -> None:
    """`forecast:gru` is good for that model's routes."""
    model = route.asked.rpartition("/")[2]
    assert ask(anyone, route, files, issue(f"{route.needs}:{model}")).status_code == 200


@pytest.mark.parametrize("kind", ["no token", "Basic", "garbage", "expired", "of a disabled user"])
@pytest.mark.parametrize("route", OPEN, ids=str)
def test_an_open_route_asks_for_nothing(
    anyone: httpx.Client, files: dict[str, bytes], authorization: dict[str, str | None], route: Route, kind: str
) -> None:
    """Whatever is sent as a credential, an open route answers."""
    assert ask(anyone, route, files, authorization[kind]).status_code == route.status


def test_a_disabled_user_gets_no_token(authorization: object, anyone: httpx.Client) -> None:
    """The right password of a disabled user is refused in the words for a wrong one."""
    answer = anyone.post("/token", data={"username": "berta", "password": PASSWORD})
    assert (answer.status_code, answer.json()["detail"]) == (401, "Incorrect username or password")


def test_no_route_is_forgotten(declared: set[tuple[str, str]]) -> None:
    """The table above names every route of the application that the workers serve, and no other; so does the gate's."""
    assert {(route.method, route.path) for route in ROUTES} == declared
    gate = {(method, "/static_content" if path.startswith("/static_content/") else path) for method, path in NEEDS}
    assert gate == declared


@pytest.mark.parametrize("route", CLOSED, ids=str)
def test_the_table_of_the_gate_says_the_same(route: Route) -> None:
    """What a route takes stands in two tables that nobody copies from one another: the gate's, and the test's."""
    needs = NEEDS[route.method, route.path]
    assert needs == (route.needs or Without.SCOPE)


TRICKS: dict[str, Callable[[str], str]] = {
    "two slashes before": lambda path: f"/{path}",
    "two slashes within": lambda path: path.replace("/", "//", 2),
    "a slash behind": lambda path: f"{path}/",
    "a dot segment": lambda path: f"/.{path}",
    "a dot segment behind": lambda path: f"{path}/.",
    "up and down": lambda path: f"/livez/..{path}",
    "up with a parameter": lambda path: f"/livez/..;{path}",
    "up, encoded": lambda path: f"/livez/%2e%2e{path}",
    "up, all encoded": lambda path: f"/livez%2f%2e%2e%2f{path[1:]}",
    "up, encoded twice": lambda path: f"/livez/%252e%252e{path}",
    "backslashes": lambda path: path.replace("/", "\\"),
    "an encoded slash": lambda path: f"/%2f{path[1:]}",
    "capitals": lambda path: path.upper(),
    "a parameter": lambda path: f"{path};x",
    "an encoded NUL": lambda path: f"{path}%00",
    "a NUL": lambda path: f"{path}\0",
    "an encoded newline": lambda path: f"{path}%0a",
    "a space": lambda path: f"{path}%20",
    "an ending": lambda path: f"{path}.json",
    "an encoded letter": lambda path: f"/%{ord(path[1]):02x}{path[2:]}",
    "overlong UTF-8": lambda path: f"{path[:1]}%c0%ae{path[1:]}",
    "an open path in the query": lambda path: f"{path}?/livez",
    "an open path in the fragment": lambda path: f"{path}#/livez",
    "the absolute form": lambda path: f"https://localhost{path}",
    "the absolute form of another host": lambda path: f"http://evil.example{path}",
}


@pytest.mark.parametrize("trick", TRICKS)
def test_no_way_of_writing_a_path_gets_past_the_gate(
    server: Running, place: Place, issue: Callable[..., str], trick: str
) -> None:
    """Written in any way, a closed route opens to no one without a token, nor to one with every scope but its own."""
    passed = []
    for route in CLOSED:
        others = sorted(SCOPES.keys() - {route.needs})
        for kind, headers in {"no token": [], "another scope": [f"Authorization: {issue(*others)}"]}.items():
            if kind == "another scope" and not route.needs:
                continue
            head = request(route.method, TRICKS[trick](route.asked), *headers, "Content-Length: 0")
            answer = exchange(place, head, route.method)
            refused = {400, 401} if kind == "no token" else {400, 403, 404, 405}
            if answer.status not in refused:
                passed.append((str(route), kind, answer.status))
    assert not passed


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get")


@pytest.mark.parametrize("method", METHODS)
def test_no_other_method_gets_past_the_gate(
    server: Running, place: Place, issue: Callable[..., str], method: str
) -> None:
    """Without a token each method on each closed path is refused; with every scope, one that has no row is, too."""
    gate = Access(NEEDS)
    passed = []
    for path in sorted({route.asked for route in CLOSED}):
        if (method, path) not in {(route.method, route.asked) for route in OPEN}:
            status = exchange(place, request(method, path, "Content-Length: 0"), method).status
            if status not in {400, 401}:
                passed.append((path, "no token", status))
        if gate.find(method, path) is None:
            token = f"Authorization: {issue(*SCOPES)}"
            answer = exchange(place, request(method, path, token, "Content-Length: 0"), method)
            if answer.status not in {400, 404, 405} or "location" in answer.headers:
                passed.append((path, "all scopes", answer.status))
    assert not passed


@pytest.mark.parametrize(
    "header",
    [
        "X-HTTP-Method-Override: GET",
        "X-HTTP-Method: GET",
        "X-Method-Override: GET",
        "X-Original-URL: /livez",
        "X-Rewrite-URL: /livez",
        "X-Forwarded-Path: /livez",
        "X-Forwarded-Prefix: /livez",
        "X-Forwarded-User: ada",
        "X-Remote-User: ada",
        "X-Original-Method: GET",
        "Forwarded: for=127.0.0.1;proto=https",
    ],
)
@pytest.mark.parametrize("route", CLOSED, ids=str)
def test_no_header_changes_what_is_asked(server: Running, place: Place, route: Route, header: str) -> None:
    """A header that some proxies and frameworks obey opens nothing here."""
    answer = exchange(place, request(route.method, route.asked, header, "Content-Length: 0"), route.method)
    assert answer.status == 401


def test_a_client_on_the_whole_way(server: Running, place: Place, anyone: httpx.Client) -> None:
    """A machine gets a token, uses it, is told of it, takes it back, and it is refused at the next request."""
    shown = run([sys.executable, "-m", "auth", "client", "add", "rig", "--scope", "models:read"], place.environment())
    auth = ("client%3Arig", shown.strip().rpartition(" ")[2])
    told = anyone.post("/token", data={"grant_type": "client_credentials"}, auth=auth).raise_for_status().json()
    bearer = {"Authorization": f"Bearer {told['access_token']}"}
    form = {"token": told["access_token"]}
    assert anyone.get("/models", headers=bearer).status_code == 200
    assert anyone.get("/metrics", headers=bearer).status_code == 403
    assert anyone.post("/introspect", data=form, auth=auth).json()["sub"] == "client:rig"
    assert anyone.post("/introspect", data=form, auth=("client:rig", "wrong")).status_code == 401
    assert anyone.post("/revoke", data=form, auth=auth).status_code == 200
    for _ in range(8):  # whichever worker answers
        assert anyone.get("/models", headers=bearer).status_code == 401
    assert anyone.post("/introspect", data=form, auth=auth).json() == {"active": False}


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
