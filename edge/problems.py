"""Every error as one shape: problem details for HTTP APIs (RFC 9457), `application/problem+json`.

`KINDS` is the one table from errors to HTTP. `ProblemMiddleware` stands around all that can refuse a request: it
answers for what the layers below raise, and rewrites what BentoML and Starlette answer in shapes of their own.
Nothing here redirects: Starlette would, from a path with a slash too many, to whatever host the request names.
"""

import asyncio
import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audit.errors import TrailUnwritable
from auth.errors import (
    BeyondOwnScopes,
    ClientExists,
    InsufficientScope,
    InvalidClient,
    InvalidClientId,
    InvalidCredentials,
    InvalidGrant,
    InvalidScope,
    InvalidToken,
    InvalidTokenRequest,
    InvalidUserName,
    IssuerUnavailable,
    LastAdmin,
    LimitReached,
    NotAuthenticated,
    PasswordChecksBusy,
    TooManyLogIns,
    UnknownClient,
    UnknownMethod,
    UnknownRoute,
    UnknownUser,
    UnsupportedGrant,
    UnusableDatabase,
    UserExists,
    WeakPassword,
)
from edge.errors import BodyTooLarge, BodyTooSlow, InvalidQuery, MalformedUpload, Overloaded, UnsupportedMediaType
from edge.timing import RECORD
from models.errors import (
    InvalidLabels,
    ModelUnavailable,
    NonFiniteForecast,
    UnknownModel,
    UnknownVersion,
    VersionNotLoaded,
)
from processing.errors import KEPT, InvalidLoadProfile

logger = logging.getLogger("lastgang")

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:lastgang:problem:"
INSTANCE_PREFIX = "urn:lastgang:request:"  # and the id that the log and the header X-Request-Id have
REDIRECTS = frozenset({301, 302, 303, 307, 308})
SHOWN = KEPT  # problems that are listed in full; the rest is counted


@dataclass(frozen=True)
class Kind:
    """What an error is over HTTP: status, the last part of its `type`, title and fixed headers."""

    status: int
    name: str
    title: str
    headers: Mapping[str, str] | None = None


