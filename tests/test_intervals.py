"""Intervals without a model: sizes of windows, what a card learns, and how a site's own past corrects it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import members

from models.calibration import around, factors, log_own, log_rehearsed, needed
from models.card import ModelCard
from models.intervals import LEVELS, Prior, learn
from models.spread import FAINT, SHORTEST, measurable, sizes, spread

ROWS, WINDOW, H = 1500, 672, 8
ORIGINS = np.arange(WINDOW - 1, ROWS - H, 3)
HOURS = (ORIGINS + 1) // 4 % 24
RAMP = np.arange(float(ROWS))
WAVE = np.sin(2 * np.pi * RAMP / 96)
STEPS = np.arange(1, H + 1)


def noisy(seed: int, scale: float = 1.0) -> Any:
    """Make a site with a daily wave and noise: (n,) kW."""
    return scale * (5 + WAVE + 0.2 * np.random.default_rng(seed).normal(size=ROWS))


def site(seed: int, scale: float = 1.0) -> Any:
    """Make what `learn` takes of a site whose residuals are normal with the site's scale."""
    residuals = scale * np.random.default_rng(seed + 1000).normal(size=(len(ORIGINS), H))
    return noisy(seed, scale), ORIGINS, residuals, HOURS


@pytest.fixture(scope="module")
def learnt() -> dict[str, Any]:
    """Give what is learnt from 30 sites of different scale."""
    return learn([site(seed, 10.0 ** (seed % 4)) for seed in range(30)])


@pytest.fixture(scope="module")
def prior(learnt: dict[str, Any]) -> Prior:
    """Give the prior of a card with it."""
    found = Prior.of(card(intervals=learnt))
    assert found is not None
    return found


def card(**changes: Any) -> ModelCard:
    return ModelCard.model_validate(members(**changes))


@pytest.mark.parametrize(
    "power, unit, newest_to_day, moves",
    [
        pytest.param(RAMP, 4.0, [1.0, 1.0, 96.0], STEPS, id="ramp"),
        pytest.param(-3 * RAMP, 12.0, [3.0, 3.0, 288.0], 3 * STEPS, id="steeper and falling"),
        pytest.param(
            np.maximum(RAMP - 692, 0), 26 / 668, [8 / 671, 1.0, 36 / 576], 0 * STEPS, id="a rise in the last two hours"
        ),
    ],
)
def test_sizes_of_plain_windows(power: Any, unit: float, newest_to_day: list[float], moves: Any) -> None:
    """The unit is the mean absolute hourly change; the sizes are told by hand, in kW, for the window up to row 700."""
    logs, found = sizes(power, np.array([700]), WINDOW, H)
    assert found[0, 0] == pytest.approx(unit, abs=3e-3)
    assert logs[0, :, 0].tolist() == [1.0] * H
    kw = (np.exp(logs[0, :, 1:].T) - FAINT) * found[0, 0]
    expected = [*(np.full(H, size) for size in newest_to_day), moves, 0 * STEPS]
    np.testing.assert_allclose(kw, expected, rtol=1e-6, atol=1e-9)


def test_only_the_window_tells_the_spread(prior: Prior) -> None:
    """What lies before the window or after the origin changes nothing."""
    power, origin = noisy(1), np.array([900])
    other = power.copy()
    other[: 900 - WINDOW + 1] *= 50
    other[901:] *= 50
    np.testing.assert_allclose(prior.spread(other, origin), prior.spread(power, origin), rtol=1e-9)
    alone = prior.spread(power[900 - WINDOW + 1 : 901], np.array([WINDOW - 1]))
    np.testing.assert_allclose(alone, prior.spread(power, origin), rtol=1e-9)


@pytest.mark.parametrize("factor", [0.001, 3.0, 5000.0])
def test_spread_scales_with_the_site(factor: float, prior: Prior) -> None:
    """A site in MW has the same intervals as one in kW, in its own unit."""
    power = noisy(2)
    np.testing.assert_allclose(prior.spread(factor * power, ORIGINS), factor * prior.spread(power, ORIGINS), rtol=1e-4)


@pytest.mark.parametrize(
    "power",
    [
        pytest.param(RAMP * 0, id="nothing"),
        pytest.param(RAMP * 0 - 1e9, id="constant and huge"),
        pytest.param(np.where(RAMP < 300, 1e9 * (RAMP % 2), 0.1 * (RAMP % 3)), id="quiet after a storm"),
        pytest.param(1e-9 * WAVE, id="tiny"),
        pytest.param(1e9 * WAVE, id="huge"),
    ],
)
@pytest.mark.parametrize("coefficient", [-1e6, -1.0, 0.5, 1e6])
def test_spread_is_finite_and_positive(power: Any, coefficient: float) -> None:
    """Whatever the site and whatever the card say."""
    found = spread(np.full((H, 6), coefficient), power, ORIGINS, WINDOW)
    assert np.isfinite(found).all()
    assert (found > 0).all()


