"""Train both networks: `python -m models.train [CSV]`, on the shipped fleet or on load profiles of your own.

In: a CSV of quarter-hours in kW, a year or so, of one site or of many over the same quarter-hours; the header tells,
as on `/forecast`. Out: for each network a model folder with `saved_model/` and a complete `card.json`. The profiles
are split in time, 70 % for training, 15 % to choose the best epoch and for the intervals, 15 % for the scores in the
card. With many sites every one counts the same, meters are made up besides, and the result is for sites it never saw.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import platform
import shutil
import sys
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models import intervals, networks
from models.card import CARD, ModelCard, read_card, write_card
from models.fitting import MANY_SITES, ONE_SITE, Fleet, Recipe, fit, residuals, split
from models.naive import actual, naive
from models.runner import Runner
from models.trial import forecast
from models.weights import SAVED_MODEL, digests, plain_files
from processing import plausibility
from processing.errors import InvalidLoadProfile, ProcessingError
from processing.features import columns, hour_of_day
from processing.reading import LoadProfile, Reader, Rules
from processing.scaling import normalise
from processing.sites import Site, Sites, read_sites
from processing.stamps import on_the_clock
from processing.windowing import select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
SHOP = ROOT / "samples" / "shop.csv.gz"
FLEET = ROOT / "samples" / "fleet.csv.gz"
SHIPPED = ROOT / "models" / "pretrained"
TIME_ZONE = "Europe/Berlin"
COLUMNS = ("power", "hour_sin", "hour_cos", "day_sin", "day_cos", "week_sin", "week_cos")
CALENDAR_STD = float(np.sqrt(0.5))  # of a sine over whole cycles; its mean is 0
BATCH = 256
SPARSE = 5  # of many sites every fifth residual is learnt from; prime to the hour
DESCRIPTIONS = {
    "cnn": "Folded CNN-LSTM: the next two hours from the last week, at any scale",
    "gru": "Folded GRU: the next two hours from the last week, at any scale",
}
_SIMBENCH = {"source": "SimBench (Meinecke et al.), simbench.net", "licence": "ODbL 1.0 / DbCL 1.0"}
SAMPLES = {
    FLEET: _SIMBENCH | {"name": "SimBench 2016, 48 profiles: trade, households, farms, large consumers, grid areas"},
    SHOP: _SIMBENCH | {"name": "SimBench G4-M 2016, one shop, scaled to a peak of 120 kW"},
}


@dataclass(frozen=True)
class Training:
    """What is trained on.

    Attributes:
        profiles: site → load profile, all over the same quarter-hours; the name of an only site is that of its file.
        data: `name`, `source`, `licence` and `sha256` of the CSV.
    """

    profiles: Mapping[str, LoadProfile]
    data: Mapping[str, str]

    @property
    def profile(self) -> LoadProfile:
        """The first of the profiles; it tells the time of all."""
        return next(iter(self.profiles.values()))

    def fleet(self) -> Fleet:
        """Split and measure the profiles.

        Raises:
            ValueError: if they are too short or one of them is too constant.
        """
        waves = select(columns(self.profile), COLUMNS)[:, 1:] / CALENDAR_STD
        kw = np.array([profile.power for profile in self.profiles.values()])
        return split(tuple(self.profiles), kw, waves.astype(np.float32))

    def without(self, sites: Sequence[str]) -> Training:
        """Leave sites out.

        Raises:
            ValueError: if one of them is not there.
        """
        if unknown := sorted(set(sites) - set(self.profiles)):
            raise ValueError(f"there is no site {', '.join(unknown)}; there is {', '.join(self.profiles)}")
        return replace(self, profiles={name: one for name, one in self.profiles.items() if name not in sites})


def read_training(path: Path) -> Training:
    """Read a CSV, gzipped or not.

    Raises:
        OSError: if it cannot be read.
        InvalidLoadProfile: if a site in it is not an unbroken run of quarter-hours.
        ValueError: if the sites do not cover the same quarter-hours, or a gzipped file is not whole.
    """
    body = path.read_bytes()
    try:
        body = gzip.decompress(body) if path.suffix == ".gz" else body
    except (EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be unpacked ({error}); copy it anew") from None
    own = {"name": path.name, "source": "given to models.train", "licence": "not stated"}
    data = SAMPLES.get(path.resolve(), own) | {"sha256": hashlib.sha256(body).hexdigest()}
    rules = Rules(accept=frozenset(plausibility.CODES))  # what its last week looks like is no matter of a whole year
    read = read_sites(body, Reader(TIME_ZONE, networks.WINDOW, rules))
    if isinstance(read, LoadProfile):
        return Training({path.name.split(".")[0]: read}, data)
    return Training(_together(read), data)


def _together(read: Sites) -> dict[str, LoadProfile]:
    profiles = {site.name: _good(site) for site in read.sites}
    first = next(iter(profiles.values()))
    for name, profile in profiles.items():
        if not np.array_equal(profile.time, first.time):
            ours, theirs = (f"{one.time[0]}Z to {one.time[-1]}Z" for one in (first, profile))
            raise ValueError(f"site {name} covers {theirs}, the first one {ours}; cut all to the same quarter-hours")
    return profiles


def _good(site: Site) -> LoadProfile:
    if site.profile is None:
        told = [replace(problem, message=f"Site {site.name}: {problem.message}") for problem in site.problems]
        raise InvalidLoadProfile(told, site.problem_count)
    return site.profile


def scores(model: Any, fleet: Fleet, time: Sequence[datetime]) -> dict[str, Any]:
    """Score a model and the naive forecasts on the test part: the card's `scores`."""
    origins = fleet.parts["test"]
    errors: dict[str, list[Any]] = {}
    for site, kw in enumerate(fleet.kw):
        came = actual(kw, origins, networks.HORIZON)
        errors.setdefault(model.name, []).append(residuals(model, fleet, site, origins))
        for name, other in naive(kw, origins, networks.HORIZON).items():
            errors.setdefault(name, []).append(came - other)
    by_site = {name: np.abs(error).mean(axis=1) for name, error in errors.items()}  # (s, 8) each
    found: dict[str, Any] = {
        "test_from": time[origins[0] + 1],
        "test_to": time[origins[-1] + networks.HORIZON],
        "windows": len(origins) * len(fleet.kw),
        "mae_kw": {name: np.round(mae.mean(axis=0), 4).tolist() for name, mae in by_site.items()},
    }
    if len(fleet.names) > 1:
        means = {name: mae.mean(axis=1) for name, mae in by_site.items()}
        best = np.min([mae for name, mae in means.items() if name != model.name], axis=0)
        found["sites"] = {
            name: {"mae_kw": round(own, 4), "best_naive_kw": round(other, 4)}
            for name, own, other in zip(fleet.names, means[model.name].tolist(), best.tolist(), strict=True)
        }
    return found


