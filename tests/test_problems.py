"""Every error becomes one shape; nothing of the inside gets out."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Message, Receive, Scope, Send

from audit.errors import TrailUnwritable
from auth import errors as auth_errors
from edge import errors as edge_errors
from edge.documented_problems import PROBLEMS, examples
from edge.problems import KINDS, MEDIA_TYPE, SHOWN, ProblemMiddleware, problem
from models import errors as model_errors
from processing.errors import InvalidLoadProfile, Problem

FAULT = {"type": "missing", "loc": ("body", "username"), "msg": "Field required", "input": "nightingale"}
EXAMPLES = [
    (edge_errors.MalformedUpload("Broken."), 400, "Broken."),
    (auth_errors.NotAuthenticated(), 401, "Not authenticated"),
    (auth_errors.InvalidToken("nightingale"), 401, "Could not validate credentials"),
    (auth_errors.IssuerUnavailable("https://sso.test"), 503, "issuer https://sso.test"),
    (auth_errors.InvalidCredentials(), 401, "Incorrect username or password"),
    (model_errors.UnknownModel("x", ["gru"]), 404, "No model is named 'x'; known: gru"),
    (model_errors.UnknownVersion("gru", "9", "stable (1)"), 404, "no version or label '9'; there are: stable (1)"),
    (model_errors.VersionNotLoaded("gru", "2", "stable (1), 2"), 409, "python -m models label gru 2 canary"),
    (edge_errors.BodyTooSlow(3), 408, "3 seconds"),
    (edge_errors.BodyTooLarge(9), 413, "9 bytes"),
    (edge_errors.UnsupportedMediaType("image/png"), 415, "image/png"),
    (edge_errors.InvalidQuery([("tz", "unknown_zone", "No zone.")]), 422, "tz: No zone."),
    (edge_errors.NoIntervals("office-3"), 422, "level: The card of model 'office-3'"),
    (InvalidLoadProfile([Problem(2, "Datum", "gap", "A gap.")]), 422, "Row 2: A gap."),
    (RequestValidationError([FAULT]), 422, "username: Field required"),
    (model_errors.NonFiniteForecast("gru", [0]), 422, "not finite"),
    (model_errors.ModelUnavailable("gru", "nightingale"), 503, "'gru' cannot answer now"),
    (auth_errors.PasswordChecksBusy(7), 503, "7 s"),
    (TrailUnwritable(Path("nightingale"), "nightingale"), 503, "cannot be recorded"),
    (auth_errors.BeyondOwnScopes(["metrics"]), 403, "lacks the scopes: metrics"),
    (auth_errors.UnknownUser("adda"), 404, "'adda'"),
    (auth_errors.UnknownClient("metre"), 404, "'metre'"),
    (auth_errors.UserExists("ada"), 409, "ada exists"),
    (auth_errors.ClientExists("client:meter"), 409, "client:meter"),
    (auth_errors.LastAdmin(), 409, "users:admin"),
    (auth_errors.InvalidUserName("a b"), 422, "'a b'"),
    (auth_errors.InvalidClientId("a b"), 422, "'a b'"),
    (auth_errors.WeakPassword("is empty"), 422, "is empty"),
    (model_errors.InvalidLabels(Path("nightingale"), "nightingale"), 503, "labels of the model"),
    (auth_errors.InvalidTokenRequest("A field is there twice"), 400, "twice"),
    (auth_errors.UnsupportedGrant("not 'code'"), 400, "not 'code'"),
    (auth_errors.InvalidGrant(), 400, "log in again"),
    (auth_errors.InvalidClient(), 401, "its secret is wrong"),
    (auth_errors.InvalidScope("There is no scope 'x'"), 400, "no scope 'x'"),
    (auth_errors.InsufficientScope("metrics", frozenset({"forecast"})), 403, "takes the scope metrics; the token's"),
    (auth_errors.UnknownRoute(), 404, "/docs.json"),
    (auth_errors.UnknownMethod(("GET",)), 405, "the header Allow"),
    (auth_errors.UnusableDatabase("sqlite:////nightingale", "nightingale"), 503, "users cannot be read"),
    (auth_errors.WrongSchema("sqlite:////nightingale", "v2", "v1", newer=True), 503, "users cannot be read"),
    (edge_errors.Overloaded(8), 503, "8 s"),
    (edge_errors.StillCompiling("gru", 86.4), 503, "takes 86 s. Send this one again in 15 s"),
    (auth_errors.TooManyLogIns(9), 429, "9 s"),
    (auth_errors.LimitReached("requests", 60, 3_600, 1, 10), 429, "10 s"),
    (SQLAlchemyError("nightingale"), 503, "users cannot be read"),
    (TimeoutError("nightingale"), 504, "took too long"),
    (HTTPException(404, "nightingale"), 404, "/docs.json"),
    (HTTPException(418, "nightingale"), 418, "Teapot"),
    (ZeroDivisionError("nightingale"), 500, "Nothing was wrong with the request"),
]


def document(response: Response) -> dict[str, Any]:
    """Return a response's problem document, its form checked."""
    assert response.media_type == MEDIA_TYPE
    body: dict[str, Any] = json.loads(bytes(response.body))
    assert body["status"] == response.status_code
    assert body["type"].startswith("urn:lastgang:problem:")
    assert body["title"]
    return body


@pytest.mark.parametrize("error, status, words", EXAMPLES, ids=lambda value: type(value).__name__)
def test_errors_become_problem_documents(error: Exception, status: int, words: str) -> None:
    """Each error has its status and its words; what is for the log stays inside."""
    response = problem(error)
    assert response.status_code == status
    assert words.casefold() in document(response)["detail"].casefold()
    assert b"nightingale" not in response.body


