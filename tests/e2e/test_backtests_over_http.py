"""Backtests and anomalies over HTTPS: one site or many, as JSON and as CSV, and files that are too short."""

import csv
import io
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from e2e.last_two_hours import NAME

AS_CSV = {"Accept": "text/csv"}
FORECASTS = 2 * 672 - 672 - 8  # of the fortnight


@pytest.fixture(scope="module")
def sites(fortnight: bytes) -> bytes:
    """Give a file of a site that is long enough and one that lacks a row, and one with a word for a number."""
    header, *rows = fortnight.decode().splitlines()
    broken = [*rows[:700], rows[700].split(",")[0] + ",x", *rows[701:]]
    parts = {"north": rows, "south": rows[-680:], "west": broken}
    return "\n".join([f"site,{header}", *(f"{name},{row}" for name, part in parts.items() for row in part)]).encode()


def rows_of(answer: httpx.Response) -> list[dict[str, str]]:
    """Read a table."""
    assert answer.raise_for_status().headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.text)))


def post(client: httpx.Client, route: str, body: bytes, **sent: Any) -> httpx.Response:
    """Send a file."""
    return client.post(route, files={"file": body}, **sent)


def test_a_backtest_compares_with_what_was_measured(ada: httpx.Client, fortnight: bytes) -> None:
    """A model that repeats the last two hours is off by what a loop over the file's rows says, at every step."""
    power = [float(row.split(",")[1]) for row in fortnight.decode().splitlines()[1:]]
    found = post(ada, f"/backtest/{NAME}", fortnight).raise_for_status().json()
    assert found["origins"]["count"] == FORECASTS
    for step, told in enumerate(found["steps"]):
        errors = [power[row - 7 + step] - power[row + 1 + step] for row in range(672, len(power) - 8)]
        assert told["minutes_ahead"] == 15 * (step + 1)
        assert told["bias"] == pytest.approx(sum(errors) / len(errors), abs=1e-4)
        assert told["mae"] == pytest.approx(sum(map(abs, errors)) / len(errors), abs=1e-4)


