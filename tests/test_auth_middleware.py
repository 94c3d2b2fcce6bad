"""The gate lets in good tokens and the open routes, letter by letter, and nothing else."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from databases import prepared, url_of
from frozen import Clock
from hypothesis import given
from hypothesis import strategies as st

from auth.access import Access, Needs, Without
from auth.database import Database
from auth.errors import InsufficientScope, InvalidToken, NotAuthenticated, UnknownMethod, UnknownRoute
from auth.middleware import Authenticator, AuthMiddleware, Identity
from auth.tokens import Tokens
from auth.users import UserStore

NOW = datetime(2026, 5, 4, 8, 15, 0, 250_000, tzinfo=UTC)
START = NOW.replace(microsecond=0)
OPEN = [("POST", "/token"), ("GET", "/livez")]
TABLE: dict[tuple[str, str], Needs] = {
    **dict.fromkeys(OPEN, Without.TOKEN),
    ("GET", "/users/me"): Without.SCOPE,
    ("GET", "/models"): "models:read",
    ("GET", "/models/{model}"): "models:read",
    ("POST", "/predict/{model}"): "forecast",
    ("DELETE", "/models/{model}/labels/{label}"): "models:write",
}
ACCESS = Access(TABLE)


class Inner:
    """The application behind the gate: keeps the scopes that came through."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, _receive: Any, _send: Any) -> None:
        """Take a connection."""
        self.scopes.append(scope)


ADA = Identity("ada", False, START, "0" * 32, NOW, frozenset({"forecast", "models:read"}), "anyone")


async def only_good(token: str) -> Identity:
    """Takes one token, whose bearer is ada, and others that are good for what they say."""
    if token == "good":
        return ADA
    if token.startswith("for "):
        return replace(ADA, scopes=frozenset(token.split()[1:]))
    raise InvalidToken("not good")


