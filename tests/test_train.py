"""Training: the whole way on a small slice, the honesty of its split, and the scores that ship."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from toy import QUIET, card_of

from import_models import SHIPPED, import_model
from models import naive, networks
from models.catalogue import Catalogue
from models.runner import Runner
from models.store import Store
from models.train import COLUMNS, SAMPLE, main, prepare, read_profile, train
from processing.pipeline import Preparation
from processing.reading import LoadProfile

if TYPE_CHECKING:
    from pathlib import Path

    from models.card import ModelCard

pytestmark = QUIET
NAIVE = ("last_value", "yesterday", "last_week", "last_week_change")
LIMITS = {"cnn": 1.72, "gru": 1.66}  # kW; 1.66 is LightGBM with relative lags, see benchmarks/accuracy.py


@pytest.fixture(scope="module")
def year() -> LoadProfile:
    """Give the sample year."""
    return read_profile(SAMPLE)[0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, shop: bytes) -> tuple[Path, Path, list[ModelCard]]:
    """Train for a moment on a slice: the CSV, the folder of the models, and their cards."""
    folder = tmp_path_factory.mktemp("trained")
    csv = write_slice(folder / "slice.csv", shop, 1500)
    return csv, folder / "out", train(csv, folder / "out", epochs=1)


def write_slice(path: Path, shop: bytes, rows: int) -> Path:
    path.write_bytes(b"\n".join(shop.splitlines()[: rows + 1]) + b"\n")
    return path


def test_trained_models_import_and_serve(tmp_path: Path, trained: tuple[Path, Path, list[ModelCard]]) -> None:
    """From a CSV to an answer: what one command wrote is imported as it is and forecasts in kW."""
    csv, out, cards = trained
    assert [card.name for card in cards] == list(networks.NAMES)
    store = Store(tmp_path / "store")
    for card in cards:
        import_model(out / card.name, store=store)
    catalogue = Catalogue(store)
    catalogue.load()
    assert catalogue.ready
    profile = read_profile(csv)[0]
    for name in networks.NAMES:
        model = catalogue.get(name)
        power = forecast(model.runner, model.card, profile)
        assert power.shape == (1, 8)
        assert (np.abs(power - profile.power[-1]) < 50).all()
        assert model.card.training_data is not None
        assert model.card.training_data.rows == 1500
        assert model.card.scores is not None
        assert set(model.card.scores.mae_kw) == {name, *NAIVE}


def forecast(runner: Runner, card: ModelCard, profile: LoadProfile) -> Any:
    preparation = Preparation(
        card.column_names,
        [column.mean for column in card.columns],
        [column.std for column in card.columns],
        card.target.mean,
        card.target.std,
        card.window,
    )
    return preparation.power(runner.predict(preparation.model_input(profile)))


def test_command_repeats_what_it_did(
    tmp_path: Path, trained: tuple[Path, Path, list[ModelCard]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same profile and seed give the same scores, and the command prints them."""
    csv, _, cards = trained
    assert main([str(csv), "--out", str(tmp_path), "--epochs", "1"]) == 0
    told = capsys.readouterr().out.splitlines()
    for one, line in zip(cards, told, strict=True):
        other = card_of(tmp_path / one.name)
        assert one.scores is not None
        assert other.scores is not None
        gap = np.subtract(one.scores.mae_kw[one.name], other.scores.mae_kw[one.name])
        assert np.abs(gap).max() < 1e-3  # kW
        assert line.startswith(f"{one.name}, MAE in kW: {one.name} {np.mean(other.scores.mae_kw[one.name]):.2f}")


def test_no_part_sees_the_hours_of_another(year: LoadProfile) -> None:
    """The forecasts of the three parts cover hours of their own, in the order of time, and none is left out."""
    series = prepare(year)
    covered = [
        (origins[0] + 1, origins[-1] + networks.HORIZON)
        for origins in (series.origins[part] for part in ("train", "validation", "test"))
    ]
    n = len(year.power)
    assert covered == [(673, int(0.7 * n) - 1), (int(0.7 * n), int(0.85 * n) - 1), (int(0.85 * n), n - 1)]


