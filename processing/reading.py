"""Bytes of a CSV to a load profile: time and power of an unbroken run of quarter-hours.

Nothing is guessed and nothing is dropped: what does not fit is refused, with every problem listed by row,
column, code and message. What the user asks for (`Rules.repair`) is mended, and the profile says what was.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from processing import clock_changes
from processing.cells import Body, Positions
from processing.errors import InvalidLoadProfile, Problem, Problems, shown
from processing.grid import STEP, GridCheck
from processing.plausibility import PowerCheck, judge
from processing.powers import could_be_thousands, read_powers
from processing.repairs import Repair, Series, Workshop
from processing.stamps import Stamps, on_the_clock, read_stamps
from processing.table import Table, read_table
from processing.usual import read_usual
from processing.written import Instants, Written

WEEK = 672  # quarter-hours


@dataclass(frozen=True)
class Rules:
    """What the user allows and the model knows.

    `repair` names repairs (`repairs.CODES`) and `accept` doubts that are to be passed over (`plausibility.CODES`);
    `known` is the range of mean powers in kW that the model knows, None if it takes any.
    """

    repair: frozenset[str] = frozenset()
    accept: frozenset[str] = frozenset()
    known: Sequence[float] | None = None


@dataclass(frozen=True)
class LoadProfile:
    """A site's power over n consecutive quarter-hours.

    `time` (n,) datetime64[s], UTC: the instants, exactly 15 minutes apart.
    `clock` (n,) datetime64[s]: the same as a clock in `time_zone` shows them (the calendar features use it).
    `power` (n,) float64, kW, finite.
    `notes`: what was assumed in reading and the user should know; `repairs`: what was changed on request;
    `accepted`: the doubts that the user passed over.
    """

    time: Instants
    clock: Instants
    power: npt.NDArray[np.float64]
    time_zone: str
    notes: tuple[str, ...] = ()
    repairs: tuple[Repair, ...] = ()
    accepted: tuple[Problem, ...] = ()


def read_load_profile(body: Body, *, time_zone: str, at_least: int = WEEK, rules: Rules | None = None) -> LoadProfile:
    """Read a CSV with a time column and a power column in kW.

    Args:
        body: the file's bytes.
        time_zone: IANA name of the zone of stamps without an offset, and of the profile's clock.
        at_least: the fewest rows to accept; the newest so many are looked at for what no site draws.
        rules: what to repair and to accept; by default nothing.

    Raises:
        InvalidLoadProfile: with every problem found, in the order of the rows.
    """
    return Reader(time_zone, at_least, rules or Rules()).read_file(body)


class Reader:
    """Makes load profiles of tables, one after the other; sites with the same stamps share their times.

    `too_short` is said besides to who sends fewer than `at_least` rows: what more of them are good for.
    """

    def __init__(self, time_zone: str, at_least: int, rules: Rules, too_short: str = "") -> None:
        self.time_zone = time_zone
        self.at_least = at_least
        self.rules = rules
        self.too_short = too_short
        self._last: tuple[Written, Stamps] | None = None

    def read_file(self, body: Body) -> LoadProfile:
        """Make a load profile of a CSV of one site.

        Raises:
            InvalidLoadProfile: with every problem found, in the order of the rows.
        """
        profile = self.read_at_once(body)
        return self.read(read_table(body)) if profile is None else profile

    def read_at_once(self, body: Body) -> LoadProfile | None:
        """Make a load profile of a usual file about which there is nothing to say; None of any other, good or bad."""
        usual = read_usual(body)
        if usual is None or len(usual.power) < self.at_least:
            return None
        stamps = self._stamps(usual.written)
        span = STEP * (len(usual.power) - 1)
        if stamps.nonexistent.any() or stamps.doubled.any() or stamps.time[-1] - stamps.time[0] != span:
            return None  # the clock was changed
        if len(usual.power) >= WEEK and self._judged(usual.power, np.arange(len(usual.power)), "") != ([], []):
            return None
        return LoadProfile(stamps.time, stamps.clock, usual.power, self.time_zone)

    def read(self, table: Table) -> LoadProfile:
        """Make a load profile of a table.

        Raises:
            InvalidLoadProfile: with every problem found, in the order of the rows.
        """
        stamps = self._stamps(table.written)
        power, of_power = read_powers(table.powers, table.numbers, table.rows, table.power_name)
        problems = Problems()
        problems.join(table.problems)
        problems.join(_without_faulty(of_power, table))
        problems.join(_stamp_problems(table, stamps, self.time_zone))
        if table.energy and "kwh" not in self.rules.repair:
            problems.add(_energy(table))
        series = Series(stamps.time, power, table.rows, np.arange(len(power)), stamps.doubled)
        repairs: tuple[Repair, ...] = ()
        if self.rules.repair:
            workshop = self._mended(series, table, stamps)
            series, repairs = workshop.series, tuple(workshop.repairs)
            problems.add(*workshop.problems)
        problems.join(
            GridCheck(
                time=series.time,
                written=lambda at: table.stamps.text(int(series.place[at])),
                rows=series.rows,
                column=table.time_name,
                step=series.step,
                zone=self.time_zone if table.written.offset is None else None,
                repair=self.rules.repair,
            ).problems()
        )
        if len(series.time) < self.at_least and not (problems and self._would_do(series)):
            message = f"There are {len(series.time)} rows; at least {self.at_least} quarter-hours are needed."
            problems.add(Problem(None, None, "too_short", f"{message} {self.too_short}".strip()))
        accepted: list[Problem] = []
        if not problems and len(series.power) >= WEEK:
            doubts, accepted = self._judged(series.power, series.rows, table.power_name)
            problems.add(*doubts)
        if problems:
            self._tell_of_newest(table, problems)
            raise InvalidLoadProfile(problems.kept, problems.count)
        clock = on_the_clock(series.time, self.time_zone) if repairs else stamps.clock
        return LoadProfile(series.time, clock, series.power, self.time_zone, _notes(table), repairs, tuple(accepted))

    def _would_do(self, series: Series) -> bool:
        """Tell whether so few rows may be enough as soon as what is wrong with them is put right."""
        known = series.time[~np.isnat(series.time)]
        return series.step != STEP or (len(known) > 0 and bool(known.max() - known.min() >= STEP * (self.at_least - 1)))

    def _judged(
        self, power: npt.NDArray[np.float64], rows: Positions, column: str
    ) -> tuple[list[Problem], list[Problem]]:
        """Return what is doubtful about the newest powers, and what of that the user accepts."""
        window = slice(-max(self.at_least, WEEK), None)
        return judge(PowerCheck(power[window], rows[window], column, self.rules.known), self.rules.accept)

    def _tell_of_newest(self, table: Table, problems: Problems) -> None:
        """Say with the last gap that the newest rows would do alone, if they would."""
        gaps = [at for at, problem in enumerate(problems.kept) if problem.code == "gap"]
        count = max(self.at_least, WEEK)
        newest = table.take(slice(-count, None))
        if not gaps or len(table.rows) <= count or newest.faulty.any():
            return
        try:
            Reader(self.time_zone, self.at_least, self.rules).read(replace(newest, problems=Problems()))
        except InvalidLoadProfile:
            return
        last = problems.kept[gaps[-1]]
        message = f"{last.message} The last {count} rows are whole: sending only these works."
        problems.kept[gaps[-1]] = replace(last, message=message)

    def _stamps(self, written: Written) -> Stamps:
        if self._last is not None:
            before, stamps = self._last
            same = before is written or (
                written.offset is None and before.offset is None and np.array_equal(before.clock, written.clock)
            )
            if same:
                return stamps
        stamps = read_stamps(written, self.time_zone)
        self._last = written, stamps
        return stamps

    def _mended(self, series: Series, table: Table, stamps: Stamps) -> Workshop:
        """Mend what can be mended; unreadable rows, which are problems already, are left out."""
        unknown = np.isnat(stamps.time)
        if unknown.any():
            series = series.take(np.flatnonzero(~unknown))
        workshop = Workshop(series, self.rules.repair, (table.time_name, table.power_name))
        workshop.mend(energy=table.energy and "kwh" in self.rules.repair)
        return workshop


def _notes(table: Table) -> tuple[str, ...]:
    # Between commas a point is a decimal point; where commas are decimal, columns are separated by something else.
    if table.delimiter == "," or not could_be_thousands(table.powers, table.numbers):
        return table.notes
    mark = "point" if table.numbers.points.all() else "comma"
    example = table.powers.text(0)
    value = f"{example!r} as {table.numbers.power[0]:g}"
    return (*table.notes, f"Column {table.power_name!r}: the {mark} was read as a decimal {mark}, {value}.")


def _without_faulty(problems: Problems, table: Table) -> Problems:
    """Leave out the rows that have a problem as a whole."""
    if not problems or not table.faulty.any():
        return problems
    faulty = set(table.rows[table.faulty].tolist())
    rest = Problems()
    rest.add(*(problem for problem in problems.kept if problem.row not in faulty))
    # A faulty row is always a missing power: what was counted beyond the kept ones loses at most these.
    rest.count = max(len(rest.kept), problems.count - len(faulty))
    return rest


def _energy(table: Table) -> Problem:
    message = (
        "The column is energy (kWh), and power (kW) is needed. Convert it (a quarter-hour's kWh times 4 are its mean "
        "kW) and name it kW, or ask for it with ?repair=kwh (not on /predict)."
    )
    return Problem(None, table.power_name, "energy_unit", message)


def _stamp_problems(table: Table, stamps: Stamps, time_zone: str) -> Problems:
    problems = Problems()

    def unreadable(at: int) -> Problem:
        cell = table.stamps.text(at)
        message = (
            f"{shown(cell, 40)} is not a time stamp in the layout of this file. Write all of them like "
            "'2021-06-02 00:15:00' or all like '02.06.2021 00:15'."
        )
        return Problem(int(table.rows[at]), table.time_name, "bad_time", message)

    def nonexistent(at: int) -> Problem:
        message = f"{table.stamps.text(at)} does not exist in {time_zone}: the clock is put forward over it."
        message += clock_changes.over(table.written.clock[at], time_zone)
        return Problem(int(table.rows[at]), table.time_name, "nonexistent_time", message)

    if stamps.unreadable.any():
        problems.each(np.flatnonzero(stamps.unreadable & ~table.faulty), unreadable)
    if stamps.nonexistent.any():
        problems.each(np.flatnonzero(stamps.nonexistent), nonexistent)
    return problems
