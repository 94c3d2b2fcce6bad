"""The ways to a token: a password, a client's own secret, a refresh token (RFC 6749, sections 4.3, 4.4 and 6).

Comes in: the form of ``POST /token``, and the client that showed who it is, if one did. Goes out: `AccessToken`.
Refused is what RFC 6749 says, by raising the errors of `auth.errors` that are named after its words.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from auth.clock import utc_now
from auth.errors import InvalidClient, InvalidGrant, InvalidTokenRequest, UnsupportedGrant
from auth.refresh import Access
from auth.scopes import common, granted_of, written

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from auth.clients import Client
    from auth.refresh import RefreshTokens
    from auth.tokens import Tokens
    from auth.users import User, UserStore

ANYONE = "anyone"  # the claim `client_id` of a token whose client did not show who it is
OFFLINE = "offline_access"  # asked for like a scope, it gives a refresh token


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
    refresh_token: str | None = Field(
        default=None,
        description="Good once, for the next token. Given where the log-in asks for the scope `offline_access`.",
    )


@dataclass(frozen=True)
class Asked:
    """What the form of ``POST /token`` says; an empty field is None."""

    grant_type: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    scope: str | None = None
    refresh_token: str | None = field(default=None, repr=False)
    address: str = ""  # where the request came from


class LogIn(Protocol):
    """What turns a name and a password into a user; `auth.app.LogIn`."""

    async def __call__(self, name: str, password: str, *, address: str) -> tuple[User, datetime]:
        """Return the user, and the time from which a token is good."""


class Grants:
    """Gives tokens.

    Args:
        log_in: returns the user of a name and a password, and the time from which a token is good.
        users: who may log in.
        tokens: signs.
        refresh: keeps refresh tokens; None where there are none.
        password_grant: whether names and passwords are taken at all.
        clock: returns the aware time now.
    """

    def __init__(  # noqa: PLR0913 - what it stands on
        self,
        log_in: LogIn,
        users: UserStore,
        tokens: Tokens,
        refresh: RefreshTokens | None,
        *,
        password_grant: bool = True,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._log_in, self._users, self._tokens, self._refresh = log_in, users, tokens, refresh
        self._password_grant, self._clock = password_grant, clock

    @property
    def names(self) -> list[str]:
        """The values of ``grant_type`` that are taken."""
        refresh = ["refresh_token"] if self._refresh is not None else []
        return [*(["password"] if self._password_grant else []), "client_credentials", *refresh]

    async def __call__(self, asked: Asked, client: Client | None) -> tuple[AccessToken, str]:
        """Return a new token, and whose it is.

        Raises:
            UnsupportedGrant: see `names`.
            InvalidTokenRequest: a field is missing.
            InvalidCredentials: see `auth.app.LogIn`, which is asked.
            InvalidClient: a client's own token was asked for without a client.
            InvalidGrant: the refresh token is not good.
            InvalidScope: more was asked for than was granted.
        """
        grant = asked.grant_type or "password"
        if grant not in self.names:
            raise UnsupportedGrant(f"The grant_type is one of {', '.join(self.names)}; not {grant[:40]!a}")
        if grant == "client_credentials":
            return self._of_client(asked, client)
        if grant == "refresh_token":
            return await self._by_refresh(asked, client)
        return await self._by_password(asked, client)

    def _of_client(self, asked: Asked, client: Client | None) -> tuple[AccessToken, str]:
        if client is None:
            raise InvalidClient
        scopes = granted_of(asked.scope, client.scopes)
        now = max(self._clock(), client.secret_changed_at)
        return self._answer(client.id, client.id, scopes, now, self._access(now)), client.id

    async def _by_password(self, asked: Asked, client: Client | None) -> tuple[AccessToken, str]:
        if not (asked.username and asked.password):
            raise InvalidTokenRequest("The fields username and password are needed, each once and not empty")
        user, now = await self._log_in(asked.username, asked.password, address=asked.address)
        wanted, offline = _apart(asked.scope)
        granted = user.scopes if client is None else common(user.scopes, client.scopes)
        scopes = granted_of(wanted, granted)
        name, access = client.id if client else ANYONE, self._access(now)
        refresh = None
        if offline and self._refresh is not None:
            refresh = await asyncio.to_thread(self._refresh.begin, user.name, name, scopes, access, now)
        return self._answer(user.name, name, scopes, now, access, refresh), user.name

    async def _by_refresh(self, asked: Asked, client: Client | None) -> tuple[AccessToken, str]:
        if not asked.refresh_token:
            raise InvalidTokenRequest("The field refresh_token is needed, once and not empty")
        return await asyncio.to_thread(self._exchange, asked.refresh_token, asked.scope, client)

    def _exchange(self, token: str, scope: str | None, client: Client | None) -> tuple[AccessToken, str]:
        refresh, now = self._refresh, self._clock()
        if refresh is None:
            raise InvalidGrant
        name = client.id if client else ANYONE
        family = refresh.read(token, now)
        if family is None:
            refresh.exchange(token, name, Access("", now), now)  # refuses, and ends the family of one used before
            raise InvalidGrant
        user = self._users.get(family.user)
        if user is None or user.disabled or family.began_at < user.password_changed_at or family.client != name:
            raise InvalidGrant
        granted = common(family.scopes, user.scopes if client is None else common(user.scopes, client.scopes))
        # A client may ask again for what it asked at the log-in (RFC 6749, section 6).
        scopes, now = granted_of(_apart(scope)[0], granted), max(now, user.password_changed_at)
        access = self._access(now)
        following = refresh.exchange(token, name, access, now)
        return self._answer(user.name, name, scopes, now, access, following), user.name

    def _access(self, now: datetime) -> Access:
        return Access(uuid.uuid4().hex, now + self._tokens.lifetime)

    def _answer(  # noqa: PLR0913, PLR0917 - a token is all of these
        self,
        subject: str,
        client: str,
        scopes: frozenset[str],
        now: datetime,
        access: Access,
        refresh: str | None = None,
    ) -> AccessToken:
        token = self._tokens.issue(subject, now, client=client, scopes=scopes, token_id=access.id)
        lifetime = int(self._tokens.lifetime.total_seconds())
        return AccessToken(access_token=token, expires_in=lifetime, scope=written(scopes), refresh_token=refresh)


def _apart(scope: str | None) -> tuple[str, bool]:
    """Return the scopes of the form without `OFFLINE`, and whether that was there."""
    wanted = (scope or "").split()
    return " ".join(one for one in wanted if one != OFFLINE), OFFLINE in wanted
