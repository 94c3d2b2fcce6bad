"""Bytes of a CSV to two columns of text: the time stamps and the powers, with the rows they came from.

UTF-8 with or without a byte-order mark; comma, semicolon or tab; quotes as in RFC 4180. The header is row 1,
as a spreadsheet counts (Excel's `sep=;` line, where there is one, comes before it and counts as a row).
Refused: other encodings, unknown or doubled columns, broken quotes; rows of another width and blank rows inside
the data are reported with the table.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from processing.errors import InvalidLoadProfile, Problem

DELIMITERS = (";", "\t", ",")
TIME_NAMES = frozenset(
    {"datum", "date", "datetime", "dateandtime", "timestamp", "time", "zeit", "zeitstempel", "zeitpunkt"}
    | {"datumuhrzeit", "datumundzeit", "datumunduhrzeit", "datumzeit"}
)
POWER_NAMES = frozenset(
    {"wert", "value", "power", "powerconsumption", "activepower", "consumption", "load", "demand"}
    | {"leistung", "wirkleistung", "last", "lastgang", "verbrauch"}
)
_UNIT = re.compile(r"[(\[]([^)\]]*)[)\]]$")
_SEPARATOR_LINE = re.compile(r"sep=.\r?\n?", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """Two columns of text of the same length n.

    `rows` holds each record's row number; `problems` names the rows that have no two such fields (their texts
    are empty), `notes` what was assumed and the user should know.
    """

    time_name: str
    power_name: str
    stamps: list[str]
    powers: list[str]
    rows: Sequence[int]
    problems: list[Problem]
    notes: tuple[str, ...]


def read_table(body: bytes) -> Table:
    """Find the two columns of a CSV.

    Raises:
        InvalidLoadProfile: the bytes are no such CSV, so that its cells cannot be told.
    """
    lines = io.StringIO(_decode(body), newline="")
    skipped = 1 if _SEPARATOR_LINE.fullmatch(lines.readline()) else 0
    if not skipped:
        lines.seek(0)
    header_row = 1 + skipped
    header_line = lines.readline()
    delimiter, header = _header(header_line, header_row)
    time_at, power_at, notes = _locate(header, header_row)

    records = _records(lines, delimiter, header_row)
    problems = [
        _width_problem(row, fields, len(header))
        for row, fields in enumerate(records, start=header_row + 1)
        if len(fields) != len(header) or not any(fields)
    ]
    faulty = {problem.row for problem in problems}
    rows = range(header_row + 1, header_row + 1 + len(records))
    return Table(
        time_name=header[time_at],
        power_name=header[power_at],
        stamps=["" if row in faulty else fields[time_at] for row, fields in zip(rows, records, strict=True)],
        powers=["" if row in faulty else fields[power_at] for row, fields in zip(rows, records, strict=True)],
        rows=rows,
        problems=problems,
        notes=notes,
    )


def _decode(body: bytes) -> str:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = body.count(b"\n", 0, error.start) + 1
        message = "The file is not UTF-8. In Excel, save it as 'CSV UTF-8 (comma delimited)'."
        raise InvalidLoadProfile([Problem(row, None, "not_utf8", message)]) from None
    if "\0" in text:
        row = text.count("\n", 0, text.index("\0")) + 1
        message = "The file holds a NUL character: it is not a text file. Export it as CSV."
        raise InvalidLoadProfile([Problem(row, None, "not_text", message)])
    if not text.strip():
        message = "The file is empty. Send a header and at least 672 rows of quarter-hours."
        raise InvalidLoadProfile([Problem(None, None, "empty", message)])
    return text


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


def _header(line: str, row: int) -> tuple[str, list[str]]:
    """Return the delimiter under which the header names a time and a power, and the names."""
    for delimiter in DELIMITERS:
        try:
            names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
        except csv.Error:
            continue
        kinds = [_kind(name) for name in names]
        if "time" in kinds and any(kind != "time" and kind for kind in kinds):
            return delimiter, names
    message = (
        f"The header is {_shown(line.strip())}. It must name a time column (such as 'Datum' or 'Date') and a "
        "power column (such as 'Wert (kW)' or 'Power Consumption [kW]'), separated by comma, semicolon or tab."
    )
    raise InvalidLoadProfile([Problem(row, None, "bad_header", message)])


def _kind(name: str) -> str:
    """Say what a header names: 'time', 'power' (in kW), 'power?' (no unit), 'unit' (another unit) or ''."""
    plain = re.sub(r"[\s_\-/\"]+", "", name).casefold()
    if plain in TIME_NAMES:
        return "time"
    unit = _UNIT.search(plain)
    base = plain[: unit.start()] if unit else plain
    if unit is None and base.removesuffix("inkw").removesuffix("kw") in POWER_NAMES and base.endswith("kw"):
        return "power"
    if base not in POWER_NAMES:
        return ""
    if unit is None:
        return "power?"
    return "power" if unit[1] == "kw" else "unit"


def _locate(header: list[str], row: int) -> tuple[int, int, tuple[str, ...]]:
    """Return where the time and the power stand in the header, and notes on what was assumed."""
    kinds = [_kind(name) for name in header]
    times = [at for at, kind in enumerate(kinds) if kind == "time"]
    powers = [at for at, kind in enumerate(kinds) if kind in {"power", "power?"}]
    problems = [
        Problem(row, header[at], "bad_unit", f"The column {_shown(header[at])} is not in kW. Convert it to kW.")
        for at, kind in enumerate(kinds)
        if kind == "unit" and not powers
    ]
    problems += [
        Problem(row, header[at], "doubled_column", f"The column {_shown(header[at])} is a second {what} column.")
        for what, found in (("time", times), ("power", powers))
        for at in found[1:]
    ]
    if problems:
        raise InvalidLoadProfile(problems)
    at = powers[0]
    notes = (f"Column {header[at]!r} names no unit: taken as kW.",) if kinds[at] == "power?" else ()
    return times[0], at, notes


def _width_problem(row: int, fields: list[str], width: int) -> Problem:
    if not any(fields):
        return Problem(row, None, "blank_row", "The row is blank. Remove it.")
    message = f"The row has {len(fields)} fields where the header has {width}."
    return Problem(row, None, "wrong_width", message)


def _shown(text: str) -> str:
    """Quote a piece of the user's input for a message, shortened."""
    return repr(text if len(text) <= 60 else text[:57] + "...")  # noqa: PLR2004
