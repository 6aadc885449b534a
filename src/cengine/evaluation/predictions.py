"""The table of predictions: one row for each row that was not trained on, its labels and slice columns beside.

For a label L: `label: L` (its value; for classes the class' number), and `prediction: L` (a number; for two classes
the probability of the positive one; for more the number of the likeliest class), and for more than two classes
`label_probability: L` and `label_rank: L`, what the network gave the true class, `predicted_probability: L`, what it
gave the likeliest, and of at most MAX_LISTED_CLASSES classes `class_probabilities: L`, a list with one for each. If quantiles
are predicted, `quantile_0.05: L` and so on, ascending, one of which `prediction: L` is. If the label has a `sample_weight`,
`weight: L` is how much the row counts.
If rows are points of series, `scale: L` and `squared_scale: L` are the mean absolute and the mean squared error of repeating the
season before in the train points of its series, null where they are 0 or not known, and `series_share: L` is one over the number
of rows that its series has in the split.

Of reconstructed rows, in the place of L, `prediction: L` is the score, and `score_max: L` and so on are what else is known of a row
(see `tasks.SCORES`).

If rows were dealt to folds, `_fold` is the fold of a row, from 1: the model that did not learn from this fold predicted it.

If rows are windows of points, each prediction is of a point: `_point` is its place, and `horizon_step`, from 1, how many steps ahead
of the window's last it is, where a horizon is asked for. The identity is the place of the first point that is predicted times the
number of predictions of a window, plus the number of this one.

A column of the table whose own name is one of these (or `_split`) stands beside them as `column: NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from cengine.config.resolve import Label
from cengine.config.schema import Anomaly
from cengine.engines.engine import Engine
from cengine.errors import StoreError
from cengine.expressions.build import as_number, column, double
from cengine.metrics.metric import Roles
from cengine.names import POINT, fold, set_aside
from cengine.preprocess.fit import Statistics
from cengine.preprocess.source import Rows
from cengine.preprocess.targets import Target
from cengine.preprocess.weights import weight_cell
from cengine.tables import ROW_ID
from cengine.tasks import SCORES
from cengine.transforms import Value
from cengine.transforms.fill import filled

# What the table has of each label.
OWN_COLUMNS = (
    "label",
    "prediction",
    "predicted_probability",
    "label_probability",
    "label_rank",
    "class_probabilities",
    "weight",
    "scale",
    "squared_scale",
    "series_share",
    *SCORES[1:],
)
# The fold that a row is of, where there are folds.
FOLD = "_fold"
_OWN_PREFIXES = tuple(f"{what}: " for what in OWN_COLUMNS)
_OF_QUANTILES = re.compile(r"quantile_[0-9.e-]+: ")


def name_beside(name: str) -> str:
    """What a column of the user's is called in the table of predictions."""
    return set_aside(name, lambda own: fold(own) in (ROW_ID, "_split", FOLD, POINT) or _is_own(fold(own)))


def _is_own(name: str) -> bool:
    return name.startswith(_OWN_PREFIXES) or _OF_QUANTILES.match(name) is not None


