"""Repairs on request: what they change, what they tell, and what they leave alone."""

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from load_profiles import csv_file, csv_rows

from processing.errors import InvalidLoadProfile
from processing.reading import LoadProfile, Rules, read_load_profile
from processing.repairs import CODES

ROWS = [f"{row.split(',')[0]},{at % 11 + 0.25}" for at, row in enumerate(csv_rows("2021-06-02 00:00:00", 672))]
ALL = ",".join(CODES)


def read(rows: list[str], repair: str = "", zone: str = "UTC", header: str = "Datum,Wert (kW)") -> LoadProfile:
    rules = Rules(repair=frozenset(repair.split(",")) if repair else frozenset())
    return read_load_profile(csv_file(rows, header), time_zone=zone, at_least=4, rules=rules)


def refused(rows: list[str], repair: str = "", zone: str = "UTC") -> dict[str, str]:
    with pytest.raises(InvalidLoadProfile) as refusal:
        read(rows, repair, zone)
    return {problem.code: problem.message for problem in refusal.value.problems}


def finer(minutes: int, quarter_hours: int, start: str = "2021-06-02 00:00:00") -> list[str]:
    """Return rows of `minutes`, each quarter-hour's power being that of `ROWS`."""
    stamps = [row.split(",")[0] for row in csv_rows(start, quarter_hours * 15 // minutes, minutes)]
    return [f"{stamp},{ROWS[at * minutes // 15].split(',')[1]}" for at, stamp in enumerate(stamps)]


def moved(row: str, seconds: int) -> str:
    stamp, power = row.split(",")
    return f"{datetime.fromisoformat(stamp) + timedelta(seconds=seconds)},{power}"


REPAIRS = {
    # what is wrong, its code by default, the repair, what is told
    "swapped rows": ([*ROWS[:3], ROWS[4], ROWS[3], *ROWS[5:20]], "unsorted", "sort", [("sort", 6, 1)]),
    "the same row twice": ([*ROWS[:5], *ROWS[4:20]], "duplicate", "duplicates", [("duplicates", 7, 1)]),
    "one row missing": ([*ROWS[:5], *ROWS[6:20]], "gap", "gaps", [("gaps", 7, 1)]),
    "four rows missing": ([*ROWS[:5], *ROWS[9:20]], "gap", "gaps", [("gaps", 7, 4)]),
    "seconds off": ([*ROWS[:5], moved(ROWS[5], 29), *ROWS[6:20]], "off_grid", "off_grid", [("off_grid", 7, 1)]),
    "minutes": (finer(1, 20), "wrong_step", "average", [("average", 2, 300)]),
    "five minutes": (finer(5, 20), "wrong_step", "average", [("average", 2, 60)]),
}


@pytest.mark.parametrize("rows, code, repair, told", REPAIRS.values(), ids=REPAIRS)
def test_a_repair_is_made_when_asked_and_told(rows: list[str], code: str, repair: str, told: list[object]) -> None:
    """By default a fault is refused and its repair named; asked for, that is made and told with row and count."""
    assert "/forecast" in refused(rows)[code]
    assert f": repair={repair}." in refused(rows)[code]
    profile = read(rows, repair)
    assert [(one.code, one.row, one.count) for one in profile.repairs] == told
    whole = read(ROWS[:20])
    np.testing.assert_array_equal(profile.time, whole.time)
    np.testing.assert_array_equal(profile.clock, whole.clock)
    at = slice(5, 9) if repair == "gaps" else slice(0, 0)
    np.testing.assert_array_equal(np.delete(profile.power, at), np.delete(whole.power, at))


@pytest.mark.parametrize("repair", CODES)
def test_a_repair_that_is_not_needed_is_not_told(repair: str) -> None:
    """Allowing a repair changes nothing in a file that needs none."""
    profile = read(ROWS[:20], repair)
    assert profile.repairs == ()
    np.testing.assert_array_equal(profile.power, read(ROWS[:20]).power)


LEFT = {
    "five rows missing": ([*ROWS[:5], *ROWS[10:20]], ALL, "UTC", "gap"),
    "rows that contradict each other": ([*ROWS[:5], "2021-06-02 01:00:00,99", *ROWS[5:20]], ALL, "UTC", "duplicate"),
    "half a minute off": ([*ROWS[:5], moved(ROWS[5], 30), *ROWS[6:20]], "off_grid,sort", "UTC", "off_grid"),
    "hours": (csv_rows("2021-06-02 00:00:00", 30, 60), ALL, "UTC", "wrong_step"),
    "half hours": (csv_rows("2021-06-02 00:00:00", 30, 30), ALL, "UTC", "wrong_step"),
    "two steps": ([*ROWS[:40], *csv_rows("2021-06-02 10:00:00", 12, 30)], ALL, "UTC", "mixed_step"),
    "seven minutes": (csv_rows("2021-06-02 00:00:00", 30, 7), ALL, "UTC", "wrong_step"),
    "a doubled hour out of order": (
        [*csv_rows("2016-10-30 02:00:00", 8)[::-1], *csv_rows("2016-10-30 04:00:00", 8)],
        "sort",
        "Europe/Berlin",
        "ambiguous_time",
    ),
    "half of a doubled hour": (
        [*csv_rows("2016-10-30 00:00:00", 12), *csv_rows("2016-10-30 03:00:00", 8)],
        "gaps",
        "Europe/Berlin",
        "gap",
    ),
    "another repair": ([*ROWS[:5], *ROWS[6:20]], "sort,duplicates,average,off_grid,kwh", "UTC", "gap"),
}


@pytest.mark.parametrize("rows, repair, zone, code", LEFT.values(), ids=LEFT)
def test_what_cannot_be_right_is_not_repaired(rows: list[str], repair: str, zone: str, code: str) -> None:
    """What would have to be guessed stays refused, whatever is allowed, and no repair is named for it in vain."""
    left = refused(rows, repair, zone)
    assert code in left
    assert not any(f"repair={one}" in message for one in repair.split(",") for message in left.values())


@pytest.mark.parametrize("fault", ["five rows missing", "half a minute off", "half of a doubled hour"])
def test_no_repair_is_named_that_would_not_be_made(fault: str) -> None:
    """Neither for holes of more than an hour, nor for stamps far from their place, nor in a doubled hour."""
    rows, _, zone, code = LEFT[fault]
    assert "repair=" not in refused(rows, "", zone)[code]


def local_rows(seconds: int, first: int = 0, jitter: int = 0) -> list[str]:
    """Return rows of a step from `first` seconds after noon of 29 October 2016 for a day, on a clock in Berlin."""
    start = datetime(2016, 10, 29, 12, tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)
    odd = random.Random(seconds)
    instants = [start + timedelta(seconds=at + odd.randint(0, jitter)) for at in range(first, 86_400, seconds)]
    return [
        f"{one.astimezone(ZoneInfo('Europe/Berlin')):%Y-%m-%d %H:%M:%S},{5 + at * seconds // 900 % 7}"
        for at, one in enumerate(instants)
    ]


@pytest.mark.parametrize("first", [0, 13 * 3_600], ids=["from noon", "from within the doubled hour"])
@pytest.mark.parametrize("seconds, jitter", [(900, 0), (300, 0), (180, 0), (60, 0), (900, 6), (900, 20)])
def test_a_doubled_hour_is_told_apart_at_any_step(seconds: int, jitter: int, first: int) -> None:
    """Local rows that are averaged, or some seconds late, go on through the hour that the clock shows twice."""
    profile = read(local_rows(seconds, first, jitter), "average,off_grid", "Europe/Berlin")
    begin = np.datetime64("2016-10-29T10:00:00") + np.timedelta64(first, "s")
    np.testing.assert_array_equal(profile.time, begin + np.timedelta64(900, "s") * np.arange((86_400 - first) // 900))


def test_a_hole_before_a_doubled_hour_is_named_where_it_is() -> None:
    """The rows after a missing one are still those of the hour that they are nearest to."""
    rows = local_rows(900)
    del rows[50]  # within the first of the two hours from two to three
    assert refused(rows, "", "Europe/Berlin").keys() == {"gap"}


@pytest.mark.parametrize("minutes, offered", [(1, False), (5, True)])
def test_stamps_are_moved_where_the_step_leaves_room(minutes: int, offered: bool) -> None:
    """Five seconds off a minute could as well be the minute before the next one's: no repair is named for that."""
    rows = [moved(row, 5) for row in finer(minutes, 20)]
    assert ("repair=off_grid" in refused(rows, "average")["off_grid"]) == offered
    if offered:
        (told, _) = read(rows, "average,off_grid").repairs
        assert told.message == "60 time stamps less than half a minute off their full 5 minutes were moved onto it."
    else:
        assert "off_grid" in refused(rows, "average,off_grid")


def test_incomplete_quarter_hours_at_the_ends_are_dropped_and_told() -> None:
    """Averaging keeps whole quarter-hours only."""
    profile = read(finer(5, 20)[1:-1], "average")
    assert [(one.code, one.count) for one in profile.repairs] == [("average", 54), ("average", 2), ("average", 2)]
    np.testing.assert_array_equal(profile.power, read(ROWS[1:19]).power)


@pytest.mark.parametrize(
    "header", ["Datum,Verbrauch (kWh)", "Date,Energy [kWh]", "Zeit,Wirkarbeit kWh", "time,consumption_kwh"]
)
@pytest.mark.parametrize("minutes, factor", [(15, 4), (5, 12), (1, 60)])
def test_energy_becomes_power_when_asked(header: str, minutes: int, factor: int) -> None:
    """The kWh of an interval are refused by default; asked for, they are divided by the interval's hours."""
    rows = finer(minutes, 20)
    with pytest.raises(InvalidLoadProfile, match="repair=kwh"):
        read(rows, "average", header=header)
    profile = read(rows, "kwh,average", header=header)
    np.testing.assert_array_equal(profile.power, factor * read(ROWS[:20]).power)
    assert profile.repairs[0].code == "kwh"


@given(st.permutations(ROWS[:30]), st.sampled_from(["Asia/Kathmandu", "Europe/Lisbon", "UTC"]))
def test_sorting_undoes_shuffling(rows: list[str], zone: str) -> None:
    """A shuffled file, sorted, gives the profile of the file in order."""
    profile, whole = read(rows, "sort", zone), read(ROWS[:30], zone=zone)
    np.testing.assert_array_equal(profile.time, whole.time)
    np.testing.assert_array_equal(profile.clock, whole.clock)
    np.testing.assert_array_equal(profile.power, whole.power)


@given(st.sets(st.integers(1, 58), max_size=4))
def test_filling_gaps_changes_the_missing_rows_only(missing: set[int]) -> None:
    """Rows that are there stay as they are, whichever others are missing."""
    profile, whole = read([row for at, row in enumerate(ROWS[:60]) if at not in missing], "gaps"), read(ROWS[:60])
    np.testing.assert_array_equal(profile.time, whole.time)
    kept = [at for at in range(60) if at not in missing]
    np.testing.assert_array_equal(profile.power[kept], whole.power[kept])
    assert sum(one.count for one in profile.repairs) == len(missing)


@given(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=8, max_size=20), st.sampled_from([1, 3, 5]))
def test_the_mean_of_one_number_is_that_number(powers: list[float], minutes: int) -> None:
    """Averaging exact repeats gives the original to the last bit."""
    times = [row.split(",")[0] for row in csv_rows("2021-06-02 00:00:00", len(powers) * 15 // minutes, minutes)]
    rows = [f"{time},{powers[at * minutes // 15]!r}" for at, time in enumerate(times)]
    np.testing.assert_array_equal(read(rows, "average").power, powers)


_slips = st.sampled_from(["none", "drop", "twice", "swap", "off"])


def slipped(slips: list[str]) -> list[str]:
    rows: list[str] = []
    for row, slip in zip(ROWS, slips, strict=False):
        late = moved(row, 20) if slip == "off" else row
        rows += {"drop": [], "twice": [late, late]}.get(slip, [late])
        if slip == "swap" and len(rows) > 1:
            rows[-2:] = rows[:-3:-1]
    return rows


@settings(max_examples=200)
@given(st.lists(_slips, min_size=8, max_size=40))
def test_repairs_are_idempotent(slips: list[str]) -> None:
    """What comes out of all repairs, written down and read again with all of them allowed, needs none."""
    try:
        profile = read(slipped(slips), ALL)
    except InvalidLoadProfile:
        return
    rows = [f"{clock},{kw!r}" for clock, kw in zip(profile.clock.astype(str), profile.power.tolist(), strict=True)]
    again = read([row.replace("T", " ") for row in rows], ALL)
    assert again.repairs == ()
    np.testing.assert_array_equal(again.power, profile.power)


ZONES = ["Europe/Berlin", "Europe/Lisbon", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    "end", ["2021-03-29", "2021-04-05", "2021-10-04", "2021-11-01", "2022-01-02", "2020-03-01", "2021-12-31"]
)
@pytest.mark.parametrize("offset", [True, False])
def test_a_week_is_672_real_quarter_hours(zone: str, end: str, offset: bool) -> None:
    """Over clock changes, new year and a leap day, with and without offsets, a week has no gap and no repair."""
    last = datetime.fromisoformat(end).replace(tzinfo=ZoneInfo("UTC"))
    times = [last - timedelta(minutes=15 * (672 - at)) for at in range(672)]
    local = [time.astimezone(ZoneInfo(zone)).isoformat(" ") for time in times]
    rows = [f"{stamp if offset else stamp[:19]},{at % 11 + 1}" for at, stamp in enumerate(local)]
    profile = read(rows, ALL, zone)
    assert profile.repairs == ()
    assert profile.time.tolist() == [time.replace(tzinfo=None) for time in times]
    assert profile.clock.astype(str).tolist() == [stamp[:19].replace(" ", "T") for stamp in local]
