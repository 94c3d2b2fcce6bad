"""Many sites in one file: long and wide, each read as if it were alone."""

import csv
import io
import json
import math
import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from load_profiles import csv_file, csv_rows
from toy import members

from edge import answers, csv_answers
from edge.answers import SiteAnswer, SiteForecasts
from edge.turns import GivenUp
from models.calibration import Intervals
from models.card import ModelCard
from processing import groups, powers, table, texts, written
from processing import header as columns
from processing import sites as reading
from processing.cells import Body
from processing.errors import InvalidLoadProfile
from processing.pipeline import Preparation
from processing.reading import LoadProfile, Reader, Rules, read_load_profile
from processing.sites import Site, Sites, read_sites

STAMPS = [row.split(",")[0] for row in csv_rows("2021-06-02 00:00:00", 672)]
NAMES = ["north", "Süd", "a site with a longer name"]
POWER = {name: np.arange(672.0) % 13 + 10 * at + 0.5 for at, name in enumerate(NAMES)}


def sites(body: Body, *repair: str) -> Sites:
    read = read_sites(body, Reader("Europe/Berlin", 672, Rules(repair=frozenset(repair))))
    assert isinstance(read, Sites)
    return read


def long_rows() -> list[str]:
    return [f"{name};{stamp};{kw}" for name in NAMES for stamp, kw in zip(STAMPS, POWER[name].tolist(), strict=True)]


def wide_rows() -> list[str]:
    return [f"{stamp};{';'.join(str(POWER[name][at]) for name in NAMES)}" for at, stamp in enumerate(STAMPS)]


LONG, WIDE = "site;Datum;Wert (kW)", "Datum;" + ";".join(f"{name} [kW]" for name in NAMES)
FILES = {
    "long, a site after the other": csv_file(long_rows(), LONG),
    "long, a time after the other": csv_file(sorted(long_rows(), key=lambda row: row.split(";")[1]), LONG),
    "long, quoted": csv_file(['"' + row.replace(";", '";"') + '"' for row in long_rows()], LONG),
    "long, other names": csv_file(long_rows(), "Zählpunkt;Zeitstempel;Verbrauch kW"),
    "wide": csv_file(wide_rows(), WIDE),
    "wide, decimal commas": csv_file([row.replace(".", ",") for row in wide_rows()], WIDE),
}


@pytest.mark.parametrize("body", FILES.values(), ids=FILES)
def test_each_site_is_read_as_if_it_were_alone(body: bytes) -> None:
    """Long or wide, in blocks or interleaved: the profiles are those of a file for each site."""
    read = sites(body).sites
    assert [site.name for site in read] == NAMES
    for site in read:
        rows = [f"{stamp},{kw}" for stamp, kw in zip(STAMPS, POWER[site.name].tolist(), strict=True)]
        alone = read_load_profile(csv_file(rows), time_zone="Europe/Berlin")
        assert site.profile is not None
        np.testing.assert_array_equal(site.profile.time, alone.time)
        np.testing.assert_array_equal(site.profile.clock, alone.clock)
        np.testing.assert_array_equal(site.profile.power, alone.power)


