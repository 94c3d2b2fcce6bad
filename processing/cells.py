"""Cells of a CSV as spans of one buffer: a column of a million rows without a million strings.

Whole columns are compared and computed as arrays of bytes; only what is doubtful becomes text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

PADDING = 64  # zero bytes behind the last cell, so that a window of that width can be cut at every cell

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.signedinteger[Any]]


@dataclass(frozen=True)
class Cells:
    """n cells of UTF-8: `buffer` (m,) uint8 that ends with `PADDING` zeros, `start` and `end` (n,) positions in it."""

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
        return cls(padded(b"".join(encoded)), start, end)

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

    def codes(self, width: int) -> Bytes:
        """Return the first `width` bytes from each cell's start: (n, width), at most `PADDING` wide.

        What follows a shorter cell in the buffer is there, too.
        """
        windows: Bytes = np.ndarray((len(self.buffer) - width + 1, width), np.uint8, self.buffer, strides=(1, 1))
        return windows[self.start]

    def places(self, width: int) -> Bytes:
        """Return the same as `codes`, a row for each place in the cells: (width, n).

        NumPy reduces over the first axis several times as fast.
        """
        codes: Bytes = self.buffer[self.start + np.arange(width, dtype=self.start.dtype)[:, None]]
        return codes


def padded(body: bytes) -> Bytes:
    """Return bytes as an array with `PADDING` zeros behind."""
    return np.frombuffer(body + bytes(PADDING), np.uint8)
