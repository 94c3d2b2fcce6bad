"""The gate: a pure ASGI middleware that lets a request in only with a good bearer token.

Comes in: any ASGI connection. Goes out: the same one with ``scope["state"]["user"]`` set to the `Identity`
behind the token, or, on the few routes named as open, untouched. A route takes a scope, or none; one that has
no row in the table of routes is shut. Everything else is refused: with an
exception that a middleware further out turns into an answer, or, for a WebSocket, by closing it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auth.clients import PREFIX
from auth.clock import utc_now
from auth.errors import InvalidToken, NotAuthenticated
from auth.scopes import common
from auth.standing import Standings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from auth.access import Access
    from auth.database import Database
    from auth.standing import Standing
    from auth.tokens import Claims, Tokens
    from auth.trusted import TrustedIssuer

_BEARER = re.compile(rb"bearer(?: (.*))?", re.IGNORECASE | re.DOTALL)
_POLICY_VIOLATION = 1008  # RFC 6455, section 7.4.1


@dataclass(frozen=True)
class Identity:
    """Who sends a request; what the rest of the service may know of a user, or of a client that asks for itself.

    Attributes:
        name: of the user, in lower case; or the client's id, ``client:...``.
        disabled: False; it is told by ``GET /users/me``.
        created_at: of the user or client, UTC; None for whom another issuer vouches.
        token_id: of the token, 32 hexadecimal digits.
        expires_at: of the token, UTC.
        scopes: what the token is good for now: of its scopes those that its user still has.
        client: who asked for the token.
    """

    name: str
    disabled: bool
    created_at: datetime | None
    token_id: str
    expires_at: datetime
    scopes: frozenset[str]
    client: str


def bearer_of(request: Request) -> Identity:
    """Return who sends a request that the gate let in.

    Raises:
        NotAuthenticated: the gate is not there.
    """
    user = getattr(request.state, "user", None)
    if not isinstance(user, Identity):
        raise NotAuthenticated
    return user


class Authenticator:
    """Finds who is behind a token, as they are now: a change counts at once.

    Args:
        tokens: verifies ours.
        database: where users, clients and revoked tokens are.
        clock: returns the aware time now.
        trusted: verifies those of another issuer, whose users are not ours; None if nobody else is trusted.
    """

    def __init__(
        self,
        tokens: Tokens,
        database: Database,
        clock: Callable[[], datetime] = utc_now,
        trusted: TrustedIssuer | None = None,
    ) -> None:
        self._tokens, self._standings, self._clock, self._trusted = tokens, Standings(database), clock, trusted

    async def __call__(self, token: str) -> Identity:
        """Return who bears the token.

        Raises:
            InvalidToken: it is not good or was revoked, or its user or client is gone, disabled, or has changed the
                password or secret since.
            IssuerUnavailable: it is another issuer's, whose keys are not known just now.
        """
        if self._trusted is not None and self._trusted.issued(token):
            said = await self._trusted.verify(token, self._clock())
            return Identity(said.subject, False, None, said.id, said.expires_at, said.scopes, said.client)  # noqa: FBT003
        claims = self._tokens.verify(token, self._clock())
        return identity_of(claims, await self._standings.get(claims.subject, claims.client, claims.id))


def identity_of(claims: Claims, standing: Standing) -> Identity:
    """Return who bears a verified token.

    Raises:
        InvalidToken: see `Authenticator`.
    """
    if standing.revoked:
        raise InvalidToken("revoked")
    scopes = claims.scopes
    # Times are whole seconds; a change counts from the second after it (see `auth.users.User`).
    if claims.client.startswith(PREFIX):
        client = standing.client
        if client is None or client.disabled:
            raise InvalidToken("unknown client" if client is None else "disabled client")
        if claims.issued_at < client.secret_changed_at:
            raise InvalidToken("older than the secret")
        scopes = common(scopes, client.scopes)
        if claims.subject == client.id:
            return Identity(
                client.id, client.disabled, client.created_at, claims.id, claims.expires_at, scopes, client.id
            )
    user = standing.user
    if user is None or user.disabled:
        raise InvalidToken("unknown user" if user is None else "disabled user")
    if claims.issued_at < user.password_changed_at:
        raise InvalidToken("older than the password")
    scopes = common(scopes, user.scopes)
    return Identity(user.name, user.disabled, user.created_at, claims.id, claims.expires_at, scopes, claims.client)


class AuthMiddleware:
    """Lets in what bears a good token with the scope of its route, and the open routes; nothing else.

    Args:
        app: what stands behind the gate.
        authenticate: returns who bears a token, or raises `InvalidToken`.
        access: which route takes what. An open route is compared letter by letter with what was sent: another
            case, a slash more, ``%74oken`` or ``/x/../token`` stay shut.

    Raises, when called:
        NotAuthenticated: no bearer token was sent.
        InvalidToken: one was sent and is not good.
        InsufficientScope: it is good, but not for this route.
        UnknownRoute, UnknownMethod: it is good, but there is no such route.
    """

    def __init__(self, app: ASGIApp, *, authenticate: Callable[[str], Awaitable[Identity]], access: Access) -> None:
        self._app = app
        self._authenticate = authenticate
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the connection on if it may enter."""
        if scope["type"] == "websocket":
            # Closing before accepting: the server answers the handshake with 403.
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "Not authenticated"})
            return
        if scope["type"] != "lifespan":
            await self._check(scope)
        await self._app(scope, receive, send)

    async def _check(self, scope: Scope) -> None:
        """Return if the request may enter; who asks is known to what stands further out even if it may not."""
        row = self._access.find(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if row is not None and row.is_open and _by_the_letter(scope):
            return
        user = await self._authenticate(_bearer_token(scope))
        scope.setdefault("state", {})["user"] = user
        if row is None:
            raise self._access.refusal(scope["path"])
        row.check(user.scopes)


def _by_the_letter(scope: Scope) -> bool:
    # Without the path as it was sent there is no telling what the decoded one was written as.
    sent: bytes = (scope.get("raw_path") or b"").partition(b"?")[0]
    return bool(sent == scope["path"].encode("utf-8", "surrogatepass"))


def _bearer_token(scope: Scope) -> str:
    headers = scope.get("headers", ())
    sent = [value for name, value in headers if name.lower() == b"authorization"]
    if not sent:
        raise NotAuthenticated
    if len(sent) > 1:
        raise InvalidToken("several Authorization headers")
    bearer = _BEARER.fullmatch(sent[0])
    if bearer is None:
        raise NotAuthenticated
    return (bearer[1] or b"").decode("latin-1")
