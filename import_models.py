"""Put models into the Bento model store, from where the service serves them.

In: model folders, SavedModel folders or `.keras` files with a card, and archives of model folders, local or at
`s3://` and `webdav://`. Out: one line for each on what happened. Every check that the service makes at start is
made here first, on the very copy that is stored, so what was imported serves; where it came from changes nothing.
Importing the same content again changes nothing either.

A new version becomes `stable` and answers from then on, unless `--label` says otherwise; a running service takes
it up by itself. The shipped models, imported without naming them, take `stable` only from one another.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from models import archive, remote
from models.card import CARD, ModelCard, card_bytes, parse_card, read_card, write_card
from models.errors import InvalidCard, ModelError, RefusedArchive, RefusedWeights, TransferFailed
from models.labels import CANARY, LABELS, STABLE, Labels, assign, current, person, pin
from models.store import Entry, Store
from models.weights import Source, check_digests, locate, verify, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditing import Recorder
    from models.labels import Label

SHIPPED = Path(__file__).parent / "models" / "pretrained"
SHIPPED_IMPORT = "the import of the shipped models"
EPILOG = """\
A model folder holds card.json and either saved_model/ (from model.export()) or one .keras file. The card
says which columns the model consumes and how they were scaled: `python -m models.card --new DIR` drafts one,
you replace its placeholders, and `python -m models.card DIR` checks it.

