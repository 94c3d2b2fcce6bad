"""Forecasts from a profile's own past, and intervals that are corrected by them."""

from __future__ import annotations

from dataclasses import replace
from threading import Timer
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from quick_model import PLAIN, LastValue, profile, served
from toy import QUIET, card_of, model_folder

from edge.errors import NoIntervals, StillCompiling
from forecasting import replay
from forecasting.bulk import site_forecasts
from forecasting.power import power
from forecasting.replay import History
from forecasting.rolling import hours_after, intervals, rehearsal, rolled
from models.catalogue import ServedModel
from models.intervals import learn
from models.runner import Runner
from processing.sites import Site, Sites

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from processing.reading import LoadProfile

pytestmark = QUIET
WEEK, DAY, H = 672, 96, 8
BOTH = [80.0, 95.0]


def site(seed: int, rows: int, noise: Callable[[Any], Any] = np.ones_like) -> LoadProfile:
    """Make a site that does the same every day, but for normal noise whose deviation is told by the hour, 0 to 24."""
    hour = np.arange(rows) / 4 % 24
    wave = 50 + 10 * np.sin(2 * np.pi * hour / 24)
    return profile(wave + noise(hour) * np.random.default_rng(seed).normal(size=rows), zone="UTC")


def wanders(hour: Any) -> Any:
    """Give four times the noise at noon as at midnight."""
    return 2.5 - 1.5 * np.cos(2 * np.pi * hour / 24)


def learnt(noise: Callable[[Any], Any] = np.ones_like) -> ServedModel:
    """Make a model whose card learnt from two such sites."""
    sites = []
    for seed in (1, 2):
        other = site(seed, 8 * WEEK, noise)
        past = rolled(served(), other, [], stride=3)
        good = np.isfinite(past.measured).all(axis=1)
        residuals = (past.measured - past.forecast)[good]
        sites.append((other.power, past.origins[good], residuals, hours_after(other)[past.origins[good]]))
    return served(intervals=learn(sites))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    """Give a real model that repeats the last value, of seven columns, with plain quantiles."""
    folder = model_folder(tmp_path_factory.mktemp("toy") / "model", residual_quantiles=PLAIN)
    return ServedModel("toy", "1", card_of(folder), Runner(folder, card_of(folder), (1, 32)))


@pytest.fixture(scope="module")
def even() -> ServedModel:
    """Give a model that learnt from sites with the same noise at every hour."""
    return learnt()


def cut(whole: LoadProfile, rows: int) -> LoadProfile:
    """Leave the first rows."""
    return replace(whole, time=whole.time[:rows], clock=whole.clock[:rows], power=whole.power[:rows])


def test_replayed_forecasts_are_those_of_the_profile_cut_there(toy: ServedModel) -> None:
    """Over a clock change, in batches that hold several histories and parts of them, with and without a step."""
    rows = np.arange(1200)
    one = profile(50 + 9 * np.sin(rows / 7), start="2016-03-20T00:00")
    two = profile(70 + 5 * np.sin(rows / 5), start="2016-10-25T00:00")
    histories = [
        History(one, range(WEEK - 1, 1199)),
        History(two, range(700, 700)),
        History(two, range(701, 1200, 5)),
        History(two, range(1199, 1200)),
    ]
    assert len(histories[0].origins) > replay.AT_ONCE
    answers = replay.replay(toy, histories)
    assert [len(answer) for answer in answers] == [len(history.origins) for history in histories]
    for history, answer in zip(histories, answers, strict=True):
        for at in range(0, len(answer), 50):
            alone = power(toy, [cut(history.profile, history.origins[at] + 1)])[0]
            np.testing.assert_allclose(answer[at], alone, rtol=0, atol=1e-5)


