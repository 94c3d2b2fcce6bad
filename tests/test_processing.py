"""Features, scaling, windowing and the pipeline that joins them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from load_profiles import csv_file, csv_rows

from processing import features, scaling, windowing
from processing.errors import UnknownColumn
from processing.pipeline import Preparation, forecast_times
from processing.reading import read_load_profile

PHASES = [
    # clock, column, value
    ("2021-06-02T00:15:00", "hour_sin", 1.0),
    ("2021-06-02T00:30:00", "hour_cos", -1.0),
    ("2021-06-02T06:00:00", "day_sin", 1.0),
    ("2021-06-02T12:00:00", "day_cos", -1.0),
    ("1970-01-01T00:00:00", "week_cos", 1.0),  # a Thursday
    ("2021-06-06T12:00:00", "week_cos", -1.0),  # three and a half days after one
    ("1970-01-01T00:00:00", "year_cos", 1.0),
    ("1970-01-01T00:00:00", "month_cos", 1.0),
]


@pytest.mark.parametrize("clock, column, value", PHASES)
def test_phases(clock: str, column: str, value: float) -> None:
    """A cycle's waves have their extremes where the calendar says."""
    waves = features.calendar(np.array([clock], dtype="datetime64[s]"))
    assert waves[0, features.COLUMNS.index(column) - 1] == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_unit_of_a_time_stamp_does_not_count(unit: str) -> None:
    """pandas hands out microseconds, NumPy what it was given; the phases are the same."""
    clock = np.array(["2021-06-02T06:00:00"], dtype="datetime64[s]")
    np.testing.assert_array_equal(features.calendar(clock.astype(f"datetime64[{unit}]")), features.calendar(clock))


@given(st.lists(st.integers(0, 4_102_444_799), min_size=1, max_size=20))
def test_waves_lie_on_the_circle(seconds: list[int]) -> None:
    """Sine and cosine of one cycle belong to one angle."""
    waves = features.calendar(np.array(seconds, dtype="datetime64[s]")).reshape(len(seconds), -1, 2)
    np.testing.assert_allclose((waves**2).sum(axis=-1), 1, rtol=0, atol=1e-12)


@given(st.floats(-1e9, 1e9), st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_denormalise_undoes_normalise(value: float, mean: float, std: float) -> None:
    """The two are inverse to each other."""
    back = scaling.denormalise(scaling.normalise([value], mean, std), mean, std)
    np.testing.assert_allclose(back, [value], rtol=1e-12, atol=1e-6)


def test_select_keeps_the_order_of_the_names() -> None:
    """Columns come in the card's order, not in the order they are made in."""
    columns = np.arange(22.0).reshape(2, 11)
    np.testing.assert_array_equal(windowing.select(columns, ["week_cos", "power"]), [[6.0, 0.0], [17.0, 11.0]])


def test_an_unknown_column_is_named() -> None:
    """A card that asks for what is not made is refused by the column's name."""
    with pytest.raises(UnknownColumn, match="temperature") as refused:
        windowing.select(np.zeros((2, 11)), ["power", "temperature"])
    assert refused.value.name == "temperature"


def test_windows_are_every_run() -> None:
    """n rows hold n - window + 1 windows, the last one being the newest rows."""
    rows = np.arange(20.0).reshape(10, 2)
    runs = windowing.windows(rows, 4)
    assert runs.shape == (7, 4, 2)
    np.testing.assert_array_equal(runs[2], rows[2:6])
    np.testing.assert_array_equal(runs[-1:], windowing.last_window(rows, 4))


PREPARATION = Preparation(["power", "day_sin"], [100.0, 0.0], [50.0, 1.0], 100.0, 50.0, 672)


def test_the_newest_week_counts() -> None:
    """Rows before the last 672 change nothing."""
    rows = csv_rows("2021-06-01 00:00:00", 800)
    long, short = (read_load_profile(csv_file(part), time_zone="UTC") for part in (rows, rows[-672:]))
    np.testing.assert_array_equal(PREPARATION.model_input(long), PREPARATION.model_input(short))
    assert PREPARATION.model_input(long)[0, -1, 0] == pytest.approx((799 - 100) / 50)


def test_the_forecast_begins_after_the_last_row() -> None:
    """The first forecast quarter-hour is the one after the file's last."""
    profile = read_load_profile(csv_file(csv_rows("2021-06-01 00:00:00", 672)), time_zone="UTC")
    times = forecast_times(profile, 8)
    assert [str(time) for time in times[[0, -1]]] == ["2021-06-08T00:00:00", "2021-06-08T01:45:00"]


def test_power_is_in_kw() -> None:
    """A normalised output comes back with the target's mean and standard deviation."""
    np.testing.assert_array_equal(PREPARATION.power(np.array([[0.0, 1.0]], np.float32)), [[100.0, 150.0]])