def test_every_kind_has_an_example() -> None:
    """The table above leaves no error of the one table out."""
    assert {type(error) for error, _, _ in EXAMPLES} >= set(KINDS)


def test_every_kind_is_documented_somewhere() -> None:
    """The table of the routes' problems forgets no kind of error, and knows no error that has no kind."""
    known = {*KINDS, HTTPException}
    kinds = [known.intersection(type(error).__mro__) for errors in PROBLEMS.values() for error in errors]
    assert all(kinds)
    assert set.union(*kinds) == known


def test_looking_at_the_examples_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever reads the documentation reports no failure of the user store or of a model."""
    for errors in PROBLEMS.values():
        examples(errors)
    assert caplog.text == ""


def test_kinds_have_names_of_their_own() -> None:
    """A program can tell every kind from every other."""
    assert len({kind.name for kind in KINDS.values()}) == len(KINDS)


HEADERS = [
    (auth_errors.NotAuthenticated(), "www-authenticate", "Bearer"),
    (auth_errors.InvalidToken(""), "www-authenticate", 'Bearer error="invalid_token"'),
    (auth_errors.PasswordChecksBusy(7), "retry-after", "7"),
    (HTTPException(405, headers={"Allow": "POST"}), "allow", "POST"),
    (auth_errors.UnknownMethod(("GET", "HEAD")), "allow", "GET, HEAD"),
    (
        auth_errors.InsufficientScope("models:read"),
        "www-authenticate",
        'Bearer error="insufficient_scope", scope="models:read"',
    ),
]


@pytest.mark.parametrize("error, header, value", HEADERS, ids=lambda value: str(value)[:20])
def test_headers(error: Exception, header: str, value: str) -> None:
    """The headers that HTTP asks for are there."""
    assert problem(error).headers[header] == value


def test_problems_of_a_file_are_listed() -> None:
    """Row, column, code and message of the first hundred, and how many there are in all."""
    body = document(problem(InvalidLoadProfile([Problem(at, "Datum", "gap", "A gap.") for at in range(2, 500)])))
    assert len(body["problems"]) == SHOWN
    assert body["problems"][0] == {"row": 2, "column": "Datum", "code": "gap", "message": "A gap."}
    assert body["problem_count"] == 498


def test_problems_of_a_form_are_listed() -> None:
    """Field, code and message."""
    body = document(problem(RequestValidationError([FAULT])))
    assert body["problems"] == [{"field": "username", "code": "missing", "message": "Field required"}]


@pytest.mark.parametrize(
    "error, word",
    [
        (auth_errors.InvalidScope(r'There is no scope "x\y"'), "invalid_scope"),
        (auth_errors.InvalidCredentials(), "invalid_grant"),
        (auth_errors.InvalidTokenRequest("A field is there twice"), "invalid_request"),
        (auth_errors.UnsupportedGrant("no"), "unsupported_grant_type"),
        (auth_errors.InvalidGrant(), "invalid_grant"),
        (auth_errors.InvalidClient(), "invalid_client"),
    ],
)
def test_clients_of_oauth_find_their_words(error: Exception, word: str) -> None:
    """The document of an error of OAuth 2.0 holds its members too, in the characters that RFC 6749 allows."""
    body = document(problem(error))
    assert body["error"] == word
    assert body["error_description"] == str(error).replace('"', "'").replace("\\", "'")


def run(app: Any, seconds: float = 5) -> list[Message]:
    """Send one request through the middleware; return what the client gets."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    asyncio.run(ProblemMiddleware(app, seconds=seconds)({"type": "http", "method": "GET"}, receive, send))
    return sent


def raising(error: Exception) -> Any:
    """Return an app that raises."""

    async def app(_: Scope, __: Receive, ___: Send) -> None:
        raise error

    return app


FOREIGN = [
    (PlainTextResponse("Not Found", 404), 404),
    (JSONResponse([{"error": "a stray comma"}], 400), 400),
    (JSONResponse({"error": "nightingale"}, 500), 500),
    *((RedirectResponse("https://nightingale.example/", status), 404) for status in (301, 302, 303, 307, 308)),
    (raising(ValueError("nightingale")), 500),
    (raising(edge_errors.BodyTooLarge(9)), 413),
]


@pytest.mark.parametrize("app, status", FOREIGN)
def test_the_middleware_makes_one_shape(app: Any, status: int) -> None:
    """Whatever the layers below answer or raise, the client gets one problem document."""
    start, *rest = run(app)
    body = b"".join(message.get("body", b"") for message in rest)
    assert start["status"] == json.loads(body)["status"] == status
    headers = dict(start["headers"])
    assert b"location" not in headers
    assert headers[b"content-type"] == MEDIA_TYPE.encode()
    assert int(headers[b"content-length"]) == len(body)
    assert b"nightingale" not in body


def test_good_answers_pass_as_they_are() -> None:
    """An answer without an error is not touched."""
    start, body = run(PlainTextResponse("good"))
    assert (start["status"], body["body"]) == (200, b"good")


def test_a_request_that_takes_too_long_is_given_up() -> None:
    """The client gets a 504, and the work is cancelled."""

    async def app(_: Scope, __: Receive, ___: Send) -> None:
        await asyncio.Event().wait()

    start, _ = run(app, seconds=0.01)
    assert start["status"] == 504


def test_a_client_that_left_is_answered_all_the_same() -> None:
    """Nobody hears it, but the audit log and the metrics tell how it ended."""
    start, _ = run(raising(ClientDisconnect()))
    assert start["status"] == 400


def test_an_error_after_the_answer_began_is_not_hidden() -> None:
    """Half an answer cannot be taken back; the server has to see the error and cut the connection."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        run(app)
