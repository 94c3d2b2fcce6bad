"""The catalogue: which models of a store serve, and what becomes of those that cannot."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bentoml
import numpy as np
import pytest
from bentoml._internal.models import ModelStore
from toy import QUIET, model_folder

from import_models import import_model
from models.card import CARD
from models.catalogue import Catalogue, ServedModel
from models.errors import ModelError, ModelUnavailable, UnknownModel, UnknownVersion, VersionNotLoaded
from models.labels import FILE, assign, delete
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
        (other_shape, "is that of version"),
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
    assert told in catalogue.failures["broken", "stable"]
    assert told in caplog.text
    assert catalogue.names() == ("toy",)
    assert not catalogue.ready
    with pytest.raises(ModelUnavailable) as refusal:
        catalogue.get("broken")
    assert refusal.value.name == "broken"


def test_batches_wait_at_the_first_load_and_never_after(
    folder: Path, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A start is short; a version that comes later is compiled in full before it takes the other one's place."""
    caplog.set_level("INFO")
    import_model(folder, store=store)
    catalogue = Catalogue(store, batch_sizes=(1, 4))
    catalogue.load()
    first = catalogue.get("toy").runner
    assert (catalogue.ready, first.batch_sizes) == (True, (1,))
    assert "compiled" not in caplog.text
    catalogue.compile_rest()
    assert first.batch_sizes == (1, 4)
    assert f"model toy:{catalogue.get('toy').version} is compiled" in caplog.text
    other = shutil.copytree(folder, tmp_path / "other")
    reword(other, description="another")
    import_model(other, store=store)
    assert catalogue.refresh()
    assert catalogue.get("toy").runner is not first
    assert catalogue.get("toy").runner.batch_sizes == (1, 4)


