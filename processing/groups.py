"""The names of sites, a row each, to the rows of every site.

In: a sheet and the place of the column with the names. Out: the sites in the order of their first rows. Refused: rows
that name no site, or one that is longer than `LONGEST_NAME`.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from processing.cells import Cells, Positions
from processing.errors import InvalidLoadProfile, Problem, shown
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
    turns = [_turns(sheet, site, rows) for rows in chunks(len(sheet))]
    starts = np.concatenate([rows for rows, _, _ in turns])
    _check_names(sheet, site, np.concatenate([bad for _, _, bad in turns]))
    width = max(words.shape[1] for _, words, _ in turns)
    ids, sites = _number(np.concatenate([np.pad(one, ((0, 0), (0, width - one.shape[1]))) for _, one, _ in turns]))
    ends = np.append(starts[1:], len(sheet))
    if sites == len(starts):  # each site's rows stand together
        return [range(start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    of_row = np.repeat(ids, ends - starts)
    return np.split(np.argsort(of_row, kind="stable"), np.cumsum(np.bincount(of_row))[:-1])


def _turns(sheet: Sheet, site: int, rows: range) -> tuple[Positions, npt.NDArray[np.uint64], Positions]:
    """Return which of some rows name another site than the row before, these names, and the rows with bad names."""
    before = max(rows.start - 1, 0)
    names = sheet.column(site, slice(before, rows.stop))
    length = names.end - names.start
    words = _words(names, length)
    turned = np.append(rows.start == 0, (words[1:] != words[:-1]).any(axis=1))
    turns, bad = np.flatnonzero(turned), np.flatnonzero((length == 0) | (length > LONGEST_NAME))
    return turns + before, words[turns], bad[bad >= rows.start - before] + before


def _check_names(sheet: Sheet, site: int, bad: Positions) -> None:
    if bad.size:
        first, name = bad[:100], sheet.header[site]
        texts = sheet.column(site, first).texts()
        problems = [
            Problem(row, name, "bad_site", f"The row names no site: {shown(text)}.")
            for row, text in zip(sheet.rows(first).tolist(), texts, strict=True)
        ]
        raise InvalidLoadProfile(problems, len(bad))


def _words(names: Cells, length: Positions) -> npt.NDArray[np.uint64]:
    """Return the names, as far as names may be long, with zeros behind: (n, w)."""
    width = -(-min(int(length.max()), LONGEST_NAME) // 8) * 8
    codes = names.places(max(width, 8))
    codes[np.arange(len(codes))[:, None] >= length] = 0
    return np.ascontiguousarray(codes.T).view(np.uint64)


def _number(words: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.intp], int]:
    """Number the different rows of (n, w) in the order in which they come first; and count them."""
    if words.shape[1] == 1:
        ids, different = pd.factorize(words[:, 0])
        return ids, len(different)
    # Sixteen random bytes and more to one number is quick and nearly always tells them apart; it is checked.
    factors = np.random.default_rng().integers(1, 2**63, words.shape[1], np.uint64) * np.uint64(2) + np.uint64(1)
    ids, different = pd.factorize((words * factors).sum(axis=1, dtype=np.uint64))
    first = np.full(len(different), len(words))
    np.minimum.at(first, ids, np.arange(len(words)))
    if not (words == words[first[ids]]).all():
        ids, names = pd.factorize(pd.Series([row.tobytes() for row in words]))
        return ids, len(names)
    return ids, len(different)
