"""Weight files on disk: where they lie, what may lie there, and whether they are the ones the card means.

A model folder holds `card.json` and either `saved_model/` (a TensorFlow SavedModel) or exactly one `*.keras`
file, and nothing else. In: paths. Out: a map from the path inside the model folder to the file. Refused:
symbolic links, anything that is not a plain file, formats that can hide pickled objects, files that the card
does not list, and files whose SHA-256 differs from the card's. Nothing here opens a model.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from models.card import CARD, ModelCard, parse_card, read_card, write_card
from models.errors import InvalidCard, RefusedWeights

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SAVED_MODEL = "saved_model"
BENTO_FILE = "model.yaml"
REFUSED_SUFFIXES = frozenset(
    {".h5", ".hdf5", ".pkl", ".pickle", ".joblib", ".dill", ".npy", ".npz", ".pt", ".pth", ".ckpt"}
)
LAYOUT = "a model folder holds card.json and either saved_model/ or exactly one .keras file"


@dataclass(frozen=True)
class Source:
    """A card and the weight files that it describes, wherever they lie.

    Attributes:
        card: the card's file.
        weights: path inside the model folder → file on disk.
    """

    card: Path
    weights: Mapping[str, Path]


def locate(path: Path, card: Path | None = None) -> Source:
    """Find the card and the weights of a model folder, a SavedModel folder or a `.keras` file.

    Args:
        path: the folder or file; a bare SavedModel folder or `.keras` file needs `card`.
        card: the card, if it does not lie in the folder as `card.json`.

    Raises:
        RefusedWeights: for a path that is none of these, and for files that are never loaded.
        InvalidCard: if there is no card.
    """
    refuse_suffix(path)
    if path.is_dir() and (path / "saved_model.pb").is_file():
        prefix, found = f"{SAVED_MODEL}/", plain_files(path)
    elif path.is_dir():
        prefix, found = "", plain_files(path)
        card = card or path / CARD
        found.pop(CARD, None)
    elif path.is_file() and path.suffix == ".keras":
        prefix, found = "", {path.name: path}
    else:
        raise RefusedWeights(path, f"is no SavedModel folder, .keras file or model folder; {LAYOUT}")
    if card is None:
        raise InvalidCard(path, ["has no card; draft one with `python -m models.card --new` and name it with --card"])
    weights = {prefix + name: file for name, file in found.items()}
    weight_root(path, weights)
    return Source(card, weights)


def plain_files(folder: Path) -> dict[str, Path]:
    """List every file below a folder by its path with forward slashes.

    Raises:
        RefusedWeights: at a symbolic link, a device or pipe, or a suffix that is never loaded.
    """
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in sorted(folders + files):
            path = Path(parent, name)
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                continue
            if not stat.S_ISREG(mode):
                raise RefusedWeights(path, "is a symbolic link or no plain file; put the file itself there")
            refuse_suffix(path)
            found[path.relative_to(folder).as_posix()] = path
    return dict(sorted(found.items()))


def refuse_suffix(path: Path) -> None:
    """Refuse formats that run code when they are read, or that carry no checkable description.

    Raises:
        RefusedWeights: for such a suffix, in any case of its letters.
    """
    if path.suffix.lower() in REFUSED_SUFFIXES:
        reason = f"{path.suffix} files are never loaded; save the model with model.export() or as .keras"
        raise RefusedWeights(path, reason)


def weight_root(folder: Path, names: Iterable[str]) -> str:
    """Name what is to be loaded: `saved_model`, or the one `.keras` file.

    Args:
        folder: named in errors.
        names: the weight files, as paths inside the model folder.

    Raises:
        RefusedWeights: for any other layout.
    """
    names = list(names)
    if not names:
        raise RefusedWeights(folder, f"holds no weights; {LAYOUT}")
    tops = {PurePosixPath(name).parts[0] for name in names}
    top = min(tops)
    if len(tops) > 1:
        raise RefusedWeights(folder, f"holds {', '.join(sorted(tops))}; {LAYOUT}")
    if top != SAVED_MODEL and not (top.endswith(".keras") and names == [top]):
        raise RefusedWeights(folder, f"holds {top}, which is no weight file; {LAYOUT}")
    if top == SAVED_MODEL and f"{SAVED_MODEL}/saved_model.pb" not in names:
        raise RefusedWeights(folder / SAVED_MODEL, "has no saved_model.pb; write it with model.export()")
    return top


def digests(weights: Mapping[str, Path]) -> dict[str, str]:
    """Compute the SHA-256 of every file, in hexadecimal."""
    return {name: _sha256(path) for name, path in weights.items()}


def check_digests(weights: Mapping[str, Path], card: ModelCard, folder: Path) -> None:
    """Compare the files with the card, all of them, both ways.

    Raises:
        RefusedWeights: naming every missing, extra and changed file.
    """
    found = digests(weights)
    wrong = [
        *(f"{name} is missing" for name in sorted(card.files.keys() - found.keys())),
        *(f"{name} is not listed in the card" for name in sorted(found.keys() - card.files.keys())),
        *(f"{name} differs from its SHA-256 in the card" for name in _changed(found, card.files)),
    ]
    if wrong:
        hint = "get the right files, or `python -m models.card` if you changed them yourself"
        raise RefusedWeights(folder, f"{', '.join(wrong)}; {hint}")


def verify(folder: Path) -> ModelCard:
    """Read the card of a stored model folder and check every file against it.

    Raises:
        InvalidCard: if the card is missing or not valid.
        RefusedWeights: if a file is missing, extra, changed or of a kind that is not loaded.
    """
    card = read_card(folder / CARD)
    weights = plain_files(folder)
    for name in (CARD, BENTO_FILE):
        weights.pop(name, None)
    weight_root(folder, weights)
    check_digests(weights, card, folder)
    return card


def version_of(folder: Path) -> str:
    """Give the version that a model folder is: sixteen digits of its card's SHA-256, and so of everything in it."""
    return _sha256(folder / CARD)[:16]


def complete_card(source: Source) -> ModelCard:
    """Write the SHA-256 of every weight file into the card, which may lack them so far.

    Raises:
        InvalidCard: if the card is missing, or not valid apart from its digests.
    """
    try:
        members = json.loads(source.card.read_bytes())
        members["files"] = digests(source.weights)
    except (OSError, ValueError, TypeError) as error:
        raise InvalidCard(source.card, [f"cannot be read as a JSON object ({error})"]) from None
    card = parse_card(json.dumps(members).encode(), source.card)
    write_card(card, source.card)
    return card


def _changed(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    return sorted(name for name in found.keys() & expected.keys() if found[name] != expected[name])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
