"""Rows that have more or fewer fields than the header: what to tell of them.

A row at a time, but for one fault that spoils all rows alike: decimal commas between commas.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from processing.cells import Bytes, Positions
from processing.errors import Problem, Problems


@dataclass(frozen=True)
class Records:
    """n records as they were cut, each into c cells.

    `buffer` (m,) uint8 and `edges` (n c + 1,) int32 positions in it: a cell lies behind its edge and before the next
    one. `counts` (n,) are the fields that each record has, `blank` (n,) is True where none holds anything, and `line`
    gives the text of one of the first records that are blank or have other fields than c, without white space around.
    `edges` is None where n times c cells do not `fit` the text.
    """

    buffer: Bytes
    edges: Positions | None
    counts: Positions
    blank: npt.NDArray[np.bool_]
    line: Callable[[int], str]


def fit(records: int, width: int, size: int) -> bool:
    """Tell whether so many records of a text of `size` bytes could have so many cells, each of which ends with a byte.

    Where they could not, cells for all of them would take memory out of all proportion: a header of a million names
    and the stamps of a week, 3 GB.
    """
    return records * width <= size + width


@dataclass(frozen=True)
class Widths:
    """The records of a sheet that has `width` names, `powers` of them powers."""

    first_row: int
    delimiter: str
    width: int
    powers: int
    records: Records

    def problems(self, faulty: npt.NDArray[np.bool_]) -> Problems:
        """Name the faulty rows."""
        found = Problems()
        if self._decimal_commas() and not self.records.line(0).endswith(","):
            fields = _fields(int(self.records.counts[0]))
            message = (
                f"Every row has {fields} where the header has {self.width}: it looks like "
                "decimal commas in a comma-separated file. Separate the columns by semicolons, or write decimal points."
            )
            found.add(Problem(self.first_row, None, "wrong_width", message))
        else:
            found.each(np.flatnonzero(faulty), self._problem)
        return found

    def _decimal_commas(self) -> bool:
        counts = self.records.counts
        return self.delimiter == "," and bool((counts == self.width + self.powers).all()) and len(counts) > 0

    def _problem(self, at: int) -> Problem:
        row, line = self.first_row + at, self.records.line(at)
        if not line.strip().strip(self.delimiter).strip():
            return Problem(row, None, "blank_row", "The row is blank. Remove it.")
        message = f"The row has {_fields(int(self.records.counts[at]))} where the header has {self.width}."
        return Problem(row, None, "wrong_width", message)


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"
