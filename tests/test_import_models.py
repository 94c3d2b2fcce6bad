"""Importing: a model of one's own comes in under a name of its own, and what may not come in does not."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from toy import QUIET, card_of, keras_folder, keras_model, members, model_folder, save_model, write_members

from import_models import SHIPPED, SHIPPED_IMPORT, _said, import_model, main
from models.card import CARD
from models.catalogue import Catalogue
from models.errors import InvalidCard, ModelError, RefusedWeights
from models.keras_file import LARGEST_UNPACKED
from models.labels import FILE, assign, current, previous
from models.store import Store
from models.weights import complete_card, locate

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = QUIET
ROOT = Path(__file__).parent.parent


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty Bento model store."""
    return Store(tmp_path / "store")


def answers(store: Store, name: str) -> Any:
    catalogue = Catalogue(store)
    catalogue.load()
    return catalogue.get(name).runner.predict(np.ones((2, 672, 7), np.float32))


def test_model_of_ones_own_serves_under_a_name_of_its_own(tmp_path: Path, store: Store) -> None:
    """A SavedModel and a card are all it takes; BentoML lists the result as any other model."""
    folder = model_folder(tmp_path / "mine")
    done = import_model(folder, name="bakery-2", store=store)
    assert (done.new, done.labels) == (True, ("stable",))
    assert done.tag.startswith("bakery-2:")
    assert answers(store, "bakery-2").tolist() == [[1.25] * 8] * 2
    assert card_of(store.newest()["bakery-2"].directory).name == "bakery-2"


def test_saved_model_folder_with_a_card_elsewhere(tmp_path: Path, store: Store) -> None:
    """What `model.export()` wrote need not be moved."""
    save_model(tmp_path / "exported")
    card = write_members(tmp_path / "cards")
    complete_card(locate(tmp_path / "exported", card))
    import_model(tmp_path / "exported", card, store=store)
    assert answers(store, "toy").tolist() == [[1.25] * 8] * 2


def test_keras_file_with_a_card_elsewhere(tmp_path: Path, store: Store) -> None:
    """A `.keras` file comes in as it is and answers as Keras does."""
    import keras  # noqa: PLC0415

    layers = [keras.layers.LSTM(3, return_sequences=True), keras.layers.BatchNormalization(), keras.layers.GRU(2)]
    model = keras_model(layers)
    model.compile("adam", "mae")
    model.save(tmp_path / "toy.keras")
    card = write_members(tmp_path / "cards")
    complete_card(locate(tmp_path / "toy.keras", card))
    import_model(tmp_path / "toy.keras", card, store=store)
    expected = np.asarray(model(np.ones((2, 672, 7), np.float32)))
    np.testing.assert_allclose(answers(store, "toy"), expected, rtol=0, atol=1e-5)


def test_same_content_is_imported_once(tmp_path: Path, store: Store) -> None:
    """Importing again changes nothing, even from a card that is laid out differently."""
    folder = model_folder(tmp_path / "mine")
    first = import_model(folder, store=store)
    created = store.entries()
    (folder / CARD).write_text(json.dumps(json.loads((folder / CARD).read_text())))
    again = import_model(folder, store=store)
    assert (again.tag, again.new, again.labels) == (first.tag, False, ("stable",))
    assert store.entries() == created


def test_changed_content_is_a_new_version(tmp_path: Path, store: Store) -> None:
    """Another card or other weights make another version, and the older one says that it does not serve."""
    old = model_folder(tmp_path / "old")
    new = model_folder(tmp_path / "new", description="Better")
    first, second = import_model(old, store=store), import_model(new, store=store)
    assert first.tag != second.tag
    again = import_model(old, store=store)
    assert (again.new, again.labels) == (False, ())
    assert len(store.entries()) == 2


def test_damaged_entry_is_replaced(tmp_path: Path, store: Store) -> None:
    """What an import that was killed left behind does not stand in the way of the next."""
    folder = model_folder(tmp_path / "mine")
    import_model(folder, store=store)
    entry = store.newest()["toy"].directory
    shutil.rmtree(entry / "saved_model" / "variables")
    assert import_model(folder, store=store).new
    assert answers(store, "toy").shape == (2, 8)
    (entry / "model.yaml").unlink()
    assert import_model(folder, store=store).new
    assert len(store.entries()) == 1