_BASIC = {"WWW-Authenticate": 'Basic realm="lastgang"'}
_BEARER = {"WWW-Authenticate": "Bearer"}
_BAD_BEARER = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
KINDS: dict[type[Exception], Kind] = {
    MalformedUpload: Kind(400, "malformed-upload", "The upload cannot be read"),
    NotAuthenticated: Kind(401, "not-authenticated", "A token from POST /token is needed", _BEARER),
    InvalidToken: Kind(
        401,
        "invalid-token",
        "The token is not good; get a new one from POST /token",
        _BAD_BEARER,
    ),
    InvalidTokenRequest: Kind(400, "invalid-token-request", "The form cannot be used"),
    UnsupportedGrant: Kind(400, "unsupported-grant-type", "There is no such way to a token"),
    InvalidGrant: Kind(400, "invalid-grant", "The refresh token cannot be used"),
    InvalidClient: Kind(401, "invalid-client", "The client did not show who it is", _BASIC),
    InvalidScope: Kind(400, "invalid-scope", "The scope cannot be given"),
    BeyondOwnScopes: Kind(403, "beyond-own-scopes", "This is more than you may do yourself"),
    UnknownUser: Kind(404, "unknown-user", "There is no such user"),
    UnknownClient: Kind(404, "unknown-client", "There is no such client"),
    UserExists: Kind(409, "user-exists", "The name is taken"),
    ClientExists: Kind(409, "client-exists", "The name is taken"),
    LastAdmin: Kind(409, "last-admin", "The last administrator stays"),
    InvalidUserName: Kind(422, "invalid-user-name", "The name cannot be a user's"),
    InvalidClientId: Kind(422, "invalid-client-id", "The name cannot be a client's"),
    WeakPassword: Kind(422, "weak-password", "The password is too weak"),
    InsufficientScope: Kind(403, "insufficient-scope", "The token is not good for this"),
    InvalidCredentials: Kind(401, "invalid-credentials", "The log-in failed", _BEARER),
    UnknownModel: Kind(404, "unknown-model", "There is no such model"),
    UnknownVersion: Kind(404, "unknown-version", "The model has no such version"),
    VersionNotLoaded: Kind(409, "version-not-loaded", "The version is not loaded"),
    BodyTooSlow: Kind(408, "body-too-slow", "The body came too slowly"),
    BodyTooLarge: Kind(413, "body-too-large", "The body is too large"),
    UnsupportedMediaType: Kind(415, "unsupported-media-type", "The body is of another kind"),
    InvalidQuery: Kind(422, "invalid-query", "The query parameters cannot be used"),
    InvalidLoadProfile: Kind(422, "invalid-load-profile", "The load profile cannot be used"),
    RequestValidationError: Kind(422, "invalid-request", "The request's fields cannot be used"),
    NonFiniteForecast: Kind(422, "no-finite-forecast", "The load profile gives no finite forecast"),
    TooManyLogIns: Kind(429, "too-many-log-ins", "Too many log-ins failed"),
    LimitReached: Kind(429, "quota-exceeded", "The limit is reached"),
    InvalidLabels: Kind(503, "labels-unreadable", "The labels of the model cannot be read"),
    ModelUnavailable: Kind(503, "model-unavailable", "The model cannot be used now", {"Retry-After": "10"}),
    TrailUnwritable: Kind(503, "audit-unavailable", "The request cannot be recorded now", {"Retry-After": "5"}),
    IssuerUnavailable: Kind(503, "issuer-unavailable", "The issuer's keys cannot be read", {"Retry-After": "30"}),
    PasswordChecksBusy: Kind(503, "busy", "Too many log-ins at once"),
    UnusableDatabase: Kind(503, "users-unusable", "The user store cannot be used"),
    Overloaded: Kind(503, "overloaded", "Too much at once"),
    SQLAlchemyError: Kind(503, "users-unavailable", "The user store does not answer", {"Retry-After": "5"}),
    TimeoutError: Kind(504, "timeout", "The request took too long"),
}
_STORE_FAILS = SQLAlchemyError | UnusableDatabase
# RFC 6749, section 5.2: what a client of OAuth 2.0 looks for, beside the words for people.
_OAUTH: dict[type[Exception], str] = {
    InvalidScope: "invalid_scope",
    InvalidCredentials: "invalid_grant",
    InvalidTokenRequest: "invalid_request",
    UnsupportedGrant: "unsupported_grant_type",
    InvalidGrant: "invalid_grant",
    InvalidClient: "invalid_client",
}
_NOT_OAUTH = re.compile(r"[^ !#-\[\]-~]")  # what its `error_description` may not hold
# What BentoML and Starlette answer by themselves carries no useful words; these are for people.
_OF_STATUS = {
    400: "The request cannot be read.",
    404: "There is nothing at this path. The paths that there are stand in /docs.json.",
    405: "This path does not take this method; the header Allow names those it takes.",
    503: "The service is not ready: not every model has been loaded yet.",
    500: "The service failed. Nothing was wrong with the request; the cause stands in the service's log.",
}


def problem(error: Exception) -> Response:
    """Return the answer to an error, and log what an operator has to see."""
    if isinstance(error, ModelUnavailable | InvalidLabels | _STORE_FAILS):
        logger.error("%s: %s", type(error).__name__, error)
    return answer_to(error)


