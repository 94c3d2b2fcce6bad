"""The bodies of good answers; their schemas stand in the OpenAPI document."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.responses import Response

from edge.problems import SHOWN
from models.calibration import Intervals
from models.catalogue import Known, ServedModel
from models.labels import STABLE
from processing.pipeline import forecast_times
from processing.reading import LoadProfile
from processing.sites import Site


class ProblemEntry(BaseModel):
    """One thing that is wrong with the input."""

    row: int | None = Field(None, description="Row as a spreadsheet counts: the header is row 1.")
    column: str | None = Field(None, description="Name of the column in the header.")
    field: str | None = Field(None, description="Name of the form's field or of the query parameter that is meant.")
    code: str = Field(description="Stable name of the problem, for programs.")
    message: str = Field(description="What is wrong and what to do, for people.")


class Interval(BaseModel):
    """Where the power will lie with a probability of `level` percent."""

    level: float = Field(description="Percent, as asked for.")
    lower: float = Field(description="kW; not below zero for a site whose power never was.")
    upper: float = Field(description="kW.")


class Step(BaseModel):
    """One quarter-hour of a forecast."""

    time: datetime = Field(description="Start of the quarter-hour, with the offset of the profile's time zone.")
    power: float = Field(description="Forecast mean power in kW.")
    intervals: list[Interval] | None = Field(
        None, description="Only where `level` is asked for: each contains the forecast and those of lower levels."
    )


class Span(BaseModel):
    """What was read from the CSV."""

    start: datetime = Field(description="First quarter-hour of the file.")
    end: datetime = Field(description="Last quarter-hour of the file; the forecast begins with the next one.")
    rows: int = Field(description="Quarter-hours in the file.")
    used: int = Field(description="Newest quarter-hours that the model looked at.")


class Repair(BaseModel):
    """One thing that was changed because the request asked for it."""

    code: str = Field(description="The repair, as the parameter `repair` names it.")
    row: int | None = Field(description="The first row that it concerns; the header is row 1.")
    column: str | None
    count: int = Field(description="How many rows it concerns.")
    message: str


class Doubt(BaseModel):
    """One thing that looked wrong and was passed over because the request asked for it."""

    row: int | None
    column: str | None
    code: str = Field(description="The doubt, as the parameter `accept` names it.")
    message: str


class Reading(BaseModel):
    """What was assumed, changed and passed over in reading a site's rows."""

    notes: list[str] = Field(description="What was assumed in reading the file and you should know.")
    repairs: list[Repair] = Field(description="The first 100 changes that were made on request.")
    repair_count: int = Field(description="How many changes were made.")
    accepted: list[Doubt] = Field(description="What looked wrong and was passed over on request.")


class OfModel(BaseModel):
    """Which model answers, and in what."""

    model: str
    version: str = Field(description="Version of the model in the Bento model store.")
    unit: str = Field(description="Unit of every power.")
    interval_minutes: int
    time_zone: str = Field(description="Zone in which stamps without an offset were read.")


class OfSites(OfModel):
    """What is said of a file of many sites. A bad site has its problems in its place."""

    notes: list[str] = Field(description="What was assumed in reading the file and you should know.")
    site_count: int
    refused_count: int = Field(description="How many of the sites have problems instead of an answer.")


class _Steps(Reading):
    input: Span
    forecast: list[Step]
    calibration_rows: int | None = Field(
        None,
        description=(
            "Only where `level` is asked for: the site's own past quarter-hours, of the newest four weeks, that "
            "corrected the intervals; 0 for a file of one week."
        ),
    )


class Forecast(_Steps, OfModel):
    """The next two hours in quarter-hours."""


class SiteForecast(_Steps):
    """The forecast of one site of many."""

    site: str


class SiteProblems(BaseModel):
    """Why there is no forecast for one site of many."""

    site: str
    problems: list[ProblemEntry] = Field(description="The first 100 problems of the site's rows.")
    problem_count: int


class SiteForecasts(OfSites):
    """The forecasts of the sites of one file, in its order. A bad site has its problems in its place."""

    sites: list[SiteForecast | SiteProblems]


class ModelVersion(BaseModel):
    """One version of a model in the store."""

    version: str
    imported: datetime
    labels: list[str] = Field(description="`stable` answers by default, `canary` is on trial.")
    loaded: bool = Field(description="Whether `?version=` can name it; versions without a label are not loaded.")


class ModelEntry(BaseModel):
    """One model in the list of models."""

    name: str
    version: str | None = Field(description="Version that answers where none is asked for; null if none does.")
    description: str | None
    ready: bool = Field(description="Whether it answers; the reason why not stands in the service's log.")
    versions: list[ModelVersion] = Field(description="Every version in the store, the newest first.")

    @classmethod
    def of(cls, known: Known) -> "ModelEntry":
        """Put a name with its versions and labels into words."""
        stable = known.served.get(STABLE)
        versions = [
            ModelVersion(
                version=entry.version,
                imported=entry.created,
                labels=list(known.labels.of(entry.version)),
                loaded=known.loaded(entry.version) is not None,
            )
            for entry in known.entries
        ]
        return cls(
            name=known.name,
            version=stable.version if stable else None,
            description=stable.card.description if stable else None,
            ready=stable is not None,
            versions=versions,
        )


