"""Text with quotes or odd characters to records, one at a time, by Python's `csv`."""

import csv
import io
from array import array
from collections.abc import Iterator

import numpy as np

from processing.cells import Body
from processing.errors import KEPT, InvalidLoadProfile, Problem
from processing.texts import LONGEST_LINE, pieces
from processing.widths import Records, fit


def cut(body: Body, first: int, delimiter: str, width: int, row: int) -> Records:
    """Cut the records that begin at a position, each of `width` cells, into a buffer of their own.

    Raises:
        InvalidLoadProfile: quotes are broken; `row` is the number of the header's.
    """
    buffer, lengths, counts, blank = bytearray(), array("i"), array("i"), bytearray()
    lines: dict[int, str] = {}
    kept = 0  # blank lines at the end of a file are harmless
    fits = True
    for at, fields in enumerate(_records(body, first, delimiter, row)):
        counts.append(len(fields))
        blank.append(not any(fields))
        if (len(fields) != width or blank[at]) and len(lines) < KEPT:
            lines[at] = delimiter.join(fields)
        if blank[at]:
            continue
        fits = fits and fit(at + 1, width, len(body))
        if fits:
            empty = [b""] * width
            for _ in range(kept, at):
                _append(empty, buffer, lengths)
            _append([field.encode() for field in fields] if len(fields) == width else empty, buffer, lengths)
        kept = at + 1
    edges = None
    if fits:
        edges = np.full(kept * width + 1, -1, np.int32)
        edges[1:] += np.cumsum(np.array(lengths, np.int32) + 1, dtype=np.int32)
    return Records(
        np.array(buffer, np.uint8),
        edges,
        np.array(counts[:kept], np.int32),
        np.array(blank[:kept], np.uint8).astype(bool),
        lines.__getitem__,
    )


def _append(cells: list[bytes], buffer: bytearray, lengths: "array[int]") -> None:
    lengths.extend(map(len, cells))
    buffer += b"\n".join([*cells, b""])


def _lines(body: Body, first: int) -> Iterator[str]:
    for _, piece in pieces(body, first):
        for line in io.StringIO(piece.decode(), newline=""):
            if len(line) > LONGEST_LINE:  # to cut it into cells would keep the interpreter from everybody else
                message = f"A line has more than {LONGEST_LINE:,} characters. Check the file's line ends."
                raise InvalidLoadProfile([Problem(None, None, "not_csv", message)])
            yield line


def _records(body: Body, first: int, delimiter: str, row: int) -> Iterator[list[str]]:
    reader = csv.reader(_lines(body, first), delimiter=delimiter, strict=True)
    try:
        for fields in reader:
            row += 1
            yield [field.strip() for field in fields]
    except csv.Error as error:
        message = f"The row cannot be read as CSV ({error}). Check its quotation marks."
        raise InvalidLoadProfile([Problem(row + 1, None, "not_csv", message)]) from None
