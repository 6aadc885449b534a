"""A graph as an ONNX file that older runtimes load too: opset 22, ai.onnx.ml 4, IR 10."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cengine.errors import ExportError
from cengine.extras import DISTRIBUTION, install_command
from cengine.tensors import BOOL, DOUBLE, FLOAT, INT32, INT64, ML, TEXT, Graph, Port

if TYPE_CHECKING:
    import onnx

OPSET, ML_OPSET, IR = 22, 4, 10
# Protobuf, in which the file is written, holds no more.
MOST_BYTES = 2**31 - 1


def model_file(graph: Graph, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """The graph as a model with `metadata`, checked by onnx. Raises ExportError where that is not installed, or finds a fault."""
    library = import_onnx()
    inputs = [_port(library, one) for one in graph.inputs]
    outputs = [_port(library, one) for one in graph.outputs]
    defaults = {one.name: one.default for one in graph.inputs if one.default is not None}
    constants = [_tensor(library, array, name) for name, array in {**defaults, **_used(graph)}.items()]
    nodes = [
        library.helper.make_node(
            one.operator,
            one.inputs,
            [one.output],
            domain=one.domain,
            **{key: _attribute(library, value) for key, value in one.attributes.items()},
        )
        for one in graph.nodes
    ]
    opsets = [library.helper.make_opsetid("", OPSET), library.helper.make_opsetid(ML, ML_OPSET)]
    body = library.helper.make_graph(nodes, "cengine", inputs, outputs, constants)
    model: onnx.ModelProto = library.helper.make_model(
        body, opset_imports=opsets, ir_version=IR, producer_name=DISTRIBUTION
    )
    library.helper.set_model_props(model, dict(metadata))
    if model.ByteSize() > MOST_BYTES:
        raise ExportError(
            f"the model takes {model.ByteSize():,} bytes; one ONNX file holds {MOST_BYTES:,}", "take --format keras"
        )
    try:
        library.checker.check_model(model, full_check=True)
    except (library.checker.ValidationError, library.shape_inference.InferenceError) as error:
        raise ExportError(f"onnx finds a fault in what was written: {error}", "please report this") from error
    return model


def import_onnx() -> Any:
    """The module `onnx`. Raises ExportError where it is not installed."""
    try:
        import onnx
    except ImportError:
        raise ExportError("an ONNX file needs the package onnx", install_command("export")) from None
    return onnx


def _used(graph: Graph) -> dict[str, np.ndarray]:
    used = {name for node in graph.nodes for name in node.inputs}
    return {name: array for name, array in graph.constants.items() if name in used}


def _port(library: Any, port: Port) -> Any:
    # An input that may be left out has one row then.
    rows = "rows" if port.default is None else f"rows of {port.name}"
    shape = [rows if size is None else size for size in port.shape]
    return library.helper.make_tensor_value_info(port.name, _element_type(library, port.dtype), shape)


def _element_type(library: Any, dtype: np.dtype[Any]) -> int:
    known = library.TensorProto
    types = {
        BOOL: known.BOOL, INT32: known.INT32, INT64: known.INT64, FLOAT: known.FLOAT, DOUBLE: known.DOUBLE, TEXT: known.STRING,
    }  # fmt: skip
    return int(types[dtype])


def _tensor(library: Any, array: np.ndarray, name: str) -> Any:
    if array.dtype == TEXT:
        texts = [text.encode() for text in array.flat]
        return library.helper.make_tensor(name, library.TensorProto.STRING, array.shape, texts)
    return library.numpy_helper.from_array(array, name)


def _attribute(library: Any, value: Any) -> Any:
    if isinstance(value, np.dtype):
        return _element_type(library, value)
    return library.numpy_helper.from_array(value, "") if isinstance(value, np.ndarray) else value
