"""What a constant would reach: the truth beside every metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NotRequired, TypedDict, cast

from sqlglot import exp

from cengine.engines.engine import Engine
from cengine.evaluation.predictions import FOLD, roles_of, weight_of
from cengine.evaluation.slices import CONSTANT, OVERALL, Measured, measure
from cengine.expressions.build import column, double, step_function
from cengine.metrics.metric import Metric, Roles
from cengine.metrics.table import metric_label
from cengine.plain import Cell
from cengine.preprocess.fit import Statistics
from cengine.preprocess.targets import Target
from cengine.tasks import Constant


@dataclass(frozen=True)
class Baseline:
    """A constant predictor: `what` names it for a person, `value` is the constant (a number, or a class)."""

    what: str
    value: Cell


class BesideYardsticks(TypedDict):
    """What the other models reach in a metric; the difference is the model's metric less theirs, row by row, with its interval.

    None where there is none: trees are there where the YAML asks for them, and an evaluation of an earlier version has neither. An
    autoencoder has PCA beside it, and a forecast naive ones, of which nothing is said elsewhere.
    """

    linear: float | None
    linear_difference: float | None
    linear_low: float | None
    linear_high: float | None
    trees: float | None
    trees_difference: float | None
    trees_low: float | None
    trees_high: float | None
    naive: NotRequired[float | None]
    naive_difference: NotRequired[float | None]
    naive_low: NotRequired[float | None]
    naive_high: NotRequired[float | None]
    seasonal: NotRequired[float | None]
    seasonal_difference: NotRequired[float | None]
    seasonal_low: NotRequired[float | None]
    seasonal_high: NotRequired[float | None]
    pca: NotRequired[float | None]
    pca_difference: NotRequired[float | None]
    pca_low: NotRequired[float | None]
    pca_high: NotRequired[float | None]


NO_YARDSTICKS: BesideYardsticks = {
    "linear": None,
    "linear_difference": None,
    "linear_low": None,
    "linear_high": None,
    "trees": None,
    "trees_difference": None,
    "trees_low": None,
    "trees_high": None,
}


class BesideConstant(BesideYardsticks):
    """A measured metric with its interval beside the constant's. What is not defined is NaN here, None once it was JSON."""

    model: float | None
    low: float | None
    high: float | None
    constant: float | None
    constant_is: str
    skill: float | None


def yardsticks_of(row: Mapping[str, Any]) -> BesideYardsticks:
    """What a row of results says of the other models."""
    known = BesideYardsticks.__annotations__
    return cast(BesideYardsticks, {key: row.get(key) for key in known if key in NO_YARDSTICKS or key in row})


def baseline_of(target: Target, metric: Metric, statistics: Statistics, *, of_folds: bool = False) -> Baseline:
    """The constant that is hard to beat in this metric, learnt from the train rows; of folds each has one of its own, of which this is near."""
    constant = constants_of(target, learnt_of(target, statistics))[target.task.hardest(metric.name)]
    tells = of_folds and target.task.has_label
    what = f"{constant.what.removeprefix('train ')} of the other folds" if tells else constant.what
    return Baseline(what, constant.value)


def learnt_of(target: Target, statistics: Statistics) -> dict[str, Any]:
    """What Fit has learnt of a label; of rows, which are none, nothing."""
    found: dict[str, Any] = statistics["labels"].get(target.name, {})
    return found


def constants_of(target: Target, fitted: dict[str, Any]) -> dict[str, Constant]:
    """What constants would say, learnt from the train rows, each as often as it counts: `fitted` are the label's statistics."""
    return target.task.constants({**fitted, **fitted.get("weighted", {})})


