"""The labels of a model's versions: `stable` answers, `canary` is on trial.

In and out: `labels.json` beside the versions of a name in the store, UTF-8 JSON, replaced as a whole under a
lock. It says which version bears which label, and every change: label, version, time (UTC), by whom. Without
the file the newest version is stable; with it, only what it says counts. Refused: a file that cannot be read,
and a label for a version that is not there.
"""

from __future__ import annotations

import fcntl
import os
import pwd
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from models.errors import InvalidLabels, UnknownModel, UnknownVersion, VersionInUse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from models.store import Entry, Store

Label = Literal["stable", "canary"]
STABLE: Label = "stable"
CANARY: Label = "canary"
LABELS: tuple[Label, ...] = (STABLE, CANARY)
FILE = "labels.json"
LARGEST = 1_000_000  # bytes
REMEMBERED = 1_000  # changes
UNLABELLED = "nobody: it was the newest"
_Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Change(_Part):
    """A label went to a version, or was taken away (`version` is None)."""

    label: Label
    version: _Version | None
    at: AwareDatetime
    by: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Labels(_Part):
    """Which version of one model bears which label, and how that came, the oldest change first."""

    format: Literal[1] = 1
    labels: dict[Label, _Version] = Field(default_factory=dict)
    history: list[Change] = Field(default_factory=list)

    @property
    def stable(self) -> str | None:
        """The version that answers where none is asked for."""
        return self.labels.get(STABLE)

    def of(self, version: str) -> tuple[Label, ...]:
        """Give the labels that a version bears."""
        return tuple(label for label in LABELS if self.labels.get(label) == version)

    def last(self, label: Label) -> Change | None:
        """Give the last change of a label."""
        return next((change for change in reversed(self.history) if change.label == label), None)

    def changed(self, change: Change) -> Labels:
        """Give the labels after one more change."""
        labels = {label: version for label, version in self.labels.items() if label != change.label}
        if change.version is not None:
            labels[change.label] = change.version
        return Labels(labels=labels, history=[*self.history, change][-REMEMBERED:])


def read(folder: Path) -> Labels | None:
    """Read the `labels.json` of a name's folder; None if there is none.

    Raises:
        InvalidLabels: if it cannot be read.
    """
    path = folder / FILE
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise InvalidLabels(path, f"is larger than {LARGEST} bytes")
        return Labels.model_validate_json(text)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InvalidLabels(path, f"cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise InvalidLabels(path, f"is not valid ({field + ': ' if field else ''}{first['msg']})") from None


def current(folder: Path, entries: Sequence[Entry]) -> Labels:
    """Give the labels that count: those in the file, or else `stable` for the newest version.

    Args:
        folder: the folder of a name.
        entries: its versions, the newest first.

    Raises:
        InvalidLabels: if the file cannot be read.
    """
    if (labels := read(folder)) is not None:
        return labels
    if not entries:
        return Labels()
    newest = entries[0]
    return Labels().changed(Change(label=STABLE, version=newest.version, at=_utc(newest.created), by=UNLABELLED))


def pin(store: Store, name: str) -> None:
    """Write down what is true now, so that a version that comes next bears no label by being the newest.

    Raises:
        InvalidLabels: if the file cannot be read.
    """
    store.folder(name).mkdir(parents=True, exist_ok=True)
    with _locked(store.folder(name)):
        if read(store.folder(name)) is None:
            _write(store.folder(name), current(store.folder(name), _versions(store, name)))


def assign(  # noqa: PLR0913  # a change is all of these
    store: Store, name: str, label: Label, version: str | None, *, by: str, at: datetime | None = None
) -> Labels:
    """Give a label to a version, or take it away with None; nothing is written if it is so already.

    Args:
        store: where the model is.
        name: the model.
        label: the label.
        version: a version in the store, in full.
        by: who wants it, in words, for the history.
        at: when, UTC; now by default.

    Returns:
        The labels as they are now.

    Raises:
        UnknownModel: if the store has no folder of that name.
        UnknownVersion: if there is no such version.
        InvalidLabels: if the file cannot be read.
    """
    folder = store.folder(name)
    if not folder.is_dir():
        raise UnknownModel(name, store.newest())
    with _locked(folder):
        entries = _versions(store, name)
        labels = current(folder, entries)
        if version is not None and version not in {entry.version for entry in entries}:
            raise UnknownVersion(name, version, told(labels, entries))
        if labels.labels.get(label) != version:
            change = Change(label=label, version=version, at=at or datetime.now(UTC), by=by[:200])
            labels = labels.changed(change)
            _write(folder, labels)
        if label == STABLE and version is not None:
            store.point_latest(name, version)
        return labels


def delete(store: Store, entry: Entry) -> None:
    """Remove a version that bears no label; the labels and their history stay, even after the last one.

    Raises:
        VersionInUse: if it bears one.
        InvalidLabels: if the file cannot be read.
    """
    pin(store, entry.name)
    folder = store.folder(entry.name)
    with _locked(folder):
        if borne := current(folder, ()).of(entry.version):
            raise VersionInUse(entry.name, entry.version, borne)
        store.remove(entry)


def person(command: str) -> str:
    """Say for the history who runs a command."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a user that has no name
        name = f"user {os.getuid()}"
    return f"{name}, {command}"


def previous(labels: Labels, entries: Sequence[Entry]) -> str | None:
    """Give the version that was stable last before the one that is, of those that are still there."""
    there = {entry.version for entry in entries} - {labels.stable}
    past = [change.version for change in labels.history if change.label == STABLE]
    return next((version for version in reversed(past) if version in there), None)


def told(labels: Labels, entries: Sequence[Entry]) -> str:
    """Say in words which labels and versions there are."""
    borne = [f"{label} ({version})" for label, version in sorted(labels.labels.items(), reverse=True)]
    rest = [entry.version for entry in entries if not labels.of(entry.version)]
    return ", ".join([*borne, *rest]) or "none"


def _versions(store: Store, name: str) -> list[Entry]:
    return [entry for entry in store.entries() if entry.name == name]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder against other writers; the lock ends with the process at the latest."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(folder: Path, labels: Labels) -> None:
    """Replace the file at once, on the disk before anyone can read it."""
    partial = folder / f"{FILE}.{os.getpid()}.partial"
    with partial.open("wb") as file:
        file.write(labels.model_dump_json(indent=2).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / FILE)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
