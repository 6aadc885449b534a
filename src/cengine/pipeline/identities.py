"""Identities of the rows of a snapshot, and of the snapshot as a whole."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from sqlglot import exp

from cengine.engines.duckdb import DuckDB
from cengine.expressions.build import bigint, column
from cengine.expressions.keys import content_hash, content_sums, occurrence_id
from cengine.tables import ROW_ID, Column

DUPLICATE_SEARCH_ROWS = 2**25


def identified(cells: Sequence[exp.Expr], columns: Sequence[Column], rows: exp.Expr) -> exp.Select:
    """The cells, which are called as the columns are, with the content hash of each row."""
    first, second = content_sums([known for known in columns if known.kind is not None])
    inner = exp.select(*cells).from_(rows).subquery("cells")
    sums = exp.select("*", first.as_("_first"), second.as_("_second")).from_(inner).subquery("sums")
    identity = content_hash(column("_first"), column("_second")).as_(ROW_ID)
    return exp.select(*[column(known.name) for known in columns], identity).from_(sums)


def tell_duplicates_apart(engine: DuckDB, folder: Path, num_rows: int) -> None:
    """Rows of equal content get identities of their own, by their occurrence; only parts with such rows are rewritten."""
    parts = sorted(folder.glob("part-*.parquet"))
    repeated = _repeated_hashes(engine, parts, num_rows)
    if len(repeated) == 0:
        return
    engine.register("repeated", pa.table({"hash": repeated}))
    scan = engine.parquet(parts, filename=True, file_row_number=True).sql("duckdb")
    engine.register("occurrences", engine.fetch(f"""
        SELECT filename, file_row_number, CAST(ROW_NUMBER() OVER (PARTITION BY "{ROW_ID}" ORDER BY filename, file_row_number) - 1 AS BIGINT) AS occurrence
        FROM {scan} AS rows SEMI JOIN repeated ON rows."{ROW_ID}" = repeated.hash
    """))  # fmt: skip
    for part in parts:
        identity = occurrence_id(column(ROW_ID, "rows"), exp.Coalesce(this=column("occurrence", "occurrences"), expressions=[bigint(0)]))
        scan = engine.parquet([part], file_row_number=True).sql("duckdb")
        name = exp.Literal.string(str(part)).sql("duckdb")
        rewritten = part.with_suffix(".new")
        engine.write(f"""
            SELECT rows.* EXCLUDE (file_row_number) REPLACE ({identity.sql("duckdb")} AS "{ROW_ID}") FROM {scan} AS rows
            LEFT JOIN (SELECT * FROM occurrences WHERE filename = {name}) AS occurrences
              ON rows.file_row_number = occurrences.file_row_number
            ORDER BY rows.file_row_number
        """, rewritten)  # fmt: skip
        rewritten.replace(part)


def _repeated_hashes(engine: DuckDB, parts: list[Path], num_rows: int) -> np.ndarray:
    """Content hashes that more than one row has, found range by range within bounded memory."""
    num_ranges = -(-num_rows // DUPLICATE_SEARCH_ROWS)
    edges = [2**62 * i // num_ranges for i in range(num_ranges + 1)]
    found = []
    for low, high in itertools.pairwise(edges):
        query = exp.select(column(ROW_ID)).from_(engine.parquet(parts))
        if num_ranges > 1:
            query = query.where(exp.GTE(this=column(ROW_ID), expression=bigint(low))).where(
                exp.LT(this=column(ROW_ID), expression=bigint(high))
            )
        hashes = np.sort(engine.fetch(query)[ROW_ID].to_numpy())
        found.append(np.unique(hashes[1:][hashes[1:] == hashes[:-1]]))
    return np.concatenate(found)


def content_digest(engine: DuckDB, folder: Path, names: list[str]) -> dict[str, str]:
    """Numbers that tell the rows of a snapshot from any others, whatever their order.

    Two sums over hashes of whole rows: exact to the last bit of a float and for types that row identities leave out.
    """
    parts = sorted(folder.glob("part-*.parquet"))
    cells = ", ".join(column(name).sql("duckdb") for name in names)
    row = engine.fetch(f"""
        SELECT CAST(SUM(CAST(HASH({cells}) AS HUGEINT)) AS VARCHAR) AS first, CAST(SUM(CAST(HASH({cells}, 'again') AS HUGEINT)) AS VARCHAR) AS second
        FROM {engine.parquet(parts).sql("duckdb")}
    """).to_pylist()[0]  # fmt: skip
    return {"first": row["first"], "second": row["second"]}
