"""The worst slices that nobody asked for: all values and pairs of values of the columns with few of them.

The mean loss of each slice is compared with that of the rest of its split (Welch's test, one-sided), and the p-values
are corrected for the number of slices that were tried (Holm 1979): with a thousand slices the worst of them looks bad
by chance alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import numpy as np
import pyarrow as pa
from sqlglot import exp

from cengine.config.resolve import Resolved
from cengine.engines.engine import Engine
from cengine.evaluation.predictions import name_beside, roles_of, weight_of
from cengine.evaluation.slices import Grouping
from cengine.expressions.build import column, double
from cengine.expressions.queries import query
from cengine.metrics.intervals import Z
from cengine.metrics.metric import Metric
from cengine.metrics.table import METRICS, metric_label
from cengine.names import HORIZON_STEP
from cengine.plain import Cell
from cengine.preprocess.targets import Target

SMALLEST_ROWS = 30
SMALLEST_SHARE = 0.001
MAX_PAIRED_COLUMNS = 16
# A column with at most so many values is searched for slices that nobody asked for.
MAX_SEARCHED_VALUES = 50
MAX_SEARCHED_COLUMNS = 40
SEARCHED_KINDS = ("boolean", "integer", "string")
LEVEL = 0.05
MAX_SHOWN = 20
# Metrics that are means over rows, by which rows can be compared; others stand for the last column.
_MEANS = {
    "mae": "absolute_error",
    "mse": "squared_error",
    "mape": "percentage_error",
    "smape": "symmetric_error",
    "quantile_loss": "pinball",
    "accuracy": "correct",
    "log_loss": "surprise",
    "score": "score",
}


@dataclass(frozen=True)
class _Slices:
    """Slices of one set of columns in one split: their values, the number of rows, and what they count, mean and variance of the loss."""

    columns: tuple[str, ...]
    values: list[tuple[Cell, ...]]
    num_rows: np.ndarray
    rows: np.ndarray
    means: np.ndarray
    variances: np.ndarray


class _Compared(TypedDict):
    """A slice beside the rest of its split, in losses; `surely` is the least that it is worse by."""

    split: str
    columns: tuple[str, ...]
    values: tuple[Any, ...]
    num_rows: int
    mean: float
    rest: float
    error: float
    surely: float
    p: float
    p_value: NotRequired[float]  # corrected


class WorstSlice(TypedDict):
    """A slice that is surely worse than the rest of its split."""

    split: str
    columns: list[str]
    values: list[Any]
    num_rows: int
    value: float
    low: float
    high: float
    rest: float
    difference: float
    p_value: float


class WorstSlices(TypedDict):
    """The worst slices of a label, and where they were looked for."""

    metric: str
    higher_is_better: bool
    num_tried: int
    min_rows: int
    columns: list[str]
    level: float
    note: str
    slices: list[WorstSlice]


def columns_beside(resolved: Resolved) -> list[str]:
    """The columns that stand beside predictions: those the YAML slices by, then features of a kind that may have few values."""
    sliced = dict.fromkeys(name for columns in resolved.slices for name in columns if name != HORIZON_STEP)
    features = [feature.name for feature in resolved.features if feature.kind in SEARCHED_KINDS]
    return list(dict.fromkeys([*sliced, *features[:MAX_SEARCHED_COLUMNS]]))


def searched_columns(engine: Engine, predictions: exp.Expr, resolved: Resolved) -> list[str]:
    """Those of them with few values, and those that the YAML slices by whatever they have."""
    sliced = {name for columns in resolved.slices for name in columns}
    names = columns_beside(resolved)
    counts = [
        exp.Count(this=exp.Distinct(expressions=[column(name_beside(name))])).as_(f"n_{i}")
        for i, name in enumerate(names)
    ]
    row = engine.fetch_rows(exp.select(*counts).from_(predictions.copy()))[0] if names else {}
    return [name for i, name in enumerate(names) if name in sliced or 1 < row[f"n_{i}"] <= MAX_SEARCHED_VALUES]


def worst_slices(
    engine: Engine,
    predictions: exp.Expr,
    target: Target,
    primary: Metric,
    columns: Sequence[str],
    split_names: Sequence[str],
) -> WorstSlices:
    """Plain data for one label: the slices that are surely worse than the rest of their split, worst first."""
    metric = primary if primary.name in _MEANS else METRICS[target.task.row_loss]()
    term = metric.sums(roles_of(target), target.task.name)[_MEANS[metric.name]]
    if metric.higher_is_better:
        term = exp.Paren(this=exp.Literal.number(1) - exp.Paren(this=term))
    paired = list(columns)[:MAX_PAIRED_COLUMNS]
    sets = [*((name,) for name in columns), *itertools.combinations(paired, 2)]
    found: list[_Compared] = []
    smallest: dict[str, int] = {}
    num_tried = 0
    sums = _sums(engine, predictions, term, sets, _counted(engine, predictions, weight_of(target)))
    for number, total in _by_split(sums.pop(()), ()).items():
        smallest[split_names[number]] = max(SMALLEST_ROWS, int(SMALLEST_SHARE * total.num_rows[0]))
        parts = {keys: _by_split(table, keys).get(number) for keys, table in sums.items()}
        slices = [_large(part, smallest[split_names[number]]) for part in parts.values() if part is not None]
        num_tried += sum(len(part.values) for part in slices)
        found += _compared(total, slices, split_names[number])
    scale = {"mape": 100.0, "smape": 200.0}.get(metric.name, 1.0)
    return {
        "metric": metric_label(metric),
        "higher_is_better": metric.higher_is_better,
        "num_tried": num_tried,
        "min_rows": min(smallest.values(), default=SMALLEST_ROWS),
        "columns": list(columns),
        "level": LEVEL,
        "note": _note(columns, paired, target),
        "slices": [_shown(entry, scale, metric) for entry in _surely_worse(found)],
    }


def _counted(engine: Engine, predictions: exp.Expr, weight: exp.Expr | None) -> exp.Expr:
    """What a row counts: 1, or by its weight so much that all rows together count as many as would tell as much (Kish 1965)."""
    if weight is None:
        return exp.convert(1)
    sums = exp.select(exp.Sum(this=weight).as_("w"), exp.Sum(this=weight.copy() * weight.copy()).as_("ww"))
    (row,) = engine.fetch_rows(sums.from_(predictions.copy()))
    return weight.copy() * double(row["w"] / row["ww"] if row["ww"] else 1.0)


def _sums(
    engine: Engine, predictions: exp.Expr, term: exp.Expr, sets: Sequence[tuple[str, ...]], counted: exp.Expr
) -> dict[tuple[str, ...], pa.Table]:
    """The number of rows, what they count, sum and sum of squares of the loss by set of columns, and under () those of each split."""
    stored = {("_split", *(name_beside(name) for name in keys)): keys for keys in [(), *sets]}
    grouping = Grouping(tuple(stored))
    of_split = f"{grouping.which.removesuffix(' AS _which')} = {grouping.mask(('_split',))}"
    sums = f"""
        SELECT {grouping.keys}, {grouping.which}, COUNT(_loss) AS num, SUM(CASE WHEN _loss IS NOT NULL THEN _counts END) AS rows,
               SUM(_counts * _loss) AS total, SUM(_counts * _loss * _loss) AS squares
        FROM source GROUP BY GROUPING SETS ({grouping.sets_with()})
        HAVING COUNT(_loss) >= {SMALLEST_ROWS} OR {of_split}
    """
    tables = grouping.divide(
        engine.fetch(query(sums, source=grouping.select(predictions, _loss=term, _counts=counted)))
    )
    # Found by their aliases: a column of the user's may be called `rows` or `total`.
    return {
        stored[keys]: table.select([*(grouping.aliases[key] for key in keys), "num", "rows", "total", "squares"])
        for keys, table in tables.items()
    }


def _by_split(table: pa.Table, keys: tuple[str, ...]) -> dict[int, _Slices]:
    """The slices of each split; the table's columns are the split, the keys, then rows, sum and sum of squares."""
    found = {}
    splits = table.column(0).to_numpy()
    for number in np.unique(splits):
        part = table.filter(pa.array(splits == number))
        num_rows, rows = (part[name].to_numpy().astype(np.float64) for name in ("num", "rows"))
        means = part["total"].to_numpy() / np.where(rows > 0, rows, np.nan)
        variances = np.maximum(part["squares"].to_numpy() / rows - means**2, 0) * rows / np.maximum(rows - 1, 1)
        values = (
            list(zip(*(part.column(1 + place).to_pylist() for place in range(len(keys))), strict=True))
            if keys
            else [()]
        )
        found[int(number)] = _Slices(keys, values, num_rows, rows, means, variances)
    return found


