"""What is counted over all rows of a column and split: values, range, moments; of many columns in one query."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlglot import exp

from cengine.expressions.build import as_number, column
from cengine.names import free_stem
from cengine.plain import Cell
from cengine.preprocess.fixed_point import FixedPoint
from cengine.preprocess.value_counts import SPLIT, SplitRows, microseconds
from cengine.tables import Column

NUMBERS = ("boolean", "integer", "float")
RANGED = (*NUMBERS, "timestamp")
# Sums of squares relative to a span that is so much wider than the values' own would have less than 38 digits of the 60.
MAX_WIDER = 2.0**11
COLUMNS_PER_QUERY = 128


@dataclass(frozen=True)
class Totals:
    """Aggregates over the rows of one column and split; times are microseconds since 1970. What cannot be is None."""

    num_rows: int
    num_values: int
    minimum: Cell = None
    maximum: Cell = None
    mean: float | None = None
    deviation: float | None = None
    about_distinct: int | None = None


def totals_of(table: SplitRows, columns: Sequence[Column], estimated: Collection[str] = ()) -> dict[str, list[Totals]]:
    """The aggregates of each column, one a split; `about_distinct` (HyperLogLog, a few per cent off) of those `estimated`.

    Ranges that the schema knows let sums be formed at once. Where it does not, or where a filter has left so little of the
    range that digits would be lost, a second query forms them with the ranges that the first has found.
    """
    found: dict[str, list[Totals]] = {}
    for part in _parts(columns):
        plans = {
            known.name: plan
            for known in part
            if known.kind in NUMBERS and (plan := _planned(known, known.minimum, known.maximum))
        }
        first = _query(table, part, plans, estimated)
        again = {
            known.name: plan for known in part if (plan := _narrower(known, first[known.name], plans.get(known.name)))
        }
        if again:
            second = _query(table, [known for known in part if known.name in again], again, ())
            for name, splits in second.items():
                first[name] = [
                    replace(old, mean=new.mean, deviation=new.deviation)
                    for old, new in zip(first[name], splits, strict=True)
                ]
        found |= first
    return found


def _parts(columns: Sequence[Column]) -> Iterator[list[Column]]:
    """As few parts as an engine plans in time."""
    for start in range(0, len(columns), COLUMNS_PER_QUERY):
        yield list(itertools.islice(columns, start, start + COLUMNS_PER_QUERY))


def _planned(known: Column, low: Cell, high: Cell) -> FixedPoint | None:
    if known.kind == "boolean":
        return FixedPoint.of((0, 1), whole=True)
    return None if low is None else FixedPoint.of((low, high), whole=known.kind == "integer")


def _narrower(known: Column, splits: list[Totals], plan: FixedPoint | None) -> FixedPoint | None:
    """A plan for the values as they are, where there is none or the one there is spans far more than they do."""
    present = [split for split in splits if split.num_values]
    if known.kind not in NUMBERS or not present:
        return None
    low, high = min(split.minimum for split in present), max(split.maximum for split in present)
    if plan is not None and (plan.whole or plan.scale <= MAX_WIDER * (float(high) - float(low))):
        return None
    return _planned(known, low, high) if low != high else None


def _query(
    table: SplitRows, columns: Sequence[Column], plans: dict[str, FixedPoint], estimated: Collection[str]
) -> dict[str, list[Totals]]:
    split = column(table.rows.split_column)
    outputs: list[exp.Expr] = [split.copy().as_(SPLIT, quoted=True), exp.Count(this=exp.Star()).as_("num_rows")]
    shifted: list[exp.Expr] = []
    stem = free_stem("_shifted_", table.rows.schema.names)
    for i, known in enumerate(columns):
        cell = column(known.name)
        if _may_be_null(known):
            outputs.append(exp.Count(this=cell.copy()).as_(f"num_{i}", copy=False))
        if known.kind in RANGED:
            value = microseconds(cell) if known.kind == "timestamp" else as_number(cell, known.kind)
            outputs += [
                exp.Min(this=value.copy()).as_(f"low_{i}", copy=False),
                exp.Max(this=value.copy()).as_(f"high_{i}", copy=False),
            ]
        if known.name in plans:
            called = f"{stem}{i}"
            shifted.append(
                plans[known.name].shifted(as_number(cell, known.kind or "")).as_(called, quoted=True, copy=False)
            )
            outputs += [
                total.as_(f"sum_{i}_{name}", copy=False) for name, total in plans[known.name].sums(called).items()
            ]
        if known.name in estimated:
            outputs.append(exp.ApproxDistinct(this=cell.copy()).as_(f"distinct_{i}"))
    source = table.select([known.name for known in columns]).subquery("rows", copy=False)
    if shifted:
        source = exp.select(exp.Star(), *shifted, copy=False).from_(source, copy=False).subquery("shifted", copy=False)
    query = exp.select(*outputs, copy=False).from_(source, copy=False).group_by(split, copy=False)
    by_split = {row[SPLIT]: row for row in table.engine.fetch_rows(query)}
    return {
        known.name: [_read(by_split.get(split), i, plans.get(known.name), known) for split in range(len(table.names))]
        for i, known in enumerate(columns)
    }


def _read(row: dict[str, Any] | None, place: int, plan: FixedPoint | None, known: Column) -> Totals:
    if row is None:
        return Totals(0, 0)
    num_values = row.get(f"num_{place}", row["num_rows"])
    low, high = (_end(row.get(f"{end}_{place}"), known) for end in ("low", "high"))
    mean = deviation = None
    if num_values and low is not None and low == high and not isinstance(low, bool):
        mean, deviation = float(low), 0.0
    elif num_values and plan is not None:
        mean, deviation = plan.moments({name: row[f"sum_{place}_{name}"] for name in FixedPoint.NAMES}, num_values)
    about = row.get(f"distinct_{place}")
    return Totals(
        row["num_rows"], num_values, low, high, mean, deviation, None if about is None else min(about, num_values)
    )


def _may_be_null(known: Column) -> bool:
    """Whether a cell may be null; numbers that are not finite are, whatever the schema says."""
    return known.kind in (None, "float") or known.num_nulls != 0


def _end(value: Cell, known: Column) -> Cell:
    """The least or greatest value; which of 0 and -0 is the smaller one depends on the order of rows."""
    if known.kind == "boolean" and value is not None:
        return bool(value)
    return value + 0.0 if isinstance(value, float) else value