def answer_to(error: Exception) -> Response:
    """Return the answer to an error: its kind's status and headers, and its own words as `detail`."""
    kind = next((KINDS[cls] for cls in type(error).__mro__ if cls in KINDS), None)
    if kind is None:
        if isinstance(error, UnknownRoute):
            return problem_of_status(404)
        if isinstance(error, UnknownMethod):
            return problem_of_status(405, {"Allow": ", ".join(error.allowed)})
        if isinstance(error, HTTPException):
            return problem_of_status(error.status_code, dict(error.headers or {}))
        return problem_of_status(500)
    headers = dict(kind.headers or {})
    if isinstance(error, PasswordChecksBusy | TooManyLogIns | LimitReached | Overloaded):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, LimitReached):
        headers["RateLimit-Policy"] = f'"{error.name}";q={error.limit};w={error.seconds}'
        headers["RateLimit"] = f'"{error.name}";r={error.left};t={error.retry_after}'
    if isinstance(error, InsufficientScope):
        headers["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{error.needed}"'
    return _response(kind, _detail(error), headers, _members(error))


def problem_of_status(status: int, headers: Mapping[str, str] | None = None, detail: str | None = None) -> Response:
    """Return the problem document for a status that comes without an error of ours."""
    phrase = HTTPStatus(status).phrase
    name = phrase.lower().replace(" ", "-")
    return _response(
        Kind(status, name, phrase), detail or _OF_STATUS.get(status, f"{phrase}."), dict(headers or {}), {}
    )


def _response(kind: Kind, detail: str, headers: dict[str, str], members: dict[str, Any]) -> Response:
    document = {
        "type": TYPE_PREFIX + kind.name,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        **members,
    }
    if (record := RECORD.get()) is not None:
        record.problem = kind.name
        document["instance"] = INSTANCE_PREFIX + record.id
    return Response(json.dumps(document), kind.status, headers, MEDIA_TYPE)


# What an error of ours says for the log names files and addresses of this machine; these are for clients.
_INSTEAD: dict[type[Exception], str] = {
    TimeoutError: "The request was given up because it took too long. Send a shorter file or try again.",
    SQLAlchemyError: "The users cannot be read just now; try again soon. The cause stands in the service's log.",
    UnusableDatabase: "The users cannot be read just now; try again soon. The cause stands in the service's log.",
    TrailUnwritable: "What cannot be recorded is refused; try again soon. The cause stands in the service's log.",
    InvalidLabels: "The labels of the model cannot be read; the cause stands in the service's log.",
}


def _detail(error: Exception) -> str:
    if isinstance(error, RequestValidationError):
        return "; ".join(f"{_field(fault)}: {fault['msg']}" for fault in error.errors()[:SHOWN])
    if isinstance(error, ModelUnavailable):
        return f"Model {error.name!r} cannot answer now; the cause stands in the service's log."
    return next((_INSTEAD[cls] for cls in type(error).__mro__ if cls in _INSTEAD), str(error))


def _members(error: Exception) -> dict[str, Any]:
    """Return the members that an error adds to its document: what is wrong, where."""
    if isinstance(error, InvalidLoadProfile):
        listed = [asdict(one) for one in error.problems[:SHOWN]]
        return {"problems": listed, "problem_count": error.count}
    if isinstance(error, LimitReached):
        # The member that draft-ietf-httpapi-ratelimit-headers-10 gives to such a problem, and the limit in numbers.
        return {"violated-policies": [error.name], "limit": error.limit, "window_seconds": error.seconds}
    if isinstance(error, InvalidQuery):
        listed = [{"field": name, "code": code, "message": message} for name, code, message in error.problems[:SHOWN]]
        return {"problems": listed, "problem_count": len(error.problems)}
    if isinstance(error, RequestValidationError):
        faults = error.errors()[:SHOWN]
        return {"problems": [{"field": _field(f), "code": f["type"], "message": f["msg"]} for f in faults]}
    if (word := _OAUTH.get(type(error))) is not None:
        return {"error": word, "error_description": _NOT_OAUTH.sub("'", str(error))}
    return {}


def _field(fault: Any) -> str:
    return ".".join(str(part) for part in fault["loc"][1:]) or str(fault["loc"][0])


def handle_errors(app: FastAPI) -> None:
    """Let a mounted FastAPI app answer with problem documents for every error of the table."""

    async def answer(_: Request, error: Exception) -> Response:
        return problem(error)

    for cls in (*KINDS, HTTPException):
        app.add_exception_handler(cls, answer)


class ProblemMiddleware:
    """Whatever goes wrong below, the client gets one problem document.

    Args:
        app: the rest of the service.
        seconds: the time after which a request is given up.
    """

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the layers below answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _OneShape(scope, receive, send)
        try:
            async with asyncio.timeout(self.seconds):
                await self.app(scope, receive, answer.send)
        except ClientDisconnect:
            # Nobody hears it, but the layers further out find out from it how the request ended.
            if not answer.started:
                await problem_of_status(400)(scope, receive, send)
        except Exception as error:
            if answer.started:
                raise
            response = problem(error)
            if response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
                logger.exception("A request failed")
            await response(scope, receive, send)


class _OneShape:
    """A `send` that replaces error answers of other shapes by problem documents."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._replaced = False
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = Headers(raw=message["headers"])
            status = HTTPStatus.NOT_FOUND if message["status"] in REDIRECTS else message["status"]
            if status >= HTTPStatus.BAD_REQUEST and headers.get("content-type") != MEDIA_TYPE:
                self._replaced = True
                kept = _kept(headers.items())
                await problem_of_status(status, kept)(self._scope, self._receive, self._send)
        if not self._replaced:
            await self._send(message)


def _kept(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name in {"allow", "retry-after", "www-authenticate"}}
