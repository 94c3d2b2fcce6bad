"""How a model did, and how wide its intervals were, in a load profile's own past; and how wide they are now.

In: load profiles and levels in percent. Out: `rolled` forecasts from every origin of one profile, with the intervals
that would have been given then; `intervals` of the forecasts that begin where profiles end. Nothing that came after
an origin has a part in its intervals: they are corrected by residuals that were whole by then, of the newest 28 days,
and by a rehearsal in the week before these. Refused: levels for a model whose card tells nothing of residuals.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from edge.errors import NoIntervals
from edge.timing import stage
from forecasting.replay import History, replay
from models.calibration import PAST, REHEARSED, Intervals, around, factors, log_own, log_rehearsed, needed
from models.catalogue import ServedModel
from models.intervals import HOURS, Prior
from processing.features import hour_of_day
from processing.grid import STEP
from processing.reading import WEEK, LoadProfile

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

DAY = 96
# Quarter-hours between two origins, prime to 4, so that every quarter of an hour is met. With all of them the coverage
# of 17 sites that no training had seen was the same within half a point, at three to five times the cost.
STRIDE, REHEARSED_STRIDE = 5, 3


@dataclass(frozen=True)
class Rolled:
    """Forecasts from origins of a profile's own past, with the intervals that would have been given then.

    Attributes:
        origins: (m,) rows of the last value that was known.
        forecast: (m, h) kW; NaN where the model has no finite answer.
        lower: level → (m, h) kW, and likewise `upper`; NaN where the forecast is.
        measured: (m, h) kW; NaN where it lies after the profile's end.
    """

    origins: Rows
    forecast: Floats
    lower: dict[float, Floats]
    upper: dict[float, Floats]
    measured: Floats


def prior(model: ServedModel) -> Prior:
    """Return what the model's card says of residuals.

    Raises:
        NoIntervals: it says nothing, so that there are no intervals.
    """
    if (found := Prior.of(model.card)) is None:
        raise NoIntervals(model.name)
    return found


def rolled(model: ServedModel, profile: LoadProfile, levels: Sequence[float], *, stride: int = 1) -> Rolled:
    """Forecast from every `stride`-th row of a profile, from its second week to its last row but one.

    The widths are renewed once a day, as if /forecast had been asked at that row.

    Args:
        model: the model that answers.
        profile: n rows.
        levels: of the intervals, percent; none gives no intervals.
        stride: quarter-hours from one origin to the next.

    Raises:
        NoIntervals: levels were given and the model has no intervals.
    """
    past = History(profile, range(WEEK, len(profile.power) - 1, stride))
    if not levels:
        with stage("past"):
            (forecast,) = replay(model, [past])
        return Rolled(np.array(past.origins, np.int64), forecast, {}, {}, _measured(past, model.card.horizon))
    found, ranked = prior(model), sorted(levels)
    histories = [past, rehearsal(profile, min(WEEK, len(profile.power)), model.card.window, model.card.horizon)]
    with stage("past"):
        forecasts = replay(model, histories)
    own, rehearsed = (
        _Past.of(found, ranked, history, forecast) for history, forecast in zip(histories, forecasts, strict=True)
    )
    factor = _daily(own, ranked, log_rehearsed(rehearsed.multiples, ranked))
    least = np.where(np.minimum.accumulate(profile.power)[past.origins] < 0, -np.inf, 0.0)
    lower, upper = around(own.forecast, found, ranked, own.spread, own.hours, factor, least)
    return Rolled(np.array(past.origins, np.int64), own.forecast, lower, upper, own.measured)


def intervals(
    model: ServedModel, profiles: Sequence[LoadProfile], forecasts: Floats, levels: Sequence[float]
) -> list[Intervals]:
    """Give the intervals of the forecasts that begin where the profiles end.

    Args:
        model: the model that made the forecasts.
        profiles: n of them.
        forecasts: (n, horizon) kW.
        levels: percent.

    Raises:
        NoIntervals: the model has no intervals.
    """
    found, ranked, horizon = prior(model), sorted(levels), model.card.horizon
    histories: list[History] = []
    for profile in profiles:
        newest = len(profile.power) - 1 - horizon
        earliest = _earliest(newest)
        start = newest - (newest - earliest) // STRIDE * STRIDE if newest >= earliest else newest + 1
        week = min(earliest, len(profile.power))
        histories += [
            _recent(History(profile, range(start, newest + 1, STRIDE)), model.card.window),
            rehearsal(profile, week, model.card.window, horizon),
        ]
    with stage("past"):
        past = map(partial(_Past.of, found, ranked), histories, replay(model, histories))
    return [
        _newest(found, ranked, profile, forecast, own, rehearsed)
        for profile, forecast, own, rehearsed in zip(profiles, forecasts, past, past, strict=True)
    ]


def _newest(  # noqa: PLR0913, PLR0917
    prior: Prior, levels: Sequence[float], profile: LoadProfile, forecast: Floats, own: "_Past", rehearsed: "_Past"
) -> Intervals:
    """Give the intervals at a profile's end."""
    last = len(profile.power) - 1
    week = _recent(History(profile, range(last, last + 1)), prior.window)
    end = np.array(week.origins, np.int64)
    hours, spread = hours_after(week.profile)[end], prior.spread(week.profile.power, end)
    rows = _rows(last - forecast.size)
    logs = log_own(own.multiples, levels, own.hours, hours)
    factor = factors(logs, log_rehearsed(rehearsed.multiples, levels), rows)
    least = np.array([-np.inf if profile.power.min() < 0 else 0.0])
    lower, upper = around(forecast[None], prior, levels, spread, hours, factor, least)
    return Intervals({level: kw[0] for level, kw in lower.items()}, {level: kw[0] for level, kw in upper.items()}, rows)


