"""The outermost layer: an id for each request, and a line in the log that nobody can forge."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge.errors import BodyTooLarge
from edge.metrics import Metrics
from edge.problems import INSTANCE_PREFIX, ProblemMiddleware, handle_errors
from edge.routes import OTHER, Routes
from edge.telemetry import TelemetryMiddleware, request_id

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MADE = re.compile(r"[0-9a-f]{32}")


async def echo(request: Request) -> Response:
    return JSONResponse(request.state.request_id)


async def refuse(_: Request) -> Response:
    raise BodyTooLarge(9)


APP = FastAPI(openapi_url=None)
APP.router.routes += [
    Route("/", echo),
    Route("/refuse", refuse),
    Route("/predict/{model}", echo, methods=["POST"]),
]
handle_errors(APP)
ROUTES = Routes(["/", "/refuse", "/predict/{model}"])


def following(app: ASGIApp = APP, **options: Any) -> TelemetryMiddleware:
    """Return the application below the layer, problems made in between as in the service."""
    metrics = Metrics(CollectorRegistry())
    return TelemetryMiddleware(ProblemMiddleware(app, seconds=5), routes=ROUTES, metrics=lambda: metrics, **options)


def ask(app: ASGIApp, path: str = "/", method: str = "GET", headers: Any = None) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(asked())


@pytest.mark.parametrize("sent", ["a", "0.1_B-c", "x" * 64, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
def test_a_plain_id_of_the_client_is_taken(sent: str) -> None:
    """It is the request's id inside and in the answer's header."""
    answer = ask(following(), headers={"X-Request-Id": sent})
    assert (answer.json(), answer.headers["x-request-id"]) == (sent, sent)


@pytest.mark.parametrize(
    "sent", [None, "", " ", "x" * 65, "a b", "a\tb", "a;b", "a/b", "a%0ab", "\x1b[31m", "ä", "${jndi:x}", '"', "{"]
)
def test_any_other_id_is_replaced(sent: str | None) -> None:
    """What could not be written anywhere without care is not taken; an id is made, another each time."""
    headers = {} if sent is None else {"X-Request-Id": sent.encode("latin-1")}
    answers = [ask(following(), headers=headers) for _ in range(2)]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 2
    assert all(MADE.fullmatch(one) for one in ids)
    assert [answer.json() for answer in answers] == [answer.headers["x-request-id"] for answer in answers]


def test_of_two_ids_none_is_taken() -> None:
    """Nobody could tell which of them other parties have written down."""
    answer = ask(following(), headers=[("X-Request-Id", "one"), ("X-Request-Id", "two")])
    assert MADE.fullmatch(answer.headers["x-request-id"])


@given(st.lists(st.tuples(st.sampled_from([b"x-request-id", b"other"]), st.binary(max_size=80)), max_size=3))
def test_every_id_is_safe(headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever is sent, an id is short and has plain characters only."""
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", request_id(headers))


@pytest.mark.parametrize("path, status", [("/refuse", 413), ("/nowhere", 404)])
def test_a_problem_names_the_request(path: str, status: int) -> None:
    """The document's `instance` is the id in the header, whoever made the document."""
    answer = ask(following(), path)
    assert answer.status_code == status
    assert answer.json()["instance"] == INSTANCE_PREFIX + answer.headers["x-request-id"]


def test_requests_at_the_same_moment_keep_their_ids() -> None:
    """Each of many answers bears the id that its own request had."""

    async def asked() -> list[tuple[str, str]]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(following()), base_url="http://test") as client:
            names = [f"id-{at}" for at in range(50)]
            answers = await asyncio.gather(*(client.get("/", headers={"X-Request-Id": name}) for name in names))
        return [(name, answer.json()) for name, answer in zip(names, answers, strict=True)]

    assert all(sent == got for sent, got in asyncio.run(asked()))


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_what_is_not_http_passes(kind: str) -> None:
    """A start of the application has no id."""
    seen = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    async def receive() -> Message:
        return {}

    async def send(_: Message) -> None:
        pass

    asyncio.run(TelemetryMiddleware(app, routes=ROUTES, metrics=Metrics)({"type": kind}, receive, send))
    assert seen == [{"type": kind}]


def facts(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return what the lines of the access log tell besides their words."""
    return [record.__dict__["facts"] for record in caplog.records if record.name == "lastgang.access"]


LINES = [
    ("GET", "/?password=nightingale", {"method": "GET", "route": "/", "status": 200, "problem": None}),
    ("POST", "/predict/gru", {"method": "POST", "route": "/predict/{model}", "status": 200, "problem": None}),
    ("GET", "/refuse", {"method": "GET", "route": "/refuse", "status": 413, "problem": "body-too-large"}),
    ("GET", "/nightingale%0aINFO", {"method": "GET", "route": OTHER, "status": 404, "problem": "not-found"}),
    ("BREW", "/predict/a/nightingale", {"method": OTHER, "route": OTHER, "status": 404, "problem": "not-found"}),
]


@pytest.mark.parametrize("method, path, told", LINES)
def test_an_access_line_tells_the_route_only(
    method: str, path: str, told: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The template, a known method, the status, the problem, the time; nothing that the client made up."""
    caplog.set_level(logging.INFO, "lastgang.access")
    ask(following(access_log=True), path, method)
    (line,) = facts(caplog)
    assert line | told == line
    assert line["subject"] is None
    assert 0 < line["duration_ms"] < 5_000
    assert "nightingale" not in json.dumps(line) + caplog.text


def test_an_access_line_names_the_subject(caplog: pytest.LogCaptureFixture) -> None:
    """Who the gate let in."""

    class Known:
        name = "ada"

    async def gate(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["user"] = Known()
        await APP(scope, receive, send)

    caplog.set_level(logging.INFO, "lastgang.access")
    ask(following(gate, access_log=True))
    assert facts(caplog)[0]["subject"] == "ada"


def test_an_error_after_the_answer_began_leaves_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever becomes of a request, it is told."""

    async def half(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("late")

    caplog.set_level(logging.INFO, "lastgang.access")
    ask(following(half, access_log=True))
    assert facts(caplog)[0]["status"] == 200


def test_no_line_unless_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    """By default nothing is logged of a request that went well."""
    caplog.set_level(logging.INFO, "lastgang.access")
    ask(following())
    assert not facts(caplog)


TEMPLATES = Routes(["/", "/models", "/models/{model}", "/models/{model}/versions/{version}", "/static_content/{file}"])


@pytest.mark.parametrize(
    "path, template",
    [
        ("/", "/"),
        ("/models", "/models"),
        ("/models/gru", "/models/{model}"),
        ("/models/any thing\n", "/models/{model}"),
        ("/models/gru/versions/1", "/models/{model}/versions/{version}"),
        ("/models/", OTHER),
        ("/models/gru/", OTHER),
        ("/models/a/b", OTHER),
        ("//models", OTHER),
        ("/modelsX", OTHER),
        ("", OTHER),
        ("*", OTHER),
    ],
)
def test_a_path_has_one_template(path: str, template: str) -> None:
    """A parameter stands for one segment that is not empty; what fits none is the one other."""
    assert TEMPLATES(path) == template


@given(st.text(max_size=40))
def test_every_path_has_a_known_template(path: str) -> None:
    """Whatever is asked for, its name is one of a few."""
    assert TEMPLATES(path) in {*TEMPLATES.templates, OTHER}
