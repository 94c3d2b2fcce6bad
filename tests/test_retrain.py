"""Retraining: when a candidate is promoted, when it is kept as canary, when it fails; and what is left behind."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from toy import QUIET, model_folder

from import_models import import_model
from models.errors import CannotRetrain
from models.labels import current
from models.reports import Report, markdown, write
from models.retrain import EPILOG, Task, alone, main, percentage, retrain
from models.store import Store
from models.trial import Trial, judge

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = QUIET
ROOT = Path(__file__).parent.parent
ROWS = 1600
NOW = datetime(2026, 11, 1, 3, tzinfo=UTC)


def write_csv(path: Path, power: list[float], start: datetime) -> Path:
    """Write quarter-hours with an offset, so that the year's clock changes do not matter."""
    stamps = [start + timedelta(minutes=15 * row) for row in range(len(power))]
    rows = [f"{stamp:%Y-%m-%dT%H:%M:%S}+00:00,{kw:.4f}" for stamp, kw in zip(stamps, power, strict=True)]
    path.write_text("\n".join(["Datum,Wert (kW)", *rows]) + "\n")
    return path


def noise() -> list[float]:
    """Give power that no naive forecast hits, so that any mean of them is better."""
    return list((50 + np.random.default_rng(1).normal(0, 5, ROWS)).clip(1))


def clockwork() -> list[float]:
    """Give power that repeats each week to the digit, so that last week cannot be beaten."""
    return list(np.resize((50 + np.random.default_rng(1).normal(0, 5, 672)).round(2), ROWS))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty Bento model store."""
    return Store(tmp_path / "bentoml" / "models")


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """Give the retraining of a GRU for the model `toy` on noise."""
    csv = write_csv(tmp_path / "noise.csv", noise(), datetime(2026, 5, 1, tzinfo=UTC))
    return Task(csv, "gru", "toy", 0.02, promote=True, epochs=1)


def labels(store: Store) -> dict[str, str]:
    entries = [entry for entry in store.entries() if entry.name == "toy"]
    return {str(label): version for label, version in current(store.folder("toy"), entries).labels.items()}


def test_better_candidate_is_promoted_and_the_next_like_it_is_kept(tmp_path: Path, task: Task, store: Store) -> None:
    """Better than the stable version and all naive forecasts becomes stable; no better than itself does not."""
    import_model(model_folder(tmp_path / "stable"), store=store)  # repeats the last value and adds 5 kW
    stable = labels(store)["stable"]
    first = retrain(task, store, at=NOW)
    assert (first.decision, first.stable) == ("promoted", stable)
    assert labels(store) == {"stable": first.candidate, "canary": first.candidate}
    assert first.test is not None
    assert first.data is not None
    assert set(first.test.mae_kw) == {"candidate", "stable", "last_value", "yesterday", "last_week", "last_week_change"}
    assert first.test.windows == 240 - 7  # a test part of 15 %, forecasts of eight steps
    assert first.test.to == first.data.to
    assert first.data.rows == ROWS
    again = retrain(task, store, at=NOW)
    assert (again.decision, again.stable) == ("kept", first.candidate)
    assert "the margin is 2.0%" in again.reason


def test_candidate_is_the_canary_and_no_more_unless_asked(task: Task, store: Store) -> None:
    """Without --promote the report says that it would have been better; a first version is no stable one then."""
    report = retrain(replace(task, promote=False), store, at=NOW)
    assert report.decision == "kept"
    assert report.reason.startswith("--promote was not given, though its error of")
    assert labels(store) == {"canary": report.candidate}


def test_candidate_that_a_naive_forecast_beats_is_kept(tmp_path: Path, task: Task, store: Store) -> None:
    """However bad the stable version is: what last week's values do better is not promoted."""
    import_model(model_folder(tmp_path / "stable"), store=store)
    stable = labels(store)["stable"]
    csv = write_csv(tmp_path / "clockwork.csv", clockwork(), datetime(2026, 5, 1, tzinfo=UTC))
    report = retrain(replace(task, csv=csv), store, at=NOW)
    assert report.decision == "kept"
    assert "'last_week'" in report.reason
    assert labels(store) == {"stable": stable, "canary": report.candidate}


