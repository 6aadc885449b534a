"""Whether predicted intervals hold what they promise: a sentence for each label whose quantiles are predicted, and each split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from sqlglot import exp

from cengine.engines.engine import Engine
from cengine.evaluation.predictions import roles_of, weight_of
from cengine.evaluation.slices import INTERVAL_ENDS, measure
from cengine.metrics.quantiles import Coverage
from cengine.metrics.verdicts import FEW_ROWS, is_known
from cengine.preprocess.targets import Target

# An interval of coverage misses what should be by much if it does by more than this share of what is asked to lie inside or outside,
# whichever is less: by 2 points of 90 %, by 0.2 points of 99 %.
MUCH = 0.2


class Calibration(TypedDict):
    """How much of a split lies within a label's predicted quantiles (`coverage` with its interval) and how much `should`.

    `is_off` where the interval misses it by much.
    """

    label: str
    split: str
    should: float
    coverage: float | None
    low: float | None
    high: float | None
    is_off: bool
    sentence: str


def calibrations(
    engine: Engine, predictions: exp.Expr, target: Target, split_names: Sequence[str]
) -> list[Calibration]:
    """An entry a split, plain data; none for a label without quantiles."""
    if not target.task.quantiles:
        return []
    metric = Coverage()
    roles, weight = roles_of(target), weight_of(target)
    (measured,) = measure(
        engine,
        predictions,
        roles,
        target.task.name,
        [metric],
        intervals=True,
        weight=weight,
        window_labels=target.label.window_labels,
    )
    rows = sorted(measured.table.to_pylist(), key=lambda row: row["_split"])
    return [_told(target, split_names[row["_split"]], row, metric.name) for row in rows]


def should_cover(quantiles: Sequence[float]) -> float:
    """The share of rows that is to lie between the lowest and the highest of them, of a single one at or below it."""
    return round(quantiles[-1] - (quantiles[0] if len(quantiles) > 1 else 0.0), 12)


def misses_by_much(should: float, low: float, high: float) -> bool:
    """Whether an interval of coverage misses what should be by much."""
    return max(low - should, should - high) > MUCH * min(should, 1.0 - should)


def _told(target: Target, split: str, row: dict[str, Any], name: str) -> Calibration:
    should = should_cover(target.task.quantiles)
    share, (low, high) = row[name], (row[f"{name}: {end}"] for end in INTERVAL_ENDS)
    known = is_known(share, low, high) and row["num_rows"] >= FEW_ROWS
    is_off = known and misses_by_much(should, low, high)
    return {
        "label": target.name,
        "split": split,
        "should": should,
        "coverage": share,
        "low": low,
        "high": high,
        "is_off": is_off,
        "sentence": _sentence(target, split, should, (share, low, high), is_off=is_off, num_rows=row["num_rows"]),
    }


def _sentence(
    target: Target, split: str, should: float, found: tuple[float, float, float], *, is_off: bool, num_rows: int
) -> str:
    quantiles = target.task.quantiles
    if num_rows < FEW_ROWS or not is_known(*found):
        return f"Of {num_rows:,} evaluated rows of {split} it cannot be told how many lie within the quantiles of {target.name}."
    share, low, high = (100 * value for value in found)
    told = f"{share:.1f} % ({low:.1f} to {high:.1f}) of the rows of {split}"
    if len(quantiles) == 1:
        told = f"{told} lie at or below the {_percent(should)} quantile of {target.name}"
        return f"{told}: far from what it says." if is_off else f"{told}."
    ends = f"{_percent(quantiles[0])} to {_percent(quantiles[-1])}"
    told = f"{_percent(should)} intervals of {target.name} ({ends}) hold {told}"
    if not is_off:
        return f"{told}."
    if found[0] < should:
        return f"{told}: they are too narrow."
    # Of a few whole numbers an interval may hold more than it has to however well it is chosen.
    or_few = ", or the label has few values" if target.label.kind != "float" else ""
    return f"{told}: they are too wide{or_few}."


def _percent(share: float) -> str:
    return f"{100 * share:.10g} %"
