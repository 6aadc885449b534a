"""Metrics of every slice and cross in one pass of SQL over the table of predictions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from sqlglot import exp

from cengine.engines.engine import Engine
from cengine.expressions.build import column, double
from cengine.expressions.queries import query
from cengine.metrics.metric import Metric, Roles, Sums
from cengine.metrics.table import METRICS, metric_label
from cengine.names import ASIDE, POINT, set_aside
from cengine.tasks import task_named

OVERALL: tuple[str, ...] = ()
# Sums of weights where rows do not all count alike, and of their squares. With the weights other sums grow by this power of them, where it is not the first.
WEIGHTS, SQUARES = "_weights", "_squares"
# How many windows of a slice share no point, and what their points are called meanwhile.
APART, _PLACE = "_apart", "_place"
DEGREES = {
    "concordant": 2,
    "above_negative_squared": 3,
    "above_positive_squared": 3,
    **dict.fromkeys(("macro_precision", "macro_recall", "macro_f1"), 0),
    **dict.fromkeys(("macro_precision_variance", "macro_recall_variance", "macro_f1_variance"), -1),
}
# Threads add numbers in any order; what they disagree on lies far below this.
SIGNIFICANT_DIGITS = 12
INTERVAL_ENDS = ("low", "high")
# What stands beside a metric, in columns `METRIC: low` and so on: its interval, and what a constant reaches on the same rows.
CONSTANT = "constant"
BESIDE = (*INTERVAL_ENDS, CONSTANT)


@dataclass(frozen=True)
class Measured:
    """The metrics of one set of slices: a column for each of `keys` (see `key_name`), `num_rows`, a column for each metric.

    Where intervals were asked for each metric has its `METRIC: low` and `METRIC: high` beside it. `measure_beside` of
    `baselines.py` adds `METRIC: constant`.
    """

    keys: tuple[str, ...]
    table: pa.Table


def measure(
    engine: Engine,
    predictions: exp.Expr,
    roles: Roles,
    task: str,
    metrics: Sequence[Metric],
    slices: Sequence[tuple[str, ...]] = (OVERALL,),
    within: tuple[str, ...] = ("_split",),
    intervals: bool = False,
    weight: exp.Expr | None = None,
    window_labels: int | None = None,
) -> list[Measured]:
    """Metrics of each slice, largest first; every slice is also divided by the columns `within`.

    If rows are predictions of windows, each window of `window_labels` points, intervals are those of as many rows as there are windows
    that share no point: predictions of one window err together, and so do those that windows make of the same point.

    `weight` says how much a row counts. Intervals are then those of as many rows as would tell as much if all counted alike, by Kish
    1965: the sum of the weights squared, by the sum of their squares.
    """
    grouping = Grouping(tuple(dict.fromkeys(tuple(within) + tuple(s) for s in slices)))
    terms = _terms(roles, task, metrics, intervals)
    sums = _row_sums(engine, predictions, terms, grouping, weight, window_labels if intervals else None)
    if any(metric.grouping == "scores" for metric in metrics):
        _merge(sums, _score_sums(engine, predictions, roles, grouping, weight), grouping)
    if task_named(task).one_output_a_class and any(metric.grouping == "confusion" for metric in metrics):
        _merge(sums, _confusion_sums(engine, predictions, roles, grouping, weight), grouping)
    return [_measured(sums[keys], keys, grouping.aliases, metrics, intervals) for keys in grouping.sets]


def key_name(name: str, others: Collection[str] = ()) -> str:
    """What a column that is sliced by is called in the table of its slices, where a metric may have its name: one of ours, or one
    of the columns `others` beside it.

    A name that begins with `column: ` was set aside already, and is like none of theirs.
    """
    if name.startswith(ASIDE):
        return name
    return set_aside(name, lambda own: own in ("split", "num_rows") or own in others or _is_metric(own))


def _is_metric(name: str) -> bool:
    """Whether a column of one of our metrics may be called so: `mae`, `mae: low`, `top_k(k=3)`."""
    for end in BESIDE:
        name = name.removesuffix(f": {end}")
    return name.partition("(")[0] in METRICS.own


def by_harm(table: pa.Table, metric: str, overall: Mapping[str, float | None], higher_is_better: bool) -> pa.Table:
    """The slices, the most harmful first: harm is how much worse the metric is than over all rows of the split, times the rows.

    `overall` has the metric of each split. Slices whose harm cannot be told come last.
    """
    whole = np.array([_number(overall.get(split)) for split in table["split"].to_pylist()], dtype=np.float64)
    worse = (whole - np.array([_number(value) for value in table[metric].to_pylist()])) * (
        1 if higher_is_better else -1
    )
    harm = np.nan_to_num(worse * table["num_rows"].to_numpy(), nan=-np.inf)
    return table.take(np.argsort(-harm, kind="stable"))


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def with_split_names(table: pa.Table, split_names: Sequence[str]) -> pa.Table:
    """The table with `split`, the names, in place of `_split`, the numbers."""
    names = pa.array([split_names[number] for number in table["_split"].to_pylist()], pa.string())
    return table.set_column(table.column_names.index("_split"), "split", names)


def _terms(roles: Roles, task: str, metrics: Sequence[Metric], intervals: bool) -> dict[str, exp.Expr]:
    """What is summed over the rows of a slice, by name."""

    terms: dict[str, exp.Expr] = {}
    for metric in metrics:
        terms |= metric.sums(roles, task)
        if intervals:
            terms |= metric.spread(roles, task)
    return terms


class Grouping:
    """GROUPING SETS over the keys of all slices."""

    def __init__(self, sets: tuple[tuple[str, ...], ...]) -> None:
        self.sets = sets
        self.columns = tuple(dict.fromkeys(name for keys in sets for name in keys))
        self.aliases = {name: f"_key_{i}" for i, name in enumerate(self.columns)}

    @property
    def keys(self) -> str:
        """The key columns, separated by commas."""
        return ", ".join(self.aliases.values())

    @property
    def which(self) -> str:
        """The number of the grouping set."""
        return f"GROUPING({self.keys}) AS _which" if self.aliases else "0 AS _which"

    def sets_with(self, *more: str) -> str:
        """The grouping sets, each with more columns."""
        return ", ".join(f"({', '.join([*(self.aliases[name] for name in s), *more])})" for s in self.sets)

    def select(self, predictions: exp.Expr, **terms: exp.Expr) -> exp.Select:
        """The keys under names that no column of the user's has, and these terms."""
        keys = {alias: column(name) for name, alias in self.aliases.items()}
        outputs = [term.as_(name, quoted=True) for name, term in (keys | terms).items()]
        return exp.select(*(outputs or [exp.null().as_("_nothing")])).from_(predictions)

    def mask(self, keys: tuple[str, ...]) -> int:
        """GROUPING()'s value for the set of these keys: a bit for each column that is not in it."""
        return sum(2 ** (len(self.columns) - 1 - i) for i, name in enumerate(self.columns) if name not in keys)

    def divide(self, table: pa.Table) -> dict[tuple[str, ...], pa.Table]:
        """The rows of each grouping set."""
        import pyarrow.compute as pc  # whoever only names slices needs none of it

        return {keys: table.filter(pc.equal(table["_which"], self.mask(keys))) for keys in self.sets}


