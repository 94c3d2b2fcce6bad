"""Which scope opens which route: one table, matched against the method and path of a request.

In: a table from (method, path) to what it takes, where a path may hold ``{names}`` for one segment each; then requests.
Out: the `Row` of a request, or None: what has no row is shut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

from auth.errors import InsufficientScope, UnknownMethod, UnknownRoute
from auth.scopes import OF_A_MODEL

if TYPE_CHECKING:
    from collections.abc import Mapping


class Without(Enum):
    """What a route takes that takes no scope."""

    TOKEN = "open"  # noqa: S105 - no token at all
    GATE = "credentials in the form"  # the route itself checks them
    SCOPE = "any good token"


Needs = str | Without  # a scope, or none
REMEMBERED = 256  # paths, which a client may choose
_NAME = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Row:
    """What one request's route takes.

    Attributes:
        needs: the scope, or that it takes none, or not even a token.
        model: the model in the path, for which a scope may be good alone.
    """

    needs: Needs
    model: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the gate asks for no token."""
        return self.needs is Without.TOKEN or self.needs is Without.GATE

    def check(self, scopes: frozenset[str]) -> None:
        """Return if these scopes open the route.

        Raises:
            InsufficientScope: they do not.
        """
        needs = self.needs
        if isinstance(needs, Without) or needs in scopes:
            return
        if needs in OF_A_MODEL and self.model is not None and f"{needs}:{self.model}" in scopes:
            return
        raise InsufficientScope(needs, scopes)


class Access:
    """The table, ready to be asked.

    Args:
        table: (method, path) → what it takes. GET holds for HEAD too. Paths are compared letter by letter.
    """

    def __init__(self, table: Mapping[tuple[str, str], Needs]) -> None:
        heads = {("HEAD", path): needs for (method, path), needs in table.items() if method == "GET"}
        rows = heads | dict(table)
        self._rows = {route: Row(needs) for route, needs in rows.items() if "{" not in route[1]}
        self._patterns = [(method, _pattern(path), needs) for (method, path), needs in rows.items() if "{" in path]
        # Few paths are asked for, and each by many requests.
        self._found = lru_cache(REMEMBERED)(self._match)

    def find(self, method: str, path: str) -> Row | None:
        """Return the row of a request; None where there is none, and so no way in.

        Args:
            method: as sent; upper and lower case are different.
            path: decoded, without the query.
        """
        return self._rows.get((method, path)) or self._found(method, path)

    def _match(self, method: str, path: str) -> Row | None:
        for known, pattern, needs in self._patterns:
            if known == method and (found := pattern.fullmatch(path)):
                return Row(needs, found.groupdict().get("model"))
        return None

    def refusal(self, path: str) -> UnknownRoute | UnknownMethod:
        """Return what to tell of a request without a row."""
        methods = self._methods(path)
        return UnknownMethod(methods) if methods else UnknownRoute()

    def _methods(self, path: str) -> tuple[str, ...]:
        exact = {method for method, known in self._rows if known == path}
        return tuple(sorted(exact | {method for method, pattern, _ in self._patterns if pattern.fullmatch(path)}))


def _pattern(path: str) -> re.Pattern[str]:
    """Return what matches a path whose ``{names}`` stand for one segment each, which the match then names."""
    parts = _NAME.split(path)  # what stands between names, and the names, in turns
    return re.compile("".join(f"(?P<{part}>[^/]+)" if odd % 2 else re.escape(part) for odd, part in enumerate(parts)))
