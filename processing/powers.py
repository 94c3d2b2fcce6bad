"""Powers as text to kW.

A decimal point, or a decimal comma all through the file; an exponent is allowed, thousands separators are
not: whether `1.234` is one or a thousand cannot be told, so a file that mixes the two marks is refused.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from processing.errors import Problem

LARGEST = 1e9  # kW; a third of the world's mean electric power: whatever is above is no site
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_PLAIN = frozenset("0123456789.-+eE")
_NOT_FINITE = frozenset({"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"})


def read_powers(
    cells: Sequence[str], rows: Sequence[int], column: str
) -> tuple[npt.NDArray[np.float64], list[Problem]]:
    """Read n cells as kW.

    Returns:
        (n,) float64 in kW, NaN where a cell is refused, and one problem for each refused cell.
    """
    comma = any("," in cell for cell in cells)
    marked = [cell.replace(",", ".") for cell in cells] if comma else cells
    mixed = comma and any("." in cell for cell in cells)
    if not mixed and _PLAIN.issuperset("".join(marked)):
        try:
            power = np.array(marked, dtype=np.float64)
        except ValueError:
            pass
        else:
            if (np.abs(power) <= LARGEST).all():
                return power, []
    problems = list(_problems(cells, rows, column, comma=comma))
    refused = {problem.row for problem in problems}
    values = [np.nan if row in refused else float(cell) for row, cell in zip(rows, marked, strict=True)]
    return np.array(values, dtype=np.float64), problems


def _problems(cells: Sequence[str], rows: Sequence[int], column: str, *, comma: bool) -> Iterator[Problem]:
    for cell, row in zip(cells, rows, strict=True):
        fault = _fault(cell, comma=comma)
        if fault:
            yield Problem(row, column, *fault)


def _fault(cell: str, *, comma: bool) -> tuple[str, str] | None:
    shown = repr(cell if len(cell) <= 40 else cell[:37] + "...")  # noqa: PLR2004
    if not cell:
        return "missing", "The power is missing. Fill it in or export the file anew."
    if comma and "." in cell:
        return (
            "mixed_decimal",
            f"{shown} has a point in a file with decimal commas. Use one mark, no thousands.",
        )
    number = cell.replace(",", ".") if comma else cell
    if cell.casefold() in _NOT_FINITE:
        return "infinite", f"{shown} is not a finite number."
    if not _NUMBER.fullmatch(number):
        return "not_a_number", f"{shown} is not a number in kW."
    if abs(float(number)) > LARGEST:
        return "out_of_range", f"{shown} kW is more than any site draws ({LARGEST:.0e} kW). Check the unit."
    return None
