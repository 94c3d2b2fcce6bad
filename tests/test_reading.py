"""The CSV contract: what is read, and what is refused with which words."""

import gzip
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from load_profiles import csv_file, csv_rows

from processing import texts
from processing.errors import InvalidLoadProfile, Problem
from processing.reading import LoadProfile, Reader, Rules, read_load_profile
from processing.sheet import LONGEST_NAME
from processing.sites import Sites, read_sites
from processing.table import MOST_ROWS

ROWS = csv_rows("2021-06-02 00:00:00", 672)


def read(body: bytes, zone: str = "UTC", at_least: int = 672) -> LoadProfile:
    return read_load_profile(body, time_zone=zone, at_least=at_least)


def problems(body: bytes, zone: str = "UTC", at_least: int = 1) -> list[tuple[int | None, str | None, str]]:
    with pytest.raises(InvalidLoadProfile) as refused:
        read(body, zone, at_least)
    assert all(problem.message for problem in refused.value.problems)
    return [(problem.row, problem.column, problem.code) for problem in refused.value.problems]


def refused(body: bytes, zone: str = "UTC", at_least: int = 1) -> tuple[Problem, ...]:
    with pytest.raises(InvalidLoadProfile) as error:
        read(body, zone, at_least)
    assert error.value.count >= len(error.value.problems)
    return error.value.problems


def changed(at: int, row: str, rows: int = 8) -> bytes:
    """Return a small file with one row replaced; row `at` stands in line `at + 2` of the file."""
    lines = ROWS[:rows]
    lines[at] = row
    return csv_file(lines)


def german(row: str) -> str:
    stamp, power = row.split(",")
    date, time = stamp.split(" ")
    return f"{'.'.join(reversed(date.split('-')))} {time[:5]};{power.replace('.', ',')}"


SPELLINGS = {
    "iso with seconds": csv_file(ROWS),
    "iso without seconds": csv_file([row.replace(":00,", ",", 1) for row in ROWS]),
    "iso with T": csv_file([row.replace(" ", "T", 1) for row in ROWS]),
    "utc by Z": csv_file([row.replace(",", "Z,", 1) for row in ROWS]),
    "with an offset": csv_file([row.replace(",", "+00:00,", 1) for row in ROWS]),
    "german with semicolon": csv_file([german(row) for row in ROWS], "Datum;Wert (kW)"),
    "tabs": csv_file([row.replace(",", "\t") for row in ROWS], "Datum\tWert (kW)"),
    "comma and quoted decimal comma": csv_file(
        ['{},"{}"'.format(*row.replace(".", ",", 1).split(",", 1)) for row in ROWS]
    ),
    "byte-order mark": b"\xef\xbb\xbf" + csv_file(ROWS),
    "windows line ends": csv_file(ROWS).replace(b"\n", b"\r\n"),
    "excel's separator line": b"sep=,\n" + csv_file(ROWS),
    "everything quoted": csv_file([f'"{row.replace(",", chr(34) + "," + chr(34))}"' for row in ROWS]),
    "blank lines at the end": csv_file([*ROWS, "", ",", ""]),
    "another column": csv_file([f"7,{row},ok" for row in ROWS], "id,Datum,Wert (kW),state"),
    "columns swapped": csv_file([",".join(reversed(row.split(","))) for row in ROWS], "Wert (kW),Datum"),
}


@pytest.mark.parametrize("body", SPELLINGS.values(), ids=SPELLINGS)
def test_every_spelling_gives_the_same_profile(body: bytes) -> None:
    """However a file is written, its times and powers are the same."""
    profile = read(body)
    assert profile.time[0] == np.datetime64("2021-06-02T00:00:00")
    assert profile.time[-1] == np.datetime64("2021-06-08T23:45:00")
    np.testing.assert_array_equal(profile.clock, profile.time)
    np.testing.assert_array_equal(profile.power, np.arange(672.0))


@pytest.mark.parametrize(
    "header",
    [
        "Datum,Wert (kW)",
        "Date,Power Consumption [kW]",
        "DATETIME,power (KW)",
        " timestamp , Leistung(kW) ",
        "Zeitstempel,Verbrauch kW",
        "Datum/Uhrzeit,Wirkleistung [kW]",
        "Zeit,power_kw",
    ],
)
def test_header_synonyms(header: str) -> None:
    """A header is known by its words; case, spaces and the kind of brackets do not count."""
    profile = read(csv_file(ROWS, header))
    assert len(profile.power) == 672
    assert profile.notes == ()