@pytest.mark.parametrize(
    "window, horizon, answer",
    [(672, 8, True), (SHORTEST, 96, True), (SHORTEST - 1, 8, False), (672, 97, False), (96, 1, False)],
)
def test_what_can_be_measured(window: int, horizon: int, answer: bool) -> None:
    """Two days and the same change before them, for a day at most; everything else is refused in words."""
    assert measurable(window, horizon) is answer
    power, origins = noisy(3), np.array([900])
    if answer:
        assert np.isfinite(sizes(power, origins, window, horizon)[0]).all()
    else:
        with pytest.raises(ValueError, match="do without a learnt spread"):
            learn([(power, origins, np.zeros((1, horizon)), origins % 24)], window=window)


def test_learnt_intervals_make_a_card(learnt: dict[str, Any]) -> None:
    """What is learnt has the card's shapes, in the levels that are stored, and quantiles that rise with them."""
    stored = card(intervals=learnt).intervals
    assert stored is not None
    assert stored.levels == list(LEVELS) == sorted(set(LEVELS))
    assert stored.levels == pytest.approx([1 - level for level in reversed(stored.levels)])
    assert (np.diff(np.array(stored.quantiles), axis=0) >= 0).all()


@pytest.mark.parametrize("level", [50.0, 80.0, 95.0, 98.0])
def test_learnt_intervals_cover_other_sites(level: float, prior: Prior) -> None:
    """Sites of the same kind are covered at the nominal level within two points, whatever their scale."""
    covered = []
    for seed in range(100, 120):
        power, origins, residuals, hours = site(seed, 10.0 ** (seed % 4))
        scaled = residuals / prior.spread(power, origins)
        lower, upper = prior.bounds(level)
        covered.append(((scaled >= lower[hours]) & (scaled <= upper[hours])).mean())
    assert np.mean(covered) == pytest.approx(level / 100, abs=0.02)


def test_learning_passes_over_what_is_not_finite(learnt: dict[str, Any]) -> None:
    """A forecast that was no number teaches nothing."""
    sites = [site(seed, 10.0 ** (seed % 4)) for seed in range(30)]
    power, origins, residuals, hours = sites[4]
    sites[4] = (
        power,
        np.append(origins, origins[:5]),
        np.concatenate([residuals, np.full((5, H), np.nan)]),
        np.append(hours, hours[:5]),
    )
    assert learn(sites) == learnt


def test_learning_wants_every_hour() -> None:
    """Without residuals near an hour there is no quantile for it."""
    power, origins, residuals, hours = site(0)
    night = (hours < 3) | (hours > 20)
    with pytest.raises(ValueError, match=r"hours \[4, 5, .* 19\]"):
        learn([(power, origins[night], residuals[night], hours[night])])


def test_card_without_residuals_has_no_prior() -> None:
    """Nothing is made up."""
    assert Prior.of(card()) is None


def test_plain_quantiles_are_the_same_at_every_hour() -> None:
    """A card with quantiles in kW gives them at every origin, with a straight line between two stored levels."""
    kw = [(STEPS * side).tolist() for side in (-3.0, 0.1, 3.0)]
    prior = Prior.of(card(residual_quantiles={"levels": [0.1, 0.5, 0.9], "kw": kw}))
    assert prior is not None
    spread = prior.spread(RAMP, ORIGINS)
    assert spread.shape == (len(ORIGINS), H)
    for level, lower, upper in [(80.0, -3.0, 3.0), (99.0, -3.0, 3.0), (40.0, -1.45, 1.55)]:
        for found, expected in zip(prior.bounds(level), (lower, upper), strict=True):
            np.testing.assert_allclose(spread[0] * found, np.tile(STEPS * expected, (24, 1)), rtol=1e-9)


@given(first=st.floats(1, 99), second=st.floats(1, 99))
def test_bounds_nest_and_enclose(first: float, second: float, prior: Prior) -> None:
    """A higher level's bounds contain a lower one's, and every bound keeps its distance from the forecast."""
    (low, high), (lower, upper) = (prior.bounds(level) for level in sorted((first, second)))
    assert (lower <= low).all()
    assert (high <= upper).all()
    assert low.max() <= -0.05
    assert high.min() >= 0.05


