"""The web side of `auth`: an application with the routes for tokens and ``GET /users/me``, to be mounted.

Comes in: forms of OAuth 2.0, or a request that `auth.middleware` let in. Goes out: an access token, or
who is asking. Refuses by raising `auth.errors`; how an error looks over HTTP is decided by whoever mounts
the application, and so are its documentation pages: it has none of its own.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import FastAPI, Form, Request, Response, Security
from fastapi.security import OAuth2
from pydantic import BaseModel, ConfigDict, Field

from auth.clients import Client
from auth.clock import utc_now
from auth.desk import Introspection, TokenDesk
from auth.errors import InvalidCredentials, InvalidTokenRequest
from auth.grants import AccessToken, Asked
from auth.middleware import bearer_of
from auth.passwords import Passwords
from auth.scopes import SCOPES
from auth.throttle import Throttle
from auth.users import User, UserStore

# The gate is the middleware; this only tells the OpenAPI document of it.
_TOKENS_AT: Any = {"tokenUrl": "/token", "refreshUrl": "/token", "scopes": SCOPES}
BEARER = OAuth2(
    flows={"password": _TOKENS_AT, "clientCredentials": _TOKENS_AT},
    scheme_name="bearer",
    description="An access token from `POST /token`, sent as `Authorization: Bearer ...`.",
    auto_error=False,
)
# Only for the document, too: `auth.showing` reads the header.
CLIENT = {"type": "http", "scheme": "basic", "description": "The id (`client%3ANAME`) and the secret of a client."}
_AS_A_CLIENT: dict[str, Any] = {"security": [{"client": []}]}


class Profile(BaseModel):
    """The user behind a token."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "username": "ada",
                    "disabled": False,
                    "created_at": "2026-05-04T08:15:00Z",
                    "scopes": ["forecast", "models:read"],
                }
            ]
        }
    )
    username: str = Field(description="In lower case, however it was typed.")
    disabled: bool = Field(description="False: a disabled user's token is refused.")
    created_at: datetime | None = Field(description="UTC; null for whom another issuer vouches.")
    scopes: list[str] = Field(description="What the token of this request is good for.")