def test_what_would_take_long_waits_until_the_model_is_compiled(tmp_path: Path, monkeypatch: Any) -> None:
    """It waits, and is refused if that takes too long; what is short is answered at once, and everything afterwards."""
    folder = model_folder(tmp_path / "model")
    model = ServedModel("toy", "1", card_of(folder), Runner(folder, card_of(folder), (1, 32), rest_later=True))
    monkeypatch.setattr(model.runner, "seconds", lambda n: n / 10)
    monkeypatch.setattr("forecasting.power.PATIENCE", 0.1)
    week = profile(50 + 9 * np.sin(np.arange(800) / 7))
    past = History(week, range(WEEK, 799))
    with pytest.raises(StillCompiling, match="takes 13 s"):
        replay.replay(model, [past])
    with pytest.raises(StillCompiling, match="takes 6 s"):
        list(site_forecasts(model, sites(week, 60)))
    assert len(replay.replay(model, [History(week, range(WEEK, WEEK + 40))])[0]) == 40
    assert len(list(site_forecasts(model, sites(week, 40)))) == 40
    monkeypatch.setattr("forecasting.power.PATIENCE", 60)
    compiling = Timer(0.2, model.runner.compile_rest)
    compiling.start()
    assert len(replay.replay(model, [past])[0]) == len(past.origins)
    assert len(list(site_forecasts(model, sites(week, 60)))) == 60
    compiling.join()


def sites(week: LoadProfile, count: int) -> Sites:
    """Give so many sites with the same load profile."""
    return Sites((Site(str(at), week) for at in range(count)), count=count)


def test_nothing_to_replay_is_no_call() -> None:
    """No history and no origin give no forecast."""
    assert replay.replay(served(), []) == []
    (answer,) = replay.replay(served(), [History(profile(np.ones(WEEK)), range(0))])
    assert answer.shape == (0, H)


def test_windows_without_a_finite_answer_are_no_numbers() -> None:
    """They are NaN, and the others of their batch are what they are alone; intervals are made of the others."""
    kw = 50 + np.random.default_rng(0).normal(size=2 * WEEK)
    kw[900:1000:7] = 2e6
    past = rolled(served(residual_quantiles=PLAIN), profile(kw), BOTH)
    bad = kw[past.origins] > 1e6
    assert np.isnan(past.forecast[bad]).all()
    yesterday = kw[past.origins[~bad][:, None] - DAY + np.arange(1, H + 1)]
    np.testing.assert_allclose(past.forecast[~bad], yesterday, rtol=1e-6)
    for level in BOTH:
        assert np.isfinite(past.lower[level]).all(axis=1).tolist() == (~bad).tolist()


def test_past_without_any_answer_corrects_nothing() -> None:
    """If the model never had a finite answer before, the prior stands."""
    kw = np.append(np.full(2 * WEEK - 1, 2e6), 5.0)
    model = served(residual_quantiles=PLAIN)
    assert np.isnan(rolled(model, profile(kw), BOTH).upper[80.0]).all()
    (given,) = intervals(model, [profile(kw)], np.full((1, H), 5.0), [90.0])
    np.testing.assert_allclose(given.upper[90.0] - 5.0, 3.0)


@pytest.mark.parametrize("stride", [1, 4, 7, 96, 5000])
def test_rolled_meets_every_origin_that_has_something_to_compare(stride: int) -> None:
    """From the second week's first row to the last but one; what is not measured yet is NaN."""
    whole = site(3, 2 * WEEK)
    past = rolled(served(), whole, [], stride=stride)
    assert past.origins.tolist() == list(range(WEEK, 2 * WEEK - 1, stride))
    assert (past.lower, past.upper) == ({}, {})
    for at, origin in enumerate(past.origins.tolist()):
        came = whole.power[origin + 1 : origin + 1 + H]
        assert past.measured[at, : len(came)].tolist() == came.tolist()
        assert np.isnan(past.measured[at, len(came) :]).all()


def test_rolled_intervals_are_those_that_were_given_then(even: ServedModel) -> None:
    """Where the widths are renewed, once a day, they are those of /forecast for the file cut there."""
    whole = site(4, 5 * WEEK)
    past = rolled(even, whole, BOTH)
    for at in range(0, len(past.origins), 3 * DAY):
        then = cut(whole, int(past.origins[at]) + 1)
        (given,) = intervals(even, [then], power(even, [then]), BOTH)
        for level in BOTH:
            np.testing.assert_allclose(past.lower[level][at], given.lower[level], rtol=1e-9)
            np.testing.assert_allclose(past.upper[level][at], given.upper[level], rtol=1e-9)


