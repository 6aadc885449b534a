"""How far a metric differs from fold to fold: each fold was measured by a model of its own."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TypedDict

from sqlglot import exp

from cengine.engines.engine import Engine
from cengine.evaluation.predictions import FOLD, roles_of, weight_of
from cengine.evaluation.slices import measure
from cengine.metrics.metric import Metric
from cengine.metrics.table import metric_label
from cengine.preprocess.targets import Target


class OverFolds(TypedDict):
    """A metric of each fold, their mean, and their standard deviation (of a sample: by one less than the folds).

    Mean and deviation are None where the metric is not defined in one of them.
    """

    values: list[float | None]
    mean: float | None
    deviation: float | None


_PARTS = {
    2: "half", 3: "third", 4: "quarter", 5: "fifth", 6: "sixth", 7: "seventh", 8: "eighth", 9: "ninth", 10: "tenth",
    11: "eleventh", 12: "twelfth",
}  # fmt: skip


def told(num_folds: int, groups: str | None = None) -> str:
    """What was measured by whom, in a sentence; `groups` is the column whose groups are whole in each fold."""
    part = _PARTS.get(num_folds, f"{num_folds}th")
    what = "rows" if groups is None else f"groups of {groups}"
    return (
        f"each of the {num_folds} models was measured on the {part} of the {what} that it did not see; "
        f"the model kept learnt from all {what}"
    )


def over_folds(
    engine: Engine, predictions: exp.Expr, target: Target, metrics: Sequence[Metric]
) -> dict[str, OverFolds]:
    """By metric what each fold's own rows give, the folds in their order."""
    roles, weight = roles_of(target), weight_of(target)
    (found,) = measure(engine, predictions, roles, target.task.name, metrics, within=(FOLD,), weight=weight)
    table = found.table.sort_by(FOLD)
    return {name: _told(table[name].to_pylist()) for name in map(metric_label, metrics)}


def _told(values: Sequence[float | None]) -> OverFolds:
    known = [value for value in values if value is not None and math.isfinite(value)]
    told: OverFolds = {
        "values": [value if value in known else None for value in values],
        "mean": None,
        "deviation": None,
    }
    if len(known) == len(values):
        told["mean"], told["deviation"] = statistics.fmean(known), statistics.stdev(known)
    return told
