"""What the yardsticks reach on the evaluated rows, and how far the model is from them, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from sqlglot import exp

from cengine.config.resolve import Resolved, metrics_of
from cengine.engines.engine import Engine
from cengine.evaluation.baselines import NO_YARDSTICKS, BesideYardsticks
from cengine.evaluation.paired import Pair, Side, differences, point_columns, role_columns
from cengine.evaluation.scales import scale_names
from cengine.expressions.build import column
from cengine.preprocess.targets import Target
from cengine.tables import ROW_ID

# Of more rows metrics that are no sums are measured on groups of rows, each alone: a yardstick must not cost more than the model.
MAX_JACKKNIFE_ROWS = 2**14

SIGNIFICANT_DIGITS = 9

# By label, split and metric.
Reached = dict[tuple[str, str, str], BesideYardsticks]


def beside_yardsticks(
    engine: Engine,
    predictions: Path,
    raw: Mapping[str, Path],
    targets: Sequence[Target],
    resolved: Resolved,
    split_names: Sequence[str],
) -> Reached:
    """Measures the raw predictions `raw` of each yardstick (`_row_id`, `_split`, columns of `prediction_columns`) beside the model's."""
    found: dict[tuple[str, str, str], dict[str, float | None]] = {}
    for name, file in raw.items():
        pair = _pair(engine, predictions, file, targets, split_names, file.with_name(f"pair-{name}.parquet"))
        for target in targets:
            metrics = [
                one for one in metrics_of(target.label, target.task.name, resolved.metrics) if one.beside_yardsticks
            ]
            for one in differences(engine, pair, target.name, metrics, MAX_JACKKNIFE_ROWS):
                own = found.setdefault((target.name, one.split, one.metric), {**NO_YARDSTICKS})  # type: ignore[dict-item]
                own |= {
                    name: _rounded(one.first),
                    f"{name}_difference": _rounded(one.difference),
                    f"{name}_low": _rounded(one.low),
                    f"{name}_high": _rounded(one.high),
                }
        pair.file.unlink()
    return {key: cast(BesideYardsticks, own) for key, own in found.items()}


def _rounded(value: float) -> float:
    """Without the digits that depend on the order in which threads add: of a difference of two metrics there are more of them."""
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def _pair(
    engine: Engine, predictions: Path, raw: Path, targets: Sequence[Target], split_names: Sequence[str], file: Path
) -> Pair:
    """The yardstick's predictions first, the model's second; labels are those of the table of predictions for both."""
    splits, by_label = tuple(split_names), {target.name: target for target in targets}
    first, second = Side(raw, splits, by_label), Side(predictions, splits, by_label)
    outputs: list[exp.Expr] = [column(ROW_ID, "model"), column("_split", "model")]
    outputs += [column(name, "model") for name in point_columns(second)]
    same = {f"{what}: {target.name}" for target in targets for what in ("label", "weight")}
    same |= {name for target in targets for name in scale_names(target.name)}
    for name in role_columns(second):
        of_yardstick = "model" if name in same else "yardstick"
        outputs.append(column(name, of_yardstick).as_(f"first: {name}", quoted=True))
        outputs.append(column(name, "model").as_(f"second: {name}", quoted=True))
    joined = (
        exp.select(*outputs)
        .from_(engine.parquet([predictions], alias="model"))
        .join(
            engine.parquet([raw], alias="yardstick"),
            on=exp.EQ(this=column(ROW_ID, "model"), expression=column(ROW_ID, "yardstick")),
            join_type="inner",
        )
    )
    engine.write(joined, file)
    counts = exp.select("_split", "COUNT(*) AS n").from_(engine.parquet([file])).group_by("_split")
    num_rows = {row["_split"]: row["n"] for row in engine.fetch(counts).to_pylist()}
    return Pair(first, second, file, {name: num_rows.get(i, 0) for i, name in enumerate(splits) if i}, splits)
