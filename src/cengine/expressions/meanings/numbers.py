"""Arithmetic. Whole numbers are BIGINT and all others DOUBLE, rounded, divided and raised step by step alike everywhere."""

from __future__ import annotations

import sys

from sqlglot import exp

from cengine.expressions.build import double
from cengine.expressions.meanings.meant import (
    DATE,
    DOUBLE,
    DURATION,
    NULL,
    WHOLE,
    Meanings,
    Meant,
    Read,
    adapted,
    as_double,
    as_whole,
    choose,
    expect_only,
    infinity,
    micros,
    minus,
    not_a_number,
    number_of,
    operand,
    plus,
    quotient,
    refuse,
    remainder,
    said,
    times,
    whole_of,
)
from cengine.expressions.meanings.times import days, moved

# From here on doubles have no fraction.
NO_FRACTION = double(2.0**52)
MAX_DIGITS, MAX_POWER = 15, 16
# Beyond these EXP is infinite, or nothing but zero.
GREATEST_EXPONENT, LEAST_EXPONENT = 709.782712893384, -745.1332191019411


def _number(meant: Meant, node: exp.Expr) -> Meant:
    if meant.kind == NULL:
        return Meant(exp.cast(exp.null(), "double"), DOUBLE)
    if not meant.is_number:
        raise refuse(node, f"{meant.called} stands where a number is needed")
    return meant


def _double(node: exp.Expr, child: exp.Expr, read: Read) -> exp.Expr:
    return operand(as_double(_number(read(child), node)))


def _sum(node: exp.Expr, read: Read) -> Meant:
    """Addition and subtraction, of numbers or of times."""
    expect_only(node, "this", "expression")
    kind = type(node)
    if isinstance(node.expression, exp.Interval):
        return moved(read(node.this), node.expression, node, back=kind is exp.Sub)
    if isinstance(node.this, exp.Interval) and kind is exp.Add:
        return moved(read(node.expression), node.this, node, back=False)
    one, other = read(node.this), read(node.expression)
    one, other = adapted(one, other, node), adapted(other, one, node)
    if one.kind == DATE and other.kind == WHOLE:
        return Meant(_day_moved(one, other, kind), DATE)
    if kind is exp.Sub and one.kind == DATE and other.kind == DATE:
        return Meant(minus(days(one), days(other)), WHOLE)
    if kind is exp.Sub and one.is_time and other.is_time:
        return Meant(minus(micros(one), micros(other)), DURATION)
    return _calculated(node, one, other)


def _day_moved(one: Meant, other: Meant, kind: type[exp.Expr]) -> exp.Expr:
    count = as_whole(other) if kind is exp.Add else exp.Neg(this=operand(as_whole(other)))
    return exp.Add(this=operand(one.tree), expression=exp.cast(count, "int"))


