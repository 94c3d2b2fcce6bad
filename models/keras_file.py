"""A `.keras` file: what it would bring to life, found without loading it, and its loading.

In: the file. Out: a callable and its shapes. Refused: layers and functions that carry code, read files or
come from outside Keras, and weights that lie outside the file. What may be there is listed, because a list of
what may not never ends; Keras's own safe mode is on as well.
"""

from __future__ import annotations

import json
import zipfile
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from models.errors import RefusedWeights
from models.slim_tensorflow import complete

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LARGEST_UNPACKED = 1 << 28
MEMBERS = frozenset({"metadata.json", "config.json", "model.weights.h5"})
MODULES = (
    *("keras.layers", "keras.models", "keras.activations", "keras.initializers", "keras.regularizers"),
    *("keras.constraints", "keras.optimizers", "keras.losses", "keras.metrics", "keras.ops"),
    *("keras.dtype_policies", "keras.src.models", "keras.src.ops"),
)
PLAIN_VALUES = frozenset({"__keras_tensor__", "__tensor__", "__numpy__", "__tuple__", "__slice__", "__ellipsis__"})
CODE_OR_FILES = frozenset(
    {
        *("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"),
        *(
            "IndexLookup",
            "StringLookup",
            "IntegerLookup",
            "TextVectorization",
        ),  # a vocabulary may be any file
    }
)


class Loaded(NamedTuple):
    """A loaded model: (b, …) float32 → (b, …), and the shapes it declares, None where they are open."""

    call: Callable[[Any], Any]
    takes: tuple[int | None, ...]
    gives: tuple[int | None, ...]


def load(path: Path) -> Loaded:
    """Load a file that was inspected.

    Raises:
        RefusedWeights: if it has more than one input or output.
    """
    complete()  # Keras takes of TensorFlow what serving leaves out
    import keras  # noqa: PLC0415  # slow to import, needed only here

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    if len(model.inputs or ()) != 1 or len(model.outputs or ()) != 1:
        raise RefusedWeights(path, "must have one input and one output; build it with keras.Model or Sequential")
    return Loaded(lambda x: model(x, training=False), tuple(model.inputs[0].shape), tuple(model.outputs[0].shape))


def inspect(path: Path) -> None:
    """Check the archive, the configuration and the links of its HDF5 part.

    Raises:
        RefusedWeights: for anything that is not made of Keras's own layers and operations.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_archive(path, archive)
            for name, module in _objects(json.loads(archive.read("config.json"))):
                _check_object(path, name, module)
            with archive.open("model.weights.h5") as weights:
                _check_links(path, weights)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, RecursionError) as error:
        raise RefusedWeights(path, f"is no readable .keras file ({error}); save it with model.save()") from None


def _check_archive(path: Path, archive: zipfile.ZipFile) -> None:
    names = [member.filename for member in archive.infolist()]
    if sorted(names) != sorted(MEMBERS):
        raise RefusedWeights(path, f"holds {', '.join(sorted(names))}; save it with Keras 3's model.save()")
    if sum(member.file_size for member in archive.infolist()) > LARGEST_UNPACKED:
        raise RefusedWeights(path, f"unpacks to more than {LARGEST_UNPACKED} bytes; use a smaller model")


def _objects(config: Any) -> Iterator[tuple[str, str]]:
    """Give (name, module) of every class and function that the configuration would bring to life."""
    if isinstance(config, list):
        for item in config:
            yield from _objects(item)
    elif isinstance(config, dict):
        if "class_name" in config:
            name = config.get("config") if config["class_name"] == "function" else config["class_name"]
            yield str(name), str(config.get("module") or "")
            if ">" in (registered := str(config.get("registered_name") or "")):
                yield registered, "custom objects"
        for item in config.values():
            yield from _objects(item)


def _check_object(path: Path, name: str, module: str) -> None:
    if name in CODE_OR_FILES:
        shown = name.strip("_").capitalize() if name.startswith("_") else name
        raise RefusedWeights(
            path, f"has a {shown} layer, which can carry code or read files; use other layers of Keras"
        )
    if name in PLAIN_VALUES or module == "keras" or f"{module}.".startswith(tuple(f"{m}." for m in MODULES)):
        return
    raise RefusedWeights(
        path,
        f"needs {name!r} from {module or 'nowhere'!r}, which is outside Keras; use its own layers and save "
        "keras.Model(model.inputs, model.outputs), or export a SavedModel",
    )


def _check_links(path: Path, weights: IO[bytes]) -> None:
    import h5py  # noqa: PLC0415  # needed only here

    def check(group: Any) -> None:
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise RefusedWeights(path, f"its weights hold the link {name!r}; save it with model.save()")
            item = group[name]
            if isinstance(item, h5py.Group):
                check(item)
            elif item.external or item.is_virtual:
                raise RefusedWeights(path, f"its weight {name!r} lies in another file; save it with model.save()")

    with h5py.File(weights, "r") as file:
        check(file)
