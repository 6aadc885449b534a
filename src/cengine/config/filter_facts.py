"""What is certain of a row filter before any row is read: from the kinds, the nulls, the least and the greatest of each column.

SQL has three truths. A filter's outcomes are those of True, False and None (null) that it may have on a row of the table; what
cannot be told may be all of them. Only what is certain is claimed: of doubles, NaN is greater than every number, and a decimal
literal is not exactly the nearest double.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlglot import exp

from cengine.plain import Cell
from cengine.tables import Column, TableSchema

Outcomes = frozenset[bool | None]
ANYTHING: Outcomes = frozenset((True, False, None))
# Beyond it not every whole number is a double; so near to an end it is not said on which side of it a double lies.
EXACT = 2**53
NEARLY = 1e-6
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ, exp.In, exp.Between)
_NUMBERS = (
    exp.Add,
    exp.Sub,
    exp.Mul,
    exp.Div,
    exp.IntDiv,
    exp.Mod,
    exp.Abs,
    exp.Length,
    exp.Year,
    exp.Month,
    exp.Day,
    exp.Hour,
)
_TEXTS = (exp.Lower, exp.Upper, exp.Trim, exp.Substring, exp.Concat, exp.DPipe)


@dataclass(frozen=True)
class Range:
    """Where a number lies, both ends included; `nullable` where it may be missing."""

    low: float
    high: float
    nullable: bool = False


@dataclass(frozen=True)
class Mismatch:
    """A column that is compared with what is of another kind: `other` as the filter writes it."""

    column: str
    kind: str
    other: str
    other_kind: str


def mismatches(filter_: exp.Expr, schema: TableSchema) -> list[Mismatch]:
    """The comparisons of a text with a number in which a column stands."""
    found = []
    for node in filter_.find_all(*_COMPARISONS):
        for one, other in itertools.permutations(_sides(node), 2):
            kinds = _kind(one, schema), _kind(other, schema)
            column = one.unnest()
            if isinstance(column, exp.Column) and set(kinds) == {"text", "number"}:
                found.append(Mismatch(column.name, schema[column.name].kind or "", other.sql("duckdb"), str(kinds[1])))
                break
    return found


def outcomes(filter_: exp.Expr, schema: TableSchema) -> Outcomes:
    """What the filter may be on a row of the table, never fewer than it is."""
    match filter_:
        case exp.Paren():
            return outcomes(filter_.this, schema)
        case exp.Boolean():
            return frozenset((bool(filter_.this),))
        case exp.Null():
            return frozenset((None,))
        case exp.Not():
            return frozenset(None if one is None else not one for one in outcomes(filter_.this, schema))
        case exp.And():
            found = _combined(filter_, schema, _and)
            return found - {True} if conflict([filter_], schema) else found
        case exp.Or():
            return _combined(filter_, schema, _or)
        case exp.Is() if isinstance(filter_.expression, exp.Null):
            return _is_null(filter_.this, schema)
        case exp.Between() if not filter_.args.get("symmetric"):
            ends = (
                _compared("<=", filter_.args["low"], filter_.this, schema),
                _compared("<=", filter_.this, filter_.args["high"], schema),
            )
            return frozenset(_and(*pair) for pair in itertools.product(*ends))
        case exp.In() if filter_.expressions:
            found = frozenset((False,))
            for one in filter_.expressions:
                equal = _compared("=", filter_.this, one, schema)
                found = frozenset(_or(*pair) for pair in itertools.product(found, equal))
            return found
        case exp.Column() if _known(filter_, schema) and schema[filter_.name].kind == "boolean":
            return _compared("=", filter_, exp.Literal.number(1), schema)
    sign = _SIGNS.get(type(filter_))
    return _compared(sign, filter_.this, filter_.expression, schema) if sign else ANYTHING


def conflict(filters: Sequence[exp.Expr], schema: TableSchema) -> str | None:
    """A column that no value lets pass all the filters, such as x in `x > 5 AND x < 3`."""
    for name, found in narrowed(filters, schema).items():
        if found.low > found.high:
            return name
    return None


def narrowed(filters: Sequence[exp.Expr], schema: TableSchema) -> dict[str, Range]:
    """Where the numbers of the rows that pass all filters lie, by column; low above high where no row passes."""
    ranges = {column.name: found for column in schema.columns if (found := _of_column(column)) is not None}
    for filter_ in filters:
        for name, low, high in _bounds(filter_, schema):
            known = ranges.get(name)
            if known is not None:
                ranges[name] = Range(max(known.low, low), min(known.high, high))
    return ranges


def told_ranges(filter_: exp.Expr, schema: TableSchema) -> tuple[str, ...]:
    """A note with the ranges of the columns that a filter reads, none where none is known."""
    names = dict.fromkeys(column.name for column in filter_.find_all(exp.Column, bfs=False) if _known(column, schema))
    told = []
    for column in (schema[name] for name in names):
        nulls = ", never null" if column.num_nulls == 0 else ""
        if column.minimum is not None and column.kind in ("integer", "float"):
            told.append(f"{column.name} lies between {column.minimum} and {column.maximum}{nulls}")
        elif column.num_nulls is not None:
            told.append(f"{column.name} has {column.num_nulls:,} nulls in {schema.num_rows:,} rows")
    return (f"in the table {'; '.join(told)}",) if told else ()


# Comparisons


_SIGNS: dict[type[exp.Expr], str] = {exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=", exp.EQ: "=", exp.NEQ: "<>"}
# Whether the comparison may be true of a value of each range.
_MAY_BE: dict[str, Callable[[Range, Range], bool]] = {
    "<": lambda a, b: a.low < b.high,
    "<=": lambda a, b: a.low <= b.high,
    ">": lambda a, b: a.high > b.low,
    ">=": lambda a, b: a.high >= b.low,
    "=": lambda a, b: a.low <= b.high and b.low <= a.high,
    "<>": lambda a, b: not (a.low == a.high == b.low == b.high),
}
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "=": "<>", "<>": "="}


def _compared(sign: str, one: exp.Expr, other: exp.Expr, schema: TableSchema) -> Outcomes:
    a, b = _range(one, schema), _range(other, schema)
    if a is None or b is None:
        return ANYTHING
    found: set[bool | None] = {None} if a.nullable or b.nullable else set()
    if _MAY_BE[sign](a, b):
        found.add(True)
    if _MAY_BE[_OPPOSITE[sign]](a, b):
        found.add(False)
    return frozenset(found)


def _range(value: exp.Expr, schema: TableSchema) -> Range | None:
    match value:
        case exp.Paren():
            return _range(value.this, schema)
        case exp.Neg():
            inner = _range(value.this, schema)
            return None if inner is None else Range(-inner.high, -inner.low, inner.nullable)
        case exp.Literal() if not value.is_string:
            number = _number(value.name)
            return None if number is None else Range(number, number)
        case exp.Column() if _known(value, schema):
            return _of_column(schema[value.name])
    return None


def _of_column(column: Column) -> Range | None:
    if column.kind not in ("boolean", "integer", "float") or column.minimum is None or column.num_nulls is None:
        return None
    low, high = _reaching(column.minimum, column.kind, down=True), _reaching(column.maximum, column.kind, down=False)
    if column.sql_type in ("DOUBLE", "FLOAT"):
        high = math.inf  # NaN is not among the statistics
    return Range(low, high, column.num_nulls > 0)


def _reaching(end: Cell, kind: str, *, down: bool) -> float:
    """An end of a column's range, a little further out where comparisons are not exact."""
    number: float = int(end) if kind != "float" else float(end)
    if kind != "float" and abs(number) <= EXACT:
        return number
    return float(number) + (-1 if down else 1) * NEARLY * max(1.0, abs(float(number)))


