"""What a model would have made of a site's past: as the card says, and with an eye for what was disturbed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from conftest import PROJECT
from toy import MEAN, QUIET, STD, card_of, model_folder

from edge.errors import InvalidQuery, NoIntervals
from edge.judgements import Judgement
from forecasting.hindsight import LEVEL, LEVELS, MOST, backtests, reader_of_past, surprises, usual_levels
from models.anomalies import Anomalies
from models.catalogue import ServedModel
from models.runner import Runner
from models.scoring import Backtest
from processing.errors import InvalidLoadProfile
from processing.reading import LoadProfile, Rules, read_load_profile
from processing.sites import Site, Sites, read_sites

pytestmark = QUIET

SIGMA = 2.0  # kW; noise of the synthetic site
QUANTILES = [0.005, 0.025, 0.1, 0.5, 0.9, 0.975, 0.995]
STEP = np.timedelta64(15, "m")


def mean_day(x: Any) -> Any:
    """Forecast the mean of the seven days before at the same time: off by the noise times the root of 8/7."""
    import tensorflow as tf  # noqa: PLC0415  # the module is imported without it

    return tf.reduce_mean(tf.reshape(x[:, :, 0], (-1, 7, 96)), axis=1)[:, :8]


def not_finite(x: Any) -> Any:
    """Forecast the last value; without a finite number where it is above 10 standard deviations."""
    import tensorflow as tf  # noqa: PLC0415  # the module is imported without it

    last = tf.repeat(x[:, -1, :1], 8, axis=1)
    return tf.where(last > 10.0, float("nan"), last)


def served(folder: Path, body: Callable[[Any], Any], *, with_residuals: bool = True) -> ServedModel:
    """Load a toy whose card knows the noise of the synthetic site."""
    sigma = SIGMA * (8 / 7) ** 0.5
    kw = [[round(NormalDist(0, sigma).inv_cdf(level), 4)] * 8 for level in QUANTILES]
    members = {"residual_quantiles": {"levels": QUANTILES, "kw": kw}} if with_residuals else {}
    card = card_of(model_folder(folder, body, **members))
    return ServedModel("toy", "1", card, Runner(folder, card, (64,)))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    """Give the model that forecasts the mean day."""
    return served(tmp_path_factory.mktemp("toy"), mean_day)


def profile_of(power: np.ndarray) -> LoadProfile:
    """Give a profile in UTC."""
    time = np.datetime64("2021-03-01T00:00:00", "s") + np.arange(len(power)) * STEP
    return LoadProfile(time, time, power, "UTC")


def a_site(weeks: int = 6) -> np.ndarray:
    """Make up a site whose days are alike but for noise, (weeks * 672,) kW."""
    rows = np.arange(weeks * 672)
    noise = np.random.default_rng(5).normal(0, SIGMA, len(rows))
    power: np.ndarray = MEAN + STD * np.sin(rows * 2 * np.pi / 96) + noise
    return power


def backtest_of(model: ServedModel, profile: LoadProfile, stride: int = 1) -> Backtest:
    """Backtest one site."""
    (result,) = backtests(model, profile, usual_levels(model.card), stride)
    assert isinstance(result, Judgement)
    return result.found


def anomalies_of(model: ServedModel, profile: LoadProfile) -> Anomalies:
    """Give the anomalies of one site."""
    (result,) = surprises(model, profile, LEVEL)
    assert isinstance(result, Judgement)
    return result.found


@pytest.mark.parametrize("stride", [1, 5, 96])
def test_every_strideth_row_is_an_origin(toy: ServedModel, stride: int) -> None:
    """From row 672 to the last row that eight measured ones follow; the errors are those of a plain loop."""
    power = a_site()
    found = backtest_of(toy, profile_of(power), stride)
    origins = range(672, len(power) - 8, stride)
    assert found.origins.tolist() == list(origins)
    for step in range(8):
        errors = [power[o - 671 + step : o + 1 : 96].mean() - power[o + 1 + step] for o in origins]
        assert found.model.steps[step].mae == pytest.approx(np.abs(errors).mean(), abs=1e-4)
        assert found.model.steps[step].bias == pytest.approx(np.mean(errors), abs=1e-4)


def test_intervals_of_a_card_that_knows_the_noise_hold(toy: ServedModel) -> None:
    """80 and 95 % of what came lie within, give or take two points; so does each step."""
    found = backtest_of(toy, profile_of(a_site()))
    assert [one.level for one in found.coverage] == list(LEVELS)
    for one in found.coverage:
        shares = [held.share for held in (*one.steps, one.mean)]
        assert shares == pytest.approx([one.level / 100] * 9, abs=0.02)


@pytest.mark.parametrize("sign", [1, -1])
def test_an_hour_of_disturbance_is_listed_in_full_and_nothing_after_it(toy: ServedModel, sign: int) -> None:
    """Four quarter-hours at five times the noise; what comes beside them is what a clean site has, too."""
    power = a_site()
    clean = set(anomalies_of(toy, profile_of(power)).rows.tolist())
    rows = range(4000, 4004)
    power[rows] = MEAN + STD * np.sin(np.array(rows) * 2 * np.pi / 96) + sign * 5 * SIGMA
    found = anomalies_of(toy, profile_of(power))
    assert set(rows) <= set(found.rows.tolist())
    of_hour = np.isin(found.rows, rows)
    assert found.above[of_hour].tolist() == [sign > 0] * 4
    assert (found.score[of_hour] > 1.2).all()
    # It widens what is forecast afterwards: no new anomaly in the two weeks that are left.
    assert set(found.rows.tolist()) - set(rows) <= clean


def test_a_clean_site_has_as_few_anomalies_as_chance_gives(toy: ServedModel) -> None:
    """At 99 % one in a hundred; all eight forecasts of this model are nearly the same, so not much fewer."""
    found = anomalies_of(toy, profile_of(a_site(weeks=12)))
    assert (found.first, found.last) == (680, 12 * 672 - 1)
    assert 0.004 < len(found.rows) / found.judged < 0.016


def test_a_constant_power_gives_no_nonsense(toy: ServedModel) -> None:
    """Nothing is divided by nothing, and nothing is anomalous."""
    profile = profile_of(np.full(900, MEAN))
    found = backtest_of(toy, profile)
    assert (found.skill, found.model.mean.mase) == (None, None)
    assert found.model.mean.mae == pytest.approx(0, abs=1e-4)
    assert anomalies_of(toy, profile).rows.tolist() == []


@pytest.mark.parametrize("name", ["gru", "cnn"])
def test_the_shipped_scores_come_out_of_a_backtest(name: str, shop: bytes) -> None:
    """Over the part of the shop's year that the card was scored on: as many forecasts, the card's errors."""
    folder = PROJECT / "models" / "pretrained" / name
    card = card_of(folder)
    assert card.scores is not None
    assert card.scores.sites is not None
    year = read_load_profile(shop, time_zone=card.time_zone)
    start = int(np.searchsorted(year.time, np.datetime64(card.scores.test_from.replace(tzinfo=None)))) - 1 - 672
    part = LoadProfile(year.time[start:], year.clock[start:], year.power[start:], year.time_zone)
    found = backtest_of(ServedModel(name, "shipped", card, Runner(folder, card, (256,))), part)
    assert len(found.origins) == card.scores.windows / len(card.scores.sites)
    scored = card.scores.sites["shop"]  # in the fleet's file the shop is rounded to 0.01 kW
    assert found.model.mean.mae == pytest.approx(scored.mae_kw, abs=2e-3)
    assert found.naive[found.best_naive].mean.mae == pytest.approx(scored.best_naive_kw, abs=2e-3)


def sites_of(rows: int, count: int) -> Sites:
    """Give sites of so many rows each."""
    profile = profile_of(np.full(rows, 5.0))
    return Sites([Site(f"site {at}", profile) for at in range(count)], count=count)


@pytest.mark.parametrize("times, stride, named", [(1, 1, 5), (2, 2, 5), (5, 1, 7), (5, 5, 7), (7, 6, 11), (11, 1, 13)])
def test_a_stride_that_works_is_named(toy: ServedModel, times: int, stride: int, named: int) -> None:
    """The next one that gives few enough forecasts and shares no factor with the 96 quarter-hours of a day."""
    rows = 680 + times * (MOST // 3 + 1)  # too many by a hair with a stride of `times`
    with pytest.raises(InvalidQuery, match=rf"stride={named} "):
        backtests(toy, sites_of(rows, 3), LEVELS, stride)


@pytest.mark.parametrize(
    "rows, stride, words",
    [
        (6 * 672, 1, None),
        (6 * 672, 5, None),
        (680 + 96, 1, None),
        (6 * 672, 4, "Only 24 of the 96 times of day were forecast from; a stride without the factors 2 and 3"),
        (6 * 672, 3, "Only 32 of the 96"),
        (6 * 672, 96, "Only 1 of the 96"),
        (681, 1, "Only 1 of the 96 times of day were forecast from; stride=1 meets all of them in 1 day."),
        (680 + 95 * 5, 5, "Only 95 of the 96 times of day were forecast from; stride=5 meets all of them in 5 days."),
    ],
)
def test_times_of_day_that_were_not_met_are_noted(toy: ServedModel, rows: int, stride: int, words: str | None) -> None:
    """In the notes of the site, behind what was noted in reading it."""
    profile = replace(profile_of(a_site()[:rows]), notes=("as read",))
    (result,) = backtests(toy, profile, LEVELS, stride)
    assert isinstance(result, Judgement)
    first, *others = result.profile.notes
    assert first == "as read"
    assert len(others) == (words is not None)
    assert all(note.startswith(words or "") for note in others)


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: backtests(model, sites_of(680 + 96 * 5, MOST // 5 + 1), LEVELS, 96),
        lambda model: backtests(model, sites_of(680 + 96 * 5, MOST // 5 + 1), LEVELS, 1),
        lambda model: surprises(model, sites_of(680 + MOST // 3 + 1, 3), LEVEL),
    ],
)
def test_where_no_stride_helps_less_has_to_be_sent(toy: ServedModel, ask: Callable[[ServedModel], object]) -> None:
    """The file itself is too much for one request, and its size is what the problem names."""
    with pytest.raises(InvalidLoadProfile) as refused:
        ask(toy)
    (problem,) = refused.value.problems
    assert (problem.code, str(MOST) in problem.message) == ("too_many_forecasts", True)


def test_a_site_without_a_finite_forecast_spoils_no_other(tmp_path: Path) -> None:
    """Its problem stands in its place; in a file of its own it is the error of the request's model."""
    model = served(tmp_path / "odd", not_finite)
    wild = a_site()
    wild[2000] = MEAN + 11 * STD
    read = Sites([Site("wild", profile_of(wild)), Site("tame", profile_of(a_site()))], count=2)
    for results in (backtests(model, read, LEVELS, 1), surprises(model, read, LEVEL)):
        bad, good = results
        assert isinstance(bad, Site)
        assert [problem.code for problem in bad.problems] == ["no_finite_forecast"]
        assert isinstance(good, Judgement)
    with pytest.raises(Exception, match="not finite"):
        backtests(model, profile_of(wild), LEVELS, 1)


