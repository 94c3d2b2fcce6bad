"""Many sites at once: each has its own outcome, with and without intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from quick_model import PLAIN, profile, served

from edge.errors import NoIntervals
from forecasting import bulk
from forecasting.power import SHARED, power
from processing.errors import Problem
from processing.sites import Site, Sites

if TYPE_CHECKING:
    from collections.abc import Iterator

WEEK = 672
REFUSED = Site("refused", None, (Problem(3, "kW", "gap", "A gap."),), 1)


def good(name: str, mean: float, rows: int = WEEK) -> Site:
    """Make a site with some noise."""
    return Site(name, profile(mean + np.random.default_rng(int(mean)).normal(size=rows)))


def of(*sites: Site) -> Sites:
    """Make a file of sites."""
    return Sites(sites, count=len(sites))


def endless(name: str) -> Site:
    """Make a site that the model has no finite answer for."""
    return Site(name, profile(np.append(np.full(WEEK - 1, 5.0), 2e6)))


@pytest.mark.parametrize("levels", [(), (80.0, 95.0)])
@pytest.mark.parametrize("at_once", [1, 3, 512])
def test_each_site_has_its_own_outcome(
    levels: tuple[float, ...], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the file: forecasts, sites that were refused, and sites without a finite forecast."""
    monkeypatch.setattr(bulk, "AT_ONCE", at_once)
    model = served(residual_quantiles=PLAIN)
    sites = [good("north", 10), REFUSED, endless("mad"), good("south", 90, 3 * WEEK)]
    north, refused, mad, south = bulk.site_forecasts(model, of(*sites), levels)
    assert (refused.site, refused.power, refused.intervals) == (REFUSED, None, None)
    assert (mad.site.name, mad.power, mad.intervals) == ("mad", None, None)
    assert [problem.code for problem in mad.site.problems] == ["no_finite_forecast"]
    for one, mean, rows in ((north, 10, 0), (south, 90, 2 * WEEK - 8)):
        assert one.power == pytest.approx(np.full(8, mean), abs=5)
        assert (one.intervals is not None) is bool(levels)
        if one.intervals is not None:
            assert one.intervals.rows == rows
            assert (one.intervals.upper[95.0] > one.power).all()


@pytest.mark.parametrize("count", [1, SHARED - 1, SHARED, 3 * SHARED + 1])
def test_each_of_many_is_forecast_as_it_would_be_alone(count: int) -> None:
    """In their order, also where a second thread forecasts one half of them; NaN for who has no finite forecast."""
    profiles = [site.profile for site in (*(good(str(at), at) for at in range(count)), endless("mad")) if site.profile]
    together = power(served(), profiles)
    np.testing.assert_array_equal(together, np.concatenate([power(served(), [one]) for one in profiles]))
    assert np.isnan(together).any(axis=1).tolist() == [False] * count + [True]


def test_sites_of_which_none_can_be_forecast() -> None:
    """No forecast is made, and none is missed."""
    answers = bulk.site_forecasts(served(residual_quantiles=PLAIN), of(REFUSED, endless("mad")), [80.0])
    assert [one.power for one in answers] == [None, None]
    assert list(bulk.site_forecasts(served(), of(), [])) == []


def test_model_without_intervals_refuses_levels() -> None:
    """That is the request's fault, not a site's."""
    with pytest.raises(NoIntervals):
        list(bulk.site_forecasts(served(), of(good("north", 10)), [80.0]))


def test_no_more_sites_are_in_memory_than_are_forecast_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A site is read when its turn comes, not before."""
    monkeypatch.setattr(bulk, "AT_ONCE", 3)
    read = []

    def sites() -> Iterator[Site]:
        for at in range(7):
            read.append(at)
            yield good(str(at), 10 + at)

    seen = [(one.site.name, len(read)) for one in bulk.site_forecasts(served(), Sites(sites(), count=7))]
    assert seen == [("0", 3), ("1", 3), ("2", 3), ("3", 6), ("4", 6), ("5", 6), ("6", 7)]