def _row_sums(
    engine: Engine,
    predictions: exp.Expr,
    terms: dict[str, exp.Expr],
    grouping: Grouping,
    weight: exp.Expr | None,
    window_labels: int | None,
) -> dict[tuple[str, ...], pa.Table]:
    if weight is not None:
        counted = {name: weight.copy() * exp.Paren(this=term) for name, term in terms.items()}
        terms = {**counted, WEIGHTS: weight, SQUARES: weight.copy() * weight.copy()}
    numbered = {f"_term_{i}": term for i, term in enumerate(terms.values())}
    sums = [exp.Sum(this=column(alias)).as_(name, quoted=True) for alias, name in zip(numbered, terms, strict=True)]
    if window_labels is not None:
        numbered[_PLACE] = column(POINT)
        sums.append(windows_apart(column(_PLACE), window_labels).as_(APART, quoted=True))
    text = f"SELECT {_list(grouping.keys)}{grouping.which}, COUNT(*) AS num_rows FROM source GROUP BY GROUPING SETS ({grouping.sets_with()})"
    return grouping.divide(engine.fetch(query(text, source=grouping.select(predictions, **numbered)).select(*sums)))


def windows_apart(point: exp.Expr, window_labels: int) -> exp.Expr:
    """How many windows share no point, given the points that they predict; at least one."""
    points = exp.cast(exp.Count(this=exp.Distinct(expressions=[point])), "double")
    return exp.Greatest(this=points / double(float(window_labels)), expressions=[double(1.0)])


