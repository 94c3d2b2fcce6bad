"""Time stamps to instants in UTC.

A stamp with an offset is an instant. A stamp without one is local time in the given zone: the hour that a
clock change leaves out is refused, the hour that it doubles is told apart by the rows around it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from processing.grid import STEP, most_frequent
from processing.written import NEVER, Instants, Mask, Written

_DAY = 86_400


@dataclass(frozen=True)
class Stamps:
    """Time stamps of n rows.

    `time` (n,) datetime64[s] in UTC and `clock` (n,) datetime64[s] as a clock in the zone shows it; NaT in
    both where `unreadable` (n,) or `nonexistent` (n,) is True. `doubled` (n,) is True where a clock showed the
    time twice and the rows around decided which is meant.
    """

    time: Instants
    clock: Instants
    unreadable: Mask
    nonexistent: Mask
    doubled: Mask


def read_stamps(written: Written, time_zone: str) -> Stamps:
    """Find the instants that are meant; those without an offset are local time in `time_zone` (an IANA name)."""
    nowhere = np.zeros(len(written.clock), bool)
    if written.offset is not None:
        time = written.clock - written.offset
        return Stamps(time, on_the_clock(time, time_zone), written.unreadable, nowhere, nowhere)
    time, doubled = _localise(written.clock, ZoneInfo(time_zone))
    nonexistent = np.isnat(time) & ~written.unreadable
    clock = np.where(nonexistent, NEVER, written.clock) if nonexistent.any() else written.clock
    return Stamps(time, clock, written.unreadable, nonexistent, doubled)


def on_the_clock(time: Instants, time_zone: str) -> Instants:
    """Return what a clock in `time_zone` shows at the instants `time` (n,) datetime64[s] UTC."""
    local = pd.DatetimeIndex(time, tz="UTC").tz_convert(time_zone).tz_localize(None)
    return local.to_numpy().astype("datetime64[s]")


def _localise(clock: Instants, zone: ZoneInfo) -> tuple[Instants, Mask]:
    """Return the UTC instants of local times, NaT where the zone's clock never shows the time; and where twice."""
    offset = _only_offset(clock, zone)
    if offset is not None:
        return clock - offset, np.zeros(len(clock), bool)
    if np.isnat(clock).all():
        return clock, np.zeros(len(clock), bool)
    local = pd.DatetimeIndex(clock)
    every = np.ones(len(local), bool)
    earlier, later = (
        local.tz_localize(zone, ambiguous=summer, nonexistent="NaT")
        .tz_convert("UTC")
        .tz_localize(None)
        .to_numpy()
        .astype("datetime64[s]")
        for summer in (every, ~every)
    )
    doubled = (earlier != later) & ~np.isnat(earlier)
    return _tell_apart(earlier, later, doubled), doubled


def _only_offset(clock: Instants, zone: ZoneInfo) -> np.timedelta64 | None:
    """Return the zone's offset from UTC if it is the same all through the span of `clock`.

    Nearly every week has no clock change in it, and this is twenty times as fast as localising each row.
    An offset is looked up at each day's start, one day beyond both ends: no zone changes twice in a day.
    """
    known = clock[~np.isnat(clock)]
    if not known.size:
        return None
    first, last = (int(edge.astype(np.int64)) // _DAY for edge in (known.min(), known.max()))
    if last - first > 60:  # noqa: PLR2004  a longer file is worth the general way at once
        return None
    offset = _offset_from_to(zone, first, last)
    return None if offset is None else np.timedelta64(offset, "s")


@lru_cache(maxsize=1_024)  # most who ask have the same last week
def _offset_from_to(zone: ZoneInfo, first: int, last: int) -> timedelta | None:
    """Return the only offset from one day to another, counted from 1970; None if there are several."""
    start = datetime(1970, 1, 1, tzinfo=UTC)
    days = (start + timedelta(days=day) for day in range(first - 1, last + 3))
    offsets = {moment.astimezone(zone).utcoffset() for moment in days}
    return offsets.pop() if len(offsets) == 1 else None


def _tell_apart(earlier: Instants, later: Instants, doubled: Mask) -> Instants:
    """Choose between the two readings of a doubled hour: the one that continues the rows around it.

    Rows are a sequence of one step, so a row's time follows from the nearest certain row before it (or, at the start
    of a file, after it) and the number of rows between. The reading that lies nearer to it is taken, the earlier one
    of two that are as near; the grid check names what is then broken.
    """
    certain = np.flatnonzero(~doubled & ~np.isnat(earlier))
    if not doubled.any() or not certain.size:
        return earlier
    at = np.flatnonzero(doubled)
    nearest = certain[np.maximum(np.searchsorted(certain, at) - 1, 0)]
    expected = earlier[nearest] + (at - nearest) * _step(earlier, certain)
    time = earlier.copy()
    time[at] = np.where(np.abs(later[at] - expected) < np.abs(earlier[at] - expected), later[at], earlier[at])
    return time


def _step(time: Instants, certain: npt.NDArray[np.int64]) -> np.timedelta64:
    """Return the most frequent distance of neighbouring certain rows; a quarter-hour where there are none."""
    steps = np.diff(time[certain])[np.diff(certain) == 1]
    usual = most_frequent(steps[steps > np.timedelta64(0)])
    return STEP if usual is None else usual
