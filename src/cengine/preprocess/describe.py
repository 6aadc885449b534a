"""Statistics of columns by split, as plain data: what is counted over all rows, and what is told from their values.

Two kinds of queries, each of many columns together: one writes the rows whose values are looked at (all of a table of up
to 2,000,000 rows, else about 2**18 of each split), one forms the aggregates of all rows. Both are the same for any number of
threads. Numbers of rows that come from a sample are scaled to the split: estimates, marked by `sampled_rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from cengine.engines.engine import Engine
from cengine.plain import Cell
from cengine.preprocess.histograms import edges_of, histogram
from cengine.preprocess.source import Rows
from cengine.preprocess.split import Split
from cengine.preprocess.totals import Totals, totals_of
from cengine.preprocess.value_counts import SplitRows, ValueCounts, sampled_values, shown_text
from cengine.tables import Column

PROBABILITIES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
NUM_TOP = 10
# Categories whose rows are told for every split: the most frequent of each, at most so many.
NUM_CATEGORIES_OF_SPLIT, MAX_CATEGORIES = 20, 40
# A sample in which at most this share of the values has one row has seen the others too.
MAX_SINGLE_SHARE = 0.005
MICROSECONDS = 1_000_000
# Engines plan a query of many more columns in a time that grows with their square.
COLUMNS_PER_SAMPLE = 400


# A value as JSON can hold it: a number, a truth value, a text; times are ISO texts.
Shown = str | float


class SplitStatistics(TypedDict):
    """What a column holds in one split."""

    num_rows: int
    num_nulls: int
    num_distinct: int | None
    distinct_exact: bool
    mean: float | None
    deviation: float | None
    minimum: Shown | None
    maximum: Shown | None
    quantiles: dict[str, Shown]
    top: list[list[Any]]  # pairs of a value and its rows
    sampled_rows: int | None


class Bars(TypedDict):
    """Rows by bin and split."""

    edges: list[float]
    counts: dict[str, list[int]]


class Histogram(Bars):
    """Of numbers, or of times as seconds since 1970."""

    is_time: bool


class Categories(TypedDict):
    """Rows by value and split."""

    values: list[Shown]
    counts: dict[str, list[int]]


class ColumnStatistics(TypedDict):
    """What a column holds: see `describe`."""

    name: str
    kind: str
    splits: dict[str, SplitStatistics]
    histogram: Histogram | None
    categories: Categories | None
    unseen: dict[str, int | None] | None


def describe(
    engine: Engine, rows: Rows, split: Split | None = None, names: Sequence[str] | None = None
) -> list[ColumnStatistics]:
    """For each column `name`, `kind`, `splits`, `histogram`, `categories` and `unseen` (see `docs/reports.md`).

    `splits` has for each split `num_rows`, `num_nulls`, `num_distinct` with `distinct_exact`, `mean`, `deviation` (of the
    population), `minimum`, `maximum`, `quantiles`, `top` and `sampled_rows` (None where all rows were looked at); without a
    split there is one of the name `all`. `histogram` of numbers and times has `edges`, `counts` by split and `is_time`;
    `categories` of texts and booleans `values` and `counts` by split; `unseen` for each split but the first the rows whose
    text or boolean the first has nowhere, None where that is not known. Lists and the like have counts and nulls only.
    """
    columns = [rows.schema[name] for name in (rows.schema.names if names is None else names)]
    table = SplitRows.of(engine, rows, split)
    usable = [known for known in columns if known.kind is not None]
    looked: dict[str, _Looked] = {}
    if usable:
        # A warehouse is asked once, whatever the number of columns: what it costs is its scans.
        size = COLUMNS_PER_SAMPLE if engine.reads_files else len(usable)
        for start in range(0, len(usable), size):
            part = usable[start : start + size]
            with sampled_values(table, part) as sample:
                scale = [
                    n / drawn if drawn else 0.0
                    for n, drawn in zip(table.num_rows, sample.num_rows.tolist(), strict=True)
                ]
                looked |= {
                    known.name: _look(known, sample.counts(place), table, scale) for place, known in enumerate(part)
                }
                sampled_rows = [
                    int(n) if sampled else None for n, sampled in zip(sample.num_rows, table.sampled, strict=True)
                ]
    estimated = {name for name, found in looked.items() if None in found.num_distinct}
    totals = totals_of(table, columns, estimated)
    return [
        _entry(known, table, totals[known.name], looked.get(known.name), sampled_rows if known.name in looked else None)
        for known in columns
    ]


def of_one_split(column: ColumnStatistics, split: str) -> ColumnStatistics:
    """The statistics of a column for one split only."""
    histogram, categories = column["histogram"], column["categories"]
    return {
        "name": column["name"],
        "kind": column["kind"],
        "splits": {split: column["splits"][split]},
        "histogram": {**histogram, "counts": {split: histogram["counts"][split]}} if histogram else None,
        "categories": {**categories, "counts": {split: categories["counts"][split]}} if categories else None,
        "unseen": None,
    }


@dataclass(frozen=True)
class _Looked:
    """What the values of a column tell; of each split. `num_distinct` is None where only an estimate over all rows can tell."""

    num_distinct: list[int | None]
    quantiles: list[dict[str, Shown]]
    top: list[list[list[Any]]]
    histogram: Histogram | None
    categories: Categories | None
    unseen: list[int | None] | None


def _look(known: Column, found: ValueCounts, table: SplitRows, scale: list[float]) -> _Looked:
    splits = range(len(table.names))
    categories = known.kind in ("string", "boolean")
    top = [_top(known, found, split, scale[split]) for split in splits]
    return _Looked(
        [_distinct(found, split, table.sampled[split]) for split in splits],
        [{} if categories else _quantiles(known, found, split) for split in splits],
        top,
        None if categories else _histogram(known, found, table, scale),
        _categories(known, found, table, scale) if categories else None,
        [_unseen(found, split, table.sampled) for split in splits] if categories else None,
    )


def _top(known: Column, found: ValueCounts, split: int, scale: float) -> list[list[Any]]:
    """The most frequent values of a split with their rows."""
    counts = found.counts[split]
    return [
        [_shown(known, found.values[place].as_py()), _scaled(counts[place], scale)]
        for place in found.top(split, NUM_TOP)
    ]


def _distinct(found: ValueCounts, split: int, sampled: bool) -> int | None:
    num_distinct = found.num_distinct(split)
    return num_distinct if not sampled or found.num_single(split) <= MAX_SINGLE_SHARE * num_distinct else None


def _quantiles(known: Column, found: ValueCounts, split: int) -> dict[str, Shown]:
    # Between two days there is an hour that no row has.
    values = found.quantiles(split, PROBABILITIES, between=known.kind != "timestamp")
    return {str(p): _shown(known, value) for p, value in zip(PROBABILITIES, values, strict=False)}


def _histogram(known: Column, found: ValueCounts, table: SplitRows, scale: list[float]) -> Histogram | None:
    is_time = known.kind == "timestamp"
    edges = edges_of(found, whole=known.kind == "integer")
    if not edges:
        return None
    if is_time:
        edges = [edge / MICROSECONDS for edge in edges]
    counts = histogram(found, edges, MICROSECONDS if is_time else 1.0)
    told = {name: [_scaled(n, scale[split]) for n in counts[split].tolist()] for split, name in enumerate(table.names)}
    return {"edges": edges, "counts": told, "is_time": is_time}


def _categories(known: Column, found: ValueCounts, table: SplitRows, scale: list[float]) -> Categories:
    """The most frequent values of all splits, those that are the most frequent in any split first."""
    splits = range(len(table.names))
    places = {place for split in splits for place in found.top(split, NUM_CATEGORIES_OF_SPLIT)}
    shares = {
        place: max(found.counts[split][place] / max(found.num_values[split], 1) for split in splits) for place in places
    }
    values = {place: found.values[place].as_py() for place in places}
    chosen = sorted(places, key=lambda place: (-shares[place], values[place]))[:MAX_CATEGORIES]
    return {
        "values": [_shown(known, values[place]) for place in chosen],
        "counts": {
            name: [_scaled(found.counts[split][place], scale[split]) for place in chosen]
            for split, name in enumerate(table.names)
        },
    }


def _unseen(found: ValueCounts, split: int, sampled: Sequence[bool]) -> int | None:
    """The rows of the split with values that the first has nowhere.

    A sample of the first has not seen all it has; but where it has seen all that the split has, there are none.
    """
    num_rows = int(found.counts[split][found.counts[0] == 0].sum())
    return num_rows if not sampled[split] and (not sampled[0] or num_rows == 0) else None


def _entry(
    known: Column, table: SplitRows, totals: list[Totals], looked: _Looked | None, sampled_rows: list[int | None] | None
) -> ColumnStatistics:
    splits: dict[str, SplitStatistics] = {}
    for place, name in enumerate(table.names):
        total = totals[place]
        distinct = looked.num_distinct[place] if looked else None
        splits[name] = {
            "num_rows": table.num_rows[place],
            "num_nulls": table.num_rows[place] - total.num_values,
            "num_distinct": total.about_distinct if looked and distinct is None else distinct,
            "distinct_exact": bool(looked) and not table.sampled[place],
            "mean": total.mean,
            "deviation": total.deviation,
            "minimum": _shown(known, total.minimum),
            "maximum": _shown(known, total.maximum),
            "quantiles": looked.quantiles[place] if looked else {},
            "top": looked.top[place] if looked else [],
            "sampled_rows": sampled_rows[place] if sampled_rows else None,
        }
    unseen = dict(zip(table.names[1:], looked.unseen[1:], strict=True)) if looked and looked.unseen else None
    return {
        "name": known.name,
        "kind": known.kind or known.sql_type.lower(),
        "splits": splits,
        "histogram": looked.histogram if looked else None,
        "categories": looked.categories if looked else None,
        "unseen": unseen,
    }


def _scaled(num_rows: int, scale: float) -> int:
    """A number of rows of the sample as one of the split."""
    return round(int(num_rows) * scale)


def _shown(known: Column, value: Cell) -> Cell:
    """A value as JSON can hold it."""
    if isinstance(value, str):
        return shown_text(value)
    return _time(value, known) if known.kind == "timestamp" and value is not None else value


def _time(microseconds: int, known: Column) -> str:
    """ISO text; NumPy knows years beyond 9999."""
    text = str(np.datetime64(int(microseconds), "us")).replace("T", " ").removesuffix(".000000")
    return text.removesuffix(" 00:00:00") if known.sql_type.upper() == "DATE" else text


__all__ = [
    "Bars",
    "Categories",
    "ColumnStatistics",
    "Histogram",
    "Shown",
    "SplitStatistics",
    "describe",
    "of_one_split",
]