@pytest.mark.parametrize("size", [1, 50, 672, 5000])
@pytest.mark.parametrize("body", FILES.values(), ids=FILES)
def test_the_size_of_the_pieces_changes_nothing(body: bytes, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a file is cut to be read, and whatever holds its bytes, the sites are the same."""
    whole = sites(body).sites
    for module, name in ((texts, "PIECE"), (powers, "CHUNK"), (groups, "CHUNK"), (written, "_CHUNK")):
        monkeypatch.setattr(module, name, size)
    for one, other in zip(whole, sites(bytearray(body)), strict=True):
        assert one.name == other.name
        assert one.profile is not None
        assert other.profile is not None
        np.testing.assert_array_equal(one.profile.time, other.profile.time)
        np.testing.assert_array_equal(one.profile.power, other.profile.power)


@pytest.mark.parametrize("size", [1, 7, 262_144])
def test_what_is_no_text_is_told_alike_in_any_piece(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row counts from the file's first, wherever the bytes stand."""
    monkeypatch.setattr(texts, "PIECE", size)
    body = FILES["wide"]
    for odd, code in ((b"\xff", "not_utf8"), (b"\0", "not_text")):
        at = body.index(b"2021-06-02 01:00:00")
        with pytest.raises(InvalidLoadProfile) as caught:
            sites(body[:at] + odd + body[at:])
        assert [(one.row, one.code) for one in caught.value.problems] == [(6, code)]


def test_sites_with_their_own_stamps_are_not_taken_for_the_one_before() -> None:
    """Weeks of other times, of as many rows, have their own time."""
    later = [row.replace("2021-06-", "2021-07-") for row in long_rows()]
    one, other = sites(
        csv_file(
            [row for row in long_rows() + later if row.startswith("north")][:672]
            + [row.replace("north", "west") for row in later if row.startswith("north")],
            LONG,
        )
    ).sites
    assert one.profile is not None
    assert other.profile is not None
    np.testing.assert_array_equal(other.profile.time - one.profile.time, np.timedelta64(30, "D"))
    np.testing.assert_array_equal(one.profile.power, other.profile.power)


def test_a_bad_site_does_not_spoil_the_others() -> None:
    """Each site's problems stand in its place, with the rows of the file."""
    rows = long_rows()
    rows[672 + 5] = rows[672 + 5].rpartition(";")[0] + ";abc"
    rows[672 + 9] = "Süd;soon;1"
    del rows[2 * 672 + 4]
    good, bad, gap = sites(csv_file(rows, LONG)).sites
    assert good.profile is not None
    assert [(one.row, one.code) for one in bad.problems] == [(679, "not_a_number"), (683, "bad_time")]
    assert [(one.row, one.code) for one in gap.problems] == [(1350, "gap")]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_a_site_that_is_too_long_does_not_spoil_the_others(
    order: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each site's rows count for themselves, wherever it stands in the file."""
    monkeypatch.setattr(table, "MOST_ROWS", 3 * 672)
    monkeypatch.setattr(reading, "MOST_ROWS", 3 * 672)
    week = [f"{stamp};{at % 13}" for at, stamp in enumerate(STAMPS)]
    blocks = [
        [f"short;{row}" for row in week],
        [f"endless;{row}" for row in 4 * week],
        [f"long;{row}" for row in csv_rows("2021-06-02 00:00:00", 3 * 672)],
    ]
    rows = [row.replace(",", ";") for at in order for row in blocks[at]]
    read = {site.name: site for site in sites(csv_file(rows, LONG)).sites}
    assert {name: len(site.profile.power) for name, site in read.items() if site.profile} == {
        "short": 672,
        "long": 2016,
    }
    assert [problem.code for problem in read["endless"].problems] == ["too_long"]


@pytest.mark.parametrize("layout", ["long, a site after the other", "long, a time after the other", "wide"])
def test_a_file_has_so_many_sites_at_most(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three are good where three may be, and refused as a whole where it is two."""
    monkeypatch.setattr(columns, "MOST_SITES", 3)
    assert sites(FILES[layout]).count == 3
    monkeypatch.setattr(columns, "MOST_SITES", 2)
    with pytest.raises(InvalidLoadProfile, match="more than 2 sites"):
        sites(FILES[layout])


def test_of_very_many_bad_sites_the_first_problem_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer does not grow to a multiple of the file; every problem counts, and good sites are read as ever."""
    rows = [row if row.startswith("north") else row.replace(":15:00", ":16:00") for row in long_rows()]
    monkeypatch.setattr(reading, "MOST_TOLD", 100)
    good, first, second = sites(csv_file(rows, LONG)).sites
    assert good.profile is not None
    assert (len(first.problems), len(second.problems)) == (100, 1)
    assert first.problem_count == second.problem_count == 168


def test_reading_ends_when_nobody_waits() -> None:
    """What is asked before each site ends it: those before were read."""
    read, seen = sites(FILES["wide"]), 0

    def check() -> None:
        if seen == 2:
            raise GivenUp

    def count(read: Sites) -> None:
        nonlocal seen
        for _ in read:
            seen += 1

    read.before_each(check)
    with pytest.raises(GivenUp):
        count(read)
    assert seen == 2


def test_repairs_are_each_sites_own() -> None:
    """A repair is made and told where it is needed only."""
    rows = long_rows()
    del rows[672 + 4]
    north, south, third = sites(csv_file(rows, LONG), "gaps").sites
    assert [site.profile and len(site.profile.repairs) for site in (north, south, third)] == [0, 1, 0]


def test_a_wide_column_in_kwh_is_that_sites_problem() -> None:
    """The header decides the unit for each column."""
    header = WIDE.replace("Süd [kW]", "Süd [kWh]")
    assert [site.problem_count for site in sites(csv_file(wide_rows(), header)).sites] == [0, 1, 0]
    converted = sites(csv_file(wide_rows(), header), "kwh").sites[1].profile
    assert converted is not None
    np.testing.assert_array_equal(converted.power, 4 * POWER["Süd"])


def test_a_wide_column_is_named_for_all_but_its_unit() -> None:
    """Names that end in "in" keep it; "in kW" is the unit with its preposition."""
    names = ["Main kW", "Solar in kW", "Berlin_kWh", "Dublin [kW]", "Admin", "Haus 1 in_kW", "Turin  KW"]
    rows = [f"{stamp};{';'.join('1' for _ in names)}" for stamp in STAMPS]
    read = sites(csv_file(rows, f"Datum;{';'.join(names)}"))
    assert [site.name for site in read.sites] == ["Main", "Solar", "Berlin", "Dublin", "Haus 1", "Turin"]


def test_of_very_many_columns_that_are_not_read_the_first_are_named() -> None:
    """A wide file may have thousands of others; one note counts the rest."""
    rows = [f"{row};{';' * 2_999}" for row in wide_rows()]
    notes = sites(csv_file(rows, f"{WIDE}{';x' * 3_000}")).notes
    assert len(notes) == 21
    assert notes[-1] == "2980 more columns are not read, for the same reason."


def test_columns_of_a_wide_file_that_are_not_read_are_noted() -> None:
    """A column without the unit kW could be a site that was forgotten: the answer says that it is not read."""
    header = WIDE.replace("Süd [kW]", "Süd")
    assert sites(csv_file(wide_rows(), header)).notes == ("Column 'Süd' is not read: it does not end in the unit kW.",)


REFUSED = {
    "two columns of one name": ("Datum,a (kW),A (kW),a [kW]", "doubled_column"),
    "a column without a name": ("Datum,a (kW),(kW),b (kW)", "doubled_column"),
    "two site columns": ("site,meter,Datum,Wert (kW)", "doubled_column"),
    "two times": ("Datum,Zeit,a (kW),b (kW)", "doubled_column"),
    "a site and two powers": ("site,Datum,Wert (kW),Leistung (kW)", "doubled_column"),
    "no rows": ("site,Datum,Wert (kW)", "too_short"),
}


@pytest.mark.parametrize("header, code", REFUSED.values(), ids=REFUSED)
def test_what_has_more_than_one_reading_is_refused(header: str, code: str) -> None:
    """No layout is guessed."""
    with pytest.raises(InvalidLoadProfile) as refused:
        sites(csv_file([], header))
    assert {problem.code for problem in refused.value.problems} == {code}


def test_a_row_without_a_site_is_refused() -> None:
    """Nobody can tell whose row it is."""
    with pytest.raises(InvalidLoadProfile) as refused:
        sites(csv_file([*long_rows()[:3], ";2021-06-02 00:00;1"], LONG))
    assert [(one.row, one.code) for one in refused.value.problems] == [(5, "bad_site")]


def test_predict_takes_one_site_only() -> None:
    """A file of several sites is not taken for one long profile, even where their rows would join."""
    rows = csv_rows("2021-06-02 00:00:00", 1344)
    body = csv_file([f"{at // 672},{row}" for at, row in enumerate(rows)], "site,Datum,Wert (kW)")
    with pytest.raises(InvalidLoadProfile) as refused:
        read_load_profile(body, time_zone="UTC")
    assert [one.code for one in refused.value.problems] == ["many_sites"]
    one = read_load_profile(body.replace(b"\n1,", b"\n0,"), time_zone="UTC")
    assert len(one.power) == 1344


@given(
    st.permutations(range(60)), st.lists(st.text("ab", min_size=1, max_size=20), min_size=1, max_size=4, unique=True)
)
def test_the_order_of_the_rows_decides_no_site(order: list[int], names: set[str]) -> None:
    """Rows belong to the site that they name, wherever they stand."""
    pick = random.Random(1)
    of_row = [pick.choice(sorted(names)) for _ in range(60)]
    rows = [f"{of_row[at]},{STAMPS[at]},{at}" for at in order]
    read = read_sites(csv_file(rows, "site,Datum,Wert (kW)"), Reader("UTC", 1, Rules(repair=frozenset({"sort"}))))
    assert isinstance(read, Sites)
    assert [site.name for site in read.sites] == list(dict.fromkeys(of_row[at] for at in order))


PREPARATION = Preparation(["power", "day_sin", "week_cos"], [5.0, 0.1, 0.2], [3.0, 0.7, 0.7], 5.0, 3.0, 672)


@pytest.mark.parametrize("body", FILES.values(), ids=FILES)
def test_a_batch_is_the_inputs_of_its_sites(body: bytes) -> None:
    """Sharing the calendar between the sites of a file changes no bit of the model's input."""
    profiles = [site.profile for site in sites(body).sites if site.profile]
    alone = np.concatenate([PREPARATION.model_input(profile) for profile in profiles])
    np.testing.assert_array_equal(PREPARATION.model_inputs(profiles), alone)


MODEL: Any = SimpleNamespace(name="toy", version="1", card=ModelCard.model_validate(members()))


SURE = Intervals(
    {80.0: np.arange(8.0) - 1, 97.5: np.arange(8.0) - 2}, {80.0: np.arange(8.0) + 1, 97.5: np.arange(8.0) + 3}, 40
)


def answered(*, levels: bool = False) -> list[SiteAnswer]:
    rows = long_rows()
    rows[672 + 5] = rows[672 + 5].rpartition(";")[0] + ";=1+1"
    del rows[4]
    read = sites(csv_file(rows, LONG), "gaps").sites
    return [SiteAnswer(site, np.arange(8.0) if site.profile else None, SURE if levels else None) for site in read]


def test_the_json_answer_is_what_the_schema_says() -> None:
    """Good and bad sites stand in the order of the file, each in its own shape."""
    answer = json.loads(bytes(answers.site_forecasts(MODEL, "Europe/Berlin", (), answered()).body))
    SiteForecasts.model_validate(answer)
    assert (answer["site_count"], answer["refused_count"]) == (3, 1)
    north, south, _ = answer["sites"]
    assert north["forecast"][0] == {"time": "2021-06-09T00:00:00+02:00", "power": 0.0}
    assert [(one["code"], one["row"], one["count"]) for one in north["repairs"]] == [("gaps", 6, 1)]
    assert [(one["row"], one["code"]) for one in south["problems"]] == [(678, "not_a_number")]


def test_the_csv_answer_tells_the_same() -> None:
    """One row for each quarter-hour, repair and problem."""
    response = csv_answers.response(MODEL, ("A note.",), answered())
    rows = list(csv.DictReader(io.StringIO(bytes(response.body).decode())))
    kinds = [(row["site"], row["kind"]) for row in rows]
    assert kinds[0] == ("", "note")
    assert kinds.count(("north", "forecast")) == 8
    assert kinds.count(("north", "repair")) == kinds.count(("Süd", "problem")) == 1
    assert ("Süd", "forecast") not in kinds
    assert rows[1]["time"] == "2021-06-09T00:00:00+02:00"


def test_intervals_stand_with_their_steps() -> None:
    """In JSON below each step, with the past that corrected them; without levels neither is there."""
    answer = json.loads(bytes(answers.site_forecasts(MODEL, "UTC", (), answered(levels=True)).body))
    SiteForecasts.model_validate(answer)
    north, south, _ = answer["sites"]
    assert north["forecast"][3]["intervals"] == [
        {"level": 80.0, "lower": 2.0, "upper": 4.0},
        {"level": 97.5, "lower": 1.0, "upper": 6.0},
    ]
    assert north["calibration_rows"] == 40
    assert "calibration_rows" not in south
    plain = json.loads(bytes(answers.site_forecasts(MODEL, "UTC", (), answered()).body))["sites"][0]
    assert plain["forecast"][3].keys() == {"time", "power"}
    assert "calibration_rows" not in plain


def test_intervals_are_columns_of_the_csv_answer() -> None:
    """Lower and upper of each level, after the power; empty where there is no forecast."""
    response = csv_answers.response(MODEL, ("A note.",), answered(levels=True), (80.0, 97.5))
    table = csv.DictReader(io.StringIO(bytes(response.body).decode()))
    bounds = ["lower_80", "upper_80", "lower_97.5", "upper_97.5"]
    rows = list(table)
    assert list(table.fieldnames or ()) == [
        *("site", "kind", "time", "power_kw"),
        *bounds,
        *("row", "column", "code", "message"),
    ]
    assert [rows[4][name] for name in bounds] == ["2.0", "4.0", "1.0", "6.0"]
    others = [row for row in rows if row["kind"] != "forecast"]
    assert {row["kind"] for row in others} == {"note", "problem", "repair"}
    assert all(row[name] == "" for row in others for name in bounds)
    assert all(None not in row and row["message"] for row in others)


def test_one_site_is_answered_as_one() -> None:
    """A file whose header names no sites gives a profile, as ever."""
    rows = [f"{stamp},{at % 7}" for at, stamp in enumerate(STAMPS)]
    read = read_sites(csv_file(rows), Reader("UTC", 672, Rules()))
    assert isinstance(read, LoadProfile)
    answer = json.loads(bytes(answers.forecast(MODEL, read, np.arange(8.0)).body))
    answers.Forecast.model_validate(answer)
    assert Site("x", read).problems == ()


def test_json_is_what_the_standard_library_reads() -> None:
    """Numbers come back to the last bit, names as they are, even such as look like numbers that JSON does not have."""
    body = {"name": 'Nord-Süd "NaN" \u2028 Infinity', "power": [0.1 + 0.2, 1e300, -0.0, 5e-324, 123456789.0, 7]}
    assert json.loads(bytes(answers.json_response(body).body)) == body
    assert json.loads(bytes(answers.json_response(body | {"name": "ü"}).body)) == body | {"name": "ü"}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_no_answer_holds_what_is_no_number(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        answers.json_response([number])
