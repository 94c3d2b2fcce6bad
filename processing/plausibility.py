"""Whether powers can be what a site drew: the window that a model looks at, not the whole file.

A meter that hangs, a logger that writes zeros, a sign turned round, a profile a thousand times too large: such a
week is well-formed, and a forecast from it would be worth nothing. Refused by default, taken where the user says that
it is right (`accept`).

The limits stay clear of honest sites. In the 48 profiles of SimBench that the project has (a year each; the longest
of all, then the next ones; `tests/test_plausibility.py` counts them again):

| what | longest | next | limit |
|---|---|---|---|
| equal values on end, not zero | 9 (G1-A, BL-H) | 8, 8, 7, 7 | 96: a day |
| zeros on end | 34 (BL-H) | 9 (shop), 7 (G4-B), 2 | 192: two days |
| negative rows in a week | 227 (hv_mixed2, feeds back) | 53 (hv_mixed3), 0 | more than half of the window |
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from processing.cells import Positions
from processing.errors import Problem

FLAT = 96  # quarter-hours
ZEROS = 192  # quarter-hours
NEGATIVE = 0.5  # share of the window
CODES = ("negative", "flat_line", "zero_run", "scale")


@dataclass(frozen=True)
class PowerCheck:
    """The newest window of a profile.

    `power` (n,) kW; `rows` (n,) their row numbers; `column` the column's name; `known` the lowest and the highest
    mean power in kW from which the model can tell anything, or None where it does not depend on it.
    """

    power: npt.NDArray[np.float64]
    rows: Positions
    column: str
    known: Sequence[float] | None = None

    def problems(self) -> list[Problem]:
        """List what no site is likely to have drawn."""
        found = [self._negative(), self._run(), self._scale()]
        return [problem for problem in found if problem is not None]

    def _problem(self, at: int | None, code: str, message: str) -> Problem:
        row = None if at is None else int(self.rows[at])
        return Problem(row, self.column, code, f"{message} If it is right, say so: ?accept={code}.")

    def _negative(self) -> Problem | None:
        negative = self.power < 0
        count = int(np.count_nonzero(negative))
        if count <= NEGATIVE * len(self.power):
            return None
        message = f"{count} of the last {len(self.power)} powers are negative: is the sign turned round?"
        return self._problem(int(negative.argmax()), "negative", message)

    def _run(self) -> Problem | None:
        """Name the longest run of one value, where it is too long."""
        edges = np.flatnonzero(self.power[1:] != self.power[:-1]) + 1
        edges = np.concatenate([[0], edges, [len(self.power)]])
        lengths = edges[1:] - edges[:-1]
        if lengths.max() < FLAT:
            return None
        zero = self.power[edges[:-1]] == 0
        lengths = np.where(zero & (lengths < ZEROS), 0, lengths)
        longest = int(lengths.argmax())
        if lengths[longest] < FLAT:
            return None
        first, last = int(edges[longest]), int(edges[longest + 1]) - 1
        what = f"The power is exactly {self.power[first]:g} kW from here to row {self.rows[last]}"
        message = f"{what}, {lengths[longest] / 4:g} hours: did the meter stand still?"
        return self._problem(first, "zero_run" if zero[longest] else "flat_line", message)

    def _scale(self) -> Problem | None:
        if self.known is None:
            return None
        mean = float(np.abs(self.power).mean())
        if self.known[0] <= mean <= self.known[1]:
            return None
        message = (
            f"The mean power is {mean:g} kW; the model knows sites of {self.known[0]:g} to {self.known[1]:g} kW. "
            "Check the unit."
        )
        return self._problem(None, "scale", message)


def judge(check: PowerCheck, accept: Collection[str]) -> tuple[list[Problem], list[Problem]]:
    """Return the problems that stand, and those that the user accepts."""
    found = check.problems()
    return [one for one in found if one.code not in accept], [one for one in found if one.code in accept]
