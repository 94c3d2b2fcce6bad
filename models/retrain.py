"""Train on new data, try the result, promote it if it is better: `scripts/retrain`, fit for cron.

In: a CSV of quarter-hours in kW, the newest weeks included. A network is trained on the older part of it; on the
newest part, that it was not made from, it is tried beside the stable version and the naive forecasts. Out: the
candidate in the Bento model store, labelled `canary`, and `stable` too if that was asked for and it is better by
the margin; a report; the exit status 0 if promoted, 3 if kept as canary, 1 if failed, 2 if not understood.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from models import networks
from models.catalogue import ServedModel
from models.errors import CannotRetrain, ModelError, ModelUnavailable
from models.fitting import ONE_SITE
from models.labels import CANARY, STABLE, assign, current, person
from models.naive import DAY
from models.reports import Data, Report, Test, write
from models.runner import Runner
from models.store import Store
from models.train import inputs, read_training, train
from models.trial import CANDIDATE, forecast, judge
from models.weights import verify
from processing.errors import ProcessingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from models.labels import Label
    from models.train import Training
    from models.trial import Trial
    from processing.reading import LoadProfile

PROMOTED, FAILED, KEPT = 0, 1, 3
BATCH = 256
EPILOG = """\
examples:
  scripts/retrain new.csv --model gru                        candidate becomes canary, whatever it is worth
  scripts/retrain new.csv --model gru --promote              ... and stable, if it is better by 2 %
  scripts/retrain new.csv --model cnn --name office-3 --margin 5% --promote

every Sunday at 03:00, by cron:
  0 3 * * 0  cd /path/to/lastgang && scripts/retrain /data/last-year.csv --model gru --promote

