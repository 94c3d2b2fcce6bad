"""A load profile to its eleven columns: the power and the phases of five calendar cycles.

A cycle's phase is given as sin and cos of `2 pi t / period`, t being the seconds since 1970 that the *clock*
shows (local time read as if it were UTC), so that 18:00 is the same phase in summer and in winter.
The periods are those that the golden figures confirm (year: 365.2425 days); the month is a twelfth of a year.
"""

import numpy as np
import numpy.typing as npt

from processing.reading import LoadProfile
from processing.stamps import Instants

DAY = 86_400.0
YEAR = 365.2425 * DAY  # mean Gregorian year, seconds
PERIODS = {"hour": 3_600.0, "day": DAY, "week": 7 * DAY, "month": YEAR / 12, "year": YEAR}  # seconds
COLUMNS = ("power", *(f"{cycle}_{wave}" for cycle in PERIODS for wave in ("sin", "cos")))


def calendar(clock: Instants) -> npt.NDArray[np.float64]:
    """Return sin and cos of each cycle in the order of `PERIODS`.

    Args:
        clock: (n,) datetime64, local time.

    Returns:
        (n, 10) float64 in [-1, 1].
    """
    # The unit is converted before the number is taken: pandas hands out microseconds, NumPy what it was given.
    seconds = clock.astype("datetime64[s]").astype(np.int64).astype(np.float64)
    phases = 2 * np.pi * seconds[:, None] / np.array(list(PERIODS.values()))
    waves: npt.NDArray[np.float64] = np.stack([np.sin(phases), np.cos(phases)], axis=-1)
    return waves.reshape(len(clock), 2 * len(PERIODS))


def columns(profile: LoadProfile) -> npt.NDArray[np.float64]:
    """Return the eleven columns named by `COLUMNS`: (n, 11) float64, the power in kW."""
    return np.column_stack([profile.power, calendar(profile.clock)])
