"""What expressions are called where SQL differs. They are written as DuckDB understands them; `render` says them to others.

sqlglot translates what has a name of its own everywhere. Here is what it does not: how exact sums, times as microseconds,
hexadecimal digits and grouping sets are told. `docs/engines.md` lists the differences.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlglot import ErrorLevel, exp
from sqlglot.errors import UnsupportedError

from cengine.errors import PreprocessError
from cengine.expressions.build import bigint, double
from cengine.expressions.filter_rules import FILTER_RULES

if TYPE_CHECKING:
    from sqlglot.generator import Generator

DUCKDB = "duckdb"
CALLED = {DUCKDB: "DuckDB", "spark": "Spark", "postgres": "PostgreSQL", "bigquery": "BigQuery"}
# What sqlglot says of a dialect that changes nothing: windows, which no filter has, are ordered by keys that are never null.
HARMLESS = {"bigquery": ("NULLS LAST' translation not supported in window",)}
# PostgreSQL's functions have at most 100 arguments.
MAX_ARGUMENTS = 90
# Products of numbers above LEAST by constants above NO_UNDERFLOW, and squares of those above SMALLEST_SQUARED, are not 0.
LEAST, NO_UNDERFLOW, SMALLEST_SQUARED = 1e-300, 1e-20, 1e-150
# Types that DuckDB calls as sqlglot does.
PLAIN_TYPES = (exp.DType.DOUBLE, exp.DType.BIGINT, exp.DType.TEXT)
Rule = Callable[[exp.Expr], exp.Expr | None]


def render(query: exp.Expr, dialect: str) -> str:
    """The text of a query in a dialect; every name in it is quoted.

    Raises PreprocessError where the dialect has no words for a part: sqlglot would leave it out, or put something like it there.
    """
    # A query is asked once, and trees of wide tables are large: DuckDB's is not copied, others are copied when they are rewritten.
    return said(told_to(query, dialect), dialect, copy=dialect != DUCKDB)


def told_to(query: exp.Expr, dialect: str) -> exp.Expr:
    """The query in the words of a dialect, as a tree."""
    return query if dialect == DUCKDB else rewritten(query, RULES[dialect])


def said(query: exp.Expr, dialect: str, *, copy: bool = True) -> str:
    """The text of a tree that is in the words of a dialect. Raises PreprocessError as `render` does.

    sqlglot may change a tree that it does not copy.
    """
    try:
        if dialect == DUCKDB:
            return _duckdb_text()(dialect=DUCKDB, unsupported_level=ErrorLevel.RAISE).generate(query, copy=copy)
        return query.sql(dialect, identify=True, unsupported_level=ErrorLevel.RAISE)
    except UnsupportedError as error:
        if all(any(known in line for known in HARMLESS.get(dialect, ())) for line in str(error).splitlines()):
            return query.sql(dialect, identify=True, unsupported_level=ErrorLevel.IGNORE)
        reason = str(error).splitlines()[0].rstrip(".")
        raise PreprocessError(
            f"{CALLED.get(dialect, dialect)} cannot be asked this: {reason}",
            "say it in another way, or run on the engine duckdb",
        ) from None


@functools.cache
def _duckdb_text() -> type[Generator]:
    """sqlglot's DuckDB; to write a type's name, that builds five other types to compare it with. Here most types are one word."""
    from sqlglot.generators.duckdb import DuckDBGenerator  # 20 ms that a plan does not need

    class DuckDBText(DuckDBGenerator):
        def datatype_sql(self, expression: exp.DataType) -> str:
            if expression.this in PLAIN_TYPES and not any(
                value for key, value in expression.args.items() if key != "this"
            ):
                return str(expression.this.value)
            return super().datatype_sql(expression)

    return DuckDBText


def rewritten(query: exp.Expr, rules: tuple[Rule, ...]) -> exp.Expr:
    """A copy in which each node is what the first rule that speaks of it makes of it, from the leaves upwards."""
    root = query.copy()
    for node in reversed([*root.walk()]):
        for rule in rules:
            other = rule(node)
            if other is not None:
                root = other if node is root else root
                node.replace(other)
                break
    return root


def collated(text: exp.Expr, dialect: str) -> exp.Expr:
    """A text that is ordered by its bytes, whatever the database's own order is."""
    return exp.Collate(this=text, expression=exp.to_identifier("C", quoted=True)) if dialect == "postgres" else text


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _is_call(node: exp.Expr, name: str) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.lower() == name


