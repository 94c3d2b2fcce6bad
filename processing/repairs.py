"""The repairs that a user may ask for, each of them told in the answer.

In: the readable rows of one site in the order of the file. Out: the same, mended, and a list of what was done.
Nothing is done that was not asked for, and nothing that cannot be right: rows that contradict each other stay, holes
of more than an hour stay, and where the hour that a clock change doubles would have to be guessed, all stays as it is.
The grid check then names what is left.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from processing.cells import Positions
from processing.errors import Problem
from processing.grid import LONGEST_GAP, SNAP, STEP, may_snap, order, other_steps, usual_step
from processing.written import Instants, Mask

CODES = ("kwh", "off_grid", "sort", "duplicates", "gaps", "average")
_NONE = np.timedelta64(0, "s")


@dataclass(frozen=True)
class Repair:
    """One thing that was changed: where it begins, how many rows it concerns, and in words."""

    code: str
    row: int | None
    column: str | None
    count: int
    message: str


@dataclass(frozen=True)
class Series:
    """n rows of a site.

    `time` (n,) datetime64[s] UTC and `power` (n,) kW; `rows` (n,) their row numbers, for a made row that of the one
    after it; `place` (n,) where their stamp stands among the file's; `doubled` (n,) True where a clock showed the
    stamp twice and it names no offset. `step` is the step of the rows.
    """

    time: Instants
    power: npt.NDArray[np.float64]
    rows: Positions
    place: Positions
    doubled: Mask
    step: np.timedelta64 = STEP

    def take(self, rows: Positions) -> "Series":
        """Return some rows, in that order."""
        return replace(
            self,
            time=self.time[rows],
            power=self.power[rows],
            rows=self.rows[rows],
            place=self.place[rows],
            doubled=self.doubled[rows],
        )


class Workshop:
    """Mends one series, and keeps a list of what it did."""

    def __init__(self, series: Series, asked: Collection[str], names: tuple[str, str]) -> None:
        self.series = series
        self.asked = frozenset(asked)
        self.time_name, self.power_name = names
        self.repairs: list[Repair] = []
        self.problems: list[Problem] = []

    def mend(self, *, energy: bool) -> None:
        """Do what was asked for and is needed; `energy` says that the powers are kWh of each interval."""
        usual = usual_step(self.series.time)
        if "off_grid" in self.asked:
            self._snap(usual)
            usual = usual_step(self.series.time)
        if finer := "average" in self.asked and usual is not None and usual < STEP and STEP % usual == _NONE:
            self.series = replace(self.series, step=usual or STEP)
        if energy:
            self._from_energy()
        if "sort" in self.asked and not self._sort():
            return
        if "duplicates" in self.asked:
            self._drop_duplicates()
        if "gaps" in self.asked:
            self._fill_gaps()
        if finer:
            self._average()

    def _from_energy(self) -> None:
        """Turn kWh of each interval into kW."""
        factor = np.timedelta64(3_600, "s") / self.series.step
        self.series = replace(self.series, power=self.series.power * factor)
        message = f"The kWh of each interval were turned into kW: times {factor:g}."
        self._told("kwh", None, self.power_name, len(self.series.power), message)

    def _told(self, code: str, row: int | None, column: str | None, count: int, message: str) -> None:
        self.repairs.append(Repair(code, row, column, count, message))

    def _snap(self, usual: np.timedelta64 | None) -> None:
        step = usual if usual is not None and usual < STEP and STEP % usual == _NONE else STEP
        seconds, grid = self.series.time.astype(np.int64), int(step.astype(np.int64))
        nearest = (seconds + grid // 2) // grid * grid
        off = nearest != seconds
        moved = off & (np.abs(nearest - seconds) < SNAP.astype(np.int64))
        if moved.any() and may_snap(step):
            time = np.where(moved, nearest, seconds).astype("datetime64[s]")
            self.series = replace(self.series, time=time)
            count = int(moved.sum())
            place = "full quarter-hour" if step == STEP else f"full {step / np.timedelta64(60, 's'):g} minutes"
            message = f"{count} time stamps less than half a minute off their {place} were moved onto it."
            self._told("off_grid", int(self.series.rows[moved.argmax()]), self.time_name, count, message)

    def _sort(self) -> bool:
        """Sort the rows; False where it cannot be known which rows of a doubled hour come first."""
        _, late, _ = order(self.series.time)
        turned = np.flatnonzero(self.series.time[1:] < self.series.time[:-1]) + 1
        if not turned.size:
            return True
        row = int(self.series.rows[turned[0]])
        if self.series.doubled.any():
            at = int(self.series.doubled.argmax())
            message = (
                "The clock shows this time twice, and the rows are not in order: which one is meant cannot be "
                "known. Send time stamps with an offset, such as +02:00."
            )
            self.problems.append(Problem(int(self.series.rows[at]), self.time_name, "ambiguous_time", message))
            return False
        self.series = self.series.take(np.argsort(self.series.time, kind="stable"))
        count = max(len(late), len(turned))
        self._told("sort", row, self.time_name, count, f"The rows were sorted by time: {count} came after a later one.")
        return True

    def _drop_duplicates(self) -> None:
        again, _, first = order(self.series.time)
        same = (self.series.power[again] == self.series.power[first]) & ~self.series.doubled[again]
        for at, before in zip(again[same].tolist(), first[same].tolist(), strict=True):
            message = f"The row says the same as row {self.series.rows[before]} and was dropped."
            self._told("duplicates", int(self.series.rows[at]), self.time_name, 1, message)
        if same.any():
            self.series = self.series.take(np.delete(np.arange(len(self.series.time)), again[same]))

    def _fill_gaps(self) -> None:
        """Put a straight line over each hole of up to an hour."""
        series = self.series
        steps = np.diff(series.time)
        if (steps <= _NONE).any() or usual_step(series.time) != series.step or other_steps(steps, series.step):
            return  # rows of a longer step have no holes between them
        holes = (steps > series.step) & (steps % series.step == _NONE) & (steps - series.step <= LONGEST_GAP)
        holes &= ~(series.doubled[:-1] | series.doubled[1:])  # the missing rows could be those of either hour
        before = np.flatnonzero(holes)
        if not before.size:
            return
        counts = (steps[before] // series.step).astype(np.int64) - 1
        made = np.concatenate(
            [series.time[at] + series.step * np.arange(1, n + 1) for at, n in zip(before, counts, strict=True)]
        )
        power = np.interp(made.astype(np.int64), series.time.astype(np.int64), series.power)
        where = np.repeat(before + 1, counts)
        for at, count in zip(before.tolist(), counts.tolist(), strict=True):
            ends = f"{series.power[at]:g} and {series.power[at + 1]:g} kW"
            what = "missing row before this one was" if count == 1 else "missing rows before this one were"
            message = f"{count} {what} put on the straight line between {ends}."
            self._told("gaps", int(series.rows[at + 1]), self.power_name, count, message)
        self.series = replace(
            series,
            time=np.insert(series.time, where, made),
            power=np.insert(series.power, where, power),
            rows=np.insert(series.rows, where, series.rows[where]),
            place=np.insert(series.place, where, series.place[where]),
            doubled=np.insert(series.doubled, where, values=False),
        )

    def _average(self) -> None:
        """Make quarter-hours of finer rows, if these are whole."""
        series = self.series
        if not len(series.time) or (np.diff(series.time) != series.step).any():
            return
        seconds = series.time.astype(np.int64)
        if (seconds % int(series.step.astype(np.int64))).any():
            return
        size = int(STEP // series.step)
        first = int(-(seconds[0] // series.step.astype(np.int64)) % size)
        count = (len(seconds) - first) // size
        last = first + count * size
        blocks = series.power[first:last].reshape(count, size)
        # Relative to the first of each, so that the mean of equal numbers is that very number.
        power = blocks[:, 0] + (blocks - blocks[:, :1]).mean(axis=1) if count else blocks[:, 0]
        minutes = series.step / np.timedelta64(60, "s")
        message = f"{last - first} rows of {minutes:g} minutes were averaged to {count} quarter-hours."
        self._told("average", int(series.rows[0]), self.power_name, last - first, message)
        for dropped, where, at in ((first, "start", 0), (len(seconds) - last, "end", last)):
            if dropped:
                message = f"The incomplete quarter-hour at the {where}, {dropped} of {size} rows, was dropped."
                self._told("average", int(series.rows[at]), self.time_name, dropped, message)
        kept = series.take(np.arange(first, last, size))
        self.series = replace(kept, power=power, step=STEP)
