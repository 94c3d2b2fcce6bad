"""Doubts about powers: what no site is likely to have drawn, and that no honest site is doubted."""

import gzip
from itertools import pairwise

import numpy as np
import pytest
from conftest import PROJECT
from load_profiles import csv_file, csv_rows

from processing.errors import InvalidLoadProfile
from processing.plausibility import FLAT, NEGATIVE, ZEROS, PowerCheck
from processing.reading import Rules, read_load_profile

DATA = PROJECT.parent / "shared" / "data"
SHAPE = np.arange(672.0) % 7 + 1


def with_run(value: float, rows: int, at: int = 100) -> np.ndarray:
    power = SHAPE.copy()
    power[at : at + rows] = value
    return power


CASES = {
    "a day of one value": (with_run(3.3, FLAT), None, "flat_line"),
    "less than a day of one value": (with_run(3.3, FLAT - 1), None, None),
    "two days of zeros": (with_run(0.0, ZEROS), None, "zero_run"),
    "less than two days of zeros": (with_run(0.0, ZEROS - 1), None, None),
    "short zeros hide no flat line": (np.r_[np.zeros(150), np.full(120, 5.0), SHAPE[:402]], None, "flat_line"),
    "the sign turned round": (-SHAPE, None, "negative"),
    "feeding back for half of the time": (np.r_[SHAPE[:336], -SHAPE[:336]], None, None),
    "within what the model knows": (SHAPE, (1.0, 10.0), None),
    "far above what the model knows": (1000 * SHAPE, (1.0, 10.0), "scale"),
    "far below what the model knows": (SHAPE / 1000, (1.0, 10.0), "scale"),
}


@pytest.mark.parametrize("power, known, code", CASES.values(), ids=CASES)
def test_doubts(power: np.ndarray, known: tuple[float, float] | None, code: str | None) -> None:
    """Each doubt has its code, and stays silent below its limit."""
    found = PowerCheck(power, np.arange(2, 674), "Wert (kW)", known).problems()
    assert [problem.code for problem in found] == ([code] if code else [])
    assert all(f"accept={problem.code}" in problem.message for problem in found)


def file_of(power: np.ndarray) -> bytes:
    stamps = [row.split(",")[0] for row in csv_rows("2021-06-02 00:00:00", len(power))]
    return csv_file([f"{stamp},{kw}" for stamp, kw in zip(stamps, power.tolist(), strict=True)])


def test_a_doubt_refuses_until_it_is_accepted() -> None:
    """A flat line is named with its first row; accepted, it is told in the profile and nothing changes."""
    power = with_run(3.3, 200)
    with pytest.raises(InvalidLoadProfile) as refused:
        read_load_profile(file_of(power), time_zone="UTC")
    assert [(one.row, one.code) for one in refused.value.problems] == [(102, "flat_line")]
    profile = read_load_profile(file_of(power), time_zone="UTC", rules=Rules(accept=frozenset({"flat_line"})))
    np.testing.assert_array_equal(profile.power, power)
    assert [one.code for one in profile.accepted] == ["flat_line"]


def test_only_the_window_counts() -> None:
    """A flat line before the newest week changes no forecast and refuses none."""
    assert read_load_profile(file_of(np.r_[np.full(300, 5.0), SHAPE]), time_zone="UTC").accepted == ()


@pytest.mark.skipif(not DATA.is_dir(), reason="the fleet is not beside this checkout (../shared/data)")
def test_no_honest_site_is_doubted() -> None:
    """In no week of a real site is anything near the limits: a third or, of negatives, seven tenths of them at most."""
    files = [*sorted((DATA / "fleet").glob("*.csv.gz")), DATA / "shop.csv.gz"]
    assert len(files) == 48
    for file in files:
        lines = gzip.decompress(file.read_bytes()).decode().splitlines()[1:]
        power = np.array([line.rsplit(",", 1)[1] for line in lines], float)
        edges = np.r_[0, np.flatnonzero(power[1:] != power[:-1]) + 1, len(power)].tolist()
        runs = [(power[first], last - first) for first, last in pairwise(edges)]
        assert max((length for value, length in runs if value), default=0) <= FLAT / 3, file.name
        assert max((length for value, length in runs if not value), default=0) <= ZEROS / 3, file.name
        negatives = np.convolve(power < 0, np.ones(672), "valid")
        assert negatives.max() <= 0.7 * NEGATIVE * 672, file.name
