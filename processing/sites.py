"""Bytes of a CSV to the load profiles of one site or of many; a bad site does not spoil the others.

Many sites come long (a column with each row's site) or wide (a column for each site); `header` tells the two and
one site apart. Whole columns are read at once; then each site is a table like any other, read by the same rules.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from processing import header, powers
from processing.cells import PADDING, Cells, Positions
from processing.errors import InvalidLoadProfile, Problem, shown
from processing.header import Columns
from processing.reading import LoadProfile, Reader
from processing.sheet import Sheet, read_sheet
from processing.table import Table, only_table

LONGEST_NAME = PADDING  # bytes of a site's name


@dataclass(frozen=True)
class Site:
    """One site: its load profile, or why there is none."""

    name: str
    profile: LoadProfile | None
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0

    @classmethod
    def refused(cls, name: str, error: InvalidLoadProfile) -> "Site":
        """Make a site of the reasons why it is refused."""
        return cls(name, None, error.problems, error.count)


@dataclass(frozen=True)
class Sites:
    """The sites of a file, in the order of their first rows or columns; `notes` are those on the file as a whole."""

    sites: list[Site]
    notes: tuple[str, ...] = ()


def read_sites(body: bytes, reader: Reader) -> LoadProfile | Sites:
    """Read a CSV with one site or many; its header decides, not its rows.

    Args:
        body: the file's bytes.
        reader: reads the table of one site.

    Raises:
        InvalidLoadProfile: the file is no such CSV, or holds one site and that has problems.
    """
    sheet = read_sheet(body, header.examine)
    columns = header.many_sites(sheet.header, sheet.header_row)
    if columns is None:
        return reader.read(only_table(sheet, header.one_site(sheet.header, sheet.header_row)))
    if not len(sheet.start):
        message = "The file has a header and no rows."
        raise InvalidLoadProfile([Problem(None, None, "too_short", message)])
    tables = _wide(sheet, columns) if columns.site is None else _long(sheet, columns, columns.site)
    return Sites([_read(reader, name, table) for name, table in tables], columns.notes)


def _read(reader: Reader, name: str, table: Table) -> Site:
    try:
        return Site(name, reader.read(table))
    except InvalidLoadProfile as error:
        return Site.refused(name, error)


def _wide(sheet: Sheet, columns: Columns) -> Iterator[tuple[str, Table]]:
    """Give a table for each column; they share their time stamps, and the rows that are bad as a whole."""
    first = replace(columns, powers=columns.powers[:1], notes=())
    table = only_table(sheet, first)
    for at in columns.powers:
        cells = sheet.column(at)
        numbers = powers.read_cells(cells)
        name = sheet.header[at]
        yield (
            header.site_name(name),
            replace(table, power_name=name, powers=cells, numbers=numbers, energy=at in columns.energy),
        )


def _long(sheet: Sheet, columns: Columns, site: int) -> Iterator[tuple[str, Table]]:
    """Give a table for each site. Rows that are bad as a whole name no site: they stand against the file."""
    if sheet.problems:
        raise InvalidLoadProfile(sheet.problems.kept, sheet.problems.count)
    names = sheet.column(site)
    _check_names(names, sheet, site)
    whole = replace(only_table(sheet, columns), notes=())
    for rows in _groups(names):
        together = len(rows) == rows[-1] - rows[0] + 1
        yield names.text(int(rows[0])), whole.take(slice(int(rows[0]), int(rows[-1]) + 1) if together else rows)


def _check_names(names: Cells, sheet: Sheet, site: int) -> None:
    length = names.end - names.start
    bad = np.flatnonzero((length == 0) | (length > LONGEST_NAME))
    if bad.size:
        problems = [
            Problem(
                int(sheet.rows[at]), sheet.header[site], "bad_site", f"The row names no site: {shown(names.text(at))}."
            )
            for at in bad[:100].tolist()
        ]
        raise InvalidLoadProfile(problems, len(bad))


def _groups(names: Cells) -> list[Positions]:
    """Return the rows of each site, in the order of the file; the sites in the order of their first rows."""
    length = names.end - names.start
    width = -(-int(length.max()) // 8) * 8
    codes = names.codes(width)
    codes[np.arange(width) >= length[:, None]] = 0
    words = codes.view(np.uint64)
    turns = np.flatnonzero((words[1:] != words[:-1]).any(axis=1)) + 1
    starts = np.concatenate([[0], turns])
    ids, sites = _number(words[starts])
    if sites == len(starts):  # each site's rows stand together
        return np.split(np.arange(len(names)), turns)
    of_row = np.repeat(ids, np.diff(np.append(starts, len(names))))
    return np.split(np.argsort(of_row, kind="stable"), np.cumsum(np.bincount(of_row))[:-1])


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