def broken_stable(store: Store, folder: Path, task: Task) -> Task:
    import_model(folder, store=store)
    with (store.newest()["toy"].directory / "saved_model" / "saved_model.pb").open("ab") as file:
        file.write(b"x")
    return task


def vanished_stable(store: Store, folder: Path, task: Task) -> Task:
    import_model(folder, store=store)
    store.remove(store.newest()["toy"])
    return task


def no_csv(store: Store, folder: Path, task: Task) -> Task:
    return replace(task, csv=folder / "missing.csv")


def no_load_profile(store: Store, folder: Path, task: Task) -> Task:
    task.csv.write_text("a,b\n1,2\n")
    return task


def too_short(store: Store, folder: Path, task: Task) -> Task:
    task.csv.write_text("\n".join(task.csv.read_text().splitlines()[:900]))
    return task


def seen_before(store: Store, folder: Path, task: Task) -> Task:
    """Let the stable version have learnt from what came after this file."""
    data = {"name": "x", "source": "x", "from": "2026-01-01T00:00:00Z", "to": "2027-01-01T00:00:00Z", "rows": 1}
    import_model(
        model_folder(folder.parent / "other", training_data=data | {"licence": "x", "sha256": "0" * 64}), store=store
    )
    return task


FAILED = [
    (broken_stable, "differs from its SHA-256"),
    (vanished_stable, "not in the store"),
    (no_csv, "missing.csv"),
    (no_load_profile, "column"),
    (too_short, "too few"),
    (seen_before, "only 0 forecasts are left that neither version learnt from"),
]


@pytest.mark.parametrize("prepare, told", FAILED)
def test_failure_is_reported_and_changes_no_label(
    prepare: Callable[[Store, Path, Task], Task], told: str, tmp_path: Path, task: Task, store: Store
) -> None:
    """Nothing is imported and nothing is promoted by a run that cannot judge its candidate."""
    task = prepare(store, model_folder(tmp_path / "stable"), task)
    before, versions = labels(store), store.entries()
    report = retrain(task, store, at=NOW)
    assert report.decision == "failed"
    assert told in report.reason
    assert (labels(store), store.entries()) == (before, versions)


VERDICTS = [
    ({"candidate": 1.0, "stable": 1.1, "last_week": 2.0}, 0.02, True, "the margin is 2.0%"),
    ({"candidate": 1.0, "stable": 1.01, "last_week": 2.0}, 0.02, False, "-1.0% of the stable"),
    ({"candidate": 1.0, "stable": 1.01, "last_week": 2.0}, 0.0, True, "-1.0% of the stable"),
    ({"candidate": 1.0, "stable": 1.0, "last_week": 2.0}, 0.0, False, "+0.0% of the stable"),
    ({"candidate": 1.0, "stable": 5.0, "last_week": 1.0, "yesterday": 3.0}, 0.02, False, "'last_week'"),
    ({"candidate": 1.0, "last_week": 2.0}, 0.5, True, "no version is stable yet"),
    ({"candidate": 0.0, "stable": 0.0, "last_week": 1.0}, 0.0, False, "stable"),
]


@pytest.mark.parametrize("errors, margin, better, told", VERDICTS)
def test_verdict(errors: dict[str, float], margin: float, better: bool, told: str) -> None:
    """Better than stable by the margin and than every naive forecast, or not; the reason holds the figures."""
    trial = Trial({name: (kw, kw) for name, kw in errors.items()}, 10)
    assert trial.verdict(margin)[0] == better
    assert told in trial.verdict(margin)[1]


def test_errors_are_means_over_the_windows_for_each_step() -> None:
    """Checked on a series whose value is its own row number."""
    power, origins = np.arange(800.0), np.array([700, 701])
    trial = judge({"candidate": np.array([[701.0, 700.0], [702.0, 705.0]])}, power, origins)
    assert trial.mae_kw["candidate"] == (0.0, 2.0)
    assert trial.mae_kw["last_value"] == (1.0, 2.0)
    assert (trial.windows, trial.best_naive) == (2, "last_week_change")


@pytest.mark.parametrize("text, number", [("2%", 0.02), ("0.02", 0.02), ("0", 0.0), ("99.9%", 0.999)])
def test_margin_is_a_percentage_or_a_number(text: str, number: float) -> None:
    """Both spellings mean the same."""
    assert percentage(text) == pytest.approx(number, abs=1e-12)


