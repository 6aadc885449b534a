"""A model as an ONNX file: raw columns in, numbers in the label's unit, quantiles too, or classes with their probabilities out.

Each feature is an input (rows, 1) under its column's name, and `COLUMN is null` one that may be left out. `metadata_props` tells a
program what they are, so that it needs no other file: see `description`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlglot import exp

from cengine.config.resolve import Feature
from cengine.digests import fingerprint
from cengine.errors import ExportError
from cengine.exports.expressions import Column, Compiler, Lists
from cengine.exports.files import model_file
from cengine.exports.formats import refuse_autoencoder
from cengine.exports.literals import NoForm
from cengine.expressions.build import column as cell
from cengine.expressions.keys import hashed_text
from cengine.models.blocks import cell_of
from cengine.models.inputs import hash_input, null_input
from cengine.preprocess.apply import feature_outputs
from cengine.preprocess.targets import Target
from cengine.tensors import BOOL, DOUBLE, FLOAT, INT32, INT64, TEXT, Graph, Tensor

if TYPE_CHECKING:
    import onnx

    from cengine.models.model import Model
    from cengine.models.signature import Signature

DTYPES = {"boolean": BOOL, "integer": INT64, "float": DOUBLE, "string": TEXT, "timestamp": INT64}
VERSION = 1
_INSTEAD_OF_A_HASH = (
    "take compute_and_apply_vocabulary with one bucket for what is unseen, which has one",
    "or give the hash beside the columns: --hash-outside; bundles and cengine serve do so by themselves",
)
KEY = "cengine"


def onnx_of(model: Model, *, hash_outside: bool = False) -> onnx.ModelProto:
    """The model as ONNX, checked. Raises ExportError for what has no form, by name, and where onnx is not installed.

    ONNX has no MD5. If `hash_outside` is true, a column whose hash is needed has an input `COLUMN hash` (rows, 1), int64: the first
    seven hexadecimal digits of the MD5 of its text in UTF-8. Its own input is left out if nothing else reads it.
    """
    refuse_autoencoder(model, "ONNX")
    predicting = getattr(model.predictor, "predicting", None)
    if predicting is None:
        raise ExportError(
            f"a model of the learner '{model.signature.learner.name}' has no ONNX form: what it reads has no method `predicting`",
            "run.model().save(FOLDER) keeps it for cengine.load_model and cengine predict",
        )
    graph = Graph()
    numbers, codes = encoded(graph, model.signature, hash_outside=hash_outside)
    predicted = predicting(numbers, codes)
    for target, names in zip(model.signature.targets, model.outputs, strict=True):
        _give_out(graph, target, names, predicted[target.name])
    return model_file(graph, {KEY: json.dumps(description(model), ensure_ascii=False)})


def description(model: Model) -> dict[str, Any]:
    """What a program needs to know of inputs and outputs, plain data."""
    return {
        "version": VERSION,
        "inputs": [{"name": feature.name, "kind": feature.kind} for feature in model.signature.features],
        "outputs": model.outputs,
        "fingerprint": fingerprint({"signature": model.signature.to_json(), "stages": model.fingerprints}),
    }


def encoded(graph: Graph, signature: Signature, *, hash_outside: bool = False) -> tuple[Tensor, Tensor]:
    """Raw columns encoded: numbers (rows, n) float32 and codes (rows, c) int32. Raises ExportError for words without a form."""
    given: dict[str, Column] = {}
    for feature in signature.features:
        given |= _given(graph, feature, _readings(feature, signature) if hash_outside else (True, False))
    columns = dict(given)
    for feature in signature.features:
        if feature.name in given:
            columns[feature.name] = _read(graph, feature, given)
    numbers: list[Tensor] = []
    codes: list[Tensor] = []
    for feature in signature.features:
        for value in _compiled(graph, feature, signature, columns):
            (codes if value.dtype == INT64 else numbers).append(value)
    rows = next(iter(given.values())).values
    return _matrix(graph, numbers, FLOAT, rows), _matrix(graph, codes, INT32, rows)


def _given(graph: Graph, feature: Feature, readings: tuple[bool, bool]) -> dict[str, Column]:
    """The inputs of a column by name: its own, and that of its hashes, as far as they are read; both are null alike."""
    names = {feature.name: DTYPES[feature.kind], hash_input(feature.name): INT64}
    values = {
        name: graph.input(name, names[name], (None, 1)) for name, read in zip(names, readings, strict=True) if read
    }
    missing = graph.input(null_input(feature.name), BOOL, (None, 1), default=[[False]])
    if (
        feature.missing_indicator and values
    ):  # it is a column of its own, as long as the others also where nothing is said of it
        shape = graph.add("Shape", next(iter(values.values())), dtype=INT64)
        missing = graph.add("Expand", missing, shape)
    return {name: Column(value, missing) for name, value in values.items()}


def _readings(feature: Feature, signature: Signature) -> tuple[bool, bool]:
    """Whether the words read a column itself, and whether they read its hash."""
    hashes = reads = False
    for value in feature_outputs([feature], signature.statistics, Lists()):
        within = [text for node in value.walk() if (text := hashed_text(node)) is not None]
        inside = {id(node) for text in within for node in text.find_all(exp.Column)}
        hashes |= bool(within)
        reads |= any(id(node) not in inside for node in value.find_all(exp.Column))
    return reads or not hashes, hashes


def _read(graph: Graph, feature: Feature, given: dict[str, Column]) -> Column:
    return Compiler(graph, given, Lists()).column(cell_of(feature, cell(feature.name)))


def _compiled(graph: Graph, feature: Feature, signature: Signature, columns: dict[str, Column]) -> list[Tensor]:
    try:
        return _values(graph, feature, signature, columns)
    except NoForm as error:
        word, needs_hash = _first_without(graph, feature, signature, columns)
        raise ExportError(
            f"column '{feature.name}': {word} has no ONNX operator ({'MD5' if needs_hash else error})",
            *(_INSTEAD_OF_A_HASH if needs_hash else ()),
            "run.model().predict(table) and --format keras do without one",
        ) from None


def _values(graph: Graph, feature: Feature, signature: Signature, columns: dict[str, Column]) -> list[Tensor]:
    lists = Lists()
    compiler = Compiler(graph, columns, lists)
    return [compiler.column(value).values for value in feature_outputs([feature], signature.statistics, lists)]


def _first_without(
    graph: Graph, feature: Feature, signature: Signature, columns: dict[str, Column]
) -> tuple[str, bool]:
    """The word by which the column comes to have no form, and whether it is for a hash."""
    for place, word in enumerate(feature.transforms):
        shorter = Feature(
            feature.name, feature.kind, feature.filling, feature.transforms[: place + 1], feature.encoding
        )
        learnt = signature.statistics["features"][feature.name]
        part = {"features": {feature.name: {**learnt, "transforms": learnt["transforms"][: place + 1]}}}
        lists = Lists()
        for value in feature_outputs([shorter], part, lists):
            try:  # without the cast to a number, which a text has none of yet
                Compiler(graph, columns, lists).column(value.this.this)
            except NoForm:
                told = [f"({key}: {given})" for key, given in word.parameters().items()]
                return " ".join([word.name, *told]), value.find(exp.MD5) is not None
    return f"filling '{feature.filling.name}'", False


def _matrix(graph: Graph, values: list[Tensor], dtype: np.dtype[Any], rows: Tensor) -> Tensor:
    """Columns side by side, those that are the same in all rows as long as the others."""
    shape = graph.add("Shape", rows, dtype=INT64)
    found = [value if value.varies else graph.add("Expand", value, shape) for value in values]
    if not found:
        height = graph.add("Gather", shape, graph.constant([0], INT64), axis=0)
        return graph.add(
            "ConstantOfShape",
            graph.add("Concat", height, graph.constant([0], INT64), axis=0),
            dtype=dtype,
            value=np.zeros(1, dtype),
        )
    return graph.side_by_side([value.cast(dtype) for value in found])


def _give_out(graph: Graph, target: Target, names: dict[str, Any], predicted: Tensor) -> None:
    """What is predicted of a label, under its names."""
    if target.task.quantiles:
        graph.output(names["prediction"], predicted[:, target.task.point], (None,))
        graph.output(names["quantiles"], predicted, (None, target.num_outputs))
        return
    if not target.task.has_classes:
        graph.output(names["prediction"], predicted, (None,))
        return
    shares = predicted
    place = graph.add("ArgMax", shares, dtype=INT64, axis=1, keepdims=0)
    if not target.task.one_output_a_class:
        shares = graph.side_by_side([1.0 - predicted, predicted])
        place = predicted[:, 0].apply("GreaterOrEqual", 0.5, dtype=BOOL).cast(INT64)
    graph.output(names["prediction"], _class_at(graph, target, place), (None,))
    graph.output(names["probabilities"], shares, (None, len(target.classes)))


def _class_at(graph: Graph, target: Target, place: Tensor) -> Tensor:
    """The class of this number, as the label's column has it."""
    classes = list(target.classes)
    dtype = _type_of(classes)
    if dtype == BOOL:
        return graph.add("Gather", graph.constant(classes, INT64), place, axis=0).cast(BOOL)
    return graph.add(
        "Gather", graph.constant([str(one) for one in classes] if dtype == TEXT else classes, dtype), place, axis=0
    )


def _type_of(classes: Sequence[Any]) -> np.dtype[Any]:
    for own, dtype in ((bool, BOOL), (int, INT64), (float, DOUBLE)):
        if all(isinstance(one, own) for one in classes):
            return dtype
    return DOUBLE if all(isinstance(one, int | float) for one in classes) else TEXT


__all__ = ["KEY", "description", "onnx_of"]