def save(model: Any, fleet: Fleet, training: Training, folder: Path) -> ModelCard:
    """Write a model folder anew: SavedModel and complete card.

    Args:
        model: a trained network.
        fleet: what it was trained on.
        training: what the fleet was made from.
        folder: replaced if it is there.
    """
    import tensorflow as tf  # noqa: PLC0415  # slow to import, needed only here

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    spec = tf.TensorSpec((None, networks.WINDOW, len(COLUMNS)), tf.float32, name="load")
    model.export(folder / SAVED_MODEL, input_signature=[spec], verbose=False)
    profile = training.profile
    time = [datetime.fromtimestamp(int(seconds), UTC) for seconds in profile.time.astype(np.int64)]
    span = {"from": time[0], "to": time[-1], "rows": len(time) * len(training.profiles)}
    learnt = {
        "files": digests(plain_files(folder)),
        "time_zone": profile.time_zone,
        "training_data": dict(training.data) | span,
        "scores": scores(model, fleet, time),
        "intervals": _intervals(model, fleet, profile.clock),
    }
    card = ModelCard.model_validate(_chosen(model.name) | _scaling(fleet) | learnt)
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


def _scaling(fleet: Fleet) -> dict[str, Any]:
    """Give the card's scaling: any would do, but with a mean of 0 the smallest meter keeps all of float32's digits."""
    std = float(np.median(fleet.kw[:, : fleet.parts["train"][-1]].std(axis=1)))
    power = {"name": "power", "mean": 0.0, "std": float(f"{std:.4g}")}
    waves = [{"name": name, "mean": 0.0, "std": CALENDAR_STD} for name in COLUMNS[1:]]
    return {"columns": [power, *waves], "target": power | {"unit": "kW"}}


def _intervals(model: Any, fleet: Fleet, clock: NDArray[np.datetime64]) -> dict[str, Any]:
    origins = fleet.parts["validation"][:: SPARSE if len(fleet.kw) > 1 else 1]
    hours = hour_of_day(clock[origins + 1])
    return intervals.learn(
        (kw, origins, residuals(model, fleet, site, origins), hours) for site, kw in enumerate(fleet.kw)
    )


def train(
    training: Training,
    out: Path,
    *,
    seed: int = 0,
    recipe: Recipe | None = None,
    names: Sequence[str] = networks.NAMES,
) -> list[ModelCard]:
    """Train, score and save the networks; the same seed on the same machine gives nearly the same weights.

    Args:
        training: the load profiles.
        out: gets a model folder for each network, named like it.
        seed: of the weights, of the order of the windows and of the made-up meters.
        recipe: how long; by default as it suits one site or many.
        names: which networks.

    Raises:
        ValueError: if the profiles cannot be trained on.
    """
    import keras  # noqa: PLC0415

    fleet = training.fleet()
    cards = []
    for name in names:
        keras.utils.set_random_seed(seed)
        model = networks.build(name, len(COLUMNS))
        fit(model, fleet, recipe or default_recipe(training, name), seed=seed)
        cards.append(save(model, fleet, training, out / name))
    return cards