def rehearsal(profile: LoadProfile, end: int, window: int, horizon: int) -> History:
    """Make a history of the end of the window before row `end`, which shows itself only.

    Every third of its last 144 quarter-hours is to be forecast once more. What is missing before the window is taken
    from its first day, at the same time; its clock runs on backwards. A window of less than a day gives no origins.
    """
    if window < DAY:
        return History(profile, range(0))
    front = np.arange(1 - REHEARSED - horizon, 0)
    rows = slice(end - window, end)
    power = profile.power[rows]
    time, clock = (np.concatenate([of[rows][0] + STEP * front, of[rows]]) for of in (profile.time, profile.clock))
    week = LoadProfile(time, clock, np.concatenate([power[front % DAY], power]), profile.time_zone)
    return History(week, range(window - 1, window - 1 + REHEARSED, REHEARSED_STRIDE))


def hours_after(profile: LoadProfile) -> Rows:
    """Give the hour that the clock shows at the quarter-hour after each row: (n,) 0 to 23."""
    after = np.append(profile.clock[1:], profile.clock[-1] + STEP)
    return hour_of_day(after)


@dataclass(frozen=True)
class _Past:
    """How forecasts from a history's origins did: `multiples` (L, h, m) are NaN where nothing was measured."""

    origins: range
    forecast: Floats
    measured: Floats
    hours: Rows
    spread: Floats
    multiples: Floats

    @classmethod
    def of(cls, prior: Prior, levels: Sequence[float], history: History, forecast: Floats) -> "_Past":
        origins = np.array(history.origins, np.int64)
        hours = hours_after(history.profile)[origins]
        spread = prior.spread(history.profile.power, origins)
        measured = _measured(history, forecast.shape[1])
        multiples = needed(prior, levels, measured - forecast, spread, hours)
        return cls(history.origins, forecast, measured, hours, spread, multiples)


def _daily(own: _Past, levels: Sequence[float], rehearsed: Floats) -> Floats:
    """Give the factors at each origin, (L, h, m), renewed once a day by what was known when that day began."""
    origins, (_, horizon, count) = own.origins, own.multiples.shape
    factor = np.empty_like(own.multiples)
    day, apart = -(-DAY // origins.step), -(-STRIDE // origins.step)
    for start in range(0, count, day):
        newest = origins[start] - horizon
        known = np.arange((newest - origins.start) // origins.step, -1, -apart)
        known = known[origins.start + known * origins.step >= _earliest(newest)]
        logs = log_own(own.multiples[..., known], levels, own.hours[known], np.arange(HOURS))
        those = slice(start, start + day)
        factor[..., those] = factors(logs, rehearsed, _rows(newest))[..., own.hours[those]]
    return factor


def _earliest(newest: int) -> int:
    """Return the earliest own origin that counts, where `newest` is the newest whose residuals are whole."""
    return max(WEEK, newest - PAST + 1)


def _rows(newest: int) -> int:
    """Return how many quarter-hours of own past count."""
    return max(0, newest - _earliest(newest) + 1)


def _recent(history: History, window: int) -> History:
    """Leave out the rows before the first origin's window: a year's file costs no more than five weeks' does."""
    profile, start = history.profile, max(history.origins.start - window + 1, 0)
    kept = replace(profile, time=profile.time[start:], clock=profile.clock[start:], power=profile.power[start:])
    origins = range(history.origins.start - start, history.origins.stop - start, history.origins.step)
    return History(kept, origins)


def _measured(history: History, horizon: int) -> Floats:
    """Give what came after each origin: (m, horizon) kW, NaN after the profile's end."""
    power = np.append(history.profile.power, np.full(horizon, np.nan))
    return np.asarray(power[np.array(history.origins, np.int64)[:, None] + np.arange(1, horizon + 1)])
