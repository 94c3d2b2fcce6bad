"""Powers as text to kW.

A decimal point, or a decimal comma all through the file; an exponent is allowed, thousands separators are
not: whether `1.234` is one or a thousand cannot be told, so a file that mixes the two marks is refused. The mark that
most numbers use is the file's; where they are as many, the comma.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from processing.cells import Cells, Positions
from processing.errors import Problem, Problems, shown

Mask = npt.NDArray[np.bool_]

LARGEST = 1e9  # kW; a third of the world's mean electric power: whatever is above is no site
# Each text is matched in one way only: with two, a cell of 100 kB of digits took half an hour.
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_PLAIN = frozenset("0123456789.-+eE")
_WIDEST = 17  # characters of a plain number: sign, 15 digits, mark
_EXACT = 15  # digits of an integer that float64 holds, whatever they are
_THOUSANDS = 4  # characters of a mark and three digits
_TENS = 10.0 ** np.arange(_EXACT + 1)
CHUNK = 8_192  # cells that are read at a time: enough to be quick, few enough for the processor's cache
_NOT_FINITE = frozenset({"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"})


@dataclass(frozen=True)
class Numbers:
    """What n cells say at first sight.

    `power` (n,) float64, NaN where a cell is not plainly a number; `points` and `commas` whether there are any.
    """

    power: npt.NDArray[np.float64]
    points: Mask
    commas: Mask

    def take(self, rows: slice | npt.NDArray[np.int64]) -> "Numbers":
        """Return some rows."""
        return Numbers(self.power[rows], self.points[rows], self.commas[rows])


def read_cells(cells: Cells) -> Numbers:
    """Read the plain ones of n cells: a sign, up to 15 digits, a decimal point or comma."""
    parts = [_parse(cells.take(slice(at, at + CHUNK))) for at in range(0, max(len(cells), 1), CHUNK)]
    if len(parts) == 1:
        return parts[0]
    power, points, commas = zip(*((part.power, part.points, part.commas) for part in parts), strict=True)
    return Numbers(np.concatenate(power), np.concatenate(points), np.concatenate(commas))


def _parse(cells: Cells) -> Numbers:
    """Read cells as whole arrays.

    The digits make an integer below 10^15 and the point a power of ten up to 10^15: both are exact as float64, so
    their quotient is the float64 nearest to the number that is written.
    """
    length = cells.end - cells.start
    width = int(min(length.max(initial=1), _WIDEST))
    codes = cells.places(width)
    inside = np.arange(width)[:, None] < length
    value = codes - np.uint8(ord("0"))  # above 9 where there is no digit
    digit = (value < 10) & inside  # noqa: PLR2004
    comma = (codes == ord(",")) & inside
    mark = ((codes == ord(".")) & inside) | comma
    negative = codes[0] == ord("-")
    signed = (negative | (codes[0] == ord("+"))) & (length > 0)
    digits = digit.sum(axis=0, dtype=np.int64)
    marks = mark.sum(axis=0, dtype=np.int64)
    factor = np.where(digit, 10.0, 1.0)
    value *= digit
    power = np.zeros(len(cells))
    for times, plus in zip(factor, value, strict=True):
        power *= times
        power += plus
    behind = np.where(marks > 0, length - 1 - mark.argmax(axis=0), 0)  # digits behind the mark
    power /= _TENS[np.minimum(behind, _EXACT)]
    np.negative(power, out=power, where=negative)
    commas = comma.any(axis=0)
    plain = (digits + marks + signed == length) & (digits > 0) & (digits <= _EXACT) & (marks <= 1)
    plain &= np.abs(power) <= LARGEST
    if not plain.all():
        power[~plain] = np.nan
    return Numbers(power, (marks > 0) & ~commas, commas)


def read_powers(
    cells: Cells, numbers: Numbers, rows: Positions, column: str
) -> tuple[npt.NDArray[np.float64], Problems]:
    """Read n cells as kW.

    Args:
        cells: the cells.
        numbers: what `read_cells` made of them.
        rows: their row numbers.
        column: the column's name.

    Returns:
        (n,) float64 in kW, NaN where a cell is refused, and one problem for each refused cell.
    """
    mixed = bool(numbers.commas.any() and numbers.points.any())
    if not mixed and not np.isnan(numbers.power).any():
        return numbers.power, Problems()
    return _read_texts(cells.texts(), rows, column)


def could_be_thousands(cells: Cells, numbers: Numbers) -> bool:
    """Tell whether each cell's mark could separate thousands: `1.101` to `999.999`, three digits behind the mark."""
    if not len(cells) or not (numbers.points.all() or numbers.commas.all()):
        return False
    mark = cells.buffer[cells.end - _THOUSANDS]
    size = np.abs(numbers.power)
    fits = (mark == ord(".")) | (mark == ord(","))
    fits &= (cells.end - cells.start > _THOUSANDS) & (size >= 1) & (size < 1_000)  # noqa: PLR2004
    return bool(fits.all())


def _read_texts(cells: Sequence[str], rows: Positions, column: str) -> tuple[npt.NDArray[np.float64], Problems]:
    commas, points = (any(mark in cell for cell in cells) for mark in ",.")
    mixed = commas and points
    comma = _mostly_commas(cells) if mixed else commas
    marked = [cell.replace(",", ".") for cell in cells] if comma else list(cells)
    problems = Problems()
    power = None if mixed else _plain_numbers(marked)
    if power is not None and (np.abs(power) <= LARGEST).all():
        return power, problems
    refused = [at for at, cell in enumerate(cells) if _fault(cell, comma=comma)]
    problems.each(refused, lambda at: Problem(int(rows[at]), column, *(_fault(cells[at], comma=comma) or ("", ""))))
    for at in refused:
        marked[at] = "nan"
    return np.array(marked, dtype=np.float64), problems


def _plain_numbers(cells: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """Return what the cells say if all are numbers; some at a time, so that other threads get their turn."""
    parts = []
    for at in range(0, len(cells), CHUNK):
        some = cells[at : at + CHUNK]
        if not _PLAIN.issuperset("".join(some)):
            return None
        try:
            parts.append(np.array(some, dtype=np.float64))
        except ValueError:
            return None
    return np.concatenate(parts) if parts else None


def _mostly_commas(cells: Sequence[str]) -> bool:
    """Tell whether at least as many of the numbers have a comma as have a point."""
    numbers = [cell for cell in cells if _NUMBER.fullmatch(cell.replace(",", "."))]
    return sum("," in cell for cell in numbers) >= sum("." in cell for cell in numbers)


def _fault(cell: str, *, comma: bool) -> tuple[str, str] | None:
    quoted = shown(cell, 40)
    if not cell:
        return "missing", "The power is missing. Fill it in or export the file anew."
    other, has, marks = (".", "point", "commas") if comma else (",", "comma", "points")
    if other in cell:
        return (
            "mixed_decimal",
            f"{quoted} has a {has} in a file with decimal {marks}. Use one mark, no thousands.",
        )
    number = cell.replace(",", ".") if comma else cell
    if cell.casefold() in _NOT_FINITE:
        return "infinite", f"{quoted} is not a finite number."
    if not _NUMBER.fullmatch(number):
        return "not_a_number", f"{quoted} is not a number in kW."
    if abs(float(number)) > LARGEST:
        return "out_of_range", f"{quoted} kW is more than any site draws ({LARGEST:.0e} kW). Check the unit."
    return None
