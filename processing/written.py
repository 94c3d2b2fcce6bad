"""Time stamps as text to seconds on the clock, before it is known which instants are meant.

Layouts: `2021-06-02 00:15`, `2021-06-02T00:15:00`, `02.06.2021 00:15`, `02.06.2021 00:15:00`; each may end in
`Z` or an offset such as `+02:00`. One file keeps to one layout: the first stamp that has one decides, so that
day and month can never be taken for one another half-way. Years 1970 to 2099.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from processing.cells import Bytes, Cells, Positions

Instants = npt.NDArray[np.datetime64]
Mask = npt.NDArray[np.bool_]

NEVER = np.datetime64("NaT", "s")
_FIRST_YEAR, _LAST_YEAR = 1970, 2099
_FIRST_DAY, _LAST_DAY = np.datetime64(f"{_FIRST_YEAR}-01-01"), np.datetime64(f"{_LAST_YEAR}-12-31")
_MOST_HOURS = 15  # of an offset: no zone is further than 14 hours from UTC
_QUARTERS = {f"{at // 4:02}:{at % 4 * 15:02}": at for at in range(96)}  # of a day, as a clock shows them
_SHOWN = np.frombuffer("".join(_QUARTERS).encode(), np.uint8).reshape(96, 5)
LONGEST = 32  # characters of a cell; more is no stamp
_SHORTEST = 16  # characters of a stamp
_CHUNK = 8_192  # cells that are read at a time: enough to be quick, few enough for the processor's cache
_Text = tuple[Positions, Bytes]  # of n cells: their lengths (n,) and their first bytes, a row for each place
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


UNREAD = Written(np.full(0, NEVER), None, np.ones(0, bool))


class StampReader:
    """Reads the stamps of one site after the other, all in the layout of the first cell of a file that has one.

    Sites of one file mostly have the same stamps: what is written as it was for the site before is not read again.
    """

    def __init__(self, cells: Iterable[Cells]) -> None:
        self._layout = next(filter(None, map(_layout_of, cells)), None)
        self._before: tuple[list[_Text], Written] | None = None

    def read(self, cells: Cells) -> Written:
        """Read n cells."""
        if self._layout is None:
            return Written(np.full(len(cells), NEVER), None, np.ones(len(cells), bool))
        chunks = [cells.take(slice(at, at + _CHUNK)) for at in range(0, len(cells), _CHUNK)]
        texts = [(one.end - one.start, one.places(len(self._layout[0]))) for one in chunks]
        if self._before is None or not _same(self._before[0], texts):
            self._before = texts, _joined([_parse(*text, self._layout) for text in texts])
        return self._before[1]


def read_stamps(cells: Cells) -> Written:
    """Read n cells, all in the layout of the first one that has one."""
    return StampReader([cells]).read(cells)


def continued(first: bytes, count: int) -> tuple[npt.NDArray[np.uint8], Written] | None:
    """Tell how the stamps of consecutive quarter-hours are written and what they say, from the first of them.

    Args:
        first: how the first is written, without white space around it.
        count: of the stamps, at least one.

    Returns:
        Their characters (count, w), all with the offset of the first; None if that is no stamp of a quarter-hour, or if
        the last is beyond the years that are read.
    """
    layout = _layout(first.decode("ascii", "replace"))
    if layout is None or int(layout["S"] or 0):
        return None
    before = _QUARTERS.get(f"{layout['H']}:{layout['M']}")  # quarter-hours of the first day
    offset = _offset(layout["z"] or "")
    if before is None or offset is None:
        return None
    try:
        midnight = np.datetime64(f"{layout['Y']}-{layout['m']}-{layout['d']}", "D")
    except ValueError:  # 30 February
        return None
    days = midnight + np.arange(-(-(before + count) // len(_QUARTERS)))
    if days[0] < _FIRST_DAY or days[-1] > _LAST_DAY:
        return None
    texts = np.empty((len(days), len(_QUARTERS), len(first)), np.uint8)
    texts[:] = np.frombuffer(first, np.uint8)
    dates = np.datetime_as_string(days).astype("S10").view(np.uint8).reshape(-1, 1, 10)
    for part, source, at in (("Y", dates, 0), ("m", dates, 5), ("d", dates, 8), ("H", _SHOWN, 0), ("M", _SHOWN, 3)):
        begin, end = layout.span(part)
        texts[:, :, begin:end] = source[..., at : at + end - begin]
    clock = midnight.astype("datetime64[s]") + 900 * np.arange(before, before + count)
    offsets = np.full(count, np.timedelta64(offset, "s")) if layout["z"] else None
    return (
        texts.reshape(-1, len(first))[before : before + count],
        Written(clock, offsets, np.zeros(count, bool)),
    )


def _offset(zone: str) -> int | None:
    """Return the seconds of an offset, 0 for `Z` and none; None if no zone is so far from UTC."""
    if zone in {"", "Z"}:
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours >= _MOST_HOURS or minutes >= 60:  # noqa: PLR2004
        return None
    return (-1 if zone[0] == "-" else 1) * (hours * 3600 + minutes * 60)


def _layout_of(cells: Cells) -> re.Match[str] | None:
    lengths = cells.end - cells.start
    possible = np.flatnonzero((lengths >= _SHORTEST) & (lengths <= LONGEST)).tolist()
    return next(filter(None, (_layout(cells.text(at)) for at in possible)), None)


def _same(some: Sequence[_Text], others: Sequence[_Text]) -> bool:
    return len(some) == len(others) and all(
        np.array_equal(lengths, other_lengths) and np.array_equal(codes, other_codes)
        for (lengths, codes), (other_lengths, other_codes) in zip(some, others, strict=True)
    )


def _joined(parts: Sequence[Written]) -> Written:
    if len(parts) == 1:
        return parts[0]
    offsets = [part.offset for part in parts if part.offset is not None]
    return Written(
        np.concatenate([part.clock for part in parts]),
        np.concatenate(offsets) if offsets else None,
        np.concatenate([part.unreadable for part in parts]),
    )


def _layout(cell: str) -> re.Match[str] | None:
    return next((match for layout in _LAYOUTS if (match := layout.fullmatch(cell))), None)


def _parse(lengths: Positions, codes: Bytes, layout: re.Match[str]) -> Written:
    """Read n cells of some lengths and their first w bytes (w, n) as the layout of w characters says.

    A cell at a time through a regular expression or strptime takes ten times as long.
    """
    width = len(layout[0])
    template = np.frombuffer(layout[0].encode(), np.uint8)[:, None]
    values = codes - np.uint8(ord("0"))  # above 9 where there is no digit
    fits = np.where(template - np.uint8(ord("0")) < 10, values < 10, codes == template)  # noqa: PLR2004
    if signed := bool(layout["z"]) and layout["z"] != "Z":
        sign_at = layout.start("z")
        fits[sign_at] = (codes[sign_at] == ord("-")) | (codes[sign_at] == ord("+"))
    readable = (lengths == width) & fits.all(axis=0)
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
    readable &= (year >= _FIRST_YEAR) & (year <= _LAST_YEAR) & (month >= 1) & (month <= 12) & (day >= 1)  # noqa: PLR2004
    readable &= (hour < 24) & (minute < 60) & (second < 60)  # noqa: PLR2004
    month_start = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    date = month_start.astype("datetime64[D]") + (day - 1)
    readable &= date.astype("datetime64[M]") == month_start  # 30 February
    clock = date.astype("datetime64[s]") + (hour * 3600 + minute * 60 + second)
    offset = None
    if layout["z"]:
        readable &= (zone_hours < _MOST_HOURS) & (zone_minutes < 60)  # noqa: PLR2004
        seconds = zone_hours * 3600 + zone_minutes * 60
        if signed:
            seconds = np.where(codes[sign_at] == ord("-"), -seconds, seconds)
        offset = seconds.astype("timedelta64[s]")
    clock[~readable] = NEVER
    return Written(clock, offset, ~readable)