def test_a_unit_that_is_not_named_is_noted() -> None:
    """A power column without a unit is taken as kW, and the profile says so."""
    assert read(csv_file(ROWS, "Datum,Wert")).notes == ("Column 'Wert' names no unit: taken as kW.",)


@pytest.mark.parametrize("header", ["Datum,LeistungInKW", "Datum,Leistung in kW", "Datum,Verbrauch_in_kW"])
def test_a_unit_may_have_its_preposition(header: str) -> None:
    """However the words are put together."""
    assert len(read(csv_file(ROWS, header)).power) == 672


HEADERS = {
    "no such names": ("a,b", (1, None, "bad_header")),
    "only a time": ("Datum,b", (1, None, "bad_header")),
    "energy": ("Datum,Verbrauch (kWh)", (None, "Verbrauch (kWh)", "energy_unit")),
    "watts": ("Datum,Leistung [W]", (1, "Leistung [W]", "bad_unit")),
    "two powers": ("Datum,Wert (kW),Leistung (kW)", (1, "Leistung (kW)", "doubled_column")),
    "two times": ("Datum,Zeit,Wert (kW)", (1, "Zeit", "doubled_column")),
    "date and time of day": ("Datum,Uhrzeit,Wert (kW)", (1, "Uhrzeit", "doubled_column")),
    "energy without brackets": ("Datum,Verbrauch kWh", (None, "Verbrauch kWh", "energy_unit")),
    "another separator": ("Datum|Wert (kW)", (1, None, "bad_header")),
}


@pytest.mark.parametrize("header, problem", HEADERS.values(), ids=HEADERS)
def test_bad_headers(header: str, problem: tuple[int, str | None, str]) -> None:
    """A header that does not name one time and one power in kW is refused."""
    assert problems(csv_file(["2021-06-02 00:00:00,1"], header)) == [problem]


MANY = 120_000  # characters; what takes a time in proportion to their square takes half an hour
LONG_TEXTS = {
    "power of digits": (f"2021-06-02 00:30:00,{'9' * MANY}x", "not_a_number"),
    "quoted power of digits": (f'2021-06-02 00:30:00,"{"9" * MANY}x"', "not_a_number"),
    "power of points": (f"2021-06-02 00:30:00,{'.' * MANY}", "not_a_number"),
    "power of exponents": (f"2021-06-02 00:30:00,{'1e' * (MANY // 2)}", "not_a_number"),
    "power of blanks": (f'2021-06-02 00:30:00,"x{" " * MANY}x"', "not_a_number"),
    "stamp of digits": (f"{'2021-' * (MANY // 5)},1.0", "bad_time"),
}


@pytest.mark.parametrize("row, code", LONG_TEXTS.values(), ids=LONG_TEXTS)
def test_long_cells_take_no_longer_than_others(row: str, code: str) -> None:
    """Whatever a cell is full of."""
    assert [one[2] for one in problems(csv_file([*ROWS[:2], row, *ROWS[3:]]))] == [code]


