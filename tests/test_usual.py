"""The quick way of reading a usual file: it is taken, and reads what the general way reads."""

from dataclasses import astuple
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from load_profiles import csv_file, csv_rows

from processing.errors import InvalidLoadProfile
from processing.features import calendar
from processing.plausibility import CODES as DOUBTS
from processing.reading import Reader, Rules
from processing.repairs import CODES as REPAIRS
from processing.table import read_table

ZONES = ("Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")
LAYOUTS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S")
OFFSETS = ("", "Z", "+02:00", "-0930", "+14:45", "+15:00")
PIECES = (
    b",",
    b";",
    b"\n",
    b"\r",
    b"\r\n",
    b" ",
    b'"',
    b"-",
    b"+",
    b".",
    b"5",
    b"x",
    b"\t",
    b"\xff",
    b"\n\n",
    b"nan",
    b"1e5",
)


def moment(*parts: int) -> datetime:
    """Return a moment that a clock shows."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def written(
    start: datetime, texts: list[str], layout: str = LAYOUTS[0], delimiter: str = ",", end: str = "\n"
) -> bytes:
    """Write powers from a quarter-hour on."""
    stamps = [(start + timedelta(minutes=15 * at)).strftime(layout) for at in range(len(texts))]
    rows = [f"{stamp}{delimiter}{text}" for stamp, text in zip(stamps, texts, strict=True)]
    return end.join([f"Datum{delimiter}Wert (kW)", *rows, ""]).encode()


def both(body: bytes, zone: str, at_least: int = 1, rules: Rules | None = None) -> tuple[object, object]:
    """Read a file by the quick and by the general way; None is what could not be read."""
    quick = Reader(zone, at_least, rules or Rules()).read_at_once(body)
    try:
        general = Reader(zone, at_least, rules or Rules()).read(read_table(body))
    except InvalidLoadProfile:
        general = None
    return quick, general


def assert_same(quick: object, general: object) -> None:
    """Fail unless two profiles are equal to the last bit and say the same."""
    assert quick is not None
    assert general is not None
    for one, other in zip(astuple(quick), astuple(general), strict=True):  # type: ignore[call-overload]
        np.testing.assert_array_equal(one, other, strict=isinstance(one, np.ndarray))


POWERS = ["1", "27.5", "-0.25", "+3.", ".5", "0", "123456789.012345", "1000000000"]
USUAL = {
    **{layout: written(moment(2016, 12, 25), POWERS, layout) for layout in LAYOUTS},
    **{zone or "local": written(moment(2016, 12, 25), POWERS, LAYOUTS[0] + zone) for zone in OFFSETS[:5]},
    "from the last quarter-hour of a year": written(moment(2015, 12, 31, 23, 45), POWERS),
    "over a leap day": written(moment(2016, 2, 28, 23, 30), POWERS * 15),
    "to the last quarter-hour": written(moment(2099, 12, 31, 22), POWERS),
    "German": written(moment(2016, 12, 25), [one.replace(".", ",") for one in POWERS], LAYOUTS[2], ";"),
    "tabs": written(moment(2016, 12, 25), POWERS, LAYOUTS[1], "\t"),
    "lines of Windows": written(moment(2016, 12, 25), POWERS, end="\r\n"),
    "no last line end": written(moment(2016, 12, 25), POWERS)[:-1],
    "a byte-order mark": b"\xef\xbb\xbf" + written(moment(2016, 12, 25), POWERS),
    "one row": written(moment(2016, 12, 25), ["1"]),
}


@pytest.mark.parametrize("body", USUAL.values(), ids=USUAL)
def test_usual_files_go_the_quick_way(body: bytes) -> None:
    assert_same(*both(body, "Europe/Berlin"))


def test_a_real_week_goes_the_quick_way(week: bytes) -> None:
    assert_same(*both(week, "Europe/Berlin", 672))


WEEK = csv_rows("2021-06-02 00:00:00", 672)
STAMPS = [row.split(",")[0] for row in WEEK]
FLAT = csv_file([f"{stamp},7" for stamp in STAMPS])
OTHERS = {
    "too few rows": csv_file(WEEK[1:]),
    "energy": csv_file(WEEK, "Datum,Energie (kWh)"),
    "a unit that is not named": csv_file(WEEK, "Datum,Wert"),
    "the power first": csv_file([",".join(reversed(row.split(","))) for row in WEEK], "Wert (kW),Datum"),
    "a third column": csv_file([f"{row}," for row in WEEK], "Datum,Wert (kW),"),
    "the delimiter is said": b"sep=,\n" + csv_file(WEEK),
    "perhaps thousands": csv_file([f"{stamp};{at % 9 + 1}.234" for at, stamp in enumerate(STAMPS)], "Datum;Wert (kW)"),
    "both marks": csv_file([f"{stamp};{at}{',.'[at % 2]}5" for at, stamp in enumerate(STAMPS)], "Datum;Wert (kW)"),
    "a flat line": FLAT,
    "the clock is put forward": csv_file(csv_rows("2021-03-27 00:00:00", 672)),
    "the clock is put back": csv_file(csv_rows("2021-10-27 00:00:00", 672)),
    "the years end": csv_file(csv_rows("2099-12-28 00:00:00", 672)),
    "seconds": csv_file(csv_rows("2021-06-02 00:00:01", 672)),
    "other minutes": csv_file(csv_rows("2021-06-02 00:05:00", 672)),
    "no such day": csv_file([row.replace("2021-06-02", "2021-02-30") for row in WEEK]),
    "two fields in one row, none in the next": csv_file([f"{WEEK[0]},{STAMPS[1]}", "1", *WEEK[2:]]),
    "no rows": csv_file([]),
    "no header": b"\n".join(row.encode() for row in WEEK),
    "one line": b"Datum,Wert (kW)",
    "nothing": b"",
}


@pytest.mark.parametrize("body", OTHERS.values(), ids=OTHERS)
def test_every_other_file_is_left_to_the_general_way(body: bytes) -> None:
    assert Reader("Europe/Berlin", 672, Rules()).read_at_once(body) is None


def test_what_the_user_accepts_is_named_all_the_same() -> None:
    assert Reader("UTC", 672, Rules(accept=frozenset(DOUBTS))).read_at_once(FLAT) is None


def test_a_power_beyond_all_sites_is_left_to_the_general_way() -> None:
    assert both(csv_file([*WEEK[:-1], f"{STAMPS[-1]},1000000001"]), "UTC", 672) == (None, None)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Give usual files and such as differ from one in a place or two."""
    start = moment(1970, 1, 1) + timedelta(minutes=15 * draw(st.integers(0, 129 * 365 * 96)))
    near = [moment(2016, 10, 30), moment(2016, 3, 27), moment(2016, 10, 2), moment(2016, 2, 29)]
    start = draw(st.sampled_from([start, *near]))
    layout = draw(st.sampled_from(LAYOUTS)) + draw(st.sampled_from(OFFSETS))
    delimiter = draw(st.sampled_from(",;\t"))
    form = draw(st.sampled_from(["{:.2f}", "{:.0f}", "{:+.3f}", "{!r}"]))
    texts = [form.format(one) for one in draw(st.lists(st.floats(-2e9, 2e9), min_size=1, max_size=30))]
    if delimiter != "," and draw(st.booleans()):
        texts = [text.replace(".", ",") for text in texts]
    body = written(start, texts, layout, delimiter, draw(st.sampled_from(["\n", "\r\n"])))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(body)))
        gone = draw(st.integers(0, 30))
        body = body[:at] + draw(st.sampled_from([b"", *PIECES])) + body[at + gone :]
    return body


