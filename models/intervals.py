"""Prediction intervals before anything is known of a site's own past: split conformal, scaled to the window.

In: residuals of many sites (`learn`), or a card. Out: for each origin the spread of its residuals in kW, and for each
level, local hour and step the bounds of the interval in spreads, on either side of the forecast. The hour is that of
the site's local clock at the first quarter-hour to be forecast. `models.calibration` corrects the widths by a site's
own past. Levels are in percent: 80.0 is the interval from the 10 % to the 90 % quantile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.spread import FAINT, Floats, Rows, sizes, spread

if TYPE_CHECKING:
    from collections.abc import Iterable

    from models.card import ModelCard

HOURS = 24
NARROWEST = 0.05  # spreads: no bound is nearer to the forecast, so that every residual is a multiple of it
_BELOW = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)
LEVELS = (*_BELOW, 0.5, *(round(1 - level, 3) for level in reversed(_BELOW)))

Site = tuple[Floats, Rows, Floats, Rows]


@dataclass(frozen=True)
class Prior:
    """What a card says of residuals, the same for every site.

    Attributes:
        levels: (q,) rising, of the quantiles.
        quantiles: (q, 24, h) of residual / spread, by hour and step.
        coefficients: (h, 6) of the spread's log; None where the spread is `unit` for every window.
        unit: (h,) kW.
        window: rows that the model sees.
    """

    levels: Floats
    quantiles: Floats
    coefficients: Floats | None
    unit: Floats
    window: int

    @classmethod
    def of(cls, card: ModelCard) -> Prior | None:
        """Take the card's `intervals`, or make do with its `residual_quantiles`; None if it has neither."""
        if (learnt := card.intervals) is not None:
            coefficients = np.array(learnt.spread)
            tables = np.array(learnt.quantiles)
            return cls(np.array(learnt.levels), tables, coefficients, np.ones(card.horizon), card.window)
        if (plain := card.residual_quantiles) is not None:
            kw = np.array(plain.kw)
            unit = np.maximum(np.abs(kw).mean(axis=0), 1e-9)
            tables = np.repeat((kw / unit)[:, None], HOURS, axis=1)
            return cls(np.array(plain.levels), tables, None, unit, card.window)
        return None

    def spread(self, power: Floats, origins: Rows) -> Floats:
        """Give the spread of the residuals from each origin: (n,) kW, (m,) rows of at least window - 1 → (m, h) kW."""
        if self.coefficients is None:
            return np.tile(self.unit, (len(origins), 1))
        return spread(self.coefficients, power, origins, self.window)

    def bounds(self, level: float) -> tuple[Floats, Floats]:
        """Give lower and upper (24, h), in spreads, at most -0.05 and at least 0.05.

        Between two stored quantiles is a straight line; beyond the outermost is the outermost.
        """
        tail = (1 - level / 100) / 2
        return np.minimum(self._quantile(tail), -NARROWEST), np.maximum(self._quantile(1 - tail), NARROWEST)

    def _quantile(self, level: float) -> Floats:
        at = float(np.interp(level, self.levels, np.arange(len(self.levels))))
        below = int(at)
        above = min(below + 1, len(self.levels) - 1)
        return np.asarray(self.quantiles[below] + (at - below) * (self.quantiles[above] - self.quantiles[below]))


def learn(sites: Iterable[Site], *, window: int = 672) -> dict[str, Any]:
    """Learn a card's `intervals` from residuals that no training has seen.

    log(|residual| / unit) is fitted, step by step, to the window's sizes by least squares; then quantiles of
    residual / spread are taken over all sites, an hour of day together with its two neighbours.

    Args:
        sites: for each its power (n,) kW, origins (m,) rows of at least window - 1, residuals (m, h) kW, actual minus
            forecast, and the local hours (m,) at origin + 1. Residuals that are not finite are left out.
        window: rows that the model sees.

    Returns:
        The member `intervals` of a card.

    Raises:
        ValueError: if windows of that length cannot be measured, or an hour of day has no residual near it.
    """
    found = [_measured(site, window) for site in sites]
    logs, unit, residuals, hours = (np.concatenate(part) for part in zip(*found, strict=True))
    target = np.log(np.abs(residuals) / unit + FAINT)
    coefficients = np.stack(
        [np.linalg.lstsq(logs[:, h], target[:, h], rcond=None)[0] for h in range(residuals.shape[1])]
    )
    scaled = residuals / (unit * np.exp(np.einsum("mhk,hk->mh", logs, coefficients)))
    near = [np.abs((hours - hour + 1) % HOURS - 1) <= 1 for hour in range(HOURS)]
    if missing := [hour for hour in range(HOURS) if not near[hour].any()]:
        raise ValueError(f"no residuals around the hours {missing}: give origins at every hour of the day")
    tables = np.stack([np.quantile(scaled[rows], LEVELS, axis=0) for rows in near], axis=1)
    return {"levels": list(LEVELS), "spread": coefficients.round(5).tolist(), "quantiles": tables.round(4).tolist()}


def _measured(site: Site, window: int) -> tuple[Floats, Floats, Floats, Rows]:
    power, origins, residuals, hours = site
    good = np.isfinite(residuals).all(axis=1)
    logs, unit = sizes(power, origins[good], window, residuals.shape[1])
    return logs, unit, residuals[good], hours[good]
