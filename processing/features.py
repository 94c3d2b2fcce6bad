"""A load profile to its eleven columns: the power and the phases of five calendar cycles.

A cycle's phase is given as sin and cos of `2 pi t / period`, t being the seconds since 1970 that the *clock*
shows (local time read as if it were UTC), so that 18:00 is the same phase in summer and in winter.
The periods are those that the golden figures confirm (year: 365.2425 days); the month is a twelfth of a year.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from processing.errors import UnknownColumn
from processing.grid import STEP
from processing.reading import LoadProfile
from processing.written import Instants

DAY = 86_400.0
YEAR = 365.2425 * DAY  # mean Gregorian year, seconds
PERIODS = {"hour": 3_600.0, "day": DAY, "week": 7 * DAY, "month": YEAR / 12, "year": YEAR}  # seconds
_PLACES = {cycle: at for at, cycle in enumerate(PERIODS)}
# (k, 5): sin(a + b) + i cos(a + b) = (sin a + i cos a) e^(-i b), b being the phase after k quarter-hours.
_TURNS = np.exp(-2j * np.pi * STEP.astype(np.int64) * np.arange(1_024)[:, None] / np.array(list(PERIODS.values())))
COLUMNS = ("power", *(f"{cycle}_{wave}" for cycle in PERIODS for wave in ("sin", "cos")))


def calendar(clock: Instants, cycles: Sequence[str] = tuple(PERIODS)) -> npt.NDArray[np.float64]:
    """Return sin and cos of each of the c cycles.

    Args:
        clock: (n,) datetime64, local time.
        cycles: names in `PERIODS`.

    Returns:
        (n, 2 c) float64 in [-1, 1].
    """
    # The unit is converted before the number is taken: pandas hands out microseconds, NumPy what it was given.
    seconds = clock.astype("datetime64[s]").astype(np.int64)
    periods = np.array([PERIODS[cycle] for cycle in cycles])
    count = len(seconds)
    if count > len(_TURNS) or (np.diff(seconds) != STEP.astype(np.int64)).any():
        phases = 2 * np.pi * seconds[:, None] / periods
        return np.stack([np.sin(phases), np.cos(phases)], axis=-1).reshape(count, -1)
    # Only the first row's are computed: from there each cycle is turned on by what is known of a number of steps.
    first = 2 * np.pi * seconds[:1, None] / periods
    turns = _TURNS[:count].take([_PLACES[cycle] for cycle in cycles], axis=1)
    waves: npt.NDArray[np.float64] = ((np.sin(first) + 1j * np.cos(first)) * turns).view(np.float64)
    return waves


def hour_of_day(clock: Instants) -> npt.NDArray[np.int64]:
    """Return the hour that a clock shows: (n,) datetime64, local time, to (n,) 0 to 23."""
    shown: npt.NDArray[np.int64] = clock.astype("datetime64[h]").astype(np.int64) % 24
    return shown


def columns(profile: LoadProfile) -> npt.NDArray[np.float64]:
    """Return the eleven columns named by `COLUMNS`: (n, 11) float64, the power in kW."""
    return np.column_stack([profile.power, calendar(profile.clock)])


def named(profile: LoadProfile, names: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the named ones of the eleven columns, in the order of the names: (n, c) float64.

    Raises:
        UnknownColumn: a name is none of the eleven.
    """
    for name in names:
        if name not in COLUMNS:
            raise UnknownColumn(name, COLUMNS)
    cycles = [cycle for cycle in PERIODS if any(name.startswith(cycle + "_") for name in names)]
    made = ["power", *(f"{cycle}_{wave}" for cycle in cycles for wave in ("sin", "cos"))]
    values = np.column_stack([profile.power, calendar(profile.clock, cycles)])
    return values[:, [made.index(name) for name in names]]
