"""The usual file, read in less than half the time: one site, quarter-hours one after the other, plain numbers.

What the stamps of such a file must be follows from the first one, so they are not read but compared, all at once.
Whatever is not exactly as expected (a gap, a clock change, a quote, a blank, a unit that is not named) is left to the
general way, which reads or refuses it; where this one reads a file, it reads the same.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from processing import header
from processing.cells import Body, Cells
from processing.errors import InvalidLoadProfile
from processing.powers import Numbers, could_be_thousands, read_cells
from processing.sheet import read_sheet
from processing.written import Written, continued

LARGEST = 262_144  # bytes
_LONGEST_HEADER = 256  # bytes


@dataclass(frozen=True)
class Usual:
    """What n quarter-hours in a row say: `written` their stamps, `power` (n,) float64 kW, finite."""

    written: Written
    power: npt.NDArray[np.float64]


def read_usual(body: Body) -> Usual | None:
    """Read a usual file; None if it is none."""
    begin = body.find(b"\n", 0, _LONGEST_HEADER) + 1
    if not begin or len(body) > LARGEST or not (delimiter := _delimiter(bytes(body[:begin]))):
        return None
    rows = bytes(body[begin:])
    if b"\r" in rows:
        rows = rows.replace(b"\r\n", b"\n")
    if not rows.endswith(b"\n"):
        rows += b"\n"
    buffer = np.frombuffer(rows, np.uint8)
    end = np.flatnonzero(buffer == ord("\n"))
    start = np.zeros_like(end)
    start[1:] = end[:-1] + 1
    width = rows.find(delimiter)  # of a stamp
    expected = continued(rows[: max(width, 0)], len(end))
    if expected is None or start[-1] + width >= len(rows):
        return None
    texts, written = expected
    stamps = np.ndarray((len(rows) - width,), f"V{width}", rows, strides=(1,))[start]
    if stamps.tobytes() != texts.tobytes() or (buffer[start + width] != ord(delimiter)).any():
        return None
    cells = Cells(buffer, start + width + 1, end)
    numbers = read_cells(cells)
    if np.isnan(numbers.power).any():
        return None
    return None if _doubtful(cells, numbers, delimiter) else Usual(written, numbers.power)


def _doubtful(cells: Cells, numbers: Numbers, delimiter: bytes) -> bool:
    """Tell whether a mark could mean something else than where the whole kilowatts end."""
    commas = bool(numbers.commas.any())
    if delimiter == b",":
        return commas  # they separate a third field
    return (commas and bool(numbers.points.any())) or could_be_thousands(cells, numbers)


@lru_cache(maxsize=256)
def _delimiter(line: bytes) -> bytes:
    """Return the delimiter under a header that is a time and one power in kW; b"" for any other line."""
    try:
        sheet = read_sheet(line, header.examine)
        columns = header.one_site(sheet.header, sheet.header_row)
    except InvalidLoadProfile:
        return b""
    usual = sheet.header_row == 1 and len(sheet.header) == 2 and columns.time == 0  # noqa: PLR2004
    return sheet.delimiter.encode() if usual and not columns.notes and not columns.energy else b""
