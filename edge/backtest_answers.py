"""The bodies of good answers to a backtest, as JSON and as CSV; their schemas stand in the OpenAPI document."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import Response

from edge.answers import OfModel, OfSites, Reading, SiteProblems
from edge.judgements import History, Judgement, csv_of, json_of, local
from edge.tables import Row, told
from edge.verdict import verdict
from models.catalogue import ServedModel
from models.scoring import SEASON, Backtest, Coverage, Errors, Held, Scores
from processing.reading import LoadProfile
from processing.sites import Site, Sites

Results = Sequence[Judgement[Backtest] | Site]


class Origins(BaseModel):
    """The quarter-hours that forecasts were made from: each the last one that the model knew."""

    first: datetime
    last: datetime
    count: int = Field(description="How many forecasts were made.")
    stride: int = Field(description="Quarter-hours from one origin to the next.")


class LevelHeld(BaseModel):
    """How the intervals of one level did."""

    level: float = Field(description="Percent of the measured powers that ought to lie within.")
    share: float = Field(description="Share of the measured powers that did, 0 to 1.")
    mean_width: float = Field(description="Mean width of the intervals in kW.")


class ForecastScores(BaseModel):
    """The errors of a forecast over all origins."""

    mae: float = Field(description="Mean absolute error in kW.")
    rmse: float = Field(description="Root mean square error in kW.")
    bias: float = Field(description="Mean of forecast minus measured in kW: above 0 too much was forecast.")
    mase: float | None = Field(description="MAE / mean absolute change over `season`; null if nothing changes.")


class ModelScores(ForecastScores):
    """The errors of the model and the coverage of its intervals."""

    coverage: list[LevelHeld] = Field(description="Empty if the model's card tells nothing to make intervals of.")


class StepScores(ModelScores):
    """The same for one step of the forecast."""

    minutes_ahead: int = Field(description="From the start of the last known quarter-hour to that of the forecast one.")


class NaiveScores(ForecastScores):
    """The errors of a naive forecast from the same origins."""

    mae_by_step: list[float]


class LevelShare(BaseModel):
    """How the intervals of one level did in one hour of the day."""

    level: float
    share: float | None = Field(description="Null if no quarter-hour of this hour was forecast.")


class HourCoverage(BaseModel):
    """How the intervals did in one hour of the day."""

    hour: int = Field(description="Local hour of the forecast quarter-hours, 0 to 23.")
    coverage: list[LevelShare]


class BacktestOfSite(Reading):
    """How good the model would have been over one site's own past."""

    input: History
    verdict: str = Field(description="What the figures say, in one sentence.")
    origins: Origins
    season: int = Field(description="The m of MASE in quarter-hours: a week.")
    steps: list[StepScores]
    mean: ModelScores = Field(description="Over all steps together.")
    naive: dict[str, NaiveScores]
    best_naive: str = Field(description="The naive forecast with the smallest MAE.")
    skill: float | None = Field(description="1 - MAE / MAE of the best naive forecast; null if that is never wrong.")
    coverage_by_hour: list[HourCoverage]


class BacktestAnswer(BacktestOfSite, OfModel):
    """The backtest of a file of one site."""


class SiteBacktest(BacktestOfSite):
    """The backtest of one site of many."""

    site: str


class SiteBacktests(OfSites):
    """The backtests of the sites of one file, in its order. A bad site has its problems in its place."""

    sites: list[SiteBacktest | SiteProblems]


def response(model: ServedModel, time_zone: str, read: LoadProfile | Sites, results: Results) -> Response:
    """Put the backtests of a file into words."""
    return json_of(model, time_zone, read, results, lambda one: _members(model, one))


def _members(model: ServedModel, one: Judgement[Backtest]) -> dict[str, Any]:
    found, minutes = one.found, model.card.interval_minutes
    first, last = local(one.profile, found.origins[[0, -1]].tolist())
    return {
        "verdict": verdict(model.name, found),
        "origins": {"first": first, "last": last, "count": len(found.origins), "stride": found.stride},
        "season": SEASON,
        "steps": [
            {"minutes_ahead": minutes * (at + 1)}
            | _errors(errors)
            | {"coverage": [_held(of_level.level, of_level.steps[at]) for of_level in found.coverage]}
            for at, errors in enumerate(found.model.steps)
        ],
        "mean": _errors(found.model.mean) | {"coverage": [_held(one.level, one.mean) for one in found.coverage]},
        "naive": {
            name: _errors(scores.mean) | {"mae_by_step": [step.mae for step in scores.steps]}
            for name, scores in found.naive.items()
        },
        "best_naive": found.best_naive,
        "skill": found.skill,
        "coverage_by_hour": _by_hour(found.coverage),
    }


def _errors(errors: Errors) -> dict[str, Any]:
    return {"mae": errors.mae, "rmse": errors.rmse, "bias": errors.bias, "mase": errors.mase}


def _held(level: float, held: Held) -> dict[str, Any]:
    return {"level": level, "share": held.share, "mean_width": held.width}


def _by_hour(coverage: Sequence[Coverage]) -> list[dict[str, Any]]:
    hours = range(len(coverage[0].by_hour)) if coverage else ()
    return [
        {"hour": hour, "coverage": [{"level": one.level, "share": one.by_hour[hour]} for one in coverage]}
        for hour in hours
    ]


def table(model: ServedModel, read: LoadProfile | Sites, results: Results, levels: Sequence[float]) -> Response:
    """Put the backtests of a file into rows: one for each forecast, the naive ones included, and step."""
    of_levels = [name for level in levels for name in _level_columns(level)]
    columns = ("forecast", "minutes_ahead", "forecasts", "mae_kw", "rmse_kw", "bias_kw", "mase", *of_levels)
    return csv_of(columns, read, results, lambda one: _rows(model, one.found))


def _level_columns(level: float) -> tuple[str, str]:
    return f"coverage_{level:g}", f"width_{level:g}_kw"


def _rows(model: ServedModel, found: Backtest) -> Iterator[Row]:
    about: Row = {"kind": "score", "forecasts": len(found.origins)}
    minutes, steps = model.card.interval_minutes, range(len(found.model.steps))
    held = [{one.level: one.steps[at] for one in found.coverage} for at in steps]
    held.append({one.level: one.mean for one in found.coverage})
    yield from (about | {"forecast": model.name} | row for row in _score_rows(found.model, minutes, held))
    for name, scores in found.naive.items():
        yield from (about | {"forecast": name} | row for row in _score_rows(scores, minutes, [{}] * len(held)))
    yield told("verdict", verdict(model.name, found))


def _score_rows(scores: Scores, minutes: int, held: Sequence[Mapping[float, Held]]) -> Iterator[Row]:
    ahead: list[object] = [minutes * (at + 1) for at in range(len(scores.steps))]
    for when, errors, levels in zip([*ahead, "all"], [*scores.steps, scores.mean], held, strict=True):
        row: Row = {"minutes_ahead": when, "mae_kw": errors.mae, "rmse_kw": errors.rmse, "bias_kw": errors.bias}
        for level, one in levels.items():
            row |= zip(_level_columns(level), (one.share, one.width), strict=True)
        yield row | {"mase": errors.mase}
