"""Every token and refusal has its line before the answer leaves; what cannot be recorded is refused."""

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from databases import prepared, throttle_of, url_of
from desks import desk_on
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response

from audit.checking import extent_of, verify
from audit.errors import TrailUnwritable
from audit.files import listed
from audit.refusals import EACH, KNOWN, STRANGERS, Refusals
from audit.trail import Trail
from auth.access import Access, Needs, Without
from auth.admin import add_admin
from auth.administration import Administration
from auth.app import create_app
from auth.clients import ClientStore
from auth.middleware import Authenticator, AuthMiddleware
from auth.passwords import Passwords
from auth.throttle import Throttle
from auth.tokens import Tokens
from auth.users import UserStore
from edge.audited import AuditMiddleware, Auditor, IntentMiddleware, facts_of
from edge.metrics import Metrics
from edge.problems import ProblemMiddleware, handle_errors
from edge.routes import Routes
from edge.shedding import Load
from edge.telemetry import TelemetryMiddleware
from edge.uploads import UploadMiddleware

TOKENS = Tokens([hashlib.sha256(b"key").digest()], "lastgang", "lastgang", timedelta(minutes=30))
PASSWORD = "correct horse battery"
PROBES = [("GET", "/livez")]
OPEN = [("POST", "/token"), ("POST", "/revoke"), *PROBES]
NEEDS: dict[tuple[str, str], Needs] = {
    **dict.fromkeys(OPEN, Without.TOKEN),
    ("GET", "/users/me"): Without.SCOPE,
    ("POST", "/forecast/{model}"): "forecast",
    ("DELETE", "/users/{name}"): "users:admin",
}
TEMPLATES = ("/token", "/revoke", "/users/me", "/livez", "/forecast/{model}", "/users/{name}")