def default_recipe(training: Training, name: str) -> Recipe:
    """Return how long to train a network on so many sites."""
    return MANY_SITES[name] if len(training.profiles) > 1 else ONE_SITE


def inputs(card: ModelCard, profile: LoadProfile) -> NDArray[np.float32]:
    """Return a model's columns of a whole profile, normalised: (n, c), on the clock of the card's zone."""
    if card.time_zone != profile.time_zone:
        clock = on_the_clock(profile.time, card.time_zone)
        profile = LoadProfile(profile.time, clock, profile.power, card.time_zone)
    scaling = [column.mean for column in card.columns], [column.std for column in card.columns]
    return normalise(select(columns(profile), card.column_names), *scaling).astype(np.float32)


def verdict(card: ModelCard, training: Training) -> str:
    """Say in one sentence how a model that was trained for one site does there beside the shipped one."""
    origins = training.fleet().parts["test"]
    own = float(np.mean(card.scores.mae_kw[card.name])) if card.scores else np.nan
    folder = SHIPPED / card.name
    runner = Runner(folder, read_card(folder / CARD), (BATCH,))
    kw = forecast(runner, inputs(runner.card, training.profile), origins, BATCH)
    shipped = float(np.abs(actual(training.profile.power, origins, networks.HORIZON) - kw).mean())
    told = f"the shipped {card.name} has {shipped:.3g} kW on the same quarter-hours"
    if own < shipped:
        return f"{told}: yours is better by {1 - own / shipped:.1%}; import it with python import_models.py"
    return f"{told}: yours is not better ({own / shipped - 1:+.1%}), so use the shipped one"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; give the exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    given = _arguments(arguments)
    try:
        training = read_training(given.csv).without(given.leave_out)
        cards = []
        for name in given.names:
            recipe = default_recipe(training, name)
            recipe = replace(recipe, epochs=given.epochs or recipe.epochs)
            cards += train(training, given.out, seed=given.seed, recipe=recipe, names=[name])
        told = [_told(card, training) for card in cards]
    except (OSError, ValueError, ProcessingError) as error:
        print(f"models.train: {error}", file=sys.stderr)
        return 1
    print("\n".join(told))
    return 0


def _told(card: ModelCard, training: Training) -> str:
    scored = card.scores
    if scored is not None and scored.sites is not None:
        ratios = np.array([site.mae_kw / site.best_naive_kw for site in scored.sites.values()])
        better = f"better on {np.mean(ratios < 1):.0%} of {len(ratios)} sites"
        return f"{card.name}: median error {np.median(ratios):.3f} of the best naive forecast's, {better}"
    mae = scored.mae_kw if scored else {}
    line = f"{card.name}, MAE in kW: " + ", ".join(f"{name} {np.mean(kw):.3g}" for name, kw in mae.items())
    return f"{line}; {verdict(card, training)}"


_EPILOG = """\
examples:
  python -m models.train                                 the shipped models, anew
  python -m models.train office.csv --out mine           for one site; says whether that beats the shipped models
  python -m models.train sites.csv --out mine            for all sites of a file and others like them
  python -m models.train --leave-out HS9,G0-A --out trial   keep sites out, to try the result on them
then: python import_models.py mine/gru --name office
"""


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m models.train",
        description="Train the CNN-LSTM and the GRU on load profiles and write them with their cards.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    csv = "quarter-hours in kW, plain or .gz; by default the shipped fleet"
    parser.add_argument("csv", nargs="?", type=Path, default=FLEET, help=csv)
    parser.add_argument("--out", type=Path, help="folder to write to; models/pretrained for the shipped fleet")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and made-up meters; default: 0")
    many = ", ".join(f"{recipe.epochs} ({name})" for name, recipe in MANY_SITES.items())
    epochs = f"default: {ONE_SITE.epochs} for one site; for many {many}"
    parser.add_argument("--epochs", type=int, help=epochs)
    parser.add_argument(
        "--names", type=_names, metavar="NAME,...", default=networks.NAMES, help="networks; default: both"
    )
    parser.add_argument("--leave-out", type=_names, metavar="SITE,...", default=(), help="sites to leave out")
    given = parser.parse_args(arguments)
    if given.out is None:
        if given.csv != FLEET or given.leave_out:
            parser.error("--out: name a folder, so that the shipped models stay what they are")
        given.out = SHIPPED
    return given


def _names(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    sys.exit(main())
