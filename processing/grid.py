"""Whether instants form an unbroken grid of quarter-hours.

Counted in real time, so a local week over a clock change is whole with 668 or 676 wall-clock quarter-hours.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from processing import clock_changes
from processing.cells import Positions
from processing.errors import Problem, Problems
from processing.written import Instants

STEP = np.timedelta64(900, "s")
LONGEST_GAP = np.timedelta64(3_600, "s")  # that may be filled: four quarter-hours
SNAP = np.timedelta64(30, "s")  # stamps nearer than this to their place may be moved onto it
ANOTHER = 8  # rows on end that keep another step: no accident of missing rows


@dataclass(frozen=True)
class GridCheck:
    """The time column of n rows, in the order of the file.

    `time` (n,) datetime64[s] UTC, NaT where a stamp could not be read; `written` gives the stamp of one of them as
    the user wrote it and `rows` their row numbers, for the messages; `column` the column's name. `step` is the
    step to keep: quarter-hours, or a finer one where it will be averaged. `zone` is the IANA name of the zone in whose
    local time the stamps are written, None where they name their offset. `repair` names the repairs that were asked
    for and have left what is found here.
    """

    time: Instants
    written: Callable[[int], str]
    rows: Positions
    column: str
    step: np.timedelta64 = STEP
    zone: str | None = None
    repair: Collection[str] = ()

    def problems(self) -> Problems:
        """List every break of the grid; rows without a readable stamp are left out."""
        found = Problems()
        if self._whole():
            return found
        known = np.flatnonzero(~np.isnat(self.time))
        off_grid = known[self.time[known].astype(np.int64) % self.step.astype(np.int64) != 0]
        usual = usual_step(self.time)
        if usual not in (None, self.step):
            found.add(self._wrong_step(usual))
        elif mixed := list(self._mixed(known)):
            found.add(*mixed)
        else:
            found.each(off_grid, self._off_grid)
            found.join(self._order(known))
            found.join(self._gaps(known))
        return found

    def _whole(self) -> bool:
        """Tell whether all is well: NaT makes every comparison false."""
        if not len(self.time):
            return True
        steps = self.time[1:] - self.time[:-1]
        return bool(self.time[0].astype(np.int64) % self.step.astype(np.int64) == 0 and (steps == self.step).all())

    def _wrong_step(self, usual: np.timedelta64 | None) -> Problem:
        step = usual or STEP
        message = f"The rows are {step / np.timedelta64(60, 's'):g} minutes apart. "
        if STEP % step == np.timedelta64(0):
            message += f"Send quarter-hours{self._offer('average', ', or let /forecast average the rows to them')}."
        else:
            longer = " Longer steps cannot be made shorter." if step > STEP else ""
            message += f"Send quarter-hours: one row every 15 minutes.{longer}"
        return Problem(None, self.column, "wrong_step", message)

    def _mixed(self, known: Positions) -> Iterator[Problem]:
        """Name the rows from which on the file keeps another step, by time, not by their order in the file."""
        times, rows = by_time(self.time[known])
        steps = np.diff(times)
        for first, last in other_steps(steps, self.step):
            at, until = known[rows[first]], known[rows[last]]
            message = (
                f"From here to row {self.rows[until]} the rows are {steps[first] / np.timedelta64(60, 's'):g} "
                f"minutes apart, the others {self.step / np.timedelta64(60, 's'):g}. Send one step throughout."
            )
            yield Problem(int(self.rows[at]), self.column, "mixed_step", message)

    def _off_grid(self, at: int) -> Problem:
        what = "a full quarter-hour (:00, :15, :30 or :45)" if self.step == STEP else f"the step of {self.step}"
        beyond = self.time[at].astype(np.int64) % self.step.astype(np.int64) * np.timedelta64(1, "s")
        near = min(beyond, self.step - beyond) < SNAP and may_snap(self.step)
        offer = self._offer("off_grid", "; let /forecast move it there") if near else ""
        return Problem(int(self.rows[at]), self.column, "off_grid", f"{self.written(at)} is not on {what}{offer}.")

    def _order(self, known: Positions) -> Problems:
        """Name the rows whose time was there before, or that come after a later one."""
        found = Problems()
        again, late, first_at = order(self.time[known])
        before = {int(known[at]): int(self.rows[known[first]]) for at, first in zip(again, first_at, strict=True)}
        found.each(known[again], lambda at: self._duplicate(at, before[at]))
        found.each(known[late], self._unsorted)
        return found

    def _duplicate(self, at: int, first: int) -> Problem:
        message = f"{self.written(at)} was already given in row {first}. Keep one of them"
        change = clock_changes.at(self.time[at], self.time[at], self.zone)
        offer = "" if change else self._offer("duplicates", "; /forecast drops it where both say the same")
        message += f"{offer}.{change}"
        return Problem(int(self.rows[at]), self.column, "duplicate", message)

    def _unsorted(self, at: int) -> Problem:
        offer = self._offer("sort", ", or let /forecast do it")
        message = f"{self.written(at)} comes after a later time. Sort the rows by time{offer}."
        return Problem(int(self.rows[at]), self.column, "unsorted", message)

    def _gaps(self, known: Positions) -> Problems:
        """Name the rows before which rows are missing, by time, not by their order in the file."""
        found = Problems()
        times, first = by_time(self.time[known])
        later = np.flatnonzero(np.diff(times) > self.step) + 1
        missing = (times[later] - times[later - 1]) // self.step - 1
        before, after = known[first[later - 1]], known[first[later]]
        # Unreadable stamps in between have a problem of their own, which may be all that is wrong.
        unreadable = np.cumsum(np.isnat(self.time))
        real = np.flatnonzero(missing > np.abs(unreadable[after] - unreadable[before]))
        found.each(real, lambda at: self._gap(int(missing[at]), int(before[at]), int(after[at])))
        return found

    def _gap(self, missing: int, before: int, after: int) -> Problem:
        unit = "quarter-hour" if self.step == STEP else "row"
        what = f"{unit} is" if missing == 1 else f"{unit}s are"
        message = f"{missing} {what} missing between {self.written(before)} and {self.written(after)}."
        if change := clock_changes.at(self.time[before], self.time[after], self.zone):
            message += change
        elif missing * self.step <= LONGEST_GAP and (offer := self._offer("gaps", "or let /forecast fill them in")):
            message += f" Send all rows, {offer}."
        return Problem(int(self.rows[after]), self.column, "gap", message)

    def _offer(self, code: str, deed: str) -> str:
        """Say which repair would do a deed, to who has not asked for it."""
        return "" if code in self.repair else f"{deed}: repair={code}"


def may_snap(step: np.timedelta64) -> bool:
    """Tell whether rows of such a step may be moved onto it: there is room between what belongs to two places."""
    return bool(step > 2 * SNAP)


def by_time(time: Instants) -> tuple[Instants, Positions]:
    """Return the different ones of n known times, sorted, and the first row of each."""
    if (time[1:] > time[:-1]).all():
        return time, np.arange(len(time))
    times, first = np.unique(time, return_index=True)
    return times, first


def order(time: Instants) -> tuple[Positions, Positions, Positions]:
    """Find the rows that are out of order.

    Args:
        time: (n,) datetime64[s], all known.

    Returns:
        The rows whose time an earlier row has, the other rows that come after a later time, and, for each of the
        first ones, the row that had its time before.
    """
    values, first, inverse = np.unique(time, return_index=True, return_inverse=True)
    first_at = first[inverse] if len(values) else inverse
    again = first_at < np.arange(len(time))
    latest = np.maximum.accumulate(time.astype(np.int64)) if len(time) else time.astype(np.int64)
    late = ~again & (time.astype(np.int64) < latest)
    return np.flatnonzero(again), np.flatnonzero(late), first_at[again]


def other_steps(steps: npt.NDArray[np.timedelta64], step: np.timedelta64) -> list[tuple[int, int]]:
    """Return the runs (first, last + 1) of `ANOTHER` and more equal distances that are not the step."""
    edges = np.concatenate([[0], np.flatnonzero(steps[1:] != steps[:-1]) + 1, [len(steps)]]).tolist()
    long = [(first, last) for first, last in pairwise(edges) if last - first >= ANOTHER]
    return [(first, last) for first, last in long if steps[first] != step and steps[first] > np.timedelta64(0)]


def usual_step(time: Instants) -> np.timedelta64 | None:
    """Return the most frequent distance from a time to the next later one, or None where there is none."""
    return most_frequent(np.diff(by_time(time[~np.isnat(time)])[0]))


def most_frequent(steps: npt.NDArray[np.timedelta64]) -> np.timedelta64 | None:
    """Return the most frequent distance, the shortest of several; None of none."""
    values, counts = np.unique(steps, return_counts=True)
    return values[counts.argmax()] if values.size else None
