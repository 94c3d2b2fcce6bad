"""The naive forecasts that a model must beat.

In: the power of a whole series, kW, and the origins to forecast from. Out: kW, for each forecast by name. An
origin is the row of the last known value; the first one needs a week and one quarter-hour before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DAY = 96
WEEK = 7 * DAY


def actual(power: NDArray[np.float64], origins: NDArray[np.int64], horizon: int) -> NDArray[np.float64]:
    """Give what came: (n,) kW and (m,) rows → (m, horizon) kW."""
    came: NDArray[np.float64] = power[origins[:, None] + np.arange(1, horizon + 1)]
    return came


def naive(power: NDArray[np.float64], origins: NDArray[np.int64], horizon: int) -> dict[str, NDArray[np.float64]]:
    """Forecast from each origin in four naive ways.

    Args:
        power: (n,) float64, kW, one value a quarter-hour.
        origins: (m,) rows, each at least 672.
        horizon: how many steps, at most a week.

    Returns:
        Name → (m, horizon) float64, kW: the last value, the same time on the last day that was known, the same time
        last week, and the last value plus the change since the same time last week.
    """
    last = power[origins][:, None]
    last_week = actual(power, origins - WEEK, horizon)
    return {
        "last_value": np.repeat(last, horizon, axis=1),
        "yesterday": power[origins[:, None] - DAY + 1 + np.arange(horizon) % DAY],
        "last_week": last_week,
        "last_week_change": last + last_week - power[origins - WEEK][:, None],
    }
