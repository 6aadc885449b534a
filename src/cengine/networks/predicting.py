"""A Keras model as operations on tensors: layer by layer, each as its word or its class says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cengine.errors import ExportError
from cengine.networks.keras_setup import KerasLayer, KerasModel
from cengine.networks.layers import ROW_LAYERS
from cengine.tensors import FLOAT, INT64, Tensor


def predicted(model: KerasModel, inputs: Sequence[Tensor]) -> list[list[Tensor]]:
    """The model's outputs for tensors in the order of its inputs, each as a tensor for each member of an ensemble, or as one.

    Raises ExportError for a layer without a form, by name.
    """
    known = {id(place): [given] for place, given in zip(model.inputs, inputs, strict=True)}
    for layer in model.operations:
        if type(layer).__name__ != "InputLayer":
            known[id(layer.output)] = _tensors(layer, [known[id(one)] for one in _listed(layer.input)])
    return [known[id(one)] for one in _listed(model.outputs)]


def _tensors(layer: KerasLayer, inputs: list[list[Tensor]]) -> list[Tensor]:
    """What a layer gives, a tensor for each member as soon as they are apart."""
    if hasattr(layer, "predicting_members"):
        found: list[Tensor] = layer.predicting_members(inputs[0])
        return found
    form = _form(layer)
    return [form(layer, list(own)) for own in zip(*inputs, strict=True)]


def _form(layer: KerasLayer) -> Callable[[KerasLayer, list[Tensor]], Tensor]:
    """How a layer calculates: a layer of ours, or of another package, says it itself."""
    if hasattr(layer, "predicting"):
        return lambda own, inputs: own.predicting(*inputs)
    name = type(layer).__name__
    # A class of another package may be called as one of Keras.
    if type(layer).__module__.split(".")[0] == "keras" and name in _FORMS:
        return _FORMS[name]
    raise ExportError(
        f"the layer '{layer.name}' ({name}) has no ONNX form: its class has no method `predicting`",
        "cengine predict and --format keras do without one",
    )


def _of_word(word: Any) -> Callable[[KerasLayer, list[Tensor]], Tensor]:
    return lambda layer, inputs: word.predicting(layer, inputs[0])


def _embedding(layer: KerasLayer, inputs: list[Tensor]) -> Tensor:
    graph = inputs[0].graph
    return graph.add("Gather", graph.constant(np.asarray(layer.embeddings), FLOAT), inputs[0], axis=0)


def _rescaling(layer: KerasLayer, inputs: list[Tensor]) -> Tensor:
    return inputs[0] * float(layer.scale) + float(layer.offset)


def _flatten(layer: KerasLayer, inputs: list[Tensor]) -> Tensor:
    # A Flatten of ONNX takes no tensor of 0 rows.
    width = int(np.prod(layer.output.shape[1:]))
    return inputs[0].graph.add("Reshape", inputs[0], inputs[0].graph.constant([-1, width], INT64))


def _reshape(layer: KerasLayer, inputs: list[Tensor]) -> Tensor:
    shape = [-1, *layer.output.shape[1:]]
    return inputs[0].graph.add("Reshape", inputs[0], inputs[0].graph.constant(shape, INT64))


_FORMS: dict[str, Callable[[KerasLayer, list[Tensor]], Tensor]] = {
    **{word.keras_name(): _of_word(word) for word in ROW_LAYERS.values()},
    "Embedding": _embedding,
    "Flatten": _flatten,
    "Add": lambda layer, inputs: inputs[0] + inputs[1],
    "Subtract": lambda layer, inputs: inputs[0] - inputs[1],
    "Multiply": lambda layer, inputs: inputs[0] * inputs[1],
    "Reshape": _reshape,
    "Concatenate": lambda layer, inputs: inputs[0].graph.side_by_side(inputs),
    "Rescaling": _rescaling,
}


def _listed(found: Any) -> list[Any]:
    return list(found) if isinstance(found, list | tuple) else [found]
