"""How far a forecast from a window may miss, told by the window itself.

In: a site's power (n,) kW and the rows of origins. Out: for each origin and step six numbers, one and the logs of five
sizes of the window in units of its mean absolute hourly change; and that change in kW. The log of a residual in that
unit is near to linear in them, so the spread of a site's residuals follows from coefficients that are learnt on other
sites. Refused: windows of two days or less and horizons of more than one, which have no such sizes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

HOUR, DAY = 4, 96  # quarter-hours
SIZES = 6
SHORTEST = 2 * DAY + 1  # rows of a window that holds the same change on two days before
FAINT = 0.02  # added to every size before its log: what is smaller counts as nothing
_NEWEST = 8  # the last two hours' quarter-hourly changes
_FURTHEST = 20.0  # of a log: no spread is infinite, whatever the coefficients


def measurable(window: int, horizon: int) -> bool:
    """Tell whether windows of so many rows have sizes for so many steps."""
    return window >= SHORTEST and horizon <= DAY


def sizes(power: Floats, origins: Rows, window: int, horizon: int) -> tuple[Floats, Floats]:
    """Measure the window that ends at each origin.

    The five sizes are the mean absolute change from one quarter-hour to the next, in the whole window and over the last
    two hours; from one day to the next; the mean absolute change from the origin's time of day to the step's on each
    earlier day; and the mean absolute deviation of these changes from their mean.

    Args:
        power: (n,) kW.
        origins: (m,) rows, each at least window - 1.
        window: rows of a window, more than two days.
        horizon: steps, at most a day.

    Returns:
        (m, horizon, 6) and the unit (m, 1) in kW, positive.

    Raises:
        ValueError: if windows or horizons of that length cannot be measured.
    """
    if not measurable(window, horizon):
        raise ValueError(
            f"window {window}, horizon {horizon}: give at least {SHORTEST} rows and at most {DAY} steps, "
            "or do without a learnt spread"
        )
    unit = _mean_change(power, origins, HOUR, window - HOUR) + 1e-9 + 1e-6 * np.abs(power[origins])
    days = DAY * np.arange(1, (window - 1) // DAY + 1)
    steps = np.arange(1, horizon + 1)
    changes = power[origins[:, None, None] + steps[:, None] - days] - power[origins[:, None] - days][:, None, :]
    found = np.empty((len(origins), horizon, SIZES - 1))
    found[..., 0] = _mean_change(power, origins, 1, window - 1)[:, None]
    found[..., 1] = _mean_change(power, origins, 1, _NEWEST)[:, None]
    found[..., 2] = _mean_change(power, origins, DAY, window - DAY)[:, None]
    found[..., 3] = np.abs(changes).mean(axis=-1)
    found[..., 4] = np.abs(changes - changes.mean(axis=-1, keepdims=True)).mean(axis=-1)
    logs = np.log(found / unit[:, None, None] + FAINT)
    return np.concatenate([np.ones_like(logs[..., :1]), logs], axis=-1), unit[:, None]


def spread(coefficients: Floats, power: Floats, origins: Rows, window: int) -> Floats:
    """Give the spread of the residuals from each origin: coefficients (h, 6), origins (m,) → (m, h) kW, positive."""
    logs, unit = sizes(power, origins, window, len(coefficients))
    exponent = np.einsum("mhk,hk->mh", logs, coefficients)
    return np.asarray(unit * np.exp(np.clip(exponent, -_FURTHEST, _FURTHEST)))


def _mean_change(power: Floats, origins: Rows, apart: int, count: int) -> Floats:
    """Give the mean absolute change over `apart` rows, of the newest `count` changes at each origin: (m,) kW."""
    total = np.concatenate([[0.0], np.cumsum(np.abs(power[apart:] - power[:-apart]))])
    last = origins - apart + 1
    # A sum of nothing after a sum of much may come out below zero by rounding.
    return np.asarray(np.maximum(total[last] - total[last - count], 0.0) / count)
