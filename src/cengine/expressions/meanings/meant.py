"""A part of a filter that has been read: its tree, in pieces that mean the same everywhere, and the kind of its value."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from sqlglot import exp

from cengine.expressions.build import as_number, bigint, double
from cengine.expressions.filters import NotAFilter
from cengine.tables import Column

# `single` is a float of four bytes, `exact` a number that DuckDB keeps in decimal digits or in more than eight bytes,
# `fraction` a number with a fraction that the user wrote.
WHOLE, DOUBLE, SINGLE, EXACT, FRACTION = "integer", "double", "single", "exact", "fraction"
TEXT, BOOLEAN, DATE, TIME, DURATION, NULL, OTHER = "text", "boolean", "date", "time", "duration", "null", "other"
NUMBERS = (WHOLE, DOUBLE, SINGLE, EXACT, FRACTION)
_CALLED = {WHOLE: "a whole number", TEXT: "a text", BOOLEAN: "true or false", DATE: "a date", TIME: "a time",
           DURATION: "a length of time", NULL: "null", OTHER: "a value of another type"}  # fmt: skip
_WHOLE_TYPES = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
MAX_SINGLE = 3.4028234663852886e38
MAX_DECIMAL_DIGITS = 38
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TIME = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})"
    r"(?:[ T](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,6})0*)?)?\s*(Z|[+-]\d{2}(?::?\d{2})?)?)?",
    re.ASCII,
)
_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")


@dataclass(frozen=True)
class Meant:
    """A tree and the kind of its value. `literal` says that it is a number or a text as the user wrote it."""

    tree: exp.Expr
    kind: str
    literal: bool = False

    @property
    def is_number(self) -> bool:
        return self.kind in NUMBERS

    @property
    def is_time(self) -> bool:
        return self.kind in (DATE, TIME)

    @property
    def called(self) -> str:
        """What it is, for a message."""
        return _CALLED.get(self.kind, "a number")


Read = Callable[[exp.Expr], Meant]
Meaning = Callable[[exp.Expr, Read], Meant]
Meanings = dict[type[exp.Expr], Meaning]


def said(node: exp.Expr) -> str:
    """A part of a filter as the user wrote it."""
    return node.sql("duckdb")


def refuse(node: exp.Expr, why: str, instead: str = "") -> NotAFilter:
    """The exception for a part that cannot mean the same everywhere."""
    return NotAFilter(f"in `{said(node)}`, {why}" + (f": {instead}" if instead else ""))


def expect_only(node: exp.Expr, *names: str) -> None:
    """Raises NotAFilter where a node carries more than these arguments: what is not read must not be dropped."""
    for name, value in node.args.items():
        if name not in names and value not in (None, False, []):
            raise refuse(node, f"'{name}' is not taken here")


def column_meant(node: exp.Expr, known: Column) -> Meant:
    """A column, times as TIMESTAMP or DATE and texts as text whatever the type they are stored as."""
    sql_type = known.sql_type.upper()
    match known.kind:
        case "boolean":
            return Meant(node, BOOLEAN)
        case "integer":
            return Meant(node, WHOLE if sql_type in _WHOLE_TYPES else EXACT)
        case "float":
            return Meant(node, {"DOUBLE": DOUBLE, "FLOAT": SINGLE}.get(sql_type, EXACT))
        case "string":
            return Meant(node if sql_type == "VARCHAR" else exp.cast(node, "text"), TEXT)
        case "timestamp" if sql_type == "DATE":
            return Meant(node, DATE)
        case "timestamp":
            return Meant(node if sql_type == "TIMESTAMP" else exp.cast(node, "timestamp"), TIME)
    return Meant(node, OTHER)


# Numbers


def number_of(literal: exp.Expr) -> float:
    """The value of a number that the user wrote, with or without a sign."""
    if isinstance(literal, exp.Neg):
        return -number_of(literal.this)
    return number_of(literal.this) if isinstance(literal, exp.Paren) else float(literal.name)


def whole_of(meant: Meant) -> int | None:
    """The whole number that the user wrote, None where it is not one."""
    if not (meant.literal and meant.kind == WHOLE):
        return None
    tree, sign = meant.tree, 1
    while isinstance(tree, exp.Neg | exp.Paren):
        sign = -sign if isinstance(tree, exp.Neg) else sign
        tree = tree.this
    return sign * int(tree.name)


def number_literal(node: exp.Expr, text: str) -> Meant:
    """A number that the user wrote. Raises NotAFilter for one beyond all doubles."""
    if math.isinf(float(text)):
        raise refuse(node, f"{text} is beyond the greatest number, 1.8e308")
    if re.fullmatch(r"\d+", text):
        return Meant(exp.Literal.number(text), WHOLE if int(text) < 2**63 else EXACT, literal=True)
    digits = text.replace(".", "").lower()
    if (
        "e" in digits or len(digits) > MAX_DECIMAL_DIGITS
    ):  # a decimal on some engines, a double on others, an error on the rest
        return Meant(double(float(text)), DOUBLE)
    return Meant(exp.Literal.number(text), FRACTION, literal=True)


def as_double(meant: Meant) -> exp.Expr:
    """A number as DOUBLE."""
    if meant.literal and meant.is_number:
        return double(number_of(meant.tree))
    if meant.kind == DOUBLE and not isinstance(meant.tree, exp.Null):
        return meant.tree.copy()
    return exp.cast(meant.tree.copy(), "double")


def as_whole(meant: Meant) -> exp.Expr:
    """A whole number as BIGINT: sums of narrower types overflow on some engines and not on others."""
    value = whole_of(meant)
    if value is not None:
        return bigint(value)
    return meant.tree.copy() if meant.tree.is_type("bigint") else exp.cast(meant.tree.copy(), "bigint")


def as_countable(meant: Meant) -> Meant:
    """A boolean as 0 or 1, anything else as it is."""
    return Meant(as_number(operand(meant.tree), BOOLEAN), WHOLE) if meant.kind == BOOLEAN else meant


# Times


def as_time(meant: Meant) -> exp.Expr:
    """A date or time as TIMESTAMP."""
    return exp.cast(meant.tree.copy(), "timestamp")


def micros(meant: Meant) -> exp.Expr:
    """Microseconds since 1970, a BIGINT."""
    return exp.Anonymous(this="epoch_us", expressions=[as_time(meant)])


# Literals that take the kind of what they stand beside


def adapted(meant: Meant, other: Meant, node: exp.Expr) -> Meant:
    """A text that the user wrote as a value of the other side's kind, as SQL reads it; anything else as it is."""
    if not (meant.literal and meant.kind == TEXT):
        return meant
    if other.is_number:
        return number_text(meant, node)
    if other.kind == BOOLEAN:
        word = meant.tree.name.strip().lower()
        if word not in (*_TRUE, *_FALSE):
            raise refuse(node, f"'{meant.tree.name}' is neither true nor false", "write true or false")
        return Meant(exp.Boolean(this=word in _TRUE), BOOLEAN)
    return time_text(meant, node) if other.is_time else meant


