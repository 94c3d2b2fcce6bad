"""Cards: what is accepted, what is refused and in which words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import QUIET, keras_model, members, save_model, write_members

from models import fields
from models.card import CARD, LARGEST_CARD, card_bytes, main, parse_card, read_card, write_card
from models.errors import InvalidCard
from models.weights import verify
from processing.features import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = QUIET
ROOT = Path(__file__).parent.parent
COLUMN = {"name": "power", "mean": 50.0, "std": 20.0}
STEPS = [1.0] * 8
SCORES = {
    "test_from": "2016-11-07T00:00:00Z",
    "test_to": "2016-12-31T00:00:00Z",
    "windows": 5,
    "mae_kw": {"toy": STEPS},
}
DATA = {
    "name": "a shop",
    "source": "its meter",
    "from": "2016-01-01T00:00:00+01:00",
    "to": "2016-12-31T23:45:00+01:00",
    "rows": 35136,
    "licence": "none",
    "sha256": "a" * 64,
}
LIBRARIES = {"python": "3.11", "tensorflow": "2.21", "keras": "3.15", "numpy": "2.4"}
QUANTILES = {"levels": [0.1, 0.9], "kw": [STEPS, STEPS]}
INTERVALS = {"levels": [0.1, 0.9], "spread": [[1.0] * 6] * 8, "quantiles": [[STEPS] * 24] * 2}


def parse(card: dict[str, Any]) -> Any:
    return parse_card(json.dumps(card).encode(), Path(CARD))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="least"),
        pytest.param(
            {"training_data": DATA, "scores": SCORES, "residual_quantiles": QUANTILES, "libraries": LIBRARIES},
            id="most",
        ),
        pytest.param({"intervals": INTERVALS}, id="with intervals"),
        pytest.param({"known_mean_kw": [-2.5, 40.0]}, id="with a scale"),
        pytest.param({"target": {"name": "power", "unit": "kW", "mean": 0, "std": 1}}, id="answers in kW"),
        pytest.param({"columns": [COLUMN]}, id="power alone"),
        pytest.param({"window": 96, "horizon": 1}, id="shorter"),
    ],
)
def test_valid_card_survives_writing(changes: dict[str, Any], tmp_path: Path) -> None:
    """What was written is read as an equal card, and written again gives equal bytes."""
    card = parse(members(**changes))
    write_card(card, tmp_path / CARD)
    assert read_card(tmp_path / CARD) == card
    assert card_bytes(read_card(tmp_path / CARD)) == card_bytes(card)


@given(
    mean=st.floats(allow_nan=False, allow_infinity=False),
    std=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
)
def test_every_finite_scaling_survives_to_the_last_bit(mean: float, std: float) -> None:
    """Scaling numbers lose nothing on their way through JSON."""
    scaled = {"mean": mean, "std": std}
    card = parse(members(columns=[COLUMN | scaled], target={"name": "power", "unit": "kW"} | scaled))
    assert (card.columns[0].mean, card.target.std) == (mean, std)
    assert parse_card(card_bytes(card), Path(CARD)) == card


@pytest.mark.parametrize(
    "changes, told",
    [
        pytest.param({"format": 2}, "format", id="unknown format"),
        pytest.param({"name": None}, "name: Field required", id="no name"),
        pytest.param({"name": "Büro"}, "name", id="letters that no URL wants"),
        pytest.param({"name": "a" * 33}, "name", id="long name"),
        pytest.param({"name": "office-"}, "name", id="name that Bento refuses"),
        pytest.param({"name": "../x"}, "name", id="name with a path"),
        pytest.param({"surprise": 1}, "surprise", id="unknown member"),
        pytest.param({"window": 673}, "window", id="more than a week"),
        pytest.param({"window": "672"}, "window", id="number as text"),
        pytest.param({"window": True}, "window", id="boolean for a number"),
        pytest.param({"interval_minutes": 60}, "interval_minutes", id="hourly"),
        pytest.param({"horizon": 0}, "horizon", id="no step"),
        pytest.param({"known_mean_kw": [40.0, 2.0]}, "known_mean_kw: write the lower", id="range upside down"),
        pytest.param({"known_mean_kw": [40.0]}, "known_mean_kw", id="half a range"),
        pytest.param({"columns": []}, "columns", id="no column"),
        pytest.param({"columns": [COLUMN | {"name": "weather"}]}, "'weather' is no column", id="unknown column"),
        pytest.param({"columns": [COLUMN, COLUMN]}, "twice", id="column twice"),
        pytest.param({"columns": [COLUMN | {"name": "day_sin"}]}, "'power' is missing", id="no power"),
        pytest.param({"columns": [COLUMN | {"std": 0}]}, "columns[0].std", id="no spread"),
        pytest.param({"columns": [COLUMN | {"mean": float("nan")}]}, "columns[0].mean", id="not a number"),
        pytest.param({"columns": [COLUMN | {"std": float("inf")}]}, "columns[0].std", id="infinite"),
        pytest.param({"target": {"name": "power", "unit": "W", "mean": 50.0, "std": 20.0}}, "target.unit", id="unit"),
        pytest.param(
            {"target": {"name": "power", "unit": "kW", "mean": 51.0, "std": 20.0}}, "target: mean", id="clash"
        ),
        pytest.param({"time_zone": "Europe/Atlantis"}, "time_zone", id="unknown zone"),
        pytest.param({"time_zone": "../../etc/passwd"}, "time_zone", id="zone with a path"),
        pytest.param({"time_zone": "Europe"}, "time_zone", id="zone that is a folder"),
        pytest.param({"files": None}, "files", id="no files"),
        pytest.param({"files": {}}, "files", id="empty files"),
        pytest.param({"files": {"../w.keras": "0" * 64}}, "files", id="file outside"),
        pytest.param({"files": {"/w.keras": "0" * 64}}, "files", id="absolute file"),
        pytest.param({"files": {"a\\w.keras": "0" * 64}}, "files", id="backslash"),
        pytest.param({"files": {"a//w.keras": "0" * 64}}, "files", id="path not plain"),
        pytest.param({"files": {"w.keras": "0" * 63}}, "files", id="short digest"),
        pytest.param({"scores": SCORES | {"mae_kw": {"toy": [1.0]}}}, "scores.mae_kw.toy: has 1", id="one score"),
        pytest.param({"scores": SCORES | {"test_to": "2016-12-31"}}, "scores.test_to", id="time without a zone"),
        pytest.param({"residual_quantiles": QUANTILES | {"levels": [0.9, 0.1]}}, "rising levels", id="levels fall"),
        pytest.param({"residual_quantiles": QUANTILES | {"kw": [STEPS]}}, "one list of kW", id="a level without kW"),
        pytest.param({"residual_quantiles": QUANTILES | {"kw": [STEPS, []]}}, "kw[1]", id="empty steps"),
        pytest.param({"residual_quantiles": QUANTILES | {"levels": [0.1, 1.0]}}, "levels[1]", id="level 1"),
        pytest.param({"intervals": INTERVALS | {"levels": [0.9, 0.1]}}, "rising levels", id="intervals' levels fall"),
        pytest.param({"intervals": INTERVALS | {"levels": [0.1]}}, "one table of 24 hours", id="a table too many"),
        pytest.param(
            {"intervals": INTERVALS | {"spread": [[1.0] * 6] * 7}}, "intervals.spread: has 7 lists", id="short spread"
        ),
        pytest.param(
            {"intervals": INTERVALS | {"spread": [[1.0] * 5] * 8}}, "intervals.spread[0]", id="a size without a number"
        ),
        pytest.param(
            {"intervals": INTERVALS | {"quantiles": [[STEPS] * 24, [STEPS] * 23]}}, "quantiles[1]", id="23 hours"
        ),
        pytest.param(
            {"intervals": INTERVALS | {"quantiles": [[STEPS] * 24, [[1.0], *[STEPS] * 23]]}},
            "intervals.quantiles[1][0]: has 1 numbers",
            id="an hour of one step",
        ),
        pytest.param({"window": 192, "intervals": INTERVALS}, "at least 193", id="window too short to be measured"),
        pytest.param(
            {
                "horizon": 97,
                "intervals": {
                    "levels": [0.5],
                    "spread": [[1.0] * 6] * 97,
                    "quantiles": [[[1.0] * 97] * 24],
                },
            },
            "at most 96 steps",
            id="horizon too long to be measured",
        ),
    ],
)
def test_card_is_refused_with_its_field(changes: dict[str, Any], told: str) -> None:
    """A card that is wrong or contradicts itself is refused in words that name the field."""
    with pytest.raises(InvalidCard) as refusal:
        parse(members(**changes))
    assert told in str(refusal.value)


def test_all_problems_are_told_together() -> None:
    """Who writes a card learns of every wrong member at once."""
    with pytest.raises(InvalidCard) as refusal:
        parse(members(horizon=-1, time_zone="Mars", name=7))
    assert len(refusal.value.problems) == 3


@pytest.mark.parametrize(
    "content, told",
    [
        pytest.param(None, "there is no card", id="missing"),
        pytest.param(b"{", "Invalid JSON", id="broken"),
        pytest.param(b"[]", "object", id="no object"),
        pytest.param(b"\xff", "Invalid JSON", id="no UTF-8"),
        pytest.param(b" " * (LARGEST_CARD + 1), "larger than", id="too large"),
    ],
)
def test_file_that_is_no_card_is_refused(content: bytes | None, told: str, tmp_path: Path) -> None:
    """A card's file must exist, be small and be JSON."""
    if content is not None:
        (tmp_path / CARD).write_bytes(content)
    with pytest.raises(InvalidCard, match=told):
        read_card(tmp_path / CARD)


