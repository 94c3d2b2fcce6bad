"""The bodies of good answers that list anomalies, as JSON and as CSV; their schemas stand in the OpenAPI document."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field
from starlette.responses import Response

from edge.answers import OfModel, OfSites, Reading, SiteProblems
from edge.judgements import History, Judgement, csv_of, json_of, local
from edge.tables import Row, told
from models.anomalies import Anomalies
from models.catalogue import ServedModel
from processing.reading import LoadProfile
from processing.sites import Site, Sites

Results = Sequence[Judgement[Anomalies] | Site]
_COLUMNS = (
    *("time", "measured_kw", "score", "direction"),
    *("forecast_kw", "lower_kw", "upper_kw", "minutes_ahead", "missed"),
)
_POWERS = frozenset({"measured", "forecast", "lower", "upper"})
_MINUTES = 15  # of a quarter-hour


class Judged(BaseModel):
    """The quarter-hours that were judged: those that every step of the model had been forecast for."""

    first: datetime
    last: datetime
    count: int


class Anomaly(BaseModel):
    """A quarter-hour that more than half of its forecasts missed."""

    time: datetime = Field(description="Start of the quarter-hour, with the offset of the profile's time zone.")
    measured: float = Field(description="Measured mean power in kW.")
    score: float = Field(
        description="How far from its forecasts the power was, in widths of the intervals on that side: more than half "
        "of the forecasts were off by this much or more. Above 1, at most 1,000."
    )
    direction: Literal["above", "below"] = Field(description="Where the power lay, seen from the intervals it left.")
    forecast: float = Field(description="What had been forecast in kW, by the forecast that was off by the score.")
    lower: float = Field(description="Lower bound of the interval of that forecast in kW.")
    upper: float = Field(description="Upper bound of the interval of that forecast in kW.")
    minutes_ahead: int = Field(
        description="Of that forecast: from the start of the last quarter-hour that it knew to that of this one."
    )
    missed: int = Field(description="How many of the forecasts' intervals the power left.")


class AnomaliesOfSite(Reading):
    """The quarter-hours of one site that were not as forecast, in the order of time."""

    input: History
    level: float = Field(description="Percent of the measured powers that ought to lie within an interval.")
    judged: Judged
    anomaly_count: int
    share: float = Field(description="Anomalies among the judged quarter-hours, 0 to 1.")
    by_chance: str = Field(description="How many to expect though nothing is wrong, in one sentence.")
    anomalies: list[Anomaly]


class AnomaliesAnswer(AnomaliesOfSite, OfModel):
    """The anomalies of a file of one site."""


class SiteAnomalies(AnomaliesOfSite):
    """The anomalies of one site of many."""

    site: str


class ManyAnomalies(OfSites):
    """The anomalies of the sites of one file, in its order. A bad site has its problems in its place."""

    sites: list[SiteAnomalies | SiteProblems]


def response(model: ServedModel, time_zone: str, read: LoadProfile | Sites, results: Results, level: float) -> Response:
    """Put the anomalies of a file into words."""
    return json_of(model, time_zone, read, results, lambda one: _members(one, level))


def _members(one: Judgement[Anomalies], level: float) -> dict[str, Any]:
    found = one.found
    first, last = local(one.profile, [found.first, found.last])
    return {
        "level": level,
        "judged": {"first": first, "last": last, "count": found.judged},
        "anomaly_count": len(found.rows),
        "share": len(found.rows) / found.judged,
        "by_chance": by_chance(found, level),
        "anomalies": list(_entries(one)),
    }


def table(read: LoadProfile | Sites, results: Results, level: float) -> Response:
    """Put the anomalies of a file into rows, one for each."""
    return csv_of(_COLUMNS, read, results, lambda one: _rows(one, level))


def _rows(one: Judgement[Anomalies], level: float) -> Iterator[Row]:
    for entry in _entries(one):
        yield {"kind": "anomaly"} | {f"{key}_kw" if key in _POWERS else key: value for key, value in entry.items()}
    yield told("note", by_chance(one.found, level))


def _entries(one: Judgement[Anomalies]) -> Iterator[dict[str, Any]]:
    found = one.found
    numbers = {
        "measured": one.profile.power[found.rows],
        "score": found.score,
        "direction": np.where(found.above, "above", "below"),
        "forecast": found.forecast,
        "lower": found.lower,
        "upper": found.upper,
        "minutes_ahead": _MINUTES * found.ahead,
        "missed": found.missed,
    }
    columns = (local(one.profile, found.rows.tolist()), *(column.tolist() for column in numbers.values()))
    return (dict(zip(("time", *numbers), values, strict=True)) for values in zip(*columns, strict=True))


def by_chance(found: Anomalies, level: float) -> str:
    """Say how many quarter-hours to expect in the list though nothing is wrong."""
    left = round(100 - level, 6)
    count = round(found.judged * left / 100)
    expected = f"about {count}" if count else "fewer than one"
    judged = f"these {found.judged}" if found.judged > 1 else "this 1"
    return (
        f"Each interval is left by {left:g} % of good quarter-hours, so {expected} of {judged} may be listed though "
        "nothing is wrong."
    )
