"""What answers about a site's past have in common: backtests and anomalies, for one site or many.

A `Judgement` is what was found for a site; a `Site` in its place is one that could not be judged, with its problems.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field
from starlette.responses import Response

from edge import tables
from edge.answers import json_response, of_model, of_reading, of_refused, of_sites
from models.catalogue import ServedModel
from processing.reading import LoadProfile
from processing.sites import Site, Sites

T = TypeVar("T")


@dataclass(frozen=True)
class Judgement(Generic[T]):
    """What was found for a site of that name (empty in a file of one)."""

    site: str
    profile: LoadProfile
    found: T


class History(BaseModel):
    """What was read from the CSV."""

    start: datetime = Field(description="First quarter-hour of the site's rows.")
    end: datetime = Field(description="Last quarter-hour of the site's rows.")
    rows: int = Field(description="Quarter-hours from the first to the last.")


def json_of(
    model: ServedModel,
    time_zone: str,
    read: LoadProfile | Sites,
    results: Sequence[Judgement[T] | Site],
    describe: Callable[[Judgement[T]], dict[str, Any]],
) -> Response:
    """Answer as JSON; `describe` gives the members that are told of one site, besides those of its reading."""
    bodies = (of_refused(one) if isinstance(one, Site) else _of_site(one, describe(one)) for one in results)
    if isinstance(read, Sites):
        return of_sites(model, time_zone, read.notes, bodies)
    return json_response(
        of_model(model, time_zone) | {name: told for name, told in next(bodies).items() if name != "site"}
    )


def _of_site(one: Judgement[T], members: dict[str, Any]) -> dict[str, Any]:
    start, end = local(one.profile, [0, -1])
    span = {"start": start, "end": end, "rows": len(one.profile.time)}
    return {"site": one.site, "input": span} | members | of_reading(one.profile)


def csv_of(
    columns: Sequence[str],
    read: LoadProfile | Sites,
    results: Sequence[Judgement[T] | Site],
    describe: Callable[[Judgement[T]], Iterable[tables.Row]],
) -> Response:
    """Answer as CSV; `describe` gives the rows that are told of one site, besides those of its reading."""

    def rows() -> Iterator[tables.Row]:
        if isinstance(read, Sites):
            yield from (tables.told("note", note) for note in read.notes)
        for one in results:
            if isinstance(one, Site):
                yield from ({"site": one.name} | row for row in tables.refused(one))
            else:
                told = (*describe(one), *tables.remarks(one.profile))
                yield from ({"site": one.site} | row for row in told)

    return tables.response(("site", "kind", *columns), rows())


def local(profile: LoadProfile, rows: Sequence[int]) -> list[str]:
    """Write the instants of some rows with the offset of the profile's zone, in ISO 8601."""
    times = pd.DatetimeIndex(profile.time[np.asarray(rows, np.intp)], tz="UTC").tz_convert(profile.time_zone)
    return [time.isoformat() for time in times]
