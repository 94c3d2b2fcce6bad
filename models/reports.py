"""The report of a retraining: what was tried, on which data, how it did and what was decided.

In: a `Report`. Out: the same as JSON for programs and as Markdown for people, in a folder, each file whole or not
there.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Data(BaseModel):
    """The load profile that the candidate was trained and tried on."""

    model_config = ConfigDict(frozen=True, serialize_by_alias=True, populate_by_name=True)

    file: str
    sha256: str
    from_: datetime = Field(alias="from")
    to: datetime
    rows: int


class Test(BaseModel):
    """The quarter-hours on which all were tried, and the mean absolute error in kW, one number a step."""

    model_config = ConfigDict(frozen=True, serialize_by_alias=True, populate_by_name=True)

    from_: datetime = Field(alias="from")
    to: datetime
    windows: int
    mae_kw: dict[str, list[float]]


class Report(BaseModel):
    """One retraining.

    Attributes:
        at: when it ended, UTC.
        model: the name that it is for.
        network: which network was trained.
        decision: what became of it.
        reason: why, in one sentence.
        margin: the part of the stable version's error that had to be gone.
        candidate, stable: versions in the Bento model store, the stable one being that before the decision.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    at: datetime
    model: str
    network: str
    decision: Literal["promoted", "kept", "failed"]
    reason: str
    margin: float
    candidate: str | None = None
    stable: str | None = None
    data: Data | None = None
    test: Test | None = None


def write(report: Report, folder: Path) -> Path:
    """Write `NAME-TIME.json` and `NAME-TIME.md`; give the path of the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{report.model}-{report.at:%Y%m%dT%H%M%SZ}"
    for suffix, text in ((".json", report.model_dump_json(indent=2) + "\n"), (".md", markdown(report))):
        partial = stem.with_name(f"{stem.name}{suffix}.{os.getpid()}.partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(stem.with_name(stem.name + suffix))
    return stem.with_name(f"{stem.name}.md")


def markdown(report: Report) -> str:
    """Give the report for people."""
    lines = [
        f"# {report.model}: {report.decision}",
        f"The candidate was {report.decision}: {report.reason}."
        if report.decision != "failed"
        else f"The retraining failed: {report.reason}.",
        "",
        f"- Time: {report.at:%Y-%m-%d %H:%M:%S} UTC; network `{report.network}`; margin {report.margin:.1%}",
        f"- Candidate: `{report.candidate or 'none'}`; stable before: `{report.stable or 'none'}`",
    ]
    if (data := report.data) is not None:
        lines.append(f"- Data: `{data.file}`, {data.rows} quarter-hours, {_span(data)}; SHA-256 `{data.sha256}`")
    if (test := report.test) is not None:
        lines += [f"- Tried on {test.windows} forecasts, {_span(test)}, that none was made from", "", *_table(test)]
    return "\n".join(lines) + "\n"


def _table(test: Test) -> list[str]:
    """Give the mean absolute errors in kW, the smallest mean first."""
    mean = {name: sum(steps) / len(steps) for name, steps in test.mae_kw.items()}
    steps = len(next(iter(test.mae_kw.values())))
    head = ["MAE in kW", "mean", *(f"step {step}" for step in range(1, steps + 1))]
    rows = [
        [name, f"{mean[name]:.3f}", *(f"{kw:.3f}" for kw in test.mae_kw[name])]
        for name in sorted(mean, key=mean.get)  # type: ignore[arg-type]
    ]
    return [_row(head), _row(["---", *["---:"] * (steps + 1)]), *map(_row, rows)]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _span(part: Data | Test) -> str:
    return f"{part.from_:%Y-%m-%d %H:%M} to {part.to:%Y-%m-%d %H:%M} UTC"
