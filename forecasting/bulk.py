"""The sites of one file to forecasts, with intervals where they are asked for; a site that has none spoils no other."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from edge.answers import SiteAnswer
from edge.timing import stage
from forecasting.power import power
from forecasting.rolling import intervals
from models.catalogue import ServedModel
from models.errors import NonFiniteForecast
from processing.errors import Problem
from processing.sites import Site

AT_ONCE = 64  # sites of one request that are in memory and that a model gets at a time; 1 MB of input


def site_forecasts(model: ServedModel, sites: Iterable[Site], levels: Sequence[float] = ()) -> Iterator[SiteAnswer]:
    """Forecast every site that can be, `AT_ONCE` at a time: so much memory, however many there are.

    Args:
        model: the model that answers.
        sites: each with its load profile, or without one; they may be read while they are gone through.
        levels: of the intervals, percent; none gives no intervals.

    Raises:
        NoIntervals: levels were given and the model has no intervals.
    """
    waiting = iter(sites)
    while some := _next(waiting):
        yield from _some(model, some, levels)


def _next(sites: Iterator[Site]) -> list[Site]:
    with stage("read"):
        return list(islice(sites, AT_ONCE))


def _some(model: ServedModel, sites: Sequence[Site], levels: Sequence[float]) -> list[SiteAnswer]:
    good = [site.profile for site in sites if site.profile is not None]
    try:
        powers = power(model, good)
    except NonFiniteForecast as error:
        bad = {id(good[row]) for row in error.rows}
        return _some(
            model, [without_forecast(site, error) if id(site.profile) in bad else site for site in sites], levels
        )
    given = iter(zip(powers, intervals(model, good, powers, levels) if levels else [None] * len(good), strict=True))
    return [SiteAnswer(site, *((None, None) if site.profile is None else next(given))) for site in sites]


def without_forecast(site: Site, error: NonFiniteForecast) -> Site:
    """Give a site with the reason why it cannot be forecast in the place of its profile."""
    return Site(site.name, None, (Problem(None, None, "no_finite_forecast", str(error)),), 1)
