"""The command `python -m models`: lists, labels, rolls back, deletes and exports the versions of models.

In: a verb, the name of a model, a version. Out: lines on standard output and the exit status 0; 1 with one line
on standard error where it is refused; 2 where it was not understood. No model is loaded.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from models import archive, remote
from models.errors import InvalidLabels, ModelError
from models.labels import LABELS, STABLE, Labels, current, delete, person
from models.store import Store
from models.switching import give_label, resolved, roll_back, versions_of
from models.weights import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.store import Entry

NONE = "none"
EXAMPLES = """\
examples:
  python -m models list                          every model, its versions and labels
  python -m models list gru                      one model, and every change of its labels
  python -m models label gru 3f2a canary         on trial: answers at /predict/gru?version=canary
  python -m models label gru canary stable       the version on trial answers from now on
  python -m models rollback gru                  the version that was stable before answers again
  python -m models label gru none canary         takes the label away
  python -m models delete gru 3f2a               removes a version that bears no label
  python -m models export gru s3://models/       the stable version as an archive, in a bucket
  python -m models export gru 3f2a backup/       another version, in a folder

VERSION is a version, its first digits, or a label. A running service takes up every change within
LASTGANG_WATCH_SECONDS, without a restart; if it cannot load a version, the one before it goes on answering and
the reason stands in the service's log. The models are in BentoML's model store (BENTOML_HOME).
"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the verb and its arguments; print help or how to call the command, and exit, where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m models",
        description="The models of Lastgang, their versions and labels.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="show models, versions and labels")
    listing.add_argument("name", nargs="?", metavar="NAME", help="one model, with the history of its labels")
    labelling = verbs.add_parser("label", help="give a label to a version, or take it away")
    rolling = verbs.add_parser("rollback", help="make stable again what was stable before; a second time undoes it")
    deleting = verbs.add_parser("delete", help="remove a version that bears no label")
    exporting = verbs.add_parser("export", help="write a version as an archive that import_models.py takes")
    for one in (labelling, rolling, deleting, exporting):
        one.add_argument("name", metavar="NAME", help="the model, as in /predict/NAME")
    labelling.add_argument("version", metavar="VERSION", help=f"a version, its first digits, a label, or {NONE}")
    labelling.add_argument("label", metavar="LABEL", choices=LABELS, help=" or ".join(LABELS))
    deleting.add_argument("version", metavar="VERSION", help="a version or its first digits")
    exporting.add_argument("version", nargs="?", default=STABLE, help="a version, its first digits or a label")
    exporting.add_argument("target", metavar="TARGET", help="a file or folder, s3://bucket/folder/ or webdav://folder/")
    return parser.parse_args(arguments)


def run(asked: argparse.Namespace, store: Store, by: str) -> str:
    """Do what `parse` understood; return what there is to say.

    Args:
        asked: the verb and its arguments.
        store: to read or change.
        by: who asks, for the history.

    Raises:
        ModelError: if it is refused; nothing is changed then.
    """
    if asked.verb == "list" and asked.name is None:
        by_name = {entry.name: versions_of(store, entry.name) for entry in store.entries()}
        listed = [_listed(store, name, entries) for name, entries in by_name.items()]
        return "\n".join(listed) or "There are no models; import them with: python import_models.py"
    entries = versions_of(store, asked.name)
    labels = current(store.folder(asked.name), entries)
    if asked.verb == "list":
        return "\n".join([_listed(store, asked.name, entries), *_history(labels)])
    if asked.verb == "export":
        return export(resolved(asked.name, asked.version, labels, entries), asked.target)
    if asked.verb == "delete":
        entry = resolved(asked.name, asked.version, labels, entries)
        delete(store, entry)
        return f"{entry.tag} was deleted."
    if asked.verb == "label":
        version = give_label(store, asked.name, asked.label, None if asked.version == NONE else asked.version, by=by)
        label = asked.label
        return f"No version of {asked.name} is {label}." if version is None else f"{asked.name}:{version} is {label}."
    return f"{asked.name}:{roll_back(store, asked.name, by=by)} is {STABLE}."


def export(entry: Entry, target: str) -> str:
    """Write one version as an archive, after a look at its digests; return what there is to say.

    Args:
        entry: the version.
        target: a file or address; a folder, or what ends in a slash, gets the name that BentoML would choose.

    Raises:
        ModelError: if the version is damaged, or the archive cannot be put there.
    """
    verify(entry.directory)
    if not remote.is_remote(target) and Path(target).is_dir():
        target += "/"
    if target.endswith("/"):
        target += f"{entry.name}-{entry.version}"
    if not target.endswith(archive.EXTENSION):
        target += archive.EXTENSION
    with TemporaryDirectory(prefix="lastgang-export-") as private:
        packed = Path(private, "archive")
        archive.pack(entry.directory, packed)
        with packed.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if remote.is_remote(target):
            remote.send(packed, target)
        else:
            shutil.copyfile(packed, target)
    return f"{entry.tag} was exported. To import it: python import_models.py {target} --sha256 {digest}"


def _listed(store: Store, name: str, entries: Sequence[Entry]) -> str:
    try:
        labels, trouble = current(store.folder(name), entries), []
    except InvalidLabels as error:
        labels, trouble = Labels(), [f"  {error}"]
    lines = [
        f"{name:<20} {entry.version:<18} {entry.created:%Y-%m-%d %H:%M:%S} UTC  {', '.join(labels.of(entry.version))}"
        for entry in entries
    ]
    return "\n".join([*map(str.rstrip, lines), *trouble])


def _history(labels: Labels) -> list[str]:
    return [
        f"  {change.at:%Y-%m-%d %H:%M:%S} UTC  {change.label:<7} {change.version or 'taken away'}  by {change.by}"
        for change in labels.history
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command on BentoML's own store; return the exit status."""
    asked = parse(arguments)

    def work(told: dict[str, Any]) -> int:
        try:
            print(said := run(asked, Store(), person("python -m models")))
        except (ModelError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            told["reason"] = type(error).__name__
            return 1
        told["reason"] = said
        return 0

    if asked.verb == "list":
        return work({})
    from auditing import recorded  # noqa: PLC0415 - a list must come without settings
    from config import SettingsError, load_settings  # noqa: PLC0415

    facts = {name: getattr(asked, name, None) for name in ("version", "label")}
    target = remote.hidden(asked.target) if asked.verb == "export" else None
    command = f"python -m models {asked.verb}"
    try:
        return recorded(load_settings(), command, f"model.{asked.verb}", work, model=asked.name, target=target, **facts)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