class Site:
    """The real application for log-ins behind the real layers, and one route that takes a file."""

    def __init__(
        self, folder: Path, users: UserStore, passwords: Passwords, throttle: Throttle, sync: Any = "second"
    ) -> None:
        self.folder, self.users = folder / "audit", users
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry)
        self.auditor = Auditor(Trail(self.folder, sync=sync), "os:root", os.getpid(), metrics.audited)
        desk = desk_on(users._database, passwords, TOKENS, lambda: datetime.now(UTC), throttle)
        app = create_app(lambda: desk)

        @app.post("/forecast/{model}")
        async def forecast(request: Request) -> Response:
            facts_of(request.scope).update(model="gru", version="3f2a")
            return Response(bytes(request.state.upload))

        @app.get("/livez")
        async def alive() -> Response:
            return Response()

        add_admin(app, lambda: Administration(users, ClientStore(users._database), passwords))
        handle_errors(app)
        routes = Routes(TEMPLATES)
        layer: Any = UploadMiddleware(app, limits={"/forecast/": 1_000_000}, seconds=5, load=Load(9, 9, 10**6))
        layer = IntentMiddleware(layer, auditor=lambda: self.auditor, routes=routes)
        layer = AuthMiddleware(layer, authenticate=Authenticator(TOKENS, users._database), access=Access(NEEDS))
        layer = ProblemMiddleware(layer, seconds=5)
        layer = AuditMiddleware(layer, auditor=lambda: self.auditor, routes=routes, unrecorded=PROBES)
        self._app = TelemetryMiddleware(layer, routes=routes, metrics=lambda: metrics)

    def ask(self, method: str, path: str, times: int = 1, **options: Any) -> httpx.Response:
        """Send a request some times; return the last answer."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, client=("203.0.113.9", 4711))
            async with httpx.AsyncClient(transport=transport, base_url="https://lastgang.test") as client:
                for _ in range(times):
                    answer = await client.request(method, path, **options)
            return answer

        return asyncio.run(send())

    def log_in(self, **form: str) -> httpx.Response:
        """Try to get a token."""
        return self.ask("POST", "/token", data={"username": "Ada", "password": PASSWORD} | form)

    def bearer(self) -> dict[str, str]:
        """Return the header of a new token."""
        return {"Authorization": f"Bearer {self.log_in().raise_for_status().json()['access_token']}"}

    def lines(self) -> list[dict[str, Any]]:
        """Return every line but those that tell of the log itself; the chain has to be whole."""
        assert verify(extent_of(self.folder)).broken is None
        raw = "".join(path.read_text() for path in listed(self.folder))
        told = [json.loads(line) for line in raw.splitlines()]
        return [line for line in told if line["event"] != "trail.file"]


@pytest.fixture(scope="module")
def passwords() -> Iterator[Passwords]:
    quick = Passwords(memory=64, passes=1)
    yield quick
    quick.close()


@pytest.fixture
def make(tmp_path: Path, passwords: Passwords) -> Iterator[Callable[..., Site]]:
    """Make the site, with the user ada."""
    with prepared(url_of(tmp_path)) as database:
        users = UserStore(database)
        users.add("ada", passwords.hash(PASSWORD), {"forecast"})
        yield lambda **options: Site(tmp_path, users, passwords, throttle_of(database), **options)


@pytest.fixture
def site(make: Callable[..., Site]) -> Iterator[Site]:
    site = make()
    yield site
    site.auditor.trail.close()


def some(line: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(line.get(name) for name in names)


def test_a_token_and_a_forecast(site: Site) -> None:
    """Who, from where, with what: subject, token, request, model, version, the digest of the very file."""
    answer = site.ask("POST", "/forecast/gru?tz=UTC", headers=site.bearer(), files={"file": b"Datum;kW\n4711"})
    token, forecast = site.lines()
    assert some(token, "event", "outcome", "subject", "status", "address") == ("token", "ok", "ada", 200, "203.0.113.9")
    expected = ("forecast", "ok", "ada", "gru", "3f2a", "/forecast/{model}", "POST", 200)
    assert some(forecast, "event", "outcome", "subject", "model", "version", "route", "method", "status") == expected
    assert some(forecast, "input", "input_bytes") == (hashlib.sha256(b"Datum;kW\n4711").hexdigest(), 13)
    assert forecast["request"] == answer.headers["X-Request-Id"]
    assert len(forecast["token"]) == 32
    assert 0 < forecast["duration_us"] < 5_000_000


def test_a_large_file_has_its_digest_too(site: Site) -> None:
    """It is made beside the event loop."""
    body = os.urandom(300_000)
    site.ask("POST", "/forecast/gru", headers=site.bearer() | {"Content-Type": "text/csv"}, content=body)
    assert site.lines()[-1]["input"] == hashlib.sha256(body).hexdigest()


def test_refusals(site: Site) -> None:
    """Each has its status, its problem and its route's template; what was sent stands nowhere."""
    site.log_in(password="nightingale-1")
    site.log_in(username="nightingale-2")
    site.ask("GET", "/users/me")
    site.ask("POST", "/forecast/nightingale-3", headers={"Authorization": "Bearer nightingale-4"})
    bearer = site.bearer()
    site.ask("GET", "/nightingale-5?key=nightingale-6", headers=bearer)
    site.ask("PURGE", "/users/me", headers=bearer)
    told = [some(line, "event", "outcome", "status", "problem", "route", "subject") for line in site.lines()]
    assert told == [
        ("token", "refused", 401, "invalid-credentials", "/token", None),
        ("token", "refused", 401, "invalid-credentials", "/token", None),
        ("request", "refused", 401, "not-authenticated", "/users/me", None),
        ("forecast", "refused", 401, "invalid-token", "/forecast/{model}", None),
        ("token", "ok", 200, None, "/token", "ada"),
        ("request", "refused", 404, "not-found", "other", "ada"),
        ("request", "refused", 405, "method-not-allowed", "/users/me", "ada"),
    ]
    assert [line.get("target") for line in site.lines()[:2]] == ["ada", None]
    assert "nightingale" not in json.dumps(site.lines())


def test_what_is_only_read_leaves_no_line(site: Site) -> None:
    """Nor do probes, as they are written in the table of open routes and in no other way."""
    bearer = site.bearer()
    assert site.ask("GET", "/users/me", headers=bearer).status_code == 200
    assert site.ask("GET", "/livez").status_code == 200
    assert len(site.lines()) == 1
    assert site.ask("GET", "/live%7a").status_code == 401
    assert len(site.lines()) == 2


