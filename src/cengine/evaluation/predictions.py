"""The table of predictions: one row for each row that was not trained on, its labels and slice columns beside.

For a label L: `label: L` (its value; for classes the class' number), and `prediction: L` (a number; for two classes
the probability of the positive one; for more the number of the likeliest class), and for more than two classes
`label_probability: L` and `label_rank: L`, what the network gave the true class, `predicted_probability: L`, what it
gave the likeliest, and of at most MAX_LISTED_CLASSES classes `class_probabilities: L`, a list with one for each.

A column of the table whose own name is one of these (or `_split`) stands beside them as `column: NAME`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from cengine.config.resolve import Label
from cengine.engines.engine import Engine
from cengine.errors import StoreError
from cengine.expressions.build import as_number, column, double
from cengine.names import fold, set_aside
from cengine.networks.metric import Roles
from cengine.preprocess.fit import Statistics
from cengine.preprocess.source import Rows
from cengine.tables import ROW_ID
from cengine.training.heads import Head
from cengine.transforms import Value
from cengine.transforms.fill import filled

MAX_LISTED_CLASSES = 20
# What the table has of each label.
OWN_COLUMNS = ("label", "prediction", "predicted_probability", "label_probability", "label_rank", "class_probabilities")
_OWN_PREFIXES = tuple(f"{what}: " for what in OWN_COLUMNS)


def name_beside(name: str) -> str:
    """What a column of the user's is called in the table of predictions."""
    return set_aside(name, lambda own: fold(own) in (ROW_ID, "_split") or fold(own).startswith(_OWN_PREFIXES))


def prediction_columns(heads: Sequence[Head], outputs: Sequence[np.ndarray], encoded_labels: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of the table from the network's outputs; `encoded_labels` (n, heads) are those of the same rows."""
    columns: dict[str, np.ndarray] = {}
    for i, head in enumerate(heads):
        name, read = head.label.name, head.read(outputs[i])
        if head.task == "regression":
            columns[f"prediction: {name}"] = read
            continue
        label = encoded_labels[:, i].astype(np.int64)
        columns[f"label: {name}"] = label.astype(np.float64)
        if head.task == "binary":
            columns[f"prediction: {name}"] = read[:, 0]
            continue
        known = label >= 0
        own = np.where(known, read[np.arange(len(read)), np.maximum(label, 0)], 0.0)
        columns[f"prediction: {name}"] = read.argmax(axis=1).astype(np.float64)
        columns[f"predicted_probability: {name}"] = read.max(axis=1)
        columns[f"label_probability: {name}"] = own
        if len(head.classes) <= MAX_LISTED_CLASSES:
            columns[f"class_probabilities: {name}"] = read.astype(np.float32)
        rank = 1.0 + (read > own[:, None]).sum(axis=1)
        columns[f"label_rank: {name}"] = np.where(known, rank, read.shape[1] + 1.0)
    return columns


def roles_of(head: Head) -> Roles:
    """Where metrics find what they read, in the table of predictions."""
    name = head.label.name

    def role(wanted: str) -> exp.Expr:
        match wanted:
            case "center":
                return double(head.offset)
            case "predicted_class":
                return column(f"prediction: {name}")
        return column(f"{wanted}: {name}")

    return role


def write_predictions(
    engine: Engine, rows: Rows, heads: Sequence[Head], statistics: Statistics, raw: Path, beside: Sequence[str], target: Path
) -> int:
    """Joins raw predictions (`_row_id`, `_split`, columns of `prediction_columns`) with labels and the columns `beside`.

    Gives the number of rows written. Raises StoreError where a prediction's row is not among `rows`: metrics would leave it out.
    """
    names = list(dict.fromkeys([*beside, *(head.label.name for head in heads)]))
    source = rows.select(engine, names).subquery("source")
    predictions = engine.parquet([raw], alias="predictions")
    predicted = [name for name in pq.ParquetFile(raw).schema_arrow.names if name not in (ROW_ID, "_split")]
    outputs: list[exp.Expr] = [column(ROW_ID, "predictions"), column("_split", "predictions")]
    outputs += [column(name, "source").as_(name_beside(name), quoted=True) for name in dict.fromkeys(beside)]
    outputs += [_label(head.label, statistics).as_(f"label: {head.label.name}", quoted=True) for head in heads if head.task == "regression"]
    outputs += [column(name, "predictions") for name in predicted]
    joined = (
        exp.select(*outputs)
        .from_(predictions)
        .join(source, on=exp.EQ(this=column(ROW_ID, "predictions"), expression=column(ROW_ID, "source")), join_type="inner")
    )
    found, asked = engine.write(joined, target), pq.ParquetFile(raw).metadata.num_rows
    if found != asked:
        raise StoreError(
            f"{asked:,} rows were predicted, and {found:,} of them are found in the snapshot: one of the two is damaged",
            "cengine cache verify --repair removes what is not whole, and the next run builds it again",
        )
    return found


def raw_table(identities: np.ndarray, split: int, columns: dict[str, np.ndarray], schema: pa.Schema) -> pa.Table:
    """Raw predictions of rows of one split, as `raw_schema` says."""
    data = {ROW_ID: identities.astype(np.int64), "_split": np.full(len(identities), split), **columns}
    return pa.table({field.name: _arrow(data[field.name]).cast(field.type) for field in schema})


def _arrow(values: np.ndarray) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def raw_schema(heads: Sequence[Head]) -> pa.Schema:
    """The schema of raw predictions."""
    fields = [(ROW_ID, pa.int64()), ("_split", pa.int16())]
    for head in heads:
        name = head.label.name
        if head.task != "regression":
            fields.append((f"label: {name}", pa.float64()))
        fields.append((f"prediction: {name}", pa.float64()))
        if head.task == "classes":
            fields += [(f"{what}: {name}", pa.float64()) for what in ("predicted_probability", "label_probability", "label_rank")]
            if len(head.classes) <= MAX_LISTED_CLASSES:
                fields.append((f"class_probabilities: {name}", pa.list_(pa.float32(), len(head.classes))))
    return pa.schema(fields)


def _label(label: Label, statistics: Statistics) -> exp.Expr:
    value = Value(column(label.name, "source"), label.kind)
    if label.filling is not None:
        value = filled(value, statistics["labels"][label.name]["filling"])
    return exp.cast(as_number(value.expression, value.kind), "double")


def missing_beside(predictions: Path, names: Sequence[str]) -> list[str]:
    """The columns that do not stand beside these predictions."""
    there = set(pq.ParquetFile(predictions).schema_arrow.names)
    return [name for name in dict.fromkeys(names) if name_beside(name) not in there]


def with_columns(engine: Engine, rows: Rows, predictions: Path, names: Sequence[str]) -> exp.Expr:
    """Written predictions with these columns of the table beside (see `name_beside`), those that are not there already, as an item of FROM."""
    there = pq.ParquetFile(predictions).schema_arrow.names
    missing = missing_beside(predictions, names)
    scan = engine.parquet([predictions], alias="predictions")
    if not missing:
        return scan
    joined = (
        exp.select(
            *[column(name, "predictions") for name in there],
            *[column(name, "source").as_(name_beside(name), quoted=True) for name in missing],
        )
        .from_(scan)
        .join(
            rows.select(engine, missing).subquery("source"),
            on=exp.EQ(this=column(ROW_ID, "predictions"), expression=column(ROW_ID, "source")),
            join_type="inner",
        )
    )
    return joined.subquery("predictions")
