"""Train both shipped networks on one load profile: `python -m models.train`.

In: a CSV of quarter-hours in kW, a year or so. Out: for each network a model folder with `saved_model/` and a
complete `card.json`. The profile is split in time, 70 % for training, 15 % to choose the best epoch and 15 %
for the scores in the card; the scaling comes from the training part alone.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import platform
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models import networks
from models.card import CARD, ModelCard, write_card
from models.fitting import Series, fit, residuals
from models.naive import WEEK, naive
from models.weights import SAVED_MODEL, digests, plain_files
from processing.errors import ProcessingError
from processing.features import columns
from processing.reading import LoadProfile, read_load_profile
from processing.scaling import normalise
from processing.windowing import select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "samples" / "shop.csv.gz"
TIME_ZONE = "Europe/Berlin"
COLUMNS = ("power", "hour_sin", "hour_cos", "day_sin", "day_cos", "week_sin", "week_cos")
EPOCHS, SHARE = 24, 0.25
LEVELS = [0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975]
DESCRIPTIONS = {
    "cnn": "Folded CNN-LSTM: the next two hours from the last week",
    "gru": "Folded GRU: the next two hours from the last week",
}
SAMPLE_DATA = {
    "name": "SimBench G4-M 2016, one shop, scaled to a peak of 120 kW",
    "source": "SimBench (Meinecke et al.), simbench.net",
    "licence": "ODbL 1.0 / DbCL 1.0",
}


def read_profile(path: Path) -> tuple[LoadProfile, str]:
    """Read a CSV, gzipped or not; give the profile and the SHA-256 of the CSV itself.

    Raises:
        OSError: if it cannot be read.
        InvalidLoadProfile: if it is not an unbroken run of quarter-hours.
    """
    body = path.read_bytes()
    body = gzip.decompress(body) if path.suffix == ".gz" else body
    return read_load_profile(body, time_zone=TIME_ZONE), hashlib.sha256(body).hexdigest()


def prepare(profile: LoadProfile) -> Series:
    """Split and scale a profile.

    A part owns the forecasts whose eight quarter-hours all lie in it; the week before them may be older.

    Raises:
        ValueError: if a part is left without a single forecast, or a column never changes.
    """
    n = len(profile.power)
    raw = select(columns(profile), COLUMNS)
    first, second = int(0.7 * n), int(0.85 * n)
    mean, std = raw[:first].mean(axis=0), raw[:first].std(axis=0)
    parts = {"train": (WEEK + 1, first), "validation": (first, second), "test": (second, n)}
    origins = {
        part: np.arange(start - 1, end - networks.HORIZON, dtype=np.int64) for part, (start, end) in parts.items()
    }
    if not (all(map(len, origins.values())) and (std > 0).all()):
        raise ValueError(f"{n} quarter-hours are too few, or too constant, to train on; give several weeks")
    return Series(profile.power, normalise(raw, mean, std).astype(np.float32), mean, std, origins)


def scores(model: Any, series: Series, time: Sequence[datetime]) -> dict[str, Any]:
    """Score a model and the naive forecasts on the test part: the card's `scores`."""
    origins = series.origins["test"]
    came = series.came(origins)
    forecasts = naive(series.power, origins, networks.HORIZON)
    errors = {model.name: residuals(model, series, "test")}
    errors |= {name: came - forecast for name, forecast in forecasts.items()}
    return {
        "test_from": time[origins[0] + 1],
        "test_to": time[origins[-1] + networks.HORIZON],
        "windows": len(origins),
        "mae_kw": {name: np.round(np.abs(error).mean(axis=0), 4).tolist() for name, error in errors.items()},
    }


