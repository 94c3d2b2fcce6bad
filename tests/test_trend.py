"""The trend: what it calls better, worse and the same, and its table."""

from __future__ import annotations

import pytest

from benchmarks.trend import LESS_IS_BETTER, P50, SIDES, Span, compared, ratios, table

SLOW, MIDDLE, QUICK = Span(2.8, 3.0, 3.2), Span(1.5, 2.0, 2.9), Span(1.0, 1.2, 1.4)


@pytest.mark.parametrize(
    "now, then, less_is_better, expected",
    [
        (QUICK, SLOW, True, "better by 60%"),
        (SLOW, QUICK, True, "**worse** by 150%"),
        (SLOW, QUICK, False, "better by 150%"),
        (QUICK, SLOW, False, "**worse** by 60%"),
        (MIDDLE, SLOW, True, "the same within noise"),
        (SLOW, MIDDLE, True, "the same within noise"),
        (SLOW, SLOW, True, "the same within noise"),
    ],
)
def test_only_what_is_beyond_the_noise_has_changed(now: Span, then: Span, less_is_better: bool, expected: str) -> None:
    """A ratio is better or worse only if its noise and that of the earlier one have nothing in common."""
    assert compared(now, then, less_is_better=less_is_better) == expected


def test_a_span_leaves_the_outermost_rounds_out() -> None:
    """One round in which the machine did something else moves neither the median nor the noise."""
    assert Span.of([1.0] * 11 + [50.0]) == Span(1.0, 1.0, 1.0)
    assert Span.of([float(n) for n in range(11)]) == Span(1.0, 5.0, 9.0)


def test_ratios_are_taken_round_by_round() -> None:
    """A round that was slow for both sides counts as any other."""
    ours = [dict.fromkeys(LESS_IS_BETTER, value) for value in (3.0, 30.0, 300.0)]
    floor = [dict.fromkeys(LESS_IS_BETTER, value) for value in (2.0, 20.0, 200.0)]
    assert set(ratios(dict(zip(SIDES, (ours, floor), strict=True))).values()) == {Span(1.5, 1.5, 1.5)}


@pytest.mark.parametrize("entries", [0, 1, 5])
def test_the_table_compares_with_the_newest(entries: int) -> None:
    """Up to three earlier runs stand in the table, the newest first, and the words compare with that."""
    found = {name: [dict.fromkeys(LESS_IS_BETTER, 4.0)] for name in SIDES}
    history = [
        {"date": "2026-01-01", "commit": f"c{n}", "ratios": {name: [n + 3.0] * 3 for name in LESS_IS_BETTER}}
        for n in range(entries)
    ]
    lines = table(ratios(found), found, history).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert [f"c{n}" in lines[0] for n in range(entries)] == [n >= entries - 3 for n in range(entries)]
    (p50,) = (line for line in lines if P50 in line)
    assert p50.split(" | ")[-1] == (f"better by {1 - 1 / (entries + 2):.0%} |" if entries else "nothing recorded |")
