"""Bytes of a CSV to a load profile: time and power of an unbroken run of quarter-hours.

Nothing is guessed and nothing is dropped: what does not fit is refused, with every problem listed by row,
column, code and message.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from processing.errors import InvalidLoadProfile, Problem
from processing.grid import GridCheck
from processing.powers import read_powers
from processing.stamps import Instants, Stamps, read_stamps
from processing.table import Table, read_table

WEEK = 672  # quarter-hours


@dataclass(frozen=True)
class LoadProfile:
    """A site's power over n consecutive quarter-hours.

    `time` (n,) datetime64[s], UTC: the instants, exactly 15 minutes apart.
    `clock` (n,) datetime64[s]: the same as a clock in `time_zone` shows them (the calendar features use it).
    `power` (n,) float64, kW, finite.
    `notes`: what was assumed in reading and the user should know.
    """

    time: Instants
    clock: Instants
    power: npt.NDArray[np.float64]
    time_zone: str
    notes: tuple[str, ...] = ()


def read_load_profile(body: bytes, *, time_zone: str, at_least: int = WEEK) -> LoadProfile:
    """Read a CSV with a time column and a power column in kW.

    Args:
        body: the file's bytes.
        time_zone: IANA name of the zone of stamps without an offset, and of the profile's clock.
        at_least: the fewest rows to accept.

    Raises:
        InvalidLoadProfile: with every problem found, in the order of the rows.
    """
    table = read_table(body)
    faulty = {problem.row for problem in table.problems}
    stamps = read_stamps(table.stamps, time_zone)
    power, problems = read_powers(table.powers, table.rows, table.power_name)
    problems += _stamp_problems(table, stamps, time_zone)
    problems = [problem for problem in problems if problem.row not in faulty] + table.problems
    problems += GridCheck(stamps.time, table.stamps, table.rows, table.time_name).problems()
    if len(table.rows) < at_least:
        message = f"The file has {len(table.rows)} rows; at least {at_least} quarter-hours are needed."
        problems.append(Problem(None, None, "too_short", message))
    if problems:
        raise InvalidLoadProfile(problems)
    return LoadProfile(stamps.time, stamps.clock, power, time_zone, table.notes)


def _stamp_problems(table: Table, stamps: Stamps, time_zone: str) -> list[Problem]:
    problems = []
    for at in np.flatnonzero(stamps.unreadable).tolist():
        cell = table.stamps[at]
        shown = repr(cell if len(cell) <= 40 else cell[:37] + "...")  # noqa: PLR2004
        message = (
            f"{shown} is not a time stamp in the layout of this file. Write all of them like "
            "'2021-06-02 00:15:00' or all like '02.06.2021 00:15'."
        )
        problems.append(Problem(table.rows[at], table.time_name, "bad_time", message))
    for at in np.flatnonzero(stamps.nonexistent).tolist():
        message = f"{table.stamps[at]} does not exist in {time_zone}: the clock is put forward over it."
        problems.append(Problem(table.rows[at], table.time_name, "nonexistent_time", message))
    return problems
