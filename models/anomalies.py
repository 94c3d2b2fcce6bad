"""The quarter-hours whose measured power left the intervals that had been forecast for them.

In: forecasts with their intervals from consecutive origins, and what was measured, (m, h) each in kW. Out: for each
quarter-hour that all h forecasts were made for whether more than half of them missed it, and by how much. Half, because
the earliest forecasts alone would list the return to normal, too, and the latest ones know of what happens already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_SCORE = 1_000.0  # an interval without width is missed by infinitely many times its width


@dataclass(frozen=True)
class Anomalies:
    """The anomalous quarter-hours among the judged rows `first` to `last`, in order of time; (a,) each.

    `rows`; `score`, without unit, above 1; `above`: whether more was measured than was forecast; `missed`: how many of
    the h intervals were left; `forecast`, `lower`, `upper` in kW, of the forecast whose distance is the score, so that
    this interval was left, and `ahead`, how many quarter-hours before that forecast was made.
    """

    first: int
    last: int
    rows: NDArray[np.int64]
    score: NDArray[np.float64]
    above: NDArray[np.bool_]
    missed: NDArray[np.int64]
    forecast: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    ahead: NDArray[np.int64]

    @property
    def judged(self) -> int:
        """How many quarter-hours were judged."""
        return self.last - self.first + 1


def anomalies(
    first_origin: int,
    forecast: NDArray[np.float64],
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
    power: NDArray[np.float64],
) -> Anomalies:
    """Find the quarter-hours that more than half of their forecasts missed.

    The ratio of a forecast is |measured - forecast| / the interval's width on that side, so it is above 1 where the
    interval was left. The score is the (h // 2 + 1)-th largest of the h ratios; where several forecasts have this very
    one, the latest of them is given.

    Args:
        first_origin: the row of the first origin; the others follow one by one, up to row n - 2 or beyond.
        forecast: (m, h) kW, step k of origin o being row o + 1 + k.
        lower: (m, h) kW, at most the forecast.
        upper: (m, h) kW, at least the forecast.
        power: (n,) kW, the whole profile; n is at least first_origin + h + 1.
    """
    horizon = forecast.shape[1]
    first, last = first_origin + horizon, len(power) - 1
    ago = np.arange(horizon)
    at = np.arange(first, last + 1)[:, None] - 1 - ago - first_origin  # (judged, h): the origins, the latest first
    center, below, above = forecast[at, ago], lower[at, ago], upper[at, ago]
    error = power[first:, None] - center
    half = np.where(error > 0, above - center, center - below)
    ratio = np.where(error == 0, 0.0, LARGEST_SCORE)
    np.divide(np.abs(error), half, out=ratio, where=half > 0)
    np.minimum(ratio, LARGEST_SCORE, out=ratio)
    score = np.sort(ratio, axis=1)[:, horizon - horizon // 2 - 1]
    found = np.flatnonzero(score > 1)
    left = ratio[found] > 1
    sides = (np.sign(error[found]) * left).sum(axis=1)
    scored = (ratio[found] == score[found, None]).argmax(axis=1)
    return Anomalies(
        first=first,
        last=last,
        rows=found + first,
        score=score[found],
        above=np.where(sides == 0, error[found, horizon - 1] > 0, sides > 0),
        missed=left.sum(axis=1),
        forecast=center[found, scored],
        lower=below[found, scored],
        upper=above[found, scored],
        ahead=scored + 1,
    )