def test_a_batch_that_cannot_be_compiled_is_told(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A model for lone weeks only goes on answering; the log has a sentence about its batches."""

    def alone(x: Any) -> Any:
        import tensorflow as tf  # noqa: PLC0415

        return tf.broadcast_to(tf.reshape(x[:, -1, :1], (1, 1)), (tf.shape(x)[0], 8))

    import_model(model_folder(tmp_path / "model", alone), store=store)
    catalogue = Catalogue(store, batch_sizes=(1, 4))
    catalogue.load()
    catalogue.compile_rest()
    assert "model toy: " in caplog.text
    assert catalogue.get("toy").runner.batch_sizes == (1,)


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
    assert "differs" in catalogue.failures["toy", "stable"]
    assert catalogue.ready
    bentoml.models.delete(newer.tag, _model_store=ModelStore(store.directory))
    catalogue.load()
    assert catalogue.get("toy") is before
    assert "not in the store" in catalogue.failures["toy", "stable"]
    assign(store, "toy", "stable", before.version, by="a test")
    catalogue.load()
    assert catalogue.get("toy") is before
    assert catalogue.failures == {}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Give three model folders of the name `toy` whose cards differ."""
    parent = tmp_path_factory.mktemp("versions")
    return [model_folder(parent / words, description=words) for words in ("one", "two", "three")]


@pytest.fixture
def versions(store: Store, folders: list[Path]) -> list[str]:
    """Import the three: the first is stable, the second canary, the third bears no label."""
    wanted = ("stable", "canary", "none")
    done = [import_model(each, store=store, label=label) for each, label in zip(folders, wanted, strict=True)]  # type: ignore[arg-type]
    return [one.tag.split(":")[1] for one in done]


def test_versions_and_labels_are_answered(store: Store, versions: list[str]) -> None:
    """A label and the version that bears it are the same model; without either it is the stable one."""
    catalogue = loaded(store)
    one, two, three = versions
    asked = {None: one, "stable": one, one: one, "canary": two, two: two}
    assert {version: catalogue.get("toy", version).version for version in asked} == asked
    with pytest.raises(VersionNotLoaded, match=f"label toy {three} canary"):
        catalogue.get("toy", three)
    (known,) = catalogue.known()
    assert [(entry.version, known.labels.of(entry.version)) for entry in known.entries] == [
        (three, ()),
        (two, ("canary",)),
        (one, ("stable",)),
    ]


@pytest.mark.parametrize("version", ["", "9", "latest", "STABLE", "x" * 5000])
def test_unknown_version_is_answered_with_what_there_is(version: str, store: Store, versions: list[str]) -> None:
    """Who mistypes a version learns the right ones, in a message of bounded length."""
    with pytest.raises(UnknownVersion) as refusal:
        loaded(store).get("toy", version)
    assert f"stable ({versions[0]}), canary ({versions[1]}), {versions[2]}" in str(refusal.value)
    assert len(str(refusal.value)) < 300


def test_name_without_a_stable_version_is_no_failure(store: Store, folders: list[Path]) -> None:
    """A model that is only on trial answers on trial only, and keeps nobody from being ready."""
    done = import_model(folders[0], store=store, label="canary")
    catalogue = loaded(store)
    assert catalogue.get("toy", "canary").version in done.tag
    with pytest.raises(UnknownVersion, match="canary"):
        catalogue.get("toy")
    assert not catalogue.ready  # nothing answers yet where nothing is asked for
    import_model(folders[0], name="other", store=store)
    catalogue.load()
    assert catalogue.ready


def test_store_is_looked_at_again_only_when_it_has_changed(store: Store, versions: list[str]) -> None:
    """Nothing is loaded anew for nothing, and what is loaded already takes a label at once."""
    catalogue = loaded(store)
    one, canary = catalogue.get("toy"), catalogue.get("toy", "canary")
    assert not catalogue.refresh()
    assign(store, "toy", "stable", versions[1], by="a test")
    assert catalogue.get("toy") is one
    assert catalogue.refresh()
    assert catalogue.get("toy") is canary
    with pytest.raises(VersionNotLoaded):
        catalogue.get("toy", versions[0])
    assert not catalogue.refresh()
    delete(store, next(entry for entry in store.entries() if entry.version == versions[2]))
    assert catalogue.refresh()
    with pytest.raises(UnknownVersion):
        catalogue.get("toy", versions[2])


def no_labels_file(folder: Path, _: list[str]) -> None:
    (folder / FILE).write_text("{")


def label_for_a_ghost(folder: Path, versions: list[str]) -> None:
    (folder / FILE).write_text((folder / FILE).read_text().replace(versions[0], "f" * 16))


def label_for_damaged_weights(folder: Path, versions: list[str]) -> None:
    changed_weights(folder / versions[2])
    (folder / FILE).write_text((folder / FILE).read_text().replace(versions[0], versions[2]))


def no_version_folder(folder: Path, versions: list[str]) -> None:
    shutil.rmtree(folder / versions[0])


def no_folder(folder: Path, _: list[str]) -> None:
    shutil.rmtree(folder)


def no_store(folder: Path, _: list[str]) -> None:
    shutil.rmtree(folder.parent)


def file_instead(folder: Path, _: list[str]) -> None:
    shutil.rmtree(folder)
    folder.write_text("x")


HARM = [
    (no_labels_file, "is not valid"),
    (label_for_a_ghost, "not in the store"),
    (label_for_damaged_weights, "differs from its SHA-256"),
    (no_version_folder, "not in the store"),
    (no_folder, "has vanished"),
    (no_store, "has vanished"),
    (file_instead, "has vanished"),
]


@pytest.mark.parametrize("harm, told", HARM)
def test_harm_to_the_store_leaves_what_serves(
    harm: Callable[[Path, list[str]], None],
    told: str,
    store: Store,
    versions: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever is deleted or broken, the version that answered goes on; it is told once, and stays ready."""
    catalogue = loaded(store)
    before = catalogue.get("toy")
    harm(store.folder("toy"), versions)
    with caplog.at_level(logging.ERROR, "models.catalogue"):
        for _ in range(4):
            catalogue.refresh()
    assert catalogue.get("toy") is before
    assert catalogue.get("toy", "stable") is before
    assert catalogue.ready
    assert told in catalogue.failures["toy", "stable"]
    assert len([record for record in caplog.records if "stable" in record.message]) == 1
    assert not catalogue.refresh()


@pytest.mark.parametrize("harm, told", HARM[:4])
def test_harm_before_the_start_is_not_hidden(
    harm: Callable[[Path, list[str]], None], told: str, store: Store, versions: list[str]
) -> None:
    """A worker that starts with a stable version that cannot be loaded is not ready, and takes no other for it."""
    harm(store.folder("toy"), versions)
    catalogue = loaded(store)
    assert not catalogue.ready
    with pytest.raises(ModelUnavailable, match=told):
        catalogue.get("toy")


def test_broken_canary_does_not_take_the_worker_out(store: Store, versions: list[str]) -> None:
    """What is on trial may fail: the name answers, its canary does not, and the worker is ready."""
    changed_weights(store.folder("toy") / versions[1])
    catalogue = loaded(store)
    assert catalogue.ready
    assert catalogue.get("toy").version == versions[0]
    for asked in ("canary", versions[1]):
        with pytest.raises(ModelUnavailable, match="differs"):
            catalogue.get("toy", asked)


def test_mended_version_is_taken_up(store: Store, versions: list[str], folders: list[Path]) -> None:
    """A file that comes late, or an import that replaces what was broken, is noticed without a restart."""
    catalogue = loaded(store)
    file = store.folder("toy") / versions[2] / "saved_model" / "fingerprint.pb"
    content = file.read_bytes()
    file.unlink()
    assign(store, "toy", "stable", versions[2], by="a test")
    for _ in range(3):
        catalogue.refresh()
    assert catalogue.get("toy").version == versions[0]
    file.write_bytes(content)
    assert catalogue.refresh()
    assert catalogue.get("toy").version == versions[2]
    assert catalogue.failures == {}


class AskedMeanwhile(Catalogue):
    """A catalogue that somebody asks each time that it begins to load a version."""

    answers: list[str]

    def _serve(self, *given: Any) -> ServedModel:
        self.answers += [self.get("toy").version] if self.names() else []
        return super()._serve(*given)


def test_answers_go_on_while_a_version_is_loaded(store: Store, versions: list[str]) -> None:
    """Whoever asks while a version is being loaded gets the one before it, and never waits."""
    catalogue = AskedMeanwhile(store)
    catalogue.answers = []
    catalogue.load()
    assign(store, "toy", "stable", versions[2], by="a test")
    catalogue.refresh()
    assert set(catalogue.answers) == {versions[0]}
    assert catalogue.get("toy").version == versions[2]


def test_errors_of_every_kind_keep_the_old_version(store: Store, versions: list[str]) -> None:
    """Not only what was foreseen: a file that may not be read is a failure like the others."""
    catalogue = loaded(store)
    before = catalogue.get("toy")
    (store.folder("toy") / versions[2] / CARD).unlink()
    (store.folder("toy") / versions[2] / CARD).mkdir()
    assign(store, "toy", "stable", versions[2], by="a test")
    catalogue.refresh()
    assert catalogue.get("toy") is before
    assert isinstance(catalogue.failures["toy", "stable"], str)


def test_name_that_lost_its_labels_and_versions_is_forgotten(store: Store, folders: list[Path]) -> None:
    """What was taken away on purpose is gone, not failed."""
    import_model(folders[0], store=store)
    catalogue = loaded(store)
    assign(store, "toy", "stable", None, by="a test")
    delete(store, store.newest()["toy"])
    catalogue.refresh()
    assert (catalogue.names(), catalogue.failures, catalogue.known()) == ((), {}, ())
    with pytest.raises(ModelError):
        catalogue.get("toy")
