"""Bytes of a CSV to cells, with the rows they came from; what the columns mean is not known here.

UTF-8 with or without a byte-order mark; quotes as in RFC 4180. The header is row 1, as a spreadsheet counts
(Excel's `sep=;` line, where there is one, comes before it and counts as a row). Files without quotes and odd
characters are cut at their delimiters and line ends as one array; the others go through Python's `csv`. Both ways
give the same cells. Refused: other encodings and broken quotes. Rows of another width and blank rows inside the
data are reported with the sheet, and their cells are empty. A file that is no text is named by its first bytes.
"""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from processing.cells import Bytes, Cells, Positions, padded
from processing.errors import InvalidLoadProfile, Problem, Problems, shown
from processing.widths import Widths

DELIMITERS = (";", "\t", ",")
_SEPARATOR_LINE = re.compile(r"sep=.\r?\n?", re.IGNORECASE)
# What no file needs for which the quick way is right: quotes, control characters, and the first bytes of the
# sequences in which the white space beyond ASCII is encoded (str.strip takes it off the cells).
_PLAIN = bytes(set(range(256)) - set(range(32)) - set(b'"\x7f\xc2\xe1\xe2\xe3')) + b"\t\n\r"
_SAVE = "In Excel, save the sheet as 'CSV UTF-8 (comma delimited)' and send that file."
_OTHERS = {  # by the first bytes
    b"\x1f\x8b": "The file is compressed with gzip. Unpack it and send the CSV itself.",
    b"PK\x03\x04": f"The file is a ZIP archive, as Excel's .xlsx is. {_SAVE} Unpack an archive of CSV files first.",
    b"%PDF": "The file is a PDF. Send the load profile's data, exported as CSV.",
    b"\xd0\xcf\x11\xe0": f"The file is an old Office document, as Excel's .xls is. {_SAVE}",
    b"\xff\xfe": f"The file is UTF-16. {_SAVE}",
    b"\xfe\xff": f"The file is UTF-16. {_SAVE}",
}
_WHITE = b" \t\r\n"
Examine = Callable[[list[str]], tuple[int, str]]
_FEW = 4  # blanks around a cell that are taken off all cells at once


@dataclass(frozen=True)
class Sheet:
    """n records of c cells.

    `header` the c names; `start` and `end` (n, c) positions in `buffer`; `first_row` the number of the first
    record's row; `faulty` (n,) True for the rows that `problems` names.
    """

    header: list[str]
    header_row: int
    delimiter: str
    buffer: Bytes
    start: Positions
    end: Positions
    faulty: npt.NDArray[np.bool_]
    problems: Problems

    def column(self, at: int) -> Cells:
        """Return a column's cells."""
        return Cells(self.buffer, self.start[:, at], self.end[:, at])

    @property
    def rows(self) -> Positions:
        """The row number of each record: (n,)."""
        return np.arange(self.header_row + 1, self.header_row + 1 + len(self.start))


def read_sheet(body: bytes, examine: Examine) -> Sheet:
    """Cut a CSV into cells.

    Args:
        body: the file's bytes.
        examine: tells of names how many are powers, and what they lack to be a header; it decides which delimiter the
            file has.

    Raises:
        InvalidLoadProfile: the bytes are no such CSV, so that its cells cannot be told.
    """
    body = body.removeprefix(b"\xef\xbb\xbf")
    _check(body)
    if body.translate(None, _PLAIN) or body.count(b"\r") != body.count(b"\r\n"):
        return _quoted(body, examine)
    first, line = _line(body, 0)
    row = 1
    if _SEPARATOR_LINE.fullmatch(line):
        row = 2
        first, line = _line(body, first)
    delimiter, header = _header(line, row, examine)
    buffer = padded(body)
    start, end, widths = _cut(body, buffer, first, delimiter, len(header))
    faulty = (widths != len(header)) | (start == end).all(axis=1)
    problems = Problems()
    if faulty.any():
        lines = Cells(buffer, start[:, 0], end[:, -1])
        shape = Widths(row + 1, delimiter, len(header), examine(header)[0], widths)
        problems = shape.problems(faulty, lines.text)
        end = np.where(faulty[:, None], start, end)
    return Sheet(header, row, delimiter, buffer, start, end, faulty, problems)


def _check(body: bytes) -> None:
    """Refuse what is no text, and text of another encoding."""
    what = next((words for magic, words in _OTHERS.items() if body.startswith(magic)), "")
    try:
        if not body.isascii():
            body.decode()
    except UnicodeDecodeError as error:
        row = body.count(b"\n", 0, error.start) + 1
        message = what or f"The file is not UTF-8. {_SAVE}"
        raise InvalidLoadProfile([Problem(row, None, "not_utf8", message)]) from None
    if what or b"\0" in body:
        row = body.count(b"\n", 0, max(body.find(b"\0"), 0)) + 1
        message = what or "The file holds a NUL character: it is not a text file. Export it as CSV."
        raise InvalidLoadProfile([Problem(row, None, "not_text", message)])
    if not body.strip():
        message = "The file is empty. Send a header and at least 672 rows of quarter-hours."
        raise InvalidLoadProfile([Problem(None, None, "empty", message)])