def _score_sums(
    engine: Engine, predictions: exp.Expr, roles: Roles, grouping: Grouping, weight: exp.Expr | None
) -> dict[tuple[str, ...], pa.Table]:
    """For AUC: rows counted by slice and score; positives above a negative, and precision at each score."""
    keys, which = grouping.keys, grouping.which
    one, none = (exp.convert(1), exp.convert(0)) if weight is None else (weight, double(0.0))
    positive = exp.Case().when(exp.EQ(this=roles("label"), expression=double(1.0)), one.copy()).else_(none)
    partition = f"PARTITION BY {_list(keys)}_which ORDER BY _score DESC ROWS UNBOUNDED PRECEDING"
    return grouping.divide(
        engine.fetch(
            query(
                f"""
        WITH counted AS (
            SELECT {_list(keys)}{which}, _score, CAST(SUM(_positive) AS DOUBLE) AS p, CAST(SUM(_counts) - SUM(_positive) AS DOUBLE) AS n
            FROM scored GROUP BY GROUPING SETS ({grouping.sets_with("_score")})
        ),
        running AS (
            SELECT *, SUM(p) OVER ({partition}) AS through_p, SUM(n) OVER ({partition}) AS through_n FROM counted
        )
        SELECT {_list(keys)}_which, SUM(p) AS num_positive, SUM(n) AS num_negative,
               SUM(n * (through_p - p / 2)) AS concordant, SUM(p * through_p / (through_p + through_n)) AS precision_sum,
               SUM(n * POWER(through_p - p / 2, 2)) AS above_negative_squared, SUM(p * POWER(through_n - n / 2, 2)) AS above_positive_squared
        FROM running GROUP BY {_list(keys)}_which
    """,
                scored=grouping.select(predictions, _score=roles("prediction"), _positive=positive, _counts=one),
            )
        )
    )


def _confusion_sums(
    engine: Engine, predictions: exp.Expr, roles: Roles, grouping: Grouping, weight: exp.Expr | None
) -> dict[tuple[str, ...], pa.Table]:
    """Precision, recall and F1 of each class, averaged over the classes that occur (macro average), and their variances.

    Those of precision and recall are of shares; that of F1 is the sum of its influence function's squares over the
    rows: a hit in class k moves F1_k by 2 (1 - F1_k) / D_k, a miss the F1 of both its classes by - F1_k / D_k, with D_k
    the number of rows of class k and rows given class k.
    """
    keys, which = grouping.keys, grouping.which
    counts = exp.convert(1) if weight is None else weight
    source = grouping.select(predictions, _actual=roles("label"), _chosen=roles("predicted_class"), _counts=counts)
    return grouping.divide(
        engine.fetch(
            query(
                f"""
        WITH cells AS (
            SELECT {_list(keys)}{which}, _actual, _chosen, CAST(SUM(_counts) AS DOUBLE) AS n
            FROM source GROUP BY GROUPING SETS ({grouping.sets_with("_actual", "_chosen")})
        ),
        sides AS (
            SELECT {_list(keys)}_which, _actual AS _class, n AS actual, 0.0 AS chosen, CASE WHEN _actual = _chosen THEN n ELSE 0.0 END AS hit FROM cells
            UNION ALL SELECT {_list(keys)}_which, _chosen, 0.0, n, 0.0 FROM cells
        ),
        classes AS (
            SELECT {_list(keys)}_which, _class, SUM(actual) AS actual, SUM(chosen) AS chosen, SUM(hit) AS hit,
                   2 * SUM(hit) / (SUM(actual) + SUM(chosen)) AS f1, SUM(actual) + SUM(chosen) AS weight
            FROM sides GROUP BY {_list(keys)}_which, _class
        ),
        influence AS (
            SELECT {_list(_qualified(keys, "cells"))}cells._which, SUM(n * CASE WHEN _actual = _chosen
                THEN POWER(2 * (1 - a.f1) / a.weight, 2) ELSE POWER(a.f1 / a.weight + c.f1 / c.weight, 2) END) AS f1
            FROM cells JOIN classes a ON a._class = _actual AND {_same(grouping, "cells", "a")}
                       JOIN classes c ON c._class = _chosen AND {_same(grouping, "cells", "c")}
            GROUP BY {_list(_qualified(keys, "cells"))}cells._which
        )
        SELECT {_list(_qualified(keys, "classes"))}classes._which, AVG(COALESCE(hit / NULLIF(chosen, 0), 0)) AS macro_precision,
               AVG(COALESCE(hit / NULLIF(actual, 0), 0)) AS macro_recall, AVG(classes.f1) AS macro_f1,
               SUM(COALESCE(hit / chosen * (1 - hit / chosen) / NULLIF(chosen, 0), 0)) / POWER(COUNT(*), 2) AS macro_precision_variance,
               SUM(COALESCE(hit / actual * (1 - hit / actual) / NULLIF(actual, 0), 0)) / POWER(COUNT(*), 2) AS macro_recall_variance,
               MAX(influence.f1) / POWER(COUNT(*), 2) AS macro_f1_variance
        FROM classes JOIN influence ON {_same(grouping, "classes", "influence")} GROUP BY {_list(_qualified(keys, "classes"))}classes._which
    """,
                source=source,
            )
        )
    )