BY_LABEL: list[tuple[Any, tuple[str, ...], int]] = [
    (None, ("stable",), 1),
    ("stable", ("stable",), 1),
    ("canary", ("canary",), 0),
    ("none", (), 0),
]


@pytest.mark.parametrize("label, labels, stable", BY_LABEL)
def test_label_decides_what_answers(
    label: Any, labels: tuple[str, ...], stable: int, tmp_path: Path, store: Store
) -> None:
    """A new version is stable unless told otherwise; the one before it stays known, to be rolled back to."""
    old, new = model_folder(tmp_path / "old"), model_folder(tmp_path / "new", description="Better")
    versions = [import_model(old, store=store).tag.split(":")[1]]
    done = import_model(new, store=store, label=label, by="ada")
    versions.append(done.tag.split(":")[1])
    assert (done.new, done.labels) == (True, labels)
    now = current(store.folder("toy"), store.entries())
    assert now.stable == versions[stable]
    assert previous(now, store.entries()) == (versions[0] if stable else None)


@pytest.mark.parametrize("label, expected", [("canary", {"canary"}), ("none", set()), (None, {"stable"})])
def test_first_version_of_a_name_gets_what_was_asked_for(
    label: Any, expected: set[str], tmp_path: Path, store: Store
) -> None:
    """A first version that came in on trial is not stable for want of another, and the import says so."""
    done = import_model(model_folder(tmp_path / "mine"), store=store, label=label)
    assert set(current(store.folder("toy"), store.entries()).labels) == expected
    assert ("no version is stable yet" in _said(done)) == (label is not None)


def chosen_by_import(store: Store, folders: list[Path]) -> None:
    import_model(folders[2], store=store, by="ada")


def chosen_by_label(store: Store, folders: list[Path]) -> None:
    tag = import_model(folders[2], store=store, label="none", by="ada").tag
    assign(store, "toy", "stable", tag.split(":")[1], by="ada")


def taken_away(store: Store, folders: list[Path]) -> None:
    assign(store, "toy", "stable", None, by="ada")


def from_before_labels(store: Store, folders: list[Path]) -> None:
    (store.folder("toy") / FILE).unlink()


def left_alone(store: Store, folders: list[Path]) -> None:
    pass


@pytest.mark.parametrize(
    "act, moves",
    [(chosen_by_import, 0), (chosen_by_label, 0), (taken_away, 0), (from_before_labels, 0), (left_alone, 1)],
)
def test_shipped_model_never_displaces_what_a_person_chose(
    act: Callable[[Store, list[Path]], None], moves: int, tmp_path: Path, store: Store
) -> None:
    """Each start imports what ships: a newer one follows an older one, and leaves every other choice alone."""
    folders = [model_folder(tmp_path / words, description=words) for words in ("shipped", "newer", "own")]
    import_model(folders[0], store=store, by=SHIPPED_IMPORT)
    act(store, folders)
    before = current(store.folder("toy"), store.entries()).stable
    for _ in range(2):
        done = import_model(folders[1], store=store, by=SHIPPED_IMPORT)
    assert (current(store.folder("toy"), store.entries()).stable != before) == bool(moves)
    assert bool(done.labels) == bool(moves)


def shipped(folder: Path) -> Path:
    return model_folder(folder)


def without_card(folder: Path) -> Path:
    (shipped(folder) / CARD).unlink()
    return folder


def without_weights(folder: Path) -> Path:
    shutil.rmtree(shipped(folder) / "saved_model")
    return folder


def stray_file(folder: Path) -> Path:
    write_members(folder)
    (folder / "weights.bin").touch()
    return folder


def no_graph_file(folder: Path) -> Path:
    (shipped(folder) / "saved_model" / "saved_model.pb").unlink()
    return folder


def nothing(folder: Path) -> Path:
    return folder / "nowhere"


def bare_saved_model(folder: Path) -> Path:
    return save_model(folder)


def changed_file(folder: Path) -> Path:
    with (shipped(folder) / "saved_model" / "saved_model.pb").open("ab") as file:
        file.write(b"\0")
    return folder


