"""The width of a site's intervals, corrected by how its own forecasts did.

In: residuals of forecasts from a site's past origins, and of a rehearsal where there is little past. Out: for each
level and step a factor on the half-width that a `Prior` gives. Nothing is refused: without any past, without a
rehearsal and for an hour of day without residuals the prior stands. Only residuals that were wholly known at an
origin may be given for it; that is the caller's duty.

The factor is exp(w log q_own + (1 - w) / 2 log q_rehearsed) with w = m / (m + 200): m is the number of quarter-hours of
own past that the residuals span, q_own the conformal quantile of the multiples of the prior's half-width that they
needed at the origin's hour of day and the two beside it, q_rehearsed the same of the rehearsal, all hours and steps
together. A quantile of n multiples is taken at level (1 + 1/n), at most 1, which is what covers the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.intervals import HOURS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.intervals import Prior
    from models.spread import Floats, Rows

PAST = 28 * 96  # quarter-hours of own past that count, at most
REHEARSED = 144  # quarter-hours at the end of a week that are rehearsed
DOUBT = 200  # quarter-hours of own past that count as much as the prior
TRUST = 0.5  # in the rehearsal, as it is of a day and a half only, and with a made-up day in the window
LEAST = 0.02  # of a multiple
FINEST = 1e-4, 1e-6  # of the forecast, and kW: no meter tells less apart, and float32 rounds not far below
_APART = np.abs(np.arange(HOURS)[:, None] - np.arange(HOURS))
_NEAR = np.minimum(_APART, HOURS - _APART) <= 1


@dataclass(frozen=True)
class Intervals:
    """One forecast's intervals: level → (h,) kW; `rows` quarter-hours of the site's own past corrected them."""

    lower: Mapping[float, Floats]
    upper: Mapping[float, Floats]
    rows: int


def needed(prior: Prior, levels: Sequence[float], residuals: Floats, spread: Floats, hours: Rows) -> Floats:
    """Give the multiple of the prior's half-width that each residual needs to be covered.

    Args:
        prior: gives the half-widths.
        levels: L of them, percent.
        residuals: (m, h) actual minus forecast, kW; rows that are not finite become NaN.
        spread: (m, h) kW.
        hours: (m,) 0 to 23, local, at origin + 1.

    Returns:
        (L, h, m), at least 0.
    """
    scaled = residuals / spread
    multiples = np.empty((len(levels), residuals.shape[1], len(residuals)))
    for at, level in enumerate(levels):
        lower, upper = prior.bounds(level)
        multiples[at] = np.where(scaled > 0, scaled / upper[hours], scaled / lower[hours]).T
    return multiples


def log_rehearsed(multiples: Floats, levels: Sequence[float]) -> Floats:
    """Give log q_rehearsed: (L, h, m) multiples → (L,); 0 without any."""
    good = multiples[..., np.isfinite(multiples).all(axis=(0, 1))]
    if not good.shape[-1]:
        return np.zeros(len(levels))
    found = [np.quantile(good[at], level / 100, axis=-1).mean() for at, level in enumerate(levels)]
    return np.log(np.maximum(found, LEAST))


def log_own(multiples: Floats, levels: Sequence[float], hours: Rows, wanted: Rows) -> Floats:
    """Give log q_own at the wanted hours: (L, h, m) multiples, (m,) and (k,) hours → (L, h, k); NaN without any."""
    good = np.isfinite(multiples).all(axis=(0, 1))
    near = good & _NEAR[wanted][:, hours]
    count = near.sum(axis=1)
    longest = max(int(count.max(initial=0)), 1)
    # The multiples near each hour, after so much padding that all hours have as many; the padding, below
    # every multiple, sorts to the front.
    chosen = np.full((len(wanted), longest), len(hours))
    chosen[np.arange(longest) >= longest - count[:, None]] = np.nonzero(near)[1]
    padded = np.concatenate([multiples, np.full((*multiples.shape[:2], 1), -1.0)], axis=-1)
    ranked = np.take(padded, chosen, axis=-1)
    ranked.sort(axis=-1)
    share = np.minimum(np.array(levels)[:, None] / 100 * (1 + 1 / np.maximum(count, 1)), 1.0)
    at = longest - count + share * np.maximum(count - 1, 0)
    below = np.minimum(at.astype(np.int64), longest - 1)[:, None, :, None]
    above = np.minimum(below + 1, longest - 1)
    first, second = (np.take_along_axis(ranked, place, axis=-1)[..., 0] for place in (below, above))
    quantile = np.maximum(first + (at % 1.0)[:, None] * (second - first), LEAST)
    return np.where(count > 0, np.log(quantile), np.nan)


def factors(own: Floats, rehearsed: Floats, rows: int) -> Floats:
    """Give the factor on the half-widths: (L, h, k) log q_own, (L,) log q_rehearsed → (L, h, k).

    `rows` is the number m of quarter-hours of own past. Where `own` is NaN, there is no own past.
    """
    weight = np.where(np.isnan(own), 0.0, rows / (rows + DOUBT))
    return np.exp(weight * np.nan_to_num(own) + (1 - weight) * TRUST * rehearsed[:, None, None])


def around(  # noqa: PLR0913, PLR0917
    forecast: Floats, prior: Prior, levels: Sequence[float], spread: Floats, hours: Rows, factor: Floats, least: Floats
) -> tuple[dict[float, Floats], dict[float, Floats]]:
    """Put the intervals around forecasts; a higher level's contains a lower one's, and each its forecast.

    None is narrower than what a meter can tell apart: where power has stood still, rounding is no surprise.

    Args:
        forecast: (m, h) kW.
        prior: gives the half-widths.
        levels: L of them, percent, rising.
        spread: (m, h) kW.
        hours: (m,) local hours at origin + 1.
        factor: (L, h, m) on the half-widths.
        least: (m,) kW, what the site cannot go below; -inf where it can go anywhere.

    Returns:
        Level → lower, and level → upper: (m, h) kW.
    """
    lower: dict[float, Floats] = {}
    upper: dict[float, Floats] = {}
    finest = FINEST[0] * np.abs(forecast) + FINEST[1]
    below, above = -finest, finest
    for at, level in enumerate(levels):
        low, high = prior.bounds(level)
        width = spread * factor[at].T
        below = np.minimum(below, low[hours] * width)
        above = np.maximum(above, high[hours] * width)
        lower[level] = np.minimum(np.maximum(forecast + below, least[:, None]), forecast)
        upper[level] = forecast + above
    return lower, upper