def test_columns_are_those_that_processing_makes() -> None:
    """A card can name exactly the columns that exist."""
    assert fields.COLUMNS == COLUMNS


def test_command_completes_a_card_without_digests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m models.card DIR` turns a hand-written card into a valid one."""
    save_model(tmp_path / "saved_model")
    path = write_members(tmp_path, files=None)
    assert main([str(tmp_path)]) == 0
    assert "complete" in capsys.readouterr().out
    assert "saved_model/saved_model.pb" in read_card(path).files


@pytest.mark.parametrize("files, told", [(1, "1 file, complete"), (3, "3 files, complete")])
def test_command_counts_the_files(files: int, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In words as one would say them."""
    names = ["w.keras"] if files == 1 else [f"saved_model/{name}" for name in ("saved_model.pb", "a", "b")]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    write_members(tmp_path)
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith(f"{told}\n")


def exported(folder: Path, columns: int = 7, gives: Any = None) -> Path:
    save_model(folder / "saved_model", gives, shape=(None, 96, columns))
    return folder


def open_horizon(x: Any) -> Any:
    import tensorflow as tf  # noqa: PLC0415

    return tf.raw_ops.PlaceholderWithDefault(input=x[:, -5:, 0], shape=[None, None])


def keras_file(folder: Path) -> Path:
    folder.mkdir()
    keras_model().save(folder / "weights.keras")
    return folder


DRAFTS = [
    pytest.param(keras_file, "office-3", (672, 7, 8), id="Keras"),
    pytest.param(exported, "Office 3", (96, 7, 8), id="SavedModel"),
    pytest.param(lambda folder: exported(folder, 1), "3 -- Office_3!", (96, 1, 8), id="power alone"),
    pytest.param(lambda folder: exported(folder, 11), "Office.3", (96, 11, 8), id="every column"),
    pytest.param(lambda folder: exported(folder, gives=open_horizon), "office-3", (96, 7, 5), id="open horizon"),
]


@pytest.mark.parametrize("make, name, shape", DRAFTS)
def test_draft_says_what_the_weights_tell(
    make: Callable[[Path], Path], name: str, shape: tuple[int, int, int], tmp_path: Path
) -> None:
    """It is a valid card with their real shape and digests, and with nothing of another model's."""
    folder = make(tmp_path / name)
    assert main(["--new", str(folder)]) == 0
    card = read_card(folder / CARD)
    assert (card.window, len(card.columns), card.horizon) == shape
    assert card.column_names == COLUMNS[: shape[1]]
    assert {(card.target.mean, card.target.std), *((one.mean, one.std) for one in card.columns)} == {(0.0, 1.0)}
    assert (card.training_data, card.scores, card.residual_quantiles, card.intervals, card.libraries) == (None,) * 5
    assert card.name in {"office-3", "office"}
    assert verify(folder) == card


def test_draft_of_weights_without_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The card goes where --card says, and the commands that are named next work as they stand there."""
    folder = exported(tmp_path / "my models")
    path, card = (str(folder / name) for name in ("saved_model", "a.json"))
    assert main([path, "--new", "--card", card]) == 0
    told = capsys.readouterr().out
    assert all(f"{command} '{path}' --card '{card}'\n" in told for command in ("models.card", "import_models.py"))
    assert main([path, "--card", card]) == 0


NO_DRAFTS = [
    pytest.param(lambda folder: write_members(exported(folder)).parent, "is there already", id="a card is there"),
    pytest.param(lambda folder: exported(folder, 12), "takes (None, 96, 12)", id="twelve columns"),
    pytest.param(lambda folder: exported(folder, gives=lambda x: x), "gives (None, 96, 7)", id="no plain forecast"),
    pytest.param(lambda folder: folder, "is no SavedModel folder", id="nothing there"),
]


@pytest.mark.parametrize("make, told", NO_DRAFTS)
def test_draft_is_refused(
    make: Callable[[Path], Path], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says why, and what was there stays as it was."""
    folder = make(tmp_path / "office")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(["--new", str(folder)]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_help_names_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever writes a card finds all eleven names and the way to begin."""
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*COLUMNS, "--new my-model/", "eleven"))


@pytest.mark.parametrize("card", [None, "{", '{"format": 1}'], ids=["missing", "broken", "too little"])
def test_command_refuses_what_it_cannot_complete(
    card: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A card that would not be valid with its digests is left alone and told of in one line."""
    (tmp_path / "w.keras").touch()
    if card is not None:
        (tmp_path / CARD).write_text(card)
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert card is None or (tmp_path / CARD).read_text() == card


@pytest.mark.parametrize(
    "module", ["models.card", "models.catalogue", "models.draft", "models.runner", "models.store", "import_models"]
)
def test_importing_does_not_load_tensorflow(module: str) -> None:
    """Reading cards and building the service object costs no TensorFlow."""
    code = f"import sys, {module}; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
