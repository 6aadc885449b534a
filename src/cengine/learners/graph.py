"""The network as TensorBoard's Graphs tab draws it: a node a layer, told by names, shapes and settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cengine.networks.keras_setup import KerasModel, KerasTensor

if TYPE_CHECKING:
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from tensorboard.compat.proto.node_def_pb2 import NodeDef

# TensorBoard leaves out what is longer than 1,024 bytes.
MAX_TEXT_BYTES = 900
# Of a layer's settings these say nothing beside name, type and dtype of the node.
_LEFT_OUT = ("name", "dtype", "trainable", "optional", "ragged", "sparse", "indices")


def graph_of(model: KerasModel, signature: dict[str, Any]) -> GraphDef:
    """A node for each layer of a Keras model, edges with their shapes; `signature` names columns and labels."""
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    graph = GraphDef()
    layers = model.operations  # an encoding of another package may be made of operations that are no layers
    makers = {id(tensor): layer.name for layer in layers for tensor in _listed(layer.output)}
    for layer in layers:
        node = graph.node.add(name=layer.name, op=type(layer).__name__)
        if type(layer).__name__ != "InputLayer":
            node.input.extend(makers[id(tensor)] for tensor in _listed(layer.input))
        _tell_shapes(node, _listed(layer.output))
        for name, value in layer.get_config().items():
            if name not in _LEFT_OUT:
                _tell(node, name, value)
        if (count := getattr(layer, "count_params", None)) is not None and (weights := count()):
            _tell(node, "num_weights", weights)
    _tell_columns({node.name: node for node in graph.node}, model, signature)
    return graph


def _listed(tensors: KerasTensor | Sequence[KerasTensor]) -> Sequence[KerasTensor]:
    return tensors if isinstance(tensors, list | tuple) else [tensors]


def _tell_shapes(node: NodeDef, tensors: Sequence[KerasTensor]) -> None:
    """Shapes, which the tab writes on the edges (-1 is the number of rows), and the type."""
    from tensorboard.compat.tensorflow_stub import dtypes

    for tensor in tensors:
        shape = node.attr["_output_shapes"].list.shape.add()
        for size in tensor.shape:
            shape.dim.add(size=-1 if size is None else size)
    node.attr["dtype"].type = dtypes.as_dtype(tensors[0].dtype).as_datatype_enum


def _tell(node: NodeDef, name: str, value: object) -> None:
    """An attribute of the node, where the value is plain."""
    attribute = node.attr
    if isinstance(value, bool):
        attribute[name].b = value
    elif isinstance(value, int):
        attribute[name].i = value
    elif isinstance(value, float):
        attribute[name].f = value
    elif isinstance(value, str):
        attribute[name].s = _cut(value)


def _tell_columns(nodes: dict[str, NodeDef], model: KerasModel, signature: dict[str, Any]) -> None:
    """Which columns of the table enter where, and which label each output predicts."""
    names = {"numbers": signature["numbers"], "codes": [code["column"] for code in signature["codes"]]}
    for name, columns in names.items():
        _tell(nodes[name], "columns", ", ".join(columns))
    for layer in model.layers:
        (source,) = nodes[layer.name].input[:1] or ("",)
        if type(layer).__name__ == "Columns" and source in names:
            _tell(nodes[layer.name], "columns", ", ".join(names[source][i] for i in layer.indices))
    for i, output in enumerate(signature["outputs"]):
        for name in (f"output_{i}", f"unit_{i}"):
            _tell(nodes[name], "label", output["label"])


def _cut(text: str) -> bytes:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= MAX_TEXT_BYTES:
        return encoded
    return encoded[:MAX_TEXT_BYTES].decode("utf-8", "ignore").encode() + " …".encode()