def knock(scope: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Send one scope to a gate; return the scopes that came through and the messages that were sent."""
    inner, sent = Inner(), []

    async def receive() -> Any:
        raise AssertionError("the gate reads nothing")

    async def send(message: Any) -> None:
        sent.append(message)

    gate = AuthMiddleware(inner, authenticate=only_good, access=ACCESS)
    asyncio.run(gate(scope, receive, send))
    return inner.scopes, sent


def request(
    method: str = "GET",
    path: str = "/models",
    raw_path: bytes | None = b"",
    headers: list[tuple[bytes, bytes]] | None = None,
) -> dict[str, Any]:
    """An HTTP scope; the path as sent is the decoded one unless told otherwise."""
    sent = path.encode() if raw_path == b"" else raw_path
    return {"type": "http", "method": method, "path": path, "raw_path": sent, "headers": headers or []}


def bearer(value: bytes) -> list[tuple[bytes, bytes]]:
    """The header that carries a token."""
    return [(b"accept", b"*/*"), (b"authorization", value)]


@pytest.mark.parametrize("value", [b"Bearer good", b"bearer good", b"BEARER good", b"bEaReR good"])
def test_good_token(value: bytes) -> None:
    """A good token opens a closed route, however its scheme is written, and its bearer is passed on."""
    (through,), sent = knock(request(headers=bearer(value)))
    assert through["state"]["user"] == ADA
    assert sent == []


def test_state_is_kept() -> None:
    """What stood in the state of the scope stays there."""
    (through,), _ = knock(request(headers=bearer(b"Bearer good")) | {"state": {"from": "lifespan"}})
    assert through["state"] == {"from": "lifespan", "user": ADA}


@pytest.mark.parametrize(
    "value",
    [b"", b" ", b"good", b"Basic good", b"Token good", b"BearerX good", b"Bearergood", b"Bearer\tgood"],
)
def test_other_scheme(value: bytes) -> None:
    """Another scheme than Bearer is as good as no header."""
    with pytest.raises(NotAuthenticated, match=r"^Not authenticated$"):
        knock(request(headers=bearer(value)))


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer",
        b"Bearer ",
        b"Bearer bad",
        b"Bearer  good",
        b"Bearer good ",
        b"Bearer good\n",
        b"Bearer good, Bearer good",
        b"Bearer \xff\xfe",
        b"Bearer " + b"a" * 100_000,
    ],
)
def test_bad_token(value: bytes) -> None:
    """Whatever else follows the scheme is a token that is not good."""
    with pytest.raises(InvalidToken, match=r"^Could not validate credentials$"):
        knock(request(headers=bearer(value)))


@pytest.mark.parametrize("second", [b"Bearer good", b"Bearer bad", b"Basic x", b""])
def test_several_headers(second: bytes) -> None:
    """Two Authorization headers are refused, even if both are good, in any case of their name."""
    with pytest.raises(InvalidToken) as refusal:
        knock(request(headers=[(b"authorization", b"Bearer good"), (b"Authorization", second)]))
    assert refusal.value.reason == "several Authorization headers"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "get", ""])
def test_closed_by_default(method: str) -> None:
    """Every method on a route that nobody named is closed."""
    with pytest.raises(NotAuthenticated):
        knock(request(method))


@pytest.mark.parametrize("method, path", [*OPEN, ("HEAD", "/livez")])
@pytest.mark.parametrize("headers", [[], bearer(b"Basic Og=="), bearer(b"Bearer bad")])
def test_open_routes(method: str, path: str, headers: list[tuple[bytes, bytes]]) -> None:
    """A named route is open to everyone, HEAD where GET is, and a header there counts for nothing."""
    scope = request(method, path, headers=headers)
    assert knock(scope) == ([scope], [])
    assert "state" not in scope


def test_query_does_not_matter() -> None:
    """A path as sent with its query attached, as some servers give it, is still the open one."""
    scope = request("GET", "/livez", b"/livez?probe=1")
    assert knock(scope) == ([scope], [])


NEARLY_OPEN = [
    ("GET", "/token", b"/token"),
    ("HEAD", "/token", b"/token"),
    ("OPTIONS", "/token", b"/token"),
    ("post", "/token", b"/token"),
    ("POST", "/livez", b"/livez"),
    ("POST", "/token/", b"/token/"),
    ("POST", "//token", b"//token"),
    ("POST", "/Token", b"/Token"),
    ("POST", "token", b"token"),
    ("POST", "/token/x", b"/token/x"),
    ("POST", "/token;x", b"/token;x"),
    ("POST", "/token ", b"/token%20"),
    ("POST", "/token\n", b"/token%0a"),
    ("POST", "/token\0", b"/token%00"),
    ("POST", "/x/../token", b"/x/../token"),
    ("POST", "/x/../token", b"/x/%2e%2e/token"),
    ("POST", "/./token", b"/./token"),
    ("POST", "/token", b"/%74oken"),
    ("POST", "/token", b"%2ftoken"),
    ("POST", "/token", b"/predict/gru"),
    ("POST", "/token", b"http://host/token"),
    ("POST", "/token", None),
    ("POST", "/predict/gru", b"/token"),
    ("POST", "/\ud800", b"/token"),
]


@pytest.mark.parametrize("method, path, raw_path", NEARLY_OPEN)
def test_nearly_open(method: str, path: str, raw_path: bytes | None) -> None:
    """A route that only looks like an open one, decoded or as sent, is closed."""
    with pytest.raises(NotAuthenticated):
        knock(request(method, path, raw_path))


def test_path_as_sent_missing() -> None:
    """Without the path as it was sent nothing is open."""
    scope = request("POST", "/token")
    del scope["raw_path"]
    with pytest.raises(NotAuthenticated):
        knock(scope)


def through(method: str, path: str, scopes: str) -> bool:
    """Tell whether a token with these scopes opens a route; a refusal has to be for want of a scope."""
    try:
        knock(request(method, path, headers=bearer(b"Bearer for " + scopes.encode())))
    except InsufficientScope as refusal:
        assert refusal.needed in str(refusal)
        return False
    return True


@pytest.mark.parametrize(
    "method, path, opening, others",
    [
        ("GET", "/users/me", ["", "forecast"], []),
        ("GET", "/models", ["models:read", "metrics models:read"], ["", "forecast", "models:write", "models"]),
        ("HEAD", "/models", ["models:read"], ["", "forecast"]),
        ("GET", "/models/gru", ["models:read"], ["", "forecast:gru", "models:read:gru"]),
        (
            "POST",
            "/predict/gru",
            ["forecast", "forecast:gru", "forecast:cnn forecast:gru"],
            [
                "",
                "forecast:cnn",
                "forecast:",
                "forecast:GRU",
                "backtest",
                "backtest:gru",
                "FORECAST",
                "forecast:{model}",
            ],
        ),
        ("POST", "/predict/gru%20", ["forecast"], ["forecast:gru"]),
        ("DELETE", "/models/gru/labels/canary", ["models:write"], ["models:read", "forecast"]),
    ],
)
def test_scopes(method: str, path: str, opening: list[str], others: list[str]) -> None:
    """A route opens to its scope, one of a model to the model's own too, and to nothing else."""
    assert [through(method, path, scopes) for scopes in opening] == [True] * len(opening)
    assert [through(method, path, scopes) for scopes in others] == [False] * len(others)


@pytest.mark.parametrize("method", ["get", "PUT", "OPTIONS", "TRACE", "POST", ""])
def test_no_row_for_the_method(method: str) -> None:
    """A path with rows for other methods says which, to whoever has a good token."""
    with pytest.raises(UnknownMethod) as refusal:
        knock(request(method, "/models/gru", headers=bearer(b"Bearer good")))
    assert refusal.value.allowed == ("GET", "HEAD")


@pytest.mark.parametrize(
    "path", ["/", "/model", "/models/", "/models//", "/models/a/b", "/predict/", "/predict/a/b", ""]
)
def test_no_row_for_the_path(path: str) -> None:
    """What nobody wrote into the table is shut, whatever the application would answer."""
    with pytest.raises(UnknownRoute):
        knock(request("GET", path, headers=bearer(b"Bearer good")))


def test_a_refused_bearer_is_known() -> None:
    """What stands further out can tell who was refused."""
    scope = request("POST", "/predict/gru", headers=bearer(b"Bearer for nothing"))
    with pytest.raises(InsufficientScope):
        knock(scope)
    assert scope["state"]["user"].name == "ada"


@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT"]),
    path=st.sampled_from(["/token", "/livez", "/"]) | st.text(),
    raw_path=st.sampled_from([b"/token", b"/livez", b"/livez?x"]) | st.binary(),
)
def test_open_only_as_named(method: str, path: str, raw_path: bytes) -> None:
    """Without a token, exactly the named pairs come through."""
    named = {("POST", "/token"), ("GET", "/livez"), ("HEAD", "/livez")}
    same = path.encode("utf-8", "surrogatepass") == raw_path.partition(b"?")[0]
    try:
        knock(request(method, path, raw_path or None))
    except NotAuthenticated:
        assert (method, path) not in named or not same
    else:
        assert (method, path) in named
        assert same