def test_a_stranger_cannot_fill_the_log(site: Site) -> None:
    """A few lines for one address, and one for all that came after; a log-in is still told of."""
    site.ask("GET", "/users/me", times=500)
    site.log_in(password="wrong")
    assert len(site.lines()) == EACH + 1
    site.auditor.tell_counted()
    told = site.lines()[-1]
    count = 500 - EACH
    assert some(told, "event", "outcome", "count") == ("refusals", "refused", count)
    assert told["problems"] == {"/users/me 401 not-authenticated": count}
    assert told["addresses"] == {"203.0.113.9": count}
    assert site.lines()[EACH]["target"] == "ada"


def test_a_stranger_who_takes_back_nothing_cannot_fill_the_log(site: Site) -> None:
    """That is answered with 200 and has a few lines; a token that is taken back always has its own."""
    mine = site.bearer()["Authorization"].removeprefix("Bearer ")
    assert site.ask("POST", "/revoke", times=500, data={"token": "x"}).status_code == 200
    assert len(site.lines()) == 1 + EACH
    site.ask("POST", "/revoke", data={"token": mine})
    assert some(site.lines()[-1], "route", "target", "outcome") == ("/revoke", "ada", "ok")
    site.auditor.tell_counted()
    assert site.lines()[-1]["problems"] == {"/revoke 200": 500 - EACH}


def test_what_is_counted_is_told_at_the_end(site: Site) -> None:
    """The last minute of a worker, too, and that it ended."""
    site.ask("GET", "/users/me", times=EACH + 3)
    site.auditor.close()
    assert [line["event"] for line in site.lines()[-2:]] == ["refusals", "worker.stop"]


@pytest.mark.parametrize("sync", ["line", "second"])
def test_what_cannot_be_recorded_is_refused(make: Callable[..., Site], sync: str, caplog: Any) -> None:
    """503 for tokens, forecasts and refusals while the log fails; reading goes on; then all goes on by itself."""
    site = make(sync=sync)
    bearer = site.bearer()
    site.auditor.trail.close()
    away = site.folder.with_name("away")
    site.folder.rename(away)
    site.folder.touch()  # a file where the folder should be
    for method, path in (("POST", "/forecast/gru"), ("POST", "/token"), ("GET", "/nothing")):
        answer = site.ask(method, path, headers=bearer, files={"file": b"x"} if path != "/nothing" else None)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:lastgang:problem:audit-unavailable")
        assert answer.headers["Retry-After"] == "5"
        assert str(site.folder) not in answer.text
    assert site.ask("GET", "/users/me", headers=bearer).status_code == 200
    assert site.ask("GET", "/livez").status_code == 200
    assert len([record for record in caplog.records if "requests are refused" in record.message]) == 1
    site.folder.unlink()
    away.rename(site.folder)
    assert site.ask("POST", "/forecast/gru", headers=bearer, files={"file": b"x"}).status_code == 200
    assert [line["event"] for line in site.lines()[1:]] == ["trail.resumed", "forecast"]
    assert site.lines()[1]["count"] == 3
    for outcome in ("written", "failed"):
        assert site.registry.get_sample_value("lastgang_audit_lines_total", {"outcome": outcome}) == 3
    site.auditor.trail.close()


