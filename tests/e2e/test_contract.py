"""What a client may rely on: the source thesis's client unchanged, the full forecast, models, a user's own model."""

import csv
import io
import math
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest
import requests
from e2e.last_two_hours import NAME
from e2e.running import PASSWORD, PROJECT, Place

from edge.sampling import EVERY

Golden = Callable[[str], Any]

STORE_ATOL = 1e-4  # kW; a float32 that went through normalisation and back
thesis = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")


def last_powers(content: bytes, count: int) -> list[float]:
    """Return the last powers of a CSV, kW."""
    return [float(row["Wert (kW)"]) for row in csv.DictReader(io.StringIO(content.decode()))][-count:]


@thesis
@pytest.mark.parametrize("model", ["cnn", "gru"])
def test_the_client_of_the_thesis_works_unchanged(place: Place, ada: httpx.Client, model: str) -> None:
    """Its own lines give a matrix of one row of eight finite numbers in kW."""
    url = place.url
    data = {"username": "ada", "password": PASSWORD}
    token = requests.post(f"{url}/token", data=data, verify=False).json()["access_token"]
    with (PROJECT / "samples" / "week.csv").open("rb") as file:
        answer = requests.post(
            f"{url}/predict/{model}",
            headers={"Authorization": f"Bearer {token}"},
            files={"file": file},
            verify=False,
        )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    (numbers,) = answer.json()
    assert len(numbers) == 8
    assert all(isinstance(number, float) and math.isfinite(number) for number in numbers)
    # Kilowatts of this very site on a quiet night, neither normalised numbers nor the models' mean of 51 kW.
    assert all(15 < number < 45 for number in numbers)


@thesis
def test_the_words_of_the_thesis_refuse_a_log_in(server: object, place: Place, golden: Golden) -> None:
    """A wrong password, an unknown user and an empty password get the golden words, and the same ones."""
    known = golden("http.json")["token"]["wrong_password"]
    for username, password in [("ada", "not hers at all"), ("nobody", PASSWORD), ("ada", PASSWORD.lower())]:
        data = {"username": username, "password": password}
        answer = requests.post(f"{place.url}/token", data=data, verify=False)
        assert (answer.status_code, answer.json()["detail"]) == (known["status"], known["detail"])


@thesis
@pytest.mark.parametrize("model", ["cnn", "gru"])
def test_the_words_of_the_thesis_refuse_a_token(
    server: object, place: Place, golden: Golden, week: bytes, model: str
) -> None:
    """A token that is none gets the golden words."""
    known = golden("http.json")["predict"]["invalid_token"]
    headers = {"Authorization": "Bearer not-a-token"}
    answer = requests.post(f"{place.url}/predict/{model}", headers=headers, files={"file": week}, verify=False)
    assert (answer.status_code, answer.json()["detail"]) == (known["status"], known["detail"])


@pytest.mark.parametrize("model", ["cnn", "gru", NAME])
def test_a_forecast_tells_all_about_the_numbers_of_a_prediction(ada: httpx.Client, week: bytes, model: str) -> None:
    """The same numbers, with their times after the file's last row, unit, model, version and the input's span."""
    bare = ada.post(f"/predict/{model}", files={"file": week}).raise_for_status().json()
    full = ada.post(f"/forecast/{model}", files={"file": week}).raise_for_status().json()
    versions = {one["name"]: one["version"] for one in ada.get("/models").json()["models"]}
    assert [step["power"] for step in full["forecast"]] == bare[0]
    last = datetime.fromisoformat("2016-12-31T23:45:00+01:00")
    times = [datetime.fromisoformat(step["time"]) for step in full["forecast"]]
    assert times == [last + timedelta(minutes=15) * step for step in range(1, 9)]
    assert {time.utcoffset() for time in times} == {timedelta(hours=1)}
    span = {"start": "2016-12-25T00:00:00+01:00", "end": last.isoformat(), "rows": 672, "used": 672}
    about = {"model": model, "version": versions[model], "unit": "kW", "interval_minutes": 15, "input": span}
    assert {member: full[member] for member in about} == about
    assert (full["time_zone"], full["notes"]) == ("Europe/Berlin", [])


