"""What a constant would reach: the truth beside every metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from cengine.engines.engine import Engine
from cengine.evaluation.predictions import roles_of
from cengine.evaluation.slices import measure
from cengine.expressions.build import double, step_function
from cengine.networks.metric import Metric, Roles
from cengine.networks.metrics import metric_label
from cengine.preprocess.fit import Statistics
from cengine.training.heads import Head

# Of the constants, the median makes absolute errors least, the mean squared ones.
_OF_MEDIAN = ("mae", "mape")
HARDLY_BETTER = 0.05
# Of fewer evaluated rows a metric says next to nothing.
FEW_ROWS = 10


@dataclass(frozen=True)
class Baseline:
    """A constant predictor: `what` names it for a person, `value` is the constant (a number, or a class)."""

    what: str
    value: Any


def baseline_of(head: Head, metric: Metric, statistics: Statistics) -> Baseline:
    """The constant that is hard to beat in this metric, learnt from the train rows."""
    fitted = statistics["labels"][head.label.name]
    if head.task == "regression":
        what = "median" if metric.name in _OF_MEDIAN else "mean"
        return Baseline(f"train {what}", fitted[what])
    counts = fitted["counts"]
    return Baseline("most frequent class", head.classes[counts.index(max(counts))])


def measure_baselines(
    engine: Engine, predictions: exp.Expr, head: Head, metrics: Sequence[Metric], statistics: Statistics
) -> dict[int, dict[str, float]]:
    """The constants' metrics by split number and metric, overall."""
    found: dict[int, dict[str, float]] = {}
    for group in ({"median"}, {"mean"}, {"class"}):
        chosen = [m for m in metrics if _constant_of(head, m) in group]
        if chosen:
            roles = _constant_roles(head, next(iter(group)), statistics)
            (overall,) = measure(engine, predictions, roles, head.task, chosen)
            for row in overall.table.to_pylist():
                found.setdefault(row["_split"], {}).update({metric_label(m): row[metric_label(m)] for m in chosen})
    return found


def skill(metric: Metric, model: float, constant: float) -> float | None:
    """How much of the constant's distance to perfection the model saves: 0 as good as it, 1 perfect, below 0 worse.

    None where the constant is perfect, and where either is not defined.
    """
    perfect = 1.0 if metric.higher_is_better else 0.0
    distance = abs(perfect - constant)
    return None if distance == 0 or not math.isfinite(distance) or not math.isfinite(model) else 1 - abs(perfect - model) / distance


def beside_constant(head: Head, metric: Metric, row: dict[str, Any], constant: float, statistics: Statistics) -> dict[str, Any]:
    """A measured metric with its interval beside the constant's: model, low, high, constant, constant_is, skill."""
    name, baseline = metric_label(metric), baseline_of(head, metric, statistics)
    return {"model": row[name], "low": row[f"{name}: low"], "high": row[f"{name}: high"], "constant": constant,
            "constant_is": f"{baseline.what} {shown(baseline.value)}", "skill": skill(metric, row[name], constant)}  # fmt: skip


def verdict(
    head: Head, metric: Metric, model: float, constant: float, baseline: Baseline, interval: tuple[float, float] | None = None,
    num_rows: int | None = None,
) -> str:  # fmt: skip
    """A sentence that says plainly whether the model is worth anything.

    `interval` is that of the model's metric, NaN where it cannot be told, and `num_rows` the evaluated rows. From too few of
    them the sentence claims nothing.
    """
    gained = skill(metric, model, constant)
    name, always = metric_label(metric), f"always saying {shown(baseline.value)} ({baseline.what})"
    numbers, subject = f"{name} {model:.4g} against {constant:.4g}", f"The model of {head.label.name}"
    rows = "these rows" if num_rows is None else "1 evaluated row" if num_rows == 1 else f"{num_rows:,} evaluated rows"
    few = num_rows is not None and num_rows < FEW_ROWS
    undefined = [who for who, value in (("the model", model), ("the constant", constant)) if not math.isfinite(value)]
    if undefined:
        return f"{subject} cannot be told from {always}: of {rows} the {name} of {' and '.join(undefined)} is not defined."
    unknown = interval is not None and not all(map(math.isfinite, interval))
    if unknown and few:
        return f"{subject} cannot be told from {always}: {numbers}, but of {rows} no interval can be told."
    caution = f" Only {rows}: too few to rely on." if few else " No interval can be told." if unknown else ""
    if gained is None:
        return f"{always} is perfect already: {numbers}.{caution}"
    if gained <= 0:
        return f"{subject} is NO BETTER than {always}: {numbers}.{caution}"
    if interval is not None and interval[0] <= constant <= interval[1]:
        ends = f"{interval[0]:.4g} to {interval[1]:.4g}"
        return f"{subject} cannot be told from {always}: {numbers} is within the noise of these rows ({ends}).{caution}"
    if gained < HARDLY_BETTER:
        return f"{subject} is hardly better than {always}: {numbers}, {100 * gained:.1f} % better.{caution}"
    return f"{subject} is {100 * gained:.1f} % better than {always}: {numbers}.{caution}"


def _constant_of(head: Head, metric: Metric) -> str:
    if head.task != "regression":
        return "class"
    return "median" if metric.name in _OF_MEDIAN else "mean"


def _constant_roles(head: Head, which: str, statistics: Statistics) -> Roles:
    """The roles with the prediction replaced by the constant."""
    real = roles_of(head)
    fitted = statistics["labels"][head.label.name]
    if head.task == "regression":
        return lambda role: double(float(fitted[which])) if role == "prediction" else real(role)
    counts = fitted["counts"]
    total = sum(counts)
    if head.task == "binary":
        return lambda role: double(counts[1] / total) if role == "prediction" else real(role)
    by_count = sorted(range(len(counts)), key=lambda i: -counts[i])
    ranks = [float(by_count.index(i) + 1) for i in range(len(counts))]

    def role(wanted: str) -> exp.Expr:
        match wanted:
            case "prediction" | "predicted_class":
                return double(float(by_count[0]))
            case "label_probability":
                return _of_class(real("label"), [0.0, *(count / total for count in counts)])
            case "label_rank":
                return _of_class(real("label"), [len(counts) + 1.0, *ranks])
        return real(wanted)

    return role


def _of_class(label: exp.Expr, values: list[float]) -> exp.Expr:
    """A number for each class; the first is for a class that the train rows do not have."""
    return step_function(label, [double(i - 0.5) for i in range(len(values) - 1)], [double(v) for v in values])


def shown(value: Any) -> str:
    """The constant as a person reads it."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
