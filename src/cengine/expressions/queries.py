"""Queries written as text, in DuckDB's SQL, with expressions put in as trees: no text is pasted, and every engine can be told them."""

from __future__ import annotations

import functools

import sqlglot
from sqlglot import exp


def query(text: str, **parts: exp.Expr) -> exp.Select:
    """The query of a text; a table or column of a part's name stands for that part, which is handed on and not copied.

    A query as a table gets the name as its alias, unless the text gives another one.
    """
    parsed = _parsed(text).copy()
    assert isinstance(parsed, exp.Select)
    for node in [*parsed.find_all(exp.Table, exp.Column)]:
        part = parts.get(node.name)
        if part is None or (isinstance(node, exp.Column) and node.args.get("table")):
            continue
        node.replace(_as_item(part, node) if isinstance(node, exp.Table) else part)
    return parsed


@functools.lru_cache(maxsize=512)
def _parsed(text: str) -> exp.Expr:
    return sqlglot.parse_one(text, dialect="duckdb")


def _as_item(part: exp.Expr, table: exp.Table) -> exp.Expr:
    alias = table.alias or table.name
    if isinstance(part, exp.Query) and not isinstance(part, exp.Subquery):
        return part.subquery(alias, copy=False)
    return exp.alias_(part.this if isinstance(part, exp.Subquery) else part, alias, table=True)
