"""Fitting a network to one series and measuring what it gets wrong.

In: a network and a scaled series that is split in time. Out: the network with the weights of its best epoch,
and its residuals in kW. Nothing here reads or writes a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from tqdm import tqdm

from models.naive import actual
from models.networks import HORIZON, WINDOW

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 128
PEAK_RATE = 0.004


@dataclass(frozen=True)
class Series:
    """A load profile, split in time and scaled.

    Attributes:
        power: (n,) float64, kW.
        inputs: (n, c) float32, normalised; column 0 is the power.
        mean: (c,) float64, of the training part; kW for the power.
        std: (c,) float64, likewise.
        origins: for each of `train`, `validation` and `test` the rows to forecast from, (m,) int64.
    """

    power: NDArray[np.float64]
    inputs: NDArray[np.float32]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    origins: dict[str, NDArray[np.int64]]

    def x(self, origins: NDArray[np.int64]) -> NDArray[np.float32]:
        """Give the windows that end at the origins: (m, 672, c) float32, normalised."""
        views = sliding_window_view(self.inputs, WINDOW, axis=0)
        return views[origins - WINDOW + 1].transpose(0, 2, 1)

    def came(self, origins: NDArray[np.int64]) -> NDArray[np.float64]:
        """Give the power that came after the origins: (m, 8) float64, kW."""
        return actual(self.power, origins, HORIZON)

    def y(self, origins: NDArray[np.int64]) -> NDArray[np.float32]:
        """Give the same, normalised: (m, 8) float32."""
        y: NDArray[np.float64] = (self.came(origins) - self.mean[0]) / self.std[0]
        return y.astype(np.float32)


def fit(model: Any, series: Series, *, epochs: int, seed: int, share: float) -> float:
    """Train a network in place and leave it with the weights of its best epoch.

    Each epoch takes a fresh random share of the windows: with a fixed stride of four the network would see
    one phase of the hour only.

    Returns:
        The mean absolute error of that epoch on the validation part, kW.
    """
    rng = np.random.default_rng(seed)
    train = series.origins["train"]
    steps = max(1, int(share * len(train)) // BATCH)
    _compile(model, epochs * steps)
    best, weights = np.inf, model.get_weights()
    with tqdm(total=epochs * steps, desc=model.name, unit="batch", mininterval=0.5, disable=None) as bar:
        for _ in range(epochs):
            for rows in np.array_split(rng.permutation(train)[: steps * BATCH], steps):
                model.train_on_batch(series.x(rows), series.y(rows))
                bar.update()
            error = float(np.abs(residuals(model, series, "validation")).mean())
            if error < best:
                best, weights = error, model.get_weights()
            bar.set_postfix_str(f"validation {error:.3f} kW, best {best:.3f} kW")
    model.set_weights(weights)
    return best


def residuals(model: Any, series: Series, part: str) -> NDArray[np.float64]:
    """Give actual minus forecast on one part: (m, 8) float64, kW."""
    origins = series.origins[part]
    batches = np.array_split(origins, max(1, len(origins) // 1024))
    forecast = np.concatenate([np.asarray(model.predict_on_batch(series.x(rows))) for rows in batches])
    kw: NDArray[np.float64] = forecast * series.std[0] + series.mean[0]
    return series.came(origins) - kw


def _compile(model: Any, steps: int) -> None:
    """Adam on the mean absolute error: a tenth of the steps to warm up, then a cosine down to 2 %."""
    import keras  # noqa: PLC0415  # nobody who only serves needs Keras

    warm = max(1, steps // 10)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm), alpha=0.02, warmup_target=PEAK_RATE, warmup_steps=warm
    )
    # Over 32 steps XLA saves a tenth of the time and costs more than that in compiling.
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=1.0), loss="mae", jit_compile=False)
