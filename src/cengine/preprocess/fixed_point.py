"""Sums that are the same bits in any order: of integers, of other numbers as fixed-point numbers of 70 binary digits.

Threads add in any order, and sums of floating-point numbers depend on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from sqlglot import exp

from cengine.expressions.build import as_double, bigint, double

HIGH_BITS, LOW_BITS = 40, 30
# Powers of two that are numbers, as are their reciprocals or halves.
MIN_EXPONENT, MAX_EXPONENT = -1000, 1023


@dataclass(frozen=True)
class FixedPoint:
    """Sums of x - pivot and of its square as integers; `scale`, a power of two, spans the values."""

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

    def sums(self, value: exp.Expr) -> dict[str, exp.Expr]:
        """What is to be asked for, under names that `moments` knows."""
        return {name: _exact_sum(term) for name, term in self._terms(value).items()}

    def _terms(self, value: exp.Expr) -> dict[str, exp.Expr]:
        """Whole-numbered expressions to be summed."""
        if self.whole:
            shifted = exp.Paren(this=exp.cast(value.copy(), "bigint") - bigint(int(self.pivot)))
            return {"x": shifted, "xx": shifted.copy() * shifted.copy()}
        unit = exp.Paren(this=exp.Paren(this=as_double(value.copy()) - double(self.pivot)) / double(self.scale))
        return {**_digits("x", unit), **_digits("xx", unit * unit.copy())}

    def moments(self, sums: Mapping[str, str], count: int) -> tuple[float, float]:
        """Mean and population deviation, in exact arithmetic until the last step."""
        whole = {name: int(text) for name, text in sums.items()}
        if self.whole:
            first, second, scale = Fraction(whole["x"]), Fraction(whole["xx"]), Fraction(1)
        else:
            first, second = (Fraction(whole[f"{n}_high"], 2**HIGH_BITS) + Fraction(whole[f"{n}_low"], 2 ** (HIGH_BITS + LOW_BITS))
                             for n in ("x", "xx"))  # fmt: skip
            scale = Fraction(self.scale)
        mean = first / count
        variance = max(second / count - mean * mean, Fraction(0))
        return float(Fraction(self.pivot) + scale * mean), math.sqrt(variance) * float(scale)


def _digits(name: str, value: exp.Expr) -> dict[str, exp.Expr]:
    """A number in [-2, 2] as the integers of its first 40 and next 30 binary digits."""
    shifted = exp.Paren(this=exp.Paren(this=value) * double(2.0**HIGH_BITS))
    whole = exp.Floor(this=shifted)
    rest = exp.Paren(this=shifted.copy() - whole.copy()) * double(2.0**LOW_BITS)
    return {f"{name}_high": exp.cast(whole, "bigint"), f"{name}_low": exp.cast(exp.Floor(this=rest), "bigint")}


def _exact_sum(term: exp.Expr) -> exp.Expr:
    """A sum of BIGINTs that neither overflows nor rounds, as text: DuckDB adds them up in 128 bits."""
    return exp.cast(exp.Sum(this=term), "text")
