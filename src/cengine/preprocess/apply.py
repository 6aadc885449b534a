"""Transform: the statistics applied to rows, one SELECT. Training, evaluation and serving use this and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlglot import exp

from cengine.config.resolve import Feature, Label
from cengine.engines.engine import Engine, Progress
from cengine.expressions.build import bigint, column, double
from cengine.names import fold
from cengine.networks.encodings import Auto, Encoding
from cengine.preprocess.fit import Statistics
from cengine.preprocess.source import Rows
from cengine.preprocess.split import Split
from cengine.tables import POSITION, ROW_ID
from cengine.transforms import Lookups, NoLookups, Value
from cengine.transforms.fill import filled


@dataclass(frozen=True)
class Input:
    """A column that enters the network: `size` is the number of indices of a code, None for a number."""

    column: str
    size: int | None
    encoding: Encoding
    statistics: dict[str, Any]


def inputs_of(features: Sequence[Feature], statistics: Statistics) -> list[Input]:
    """The network's inputs, in the order of the encoded columns."""
    inputs = []
    names = _EncodedNames()
    for feature in features:
        fitted = statistics["features"][feature.name]
        for value in _values(feature, fitted, column(feature.name), NoLookups()):
            encoding = feature.encoding
            if isinstance(encoding, Auto):
                encoding = encoding.chosen(value.size, one_hot=value.one_hot)
            inputs.append(Input(names(feature.name, value), value.size, encoding, fitted.get("encoding", {})))
    return inputs


def write_encoded(
    engine: Engine, rows: Rows, split: Split, features: Sequence[Feature], labels: Sequence[Label],
    statistics: Statistics, target: Path, progress: Progress | None = None,
) -> int:  # fmt: skip
    """Writes the encoded rows of all splits as one Parquet file, in the snapshot's order; gives their number.

    The order is that of the identities where the rows are a warehouse's, which has none.

    Columns: one for each input (REAL or INTEGER), one for each label (`label: NAME`, REAL), `_split`, and for rows
    that are not for training their identity, by which evaluation finds the label and slice columns again.
    """
    names = list(dict.fromkeys([f.name for f in features] + [label.name for label in labels]))
    order = [] if engine.keeps_order else [POSITION]
    assigned = split.assigned(engine, rows, names + order)
    outputs = _feature_outputs(features, statistics, engine)
    for label in labels:
        outputs.append(
            exp.cast(_label_value(label, statistics["labels"][label.name], engine), "real").as_(f"label: {label.name}", quoted=True)
        )
    number = column(rows.split_column)
    identity = exp.Case().when(exp.NEQ(this=number, expression=exp.convert(0)), column(ROW_ID))
    outputs += [number.as_("_split", quoted=True), identity.as_(ROW_ID, quoted=True)]
    schema = _encoded_schema(inputs_of(features, statistics), labels)
    outputs += [column(name) for name in order]
    return engine.write(exp.select(*outputs).from_(assigned.subquery("assigned")), target, progress, schema)


def _encoded_schema(inputs: Sequence[Input], labels: Sequence[Label]) -> pa.Schema:
    """The types of the encoded rows."""
    fields = [(known.column, pa.float32() if known.size is None else pa.int32()) for known in inputs]
    fields += [(f"label: {label.name}", pa.float32()) for label in labels]
    return pa.schema([*fields, ("_split", pa.int16()), (ROW_ID, pa.int64())])


def encode(engine: Engine, table: exp.Expr, features: Sequence[Feature], statistics: Statistics) -> pa.Table:
    """New rows encoded: the columns of the features in, one column for each input out."""
    return engine.fetch(exp.select(*_feature_outputs(features, statistics, engine)).from_(table))


def _feature_outputs(features: Sequence[Feature], statistics: Statistics, lookups: Lookups) -> list[exp.Expr]:
    outputs = []
    names = _EncodedNames()
    for feature in features:
        for value in _values(feature, statistics["features"][feature.name], column(feature.name), lookups):
            sql_type = "int" if value.kind == "code" else "real"
            number = value.expression if value.kind != "boolean" else exp.cast(value.expression, "int")
            outputs.append(exp.cast(number, sql_type).as_(names(feature.name, value), quoted=True))
    return outputs


def _values(feature: Feature, fitted: dict[str, Any], cell: exp.Expr, lookups: Lookups) -> tuple[Value, ...]:
    values: tuple[Value, ...] = (filled(Value(cell, feature.kind), fitted["filling"]),)
    for word, statistics in zip(feature.transforms, fitted["transforms"], strict=True):
        values = tuple(result for value in values for result in word.apply(value, statistics, lookups))
    return values


def _label_value(label: Label, fitted: dict[str, Any], lookups: Lookups) -> exp.Expr:
    """The label as the network learns it: standardized, or the number of its class."""
    value = Value(column(label.name), label.kind)
    if label.filling is not None:
        value = filled(value, fitted["filling"])
    if "classes" in fitted:
        # A class that no train row has is none of the network's outputs.
        index = lookups.index_of(value.expression, value.kind, tuple(fitted["classes"]))
        return exp.Coalesce(this=index, expressions=[bigint(-1)])
    for word, statistics in zip(label.transforms, fitted["transforms"], strict=True):
        (value,) = word.apply(value, statistics, lookups)
    number = exp.cast(value.expression, "int") if value.kind == "boolean" else value.expression
    centred = exp.Paren(this=exp.cast(number, "double") - double(fitted["offset"]))
    return centred / double(fitted["scale"])


class _EncodedNames:
    """Gives each column of the encoded rows its name: the feature's with the part that it is, with _ before it if that is taken."""

    def __init__(self) -> None:
        self._taken = {ROW_ID, POSITION, "_split"}

    def __call__(self, feature: str, value: Value) -> str:
        name = f"{feature}.{value.part}" if value.part else feature
        # Labels stand beside as `label: NAME`.
        while fold(name) in self._taken or fold(name).startswith("label: "):
            name = f"_{name}"
        self._taken.add(fold(name))
        return name
