"""The command `python -m models`: what it says, what it changes, what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.__main__ import main, parse, run
from models.errors import ModelError
from models.labels import FILE, current
from models.retrain import parse as parse_retraining
from models.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
ROOT = Path(__file__).parent.parent
V1, V2, V3 = "1a" * 8, "2a" * 8, "2b" * 8


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give a Bento store with three versions of `toy` and one of `other`; the command needs no weights."""
    store = Store(tmp_path / "models")
    for name, version in (("toy", V1), ("toy", V2), ("toy", V3), ("other", V1)):
        with store.creating(name, version, "0" * 64) as folder:
            (folder / "card.json").write_text("{}")
    return store


def said(store: Store, *words: str) -> str:
    return run(parse(words), store, "ada")


DONE: list[tuple[list[str], str, dict[str, str]]] = [
    (["label toy 1a canary"], f"toy:{V1} is canary.", {"stable": V3, "canary": V1}),
    ([f"label toy {V2} stable"], f"toy:{V2} is stable.", {"stable": V2}),
    (["label toy 1a canary", "label toy canary stable"], f"toy:{V1} is stable.", {"stable": V1, "canary": V1}),
    (["label toy 1a canary", "label toy none canary"], "No version of toy is canary.", {"stable": V3}),
    (["label toy none stable"], "No version of toy is stable.", {}),
    (["label toy 1a stable", "rollback toy"], f"toy:{V3} is stable.", {"stable": V3}),
    (["label toy 1a stable", "rollback toy", "rollback toy"], f"toy:{V1} is stable.", {"stable": V1}),
    (["delete toy 1a"], f"toy:{V1} was deleted.", {"stable": V3}),
]


@pytest.mark.parametrize("lines, last, expected", DONE)
def test_verbs_do_what_they_say(lines: list[str], last: str, expected: dict[str, str], store: Store) -> None:
    """The last line tells what is so now, and it is so."""
    told = [said(store, *line.split()) for line in lines]
    assert told[-1] == last
    entries = [entry for entry in store.entries() if entry.name == "toy"]
    assert dict(current(store.folder("toy"), entries).labels) == expected


REFUSED = [
    ("label toy 9 canary", "stable (2b2b2b2b2b2b2b2b)"),
    ("label toy 2 canary", "stable (2b2b2b2b2b2b2b2b)"),  # two versions begin so
    ("label toy canary stable", "no version or label 'canary'"),
    ("label tyo 1a stable", "known: other, toy"),
    ("list tyo", "known: other, toy"),
    ("rollback toy", "cannot be rolled back: no other version"),
    ("delete toy 2b", "is stable; label another version first"),
    ("delete toy stable", "is stable; label another version first"),
]


@pytest.mark.parametrize("line, told", REFUSED)
def test_what_is_refused_changes_nothing(line: str, told: str, store: Store) -> None:
    """A refusal says what there is or what to do."""
    with pytest.raises(ModelError) as refusal:
        said(store, *line.split())
    assert told in str(refusal.value)
    assert len(store.entries()) == 4
    entries = [entry for entry in store.entries() if entry.name == "toy"]
    assert dict(current(store.folder("toy"), entries).labels) == {"stable": V3}


def test_list_shows_versions_labels_and_history(store: Store) -> None:
    """One line a version; for one model also who changed what."""
    said(store, "label", "toy", V1, "canary")
    lines = said(store, "list").splitlines()
    assert [line.split()[:2] for line in lines] == [["other", V1], ["toy", V3], ["toy", V2], ["toy", V1]]
    assert [line.split()[-1] for line in lines] == ["stable", "stable", "UTC", "canary"]
    assert said(store, "list", "toy").splitlines()[-1].endswith(f"canary  {V1}  by ada")
    assert said(Store(store.directory / "none"), "list").startswith("There are no models")


def test_list_survives_a_broken_file(store: Store) -> None:
    """The list shows the other models, and what is wrong with this one."""
    (store.folder("toy") / FILE).write_text("{")
    told = said(store, "list")
    assert "labels.json: is not valid" in told
    assert told.startswith("other")


def test_model_can_be_taken_away_wholly(store: Store) -> None:
    """Without labels the last version goes, too."""
    said(store, "label", "other", "none", "stable")
    said(store, "delete", "other", V1)
    assert {entry.name for entry in store.entries()} == {"toy"}


def test_command_needs_no_tensorflow(store: Store) -> None:
    """Listing and labelling take a second, not ten: neither TensorFlow nor Keras is loaded."""
    code = (
        "import sys; from models.__main__ import main;"
        f"done = [main(['list']), main(['label', 'toy', '{V1}', 'stable']), main(['list', 'nobody'])];"
        "assert not {'tensorflow', 'keras'} & set(sys.modules); print(done)"
    )
    environment = os.environ | {"BENTOML_HOME": str(store.directory.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[0, 0, 1]"
    assert done.stderr.startswith("error: No model is named 'nobody'")


@pytest.mark.parametrize("line", ["", "label toy 1a best", "delete toy", "promote toy"])
def test_what_is_not_understood_ends_with_2(line: str) -> None:
    """Neither a verb nor a label is guessed."""
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2


def test_help_teaches_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks for help sees every verb at work."""
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"python -m models {verb}" in shown for verb in ("list", "label", "rollback", "delete"))


def test_readme_names_commands_that_there_are() -> None:
    """Each line of the README's section is understood by its command."""
    section = (ROOT / "README.md").read_text().split("\n## Versions and labels\n")[1].split("\n## ")[0]
    lines = [line.split("#")[0].split() for line in section.splitlines() if line.startswith("    ")]
    assert {parse(line[3:]).verb for line in lines if line[:3] == ["python", "-m", "models"]} == {
        "list",
        "label",
        "rollback",
        "delete",
    }
    tasks = [parse_retraining(line[1:]) for line in lines if line[0] == "scripts/retrain"]
    assert [(task.model, task.name, task.promote) for task in tasks] == [("gru", None, True), ("cnn", "office-3", True)]
