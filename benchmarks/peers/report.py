"""The results as Markdown, JSON and a plot: every row, also those where Lastgang loses.

In: tables by the model's name, each of a run of its own if need be. Out: texts and a picture, and tables again from the
JSON; nothing is measured here.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from math import isnan, nan
from typing import TYPE_CHECKING, Any

from benchmarks.peers.figures import Cell, Row, Table
from benchmarks.peers.lineup import FLOORS, OURS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

HEADINGS = {
    "folded": "The shipped folded network",
    "plain": "A plain GRU(64) over 672 quarter-hours",
}
COLOURS = {"ours": "tab:red", "floor": "0.45", "peer": "tab:blue"}
MANY = 999.5  # rounds to four digits; three would be written with an exponent


def markdown(tables: Mapping[str, Table]) -> str:
    """Lay everything out."""
    lines = [
        "# Lastgang beside its peers",
        "",
        "Made by `python -m benchmarks.peers`; the same figures are in `peers.json`.",
    ]
    for name, table in tables.items():
        rows = table.rows
        lines += ["", f"## {HEADINGS[name]}", "", *(f"- {fact}: {value}" for fact, value in table.facts.items()), ""]
        lines += [*_times(rows), "", *_costs(rows), *_losses(rows)]
        lines += [f"- not measured: {row.title}. {row.why_not}" for row in rows if row.why_not]
    versions = {row.name: row.versions for table in tables.values() for row in table.rows if row.versions}
    lines += ["", "## Versions", ""]
    lines += [f"- {name}: {', '.join(f'{k} {v}' for k, v in each.items())}" for name, each in versions.items()]
    return "\n".join(lines) + "\n"


def _measured(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if not row.why_not]


def _concurrencies(rows: Sequence[Row]) -> list[int]:
    return sorted({cell.concurrency for row in rows for cell in row.cells})


def _times(rows: Sequence[Row]) -> list[str]:
    """Make the table of times: for each concurrency p50 / p95 / p99 in ms, and requests a second."""
    concurrencies = _concurrencies(rows)
    head = ["", *(f"{each} at a time: p50 / p95 / p99 ms | requests/s" for each in concurrencies), "errors"]
    lines = [_line(head), _line(["---", *["---: | ---:"] * len(concurrencies), "---:"])]
    for row in _measured(rows):
        cells = [row.at(each) for each in concurrencies]
        told = [
            f"{number(c.p50_ms)} / {number(c.p95_ms)} / {number(c.p99_ms)} | {number(c.per_second)}" if c else " | "
            for c in cells
        ]
        errors = sum(cell.errors for cell in row.cells)
        lines.append(_line([row.title, *told, f"{errors} of {sum(c.requests + c.errors for c in row.cells)}"]))
    return lines


def _costs(rows: Sequence[Row]) -> list[str]:
    """Make the table of what a peer takes: start and memory."""
    head = ["", "seconds to the first answer", "processes", "MB idle", "MB after the load", "RSS after the load"]
    lines = [_line(head), _line(["---", *["---:"] * (len(head) - 1)])]
    for row in _measured(rows):
        resident, shared_out = row.megabytes
        memory = [f"{row.idle_megabytes[1]:.0f}", f"{shared_out:.0f}", f"{resident:.0f}"]
        lines.append(_line([row.title, f"{row.ready_seconds:.1f}", str(row.processes), *memory]))
    return [
        *lines,
        "",
        "Memory of all processes in MB: shared pages shared out (PSS); RSS counts them in every process that has them.",
    ]


def _losses(rows: Sequence[Row]) -> list[str]:
    """Say where a peer is ahead of the better of our rows; the floors are no peers."""
    ours = [row for row in _measured(rows) if row.name in OURS]
    peers = [row for row in _measured(rows) if row.name not in {*OURS, *FLOORS}]
    if not ours:
        return []
    lost = [loss for each in _concurrencies(rows) for peer in peers for loss in losses(ours, peer, each)]
    return ["", *(lost or ["No peer is ahead of Lastgang's better row in p50, p99 or requests a second."])]


def losses(ours: Sequence[Row], peer: Row, concurrency: int) -> list[str]:
    """Say in what a peer is ahead of all of our rows at a concurrency."""
    theirs, own = peer.at(concurrency), [found for row in ours if (found := row.at(concurrency))]
    if not theirs or not own:
        return []
    sentences = []
    for what, best, other in (
        ("p50", min(c.p50_ms for c in own), theirs.p50_ms),
        ("p99", min(c.p99_ms for c in own), theirs.p99_ms),
        ("requests a second", -max(c.per_second for c in own), -theirs.per_second),
    ):
        if other < best:
            numbers = f"{number(abs(other))} beside {number(abs(best))}"
            sentences.append(f"- {peer.title} is ahead in {what} at {concurrency}: {numbers}")
    return sentences


def number(value: float) -> str:
    """Write a number with three digits, without an exponent."""
    if isnan(value):
        return "–"  # noqa: RUF001
    return f"{value:.0f}" if abs(value) >= MANY else f"{value:#.3g}".rstrip(".")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def as_json(tables: Mapping[str, Table]) -> str:
    """Write the same as JSON; what is no number is null."""
    content = {
        name: {"facts": dict(table.facts), "rows": [asdict(row) for row in table.rows]}
        for name, table in tables.items()
    }
    return json.dumps(_without_nan(content), indent=1) + "\n"


def of_json(text: str) -> dict[str, Table]:
    """Return the tables that `as_json` wrote."""
    return {
        name: Table([_row(row) for row in table["rows"]], table["facts"]) for name, table in json.loads(text).items()
    }


def _row(written: dict[str, Any]) -> Row:
    cells = tuple(Cell(**_with_nan(each)) for each in written.pop("cells"))
    return Row(**_with_nan(written), cells=cells)


def _with_nan(written: dict[str, Any]) -> dict[str, Any]:
    """Undo `_without_nan`; only `versions` may be None."""
    return {name: value if name == "versions" else _number_or_nan(value) for name, value in written.items()}


def _number_or_nan(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_number_or_nan(one) for one in value)
    return nan if value is None else value


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    if isinstance(value, float):
        return None if isnan(value) else round(value, 4)
    return value


def plot(tables: Mapping[str, Table], path: Path, caption: str) -> None:
    """Draw p50 at one request at a time and requests a second at the highest concurrency."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # not needed where only texts are made

    heights = [len(_measured(table.rows)) + 2 for table in tables.values()]
    figure = Figure(figsize=(12, 1.2 + 0.28 * sum(height + 1 for height in heights)))
    figure.set_layout_engine("constrained")
    panels = figure.subplots(len(tables), 2, squeeze=False, height_ratios=heights)
    for (name, table), (left, right) in zip(tables.items(), panels, strict=True):
        rows = table.rows
        concurrencies = _concurrencies(rows)
        low, high = concurrencies[0], concurrencies[-1]
        left.set_xscale("log")  # else only the slowest would be seen
        _bars(left, rows, [cell.p50_ms if (cell := row.at(low)) else float("nan") for row in _measured(rows)])
        _bars(right, rows, [cell.per_second if (cell := row.at(high)) else float("nan") for row in _measured(rows)])
        left.set_xlim(left=1)
        left.set_title(f"{HEADINGS[name]}: median ms,\n{low} at a time (less is better)", fontsize="medium")
        right.set_title(f"requests/s,\n{high} at a time (more is better)", fontsize="medium")
        right.set_yticklabels([])
    figure.supxlabel(caption, fontsize="small")
    figure.savefig(path, dpi=110)


def _bars(axes: Any, rows: Sequence[Row], values: Sequence[float]) -> None:
    kept = _measured(rows)
    kinds = ["ours" if row.name in OURS else "floor" if row.name in FLOORS else "peer" for row in kept]
    bars = axes.barh(range(len(kept)), values, color=[COLOURS[kind] for kind in kinds])
    axes.bar_label(bars, [number(value) for value in values], padding=3, fontsize="small")
    axes.set_yticks(range(len(kept)), [row.title.replace("*", "").replace("`", "") for row in kept], fontsize="small")
    axes.margins(x=0.12)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
