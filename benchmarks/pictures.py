"""The pictures in the documentation, made from the shipped models and the sample year: docs/*.png.

Every forecast shown lies in the test part, which no model was trained or chosen on.
"""

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.dates import DateFormatter

from forecasting import preparation
from models.card import read_card
from models.runner import Runner
from processing.pipeline import forecast_times
from processing.reading import LoadProfile, read_load_profile
from processing.stamps import on_the_clock

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PROJECT = Path(__file__).resolve().parent.parent
DAY = 96  # quarter-hours
TITLE = "A shop on 13 December 2016: three forecasts, each made a quarter-hour before its first point"
ORIGINS = ("2016-12-13T05:00", "2016-12-13T11:00", "2016-12-13T17:00")  # UTC, in the test part


def main() -> None:
    """Draw every picture."""
    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after the backend is chosen

    body = gzip.decompress((PROJECT / "samples" / "shop.csv.gz").read_bytes())
    year = read_load_profile(body, time_zone="Europe/Berlin")
    figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
    _measured(axes, year)
    for name, colour in (("gru", "tab:red"), ("cnn", "tab:green")):
        _forecasts(axes, year, name, colour)
    axes.set(ylabel="power in kW", title=TITLE)
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))  # type: ignore[no-untyped-call]
    figure.savefig(PROJECT / "docs" / "forecast.png", dpi=110)


def _row(year: LoadProfile, instant: str) -> int:
    return int(np.searchsorted(year.time, np.datetime64(instant)))


def _measured(axes: "Axes", year: LoadProfile) -> None:
    rows = slice(_row(year, ORIGINS[0]) - DAY // 3, _row(year, ORIGINS[-1]) + DAY // 6)
    axes.plot(year.clock[rows].astype(object), year.power[rows], color="0.35", lw=1.2, label="measured")


def _forecasts(axes: "Axes", year: LoadProfile, name: str, colour: str) -> None:
    folder = PROJECT / "models" / "pretrained" / name
    card = read_card(folder / "card.json")
    prepared = preparation(card)
    runner = Runner(folder, card)
    label: Any = name
    for origin in ORIGINS:
        end = _row(year, origin) + 1
        known = LoadProfile(year.time[:end], year.clock[:end], year.power[:end], year.time_zone)
        power = prepared.power(runner.predict(prepared.model_input(known)))[0]
        times = on_the_clock(forecast_times(known, card.horizon), year.time_zone)
        axes.plot(times.astype(object), power, color=colour, marker=".", lw=1.6, label=label)
        label = None


if __name__ == "__main__":
    main()