@pytest.mark.parametrize("text", ["100%", "-1%", "2", "nan", "two", ""])
def test_margin_that_makes_no_sense_ends_with_2(text: str) -> None:
    """A margin of 2 is 200 %, which no model can reach: it is not guessed to be a percentage."""
    with pytest.raises(SystemExit) as ended:
        main(["new.csv", "--model", "gru", f"--margin={text}"])
    assert ended.value.code == 2


def test_report_is_json_for_programs_and_markdown_for_people(tmp_path: Path) -> None:
    """Both hold the decision, its reason, the span of the data and the figures."""
    test = {"from": NOW, "to": NOW, "windows": 7, "mae_kw": {"stable": [2.0, 4.0], "candidate": [1.0, 2.0]}}
    data = {"file": "a.csv", "sha256": "0" * 64, "from": NOW, "to": NOW, "rows": 9}
    members = {"at": NOW, "model": "toy", "network": "gru", "decision": "kept", "reason": "so", "margin": 0.02}
    report = Report.model_validate(members | {"test": test, "data": data})
    path = write(report, tmp_path / "reports")
    assert sorted(file.name for file in path.parent.iterdir()) == ["toy-20261101T030000Z.json", path.name]
    assert Report.model_validate_json(path.with_suffix(".json").read_bytes()) == report
    assert json.loads(path.with_suffix(".json").read_text())["data"]["from"] == "2026-11-01T03:00:00Z"
    lines = path.read_text().splitlines()
    assert lines[0] == "# toy: kept"
    assert lines[-2:] == ["| candidate | 1.500 | 1.000 | 2.000 |", "| stable | 3.000 | 2.000 | 4.000 |"]
    assert "failed: so" in markdown(report.model_copy(update={"decision": "failed", "test": None, "data": None}))


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    """The second one says who is at work; the lock of a run that was killed does not stay."""
    lock = tmp_path / "home" / "retrain.lock"
    with alone(lock), pytest.raises(CannotRetrain, match=f"process {os.getpid()}"), alone(lock):
        raise AssertionError("two at once")
    with alone(lock):
        assert lock.read_text() == f"{os.getpid()}\n"


def command(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"BENTOML_HOME": str(tmp_path / "bentoml"), "LASTGANG_HOME": str(tmp_path / "home")}
    call = [sys.executable, "-m", "models.retrain", *arguments]
    return subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_command_from_a_file_to_a_report(tmp_path: Path, task: Task, store: Store) -> None:
    """Promoted is 0, kept is 3; without a terminal there is no progress bar and one line of answer."""
    arguments = [str(task.csv), "--model", "gru", "--name", "toy", "--epochs", "1"]
    kept = command(tmp_path, *arguments)
    assert (kept.returncode, kept.stdout[:22]) == (3, "toy: kept, because --pr"[:22])
    promoted = command(tmp_path, *arguments, "--promote", "--margin", "0")
    assert promoted.returncode == 0
    for done in (kept, promoted):
        assert len(done.stdout.splitlines()) == 1
        assert "batch" not in done.stderr
    reports = sorted((tmp_path / "home" / "reports").glob("*.md"))
    assert [report.read_text().splitlines()[0] for report in reports] == ["# toy: kept", "# toy: promoted"]
    assert set(labels(store)) == {"stable", "canary"}


def test_command_that_fails_ends_with_1(tmp_path: Path) -> None:
    """A missing file is a failed report; a run beside another is one line and no report."""
    arguments = [str(tmp_path / "missing.csv"), "--model", "gru"]
    failed = command(tmp_path, *arguments)
    assert (failed.returncode, failed.stdout[:12]) == (1, "gru: failed,")
    with (tmp_path / "home" / "retrain.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        beside = command(tmp_path, *arguments)
    assert (beside.returncode, beside.stdout) == (1, "")
    assert beside.stderr.startswith("scripts/retrain: another retraining is at work")
    assert len(list((tmp_path / "home" / "reports").iterdir())) == 2


def test_help_teaches_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks for help sees how cron calls it and what each exit status means."""
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert EPILOG.strip() in shown
    assert all(words in shown for words in ("--promote", "--margin", "exit status: 0 promoted", "2%"))
