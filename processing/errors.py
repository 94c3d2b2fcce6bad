"""What can be wrong with an input, as data.

ProcessingError
├── InvalidLoadProfile   the CSV is refused; carries every problem found
└── UnknownColumn        a model asks for a column that is not made here
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One reason to refuse a CSV.

    `row` counts as a spreadsheet does: the header is row 1. It is None where the file as a whole is meant;
    `column` is the header's own name, or None where the row as a whole is meant.
    """

    row: int | None
    column: str | None
    code: str
    message: str


class ProcessingError(Exception):
    """Anything that `processing` refuses."""


class InvalidLoadProfile(ProcessingError):
    """The CSV cannot be used as it is; `problems` holds every reason, in the order of the rows."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.row or 0))
        first = self.problems[0]
        where = f"Row {first.row}: " if first.row else ""
        rest = f" ({len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__(f"{where}{first.message}{rest}")


class UnknownColumn(ProcessingError):
    """A model card names a column that `features` does not make."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(f"There is no column {name!r}; a model can consume {', '.join(known)}.")
