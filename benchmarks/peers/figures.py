"""What was measured, and what it comes to: cells of one round, medians of all rounds.

In: the loads of one peer at one concurrency, round by round. Out: one `Cell` with p50, p95, p99 in milliseconds,
requests a second and all errors; a peer's `Row` besides has its memory in MB and its seconds to ready.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.peers.load import Load

HUNDREDTHS = 100


@dataclass(frozen=True)
class Cell:
    """One peer at one concurrency; times are NaN where no request succeeded."""

    concurrency: int
    requests: int
    errors: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    per_second: float
    what_went_wrong: dict[str, int]


@dataclass(frozen=True)
class Row:
    """One peer in one table.

    Attributes:
        why_not: why it was not measured, if it was not; all else is empty then.
        difference_kw: the largest difference of any of its answers from Lastgang's.
        megabytes: resident memory of all its processes after the load, and the same with shared pages shared out.
    """

    name: str
    title: str
    cells: tuple[Cell, ...] = ()
    ready_seconds: float = float("nan")
    idle_megabytes: tuple[float, float] = (float("nan"), float("nan"))
    megabytes: tuple[float, float] = (float("nan"), float("nan"))
    processes: int = 0
    difference_kw: float = float("nan")
    versions: dict[str, str] | None = None
    why_not: str = ""

    def at(self, concurrency: int) -> Cell | None:
        """Return the cell at a concurrency."""
        return next((cell for cell in self.cells if cell.concurrency == concurrency), None)


@dataclass(frozen=True)
class Table:
    """What one run measured with one model: a row for each peer, and facts about the run, by what they are of."""

    rows: Sequence[Row]
    facts: Mapping[str, str]


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile of what was measured, linear between neighbours; NaN of nothing."""
    if not values:
        return float("nan")
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=HUNDREDTHS, method="inclusive")[percent - 1]


def median(values: Sequence[float]) -> float:
    """Return the median of those that are numbers; NaN if none is."""
    numbers = [value for value in values if value == value]  # noqa: PLR0124  # NaN is not itself
    return statistics.median(numbers) if numbers else float("nan")


def cell(concurrency: int, rounds: Sequence[Load]) -> Cell:
    """Sum the rounds of one peer at one concurrency up: medians of times and rates, all errors."""
    wrong: dict[str, int] = {}
    for load in rounds:
        for what, count in load.errors.items():
            wrong[what] = wrong.get(what, 0) + count
    p50, p95, p99 = (median([percentile(load.milliseconds, percent) for load in rounds]) for percent in (50, 95, 99))
    return Cell(
        concurrency,
        requests=sum(len(load.milliseconds) for load in rounds),
        errors=sum(wrong.values()),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        per_second=median([load.done / load.seconds if load.done else 0.0 for load in rounds]),
        what_went_wrong=wrong,
    )
