"""Labels: what counts with and without the file, how they change, and what a broken file does."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from models.errors import InvalidLabels, UnknownModel, UnknownVersion, VersionInUse
from models.labels import CANARY, FILE, STABLE, Labels, assign, current, delete, pin, previous, read, told
from models.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from models.labels import Label
    from models.store import Entry

pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give a Bento store with three versions of one name; labels need no weights."""
    store = Store(tmp_path / "store")
    for version in ("v1", "v2", "v3"):
        add(store, version)
    return store


def add(store: Store, version: str, name: str = "toy") -> None:
    with store.creating(name, version, "0" * 64) as folder:
        (folder / "card.json").write_text(version)


def entries(store: Store) -> list[Entry]:
    return [entry for entry in store.entries() if entry.name == "toy"]


def labels(store: Store) -> Labels:
    return current(store.folder("toy"), entries(store))


def test_newest_is_stable_without_a_file(store: Store) -> None:
    """A store from before there were labels serves as it did."""
    assert labels(store).labels == {STABLE: "v3"}
    assert read(store.folder("toy")) is None
    assert current(store.folder("other"), []).labels == {}


def test_pinned_stable_stays_when_a_newer_version_comes(store: Store) -> None:
    """With the file there, being the newest gives no label."""
    pin(store, "toy")
    add(store, "v4")
    assert labels(store).labels == {STABLE: "v3"}
    pin(store, "toy")
    assert labels(store).labels == {STABLE: "v3"}


CHANGES: list[tuple[list[tuple[Label, str | None]], dict[Label, str], str | None]] = [
    ([(STABLE, "v1")], {STABLE: "v1"}, "v3"),
    ([(CANARY, "v1")], {STABLE: "v3", CANARY: "v1"}, None),
    ([(STABLE, "v1"), (STABLE, "v2")], {STABLE: "v2"}, "v1"),
    ([(STABLE, "v1"), (STABLE, "v2"), (STABLE, "v1")], {STABLE: "v1"}, "v2"),
    ([(STABLE, "v1"), (STABLE, "v1")], {STABLE: "v1"}, "v3"),
    ([(CANARY, "v1"), (CANARY, None)], {STABLE: "v3"}, None),
    ([(STABLE, None)], {}, "v3"),
    ([(STABLE, "v1"), (CANARY, "v1"), (STABLE, "v3")], {STABLE: "v3", CANARY: "v1"}, "v1"),
]


@pytest.mark.parametrize("changes, expected, before", CHANGES)
def test_changes_add_up(
    changes: list[tuple[Label, str | None]], expected: dict[Label, str], before: str | None, store: Store
) -> None:
    """Each label has one bearer or none, and what was stable before is remembered."""
    for count, (label, version) in enumerate(changes):
        assign(store, "toy", label, version, by="a test", at=NOW + timedelta(hours=count))
    assert labels(store).labels == expected
    assert previous(labels(store), entries(store)) == before


def test_history_tells_who_changed_what_and_when(store: Store) -> None:
    """Every change stands there, the first one being what was true without a file; what changes nothing does not."""
    for hours in (0, 1):
        assign(store, "toy", STABLE, "v1", by="ada", at=NOW + timedelta(hours=hours))
    assign(store, "toy", CANARY, "v2", by="grace", at=NOW + timedelta(hours=2))
    assign(store, "toy", CANARY, None, by="grace", at=NOW + timedelta(hours=3))
    history = json.loads((store.folder("toy") / FILE).read_text())["history"]
    assert [(one["label"], one["version"], one["by"]) for one in history] == [
        ("stable", "v3", "nobody: it was the newest"),
        ("stable", "v1", "ada"),
        ("canary", "v2", "grace"),
        ("canary", None, "grace"),
    ]
    assert [datetime.fromisoformat(one["at"]) for one in history[1:]] == [NOW + timedelta(hours=h) for h in (0, 2, 3)]


def test_bentoml_packs_what_is_stable(store: Store) -> None:
    """BentoML's own pointer `latest` follows the label, so that `bentoml build` takes the version that serves."""
    assign(store, "toy", STABLE, "v2", by="a test")
    assert (store.folder("toy") / "latest").read_text() == "v2"


