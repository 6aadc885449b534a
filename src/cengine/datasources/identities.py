"""Identities of the rows of a snapshot, and of the snapshot as a whole."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from cengine.engines.duckdb import DuckDB
from cengine.expressions.build import bigint, column, identifier
from cengine.expressions.duckdb_keys import content_sums_in_duckdb
from cengine.expressions.keys import content_hash, told_apart
from cengine.names import free_name
from cengine.tables import ROW_ID, Column

DUPLICATE_SEARCH_ROWS = 2**25


def identified(cells: Sequence[exp.Expr], columns: Sequence[Column], rows: exp.Expr) -> exp.Select:
    """The cells, which are called as the columns are, with the content hash of each row."""
    first, second = content_sums_in_duckdb([known for known in columns if known.kind is not None])
    names = [known.name for known in columns]
    one, other = (free_name(stem, names) for stem in ("_first", "_second"))
    inner = exp.select(*cells, copy=False).from_(rows).subquery("cells", copy=False)
    outputs = [exp.Star(), first.as_(one, quoted=True, copy=False), second.as_(other, quoted=True, copy=False)]
    sums = exp.select(*outputs, copy=False).from_(inner, copy=False).subquery("sums", copy=False)
    identity = content_hash(column(one), column(other)).as_(ROW_ID, quoted=True)
    return exp.select(*[column(name) for name in names], identity, copy=False).from_(sums, copy=False)


def tell_duplicates_apart(engine: DuckDB, folder: Path, num_rows: int) -> None:
    """Rows of equal content get identities of their own, by their occurrence; only parts with such rows are rewritten."""
    parts = sorted(folder.glob("part-*.parquet"))
    repeated = _repeated_hashes(engine, parts, num_rows)
    if len(repeated) == 0:
        return
    engine.register("repeated", pa.table({"hash": repeated}))
    names = pq.read_schema(parts[0]).names
    # Columns are called by their places, since `filename` and `file_row_number` may be columns of the user's, too.
    aliases = ", ".join(f"c{place}" for place in range(len(names)))
    own = f"c{names.index(ROW_ID)}"
    # Numbers that are not told apart by their row's identity (below 2**-31, above 2**61) must not be by the order of rows.
    others = ", ".join(f"rows.c{place}" for place, name in enumerate(names) if name != ROW_ID)
    engine.register(
        "numbered",
        engine.fetch(f"""
        SELECT filename, file_row_number, {own} AS content, CAST(ROW_NUMBER() OVER (
            PARTITION BY {own} ORDER BY HASH({others}), filename, file_row_number) - 1 AS BIGINT) AS occurrence
        FROM {engine.parquet(parts).sql("duckdb")} AS rows({aliases}) SEMI JOIN repeated ON rows.{own} = repeated.hash
    """),
    )
    numbered = exp.to_table("numbered")
    engine.register(
        "told", engine.fetch(told_apart(numbered, ["filename", "file_row_number"], "content", "occurrence", "identity"))
    )
    cells = ", ".join(
        f"{f'COALESCE(told.identity, rows.{own})' if name == ROW_ID else f'rows.c{place}'} AS {identifier(name)}"
        for place, name in enumerate(names)
    )
    for part in parts:
        name = exp.Literal.string(str(part)).sql("duckdb")
        rewritten = part.with_suffix(".new")
        engine.write(
            f"""
            SELECT {cells} FROM {engine.parquet([part]).sql("duckdb")} AS rows({aliases})
            LEFT JOIN (SELECT file_row_number AS place, identity FROM told WHERE filename = {name}) AS told
              ON rows.file_row_number = told.place
            ORDER BY rows.file_row_number
        """,
            rewritten,
        )
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
    cells = ", ".join(identifier(name) for name in names)
    row = engine.fetch_rows(f"""
        SELECT CAST(SUM(CAST(HASH({cells}) AS HUGEINT)) AS VARCHAR) AS first, CAST(SUM(CAST(HASH({cells}, 'again') AS HUGEINT)) AS VARCHAR) AS second
        FROM {engine.parquet(parts).sql("duckdb")}
    """)[0]
    return {"first": row["first"], "second": row["second"]}
