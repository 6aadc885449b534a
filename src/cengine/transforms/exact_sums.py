"""Sums within a group that are the same bits on every engine and for any number of threads, whatever other groups hold.

A number is cut into whole ones of 64 bits whose sums neither round nor overflow in a group of up to 2**32 rows. A sum of
floating-point numbers would depend on the order in which threads add.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from sqlglot import exp

from cengine.expressions.build import as_double, bigint, double

# Of a floating-point number: so many binary digits go into each of these whole numbers.
DIGITS = 30
WORDS = ("high", "middle", "low", "last")
# The greatest number of the scale has so many digits before the point; the others are room for greater ones.
BEFORE_POINT = 10
# Whole numbers below it on either side are added as they are, others in two halves of so many digits.
HALF = 31
# Where the power of two and its reciprocal are both numbers.
LEAST_EXPONENT, GREATEST_EXPONENT = -1000, 1000

Part = Callable[[str], exp.Expr]


def scale_of(greatest: float | None) -> float:
    """The power of two by which numbers are divided, given the greatest distance from 0 that is to be exact to a hundred binary digits.

    Numbers a million times as great are still told apart; greater ones count as these.
    """
    exponent = math.frexp(greatest or 1.0)[1] - BEFORE_POINT
    return math.ldexp(1.0, min(max(exponent, LEAST_EXPONENT), GREATEST_EXPONENT))


def in_scale(cell: exp.Expr, scale: float) -> exp.Expr:
    """The number in units of the scale, as `float_terms` takes it."""
    share = exp.Mul(this=as_double(cell), expression=double(1 / scale))
    bound = 2.0**DIGITS
    case = exp.Case().when(exp.GT(this=share, expression=double(bound)), double(bound))
    return case.when(exp.LT(this=share.copy(), expression=double(-bound)), double(-bound)).else_(share.copy())


def float_terms(value: exp.Expr) -> dict[str, exp.Expr]:
    """The whole numbers of a value in units of the scale; a name repeats cheaply, an expression does not."""
    terms: dict[str, exp.Expr] = {}
    below = exp.LT(this=value.copy(), expression=double(0.0))
    sign = exp.Paren(this=exp.Case().when(below, bigint(-1)).else_(bigint(1)))
    # Of the distance from 0: what is left of a small number below 0 keeps all its digits then.
    rest: exp.Expr = exp.Abs(this=value.copy())
    for name in WORDS:
        if terms:
            rest = exp.Mul(this=exp.Paren(this=rest), expression=double(2.0**DIGITS))
        whole = exp.Floor(this=rest.copy())
        terms[name] = exp.Mul(this=sign.copy(), expression=_whole(whole))
        rest = exp.Sub(this=rest, expression=whole.copy())
    return terms


def float_total(part: Part, scale: float) -> exp.Expr:
    """The sum as DOUBLE, of the sums of the whole numbers."""
    total: exp.Expr | None = None
    for name in reversed(WORDS):
        own = as_double(part(name))
        if total is None:
            total = own
            continue
        behind = exp.Mul(this=total, expression=double(2.0**-DIGITS))
        total = exp.Paren(this=exp.Add(this=own, expression=behind))
    assert total is not None
    return exp.Mul(this=total, expression=double(scale))


def whole_terms(value: exp.Expr) -> dict[str, exp.Expr]:
    """The two halves of a whole number of 64 bits. The high one may be rounded: the low one makes up for it."""
    high = _whole(exp.Floor(this=exp.Mul(this=as_double(value), expression=double(2.0**-HALF))))
    below = exp.Mul(this=high.copy(), expression=bigint(2**HALF))
    return {"high": high, "low": exp.Sub(this=_whole(value.copy()), expression=below)}


def whole_total(part: Part) -> exp.Expr:
    """The sum as BIGINT. The engine says so where it has no room in 64 bits."""
    wide = exp.Mul(this=exp.cast(part("high"), "int128"), expression=bigint(2**HALF))
    return exp.cast(exp.Paren(this=exp.Add(this=wide, expression=exp.cast(part("low"), "int128"))), "bigint")


def whole_total_as_double(part: Part) -> exp.Expr:
    """The same as DOUBLE."""
    return exp.Paren(
        this=exp.Add(
            this=exp.Mul(this=as_double(part("high")), expression=double(2.0**HALF)), expression=as_double(part("low"))
        )
    )


def summed(term: exp.Expr) -> exp.Expr:
    """The sum of whole numbers, which has room in 64 bits."""
    return exp.cast(exp.Sum(this=term), "bigint")


def _whole(value: exp.Expr) -> exp.Expr:
    return exp.Cast(this=value, to=exp.DataType(this=exp.DType.BIGINT))
