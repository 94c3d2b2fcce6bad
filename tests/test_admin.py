"""Administrators change users and clients over HTTP, never beyond what they may do themselves."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from databases import prepared
from starlette.types import Receive, Scope, Send

from auth.admin import add_admin
from auth.administration import Administration
from auth.app import create_app
from auth.clients import ClientStore
from auth.database import Database
from auth.desk import TokenDesk
from auth.errors import BeyondOwnScopes, LastAdmin
from auth.middleware import Identity
from auth.passwords import Passwords
from auth.scopes import ALL
from auth.secrets import is_secret
from auth.users import User, UserStore
from edge.problems import handle_errors

NOW = datetime(2026, 5, 4, 8, 15, tzinfo=UTC)
PASSWORD = "correct horse battery"
BOSS = frozenset({"users:admin", "forecast", "models:read"})  # not all scopes


def no_desk() -> TokenDesk:
    """Stands for what gives tokens."""
    raise AssertionError("nobody logs in")


@dataclass
class Office:
    """The routes, asked as somebody whom the gate has let in."""

    database: Database
    passwords: Passwords
    told: dict[str, Any] = field(default_factory=dict)  # to the audit log, of the last request

    @property
    def users(self) -> UserStore:
        """The users."""
        return UserStore(self.database, lambda: NOW)

    @property
    def clients(self) -> ClientStore:
        """The clients."""
        return ClientStore(self.database, lambda: NOW)

    def ask(self, method: str, path: str, body: Any = None, scopes: frozenset[str] = BOSS) -> httpx.Response:
        """Send a request as boss."""
        app = create_app(no_desk)
        add_admin(app, lambda: Administration(self.users, self.clients, self.passwords))
        handle_errors(app)
        boss = Identity("boss", False, NOW, "0" * 32, NOW, scopes, "anyone")

        async def gate(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("state", {})["user"] = boss
            await app(scope, receive, send)
            self.told = scope["state"].get("audit", {})

        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="https://x") as client:
                sent = {"content": body} if isinstance(body, bytes) else {"json": body}
                return await client.request(method, path, headers={"Content-Type": "application/json"}, **sent)

        return asyncio.run(send())

    def refusal(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Send a request that is refused; return the status and the kind."""
        before = self.users.all(), self.clients.all()
        answer = self.ask(method, path, body)
        assert answer.headers["content-type"] == "application/problem+json"
        assert PASSWORD not in answer.text
        assert (self.users.all(), self.clients.all()) == before
        return answer.status_code, answer.json()["type"].rpartition(":")[2]


@pytest.fixture(scope="module")
def passwords() -> Iterator[Passwords]:
    quick = Passwords(memory=64, passes=1)
    yield quick
    quick.close()


@pytest.fixture
def office(database_url: str, passwords: Passwords) -> Iterator[Office]:
    with prepared(database_url) as database:
        office = Office(database, passwords)
        office.users.add("boss", "hash", BOSS)
        office.users.add("ada", "hash", {"forecast"})
        office.users.add("root", "hash", ALL - {"users:admin"})
        office.clients.add("roof", {"forecast"})
        office.clients.add("reader", {"metrics"})
        yield office


def test_users_are_listed(office: Office) -> None:
    """By name, with state and scopes, without anything of passwords."""
    answer = office.ask("GET", "/users")
    names = [user["username"] for user in answer.json()["users"]]
    assert names == ["ada", "boss", "root"]
    assert answer.json()["users"][0] == {
        "username": "ada",
        "disabled": False,
        "created_at": "2026-05-04T08:15:00Z",
        "scopes": ["forecast"],
    }
    assert "hash" not in answer.text


def test_a_user_is_added(office: Office) -> None:
    """With a password that works and the scopes that were said, by default none."""
    new = {"username": "Bob", "password": PASSWORD, "scopes": ["forecast:gru", "models:read"]}
    answer = office.ask("POST", "/users", new)
    assert (answer.status_code, answer.json()["username"]) == (201, "bob")
    bob = office.users.get("bob")
    assert bob is not None
    assert bob.scopes == {"forecast:gru", "models:read"}
    office.passwords.verify(PASSWORD, bob.password_hash)
    assert PASSWORD not in answer.text
    assert office.ask("POST", "/users", {"username": "cy", "password": PASSWORD}).json()["scopes"] == []


