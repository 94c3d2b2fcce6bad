"""The desk where tokens are given, taken back and asked about (RFC 6749, RFC 7009, RFC 7662).

In: what stood in the forms of ``POST /token``, ``/revoke`` and ``/introspect``, and the headers that may name a client.
Out: tokens, and what is to be known of one. Refuses by raising `auth.errors`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from auth.clients import PREFIX
from auth.clock import utc_now
from auth.errors import InvalidClient, InvalidToken
from auth.middleware import identity_of
from auth.refresh import Revocations
from auth.scopes import TOKENS_INTROSPECT, common, written
from auth.showing import authenticated, shown
from auth.standing import read_standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from auth.budgets import Budget
    from auth.clients import Client, ClientStore
    from auth.database import Database
    from auth.grants import Grants
    from auth.middleware import Identity
    from auth.refresh import Family, RefreshTokens
    from auth.throttle import Throttle
    from auth.tokens import Claims, Tokens


class Introspection(BaseModel):
    """What is to be known of a token (RFC 7662, section 2.2); of one that is not good, only that."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "active": True,
                    "scope": "forecast models:read",
                    "client_id": "client:meter-gateway",
                    "username": "ada",
                    "token_type": "bearer",
                    "exp": 1777886100,
                    "iat": 1777882500,
                    "sub": "ada",
                    "aud": "lastgang",
                    "iss": "lastgang",
                    "jti": "0123456789abcdef0123456789abcdef",
                }
            ]
        }
    )
    active: bool = Field(description="Whether the token is good now.")
    scope: str | None = Field(default=None, description="What it is good for now.")
    client_id: str | None = Field(default=None, description="Who asked for it; `anyone` if that client did not say.")
    username: str | None = Field(default=None, description="The user behind it, if there is one.")
    token_type: str | None = Field(default=None, description="`bearer`, or `refresh_token`.")
    exp: int | None = Field(default=None, description="When it expires; Unix seconds.")
    iat: int | None = Field(default=None, description="When it was issued; of a refresh token: the log-in.")
    sub: str | None = Field(default=None, description="The user, or the client where it acts for itself.")
    aud: str | None = None
    iss: str | None = None
    jti: str | None = None


class TokenDesk:
    """Gives tokens, takes them back, and tells of them.

    Args:
        grants: the ways to a token.
        database: where everything is kept.
        clients: see `auth.clients`.
        tokens: verify.
        throttle: makes clients wait that failed to show who they are.
        refresh: see `auth.refresh`; None where there are no refresh tokens.
        requests: what a client may send, here as anywhere; None for any number.
        clock: returns the aware time now.
    """

    def __init__(  # noqa: PLR0913 - what it stands on
        self,
        grants: Grants,
        database: Database,
        clients: ClientStore,
        tokens: Tokens,
        throttle: Throttle,
        *,
        refresh: RefreshTokens | None,
        requests: Budget | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.grants = grants
        self._database, self._clients, self._tokens = database, clients, tokens
        self._throttle, self._requests = throttle, requests
        self._refresh, self._revocations, self._clock = refresh, Revocations(database), clock

    async def client(
        self,
        headers: Iterable[tuple[bytes, bytes]],
        client_id: str | None,
        secret: str | None,
        *,
        address: str = "",
    ) -> Client | None:
        """Return the client that shows who it is, from an address; None where none does.

        Raises:
            TooManyLogIns: see `auth.throttle.Throttle.guard`.
            InvalidTokenRequest: see `auth.showing.shown`.
            InvalidClient: see `auth.showing.authenticated`.
            LimitReached: it has sent as many requests as it may.
        """
        credentials = shown(headers, client_id, secret)
        if credentials is None:
            return None
        async with self._throttle.guard(credentials[0], address):
            client = await asyncio.to_thread(authenticated, credentials, self._clients.get)
        if client is not None and self._requests is not None and self._requests.take_now(client.id) is None:
            await self._requests.take(client.id)
        return client

    async def revoke(self, token: str, client: Client | None) -> str | None:
        """Take a token back, and with a refresh token all that came from its log-in; return whose it was.

        A token that is not good is none to take back, which is no error (RFC 7009, section 2.2).

        Raises:
            InvalidClient: the token was issued to a client that did not show who it is here.
        """
        return await asyncio.to_thread(self._revoke, token, client)

    async def introspect(self, token: str, client: Client | None) -> Introspection:
        """Tell of a token: of its own to every client, of each to a client with the scope for that.

        Raises:
            InvalidClient: no client shows who it is.
        """
        if client is None:
            raise InvalidClient
        told = await asyncio.to_thread(self._told, token)
        own = told.client_id == client.id
        return told if own or TOKENS_INTROSPECT in client.scopes else Introspection(active=False)

    def _revoke(self, token: str, client: Client | None) -> str | None:
        now = self._clock()
        # One that was used is as good for this: who logs out may hold the one before the last.
        if self._refresh is not None and (family := self._refresh.family_of(token)) is not None:
            _of(family.client, client)
            self._refresh.end(family.id, now)
            return family.user
        if (claims := self._claims(token, now)) is None:
            return None
        _of(claims.client, client)
        self._revocations.add(claims.id, claims.expires_at, now)
        return claims.subject

    def _told(self, token: str) -> Introspection:
        now = self._clock()
        if (family := self._family(token, now)) is not None:
            return self._told_of_family(family)
        if (claims := self._claims(token, now)) is None:
            return Introspection(active=False)
        try:
            identity = identity_of(claims, read_standing(self._database, claims.subject, claims.client, claims.id))
        except InvalidToken:
            return Introspection(active=False)
        return _told_of_access(claims, identity)

    def _told_of_family(self, family: Family) -> Introspection:
        standing = read_standing(self._database, family.user, family.client, "")
        user, client = standing.user, standing.client
        if user is None or user.disabled or family.began_at < user.password_changed_at:
            return Introspection(active=False)
        if family.client.startswith(PREFIX) and (client is None or client.disabled):
            return Introspection(active=False)
        scopes = common(family.scopes, user.scopes)
        if client is not None:
            scopes = common(scopes, client.scopes)
        return Introspection(
            active=True,
            scope=written(scopes),
            client_id=family.client,
            username=user.name,
            token_type="refresh_token",  # noqa: S106 - the word, not a token
            exp=int(family.ends_at.timestamp()),
            iat=int(family.began_at.timestamp()),
            sub=user.name,
        )

    def _family(self, token: str, now: datetime) -> Family | None:
        return None if self._refresh is None else self._refresh.read(token, now)

    def _claims(self, token: str, now: datetime) -> Claims | None:
        try:
            return self._tokens.verify(token, now)
        except InvalidToken:
            return None


def _told_of_access(claims: Claims, identity: Identity) -> Introspection:
    return Introspection(
        active=True,
        scope=written(identity.scopes),
        client_id=claims.client,
        username=None if claims.subject == claims.client else claims.subject,
        token_type="bearer",  # noqa: S106 - the word, not a token
        exp=int(claims.expires_at.timestamp()),
        iat=int(claims.issued_at.timestamp()),
        sub=claims.subject,
        aud=claims.audience,
        iss=claims.issuer,
        jti=claims.id,
    )


def _of(owner: str, client: Client | None) -> None:
    """Return if this client may take back a token of that owner; one of nobody's is taken back by whoever has it."""
    if owner.startswith(PREFIX) and (client is None or client.id != owner):
        raise InvalidClient