examples:
  python import_models.py                                   the models that ship with Lastgang
  python import_models.py my-model/                         a folder with card.json and weights
  python import_models.py my-model/ --name office-3         under another name: /predict/office-3
  python import_models.py exported/ --card card.json        a SavedModel folder and a card elsewhere
  python import_models.py office.keras --card card.json     a .keras file and its card
  python import_models.py my-model/ --label canary          on trial: answers at ?version=canary only
  python import_models.py gru-3f2a.bentomodel               what `python -m models export` (or BentoML's) wrote
  python import_models.py s3://models/gru-3f2a.bentomodel --sha256 9f86d0…    from S3, and only this very file
  python import_models.py webdav://models/gru-3f2a.bentomodel

S3 is found by AWS_ENDPOINT_URL and AWS's credentials, WebDAV by FSSPEC_WEBDAV_BASE_URL (README, "Models elsewhere").

A new version becomes stable: it answers from now on, in a running service, too, and
`python -m models rollback NAME` goes back. The shipped models, when no SOURCE is given, become stable only
where nothing is or where a shipped one is: what somebody else labelled stays.
"""


@dataclass(frozen=True)
class Imported:
    """What became of one source.

    Attributes:
        tag: `name:version` in the store.
        new: whether it was stored now; False if the same content was there already.
        labels: the labels that this version bears now.
        changed: whether it was stored or labelled now.
        stable: the version that answers by default; None if none does.
    """

    tag: str
    new: bool
    labels: tuple[Label, ...]
    changed: bool
    stable: str | None


def import_model(  # noqa: PLR0913  # the arguments of the command
    path: Path,
    card: Path | None = None,
    *,
    name: str | None = None,
    store: Store | None = None,
    label: Label | Literal["none"] | None = None,
    by: str | None = None,
) -> Imported:
    """Check one model as the service would, store it and label it.

    Args:
        path: a model folder, a SavedModel folder or a `.keras` file.
        card: the card, if it is not `card.json` in the model folder.
        name: a name to serve it under, instead of the card's.
        store: the store, instead of BentoML's own.
        label: the label that it gets, or `none`; by default what is new becomes stable.
        by: who imports it, for the history of the labels; the user of this process by default.

    Raises:
        ModelError: if anything about it is refused; nothing is stored then.
    """
    source = locate(path, card)
    model_card = _renamed(read_card(source.card), name, source.card)
    check_digests(source.weights, model_card, path)
    digest = hashlib.sha256(card_bytes(model_card)).hexdigest()
    store = store or Store()
    wanted = (model_card.name, digest[:16])
    if new := (old := _find(store, *wanted)) is None or not _intact(old):
        with store.creating(*wanted, digest) as folder:
            with _told_of(path, source.card, folder):
                _fill(folder, source, model_card)
            pin(store, model_card.name)  # or the new version would be stable by being the newest
    before = _labels(store, model_card.name)
    labels = _label(store, *wanted, label, new=new, by=by or person("import_models.py"))
    changed = new or labels != before
    return Imported(":".join(wanted), new, labels.of(wanted[1]), changed, labels.stable)


def import_source(source: str, *, sha256: str | None = None, **options: Any) -> Imported:
    """Import what a person named: a path, or an archive here or elsewhere.

    Args:
        source: a path as in `import_model`, the path of an archive, or `s3://...` or `webdav://...`.
        sha256: the SHA-256 that the archive must have, in hexadecimal.
        options: as of `import_model`.

    Raises:
        ModelError: if anything about it is refused; nothing is stored then.
    """
    if not remote.is_remote(source) and Path(source).suffix not in {*archive.SUFFIXES, ".zip"}:
        if sha256 is not None:
            raise TransferFailed(source, "is no archive; --sha256 is the digest of one")
        return import_model(Path(source), **options)
    shown = remote.hidden(source)
    with TemporaryDirectory(prefix="lastgang-import-") as private:
        copy, folder = Path(private, "archive"), Path(private, "model")
        digest = _bring(source, copy)
        if sha256 is not None and digest != sha256:
            raise RefusedArchive(shown, f"has the SHA-256 {digest}, not the {sha256} that was asked for")
        archive.unpack(copy, folder, shown)
        try:
            return import_model(folder, **options)
        except ModelError as error:
            told = str(error).removeprefix(f"{folder}: ").replace(f"{folder}/", "").replace(str(folder), "the archive")
            raise RefusedArchive(shown, told) from error


def _bring(source: str, copy: Path) -> str:
    """Copy an archive here, so that what is checked is what is read; give its SHA-256."""
    if remote.is_remote(source):
        return remote.fetch(source, copy)
    try:
        with Path(source).open("rb") as file, copy.open("wb") as target:
            return remote.copy(file, target, os.fstat(file.fileno()).st_size, source)
    except OSError as error:
        raise TransferFailed(source, f"cannot be read ({error.strerror})") from None


def _label(  # noqa: PLR0913  # what an import knows
    store: Store, name: str, version: str, label: Label | Literal["none"] | None, *, new: bool, by: str
) -> Labels:
    labels = _labels(store, name)
    if label is None:
        last = labels.last(STABLE)
        theirs = by == SHIPPED_IMPORT and last is not None and last.by != SHIPPED_IMPORT
        label = STABLE if (new or labels.stable is None) and not theirs else "none"
    return labels if label == "none" else assign(store, name, label, version, by=by)


def _labels(store: Store, name: str) -> Labels:
    return current(store.folder(name), [entry for entry in store.entries() if entry.name == name])


def _renamed(card: ModelCard, name: str | None, path: Path) -> ModelCard:
    if name is None:
        return card
    return parse_card(card_bytes(card.model_copy(update={"name": name})), path)


def _find(store: Store, name: str, version: str) -> Entry | None:
    return next((entry for entry in store.entries() if (entry.name, entry.version) == (name, version)), None)


def _intact(entry: Entry) -> bool:
    try:
        verify(entry.directory)
    except ModelError:
        return False
    return version_of(entry.directory) == entry.version


@contextmanager
def _told_of(path: Path, card: Path, copy: Path) -> Iterator[None]:
    """Let errors name what the user gave instead of the copy that was checked."""
    try:
        yield
    except InvalidCard as error:
        raise InvalidCard(card, error.problems) from error
    except RefusedWeights as error:
        raise RefusedWeights(path, error.reason.replace(str(copy), str(path))) from error


def _fill(folder: Path, source: Source, card: ModelCard) -> None:
    """Copy, then check the copy: a file that changes meanwhile is found."""
    from models.runner import Runner  # noqa: PLC0415  # TensorFlow, only when there is something to import

    for name, file in source.weights.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    write_card(card, folder / CARD)
    Runner(folder, verify(folder))


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="import_models.py",
        description="Put SavedModel or .keras models with their cards into the Bento model store.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="default: the shipped models")
    parser.add_argument("--card", type=Path, help="the card of a bare SavedModel folder or .keras file")
    parser.add_argument("--name", help="serve it under this name instead of the card's")
    parser.add_argument(
        "--label", choices=(*LABELS, "none"), help="label to give; default: stable, if the version is new"
    )
    parser.add_argument("--sha256", type=_digest, help="the SHA-256 that the archive SOURCE must have")
    given = parser.parse_args(arguments)
    if len(given.sources) != 1 and (given.card or given.name or given.sha256):
        parser.error("--card, --name and --sha256 belong to one SOURCE; name exactly one")
    given.by = None if given.sources or given.label else SHIPPED_IMPORT
    given.sources = given.sources or sorted(str(file.parent) for file in SHIPPED.glob(f"*/{CARD}"))
    return given


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError("is no SHA-256: 64 hexadecimal digits, as sha256sum prints them")
    return text.lower()


def main(arguments: list[str] | None = None) -> int:
    """Run the command; give the exit status, 1 if any source was refused."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    given = _arguments(arguments)
    from auditing import recorder  # noqa: PLC0415  # help must come without settings
    from config import SettingsError, load_settings  # noqa: PLC0415

    try:
        with recorder(load_settings(), "import_models.py") as record:
            return _import_all(given, record)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _import_all(given: argparse.Namespace, record: Recorder) -> int:
    refused = 0
    options = {"card": given.card, "name": given.name, "label": given.label, "by": given.by}
    for source in given.sources:
        try:
            done = import_source(source, sha256=given.sha256, **options)
        except (ModelError, OSError) as error:
            print(f"refused: {error}", file=sys.stderr)
            record.tell("model.import", "refused", reason=type(error).__name__)
            refused += 1
        else:
            print(f"{done.tag} {'imported' if done.new else 'was already there'} ({source}){_said(done)}", flush=True)
            if done.changed:
                name, version = done.tag.split(":")
                record.tell("model.import", model=name, version=version, label=",".join(done.labels) or None)
    return 1 if refused else 0


def _said(done: Imported) -> str:
    """Say what labels mean for who imported; that a model is stable goes without saying."""
    if STABLE in done.labels:
        return ""
    name, version = done.tag.split(":")
    trial = f"; it is the canary, at ?version={CANARY}" if CANARY in done.labels else "; it is not loaded"
    stable = "no version is stable yet" if done.stable is None else "another version is stable"
    return f"{trial}; {stable}: python -m models label {name} {version} {STABLE}"


if __name__ == "__main__":
    sys.exit(main())