def test_a_refused_change_changes_nothing(office: Office) -> None:
    """Not even that part of it which alone would be allowed."""
    for name in ("boss", "root"):
        office.users.remove(name)
    office.users.add("boss", "hash", BOSS)
    last = {"scopes": ["users:admin"], "disabled": True, "password": PASSWORD}
    assert office.refusal("PATCH", "/users/boss", last) == (409, "last-admin")


def test_a_user_who_got_more_meanwhile_is_not_changed(office: Office) -> None:
    """Who may be changed is judged when they are changed, not a moment before."""
    before = office.users.all()

    def grown(_: User) -> None:
        raise BeyondOwnScopes(["metrics"])

    with pytest.raises(BeyondOwnScopes):
        office.users.change("ada", grown, scopes=["models:read"], disabled=True, password_hash="other")
    assert office.users.all() == before


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"password": PASSWORD, "disabled": True}, "password disable"),
        ({"scopes": [], "disabled": False}, "scopes enable"),
        ({}, ""),
    ],
)
def test_the_audit_log_is_told_what_was_changed(office: Office, change: dict[str, Any], reason: str) -> None:
    """A new password is something else than other scopes."""
    office.ask("PATCH", "/users/ada", change)
    assert (office.told["target"], office.told["reason"]) == ("ada", reason)


def test_a_user_is_changed(office: Office) -> None:
    """What is said is different at once, and nothing else."""
    answer = office.ask("PATCH", "/users/Ada", {"disabled": True, "scopes": ["models:read"]})
    assert (answer.status_code, answer.json()["disabled"], answer.json()["scopes"]) == (200, True, ["models:read"])
    assert office.ask("PATCH", "/users/ada", {"disabled": False}).json()["scopes"] == ["models:read"]
    office.ask("PATCH", "/users/ada", {"password": PASSWORD})
    ada = office.users.get("ada")
    assert ada is not None
    office.passwords.verify(PASSWORD, ada.password_hash)
    assert ada.password_changed_at > NOW
    assert office.ask("PATCH", "/users/ada", {}).json()["scopes"] == ["models:read"]


def test_a_user_is_removed(office: Office) -> None:
    """Nothing is left, and a second time there is nobody to remove."""
    answer = office.ask("DELETE", "/users/ADA")
    assert (answer.status_code, answer.content) == (204, b"")
    assert office.users.get("ada") is None
    assert office.refusal("DELETE", "/users/ada") == (404, "unknown-user")


def test_clients(office: Office) -> None:
    """A client is added with a secret that is shown once, listed without it, and removed by name or id."""
    answer = office.ask("POST", "/clients", {"name": "Meter", "scopes": ["forecast"]})
    assert (answer.status_code, answer.json()["client_id"]) == (201, "client:meter")
    assert answer.headers["cache-control"] == "no-store"
    meter = office.clients.find("meter")
    assert meter is not None
    assert is_secret(answer.json()["client_secret"], meter.secret_hash)
    listed = office.ask("GET", "/clients")
    assert [client["client_id"] for client in listed.json()["clients"]] == [
        "client:meter",
        "client:reader",
        "client:roof",
    ]
    assert "secret" not in listed.text
    assert office.ask("DELETE", "/clients/client:meter").status_code == 204
    assert office.ask("DELETE", "/clients/Roof").status_code == 204
    assert [client.id for client in office.clients.all()] == ["client:reader"]


