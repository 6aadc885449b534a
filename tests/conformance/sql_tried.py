"""Statements run on real engines, and on BigQuery's dialect as sqlglot reads it."""

from __future__ import annotations

import pyarrow as pa
import pytest
import sqlglot
from bigquery_sql import never_null
from sqlglot import exp

from cengine.engines.engine import Engine

ENGINES = [
    "duckdb",
    "postgres",
    pytest.param("bigquery", marks=pytest.mark.slow),
    pytest.param("spark", marks=[pytest.mark.spark, pytest.mark.heavy]),
]


def loaded(engine: Engine, table: pa.Table, name: str = "rows") -> None:
    """Makes the table known to the engine; look-ups of PostgreSQL's numbers as text keep their digits."""
    engine.register(name, table)


def ran(engine: Engine, text: str) -> pa.Table:
    """What the engine answers to a statement."""
    match engine.name:
        case "duckdb":
            return engine.fetch(text)
        case "postgres":
            cursor = engine.connection.execute(text)
            names = [column.name for column in cursor.description]
            rows = cursor.fetchall()
            return pa.table({name: [row[place] for row in rows] for place, name in enumerate(names)})
        case "spark":
            return engine.session.sql(text).toArrow()
    return engine.inner.fetch(as_duckdb(text))


def as_duckdb(text: str) -> str:
    """A statement of BigQuery, read as BigQuery reads it, in DuckDB's words; sqlglot leaves places in lists as they are, where DuckDB counts from 1."""
    parsed = sqlglot.parse_one(text, dialect="bigquery")
    for extreme in parsed.find_all(exp.Greatest, exp.Least):
        never_null(extreme)
    for place in [*parsed.find_all(exp.Bracket)]:
        place.set("expressions", [exp.Paren(this=place.expressions[0].copy()) + exp.convert(1)])
    for listed in [*parsed.find_all(exp.Unnest)]:
        counted = listed.find_ancestor(exp.Select)
        counted.set("expressions", [counted.expressions[0].copy() - exp.convert(1)])
    for call in [*parsed.find_all(exp.Collate)]:
        call.replace(call.this)
    return parsed.sql("duckdb")
