"""Fitting a network to one meter or to many at once, each counting the same, and measuring what it gets wrong.

In: the powers of sites over the same quarter-hours, and the calendar of these. Out: a network with the weights of
its best epoch, and its residuals in kW. Every site is measured in units of the mean absolute error of its own best
naive forecast: 1 is what that forecast has, so the loss knows neither kW nor large sites. The networks have no
scale of their own, so what they learn in these units holds in any other. Nothing here reads or writes a file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from models.naive import WEEK, actual, naive
from models.networks import HORIZON, WINDOW
from models.virtual import meter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

PEAK_RATE = 0.004
LONG = 2000  # steps
DAY = 96
OFTEN, SELDOM = 6, 3  # the last epochs are all validated, of those before every third
SPARSE = 29  # prime to the hour, the day and the week, so that every phase is validated
OTHER_WEEKDAY, OTHER_HOUR = 0.5, 0.3  # of the made-up meters, that share


@dataclass(frozen=True)
class Recipe:
    """How long and on what a network is trained.

    Attributes:
        epochs: how many.
        steps: batches of each epoch, drawn at random from all sites and origins of the training part.
        batch: windows of each batch.
        made_up: how many meters are made up for each epoch.
        last_rate: the learning rate of the last step, as a share of the highest one.
        decay: how much the weights shrink at each step, in units of the learning rate (AdamW).
        memory: for each step, of the running mean of the weights that is kept; 0 keeps the weights themselves.
    """

    epochs: int
    steps: int
    batch: int
    made_up: int
    last_rate: float = 0.02
    decay: float = 0.0
    memory: float = 0.0


ONE_SITE = Recipe(epochs=24, steps=48, batch=128, made_up=0)
# Of many sites a network is to learn what they have in common: a mean over some thousand steps that are still large,
# and weights that shrink, know less of each site and more of others (docs/decisions.md).
# The CNN-LSTM learns slower, and gets better at sites that it never saw for half as long again.
MANY_SITES = {
    "gru": Recipe(epochs=120, steps=100, batch=256, made_up=16, last_rate=0.2, decay=0.05, memory=0.999),
    "cnn": Recipe(epochs=180, steps=100, batch=256, made_up=16, last_rate=0.2, decay=0.1, memory=0.9995),
}


@dataclass(frozen=True)
class Fleet:
    """Sites over the same quarter-hours, split in time.

    Attributes:
        names: of the s sites.
        kw: (s, n) float64, kW.
        calendar: (n, c) float32, normalised.
        parts: for each of `train`, `validation` and `test` the rows to forecast from, (m,) int64.
        unit: (s,) float64, kW: the error of each site's best naive forecast in the training part (or its deviation).
        power: (s, n) float32, each site in its unit, around its mean.
        shift: (s,) int64, quarter-hours that each site's calendar is turned by; 0 but for made-up meters.
    """

    names: tuple[str, ...]
    kw: NDArray[np.float64]
    calendar: NDArray[np.float32]
    parts: Mapping[str, NDArray[np.int64]]
    unit: NDArray[np.float64]
    power: NDArray[np.float32]
    shift: NDArray[np.int64]

    def x(self, sites: NDArray[np.int64], origins: NDArray[np.int64]) -> NDArray[np.float32]:
        """Give the windows of some sites that end at some origins: (b, 672, 1 + c) float32."""
        rows = origins[:, None] + np.arange(1 - WINDOW, 1)
        turned = (rows + self.shift[sites][:, None]) % len(self.calendar)
        return np.concatenate([self.power[sites[:, None], rows][:, :, None], self.calendar[turned]], axis=-1)

    def y(self, sites: NDArray[np.int64], origins: NDArray[np.int64]) -> NDArray[np.float32]:
        """Give what came, in the sites' units: (b, 8) float32."""
        came: NDArray[np.float32] = self.power[sites[:, None], origins[:, None] + np.arange(1, HORIZON + 1)]
        return came


def split(names: Sequence[str], kw: NDArray[np.float64], calendar: NDArray[np.float32]) -> Fleet:
    """Split the quarter-hours of sites in time, 70 % to train on, 15 % to choose by, 15 % to test on.

    A part owns the forecasts whose eight quarter-hours all lie in it; the week before them may be older.

    Args:
        names: of the s sites.
        kw: (s, n), kW.
        calendar: (n, c), normalised.

    Raises:
        ValueError: if a part is left without a single forecast, or a site is too constant to be measured.
    """
    n = kw.shape[1]
    first, second = int(0.7 * n), int(0.85 * n)
    spans = {"train": (WEEK + 1, first), "validation": (first, second), "test": (second, n)}
    parts = {part: np.arange(start - 1, end - HORIZON, dtype=np.int64) for part, (start, end) in spans.items()}
    if not all(map(len, parts.values())):
        raise ValueError(f"{n} quarter-hours are too few to train on; give several weeks")
    unit = np.array([_unit(site, parts["train"]) for site in kw])
    if (flat := np.flatnonzero(unit == 0)).size:
        told = ", ".join(names[at] for at in flat[:10].tolist())
        raise ValueError(f"the power of {told} never changes: nothing to learn from; leave such a site out")
    power = ((kw - kw[:, :first].mean(axis=1, keepdims=True)) / unit[:, None]).astype(np.float32)
    return Fleet(tuple(names), kw, calendar, parts, unit, power, np.zeros(len(kw), np.int64))


