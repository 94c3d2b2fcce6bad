"""Labels change over HTTP by the rules of the command, and the history says who did it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from auth.app import create_app
from auth.desk import TokenDesk
from auth.middleware import Identity
from edge.model_changes import add_model_changes
from edge.problems import handle_errors
from models.labels import FILE, current, read
from models.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
NOW = datetime(2026, 5, 4, 8, 15, tzinfo=UTC)
V1, V2 = "1a" * 8, "2a" * 8


def no_desk() -> TokenDesk:
    """Stands for what gives tokens."""
    raise AssertionError("nobody logs in")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give a Bento store with two versions of `toy`; nothing here needs weights."""
    store = Store(tmp_path / "models")
    for version in (V1, V2):
        with store.creating("toy", version, "0" * 64) as folder:
            (folder / "card.json").write_text("{}")
    return store


def ask(store: Store, method: str, path: str, body: Any = None) -> httpx.Response:
    """Send a request as ada."""
    app = create_app(no_desk)
    add_model_changes(app, lambda: store)
    handle_errors(app)
    ada = Identity("ada", False, NOW, "0" * 32, NOW, frozenset({"models:write"}), "anyone")

    async def gate(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["user"] = ada
        await app(scope, receive, send)

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="https://x") as client:
            return await client.request(method, path, json=body)

    return asyncio.run(send())


def borne(store: Store) -> dict[str, str]:
    """Return which version bears which label."""
    return {str(label): version for label, version in current(store.folder("toy"), store.entries()).labels.items()}


def test_a_version_gets_a_label(store: Store) -> None:
    """By its first characters, by another label, and none takes it away; the history says who it was."""
    answer = ask(store, "PUT", "/models/toy/labels/canary", {"version": "1a"})
    assert (answer.status_code, answer.json()) == (200, {"model": "toy", "label": "canary", "version": V1})
    ask(store, "PUT", "/models/toy/labels/stable", {"version": "canary"})
    assert borne(store) == {"stable": V1, "canary": V1}
    assert ask(store, "PUT", "/models/toy/labels/canary", {"version": None}).json()["version"] is None
    assert borne(store) == {"stable": V1}
    labels = read(store.folder("toy"))
    assert labels is not None
    assert labels.history[-1].by == "ada, PUT /models/{model}/labels/{label}"


def test_back_to_the_version_before(store: Store) -> None:
    """A second time undoes it."""
    ask(store, "PUT", "/models/toy/labels/stable", {"version": V1})
    for version in (V2, V1):
        assert ask(store, "POST", "/models/toy/rollback").json() == {
            "model": "toy",
            "label": "stable",
            "version": version,
        }
        assert borne(store)["stable"] == version


@pytest.mark.parametrize(
    "method, path, body, refusal",
    [
        ("PUT", "/models/toy/labels/canary", {"version": "9"}, (404, "unknown-version")),
        ("PUT", "/models/toy/labels/canary", {"version": ""}, (404, "unknown-version")),
        ("PUT", "/models/nothing/labels/canary", {"version": "1a"}, (404, "unknown-model")),
        ("PUT", "/models/..%2ftoy/labels/canary", {"version": "1a"}, (404, "not-found")),
        ("PUT", "/models/../labels/canary", {"version": "1a"}, (404, "not-found")),
        ("PUT", "/models/toy/labels/newest", {"version": "1a"}, (422, "invalid-request")),
        ("PUT", "/models/toy/labels/canary", {}, (422, "invalid-request")),
        ("PUT", "/models/toy/labels/canary", {"version": "1a", "force": True}, (422, "invalid-request")),
        ("POST", "/models/toy/rollback", None, (404, "unknown-version")),
        ("POST", "/models/nothing/rollback", None, (404, "unknown-model")),
    ],
)
def test_refusals(store: Store, method: str, path: str, body: Any, refusal: tuple[int, str]) -> None:
    """What is unknown or not clear is refused, and nothing is changed."""
    answer = ask(store, method, path, body)
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == refusal
    assert borne(store) == {"stable": V2}


def test_labels_that_cannot_be_read(store: Store) -> None:
    """The file is named in the log and not to the client."""
    (store.folder("toy") / FILE).write_text("?")
    answer = ask(store, "POST", "/models/toy/rollback")
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (503, "labels-unreadable")
    assert str(store.folder("toy")) not in answer.text