def test_needed_multiple_is_what_just_covers(prior: Prior) -> None:
    """A half-width times its multiple ends at the residual, on its own side."""
    power, origins, residuals, hours = site(7)
    spread = prior.spread(power, origins)
    (multiples,) = needed(prior, [80.0], residuals, spread, hours)
    lower, upper = prior.bounds(80.0)
    side = np.where(residuals > 0, upper[hours], lower[hours])
    np.testing.assert_allclose(multiples.T * spread * side, residuals, rtol=1e-9)


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(0, 60),
    levels=st.lists(st.floats(1, 99), min_size=1, max_size=3),
    wanted=st.lists(st.integers(0, 23), min_size=1, max_size=4),
)
def test_own_quantile_is_that_of_the_hours_around(
    seed: int, count: int, levels: list[float], wanted: list[int]
) -> None:
    """The quantile at level (1 + 1/n), over the residuals of three hours; rows without numbers do not count."""
    random = np.random.default_rng(seed)
    multiples, hours = random.exponential(size=(len(levels), 2, count)), random.integers(0, 24, count)
    multiples[:, :, random.random(count) < 0.1] = np.nan
    found = log_own(multiples, levels, hours, np.array(wanted))
    for at, hour in enumerate(wanted):
        near = np.isin(hours, [(hour - 1) % 24, hour, (hour + 1) % 24]) & np.isfinite(multiples[0, 0])
        for row, level in enumerate(levels):
            if not near.any():
                assert np.isnan(found[row, :, at]).all()
                continue
            share = min(1.0, level / 100 * (1 + 1 / near.sum()))
            expected = np.quantile(multiples[row][:, near], share, axis=-1)
            np.testing.assert_allclose(found[row, :, at], np.log(np.maximum(expected, 0.02)), rtol=1e-9, atol=1e-12)


def test_rehearsal_is_one_number_for_a_level() -> None:
    """The mean over the steps of the quantile over the rehearsed quarter-hours; nothing rehearsed is no correction."""
    multiples = np.linspace(0, 1, 101) * np.array([1.0, 3.0])[:, None]
    assert log_rehearsed(multiples[None], [80.0]) == pytest.approx([np.log(0.8 * 2)])
    assert log_rehearsed(multiples[None] * 0, [80.0]) == pytest.approx([np.log(0.02)])
    assert log_rehearsed(multiples[None, :, :0], [80.0]).tolist() == [0.0]
    assert log_rehearsed(multiples[None] * np.nan, [80.0]).tolist() == [0.0]


@pytest.mark.parametrize(
    "own, rehearsed, rows, expected",
    [
        pytest.param(np.nan, 0.0, 0, 1.0, id="nothing known"),
        pytest.param(np.nan, np.log(4), 0, 2.0, id="a rehearsal counts half"),
        pytest.param(np.nan, np.log(4), 100, 2.0, id="no past at this hour"),
        pytest.param(np.log(9), 0.0, 200, 3.0, id="two days count as much as the prior"),
        pytest.param(np.log(9), np.log(16), 200, 6.0, id="both"),
        pytest.param(np.log(2), np.log(100), 10**9, 2.0, id="much past alone"),
    ],
)
def test_factor_weighs_past_and_rehearsal(own: float, rehearsed: float, rows: int, expected: float) -> None:
    """The geometric mean of both, weighted by the length of the past."""
    assert factors(np.full((1, 1, 1), own), np.array([rehearsed]), rows)[0, 0, 0] == pytest.approx(expected)


def test_no_interval_is_finer_than_a_meter(prior: Prior) -> None:
    """Where power has stood still, the rounding of float32 is inside: 50 kW within 50.000007, and 0 within -4e-12."""
    forecast = np.array([[50.000007] * H, [-4e-12] * H])
    still = np.full((2, H), 1e-9)
    lower, upper = around(
        forecast, prior, [99.0], still, np.zeros(2, int), np.full((1, H, 2), 0.02), np.full(2, -np.inf)
    )
    measured = np.array([[50.0], [0.0]])
    assert ((lower[99.0] <= measured) & (measured <= upper[99.0])).all()
    assert (upper[99.0] - lower[99.0] < 0.02).all()


@given(seed=st.integers(0, 10_000), least=st.sampled_from([0.0, -np.inf]))
def test_intervals_contain_their_forecast_and_one_another(seed: int, least: float, prior: Prior) -> None:
    """Whatever the factors: higher levels are wider, and none begins below what the site cannot go below."""
    random = np.random.default_rng(seed)
    levels, m = [50.0, 80.0, 95.0], 20
    forecast, hours = random.normal(size=(m, H)), random.integers(0, 24, m)
    factor, spread = random.exponential(size=(3, H, m)), random.exponential(size=(m, H))
    lower, upper = around(forecast, prior, levels, spread, hours, factor, np.full(m, least))
    edges = [*(lower[level] for level in reversed(levels)), forecast, *(upper[level] for level in levels)]
    assert (np.diff(edges, axis=0) >= 0).all()
    assert (lower[95.0] >= np.minimum(forecast, least)).all()
