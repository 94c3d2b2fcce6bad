"""Cells of a CSV as spans of one buffer: a column of a million rows without a million strings.

Whole columns are compared and computed as arrays of bytes; only what is doubtful becomes text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

WHITE = b" \t\r\n"  # what is taken off both ends of a cell
_IS_WHITE = np.isin(np.arange(256), list(WHITE))
_FEW = 4  # blanks around a cell that are taken off all cells at once

Body = bytes | bytearray  # of a request or a file; never copied as a whole
Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.signedinteger[Any]]


@dataclass(frozen=True)
class Cells:
    """n cells of UTF-8: `buffer` (m,) uint8, `start` and `end` (n,) positions in it."""

    buffer: Bytes
    start: Positions
    end: Positions

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Cells":
        """Make cells of texts."""
        encoded = [text.encode() for text in texts]
        end = np.cumsum([len(cell) for cell in encoded], dtype=np.int64)
        start = np.zeros_like(end)
        start[1:] = end[:-1]
        return cls(np.frombuffer(b"".join(encoded), np.uint8), start, end)

    def __len__(self) -> int:
        return len(self.start)

    def take(self, rows: slice | Positions) -> "Cells":
        """Return the cells of some rows."""
        return Cells(self.buffer, self.start[rows], self.end[rows])

    def text(self, row: int) -> str:
        """Return one cell as text."""
        return self.buffer[self.start[row] : self.end[row]].tobytes().decode()

    def texts(self) -> list[str]:
        """Return every cell as text."""
        whole = memoryview(self.buffer.data)
        spans = zip(self.start.tolist(), self.end.tolist(), strict=True)
        return [str(whole[start:end], "utf-8") for start, end in spans]

    def places(self, width: int) -> Bytes:
        """Return the first `width` bytes from each cell's start, a row for each place in the cells: (width, n).

        What follows a shorter cell in the buffer is there, too. NumPy reduces over the first axis several times as
        fast as over the last.
        """
        if not len(self.buffer):
            return np.zeros((width, len(self)), np.uint8)
        return self.buffer.take(self.start + np.arange(width)[:, None], mode="clip")

    def stripped(self) -> "Cells":
        """Return the cells without the white space around them."""
        start, end = self.start.copy(), self.end.copy()
        for _ in range(_FEW):
            left = _IS_WHITE[self.buffer.take(start, mode="clip")] & (start < end)
            right = _IS_WHITE[self.buffer.take(end - 1, mode="clip")] & (start + left < end)
            if not (left.any() or right.any()):
                return Cells(self.buffer, start, end)
            start += left
            end -= right
        for row in np.flatnonzero(left | right).tolist():
            cell = self.buffer[start[row] : end[row]].tobytes()
            start[row] += len(cell) - len(cell.lstrip(WHITE))
            end[row] = start[row] + len(cell.strip(WHITE))
        return Cells(self.buffer, start, end)
