"""One Parquet file of many batches, as the trainer reads it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from cengine.tables import POSITION

ROW_GROUP_ROWS = 122_880


def is_positioned(query: exp.Expr) -> bool:
    """Whether the query tells the order of its rows by a column POSITION."""
    return isinstance(query, exp.Query) and POSITION in query.named_selects


def write_parquet(batches: Iterable[pa.RecordBatch], schema: pa.Schema, target: Path) -> int:
    """Writes the batches, in their order, in row groups of equal size; gives the number of rows."""
    num_rows = num_waiting = 0
    waiting: list[pa.Table] = []
    with pq.ParquetWriter(target, schema, compression="lz4") as writer:
        for batch in batches:
            waiting.append(pa.Table.from_batches([batch]).cast(schema))
            num_waiting += len(batch)
            num_rows += len(batch)
            if num_waiting >= ROW_GROUP_ROWS:
                table = pa.concat_tables(waiting)
                whole = num_waiting - num_waiting % ROW_GROUP_ROWS
                writer.write_table(table.slice(0, whole), row_group_size=ROW_GROUP_ROWS)
                waiting, num_waiting = [table.slice(whole)], num_waiting - whole
        if num_waiting:
            writer.write_table(pa.concat_tables(waiting), row_group_size=ROW_GROUP_ROWS)
    return num_rows


def zoneless(schema: pa.Schema) -> pa.Schema:
    """The schema with times as this program has them: microseconds of UTC, no zone."""
    return pa.schema(
        [field.with_type(pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field for field in schema]
    )


def without_zones(table: pa.Table) -> pa.Table:
    """The table with its times as `zoneless` says."""
    return table.cast(zoneless(table.schema))
