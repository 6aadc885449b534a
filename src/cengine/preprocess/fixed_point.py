"""Sums that are the same bits in any order: of integers, of other numbers as fixed-point numbers of 60 binary digits.

Threads add in any order, and sums of floating-point numbers depend on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from sqlglot import exp

from cengine.expressions.build import as_double, bigint, column, double

# More than the 53 of a floating-point number, and with a sign and a square up to 4 still within 64 bits.
BITS = 60
# Powers of two that are numbers, as are their reciprocals or halves.
MIN_EXPONENT, MAX_EXPONENT = -1000, 1023


@dataclass(frozen=True)
class FixedPoint:
    """Sums of x - pivot and of its square as integers; `scale`, a power of two, spans the values."""

    NAMES: ClassVar[tuple[str, ...]] = ("x", "xx")

    pivot: float
    scale: float
    whole: bool

    @staticmethod
    def of(bounds: tuple[float, float], *, whole: bool) -> FixedPoint:
        """The numbers between the bounds; `whole` says that they are integers, which bounds that are integers keep exact."""
        low, high = bounds
        exact = isinstance(low, int) and isinstance(high, int)
        # Halved apart, since the sum of two numbers may be more than a number can be.
        pivot = (low + high) // 2 if exact else low / 2 + high / 2
        if whole and not exact:
            pivot = float(math.floor(pivot))
        span = max(high - pivot, pivot - low, 1.0 if whole else 5e-324)
        exponent = math.frexp(span)[1]
        small = whole and exponent <= 30 and (exact or abs(pivot) < 2**53)
        return FixedPoint(pivot, math.ldexp(1.0, min(max(exponent, MIN_EXPONENT), MAX_EXPONENT)), small)

    def shifted(self, value: exp.Expr) -> exp.Expr:
        """What `sums` are formed of, for a query within: a whole number is taken from the pivot, another one as a share of the scale too."""
        if self.whole:
            number = exp.Cast(this=value, to=exp.DataType(this=exp.DType.BIGINT))
            return exp.Sub(this=number, expression=bigint(int(self.pivot)))
        # The reciprocal of a power of two: the product is the quotient, bit for bit, and sooner there.
        distance = exp.Paren(this=exp.Sub(this=as_double(value), expression=double(self.pivot)))
        return exp.Mul(this=distance, expression=double(1 / self.scale))

    def sums(self, name: str) -> dict[str, exp.Expr]:
        """What is to be asked of a column `name` of shifted values, under names that `moments` knows."""
        terms = {"x": column(name), "xx": exp.Mul(this=column(name), expression=column(name))}
        return {key: _exact_sum(term if self.whole else _digits(term)) for key, term in terms.items()}

    def total(self, text: str | None) -> Fraction:
        """The sum of numbers that are no integers and lie around a pivot of 0."""
        return Fraction(self.scale) * Fraction(int(text or 0), 2**BITS)

    def moments(self, sums: Mapping[str, str], count: int) -> tuple[float, float]:
        """Mean and population deviation, in exact arithmetic until the last step."""
        mean, deviation = self.exact_moments(sums, count)
        return float(mean), deviation

    def exact_moments(self, sums: Mapping[str, str], count: int) -> tuple[Fraction, float]:
        """The same with all digits of the mean: of large numbers close together a mean of 53 bits may lie far from the middle."""
        whole = {name: int(text) for name, text in sums.items()}
        unit, scale = (Fraction(1), Fraction(1)) if self.whole else (Fraction(1, 2**BITS), Fraction(self.scale))
        first, second = whole["x"] * unit, whole["xx"] * unit
        mean = first / count
        variance = max(second / count - mean * mean, Fraction(0))
        return Fraction(self.pivot) + scale * mean, math.sqrt(variance) * float(scale)


def _digits(value: exp.Expr) -> exp.Expr:
    """A number in [-4, 4] as the integer of its first 60 binary digits behind the point; the product is exact."""
    product = exp.Mul(this=exp.Paren(this=value), expression=double(2.0**BITS))
    return exp.Cast(this=exp.Floor(this=product), to=exp.DataType(this=exp.DType.BIGINT))


def _exact_sum(term: exp.Expr) -> exp.Expr:
    """A sum of BIGINTs that neither overflows nor rounds, as text: DuckDB adds them up in 128 bits."""
    return exp.Cast(this=exp.Sum(this=term), to=exp.DataType(this=exp.DType.TEXT))
