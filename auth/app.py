"""The web side of `auth`: an application with ``POST /token`` and ``GET /users/me``, to be mounted.

Comes in: an OAuth2 password form, or a request that `auth.middleware` let in. Goes out: an access token, or
who is asking. Refuses by raising `auth.errors`; how an error looks over HTTP is decided by whoever mounts
the application, and so are its documentation pages: it has none of its own.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import Depends, FastAPI, Request, Response, Security
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from pydantic import BaseModel, ConfigDict, Field

from auth.errors import InvalidCredentials, NotAuthenticated
from auth.middleware import Identity
from auth.scopes import SCOPES, granted_of, written
from auth.users import canonical_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from auth.passwords import Passwords
    from auth.throttle import Throttle
    from auth.tokens import Tokens
    from auth.users import User, UserStore

ANYONE = "anyone"  # the claim `client_id` of a token whose client did not say who it is
# The gate is the middleware; this only tells the OpenAPI document of it.
BEARER = OAuth2PasswordBearer(
    tokenUrl="/token",
    scheme_name="bearer",
    scopes=SCOPES,
    description="An access token from `POST /token`, sent as `Authorization: Bearer ...`.",
    auto_error=False,
)


class AccessToken(BaseModel):
    """A token that opens the routes of its scopes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "access_token": "eyJhbGciOi...",
                    "token_type": "bearer",
                    "expires_in": 1800,
                    "scope": "forecast models:read",
                }
            ]
        }
    )
    access_token: str = Field(description="Send it back as `Authorization: Bearer <access_token>`.")
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the word, not a token
    expires_in: int = Field(description="Seconds for which the token is good.")
    scope: str = Field(description="What the token is good for: scopes, divided by spaces.")


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


def _utc_now() -> datetime:
    return datetime.now(UTC)


class LogIn:
    """Turns a name and a password into a token.

    Args:
        users: who may log in.
        passwords: checks what they type.
        tokens: signs what they get.
        throttle: makes log-ins wait after failed ones.
        clock: returns the aware time now.
    """

    def __init__(
        self,
        users: UserStore,
        passwords: Passwords,
        tokens: Tokens,
        throttle: Throttle,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._users, self._passwords, self._tokens, self._clock = users, passwords, tokens, clock
        self._throttle = throttle

    async def __call__(self, name: str, password: str, scope: str | None = None, *, address: str = "") -> AccessToken:
        """Return a new token.

        Args:
            name: of the user.
            password: as typed.
            scope: what it is to be good for; by default all that was granted to the user.
            address: of who asks.

        Raises:
            TooManyLogIns: others failed with this name or from this address; nothing was looked at.
            InvalidScope: a scope is unknown or was not granted; told only to who has the password.
            InvalidCredentials: unknown user, wrong password, disabled user; same words and same time.
            PasswordChecksBusy: too many others are logging in.
        """
        async with self._throttle.attempt(name, address):
            return await self._log_in(name, password, scope)

    async def _log_in(self, name: str, password: str, scope: str | None) -> AccessToken:
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
        scopes = granted_of(scope, user.scopes)
        token = self._tokens.issue(user.name, max(now, user.password_changed_at), client=ANYONE, scopes=scopes)
        lifetime = int(self._tokens.lifetime.total_seconds())
        return AccessToken(access_token=token, expires_in=lifetime, scope=written(scopes))

    def _changed(self, user: User) -> bool:
        """Tell whether the user is disabled, or got another password while this one was being checked."""
        current = self._users.get(user.name)
        return current is None or current.disabled or current.password_changed_at != user.password_changed_at


def create_app(log_in: Callable[[], LogIn]) -> FastAPI:
    """Return the application; it registers no exception handler.

    Args:
        log_in: gives what turns a name and a password into a token. It is asked when a request needs it, so that
            a process which only looks at the routes has to have neither users nor keys.
    """
    app = FastAPI(
        title="Lastgang: users and tokens", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )

    @app.post("/token", summary="Get an access token", tags=["auth"], response_description="A new token")
    async def token(
        form: Annotated[OAuth2PasswordRequestForm, Depends()], request: Request, response: Response
    ) -> AccessToken:
        """Log in with a name and a password, by the password form of OAuth2 (RFC 6749, section 4.3).

        The token opens the routes of its scopes: all that were granted to the user, or those of the field `scope`.
        It does so until it expires, the user is disabled or the password changed.
        """
        told = request.scope.setdefault("state", {}).setdefault("audit", {})
        try:
            address = request.client.host if request.client else ""
            access_token = await log_in()(form.username, form.password, " ".join(form.scopes), address=address)
        except InvalidCredentials as refused:
            told["target"] = refused.user
            raise
        told |= {"subject": canonical_name(form.username), "scopes": access_token.scope}
        response.headers["Cache-Control"] = "no-store"
        return access_token

    @app.get(
        "/users/me",
        summary="See who you are",
        tags=["auth"],
        response_description="The user behind the token",
        dependencies=[Security(BEARER)],
    )
    async def me(request: Request) -> Profile:
        """Return the user who bears the token of this request."""
        user = getattr(request.state, "user", None)
        if not isinstance(user, Identity):
            raise NotAuthenticated
        scopes = sorted(user.scopes)
        return Profile(username=user.name, disabled=user.disabled, created_at=user.created_at, scopes=scopes)

    return app
