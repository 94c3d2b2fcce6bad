"""Time stamps as text to seconds on the clock and instants in UTC.

Layouts: `2021-06-02 00:15`, `2021-06-02T00:15:00`, `02.06.2021 00:15`, `02.06.2021 00:15:00`; each may end in
`Z` or an offset such as `+02:00`. One file keeps to one layout: the first stamp that has one decides, so that
day and month can never be taken for one another half-way. Years 1970 to 2099.

A stamp with an offset is an instant. A stamp without one is local time in the given zone: the hour that a
clock change leaves out is refused, the hour that it doubles is told apart by the rows around it.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

Instants = npt.NDArray[np.datetime64]
Mask = npt.NDArray[np.bool_]

LONGEST = 32  # characters of a cell; more is no stamp
_DAY = 86_400
_LAYOUTS = (
    re.compile(
        r"(?P<Y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)[ T](?P<H>\d\d):(?P<M>\d\d)(?::(?P<S>\d\d))?(?P<z>Z|[+-]\d\d:?\d\d)?",
        re.ASCII,
    ),
    re.compile(
        r"(?P<d>\d\d)\.(?P<m>\d\d)\.(?P<Y>\d{4})[ T](?P<H>\d\d):(?P<M>\d\d)(?::(?P<S>\d\d))?(?P<z>Z|[+-]\d\d:?\d\d)?",
        re.ASCII,
    ),
)


@dataclass(frozen=True)
class Stamps:
    """Time stamps of n rows.

    `time` (n,) datetime64[s] in UTC and `clock` (n,) datetime64[s] as a clock in the zone shows it; NaT in
    both where `unreadable` (n,) or `nonexistent` (n,) is True.
    """

    time: Instants
    clock: Instants
    unreadable: Mask
    nonexistent: Mask


def read_stamps(cells: list[str], time_zone: str) -> Stamps:
    """Read n cells as time stamps; those without an offset are local time in `time_zone` (an IANA name)."""
    cells = [cell if len(cell) <= LONGEST else "" for cell in cells]
    layout = next((match for cell in cells if (match := _layout(cell))), None)
    never = np.full(len(cells), np.datetime64("NaT"), dtype="datetime64[s]")
    if layout is None:
        return Stamps(never, never, np.ones(len(cells), bool), np.zeros(len(cells), bool))
    written, offset, unreadable = _parse(cells, layout)
    written[unreadable] = np.datetime64("NaT")
    zone = ZoneInfo(time_zone)
    if offset is None:
        time = _localise(written, zone)
        nonexistent = np.isnat(time) & ~unreadable
        return Stamps(time, np.where(nonexistent, np.datetime64("NaT"), written), unreadable, nonexistent)
    time = written - offset
    return Stamps(time, on_the_clock(time, time_zone), unreadable, np.zeros(len(cells), bool))


def on_the_clock(time: Instants, time_zone: str) -> Instants:
    """Return what a clock in `time_zone` shows at the instants `time` (n,) datetime64[s] UTC."""
    local = pd.DatetimeIndex(time, tz="UTC").tz_convert(time_zone).tz_localize(None)
    return local.to_numpy().astype("datetime64[s]")


def _layout(cell: str) -> re.Match[str] | None:
    return next((match for layout in _LAYOUTS if (match := layout.fullmatch(cell))), None)


def _parse(cells: list[str], layout: re.Match[str]) -> tuple[Instants, npt.NDArray[np.timedelta64] | None, Mask]:
    """Read all cells as the layout of one of them says, as whole arrays.

    A cell at a time through a regular expression or strptime takes ten times as long.
    """
    width = len(layout[0])
    text = np.array([cell if len(cell) == width else "\0" * width for cell in cells], dtype=f"U{width}")
    codes = text.view(np.uint32).reshape(len(cells), width).astype(np.int64)
    template = np.array([ord(character) for character in layout[0]])
    digits = (template >= ord("0")) & (template <= ord("9"))
    sign_at = layout.start("z") if layout["z"] and layout["z"] != "Z" else None
    fixed = ~digits
    if sign_at is not None:
        fixed[sign_at] = False
    readable = (codes[:, fixed] == template[fixed]).all(axis=1)
    readable &= ((codes[:, digits] >= ord("0")) & (codes[:, digits] <= ord("9"))).all(axis=1)

    def number(first: int, last: int) -> npt.NDArray[np.int64]:
        value = np.zeros(len(cells), np.int64)
        for at in range(first, last):
            value = value * 10 + codes[:, at] - ord("0")
        return np.where(readable, value, 0)

    year, month, day, hour, minute, second = (
        number(*layout.span(part)) if layout[part] is not None else np.zeros(len(cells), np.int64) for part in "YmdHMS"
    )
    readable &= (year >= 1970) & (year < 2100) & (month >= 1) & (month <= 12) & (day >= 1)  # noqa: PLR2004
    readable &= (hour < 24) & (minute < 60) & (second < 60)  # noqa: PLR2004
    month_start = (np.where(readable, (year - 1970) * 12 + month - 1, 0)).astype("datetime64[M]")
    date = month_start.astype("datetime64[D]") + np.where(readable, day - 1, 0)
    readable &= date.astype("datetime64[M]") == month_start  # 30 February
    written = date.astype("datetime64[s]") + (hour * 3600 + minute * 60 + second)
    if layout["z"] is None:
        return written, None, ~readable
    if sign_at is None:
        return written, np.zeros(len(cells), "timedelta64[s]"), ~readable
    sign = np.where(codes[:, sign_at] == ord("-"), -1, 1)
    readable &= (codes[:, sign_at] == ord("-")) | (codes[:, sign_at] == ord("+"))
    hours, minutes = number(sign_at + 1, sign_at + 3), number(width - 2, width)
    readable &= (hours < 15) & (minutes < 60)  # noqa: PLR2004  no zone is further than 14 hours from UTC
    return written, (sign * (hours * 3600 + minutes * 60)).astype("timedelta64[s]"), ~readable


def _localise(clock: Instants, zone: ZoneInfo) -> Instants:
    """Return the UTC instants of local times; NaT where the zone's clock never shows the time."""
    offset = _only_offset(clock, zone)
    if offset is not None:
        return clock - offset
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
    return _tell_apart(earlier, later)


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
    start = datetime(1970, 1, 1, tzinfo=UTC)
    days = (start + timedelta(days=day) for day in range(first - 1, last + 3))
    offsets = {moment.astimezone(zone).utcoffset() for moment in days}
    return np.timedelta64(offsets.pop(), "s") if len(offsets) == 1 else None


def _tell_apart(earlier: Instants, later: Instants) -> Instants:
    """Choose between the two readings of a doubled hour: the one that continues the rows around it.

    Rows are quarter-hours in a sequence, so a row's time follows from the nearest certain row before it (or,
    at the start of a file, after it) and the number of rows between. Where neither reading fits, the earlier
    one stays and the grid check names the break.
    """
    doubled = earlier != later
    doubled &= ~np.isnat(earlier)
    certain = np.flatnonzero(~doubled & ~np.isnat(earlier))
    if not doubled.any() or not certain.size:
        return earlier
    at = np.flatnonzero(doubled)
    nearest = certain[np.maximum(np.searchsorted(certain, at) - 1, 0)]
    expected = earlier[nearest] + (at - nearest) * np.timedelta64(900, "s")
    time = earlier.copy()
    time[at] = np.where(later[at] == expected, later[at], earlier[at])
    return time
