"""The bodies of good answers; their schemas stand in the OpenAPI document."""

import json
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, Field
from starlette.responses import Response

from models.catalogue import Known, ServedModel
from models.labels import STABLE
from processing.pipeline import forecast_times
from processing.reading import LoadProfile


class Step(BaseModel):
    """One quarter-hour of a forecast."""

    time: datetime = Field(description="Start of the quarter-hour, with the offset of the profile's time zone.")
    power: float = Field(description="Forecast mean power in kW.")


class Span(BaseModel):
    """What was read from the CSV."""

    start: datetime = Field(description="First quarter-hour of the file.")
    end: datetime = Field(description="Last quarter-hour of the file; the forecast begins with the next one.")
    rows: int = Field(description="Quarter-hours in the file.")
    used: int = Field(description="Newest quarter-hours that the model looked at.")


class Forecast(BaseModel):
    """The next two hours in quarter-hours."""

    model: str
    version: str = Field(description="Version of the model in the Bento model store.")
    unit: str = Field(description="Unit of every power.")
    interval_minutes: int
    time_zone: str = Field(description="Zone in which stamps without an offset were read.")
    input: Span
    forecast: list[Step]
    notes: list[str] = Field(description="What was assumed in reading the file and you should know.")


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
    return Response(json.dumps(body, allow_nan=False), media_type="application/json")


def forecast(model: ServedModel, profile: LoadProfile, power: npt.NDArray[np.float64]) -> Response:
    """Put a forecast `power` (1, horizon) in kW into words."""
    card = model.card
    times = np.concatenate([profile.time[[0, -1]], forecast_times(profile, card.horizon)])
    first, last, *steps = pd.DatetimeIndex(times, tz="UTC").tz_convert(profile.time_zone)
    answer = Forecast(
        model=model.name,
        version=model.version,
        unit=card.target.unit,
        interval_minutes=card.interval_minutes,
        time_zone=profile.time_zone,
        input=Span(start=first, end=last, rows=len(profile.time), used=card.window),
        forecast=[Step(time=time, power=kw) for time, kw in zip(steps, power[0].tolist(), strict=True)],
        notes=list(profile.notes),
    )
    return Response(answer.model_dump_json(), media_type="application/json")
