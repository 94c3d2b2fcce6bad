"""How good forecasts would have been: errors and coverage over many origins, beside the naive forecasts.

In: a site's power, kW, the origins (rows of the last known value) and what was forecast from each of them. Out: for
each step and over all steps the mean absolute and root mean square error and the bias in kW, the MASE, and for each
level the share of intervals that held and their mean width; the same errors of naive forecasts from the same origins.
Refused: nothing; what has no meaning, such as a MASE of a constant power, is None and never NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.naive import WEEK, actual, naive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SEASON = WEEK  # quarter-hours; the m of MASE
HOURS = 24
LEAST = 1e-9  # kW; what differs by less than a microwatt is the same, and nothing is divided by it


@dataclass(frozen=True)
class Errors:
    """What forecasts were off by: `mae`, `rmse` and `bias` in kW, `mase` without unit, None where it has no scale.

    The bias is forecast minus measured: a positive one says that too much was forecast.
    """

    mae: float
    rmse: float
    bias: float
    mase: float | None


@dataclass(frozen=True)
class Scores:
    """The errors of one forecast: of each step, and of all of them together."""

    steps: tuple[Errors, ...]
    mean: Errors


@dataclass(frozen=True)
class Held:
    """How intervals did: the `share` of measured powers within, 0 to 1, and their mean `width` in kW."""

    share: float
    width: float


@dataclass(frozen=True)
class Coverage:
    """The intervals of one level (percent): of each step, of all of them together, and the share for each hour.

    `by_hour` (24): by the local hour of the quarter-hour that was forecast; None where none was.
    """

    level: float
    steps: tuple[Held, ...]
    mean: Held
    by_hour: tuple[float | None, ...]


@dataclass(frozen=True)
class Backtest:
    """A model over a site's own past: `origins` (m,) rows, `stride` apart, and what forecasts from there were worth."""

    origins: NDArray[np.int64]
    stride: int
    model: Scores
    naive: Mapping[str, Scores]
    coverage: tuple[Coverage, ...]

    @property
    def best_naive(self) -> str:
        """The naive forecast with the smallest mean absolute error."""
        return min(self.naive, key=lambda name: self.naive[name].mean.mae)

    @property
    def skill(self) -> float | None:
        """1 - MAE / MAE of the best naive forecast; None where that one is never wrong."""
        best = self.naive[self.best_naive].mean.mae
        return 1 - self.model.mean.mae / best if best > LEAST else None


def backtest(  # noqa: PLR0913
    power: NDArray[np.float64],
    hours: NDArray[np.int64],
    origins: NDArray[np.int64],
    forecast: NDArray[np.float64],
    intervals: Mapping[float, tuple[NDArray[np.float64], NDArray[np.float64]]],
    *,
    stride: int = 1,
) -> Backtest:
    """Score forecasts beside the naive ones.

    Args:
        power: (n,) kW, the whole profile.
        hours: (n,) its local hours of the day, 0 to 23.
        origins: (m,) rows from 672 to n - h - 1, rising, at least one.
        forecast: (m, h) kW, one row for each origin.
        intervals: level in percent → lower and upper bounds, (m, h) kW each.
        stride: how far the origins stand apart; only passed on.
    """
    horizon = forecast.shape[1]
    measured = actual(power, origins, horizon)
    scale = seasonal_scale(power)
    hour = hours[origins[:, None] + np.arange(1, horizon + 1)]
    return Backtest(
        origins=origins,
        stride=stride,
        model=score(forecast, measured, scale),
        naive={name: score(values, measured, scale) for name, values in naive(power, origins, horizon).items()},
        coverage=tuple(
            coverage(level, lower, upper, measured, hour) for level, (lower, upper) in sorted(intervals.items())
        ),
    )


def score(forecast: NDArray[np.float64], measured: NDArray[np.float64], scale: float) -> Scores:
    """Score forecasts of m origins.

    Args:
        forecast: (m, h) kW.
        measured: (m, h) kW.
        scale: what MASE divides by, kW (see `seasonal_scale`); 0 gives no MASE.
    """
    error = forecast - measured
    mae, square, bias = (kind.mean(axis=0) for kind in (np.abs(error), error**2, error))

    def errors(mae: float, square: float, bias: float) -> Errors:
        return Errors(mae, float(np.sqrt(square)), bias, mae / scale if scale > LEAST else None)

    steps = tuple(map(errors, mae.tolist(), square.tolist(), bias.tolist()))
    return Scores(steps, errors(float(mae.mean()), float(square.mean()), float(bias.mean())))


def seasonal_scale(power: NDArray[np.float64]) -> float:
    """Return the mean absolute change over a week, kW: the scale of MASE (Hyndman and Koehler 2006) with m = 672.

    0 where the power (n,) is no longer than a week, or repeats itself exactly.
    """
    return float(np.abs(power[SEASON:] - power[:-SEASON]).mean()) if len(power) > SEASON else 0.0


def coverage(
    level: float,
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
    measured: NDArray[np.float64],
    hours: NDArray[np.int64],
) -> Coverage:
    """Tell how often the intervals of a level held: (m, h) each, kW and local hours."""
    inside = (measured >= lower) & (measured <= upper)
    share, width = inside.mean(axis=0), (upper - lower).mean(axis=0)
    count = np.bincount(hours.ravel(), minlength=HOURS)
    held = np.bincount(hours.ravel(), inside.ravel(), minlength=HOURS)
    return Coverage(
        level=level,
        steps=tuple(map(Held, share.tolist(), width.tolist())),
        mean=Held(float(share.mean()), float(width.mean())),
        by_hour=tuple(part / all_ if all_ else None for part, all_ in zip(held.tolist(), count.tolist(), strict=True)),
    )
