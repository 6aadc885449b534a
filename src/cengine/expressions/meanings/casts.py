"""CAST and TRY_CAST: which texts are numbers and times, and how a number becomes a whole one, is said in the expression itself."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

from sqlglot import exp

from cengine.expressions.build import bigint, double
from cengine.expressions.meanings.conditions import DOUBLES
from cengine.expressions.meanings.meant import (
    BOOLEAN,
    DATE,
    DOUBLE,
    EXACT,
    FRACTION,
    NULL,
    SINGLE,
    TEXT,
    TIME,
    WHOLE,
    Meanings,
    Meant,
    Read,
    as_countable,
    as_double,
    as_time,
    as_whole,
    choose,
    expect_only,
    operand,
    refuse,
    time_text,
)
from cengine.expressions.meanings.numbers import half_away, half_even

_T = exp.DType
WHOLE_TYPES = {_T.TINYINT: (-(2**7), 2**7 - 1), _T.SMALLINT: (-(2**15), 2**15 - 1), _T.INT: (-(2**31), 2**31 - 1),
               _T.BIGINT: (-(2**63), 2**63 - 1), _T.UTINYINT: (0, 2**8 - 1), _T.USMALLINT: (0, 2**16 - 1), _T.UINT: (0, 2**32 - 1)}  # fmt: skip
TEXT_TYPES = (_T.TEXT, _T.VARCHAR, _T.CHAR)
TIME_TYPES = (_T.TIMESTAMP, _T.TIMESTAMPNTZ, _T.TIMESTAMPTZ, _T.DATETIME)
INSTEAD = {_T.FLOAT: "DOUBLE", _T.DECIMAL: "DOUBLE, or round(x, 2)", _T.TIME: "hour(t) and minute(t)", _T.INT128: "BIGINT or DOUBLE",
           _T.UINT128: "BIGINT or DOUBLE", _T.UBIGINT: "BIGINT or DOUBLE"}  # fmt: skip
# Texts that are numbers, dates and times. Repetitions are bounded by the length that is asked for beside.
WHOLE_TEXT = r"^ *[+-]?[0-9]{1,18} *$"
LONG_WHOLE_TEXT = r"^-?[1-9][0-9]{18}$"
NUMBER_TEXT = (
    r"^ *([+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)"
    r"|[+-]?([0-9]{1,20}(\.[0-9]*)?|\.[0-9]+)[eE][+-]?([0-9]{1,2}|1[0-9]{2}|2[0-7][0-9])"
    r"|[+-]?[iI][nN][fF]([iI][nN][iI][tT][yY])?|[nN][aA][nN]) *$"
)
MAX_NUMBER_LENGTH = 250
_YEAR, _LEAP = "[0-9]{4}", "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
_DAY = rf"({_YEAR}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
TIME_TEXT = rf"^ *{_DAY}([ T]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{{1,6}})?)?)? *$"


def _cast(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this", "to", "safe")
    value, to = read(node.this), node.args["to"]
    kind, tries = to.this, isinstance(node, exp.TryCast)
    if kind in WHOLE_TYPES:
        return Meant(_to_whole(value, WHOLE_TYPES[kind], node, tries=tries), WHOLE)
    if kind == _T.DOUBLE:
        return Meant(_to_double(value, node, tries=tries), DOUBLE)
    if kind in TEXT_TYPES and not to.expressions:
        return Meant(to_text(value, node), TEXT)
    if kind == _T.BOOLEAN:
        return Meant(_to_boolean(value, node), BOOLEAN)
    if kind == _T.DATE or kind in TIME_TYPES:
        return _to_time(value, DATE if kind == _T.DATE else TIME, node, tries=tries)
    name = to.sql("duckdb")
    raise refuse(
        node,
        f"{name} is not the same type on every engine",
        f"cast to {INSTEAD.get(kind, 'BIGINT, DOUBLE, VARCHAR, DATE or TIMESTAMP')}",
    )


def _refused(value: Meant, node: exp.Expr) -> Exception:
    return refuse(node, f"{value.called} cannot be cast to {node.args['to'].sql('duckdb')}")


def _failing(value: exp.Expr, reason: str, kind: str) -> exp.Expr:
    """A cast that fails on every engine and says of which value; it depends on the row, so that no engine tries it before."""
    text = exp.DPipe(this=exp.Literal.string(f"{reason}: "), expression=exp.cast(value.copy(), "text"), safe=False)
    return exp.cast(exp.Paren(this=text), kind)


def _otherwise(value: exp.Expr, reason: str, kind: str, *, tries: bool) -> tuple[tuple[exp.Expr, exp.Expr], ...]:
    """The last case: nothing where the cast is tried, an error where it is not; null stays null."""
    return (
        ()
        if tries
        else ((exp.Not(this=exp.Is(this=operand(value), expression=exp.null())), _failing(value, reason, kind)),)
    )


# Numbers


def _to_double(value: Meant, node: exp.Expr, *, tries: bool) -> exp.Expr:
    if value.kind == NULL:
        return exp.cast(exp.null(), "double")
    if value.literal and value.kind == TEXT:
        number = _number_of_literal(value.tree.name, node, tries=tries)
        return exp.cast(exp.null(), "double") if number is None else double(float(number))
    if value.kind == TEXT:
        text = value.tree
        cases = [(_is_number_text(text), exp.cast(text.copy(), "double"))]
        return choose(*cases, *_otherwise(text, "not a number", "double", tries=tries))
    value = as_countable(value)
    if not value.is_number:
        raise _refused(value, node)
    return as_double(value)


def _to_whole(value: Meant, limits: tuple[int, int], node: exp.Expr, *, tries: bool) -> exp.Expr:
    if value.kind == NULL:
        return exp.cast(exp.null(), "bigint")
    value = as_countable(value)
    if value.literal and value.kind == TEXT:
        return _literal_to_whole(_number_of_literal(value.tree.name, node, tries=tries), limits, node, tries=tries)
    if value.kind == TEXT:
        return _text_to_whole(value.tree, limits, tries=tries)
    if value.kind == WHOLE:
        return _limited(as_whole(value), limits, tries=tries)
    if not value.is_number:
        raise _refused(value, node)
    # A decimal rounds its halves away from zero, a double to the even one: DuckDB's way.
    number = as_double(value)
    return _double_to_whole(
        half_away(number) if value.kind in (EXACT, FRACTION) else half_even(number), limits, tries=tries
    )


def _limited(whole: exp.Expr, limits: tuple[int, int], *, tries: bool) -> exp.Expr:
    if limits == WHOLE_TYPES[_T.BIGINT]:
        return exp.Paren(this=whole)
    fits = exp.Between(this=operand(whole), low=bigint(limits[0]), high=bigint(limits[1]))
    return choose((fits, whole), *_otherwise(whole, "out of the type's range", "bigint", tries=tries))


def _double_to_whole(rounded: exp.Expr, limits: tuple[int, int], *, tries: bool) -> exp.Expr:
    low = exp.GTE(this=operand(rounded), expression=double(float(limits[0])))
    below = exp.LT(this=operand(rounded), expression=double(float(limits[1] + 1)))  # the greatest BIGINT is no double
    for comparison in (low, below):
        comparison.meta[DOUBLES] = True
    return choose(
        (exp.and_(low, below), exp.cast(rounded.copy(), "bigint")),
        *_otherwise(rounded, "out of the type's range", "bigint", tries=tries),
    )


def _text_to_whole(text: exp.Expr, limits: tuple[int, int], *, tries: bool) -> exp.Expr:
    """Digits are read exactly; a text with a point or an exponent is rounded, halves away from zero."""
    longest = "9223372036854775807"
    fits = exp.or_(
        exp.and_(_matches(text, "^[1-9]"), exp.LTE(this=text.copy(), expression=exp.Literal.string(longest))),
        exp.and_(
            _matches(text, "^-"), exp.LTE(this=text.copy(), expression=exp.Literal.string("-9223372036854775808"))
        ),
    )
    number = exp.cast(text.copy(), "double")
    cases = [
        (_matches(text, WHOLE_TEXT), _limited(exp.cast(_bare(text), "bigint"), limits, tries=tries)),
        (
            exp.and_(_matches(text, LONG_WHOLE_TEXT), exp.Paren(this=fits)),
            _limited(exp.cast(text.copy(), "bigint"), limits, tries=tries),
        ),
        (
            exp.and_(exp.Not(this=_matches(text, LONG_WHOLE_TEXT)), _is_number_text(text)),
            _double_to_whole(half_away(number), limits, tries=tries),
        ),
    ]
    return choose(*cases, *_otherwise(text, "not a whole number", "bigint", tries=tries))


def _number_of_literal(text: str, node: exp.Expr, *, tries: bool) -> Decimal | None:
    """The number that the user wrote in quotes. PostgreSQL would try a cast of it even where a CASE leaves it out."""
    if re.fullmatch(NUMBER_TEXT[1:-1], text):
        return Decimal(text.strip())
    if not tries:
        raise refuse(node, f"'{text}' is no number", "write a number, or use TRY_CAST")
    return None


def _literal_to_whole(number: Decimal | None, limits: tuple[int, int], node: exp.Expr, *, tries: bool) -> exp.Expr:
    if number is not None and number.is_finite():
        whole = int(number.to_integral_value(ROUND_HALF_UP))
        if limits[0] <= whole <= limits[1]:
            return bigint(whole)
    if number is not None and not tries:
        raise refuse(node, "the number is out of the type's range")
    return exp.cast(exp.null(), "bigint")


def _bare(text: exp.Expr) -> exp.Expr:
    return exp.Trim(this=text.copy(), expression=exp.Literal.string(" "), position="BOTH")


def _is_number_text(text: exp.Expr) -> exp.Expr:
    short = exp.LTE(this=exp.Length(this=text.copy()), expression=exp.Literal.number(MAX_NUMBER_LENGTH))
    return exp.Paren(this=exp.and_(short, _matches(text, NUMBER_TEXT)))


def _matches(text: exp.Expr, pattern: str) -> exp.Expr:
    return exp.RegexpLike(this=operand(text), expression=exp.Literal.string(pattern))


# Texts, truths, times


def to_text(value: Meant, node: exp.Expr) -> exp.Expr:
    """A value as text. Raises NotAFilter for numbers with a fraction, whose digits differ between engines."""
    if value.kind == TEXT:
        return value.tree
    if value.kind == NULL:
        return exp.cast(exp.null(), "text")
    if value.kind in (DOUBLE, SINGLE, EXACT, FRACTION):
        raise refuse(
            node,
            "the text of a number with a fraction differs between engines",
            "compare the number itself, or CAST it to BIGINT before",
        )
    if value.kind == BOOLEAN:
        words = [
            (operand(value.tree), exp.Literal.string("true")),
            (exp.Not(this=operand(value.tree)), exp.Literal.string("false")),
        ]
        return choose(*words)
    if value.kind in (WHOLE, DATE):
        return exp.cast(as_whole(value) if value.kind == WHOLE else value.tree, "text")
    if value.kind == TIME:
        return exp.cast(as_time(value), "text")
    raise refuse(node, f"{value.called} has no text that is the same on every engine")


def _to_boolean(value: Meant, node: exp.Expr) -> exp.Expr:
    if value.kind == NULL:
        return exp.cast(exp.null(), "boolean")
    if value.kind == BOOLEAN:
        return value.tree
    if not value.is_number:
        raise refuse(
            node,
            f"{value.called} is not cast to true or false alike everywhere",
            "compare it, for example `x = 'true'`",
        )
    compared = exp.NEQ(this=operand(as_double(value)), expression=double(0.0))
    return exp.Paren(this=compared)


def _to_time(value: Meant, kind: str, node: exp.Expr, *, tries: bool) -> Meant:
    sql_type = "date" if kind == DATE else "timestamp"
    if value.kind == NULL:
        return Meant(exp.cast(exp.null(), sql_type), kind)
    if value.literal and value.kind == TEXT:
        return time_text(value, node, kind)
    if value.kind == TEXT:
        # No year 0: not every engine has one.
        there = exp.GTE(this=_bare(value.tree), expression=exp.Literal.string("0001"))
        fits = exp.and_(_matches(value.tree, TIME_TEXT), there)
        length = exp.Literal.number(len("2018-06-01"))
        text = exp.Substring(this=_bare(value.tree), start=exp.Literal.number(1), length=length)
        cases = [(fits, exp.cast(text if kind == DATE else _with_seconds(value.tree), sql_type))]
        return Meant(choose(*cases, *_otherwise(value.tree, "not a time", sql_type, tries=tries)), kind)
    if not value.is_time:
        raise _refused(value, node)
    return Meant(as_time(value) if kind == TIME else exp.cast(value.tree, "date"), kind)


def _with_seconds(text: exp.Expr) -> exp.Expr:
    """The text of a date or time, seconds added where it ends with the minutes."""
    minutes = exp.EQ(this=exp.Length(this=_bare(text)), expression=exp.Literal.number(len("2018-06-01 08:30")))
    longer = exp.DPipe(this=_bare(text), expression=exp.Literal.string(":00"), safe=False)
    return choose((minutes, exp.Paren(this=longer)), otherwise=_bare(text))


MEANINGS: Meanings = {exp.Cast: _cast, exp.TryCast: _cast}
