"""Small pieces of SQL: typed literals, columns, balanced CASE trees."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from typing import Any

from sqlglot import exp

# The mark of a CASE that `step_function` made; a copy has it too, and no dialect writes it.
_STEPS = "steps"


def column(name: str, table: str | None = None) -> exp.Column:
    """A quoted column, whatever its name holds."""
    return exp.column(name, table=table, quoted=True)


def identifier(name: str) -> str:
    """The quoted name of a column as text, for DuckDB, PostgreSQL and SQLite; much faster than rendering a tree."""
    return '"' + name.replace('"', '""') + '"'


def double(value: float) -> exp.Expr:
    """A DOUBLE literal. A bare `0.1` is a DECIMAL on some engines and would change the arithmetic."""
    return exp.Cast(this=_number(repr(float(value))), to=exp.DataType(this=exp.DType.DOUBLE))


def bigint(value: int) -> exp.Expr:
    """A BIGINT literal."""
    return exp.Cast(this=_number(str(int(value))), to=exp.DataType(this=exp.DType.BIGINT))


def literal(value: Any, kind: str) -> exp.Expr:
    """A literal of the kind of column it is compared with or filled into; timestamps come as ISO text."""
    if value is None:
        return exp.null()
    if kind == "boolean":
        return exp.true() if value else exp.false()
    if kind == "integer" and float(value).is_integer():
        return bigint(int(value))
    if kind in ("integer", "float"):
        return double(value)
    if kind == "timestamp":
        text = value.isoformat(sep=" ") if isinstance(value, datetime.datetime) else str(value)
        return exp.cast(exp.Literal.string(text), "timestamp")
    return exp.Literal.string(str(value))


def as_double(expression: exp.Expr) -> exp.Expr:
    """The expression as DOUBLE."""
    # Not by sqlglot's own `cast`, which parses the name of the type each time.
    if isinstance(expression, exp.Cast) and expression.to.this == exp.DType.DOUBLE:
        return expression.copy()
    return exp.Cast(this=expression.copy(), to=exp.DataType(this=exp.DType.DOUBLE))


def as_number(expression: exp.Expr, kind: str) -> exp.Expr:
    """A boolean as 0 or 1 (casts of booleans differ between engines), a number as it is."""
    if kind != "boolean":
        return expression
    return exp.Case().when(expression.copy(), bigint(1)).when(exp.Not(this=expression.copy()), bigint(0))


def finite(expression: exp.Expr) -> exp.Expr:
    """The number, or null where it is NaN or infinite: NaN is above all numbers, or no comparison with it is true."""
    between = exp.Between(this=expression, low=double(-sys.float_info.max), high=double(sys.float_info.max))
    return exp.Case(ifs=[exp.If(this=between, true=expression.copy())])


def bounded(expression: exp.Expr, low: float, high: float) -> exp.Expr:
    """The DOUBLE, or the nearer one of two bounds where it lies beyond."""
    above = exp.Greatest(this=expression, expressions=[double(low)], ignore_nulls=True)
    return exp.Least(this=above, expressions=[double(high)], ignore_nulls=True)


def step_function(value: exp.Expr, edges: Sequence[exp.Expr], results: Sequence[exp.Expr]) -> exp.Expr:
    """`results[number of edges <= value]` as a balanced tree of CASEs, so that n edges cost log2(n) comparisons.

    `results` has one entry more than `edges`, which ascend. `steps_of` finds all three again.
    """
    if not edges:
        return results[0].copy()
    middle = len(edges) // 2
    below = step_function(value, edges[:middle], results[: middle + 1])
    above = step_function(value, edges[middle + 1 :], results[middle + 1 :])
    is_below = exp.If(this=exp.LT(this=value.copy(), expression=edges[middle].copy()), true=below)
    return exp.Case(ifs=[is_below], default=above, **{_STEPS: True})


def steps_of(expression: exp.Expr) -> tuple[exp.Expr, list[exp.Expr], list[exp.Expr]] | None:
    """Value, edges and results of a tree that `step_function` made, None for any other expression."""
    if not expression.args.get(_STEPS):
        return None
    found: tuple[list[exp.Expr], list[exp.Expr]] = ([], [])
    value = expression.args["ifs"][0].this.this
    _walk_steps(expression, value, *found)
    return value, *found


def _walk_steps(node: exp.Expr, value: exp.Expr, edges: list[exp.Expr], results: list[exp.Expr]) -> None:
    # A result may be a step function of something else.
    if not node.args.get(_STEPS) or node.args["ifs"][0].this.this != value:
        results.append(node)
        return
    (branch,) = node.args["ifs"]
    _walk_steps(branch.args["true"], value, edges, results)
    edges.append(branch.this.expression)
    _walk_steps(node.args["default"], value, edges, results)


def _number(text: str) -> exp.Expr:
    # Not by sqlglot's own `number`, which reads the text to find its sign.
    number = exp.Literal(this=text.removeprefix("-"), is_string=False)
    return exp.Neg(this=number) if text.startswith("-") else number