def _large(part: _Slices, smallest: int) -> _Slices:
    kept = (part.num_rows >= smallest) & (part.rows > 0)
    values = [value for value, keep in zip(part.values, kept, strict=True) if keep]
    arrays = (part.num_rows, part.rows, part.means, part.variances)
    return _Slices(part.columns, values, *(array[kept] for array in arrays))


def _compared(total: _Slices, parts: list[_Slices], split: str) -> list[_Compared]:
    """Every slice of one split beside the rest of it."""
    from scipy.special import ndtr

    entries: list[_Compared] = []
    for part in parts:
        rest_rows = total.rows[0] - part.rows
        rest = (total.rows[0] * total.means[0] - part.rows * part.means) / np.maximum(rest_rows, 1)
        rest_variance = _rest_variance(total, part, rest, rest_rows)
        error = np.sqrt(part.variances / part.rows + rest_variance / np.maximum(rest_rows, 1))
        score = np.where((rest_rows > 1) & (error > 0), (part.means - rest) / np.maximum(error, 1e-300), 0.0)
        for i, values in enumerate(part.values):
            entries.append(
                {
                    "split": split,
                    "columns": part.columns,
                    "values": values,
                    "num_rows": int(part.num_rows[i]),
                    "mean": part.means[i],
                    "rest": rest[i],
                    "error": np.sqrt(part.variances[i] / part.rows[i]),
                    "surely": part.means[i] - rest[i] - Z * error[i],
                    "p": float(ndtr(-score[i])),
                }
            )
    return entries