def test_what_comes_later_changes_no_interval(even: ServedModel) -> None:
    """Forecasts and intervals up to an origin are the same, whatever follows it."""
    whole, last = site(5, 4 * WEEK), 3 * WEEK + 10
    later = whole.power.copy()
    later[last + 1 :] = -1000 * later[last + 1 :] ** 2
    one, two = rolled(even, whole, BOTH), rolled(even, replace(whole, power=later), BOTH)
    known = one.origins <= last
    for level in BOTH:
        np.testing.assert_allclose(one.lower[level][known], two.lower[level][known], rtol=1e-9)
        np.testing.assert_allclose(one.upper[level][known], two.upper[level][known], rtol=1e-9)
    assert not np.allclose(one.upper[80.0][~known], two.upper[80.0][~known])


def coverage(model: ServedModel, whole: LoadProfile, level: float, start: int) -> tuple[float, Any]:
    """Give the share of measured values inside, of all and by hour, from a row on."""
    past = rolled(model, whole, [level], stride=3)
    rows = (past.origins >= start) & np.isfinite(past.measured).all(axis=1)
    inside = ((past.measured >= past.lower[level]) & (past.measured <= past.upper[level]))[rows]
    hours = hours_after(whole)[past.origins[rows]]
    return float(inside.mean()), np.array([inside[hours == hour].mean() for hour in range(24)])


@pytest.mark.parametrize("level", BOTH)
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_exchangeable_noise_is_covered(even: ServedModel, level: float, scale: float) -> None:
    """Over 20 weeks of a site that was not learnt from, with its own noise: within two points of the level."""
    whole = site(6, 25 * WEEK, lambda hour: scale * np.ones_like(hour))
    assert coverage(even, whole, level, 5 * WEEK)[0] == pytest.approx(level / 100, abs=0.02)


@pytest.mark.parametrize("level", BOTH)
def test_noise_of_the_hour_is_covered_by_the_hour(even: ServedModel, level: float) -> None:
    """A site with four times the noise at noon, unlike those learnt from: each hour within seven points of the level.

    That is what chance alone may make of 20 weeks of one hour; with one width for all hours noon would miss by 25.
    """
    mean, by_hour = coverage(even, site(7, 25 * WEEK, wanders), level, 5 * WEEK)
    assert mean == pytest.approx(level / 100, abs=0.02)
    assert np.abs(by_hour - level / 100).max() < 0.07


def test_without_past_the_prior_and_the_rehearsal_stand() -> None:
    """In the first days of the second week 80 % of a site's values are within ten points of the level."""
    model = learnt(wanders)
    inside = []
    for seed in range(20, 32):
        whole = site(seed, WEEK + DAY, wanders)
        past = rolled(model, whole, [80.0], stride=3)
        known = np.isfinite(past.measured)
        inside.append(((past.measured >= past.lower[80.0]) & (past.measured <= past.upper[80.0]))[known].mean())
    assert np.mean(inside) == pytest.approx(0.8, abs=0.1)


@pytest.mark.parametrize(
    "rows, used",
    [(WEEK, 0), (WEEK + H, 0), (WEEK + H + 1, 1), (2 * WEEK, WEEK - H), (5 * WEEK + H, 28 * DAY), (8 * WEEK, 28 * DAY)],
)
def test_rows_tell_how_much_past_there_was(rows: int, used: int, even: ServedModel) -> None:
    """The origins from the second week on whose two hours were measured, of the newest 28 days."""
    whole = site(8, rows)
    (given,) = intervals(even, [whole], power(even, [whole]), BOTH)
    assert given.rows == used
    assert list(given.lower) == list(given.upper) == BOTH


def test_sites_are_answered_as_if_alone(even: ServedModel) -> None:
    """Profiles of other lengths beside one change nothing."""
    profiles = [site(9, WEEK), site(10, 3 * WEEK), site(11, 700), site(12, 6 * WEEK)]
    forecasts = power(even, profiles)
    together = intervals(even, profiles, forecasts, [95.0, 80.0])
    for at, whole in enumerate(profiles):
        (alone,) = intervals(even, [whole], forecasts[at : at + 1], [95.0, 80.0])
        for level in BOTH:
            np.testing.assert_allclose(together[at].lower[level], alone.lower[level], rtol=1e-9)
            np.testing.assert_allclose(together[at].upper[level], alone.upper[level], rtol=1e-9)


