"""The table of predictions: one row for each row that was not trained on, its labels and slice columns beside.

For a label L: `label: L` (its value; for classes the class' number), and `prediction: L` (a number; for two classes
the probability of the positive one; for more the number of the likeliest class), and for more than two classes
`label_probability: L` and `label_rank: L`, what the network gave the true class.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from cengine.config.resolve import Label
from cengine.engines.duckdb import DuckDB
from cengine.expressions.build import as_number, column, double
from cengine.networks.metrics import Roles
from cengine.preprocess.fit import Statistics
from cengine.preprocess.source import Rows
from cengine.tables import ROW_ID
from cengine.training.heads import Head
from cengine.transforms import Value
from cengine.transforms.fill import filled


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
        columns[f"label_probability: {name}"] = own
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
    engine: DuckDB, rows: Rows, heads: Sequence[Head], statistics: Statistics, raw: Path, slice_columns: Sequence[str], target: Path
) -> int:
    """Joins raw predictions (`_row_id`, `_split`, columns of `prediction_columns`) with labels and slice columns.

    Gives the number of rows written.
    """
    names = list(dict.fromkeys([*slice_columns, *(head.label.name for head in heads)]))
    source = rows.select(engine, names).subquery("source")
    predictions = engine.parquet([raw], alias="predictions")
    predicted = [name for name in pq.ParquetFile(raw).schema_arrow.names if name not in (ROW_ID, "_split")]
    outputs: list[exp.Expr] = [column(ROW_ID, "predictions"), column("_split", "predictions")]
    outputs += [column(name, "source") for name in dict.fromkeys(slice_columns)]
    outputs += [_label(head.label, statistics).as_(f"label: {head.label.name}", quoted=True) for head in heads if head.task == "regression"]
    outputs += [column(name, "predictions") for name in predicted]
    joined = (
        exp.select(*outputs)
        .from_(predictions)
        .join(source, on=exp.EQ(this=column(ROW_ID, "predictions"), expression=column(ROW_ID, "source")), join_type="inner")
    )
    return engine.write(joined, target)


def raw_schema(heads: Sequence[Head]) -> pa.Schema:
    """The schema of raw predictions."""
    fields = [(ROW_ID, pa.int64()), ("_split", pa.int16())]
    for head in heads:
        name = head.label.name
        if head.task != "regression":
            fields.append((f"label: {name}", pa.float64()))
        fields.append((f"prediction: {name}", pa.float64()))
        if head.task == "classes":
            fields += [(f"label_probability: {name}", pa.float64()), (f"label_rank: {name}", pa.float64())]
    return pa.schema(fields)


def _label(label: Label, statistics: Statistics) -> exp.Expr:
    value = Value(column(label.name, "source"), label.kind)
    if label.filling is not None:
        value = filled(value, statistics["labels"][label.name]["filling"])
    return exp.cast(as_number(value.expression, value.kind), "double")
