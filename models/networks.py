"""The two networks that ship: a folded GRU and a folded CNN-LSTM, both free of scale and level.

In: (b, 672, c) float32, normalised, the power first and then the calendar columns. Out: (b, 8) float32,
normalised power of the next eight quarter-hours. Inside, a window is measured by itself: powers count from
its last value, in units of its own mean absolute change over an hour. So `a * load + b` gives `a * forecast
+ b` for any a > 0, a meter nobody has seen looks like one that was, and a constant window gives its constant.

The week is not walked through step by step: it is folded into one channel a day, each day's stretch aligned
with the quarter-hours to be forecast, so that the recurrent part has 32 steps to take instead of 672. The
answer is a weighted mean of 18 forecasts that need no learning, plus a correction; the weights and the correction
are learnt. All of it is made of Keras's own operations, so the exported SavedModel needs no code of this project
and XLA compiles it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = 672
HORIZON = 8
DAY = 96
HOUR = 4
PAST = 24
CHANGES = 24
# Two moments are compared by what came these steps before them.
LAGS = (*range(1, 9), *range(10, 25, 2))
# By how many of those lags and how sharply the likest are chosen.
ALIKE = ((8, 10.0), (16, 40.0))
STEPS = PAST + HORIZON
NAMES = ("cnn", "gru")
# Of the largest power: a few times what float32 resolves, so that rounding is never taken for a change.
FLOOR = 1e-6
ORDER, RIDGE, ROUNDS = 16, 0.01, 8
TINY = 1e-30
FAINT = 0.02  # of the scale: what is smaller is all the same to a logarithm


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
    scale = _scale(power)
    power = (power - last) / scale
    days, alike = _days(power), keras.ops.concatenate([_alike(power), _autoregression(power)], axis=-1)
    folded = _fold(load, power, days, alike)
    states = keras.ops.concatenate([body(folded), folded], axis=-1)[:, -HORIZON:]
    hidden = keras.layers.Dense(64, activation="relu")(_with_step(states, power))
    correction = keras.layers.Dense(1, kernel_initializer="zeros")(hidden)
    naive = keras.ops.concatenate([_naive(days), alike], axis=-1)
    weights = keras.layers.Dense(naive.shape[-1], activation="softmax")(hidden)
    mixed = keras.ops.sum(weights * naive, axis=-1, keepdims=True)
    return keras.Model(load, (last + scale * (correction + mixed))[:, :, 0], name=name)


def _gru(folded: Any) -> Any:
    import keras  # noqa: PLC0415

    return keras.layers.GRU(64, return_sequences=True)(folded)


def _cnn_lstm(folded: Any) -> Any:
    import keras  # noqa: PLC0415

    for _ in range(2):
        folded = keras.layers.Conv1D(48, 5, padding="causal", activation="relu")(folded)
    return keras.layers.LSTM(64, return_sequences=True)(folded)


def _scale(power: Any) -> Any:
    """Measure a window by its mean absolute change over an hour, never zero: (b, 1, 1)."""
    from keras import ops  # noqa: PLC0415

    floor = FLOOR * ops.max(ops.abs(power), axis=1, keepdims=True) + FLOOR**2
    return _size(power[:, HOUR:] - power[:, :-HOUR]) + floor


def _size(differences: Any) -> Any:
    """Give the mean absolute difference: (b, m, 1) → (b, 1, 1)."""
    from keras import ops  # noqa: PLC0415

    return (_sum(ops.abs(differences)[:, :, 0]) / differences.shape[1])[:, :, None]


def _squeezed(values: Any) -> Any:
    """Give the inverse hyperbolic sine, in which small values are themselves and large ones are logarithms.

    As its definition has it, to 1e-7: `arcsinh` cares for numbers beyond 1e19, which windows of a scale never have, and
    takes twice as long.
    """
    from keras import ops  # noqa: PLC0415

    sizes = ops.abs(values)
    return ops.sign(values) * ops.log(sizes + ops.sqrt(sizes * sizes + 1.0))


def _days(power: Any) -> Any:
    """Lay the week out over the last 24 and the coming 8 steps, today first: (b, 32, 8)."""
    from keras import ops  # noqa: PLC0415

    today = ops.concatenate([power[:, -PAST:], ops.repeat(power[:, -1:], HORIZON, axis=1)], axis=1)
    starts = [WINDOW - PAST - DAY * day for day in range(1, 7)]
    # A week before the last 24 steps lies outside the window: its first value stands in, with no change.
    week_ago = ops.concatenate([ops.repeat(power[:, :1], PAST, axis=1), power[:, :HORIZON]], axis=1)
    return ops.concatenate([today, *(power[:, start : start + STEPS] for start in starts), week_ago], axis=-1)


def _alike(power: Any) -> Any:
    """Forecast from the moments of the week most like now: (b, 8, 2), nothing in it learnt.

    Likeness is the mean absolute difference between the steps before a moment and the newest ones, each counted
    from its own moment's level; what came after each moment is weighted by it. A machine with a cycle of its own,
    which no calendar knows, is forecast from that cycle.
    """
    from keras import ops  # noqa: PLC0415

    week, first, last = power[:, :, 0], LAGS[-1], WINDOW - HORIZON
    level = week[:, first:last]
    total, sharpnesses, forecasts = 0.0, dict(ALIKE), []
    # Slices, one lag at a time: XLA makes one loop of them, where a gather of the same numbers takes far longer.
    for count, lag in enumerate(LAGS, start=1):
        now = week[:, WINDOW - 1 - lag, None]
        total = total + ops.abs(week[:, first - lag : last - lag] - level - now)
        if sharpness := sharpnesses.get(count):
            forecasts.append(_after(week[:, first:], total / count, sharpness))
    return ops.stack(forecasts, axis=-1)


def _after(week: Any, unlike: Any, sharpness: float) -> Any:
    """Give the mean of what came after each moment, the likest first: (b, m + 8), (b, m) → (b, 8)."""
    from keras import ops  # noqa: PLC0415

    usual = _sum(unlike) / unlike.shape[1] + FAINT
    # The likest is never less like than usual, so its weight is exp(-sharpness) at least and the sum is never zero.
    weights = ops.exp(-sharpness / usual * unlike)
    mean = _lagged(weights, week, HORIZON + 1, 20) / _sum(weights)
    return mean[:, 1:] - mean[:, :1]


def _autoregression(power: Any) -> Any:
    """Forecast by the linear rule that fits this very week best: (b, 8, 1), nothing in it learnt.

    The rule gives the next change from the newest 16, and is applied eight times over. It solves the
    Yule-Walker equations, least squares by the autocovariances of the week's changes, with a ridge.
    """
    from keras import ops  # noqa: PLC0415

    changes = power[:, 1:, 0] - power[:, :-1, 0]
    padded = ops.pad(changes, [[0, 0], [0, 1]])
    of_lag = _lagged(padded, padded, ORDER + 1, ORDER) / (WINDOW - 1)
    around = ops.concatenate([ops.flip(of_lag[:, 1:], axis=1), of_lag], axis=1)
    rows = [around[:, ORDER - row : 2 * ORDER - row] for row in range(ORDER)]
    ridge = (RIDGE * of_lag[:, :1] + FLOOR)[:, :, None] * np.eye(ORDER, dtype=np.float32)
    rule = ops.flip(_solve(ops.stack(rows, axis=1) + ridge, of_lag[:, 1:]), axis=1)

    for _ in range(HORIZON):
        step = ops.sum(rule * changes[:, -ORDER:], axis=1, keepdims=True)
        changes = ops.concatenate([changes[:, -ORDER - HORIZON :], step], axis=1)
    return ops.cumsum(changes[:, -HORIZON:], axis=1)[:, :, None]


def _lagged(values: Any, others: Any, lags: int, width: int) -> Any:
    """Sum up the products of values with those that come so many steps later: (b, m), (b, m or more) → (b, lags).

    What is missing at the end counts as zero. All by products of matrices, which XLA does at the speed of the
    processor, where it takes sums along a row one number after the other: the row is folded to `width`, a divisor of m
    and no less than the largest lag; then each lag is a diagonal of what the folded rows have in common.
    """
    from keras import ops  # noqa: PLC0415

    steps = values.shape[1]
    others = ops.pad(others, [[0, 0], [0, max(0, steps + width - others.shape[1])]])
    rows, these, next_ones = (
        ops.reshape(part, (-1, steps // width, width))
        for part in (values, others[:, :steps], others[:, width : steps + width])
    )
    products = ops.matmul(
        ops.transpose(rows, (0, 2, 1)), ops.concatenate([these, next_ones[:, :, : lags - 1]], axis=-1)
    )
    on_diagonal = np.stack([np.eye(width, width + lags - 1, lag, dtype=np.float32) for lag in range(lags)], axis=-1)
    return ops.matmul(ops.reshape(products, (-1, products.shape[1] * products.shape[2])), on_diagonal.reshape(-1, lags))


def _sum(values: Any) -> Any:
    """Sum up rows, as a product of matrices for the reason above: (b, m) → (b, 1)."""
    from keras import ops  # noqa: PLC0415

    return ops.matmul(values, np.ones((values.shape[1], 1), np.float32))


def _solve(left: Any, right: Any) -> Any:
    """Solve by conjugate gradients, nearly: (b, n, n) positive definite, (b, n) → (b, n)."""
    from keras import ops  # noqa: PLC0415

    found, rest = ops.zeros_like(right), right
    toward, size = rest, ops.sum(rest * rest, axis=1, keepdims=True)
    for _ in range(ROUNDS):
        through = ops.sum(left * toward[:, None, :], axis=2)
        length = size / (ops.sum(toward * through, axis=1, keepdims=True) + TINY)
        found, rest = found + length * toward, rest - length * through
        before, size = size, ops.sum(rest * rest, axis=1, keepdims=True)
        toward = rest + size / (before + TINY) * toward
    return found


def _fold(load: Any, power: Any, days: Any, alike: Any) -> Any:
    """Put together what the recurrent part sees: (b, 32, 33 + calendar columns)."""
    from keras import ops  # noqa: PLC0415

    changes = ops.pad(days[:, 1:] - days[:, :-1], [[0, 0], [1, 0], [0, 0]])
    # Hour, day and week have the same phase a week ago as in the coming steps.
    calendar = ops.concatenate([load[:, -PAST:, 1:], load[:, :HORIZON, 1:]], axis=1)
    coming = ops.pad(ops.ones_like(power[:, :HORIZON]), [[0, 0], [PAST, 0], [0, 0]])
    character = ops.repeat(_character(power, days), STEPS, axis=1)
    alike = ops.pad(alike, [[0, 0], [PAST, 0], [0, 0]])
    powers = _squeezed(ops.concatenate([days, changes, alike], axis=-1))
    return ops.concatenate([powers, calendar, coming, character], axis=-1)


def _character(power: Any, days: Any) -> Any:
    """Say what kind of week it was, in units of its scale: (b, 1, 13), all of moderate size.

    Roughness, likeness of one day to the next, the last two hours' roughness, the likeness of each past day
    to today, and where the last value stands between mean, least and greatest.
    """
    from keras import ops  # noqa: PLC0415

    changes = power[:, 1:] - power[:, :-1]
    past = days[:, :PAST]
    unlike = past[:, :, 1:7] - past[:, :, :1] - (past[:, -1:, 1:7] - past[:, -1:, :1])
    sizes = [_size(changes), _size(power[:, DAY:] - power[:, :-DAY]), _size(changes[:, -HORIZON:])]
    sizes.append(ops.mean(ops.abs(unlike), axis=1, keepdims=True))
    places = [reduce(power, axis=1, keepdims=True) for reduce in (ops.mean, ops.min, ops.max)]
    spread = ops.std(power, axis=1, keepdims=True)
    logs = ops.log(ops.concatenate([*sizes, spread], axis=-1) + FAINT)
    return ops.concatenate([logs, _squeezed(ops.concatenate(places, axis=-1))], axis=-1)


def _with_step(states: Any, power: Any) -> Any:
    """Add to each of the 8 states the last 24 changes and which step it is: (b, 8, units + 32)."""
    from keras import ops  # noqa: PLC0415

    changes = _squeezed((power[:, -CHANGES:] - power[:, -CHANGES - 1 : -1])[:, :, 0])
    changes = ops.repeat(changes[:, None, :], HORIZON, axis=1)
    step = ops.ones_like(power[:, :HORIZON]) * np.eye(HORIZON, dtype=np.float32)[None]
    return ops.concatenate([states, changes, step], axis=-1)


def _naive(days: Any) -> Any:
    """Give naive forecasts relative to the last value: itself, each past day, its change since: (b, 8, 15)."""
    from keras import ops  # noqa: PLC0415

    coming, now = days[:, PAST:], days[:, PAST - 1 : PAST]
    # The value a week before the last one is just outside the window, so that change counts from the next.
    now = ops.concatenate([now[:, :, :7], days[:, PAST : PAST + 1, 7:]], axis=-1)
    return ops.concatenate([coming, (coming - now)[:, :, 1:]], axis=-1)
