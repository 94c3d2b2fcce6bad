"""A trial of forecasts on quarter-hours that none of them was made from.

In: models in memory and the power of a whole series, kW. Out: the mean absolute error of each model and of the
naive forecasts, kW, one number a step, and what follows from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from models.naive import actual, naive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from models.runner import Runner

CANDIDATE, STABLE = "candidate", "stable"


@dataclass(frozen=True)
class Trial:
    """What came out.

    Attributes:
        mae_kw: `candidate`, `stable` if there is one, and the naive forecasts by name → one number a step, kW.
        windows: how many forecasts of each were judged.
    """

    mae_kw: Mapping[str, tuple[float, ...]]
    windows: int

    def mean(self, name: str) -> float:
        """Give the mean over the steps, kW."""
        return float(np.mean(self.mae_kw[name]))

    @property
    def best_naive(self) -> str:
        """Name the naive forecast with the smallest mean."""
        return min((name for name in self.mae_kw if name not in {CANDIDATE, STABLE}), key=self.mean)

    def verdict(self, margin: float) -> tuple[bool, str]:
        """Tell whether the candidate is better than the stable version by a margin and than every naive forecast.

        Args:
            margin: the part of the stable version's error that has to be gone, in [0, 1).

        Returns:
            Whether, and why, in one sentence.
        """
        mine, best = self.mean(CANDIDATE), self.best_naive
        if mine >= self.mean(best):
            return (
                False,
                f"its error of {mine:.3f} kW is not below the {self.mean(best):.3f} kW of the forecast {best!r}",
            )
        told = f"its error of {mine:.3f} kW is below the {self.mean(best):.3f} kW of the best naive forecast ({best!r})"
        if STABLE not in self.mae_kw:
            return True, f"{told}, and no version is stable yet"
        theirs = self.mean(STABLE)
        gain = f"{_gain(mine, theirs):+.1%} of the stable version's {theirs:.3f} kW; the margin is {margin:.1%}"
        if mine >= (1 - margin) * theirs:
            return False, f"its error of {mine:.3f} kW is {gain}"
        return True, f"{told} and {gain}"


def judge(
    forecasts: Mapping[str, NDArray[np.float64]], power: NDArray[np.float64], origins: NDArray[np.int64]
) -> Trial:
    """Compare the forecasts of models, and the naive ones, with what came.

    Args:
        forecasts: name → (m, horizon) float64, kW.
        power: (n,) float64, kW, one value a quarter-hour.
        origins: (m,) the rows that were forecast from, each at least 672.
    """
    horizon = next(iter(forecasts.values())).shape[1]
    came = actual(power, origins, horizon)
    errors = {**forecasts, **naive(power, origins, horizon)}
    mae = {name: tuple(np.abs(came - kw).mean(axis=0).tolist()) for name, kw in errors.items()}
    return Trial(mae, len(origins))


def forecast(
    runner: Runner, inputs: NDArray[np.float32], origins: NDArray[np.int64], batch: int
) -> NDArray[np.float64]:
    """Let a model forecast from each origin.

    Args:
        runner: the model.
        inputs: (n, c) float32, its columns, normalised.
        origins: (m,) rows, each at least its window less one.
        batch: how many windows are put together at a time.

    Returns:
        (m, horizon) float64, kW.
    """
    views = sliding_window_view(inputs, runner.card.window, axis=0)
    pieces = np.array_split(origins, max(1, -(-len(origins) // batch)))
    outputs = [runner.predict(views[rows - runner.card.window + 1].transpose(0, 2, 1)) for rows in pieces]
    target = runner.card.target
    kw: NDArray[np.float64] = np.concatenate(outputs).astype(np.float64) * target.std + target.mean
    return kw


def _gain(mine: float, theirs: float) -> float:
    return mine / theirs - 1 if theirs else 0.0
