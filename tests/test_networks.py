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
    """The learnt correction is zero at first, so a forecast lies within the naive ones."""
    x = noise()
    power, last = x[:, :, 0], x[:, -1:, 0]
    week, yesterday = power[:, :8], power[:, W - 96 : W - 88]
    forecasts = np.stack([np.repeat(last, 8, axis=1), week, yesterday, last + week - power[:, :1]])
    y = network.predict_on_batch(x)
    assert (y > forecasts.min(axis=0) - 1e-5).all()
    assert (y < forecasts.max(axis=0) + 1e-5).all()


def test_forecast_moves_with_the_level(network: Any) -> None:
    """Everything is relative to the last value: a week that is higher by 3 gives a forecast higher by 3."""
    x = noise()
    higher = x.copy()
    higher[:, :, 0] += 3
    np.testing.assert_allclose(network.predict_on_batch(higher), network.predict_on_batch(x) + 3, rtol=0, atol=1e-4)


def test_fold_aligns_every_day_with_the_forecast() -> None:
    """Channel d of step s holds the value of d days before that quarter-hour, relative to the last value."""
    ramp = np.arange(W, dtype=np.float32)[None, :, None]
    folded = np.asarray(networks._fold(ramp, ramp, ramp[:, -1:]))[0]
    steps = np.arange(W - networks.PAST, W + networks.HORIZON)
    levels = steps[:, None] - 96.0 * np.arange(8)
    levels[networks.PAST :, 0] = W - 1  # today's coming steps are not known
    levels = np.maximum(levels, 0)  # nor is what came before the window
    assert np.array_equal(folded[:, :8], levels - (W - 1))
    assert np.array_equal(folded[1:, 8:16], np.diff(levels, axis=0))
    assert np.array_equal(folded[:, 16], steps >= W)


def test_fold_takes_the_coming_calendar_from_a_week_ago() -> None:
    """The phases of hour, day and week of the coming steps are those of the week's first steps."""
    x = noise(1)
    folded = np.asarray(networks._fold(x, x[:, :, :1], x[:, -1:, :1]))[0]
    rows = [*range(W - networks.PAST, W), *range(networks.HORIZON)]
    assert np.array_equal(folded[:, 16:22], x[0, rows, 1:])
