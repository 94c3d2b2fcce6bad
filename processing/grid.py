"""Whether instants form an unbroken grid of quarter-hours.

Counted in real time, so a local week over a clock change is whole with 668 or 676 wall-clock quarter-hours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from processing.errors import Problem
from processing.stamps import Instants

STEP = np.timedelta64(900, "s")


@dataclass(frozen=True)
class GridCheck:
    """The time column of n rows, in the order of the file.

    `time` (n,) datetime64[s] UTC, NaT where a stamp could not be read; `written` the stamps as the user wrote
    them and `rows` their row numbers, for the messages; `column` the column's name.
    """

    time: Instants
    written: list[str]
    rows: Sequence[int]
    column: str

    def problems(self) -> list[Problem]:
        """List every break of the grid; rows without a readable stamp are left out."""
        known = np.flatnonzero(~np.isnat(self.time))
        steps = np.diff(self.time[known])
        off_grid = known[self.time[known].astype(np.int64) % 900 != 0]
        if not off_grid.size and (steps == STEP).all():
            return []
        usual = _most_frequent(steps[steps > np.timedelta64(0)])
        if usual not in (None, STEP):
            return [self._wrong_step(usual)]
        return [*self._off_grid(off_grid), *self._order(known), *self._gaps(known)]

    def _wrong_step(self, usual: np.timedelta64 | None) -> Problem:
        minutes = (usual or STEP) / np.timedelta64(60, "s")
        message = f"The rows are {minutes:g} minutes apart. Send quarter-hours: one row every 15 minutes."
        return Problem(None, self.column, "wrong_step", message)

    def _off_grid(self, at: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Iterator[Problem]:
        for row in at.tolist():
            message = f"{self.written[row]} is not on a full quarter-hour (:00, :15, :30 or :45)."
            yield Problem(self.rows[row], self.column, "off_grid", message)

    def _order(self, known: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Iterator[Problem]:
        """Name the rows whose time was there before, or that come after a later one."""
        first_row: dict[int, int] = {}
        latest = -1
        for at, second in zip(known.tolist(), self.time[known].astype(np.int64).tolist(), strict=True):
            if second in first_row:
                message = f"{self.written[at]} was already given in row {first_row[second]}. Keep one of them."
                yield Problem(self.rows[at], self.column, "duplicate", message)
            elif second < latest:
                message = f"{self.written[at]} comes after a later time. Sort the rows by time."
                yield Problem(self.rows[at], self.column, "unsorted", message)
            first_row.setdefault(second, self.rows[at])
            latest = max(latest, second)

    def _gaps(self, known: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Iterator[Problem]:
        """Name the rows before which quarter-hours are missing, by time, not by their order in the file."""
        times, first = np.unique(self.time[known], return_index=True)
        unreadable = np.cumsum(np.isnat(self.time))
        for later in np.flatnonzero(np.diff(times) > STEP) + 1:
            before, at = known[first[later - 1]], known[first[later]]
            missing = int((times[later] - times[later - 1]) // STEP) - 1
            # Unreadable stamps in between have a problem of their own, which may be all that is wrong.
            if missing > abs(int(unreadable[at] - unreadable[before])):
                what = "quarter-hour is" if missing == 1 else "quarter-hours are"
                message = f"{missing} {what} missing between {self.written[before]} and {self.written[at]}."
                yield Problem(self.rows[at], self.column, "gap", message)


def _most_frequent(steps: np.ndarray[tuple[int], np.dtype[np.timedelta64]]) -> np.timedelta64 | None:
    values, counts = np.unique(steps, return_counts=True)
    return values[counts.argmax()] if values.size else None
