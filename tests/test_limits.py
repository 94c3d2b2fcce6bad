"""Each answer says what is left, in the fields of the draft; what is above is refused before it is read."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.datastructures import State

from auth.budgets import Budget
from auth.counters import Counters
from auth.errors import LimitReached
from edge.limits import LimitsMiddleware, charge
from edge.problems import ProblemMiddleware


@pytest.fixture
def counters(tmp_path: Path) -> Iterator[Counters]:
    """Give new counters."""
    counters = Counters(sa.create_engine(f"sqlite:///{tmp_path}/counters.db"))
    yield counters
    counters.close()


def ask(requests: Budget | None, sites: Budget | None, count: int = 1, user: str | None = "ada") -> list[Any]:
    """Send a request that asks about so many sites; return the messages of its answer."""
    sent: list[Any] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if count and user:
            await charge(sites, State(scope["state"]), count)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    async def send(message: Any) -> None:
        sent.append(message)

    layer = ProblemMiddleware(LimitsMiddleware(app, requests=lambda: requests, sites=lambda: sites), seconds=5)
    state = {"user": SimpleNamespace(name=user)} if user else {}
    asyncio.run(layer({"type": "http", "method": "GET", "path": "/", "headers": [], "state": state}, receive, send))
    return sent


def told(messages: list[Any]) -> tuple[int, dict[str, str]]:
    """Return status and headers."""
    headers = {name.decode().lower(): value.decode() for name, value in messages[0]["headers"]}
    return messages[0]["status"], headers


def test_each_answer_says_what_is_left(counters: Counters) -> None:
    """Both budgets, once sites were charged; the numbers fall, and the policies stay."""
    requests, sites = Budget(counters, "requests", 10, 60), Budget(counters, "sites", 100, 3_600)
    for left, sites_left in ((9, 60), (8, 20)):
        status, headers = told(ask(requests, sites, 40))
        assert status == 200
        assert headers["ratelimit-policy"] == '"requests";q=10;w=60, "sites";q=100;w=3600'
        rest = re.fullmatch(r'"requests";r=(\d+);t=(\d+), "sites";r=(\d+);t=(\d+)', headers["ratelimit"])
        assert rest is not None
        assert (int(rest[1]), int(rest[3])) == (left, sites_left)
        assert 1 <= int(rest[2]) <= 60
        assert 1 <= int(rest[4]) <= 3_600
    assert told(ask(requests, sites, 0))[1]["ratelimit"].startswith('"requests";r=7;t=')


def test_the_one_request_too_many(counters: Counters) -> None:
    """It gets 429, when to come again, and which limit; another user does not notice."""
    requests = Budget(counters, "requests", 2, 3_600)
    assert [told(ask(requests, None))[0] for _ in range(3)] == [200, 200, 429]
    messages = ask(requests, None)
    document = json.loads(messages[1]["body"])
    assert document["type"] == "urn:lastgang:problem:quota-exceeded"
    assert (document["violated-policies"], document["limit"], document["window_seconds"]) == (["requests"], 2, 3_600)
    headers = told(messages)[1]
    assert 1 <= int(headers["retry-after"]) <= 3_600
    assert headers["ratelimit-policy"] == '"requests";q=2;w=3600'
    assert headers["ratelimit"] == f'"requests";r=0;t={headers["retry-after"]}'
    assert told(ask(requests, None, user="bob"))[0] == 200


def test_too_many_sites(counters: Counters) -> None:
    """A file of more sites than are left is refused as a whole and costs nothing of them."""
    sites = Budget(counters, "sites", 50, 3_600)
    with pytest.raises(LimitReached):
        asyncio.run(charge(sites, State({"user": SimpleNamespace(name="ada")}), 51))
    assert told(ask(None, sites, 50))[0] == 200


@pytest.mark.parametrize("user", ["ada", None])
def test_no_limits(user: str | None) -> None:
    """Without limits, or where nobody has to say who asks, an answer says nothing of them."""
    status, headers = told(ask(None, None, user=user))
    assert (status, headers) == (200, {"x": "y"})
