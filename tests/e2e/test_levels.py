"""`?level=`: the intervals around a forecast, as JSON and as a table, and who is told that there are none."""

import csv
import io
from typing import Any

import httpx
import pytest
from e2e.last_two_hours import NAME


def ask(client: httpx.Client, body: bytes, level: str, model: str = "gru") -> Any:
    """Give the forecast with intervals."""
    return client.post(f"/forecast/{model}?level={level}", files={"file": body}).raise_for_status().json()


@pytest.mark.parametrize("model", ["cnn", "gru"])
def test_intervals_stand_around_the_forecast(ada: httpx.Client, week: bytes, model: str) -> None:
    """Rising levels, each interval inside the next, the forecast that is made without them inside all."""
    plain = ada.post(f"/forecast/{model}", files={"file": week}).raise_for_status().json()
    answer = ask(ada, week, "95,80", model)
    assert answer["calibration_rows"] == 0
    assert [step["power"] for step in answer["forecast"]] == [step["power"] for step in plain["forecast"]]
    for step in answer["forecast"]:
        narrow, wide = step["intervals"]
        assert (narrow["level"], wide["level"]) == (80, 95)
        assert 0 <= wide["lower"] <= narrow["lower"] <= step["power"] <= narrow["upper"] <= wide["upper"]
        assert wide["upper"] < 2 * step["power"] + 20
    assert "calibration_rows" not in plain
    assert all(step.keys() == {"time", "power"} for step in plain["forecast"])


def test_a_longer_file_corrects_them(ada: httpx.Client, shop: bytes) -> None:
    """Four weeks of a year's file count."""
    answer = ask(ada, shop, "80")
    assert answer["calibration_rows"] == 28 * 96
    assert all(step["intervals"][0]["lower"] < step["power"] for step in answer["forecast"])


def test_a_table_has_a_column_for_each_bound(ada: httpx.Client, week: bytes) -> None:
    """The numbers are those of the JSON answer."""
    answer = ada.post("/forecast/gru?level=80,97.5", files={"file": week}, headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(answer.raise_for_status().text)))
    steps = ask(ada, week, "80,97.5")["forecast"]
    for row, step in zip(rows, steps, strict=True):
        low, high = step["intervals"]
        told = [float(row[name]) for name in ("lower_97.5", "lower_80", "power_kw", "upper_80", "upper_97.5")]
        known = [high["lower"], low["lower"], step["power"], low["upper"], high["upper"]]
        assert told == pytest.approx(known, rel=1e-6)


def test_each_site_has_its_own(ada: httpx.Client, week: bytes) -> None:
    """Sites side by side have the intervals that each has alone."""
    rows = [row.split(",") for row in week.decode().splitlines()[1:]]
    body = "\n".join(["Datum,one (kW),other (kW)", *(f"{stamp},{kw},{kw}" for stamp, kw in rows)]).encode()
    alone = ask(ada, week, "80")["forecast"]
    for site in ask(ada, body, "80")["sites"]:
        for step, expected in zip(site["forecast"], alone, strict=True):
            assert step["intervals"][0] == pytest.approx(expected["intervals"][0], rel=1e-4)


def test_a_model_without_residuals_says_so(ada: httpx.Client, week: bytes) -> None:
    """422 on the field `level`, before the file is read; without `level` the model answers."""
    for body in (week, b"no file at all"):
        answer = ada.post(f"/forecast/{NAME}?level=80", files={"file": body})
        assert answer.status_code == 422
        (problem,) = answer.json()["problems"]
        assert (problem["field"], problem["code"]) == ("level", "no_intervals")
        assert "residual_quantiles" in problem["message"]
    assert ada.post(f"/forecast/{NAME}", files={"file": week}).is_success


def test_a_bare_matrix_has_no_intervals(ada: httpx.Client, week: bytes) -> None:
    """`/predict` refuses the parameter with a word on where it is."""
    answer = ada.post("/predict/gru?level=80", files={"file": week})
    assert answer.status_code == 422
    assert "bare matrix" in answer.text
    assert "/forecast" in answer.text