def extra_file(folder: Path) -> Path:
    (shipped(folder) / "saved_model" / "notes.txt").touch()
    return folder


def missing_file(folder: Path) -> Path:
    (shipped(folder) / "saved_model" / "fingerprint.pb").unlink()
    return folder


def linked_file(folder: Path) -> Path:
    file = shipped(folder) / "saved_model" / "fingerprint.pb"
    file.rename(folder.parent / "elsewhere")
    file.symlink_to(folder.parent / "elsewhere")
    return folder


def linked_folder(folder: Path) -> Path:
    variables = shipped(folder) / "saved_model" / "variables"
    variables.rename(folder.parent / "elsewhere")
    variables.symlink_to(folder.parent / "elsewhere", target_is_directory=True)
    return folder


def named_pipe(folder: Path) -> Path:
    os.mkfifo(shipped(folder) / "saved_model" / "pipe")
    return folder


def two_weights(folder: Path) -> Path:
    (shipped(folder) / "toy.keras").touch()
    return folder


def file_of(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        folder.mkdir()
        (folder / f"toy{suffix}").touch()
        return folder / f"toy{suffix}"

    return make


def pickle_inside(folder: Path) -> Path:
    (shipped(folder) / "saved_model" / "Scaler.PKL").touch()
    return folder


def with_card(**changes: Any) -> Callable[[Path], Path]:
    return lambda folder: model_folder(folder, **changes)


def graph(body: Callable[[Any, Any], Any]) -> Callable[[Path], Path]:
    """Make a model folder whose graph does what `body(tf, x)` says and then repeats the last value."""

    def make(folder: Path) -> Path:
        import tensorflow as tf  # noqa: PLC0415

        def steps(x: Any) -> Any:
            with tf.control_dependencies([body(tf, x)]):
                return tf.repeat(x[:, -1, :1], 8, axis=1)

        return model_folder(folder, steps)

    return make


def keras_layers(layers: Callable[[Any], list[Any]]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        import keras  # noqa: PLC0415

        return keras_folder(folder, keras_model(layers(keras)))

    return make


def own_layer(folder: Path) -> Path:
    import keras  # noqa: PLC0415

    class Mine(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
        def call(self, x: Any) -> Any:
            return x

    return keras_folder(folder, keras_model([Mine(), keras.layers.Flatten()]))


def repacked(change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> Callable[[Path], Path]:
    """Make a `.keras` model whose archive was repacked, with digests that match."""

    def make(folder: Path) -> Path:
        path = keras_folder(folder, keras_model()) / "toy.keras"
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in change(parts).items():
                archive.writestr(name, content)
        complete_card(locate(folder))
        return folder

    return make


def edited_config(edit: Callable[[str], str]) -> Callable[[Path], Path]:
    """Make a `.keras` model whose configuration was edited by hand."""
    return repacked(lambda parts: parts | {"config.json": edit(parts["config.json"].decode()).encode()})


def reaching_weights(reach: Callable[[Any, Any], None]) -> Callable[[Path], Path]:
    """Make a `.keras` model whose weights lie elsewhere: `reach(h5py, file)` puts the link in."""

    def change(parts: dict[str, bytes]) -> dict[str, bytes]:
        import h5py  # noqa: PLC0415

        buffer = io.BytesIO(parts["model.weights.h5"])
        with h5py.File(buffer, "a") as weights:
            reach(h5py, weights)
        return parts | {"model.weights.h5": buffer.getvalue()}

    return repacked(change)


def linked(h5py: Any, weights: Any) -> None:
    weights["other"] = h5py.ExternalLink("/etc/hostname", "/")


def external(_: Any, weights: Any) -> None:
    weights.create_dataset("more", (4,), "f4", external=[("/etc/hostname", 0, 16)])


def saver_as_signature(folder: Path) -> Path:
    """Make a graph that names its own forecast as the saver, so that it might read and write files."""
    from tensorflow.core.protobuf import saved_model_pb2  # noqa: PLC0415

    file = shipped(folder) / "saved_model" / "saved_model.pb"
    graphs = saved_model_pb2.SavedModel()
    graphs.ParseFromString(file.read_bytes())
    meta = graphs.meta_graphs[0]
    meta.saver_def.restore_op_name = next(
        node.name for node in meta.graph_def.node if "signature_wrapper" in str(node.attr["f"].func.name)
    )
    file.write_bytes(graphs.SerializeToString())
    complete_card(locate(folder))
    return folder


def caller_of_the_saver(folder: Path) -> Path:
    """Make a graph where another node calls the saver's function."""
    from tensorflow.core.protobuf import saved_model_pb2  # noqa: PLC0415

    file = shipped(folder) / "saved_model" / "saved_model.pb"
    graphs = saved_model_pb2.SavedModel()
    graphs.ParseFromString(file.read_bytes())
    meta = graphs.meta_graphs[0]
    saver = next(node for node in meta.graph_def.node if node.name == meta.saver_def.restore_op_name)
    meta.graph_def.node.add().CopyFrom(saver)
    meta.graph_def.node[-1].name = "another"
    file.write_bytes(graphs.SerializeToString())
    complete_card(locate(folder))
    return folder


def second_graph(folder: Path) -> Path:
    (shipped(folder) / "saved_model" / "saved_model.pbtxt").touch()
    complete_card(locate(folder))
    return folder


def signature(**tensors: str) -> Callable[[Path], Path]:
    """Make a SavedModel whose inputs have the given names and types."""

    def make(folder: Path) -> Path:
        import tensorflow as tf  # noqa: PLC0415

        def first(**inputs: Any) -> Any:
            return inputs[min(inputs)][:, -8:, 0]

        specs = {name: tf.TensorSpec((None, 672, 7), dtype, name=name) for name, dtype in tensors.items()}
        function = tf.function(first).get_concrete_function(**specs)
        signatures = {"serving_default": function}
        tf.saved_model.save(tf.Module(), str(folder / "saved_model"), signatures=signatures)
        write_members(folder)
        complete_card(locate(folder))
        return folder

    return make


def two_inputs(folder: Path) -> Path:
    import keras  # noqa: PLC0415

    loads = [keras.Input((672, 7)), keras.Input((672, 7))]
    return keras_folder(folder, keras.Model(loads, loads[0][:, -8:, 0] + loads[1][:, -8:, 0]))


def without_finite_answers(folder: Path) -> Path:
    model = keras_model()
    model.set_weights([weight * np.nan for weight in model.get_weights()])
    return keras_folder(folder, model)


def unfit_for_one_window(folder: Path) -> Path:
    """Make a graph that says it takes any number of windows and then works with 96 only."""
    import tensorflow as tf  # noqa: PLC0415

    return model_folder(folder, lambda x: tf.reshape(x[:, -8:, 0], (96, 8))[: tf.shape(x)[0]])


def broken_variables(folder: Path) -> Path:
    (shipped(folder) / "saved_model" / "variables" / "variables.index").write_bytes(b"x")
    complete_card(locate(folder))
    return folder


def no_zip(folder: Path) -> Path:
    write_members(folder)
    (folder / "toy.keras").write_bytes(b"not a zip")
    complete_card(locate(folder))
    return folder


def no_graph(folder: Path) -> Path:
    (shipped(folder) / "saved_model" / "saved_model.pb").write_bytes(b"not a graph")
    complete_card(locate(folder))
    return folder


def no_signature(folder: Path) -> Path:
    import tensorflow as tf  # noqa: PLC0415

    tf.saved_model.save(tf.Module(), str(folder / "saved_model"))
    write_members(folder)
    complete_card(locate(folder))
    return folder


def fixed_batch(folder: Path) -> Path:
    save_model(folder / "saved_model", shape=(1, 672, 7))
    write_members(folder)
    complete_card(locate(folder))
    return folder


READ = graph(lambda tf, _: tf.io.read_file("/etc/hostname"))
GETS_FILE = '"class_name": "function", "config": "get_file", "module": "keras.utils"'
REFUSED = [
    pytest.param(nothing, RefusedWeights, "is no SavedModel folder", id="nothing there"),
    pytest.param(without_card, InvalidCard, "there is no card", id="no card"),
    pytest.param(bare_saved_model, InvalidCard, "--card", id="SavedModel without a card"),
    pytest.param(without_weights, RefusedWeights, "holds no weights", id="no weights"),
    pytest.param(stray_file, RefusedWeights, "weights.bin, which is no weight file", id="no weight file"),
    pytest.param(no_graph_file, RefusedWeights, "has no saved_model.pb", id="no graph"),
    pytest.param(changed_file, RefusedWeights, "differs from its SHA-256", id="changed file"),
    pytest.param(extra_file, RefusedWeights, "notes.txt is not listed", id="extra file"),
    pytest.param(missing_file, RefusedWeights, "fingerprint.pb is missing", id="missing file"),
    pytest.param(linked_file, RefusedWeights, "symbolic link", id="linked file"),
    pytest.param(linked_folder, RefusedWeights, "symbolic link", id="linked folder"),
    pytest.param(named_pipe, RefusedWeights, "no plain file", id="named pipe"),
    pytest.param(two_weights, RefusedWeights, "saved_model, toy.keras", id="two kinds of weights"),
    *(
        pytest.param(file_of(suffix), RefusedWeights, "never loaded", id=suffix)
        for suffix in (".h5", ".hdf5", ".pkl", ".pickle", ".joblib", ".H5", ".npz", ".pt")
    ),
    pytest.param(file_of(".txt"), RefusedWeights, "is no SavedModel folder", id=".txt"),
    pytest.param(file_of(".keras"), InvalidCard, "--card", id=".keras without a card"),
    pytest.param(pickle_inside, RefusedWeights, "never loaded", id="pickle inside"),
    pytest.param(with_card(window=96), InvalidCard, "window", id="window contradicts"),
    pytest.param(with_card(horizon=4), InvalidCard, "horizon", id="horizon contradicts"),
    pytest.param(
        with_card(columns=members()["columns"][:5]), InvalidCard, r"\(None, 672, 5\)", id="columns contradict"
    ),
    pytest.param(fixed_batch, InvalidCard, r"takes \(1, 672, 7\)", id="fixed batch"),
    pytest.param(no_graph, RefusedWeights, "is no SavedModel", id="broken graph"),
    pytest.param(no_signature, RefusedWeights, "serving_default", id="no signature"),
    pytest.param(READ, RefusedWeights, "ReadFile", id="reads a file"),
    pytest.param(graph(lambda tf, _: tf.io.write_file("/tmp/x", "y")), RefusedWeights, "WriteFile", id="writes a file"),
    pytest.param(
        graph(lambda tf, _: tf.io.matching_files("/etc/*")), RefusedWeights, "MatchingFiles", id="lists files"
    ),
    pytest.param(
        graph(
            lambda tf, _: tf.raw_ops.RestoreV2(prefix="a", tensor_names=["b"], shape_and_slices=[""], dtypes=["float"])[
                0
            ]
        ),
        RefusedWeights,
        "RestoreV2",
        id="restores a checkpoint",
    ),
    pytest.param(
        graph(lambda tf, x: tf.numpy_function(lambda y: y, [x], tf.float32)), RefusedWeights, "PyFunc", id="NumPy"
    ),
    pytest.param(
        graph(lambda tf, x: tf.py_function(lambda y: y, [x], tf.float32)), RefusedWeights, "EagerPyFunc", id="Python"
    ),
    pytest.param(graph(lambda tf, x: tf.print(x)), RefusedWeights, "PrintV2", id="prints"),
    pytest.param(
        keras_layers(lambda keras: [keras.layers.Lambda(lambda x: x), keras.layers.Flatten()]),
        RefusedWeights,
        "Lambda",
        id="Lambda layer",
    ),
    pytest.param(own_layer, RefusedWeights, "outside Keras", id="layer of one's own"),
    pytest.param(
        edited_config(lambda text: text.replace('"module": "keras.layers"', '"module": "os"', 1)),
        RefusedWeights,
        "from 'os'",
        id="module outside Keras",
    ),
    pytest.param(
        edited_config(lambda text: text[:-1] + ', "x": {' + GETS_FILE + "}}"),
        RefusedWeights,
        "'get_file' from 'keras.utils'",
        id="download in disguise",
    ),
    pytest.param(
        edited_config(lambda text: text.replace('"class_name": "GRU"', '"class_name": "StringLookup"', 1)),
        RefusedWeights,
        "StringLookup",
        id="layer that reads files",
    ),
    pytest.param(edited_config(lambda text: text[:-1]), RefusedWeights, "no readable", id="broken configuration"),
    pytest.param(reaching_weights(linked), RefusedWeights, "link 'other'", id="weights in another file"),
    pytest.param(reaching_weights(external), RefusedWeights, "'more' lies in another file", id="weights outside"),
    pytest.param(
        repacked(lambda parts: parts | {"extra.py": b""}), RefusedWeights, "extra.py", id="more in the archive"
    ),
    pytest.param(
        repacked(lambda parts: parts | {"metadata.json": bytes(LARGEST_UNPACKED)}),
        RefusedWeights,
        "unpacks to more",
        id="bomb",
    ),
    pytest.param(
        edited_config(lambda text: text.replace('"registered_name": null', '"registered_name": "my>GRU"', 1)),
        RefusedWeights,
        "my>GRU",
        id="registered class",
    ),
    pytest.param(two_inputs, RefusedWeights, "one input and one output", id="two Keras inputs"),
    pytest.param(signature(a="float32", b="float32"), RefusedWeights, "2 inputs", id="two inputs"),
    pytest.param(signature(a="float64"), RefusedWeights, "float64", id="other type"),
    pytest.param(unfit_for_one_window, RefusedWeights, "cannot be run", id="cannot be run"),
    pytest.param(without_finite_answers, RefusedWeights, "not finite", id="NaN weights"),
    pytest.param(broken_variables, RefusedWeights, "cannot be loaded", id="broken variables"),
    pytest.param(saver_as_signature, RefusedWeights, "saver", id="saver as signature"),
    pytest.param(caller_of_the_saver, RefusedWeights, "calls the saver", id="caller of the saver"),
    pytest.param(second_graph, RefusedWeights, "second graph", id="second graph"),
    pytest.param(no_zip, RefusedWeights, "no readable", id="no .keras file"),
]


@pytest.mark.parametrize("make, kind, told", REFUSED)
def test_what_is_refused_leaves_nothing_behind(
    make: Callable[[Path], Path], kind: type[ModelError], told: str, tmp_path: Path, store: Store
) -> None:
    """A refusal names what is wrong in one line, and the store is as it was before."""
    path = make(tmp_path / "model")
    with pytest.raises(kind, match=told) as refusal:
        import_model(path, store=store)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).startswith(str(tmp_path / "model"))
    assert [file for file in store.directory.rglob("*") if file.is_file()] == []
    assert store.entries() == []


@pytest.mark.parametrize("name", ["Büro", "a/b", "", "../up", "CNN"])
def test_name_must_fit_a_path(name: str, tmp_path: Path, store: Store) -> None:
    """The name on the command line obeys the same rule as the card's."""
    with pytest.raises(InvalidCard, match="name"):
        import_model(model_folder(tmp_path / "mine"), name=name, store=store)


def test_shipped_models_are_imported_once_by_the_command(tmp_path: Path) -> None:
    """With no argument the command imports what ships; the second time it says that all was there."""
    run = [sys.executable, "import_models.py"]
    environment = os.environ | {"BENTOML_HOME": str(tmp_path)}
    first, second = (
        subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, check=True) for _ in range(2)
    )
    names = sorted(folder.name for folder in SHIPPED.iterdir())
    assert [line.split(":")[0] for line in first.stdout.splitlines()] == names
    assert first.stdout.count("imported") == second.stdout.count("was already there") == len(names)
    assert sorted(Store(tmp_path / "models").newest()) == names


def test_command_ends_with_1_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each refused source is one line on stderr."""
    assert main([str(tmp_path / "a"), str(tmp_path / "b.h5")]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert [line.split(":")[0] for line in told.err.splitlines()] == ["refused", "refused"]


@pytest.mark.parametrize("arguments", [["a", "b", "--name", "c"], ["--card", "card.json"]])
def test_name_and_card_belong_to_one_source(arguments: list[str]) -> None:
    """One card cannot describe two models."""
    with pytest.raises(SystemExit):
        main(arguments)


def test_help_teaches_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks for help sees every way of calling the command."""
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(part in shown for part in ("examples:", "--name office-3", "--card card.json", "models.card DIR"))