class LogIn:
    """Turns a name and a password into a user.

    Args:
        users: who may log in.
        passwords: checks what they type.
        throttle: makes log-ins wait after failed ones.
        clock: returns the aware time now.
    """

    def __init__(
        self,
        users: UserStore,
        passwords: Passwords,
        throttle: Throttle,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._users, self._passwords, self._throttle, self._clock = users, passwords, throttle, clock

    async def __call__(self, name: str, password: str, *, address: str = "") -> tuple[User, datetime]:
        """Return the user whose name and password these are, and the time from which a token is good.

        Args:
            name: of the user.
            password: as typed.
            address: of who asks.

        Raises:
            TooManyLogIns: others failed with this name or from this address; nothing was looked at.
            InvalidCredentials: unknown user, wrong password, disabled user; same words and same time.
            PasswordChecksBusy: too many others are logging in.
        """
        async with self._throttle.attempt(name, address):
            return await self._log_in(name, password)

    async def _log_in(self, name: str, password: str) -> tuple[User, datetime]:
        user = await asyncio.to_thread(self._users.get, name)
        try:
            renewed = await self._passwords.check(password, user.password_hash if user else None)
        except InvalidCredentials:
            raise InvalidCredentials(user.name if user else None) from None
        # Taken before the second look: a password changed after it is newer than the token and ends it.
        now = self._clock()
        if user is None or await asyncio.to_thread(self._changed, user):
            raise InvalidCredentials(user.name if user else None)
        if renewed is not None:
            await asyncio.to_thread(self._users.renew_hash, user.name, user.password_hash, renewed)
        return user, max(now, user.password_changed_at)

    def _changed(self, user: User) -> bool:
        """Tell whether the user is disabled, or got another password while this one was being checked."""
        current = self._users.get(user.name)
        return current is None or current.disabled or current.password_changed_at != user.password_changed_at


Text = Annotated[str | None, Form()]
GrantType = Annotated[
    str | None,
    Form(description="`client_credentials`, `refresh_token`, or `password`, which is the default."),
]
ScopeField = Annotated[
    str | None,
    Form(description="Scopes, divided by spaces; by default all that were granted. `offline_access`: a refresh token."),
]
ClientId = Annotated[str | None, Form(description="Of a client that does not send it by the header Basic.")]
TokenField = Annotated[str | None, Form(description="An access token or a refresh token. Needed.")]


def create_app(desk: Callable[[], TokenDesk]) -> FastAPI:
    """Return the application; it registers no exception handler.

    Args:
        desk: gives what gives tokens. It is asked when a request needs it, so that a process which only looks at
            the routes has to have neither users nor keys.
    """
    app = FastAPI(
        title="Lastgang: users and tokens", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )

    @app.post(
        "/token",
        summary="Get an access token",
        tags=["auth"],
        response_description="A new token",
        response_model_exclude_none=True,
    )
    async def token(  # noqa: PLR0913, PLR0917 - the fields of OAuth 2.0
        request: Request,
        response: Response,
        grant_type: GrantType = None,
        username: Text = None,
        password: Text = None,
        scope: ScopeField = None,
        refresh_token: Text = None,
        client_id: ClientId = None,
        client_secret: Text = None,
    ) -> AccessToken:
        """Log in with a name and a password, as a client, or with a refresh token (RFC 6749).

        The token opens the routes of its scopes: all that were granted, or those of the field `scope`. It does so until
        it expires or is revoked, the user or client is disabled, or the password or secret is changed.
        """
        await _each_once(request)
        told = facts(request)
        client = await _client(desk(), request, client_id, client_secret)
        try:
            address = request.client.host if request.client else ""
            asked = Asked(grant_type, username, password, scope, refresh_token, address)
            access_token, told["subject"] = await desk().grants(asked, client)
        except InvalidCredentials as refused:
            told["target"] = refused.user
            raise
        told["scopes"] = access_token.scope
        response.headers["Cache-Control"] = "no-store"
        return access_token

    @app.post(
        "/revoke",
        summary="Take a token back",
        tags=["auth"],
        response_class=Response,
        response_description="It is no longer good",
    )
    async def revoke(
        request: Request,
        token: TokenField = None,
        token_type_hint: Annotated[str | None, Form(description="Not needed: a token shows what it is.")] = None,
        client_id: ClientId = None,
        client_secret: Text = None,
    ) -> Response:
        """Take back an access token, or a refresh token with all that came from its log-in (RFC 7009).

        A token that was issued to a client is taken back by that client only. One that is not good is no error.
        """
        del token_type_hint
        await _each_once(request)
        client = await _client(desk(), request, client_id, client_secret)
        facts(request)["target"] = await desk().revoke(_needed(token), client)
        return Response(headers={"Cache-Control": "no-store"})

    @app.post(
        "/introspect",
        summary="Ask about a token",
        tags=["auth"],
        openapi_extra=_AS_A_CLIENT,
        response_description="Whether it is good, and for what",
        response_model_exclude_none=True,
    )
    async def introspect(  # noqa: PLR0913, PLR0917 - the fields of OAuth 2.0
        request: Request,
        response: Response,
        token: TokenField = None,
        token_type_hint: Annotated[str | None, Form(description="Not needed: a token shows what it is.")] = None,
        client_id: ClientId = None,
        client_secret: Text = None,
    ) -> Introspection:
        """Tell whether a token is good now, and for what (RFC 7662): to the client that it was issued to.

        A client with the scope `tokens:introspect` is told of every token.
        """
        del token_type_hint
        await _each_once(request)
        client = await _client(desk(), request, client_id, client_secret)
        response.headers["Cache-Control"] = "no-store"
        return await desk().introspect(_needed(token), client)

    @app.get(
        "/users/me",
        summary="See who you are",
        tags=["auth"],
        response_description="The user behind the token",
        dependencies=[Security(BEARER)],
    )
    async def me(request: Request) -> Profile:
        """Return the user who bears the token of this request."""
        user = bearer_of(request)
        scopes = sorted(user.scopes)
        return Profile(username=user.name, disabled=user.disabled, created_at=user.created_at, scopes=scopes)

    return app


def closed(scope: str) -> list[Any]:
    """Return the dependency that tells the OpenAPI document which scope a route takes; the gate sees to it."""
    return [Security(BEARER, scopes=[scope])]


def facts(request: Request) -> dict[str, Any]:
    """Return what the audit log will say of a request beside what it says of each."""
    told: dict[str, Any] = request.scope.setdefault("state", {}).setdefault("audit", {})
    return told


async def _client(desk: TokenDesk, request: Request, client_id: str | None, secret: str | None) -> Client | None:
    address = request.client.host if request.client else ""
    client = await desk.client(request.scope["headers"], client_id, secret, address=address)
    if client is not None:
        facts(request)["subject"] = client.id
    return client


async def _each_once(request: Request) -> None:
    """Refuse a form that has a field twice: two readers of it could take two different ones."""
    names = [name for name, _ in (await request.form()).multi_items()]
    if len(set(names)) < len(names):
        raise InvalidTokenRequest("A field of the form is there twice; send each once")


def _needed(token: str | None) -> str:
    if not token:
        raise InvalidTokenRequest("The field token is needed, once and not empty")
    return token
