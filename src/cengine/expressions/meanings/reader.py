"""Reads a checked filter node by node. What no engine-neutral piece is known for is refused, so nothing is passed on by chance."""

from __future__ import annotations

from dataclasses import replace

from sqlglot import exp

from cengine.expressions.filters import comparing_digits
from cengine.expressions.meanings import casts, conditions, numbers, texts, times
from cengine.expressions.meanings.meant import (
    BOOLEAN,
    NULL,
    OTHER,
    TEXT,
    Meanings,
    Meant,
    Read,
    column_meant,
    expect_only,
    number_literal,
    refuse,
)
from cengine.tables import TableSchema


def _literal(node: exp.Expr, read: Read) -> Meant:
    return Meant(node.copy(), TEXT, literal=True) if node.is_string else number_literal(node, node.name)


def _paren(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this")
    inner = read(node.this)
    return Meant(
        inner.tree if isinstance(inner.tree, exp.Paren) else exp.Paren(this=inner.tree), inner.kind, inner.literal
    )


def _tuple(node: exp.Expr, read: Read) -> Meant:
    raise refuse(node, "several values are compared at once", "compare them one by one, with `and`")


MEANINGS: Meanings = {
    exp.Literal: _literal,
    exp.Boolean: lambda node, read: Meant(node.copy(), BOOLEAN),
    exp.Null: lambda node, read: Meant(node.copy(), NULL),
    exp.Paren: _paren,
    exp.Tuple: _tuple,
    **conditions.MEANINGS,
    **numbers.MEANINGS,
    **texts.MEANINGS,
    **times.MEANINGS,
    **casts.MEANINGS,
}
# Nodes that are read with the node they belong to.
NO_MEANING_ALONE = (
    exp.Column,
    exp.Identifier,
    exp.Var,
    exp.DataType,
    exp.DataTypeParam,
    exp.Interval,
    exp.IntervalSpan,
)


def meant(expression: exp.Expr, schema: TableSchema) -> exp.Expr:
    """The filter in pieces that mean the same on every engine; its columns are those of the table.

    Raises NotAFilter for what engines do not agree on, with a sentence that says what to write instead.
    """
    # Whole numbers that are kept as texts are numbers to a filter, and every digit counts.
    known = {
        column.name: replace(column, kind="integer", sql_type="BIGINT") if column.has_digits else column
        for column in schema.columns
    }

    def read(node: exp.Expr) -> Meant:
        if isinstance(node, exp.Column):
            column = known.get(node.name)
            return column_meant(node.copy(), column) if column else Meant(node.copy(), OTHER)
        meaning = MEANINGS.get(type(node))
        if meaning is None:
            raise refuse(node, f"{type(node).__name__} does not mean the same on every engine")
        found = meaning(node, read)
        return found if type(found.tree) is type(node) else Meant(_closed(found.tree), found.kind, found.literal)

    return comparing_digits(read(expression).tree, schema)


def _closed(tree: exp.Expr) -> exp.Expr:
    """The tree in brackets where an operator beside it could take it apart."""
    return (
        exp.Paren(this=tree)
        if isinstance(tree, exp.Binary | exp.Unary | exp.Between | exp.In) and not isinstance(tree, exp.Paren)
        else tree
    )


__all__ = ["MEANINGS", "NO_MEANING_ALONE", "meant"]
