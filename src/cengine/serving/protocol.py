"""The Open Inference Protocol, version 2, over REST: tensors named as the model's inputs in, tensors out.

It has no null: null is allowed inside the data of every type, and so are the model's inputs `"<column> is null"`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from cengine.errors import near_miss
from cengine.serving.bundle import Bundle, Field, Label
from cengine.serving.cells import Values, typed
from cengine.serving.refusals import Misfits, Refused
from cengine.serving.rows import MISSING, Given, RowReader
from cengine.serving.session import Outputs

PLATFORM = "onnxruntime_onnx"
EXTENSIONS = ["model_repository"]
DATATYPES = {"boolean": "BOOL", "integer": "INT64", "float": "FP64", "string": "BYTES", "timestamp": "INT64"}
_WHOLE_TYPES = ("INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8")
# What may be sent for a kind, its own first: each value of these types is one of the kind's.
_FITTING = {
    "BOOL": ("BOOL",),
    "INT64": _WHOLE_TYPES,
    "FP64": ("FP64", "FP32", "FP16", *_WHOLE_TYPES),
    "BYTES": ("BYTES",),
}


class Tensor(msgspec.Struct):
    """An input: its data is flat or nested, row by row."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] = {}


class Wanted(msgspec.Struct):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] = {}


class Request(msgspec.Struct):
    """A request for inference."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[Wanted] = []
    parameters: dict[str, Any] = {}


decode = msgspec.json.Decoder(Request).decode


class TensorReader:
    """Reads requests for one model."""

    def __init__(self, fields: Sequence[Field], reader: RowReader) -> None:
        self._reader, self._fields = reader, fields
        self._datatypes = {field.column: DATATYPES[field.kind] for field in fields}
        columns = set(self._datatypes)
        # A column may itself be called `x is null`.
        self._nulls = {field.null_input: field for field in fields if field.null_input not in columns}

    def given(self, request: Request) -> Given:
        """The rows of a request. Raises Refused."""
        tensors = {tensor.name: tensor for tensor in request.inputs}
        self._check_names(request.inputs)
        num_rows = _rows_of(request.inputs[0]) if request.inputs else 0
        self._reader.limit(num_rows)
        columns = []
        for field in self._fields:
            values = _data(tensors[field.column], num_rows, _FITTING[self._datatypes[field.column]])
            if (mask := tensors.get(field.null_input)) is not None and field.null_input in self._nulls:
                values = _masked(values, mask, num_rows)
            columns.append(values)
        return self._reader.typed(columns, num_rows)

    def _check_names(self, inputs: Sequence[Tensor]) -> None:
        misfits, seen = Misfits(), set()
        for tensor in inputs:
            if tensor.name not in self._datatypes and tensor.name not in self._nulls:
                near = near_miss(tensor.name, self._datatypes)
                misfits.add(
                    "unknown_column",
                    f"the model has no such input; {near[0] if near else 'leave it out'}",
                    column=tensor.name,
                )
            elif tensor.name in seen:
                misfits.add("unknown_column", "is there twice", column=tensor.name)
            seen.add(tensor.name)
        for name in self._datatypes:
            if name not in seen:
                misfits.add("missing_column", MISSING, column=name)
        misfits.refuse()


def _rows_of(tensor: Tensor) -> int:
    if not tensor.shape:
        raise _misshapen(tensor, 0)
    return tensor.shape[0]


def _data(tensor: Tensor, num_rows: int, fitting: Sequence[str]) -> Values:
    """The tensor's data as one cell a row. Raises Refused for another type or shape."""
    if tensor.datatype not in fitting:
        raise Refused(
            422, "wrong_type", f"input '{tensor.name}' is of datatype {tensor.datatype}, the model has {fitting[0]}"
        )
    shape, data = tensor.shape, tensor.data
    if shape not in ([num_rows], [num_rows, 1]) or num_rows < 0:
        raise _misshapen(tensor, num_rows)
    # Of nested data each row is a list of one cell.
    if len(data) == num_rows and any(type(row) is list for row in data):
        if not all(type(row) is list and len(row) == 1 for row in data):
            raise _misshapen(tensor, num_rows)
        data = [row[0] for row in data]
    if len(data) != num_rows:
        raise Refused(
            422,
            "malformed",
            f"input '{tensor.name}' has {len(data):,} values, its shape {shape} says {math.prod(shape):,}",
        )
    return data


def _misshapen(tensor: Tensor, num_rows: int) -> Refused:
    return Refused(
        422,
        "malformed",
        f"input '{tensor.name}' is of shape {tensor.shape[:8]}: each input has a cell a row, as [{num_rows}, 1], and all have the same rows",
    )


def _masked(values: Values, mask: Tensor, num_rows: int) -> Values:
    misfits = Misfits()
    gone = typed(mask.name, "boolean", _data(mask, num_rows, ("BOOL",)), misfits)
    misfits.refuse()
    return [None if missing else value for value, missing in zip(values, gone, strict=True)]


def response(bundle: Bundle, request: Request, outputs: Outputs) -> dict[str, Any]:
    """The answer, `id` echoed. Raises Refused for outputs that the model does not have."""
    told = {label_output[0]: label_output for label in bundle.labels for label_output in _outputs(label)}
    names = [one.name for one in request.outputs] or list(told)
    if unknown := [name for name in names if name not in told]:
        raise Refused(
            422, "unknown_output", f"the model has no output '{unknown[0]}'; it has {', '.join(map(repr, told))}"
        )
    found: dict[str, Any] = {"model_name": bundle.name, "model_version": bundle.version}
    if request.id is not None:
        found["id"] = request.id
    found["outputs"] = [_tensor(name, told[name][1], outputs[name]) for name in names]
    return found


def _tensor(name: str, datatype: str, array: np.ndarray) -> dict[str, Any]:
    return {"name": name, "shape": list(array.shape), "datatype": datatype, "data": array.ravel().tolist()}


def _outputs(label: Label) -> list[tuple[str, str, list[int]]]:
    """Name, datatype and shape of the outputs of a label."""
    found = [(label.prediction, "FP64" if label.classes is None else DATATYPES[label.kind], [-1])]
    return [*found, (label.several, "FP64", [-1, len(label.names) - 1])] if label.several else found


def metadata(bundle: Bundle, versions: Sequence[str]) -> dict[str, Any]:
    """What the protocol tells of a model."""
    inputs = [{"name": one.column, "datatype": DATATYPES[one.kind], "shape": [-1, 1]} for one in bundle.fields]
    outputs = [
        {"name": name, "datatype": datatype, "shape": shape}
        for label in bundle.labels
        for name, datatype, shape in _outputs(label)
    ]
    return {
        "name": bundle.name,
        "versions": list(versions),
        "platform": PLATFORM,
        "inputs": inputs,
        "outputs": outputs,
    }