def _product(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this", "expression")
    return _calculated(node, read(node.this), read(node.expression))


def _calculated(node: exp.Expr, one: Meant, other: Meant) -> Meant:
    one, other = _number(one, node), _number(other, node)
    whole = one.kind == WHOLE and other.kind == WHOLE
    sides = [as_whole(side) if whole else as_double(side) for side in (one, other)]
    return Meant(type(node)(this=operand(sides[0]), expression=operand(sides[1])), WHOLE if whole else DOUBLE)


def _division(node: exp.Expr, read: Read) -> Meant:
    """A division of doubles; the zero added makes -0 a 0, which only some engines tell apart when they divide by it."""
    expect_only(node, "this", "expression", "typed", "safe")
    divided, by = _number(read(node.this), node), _number(read(node.expression), node)
    divisor = as_double(by) if by.literal else plus(as_double(by), double(0.0))
    return Meant(exp.Div(this=operand(as_double(divided)), expression=operand(divisor)), DOUBLE)


def _whole_division(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this", "expression")
    one, other = _number(read(node.this), node), _number(read(node.expression), node)
    if one.kind != WHOLE or other.kind != WHOLE:
        sign, instead = ("%", "x - floor(x / y) * y") if isinstance(node, exp.Mod) else ("//", "floor(x / y)")
        raise refuse(node, f"{sign} takes whole numbers", f"write `{instead}`")
    return Meant((remainder if isinstance(node, exp.Mod) else quotient)(as_whole(one), as_whole(other)), WHOLE)


def _negative(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this")
    value = _number(read(node.this), node)
    if value.literal:
        return Meant(exp.Neg(this=value.tree), value.kind, literal=True)
    whole = value.kind == WHOLE
    return Meant(exp.Neg(this=operand(as_whole(value) if whole else as_double(value))), WHOLE if whole else DOUBLE)


def _absolute(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this")
    value = _number(read(node.this), node)
    whole = value.kind == WHOLE
    return Meant(exp.Abs(this=as_whole(value) if whole else as_double(value)), WHOLE if whole else DOUBLE)


# Rounding


def _within(number: exp.Expr) -> exp.Expr:
    """Whether a double may have a fraction."""
    return exp.LT(this=exp.Abs(this=number.copy()), expression=NO_FRACTION.copy())


def floor(number: exp.Expr) -> exp.Expr:
    """A double rounded down; Spark's FLOOR is a BIGINT, and no number is one."""
    return choose((_within(number), exp.cast(exp.Floor(this=number.copy()), "double")), otherwise=number)


def half_away(number: exp.Expr) -> exp.Expr:
    """A double rounded to a whole number, halves away from zero."""
    size = exp.Abs(this=number.copy())
    down = exp.cast(exp.Floor(this=size.copy()), "double")
    up = choose((exp.GTE(this=minus(size, down), expression=double(0.5)), plus(down, double(1.0))), otherwise=down)
    signed = choose((exp.LT(this=number.copy(), expression=double(0.0)), exp.Neg(this=operand(up))), otherwise=up)
    return choose((_within(number), signed), otherwise=number)


def half_even(number: exp.Expr) -> exp.Expr:
    """A double rounded to a whole number, halves to the even one."""
    down = exp.cast(exp.Floor(this=number.copy()), "double")
    rest = minus(number, down)
    even = times(exp.cast(exp.Floor(this=times(plus(down, double(1.0)), double(0.5))), "double"), double(2.0))
    rounded = choose(
        (exp.LT(this=rest, expression=double(0.5)), down),
        (exp.GT(this=rest.copy(), expression=double(0.5)), plus(down, double(1.0))),
        otherwise=even,
    )
    return choose((_within(number), rounded), otherwise=number)


def _rounded_down(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this")
    value = _number(read(node.this), node)
    if value.kind == WHOLE:
        return Meant(exp.Paren(this=as_whole(value)), WHOLE)
    if isinstance(node, exp.Floor):
        return Meant(floor(as_double(value)), DOUBLE)
    return Meant(exp.Neg(this=operand(floor(exp.Neg(this=operand(as_double(value)))))), DOUBLE)


def _round(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this", "decimals")
    value = _number(read(node.this), node)
    digits = whole_of(read(node.args["decimals"])) if node.args.get("decimals") is not None else 0
    if digits is None or abs(digits) > MAX_DIGITS:
        raise refuse(
            node, f"the number of digits is a whole number from -{MAX_DIGITS} to {MAX_DIGITS}, written as such"
        )
    if value.kind == WHOLE and digits >= 0:
        return Meant(exp.Paren(this=as_whole(value)), WHOLE)
    if value.kind == WHOLE:
        raise refuse(
            node,
            "whole numbers are not rounded alike to tens",
            f"write `round({said(node.this)} / {10**-digits}) * {10**-digits}`",
        )
    number = as_double(value)
    if digits == 0:
        return Meant(half_away(number), DOUBLE)
    factor = double(10.0 ** abs(digits))
    scaled = half_away(times(number, factor) if digits > 0 else exp.Div(this=operand(number), expression=factor))
    back = exp.Div(this=exp.Paren(this=scaled), expression=factor.copy()) if digits > 0 else times(scaled, factor)
    # Where a double has no digits behind the point any more, multiplying and dividing could only harm it.
    limit = (
        _within(number)
        if digits > 0
        else exp.LTE(this=exp.Abs(this=number.copy()), expression=double(sys.float_info.max))
    )
    return Meant(choose((limit, back), otherwise=number), DOUBLE)


# Functions that some engines refuse, and others answer with null, at their borders


def _sqrt(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this")
    return Meant(_root(_double(node, node.this, read)), DOUBLE)


def _root(number: exp.Expr) -> exp.Expr:
    return choose((exp.LT(this=number, expression=double(0.0)), not_a_number()), otherwise=exp.Sqrt(this=number.copy()))


def _ln(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this")
    number, zero = _double(node, node.this, read), double(0.0)
    return Meant(
        choose(
            (exp.LT(this=number, expression=zero), not_a_number()),
            (exp.EQ(this=number.copy(), expression=zero.copy()), infinity("-")),
            otherwise=exp.Ln(this=number.copy()),
        ),
        DOUBLE,
    )


def _exp(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this")
    number = _double(node, node.this, read)
    too_great = exp.Between(this=number.copy(), low=double(GREATEST_EXPONENT), high=infinity())
    nothing = exp.LT(this=number.copy(), expression=double(LEAST_EXPONENT))
    return Meant(choose((too_great, infinity()), (nothing, double(0.0)), otherwise=exp.Exp(this=number.copy())), DOUBLE)


def _power(node: exp.Expr, read: Read) -> Meant:
    """A power with a whole exponent that the user wrote is a product; the square root is one, too."""
    expect_only(node, "this", "expression")
    number = _double(node, node.this, read)
    exponent = read(node.expression)
    if exponent.literal and exponent.is_number and number_of(exponent.tree) == 0.5:
        return Meant(_root(number), DOUBLE)
    power = whole_of(exponent)
    if power is None or not 1 <= power <= MAX_POWER:
        expected = f"the exponent is 0.5 or a whole number from 1 to {MAX_POWER}, written as such"
        raise refuse(node, expected, "for others write `exp(y * ln(x))`")
    product = number
    for _ in range(power - 1):
        product = exp.Mul(this=product, expression=number.copy())
    return Meant(exp.Paren(this=product), DOUBLE)


MEANINGS: Meanings = {
    exp.Add: _sum, exp.Sub: _sum, exp.Mul: _product, exp.Div: _division, exp.IntDiv: _whole_division, exp.Mod: _whole_division,
    exp.Neg: _negative, exp.Abs: _absolute, exp.Round: _round, exp.Floor: _rounded_down, exp.Ceil: _rounded_down,
    exp.Sqrt: _sqrt, exp.Ln: _ln, exp.Exp: _exp, exp.Pow: _power,
}  # fmt: skip
