"""Whether the rows that are predicted are like those that the model was trained on: drift of each feature, from a sample."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from cengine.engines.duckdb import DuckDB
from cengine.evaluation.drift import ColumnInUse, DescribedColumn, with_drift
from cengine.expressions.build import bigint, column
from cengine.prediction.source import Source
from cengine.preprocess.describe import PROBABILITIES, ColumnStatistics, Shown, SplitStatistics
from cengine.preprocess.value_counts import shown_text

REFERENCE, NEW = "train", "input"
SAMPLE_ROWS = 2**18
# Rows are drawn by where they stand: times an odd number, modulo a power of two, neighbours lie far apart.
_ODD, _POWER = 40_503, 2**16


def drift_of(
    source: Source, engine: DuckDB, columns: Mapping[str, str], train: Sequence[ColumnStatistics], num_rows: int
) -> list[DescribedColumn]:
    """The features with their statistics in the train rows and, from a sample, in the rows of `source`, and how the two differ.

    `columns` has the column of each feature, `train` what is known of the train rows, `num_rows` is how many rows there are.
    """
    known = [one for one in train if one["name"] in columns and REFERENCE in one["splits"]]
    if not known or not num_rows:
        return []
    sample = _sample(source, engine, [columns[one["name"]] for one in known])
    return with_drift([_beside(one, sample[columns[one["name"]]], num_rows) for one in known], REFERENCE)


def _sample(source: Source, engine: DuckDB, names: Sequence[str]) -> pa.Table:
    """About SAMPLE_ROWS of the rows, or all of them; the same ones each time."""
    rows = source.rows
    query = exp.select(*(rows.cell(name).as_(name, quoted=True) for name in dict.fromkeys(names)))
    query = query.from_(engine.parquet(rows.files, file_row_number=True))
    for condition in rows.conditions(engine.dialect):
        query = query.where(condition)
    if rows.schema.num_rows > SAMPLE_ROWS:
        place = exp.Mod(this=exp.Paren(this=column("file_row_number") * bigint(_ODD)), expression=bigint(_POWER))
        share = max(1, _POWER * SAMPLE_ROWS // rows.schema.num_rows)
        query = query.where(exp.LT(this=place, expression=bigint(share)))
    return engine.fetch(query)


def _beside(train: ColumnStatistics, cells: pa.ChunkedArray, num_rows: int) -> ColumnInUse:
    """A feature with what the train rows hold, and beside it what the sample does."""
    kind, scale = train["kind"], num_rows / max(len(cells), 1)
    values = cells.drop_null()
    numbers = _numbers(values, kind)
    found = _statistics(numbers, kind, len(cells), len(cells) - len(values), scale)
    told: ColumnInUse = {
        **train,
        "splits": {REFERENCE: train["splits"][REFERENCE], NEW: found},
        "unseen": None,
        "roles": ["feature"],
    }
    if (histogram := train["histogram"]) is not None:
        bins = np.searchsorted(np.asarray(histogram["edges"][1:-1]), numbers, side="right")
        counts = np.bincount(bins, minlength=len(histogram["edges"]) - 1)
        told["histogram"] = {**histogram, "counts": _both(histogram["counts"], counts * scale)}
    if (categories := train["categories"]) is not None:
        rows = _rows_by_value(values)
        counts = np.array([rows.get(value, 0) for value in categories["values"]], np.float64)
        told["categories"] = {**categories, "counts": _both(categories["counts"], counts * scale)}
    return told


def _both(counts: Mapping[str, list[int]], new: np.ndarray) -> dict[str, list[int]]:
    return {REFERENCE: counts[REFERENCE], NEW: np.rint(new).astype(int).tolist()}


def _numbers(values: pa.ChunkedArray, kind: str) -> np.ndarray:
    """Numbers as float64, times as seconds since 1970; nothing of texts and booleans."""
    if kind == "timestamp":
        moments = values.cast(pa.timestamp("us")).cast(pa.int64())
        return np.asarray(moments.to_numpy(), np.float64) / 1e6
    return np.asarray(values.to_numpy(), np.float64) if kind in ("integer", "float") else np.empty(0)


def _statistics(numbers: np.ndarray, kind: str, num_rows: int, num_nulls: int, scale: float) -> SplitStatistics:
    """Statistics of a sample; numbers of rows are scaled up to all rows."""

    def shown(number: float) -> Shown:
        if kind != "timestamp":
            return float(number)
        return str(datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=round(float(number))))

    some = len(numbers) > 0
    plain = some and kind != "timestamp"
    quantiles = np.quantile(numbers, PROBABILITIES) if some else ()
    return {
        "num_rows": round(num_rows * scale),
        "num_nulls": round(num_nulls * scale),
        "num_distinct": None,
        "distinct_exact": False,
        "mean": float(numbers.mean()) if plain else None,
        "deviation": float(numbers.std()) if plain else None,
        "minimum": None,
        "maximum": None,
        "quantiles": {str(p): shown(value) for p, value in zip(PROBABILITIES, quantiles, strict=False)},
        "top": [],
        "sampled_rows": num_rows if scale > 1 else None,
    }


def _rows_by_value(values: pa.ChunkedArray) -> dict[Any, int]:
    """Rows of each text or truth value, told as in statistics."""
    counted = pc.value_counts(values)
    found: dict[Any, int] = {}
    for value, number in zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True):
        key = shown_text(value) if isinstance(value, str) else value
        found[key] = found.get(key, 0) + number
    return found


def differing(columns: Sequence[DescribedColumn]) -> list[DescribedColumn]:
    """Those that differ from the train rows more than chance would have it, strongest first."""

    def psi(one: DescribedColumn) -> float:
        return one["drift"]["splits"][NEW]["psi"] if one["drift"] else 0.0

    return sorted(
        (one for one in columns if one["drift"] and one["drift"]["splits"][NEW]["level"] != "same"),
        key=psi,
        reverse=True,
    )