class ModelList(BaseModel):
    """Every model that this service knows."""

    models: list[ModelEntry]


def json_response(body: Any) -> Response:
    """Return a JSON answer."""
    return Response(_json(body), media_type="application/json")


@dataclass(frozen=True)
class SiteAnswer:
    """What there is to say of one site: `power` (horizon,) kW and the profile behind it, or why there is none.

    `intervals` around it, where they were asked for.
    """

    site: Site
    power: npt.NDArray[np.float64] | None
    intervals: Intervals | None = None


def forecast(
    model: ServedModel, profile: LoadProfile, power: npt.NDArray[np.float64], intervals: Intervals | None = None
) -> Response:
    """Put a forecast `power` (horizon,) in kW into words."""
    return json_response(of_model(model, profile.time_zone) | _of_profile(model, profile, power, intervals, Clock()))


def site_forecasts(model: ServedModel, time_zone: str, notes: Sequence[str], sites: Iterable[SiteAnswer]) -> Response:
    """Put the forecasts of many sites into words."""
    clock = Clock()
    return of_sites(model, time_zone, notes, (_of_site(model, one, clock) for one in sites))


def of_sites(model: ServedModel, time_zone: str, notes: Sequence[str], sites: Iterable[dict[str, Any]]) -> Response:
    """Return the JSON answer for many sites, of which each is answered or refused.

    It is written a site at a time, so that neither all of them need to be in memory nor other requests to wait.
    """
    written, refused = [], 0
    for one in sites:
        written.append(_json(one))
        refused += "problems" in one
    told = {"notes": list(notes), "site_count": len(written), "refused_count": refused, "sites": []}
    head = _json(of_model(model, time_zone) | told).removesuffix(b"]}")
    return Response(b"".join([head, b",".join(written), b"]}"]), media_type="application/json")


def _json(body: Any) -> bytes:
    """Write JSON, in a tenth of the time that `json.dumps` takes.

    Raises:
        ValueError: a number is not finite.
    """
    written = to_json(body, inf_nan_mode="constants")
    if b"NaN" in written or b"Infinity" in written:  # a name, or a number that JSON does not have
        return json.dumps(body, allow_nan=False).encode()
    return written


def of_model(model: ServedModel, time_zone: str) -> dict[str, Any]:
    """Give the members that tell which model answers, and in what."""
    return {
        "model": model.name,
        "version": model.version,
        "unit": model.card.target.unit,
        "interval_minutes": model.card.interval_minutes,
        "time_zone": time_zone,
    }


def _of_site(model: ServedModel, one: SiteAnswer, clock: "Clock") -> dict[str, Any]:
    if one.power is None or one.site.profile is None:
        return of_refused(one.site)
    return {"site": one.site.name} | _of_profile(model, one.site.profile, one.power, one.intervals, clock)


def of_refused(site: Site) -> dict[str, Any]:
    """Give the members of `SiteProblems`."""
    listed = [asdict(problem) for problem in site.problems[:SHOWN]]
    return {"site": site.name, "problems": listed, "problem_count": site.problem_count}


def of_reading(profile: LoadProfile) -> dict[str, Any]:
    """Give the members of `Reading`."""
    return {
        "notes": list(profile.notes),
        "repairs": [asdict(repair) for repair in profile.repairs[:SHOWN]],
        "repair_count": len(profile.repairs),
        "accepted": [asdict(doubt) for doubt in profile.accepted],
    }


def _of_profile(
    model: ServedModel,
    profile: LoadProfile,
    power: npt.NDArray[np.float64],
    intervals: Intervals | None,
    clock: "Clock",
) -> dict[str, Any]:
    start, end, *times = clock.show(profile, model.card.horizon)
    steps: list[dict[str, Any]] = [{"time": time, "power": kw} for time, kw in zip(times, power.tolist(), strict=True)]
    answer = {
        "input": {"start": start, "end": end, "rows": len(profile.time), "used": model.card.window},
        "forecast": steps,
    } | of_reading(profile)
    if intervals is not None:
        for at, step in enumerate(steps):
            step["intervals"] = [
                {"level": level, "lower": float(lower[at]), "upper": float(intervals.upper[level][at])}
                for level, lower in intervals.lower.items()
            ]
        answer["calibration_rows"] = intervals.rows
    return answer


class Clock:
    """Writes instants with the offset of a zone; what sites have in common it writes once."""

    def __init__(self) -> None:
        self._shown: dict[tuple[Any, ...], list[str]] = {}

    def show(self, profile: LoadProfile, horizon: int) -> list[str]:
        """Return a profile's first and last quarter-hour and the `horizon` that follow, in ISO 8601."""
        key = (profile.time[0].item(), profile.time[-1].item(), profile.time_zone, horizon)  # NumPy's own hash slowly
        if key not in self._shown:
            times = np.concatenate([profile.time[[0, -1]], forecast_times(profile, horizon)])
            local = pd.DatetimeIndex(times, tz="UTC").tz_convert(profile.time_zone)
            self._shown[key] = [time.isoformat() for time in local]
        return self._shown[key]
