"""`resampling:`, what of the rows of a period of a series becomes one value.

A word asks an engine for aggregates of the period's rows (`aggregates`) and says how they combine (`combined`), so that one GROUP
BY does for all columns. Words that need the period's values one by one say so by `asks`: `values` are counted by value, `order`
asks for the row that comes first or last. A table of single rows is not resampled: there nothing here changes a result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field
from sqlglot import exp

from cengine.expressions.build import as_double, as_number, bigint, double, literal
from cengine.tables import KINDS
from cengine.transforms import exact_sums
from cengine.words import Word, table_of

Scalar = bool | int | float | str
NUMBERS = ("boolean", "integer", "float")
# What a period without rows has under words that count or add.
NOTHING = {"integer": 0, "float": 0.0}

Part = Callable[[str], exp.Expr]


@dataclass(frozen=True)
class Raw:
    """What is known of a raw column: its kind; of floating-point numbers the scale of their sums; of whole ones if they are below 2**31."""

    kind: str
    scale: float = 1.0
    is_small: bool = False


def fits(value: Scalar, kind: str) -> bool:
    """Whether a value of the YAML may be compared with those of a column of this kind."""
    if kind == "boolean":
        return value in (0, 1)
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, int | float) if kind == "float" else kind == "string"


def as_cell(value: Scalar, kind: str) -> exp.Expr:
    """A value of the YAML as a literal of the kind that it `fits`."""
    if kind == "string":
        return literal(_text(value), "string")
    return literal(bool(value) if kind == "boolean" else float(value) if kind == "float" else int(value), kind)


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Resampling(Word):
    """How the values of a period become one."""

    accepts: ClassVar[tuple[str, ...]] = KINDS
    gives: ClassVar[str | None] = None
    """The kind of what it gives, None for the kind that it is given."""
    asks: ClassVar[Literal["aggregates", "values", "order"]] = "aggregates"
    counts_rows: ClassVar[bool] = False
    """Whether a period without rows has a 0 and not a missing value."""

    def kind(self, raw: str) -> str:
        """The kind of its value for a period, given that of the raw cells."""
        return self.gives or raw

    def problem(self, raw: str) -> str | None:
        """Why it does not apply to cells of a kind that it accepts, None where it does."""
        return None

    def prepared(self, cell: exp.Expr, raw: Raw) -> exp.Expr:
        """What of a row is aggregated; the aggregates see it under a name."""
        return as_number(cell, raw.kind)

    def aggregates(self, value: exp.Expr, raw: Raw) -> dict[str, exp.Expr]:
        """What to ask of a period's rows, by names of parts; each a BIGINT, a DOUBLE, a text or a time."""
        return {}

    def combined(self, part: Part, raw: Raw) -> exp.Expr:
        """The value of the period, of the parts; in DuckDB."""
        return _of_kind(part("value"), raw.kind)


def _of_kind(value: exp.Expr, kind: str) -> exp.Expr:
    """A boolean from the number that stood for it."""
    return exp.EQ(this=value, expression=bigint(1)) if kind == "boolean" else value


def _spelled(cond: object) -> object:
    """A condition as it is called now: earlier versions read `greater_equal`."""
    return {"greater_equal": "greater_or_equal", "less_equal": "less_or_equal"}.get(str(cond), cond)


_COMPARISONS: dict[str, type[exp.Binary]] = {
    "greater": exp.GT,
    "less": exp.LT,
    "equal": exp.EQ,
    "greater_or_equal": exp.GTE,
    "less_or_equal": exp.LTE,
}


class Threshold(Resampling):
    """`set_value` where more than the share `threshold` of the period's values compare with `c_value` as `cond` says, else 0 or an empty text.

    A value `includes` a text that is part of it. Missing values are not counted; a period without a value is missing.
    """

    name = "threshold"
    accepts = (*NUMBERS, "string")
    c_value: Scalar = 0
    cond: Annotated[
        Literal["greater", "less", "equal", "greater_or_equal", "less_or_equal", "includes"], BeforeValidator(_spelled)
    ] = "greater"
    set_value: Scalar = 1
    threshold: float = Field(default=0, ge=0, le=1)

    def kind(self, raw: str) -> str:
        names = {bool: "boolean", int: "integer", float: "float", str: "string"}
        return names[type(self.set_value)]

    def problem(self, raw: str) -> str | None:
        if raw == "string" and self.cond not in ("equal", "includes"):
            return f"a text is compared by cond: equal or includes, not {self.cond}"
        if raw != "string" and self.cond == "includes":
            return f"cond: includes is for texts, and this column is a {raw}"
        number = raw != "string" and isinstance(self.c_value, int | float)
        return None if number or raw == "string" else f"c_value {self.c_value!r} is no {raw}"

    def aggregates(self, value: exp.Expr, raw: Raw) -> dict[str, exp.Expr]:
        met = exp.Case().when(self._met(value, raw.kind), bigint(1))
        return {"met": exp.Count(this=met), "num": exp.Count(this=value.copy())}

    def _met(self, value: exp.Expr, kind: str) -> exp.Expr:
        if kind == "string":
            text = literal(_text(self.c_value), "string")
            if self.cond == "includes":
                return exp.GT(this=exp.StrPosition(this=value.copy(), substr=text), expression=exp.convert(0))
            return exp.EQ(this=value.copy(), expression=text)
        assert not isinstance(self.c_value, str)
        number = double(float(self.c_value)) if isinstance(self.c_value, float) else bigint(int(self.c_value))
        return _COMPARISONS[self.cond](this=value.copy(), expression=number)

    def combined(self, part: Part, raw: Raw) -> exp.Expr:
        kind = self.kind(raw.kind)
        none = {"boolean": False, "integer": 0, "float": 0.0, "string": ""}[kind]
        share = exp.Div(this=as_double(part("met")), expression=as_double(part("num")))
        case = exp.Case().when(exp.EQ(this=part("num"), expression=bigint(0)), exp.null())
        above = exp.GT(this=share, expression=double(self.threshold))
        return case.when(above, literal(self.set_value, kind)).else_(literal(none, kind))


