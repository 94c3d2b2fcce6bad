"""The query string: what it may ask for, and that nothing in it is passed over."""

import pytest

from edge.errors import InvalidQuery
from edge.queries import ANOMALIES, BACKTEST, FORECAST, PREDICT, Query, prefers_csv, read_query

GOOD = [
    ([], Query()),
    ([("tz", "Australia/Lord_Howe")], Query(time_zone="Australia/Lord_Howe")),
    ([("repair", "sort")], Query(repair=frozenset({"sort"}))),
    (
        [("repair", "gaps,kwh"), ("accept", "negative")],
        Query(repair=frozenset({"gaps", "kwh"}), accept=frozenset({"negative"})),
    ),
    ([("level", "80")], Query(levels=(80.0,))),
    ([("level", "95,80,1,99,97.5")], Query(levels=(1.0, 80.0, 95.0, 97.5, 99.0))),
]


@pytest.mark.parametrize("given, query", GOOD)
def test_what_may_be_asked(given: list[tuple[str, str]], query: Query) -> None:
    """Zones are IANA names, repairs and acceptances lists of known codes, levels percents in any order."""
    assert read_query(given, FORECAST) == query


BAD = [
    ([("tz", "Mars/Olympus")], FORECAST, ["unknown_zone"]),
    ([("tz", "")], FORECAST, ["unknown_zone"]),
    ([("tz", "../../etc/passwd")], FORECAST, ["unknown_zone"]),
    ([("tz", "Europe")], FORECAST, ["unknown_zone"]),
    ([("tz", "localtime")], FORECAST, ["unknown_zone"]),
    ([("tz", "right/Europe/Berlin")], FORECAST, ["unknown_zone"]),
    ([("tz", "UTC\0")], FORECAST, ["unknown_zone"]),
    ([("tz", "x" * 5000)], FORECAST, ["unknown_zone"]),
    ([("tz", "UTC"), ("tz", "UTC")], FORECAST, ["repeated_parameter"]),
    ([("timezone", "UTC")], FORECAST, ["unknown_parameter"]),
    ([("TZ", "UTC")], FORECAST, ["unknown_parameter"]),
    ([("repair", "")], FORECAST, ["unknown_repair"]),
    ([("repair", "sort,magic,")], FORECAST, ["unknown_repair", "unknown_repair"]),
    ([("repair", "negative")], FORECAST, ["unknown_repair"]),
    ([("accept", "sort")], FORECAST, ["unknown_accept"]),
    ([("level", "")], FORECAST, ["bad_level"]),
    ([("level", "80,")], FORECAST, ["bad_level"]),
    ([("level", "0.8")], FORECAST, ["bad_level"]),
    ([("level", "99.5,x")], FORECAST, ["bad_level", "bad_level"]),
    ([("level", "nan,1e1,8_0,+80,٨٠,80 ")], FORECAST, ["bad_level"] * 5),
    ([("level", "1,2,3,4,5,6")], FORECAST, ["too_many_levels"]),
    ([("level", "80,80.0")], FORECAST, ["repeated_level"]),
    ([("level", "80")], PREDICT, ["unknown_parameter"]),
    ([("repair", "sort")], PREDICT, ["unknown_parameter"]),
    ([("repair", "gaps"), ("x", "1")], PREDICT, ["unknown_parameter", "unknown_parameter"]),
]


@pytest.mark.parametrize("given, known, codes", BAD)
def test_what_may_not_be_asked(given: list[tuple[str, str]], known: tuple[str, ...], codes: list[str]) -> None:
    """What is unknown, repeated or empty is refused by the parameter's name, all of it at once."""
    with pytest.raises(InvalidQuery) as refused:
        read_query(given, known)
    assert [code for _, code, _ in refused.value.problems] == codes
    assert all(name and name in str(refused.value) for name, _, _ in refused.value.problems)


@pytest.mark.parametrize("name, value", [("repair", "sort"), ("level", "80")])
def test_predict_points_to_forecast(name: str, value: str) -> None:
    """The bare matrix can list neither repairs nor intervals, so `/predict` says where they are."""
    with pytest.raises(InvalidQuery, match=rf"bare matrix cannot .*/forecast/\{{model\}}\?{name}="):
        read_query([(name, value)], PREDICT)


@pytest.mark.parametrize(
    "accept, csv",
    [
        (None, False),
        ("*/*", False),
        ("text/csv", True),
        ("TEXT/CSV; charset=utf-8", True),
        ("application/json, text/csv", False),
        ("text/csv, application/json;q=0.9", True),
        ("text/csv;q=0.1, */*", False),
        ("text/html, text/*;q=0.5", True),
        ("text/csv;q=x", False),
        ("image/png", False),
        (";;,,q=", False),
    ],
)
def test_csv_is_for_who_prefers_it(accept: str | None, csv: bool) -> None:
    """JSON is the answer unless CSV is wanted more."""
    assert prefers_csv(accept) is csv


@pytest.mark.parametrize("value, stride", [(None, 1), ("1", 1), ("4", 4), ("96", 96)])
def test_a_stride_may_be_asked(value: str | None, stride: int) -> None:
    """A whole number of quarter-hours, at most a day; each of them by default."""
    assert read_query([] if value is None else [("stride", value)], BACKTEST).stride == stride


@pytest.mark.parametrize("value", ["", "0", "97", "100", "-1", "+1", "01", "1.0", "1e1", " 1", "1\n", "²", "٣"])
def test_no_other_stride_may(value: str) -> None:
    """What is no such number is refused, not rounded."""
    with pytest.raises(InvalidQuery) as refused:
        read_query([("stride", value)], BACKTEST)
    assert [(name, code) for name, code, _ in refused.value.problems] == [("stride", "bad_stride")]


@pytest.mark.parametrize("known", [FORECAST, ANOMALIES])
def test_only_a_backtest_strides(known: tuple[str, ...]) -> None:
    """A forecast has one origin, and anomalies need every one."""
    with pytest.raises(InvalidQuery):
        read_query([("stride", "1")], known)


@pytest.mark.parametrize("given, level", [([], 99.0), ([("level", "95")], 95.0), ([("level", "99.9")], None)])
def test_anomalies_have_one_level(given: list[tuple[str, str]], level: float | None) -> None:
    """The one that is asked for, or the usual one."""
    if level is None:
        with pytest.raises(InvalidQuery):
            read_query(given, ANOMALIES)
    else:
        assert read_query(given, ANOMALIES).only_level(99.0) == level


def test_several_levels_are_not_one() -> None:
    """Where one is needed, several are refused by the parameter's name."""
    with pytest.raises(InvalidQuery) as refused:
        read_query([("level", "80,95")], ANOMALIES).only_level(99.0)
    assert [(name, code) for name, code, _ in refused.value.problems] == [("level", "several_levels")]