def test_scaling_is_learnt_from_the_training_part_alone(year: LoadProfile) -> None:
    """Another second half of the year changes neither mean nor deviation."""
    first = int(0.7 * len(year.power))
    changed = year.power.copy()
    changed[first:] *= 5
    other = LoadProfile(year.time, year.clock, changed, year.time_zone)
    before, after = prepare(year), prepare(other)
    assert np.array_equal(before.mean, after.mean)
    assert np.array_equal(before.std, after.std)
    assert before.mean[0] == year.power[:first].mean()


def test_windows_end_at_their_origin_and_targets_follow(year: LoadProfile) -> None:
    """A window's last row is its origin and the target begins one quarter-hour later."""
    series = prepare(year)
    origins = np.array([671, 20_000])
    x, y = series.x(origins), series.y(origins)
    assert x.shape == (2, 672, len(COLUMNS))
    kw = x[:, :, 0] * series.std[0] + series.mean[0]
    np.testing.assert_allclose(kw[1], year.power[20_000 - 671 : 20_001], rtol=0, atol=1e-4)
    np.testing.assert_allclose(y[1] * series.std[0] + series.mean[0], year.power[20_001:20_009], rtol=0, atol=1e-4)


def test_naive_forecasts_are_what_their_names_say() -> None:
    """Checked on a series whose value is its own row number."""
    power = np.arange(2000.0)
    forecasts = naive.naive(power, np.array([1500]), 8)
    assert list(forecasts) == list(NAIVE)
    assert forecasts["last_value"][0].tolist() == [1500.0] * 8
    assert forecasts["yesterday"][0].tolist() == list(range(1405, 1413))
    assert forecasts["last_week"][0].tolist() == list(range(829, 837))
    assert forecasts["last_week_change"][0].tolist() == list(range(1501, 1509))
    assert naive.actual(power, np.array([1500]), 8)[0].tolist() == list(range(1501, 1509))


@pytest.mark.parametrize("rows", [672, 700, 960])
def test_profile_that_is_too_short_is_refused(
    rows: int, tmp_path: Path, shop: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is trained on a profile that leaves a part without a single forecast."""
    csv = write_slice(tmp_path / "short.csv", shop, rows)
    assert main([str(csv), "--out", str(tmp_path / "out")]) == 1
    assert "too few" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["missing.csv", "README.md"])
def test_command_ends_with_one_line_for_a_bad_file(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that cannot be read as a load profile is told of, not traced back."""
    assert main([str(SAMPLE.parent / name), "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("models.train: ")


@pytest.mark.parametrize("name", networks.NAMES)
def test_shipped_scores_are_true(name: str, year: LoadProfile) -> None:
    """The shipped weights give the error that their card states, and beat every naive forecast and the limit."""
    folder = SHIPPED / name
    card = card_of(folder)
    assert card.scores is not None
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 2_000_000
    series = prepare(year)
    origins = series.origins["test"]
    answer = Runner(folder, card, (512,)).predict(series.x(origins))
    came = series.came(origins)
    errors = {name: came - (answer * card.target.std + card.target.mean)}
    errors |= {key: came - given for key, given in naive.naive(series.power, origins, 8).items()}
    assert card.scores.windows == len(origins)
    assert set(card.scores.mae_kw) == set(errors)
    for key, error in errors.items():
        np.testing.assert_allclose(card.scores.mae_kw[key], np.abs(error).mean(axis=0), rtol=0, atol=1e-3)
    means = {key: float(np.abs(error).mean()) for key, error in errors.items()}
    assert means[name] < min(means[key] for key in NAIVE)
    assert means[name] < LIMITS[name]


@pytest.mark.parametrize("name", networks.NAMES)
def test_shipped_card_tells_what_it_was_trained_on(name: str) -> None:
    """Period, licence, scaling, quantiles and versions stand in the card of every shipped model."""
    card = card_of(SHIPPED / name)
    assert card.training_data is not None
    assert card.training_data.sha256 == read_profile(SAMPLE)[1]
    assert "ODbL" in card.training_data.licence
    assert card.libraries is not None
    assert card.residual_quantiles is not None
    assert (np.diff(card.residual_quantiles.kw, axis=0) > 0).all()
    assert card.column_names == COLUMNS