# Microseconds since 1970: `epoch_us(time)`


def _micros_of_spark(node: exp.Expr) -> exp.Expr | None:
    if not _is_call(node, "epoch_us"):
        return None
    # Of a time without a zone; the session's is UTC.
    return _call("unix_micros", exp.cast(node.expressions[0], "timestamptz"))


def _micros_of_postgres(node: exp.Expr) -> exp.Expr | None:
    if not _is_call(node, "epoch_us"):
        return None
    seconds = exp.Extract(this=exp.var("epoch"), expression=node.expressions[0])  # a NUMERIC, exact
    return exp.cast(exp.Floor(this=seconds * exp.Literal.number(1_000_000)), "bigint")


def _micros_of_bigquery(node: exp.Expr) -> exp.Expr | None:
    return _call("UNIX_MICROS", _call("TIMESTAMP", node.expressions[0])) if _is_call(node, "epoch_us") else None


# What a clock in a zone shows: `timezone(zone, timezone('UTC', time))`


def _clock(node: exp.Expr) -> tuple[exp.Expr, exp.Expr] | None:
    """The zone and the time, which is UTC without a zone."""
    if not _is_call(node, "timezone") or not _is_call(node.expressions[1], "timezone"):
        return None
    return node.expressions[0], node.expressions[1].expressions[1]


def _clock_of_spark(node: exp.Expr) -> exp.Expr | None:
    found = _clock(node)
    return None if found is None else _call("convert_timezone", exp.Literal.string("UTC"), *found)


def _clock_of_bigquery(node: exp.Expr) -> exp.Expr | None:
    found = _clock(node)
    return None if found is None else _call("DATETIME", _call("TIMESTAMP", found[1]), found[0])


# Hexadecimal digits: `CAST('0x' || digits AS BIGINT)`


def _hexadecimal(node: exp.Expr) -> exp.Expr | None:
    """The digits of a number that is written in hexadecimal digits."""
    if (
        isinstance(node, exp.Cast)
        and isinstance(node.this, exp.DPipe)
        and node.this.this.name == "0x"
        and node.this.this.is_string
    ):
        digits: exp.Expr = node.this.expression
        return digits
    return None


def _hexadecimal_of_spark(node: exp.Expr) -> exp.Expr | None:
    digits = _hexadecimal(node)
    return None if digits is None else exp.cast(_call("conv", digits, exp.convert(16), exp.convert(10)), "bigint")


def _hexadecimal_of_postgres(node: exp.Expr) -> exp.Expr | None:
    digits = _hexadecimal(node)
    if digits is None:
        return None
    padded = exp.DPipe(
        this=exp.Literal.string("x"),
        expression=_call("lpad", digits, exp.convert(16), exp.Literal.string("0")),
        safe=False,
    )
    bits = exp.Cast(this=exp.Paren(this=padded), to=exp.DataType.build("bit(64)", dialect="postgres"))
    return exp.cast(bits, "bigint")


# Sums of whole numbers that neither overflow nor round: `CAST(SUM(whole) AS TEXT)`


def _exact_sum(sql_type: str) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr | None:
        if not (isinstance(node, exp.Cast) and isinstance(node.this, exp.Sum) and node.to.is_type("text")):
            return None
        node.this.set("this", exp.cast(node.this.this, sql_type))
        return node

    return rule


# `GROUPING(a, b)`, a bit for each column


def _grouping_bits(node: exp.Expr) -> exp.Expr | None:
    if not isinstance(node, exp.Grouping):
        return None
    total: exp.Expr | None = None
    for place, cell in enumerate(reversed(node.expressions)):
        bit = exp.cast(exp.Grouping(expressions=[cell]), "bigint") * bigint(2**place)
        total = bit if total is None else total + bit
    return exp.Paren(this=total)


# What is below the least number: PostgreSQL refuses it, elsewhere it is 0


def _real_as_double(node: exp.Expr) -> exp.Expr | None:
    """The file that such numbers are written to makes them numbers of 32 bits."""
    if isinstance(node, exp.Cast) and node.to.is_type("real"):
        return exp.cast(node.this, "double")
    return None