def test_the_models_are_those_of_the_store(ada: httpx.Client, place: Place) -> None:
    """Every imported model is listed, ready, with the version that lies in the Bento store."""
    listed = ada.get("/models").raise_for_status().json()["models"]
    stored = {(path.parent.parent.name, path.parent.name) for path in place.store.glob("models/*/*/model.yaml")}
    assert {name for name, _ in stored} == {"cnn", "gru", NAME}
    assert {(one["name"], one["version"]) for one in listed} == stored
    assert all(one["ready"] and one["description"] for one in listed)


@pytest.mark.parametrize("model", ["cnn", "gru", NAME])
def test_a_card_is_the_one_that_was_imported(ada: httpx.Client, place: Place, model: str) -> None:
    """What `/models/{model}` tells is the card beside the stored weights, member by member."""
    (card,) = place.store.glob(f"models/{model}/*/card.json")
    told = ada.get(f"/models/{model}").raise_for_status()
    assert told.json() == httpx.Response(200, content=card.read_bytes()).json()


def test_a_model_of_ones_own_serves(ada: httpx.Client, week: bytes) -> None:
    """A SavedModel with a card, imported by the command, answers under its own name: here with the last eight kW."""
    (numbers,) = ada.post(f"/predict/{NAME}", files={"file": week}).raise_for_status().json()
    assert numbers == pytest.approx(last_powers(week, 8), abs=STORE_ATOL)


@pytest.mark.parametrize("model", ["cnn", "gru"])
def test_a_csv_may_be_the_body_itself(ada: httpx.Client, week: bytes, model: str) -> None:
    """`text/csv` gives the same numbers as a form."""
    form = ada.post(f"/predict/{model}", files={"file": ("any name.txt", week, "application/octet-stream")})
    body = ada.post(f"/predict/{model}", content=week, headers={"Content-Type": "text/csv; charset=utf-8"})
    assert body.raise_for_status().json() == form.raise_for_status().json()


def german(content: bytes) -> bytes:
    """Write a sample as a German spreadsheet would."""
    rows = list(csv.reader(io.StringIO(content.decode())))[1:]
    lines = [f"{datetime.fromisoformat(stamp):%d.%m.%Y %H:%M};{power.replace('.', ',')}" for stamp, power in rows]
    return b"\xef\xbb\xbf" + "\r\n".join(["Zeitstempel;Leistung [kW]", *lines]).encode()


def test_a_german_file_gives_the_same_numbers(ada: httpx.Client, week: bytes) -> None:
    """Semicolons, decimal commas, German stamps, a byte-order mark and Windows line ends change nothing."""
    plain, other = (ada.post("/forecast/gru", files={"file": file}).json() for file in (week, german(week)))
    assert other == plain


def test_a_whole_year_over_both_clock_changes(ada: httpx.Client, shop: bytes, week: bytes) -> None:
    """A year of naive German stamps is 35,136 quarter-hours, and its forecast is that of its last week."""
    year = ada.post("/forecast/gru", files={"file": shop}).raise_for_status().json()
    span = {"start": "2016-01-01T00:00:00+01:00", "end": "2016-12-31T23:45:00+01:00", "rows": 35_136, "used": 672}
    assert year["input"] == span
    assert year["forecast"] == ada.post("/forecast/gru", files={"file": week}).json()["forecast"]


@pytest.mark.parametrize(
    "last, first_forecast",
    [
        ("2016-03-27 01:45:00", "2016-03-27T03:00:00+02:00"),  # the hour from two o'clock does not exist
        ("2016-03-27 03:00:00", "2016-03-27T03:15:00+02:00"),
        ("2016-10-30 01:45:00", "2016-10-30T02:00:00+02:00"),  # the hour from two o'clock comes twice
    ],
)
def test_a_forecast_beside_a_clock_change(ada: httpx.Client, shop: bytes, last: str, first_forecast: str) -> None:
    """The stamps go on in real time, with the offset that the clock then has."""
    before, row, _ = shop.decode().partition(f"\n{last},")
    power = shop.decode().partition(row)[2].partition("\n")[0]
    answer = ada.post("/forecast/cnn", files={"file": f"{before}{row}{power}\n".encode()}).raise_for_status().json()
    steps = [datetime.fromisoformat(step["time"]) for step in answer["forecast"]]
    assert answer["forecast"][0]["time"] == first_forecast
    assert {later - earlier for earlier, later in pairwise(steps)} == {timedelta(minutes=15)}