class _Total(Resampling):
    """What is formed of a sum."""

    accepts = NUMBERS

    def prepared(self, cell: exp.Expr, raw: Raw) -> exp.Expr:
        return exact_sums.in_scale(cell, raw.scale) if raw.kind == "float" else as_number(cell, raw.kind)

    def aggregates(self, value: exp.Expr, raw: Raw) -> dict[str, exp.Expr]:
        if raw.kind == "float":
            terms = exact_sums.float_terms(value)
        elif raw.is_small or raw.kind == "boolean":
            terms = {"value": value.copy()}
        else:
            terms = exact_sums.whole_terms(value)
        return {name: exact_sums.summed(term) for name, term in terms.items()}


class Sum(_Total):
    """The sum of the period's values."""

    name = "sum"
    counts_rows = True

    def kind(self, raw: str) -> str:
        return "float" if raw == "float" else "integer"

    def combined(self, part: Part, raw: Raw) -> exp.Expr:
        if raw.kind == "float":
            return exact_sums.float_total(part, raw.scale)
        return part("value") if raw.is_small or raw.kind == "boolean" else exact_sums.whole_total(part)


class Mean(_Total):
    """The mean of the period's values."""

    name = "mean"
    gives = "float"

    def aggregates(self, value: exp.Expr, raw: Raw) -> dict[str, exp.Expr]:
        return {**super().aggregates(value, raw), "num": exp.Count(this=value.copy())}

    def combined(self, part: Part, raw: Raw) -> exp.Expr:
        if raw.kind == "float":
            total = exact_sums.float_total(part, raw.scale)
        elif raw.is_small or raw.kind == "boolean":
            total = as_double(part("value"))
        else:
            total = exact_sums.whole_total_as_double(part)
        present = exp.GT(this=part("num"), expression=bigint(0))
        return exp.Case().when(present, exp.Div(this=exp.Paren(this=total), expression=as_double(part("num"))))


class Median(Resampling):
    """The median of the period's values: of an even number of them the mean of the two in the middle."""

    name = "median"
    accepts = NUMBERS
    gives = "float"
    asks = "values"

    def combined(self, part: Part, raw: Raw) -> exp.Expr:
        # Halved apart, since the sum of two numbers may be more than a number can be.
        halves = [exp.Mul(this=as_double(part(name)), expression=double(0.5)) for name in ("lower", "upper")]
        return exp.Add(this=halves[0], expression=halves[1])


class Mode(Resampling):
    """The most frequent value of the period, of equally frequent ones the least."""

    name = "mode"
    asks = "values"

    def combined(self, part: Part, raw: Raw) -> exp.Expr:
        return _of_kind(part("most"), raw.kind)


class Min(Resampling):
    """The least value of the period."""

    name = "min"

    def aggregates(self, value: exp.Expr, raw: Raw) -> dict[str, exp.Expr]:
        return {"value": exp.Min(this=value.copy())}


class Max(Resampling):
    """The greatest value of the period."""

    name = "max"

    def aggregates(self, value: exp.Expr, raw: Raw) -> dict[str, exp.Expr]:
        return {"value": exp.Max(this=value.copy())}


class Count(Resampling):
    """How many values the period has. Of a name that no column has, how many rows: `num_trips: {resampling: count}`."""

    name = "count"
    gives = "integer"
    counts_rows = True

    def aggregates(self, value: exp.Expr, raw: Raw) -> dict[str, exp.Expr]:
        return {"value": exp.Count(this=value.copy())}

    def combined(self, part: Part, raw: Raw) -> exp.Expr:
        return part("value")


class First(Resampling):
    """The period's first value by time."""

    name = "first"
    asks = "order"

    def aggregates(self, value: exp.Expr, raw: Raw) -> dict[str, exp.Expr]:
        # Of the one row that is told to be it, the others being null.
        return {"value": exp.Max(this=value.copy())}


class Last(First):
    """The period's last value by time."""

    name = "last"


RESAMPLINGS = table_of(Threshold, Mean, Median, Mode, Min, Max, Sum, Count, First, Last)
# What a column of each kind does where the YAML says nothing.
USUAL: dict[str, Resampling] = {
    "boolean": Mode(),
    "integer": Mean(),
    "float": Mean(),
    "string": Mode(),
    "timestamp": Last(),
}
