"""The catalogue: which models of a store serve, and what becomes of those that cannot."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import bentoml
import numpy as np
import pytest
from bentoml._internal.models import ModelStore
from toy import QUIET, model_folder

from import_models import import_model
from models.card import CARD
from models.catalogue import Catalogue
from models.errors import ModelUnavailable, UnknownModel
from models.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = QUIET


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a model folder to import."""
    return model_folder(tmp_path_factory.mktemp("toy") / "model")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty Bento model store."""
    return Store(tmp_path / "models")


def loaded(store: Store) -> Catalogue:
    catalogue = Catalogue(store)
    catalogue.load()
    return catalogue


def reword(folder: Path, **changes: object) -> None:
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | changes))


@pytest.mark.parametrize("exists", [False, True])
def test_empty_store_is_not_ready(exists: bool, store: Store) -> None:
    """A service without a model has nothing to be ready for."""
    if exists:
        store.directory.mkdir()
    catalogue = loaded(store)
    assert not catalogue.ready
    assert catalogue.names() == ()


def test_nothing_is_ready_before_loading(folder: Path, store: Store) -> None:
    """What has not run once does not serve."""
    import_model(folder, store=store)
    catalogue = Catalogue(store)
    assert not catalogue.ready
    with pytest.raises(UnknownModel):
        catalogue.get("toy")


def test_imported_models_serve_under_their_names(folder: Path, store: Store) -> None:
    """Each name answers with its own card, version and numbers."""
    tags = [import_model(folder, name=name, store=store).tag for name in ("toy", "office-3")]
    catalogue = loaded(store)
    assert catalogue.ready
    assert catalogue.names() == ("office-3", "toy")
    for tag in tags:
        name, version = tag.split(":")
        model = catalogue.get(name)
        assert (model.name, model.version, model.card.name) == (name, version, name)
        assert model.runner.predict(np.zeros((1, 672, 7), np.float32)).tolist() == [[0.25] * 8]


def test_newest_version_of_a_name_serves(folder: Path, store: Store, tmp_path: Path) -> None:
    """The one that was imported last, whatever its version reads like."""
    import_model(folder, store=store)
    for words in ("second", "third"):
        newer = model_folder(tmp_path / words, description=words)
        last = import_model(newer, store=store)
    model = loaded(store).get("toy")
    assert f"{model.name}:{model.version}" == last.tag
    assert model.card.description == "third"
    assert len(store.entries()) == 3


def foreign_bento_model(store: Path) -> None:
    with bentoml.models.create("theirs:v1", labels={"team": "other"}, _model_store=ModelStore(store)) as model:
        Path(model.path, "weights.pkl").write_bytes(b"never read")


def foreign_junk(store: Path) -> None:
    (store / "theirs" / "v1").mkdir(parents=True)
    (store / "theirs" / "v1" / "model.yaml").write_text("- no: mapping")


def foreign_yaml(store: Path) -> None:
    (store / "theirs" / "v1").mkdir(parents=True)
    (store / "theirs" / "v1" / "model.yaml").write_text("{")


@pytest.mark.parametrize("leave", [foreign_bento_model, foreign_junk, foreign_yaml])
def test_foreign_models_are_ignored(leave: Callable[[Path], None], folder: Path, store: Store) -> None:
    """A store is shared: what is not ours neither serves nor stands in the way."""
    import_model(folder, store=store)
    leave(store.directory)
    catalogue = loaded(store)
    assert catalogue.ready
    assert catalogue.names() == ("toy",)
    assert catalogue.failures == {}


def changed_weights(entry: Path) -> None:
    with (entry / "saved_model" / "variables" / "variables.index").open("ab") as file:
        file.write(b"x")


def missing_file(entry: Path) -> None:
    (entry / "saved_model" / "fingerprint.pb").unlink()


def extra_file(entry: Path) -> None:
    (entry / "saved_model" / "assets").mkdir(exist_ok=True)
    (entry / "saved_model" / "assets" / "words.txt").write_text("x")


def pickled_objects(entry: Path) -> None:
    (entry / "custom_objects.pkl").write_bytes(b"x")


def linked_file(entry: Path) -> None:
    file = entry / "saved_model" / "fingerprint.pb"
    file.rename(entry.parent / "elsewhere.pb")
    file.symlink_to(entry.parent / "elsewhere.pb")


def no_card(entry: Path) -> None:
    (entry / CARD).unlink()


def other_name(entry: Path) -> None:
    reword(entry, name="gru")


def other_shape(entry: Path) -> None:
    reword(entry, horizon=4)


@pytest.mark.parametrize(
    "damage, told",
    [
        (changed_weights, "differs from its SHA-256"),
        (missing_file, "is missing"),
        (extra_file, "not listed in the card"),
        (pickled_objects, "never loaded"),
        (linked_file, "symbolic link"),
        (no_card, "there is no card"),
        (other_name, "name: is 'gru'"),
        (other_shape, "horizon"),
    ],
)
def test_damaged_model_is_refused_and_the_others_serve(
    damage: Callable[[Path], None], told: str, folder: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A model that is not what was imported is named with the reason, and takes nothing down with it."""
    import_model(folder, store=store)
    import_model(folder, name="broken", store=store)
    damage(store.newest()["broken"].directory)
    with caplog.at_level(logging.ERROR, "models.catalogue"):
        catalogue = loaded(store)
    assert told in catalogue.failures["broken"]
    assert told in caplog.text
    assert catalogue.names() == ("toy",)
    assert not catalogue.ready
    with pytest.raises(ModelUnavailable) as refusal:
        catalogue.get("broken")
    assert refusal.value.name == "broken"


def test_unknown_name_is_answered_with_the_known_ones(folder: Path, store: Store) -> None:
    """Who mistypes a name learns the right ones."""
    import_model(folder, store=store)
    with pytest.raises(UnknownModel) as refusal:
        loaded(store).get("tyo")
    assert (refusal.value.name, refusal.value.known) == ("tyo", ("toy",))


def test_loading_again_keeps_what_serves(folder: Path, store: Store, tmp_path: Path) -> None:
    """An unchanged model is not loaded twice, and a bad new version leaves the old one serving."""
    import_model(folder, store=store)
    catalogue = loaded(store)
    before = catalogue.get("toy")
    newer = import_model(model_folder(tmp_path / "newer", description="newer"), store=store)
    changed_weights(store.newest()["toy"].directory)
    catalogue.load()
    assert catalogue.get("toy") is before
    assert "differs" in catalogue.failures["toy"]
    assert catalogue.ready
    bentoml.models.delete(newer.tag, _model_store=ModelStore(store.directory))
    catalogue.load()
    assert catalogue.get("toy") is before
    assert catalogue.failures == {}
