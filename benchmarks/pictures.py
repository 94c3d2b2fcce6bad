"""The pictures in the documentation, `docs/*.png`: `python -m benchmarks.pictures`, some seconds.

In: the shipped models and the sample year for `forecast.png`, whose forecasts lie in the test part, which no model was
trained or chosen on; `benchmarks/unseen.json`, which `python -m benchmarks.unseen` writes, for `skill.png` and
`coverage.png`.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.dates import DateFormatter

from forecasting.rolling import Rolled, rolled
from models.card import CARD, read_card
from models.catalogue import ServedModel
from models.runner import Runner
from models.train import SHIPPED, SHOP, read_training
from processing.reading import LoadProfile
from processing.stamps import on_the_clock

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PROJECT = Path(__file__).resolve().parent.parent
DAY = 96  # quarter-hours
ORIGINS = ("2016-12-13T05:00", "2016-12-13T08:00", "2016-12-13T11:00", "2016-12-13T14:00", "2016-12-13T17:00")  # UTC
LEVELS = (80.0, 95.0)
COLOURS = {"gru": "tab:red", "cnn": "tab:green", "LightGBM": "0.35"}


def main() -> None:
    """Draw every picture."""
    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after the backend is chosen

    results = json.loads((PROJECT / "benchmarks" / "unseen.json").read_text(encoding="utf-8"))
    for draw, name, size in (
        (_day, "forecast", (9, 3.8)),
        (_skill, "skill", (9, 4.2)),
        (_coverage, "coverage", (9, 3.4)),
    ):
        figure = plt.figure(figsize=size, layout="constrained")
        draw(figure, results)
        figure.savefig(PROJECT / "docs" / f"{name}.png", dpi=110)


def _day(figure: Any, _: Any) -> None:
    """Draw a day of the shop, with five forecasts and their intervals, as a file of five weeks would have got them."""
    axes = figure.subplots()
    year = read_training(SHOP).profile
    first, last = (int(np.searchsorted(year.time, np.datetime64(origin))) for origin in (ORIGINS[0], ORIGINS[-1]))
    rows = slice(first - 36 * DAY, last + DAY)
    known = LoadProfile(year.time[rows], year.clock[rows], year.power[rows], year.time_zone)
    card = read_card(SHIPPED / "gru" / CARD)
    past = rolled(ServedModel("gru", "shipped", card, Runner(SHIPPED / "gru", card, (256,))), known, LEVELS)
    shown = slice(36 * DAY - DAY // 6, 36 * DAY + last - first + DAY // 6)
    axes.plot(known.clock[shown].astype(object), known.power[shown], color="0.25", lw=1.2, label="measured")
    for origin in ORIGINS:
        _forecast(axes, known, past, int(np.searchsorted(known.time, np.datetime64(origin))))
    handles, labels = axes.get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    axes.legend(named.values(), named.keys(), loc="upper left", fontsize="small")
    title = "A shop on 13 December 2016: five forecasts of gru, each made a quarter-hour before its first point"
    axes.set(ylabel="power in kW", title=title)
    axes.grid(alpha=0.3)
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))  # type: ignore[no-untyped-call]


def _forecast(axes: "Axes", known: LoadProfile, past: Rolled, origin: int) -> None:
    at = int(np.searchsorted(past.origins, origin))
    times: Any = on_the_clock(known.time[origin + 1 : origin + 9], known.time_zone).astype(object)
    for level, alpha in zip(LEVELS, (0.3, 0.15), strict=True):
        bounds = past.lower[level][at], past.upper[level][at]
        axes.fill_between(times, *bounds, color=COLOURS["gru"], alpha=alpha, lw=0, label=f"{level:g} % interval")
    axes.plot(times, past.forecast[at], color=COLOURS["gru"], marker=".", lw=1.6, label="forecast")


def _skill(figure: Any, results: Any) -> None:
    """Draw the errors at sites that were kept out of training: by step, and by site."""
    by_step, by_site = figure.subplots(1, 2, width_ratios=(2, 3))
    minutes = 15 * np.arange(1, 9)
    for name, colour in COLOURS.items():
        ratios = np.array([_ratio(one, name) for one in _of(results, name)])
        label = f"{name}, trained on the site" if name == "LightGBM" else f"{name}, never saw the site"
        by_step.plot(minutes, np.median(ratios, axis=0), color=colour, marker=".", label=label)
    by_step.set(
        xlabel="minutes ahead", ylabel="error / error of the best naive forecast", ylim=(0, 1.05), xticks=minutes[1::2]
    )
    by_step.set_title("by step, median of the sites", fontsize="medium")
    by_step.legend(fontsize="small", loc="lower right")
    names = [one["site"] for one in sorted(_of(results, "gru"), key=lambda one: _mean(one, "gru"))]
    for name, marker in (("LightGBM", "|"), ("gru", "o"), ("cnn", "x")):
        means = {one["site"]: _mean(one, name) for one in _of(results, name)}
        by_site.plot([means[site] for site in names], names, marker, color=COLOURS[name], label=name)
    by_site.axvline(1, color="0.6", lw=1)
    by_site.set_title("by site: left of the line is better than every naive forecast", fontsize="medium")
    by_site.tick_params(axis="y", labelsize="small")
    by_site.legend(fontsize="small")
    for axes in (by_step, by_site):
        axes.grid(alpha=0.3)


def _of(results: Any, name: str) -> list[Any]:
    """Give the results of a model, or those that LightGBM's stand with, too."""
    return [one for one in results if one["model"] == ("gru" if name == "LightGBM" else name)]


def _ratio(one: Any, name: str) -> Any:
    """Give the error at each step in units of the error of the forecast that is the best naive one at this step."""
    mae = one["lightgbm"] if name == "LightGBM" else one["mae"]
    return np.array(mae) / np.min(list(one["naive"].values()), axis=0)


def _mean(one: Any, name: str) -> float:
    mae = one["lightgbm"] if name == "LightGBM" else one["mae"]
    return float(np.mean(mae) / min(np.mean(each) for each in one["naive"].values()))


def _coverage(figure: Any, results: Any) -> None:
    """Draw how often the intervals held at those sites, by hour of the day."""
    axes = figure.subplots(1, 2, sharey=True)
    for panel, file in zip(axes, ("1 week", "5 weeks"), strict=True):
        for level, alpha in (("80", 1.0), ("95", 0.5)):
            shares = np.array([one["by_hour"][file][level] for one in results if one["model"] == "gru"])
            low, middle, high = 100 * np.quantile(shares, (0.1, 0.5, 0.9), axis=0)
            panel.plot(
                middle, color="tab:red", alpha=alpha, marker=".", label=f"{level} % interval: median of 17 sites"
            )
            panel.fill_between(range(24), low, high, color="tab:red", alpha=0.12, lw=0, label="10th to 90th percentile")
            panel.axhline(float(level), color="0.3", lw=0.8, ls="--")
        panel.set(xlabel="hour of the day", ylim=(40, 100), xlim=(0, 23), title=f"a file of {file}")
        panel.grid(alpha=0.3)
    axes[0].set(ylabel="% of measured values inside")
    axes[0].legend(fontsize="small", loc="lower left")


if __name__ == "__main__":
    main()
