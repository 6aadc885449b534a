"""Looking at a snapshot: what its columns hold, and a sample of its rows."""

from __future__ import annotations

import contextlib
import json
from typing import Any, TypedDict

import pyarrow as pa
from sqlglot import exp

from cengine.datasources.register import Say, Snapshot
from cengine.datasources.table import table_of
from cengine.engines.engine import Engine
from cengine.engines.table import EMBEDDED
from cengine.expressions.build import as_double, column, finite
from cengine.store.permissions import file_mode
from cengine.store.project import Project
from cengine.store.writing import write_whole
from cengine.tables import TableSchema

PROFILE_MEMORY_BYTES = 2**30
# Above this many rows the number of distinct values is an estimate (HyperLogLog, a few per cent off).
EXACT_DISTINCT_ROWS = 2_000_000


class ColumnProfile(TypedDict):
    """What a column holds, in short. Least and greatest are numbers or texts."""

    name: str
    type: str
    nulls: int
    distinct: int | None
    min: str | float | None
    mean: float | None
    max: str | float | None


def profile(project: Project, snapshot: Snapshot, say: Say = lambda text: None) -> list[ColumnProfile]:
    """For each column name, type, nulls, distinct, min, mean, max; computed once and kept beside the snapshot."""
    kept = snapshot.folder / "profile.json"
    if kept.exists():
        return list(json.loads(kept.read_text()))
    table = table_of(project, snapshot, say=say)
    with table.engine(PROFILE_MEMORY_BYTES, None) as engine:
        columns = _profiled(engine, table.cells(engine), snapshot.schema)
    with contextlib.suppress(OSError):  # of a project that can only be read
        write_whole(kept, json.dumps(columns, default=str), mode=file_mode(kept.parent))
    return columns


def sample_rows(
    project: Project, snapshot: Snapshot, num_rows: int, seed: int | None, say: Say = lambda text: None
) -> pa.Table:
    """Rows drawn at random, the same ones for the same seed."""
    return table_of(project, snapshot, say=say).sample(num_rows, seed)


def _profiled(engine: Engine, table: exp.Expr, schema: TableSchema) -> list[ColumnProfile]:
    exact = schema.num_rows <= EXACT_DISTINCT_ROWS
    outputs: list[exp.Expr] = []
    for i, known in enumerate(schema.columns):
        cell: exp.Expr = column(known.name)
        outputs.append(exp.Count(this=cell.copy()).as_(f"count_{i}"))
        if known.kind is not None or engine.name == EMBEDDED:  # a warehouse does not compare lists and the like
            distinct: exp.Expr = (
                exp.Count(this=exp.Distinct(expressions=[cell])) if exact else exp.ApproxDistinct(this=cell)
            )
            outputs.append(distinct.as_(f"distinct_{i}"))
        if known.kind in ("integer", "float"):
            number = finite(as_double(cell.copy()))
            outputs.append(exp.Avg(this=number).as_(f"mean_{i}"))
        if known.kind is not None:
            outputs += [exp.Min(this=cell.copy()).as_(f"min_{i}"), exp.Max(this=cell.copy()).as_(f"max_{i}")]
    row = engine.fetch_rows(exp.select(*outputs).from_(table))[0]
    return [
        {
            "name": known.name,
            "type": known.kind or known.sql_type.lower(),
            "nulls": schema.num_rows - row[f"count_{i}"],
            "distinct": row.get(f"distinct_{i}"),
            "min": _shown(row.get(f"min_{i}")),
            "mean": row.get(f"mean_{i}"),
            "max": _shown(row.get(f"max_{i}")),
        }
        for i, known in enumerate(schema.columns)
    ]


def _shown(value: Any) -> str | float | None:
    return value if value is None or isinstance(value, int | float | str) else str(value)
