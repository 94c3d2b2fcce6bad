"""Bytes of a CSV to cells, with the rows they came from; what the columns mean is not known here.

UTF-8 with or without a byte-order mark; quotes as in RFC 4180. The header is row 1, as a spreadsheet counts
(Excel's `sep=;` line, where there is one, comes before it and counts as a row). Files without quotes and odd
characters are cut at their delimiters and line ends as one array (`plain`); the others go through Python's `csv`
(`quoted`). Both ways give the same cells. Rows of another width and blank rows inside the data are reported with the
sheet, and their cells are empty.
"""

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from processing import plain, quoted, texts
from processing.cells import Body, Bytes, Cells, Positions
from processing.errors import InvalidLoadProfile, Problem, Problems, shown
from processing.widths import Widths

DELIMITERS = (";", "\t", ",")
EVERY = slice(None)
LONGEST_NAME = 200  # characters of a column's name, which each problem of its rows repeats
_SEPARATOR_LINE = re.compile(r"sep=.\r?\n?", re.IGNORECASE)
Examine = Callable[[list[str]], tuple[int, str]]


@dataclass(frozen=True)
class Sheet:
    """n records of c cells.

    `header` the c names; `buffer` and `edges` as in `Records`; `header_row` the number of its row;
    `faulty` (n,) True for the rows that `problems` names.
    """

    header: list[str]
    header_row: int
    delimiter: str
    buffer: Bytes
    edges: Positions
    faulty: npt.NDArray[np.bool_]
    problems: Problems

    def __len__(self) -> int:
        return len(self.faulty)

    def column(self, at: int, rows: slice | Positions = EVERY) -> Cells:
        """Return a column's cells, or those in some rows."""
        return self.columns([at], rows)

    def columns(self, places: Sequence[int], rows: slice | Positions = EVERY) -> Cells:
        """Return the cells of some columns, one column after the other, without white space around them."""
        shape = len(self), len(self.header)
        before, behind = self.edges[:-1].reshape(shape), self.edges[1:].reshape(shape)
        start = np.concatenate([before[rows, at] for at in places]) + np.int32(1)
        end = np.concatenate([behind[rows, at] for at in places])
        if self.problems:
            start = np.where(np.tile(self.faulty[rows], len(places)), end, start)
        return Cells(self.buffer, start, end).stripped()

    def rows(self, some: slice | Positions = EVERY) -> Positions:
        """Return the row number of each record, or of some."""
        first = self.header_row + 1
        if isinstance(some, slice):
            start, stop, _ = some.indices(len(self))
            return np.arange(first + start, first + stop)
        return some + first


def read_sheet(body: Body, examine: Examine) -> Sheet:
    """Cut a CSV into cells.

    Args:
        body: the file's bytes; they are not copied and must not change as long as the sheet is used.
        examine: tells of names how many are powers, and what they lack to be a header; it decides which delimiter the
            file has.

    Raises:
        InvalidLoadProfile: the bytes are no such CSV, so that its cells cannot be told.
    """
    is_plain = texts.check(body)
    start, line = texts.line(body, texts.start(body))
    row = 1
    if _SEPARATOR_LINE.fullmatch(line):
        row = 2
        start, line = texts.line(body, start)
    delimiter, header = _header(line, row, examine)
    width = len(header)
    records = plain.cut(body, start, delimiter, width) if is_plain else quoted.cut(body, start, delimiter, width, row)
    faulty = records.blank | (records.counts != width)
    problems = Problems()
    if faulty.any():
        problems = Widths(row + 1, delimiter, width, examine(header)[0], records).problems(faulty)
    if records.edges is None:
        raise InvalidLoadProfile(problems.kept, problems.count)
    return Sheet(header, row, delimiter, records.buffer, records.edges, faulty, problems)


def _header(line: str, row: int, examine: Examine) -> tuple[str, list[str]]:
    """Return the delimiter under which the line is a header, and its names."""
    most, lacking = 0, "no names"
    for delimiter in DELIMITERS:
        try:
            names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
        except csv.Error:
            continue
        _, lacks = examine(names)
        if not lacks:
            _check_names(names, row)
            return delimiter, names
        if len(names) > most:
            most, lacking = len(names), lacks
    message = f"The header is {shown(line.strip())}. It has {lacking}. Separate its names by comma, semicolon or tab."
    raise InvalidLoadProfile([Problem(row, None, "bad_header", message)])


def _check_names(names: list[str], row: int) -> None:
    for at, name in enumerate(names, 1):
        if len(name) > LONGEST_NAME:
            message = f"The name of column {at} has {len(name)} characters. Give it one of at most {LONGEST_NAME}."
            raise InvalidLoadProfile([Problem(row, None, "bad_header", message)])