def test_a_disk_that_hangs_is_not_waited_for_for_ever(
    make: Callable[..., Site], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """No layer further out would give the request up; the reason is logged."""
    site = make(sync="line")
    bearer = site.bearer()
    monkeypatch.setattr("edge.audited.SETTLES_WITHIN", 0.1)
    monkeypatch.setattr(site.auditor.trail, "settle", lambda: time.sleep(1))
    assert site.ask("POST", "/forecast/gru", headers=bearer, files={"file": b"x"}).status_code == 503
    assert "did not take a line within 0.1 seconds" in caplog.text
    site.auditor.trail.close()


def test_nothing_is_changed_that_cannot_be_recorded(site: Site) -> None:
    """A change has a line before and one after; without the first it is not made, also if the log has just failed."""
    for name in ("bob", "eve"):
        site.users.add(name, "hash", {"forecast"})
    site.users.grant("ada", {"users:admin"})
    bearer = site.bearer()
    assert site.ask("DELETE", "/users/bob", headers=bearer).status_code == 204
    told = [some(line, "event", "outcome", "subject", "route", "target") for line in site.lines()[1:]]
    assert told == [
        ("request", "begun", "ada", "/users/{name}", None),
        ("request", "ok", "ada", "/users/{name}", "bob"),
    ]
    site.auditor.trail.close()
    site.folder.rename(site.folder.with_name("away"))
    site.folder.touch()
    answer = site.ask("DELETE", "/users/eve", headers=bearer)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:lastgang:problem:audit-unavailable")
    assert site.users.get("eve") is not None


def test_counted_refusals_survive_a_log_that_fails(site: Site) -> None:
    """They are told as soon as there is a log again."""
    site.ask("GET", "/users/me", times=EACH + 3)
    away = site.folder.with_name("away")
    site.folder.rename(away)
    site.folder.touch()
    site.auditor.tell_counted()
    site.auditor.note("model.serve", model="gru")  # logged, and no more
    site.folder.unlink()
    away.rename(site.folder)
    site.auditor.tell_counted()
    assert some(site.lines()[-1], "event", "count") == ("refusals", 3)


def test_a_websocket_is_counted(site: Site) -> None:
    """The gate closes it; that somebody tried is told."""
    sent: list[Any] = []

    async def connect() -> None:
        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": "/forecast/gru", "headers": [], "client": ("203.0.113.9", 1)}
        await site._app(scope, receive, send)

    asyncio.run(connect())
    assert sent[0]["type"] == "websocket.close"
    site.auditor.tell_counted()
    assert site.lines()[-1]["problems"] == {"websocket 403": 1}


def test_the_budget_of_a_minute() -> None:
    """For strangers together, for each address, for each user; log-ins and the rest apart; a new minute, new lines."""
    now = 0.0
    refusals = Refusals(lambda: now)
    by_many = [refusals.own_line("request", f"203.0.113.{number}", None) for number in range(100)]
    assert by_many == [True] * STRANGERS + [False] * (100 - STRANGERS)
    assert [refusals.own_line("token", "203.0.113.1", None) for _ in range(EACH + 1)] == [True] * EACH + [False]
    assert sum(refusals.own_line("request", "", "ada") for _ in range(2 * KNOWN)) == KNOWN
    assert refusals.own_line("request", "", "bob")
    now = 61.0
    assert refusals.own_line("request", "203.0.113.1", None)


def test_the_line_of_a_count_is_bounded() -> None:
    """Ten addresses by name, the rest in the count alone; no more than a thousand are told apart."""
    refusals = Refusals()
    assert refusals.summary() is None
    for number in range(3_000):
        refusals.count("other 404 not-found", f"address {number}", None, "ada")
    told = refusals.summary()
    assert told is not None
    assert some(told, "count", "targets", "subjects") == (3_000, {"ada": 3_000}, None)
    assert isinstance(told["addresses"], dict)
    assert (len(told["addresses"]), told["addresses"]["others"]) == (10, 2_000)


def test_lines_of_one_moment_are_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One write for all that wait, in the order of their coming, and a failure told to each of them."""
    folder = tmp_path / "audit"
    trail = Trail(folder)
    auditor = Auditor(trail, "os:root", os.getpid())
    append_all, groups = trail.append_all, list[int]()

    def counted(contents: Sequence[dict[str, Any]]) -> int:
        groups.append(len(contents))
        return append_all(contents)

    monkeypatch.setattr(trail, "append_all", counted)

    async def many(subjects: range) -> list[BaseException | None]:
        told = [auditor.keep("predict", outcome="ok", subject=str(number)) for number in subjects]
        return await asyncio.gather(*told, return_exceptions=True)

    assert asyncio.run(many(range(5))) == [None] * 5
    assert groups == [5]
    folder.rename(tmp_path / "away")
    folder.write_text("in its place")
    refused = asyncio.run(many(range(5, 8)))
    assert [type(error) for error in refused] == [TrailUnwritable] * 3
    folder.unlink()
    (tmp_path / "away").rename(folder)
    assert asyncio.run(many(range(8, 10))) == [None] * 2
    trail.close()
    lines = [json.loads(line) for file in listed(folder) for line in file.read_text().splitlines()]
    assert [line["subject"] for line in lines if line["event"] == "predict"] == [*map(str, range(5)), "8", "9"]
    assert verify(extent_of(folder)).broken is None
