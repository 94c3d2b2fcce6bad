"""Many sites in one file: each gets the forecast that it would get alone, and a bad one spoils no other."""

import csv
import io
from collections.abc import Callable

import httpx
import pytest

Layout = Callable[[dict[str, list[tuple[str, str]]]], bytes]
NAMES = ("north", "south", "west")


@pytest.fixture(scope="module")
def weeks(shop: bytes) -> dict[str, list[tuple[str, str]]]:
    """Give each site the last week of the shop, scaled: pairs of a stamp and a power."""
    rows = [row.split(",") for row in shop.decode().splitlines()[-672:]]
    return {name: [(stamp, f"{float(kw) * (1 + at):.2f}") for stamp, kw in rows] for at, name in enumerate(NAMES)}


def long(weeks: dict[str, list[tuple[str, str]]]) -> bytes:
    """Lay the sites out one after the other, with a column that names them."""
    rows = [f"{name},{stamp},{kw}" for name, week in weeks.items() for stamp, kw in week]
    return "\n".join(["site,Datum,Wert (kW)", *rows]).encode()


def wide(weeks: dict[str, list[tuple[str, str]]]) -> bytes:
    """Lay the sites out side by side, a column for each."""
    stamps = [stamp for stamp, _ in weeks[NAMES[0]]]
    rows = [",".join([stamp, *(weeks[name][at][1] for name in NAMES)]) for at, stamp in enumerate(stamps)]
    return "\n".join(["Datum," + ",".join(f"{name} (kW)" for name in NAMES), *rows]).encode()


@pytest.mark.parametrize("layout", [long, wide])
def test_each_site_gets_its_own_forecast(
    ada: httpx.Client, weeks: dict[str, list[tuple[str, str]]], layout: Layout
) -> None:
    """In either layout the powers are those of the site's own file."""
    answer = ada.post("/forecast/gru", files={"file": layout(weeks)}).raise_for_status().json()
    assert [site["site"].removesuffix(" (kW)") for site in answer["sites"]] == list(NAMES)
    for name, site in zip(NAMES, answer["sites"], strict=True):
        alone = "\n".join(["Datum,Wert (kW)", *(f"{stamp},{kw}" for stamp, kw in weeks[name])])
        (numbers,) = ada.post("/predict/gru", files={"file": alone.encode()}).raise_for_status().json()
        assert [step["power"] for step in site["forecast"]] == pytest.approx(numbers, rel=1e-4)


def test_a_bad_site_has_its_problems_in_its_place(ada: httpx.Client, weeks: dict[str, list[tuple[str, str]]]) -> None:
    """The others are forecast, the answer is 200, and the row is the file's."""
    broken = weeks | {"south": [*weeks["south"][:5], (weeks["south"][5][0], "x"), *weeks["south"][6:]]}
    answer = ada.post("/forecast/gru", files={"file": long(broken)}).raise_for_status().json()
    assert (answer["site_count"], answer["refused_count"]) == (3, 1)
    north, south, west = answer["sites"]
    assert len(north["forecast"]) == len(west["forecast"]) == 8
    (problem,) = south["problems"]
    assert (problem["row"], problem["column"], problem["code"]) == (1 + 672 + 6, "Wert (kW)", "not_a_number")


def test_a_table_is_answered_to_who_prefers_csv(ada: httpx.Client, weeks: dict[str, list[tuple[str, str]]]) -> None:
    """Eight rows for each site, with the powers of the JSON answer."""
    body = long(weeks)
    answer = ada.post("/forecast/gru", files={"file": body}, headers={"Accept": "text/csv"}).raise_for_status()
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    json = ada.post("/forecast/gru", files={"file": body}).json()
    steps = [(site["site"], step["power"]) for site in json["sites"] for step in site["forecast"]]
    assert [(row["site"], float(row["power_kw"])) for row in rows if row["kind"] == "forecast"] == steps


def test_one_site_is_a_table_too(ada: httpx.Client, week: bytes) -> None:
    """The table of a file with one site has eight forecasts and no name."""
    answer = ada.post("/forecast/gru", files={"file": week}, headers={"Accept": "text/csv"}).raise_for_status()
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["site"], row["kind"]) for row in rows] == [("", "forecast")] * 8


def test_many_sites_are_no_matrix(ada: httpx.Client, weeks: dict[str, list[tuple[str, str]]]) -> None:
    """`/predict` answers for one site; a file of many is refused with a word on where to send it."""
    answer = ada.post("/predict/gru", files={"file": long(weeks)})
    assert answer.status_code == 422
    assert "/forecast" in answer.text
