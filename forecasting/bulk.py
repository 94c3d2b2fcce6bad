"""The sites of one file to forecasts, with intervals where they are asked for; a site that has none spoils no other."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from math import isfinite

import numpy as np
import numpy.typing as npt

from edge.answers import SiteAnswer
from edge.timing import stage
from edge.turns import still_wanted
from forecasting.power import await_compiled, power
from forecasting.rolling import intervals
from models.catalogue import ServedModel
from models.errors import NonFiniteForecast
from processing.errors import Problem
from processing.sites import Site, Sites

AT_ONCE = 64  # sites of one request that are in memory and that a model gets at a time; 1 MB of input


def site_forecasts(model: ServedModel, sites: Sites, levels: Sequence[float] = ()) -> Iterator[SiteAnswer]:
    """Forecast every site that can be, `AT_ONCE` at a time: so much memory, however many there are.

    Args:
        model: the model that answers.
        sites: each with its load profile, or without one; they are read while they are gone through.
        levels: of the intervals, percent; none gives no intervals.

    Raises:
        NoIntervals: levels were given and the model has no intervals.
        StillCompiling: as `await_compiled` does, before the first site is read; with levels later, too.
    """
    await_compiled(model, sites.count)
    sites.before_each(still_wanted())
    waiting = iter(sites)
    while some := _next(waiting):
        yield from _some(model, some, levels)


def _next(sites: Iterator[Site]) -> list[Site]:
    with stage("read"):
        return list(islice(sites, AT_ONCE))


def _some(model: ServedModel, sites: Sequence[Site], levels: Sequence[float]) -> list[SiteAnswer]:
    powers = iter(power(model, [site.profile for site in sites if site.profile is not None]))
    answers = [_answer(model, site, None if site.profile is None else next(powers)) for site in sites]
    if not levels:
        return answers
    good = [(one.site.profile, one.power) for one in answers if one.site.profile is not None and one.power is not None]
    around = iter(intervals(model, [profile for profile, _ in good], np.array([kw for _, kw in good]), levels))
    return [one if one.power is None else replace(one, intervals=next(around)) for one in answers]


def _answer(model: ServedModel, site: Site, kw: npt.NDArray[np.float64] | None) -> SiteAnswer:
    if kw is None or isfinite(kw[0]):
        return SiteAnswer(site, kw)
    return SiteAnswer(without_forecast(site, NonFiniteForecast(model.name, [0])), None)


def without_forecast(site: Site, error: NonFiniteForecast) -> Site:
    """Give a site with the reason why it cannot be forecast in the place of its profile."""
    return Site(site.name, None, (Problem(None, None, "no_finite_forecast", str(error)),), 1)
