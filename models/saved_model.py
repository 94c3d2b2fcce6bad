"""A TensorFlow SavedModel: what its graphs would do, found without loading it, and its loading.

In: the folder that `model.export()` wrote. Out: a callable and its shapes. Refused: graph operations that
touch files, the network, Python or the process. Of the operations with a side effect those that forecasting
needs are listed and every other is refused, known to TensorFlow or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.errors import RefusedWeights
from models.keras_file import Loaded
from models.slim_tensorflow import core

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIGNATURE = "serving_default"
SAVER_OPS = frozenset({"SaveV2", "RestoreV2", "MergeV2Checkpoints"})
STATEFUL_OPS = frozenset(
    {
        *("VarHandleOp", "ReadVariableOp", "AssignVariableOp", "VarIsInitializedOp", "VariableShape"),
        *("AssignAddVariableOp", "AssignSubVariableOp", "DisableCopyOnRead"),
        *("ResourceGather", "ResourceGatherNd", "StatefulPartitionedCall", "If", "Case", "While"),
        *("Assert", "CheckNumerics", "CheckNumericsV2", "CudnnRNN", "CudnnRNNV2", "CudnnRNNV3"),
        *("TensorArrayV3", "TensorArrayReadV3", "TensorArrayWriteV3", "TensorArrayGatherV3"),
        *("TensorArrayScatterV3", "TensorArrayConcatV3", "TensorArraySplitV3", "TensorArraySizeV3"),
        *("TensorArrayCloseV3", "HashTableV2", "InitializeTableV2", "LookupTableFindV2", "LookupTableSizeV2"),
        *("RandomUniform", "RandomUniformInt", "RandomStandardNormal", "TruncatedNormal"),
        "StatelessRandomGetAlg",
    }
)
# TensorFlow calls these free of side effects although they reach outside the graph.
REACHING_OUT = (
    *("ReadFile", "MatchingFiles", "PyFunc", "TextFile", "Dataset", "Reader", "Debug", "CustomCall", "TPU"),
)


def load(folder: Path) -> Loaded:
    """Load a SavedModel that was inspected.

    Raises:
        RefusedWeights: if it lacks the signature `serving_default`, or has other than one float32 input and
            one floating-point output.
    """
    tf = core()
    loaded = tf.load(str(folder))
    if SIGNATURE not in loaded.signatures:
        raise RefusedWeights(folder, f"has no signature {SIGNATURE!r}; write it with model.export()")
    signature = loaded.signatures[SIGNATURE]
    inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
    if len(inputs) != 1 or len(outputs) != 1:
        shown = f"{len(inputs)} inputs and {len(outputs)} outputs"
        raise RefusedWeights(folder, f"has {shown}; it must have one of each")
    name, key = next(iter(inputs)), next(iter(outputs))
    takes, gives = inputs[name], outputs[key]
    if takes.dtype != tf.float32 or not gives.dtype.is_floating:
        shown = f"takes {takes.dtype.name} and gives {gives.dtype.name}"
        raise RefusedWeights(folder, f"{shown}; both must be float32")

    def call(x: Any, _owner: Any = loaded) -> Any:  # a signature does not keep its own variables alive
        return signature(**{name: x})[key]

    return Loaded(call, _shape(takes.shape), _shape(gives.shape))


def inspect(folder: Path) -> None:
    """Check every operation of every graph.

    The saver's operations read and write files by trade; they may stand in the saver's own functions only,
    which nothing but the saver may call.

    Raises:
        RefusedWeights: for an operation that is unknown or reaches outside the graph.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # noqa: PLC0415

    file = folder / "saved_model.pb"
    if others := sorted(path.name for path in folder.glob("saved_model.*") if path != file):
        raise RefusedWeights(folder, f"has a second graph, {', '.join(others)}; write it with model.export()")
    model = core().SavedModel()
    try:
        model.ParseFromString(file.read_bytes())
    except (OSError, DecodeError) as error:
        raise RefusedWeights(file, f"is no SavedModel ({error}); write it with model.export()") from None
    for meta in model.meta_graphs:
        _check_graph(file, meta)


def _check_graph(file: Path, meta: Any) -> None:
    saver_nodes, saver_functions = _saver(meta)
    if not saver_functions.isdisjoint(meta.object_graph_def.concrete_functions):
        raise RefusedWeights(file, "gives its saver out as a function of the model; export the model anew")
    for node in meta.graph_def.node:
        if node.name not in saver_nodes:
            _check_node(file, node, saver_functions)
    for function in meta.graph_def.library.function:
        own = function.signature.name in saver_functions
        for node in function.node_def:
            if not (own and node.op in SAVER_OPS):
                _check_node(file, node, saver_functions)


def _saver(meta: Any) -> tuple[frozenset[str], frozenset[str]]:
    """Name the saver's two nodes and the functions that they call."""
    saver = meta.saver_def
    names = {tensor.split(":")[0] for tensor in (saver.save_tensor_name, saver.restore_op_name)}
    nodes = [node for node in meta.graph_def.node if node.name in names and node.op == "StatefulPartitionedCall"]
    called = (name for node in nodes for name in _called(node))
    return frozenset(node.name for node in nodes), frozenset(called)


def _called(node: Any) -> Iterator[str]:
    for value in node.attr.values():
        if value.func.name:
            yield value.func.name
        yield from (function.name for function in value.list.func)


def _check_node(file: Path, node: Any, saver_functions: frozenset[str]) -> None:
    if not saver_functions.isdisjoint(_called(node)):
        raise RefusedWeights(file, f"the node {node.name!r} calls the saver; export the model anew")
    definition = core().op_definition(node.op)
    stateful = definition is None or definition.is_stateful
    if (stateful and node.op not in STATEFUL_OPS) or any(part in node.op for part in REACHING_OUT):
        reason = f"the operation {node.op} ({node.name!r}) may reach files, Python or the network"
        raise RefusedWeights(file, f"{reason} and no forecast needs it; export a model without it")


def _shape(shape: Any) -> tuple[int | None, ...]:
    return () if shape.rank is None else tuple(shape.as_list())