@pytest.mark.parametrize("headers", [[], bearer(b"Bearer good")])
@pytest.mark.parametrize("path", ["/token", "/predict/gru"])
def test_websocket(path: str, headers: list[tuple[bytes, bytes]]) -> None:
    """A WebSocket is closed before it opens, whatever it carries."""
    through, sent = knock(request("GET", path, headers=headers) | {"type": "websocket"})
    assert through == []
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "Not authenticated"}]


def test_lifespan() -> None:
    """Start and end of the server pass."""
    assert knock({"type": "lifespan"}) == ([{"type": "lifespan"}], [])


@pytest.mark.parametrize("kind", ["webtransport", "http2", ""])
def test_unknown_kind(kind: str) -> None:
    """A kind of connection that nobody thought of needs a token, on an open route too."""
    with pytest.raises(NotAuthenticated):
        knock(request("POST", "/token") | {"type": kind})


TOKENS = Tokens([sha256(b"key").digest()], "lastgang", "lastgang", timedelta(hours=1))


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with prepared(url_of(tmp_path)) as database:
        yield database


@pytest.fixture
def users(database: Database, clock: Clock) -> UserStore:
    store = UserStore(database, clock)
    store.add("ada", "hash", {"forecast", "models:read"})
    return store


def issue(subject: str, now: datetime, scopes: str = "forecast models:read") -> str:
    """Return a token."""
    return TOKENS.issue(subject, now, client="anyone", scopes=scopes.split())