def prediction_columns(
    targets: Sequence[Target], predicted: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Columns of the table: by label its predictions, and the labels of the same rows as encoded, float32 (n,)."""
    columns: dict[str, np.ndarray] = {}
    for target in targets:
        label = labels[target.name] if target.task.has_label else np.empty(0)
        found = target.task.predictions(predicted[target.name], label)
        columns |= {f"{what}: {target.name}": values for what, values in found.items()}
    return columns


def roles_of(target: Target) -> Roles:
    """Where metrics find what they read, in the table of predictions."""
    name = target.name

    def role(wanted: str) -> exp.Expr:
        match wanted:
            case "center":
                return double(target.offset)
            case "predicted_class":
                return column(f"prediction: {name}")
            case "quantiles":  # which there are, as numbers
                return exp.Tuple(expressions=[exp.Literal.number(repr(share)) for share in target.task.quantiles])
        return column(f"{wanted}: {name}")

    return role


def weight_of(target: Target) -> exp.Expr | None:
    """How much a row counts, in the table of predictions; None if all count alike."""
    return column(f"weight: {target.name}") if target.label.sample_weight else None


def write_predictions(
    engine: Engine,
    rows: Rows,
    targets: Sequence[Target],
    statistics: Statistics,
    raw: Path,
    beside: Sequence[str],
    file: Path,
    anomaly: Anomaly | None = None,
) -> int:
    """Joins raw predictions (`_row_id`, `_split`, columns of `prediction_columns`) with labels and the columns `beside`.

    The label of rows that are reconstructed is 1 where they are known to be odd, 0 where not, null if no column tells.
    Gives the number of rows written. Raises StoreError where a prediction's row is not among `rows`: metrics would leave it out.
    """
    weighted = [target for target in targets if target.label.sample_weight]
    weights = [str(target.label.sample_weight) for target in weighted]
    labels = [target.name for target in targets if target.task.has_label] + ([anomaly.column] if anomaly else [])
    names = list(dict.fromkeys([*beside, *labels, *weights]))
    source = rows.select(engine, names).subquery("source")
    predictions = engine.parquet([raw], alias="predictions")
    predicted = [name for name in pq.ParquetFile(raw).schema_arrow.names if name not in (ROW_ID, "_split")]
    outputs: list[exp.Expr] = [column(ROW_ID, "predictions"), column("_split", "predictions")]
    outputs += [column(name, "source").as_(name_beside(name), quoted=True) for name in dict.fromkeys(beside)]
    outputs += [
        (_label(target.label, statistics) if target.task.has_label else _is_odd(anomaly, rows)).as_(
            f"label: {target.name}", quoted=True
        )
        for target in targets
        if not target.task.has_classes
    ]
    outputs += [
        weight_cell(target.label, rows, "source").as_(f"weight: {target.name}", quoted=True) for target in weighted
    ]
    outputs += [column(name, "predictions") for name in predicted]
    joined = (
        exp.select(*outputs)
        .from_(predictions)
        .join(
            source,
            on=_same_row(predicted),
            join_type="inner",
        )
    )
    if FOLD in predicted or POINT in predicted:
        # As many rows on both sides of the join: which one goes first is the engine's choice, and so would be their order.
        joined = joined.order_by(column(ROW_ID, "predictions"))
    found, asked = engine.write(joined, file), pq.ParquetFile(raw).metadata.num_rows
    if found != asked:
        raise StoreError(
            f"{asked:,} rows were predicted, and {found:,} of them are found in the snapshot: one of the two is damaged",
            "cengine cache verify --repair removes what is not whole, and the next run builds it again",
        )
    return found


def _same_row(predicted: Sequence[str]) -> exp.Expr:
    """Where a prediction is of a row: several may be of one point."""
    return exp.EQ(
        this=column(POINT if POINT in predicted else ROW_ID, "predictions"), expression=column(ROW_ID, "source")
    )


def raw_table(
    identities: np.ndarray,
    split: int,
    columns: Mapping[str, np.ndarray],
    schema: pa.Schema,
    fold: int | None = None,
) -> pa.Table:
    """Raw predictions of rows of one split, and of one fold, as `raw_schema` says."""
    data = {ROW_ID: identities.astype(np.int64), "_split": np.full(len(identities), split), **columns}
    if fold is not None:
        data[FOLD] = np.full(len(identities), fold)
    return pa.table({field.name: _arrow(data[field.name]).cast(field.type) for field in schema})


def _arrow(values: np.ndarray) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def raw_schema(targets: Sequence[Target], *, of_folds: bool = False, of_points: Sequence[str] = ()) -> pa.Schema:
    """The schema of raw predictions; `of_points` are the columns that say which point each is of."""
    fields = [(ROW_ID, pa.int64()), ("_split", pa.int16()), *([(FOLD, pa.int16())] if of_folds else [])]
    fields += [(name, pa.int64() if name == POINT else pa.int16()) for name in of_points]
    for target in targets:
        for what, length in target.task.columns(len(target.classes)).items():
            fields.append(
                (f"{what}: {target.name}", pa.float64() if length is None else pa.list_(pa.float32(), length))
            )
    return pa.schema(fields)


def _label(label: Label, statistics: Statistics) -> exp.Expr:
    value = Value(column(label.name, "source"), label.kind)
    if label.filling is not None:
        value = filled(value, statistics["labels"][label.name]["filling"])
    return exp.cast(as_number(value.expression, value.kind), "double")


def _is_odd(anomaly: Anomaly | None, rows: Rows) -> exp.Expr:
    """Whether a row is known to be odd, as a number; a missing cell says that it is not."""
    if anomaly is None:
        return exp.cast(exp.null(), "double")
    cell, value = column(anomaly.column, "source"), anomaly.positive
    match rows.schema[anomaly.column].kind:
        case "boolean":
            same = exp.EQ(this=exp.cast(cell, "int"), expression=exp.convert(int(bool(value))))
        case "string":
            same = exp.EQ(this=cell, expression=exp.Literal.string(str(value)))
        case _:
            same = exp.EQ(this=cell, expression=double(float(value)))
    return exp.Case().when(same, double(1.0)).else_(double(0.0))


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
    kept = [column(name, "predictions") for name in there]
    added = [column(name, "source").as_(name_beside(name), quoted=True) for name in missing]
    source = rows.select(engine, missing).subquery("source")
    joined = exp.select(*kept, *added).from_(scan).join(source, on=_same_row(there), join_type="inner")
    return joined.subquery("predictions")
