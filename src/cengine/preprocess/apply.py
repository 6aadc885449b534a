"""Transform: the statistics applied to rows, one SELECT. Training, evaluation and serving use this and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from cengine.config.resolve import Feature, Label
from cengine.engines.engine import Engine, Progress
from cengine.errors import PreprocessError
from cengine.expressions.build import as_double, bigint, bounded, column, double
from cengine.names import fold, in_filter
from cengine.networks.encodings import Auto, Encoding
from cengine.preprocess.fit import Statistics
from cengine.preprocess.source import Rows
from cengine.preprocess.split import Split
from cengine.preprocess.weights import weight_cell
from cengine.tables import POSITION, ROW_ID
from cengine.transforms import Lookups, NoLookups, Value, as_input
from cengine.transforms.fill import filled
from cengine.transforms.scale import scaled

# A power of two in the upper range of numbers of 32 bits.
LARGEST_LABEL = 2.0**126
# The part of a feature that says whether its cell is missing.
MISSING = "missing"


@dataclass(frozen=True)
class Input:
    """A column that enters the network: `size` is the number of indices of a code, None for a number; `feature` is what it is made of."""

    column: str
    size: int | None
    encoding: Encoding
    statistics: dict[str, Any]
    feature: str = ""
    is_boolean: bool = False
    """Whether a number is 0 or 1 and nothing else."""


def inputs_of(features: Sequence[Feature], statistics: Statistics) -> list[Input]:
    """The network's inputs, in the order of the encoded columns."""
    inputs = []
    names = _EncodedNames()
    for feature in features:
        fitted = statistics["features"][feature.name]
        for value in _values(feature, fitted, column(feature.name), NoLookups()):
            chosen = Auto() if value.part == MISSING else feature.encoding
            encoding = chosen.chosen(value.size, one_hot=value.one_hot)
            learnt = {} if value.part == MISSING else fitted.get("encoding", {})
            is_boolean = value.kind == "boolean" or value.part == MISSING
            inputs.append(Input(names(feature.name, value), value.size, encoding, learnt, feature.name, is_boolean))
    return inputs


def write_encoded(
    engine: Engine,
    rows: Rows,
    split: Split,
    features: Sequence[Feature],
    labels: Sequence[Label],
    statistics: Statistics,
    target: Path,
    progress: Progress | None = None,
) -> int:
    """Writes the encoded rows of all splits as one Parquet file, in the snapshot's order; gives their number.

    The order is that of the identities where the rows are a warehouse's, which has none.

    Columns: one for each input (REAL or INTEGER), one for each label (`label: NAME`, REAL), how much rows count for those with a
    `sample_weight` as a share of the train rows' mean (`weight: NAME`, REAL), `_split`, and for rows
    that are measured their identity, by which evaluation finds the label and slice columns again. The part of train
    that is kept back to choose a model by has the number after the last split's; it counts among the train rows for statistics.

    Raises PreprocessError for labels that are too large to train on.
    """
    weighted = [label for label in labels if label.sample_weight]
    names = [f.name for f in features] + [label.name for label in labels] + [str(w.sample_weight) for w in weighted]
    names = list(dict.fromkeys(names))
    order = [] if engine.keeps_order else [POSITION]
    assigned = split.assigned(engine, rows, names + order, inner=True)
    outputs = feature_outputs(features, statistics, engine)
    for label in labels:
        outputs.append(
            exp.cast(_label_value(label, statistics["labels"][label.name], engine), "real").as_(
                f"label: {label.name}", quoted=True
            )
        )
    for label in weighted:
        share = double(1 / statistics["labels"][label.name]["mean_weight"]) * weight_cell(label, rows)
        outputs.append(exp.cast(share, "real").as_(f"weight: {label.name}", quoted=True))
    number = column(rows.split_column)
    identity: exp.Expr = exp.Case().when(exp.NEQ(this=number, expression=exp.convert(0)), column(ROW_ID))
    if split.all_are_measured:
        identity = column(ROW_ID)
    outputs += [number.as_("_split", quoted=True), identity.as_(ROW_ID, quoted=True)]
    schema = _encoded_schema(inputs_of(features, statistics), labels)
    outputs += [column(name) for name in order]
    num_rows = engine.write(
        exp.select(*outputs, copy=False).from_(assigned.subquery("assigned"), copy=False), target, progress, schema
    )
    _refuse_large_labels(engine, assigned, target, labels, statistics)
    return num_rows


def _encoded_schema(inputs: Sequence[Input], labels: Sequence[Label]) -> pa.Schema:
    """The types of the encoded rows."""
    fields = [(known.column, pa.float32() if known.size is None else pa.int32()) for known in inputs]
    fields += [(f"label: {label.name}", pa.float32()) for label in labels]
    fields += [(f"weight: {label.name}", pa.float32()) for label in labels if label.sample_weight]
    return pa.schema([*fields, ("_split", pa.int16()), (ROW_ID, pa.int64())])


def feature_outputs(features: Sequence[Feature], statistics: Statistics, lookups: Lookups) -> list[exp.Expr]:
    """An expression for each encoded column, in the order of `inputs_of`, under its name: REAL for numbers, INTEGER for codes."""
    outputs = []
    names = _EncodedNames()
    for feature in features:
        for value in _values(feature, statistics["features"][feature.name], column(feature.name), lookups):
            sql_type = "int" if value.kind == "code" else "real"
            cell = exp.Cast(this=as_input(value).expression, to=exp.DataType.build(sql_type))
            outputs.append(cell.as_(names(feature.name, value), quoted=True, copy=False))
    return outputs