def _number(text: str) -> float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_null(value: exp.Expr, schema: TableSchema) -> Outcomes:
    column = value.unnest()
    if not isinstance(column, exp.Column) or not _known(column, schema) or schema[column.name].num_nulls is None:
        return frozenset((True, False))
    num_nulls = schema[column.name].num_nulls
    found = {True} if num_nulls else set()
    return frozenset(found | ({False} if num_nulls != schema.num_rows else set()))


def _known(column: exp.Column, schema: TableSchema) -> bool:
    return column.name in schema


# Combinations


def _and(one: bool | None, other: bool | None) -> bool | None:
    return False if one is False or other is False else None if one is None or other is None else True


def _or(one: bool | None, other: bool | None) -> bool | None:
    return True if one is True or other is True else None if one is None or other is None else False


def _combined(
    filter_: exp.Expr, schema: TableSchema, how: Callable[[bool | None, bool | None], bool | None]
) -> Outcomes:
    """The outcomes of a chain of AND or of OR, however long."""
    parts = [outcomes(part, schema) for part in filter_.flatten()]
    found = parts[0]
    for part in parts[1:]:
        found = frozenset(how(*pair) for pair in itertools.product(found, part))
    return found


def _bounds(filter_: exp.Expr, schema: TableSchema) -> Iterator[tuple[str, float, float]]:
    """The ends that a filter sets to a column by comparing it with numbers."""
    filter_ = filter_.unnest()
    if isinstance(filter_, exp.And):
        for part in filter_.flatten():
            yield from _bounds(part, schema)
    elif isinstance(filter_, exp.Between) and not filter_.args.get("symmetric"):
        yield from _ends(filter_.this, ">=", filter_.args["low"], schema)
        yield from _ends(filter_.this, "<=", filter_.args["high"], schema)
    elif (sign := _SIGNS.get(type(filter_))) is not None:
        turned = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(sign, sign)
        yield from _ends(filter_.this, sign, filter_.expression, schema)
        yield from _ends(filter_.expression, turned, filter_.this, schema)


def _ends(one: exp.Expr, sign: str, other: exp.Expr, schema: TableSchema) -> Iterator[tuple[str, float, float]]:
    column, number = one.unnest(), _range(other, schema)
    if not isinstance(column, exp.Column) or not _known(column, schema) or number is None or number.low != number.high:
        return
    end = number.low
    whole = schema[column.name].kind == "integer" and isinstance(end, int)
    low, high = (end, end) if whole else (end - NEARLY * max(1.0, abs(end)), end + NEARLY * max(1.0, abs(end)))
    if sign in (">", ">=", "="):
        yield column.name, low + (1 if whole and sign == ">" else 0), math.inf
    if sign in ("<", "<=", "="):
        yield column.name, -math.inf, high - (1 if whole and sign == "<" else 0)


# Kinds


def _sides(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, exp.Between):
        return [node.this, node.args["low"], node.args["high"]]
    return [node.this, *node.expressions] if isinstance(node, exp.In) else [node.this, node.expression]


def _kind(value: exp.Expr, schema: TableSchema) -> str | None:
    value = value.unnest()
    if isinstance(value, exp.Neg):
        return _kind(value.this, schema)
    if isinstance(value, exp.Literal):
        return "text" if value.is_string else "number"
    if isinstance(value, exp.Column) and _known(value, schema):
        if schema[value.name].has_digits:
            return "number"
        return {"string": "text", "integer": "number", "float": "number"}.get(schema[value.name].kind or "")
    return "number" if isinstance(value, _NUMBERS) else "text" if isinstance(value, _TEXTS) else None
