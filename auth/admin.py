"""The routes with which users and clients are administered; see `auth.administration` for what is refused."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import FastAPI, Path, Request, Response, status
from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr

from auth.administration import Administration, Change
from auth.app import closed, facts
from auth.clients import Client
from auth.middleware import bearer_of
from auth.scopes import USERS_ADMIN, written
from auth.users import User

SCOPES = Field(max_length=100, description="What they may do; see the scopes of this document.")
_ADA: dict[str, JsonValue] = {
    "username": "ada",
    "disabled": False,
    "created_at": "2026-05-04T08:15:00Z",
    "scopes": ["forecast"],
}
_METER: dict[str, JsonValue] = {
    "client_id": "client:meter-gateway",
    "disabled": False,
    "created_at": "2026-05-04T08:15:00Z",
    "scopes": ["forecast"],
}


class UserEntry(BaseModel):
    """One user."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ADA]})
    username: str
    disabled: bool
    created_at: datetime
    scopes: list[str]

    @classmethod
    def of(cls, user: User) -> "UserEntry":
        """Put a user into words."""
        return cls(username=user.name, disabled=user.disabled, created_at=user.created_at, scopes=sorted(user.scopes))


class UserList(BaseModel):
    """Every user, by name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"users": [_ADA]}]})
    users: list[UserEntry]


class NewUser(BaseModel):
    """A user to be added."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"username": "ada", "password": "seven days, two hours", "scopes": ["forecast"]}]
        },
    )
    username: str = Field(max_length=200, description="1 to 64 of `A-Z a-z 0-9 . _ @ -`; upper and lower case are one.")
    password: SecretStr = Field(max_length=2_000, description="At least 12 characters that nobody can guess.")
    scopes: Annotated[list[str], SCOPES] = []


class UserChange(BaseModel):
    """What is to be different; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"disabled": True}]})
    password: SecretStr | None = Field(default=None, max_length=2_000, description="Ends the user's tokens.")
    disabled: bool | None = Field(default=None, description="Shuts the user out at once, or lets them in again.")
    scopes: Annotated[list[str] | None, SCOPES] = None


class ClientEntry(BaseModel):
    """One client."""

    model_config = ConfigDict(json_schema_extra={"examples": [_METER]})
    client_id: str
    disabled: bool
    created_at: datetime
    scopes: list[str]

    @classmethod
    def of(cls, client: Client) -> "ClientEntry":
        """Put a client into words."""
        return cls(
            client_id=client.id,
            disabled=client.disabled,
            created_at=client.created_at,
            scopes=sorted(client.scopes),
        )


class ClientList(BaseModel):
    """Every client, by id."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"clients": [_METER]}]})
    clients: list[ClientEntry]


class NewClient(BaseModel):
    """A client to be added."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "meter-gateway", "scopes": ["forecast"]}]}
    )
    name: str = Field(max_length=200, description="1 to 57 of `a-z 0-9 . _ -`; the id is `client:` and the name.")
    scopes: Annotated[list[str], SCOPES] = []


class AddedClient(ClientEntry):
    """A client with its secret, which is shown only now."""

    model_config = ConfigDict(json_schema_extra={"examples": [_METER | {"client_secret": "lgc_..."}]})
    client_secret: str = Field(description="Shown only now: only a hash of it is stored.")


Name = Annotated[str, Path(max_length=200)]


def add_admin(app: FastAPI, administration: Callable[[], Administration]) -> None:
    """Add the routes to an application.

    Args:
        app: the application.
        administration: gives what does it; asked when a request needs it.
    """
    _add_users(app, administration)
    _add_clients(app, administration)


def _add_users(app: FastAPI, administration: Callable[[], Administration]) -> None:
    @app.get("/users", summary="List the users", tags=["admin"], dependencies=closed(USERS_ADMIN))
    def users() -> UserList:
        """Return every user, without passwords."""
        return UserList(users=[UserEntry.of(user) for user in administration().users.all()])

    @app.post(
        "/users",
        summary="Add a user",
        tags=["admin"],
        status_code=status.HTTP_201_CREATED,
        response_description="The new user",
        dependencies=closed(USERS_ADMIN),
    )
    def add_user(new: NewUser, request: Request) -> UserEntry:
        """Add a user who may do what is said, and by default nothing. Nobody grants what they do not have."""
        password = new.password.get_secret_value()
        user = administration().add_user(bearer_of(request), new.username, password, new.scopes)
        facts(request).update(target=user.name, scopes=written(user.scopes))
        return UserEntry.of(user)

    @app.patch(
        "/users/{name}",
        summary="Change a user",
        tags=["admin"],
        response_description="The user as they are now",
        dependencies=closed(USERS_ADMIN),
    )
    def change_user(name: Name, change: UserChange, request: Request) -> UserEntry:
        """Give a user another password or other scopes, shut them out or let them in again; at the next request.

        Only who has all scopes of the user may do it. The last user who may administer stays.
        """
        password = change.password.get_secret_value() if change.password is not None else None
        asked = Change(password, change.disabled, change.scopes)
        user = administration().change_user(bearer_of(request), name, asked)
        facts(request).update(target=user.name, scopes=written(user.scopes), reason=_changed(change))
        return UserEntry.of(user)

    @app.delete(
        "/users/{name}",
        summary="Remove a user",
        tags=["admin"],
        status_code=status.HTTP_204_NO_CONTENT,
        response_description="The user is gone",
        dependencies=closed(USERS_ADMIN),
    )
    def remove_user(name: Name, request: Request) -> Response:
        """Forget a user; their tokens end. The last user who may administer stays."""
        administration().remove_user(bearer_of(request), name)
        facts(request).update(target=name.lower())
        return Response(status_code=status.HTTP_204_NO_CONTENT)


def _changed(change: UserChange) -> str:
    """Say what was changed, in the words of the verbs of ``python -m auth``."""
    said = {"password": change.password is not None, "scopes": change.scopes is not None}
    said |= {"disable": change.disabled is True, "enable": change.disabled is False}
    return " ".join(word for word, true in said.items() if true)


def _add_clients(app: FastAPI, administration: Callable[[], Administration]) -> None:
    @app.get("/clients", summary="List the clients", tags=["admin"], dependencies=closed(USERS_ADMIN))
    def clients() -> ClientList:
        """Return every client, without secrets."""
        return ClientList(clients=[ClientEntry.of(client) for client in administration().clients.all()])

    @app.post(
        "/clients",
        summary="Add a client",
        tags=["admin"],
        status_code=status.HTTP_201_CREATED,
        response_description="The new client with its secret",
        dependencies=closed(USERS_ADMIN),
    )
    def add_client(new: NewClient, request: Request, response: Response) -> AddedClient:
        """Add a client and show its secret, this once. Nobody grants what they do not have."""
        client, secret = administration().add_client(bearer_of(request), new.name, new.scopes)
        facts(request).update(target=client.id, scopes=written(client.scopes))
        response.headers["Cache-Control"] = "no-store"
        return AddedClient(**ClientEntry.of(client).model_dump(), client_secret=secret)

    @app.delete(
        "/clients/{name}",
        summary="Remove a client",
        tags=["admin"],
        status_code=status.HTTP_204_NO_CONTENT,
        response_description="The client is gone",
        dependencies=closed(USERS_ADMIN),
    )
    def remove_client(name: Name, request: Request) -> Response:
        """Forget a client, by its name or its id; its tokens end."""
        administration().remove_client(bearer_of(request), name)
        facts(request).update(target=name.lower())
        return Response(status_code=status.HTTP_204_NO_CONTENT)
