"""Toy models for the tests: real SavedModels and `.keras` files that are made in a moment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from models.card import CARD, ModelCard, read_card
from models.weights import complete_card, locate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# A warning of other people's code about other people's code: Keras 3.15 does not know NumPy 2's copy keyword.
QUIET = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
MEAN, STD = 50.0, 20.0
NAMES = ("power", "hour_sin", "hour_cos", "day_sin", "day_cos", "week_sin", "week_cos")


def members(**changes: Any) -> dict[str, Any]:
    """Give the members of a valid card, with some changed and those given as None left out."""
    card = {
        "format": 1,
        "name": "toy",
        "description": "Repeats the last value",
        "window": 672,
        "interval_minutes": 15,
        "horizon": 8,
        "columns": [{"name": name, "mean": 0.0, "std": 1.0} for name in NAMES],
        "target": {"name": "power", "unit": "kW", "mean": MEAN, "std": STD},
        "time_zone": "Europe/Berlin",
        "files": {"saved_model/saved_model.pb": "0" * 64},
    }
    card["columns"][0] |= {"mean": MEAN, "std": STD}  # type: ignore[index]
    return {name: value for name, value in (card | changes).items() if value is not None}


def write_members(folder: Path, **changes: Any) -> Path:
    """Write such a card as `card.json` and give its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CARD
    path.write_text(json.dumps(members(**changes)), encoding="utf-8")
    return path


def save_model(
    folder: Path, body: Callable[[Any], Any] | None = None, *, shape: tuple[int | None, ...] = (None, 672, 7)
) -> Path:
    """Export a SavedModel that repeats the last value and adds a variable, or does what `body` says."""
    import tensorflow as tf  # noqa: PLC0415  # some tests need no TensorFlow

    module = tf.Module()
    module.offset = tf.Variable(0.25)

    def last_value(x: Any) -> Any:
        return tf.repeat(x[:, -1, :1], 8, axis=1) + module.offset

    function = tf.function(body or last_value, input_signature=[tf.TensorSpec(shape, tf.float32, name="load")])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": function})
    return folder


def model_folder(folder: Path, body: Callable[[Any], Any] | None = None, **changes: Any) -> Path:
    """Make a whole model folder with a complete card."""
    save_model(folder / "saved_model", body)
    write_members(folder, **changes)
    complete_card(locate(folder))
    return folder


def keras_model(layers: list[Any] | None = None) -> Any:
    """Build a small Keras model, (None, 672, 7) → (None, 8), around the given layers."""
    import keras  # noqa: PLC0415  # some tests need no Keras

    load = keras.Input((672, 7))
    x = load[:, -4:, :]
    for layer in layers or [keras.layers.GRU(3)]:
        x = layer(x)
    return keras.Model(load, keras.layers.Dense(8)(x))


def keras_folder(folder: Path, model: Any, **changes: Any) -> Path:
    """Make a model folder around a `.keras` file."""
    folder.mkdir(parents=True)
    model.save(folder / "toy.keras")
    write_members(folder, **changes)
    complete_card(locate(folder))
    return folder


def card_of(folder: Path) -> ModelCard:
    """Read the card of a model folder."""
    return read_card(folder / CARD)
