"""`content_sums` of wide tables: the same numbers from lists of cells, as DuckDB alone says it.

A term for each cell makes a query whose planning takes far longer than its work: 2,000 columns are 8,000 products. Cells of
one kind are put into a list, and the terms of that kind are said once, for each of its elements.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from sqlglot import exp

from cengine.expressions.build import bigint
from cengine.expressions.build import column as quoted
from cengine.expressions.keys import (
    PRIME,
    cell_numbers,
    coefficient,
    content_sums,
    mark_of,
    part_label,
    present,
    text_hash,
    text_label,
)
from cengine.tables import Column

# From here on lists take less time than terms.
WIDE = 64
# Names of a lambda's parameters, which stand before columns of the same name.
CELL, PLACE = "_cell", "_place"


def content_sums_in_duckdb(columns: Sequence[Column]) -> tuple[exp.Expr, exp.Expr]:
    """What `content_sums` gives, as an expression that DuckDB plans in time however many columns there are."""
    if len(columns) < WIDE:
        return content_sums(columns)
    first, second = (_sum(half, columns) for half in ("high", "low"))
    return first, second


def _sum(half: str, columns: Sequence[Column]) -> exp.Expr:
    """The sum of all terms of one half."""
    texts = sorted((column for column in columns if column.kind == "string"), key=lambda column: column.name)
    others = sorted((column for column in columns if column.kind != "string"), key=_shape)
    totals = [_sum_of_shape(half, [*group]) for _, group in itertools.groupby(others, key=_shape)]
    if texts:
        totals.append(_sum_of_texts(half, texts))
    total = totals[0]
    for other in totals[1:]:
        total = exp.Add(this=total, expression=other)
    return _as_bigint(exp.Mod(this=exp.Paren(this=total), expression=exp.convert(PRIME)))


def _shape(column: Column) -> tuple[str, str]:
    """Columns of one shape have the same terms but for their coefficients."""
    return str(column.kind), column.sql_type


def _sum_of_shape(half: str, columns: list[Column]) -> exp.Expr:
    """The sum of the terms of columns of one kind and type: of every cell at its place among them."""
    numbers = cell_numbers(columns[0], exp.column(CELL))
    terms: list[exp.Expr] = []
    for part, number in enumerate(numbers):
        factors = [coefficient(half, part_label(column.name, part)) for column in columns]
        terms.append(exp.Mul(this=present(number), expression=_at_place(factors)))
    total = terms[0]
    for term in terms[1:]:
        total = exp.Add(this=total, expression=term)
    return _list_sum([quoted(column.name) for column in columns], total)


def _sum_of_texts(half: str, columns: list[Column]) -> exp.Expr:
    """The terms of the one MD5 of all texts."""
    marks = exp.Array(expressions=[exp.Literal.string(mark_of(column.name)) for column in columns])
    mark = exp.Anonymous(this="list_extract", expressions=[marks, exp.column(PLACE)])
    marked = exp.DPipe(this=mark, expression=exp.column(CELL), safe=False)
    cells = [exp.Cast(this=quoted(column.name), to=exp.DataType(this=exp.DType.TEXT)) for column in columns]
    joined = exp.Anonymous(this="array_to_string", expressions=[_transformed(cells, marked), exp.Literal.string("")])
    hashed = exp.Nullif(this=joined, expression=exp.Literal.string(""))
    terms = exp.Add(
        this=exp.Mul(this=present(text_hash(exp.column(CELL))), expression=bigint(coefficient(half, text_label(0)))),
        expression=exp.Mul(this=present(text_hash(exp.column(CELL), first_digit=8)), expression=bigint(coefficient(half, text_label(1)))),
    )
    return _list_sum([hashed], terms)


def _list_sum(cells: Sequence[exp.Expr], term: exp.Expr) -> exp.Expr:
    """The sum of a term over cells; DuckDB adds up in 128 bits."""
    return exp.Anonymous(this="list_sum", expressions=[_transformed(cells, term)])


def _transformed(cells: Sequence[exp.Expr], result: exp.Expr) -> exp.Expr:
    parameters = [exp.to_identifier(CELL), exp.to_identifier(PLACE)]
    return exp.Transform(this=exp.Array(expressions=[*cells]), expression=exp.Lambda(this=result, expressions=parameters))


def _at_place(numbers: list[int]) -> exp.Expr:
    """The number that stands at the place of the cell."""
    listed = exp.Array(expressions=[exp.Literal.number(number) for number in numbers])
    of_bigints = exp.Cast(this=listed, to=exp.DataType.build("BIGINT[]", dialect="duckdb"))
    return exp.Anonymous(this="list_extract", expressions=[of_bigints, exp.column(PLACE)])


def _as_bigint(value: exp.Expr) -> exp.Expr:
    return exp.Cast(this=exp.Paren(this=value), to=exp.DataType(this=exp.DType.BIGINT))