def test_a_backtest_tells_all_about_itself(ada: httpx.Client, fortnight: bytes) -> None:
    """Model, span and origins with the offsets of the zone, eight steps, four naive forecasts, 24 hours, a sentence."""
    found = post(ada, "/backtest/gru?stride=4&level=60,90", fortnight).raise_for_status().json()
    first = datetime.fromisoformat(found["input"]["start"])
    assert (found["model"], found["unit"], found["input"]["rows"], found["season"]) == ("gru", "kW", 1344, 672)
    assert datetime.fromisoformat(found["origins"]["first"]) == first + timedelta(days=7)
    assert datetime.fromisoformat(found["origins"]["last"]) == first + timedelta(minutes=15 * (672 + FORECASTS - 4))
    assert (found["origins"]["count"], found["origins"]["stride"]) == (FORECASTS // 4, 4)
    assert [step["minutes_ahead"] for step in found["steps"]] == [15, 30, 45, 60, 75, 90, 105, 120]
    assert [one["level"] for one in found["mean"]["coverage"]] == [60, 90]
    assert [one["hour"] for one in found["coverage_by_hour"]] == list(range(24))
    assert set(found["naive"]) == {"last_value", "yesterday", "last_week", "last_week_change"}
    assert found["skill"] == pytest.approx(1 - found["mean"]["mae"] / found["naive"][found["best_naive"]]["mae"])
    assert found["verdict"].startswith("gru was off by ")
    assert any("24 of the 96 times of day" in note for note in found["notes"])


def test_the_table_of_a_backtest_has_the_same_figures(ada: httpx.Client, fortnight: bytes) -> None:
    """A row for each of five forecasts and of eight steps and all of them; the sentence stands below."""
    found = post(ada, "/backtest/gru", fortnight).raise_for_status().json()
    rows = rows_of(post(ada, "/backtest/gru", fortnight, headers=AS_CSV))
    scores = [row for row in rows if row["kind"] == "score"]
    ahead = [*(str(15 * step) for step in range(1, 9)), "all"]
    assert [(row["forecast"], row["minutes_ahead"]) for row in scores] == [
        (name, when) for name in ("gru", *found["naive"]) for when in ahead
    ]
    own, week = (
        scores[8],
        next(row for row in scores if (row["forecast"], row["minutes_ahead"]) == ("last_week", "all")),
    )
    assert float(own["mae_kw"]) == found["mean"]["mae"]
    assert float(own["coverage_95"]) == found["mean"]["coverage"][1]["share"]
    assert float(week["mae_kw"]) == found["naive"]["last_week"]["mae"]
    assert week["coverage_95"] == ""
    assert [row["message"] for row in rows if row["kind"] == "verdict"] == [found["verdict"]]


@pytest.mark.parametrize("route", ["/backtest/gru", "/anomalies/gru"])
def test_each_site_is_answered_in_its_place(ada: httpx.Client, sites: bytes, fortnight: bytes, route: str) -> None:
    """As it would be alone; one that is too short or has a bad row has its problems there, and the others stand."""
    found = post(ada, route, sites).raise_for_status().json()
    assert (found["site_count"], found["refused_count"]) == (3, 2)
    alone = post(ada, route, fortnight).raise_for_status().json()
    north, south, west = found["sites"]
    of_the_file = {"model", "version", "unit", "interval_minutes", "time_zone"}
    assert north == {"site": "north"} | {name: value for name, value in alone.items() if name not in of_the_file}
    assert [(one["code"], "96 more" in one["message"]) for one in south["problems"]] == [("too_short", True)]
    assert [(one["code"], one["row"]) for one in west["problems"]] == [("not_a_number", 1 + 1344 + 680 + 701)]
    kinds = {(row["site"], row["kind"]) for row in rows_of(post(ada, route, sites, headers=AS_CSV))}
    assert kinds >= {("south", "problem"), ("west", "problem")}
    assert ("north", "problem") not in kinds


@pytest.mark.parametrize("route", ["/backtest/gru", "/anomalies/gru"])
@pytest.mark.parametrize("rows, status", [(671, 422), (680, 422), (681, 200)])
def test_one_forecast_needs_681_rows(ada: httpx.Client, fortnight: bytes, route: str, rows: int, status: int) -> None:
    """A week, the quarter-hour to forecast from, two hours to compare with; less is told what more would give."""
    answer = post(ada, route, b"\n".join(fortnight.splitlines()[: 1 + rows]))
    assert answer.status_code == status
    if status == 422:
        (problem,) = answer.json()["problems"]
        assert problem["code"] == "too_short"
        assert "at least 681" in problem["message"]
    elif route.startswith("/backtest"):
        assert answer.json()["origins"]["count"] == 1
        assert "over 1 forecast, " in answer.json()["verdict"]
        assert "less than a week" in answer.json()["verdict"]
        assert any("1 of the 96 times of day" in note for note in answer.json()["notes"])
    else:
        assert answer.json()["judged"]["count"] == 1


def test_an_hour_of_disturbance_is_listed(ada: httpx.Client, fortnight: bytes) -> None:
    """Four quarter-hours of three times the power: each of them, with the directions and the powers of the file."""
    header, *rows = fortnight.decode().splitlines()
    at = range(1000, 1004)
    cells = [row.split(",") for row in rows]
    disturbed = [f"{time},{float(kw) * (3 if row in at else 1):.2f}" for row, (time, kw) in enumerate(cells)]
    body = "\n".join([header, *disturbed]).encode()
    found = post(ada, "/anomalies/gru", body).raise_for_status().json()
    listed = {one["time"][:19].replace("T", " "): one for one in found["anomalies"]}
    for row in at:
        one = listed[cells[row][0][:19]]
        assert (one["measured"], one["direction"]) == (float(disturbed[row].split(",")[1]), "above")
        assert one["lower"] <= one["forecast"] <= one["upper"] < one["measured"]
        assert (one["missed"] > 4, one["score"] > 1) == (True, True)
        assert one["minutes_ahead"] in range(15, 121, 15)
    assert [one["time"] for one in found["anomalies"]] == sorted(one["time"] for one in found["anomalies"])
    assert found["anomaly_count"] == len(found["anomalies"]) == round(found["share"] * found["judged"]["count"])
    rows_as_csv = [
        row for row in rows_of(post(ada, "/anomalies/gru", body, headers=AS_CSV)) if row["kind"] == "anomaly"
    ]
    assert [(row["time"], float(row["score"]), row["direction"], int(row["minutes_ahead"])) for row in rows_as_csv] == [
        (one["time"], one["score"], one["direction"], one["minutes_ahead"]) for one in found["anomalies"]
    ]
    for one in found["anomalies"]:
        assert not one["lower"] <= one["measured"] <= one["upper"]


def test_a_lower_level_lists_more(ada: httpx.Client, fortnight: bytes) -> None:
    """Narrower intervals are left more often; 99 is the default."""
    counts = [
        post(ada, f"/anomalies/gru{query}", fortnight).raise_for_status().json()["anomaly_count"]
        for query in ("?level=50", "", "?level=99")
    ]
    assert counts[0] > counts[1] == counts[2]


@pytest.mark.parametrize(
    "route, field, code",
    [
        ("/backtest/gru?stride=0", "stride", "bad_stride"),
        ("/backtest/gru?stride=97", "stride", "bad_stride"),
        ("/anomalies/gru?stride=1", "stride", "unknown_parameter"),
        ("/anomalies/gru?level=80,95", "level", "several_levels"),
        (f"/backtest/{NAME}?level=80", "level", "no_intervals"),
        (f"/anomalies/{NAME}", "level", "no_intervals"),
    ],
)
def test_what_cannot_be_asked(ada: httpx.Client, fortnight: bytes, route: str, field: str, code: str) -> None:
    """The parameter that is meant and a stable code; a model without intervals has backtests without them only."""
    answer = post(ada, route, fortnight)
    assert answer.status_code == 422
    assert [(one["field"], one["code"]) for one in answer.json()["problems"]] == [(field, code)]


def test_a_model_without_intervals_is_backtested_without(ada: httpx.Client, fortnight: bytes) -> None:
    """Nobody asked for levels, so nothing is refused, and the sentence says that there are none."""
    found = post(ada, f"/backtest/{NAME}", fortnight).raise_for_status().json()
    assert (found["mean"]["coverage"], found["coverage_by_hour"]) == ([], [])
    assert "intervals" in found["verdict"]