def number_text(meant: Meant, node: exp.Expr) -> Meant:
    """A text that the user wrote as a number."""
    text = meant.tree.name.strip()
    if not _NUMBER.fullmatch(text):
        raise refuse(
            node,
            f"a number is compared with a text, and '{meant.tree.name}' is no number",
            "write a number without quotes",
        )
    found = number_literal(node, text.lstrip("+-"))
    return Meant(exp.Neg(this=found.tree), found.kind, found.literal) if text.startswith("-") else found


def time_text(meant: Meant, node: exp.Expr, kind: str | None = None) -> Meant:
    """A text that the user wrote as a date or, where it has a time of day, as a time; times with an offset are told in UTC."""
    match = _TIME.fullmatch(meant.tree.name.strip())
    try:
        found = _time(match) if match else None
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise refuse(node, f"'{meant.tree.name}' is no time", "write it as '2018-06-01' or '2018-06-01 08:30:00'")
    assert match is not None
    if kind == DATE or (kind is None and match.group(4) is None):
        return Meant(exp.cast(exp.Literal.string(found.date().isoformat()), "date"), DATE)
    return Meant(exp.cast(exp.Literal.string(found.isoformat(sep=" ")), "timestamp"), TIME)


def _time(match: re.Match[str]) -> datetime.datetime:
    year, month, day, hour, minute, second = (int(match.group(n) or 0) for n in range(1, 7))
    found = datetime.datetime(year, month, day, hour, minute, second, int((match.group(7) or "").ljust(6, "0")))
    offset = match.group(8)
    if offset is None or offset == "Z":
        return found
    digits = offset[1:].replace(":", "").ljust(4, "0")
    ahead = datetime.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return found - ahead if offset[0] == "+" else found + ahead


# Trees


_ATOMS = (exp.Column, exp.Literal, exp.Func, exp.Paren, exp.Null, exp.Boolean)


def operand(tree: exp.Expr) -> exp.Expr:
    """A copy that may stand on either side of an operator."""
    own = isinstance(tree, _ATOMS) and not isinstance(tree, exp.Binary | exp.Connector)
    return tree.copy() if own else exp.Paren(this=tree.copy())


def infinity(sign: str = "") -> exp.Expr:
    """The double beyond all others."""
    return exp.cast(exp.Literal.string(f"{sign}Infinity"), "double")


def not_a_number() -> exp.Expr:
    """NaN."""
    return exp.cast(exp.Literal.string("NaN"), "double")


def plus(one: exp.Expr, other: exp.Expr) -> exp.Expr:
    return exp.Paren(this=exp.Add(this=operand(one), expression=operand(other)))


def minus(one: exp.Expr, other: exp.Expr) -> exp.Expr:
    return exp.Paren(this=exp.Sub(this=operand(one), expression=operand(other)))


def times(one: exp.Expr, other: exp.Expr) -> exp.Expr:
    return exp.Paren(this=exp.Mul(this=operand(one), expression=operand(other)))


def remainder(one: exp.Expr, other: exp.Expr) -> exp.Expr:
    """What is left of a division of whole numbers, with the sign of the first."""
    return exp.Paren(this=exp.Mod(this=operand(one), expression=operand(other)))


def quotient(one: exp.Expr, other: exp.Expr) -> exp.Expr:
    """A division of whole numbers, its fraction cut off. PostgreSQL's is a NUMERIC."""
    return exp.cast(exp.IntDiv(this=operand(one), expression=operand(other)), "bigint")


def place_in(value: exp.Expr, length: int) -> exp.Expr:
    """How far a whole number is into its stretch of this length: the remainder that is never negative."""
    size = bigint(length)
    return remainder(plus(remainder(value, size), size), size)


def stretch_of(value: exp.Expr, length: int) -> exp.Expr:
    """The number of the stretch of this length that a whole number lies in: the quotient rounded down, for negative ones too."""
    return quotient(minus(value, place_in(value, length)), bigint(length))


def choose(*cases: tuple[exp.Expr, exp.Expr], otherwise: exp.Expr | None = None) -> exp.Case:
    """`CASE WHEN condition THEN value ... ELSE otherwise END`."""
    case = exp.Case()
    for condition, value in cases:
        case = case.when(condition.copy(), value.copy())
    return case.else_(otherwise.copy()) if otherwise is not None else case
