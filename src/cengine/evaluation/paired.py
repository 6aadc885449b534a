"""Two models on the rows that both evaluated: the difference of each metric, row by row, with a 95 % interval.

Of the same rows a hard one is hard for both models, so that the difference is known far better than either metric.
Metrics that are functions of sums over rows take the variance of their influence function (the infinitesimal jackknife:
Efron and Stein 1981; Efron 1982, chapter 6), which for a mean is the variance of the difference of each row. The others
(AUC, average precision, macro averages) are measured again on groups of rows: without each in turn (the delete-a-group
jackknife), or for many rows on each alone (the random groups method; both Wolter 2007, chapters 2 and 4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from cengine.engines.engine import Engine
from cengine.evaluation.predictions import roles_of, weight_of
from cengine.evaluation.scales import scale_names
from cengine.evaluation.slices import measure, windows_apart
from cengine.expressions.build import bigint, column, double
from cengine.expressions.keys import seeded_key
from cengine.metrics.intervals import LEVEL
from cengine.metrics.metric import Metric, Roles
from cengine.metrics.table import metric_label
from cengine.names import POINT, quantile_name
from cengine.preprocess.targets import Target
from cengine.tables import ROW_ID
from cengine.tasks import SCORES, task_named

NUM_GROUPS = 50
# Up to so many rows are measured without each group in turn, which reads them NUM_GROUPS times.
MAX_JACKKNIFE_ROWS = 2**16
# The step of numerical derivatives, as a share of what a sum differs from sample to sample.
STEP = 0.01


@dataclass(frozen=True)
class Side:
    """One run's part of a comparison: its table of predictions, the names of its splits, its targets by label.

    Of folds every row was predicted by a model that has not seen it: they stand beside the rows of any split of the other run.
    """

    predictions: Path
    splits: tuple[str, ...]
    targets: dict[str, Target]
    of_folds: bool = False

    def number(self, split: str) -> int:
        """What its table calls a split that it has predicted."""
        return self.splits.index(split) if split in self.splits else 1


@dataclass(frozen=True)
class Difference:
    """A metric on the rows of a split that both evaluated: `difference` is second less first.

    NaN where the metric is not defined, ends of the interval where it cannot be told.
    """

    label: str
    split: str
    metric: str
    num_rows: int
    first: float
    second: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Pair:
    """The rows of two sides, joined by identity, in a file: `first: ` and `second: ` before the names of columns."""

    first: Side
    second: Side
    file: Path
    num_rows: dict[str, int]
    splits: tuple[str, ...]
    """What the numbers of splits in the file are called."""


def join_pair(engine: Engine, first: Side, second: Side, target: Path) -> Pair:
    """The rows that are in the same split of both, written to `target`."""
    named = second if first.of_folds and not second.of_folds else first
    other = first if named is second else second
    common = [name for name in named.splits[1:] if name in other.splits[1:] or other.of_folds]
    outputs: list[exp.Expr] = [column(ROW_ID, "a"), column("_split", "a" if named is first else "b")]
    for alias, prefix, side in (("a", "first", first), ("b", "second", second)):
        outputs += [column(name, alias).as_(f"{prefix}: {name}", quoted=True) for name in role_columns(side)]
    outputs += [column(name, "b") for name in point_columns(second)]
    same_split = [
        exp.and_(
            exp.EQ(this=column("_split", "a"), expression=exp.convert(first.number(name))),
            exp.EQ(this=column("_split", "b"), expression=exp.convert(second.number(name))),
        )
        for name in common
    ]
    same_row = exp.EQ(this=column(ROW_ID, "a"), expression=column(ROW_ID, "b"))
    joined = (
        exp.select(*outputs)
        .from_(engine.parquet([first.predictions], alias="a"))
        .join(
            engine.parquet([second.predictions], alias="b"),
            on=exp.and_(same_row, exp.or_(exp.false(), *same_split)),
            join_type="inner",
        )
    )
    engine.write(joined, target)
    counts = engine.fetch(
        exp.select("_split", "COUNT(*) AS n").from_(engine.parquet([target])).group_by("_split")
    ).to_pylist()
    found = {row["_split"]: row["n"] for row in counts}
    num_rows = {name: found.get(named.splits.index(name), 0) for name in common}
    return Pair(first, second, target, num_rows, named.splits)


def differences(
    engine: Engine, pair: Pair, label: str, metrics: Sequence[Metric], max_jackknife_rows: int = MAX_JACKKNIFE_ROWS
) -> list[Difference]:
    """The difference of each metric in each split that both evaluated."""
    found: list[Difference] = []
    for split, num_rows in pair.num_rows.items():
        if not num_rows:
            continue
        number = exp.convert(pair.splits.index(split))
        rows = (
            exp.select("*").from_(engine.parquet([pair.file])).where(exp.EQ(this=column("_split"), expression=number))
        )
        apart = _apart(engine, rows, pair.second.targets[label], num_rows)
        sample = _Sample(engine, rows, *_sides(pair, label), num_rows, apart, _weight(pair, label))
        additive = [metric for metric in metrics if _is_additive(metric, sample.task)]
        others = [metric for metric in metrics if metric not in additive]
        values = sample.by_influence(additive) | (
            sample.by_groups(others, num_rows <= max_jackknife_rows) if others else {}
        )
        found += [
            Difference(label, split, metric_label(metric), num_rows, *values[metric_label(metric)])
            for metric in metrics
        ]
    return found


# First, second, their difference, and the ends of its interval.
_Values = tuple[float, float, float, float, float]
# Terms of a row and what they weigh in its influence; None where the metric has no derivative.
_Weighted = list[tuple[float, exp.Expr]] | None


@dataclass(frozen=True)
class _Sample:
    """The joined rows of a split, and where each side's metrics find what they read."""

    engine: Engine
    rows: exp.Select
    task: str
    first: Roles
    second: Roles
    num_rows: int
    apart: float
    """Of how many rows intervals are: of windows those that share no point."""
    weight: exp.Expr | None = None
    """How much a row counts; None if all count alike."""

    def by_influence(self, metrics: Sequence[Metric]) -> dict[str, _Values]:
        """Metrics that are functions of sums."""
        if not metrics:
            return {}
        terms = [
            {f"_{i}_{j}": (name, term) for j, (name, term) in enumerate(self._terms(metrics, roles).items())}
            for i, roles in enumerate((self.first, self.second))
        ]
        flat = {alias: term for side in terms for alias, (_, term) in side.items()}
        sums = self._fetch(
            [_total(term).as_(alias) for alias, term in flat.items()]
            + [_total(term * term.copy()).as_(f"{alias}_squared") for alias, term in flat.items()]
        )
        influences: list[exp.Expr] = []
        values: dict[str, tuple[float, float]] = {}
        for number, metric in enumerate(metrics):
            of_sides = [_linearized(metric, side, sums) for side in terms]
            values[metric_label(metric)] = (of_sides[0][0], of_sides[1][0])
            influences.append(_squared_difference(of_sides[0][1], of_sides[1][1]).as_(f"_{number}"))
        squares = self._fetch(influences)
        freedom = max(self.apart - 1, 1)
        found = {}
        for number, (name, (first, second)) in enumerate(values.items()):
            square = squares[f"_{number}"]
            variance = math.nan if square is None or self.apart < 2 else square * self.num_rows / freedom
            found[name] = _interval(metrics[number], first, second, variance, freedom)
        return found

    def by_groups(self, metrics: Sequence[Metric], leave_out: bool) -> dict[str, _Values]:
        """Any metrics, measured on groups of rows: without each in turn, or on each alone."""
        number = exp.Mod(this=seeded_key(column(ROW_ID), "groups of rows", 0), expression=bigint(NUM_GROUPS))
        grouped = exp.select("*", number.as_("_group_number")).from_(self.rows.subquery("joined")).subquery("grouped")
        if leave_out:
            self.engine.register("replicates", pa.table({"_replicate": pa.array(range(NUM_GROUPS), pa.int64())}))
            others = exp.NEQ(this=column("_group_number"), expression=column("_replicate"))
            replicated = (
                exp.select("*")
                .from_(grouped)
                .join(exp.to_table("replicates"), on=others, join_type="inner")
                .subquery("replicated")
            )
        else:
            replicated = (
                exp.select("*", column("_group_number").as_("_replicate")).from_(grouped).subquery("replicated")
            )
        sides = [self._measured(metrics, roles, replicated) for roles in (self.first, self.second)]
        found = {}
        for metric in metrics:
            name = metric_label(metric)
            first, second = (whole[name] for whole, _ in sides)
            replicates = sides[1][1][name] - sides[0][1][name]
            spread = np.var(replicates, ddof=1) if len(replicates) == NUM_GROUPS else math.nan
            # The variance of the whole: of groups that are a NUM_GROUPS-th of it, or that overlap nearly wholly.
            factor = (NUM_GROUPS - 1) ** 2 / NUM_GROUPS if leave_out else 1 / NUM_GROUPS
            factor *= self.num_rows / self.apart
            found[name] = _interval(metric, first, second, float(spread) * factor, NUM_GROUPS - 1)
        return found

    def _measured(
        self, metrics: Sequence[Metric], roles: Roles, replicated: exp.Expr
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Each metric of all rows, and of the replicates in their order."""
        joined, weight = self.rows.subquery("joined"), self.weight
        (whole,) = measure(self.engine, joined, roles, self.task, metrics, within=(), weight=weight)
        (parts,) = measure(self.engine, replicated, roles, self.task, metrics, within=("_replicate",), weight=weight)
        table: pa.Table = parts.table.sort_by("_replicate")
        names = [metric_label(metric) for metric in metrics]
        return {name: whole.table[name][0].as_py() for name in names}, {name: table[name].to_numpy() for name in names}

    def _terms(self, metrics: Sequence[Metric], roles: Roles) -> dict[str, exp.Expr]:
        terms: dict[str, exp.Expr] = {"num_rows": double(1.0)}
        for metric in metrics:
            terms |= metric.sums(roles, self.task)
        if self.weight is None:
            return terms
        return {name: self.weight.copy() * exp.Paren(this=term) for name, term in terms.items()}

    def _fetch(self, outputs: Sequence[exp.Expr]) -> dict[str, Any]:
        (row,) = self.engine.fetch(exp.select(*outputs).from_(self.rows.subquery("joined"))).to_pylist()
        return dict(row)


def _linearized(
    metric: Metric, terms: dict[str, tuple[str, exp.Expr]], sums: dict[str, Any]
) -> tuple[float, _Weighted]:
    """The metric, and its derivative by each sum beside the sum's term: their product is a row's influence.

    Metrics do not change when all rows are doubled, so that the influences add to 0 (Euler's theorem).
    """
    names = [name for name, _ in terms.values()]
    base = np.array([sums[alias] for alias in terms])
    steps = STEP * np.sqrt(np.array([sums[f"{alias}_squared"] for alias in terms]))
    moved = np.concatenate([base[None], base + np.diag(steps), base - np.diag(steps)])
    values = metric.value({name: moved[:, i] for i, name in enumerate(names)})
    above, below = values[1 : len(names) + 1], values[len(names) + 1 :]
    slopes = np.where(steps > 0, (above - below) / np.where(steps > 0, 2 * steps, 1.0), 0.0)
    weighted = [(float(slope), term) for slope, (_, term) in zip(slopes, terms.values(), strict=True) if slope]
    return float(values[0]), weighted if np.isfinite(slopes).all() else None


def _interval(metric: Metric, first: float, second: float, variance: float, freedom: float) -> _Values:
    """Student's interval, within what the difference can be at all.

    Where no variance is seen nothing is known of its size, but that equal models are equal.
    """
    from scipy.special import stdtrit

    difference = second - first
    if variance == 0 and difference == 0:
        return first, second, 0.0, 0.0, 0.0
    half = float(stdtrit(freedom, 0.5 + LEVEL / 2)) * math.sqrt(variance) if variance > 0 else math.nan
    reach = metric.limits[1] - metric.limits[0]
    low, high = (
        end if math.isnan(end) else min(max(end, -reach), reach) for end in (difference - half, difference + half)
    )
    return first, second, difference, low, high


def _is_additive(metric: Metric, task: str) -> bool:
    """Whether it is a function of sums over rows: thresholded metrics of two classes are."""
    return metric.grouping == "rows" or (metric.grouping == "confusion" and not task_named(task).one_output_a_class)


def _sides(pair: Pair, label: str) -> tuple[str, Roles, Roles]:
    first, second = pair.first.targets[label], pair.second.targets[label]
    return first.task.name, _prefixed(roles_of(first), "first"), _prefixed(roles_of(second), "second")


def _apart(engine: Engine, rows: exp.Select, target: Target, num_rows: int) -> float:
    """How many of the joined rows have nothing in common: all, or of windows those that share no point."""
    window_labels = target.label.window_labels
    if window_labels is None:
        return num_rows
    counted = exp.select(windows_apart(column(POINT), window_labels).as_("apart")).from_(rows.subquery("joined"))
    (found,) = engine.fetch(counted).to_pylist()
    return min(float(found["apart"]), num_rows)


def _weight(pair: Pair, label: str) -> exp.Expr | None:
    """How much a joined row counts: as the second run says."""
    weight = weight_of(pair.second.targets[label])
    return None if weight is None else column(f"second: {weight.name}")


def _prefixed(roles: Roles, prefix: str) -> Roles:
    def role(wanted: str) -> exp.Expr:
        return roles(wanted).transform(
            lambda node: column(f"{prefix}: {node.name}") if isinstance(node, exp.Column) else node
        )

    return role


def point_columns(side: Side) -> list[str]:
    """What says which point a prediction is of, where rows are windows."""
    return [POINT] if any(target.label.window_labels is not None for target in side.targets.values()) else []


def role_columns(side: Side) -> list[str]:
    """The columns of a table of predictions that metrics read."""
    names, there = [], set(pq.ParquetFile(side.predictions).schema_arrow.names)
    for target in side.targets.values():
        name = target.name
        names += [f"label: {name}", f"prediction: {name}"]
        names += [f"weight: {name}"] if target.label.sample_weight else []
        names += [one for one in scale_names(name) if one in there]
        names += [
            f"{what}: {name}"
            for what in ("label_probability", "label_rank", *SCORES[1:4], *map(quantile_name, target.task.quantiles))
            if what in target.task.columns(len(target.classes))
        ]
    return names


def _total(term: exp.Expr) -> exp.Expr:
    zero = exp.Coalesce(this=exp.Paren(this=term.copy()), expressions=[double(0.0)])
    return exp.Sum(this=zero)


def _squared_difference(first: _Weighted, second: _Weighted) -> exp.Expr:
    """The sum over rows of the squared difference of two influences, exactly 0 for equal ones."""
    if first is None or second is None:
        return exp.null()
    difference = exp.Paren(this=_weighted_sum(first)) - exp.Paren(this=_weighted_sum(second))
    return _total(exp.Pow(this=exp.Paren(this=difference), expression=double(2.0)))


def _weighted_sum(weighted: list[tuple[float, exp.Expr]]) -> exp.Expr:
    total: exp.Expr = double(0.0)
    for weight, term in weighted:
        total = total + double(weight) * exp.Coalesce(this=exp.Paren(this=term.copy()), expressions=[double(0.0)])
    return total
