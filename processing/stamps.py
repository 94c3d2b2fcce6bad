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

from processing.cells import Cells

Instants = npt.NDArray[np.datetime64]
Mask = npt.NDArray[np.bool_]

LONGEST = 32  # characters of a cell; more is no stamp
_SHORTEST = 16  # characters of a stamp
_CHUNK = 65_536  # rows that are read at a time: enough to be quick, few enough to need little memory
_DAY = 86_400
_NEVER = np.datetime64("NaT", "s")
_PARTS = ("Y", "m", "d", "H", "M", "S", "zone hours", "zone minutes")
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
class Written:
    """What n cells say, before it is known which instants are meant.

    `clock` (n,) datetime64[s], NaT where `unreadable` (n,) is True; `offset` (n,) timedelta64[s] from UTC, or
    None where the cells name none.
    """

    clock: Instants
    offset: npt.NDArray[np.timedelta64] | None
    unreadable: Mask

    def take(self, rows: slice | npt.NDArray[np.int64]) -> "Written":
        """Return some rows."""
        return Written(self.clock[rows], None if self.offset is None else self.offset[rows], self.unreadable[rows])


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


def read_cells(cells: Cells) -> Written:
    """Read n cells, all in the layout of the first one that has one."""
    lengths = cells.end - cells.start
    layout = None
    for at in np.flatnonzero((lengths >= _SHORTEST) & (lengths <= LONGEST)).tolist():
        if layout := _layout(cells.text(at)):
            break
    if layout is None:
        return Written(np.full(len(cells), _NEVER), None, np.ones(len(cells), bool))
    parts = [_parse(cells.take(slice(at, at + _CHUNK)), layout) for at in range(0, len(cells), _CHUNK)]
    if len(parts) == 1:
        return parts[0]
    offsets = [part.offset for part in parts if part.offset is not None]
    return Written(
        np.concatenate([part.clock for part in parts]),
        np.concatenate(offsets) if offsets else None,
        np.concatenate([part.unreadable for part in parts]),
    )


def read_stamps(written: Written, time_zone: str) -> Stamps:
    """Find the instants that are meant; those without an offset are local time in `time_zone` (an IANA name)."""
    nowhere = np.zeros(len(written.clock), bool)
    if written.offset is not None:
        time = written.clock - written.offset
        return Stamps(time, on_the_clock(time, time_zone), written.unreadable, nowhere, nowhere)
    time, doubled = _localise(written.clock, ZoneInfo(time_zone))
    nonexistent = np.isnat(time) & ~written.unreadable
    clock = np.where(nonexistent, _NEVER, written.clock) if nonexistent.any() else written.clock
    return Stamps(time, clock, written.unreadable, nonexistent, doubled)


def on_the_clock(time: Instants, time_zone: str) -> Instants:
    """Return what a clock in `time_zone` shows at the instants `time` (n,) datetime64[s] UTC."""
    local = pd.DatetimeIndex(time, tz="UTC").tz_convert(time_zone).tz_localize(None)
    return local.to_numpy().astype("datetime64[s]")


def _layout(cell: str) -> re.Match[str] | None:
    return next((match for layout in _LAYOUTS if (match := layout.fullmatch(cell))), None)


def _parse(cells: Cells, layout: re.Match[str]) -> Written:
    """Read all cells as the layout of one of them says, as whole arrays.

    A cell at a time through a regular expression or strptime takes ten times as long.
    """
    width = len(layout[0])
    codes = cells.places(width)
    template = np.frombuffer(layout[0].encode(), np.uint8)[:, None]
    values = codes - np.uint8(ord("0"))  # above 9 where there is no digit
    fits = np.where(template - np.uint8(ord("0")) < 10, values < 10, codes == template)  # noqa: PLR2004
    if signed := bool(layout["z"]) and layout["z"] != "Z":
        sign_at = layout.start("z")
        fits[sign_at] = (codes[sign_at] == ord("-")) | (codes[sign_at] == ord("+"))
    readable = (cells.end - cells.start == width) & fits.all(axis=0)
    places = np.zeros((len(_PARTS), width))
    spans = [layout.span(part) if layout[part] is not None else (0, 0) for part in _PARTS[:6]]
    if signed:
        spans += [(sign_at + 1, sign_at + 3), (width - 2, width)]
    for part, (first, last) in enumerate(spans):
        places[part, first:last] = 10.0 ** np.arange(last - first - 1, -1, -1)
    numbers = (places @ values).astype(np.int64)
    if not readable.all():
        numbers[:, ~readable] = 0
    year, month, day, hour, minute, second, zone_hours, zone_minutes = numbers
    readable &= (year >= 1970) & (year < 2100) & (month >= 1) & (month <= 12) & (day >= 1)  # noqa: PLR2004
    readable &= (hour < 24) & (minute < 60) & (second < 60)  # noqa: PLR2004
    month_start = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    date = month_start.astype("datetime64[D]") + (day - 1)
    readable &= date.astype("datetime64[M]") == month_start  # 30 February
    clock = date.astype("datetime64[s]") + (hour * 3600 + minute * 60 + second)
    offset = None
    if layout["z"]:
        readable &= (zone_hours < 15) & (zone_minutes < 60)  # noqa: PLR2004  no zone is further than 14 hours from UTC
        seconds = zone_hours * 3600 + zone_minutes * 60
        if signed:
            seconds = np.where(codes[sign_at] == ord("-"), -seconds, seconds)
        offset = seconds.astype("timedelta64[s]")
    clock[~readable] = _NEVER
    return Written(clock, offset, ~readable)


def _localise(clock: Instants, zone: ZoneInfo) -> tuple[Instants, Mask]:
    """Return the UTC instants of local times, NaT where the zone's clock never shows the time; and where twice."""
    offset = _only_offset(clock, zone)
    if offset is not None:
        return clock - offset, np.zeros(len(clock), bool)
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
    start = datetime(1970, 1, 1, tzinfo=UTC)
    days = (start + timedelta(days=day) for day in range(first - 1, last + 3))
    offsets = {moment.astimezone(zone).utcoffset() for moment in days}
    return np.timedelta64(offsets.pop(), "s") if len(offsets) == 1 else None


def _tell_apart(earlier: Instants, later: Instants, doubled: Mask) -> Instants:
    """Choose between the two readings of a doubled hour: the one that continues the rows around it.

    Rows are quarter-hours in a sequence, so a row's time follows from the nearest certain row before it (or,
    at the start of a file, after it) and the number of rows between. Where neither reading fits, the earlier
    one stays and the grid check names the break.
    """
    certain = np.flatnonzero(~doubled & ~np.isnat(earlier))
    if not doubled.any() or not certain.size:
        return earlier
    at = np.flatnonzero(doubled)
    nearest = certain[np.maximum(np.searchsorted(certain, at) - 1, 0)]
    expected = earlier[nearest] + (at - nearest) * np.timedelta64(900, "s")
    time = earlier.copy()
    time[at] = np.where(later[at] == expected, later[at], earlier[at])
    return time