def fit(model: Any, fleet: Fleet, recipe: Recipe, *, seed: int) -> float:
    """Train a network in place and leave it with the weights of its best epoch.

    Returns:
        The mean absolute error of that epoch on the validation part, in the sites' units, each site counting the same.
    """
    rng = np.random.default_rng(seed)
    first, last = fleet.parts["train"][[0, -1]]
    _compile(model, recipe)
    best, weights = np.inf, model.get_weights()
    with tqdm(total=recipe.epochs * recipe.steps, desc=model.name, unit="batch", mininterval=0.5, disable=None) as bar:
        for epoch in range(recipe.epochs):
            meters = with_made_up(fleet, recipe.made_up, rng)
            for _ in range(recipe.steps):
                sites = rng.integers(len(meters.power), size=recipe.batch)
                origins = rng.integers(first, last + 1, size=recipe.batch)
                model.train_on_batch(meters.x(sites, origins), meters.y(sites, origins))
                bar.update()
            if epoch < recipe.epochs - OFTEN and epoch % SELDOM:
                continue
            error, kept = _validated(model, fleet, recipe)
            if error < best:
                best, weights = error, kept
            bar.set_postfix_str(f"validation {error:.4f} of a naive forecast's error, best {best:.4f}")
    model.set_weights(weights)
    return best


def with_made_up(fleet: Fleet, count: int, rng: np.random.Generator) -> Fleet:
    """Add made-up meters, half of which live by another weekday and some by other hours; training part only."""
    if not count:
        return fleet
    until = fleet.parts["train"][-1] + HORIZON + 1
    real = fleet.power[:, :until].astype(np.float64)
    made = [_in_its_unit(meter(real, rng), fleet.parts["train"]) for _ in range(count)]
    days = rng.integers(7, size=count) * DAY * (rng.random(count) < OTHER_WEEKDAY)
    hours = rng.integers(-5, 6, size=count) * 4 * (rng.random(count) < OTHER_HOUR)
    power = np.concatenate([fleet.power[:, :until], np.array(made, dtype=np.float32)])
    return replace(fleet, power=power, shift=np.concatenate([fleet.shift, days + hours]))


def residuals(model: Any, fleet: Fleet, site: int, origins: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give actual minus forecast of one site: (m, 8) float64, kW."""
    errors = []
    for rows in np.array_split(origins, max(1, len(origins) // 512)):
        sites = np.full_like(rows, site)
        errors.append(fleet.y(sites, rows) - np.asarray(model.predict_on_batch(fleet.x(sites, rows))))
    kw: NDArray[np.float64] = np.concatenate(errors).astype(np.float64) * fleet.unit[site]
    return kw


def _unit(power: NDArray[np.float64], origins: NDArray[np.int64]) -> float:
    """Give the mean absolute error of the best naive forecast, or the deviation if it never errs; 0 for a constant."""
    some = origins[::7]
    came = actual(power, some, HORIZON)
    best = min(np.abs(came - forecast).mean() for forecast in naive(power, some, HORIZON).values())
    least = 1e-9 * np.abs(power).max()
    return next((float(unit) for unit in (best, power[: origins[-1]].std()) if unit > least), 0.0)


def _in_its_unit(power: NDArray[np.float64], origins: NDArray[np.int64]) -> NDArray[np.float64]:
    unit = _unit(power, origins)
    return (power - power.mean()) / unit if unit else np.zeros_like(power)


def _validated(model: Any, fleet: Fleet, recipe: Recipe) -> tuple[float, list[NDArray[np.float32]]]:
    """Give the error of the weights that would be kept now, and them; the training goes on with its own."""
    now = model.get_weights()
    if recipe.memory:
        model.optimizer.finalize_variable_values(model.trainable_variables)
    error, kept = _validation(model, fleet), model.get_weights()
    model.set_weights(now)
    return error, kept


def _validation(model: Any, fleet: Fleet) -> float:
    origins = fleet.parts["validation"][:: SPARSE if len(fleet.kw) > 1 else 1]
    errors = [np.abs(residuals(model, fleet, site, origins)).mean() for site in range(len(fleet.kw))]
    return float(np.mean(np.array(errors) / fleet.unit))


def _compile(model: Any, recipe: Recipe) -> None:
    """AdamW on the mean absolute error: a tenth of the steps to warm up, then a cosine down to the last rate."""
    import keras  # noqa: PLC0415  # nobody who only serves needs Keras

    steps = recipe.epochs * recipe.steps
    warm = max(1, steps // 10)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm), alpha=recipe.last_rate, warmup_target=PEAK_RATE, warmup_steps=warm
    )
    mean = {"use_ema": True, "ema_momentum": recipe.memory} if recipe.memory else {}
    optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.decay, global_clipnorm=1.0, **mean)
    # XLA saves a fifth of a step of the GRU and nothing of the CNN-LSTM's, and compiles for as long as 700 steps take.
    xla = model.name == "gru" and steps > LONG
    model.compile(optimizer, loss="mae", jit_compile=xla)
