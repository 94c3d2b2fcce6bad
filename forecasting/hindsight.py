"""Load profiles to what a model would have made of their past: backtests and anomalies, for one site and for many.

In: profiles longer than what a model looks at, by two hours at least. Out: for each site what was found, or why nothing
could be. Refused: more forecasts than a request is worth, whatever the sites they are spread over.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import gcd
from typing import TypeVar

import numpy as np

from edge.errors import InvalidQuery
from edge.judgements import Judgement
from edge.queries import LONGEST_STRIDE
from edge.turns import still_wanted
from forecasting.bulk import without_forecast
from forecasting.rolling import Rolled, prior, rolled
from models.anomalies import Anomalies, anomalies
from models.card import ModelCard
from models.catalogue import ServedModel
from models.errors import NonFiniteForecast
from models.intervals import Prior
from models.naive import DAY
from models.scoring import Backtest, backtest
from processing.errors import InvalidLoadProfile, Problem
from processing.features import hour_of_day
from processing.reading import WEEK, LoadProfile, Reader, Rules
from processing.sites import Site, Sites

LEVELS = (80.0, 95.0)  # percent, of the intervals of a backtest where none are asked for
LEVEL = 99.0  # percent, of the intervals that an anomaly leaves
MOST = 150_000  # forecasts of one request, four years of a site; 14 to 20 s on two busy cores
_MORE = "A forecast is judged by the week before it and the two hours after it; each further day gives 96 more."

T = TypeVar("T")


def reader_of_past(model: ServedModel, time_zone: str, rules: Rules, levels: Sequence[float]) -> Reader:
    """Return what reads profiles that are long enough for one forecast and all that is measured of it.

    Raises:
        NoIntervals: levels are wanted of a model that has none; it is told before a large file is read.
    """
    if levels:
        prior(model)
    return Reader(time_zone, WEEK + 1 + model.card.horizon, rules, _MORE)


def usual_levels(card: ModelCard) -> Sequence[float]:
    """Return the levels of a backtest where none are asked for: none, if the card tells nothing of residuals."""
    return LEVELS if Prior.of(card) else ()


def backtests(
    model: ServedModel, read: LoadProfile | Sites, levels: Sequence[float], stride: int
) -> list[Judgement[Backtest] | Site]:
    """Backtest a model on the past of every site, from each `stride`-th quarter-hour.

    Raises:
        InvalidQuery: that would be too many forecasts; a longer stride that works and meets every time of day is
            named, if there is any.
        InvalidLoadProfile: there is none.
        NonFiniteForecast: on a file of one site.
    """
    _bound(model.card, read, stride)

    def found(profile: LoadProfile) -> Backtest:
        past = _finite(model, rolled(model, profile, levels, stride=stride))
        whole = len(profile.power) - model.card.horizon
        count = int(np.searchsorted(past.origins, whole))  # the origins below have all of their steps measured
        return backtest(
            profile.power,
            hour_of_day(profile.clock),
            past.origins[:count],
            past.forecast[:count],
            {level: (past.lower[level][:count], past.upper[level][:count]) for level in past.lower},
            stride=stride,
        )

    return [one if isinstance(one, Site) else _noted(one) for one in _each(read, found)]


def surprises(model: ServedModel, read: LoadProfile | Sites, level: float) -> list[Judgement[Anomalies] | Site]:
    """Find the anomalies in the past of every site.

    Raises:
        InvalidLoadProfile: there are too many quarter-hours to judge.
        NonFiniteForecast: on a file of one site.
    """
    _bound(model.card, read)

    def found(profile: LoadProfile) -> Anomalies:
        past = _finite(model, rolled(model, profile, [level]))
        return anomalies(int(past.origins[0]), past.forecast, past.lower[level], past.upper[level], profile.power)

    return list(_each(read, found))


def _noted(one: Judgement[Backtest]) -> Judgement[Backtest]:
    """Say in the site's notes how many times of day were forecast from, if not all of them."""
    clock = one.profile.clock[one.found.origins]
    met = len(np.unique(clock - clock.astype("datetime64[D]")))
    if met >= DAY:
        return one
    stride = one.found.stride
    if gcd(stride, DAY) > 1:
        advice = "a stride without the factors 2 and 3, such as 5 or 7, meets all of them in as many days"
    else:
        advice = f"stride={stride} meets all of them in {stride} day{'s' * (stride != 1)}"
    note = f"Only {met} of the {DAY} times of day were forecast from; {advice}."
    return replace(one, profile=replace(one.profile, notes=(*one.profile.notes, note)))


def _each(read: LoadProfile | Sites, find: Callable[[LoadProfile], T]) -> Iterator[Judgement[T] | Site]:
    if isinstance(read, LoadProfile):
        yield Judgement("", read, find(read))
        return
    for site in read.sites:
        if site.profile is None:
            yield site
            continue
        try:
            yield Judgement(site.name, site.profile, find(site.profile))
        except NonFiniteForecast as error:
            yield without_forecast(site, error)


def _finite(model: ServedModel, past: Rolled) -> Rolled:
    if not (finite := np.isfinite(past.forecast).all(axis=1)).all():
        raise NonFiniteForecast(model.name, np.flatnonzero(~finite).tolist())
    return past


def _bound(card: ModelCard, read: LoadProfile | Sites, stride: int | None = None) -> None:
    """Refuse more forecasts than `MOST`; without a stride to be made longer the file has to be shorter.

    The first to read the sites.
    """
    if isinstance(read, Sites):
        read.before_each(still_wanted())
    profiles = [read] if isinstance(read, LoadProfile) else [one.profile for one in read.sites if one.profile]
    rows = np.array([len(profile.power) for profile in profiles], np.int64) - card.horizon - WEEK

    def forecasts(stride: int) -> int:
        return int((-(-rows // stride)).sum())

    asked = forecasts(stride or 1)
    if asked <= MOST:
        return
    message = f"This asks for {asked} forecasts, and one request gets at most {MOST}."
    works = (
        longer
        for longer in range((stride or LONGEST_STRIDE) + 1, LONGEST_STRIDE + 1)
        if gcd(longer, DAY) == 1 and forecasts(longer) <= MOST
    )
    if longer := next(works, None):
        raise InvalidQuery([("stride", "too_many_forecasts", f"{message} With stride={longer} it gets along.")])
    message += " Send fewer sites or a shorter time at once."
    raise InvalidLoadProfile([Problem(None, None, "too_many_forecasts", message)])