def _underflow(node: exp.Expr) -> exp.Expr | None:
    """0 for the square of a tiny number, and where one is divided by a large constant."""
    if isinstance(node, exp.Mul) and node.this == node.expression:
        least: float = SMALLEST_SQUARED
    elif isinstance(node, exp.Mul | exp.Div) and (constant := abs(_double_of(node.expression))):
        factor = constant if isinstance(node, exp.Mul) else 1 / constant
        if factor > NO_UNDERFLOW:
            return None
        least = LEAST / factor
    else:
        return None
    tiny = exp.LT(this=exp.Abs(this=node.this.copy()), expression=double(least))
    # A zero of no type of its own: whole numbers stay whole ones.
    return exp.Case().when(tiny, exp.convert(0), copy=False).else_(node.copy(), copy=False)


def _double_of(node: exp.Expr) -> float:
    """The value of a literal that `double` has made, 0 for anything else."""
    if not isinstance(node, exp.Cast) or not node.to.is_type("double"):
        return 0.0
    sign, number = (-1.0, node.this.this) if isinstance(node.this, exp.Neg) else (1.0, node.this)
    return sign * float(number.name) if isinstance(number, exp.Literal) and not number.is_string else 0.0


# Shifts by a BIGINT


def _shift_by_int(node: exp.Expr) -> exp.Expr | None:
    if isinstance(node, exp.BitwiseRightShift):
        node.set("expression", exp.cast(node.expression, "int"))
    return None


# Division by zero, which is infinite, or no number where zero is divided


def _may_be_zero(divisor: exp.Expr) -> bool:
    while isinstance(divisor, exp.Paren | exp.Cast | exp.Neg):
        divisor = divisor.this
    return not (
        isinstance(divisor, exp.Nullif)
        or (isinstance(divisor, exp.Literal) and not divisor.is_string and float(divisor.name) != 0)
    )


def _division(node: exp.Expr) -> exp.Expr | None:
    if not isinstance(node, exp.Div) or not _may_be_zero(node.expression):
        return None
    number, zero = exp.Paren(this=node.this.copy()), exp.convert(0)
    infinite, less, none = (exp.cast(exp.Literal.string(text), "double") for text in ("Infinity", "-Infinity", "NaN"))
    # What is above the infinite is no number, and stays none.
    cases = ((exp.GT, infinite, none), (exp.GT, zero, infinite), (exp.LT, zero, less), (exp.EQ, zero, none))
    by_zero = exp.Case()
    for sign, limit, result in cases:
        by_zero = by_zero.when(sign(this=number.copy(), expression=limit.copy()), result.copy(), copy=False)
    divided = exp.Div(this=exp.Paren(this=node.this.copy()), expression=exp.Paren(this=node.expression.copy()))
    is_zero = exp.EQ(this=exp.Paren(this=node.expression.copy()), expression=zero)
    return exp.Case().when(is_zero, by_zero, copy=False).else_(divided, copy=False)


def _division_of_bigquery(node: exp.Expr) -> exp.Expr | None:
    return (
        _call("IEEE_DIVIDE", node.this, node.expression)
        if isinstance(node, exp.Div) and _may_be_zero(node.expression)
        else None
    )


# CONCAT of many


def _concat_in_parts(node: exp.Expr) -> exp.Expr | None:
    if not _is_call(node, "concat") or len(node.expressions) <= MAX_ARGUMENTS:
        return None
    parts = [
        node.expressions[start : start + MAX_ARGUMENTS] for start in range(0, len(node.expressions), MAX_ARGUMENTS)
    ]
    return functools.reduce(
        lambda one, other: exp.DPipe(this=one, expression=other, safe=False), [_call("CONCAT", *part) for part in parts]
    )


RULES: dict[str, tuple[Rule, ...]] = {
    "spark": (
        *FILTER_RULES["spark"],
        _micros_of_spark,
        _clock_of_spark,
        _hexadecimal_of_spark,
        _exact_sum("decimal(20, 0)"),
        _grouping_bits,
        _shift_by_int,
        _division,
    ),
    "postgres": (
        *FILTER_RULES["postgres"],
        _micros_of_postgres,
        _real_as_double,
        _underflow,
        _hexadecimal_of_postgres,
        _grouping_bits,
        _shift_by_int,
        _concat_in_parts,
        _division,
    ),
    "bigquery": (
        *FILTER_RULES["bigquery"],
        _micros_of_bigquery,
        _clock_of_bigquery,
        _exact_sum("bigdecimal"),
        _grouping_bits,
        _division_of_bigquery,
    ),
}
