"""`content_sums` in other words, which DuckDB alone knows: the same numbers in less time, since every row of a table passes here.

Of a table of few columns the numbers of a cell share one test for null or range, and those of its texts one MD5.
Of a wide one, a term for each cell would make a query whose planning takes far longer than its work: 2,000 columns are
8,000 products. Cells of one kind are put into a list there, and the terms of that kind are said once, for each of its elements.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from sqlglot import exp

from cengine.expressions.build import bigint
from cengine.expressions.build import column as quoted
from cengine.expressions.keys import (
    MASK,
    MAX_ADDED,
    PRIME,
    added,
    cell_numbers,
    coefficient,
    content_sums,
    high_bits,
    is_whole_in_range,
    low_bits,
    mark_of,
    part_label,
    parts_of_double,
    present,
    remainder,
    text_hash,
    text_label,
)
from cengine.tables import Column

# From here on lists take less time than terms.
WIDE = 64
# A cell is at most three of the products of which MAX_ADDED stay below 2**63.
CELLS_ADDED = MAX_ADDED // 3
# Names of a lambda's parameters, which stand before columns of the same name.
CELL, PLACE = "_cell", "_place"


def content_sums_in_duckdb(columns: Sequence[Column]) -> tuple[exp.Expr, exp.Expr]:
    """What `content_sums` gives."""
    if not columns:
        return content_sums(columns)
    sum_of = _sum_of_lists if len(columns) >= WIDE else _sum_of_cells
    first, second = (sum_of(half, columns) for half in ("high", "low"))
    return first, second


# A term for each cell


def _sum_of_cells(half: str, columns: Sequence[Column]) -> exp.Expr:
    texts = [column for column in columns if column.kind == "string"]
    terms = [_term(half, column) for column in columns if column.kind != "string"]
    terms += [_term_of_texts(half, texts)] if texts else []
    return remainder(terms, CELLS_ADDED)


def _term(half: str, column: Column) -> exp.Expr:
    """What a cell adds to the sum."""
    cell = quoted(column.name)
    factors = [coefficient(half, part_label(column.name, part)) for part in range(3)]
    if column.kind != "float":
        return _where_present(cell_numbers(column, cell), factors)
    number = exp.Cast(this=cell, to=exp.DataType(this=exp.DType.DOUBLE))
    whole, fraction = parts_of_double(number)
    products = _products([low_bits(whole), high_bits(whole), fraction], factors)
    return exp.Paren(this=exp.Case().when(is_whole_in_range(number), products).else_(bigint((MASK + 1) * factors[2])))


def _term_of_texts(half: str, columns: Sequence[Column]) -> exp.Expr:
    """What all texts of a row add, as the numbers of `text_hash` at once: 14 digits of the MD5 are one number of 56 bits."""
    digits = exp.Substring(this=exp.MD5(this=_joined(columns)), start=exp.convert(1), length=exp.convert(14))
    number = exp.Cast(
        this=exp.DPipe(this=exp.Literal.string("0x"), expression=digits, safe=False),
        to=exp.DataType(this=exp.DType.BIGINT),
    )
    first = exp.Paren(this=exp.BitwiseRightShift(this=exp.Paren(this=number), expression=bigint(28)))
    second = exp.Paren(this=exp.BitwiseAnd(this=exp.Paren(this=number.copy()), expression=bigint(2**28 - 1)))
    return _where_present([first, second], [coefficient(half, text_label(part)) for part in range(2)])


def _joined(columns: Sequence[Column]) -> exp.Expr:
    """All texts of a row, each behind its mark: DuckDB's CONCAT passes nulls over."""
    parts: list[exp.Expr] = []
    for column in sorted(columns, key=lambda c: c.name):
        cell = quoted(column.name)
        is_there = exp.Not(this=exp.Is(this=cell, expression=exp.null()))
        parts += [exp.Case().when(is_there, exp.Literal.string(mark_of(column.name))), cell.copy()]
    return exp.Nullif(this=exp.Anonymous(this="CONCAT", expressions=parts), expression=exp.Literal.string(""))


def _where_present(numbers: Sequence[exp.Expr], factors: Sequence[int]) -> exp.Expr:
    """The products of numbers, each plus one, that are null together; 0 where they are."""
    return exp.Coalesce(this=_products(numbers, factors), expressions=[bigint(0)])


def _products(numbers: Sequence[exp.Expr], factors: Sequence[int]) -> exp.Expr:
    terms: list[exp.Expr] = [
        exp.Mul(this=n.copy(), expression=bigint(f)) for n, f in zip(numbers, factors, strict=False)
    ]
    return added([*terms, bigint(sum(factors[: len(terms)]))])


# Lists of cells


def _sum_of_lists(half: str, columns: Sequence[Column]) -> exp.Expr:
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
        expression=exp.Mul(
            this=present(text_hash(exp.column(CELL), first_digit=8)),
            expression=bigint(coefficient(half, text_label(1))),
        ),
    )
    return _list_sum([hashed], terms)


def _list_sum(cells: Sequence[exp.Expr], term: exp.Expr) -> exp.Expr:
    """The sum of a term over cells; DuckDB adds up in 128 bits."""
    return exp.Anonymous(this="list_sum", expressions=[_transformed(cells, term)])


def _transformed(cells: Sequence[exp.Expr], result: exp.Expr) -> exp.Expr:
    parameters = [exp.to_identifier(CELL), exp.to_identifier(PLACE)]
    return exp.Transform(
        this=exp.Array(expressions=[*cells]), expression=exp.Lambda(this=result, expressions=parameters)
    )


def _at_place(numbers: list[int]) -> exp.Expr:
    """The number that stands at the place of the cell."""
    listed = exp.Array(expressions=[exp.Literal.number(number) for number in numbers])
    of_bigints = exp.Cast(this=listed, to=exp.DataType.build("BIGINT[]", dialect="duckdb"))
    return exp.Anonymous(this="list_extract", expressions=[of_bigints, exp.column(PLACE)])


def _as_bigint(value: exp.Expr) -> exp.Expr:
    return exp.Cast(this=exp.Paren(this=value), to=exp.DataType(this=exp.DType.BIGINT))
