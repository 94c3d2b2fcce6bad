"""The names of sites, a row each, to the rows of every site.

In: a sheet and the place of the column with the names. Out: the sites in the order of their first rows. Refused: rows
that name no site, or one that is longer than `LONGEST_NAME`.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from processing.cells import Positions
from processing.errors import InvalidLoadProfile, Problem, shown
from processing.header import check_number_of_sites
from processing.powers import CHUNK
from processing.sheet import Sheet

LONGEST_NAME = 64  # bytes of a site's name
Rows = range | Positions  # of one site: they stand together, or do not


def joined(of_sites: Sequence[Rows]) -> slice | Positions:
    """Return the rows of groups that follow one another."""
    first, last = of_sites[0], of_sites[-1]
    if isinstance(first, range) and isinstance(last, range):
        return slice(first.start, last.stop)
    return np.concatenate(of_sites)


def chunks(rows: int) -> Iterator[range]:
    """Cut so many rows into those that are looked at together."""
    return (range(at, min(at + CHUNK, rows)) for at in range(0, rows, CHUNK))


def groups(sheet: Sheet, site: int) -> Sequence[Rows]:
    """Return the rows of each site, in the order of the file; the sites in the order of their first rows.

    Raises:
        InvalidLoadProfile: a row is bad as a whole or names no site: it stands against the file.
    """
    if sheet.problems:
        raise InvalidLoadProfile(sheet.problems.kept, sheet.problems.count)
    known: dict[str, int] = {}
    starts, ids, bad = zip(*(_turns(sheet, site, rows, known) for rows in chunks(len(sheet))), strict=True)
    _check_names(sheet, site, np.concatenate(bad))
    first = np.concatenate(starts)
    ends = np.append(first[1:], len(sheet))
    if len(known) == len(first):  # each site's rows stand together
        return [range(start, end) for start, end in zip(first.tolist(), ends.tolist(), strict=True)]
    of_row = np.repeat(np.concatenate(ids), ends - first)
    return np.split(np.argsort(of_row, kind="stable"), np.cumsum(np.bincount(of_row))[:-1])


def _turns(sheet: Sheet, site: int, rows: range, known: dict[str, int]) -> tuple[Positions, Positions, Positions]:
    """Return which of some rows name another site than the row before, its number, and the rows with bad names.

    `known` numbers the names in the order in which they come first.
    """
    before = max(rows.start - 1, 0)
    names = sheet.column(site, slice(before, rows.stop))
    length = names.end - names.start
    codes = names.places(min(int(length.max()), LONGEST_NAME))
    codes[np.arange(len(codes))[:, None] >= length] = 0
    turned = np.append(rows.start == 0, (codes[:, 1:] != codes[:, :-1]).any(axis=0))
    turns, bad = np.flatnonzero(turned), np.flatnonzero((length == 0) | (length > LONGEST_NAME))
    ids = [known.setdefault(name, len(known)) for name in names.take(turns).texts()]
    check_number_of_sites(len(known))
    return turns + before, np.array(ids, np.int64), bad[bad >= rows.start - before] + before


def _check_names(sheet: Sheet, site: int, bad: Positions) -> None:
    if bad.size:
        first, name = bad[:100], sheet.header[site]
        texts = sheet.column(site, first).texts()
        problems = [
            Problem(row, name, "bad_site", f"The row names no site: {shown(text)}.")
            for row, text in zip(sheet.rows(first).tolist(), texts, strict=True)
        ]
        raise InvalidLoadProfile(problems, len(bad))
