"""Which quarter-hours more than half of their forecasts missed."""

import numpy as np
import pytest

from edge.anomaly_answers import by_chance
from models.anomalies import LARGEST_SCORE, Anomalies, anomalies

FIRST = 4  # row of the first origin
ROWS = 60


def found(power: np.ndarray, forecast: np.ndarray, *, below: float = 2.0, above: float = 1.0) -> Anomalies:
    """Judge powers by forecasts (m, h) with intervals of the same widths everywhere."""
    return anomalies(FIRST, forecast, forecast - below, forecast + above, power)


def always(value: float, horizon: int = 8) -> np.ndarray:
    """Forecast the same from every origin whose first step is measured."""
    return np.full((ROWS - 1 - FIRST, horizon), value)


def with_power(at: dict[int, float]) -> np.ndarray:
    """Give 10 kW in every row but these."""
    power = np.full(ROWS, 10.0)
    power[list(at)] = list(at.values())
    return power


@pytest.mark.parametrize(
    "power, rows, score, above",
    [
        ({}, [], [], []),
        ({30: 10.9}, [], [], []),
        ({30: 11.0}, [], [], []),  # the bound itself is within
        ({30: 13.0}, [30], [3.0], [True]),
        ({30: 8.5}, [], [], []),
        ({30: 4.0}, [30], [3.0], [False]),
        ({30: 13.0, 31: 4.0, 32: 14.0}, [30, 31, 32], [3.0, 3.0, 4.0], [True, False, True]),
        ({11: 13.0}, [], [], []),  # row 11 has seven forecasts
        ({12: 13.0}, [12], [3.0], [True]),
        ({ROWS - 1: 13.0}, [ROWS - 1], [3.0], [True]),
    ],
)
def test_what_left_its_intervals_is_listed(
    power: dict[int, float], rows: list[int], score: list[float], above: list[bool]
) -> None:
    """With the distance in widths of the interval on that side; each row from the first with all eight forecasts on."""
    result = found(with_power(power), always(10.0))
    assert (result.first, result.last, result.judged) == (FIRST + 8, ROWS - 1, ROWS - FIRST - 8)
    assert result.rows.tolist() == rows
    assert result.score.tolist() == pytest.approx(score)
    assert result.above.tolist() == above
    assert result.missed.tolist() == [8] * len(rows)


@pytest.mark.parametrize("horizon", [1, 2, 5, 8])
def test_more_than_half_of_the_forecasts_decide(horizon: int) -> None:
    """The earliest ones alone do not list a quarter-hour, more than half do; the score is above 1 then."""
    power = with_power({})
    for missing in range(horizon + 1):
        forecast = always(10.0, horizon)
        steps = range(horizon - missing, horizon)  # the steps whose forecast of row 30 is wrong: the longest leads
        for step in steps:
            forecast[30 - 1 - step - FIRST, step] = 5.0
        result = found(power, forecast)
        assert result.rows.tolist() == ([30] if 2 * missing > horizon else [])
        assert result.missed.tolist() == [missing] * len(result.rows)


def test_the_score_is_that_of_the_least_of_the_majority() -> None:
    """The fifth largest of eight: more than half of the forecasts were off by as much or more."""
    forecast = always(10.0)
    for step in range(8):
        forecast[30 - 1 - step - FIRST, step] = 10.0 - (2.0 + step)  # off by 2 to 9 widths of 1 kW
    result = found(with_power({}), forecast)
    assert result.score.tolist() == pytest.approx([5.0])
    shown = [result.forecast[0], result.lower[0], result.upper[0]]
    assert shown == pytest.approx([5.0, 3.0, 6.0])
    assert result.ahead.tolist() == [4]


@pytest.mark.parametrize("missing, ahead", [((0, 1, 2, 3, 4), 1), ((3, 4, 5, 6, 7), 4), ((0, 2, 4, 6, 7), 1)])
def test_the_forecast_that_is_shown_was_missed(missing: tuple[int, ...], ahead: int) -> None:
    """The latest of those that are off by the score, never one whose interval the power lies within."""
    forecast = always(10.0)
    for step in missing:
        forecast[30 - 1 - step - FIRST, step] = 5.0
    result = found(with_power({}), forecast)
    assert (result.rows.tolist(), result.missed.tolist(), result.ahead.tolist()) == ([30], [5], [ahead])
    assert result.upper[0] == pytest.approx(6.0)


@pytest.mark.parametrize(
    "judged, level, words",
    [
        (1, 99.0, "by 1 % of good quarter-hours, so fewer than one of this 1 may"),
        (50, 99.0, "so fewer than one of these 50 may"),
        (100, 99.0, "so about 1 of these 100 may"),
        (664, 95.0, "left by 5 % of good quarter-hours, so about 33 of these 664 may"),
    ],
)
def test_what_chance_gives_is_told(judged: int, level: float, words: str) -> None:
    """About how many of those judged, and never about none."""
    power = np.full(FIRST + 8 + judged, 10.0)
    forecast = np.full((len(power) - 1 - FIRST, 8), 10.0)
    result = anomalies(FIRST, forecast, forecast - 1, forecast + 1, power)
    assert words in by_chance(result, level)


@pytest.mark.parametrize("left_above, above", [(5, True), (3, False), (4, True)])
def test_the_direction_is_that_of_most_intervals(left_above: int, above: bool) -> None:
    """Of those that were left; where they are even, that of the earliest forecast."""
    forecast = always(10.0)
    for step in range(8):
        forecast[30 - 1 - step - FIRST, step] = 5.0 if step >= 8 - left_above else 15.0
    result = found(with_power({}), forecast)
    assert (result.above.tolist(), result.missed.tolist()) == ([above], [8])


def test_an_interval_without_width_gives_no_infinity() -> None:
    """What equals such a forecast is no anomaly; what differs has the largest score there is."""
    result = found(with_power({30: 10.5}), always(10.0), below=0.0, above=0.0)
    assert (result.rows.tolist(), result.score.tolist()) == ([30], [LARGEST_SCORE])