def test_a_card_without_residuals_has_no_usual_levels(tmp_path: Path) -> None:
    """Its backtest has no intervals; asked for levels, it is refused."""
    model = served(tmp_path / "bare", mean_day, with_residuals=False)
    assert usual_levels(model.card) == ()
    assert backtest_of(model, profile_of(a_site())).coverage == ()
    with pytest.raises(NoIntervals):
        reader_of_past(model, "UTC", Rules(), [LEVEL])


def test_a_short_site_reads_what_more_rows_would_give(toy: ServedModel, week: bytes) -> None:
    """`too_short` names the rows that one forecast needs and what each further day adds."""
    with pytest.raises(InvalidLoadProfile) as refused:
        read_sites(week, reader_of_past(toy, "Europe/Berlin", Rules(), LEVELS))
    (problem,) = refused.value.problems
    assert problem.message.startswith("There are 672 rows; at least 681 quarter-hours are needed. A forecast")


def test_hours_are_those_of_the_local_clock(toy: ServedModel) -> None:
    """A site that is disturbed from nine to ten, local time, each day: coverage is low in that hour alone."""
    power = a_site()
    time = profile_of(power).time
    clock = time + np.timedelta64(2, "h")
    hour = clock.astype("datetime64[h]").astype(int) % 24
    noise = np.random.default_rng(8).normal(0, 12 * SIGMA, len(power))
    profile = LoadProfile(time, clock, np.where(hour == 9, power + noise, power), "Europe/Helsinki")
    (result,) = backtests(toy, profile, [80.0], 1)
    assert isinstance(result, Judgement)
    shares = result.found.coverage[0].by_hour
    assert min(range(24), key=lambda at: shares[at] or 0.0) == 9
