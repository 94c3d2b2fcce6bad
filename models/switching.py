"""Which version answers, changed in the words of people: a label for a version, or back to the one before.

In: a store, a name, and a version by its label or its first characters. Out: the version that bears the label then.
What is unknown or not clear is refused, and nothing is changed then. The command and the HTTP route are the same here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.errors import NoFormerVersion, UnknownModel, UnknownVersion
from models.labels import LABELS, STABLE, Label, assign, current, previous, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.labels import Labels
    from models.store import Entry, Store


def versions_of(store: Store, name: str) -> list[Entry]:
    """Return the versions of a name, the newest first.

    Raises:
        UnknownModel: there is none.
    """
    entries = store.entries()
    found = [entry for entry in entries if entry.name == name]
    if not found:
        raise UnknownModel(name, dict.fromkeys(entry.name for entry in entries))
    return found


def resolved(name: str, asked: str, labels: Labels, entries: Sequence[Entry]) -> Entry:
    """Return the one version that was meant: by a label, in full, or by its first characters.

    Raises:
        UnknownVersion: none, or several, could be meant.
    """
    borne = {str(label): version for label, version in labels.labels.items()}
    wanted = borne.get(asked) if asked in LABELS else asked
    exact = [entry for entry in entries if entry.version == wanted]
    begun = [entry for entry in entries if wanted and entry.version.startswith(wanted)]
    found = exact or begun
    if len(found) != 1:
        raise UnknownVersion(name, asked, told(labels, entries))
    return found[0]


def give_label(store: Store, name: str, label: Label, asked: str | None, *, by: str) -> str | None:
    """Give a label to a version, or take it away with None; return the version.

    Raises:
        UnknownModel: there is no such name.
        UnknownVersion: see `resolved`.
        InvalidLabels: the file of the labels cannot be read.
    """
    entries = versions_of(store, name)
    version = None
    if asked is not None:
        version = resolved(name, asked, current(store.folder(name), entries), entries).version
    assign(store, name, label, version, by=by)
    return version


def roll_back(store: Store, name: str, *, by: str) -> str:
    """Make stable again what was stable before, and return it; a second time undoes it.

    Raises:
        UnknownModel: there is no such name.
        NoFormerVersion: nothing that is still there was stable before.
        InvalidLabels: the file of the labels cannot be read.
    """
    entries = versions_of(store, name)
    labels = current(store.folder(name), entries)
    if (version := previous(labels, entries)) is None:
        raise NoFormerVersion(name, told(labels, entries))
    assign(store, name, STABLE, version, by=by)
    return version