def save(model: Any, series: Series, profile: LoadProfile, folder: Path, data: Mapping[str, str]) -> ModelCard:
    """Write a model folder anew: SavedModel and complete card.

    Args:
        model: a trained network.
        series: what it was trained on.
        profile: the profile that the series was made from.
        folder: replaced if it is there.
        data: `name`, `source`, `licence` and `sha256` of the profile.
    """
    import tensorflow as tf  # noqa: PLC0415  # slow to import, needed only here

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    spec = tf.TensorSpec((None, networks.WINDOW, len(COLUMNS)), tf.float32, name="load")
    model.export(folder / SAVED_MODEL, input_signature=[spec], verbose=False)
    time = [datetime.fromtimestamp(int(seconds), UTC) for seconds in profile.time.astype(np.int64)]
    learnt = {
        "files": digests(plain_files(folder)),
        "time_zone": profile.time_zone,
        "training_data": dict(data) | {"from": time[0], "to": time[-1], "rows": len(time)},
        "scores": scores(model, series, time),
    }
    card = ModelCard.model_validate(_chosen(model.name) | _scaling(series) | learnt | _quantiles(model, series))
    write_card(card, folder / CARD)
    return card


def _chosen(name: str) -> dict[str, Any]:
    import keras  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    versions = {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__}
    return {
        "format": 1,
        "name": name,
        "description": DESCRIPTIONS[name],
        "window": networks.WINDOW,
        "interval_minutes": 15,
        "horizon": networks.HORIZON,
        "libraries": {"python": platform.python_version()} | versions,
    }


def _scaling(series: Series) -> dict[str, Any]:
    learnt = zip(COLUMNS, series.mean.tolist(), series.std.tolist(), strict=True)
    scaled = [{"name": name, "mean": mean, "std": std} for name, mean, std in learnt]
    return {"columns": scaled, "target": scaled[0] | {"unit": "kW"}}


def _quantiles(model: Any, series: Series) -> dict[str, Any]:
    kw = np.quantile(residuals(model, series, "validation"), LEVELS, axis=0)
    return {"residual_quantiles": {"levels": LEVELS, "kw": np.round(kw, 4).tolist()}}


def train(  # noqa: PLR0913  # the choices of a training
    csv: Path,
    out: Path,
    *,
    seed: int = 0,
    epochs: int = EPOCHS,
    share: float = SHARE,
    names: Sequence[str] = networks.NAMES,
) -> list[ModelCard]:
    """Train, score and save the networks; the same seed on the same machine gives the same weights.

    Args:
        csv: the load profile.
        out: gets a model folder for each network, named like it.
        seed: of the weights and of the order of the windows.
        epochs: how often a share of the windows is gone through.
        share: that share, in (0, 1].
        names: which networks.

    Raises:
        OSError, InvalidLoadProfile, ValueError: if the profile cannot be read or trained on.
    """
    import keras  # noqa: PLC0415

    profile, sha256 = read_profile(csv)
    own = {"name": csv.name, "source": "given to models.train", "licence": "not stated"}
    data = (SAMPLE_DATA if csv.resolve() == SAMPLE.resolve() else own) | {"sha256": sha256}
    series = prepare(profile)
    cards = []
    for name in names:
        keras.utils.set_random_seed(seed)
        model = networks.build(name, len(COLUMNS))
        fit(model, series, epochs=epochs, seed=seed, share=share)
        cards.append(save(model, series, profile, out / name, data))
    return cards


def main(arguments: list[str] | None = None) -> int:
    """Run the command; give the exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parser = argparse.ArgumentParser(
        prog="python -m models.train",
        description="Train the CNN-LSTM and the GRU on a load profile and write them with their cards.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("csv", nargs="?", type=Path, default=SAMPLE, help="quarter-hours in kW, plain or .gz")
    parser.add_argument("--out", type=Path, default=ROOT / "models" / "pretrained", help="folder to write to")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="each over a quarter of the windows")
    given = parser.parse_args(arguments)
    try:
        cards = train(given.csv, given.out, seed=given.seed, epochs=given.epochs)
    except (OSError, ValueError, ProcessingError) as error:
        print(f"models.train: {error}", file=sys.stderr)
        return 1
    for card in cards:
        mae = card.scores.mae_kw if card.scores else {}
        print(f"{card.name}, MAE in kW: " + ", ".join(f"{name} {np.mean(kw):.2f}" for name, kw in mae.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
