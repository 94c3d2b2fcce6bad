"""The two networks that ship: a folded GRU and a folded CNN-LSTM.

In: (b, 672, c) float32, normalised, the power first and then the calendar columns. Out: (b, 8) float32,
normalised power of the next eight quarter-hours. The week is not walked through step by step: it is folded
into one channel a day, each day's stretch aligned with the quarter-hours to be forecast, so that the
recurrent part has 32 steps to take instead of 672. All of it is made of Keras's own operations, so the
exported SavedModel needs no code of this project and XLA compiles it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = 672
HORIZON = 8
DAY = 96
PAST = 24
CHANGES = 16
STEPS = PAST + HORIZON
NAMES = ("cnn", "gru")


def build(name: str, channels: int) -> Any:
    """Build an untrained network.

    Args:
        name: one of `NAMES`.
        channels: c, the number of input columns; column 0 is the power.

    Returns:
        A `keras.Model`, (None, 672, c) → (None, 8).
    """
    import keras  # noqa: PLC0415  # nobody who only serves needs Keras

    body: Callable[[Any], Any] = {"gru": _gru, "cnn": _cnn_lstm}[name]
    load = keras.Input((WINDOW, channels), name="load")
    power, last = load[:, :, :1], load[:, -1:, :1]
    states = body(_fold(load, power, last))[:, -HORIZON:, :]
    hidden = keras.layers.Dense(64, activation="relu")(_with_step(states, power))
    correction = keras.layers.Dense(1, kernel_initializer="zeros")(hidden)
    weights = keras.layers.Dense(4, activation="softmax")(hidden)
    mixed = keras.ops.sum(weights * _naive(power, last), axis=-1, keepdims=True)
    return keras.Model(load, (last + correction + mixed)[:, :, 0], name=name)


def _gru(folded: Any) -> Any:
    import keras  # noqa: PLC0415

    return keras.layers.GRU(64, return_sequences=True)(folded)


def _cnn_lstm(folded: Any) -> Any:
    import keras  # noqa: PLC0415

    for _ in range(2):
        folded = keras.layers.Conv1D(48, 5, padding="causal", activation="relu")(folded)
    return keras.layers.LSTM(64, return_sequences=True)(folded)


def _fold(load: Any, power: Any, last: Any) -> Any:
    """Lay the week out over the last 24 and the coming 8 steps: (b, 32, 17 + calendar columns)."""
    from keras import ops  # noqa: PLC0415

    today = ops.concatenate([power[:, -PAST:], ops.repeat(last, HORIZON, axis=1)], axis=1)
    starts = [WINDOW - PAST - DAY * day for day in range(1, 7)]
    # A week before the last 24 steps lies outside the window: its first value stands in, with no change.
    week_ago = ops.concatenate([ops.repeat(power[:, :1], PAST, axis=1), power[:, :HORIZON]], axis=1)
    days = [today, *(power[:, start : start + STEPS] for start in starts), week_ago]
    levels = ops.concatenate(days, axis=-1) - last
    changes = ops.pad(levels[:, 1:] - levels[:, :-1], [[0, 0], [1, 0], [0, 0]])
    # Hour, day and week have the same phase a week ago as in the coming steps.
    calendar = ops.concatenate([load[:, -PAST:, 1:], load[:, :HORIZON, 1:]], axis=1)
    coming = ops.pad(ops.ones_like(power[:, :HORIZON]), [[0, 0], [PAST, 0], [0, 0]])
    return ops.concatenate([levels, changes, calendar, coming], axis=-1)


def _with_step(states: Any, power: Any) -> Any:
    """Add to each of the 8 states the last 16 changes and which step it is: (b, 8, units + 24)."""
    from keras import ops  # noqa: PLC0415

    changes = (power[:, -CHANGES:] - power[:, -CHANGES - 1 : -1])[:, :, 0]
    changes = ops.repeat(changes[:, None, :], HORIZON, axis=1)
    step = ops.ones_like(power[:, :HORIZON]) * np.eye(HORIZON, dtype=np.float32)[None]
    return ops.concatenate([states, changes, step], axis=-1)


def _naive(power: Any, last: Any) -> Any:
    """Give four naive forecasts relative to the last value: (b, 8, 4)."""
    from keras import ops  # noqa: PLC0415

    week_ago = power[:, :HORIZON]
    yesterday = power[:, WINDOW - DAY : WINDOW - DAY + HORIZON]
    # The value a week before the last one is just outside the window, so the change counts from the next.
    forecasts = [ops.zeros_like(week_ago), week_ago - last, yesterday - last, week_ago - power[:, :1]]
    return ops.concatenate(forecasts, axis=-1)
