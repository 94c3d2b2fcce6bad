"""Mean absolute error of the shipped models at the sample shop, step by step, beside its peers.

In: nothing but `samples/shop.csv.gz` and `models/pretrained/`. Out: a Markdown table in kW, printed and written
to `benchmarks/accuracy.md`. Run it from the project's root: `python -m benchmarks.accuracy`, about two minutes
on two cores, all but seconds of it for LightGBM. The shop is one of the sites that the models learnt from, though
not its last 15 %, which are judged here; `benchmarks.unseen` judges on sites that they never saw.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.boosting import lightgbm
from models.card import CARD, read_card
from models.naive import actual, naive
from models.networks import HORIZON, NAMES
from models.runner import Runner
from models.train import SHOP, inputs, read_training
from models.trial import forecast

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
    training = read_training(SHOP)
    fleet = training.fleet()
    origins = fleet.parts["test"]
    forecasts = naive(fleet.kw[0], origins, HORIZON)
    for name in NAMES:
        folder = ROOT / "models" / "pretrained" / name
        runner = Runner(folder, read_card(folder / CARD), (256,))
        forecasts[name] = forecast(runner, inputs(runner.card, training.profile), origins, 256)
    if not given.quick:
        start = time.perf_counter()
        forecasts["lightgbm"] = lightgbm(fleet, 0)
        print(f"LightGBM trained in {time.perf_counter() - start:.0f} s")
    came = actual(fleet.kw[0], origins, HORIZON)
    text = table({name: came - kw for name, kw in forecasts.items()})
    about = f"{len(came)} windows, the last 15 % of `{SHOP.name}`; skill = 1 - MAE / MAE of the best naive forecast."
    given.out.write_text(f"{text}\n{about}\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
