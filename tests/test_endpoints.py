"""How an endpoint is called: with the request, and by nothing of BentoML's that it does not need."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import bentoml
import httpx
import pytest
from bentoml._internal.configuration.containers import BentoMLContainer
from starlette.responses import JSONResponse

from edge import endpoints
from edge.endpoints import DirectApp
from models.errors import UnknownModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Receive, Scope, Send


class Marking:
    """A middleware of the service's own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Leave a mark."""
        scope.setdefault("state", {})["mark"] = "passed"
        await self.app(scope, receive, send)


@bentoml.service(metrics={"enabled": False}, logging={"access": {"enabled": False}})  # as ours
class Small:
    """A service with two endpoints of our form."""

    @bentoml.api(route="/echo/{model}")
    async def echo(self, ctx: bentoml.Context) -> Any:
        """Answer with what was asked, and another status than the usual one."""
        asked = ctx.request
        told = {"model": asked.path_params["model"], "mark": asked.state.mark, "body": (await asked.body()).decode()}
        return JSONResponse(told, 202)

    @bentoml.api(route="/refuse")
    async def refuse(self, ctx: bentoml.Context) -> Any:
        """Refuse."""
        raise UnknownModel(ctx.request.query_params["name"], ["gru"])

    @bentoml.api(route="/fail")
    async def fail(self, ctx: bentoml.Context) -> Any:
        """Fail."""
        raise ValueError(ctx.request.url.path)


service: Any = Small
service.add_asgi_middleware(Marking)


@pytest.fixture(scope="module")
def app() -> Iterator[Starlette]:
    """Give the application as BentoML makes it, with an instance behind it."""
    usual = BentoMLContainer.config.get()
    service.inject_config()
    made: Starlette = DirectApp(service)()
    yield made
    BentoMLContainer.config.set(usual)  # the service's own configured this process


def post(app: Starlette, path: str, body: bytes = b"") -> httpx.Response:
    async def sent() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport) as client:
            return await client.post(f"http://test{path}", content=body)

    return asyncio.run(sent())


def test_an_endpoint_gets_the_request_as_it_is(app: Starlette) -> None:
    """Path, state and a body that is no JSON; its answer goes out with its own status."""
    answer = post(app, "/echo/gru", b"a,b")
    assert (answer.status_code, answer.json()) == (202, {"model": "gru", "mark": "passed", "body": "a,b"})


def test_what_it_refuses_is_a_problem_document(app: Starlette) -> None:
    """By the one table of errors."""
    answer = post(app, "/refuse?name=gnu")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "gnu" in answer.json()["detail"]


def test_a_bug_is_left_to_who_stands_further_out(app: Starlette) -> None:
    """Not hidden behind an answer of BentoML's; `ProblemMiddleware` logs and answers it."""
    with pytest.raises(ValueError, match="/fail"):
        post(app, "/fail")


def test_only_the_service_s_own_layers_stand_around(app: Starlette) -> None:
    """Were BentoML to rename those that are left out, they would be back."""
    around: list[Any] = [one.cls for one in app.user_middleware]
    assert around == [Marking]
    usual = {one.cls.__name__ for one in super(DirectApp, DirectApp(service)).middlewares}
    assert usual == {*endpoints.LEFT_OUT, Marking.__name__}
