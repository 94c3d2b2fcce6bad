"""Text without quotes and odd characters to records: cut at its delimiters and line ends, as one array."""

from functools import partial

import numpy as np
import numpy.typing as npt

from processing import texts
from processing.cells import WHITE, Body, Bytes, Positions
from processing.widths import Records, fit

_NEWLINE = ord("\n")


def cut(body: Body, first: int, delimiter: str, width: int) -> Records:
    """Cut the records that begin at a position, each of `width` cells; the buffer is the body itself."""
    buffer = np.frombuffer(body, np.uint8)
    marks, lines = _edges(buffer[: _end(body, first, delimiter)], first, ord(delimiter))
    counts: Positions = np.broadcast_to(np.int32(width), lines)
    edges: Positions | None = marks
    ends = marks[::width]
    if len(marks) - 1 != lines * width or (buffer[ends[1:-1]] != _NEWLINE).any():
        ends, counts = _lines(buffer, marks)
        edges = _even(marks, counts, width) if fit(len(counts), width, len(buffer)) else None
    line = partial(_line, buffer, ends)
    codes = buffer[ends[:-1] + 1]
    blank = (codes <= ord(" ")) | (codes == ord(delimiter))  # perhaps: they begin as blank ones do
    if blank.any():
        says = np.isin(np.arange(256), [*WHITE, ord(delimiter)], invert=True)
        blank = ~np.logical_or.reduceat(says[buffer[: ends[-1] + 1]], ends[:-1] + 1)
    return Records(buffer, edges, counts, blank, line)


def _end(body: Body, first: int, delimiter: str) -> int:
    """Return where the records end: blank lines at the end of a file are harmless."""
    size = len(body)
    while size > first:
        piece = bytes(body[max(first, size - texts.PIECE) : size])
        kept = len(piece.rstrip(WHITE + delimiter.encode()))
        size -= len(piece) - kept
        if kept:
            break
    return body.find(b"\n", size) + 1 or len(body)


def _edges(data: Bytes, first: int, delimiter: int) -> tuple[Positions, int]:
    """Return the edges of all cells from a position on, and how many of them are ends of lines."""

    def marks(at: int) -> tuple[npt.NDArray[np.bool_], int]:
        piece = data[at : at + texts.PIECE]
        ends = piece == _NEWLINE
        return ends | (piece == delimiter), int(np.count_nonzero(ends))

    places = range(first, len(data), texts.PIECE)
    # Counted first, so that they are written once, to where they stay.
    edges = np.empty(2 + sum(int(np.count_nonzero(marks(at)[0])) for at in places), np.int32)
    edges[0], filled, lines = first - 1, 1, 0
    for at in places:
        found, ends = marks(at)
        some = np.flatnonzero(found)
        np.add(some, at, out=edges[filled : filled + len(some)], casting="unsafe")
        filled, lines = filled + len(some), lines + ends
    if first == len(data) or data[-1] == _NEWLINE:
        return edges[:-1], lines
    edges[-1] = len(data)
    return edges, lines + 1


def _lines(buffer: Bytes, edges: Positions) -> tuple[Positions, Positions]:
    """Return the edges that are ends of lines, the first edge before them, and the fields of each line."""
    ends = buffer.take(edges[1:], mode="clip") == _NEWLINE
    ends[-1] = True
    last = np.flatnonzero(ends)
    return np.concatenate([edges[:1], edges[1:][last]]), np.diff(last, prepend=-1)


def _even(edges: Positions, counts: Positions, width: int) -> Positions:
    """Give every line `width` edges, all at its end where it has others."""
    good = counts == width
    even = np.repeat(edges[np.cumsum(counts)], width).reshape(len(counts), width)
    even[good] = edges[1:][np.repeat(good, counts)].reshape(-1, width)
    return np.concatenate([edges[:1], even.ravel()])


def _line(buffer: Bytes, ends: Positions, at: int) -> str:
    return buffer[ends[at] + 1 : ends[at + 1]].tobytes().decode().strip()
