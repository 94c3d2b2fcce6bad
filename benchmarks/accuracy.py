"""Mean absolute error of the shipped models beside naive forecasts and LightGBM, on the same test windows.

In: nothing but `samples/shop.csv.gz` and `models/pretrained/`. Out: a Markdown table in kW, printed and written
to `benchmarks/accuracy.md`. Run it from the project's root: `python -m benchmarks.accuracy`, about two minutes
on two cores, all but seconds of it for LightGBM.

LightGBM gets the same week: one model for each step, the last six hours and the quarter-hours around the same
time on the seven days before, all relative to the last value, and the calendar. It stops by the validation
part.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.card import CARD, read_card
from models.naive import naive
from models.networks import HORIZON, NAMES, WINDOW
from models.runner import Runner
from models.train import SAMPLE, prepare, read_profile

if TYPE_CHECKING:
    from models.fitting import Series

ROOT = Path(__file__).parent.parent
TITLES = {
    "last_value": "last value",
    "yesterday": "same time yesterday",
    "last_week": "same time last week",
    "last_week_change": "last value + last week's change",
    "lightgbm": "LightGBM, relative lags",
    "cnn": "**cnn** (folded CNN-LSTM)",
    "gru": "**gru** (folded GRU)",
}
SETTINGS = {
    "objective": "l2",
    "metric": "l1",
    "num_threads": 1,  # on a busy machine its threads wait for one another far longer than they work
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 40,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "feature_fraction": 0.5,
    "seed": 0,
    "verbose": -1,
}
ROUNDS = 600


def shipped(name: str, series: Series) -> Any:
    """Forecast the test part with a shipped model: (m, 8) kW."""
    folder = ROOT / "models" / "pretrained" / name
    card = read_card(folder / CARD)
    answer = Runner(folder, card, (512,)).predict(series.x(series.origins["test"]))
    return answer * card.target.std + card.target.mean


def lagged(series: Series, part: str) -> Any:
    """Make the rows that LightGBM sees: (m, 115), lags in kW relative to the last value, and the calendar."""
    origins = series.origins[part]
    last = series.power[origins][:, None]
    today = np.arange(1, 24)
    around = [96 * day - step for day in range(1, 7) for step in range(-4, HORIZON + 1)]
    week_ago = [WINDOW - step for step in range(1, HORIZON + 1)]
    lags = np.array([*today, *around, *week_ago])
    return np.hstack([series.power[origins[:, None] - lags] - last, series.inputs[origins, 1:]])


def lightgbm(series: Series) -> Any:
    """Train LightGBM and forecast the test part: (m, 8) kW."""
    import lightgbm as lgb  # noqa: PLC0415  # a development dependency

    x = {part: lagged(series, part) for part in series.origins}
    last = {part: series.power[origins] for part, origins in series.origins.items()}
    steps = []
    for step in range(HORIZON):
        y = {part: series.came(origins)[:, step] - last[part] for part, origins in series.origins.items()}
        training = lgb.Dataset(x["train"], y["train"])
        validation = lgb.Dataset(x["validation"], y["validation"], reference=training)
        stop = lgb.early_stopping(50, verbose=False)
        model = lgb.train(SETTINGS, training, ROUNDS, valid_sets=[validation], callbacks=[stop])
        steps.append(last["test"] + np.asarray(model.predict(x["test"])))
    return np.stack(steps, axis=1)


def table(errors: dict[str, Any]) -> str:
    """Lay mean absolute errors out as Markdown.

    Args:
        errors: forecast → (m, 8) kW, actual minus forecast.
    """
    mae = {name: np.abs(error).mean(axis=0) for name, error in errors.items()}
    best = min(mae[name].mean() for name in TITLES if name in mae and name not in (*NAMES, "lightgbm"))
    minutes = " | ".join(f"{15 * step} min" for step in range(1, HORIZON + 1))
    lines = [f"| MAE in kW | mean | skill | {minutes} |", "|---|" + "---:|" * (HORIZON + 2)]
    for name, title in TITLES.items():
        if name in mae:
            each = " | ".join(f"{error:.2f}" for error in mae[name])
            skill = 1 - mae[name].mean() / best
            lines.append(f"| {title} | {mae[name].mean():.2f} | {skill:.2f} | {each} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description="Accuracy beside peers.")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "accuracy.md")
    parser.add_argument("--quick", action="store_true", help="leave LightGBM out")
    given = parser.parse_args()
    series = prepare(read_profile(SAMPLE)[0])
    forecasts = naive(series.power, series.origins["test"], HORIZON) | {n: shipped(n, series) for n in NAMES}
    if not given.quick:
        start = time.perf_counter()
        forecasts["lightgbm"] = lightgbm(series)
        print(f"LightGBM trained in {time.perf_counter() - start:.0f} s")
    came = series.came(series.origins["test"])
    text = table({name: came - forecast for name, forecast in forecasts.items()})
    about = f"{len(came)} windows, the last 15 % of `{SAMPLE.name}`; skill = 1 - MAE / MAE of the best naive forecast."
    given.out.write_text(f"{text}\n{about}\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
