"""What can go wrong with a model, as one tree.

::

    ModelError
    ├── InvalidCard          a card is missing, malformed, or contradicts itself or its model
    ├── RefusedWeights       weight files that may not be loaded, or do not match their digests
    ├── RefusedArchive       an archive that is damaged, or holds what may not be there
    ├── TransferFailed       an archive that cannot be fetched from elsewhere, or put there
    ├── UnknownModel         nobody imported a model of that name
    ├── UnknownVersion       the model has no such version, or nothing bears that label
    │   └── NoFormerVersion  there is nothing to roll back to
    ├── VersionNotLoaded     the version is in the store, but no label names it
    ├── InvalidLabels        a labels.json that cannot be read
    ├── CannotRetrain        a candidate that cannot be trained or judged now
    ├── VersionInUse         a version that bears a label is not deleted
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


class _OfSource(ModelError):
    """Something about what a person named as a source or a target.

    Attributes:
        source: as it was named, without credentials.
        reason: what is wrong with it and what to do.
    """

    def __init__(self, source: str, reason: str) -> None:
        self.source = source
        self.reason = reason
        super().__init__(f"{source}: {reason}")


class RefusedArchive(_OfSource):
    """An archive is damaged, or holds what may not be there."""


class TransferFailed(_OfSource):
    """An archive cannot be fetched from elsewhere, or put there."""


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


class UnknownVersion(ModelError):
    """The model has no such version, or nothing bears that label.

    Attributes:
        name: the model.
        version: the version or label asked for.
        known: what there is, in words.
    """

    def __init__(self, name: str, version: str, known: str) -> None:
        self.name = name
        self.version = version
        self.known = known
        super().__init__(f"Model {name!r} has no version or label {version[:80]!r}; there are: {known}")


class NoFormerVersion(UnknownVersion):
    """Nothing that is still in the store was stable before; the attributes are those of `UnknownVersion`."""

    def __init__(self, name: str, known: str) -> None:
        super().__init__(name, "former", known)
        what = "no other version that is still there was stable before. Label the one that is to answer stable"
        self.args = (f"Model {name!r} cannot be rolled back: {what}; there are: {known}",)


class VersionNotLoaded(ModelError):
    """The version is in the store, but only labelled ones are in memory.

    Attributes:
        name: the model.
        version: the version asked for.
        known: what there is, in words.
    """

    def __init__(self, name: str, version: str, known: str) -> None:
        self.name = name
        self.version = version
        self.known = known
        super().__init__(
            f"Version {version} of model {name!r} is stored but not loaded, because no label names it; there are: "
            f"{known}. `python -m models label {name} {version} canary` loads it"
        )


class InvalidLabels(ModelError):
    """A `labels.json` that cannot be read.

    Attributes:
        path: the file.
        reason: what is wrong with it.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}; mend it, or remove it, and the newest version is stable")


class VersionInUse(ModelError):
    """A version that bears a label is not deleted.

    Attributes:
        name: the model.
        version: the version.
        labels: the labels that it bears.
    """

    def __init__(self, name: str, version: str, labels: Iterable[str]) -> None:
        self.name = name
        self.version = version
        self.labels = tuple(labels)
        label = self.labels[0]
        super().__init__(
            f"{name}:{version} is {' and '.join(self.labels)}; label another version first, or take the label away "
            f"with `python -m models label {name} none {label}`"
        )


class CannotRetrain(ModelError):
    """A candidate cannot be trained or judged now; the message says why."""


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