def test_every_fault_of_a_file_is_listed(ada: httpx.Client, week: bytes) -> None:
    """Faults shuffled into a good file come back together, each with its row, column, code and a message."""
    lines = week.decode().splitlines()
    lines[99] = lines[99].partition(",")[0] + ",n/a"
    lines[199] = lines[199].partition(",")[0] + ","
    lines[299] = "29.02.2017 07:00," + lines[299].partition(",")[2]
    lines[399] += ",7"
    lines[499] = lines[498]
    answer = ada.post("/forecast/gru", files={"file": "\n".join(lines)})
    assert answer.status_code == 422
    problems = answer.json()["problems"]
    found = [(one["row"], one["column"], one["code"]) for one in problems]
    assert found == [
        (100, "Wert (kW)", "not_a_number"),
        (200, "Wert (kW)", "missing"),
        (300, "Datum", "bad_time"),
        (400, None, "wrong_width"),
        (500, "Datum", "duplicate"),
        (501, "Datum", "gap"),
    ]
    assert answer.json()["problem_count"] == len(problems)
    assert all(one["message"] for one in problems)


def test_who_am_i(ada: httpx.Client) -> None:
    """The user behind the token and what they may do, and nothing of the password."""
    profile = ada.get("/users/me").raise_for_status().json()
    assert set(profile) == {"username", "disabled", "created_at", "scopes"}
    assert (profile["username"], profile["disabled"]) == ("ada", False)
    assert {"forecast", "users:admin"} <= set(profile["scopes"])


def test_a_doubtful_week_is_forecast_when_it_is_accepted(ada: httpx.Client, week: bytes) -> None:
    """A shop that was closed for two days is refused until its owner says that the zeros are right."""
    header, *rows = week.decode().splitlines()
    rows[100:300] = [row.split(",")[0] + ",0.0" for row in rows[100:300]]
    closed = {"file": ("load.csv", "\n".join([header, *rows]))}
    refused = ada.post("/predict/gru", files=closed)
    assert refused.status_code == 422
    codes = ",".join(one["code"] for one in refused.json()["problems"])
    assert codes == "zero_run"
    (numbers,) = ada.post("/predict/gru", params={"accept": codes}, files=closed).raise_for_status().json()
    answer = ada.post("/forecast/gru", params={"accept": codes}, files=closed).raise_for_status().json()
    assert [step["power"] for step in answer["forecast"]] == numbers
    assert {one["code"] for one in answer["accepted"]} == set(codes.split(","))


def test_a_week_of_another_scale_is_doubted_by_a_model_that_has_one(ada: httpx.Client, week: bytes) -> None:
    """Watts under a header in kW: refused by the model whose card states its range, forecast by the shipped ones."""
    header, *lines = week.decode().splitlines()
    watts = "\n".join([header, *(f"{line.split(',')[0]},{1000 * float(line.split(',')[1]):g}" for line in lines)])
    files = {"file": watts.encode()}
    refusal = ada.post(f"/forecast/{NAME}", files=files)
    assert refusal.status_code == 422
    assert [problem["code"] for problem in refusal.json()["problems"]] == ["scale"]
    accepted = ada.post(f"/forecast/{NAME}?accept=scale", files=files).raise_for_status().json()["accepted"]
    assert [doubt["code"] for doubt in accepted] == ["scale"]
    (small,) = ada.post("/predict/gru", files={"file": week}).raise_for_status().json()
    (large,) = ada.post("/predict/gru", files=files).raise_for_status().json()
    assert large == pytest.approx([1000 * kw for kw in small], rel=1e-3)


def test_metrics_of_all_workers_are_told(ada: httpx.Client, week: bytes) -> None:
    """A forecast counts as a batch of its model, in Prometheus's format, whichever worker made it."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    def batches() -> float:
        answer = ada.get("/metrics").raise_for_status()
        assert answer.headers["content-type"].startswith("text/plain; version=")
        samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
        counts = [one for one in samples if one.name == "lastgang_batch_windows_count" and one.labels["model"] == "gru"]
        return sum(one.value for one in counts)

    before, again = -1.0, batches()
    while before != again:  # what came before may still have to be told
        time.sleep(2 * EVERY)
        before, again = again, batches()
    ada.post("/predict/gru", files={"file": week}).raise_for_status()
    end = time.monotonic() + 20
    while batches() == before and time.monotonic() < end:
        time.sleep(0.1)
    assert batches() == before + 1