LONG_NAMES = ["_" * MANY + "x", "x" + " " * MANY + "x", "(" * MANY, "in" * (MANY // 2), "[x" * (MANY // 2) + ")"]


@pytest.mark.parametrize("name", LONG_NAMES, ids=["low lines", "blanks", "brackets", "in", "open and closed"])
def test_long_names_take_no_longer_than_others(name: str) -> None:
    """Whatever a column's name is full of: in a header that names no power, and in one that does besides."""
    for header in (f"Datum,{name}", f"Datum,Wert (kW),{name}"):
        assert problems(csv_file(ROWS, header)) == [(1, None, "bad_header")]


def test_the_longest_name_of_a_column() -> None:
    """Each problem of its rows repeats it; one character more is refused."""
    name, rows = "ü" * LONGEST_NAME, [f"{row},1" for row in ROWS]
    assert len(read(csv_file(rows, f"Datum,Wert (kW),{name}")).power) == 672
    (problem,) = refused(csv_file(rows, f"Datum,Wert (kW),{name}x"))
    assert problem.message == "The name of column 3 has 201 characters. Give it one of at most 200."


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_header_of_very_many_names_takes_no_memory_for_rows_that_have_none(quote: str) -> None:
    """50,000 names and the rows of a week: cells for all of them were 140 MB and more."""
    tracemalloc.start()
    with pytest.raises(InvalidLoadProfile) as refused:
        read(csv_file(ROWS, f"{quote}Datum{quote},Wert (kW){',' * 50_000}"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.count == 672
    assert refused.value.problems[0].message == "The row has 2 fields where the header has 50002."
    assert (refused.value.problems[0].row, refused.value.problems[0].code) == (2, "wrong_width")
    assert peak < 60_000_000


def test_a_quoted_file_without_line_ends_is_refused() -> None:
    """Before the interpreter is kept from everybody else for as long as a line of megabytes takes."""
    body = csv_file([*ROWS[:2], f'"2021-06-02 00:30:00",{"1," * 1_000_001}'])
    (problem,) = refused(body)
    assert (problem.code, problem.message) == (
        "not_csv",
        "A line has more than 2,000,000 characters. Check the file's line ends.",
    )


def test_the_longest_header() -> None:
    """One byte more is refused, before a name is read."""
    names = f"Datum,Wert (kW){(',' + 'x' * 99) * 20_000}"[: texts.LONGEST_LINE - 1]
    assert {problem[2] for problem in problems(csv_file(ROWS, names))} == {"wrong_width"}
    (problem,) = refused(csv_file(ROWS, f"{names}x"))
    assert (problem.row, problem.code) == (1, "bad_header")
    assert problem.message.startswith("The header has more than 2,000,000 bytes.")


CELLS = {
    "a word": ("2021-06-02 00:30:00,abc", (4, "Wert (kW)", "not_a_number")),
    "missing": ("2021-06-02 00:30:00,", (4, "Wert (kW)", "missing")),
    "nan": ("2021-06-02 00:30:00,nan", (4, "Wert (kW)", "not_a_number")),
    "infinite": ("2021-06-02 00:30:00,-inf", (4, "Wert (kW)", "infinite")),
    "overflow": ("2021-06-02 00:30:00,1e999", (4, "Wert (kW)", "out_of_range")),
    "more than any site": ("2021-06-02 00:30:00,2e9", (4, "Wert (kW)", "out_of_range")),
    "underscore": ("2021-06-02 00:30:00,1_0", (4, "Wert (kW)", "not_a_number")),
    "hexadecimal": ("2021-06-02 00:30:00,0x10", (4, "Wert (kW)", "not_a_number")),
    "arabic digit": ("2021-06-02 00:30:00,٣", (4, "Wert (kW)", "not_a_number")),
    "thousands": ('2021-06-02 00:30:00,"1.234,5"', (4, "Wert (kW)", "mixed_decimal")),
    "30 February": ("2021-02-30 00:30:00,1.0", (4, "Datum", "bad_time")),
    "month 13": ("2021-13-02 00:30:00,1.0", (4, "Datum", "bad_time")),
    "24:00": ("2021-06-02 24:00:00,1.0", (4, "Datum", "bad_time")),
    "another layout": ("02.06.2021 00:30,1.0", (4, "Datum", "bad_time")),
    "no time": (",1.0", (4, "Datum", "bad_time")),
    "very long": (f"{'9' * 5000},1.0", (4, "Datum", "bad_time")),
    "year 1969": ("1969-06-02 00:30:00,1.0", (4, "Datum", "bad_time")),
    "off the grid": ("2021-06-02 00:31:00,1.0", (4, "Datum", "off_grid")),
    "duplicate": ("2021-06-02 00:15:00,1.0", (4, "Datum", "duplicate")),
    "blank row": ("", (4, None, "blank_row")),
    "too many fields": ("2021-06-02 00:30:00,1.0,2.0", (4, None, "wrong_width")),
    "too few fields": ("2021-06-02 00:30:00", (4, None, "wrong_width")),
}


@pytest.mark.parametrize("row, problem", CELLS.values(), ids=CELLS)
def test_a_bad_cell_is_named_by_row_and_column(row: str, problem: tuple[int, str | None, str]) -> None:
    """Each kind of bad cell has a code of its own, and the row that a spreadsheet shows."""
    assert problem in problems(changed(2, row))


def test_a_bad_time_is_not_a_gap_as_well() -> None:
    """One unreadable stamp is one problem, not also a gap around it."""
    assert problems(changed(2, "soon,1.0")) == [(4, "Datum", "bad_time")]


def test_a_gap_is_named_at_the_row_after_it() -> None:
    """Missing quarter-hours are counted at the row that follows them."""
    assert problems(csv_file(ROWS[:4] + ROWS[6:9])) == [(6, "Datum", "gap")]


def test_unsorted_rows_are_named() -> None:
    """A row that comes after a later one is unsorted, and nothing is missing then."""
    rows = ROWS[:8]
    rows[3], rows[5] = rows[5], rows[3]
    assert problems(csv_file(rows)) == [(6, "Datum", "unsorted"), (7, "Datum", "unsorted")]


SHUFFLES = {
    "newest first": ROWS[:96][::-1],
    "every seventh": [ROWS[at * 7 % 96] for at in range(96)],
    "sorted by the time of day": [ROWS[day * 96 + at] for at in range(96) for day in range(7)],
    "eighteen rows apart": [ROWS[at] for first in range(18) for at in range(first, 672, 18)],
}


@pytest.mark.parametrize("rows", SHUFFLES.values(), ids=SHUFFLES)
def test_rows_out_of_order_have_the_step_of_their_times(rows: list[str]) -> None:
    """The order of the rows changes nothing about the step between the times: they are unsorted, no more."""
    assert {problem.code for problem in refused(csv_file(rows))} == {"unsorted"}


def test_the_step_of_unsorted_hours_is_named() -> None:
    """Shuffled hours are hours."""
    rows = csv_rows("2021-06-02 00:00:00", 60, 60)
    (problem,) = refused(csv_file([rows[at * 7 % 60] for at in range(60)]))
    assert problem.code == "wrong_step"
    assert "60 minutes" in problem.message


@pytest.mark.parametrize("minutes", [1, 5, 30, 60])
def test_another_step_is_one_problem(minutes: int) -> None:
    """A file of hours or minutes is told so once, not once for each row."""
    assert problems(csv_file(csv_rows("2021-06-02 00:00:00", 100, minutes))) == [(None, "Datum", "wrong_step")]


def test_too_few_rows() -> None:
    """Less than a week is refused."""
    assert problems(csv_file(ROWS[:671]), at_least=672) == [(None, None, "too_short")]


def test_every_problem_is_listed_in_the_order_of_the_rows() -> None:
    """Faults of different kinds are reported together."""
    rows = ROWS[:8]
    rows[1] = rows[1].replace("1.0", "x")
    rows[4] = "never,4.0"
    rows[6] = rows[5]
    assert problems(csv_file(rows), at_least=672) == [
        (None, None, "too_short"),
        (3, "Wert (kW)", "not_a_number"),
        (6, "Datum", "bad_time"),
        (8, "Datum", "duplicate"),
        (9, "Datum", "gap"),
    ]


BODIES = {
    "nothing": (b"", (None, None, "empty")),
    "white space": (b" \n\n", (None, None, "empty")),
    "latin-1": ("Datum,Wert (kW)\nJänner,1".encode("latin-1"), (2, None, "not_utf8")),
    "utf-16": (csv_file(ROWS).decode().encode("utf-16"), (None, None, "not_utf8")),
    "zip": (b"PK\x03\x04\x00\x00", (None, None, "not_text")),
    "utf-16, big end first": (b"\xfe\xff" + csv_file(ROWS).decode().encode("utf-16-be"), (None, None, "not_utf8")),
    "gzip": (gzip.compress(csv_file(ROWS)), (None, None, "not_utf8")),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", (None, None, "not_utf8")),
    "pdf of plain text": (b"%PDF-1.4\n1 0 obj\n", (None, None, "not_text")),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(8), (None, None, "not_utf8")),
    "open quote": (csv_file([*ROWS[:3], '"2021']), (5, None, "not_csv")),
    "header only": (b"Datum,Wert (kW)\n", (None, None, "too_short")),
}


@pytest.mark.parametrize("body, problem", BODIES.values(), ids=BODIES)
def test_bodies_that_are_no_csv(body: bytes, problem: tuple[int | None, str | None, str]) -> None:
    """What is no CSV at all is refused with its reason."""
    assert problems(body) == [problem]


OTHER_FILES = {
    "utf-16": ("UTF-16", "CSV UTF-8"),
    "utf-16, big end first": ("UTF-16", "CSV UTF-8"),
    "zip": (".xlsx", "CSV UTF-8"),
    "gzip": ("gzip", "Unpack"),
    "pdf": ("PDF", "CSV"),
    "pdf of plain text": ("PDF", "CSV"),
    "xls": (".xls", "CSV UTF-8"),
}


@pytest.mark.parametrize(
    "name, what, instead", [(name, *words) for name, words in OTHER_FILES.items()], ids=OTHER_FILES
)
def test_a_file_of_another_kind_is_named(name: str, what: str, instead: str) -> None:
    """What was sent is known by its first bytes; the message names it, and what to send."""
    message = refused(BODIES[name][0])[0].message
    assert what in message
    assert instead in message


def local_week(zone_start: str, rows: int, offsets: list[tuple[int, int]]) -> bytes:
    """Return rows of local stamps; `offsets` are (row, minutes) by which the clock jumps there."""
    lines = csv_rows(zone_start, rows)
    for at, minutes in offsets:
        rest = csv_rows(str(np.datetime64(lines[at].split(",")[0]) + np.timedelta64(minutes, "m")), rows - at)
        lines[at:] = [f"{new.split(',')[0]},{old.split(',')[1]}" for new, old in zip(rest, lines[at:], strict=True)]
    return csv_file([line.replace("T", " ") for line in lines])


CLOCK_CHANGES = {
    "Berlin, March": ("Europe/Berlin", "2016-03-26 12:00:00", [(56, 60)], "2016-03-26T11:00:00"),
    "Berlin, October": ("Europe/Berlin", "2016-10-29 12:00:00", [(60, -60)], "2016-10-29T10:00:00"),
    "Berlin, October, from inside the doubled hour": (
        "Europe/Berlin",
        "2016-10-30 02:15:00",
        [(3, -60)],
        "2016-10-30T00:15:00",
    ),
    "Lisbon, October": ("Europe/Lisbon", "2021-10-30 12:00:00", [(56, -60)], "2021-10-30T11:00:00"),
    "Lord Howe, April": ("Australia/Lord_Howe", "2021-04-03 12:00:00", [(56, -30)], "2021-04-03T01:00:00"),
    "Kathmandu": ("Asia/Kathmandu", "2021-04-03 12:00:00", [], "2021-04-03T06:15:00"),
}


@pytest.mark.parametrize("zone, start, jumps, first", CLOCK_CHANGES.values(), ids=CLOCK_CHANGES)
def test_a_clock_change_is_no_gap(zone: str, start: str, jumps: list[tuple[int, int]], first: str) -> None:
    """Quarter-hours are counted in real time, whatever the wall clock does."""
    profile = read(local_week(start, 672, jumps), zone)
    assert profile.time[0] == np.datetime64(first)
    assert (np.diff(profile.time) == np.timedelta64(900, "s")).all()
    assert profile.clock[0] == np.datetime64(start)


def test_the_hour_that_the_clock_leaves_out_is_refused() -> None:
    """A local time that no clock ever showed is named."""
    body = csv_file(csv_rows("2016-03-27 01:45:00", 3))
    assert problems(body, "Europe/Berlin") == [
        (3, "Datum", "nonexistent_time"),
        (4, "Datum", "nonexistent_time"),
    ]


def test_offsets_are_instants_and_the_clock_is_the_zones() -> None:
    """A stamp with an offset is converted to the clock of the zone, over its change too."""
    rows = [
        f"2016-10-30T0{h}:{m:02}:00+0{o}:00,1" for o, h in ((2, 1), (2, 2), (1, 2), (1, 3)) for m in (0, 15, 30, 45)
    ]
    profile = read(csv_file(rows), "Europe/Berlin", at_least=16)
    assert profile.time[0] == np.datetime64("2016-10-29T23:00:00")
    assert [str(clock)[11:16] for clock in profile.clock[[4, 8, 12]]] == ["02:00", "02:00", "03:00"]


def test_a_whole_real_year_over_both_clock_changes(shop: bytes) -> None:
    """The sample year is read whole: 366 days of quarter-hours in real time."""
    profile = read(shop, "Europe/Berlin")
    assert len(profile.time) == 35_136
    assert profile.time[0] == np.datetime64("2015-12-31T23:00:00")


def with_powers(powers: list[str], header: str = "Datum;Wert (kW)", separator: str = ";") -> bytes:
    """Return a file of quarter-hours with these powers, as they are written."""
    rows = csv_rows("2021-06-02 00:00:00", len(powers))
    return csv_file([f"{row.split(',')[0]}{separator}{kw}" for row, kw in zip(rows, powers, strict=True)], header)


MARKS = {
    "one thousand among points": (["27.5"] * 9 + ["1,234.5"], [11], "decimal points"),
    "two commas among points": (["2,5", *["27.5"] * 9, "3,5"], [2, 12], "decimal points"),
    "one point among commas": (["27,5"] * 9 + ["27.5"], [11], "decimal commas"),
    "one thousand among commas": (["1.234,5", *["27,5"] * 9], [2], "decimal commas"),
    "as many of both": (["27,5", "27.5"], [3], "decimal commas"),
    "words do not count": (["27,5", "n.a.", "n.a."], [3, 4], "decimal commas"),
}


@pytest.mark.parametrize("powers, rows, words", MARKS.values(), ids=MARKS)
def test_the_mark_of_most_numbers_is_the_files(powers: list[str], rows: list[int], words: str) -> None:
    """Of two decimal marks the rarer one is at fault; where they are as many, the point."""
    found = refused(with_powers(powers))
    assert [(problem.row, problem.code) for problem in found] == [(row, "mixed_decimal") for row in rows]
    assert all(words in problem.message for problem in found)


def test_one_thousand_in_a_week_is_one_problem() -> None:
    """A comma in one cell does not turn 671 good rows into bad ones."""
    body = with_powers(['"1,234.5"' if at == 98 else "27.5" for at in range(672)], "Datum,Wert (kW)", ",")
    assert problems(body) == [(100, "Wert (kW)", "mixed_decimal")]


PERHAPS_THOUSANDS = {
    "point": (["1.101", "-2.202", "999.999"], ";", "decimal point"),
    "comma": (["1,101", "22,202"], ";", "decimal comma"),
    "between tabs": (["1.101"], "\t", "decimal point"),
    "of another length": (["1.101", "1.5"], ";", ""),
    "without a mark": (["1.101", "7"], ";", ""),
    "below one": (["1.101", "0.101"], ";", ""),
    "four digits before it": (["1.101", "1101.101"], ";", ""),
    "an exponent": (["1.101", "1.1e1"], ";", ""),
    "point between commas": (["1.101"], ",", ""),
}


@pytest.mark.parametrize("powers, separator, words", PERHAPS_THOUSANDS.values(), ids=PERHAPS_THOUSANDS)
def test_a_mark_that_could_separate_thousands_is_noted(powers: list[str], separator: str, words: str) -> None:
    """A file in which every mark could separate thousands is read as decimals, and the profile says so."""
    profile = read(with_powers(powers, f"Datum{separator}Wert (kW)", separator), at_least=1)
    assert profile.power[0] == 1.101
    assert [words in note for note in profile.notes] == ([True] if words else [])


def local_file(*runs: tuple[str, int]) -> bytes:
    return csv_file([row for start, rows in runs for row in csv_rows(start, rows)])


OCTOBER = local_file(("2016-10-30 00:00:00", 12), ("2016-10-30 03:00:00", 8))
CLOCK = {
    # file, zone, row and code, what the message says of the clock
    "hour not doubled": (OCTOBER, "Europe/Berlin", (14, "gap"), "went back"),
    "hour not doubled, in its own zone": (OCTOBER, "Etc/GMT-1", None, ""),
    "hour left out": (local_file(("2016-03-27 01:45:00", 2)), "Europe/Berlin", (3, "nonexistent_time"), "went forward"),
    "hour three times": (
        local_file(("2016-10-30 01:00:00", 8), *[("2016-10-30 02:00:00", 4)] * 2, ("2016-10-30 03:00:00", 4)),
        "Europe/Berlin",
        (14, "duplicate"),
        "went back",
    ),
    "hole elsewhere": (
        local_file(("2016-06-30 01:00:00", 4), ("2016-06-30 03:00:00", 4)),
        "Europe/Berlin",
        (6, "gap"),
        "",
    ),
    "hole of half a year": (
        local_file(("2016-01-30 01:00:00", 4), ("2016-06-30 03:00:00", 4)),
        "Europe/Berlin",
        (6, "gap"),
        "",
    ),
    "stamps with offsets": (
        csv_file(
            [
                f"2016-10-30 {time}:00+0{at}:00,1"
                for time, at in (("02:30", 2), ("02:45", 2), ("03:00", 1), ("03:15", 1))
            ]
        ),
        "Europe/Berlin",
        (4, "gap"),
        "",
    ),
}


@pytest.mark.parametrize("body, zone, place, words", CLOCK.values(), ids=CLOCK)
def test_a_break_at_a_clock_change_is_told_as_one(
    body: bytes, zone: str, place: tuple[int, str] | None, words: str
) -> None:
    """Where the zone's clock changes at a break, the message says so, and how to write or name the meter's time."""
    if place is None:
        assert len(read(body, zone, at_least=1).power) == 20
        return
    found = refused(body, zone)
    message = found[0].message
    assert (found[0].row, found[0].code) == place
    assert ("The clock in" in message) == bool(words)
    assert words in message
    assert not words or "tz=Etc/GMT-1)" in message
    assert "2016-" in message


@pytest.mark.parametrize(
    "zone, body, fixed",
    [
        ("America/New_York", local_file(("2021-11-07 00:00:00", 8), ("2021-11-07 02:00:00", 4)), "tz=Etc/GMT%2B5)"),
        ("Europe/Lisbon", local_file(("2021-10-31 00:00:00", 8), ("2021-10-31 02:00:00", 4)), "tz=Etc/GMT-0)"),
        ("Australia/Lord_Howe", local_file(("2021-04-04 00:00:00", 8), ("2021-04-04 02:00:00", 4)), "?tz=."),
    ],
)
def test_the_fixed_zone_is_that_of_the_winter(zone: str, body: bytes, fixed: str) -> None:
    """The zone that the message names is a fixed one of whole hours, as it is written in an address."""
    assert [problem.message.count(fixed) for problem in refused(body, zone)] == [1]


HEADER_WORDS = {
    "no time": ("a,Wert (kW)", "It has no time column (such as 'Datum', 'Zeitstempel' or 'timestamp'). Separate"),
    "no power": ("Datum,b", "It has no power column (such as 'Wert (kW)', 'Leistung [kW]'"),
    "neither": ("a;b;c", "'timestamp') and no power column (such as 'Wert (kW)'"),
    "date and time": ("Datum;Zeit;Wert (kW)", "one column, such as 2021-06-02 00:15"),
    "date and time of day": ("Datum;Uhrzeit;Wert (kW)", "one column, such as 2021-06-02 00:15"),
    "energy": ("Datum,Verbrauch kWh", "times 4"),
    "energy, by the service": ("Datum,Verbrauch kWh", "repair=kwh"),
}


@pytest.mark.parametrize("header, words", HEADER_WORDS.values(), ids=HEADER_WORDS)
def test_a_refused_header_says_what_to_do(header: str, words: str) -> None:
    """The message names the kind of column that is missing or too many, and what is accepted instead."""
    (problem,) = refused(csv_file(["2021-06-02 00:00:00,1"], header))
    assert words in problem.message


WIDTHS = {
    # header, rows, problem rows, words of the first
    "decimal commas": ("Datum,Wert (kW)", [f"{row.split(',')[0]},27,5" for row in ROWS], [2], "decimal commas"),
    "decimal commas, quoted stamps": (
        "Datum,Wert (kW)",
        ['"{}",27,5'.format(row.split(",")[0]) for row in ROWS],
        [2],
        "decimal commas",
    ),
    "one good row": ("Datum,Wert (kW)", [ROWS[0], "2021-06-02 00:15:00,27,5"], [3], "3 fields where the header has 2"),
    "commas behind": ("Datum,Wert (kW)", [row + "," for row in ROWS[:3]], [2, 3, 4], "3 fields where"),
    "one field": ("Datum,Wert (kW)", [ROWS[0], "2021-06-02"], [3], "1 field where"),
    "semicolons": ("Datum;Wert (kW)", ["2021-06-02 00:15:00;27;5"], [2], "3 fields where"),
}


@pytest.mark.parametrize("header, rows, places, words", WIDTHS.values(), ids=WIDTHS)
def test_decimal_commas_between_commas_are_one_problem(
    header: str, rows: list[str], places: list[int], words: str
) -> None:
    """Where every row is wider by a field for each power, the file is at fault, not its rows."""
    found = refused(csv_file(rows, header))
    assert [(problem.row, problem.code) for problem in found] == [(row, "wrong_width") for row in places]
    assert words in found[0].message


YEAR = [f"{row.split(',')[0]},{at % 11 + 1}" for at, row in enumerate(csv_rows("2021-06-02 00:00:00", 1000))]
NEWEST = {
    "two gaps before": ([*YEAR[:9], *YEAR[10:100], *YEAR[101:]], [("gap", False), ("gap", True)]),
    "a gap in the last week": ([*YEAR[:500], *YEAR[501:]], [("gap", False)]),
    "a bad row in the last week": ([*YEAR[:9], *YEAR[10:998], "", YEAR[999]], [("gap", False), ("blank_row", False)]),
    "a week that stands still": (
        [*YEAR[:9], *(f"{row.split(',')[0]},5" for row in YEAR[10:])],
        [("gap", False)],
    ),
    "another fault before": (["x,1", *YEAR[:9], *YEAR[10:]], [("bad_time", False), ("gap", True)]),
}


@pytest.mark.parametrize("rows, told", NEWEST.values(), ids=NEWEST)
def test_a_gap_before_a_whole_week_says_that_the_week_is_enough(rows: list[str], told: list[tuple[str, bool]]) -> None:
    """The last gap names the way out, once, if the last week would be read alone."""
    found = refused(csv_file(rows), at_least=672)
    assert [(problem.code, "last 672 rows" in problem.message) for problem in found] == told
    if any(way_out for _, way_out in told):
        assert len(read(csv_file(rows[-672:])).power) == 672


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """No input makes anything but a profile or a list of problems."""
    try:
        profile = read(body, at_least=1)
    except InvalidLoadProfile as refused:
        assert refused.problems
    else:
        assert len(profile.time) == len(profile.power) > 0


_cell = st.sampled_from(["2021-06-02 00:00:00", "02.06.2021 00:15", "1", "1,5", '"', "", "nan", "-1e300", "\r", "Z"])


@given(st.lists(st.lists(_cell, max_size=4).map(",".join), max_size=12).map("\n".join))
def test_any_rows_are_read_or_refused(rows: str) -> None:
    """Rows of nearly good cells are read whole or refused, never cut."""
    try:
        profile = read(b"Datum,Wert (kW)\n" + rows.encode(), "Europe/Berlin", at_least=1)
    except InvalidLoadProfile as refused:
        assert all(one.row is None or one.row >= 1 for one in refused.problems)
    else:
        assert np.isfinite(profile.power).all()
        assert all(later - earlier == np.timedelta64(900, "s") for earlier, later in pairwise(profile.time))


@given(st.lists(st.floats(-1e9, 1e9, allow_subnormal=False), min_size=1, max_size=50), st.booleans())
def test_powers_survive_exactly(powers: list[float], comma: bool) -> None:
    """What is written with a decimal point or comma is read back to the last bit."""
    rows = csv_rows("2021-06-02 00:00:00", len(powers))
    texts = [repr(power).replace(".", ",") if comma else repr(power) for power in powers]
    body = csv_file([f"{row.split(',')[0]};{text}" for row, text in zip(rows, texts, strict=True)], "Datum;Wert (kW)")
    np.testing.assert_array_equal(read(body, at_least=1).power, powers)


@pytest.mark.parametrize("header", ["Datum,Wert (kW)", "site,Datum,Wert (kW)", "Datum,A (kW),B (kW)"])
def test_a_site_without_end_is_refused_at_once(header: str) -> None:
    """Ten megabytes of rows of a few bytes are not taken for a load profile, long before each has been looked at."""
    body = f"{header}\n{'x,y,z'[: 2 * header.count(',') + 1]}\n".encode()
    body += body[len(header) + 1 :] * (MOST_ROWS + 1)
    reader = Reader("Europe/Berlin", 672, Rules())
    if header.startswith("site"):
        read = read_sites(body, reader)
        assert isinstance(read, Sites)
        told = read.sites[0].problems
    else:
        with pytest.raises(InvalidLoadProfile) as refusal:
            read_sites(body, reader)
        told = refusal.value.problems
    assert [(problem.code, str(MOST_ROWS) in problem.message) for problem in told] == [("too_long", True)]
