"""Identities of wide tables: those that their rows have always had, in a time that grows with the width."""

from __future__ import annotations

import datetime
import hashlib
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlglot import exp

from cengine.expressions.duckdb_keys import WIDE, content_sums_in_duckdb
from cengine.expressions.keys import content_sums
from cengine.tables import Column, kind_of

NUM_ROWS = 300
START = datetime.datetime(1969, 12, 1)
ODD = [None, math.nan, math.inf, -math.inf, 1e300, -0.0, 2.0**61, -2.5]
# Each gives the cell of row j in the i-th column of its type.
CELLS = {
    "small": (pa.int8(), lambda i, j: None if (j + i) % 9 == 0 else j * i % 100 - 50),
    "unsigned": (pa.uint16(), lambda i, j: j * i % 65000),
    "whole": (pa.int64(), lambda i, j: None if (j + i) % 13 == 0 else (j * 2654435761 * (i + 1)) % 2**62 - 2**61),
    "x": (pa.float64(), lambda i, j: ODD[j % 8] if j % 4 == i % 4 else (j - 150) / (i + 1)),
    "single": (pa.float32(), lambda i, j: (j - 150) / (i + 1)),
    "flag": (pa.bool_(), lambda i, j: None if j % 5 == 0 else bool((j + i) % 2)),
    "word": (pa.string(), lambda i, j: None if (j + i) % 11 == 0 else f"wörd {j % 50}"),
    "time": (pa.timestamp("us"), lambda i, j: START + datetime.timedelta(minutes=j * i * 977)),
    "day": (pa.date32(), lambda i, j: (START + datetime.timedelta(days=j * i)).date()),
}


def table(num_each):
    cells = {
        f"{name} {i}": pa.array([cell(i, j) for j in range(NUM_ROWS)], kind)
        for name, (kind, cell) in CELLS.items()
        for i in range(num_each)
    }
    return pa.table({"n": pa.array(range(NUM_ROWS)), **cells})


@pytest.mark.parametrize("num_each", [2, 8, 30])
def test_lists_of_cells_give_what_terms_give(num_each, engine) -> None:
    rows = table(num_each)
    engine.register("t", rows)
    described = engine.fetch("DESCRIBE t").to_pylist()
    columns = [Column(c["column_name"], c["column_type"], kind_of(c["column_type"])) for c in described]
    assert (len(columns) >= WIDE) == (num_each > 2)
    found = [
        engine.fetch(exp.select(*[total.as_(name) for total, name in zip(sums(columns), "ab", strict=True)]).from_("t"))
        for sums in (content_sums_in_duckdb, content_sums)
    ]
    assert found[0].to_pydict() == found[1].to_pydict()


@pytest.mark.parametrize("kind", ["word", "x", "flag"])
def test_a_wide_table_of_one_kind(kind, engine) -> None:
    """With a row of nulls alone, and columns that are called like what the query uses."""
    of_type, cell = CELLS[kind]
    names = ["_cell", "_place", "cells", "x", "rows", *(f"c{i}" for i in range(WIDE))]
    rows = pa.table(
        {name: pa.array([None, *(cell(i, j) for j in range(1, 40))], of_type) for i, name in enumerate(names)}
    )
    engine.register("t", rows)
    sql_type = engine.fetch("DESCRIBE t")["column_type"][0].as_py()
    columns = [Column(name, sql_type, kind_of(sql_type)) for name in names]
    found = [
        engine.fetch(exp.select(*[total.as_(name) for total, name in zip(sums(columns), "ab", strict=True)]).from_("t"))
        for sums in (content_sums_in_duckdb, content_sums)
    ]
    assert found[0].to_pydict() == found[1].to_pydict()


# Of the version before lists. Were it to change, every split of a wide table would: raise SNAPSHOT_VERSION with it.
GOLDEN = "0b959211aa610d0f5989afb0aae90156156e4d97d8213119df581b57f61746ec"


def test_identities_of_a_wide_table_are_what_they_have_always_been(register_table) -> None:
    rows = table(10)
    rows = pa.concat_tables([rows, rows.slice(0, 40), rows.slice(10, 5)])
    stored = pq.read_table(register_table(rows).files[0], columns=["n", "_row_id"])
    identities = sorted(zip(stored["n"].to_pylist(), stored["_row_id"].to_pylist(), strict=True))
    assert hashlib.sha256(repr(identities).encode()).hexdigest() == GOLDEN


def test_two_thousand_columns_are_registered(register_table) -> None:
    rows = {f"c{i}": [(i * j) % 7 for j in range(200)] for i in range(2000)}
    snapshot = register_table(rows)
    assert len(snapshot.schema.columns) == 2000
    assert len(set(pq.read_table(snapshot.files[0], columns=["_row_id"])["_row_id"].to_pylist())) == 200
