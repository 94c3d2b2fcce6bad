"""What can be wrong with an input, as data.

ProcessingError
├── InvalidLoadProfile   the CSV is refused; carries the problems found
└── UnknownColumn        a model asks for a column that is not made here
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")
KEPT = 100  # problems of one kind that get words, as many as are shown; the others are counted


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


class Problems:
    """Collects problems: every one counts, the first `KEPT` of each kind are put into words."""

    def __init__(self) -> None:
        self.kept: list[Problem] = []
        self.count = 0

    def __bool__(self) -> bool:
        return self.count > 0

    def add(self, *problems: Problem) -> None:
        """Add problems that have their words already."""
        self.kept += problems
        self.count += len(problems)

    def each(self, places: "Sequence[T] | npt.NDArray[Any]", problem: Callable[[T], Problem]) -> None:
        """Add a problem for each of the places, a list or an array, which come in the order of the rows."""
        first = places[:KEPT]
        self.kept += map(problem, first.tolist() if isinstance(first, np.ndarray) else first)
        self.count += len(places)

    def join(self, other: "Problems") -> None:
        """Add what another one collected."""
        self.kept += other.kept
        self.count += other.count


class ProcessingError(Exception):
    """Anything that `processing` refuses."""


class InvalidLoadProfile(ProcessingError):
    """The CSV cannot be used as it is.

    Attributes:
        problems: the reasons in the order of the rows; of a kind of which there are many, the first ones.
        count: how many reasons there are in all.
    """

    def __init__(self, problems: Iterable[Problem], count: int | None = None) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.row or 0))
        self.count = len(self.problems) if count is None else count
        first = self.problems[0]
        where = f"Row {first.row}: " if first.row else ""
        rest = f" ({self.count - 1} more)" if self.count > 1 else ""
        super().__init__(f"{where}{first.message}{rest}")


class UnknownColumn(ProcessingError):
    """A model card names a column that `features` does not make."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(f"There is no column {name!r}; a model can consume {', '.join(known)}.")


def shown(text: str, longest: int = 60) -> str:
    """Quote a piece of the user's input for a message, shortened to `longest` characters."""
    return repr(text if len(text) <= longest else text[: longest - 3] + "...")
