"""What forecasts were off by, beside plain loops over the same formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from models.naive import naive
from models.scoring import SEASON, Backtest, backtest, coverage, score, seasonal_scale

if TYPE_CHECKING:
    from collections.abc import Callable

ATOL = 1e-9  # kW; sums in another order
HORIZON = 8


def a_site(rows: int = 800, seed: int = 3) -> np.ndarray:
    """Make up powers in kW, (rows,), with a day and noise."""
    noise = np.random.default_rng(seed).normal(0, 4, rows)
    wave: np.ndarray = 60 + 20 * np.sin(np.arange(rows) * 2 * np.pi / 96) + noise
    return wave


def of_site(power: np.ndarray, off: float, *, stride: int = 1) -> Backtest:
    """Backtest forecasts that are `off` kW above what was measured, with intervals of 10 kW around them."""
    origins = np.arange(SEASON, len(power) - HORIZON, stride)
    forecast = power[origins[:, None] + np.arange(1, HORIZON + 1)] + off
    hours = np.arange(len(power)) // 4 % 24
    return backtest(power, hours, origins, forecast, {80.0: (forecast - 5, forecast + 5)}, stride=stride)


@pytest.mark.parametrize("stride", [1, 7])
def test_the_naive_forecasts_are_the_plain_formulas(stride: int) -> None:
    """Last value, a day and a week ago, and last value plus last week's change, each scored as a loop would."""
    power = a_site()
    result = of_site(power, 1.0, stride=stride)
    plain: dict[str, Callable[[int, int], float]] = {
        "last_value": lambda o, _: power[o],
        "yesterday": lambda o, k: power[o + k - 96],
        "last_week": lambda o, k: power[o + k - 672],
        "last_week_change": lambda o, k: power[o] + power[o + k - 672] - power[o - 672],
    }
    assert result.naive.keys() == plain.keys()
    for name, formula in plain.items():
        errors = {
            k: [formula(o, k) - power[o + k] for o in range(672, len(power) - HORIZON, stride)]
            for k in range(1, HORIZON + 1)
        }
        for k, found in enumerate(result.naive[name].steps, start=1):
            assert found.mae == pytest.approx(np.mean(np.abs(errors[k])), abs=ATOL)
            assert found.rmse == pytest.approx(np.sqrt(np.mean(np.square(errors[k]))), abs=ATOL)
            assert found.bias == pytest.approx(np.mean(errors[k]), abs=ATOL)
        together = np.concatenate(list(errors.values()))
        assert result.naive[name].mean.rmse == pytest.approx(np.sqrt(np.mean(together**2)), abs=ATOL)


@pytest.mark.parametrize("off", [2.0, -2.0])
def test_the_bias_is_forecast_minus_measured(off: float) -> None:
    """Who forecasts too much has a bias above zero; an error that is always the same is MAE and RMSE, too."""
    mean = of_site(a_site(), off).model.mean
    assert (mean.bias, mean.mae, mean.rmse) == pytest.approx((off, 2.0, 2.0), abs=ATOL)


def test_the_scale_of_mase_is_the_mean_change_over_a_week() -> None:
    """Over the whole profile, each quarter-hour beside that of 672 before."""
    power = a_site()
    scale = np.mean([abs(power[row] - power[row - 672]) for row in range(672, len(power))])
    assert seasonal_scale(power) == pytest.approx(scale, abs=ATOL)
    assert of_site(power, 2.0).model.mean.mase == pytest.approx(2 / scale, abs=ATOL)


@pytest.mark.parametrize(
    "power, mase, skill",
    [
        (np.full(800, 7.0), None, None),
        (np.tile(a_site(672), 2), None, None),  # the same week twice: last week's value is never wrong
        (np.arange(800.0), 2 / 672, None),  # a ramp: last week's change is never wrong
        (np.full(800, 7.0) + 1e-12 * a_site(), None, None),  # noise far below any meter's
    ],
)
def test_what_has_no_meaning_is_none(power: np.ndarray, mase: float | None, skill: float | None) -> None:
    """Nothing is divided by nothing: neither NaN nor infinity comes out."""
    result = of_site(power, 2.0)
    assert (result.model.mean.mase, result.skill) == (pytest.approx(mase) if mase else None, skill)


def test_the_skill_is_against_the_best_naive_forecast() -> None:
    """1 - MAE / MAE, of the naive forecast that is off by the least over all steps."""
    result = of_site(a_site(), 2.0)
    least = min(scores.mean.mae for scores in result.naive.values())
    assert result.naive[result.best_naive].mean.mae == least
    assert result.skill == pytest.approx(1 - 2 / least, abs=ATOL)


def test_coverage_counts_what_lay_within() -> None:
    """The bounds themselves are within; by step, over all steps, and by the hour of the forecast quarter-hour."""
    measured = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    lower, upper = np.full((3, 2), 3.0), np.array([[5.0, 4.0]] * 3)
    hours = np.array([[0, 0], [0, 23], [23, 23]])
    found = coverage(80.0, lower, upper, measured, hours)
    assert [held.share for held in found.steps] == pytest.approx([2 / 3, 1 / 3])
    assert [held.width for held in found.steps] == [2.0, 1.0]
    assert (found.mean.share, found.mean.width) == pytest.approx((1 / 2, 1.5))
    assert [share for share in found.by_hour if share is not None] == pytest.approx([1 / 3, 2 / 3])
    assert found.by_hour[1:23] == (None,) * 22


def test_the_scores_of_no_error_are_zero() -> None:
    """A forecast that is right has no error at any step."""
    power = a_site()
    origins = np.arange(SEASON, 700)
    right = power[origins[:, None] + np.arange(1, HORIZON + 1)]
    scores = score(right, right, 1.0)
    values = [value for one in (*scores.steps, scores.mean) for value in (one.mae, one.rmse, one.bias, one.mase)]
    assert set(values) == {0.0}
    assert len(values) == 4 * (HORIZON + 1)


@pytest.mark.parametrize("step", [0, 7, 95, 96, 671])
@pytest.mark.parametrize("name", ["last_value", "yesterday", "last_week", "last_week_change"])
def test_naive_forecasts_do_not_see_what_comes(name: str, step: int) -> None:
    """Whatever is measured after the origin, the naive forecast from there stays."""
    power = a_site()
    other = np.where(np.arange(len(power)) > 700, 0.0, power)
    one, two = (naive(values, np.array([700]), 672)[name][0, step] for values in (power, other))
    assert one == two