def _surely_worse(entries: list[_Compared]) -> list[_Compared]:
    """The slices that are surely worse, by the least that they are worse by."""
    _correct(entries)
    bad = [entry for entry in entries if entry["p_value"] < LEVEL and entry["surely"] > 0]
    bad.sort(key=lambda entry: (-entry["surely"], entry["columns"], str(entry["values"])))
    return _not_explained(bad)[:MAX_SHOWN]


def _rest_variance(total: _Slices, part: _Slices, rest: np.ndarray, rest_rows: np.ndarray) -> np.ndarray:
    """The variance of the loss outside each slice, from that of all rows."""
    squares = total.variances[0] * (total.rows[0] - 1) + total.rows[0] * total.means[0] ** 2
    own = part.variances * (part.rows - 1) + part.rows * part.means**2
    return np.asarray(np.maximum(squares - own - rest_rows * rest**2, 0) / np.maximum(rest_rows - 1, 1))


def _correct(entries: list[_Compared]) -> None:
    """Holm's step-down correction."""
    reached = 0.0
    for rank, entry in enumerate(sorted(entries, key=lambda entry: entry["p"])):
        reached = max(reached, min(1.0, entry["p"] * (len(entries) - rank)))
        entry["p_value"] = reached


def _not_explained(bad: list[_Compared]) -> list[_Compared]:
    """Without the pairs that are not surely worse than one of their own values is by itself."""
    singles = {
        (entry["split"], entry["columns"][0], entry["values"][0]): entry for entry in bad if len(entry["columns"]) == 1
    }
    kept = []
    for entry in bad:
        pairs = zip(entry["columns"], entry["values"], strict=True) if len(entry["columns"]) > 1 else ()
        own = [singles.get((entry["split"], *pair)) for pair in pairs]
        if all(
            parent is None or entry["mean"] - parent["mean"] > 2 * Z * np.hypot(entry["error"], parent["error"])
            for parent in own
        ):
            kept.append(entry)
    return kept


def _shown(entry: _Compared, scale: float, metric: Metric) -> WorstSlice:
    def turned(loss: float) -> float:
        return float(1 - loss if metric.higher_is_better else scale * loss)

    ends = np.clip(
        sorted(turned(entry["mean"] + sign * Z * entry["error"]) for sign in (-1, 1)), *metric.limits
    ).tolist()
    value, rest = turned(entry["mean"]), turned(entry["rest"])
    return {
        "split": entry["split"],
        "columns": list(entry["columns"]),
        "values": list(entry["values"]),
        "num_rows": entry["num_rows"],
        "value": value,
        "low": ends[0],
        "high": ends[1],
        "rest": rest,
        "difference": value - rest,
        "p_value": entry["p_value"],
    }


def _note(columns: Sequence[str], paired: Sequence[str], target: Target) -> str:
    if not columns:
        return "There is no column with few enough values to search."
    pairs = "and all pairs" if len(paired) == len(columns) else f"and pairs of the first {len(paired)} of them"
    tried = f"All values of {', '.join(columns)} {pairs}."
    if not target.task.has_label:
        return f"{tried} Rare values are hard for every model: what few rows have is odd."
    return f"{tried} The label is not among them: rows with a rare label are hard for every model."