def _values(feature: Feature, fitted: dict[str, Any], cell: exp.Expr, lookups: Lookups) -> tuple[Value, ...]:
    values: tuple[Value, ...] = (filled(Value(cell, feature.kind), fitted["filling"]),)
    for word, statistics in zip(feature.transforms, fitted["transforms"], strict=True):
        values = tuple(result for value in values for result in word.apply(value, statistics, lookups))
    if not feature.missing_indicator:
        return values
    is_missing = exp.Is(this=cell.copy(), expression=exp.null())
    return (*values, Value(exp.Case().when(is_missing, double(1.0)).else_(double(0.0)), "float", part=MISSING))


def _label_value(label: Label, fitted: dict[str, Any], lookups: Lookups) -> exp.Expr:
    """The label as the network learns it: standardized, or the number of its class."""
    if "classes" in fitted:
        value = _filled_label(label, fitted)
        # A class that no train row has is none of the network's outputs.
        index = lookups.index_of(value.expression, value.kind, tuple(fitted["classes"]))
        return exp.Coalesce(this=index, expressions=[bigint(-1)])
    number, any_size = _label_number(label, fitted, lookups)
    encoded = bounded(
        scaled(number, {"offset": fitted["offset"], "scale": fitted["scale"]}, any_size=any_size),
        -LARGEST_LABEL,
        LARGEST_LABEL,
    )
    if label.window_labels is None:
        return encoded
    # A point without a label may precede one that has it; bounds would make a number of nothing.
    return exp.Case().when(exp.Is(this=number.copy(), expression=exp.null()), exp.null()).else_(encoded)


def _label_number(label: Label, fitted: dict[str, Any], lookups: Lookups) -> tuple[exp.Expr, bool]:
    """The transformed label, DOUBLE, and whether it may be as large as a DOUBLE can be."""
    value = _filled_label(label, fitted)
    for word, statistics in zip(label.transforms, fitted["transforms"], strict=True):
        (value,) = word.apply(value, statistics, lookups)
    number = exp.cast(value.expression, "int") if value.kind == "boolean" else value.expression
    return as_double(number), value.kind == "float"


def _filled_label(label: Label, fitted: dict[str, Any]) -> Value:
    value = Value(column(label.name), label.kind)
    return value if label.filling is None else filled(value, fitted["filling"])


def _refuse_large_labels(
    engine: Engine, assigned: exp.Select, file: Path, labels: Sequence[Label], statistics: Statistics
) -> None:
    """Raises PreprocessError for labels that are no numbers in the 32 bits a network calculates with.

    An input of that size is bounded, a label is not: it would be another answer than the one in the table.
    """
    with pq.ParquetFile(file) as encoded:
        suspects = [
            label
            for label in labels
            if _may_be_large(encoded, f"label: {label.name}", statistics["labels"][label.name])
        ]
    for label in suspects:
        number, _ = _label_number(label, statistics["labels"][label.name], engine)
        large = exp.GTE(this=exp.Abs(this=number), expression=double(LARGEST_LABEL))
        outputs = [
            exp.Count(this=exp.Case().when(large, exp.convert(1))).as_("num_large"),
            exp.Count(this=exp.Star()).as_("num_rows"),
        ]
        found = engine.fetch(exp.select(*outputs).from_(assigned.copy().subquery("assigned"))).to_pylist()[0]
        if found["num_large"]:
            raise PreprocessError(
                f"label '{label.name}' is farther from 0 than {LARGEST_LABEL:.2g} in {found['num_large']:,} of {found['num_rows']:,} rows: "
                "a network, which calculates in 32 bits, knows no such number",
                f"leave these rows out, as in `where: [abs({in_filter(label.name)}) < 1e30]`",
                "or take `transform: log`, where every label is positive",
            )


def _may_be_large(encoded: pq.ParquetFile, name: str, fitted: dict[str, Any]) -> bool:
    """Whether the encoded rows' ranges leave room for such a label; the file's own statistics tell, so this costs nothing."""
    if "classes" in fitted:
        return False
    place = encoded.schema_arrow.names.index(name)
    ends: list[float] = []
    for group in range(encoded.metadata.num_row_groups):
        known = encoded.metadata.row_group(group).column(place).statistics
        if known is None or not known.has_min_max:
            ends += encoded.read_row_group(group, columns=[name]).column(0).to_pylist()
        else:
            ends += [known.min, known.max]
    farthest = max((abs(end) for end in ends), default=0.0)
    # Half of it, since numbers of 32 bits are rounded.
    return farthest >= LARGEST_LABEL / 2 or farthest * fitted["scale"] + abs(fitted["offset"]) >= LARGEST_LABEL / 2


class _EncodedNames:
    """Gives each column of the encoded rows its name: the feature's with the part that it is, with _ before it if that is taken."""

    def __init__(self) -> None:
        self._taken = {ROW_ID, POSITION, "_split"}

    def __call__(self, feature: str, value: Value) -> str:
        name = f"{feature}.{value.part}" if value.part else feature
        # Labels stand beside as `label: NAME`, their weights as `weight: NAME`.
        while fold(name) in self._taken or fold(name).startswith(("label: ", "weight: ")):
            name = f"_{name}"
        self._taken.add(fold(name))
        return name