def identify(users: UserStore, clock: Clock, token: str) -> Identity:
    """Ask who bears the token."""
    return asyncio.run(Authenticator(TOKENS, users._database, clock)(token))


def reason_of_refusal(users: UserStore, clock: Clock, token: str) -> str:
    """Ask who bears a token that is not good."""
    with pytest.raises(InvalidToken) as refusal:
        identify(users, clock, token)
    return refusal.value.reason


def test_identity(users: UserStore, clock: Clock) -> None:
    """The bearer of a good token is known by what the database says, without the password hash."""
    token = issue("ada", NOW)
    token_id = TOKENS.verify(token, NOW).id
    scopes = frozenset({"forecast", "models:read"})
    expected = Identity("ada", False, START, token_id, START + timedelta(hours=1), scopes, "anyone")
    assert identify(users, clock, token) == expected


@pytest.mark.parametrize(
    "in_the_token, of_the_user, effective",
    [
        ("forecast", "forecast models:read", "forecast"),
        ("forecast models:read", "forecast", "forecast"),
        ("forecast", "forecast:gru", "forecast:gru"),
        ("forecast:gru", "forecast", "forecast:gru"),
        ("forecast:gru", "forecast:cnn", ""),
        ("forecast", "", ""),
        ("", "forecast", ""),
        ("unknown", "forecast", ""),
    ],
)
def test_scopes_of_now(users: UserStore, clock: Clock, in_the_token: str, of_the_user: str, effective: str) -> None:
    """A token is good for what stands in it and its user still has; a revoked scope counts at once."""
    token = issue("ada", NOW, in_the_token)
    users.revoke("ada", {"forecast", "models:read"})
    assert identify(users, clock, token).scopes == frozenset()
    users.grant("ada", of_the_user.split())
    assert identify(users, clock, token).scopes == frozenset(effective.split())


def test_disabled_at_once(users: UserStore, clock: Clock) -> None:
    """A good token of a disabled user is refused from the moment of disabling."""
    token = issue("ada", NOW)
    assert identify(users, clock, token).name == "ada"
    users.set_disabled("ada", disabled=True)
    assert reason_of_refusal(users, clock, token) == "disabled user"


@pytest.mark.parametrize("subject", ["nobody", "ada'--", "ada/../root"])
def test_unknown_subject(users: UserStore, clock: Clock, subject: str) -> None:
    """A rightly signed token of someone who is no user is refused."""
    assert reason_of_refusal(users, clock, issue(subject, NOW)) == "unknown user"


@pytest.mark.parametrize("after", [-3599, -60, -1, 0, 0.7])
def test_password_change_ends_tokens(users: UserStore, clock: Clock, after: float) -> None:
    """Every token issued before a change of password is refused, one of the same second too."""
    token = issue("ada", NOW + timedelta(seconds=after))
    users.set_password_hash("ada", "other")
    assert reason_of_refusal(users, clock, token) == "older than the password"


def test_token_after_password_change(users: UserStore, clock: Clock) -> None:
    """A token issued at the second that the change counts from is good at once."""
    users.set_password_hash("ada", "other")
    changed = users.all()[0].password_changed_at
    assert changed == START + timedelta(seconds=1)
    assert identify(users, clock, issue("ada", changed)).name == "ada"


def test_expired(users: UserStore, clock: Clock) -> None:
    """The time that counts is the clock's, not the token's."""
    token = issue("ada", NOW)
    clock.now = NOW + timedelta(hours=1)
    assert reason_of_refusal(users, clock, token) == "expired"


def test_real_clock(users: UserStore) -> None:
    """Without a clock of the test the time is the real one."""
    assert asyncio.run(Authenticator(TOKENS, users._database)(issue("ada", datetime.now(UTC)))).name == "ada"
    with pytest.raises(InvalidToken):
        asyncio.run(Authenticator(TOKENS, users._database)(issue("ada", NOW - timedelta(days=1))))