exit status: 0 promoted to stable, 3 kept as canary (the report says why), 1 failed, 2 not understood.
A running service takes up either label without a restart; `python -m models rollback NAME` undoes a promotion.
"""


@dataclass(frozen=True)
class Task:
    """What was asked for.

    Attributes:
        csv: the load profile.
        network: which network to train.
        name: the model that it is for.
        margin: the part of the stable version's error that has to be gone.
        promote: whether a better candidate becomes stable.
        epochs, seed: of the training.
    """

    csv: Path
    network: str
    name: str
    margin: float
    promote: bool
    epochs: int = ONE_SITE.epochs
    seed: int = 0


def retrain(task: Task, store: Store, *, at: datetime | None = None) -> Report:
    """Train, try, import and perhaps promote; every failure that was foreseen is a report, too.

    Args:
        task: what to do.
        store: where the models are.
        at: the time for the report, UTC; when it ends by default.
    """
    try:
        found = _tried(task, store)
    except (OSError, ValueError, ProcessingError, ModelError) as error:
        found = {"decision": "failed", "reason": str(error).rstrip(".")}
    asked = {"model": task.name, "network": task.network, "margin": task.margin}
    return Report.model_validate({"at": at or datetime.now(UTC)} | asked | found)


def _tried(task: Task, store: Store) -> dict[str, object]:
    from import_models import import_model  # noqa: PLC0415  # it is beside this package, where commands run

    training = read_training(task.csv)
    if len(training.profiles) > 1:
        raise CannotRetrain(f"the file holds {len(training.profiles)} sites; give that of one")
    profile = training.profile
    stable = _model(store, task.name, STABLE)
    origins = _origins(training, stable)
    with TemporaryDirectory() as folder:
        recipe = replace(ONE_SITE, epochs=task.epochs)
        train(training, Path(folder), seed=task.seed, recipe=recipe, names=[task.network])
        by = person("scripts/retrain")
        import_model(Path(folder, task.network), name=task.name, store=store, label=CANARY, by=by)
    tried = {CANDIDATE: (candidate := _model(store, task.name, CANARY)), STABLE: stable}
    kw = {
        name: forecast(model.runner, inputs(model.card, profile), origins, BATCH)
        for name, model in tried.items()
        if model is not None
    }
    trial = judge(kw, profile.power, origins)
    better, reason = trial.verdict(task.margin)
    if better and not task.promote:
        reason = f"--promote was not given, though {reason}"
    version = candidate.version if candidate else None
    if better and task.promote:
        assign(store, task.name, STABLE, version, by=by)
    return {
        "decision": "promoted" if better and task.promote else "kept",
        "reason": reason,
        "candidate": version,
        "stable": stable.version if stable else None,
        "data": _data(task, training),
        "test": _test(trial, profile, origins),
    }


def _model(store: Store, name: str, label: Label) -> ServedModel | None:
    """Load one labelled version; None if nothing bears the label."""
    entries = {entry.version: entry for entry in store.entries() if entry.name == name}
    version = current(store.folder(name), list(entries.values())).labels.get(label)
    if version is None:
        return None
    if version not in entries:
        raise ModelUnavailable(name, f"its label {label} names version {version}, which is not in the store")
    card = verify(entries[version].directory)
    return ServedModel(name, version, card, Runner(entries[version].directory, card, (BATCH,)))


def _origins(training: Training, stable: ServedModel | None) -> NDArray[np.int64]:
    """Give the rows of the newest part from which neither the candidate nor the stable version learnt.

    Raises:
        CannotRetrain: if less than a day of them is left, or the two answer different questions.
    """
    origins = training.fleet().parts["test"]
    if stable is not None:
        if (stable.card.window, stable.card.horizon) != (networks.WINDOW, networks.HORIZON):
            told = f"looks at {stable.card.window} quarter-hours and forecasts {stable.card.horizon}"
            raise CannotRetrain(f"the stable version {told}, so that the two cannot be compared")
        origins = origins[training.profile.time[origins] >= _learnt_until(stable)]
    if len(origins) < DAY:
        raise CannotRetrain(
            f"only {len(origins)} forecasts are left that neither version learnt from; give newer data, or more of it"
        )
    return origins


def _learnt_until(model: ServedModel) -> np.datetime64:
    """Give the end of what a model was made from: its own test part, where its card tells of one, it did not see."""
    card = model.card
    until = card.scores.test_from if card.scores else card.training_data.to if card.training_data else None
    if until is None:
        return np.datetime64(0, "s")
    # The first quarter-hour of its test part is the first that it did not see; an origin is the one before.
    return np.datetime64(int(until.timestamp()) - 900, "s")


def _data(task: Task, training: Training) -> Data:
    time = training.profile.time
    span = {"from": _utc(time[0]), "to": _utc(time[-1])}
    return Data.model_validate(span | {"file": task.csv.name, "sha256": training.data["sha256"], "rows": len(time)})


def _test(trial: Trial, profile: LoadProfile, origins: NDArray[np.int64]) -> Test:
    first, last = origins[0] + 1, origins[-1] + networks.HORIZON
    span = {"from": _utc(profile.time[first]), "to": _utc(profile.time[last])}
    mae = {name: [round(kw, 4) for kw in steps] for name, steps in trial.mae_kw.items()}
    return Test.model_validate(span | {"windows": trial.windows, "mae_kw": mae})


def _utc(instant: np.datetime64) -> datetime:
    return datetime.fromtimestamp(int(instant.astype("datetime64[s]").astype(np.int64)), UTC)


def percentage(text: str) -> float:
    """Read `2%` or `0.02`; anything outside 0 to 100 % is refused."""
    number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 <= number < 1:
        raise ValueError(text)
    return number


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Let one run at a time; the lock ends with the process at the latest.

    Raises:
        CannotRetrain: if another run holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise CannotRetrain(f"another retraining is at work (process {file.read().strip()}, {lock})") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what was asked for; print help or how to call the command, and exit, where asked."""
    parser = argparse.ArgumentParser(
        prog="scripts/retrain",
        description="Train on new data, try the result beside the stable version, promote it if it is better.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("csv", type=Path, metavar="NEW.csv", help="quarter-hours in kW, plain or .gz, a year or so")
    parser.add_argument("--model", required=True, choices=networks.NAMES, help="network to train")
    parser.add_argument("--name", help="model that it is for, default: the network's name")
    margin = "how much smaller than the stable version's the error has to be; default: 2%%"
    parser.add_argument("--margin", type=percentage, default="2%", help=margin)
    parser.add_argument("--promote", action="store_true", help="make it stable if it is better")
    parser.add_argument("--reports", type=Path, help="folder for the report; default: reports/ in LASTGANG_HOME")
    parser.add_argument("--epochs", type=int, default=ONE_SITE.epochs, help="of the training; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the training; default: %(default)s")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give the exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    given = parse(arguments)
    from auditing import recorder  # noqa: PLC0415  # help must come without settings
    from config import SettingsError, load_settings  # noqa: PLC0415

    name = given.name or given.model
    task = Task(given.csv, given.model, name, given.margin, given.promote, given.epochs, given.seed)
    try:
        settings = load_settings()
        home = settings.home
        with alone(home / "retrain.lock"), recorder(settings, "scripts/retrain") as record:
            with record.deed("model.retrain", model=name) as told:
                report = retrain(task, Store())
                told |= {"version": report.candidate, "reason": report.decision}
                told["label"] = {"promoted": STABLE, "kept": CANARY}.get(report.decision)
                if report.decision == "failed":
                    told["outcome"] = "failed"
            path = write(report, given.reports or home / "reports")
    except (SettingsError, CannotRetrain, OSError) as error:
        print(f"scripts/retrain: {error}", file=sys.stderr)
        return FAILED
    print(f"{task.name}: {report.decision}, because {report.reason}. {path}")
    return {"promoted": PROMOTED, "kept": KEPT, "failed": FAILED}[report.decision]


if __name__ == "__main__":
    sys.exit(main())
