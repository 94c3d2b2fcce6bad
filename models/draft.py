"""The draft of a card for weights that have none: what the weights themselves tell, and what their owner has to say.

In: a model folder, a SavedModel folder or a `.keras` file. Out: a valid card with the window, the horizon, the
number of columns and the digests of these very weights. What weights cannot tell (which columns, how they were
scaled, the time zone) is a placeholder to be replaced. Refused: to overwrite a card, and weights that take or give
another shape than a card can describe.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import numpy as np

from models.card import ModelCard, card_bytes, parse_card
from models.errors import InvalidCard, RefusedWeights
from models.fields import COLUMNS
from models.runner import load, ordinary_week
from models.weights import digests, weight_root

if TYPE_CHECKING:
    from pathlib import Path

    from models.keras_file import Loaded
    from models.weights import Source

DESCRIPTION = "To be replaced: what this model is and what it learnt from"
TIME_ZONE = "Europe/Berlin"
_UNSCALED = {"mean": 0.0, "std": 1.0}


def draft_card(path: Path, source: Source) -> ModelCard:
    """Write the draft of a card to where the source's card belongs.

    Args:
        path: what the user named; the model's name comes from it.
        source: its weights and the place of its card.

    Raises:
        InvalidCard: if there is a card already, or the shapes are such that no card can describe them.
        RefusedWeights: if the weights may not be loaded, cannot be, or take or give another number of axes.
    """
    if source.card.exists():
        raise InvalidCard(source.card, ["is there already; change it by hand, or remove it first"])
    window, count, horizon = _shape(path, load(_root(path, source)))
    members = {
        "format": 1,
        "name": _name(path),
        "description": DESCRIPTION,
        "window": window,
        "interval_minutes": 15,
        "horizon": horizon,
        "columns": [{"name": name, **_UNSCALED} for name in COLUMNS[:count]],
        "target": {"name": "power", "unit": "kW", **_UNSCALED},
        "time_zone": TIME_ZONE,
        "files": digests(source.weights),
    }
    card = parse_card(json.dumps(members).encode(), source.card)
    with source.card.open("xb") as file:
        file.write(card_bytes(card))
    return card


def next_steps(path: Path, card_path: Path | None, card: ModelCard) -> str:
    """Tell what is to be done with a draft, given what the user named."""
    command = shlex.join([str(path), *(["--card", str(card_path)] if card_path else [])])
    count = len(card.columns)
    return f"""\
a draft for a model that takes (n, {card.window}, {count}) and gives (n, {card.horizon}). What to do next:
1. columns: name the {count} that the model was trained with, in its order (python -m models.card --help lists them),
   and replace each mean 0 and std 1 by what the training normalised with. Write the power's into target, too.
2. description, time_zone: say what the model is and where its site lies. It will answer at /forecast/{card.name}.
3. python -m models.card {command}
   python import_models.py {command}
"""


def _root(path: Path, source: Source) -> Path:
    top = weight_root(path, source.weights)
    return source.weights[top] if top in source.weights else source.weights[f"{top}/saved_model.pb"].parent


def _shape(path: Path, loaded: Loaded) -> tuple[int, int, int]:
    """Return window, number of columns and horizon; a horizon that the model leaves open is found by running it."""
    match loaded.takes:
        case (None, int(window), int(count)) if 0 < count <= len(COLUMNS):
            pass
        case _:
            most = f"(None, window, columns) with a fixed window and at most {len(COLUMNS)} columns"
            raise RefusedWeights(path, f"takes {loaded.takes}; a model that is served takes {most}")
    gives = loaded.gives
    if gives == (None, None):
        gives = (None, *np.asarray(loaded.call(ordinary_week(window, count))).shape[1:])
    match gives:
        case (None, int(horizon)):
            return window, count, horizon
    raise RefusedWeights(path, f"gives {gives}; a model that is served gives (None, horizon)")


def _name(path: Path) -> str:
    """Make a name that fits a path out of the file's or folder's own."""
    name = re.sub(r"[^a-z0-9]+", "-", path.resolve().stem.lower()).lstrip("-0123456789")[:32].rstrip("-")
    return name or "my-model"
