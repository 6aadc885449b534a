"""The results of an evaluation as they are read again: overall, slices, verdicts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cengine.evaluation.predictions import name_beside
from cengine.evaluation.slices import key_name


@dataclass(frozen=True)
class SliceTable:
    """The slices of one label by one set of columns: `split`, the columns, `num_rows`, and `METRIC`, `METRIC: low`, `METRIC: high`.

    `keys` are the columns as the table calls them: `column: NAME` where one of the others has the name.
    """

    label: str
    columns: tuple[str, ...]
    table: pa.Table

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(key_name(name_beside(name)) for name in self.columns)


@dataclass(frozen=True)
class Results:
    """What an evaluation found.

    `overall` and `overall_rows` have a row for each split, label and metric: model (low and high end of its 95 % interval), constant, skill,
    unit, higher_is_better. `verdicts` has a sentence for each split and label.
    """

    overall_rows: list[dict[str, Any]]
    slices: list[SliceTable]
    verdicts: list[dict[str, str]]

    @cached_property
    def overall(self) -> pa.Table:
        """The rows as a table. Only on demand: where pandas is installed, Arrow imports it to read a list."""
        return pa.Table.from_pylist(self.overall_rows)


def read_results(folder: Path) -> Results:
    """The results that `evaluate` wrote."""
    record = json.loads((folder / "results.json").read_text())
    slices = [SliceTable(s["label"], tuple(s["columns"]), pq.ParquetFile(folder / s["file"]).read()) for s in record["slices"]]
    return Results(record["overall"], slices, record["verdicts"])