@pytest.mark.parametrize("least, clipped", [(0.0, True), (-0.1, False)])
def test_power_that_was_never_negative_is_not_forecast_to_be(least: float, clipped: bool, even: ServedModel) -> None:
    """A lower bound ends at zero, unless one row of the whole file was below."""
    kw = np.abs(np.random.default_rng(1).normal(size=2 * WEEK))
    kw[3] = least
    whole = profile(kw)
    (given,) = intervals(even, [whole], power(even, [whole]), [95.0])
    assert bool(given.lower[95.0].min() >= 0) is clipped
    assert bool(rolled(even, whole, [95.0]).lower[95.0].min() >= 0) is clipped


def test_flat_site_has_intervals(even: ServedModel) -> None:
    """Nothing is divided by a change that never was, and the forecast lies inside."""
    whole = profile(np.full(3 * WEEK, 7.0))
    (given,) = intervals(even, [whole], power(even, [whole]), BOTH)
    assert (given.lower[95.0] <= 7.0).all()
    assert (given.upper[95.0] >= 7.0).all()
    assert (given.upper[95.0] < 7.1).all()


def test_model_without_residuals_has_no_intervals() -> None:
    """It says so by the parameter's name; without levels it rolls all the same."""
    whole = site(13, 2 * WEEK)
    with pytest.raises(NoIntervals, match="tells nothing of residuals") as refused:
        rolled(served(), whole, BOTH)
    assert [(name, code) for name, code, _ in refused.value.problems] == [("level", "no_intervals")]
    with pytest.raises(NoIntervals):
        intervals(served(), [whole], power(served(), [whole]), BOTH)
    assert len(rolled(served(), whole, []).origins)


@pytest.mark.parametrize("window, origins", [(4, 0), (95, 0), (96, 48), (192, 48)])
def test_short_windows_have_plain_intervals(window: int, origins: int) -> None:
    """A model of a short window has quantiles in kW; under a day nothing is rehearsed, but own past counts."""
    model = served(LastValue(), window=window, residual_quantiles=PLAIN)
    for rows in (window, 100 + window, 3 * WEEK):
        whole = site(14, rows)
        assert len(rehearsal(whole, window, window, H).origins) == origins
        (given,) = intervals(model, [whole], power(model, [whole]), BOTH)
        assert np.isfinite([*given.lower.values(), *given.upper.values()]).all()
    assert len(rolled(model, site(14, 3 * WEEK), BOTH).lower[80.0]) == 2 * WEEK - 1


def test_rehearsal_repeats_the_first_day_before_the_week() -> None:
    """The window's own rows stand at the end, on their clock; what is before them is its first day at the same time."""
    whole = site(15, 2 * WEEK)
    history = rehearsal(whole, WEEK + 50, WEEK, H)
    week, front = history.profile, len(history.profile.power) - WEEK
    np.testing.assert_array_equal(week.power[front:], whole.power[50 : WEEK + 50])
    np.testing.assert_array_equal(week.time[front:], whole.time[50 : WEEK + 50])
    assert (np.diff(week.time) == np.timedelta64(900, "s")).all()
    assert (np.diff(week.clock) == np.timedelta64(900, "s")).all()
    np.testing.assert_array_equal(week.power[:front], week.power[front + np.arange(-front, 0) % DAY])
    assert history.origins[0] == WEEK - 1
    assert history.origins[-1] + H < len(week.power)


@pytest.mark.parametrize(
    "start, zone, expected",
    [
        pytest.param("2016-01-04T00:00", "UTC", [0, 0, 0, 1], id="the next quarter-hour's"),
        pytest.param("2016-01-03T23:45", "Europe/Berlin", [1, 1, 1, 1, 2], id="local"),
        pytest.param("2016-03-27T00:30", "Europe/Berlin", [1, 3], id="summer time begins"),
        pytest.param("2016-01-04T00:00", "Asia/Kathmandu", [6, 6, 6], id="a zone of quarter-hours"),
    ],
)
def test_hour_is_the_local_one_of_the_first_step(start: str, zone: str, expected: list[int]) -> None:
    """The hour that the site's clock shows at the quarter-hour after a row."""
    rows = profile(np.ones(20), start=start, zone=zone)
    assert hours_after(rows)[: len(expected)].tolist() == expected
