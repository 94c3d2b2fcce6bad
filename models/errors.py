"""What can go wrong with a model, as one tree.

::

    ModelError
    ├── InvalidCard          a card is missing, malformed, or contradicts itself or its model
    ├── RefusedWeights       weight files that may not be loaded, or do not match their digests
    ├── UnknownModel         nobody imported a model of that name
    ├── ModelUnavailable     the model is known but cannot answer
    └── NonFiniteForecast    the model answered, but not with numbers

Every error carries its data as attributes and says in its message what, where and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class ModelError(Exception):
    """Anything that a model, its card or its files did wrong."""


class InvalidCard(ModelError):
    """A card is missing, malformed, or contradicts itself or its model.

    Attributes:
        path: the card's file.
        problems: one sentence each, with the field it is about.
    """

    def __init__(self, path: Path, problems: Iterable[str]) -> None:
        self.path = path
        self.problems = tuple(problems)
        super().__init__(f"{path}: {'; '.join(self.problems)}")


class RefusedWeights(ModelError):
    """Weight files that may not be loaded.

    Attributes:
        path: the file or folder at fault.
        reason: what is wrong with it and what to do.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class UnknownModel(ModelError):
    """No model of that name.

    Attributes:
        name: the name asked for.
        known: the names that serve.
    """

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(f"No model is named {name[:80]!r}; known: {', '.join(self.known) or 'none'}")


class ModelUnavailable(ModelError):
    """A model that was imported but cannot answer.

    Attributes:
        name: the model.
        reason: what is wrong, for the log and not for the client.
    """

    def __init__(self, name: str, reason: str = "") -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"Model {name!r} cannot answer now" + (f": {reason}" if reason else ""))


class NonFiniteForecast(ModelError):
    """A model answered with NaN or infinity.

    Attributes:
        name: the model.
        rows: which windows of the call it was, counted from 0.
    """

    def __init__(self, name: str, rows: Iterable[int]) -> None:
        self.name = name
        self.rows = tuple(rows)
        super().__init__(f"Model {name!r} gave numbers that are not finite for this load profile")
