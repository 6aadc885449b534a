"""`where:`, the user's boolean expressions: parsed, checked node by node, never pasted."""

from __future__ import annotations

from collections.abc import Iterable

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from cengine.names import Names
from cengine.tables import TableSchema

# What a row filter may be made of. Anything else (a sub-query, a statement, a function that reads a file, an
# aggregate, a random number) is refused by name.
_ALLOWED = (
    exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Tuple,
    exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ,
    exp.In, exp.Between, exp.Is, exp.Like, exp.ILike, exp.RegexpLike, exp.Escape,
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg, exp.DPipe,
    exp.Case, exp.If, exp.Coalesce, exp.Nullif, exp.Cast, exp.TryCast, exp.DataType, exp.DataTypeParam,
    exp.Abs, exp.Round, exp.Floor, exp.Ceil, exp.Sqrt, exp.Ln, exp.Exp, exp.Pow, exp.Greatest, exp.Least,
    exp.Lower, exp.Upper, exp.Length, exp.Trim, exp.Substring, exp.StartsWith, exp.EndsWith, exp.Contains, exp.Concat,
    exp.Extract, exp.Year, exp.Month, exp.Day, exp.Hour, exp.Minute, exp.DayOfWeek, exp.DayOfYear, exp.Quarter, exp.Week,
    exp.TimestampTrunc, exp.DateTrunc, exp.DateDiff, exp.Interval, exp.IntervalSpan, exp.Var, exp.Date,
    exp.Timestamp, exp.TsOrDsToDate, exp.TimeStrToTime, exp.DateStrToDate, exp.Hour,
)  # fmt: skip


class NotAFilter(ValueError):
    """Why a text is not a row filter, in a sentence."""


def parse_filter(text: str) -> exp.Expr:
    """The expression of a row filter, its columns quoted. Raises NotAFilter."""
    if not text.strip():
        raise NotAFilter("it is empty")
    try:
        parsed = sqlglot.parse(text, dialect="duckdb")
    except SqlglotError as error:
        details = getattr(error, "errors", None) or [{}]
        reason = details[0].get("description") or str(error).splitlines()[0]
        if reason.startswith("Required keyword"):  # told in terms of the parser's classes
            reason = "something is missing in it"
        raise NotAFilter(f"it is not an SQL expression: {reason.rstrip('.')}") from None
    if len(parsed) != 1 or parsed[0] is None:
        raise NotAFilter("it holds more than one statement")
    expression = parsed[0]
    for node in expression.walk():
        if not isinstance(node, _ALLOWED):
            raise NotAFilter(_refusal(node))
        node.comments = None
    return expression.transform(_quote)


def columns_of(expression: exp.Expr) -> list[str]:
    """The names of the columns it reads, in order, each once."""
    return list(dict.fromkeys(column.name for column in expression.find_all(exp.Column, bfs=False)))


def with_columns(expression: exp.Expr, names: Iterable[str]) -> exp.Expr:
    """The expression with its columns spelled as the table spells them (see `Names`); what cannot be told stays as it is."""
    known = Names(names)
    return expression.transform(
        lambda node: (
            exp.to_identifier(known.find(node.name) or node.name, quoted=True)
            if isinstance(node, exp.Identifier) and isinstance(node.parent, exp.Column)
            else node
        )
    )


def comparing_digits(expression: exp.Expr, schema: TableSchema) -> exp.Expr:
    """The expression with columns of whole numbers beyond 64 bits read as numbers of all their digits; `schema` spells them."""
    digits = {known.name: known for known in schema.columns if known.has_digits}
    return expression.transform(
        lambda node: (
            exp.cast(exp.column(node.name, quoted=True), digits[node.name].sql_type, dialect="duckdb")
            if isinstance(node, exp.Column) and node.name in digits and not isinstance(node.parent, exp.Cast)
            else node
        )
    )


def _quote(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Column):
        # A text in double quotes is a column in SQL; `table.column` has no meaning, there is one table.
        return exp.column(node.name, quoted=True)
    return node


def _refusal(node: exp.Expr) -> str:
    if isinstance(node, exp.Query | exp.Subquery):
        return "a query is not allowed, only an expression over the columns of a row"
    if isinstance(node, exp.AggFunc | exp.Window):
        return f"'{node.sql()}' looks at more than one row; only an expression over the columns of a row is allowed"
    statement = exp.Command | exp.DDL | exp.DML | exp.Drop | exp.Create | exp.Set | exp.Alter | exp.Copy
    if isinstance(node, statement) or (node.parent is None and not isinstance(node, exp.Condition)):
        return "a statement is not allowed, only an expression such as `birth_year > 1900`"
    if isinstance(node, exp.Func):
        name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
        return f"the function {name.upper()} is not allowed here"
    return f"'{node.sql()}' ({type(node).__name__}) is not allowed here"
