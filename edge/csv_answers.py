"""The bodies of good answers as CSV, for who asks for `text/csv`: one row for each thing that there is to say.

`kind` tells what a row is: `forecast` (time, power_kw and, where levels were asked for, `lower_80`, `upper_80`, ...),
`problem`, `repair`, `accepted` (row, column, code, message) or `note` (message). `site` is empty in the answer to a
file of one site, and for what concerns a file as a whole.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from starlette.responses import Response

from edge.answers import Clock, SiteAnswer
from edge.problems import SHOWN
from models.catalogue import ServedModel
from processing.errors import Problem
from processing.repairs import Repair

BEFORE, AFTER = ("site", "kind", "time", "power_kw"), ("row", "column", "code", "message")
_Row = Sequence[object]


def response(
    model: ServedModel, notes: Sequence[str], sites: Sequence[SiteAnswer], levels: Sequence[float] = ()
) -> Response:
    """Put the forecasts of one site or of many, with the intervals of `levels`, into rows."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    bounds = [f"{side}_{level:g}" for level in levels for side in ("lower", "upper")]
    writer.writerow([*BEFORE, *bounds, *AFTER])
    blank = [""] * len(bounds)
    writer.writerows(_note("", note, blank) for note in notes)
    clock = Clock()
    for one in sites:
        writer.writerows(_rows(model, one, clock, blank))
    return Response(text.getvalue(), media_type="text/csv")


def _rows(model: ServedModel, one: SiteAnswer, clock: Clock, blank: _Row) -> Iterator[_Row]:
    name, profile = one.site.name, one.site.profile
    if one.power is None or profile is None:
        yield from (_place(name, "problem", problem, blank) for problem in one.site.problems[:SHOWN])
        return
    _, _, *times = clock.show(profile, model.card.horizon)
    for time, power, bounds in zip(times, one.power.tolist(), _bounds(one), strict=True):
        yield (name, "forecast", time, power, *bounds, "", "", "", "")
    yield from (_note(name, note, blank) for note in profile.notes)
    yield from (_place(name, "repair", repair, blank) for repair in profile.repairs[:SHOWN])
    yield from (_place(name, "accepted", doubt, blank) for doubt in profile.accepted)


def _bounds(one: SiteAnswer) -> Iterable[Iterable[float]]:
    """Give the bounds of each step, lower and upper of a level after the other."""
    if one.power is None or one.intervals is None:
        return [()] * (0 if one.power is None else len(one.power))
    found = one.intervals
    sides = [side[level].tolist() for level in found.lower for side in (found.lower, found.upper)]
    return zip(*sides, strict=True)


def _note(site: str, note: str, blank: _Row) -> _Row:
    return (site, "note", "", "", *blank, "", "", "", note)


def _place(site: str, kind: str, what: Problem | Repair, blank: _Row) -> _Row:
    return (site, kind, "", "", *blank, what.row, what.column, what.code, what.message)
