"""Bytes of a CSV to the load profiles of one site or of many; a bad site does not spoil the others.

Many sites come long (a column with each row's site) or wide (a column for each site); `header` tells the two and
one site apart. The file is cut into cells as a whole; then the sites are read one after the other as they are asked
for, each a table like any other, by the same rules.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from processing import header, powers
from processing.cells import Body
from processing.errors import KEPT, InvalidLoadProfile, Problem
from processing.groups import Rows, chunks, groups, joined
from processing.header import Columns
from processing.reading import LoadProfile, Reader
from processing.sheet import Sheet, read_sheet
from processing.table import MOST_ROWS, Table, check_length, table_of
from processing.written import UNREAD, StampReader

MOST_TOLD = 10_000  # problems of a file's sites that are told, before each has but one


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
        return cls(name, None, error.problems[:KEPT], error.count)


class Sites:
    """The sites of a file, in the order of their first rows or columns; `notes` are those on the file as a whole.

    `count` says how many there are, before any is read.
    To go through them reads one after the other, once, so that no more of them need to be in memory; `sites` are all.
    """

    def __init__(self, sites: Iterable[Site], notes: tuple[str, ...] = (), *, count: int) -> None:
        self._each = iter(sites)
        self.notes, self.count = notes, count

    def __iter__(self) -> Iterator[Site]:
        return self._each

    def before_each(self, check: Callable[[], None]) -> None:
        """Call `check` before each site is read from now on; what it raises ends the reading."""
        sites = self._each

        def checked() -> Iterator[Site]:
            while True:
                check()
                site = next(sites, None)
                if site is None:
                    return
                yield site

        self._each = checked()

    @cached_property
    def sites(self) -> list[Site]:
        """All sites: reads those that were not read yet."""
        return list(self)


def read_sites(body: Body, reader: Reader) -> LoadProfile | Sites:
    """Read a CSV with one site or many; its header decides, not its rows.

    Args:
        body: the file's bytes; they must not change until every site is read.
        reader: reads the table of one site.

    Raises:
        InvalidLoadProfile: the file is no such CSV, or holds one site and that has problems.
    """
    if (profile := reader.read_at_once(body)) is not None:
        return profile
    sheet = read_sheet(body, header.examine)
    columns = header.many_sites(sheet.header, sheet.header_row)
    if columns is None:
        one = header.one_site(sheet.header, sheet.header_row)
        check_length(len(sheet))
        return reader.read(table_of(sheet, one))
    if not len(sheet):
        message = "The file has a header and no rows."
        raise InvalidLoadProfile([Problem(None, None, "too_short", message)])
    if columns.site is None:
        check_length(len(sheet))
        tables, count = _wide(sheet, columns), len(columns.powers)
    else:
        of_sites = groups(sheet, columns.site)
        tables, count = _long(sheet, columns, columns.site, of_sites), len(of_sites)
    return Sites(_bounded(_read(reader, name, table) for name, table in tables), columns.notes, count=count)


def _bounded(sites: Iterable[Site]) -> Iterator[Site]:
    """Leave each site its first problem alone as soon as those before it have very many."""
    told = 0
    for site in sites:
        few = site if told < MOST_TOLD else replace(site, problems=site.problems[:1])
        told += len(few.problems)
        yield few


def _read(reader: Reader, name: str, table: Table) -> Site:
    try:
        check_length(len(table.rows))
        return Site(name, reader.read(table))
    except InvalidLoadProfile as error:
        return Site.refused(name, error)


def _wide(sheet: Sheet, columns: Columns) -> Iterator[tuple[str, Table]]:
    """Give a table for each column; they share their time stamps, and the rows that are bad as a whole."""
    table = table_of(sheet, replace(columns, powers=columns.powers[:1], notes=()))
    rows = len(sheet)
    together = -(-powers.CHUNK // rows)
    for first in range(0, len(columns.powers), together):
        places = columns.powers[first : first + together]
        cells = sheet.columns(places)
        numbers = powers.read_cells(cells)
        for at, place in enumerate(places):
            part = slice(at * rows, (at + 1) * rows)
            name = sheet.header[place]
            energy = place in columns.energy
            yield (
                header.site_name(name),
                replace(table, power_name=name, powers=cells.take(part), numbers=numbers.take(part), energy=energy),
            )


def _long(sheet: Sheet, columns: Columns, site: int, of_sites: Sequence[Rows]) -> Iterator[tuple[str, Table]]:
    """Give a table for each group of rows."""
    columns = replace(columns, notes=())
    stamps = StampReader(sheet.column(columns.time, joined([some])) for some in chunks(len(sheet)))
    for some in _together(of_sites):
        table = table_of(sheet, columns, joined(some), UNREAD)
        names = sheet.column(site, np.array([group[0] for group in some])).texts()
        first = 0
        for name, group in zip(names, some, strict=True):
            part = slice(first, first + len(group))
            yield name, table.take(part, stamps.read(table.stamps.take(part)))
            first = part.stop


def _together(of_sites: Iterable[Rows]) -> Iterator[list[Rows]]:
    """Put groups together whose powers are worth to be read at once; one that is too long is cut and ends them."""
    some: list[Rows] = []
    count = 0
    for rows in of_sites:
        some.append(rows[: MOST_ROWS + 1])  # enough to be refused
        count += len(rows)
        if count >= powers.CHUNK or len(rows) > MOST_ROWS:
            yield some
            some, count = [], 0
    if some:
        yield some
