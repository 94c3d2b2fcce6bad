"""What a token may be good for: the scopes, and how they cover one another.

In and out: sets of scopes, and their text as OAuth 2.0 writes it: divided by single spaces (RFC 6749, section 3.3).
`forecast` and `backtest` also come for one model alone, ``forecast:gru``; the scope without a model covers it.
Refused: a scope that is not known here, and a set that makes a token too long.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from auth.errors import InvalidScope

if TYPE_CHECKING:
    from collections.abc import Iterable

FORECAST, BACKTEST = "forecast", "backtest"
MODELS_READ, MODELS_WRITE = "models:read", "models:write"
USERS_ADMIN = "users:admin"
METRICS = "metrics"
TOKENS_INTROSPECT = "tokens:introspect"
SCOPES = {
    FORECAST: "Forecast with every model; `forecast:MODEL` with one.",
    BACKTEST: "Backtest every model and find anomalies with it; `backtest:MODEL` with one.",
    MODELS_READ: "List the models and read their cards.",
    MODELS_WRITE: "Decide which version of a model answers.",
    USERS_ADMIN: "Add, change and remove users and clients.",
    METRICS: "Read the metrics.",
    TOKENS_INTROSPECT: "Ask about any token by `POST /introspect`.",
}
OF_A_MODEL = frozenset({FORECAST, BACKTEST})
ALL = frozenset(SCOPES)
LONGEST = 1000  # characters of a set, so that a token stays short enough to be sent with each request

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


def parse(text: str) -> frozenset[str]:
    """Return the scopes that a text names, without those that another one covers.

    Raises:
        InvalidScope: one is not known, or all of them are too long together.
    """
    scopes = frozenset(text.split())
    for scope in sorted(scopes):
        _known(scope)
    scopes = simplest(scopes)
    if len(written(scopes)) > LONGEST:
        problem = f"The scopes together have more than {LONGEST} characters; use the ones that hold for all models"
        raise InvalidScope(problem)
    return scopes


def written(scopes: Iterable[str]) -> str:
    """Return the scopes as one text, in order; empty where there is none."""
    return " ".join(sorted(scopes))


def simplest(scopes: Iterable[str]) -> frozenset[str]:
    """Leave out what another scope of the set covers."""
    scopes = frozenset(scopes)
    return frozenset(scope for scope in scopes if _general(scope) == scope or _general(scope) not in scopes)


def covers(granted: frozenset[str], scope: str) -> bool:
    """Tell whether one of the granted scopes is this one or holds for more."""
    return scope in granted or _general(scope) in granted


@lru_cache(1024)
def common(some: frozenset[str], others: frozenset[str]) -> frozenset[str]:
    """Return what both sets allow: of ``forecast`` and ``forecast:gru`` that is ``forecast:gru``."""
    shared = {scope for scope in some if covers(others, scope)} | {scope for scope in others if covers(some, scope)}
    return simplest(shared)


def granted_of(asked: str | None, granted: frozenset[str]) -> frozenset[str]:
    """Return the scopes of a new token: all that were granted, or those that were asked for.

    Args:
        asked: the form field ``scope``; None or empty asks for all.
        granted: what the one who asks may have.

    Raises:
        InvalidScope: one that was asked for is not known or not granted; which, is said.
    """
    if not (asked or "").strip():
        return granted
    wanted = parse(asked or "")
    for scope in sorted(wanted):
        if not covers(granted, scope):
            has = written(granted) or "none"
            problem = f"The scope {scope!r} was not granted to you; granted are: {has}"
            raise InvalidScope(problem)
    return wanted


def _general(scope: str) -> str:
    """Return the scope for all models of one for a single model, and every other as it is."""
    name, divided, _ = scope.partition(":")
    return name if divided and name in OF_A_MODEL else scope


def _known(scope: str) -> None:
    if scope in SCOPES:
        return
    name, _, model = scope.partition(":")
    if name in OF_A_MODEL and _MODEL.fullmatch(model):
        return
    known = ", ".join([*SCOPES, *(f"{name}:MODEL" for name in sorted(OF_A_MODEL))])
    problem = f"There is no scope {scope[:80]!a}; there are: {known}"
    raise InvalidScope(problem)
