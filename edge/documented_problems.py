"""Which errors can happen on which route, with an example of each, for the OpenAPI document.

`PROBLEMS` is the one table. Its examples are real errors and the documents in it are what `edge.problems` makes of
them, so that a client can be written against them. Not listed: what any HTTP service may answer (a 404 for a path
that is not there, a 405, a 413 for a body where none belongs, a 500).
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

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
    UnknownUser,
    UnsupportedGrant,
    UnusableDatabase,
    UserExists,
    WeakPassword,
)
from auth.scopes import BACKTEST, FORECAST, METRICS, MODELS_READ, MODELS_WRITE, USERS_ADMIN
from edge.errors import (
    BodyTooLarge,
    BodyTooSlow,
    InvalidQuery,
    MalformedUpload,
    NoIntervals,
    Overloaded,
    UnsupportedMediaType,
)
from edge.problems import TYPE_PREFIX, answer_to
from models.errors import (
    InvalidLabels,
    ModelUnavailable,
    NonFiniteForecast,
    UnknownModel,
    UnknownVersion,
    VersionNotLoaded,
)
from processing.errors import InvalidLoadProfile, Problem

_RECORD = (TrailUnwritable(Path(), ""),)
_STORE = (SQLAlchemyError(), UnusableDatabase("postgresql://db/users", "it is gone"), TimeoutError(), Overloaded(1))
_LIMIT = LimitReached("requests", 100_000, 60, 1, 17)
_CLOSED = (NotAuthenticated(), InvalidToken("expired"), _LIMIT, IssuerUnavailable("https://sso.example.org"), *_STORE)
_SCOPED = {
    scope: (*_CLOSED, InsufficientScope(scope, frozenset({"models:read"} - {scope})))
    for scope in (FORECAST, BACKTEST, METRICS, MODELS_READ, MODELS_WRITE, USERS_ADMIN)
}
_MODEL = (
    UnknownModel("grue", ["cnn", "gru"]),
    UnknownVersion("gru", "candidate", "stable (0f6b2b1e2a5c4d37)"),
    VersionNotLoaded("gru", "9c1d3f5a7b2e4860", "stable (0f6b2b1e2a5c4d37), 9c1d3f5a7b2e4860"),
    ModelUnavailable("gru"),
)
_UPLOAD = (
    *_RECORD,
    MalformedUpload("The form must hold one file, in the field 'file'; it holds nothing."),
    BodyTooSlow(60),
    BodyTooLarge(10_000_000),
    UnsupportedMediaType("application/json"),
    InvalidQuery([("tz", "unknown_zone", "'Berlin' is no IANA time zone such as Europe/Berlin or UTC.")]),
    InvalidLoadProfile([Problem(10, "Wert (kW)", "not_a_number", "'?' is not a number in kW.")]),
    NonFiniteForecast("gru", [0]),
)
_NO_TEXT = {"type": "string_type", "loc": ("body", "password"), "msg": "Input should be a valid string", "input": None}
_FORM = (HTTPException(400), RequestValidationError([_NO_TEXT]), BodyTooSlow(20), BodyTooLarge(65_536))
_OF_A_TOKEN = (
    *_FORM,
    InvalidTokenRequest("The field token is needed, once and not empty"),
    InvalidClient(),
    TooManyLogIns(8),
    _LIMIT,
)
_NO_NAME = {"type": "missing", "loc": ("body", "name"), "msg": "Field required", "input": None}
_INVALID = RequestValidationError([_NO_NAME])
_JSON = (HTTPException(400), _INVALID, BodyTooSlow(20), BodyTooLarge(65_536), *_RECORD)  # 400: it is no UTF-8
_SCOPES = (
    InvalidScope("There is no scope 'forecasts'; there are: forecast, backtest"),
    BeyondOwnScopes(["models:write"]),
)
_LABELS = InvalidLabels(Path(), "")

PROBLEMS: dict[str, tuple[Exception, ...]] = {
    "/token": (
        HTTPException(400),  # a form that Starlette cannot read
        InvalidTokenRequest("The fields username and password are needed, each once and not empty"),
        UnsupportedGrant("The grant_type is one of password, client_credentials; not 'code'"),
        InvalidGrant(),
        InvalidClient(),
        InvalidScope("The scope 'metrics' was not granted to you; granted are: forecast models:read"),
        InvalidCredentials(),
        BodyTooSlow(20),
        BodyTooLarge(65_536),
        RequestValidationError([_NO_TEXT]),
        TooManyLogIns(8),
        _LIMIT,
        PasswordChecksBusy(3),
        *_STORE,
        *_RECORD,
    ),
    "/users": (
        *_SCOPED[USERS_ADMIN],
        *_JSON,
        *_SCOPES,
        UserExists("ada"),
        InvalidUserName("a b"),
        WeakPassword("has 5 characters"),
    ),
    "/users/{name}": (
        *_SCOPED[USERS_ADMIN],
        *_JSON,
        *_SCOPES,
        UnknownUser("adda"),
        LastAdmin(),
        WeakPassword("has 5 characters"),
    ),
    "/clients": (*_SCOPED[USERS_ADMIN], *_JSON, *_SCOPES, ClientExists("client:meter"), InvalidClientId("a b")),
    "/clients/{name}": (*_SCOPED[USERS_ADMIN], *_RECORD, *_SCOPES[1:], UnknownClient("metre"), _INVALID),
    "/models/{model}/labels/{label}": (*_SCOPED[MODELS_WRITE], *_JSON, *_MODEL[:2], _LABELS),
    "/models/{model}/rollback": (*_SCOPED[MODELS_WRITE], _INVALID, *_RECORD, *_MODEL[:2], _LABELS),
    "/revoke": (*_OF_A_TOKEN, *_STORE, *_RECORD),
    "/introspect": (*_OF_A_TOKEN, *_STORE, *_RECORD),
    "/.well-known/jwks.json": (),
    "/.well-known/oauth-authorization-server": (),
    "/users/me": _CLOSED,
    "/models": _SCOPED[MODELS_READ],
    "/metrics": _SCOPED[METRICS],
    "/models/{model}": (*_SCOPED[MODELS_READ], *_MODEL),
    "/predict/{model}": (*_SCOPED[FORECAST], *_MODEL, *_UPLOAD),
    "/forecast/{model}": (*_SCOPED[FORECAST], *_MODEL, *_UPLOAD, NoIntervals("office-3")),
    "/backtest/{model}": (*_SCOPED[BACKTEST], *_MODEL, *_UPLOAD, NoIntervals("office-3")),
    "/anomalies/{model}": (*_SCOPED[BACKTEST], *_MODEL, *_UPLOAD, NoIntervals("office-3")),
    "/livez": (),
    "/healthz": (),
    "/readyz": (HTTPException(503),),
}


def examples(errors: Iterable[Exception]) -> dict[int, dict[str, dict[str, Any]]]:
    """Return status → the last part of the problem's `type` → the document that a client gets."""
    found: dict[int, dict[str, dict[str, Any]]] = {}
    for error in errors:
        document = json.loads(bytes(answer_to(error).body))
        name = document["type"].removeprefix(TYPE_PREFIX)
        found.setdefault(document["status"], {})[name] = document
    return found
