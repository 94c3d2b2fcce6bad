"""Answers as CSV whose rows are of several kinds: what the tables of forecasts, backtests and anomalies share.

A row is a mapping from columns to values; columns that it does not name are empty. Where there are very many rows of a
kind they come as text that `lines` has written, in a third of the time. `kind` tells what a row is, and the columns in
`WORDS` are those of problems, repairs, accepted doubts and notes.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from starlette.responses import Response

from edge.problems import SHOWN
from processing.errors import Problem
from processing.reading import LoadProfile
from processing.repairs import Repair
from processing.sites import Site

WORDS = ("row", "column", "code", "message")
Row = dict[str, object]


def response(columns: Sequence[str], rows: Iterable[Row | str]) -> Response:
    """Give a table; its header is `columns` and `WORDS`."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, [*columns, *WORDS])
    table.writeheader()
    for row in rows:
        if isinstance(row, dict):
            table.writerow(row)
        else:
            text.write(row)
    return Response(text.getvalue(), media_type="text/csv")


def lines(site: str, kind: str, columns: Sequence[Iterable[str]]) -> str:
    """Write rows of one site and one kind that tell nothing in words.

    Args:
        site: its name, of any characters.
        kind: of the rows.
        columns: the cells of each further column, as many as there are rows; none needs quotes.
    """
    name = io.StringIO(newline="")
    csv.writer(name).writerow([site, kind])
    before, behind = name.getvalue().rstrip("\r\n"), "," * len(WORDS) + "\r\n"
    return "".join(f"{before},{','.join(cells)}{behind}" for cells in zip(*columns, strict=True))


def told(kind: str, message: str) -> Row:
    """Give a row that only says something."""
    return {"kind": kind, "message": message}


def refused(site: Site) -> Iterator[Row]:
    """Give a row for each of the first problems of a site."""
    return (_place("problem", problem) for problem in site.problems[:SHOWN])


def remarks(profile: LoadProfile) -> Iterator[Row]:
    """Give a row for each thing that was assumed, changed or passed over in reading a site's rows."""
    yield from (told("note", note) for note in profile.notes)
    yield from (_place("repair", repair) for repair in profile.repairs[:SHOWN])
    yield from (_place("accepted", doubt) for doubt in profile.accepted)


def _place(kind: str, what: Problem | Repair) -> Row:
    return told(kind, what.message) | {"row": what.row, "column": what.column, "code": what.code}
