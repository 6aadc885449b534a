"""The schema of parts with nulls and ranges, read from the Parquet files' own statistics."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from cengine.tables import Column, TableSchema

NUMBERS = ("boolean", "integer", "float")


def measured_schema(folder: Path, columns: list[Column], num_rows: int) -> TableSchema:
    """The schema with nulls and ranges, read from the Parquet files' own statistics."""
    nulls: Counter[str] = Counter()
    ranges: dict[str, tuple[Any, Any]] = {}
    unknown: set[str] = set()
    numbers = {known.name for known in columns if known.kind in NUMBERS}
    for part in sorted(folder.glob("part-*.parquet")):
        metadata = pq.ParquetFile(part).metadata
        for group in range(metadata.num_row_groups):
            for index in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(index)
                name, statistics = chunk.path_in_schema, chunk.statistics
                if statistics is None or not statistics.has_null_count:
                    unknown.add(name)
                    continue
                nulls[name] += statistics.null_count
                if name not in numbers:  # a time may be one that Python has not
                    continue
                if statistics.has_min_max:
                    low, high = ranges.get(name, (statistics.min, statistics.max))
                    ranges[name] = (min(low, statistics.min), max(high, statistics.max))
                elif statistics.null_count < chunk.num_values:
                    unknown.add(name)
    return TableSchema(tuple(_with_statistics(c, nulls, ranges, unknown) for c in columns), num_rows)


def _with_statistics(
    known: Column, nulls: Counter[str], ranges: dict[str, tuple[Any, Any]], unknown: set[str]
) -> Column:
    if known.name in unknown:
        return known
    low, high = ranges.get(known.name, (None, None))
    if known.kind not in NUMBERS or not _finite(low, high):
        low = high = None
    if known.kind == "float" and low is not None:
        low, high = float(low), float(high)
    return Column(known.name, known.sql_type, known.kind, nulls[known.name], low, high)


def _finite(*values: float | None) -> bool:
    return all(value is not None and bool(np.isfinite(float(value))) for value in values)
