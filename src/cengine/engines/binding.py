"""Whether an engine understands a condition, for engines that can be asked without a table."""

from __future__ import annotations

from sqlglot import exp

from cengine.engines.engine import Engine
from cengine.errors import CengineError
from cengine.tables import TableSchema


def bind_error_of(engine: Engine, expression: exp.Expr, schema: TableSchema) -> str | None:
    """What `Engine.bind_error` promises, found by asking for the condition of a row of nulls."""
    import pyarrow as pa

    usable = [column for column in schema.columns if column.kind is not None]
    cells = [
        exp.cast(exp.null(), exp.DataType.build(c.sql_type, dialect="duckdb")).as_(c.name, quoted=True) for c in usable
    ]
    query = exp.select(expression.copy().as_("bound", quoted=True)).from_(exp.select(*cells).subquery("bind_check"))
    try:
        kind = engine.fetch(query).schema.field("bound").type
    except CengineError as error:
        return error.problems[0].message
    return None if pa.types.is_boolean(kind) else f"it gives a {kind}, not true or false"
