"""A sentence for each label and split that says plainly whether the model is worth anything beside the simplest ones."""

from __future__ import annotations

import math
from typing import Any

from cengine.evaluation.baselines import Baseline, shown
from cengine.metrics.metric import Metric
from cengine.metrics.table import metric_label
from cengine.metrics.verdicts import (
    BETTER,
    FEW_ROWS,
    HARDLY,
    NOISE,
    WORSE,
    YARDSTICKS,
    against,
    against_constant,
    is_known,
)
from cengine.preprocess.targets import Target

_TOLD = {BETTER: "better than", WORSE: "worse than", NOISE: "not to be told from"}
_TOLD_OF_CONSTANT = {**_TOLD, WORSE: "NO BETTER than", HARDLY: "hardly better than"}


def verdict(target: Target, metric: Metric, row: dict[str, Any], baseline: Baseline) -> str:
    """The sentence of a measured metric, a row of `Results.overall_rows`; `baseline` is the constant.

    The best of the yardsticks comes first, each with its own number. From too few rows the sentence claims nothing.
    """
    model, constant, num_rows = row["model"], row["constant"], row["num_rows"]
    name, always = metric_label(metric), _always(target, baseline)
    subject = f"The model of {target.name}" if target.task.has_label else "The autoencoder"
    rows = "1 evaluated row" if num_rows == 1 else f"{num_rows:,} evaluated rows"
    few, unknown = num_rows < FEW_ROWS, not is_known(row["low"], row["high"])
    undefined = [who for who, value in (("the model", model), ("the constant", constant)) if not math.isfinite(value)]
    if undefined:
        return (
            f"{subject} cannot be told from {always}: of {rows} the {name} of {' and '.join(undefined)} is not defined."
        )
    if unknown and few:
        numbers = f"{name} {model:.4g} against {constant:.4g}"
        return f"{subject} cannot be told from {always}: {numbers}, but of {rows} no interval can be told."
    caution = f" Only {rows}: too few to rely on." if few else " No interval can be told." if unknown else ""
    if not metric.has_best_end:
        return f"{subject} has {name} {model:.4g}, which alone is neither good nor bad.{caution}"
    if row["skill"] is None:
        return f"{always} is perfect already: {name} {model:.4g} against {constant:.4g}.{caution}"
    standing = [*_beside_yardsticks(metric, row), _beside_constant(target, row, baseline)]
    return f"{subject} has {name} {model:.4g}: {_joined(standing)}.{caution}"


def _beside_yardsticks(metric: Metric, row: dict[str, Any]) -> list[tuple[str, str]]:
    """How the model stands against each of them, and what it is with its number; the best one first."""
    sign = -1 if metric.higher_is_better else 1
    known = sorted((name for name in YARDSTICKS if is_known(row.get(name))), key=lambda name: sign * row[name])
    found = [(against(row, name, metric.higher_is_better), name) for name in known]
    return [(_TOLD[how], f"{YARDSTICKS[name]} ({row[name]:.4g})") for how, name in found if how is not None]


def _always(target: Target, baseline: Baseline, reached: str = "") -> str:
    """What the constant is, with what it has reached in brackets."""
    if not target.task.has_label:
        return f"{baseline.what} {shown(baseline.value)}" + (f" ({reached})" if reached else "")
    return f"always saying {shown(baseline.value)} ({', '.join([baseline.what, *([reached] if reached else [])])})"


def _beside_constant(target: Target, row: dict[str, Any], baseline: Baseline) -> tuple[str, str]:
    always = _always(target, baseline, f"{row['constant']:.4g}")
    return _TOLD_OF_CONSTANT[against_constant(row)], always


def _joined(standing: list[tuple[str, str]]) -> str:
    """What is said of several yardsticks alike is said once."""
    groups: list[tuple[str, list[str]]] = []
    for how, what in standing:
        if groups and groups[-1][0] == how:
            groups[-1][1].append(what)
        else:
            groups.append((how, [what]))
    return ", ".join(f"{how} {_listed(whats)}" for how, whats in groups)


def _listed(whats: list[str]) -> str:
    return whats[0] if len(whats) == 1 else f"{', '.join(whats[:-1])} and {whats[-1]}"
