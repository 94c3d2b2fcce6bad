"""Answers as CSV: rows that are written as text are those that Python's writer makes."""

from __future__ import annotations

import csv
import io

from hypothesis import example, given
from hypothesis import strategies as st

from edge import tables

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(site=st.text(max_size=12), powers=st.lists(NUMBERS, max_size=4))
@example('a "quoted", long;\r\nname\n', [1e-7, 3.0])
@example("", [0.1])
@example("\r\n", [0.1])
def test_lines_are_what_the_csv_writer_makes_of_them(site: str, powers: list[float]) -> None:
    """Whatever a site is called."""
    times = [f"2026-01-01T00:{at:02d}:00+01:00" for at in range(len(powers))]
    usual = io.StringIO(newline="")
    for time, kw in zip(times, powers, strict=True):
        csv.writer(usual).writerow([site, "forecast", time, kw, *[""] * len(tables.WORDS)])
    assert tables.lines(site, "forecast", [times, map(repr, powers)]) == usual.getvalue()


def test_text_stands_among_other_rows() -> None:
    """In its place."""
    written = tables.lines("a", "forecast", [["now"]])
    answer = tables.response(["site", "kind", "time"], [written, {"site": "b"} | tables.told("note", "none, yet")])
    rows = list(csv.DictReader(io.StringIO(bytes(answer.body).decode(), newline="")))
    assert [(row["site"], row["kind"], row["time"], row["message"]) for row in rows] == [
        ("a", "forecast", "now", ""),
        ("b", "note", "", "none, yet"),
    ]