@pytest.mark.parametrize("name, error", [("toy", UnknownVersion), ("other", UnknownModel)])
def test_label_needs_a_version_that_is_there(name: str, error: type[Exception], store: Store) -> None:
    """Who mistypes a version or a name learns what there is, and nothing is written."""
    with pytest.raises(error, match="v3" if name == "toy" else "toy"):
        assign(store, name, STABLE, "v9", by="a test")
    assert not list(store.directory.rglob(FILE))


BROKEN = [
    pytest.param(b"", "EOF", id="empty"),
    pytest.param(b"{", "EOF", id="cut off"),
    pytest.param(b"\xff\xfe", "is not valid", id="no UTF-8"),
    pytest.param(b"[]", "is not valid", id="no object"),
    pytest.param(b'{"labels": {"stable": 1}}', "labels.stable", id="no version"),
    pytest.param(b'{"labels": {"stable": "../../up"}}', "labels.stable", id="path"),
    pytest.param(b'{"labels": {"best": "v1"}}', "labels.best", id="unknown label"),
    pytest.param(b'{"more": 1}', "more", id="unknown member"),
    pytest.param(b'{"format": 2}', "format", id="unknown format"),
    pytest.param(b" " * 1_000_001, "is larger than", id="too large"),
]


@pytest.mark.parametrize("content, said", BROKEN)
def test_broken_file_is_refused_and_left_alone(content: bytes, said: str, store: Store) -> None:
    """A file that cannot be read is named with the reason, by whoever reads and whoever would change it."""
    file = store.folder("toy") / FILE
    file.write_bytes(content)
    with pytest.raises(InvalidLabels, match=said) as refusal:
        labels(store)
    assert refusal.value.path == file
    with pytest.raises(InvalidLabels, match=said):
        assign(store, "toy", STABLE, "v1", by="a test")
    assert file.read_bytes() == content


def test_unreadable_file_is_refused(store: Store) -> None:
    """A folder in the place of the file is no reason to call the newest version stable."""
    (store.folder("toy") / FILE).mkdir()
    with pytest.raises(InvalidLabels, match="cannot be read"):
        labels(store)


def test_labelled_versions_are_not_deleted(store: Store) -> None:
    """What answers, or is on trial, stays; the rest goes, and what was stable by being the newest stays stable."""
    assign(store, "toy", CANARY, "v1", by="a test")
    for version, label in (("v3", STABLE), ("v1", CANARY)):
        with pytest.raises(VersionInUse, match=label):
            delete(store, next(entry for entry in entries(store) if entry.version == version))
    delete(store, next(entry for entry in entries(store) if entry.version == "v2"))
    assert [entry.version for entry in entries(store)] == ["v3", "v1"]
    assert not (store.folder("toy") / "v2").exists()
    assert labels(store).labels == {STABLE: "v3", CANARY: "v1"}


def test_deleted_version_is_not_rolled_back_to(store: Store) -> None:
    """Rolling back passes over what is no longer there."""
    for version in ("v1", "v2", "v3"):
        assign(store, "toy", STABLE, version, by="a test")
    delete(store, next(entry for entry in entries(store) if entry.version == "v2"))
    assert previous(labels(store), entries(store)) == "v1"


def test_words_name_labels_and_versions(store: Store) -> None:
    """Messages say what there is: labels first, then the versions that bear none."""
    assign(store, "toy", CANARY, "v1", by="a test")
    assert told(labels(store), entries(store)) == "stable (v3), canary (v1), v2"
    assert told(Labels(), []) == "none"


def test_no_change_is_lost_between_writers(store: Store) -> None:
    """Writers at once take turns: every change stands in the history."""
    pin(store, "toy")
    names = [f"writer {count}" for count in range(8)]
    turns = [
        threading.Thread(target=lambda by=by: [assign(store, "toy", CANARY, v, by=by) for v in ("v1", "v2", None)])
        for by in names
    ]
    for turn in turns:
        turn.start()
    for turn in turns:
        turn.join()
    history = labels(store).history[1:]
    assert all(one.version != two.version for one, two in pairwise(history))
    assert labels(store).labels == {STABLE: "v3"} | ({CANARY: history[-1].version} if history[-1].version else {})