def _line(body: bytes, start: int) -> tuple[int, str]:
    """Return where the line after the one at `start` begins, and that line."""
    end = body.find(b"\n", start)
    end = len(body) if end < 0 else end + 1
    return end, body[start:end].decode()


def _cut(body: bytes, buffer: Bytes, first: int, delimiter: str, width: int) -> tuple[Positions, Positions, Positions]:
    """Return starts and ends of the cells, without white space around them, and the fields of each row.

    A row of another width is one span, from its start to its end, in the first column and the last.
    """
    # Blank lines at the end of a file are harmless.
    size = max(first, len(body.rstrip(_WHITE + delimiter.encode())))
    if size < len(body):
        size = (body.find(b"\n", size) + 1) or len(body)
    data = buffer[first:size]
    ends = _places(data, "\n", first)
    if size > first and buffer[size - 1] != ord("\n"):
        ends = np.append(ends, np.int32(size))
    begins = np.empty_like(ends)
    begins[:1], begins[1:] = first, ends[:-1] + 1
    marks = _places(data, delimiter, first)
    before = np.searchsorted(marks, ends)
    counts = np.diff(before, prepend=0)
    wrong = counts != width - 1
    start, end = np.empty((2, len(ends), width), np.int32)
    start[:, 0], end[:, -1] = begins, ends
    if not wrong.any():
        end[:, :-1] = marks.reshape(len(ends), width - 1)
        start[:, 1:] = end[:, :-1] + 1
    else:
        good = ~wrong
        end[good, :-1] = marks[(before - counts)[good, None] + np.arange(width - 1)]
        start[good, 1:] = end[good, :-1] + 1
        start[wrong, 1:], end[wrong, :-1] = begins[wrong, None], ends[wrong, None]
    _trim(buffer, start, end)
    return start, end, counts + 1


def _places(data: Bytes, character: str, first: int) -> Positions:
    """Return where a character stands in `data`, counted from `first` before it."""
    places: Positions = np.flatnonzero(data == ord(character)).astype(np.int32)
    places += np.int32(first)
    return places


def _trim(buffer: Bytes, start: Positions, end: Positions) -> None:
    """Take the white space off both ends of every cell, in place."""
    for at in range(start.shape[1]):
        left, right = start[:, at], end[:, at]
        for _ in range(_FEW):
            left += (buffer[left] <= ord(" ")) & (left < right)
            right -= (buffer[right - 1] <= ord(" ")) & (left < right)
            blank = ((buffer[left] <= ord(" ")) | (buffer[right - 1] <= ord(" "))) & (left < right)
            if not blank.any():
                break
        else:
            for row in np.flatnonzero(blank).tolist():
                cell = buffer[left[row] : right[row]].tobytes()
                left[row] += len(cell) - len(cell.lstrip(_WHITE))
                right[row] -= len(cell) - len(cell.rstrip(_WHITE))
                right[row] = max(left[row], right[row])


def _quoted(body: bytes, examine: Examine) -> Sheet:
    """Cut a CSV with quotes or odd characters, a record at a time."""
    lines = io.StringIO(body.decode(), newline="")
    row = 2 if _SEPARATOR_LINE.fullmatch(lines.readline()) else 1
    if row == 1:
        lines.seek(0)
    delimiter, header = _header(lines.readline(), row, examine)
    records = _records(lines, delimiter, row)
    faulty = np.array([len(fields) != len(header) or not any(fields) for fields in records], bool)
    counts = np.array([len(fields) for fields in records], int)
    widths = Widths(row + 1, delimiter, len(header), examine(header)[0], counts)
    problems = widths.problems(faulty, lambda at: delimiter.join(records[at]))
    for at in np.flatnonzero(faulty).tolist():
        records[at] = [""] * len(header)
    cells = Cells.of([field for fields in records for field in fields])
    shape = (len(records), len(header))
    start, end = cells.start.reshape(shape), cells.end.reshape(shape)
    return Sheet(header, row, delimiter, cells.buffer, start, end, faulty, problems)


def _records(lines: io.StringIO, delimiter: str, header_row: int) -> list[list[str]]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    records: list[list[str]] = []
    try:
        for fields in reader:
            records.append([field.strip() for field in fields])  # noqa: PERF401  what was read before an error counts
    except csv.Error as error:
        row = header_row + len(records) + 1
        message = f"The row cannot be read as CSV ({error}). Check its quotation marks."
        raise InvalidLoadProfile([Problem(row, None, "not_csv", message)]) from None
    while records and not any(records[-1]):
        records.pop()  # blank lines at the end of a file are harmless
    return records


def _header(line: str, row: int, examine: Examine) -> tuple[str, list[str]]:
    """Return the delimiter under which the line is a header, and its names."""
    most, lacking = 0, "no names"
    for delimiter in DELIMITERS:
        try:
            names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
        except csv.Error:
            continue
        _, lacks = examine(names)
        if not lacks:
            return delimiter, names
        if len(names) > most:
            most, lacking = len(names), lacks
    message = f"The header is {shown(line.strip())}. It has {lacking}. Separate its names by comma, semicolon or tab."
    raise InvalidLoadProfile([Problem(row, None, "bad_header", message)])