def measure_beside(
    engine: Engine,
    predictions: exp.Expr,
    target: Target,
    metrics: Sequence[Metric],
    statistics: Statistics,
    slices: Sequence[tuple[str, ...]] = (OVERALL,),
    of_folds: Sequence[Statistics] = (),
) -> list[Measured]:
    """Metrics of each slice with their intervals and, as `METRIC: constant`, what the constant of the train rows reaches on the
    slice's rows: one that is right for all rows may be far off on these.

    `of_folds` are the statistics of the rows that each fold's model has learnt from: a fold's rows have the constant of those.
    """
    task, weight = target.task, weight_of(target)
    constants_of_folds = [constants_of(target, _in_classes(target, learnt_of(target, one))) for one in of_folds]
    found = measure(
        engine,
        predictions,
        roles_of(target),
        task.name,
        metrics,
        slices,
        intervals=True,
        weight=weight,
        window_labels=target.label.window_labels,
    )
    for which, constant in constants_of(target, learnt_of(target, statistics)).items():
        hardest = [metric for metric in metrics if task.hardest(metric.name) == which]
        # By constants that differ rows could be ranked: what is measured by ranks has one constant.
        for ranked in (False, True):
            chosen = [metric for metric in hardest if (metric.grouping == "scores" and bool(of_folds)) is ranked]
            if not chosen:
                continue
            own = [] if ranked else [constants[which] for constants in constants_of_folds]
            roles = _constant_roles(target, constant, own)
            told = measure(engine, predictions, roles, task.name, chosen, slices, weight=weight)
            # Slices of the same rows come in the same order.
            found = [_with_constants(one, other, chosen) for one, other in zip(found, told, strict=True)]
    return found


def _with_constants(measured: Measured, constants: Measured, metrics: Sequence[Metric]) -> Measured:
    table = measured.table
    for name in map(metric_label, metrics):
        table = table.append_column(f"{name}: {CONSTANT}", constants.table[name])
    return replace(measured, table=table)


def skill(metric: Metric, model: float, constant: float) -> float | None:
    """How much of the constant's distance to perfection the model saves: 0 as good as it, 1 perfect, below 0 worse.

    None where the constant is perfect, where either is not defined, and of a metric that has no best end.
    """
    if not metric.has_best_end:
        return None
    perfect = 1.0 if metric.higher_is_better else 0.0
    distance = abs(perfect - constant)
    return (
        None
        if distance == 0 or not math.isfinite(distance) or not math.isfinite(model)
        else 1 - abs(perfect - model) / distance
    )


def beside_constant(
    target: Target,
    metric: Metric,
    row: dict[str, Any],
    statistics: Statistics,
    yardsticks: BesideYardsticks | None = None,
    *,
    of_folds: bool = False,
) -> BesideConstant:
    """A metric of a row of `measure_beside` with its interval beside the constant's and what the other models reach."""
    name, baseline = metric_label(metric), baseline_of(target, metric, statistics, of_folds=of_folds)
    constant = row[f"{name}: {CONSTANT}"]
    return {
        "model": row[name],
        "low": row[f"{name}: low"],
        "high": row[f"{name}: high"],
        "constant": constant,
        "constant_is": f"{baseline.what}{', about' if of_folds and target.task.has_label else ''} {shown(baseline.value)}",
        "skill": skill(metric, row[name], constant),
        **(yardsticks or NO_YARDSTICKS),
    }


def _constant_roles(target: Target, constant: Constant, of_folds: Sequence[Constant]) -> Roles:
    """The roles with the prediction replaced by the constant, or by that of the row's fold where each has one."""
    real = roles_of(target)

    def of(constant: Constant, wanted: str) -> exp.Expr:
        match constant.roles[wanted]:
            case list() as values:
                return _of_class(real("label"), values)
            case str() as name:
                return real(name)
            case value:
                return double(value)

    def role(wanted: str) -> exp.Expr:
        if wanted not in constant.roles:
            return real(wanted)
        if not of_folds:
            return of(constant, wanted)
        case = exp.Case()
        for number, own in enumerate(of_folds, start=1):
            case = case.when(exp.EQ(this=column(FOLD), expression=exp.convert(number)), of(own, wanted))
        return case

    return role


def _in_classes(target: Target, fitted: dict[str, Any]) -> dict[str, Any]:
    """What Fit has learnt of a label, counted in the target's classes: the rows of a fold's model may lack some of them."""
    if not target.task.has_classes or tuple(fitted["classes"]) == target.classes:
        return fitted

    def of_all(counts: Sequence[float]) -> dict[str, list[float]]:
        own = dict(zip(fitted["classes"], counts, strict=True))
        return {"counts": [own.get(value, 0) for value in target.classes]}

    weighted = {"weighted": of_all(fitted["weighted"]["counts"])} if "weighted" in fitted else {}
    return {**fitted, "classes": list(target.classes), **of_all(fitted["counts"]), **weighted}


def _of_class(label: exp.Expr, values: list[float]) -> exp.Expr:
    """A number for each class; the first is for a class that the train rows do not have."""
    return step_function(label, [double(i - 0.5) for i in range(len(values) - 1)], [double(v) for v in values])


def shown(value: object) -> str:
    """The constant as a person reads it."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
