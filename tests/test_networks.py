"""The networks: their shapes, their fold and what they do before they have learnt anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from toy import QUIET

from models import keras_file, networks

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = QUIET
W = networks.WINDOW


@pytest.fixture(scope="module", params=networks.NAMES)
def network(request: pytest.FixtureRequest) -> Any:
    """Give each of the two networks, untrained."""
    import keras  # noqa: PLC0415

    keras.utils.set_random_seed(0)
    return networks.build(request.param, 7)


def noise(n: int = 2) -> Any:
    return np.random.default_rng(n).normal(size=(n, W, 7)).astype(np.float32)


def test_network_takes_a_week_and_gives_two_hours(network: Any) -> None:
    """(None, 672, 7) → (None, 8), and small enough to ship."""
    assert (network.input_shape, network.output_shape) == ((None, W, 7), (None, 8))
    assert network.count_params() < 60_000


def test_network_is_made_of_keras_alone(network: Any, tmp_path: Path) -> None:
    """The project's own networks pass the check that every imported `.keras` file must pass."""
    network.save(tmp_path / "network.keras")
    keras_file.inspect(tmp_path / "network.keras")


def test_untrained_network_mixes_naive_forecasts(network: Any) -> None:
    """The learnt correction is zero at first, so a forecast lies within the week's powers and their changes."""
    x = noise()
    power, last = x[:, :, 0], x[:, -1:, 0]
    reach = np.ptp(power, axis=1, keepdims=True)
    y = network.predict_on_batch(x)
    assert (np.abs(y - last) < reach).all()
    assert np.ptp(y, axis=1).min() > 0


@pytest.mark.parametrize("scale", [1e-3, 0.2, 5.0, 1e4])
@pytest.mark.parametrize("level", [-300.0, 0.0, 7.0])
def test_forecast_has_no_scale_and_no_level(network: Any, scale: float, level: float) -> None:
    """a * load + b gives a * forecast + b: a meter of any size is forecast alike."""
    rng = np.random.default_rng(0)
    weights = [weight + rng.normal(0, 0.1, weight.shape).astype(np.float32) for weight in network.get_weights()]
    x = noise()
    other = x.copy()
    other[:, :, 0] = scale * (x[:, :, 0] + level)
    untrained = network.get_weights()
    network.set_weights(weights)
    y, same = network.predict_on_batch(x), network.predict_on_batch(other) / scale - level
    network.set_weights(untrained)
    assert np.abs(y - same).max() < 2e-3 * (1 + abs(level) / 10)


@pytest.mark.parametrize("power", [-2.0, 0.0, 1e-6, 3.0])
def test_constant_week_gives_its_constant(network: Any, power: float) -> None:
    """Nothing is divided by zero where nothing changes."""
    x = noise()
    x[:, :, 0] = power
    np.testing.assert_allclose(network.predict_on_batch(x), power, rtol=1e-4, atol=1e-9)


def test_fold_aligns_every_day_with_the_forecast() -> None:
    """Channel d of step s holds the value of d days before that quarter-hour, relative to the last value."""
    ramp = np.arange(W, dtype=np.float32)[None, :, None]
    days = np.asarray(networks._days(ramp - ramp[:, -1:]))[0]
    steps = np.arange(W - networks.PAST, W + networks.HORIZON)
    levels = steps[:, None] - 96.0 * np.arange(8)
    levels[networks.PAST :, 0] = W - 1  # today's coming steps are not known
    levels = np.maximum(levels, 0)  # nor is what came before the window
    assert np.array_equal(days, levels - (W - 1))


def test_fold_takes_the_coming_calendar_from_a_week_ago() -> None:
    """The phases of hour, day and week of the coming steps are those of the week's first steps."""
    x = noise(1)
    power = x[:, :, :1] - x[:, -1:, :1]
    alike = np.zeros((1, networks.HORIZON, 3), np.float32)
    folded = np.asarray(networks._fold(x, power, networks._days(power), alike))[0]
    rows = [*range(W - networks.PAST, W), *range(networks.HORIZON)]
    of_calendar = slice(8 + 8 + 3, 8 + 8 + 3 + 6)
    assert np.array_equal(folded[:, of_calendar], x[0, rows, 1:])
    assert np.array_equal(folded[:, of_calendar.stop], np.arange(32) >= networks.PAST)


def test_alike_finds_a_cycle_that_no_calendar_knows() -> None:
    """A machine that repeats itself every 37 quarter-hours is forecast from its own past, nothing learnt."""
    machine = np.random.default_rng(3).normal(size=37)
    power = np.resize(machine, W + networks.HORIZON)
    week = (power[:W] - power[W - 1])[None, :, None].astype(np.float32)
    forecasts = np.asarray(networks._alike(week))[0]
    came = power[W:] - power[W - 1]
    assert np.abs(forecasts - came[:, None]).mean() < 0.05 * np.abs(came).mean()


@pytest.mark.parametrize(
    "steps, width, lags, more", [(672, 16, 17, 0), (640, 20, 9, 8), (640, 20, 9, 20), (6, 3, 1, 0)]
)
def test_products_with_what_came_later_are_summed_up(steps: int, width: int, lags: int, more: int) -> None:
    """As by its definition, what is missing at the end being zero."""
    rng = np.random.default_rng(steps + more)
    values, others = rng.normal(size=(3, steps)), rng.normal(size=(3, steps + more))
    padded = np.pad(others, [(0, 0), (0, lags)])
    expected = [(values * padded[:, lag : lag + steps]).sum(axis=1) for lag in range(lags)]
    got = networks._lagged(values.astype(np.float32), others.astype(np.float32), lags, width)
    np.testing.assert_allclose(np.asarray(got), np.transpose(expected), atol=1e-4)


def test_autoregression_is_the_rule_that_fits_the_week_best() -> None:
    """Its forecasts are those of the Yule-Walker equations, solved directly."""
    rng = np.random.default_rng(4)
    changes = np.zeros(W)
    for at in range(2, W):
        changes[at] = 0.6 * changes[at - 1] - 0.3 * changes[at - 2] + rng.normal()
    power = np.cumsum(changes)
    got = np.asarray(networks._autoregression((power - power[-1])[None, :, None].astype(np.float32)))[0, :, 0]
    assert np.abs(got - direct(np.diff(power))).max() < 0.05


def direct(changes: Any) -> Any:
    """Solve the same equations with NumPy and apply the rule eight times: (671,) → (8,)."""
    order, n = networks.ORDER, len(changes)
    covariance = np.array([(changes[lag:] * changes[: n - lag]).sum() / n for lag in range(order + 1)])
    apart = np.abs(np.arange(order)[:, None] - np.arange(order))
    rule = np.linalg.solve(covariance[apart] + networks.RIDGE * covariance[0] * np.eye(order), covariance[1:])
    known = list(changes)
    for _ in range(networks.HORIZON):
        known.append(rule @ known[: -order - 1 : -1])
    return np.cumsum(known[-networks.HORIZON :])
