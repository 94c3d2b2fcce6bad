"""Put models into the Bento model store, from where the service serves them.

In: model folders, SavedModel folders or `.keras` files with a card. Out: one line for each on what happened.
Every check that the service makes at start is made here first, on the very copy that is stored, so what was
imported serves. Importing the same content again changes nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.card import CARD, ModelCard, card_bytes, parse_card, read_card, write_card
from models.errors import InvalidCard, ModelError, RefusedWeights
from models.store import Entry, Store
from models.weights import Source, check_digests, locate, verify

if TYPE_CHECKING:
    from collections.abc import Iterator

SHIPPED = Path(__file__).parent / "models" / "pretrained"
EPILOG = """\
A model folder holds card.json and either saved_model/ (from model.export()) or one .keras file. The card
says which columns the model consumes and how they were scaled: copy models/pretrained/gru/card.json, change
it, and let `python -m models.card DIR` fill in the SHA-256 of the weights.

examples:
  python import_models.py                                   the models that ship with Lastgang
  python import_models.py my-model/                         a folder with card.json and weights
  python import_models.py my-model/ --name office-3         under another name: /predict/office-3
  python import_models.py exported/ --card card.json        a SavedModel folder and a card elsewhere
  python import_models.py office.keras --card card.json     a .keras file and its card
"""


@dataclass(frozen=True)
class Imported:
    """What became of one source.

    Attributes:
        tag: `name:version` in the store.
        new: whether it was stored now; False if the same content was there already.
        newest: whether this version is the one that serves.
    """

    tag: str
    new: bool
    newest: bool


def import_model(
    path: Path, card: Path | None = None, *, name: str | None = None, store: Store | None = None
) -> Imported:
    """Check one model as the service would, and store it.

    Args:
        path: a model folder, a SavedModel folder or a `.keras` file.
        card: the card, if it is not `card.json` in the model folder.
        name: a name to serve it under, instead of the card's.
        store: the store, instead of BentoML's own.

    Raises:
        ModelError: if anything about it is refused; nothing is stored then.
    """
    source = locate(path, card)
    model_card = _renamed(read_card(source.card), name, source.card)
    check_digests(source.weights, model_card, path)
    digest = hashlib.sha256(card_bytes(model_card)).hexdigest()
    store = store or Store()
    wanted = (model_card.name, digest[:16])
    if (old := _find(store, *wanted)) is not None and _intact(old):
        return Imported(old.tag, new=False, newest=store.newest()[old.name] == old)
    with store.creating(*wanted, digest) as folder, _told_of(path, source.card, folder):
        _fill(folder, source, model_card)
    return Imported(":".join(wanted), new=True, newest=True)


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
    return True


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
    parser.add_argument("sources", nargs="*", type=Path, metavar="SOURCE", help="default: the shipped models")
    parser.add_argument("--card", type=Path, help="the card of a bare SavedModel folder or .keras file")
    parser.add_argument("--name", help="serve it under this name instead of the card's")
    given = parser.parse_args(arguments)
    if len(given.sources) != 1 and (given.card or given.name):
        parser.error("--card and --name belong to one SOURCE; name exactly one")
    given.sources = given.sources or sorted(file.parent for file in SHIPPED.glob(f"*/{CARD}"))
    return given


def main(arguments: list[str] | None = None) -> int:
    """Run the command; give the exit status, 1 if any source was refused."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    given = _arguments(arguments)
    refused = 0
    for path in given.sources:
        try:
            done = import_model(path, given.card, name=given.name)
        except ModelError as error:
            print(f"refused: {error}", file=sys.stderr)
            refused += 1
        else:
            served = "" if done.newest else "; a newer version of this name serves"
            print(f"{done.tag} {'imported' if done.new else 'was already there'} ({path}){served}", flush=True)
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
