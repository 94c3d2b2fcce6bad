"""Load profiles to forecasts: what the endpoints share, for one site and for many."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge.answers import SiteAnswer
from models.card import ModelCard
from models.catalogue import ServedModel
from models.errors import NonFiniteForecast
from processing.errors import Problem
from processing.pipeline import Preparation
from processing.reading import LoadProfile
from processing.sites import Site

AT_ONCE = 512  # sites of one request that a model gets at a time; 10 MB of input


def power(model: ServedModel, profiles: Sequence[LoadProfile]) -> npt.NDArray[np.float64]:
    """Go the way from n load profiles to (n, horizon) kW."""
    prepared = preparation(model.card)
    return prepared.power(model.runner.predict(prepared.model_inputs(profiles)))


def site_forecasts(model: ServedModel, sites: Sequence[Site]) -> list[SiteAnswer]:
    """Forecast every site that can be, `AT_ONCE` at a time: so much memory, however many there are."""
    forecasts: list[SiteAnswer] = []
    for start in range(0, len(sites), AT_ONCE):
        part = list(sites[start : start + AT_ONCE])
        try:
            good = [site.profile for site in part if site.profile is not None]
            powers = iter(power(model, good))
        except NonFiniteForecast as error:
            bad = {id(good[row]) for row in error.rows}
            part = [without_forecast(site, error) if id(site.profile) in bad else site for site in part]
            powers = iter(power(model, [site.profile for site in part if site.profile is not None]))
        forecasts += [SiteAnswer(site, None if site.profile is None else next(powers)) for site in part]
    return forecasts


def without_forecast(site: Site, error: NonFiniteForecast) -> Site:
    """Give a site with the reason why it cannot be forecast in the place of its profile."""
    return Site(site.name, None, (Problem(None, None, "no_finite_forecast", str(error)),), 1)


def preparation(card: ModelCard) -> Preparation:
    """Return what the card says of a model's input and output."""
    return Preparation(
        columns=card.column_names,
        mean=[column.mean for column in card.columns],
        std=[column.std for column in card.columns],
        target_mean=card.target.mean,
        target_std=card.target.std,
        window=card.window,
    )
