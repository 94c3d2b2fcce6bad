"""Rows that have more or fewer fields than the header: what to tell of them.

A row at a time, but for one fault that spoils all rows alike: decimal commas between commas.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from processing.cells import Positions
from processing.errors import Problem, Problems


@dataclass(frozen=True)
class Widths:
    """The rows of a sheet that have `width` names, `powers` of them powers: `counts` (n,) are the fields of each."""

    first_row: int
    delimiter: str
    width: int
    powers: int
    counts: Positions

    def problems(self, faulty: npt.NDArray[np.bool_], line: Callable[[int], str]) -> Problems:
        """Name the faulty rows; `line` gives the text of one."""
        found = Problems()
        places = np.flatnonzero(faulty).tolist()
        if self._decimal_commas() and not line(0).endswith(","):
            message = (
                f"Every row has {_fields(int(self.counts[0]))} where the header has {self.width}: it looks like "
                "decimal commas in a comma-separated file. Separate the columns by semicolons, or write decimal points."
            )
            found.add(Problem(self.first_row, None, "wrong_width", message))
        else:
            found.each(places, lambda at: self._problem(at, line(at)))
        return found

    def _decimal_commas(self) -> bool:
        return self.delimiter == "," and bool((self.counts == self.width + self.powers).all()) and len(self.counts) > 0

    def _problem(self, at: int, line: str) -> Problem:
        row = self.first_row + at
        if not line.strip().strip(self.delimiter).strip():
            return Problem(row, None, "blank_row", "The row is blank. Remove it.")
        message = f"The row has {_fields(int(self.counts[at]))} where the header has {self.width}."
        return Problem(row, None, "wrong_width", message)


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"