@given(files(), st.sampled_from(ZONES), st.booleans())
@example(b"Datum,Wert (kW)\n2016-12-25 00:00,1,2016-12-25 00:15\n2", "UTC", False)
@example(b"Datum;Wert (kW)\n2016-12-25 00:00;1;2\n2016-12-25 00:15;", "UTC", False)
@example(b"Datum,Wert (kW)\n2016-12-25 00:00,1,5\n", "UTC", False)
def test_both_ways_read_the_same(body: bytes, zone: str, everything: bool) -> None:
    """What the quick way takes the general one takes, too, and makes the same of it: by any rules."""
    rules = Rules(frozenset(REPAIRS), frozenset(DOUBTS)) if everything else Rules()
    quick, general = both(body, zone, rules=rules)
    if quick is not None:
        assert_same(quick, general)


@given(st.integers(0, 4_070_908_800), st.integers(1, 1_030))
def test_the_calendar_of_consecutive_quarter_hours(first: int, count: int) -> None:
    """The waves are those of each stamp by itself, but for rounding of a phase of a million turns."""
    clock = np.datetime64(first, "s") + np.arange(count) * np.timedelta64(900, "s")
    alone = np.concatenate([calendar(clock[at : at + 1]) for at in range(0, count, 97)])
    np.testing.assert_allclose(calendar(clock)[::97], alone, rtol=0, atol=1e-8)