def _qualified(keys: str, table: str) -> str:
    return ", ".join(f"{table}.{key}" for key in keys.split(", ") if key)


def _same(grouping: Grouping, one: str, other: str) -> str:
    """The condition that two tables' rows are of the same slice, nulls being equal."""
    keys = [f"{one}.{alias} IS NOT DISTINCT FROM {other}.{alias}" for alias in grouping.aliases.values()]
    return " AND ".join([f"{one}._which = {other}._which", *keys])


def _merge(into: dict[tuple[str, ...], pa.Table], more: dict[tuple[str, ...], pa.Table], grouping: Grouping) -> None:
    """Adds columns of the same slices; rows are brought into the same order by their keys."""
    for keys in grouping.sets:
        order = [(grouping.aliases[name], "ascending") for name in keys]
        left, right = (table.sort_by(order) if keys else table for table in (into[keys], more[keys]))
        for name in right.column_names:
            if name not in left.column_names:
                left = left.append_column(name, right[name])
        into[keys] = left


def _measured(
    sums: pa.Table, keys: tuple[str, ...], aliases: dict[str, str], metrics: Sequence[Metric], intervals: bool
) -> Measured:
    summed = [name for name in sums.column_names if name not in (*aliases.values(), "_which")]
    arrays: Sums = _as_of_equal_rows({name: sums[name].to_numpy().astype(np.float64) for name in summed})
    labels = [metric_label(metric) for metric in metrics]
    named = [key_name(name, {*labels, *(f"{label}: {end}" for label in labels for end in BESIDE)}) for name in keys]
    columns = {name: sums[aliases[key]] for name, key in zip(named, keys, strict=True)} | {"num_rows": sums["num_rows"]}
    for metric in metrics:
        columns[metric_label(metric)] = pa.array(_rounded(np.atleast_1d(metric.value(arrays))))
        if intervals:
            for end, values in zip(INTERVAL_ENDS, metric.possible_interval(arrays), strict=True):
                columns[f"{metric_label(metric)}: {end}"] = pa.array(_rounded(np.atleast_1d(values)))
    table = pa.table(columns)
    return Measured(keys, table.sort_by([("num_rows", "descending"), *((name, "ascending") for name in named)]))


def _as_of_equal_rows(sums: Sums) -> Sums:
    """Sums over rows that count differently as those of so many rows, all alike, as tell as much; NaN where no row counts."""
    if APART in sums:
        share = np.minimum(sums.pop(APART) / sums["num_rows"], 1.0)
        return {name: total * share ** DEGREES.get(name, 1) for name, total in sums.items()}
    if WEIGHTS not in sums:
        return sums
    weights, squares = sums.pop(WEIGHTS), sums.pop(SQUARES)
    share = np.where(squares > 0, weights / np.where(squares > 0, squares, 1.0), np.nan)
    return {
        **{name: total * share ** DEGREES.get(name, 1) for name, total in sums.items()},
        "num_rows": weights * share,
    }


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.array([float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in values])


def _list(keys: str) -> str:
    return f"{keys}, " if keys else ""
