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
    bounds = [f"{side}_{level:g}" for level in levels for side in ("lower", "upper")]

    def rows() -> Iterator[Row | str]:
        yield from (tables.told("note", note) for note in notes)
        clock = Clock()
        for one in sites:
            yield _steps(model, one, levels, clock)
            profile = one.site.profile
            remarks = tables.refused(one.site) if one.power is None or profile is None else tables.remarks(profile)
            yield from ({"site": one.site.name} | row for row in remarks)

    return tables.response((*COLUMNS, *bounds), rows())


def _steps(model: ServedModel, one: SiteAnswer, levels: Sequence[float], clock: Clock) -> str:
    """Write the rows of a site's forecast; none if it has none."""
    if one.power is None or one.site.profile is None:
        return ""
    _, _, *times = clock.show(one.site.profile, model.card.horizon)
    numbers = [one.power]
    if one.intervals is not None:
        numbers += [bound for level in levels for bound in (one.intervals.lower[level], one.intervals.upper[level])]
    return tables.lines(one.site.name, "forecast", [times, *(map(repr, column.tolist()) for column in numbers)])