NEW = {"username": "bob", "password": PASSWORD}
REFUSALS = {
    "another scope": ("POST", "/users", NEW | {"scopes": ["metrics"]}, (403, "beyond-own-scopes")),
    "a scope for more models": ("PATCH", "/users/ada", {"scopes": ["backtest:gru"]}, (403, "beyond-own-scopes")),
    "a user with more": ("PATCH", "/users/root", {"password": PASSWORD}, (403, "beyond-own-scopes")),
    "a user with more, to disable": ("PATCH", "/users/root", {"disabled": True}, (403, "beyond-own-scopes")),
    "a user with more, to remove": ("DELETE", "/users/root", None, (403, "beyond-own-scopes")),
    "a client with another scope": (
        "POST",
        "/clients",
        {"name": "x", "scopes": ["metrics"]},
        (403, "beyond-own-scopes"),
    ),
    "a client with more": ("DELETE", "/clients/reader", None, (403, "beyond-own-scopes")),
    "the last administrator": ("DELETE", "/users/boss", None, (409, "last-admin")),
    "the last one, to disable": ("PATCH", "/users/boss", {"disabled": True}, (409, "last-admin")),
    "the last one's scope": ("PATCH", "/users/boss", {"scopes": ["forecast"]}, (409, "last-admin")),
    "a name that is taken": ("POST", "/users", NEW | {"username": "ADA"}, (409, "user-exists")),
    "a client that is there": ("POST", "/clients", {"name": "roof"}, (409, "client-exists")),
    "nobody": ("PATCH", "/users/nobody", {"disabled": True}, (404, "unknown-user")),
    "nobody's name": ("PATCH", "/users/a%20b", {"disabled": True}, (404, "unknown-user")),
    "no client": ("DELETE", "/clients/nothing", None, (404, "unknown-client")),
    "no name": ("POST", "/users", NEW | {"username": "a b"}, (422, "invalid-user-name")),
    "a client's id": ("POST", "/users", NEW | {"username": "client:x"}, (422, "invalid-user-name")),
    "no client's name": ("POST", "/clients", {"name": "a b"}, (422, "invalid-client-id")),
    "a short password": ("POST", "/users", NEW | {"password": "short"}, (422, "weak-password")),
    "a short password, with more": (
        "PATCH",
        "/users/ada",
        {"password": "short", "scopes": [], "disabled": True},
        (422, "weak-password"),
    ),
    "half a character": (
        "POST",
        "/users",
        rb'{"username": "bob", "password": "\ud800 and much more"}',
        (422, "weak-password"),
    ),
    "an unknown scope": ("POST", "/users", NEW | {"scopes": ["all"]}, (400, "invalid-scope")),
    "an unknown member": ("PATCH", "/users/ada", {"disable": True}, (422, "invalid-request")),
    "a number": ("POST", "/users", NEW | {"username": 1}, (422, "invalid-request")),
    "no body": ("POST", "/users", None, (422, "invalid-request")),
    "a list": ("POST", "/clients", ["x"], (422, "invalid-request")),
}


@pytest.mark.parametrize("method, path, body, refusal", REFUSALS.values(), ids=REFUSALS)
def test_refusals(office: Office, method: str, path: str, body: Any, refusal: tuple[int, str]) -> None:
    """What is refused changes nothing, and says what kind of refusal it is."""
    assert office.refusal(method, path, body) == refusal


def test_administrators_change_themselves(office: Office) -> None:
    """One's own password can be changed; with a second administrator the first may go."""
    assert office.ask("PATCH", "/users/boss", {"password": PASSWORD}).status_code == 200
    office.users.grant("ada", {"users:admin"})
    assert office.ask("DELETE", "/users/boss").status_code == 204


def test_of_two_who_remove_each_other_one_stays(office: Office) -> None:
    """Administrators who remove all others at the same moment cannot leave nobody."""
    names = [f"admin{number}" for number in range(8)]
    for name in names:
        office.users.add(name, "hash", {"users:admin"})
    office.users.remove("boss")

    def remove(name: str) -> bool:
        try:
            office.users.remove(name, keep_admin=True)
        except LastAdmin:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(remove, names)) == [False] + [True] * 7
    assert len([user for user in office.users.all() if "users:admin" in user.scopes]) == 1


def test_the_command_may_remove_the_last_one(office: Office) -> None:
    """Who has the database can grant the scope again."""
    office.users.remove("boss")
    assert not [user for user in office.users.all() if "users:admin" in user.scopes]
