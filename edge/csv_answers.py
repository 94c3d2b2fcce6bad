"""The bodies of good answers as CSV, for who asks for `text/csv`: one row for each thing that there is to say.

`kind` tells what a row is: `forecast` (time, power_kw), `problem`, `repair`, `accepted` (row, column, code, message)
or `note` (message). `site` is empty in the answer to a file of one site, and for what concerns a file as a whole.
"""

import csv
import io
from collections.abc import Iterator, Sequence

from starlette.responses import Response

from edge.answers import Clock, SiteAnswer
from edge.problems import SHOWN
from models.catalogue import ServedModel
from processing.errors import Problem
from processing.repairs import Repair

HEADER = ("site", "kind", "time", "power_kw", "row", "column", "code", "message")
_Row = Sequence[object]


def response(model: ServedModel, notes: Sequence[str], sites: Sequence[SiteAnswer]) -> Response:
    """Put the forecasts of one site or of many into rows."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEADER)
    writer.writerows(_note("", note) for note in notes)
    clock = Clock()
    for one in sites:
        writer.writerows(_rows(model, one, clock))
    return Response(text.getvalue(), media_type="text/csv")


def _rows(model: ServedModel, one: SiteAnswer, clock: Clock) -> Iterator[_Row]:
    name, profile = one.site.name, one.site.profile
    if one.power is None or profile is None:
        yield from (_place(name, "problem", problem) for problem in one.site.problems[:SHOWN])
        return
    _, _, *times = clock.show(profile, model.card.horizon)
    for time, power in zip(times, one.power.tolist(), strict=True):
        yield (name, "forecast", time, power, "", "", "", "")
    yield from (_note(name, note) for note in profile.notes)
    yield from (_place(name, "repair", repair) for repair in profile.repairs[:SHOWN])
    yield from (_place(name, "accepted", doubt) for doubt in profile.accepted)


def _note(site: str, note: str) -> _Row:
    return (site, "note", "", "", "", "", "", note)


def _place(site: str, kind: str, what: Problem | Repair) -> _Row:
    return (site, kind, "", "", what.row, what.column, what.code, what.message)
