"""Every golden number of pre- and postprocessing: the only outside witness."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from processing import features, scaling, windowing
from processing.reading import read_load_profile

Golden = Callable[[str], Any]


@pytest.fixture(scope="module")
def columns(golden: Golden) -> np.ndarray[Any, Any]:
    """Give the eleven columns of the golden rows."""
    return features.columns(read_load_profile(golden("raw.csv"), time_zone="Europe/Berlin", at_least=4))


def test_there_are_eleven_columns(golden: Golden, columns: np.ndarray[Any, Any]) -> None:
    """Power and two waves of five cycles."""
    assert columns.shape[1] == len(features.COLUMNS) == golden("preprocessed.json")["columns"]


def test_power_is_normalised(golden: Golden, columns: np.ndarray[Any, Any]) -> None:
    """The power column, with the mean and standard deviation that the figures give."""
    expected = golden("preprocessed.json")
    rows = len(columns)
    values = scaling.normalise(columns[:, 0], expected["power_mean_kw"], expected["power_std_kw"])
    known = expected["power_normalised"]
    np.testing.assert_allclose(values, known["values"][:rows], rtol=0, atol=known["atol"])


@pytest.mark.parametrize("column", ["hour_sin", "hour_cos"])
def test_the_hour_is_normalised(golden: Golden, column: str) -> None:
    """The hour's waves, with the standard deviation that the figures note."""
    clock = np.datetime64("2021-06-02T00:00:00") + np.arange(5) * np.timedelta64(900, "s")
    name = "hour_cos_normalised_first_two" if column == "hour_cos" else "hour_sin_normalised"
    known = golden("preprocessed.json")[name]
    values = features.calendar(clock)[:, features.COLUMNS.index(column) - 1]
    values = scaling.normalise(values, 2e-14, 1 / 1.4142031248)[: len(known["values"])]
    np.testing.assert_allclose(values, known["values"], rtol=0, atol=known["atol"])


@pytest.mark.parametrize("column", ["year_sin", "year_cos"])
def test_the_year_is_normalised(golden: Golden, column: str) -> None:
    """The year's waves are the golden ones up to a straight line: its own mean and standard deviation."""
    clock = np.datetime64("2021-06-02T00:00:00") + np.arange(5) * np.timedelta64(900, "s")
    values = features.calendar(clock)[:, features.COLUMNS.index(column) - 1]
    known = golden("preprocessed.json")[f"{column}_normalised"]
    slope, offset = np.polyfit(values, known["values"], 1)
    assert slope > 0
    fitted = scaling.normalise(values, -offset / slope, 1 / slope)
    np.testing.assert_allclose(fitted, known["values"], rtol=0, atol=known["atol"])


def test_the_forecast_is_denormalised(golden: Golden) -> None:
    """The eight outputs of the figure in kW."""
    scale, known = golden("preprocessed.json"), golden("postprocessed.json")
    power = scaling.denormalise(known["before"], scale["power_mean_kw"], scale["power_std_kw"])
    np.testing.assert_allclose(power, known["after_kw"], rtol=0, atol=known["atol_kw"])


def test_a_model_consumes_seven_of_them(golden: Golden) -> None:
    """A window of the seven columns that a card names has the model's shape, as float32."""
    known = golden("preprocessed.json")["model_input_shape"]
    names = ["power", "hour_sin", "hour_cos", "day_sin", "day_cos", "week_sin", "week_cos"]
    year = np.random.default_rng(1).normal(size=(1000, 11))
    window = windowing.last_window(windowing.select(year, names), known[1])
    assert window.shape == (1, *known[1:])
    assert window.dtype == np.float32
