"""Forecasts as CSV, for who asks for `text/csv`: one row for each thing that there is to say.

`kind` tells what a row is: `forecast` (time, power_kw and, where levels were asked for, `lower_80`, `upper_80`, ...),
or one of those in `edge.tables`: `problem`, `repair`, `accepted`, `note`. `site` is empty in the answer to a file of
one site, and for what concerns a file as a whole.
"""

from collections.abc import Iterable, Iterator, Sequence

from starlette.responses import Response

from edge import tables
from edge.answers import Clock, SiteAnswer
from edge.tables import Row
from models.catalogue import ServedModel

COLUMNS = ("site", "kind", "time", "power_kw")


def response(
    model: ServedModel, notes: Sequence[str], sites: Iterable[SiteAnswer], levels: Sequence[float] = ()
) -> Response:
    """Put the forecasts of one site or of many, with the intervals of `levels`, into rows."""
    bounds = [name for level in levels for name in _bounds(level)]

    def rows() -> Iterator[Row]:
        yield from (tables.told("note", note) for note in notes)
        clock = Clock()
        for one in sites:
            yield from ({"site": one.site.name} | row for row in _rows(model, one, clock))

    return tables.response((*COLUMNS, *bounds), rows())


def _bounds(level: float) -> tuple[str, str]:
    return f"lower_{level:g}", f"upper_{level:g}"


def _rows(model: ServedModel, one: SiteAnswer, clock: Clock) -> Iterator[Row]:
    profile = one.site.profile
    if one.power is None or profile is None:
        yield from tables.refused(one.site)
        return
    _, _, *times = clock.show(profile, model.card.horizon)
    told = {"time": times, "power_kw": one.power.tolist()}
    if one.intervals is not None:
        for level, lower in one.intervals.lower.items():
            told |= zip(_bounds(level), (lower.tolist(), one.intervals.upper[level].tolist()), strict=True)
    yield from ({"kind": "forecast"} | dict(zip(told, step, strict=True)) for step in zip(*told.values(), strict=True))
    yield from tables.remarks(profile)
