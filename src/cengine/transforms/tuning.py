"""`label_tuning:`, what a label becomes along its trip: one word, or a list of them in order.

Each is an expression over the points of a trip in order of time, in DuckDB; `reach` says how far into the future it looks, so that
no window whose label does is learnt from beyond its split.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from pydantic import Field, field_validator
from sqlglot import exp

from cengine.expressions.build import bigint, column, literal
from cengine.tables import KINDS
from cengine.transforms.resample import Scalar, as_cell, fits
from cengine.words import Word, table_of

MICROS = 1_000_000
LONGEST = 10**9


def micros_of(seconds: float) -> int:
    """Seconds as microseconds; through text, so that 0.1 means a tenth."""
    return int(Fraction(str(seconds)) * MICROS)


@dataclass(frozen=True)
class Along:
    """The points of a trip in order of time: columns that say the trip, and the one of the time in microseconds."""

    trip: tuple[str, ...]
    time: str

    def window(self, aggregate: exp.Expr, spec: exp.WindowSpec | None = None) -> exp.Expr:
        """A window function along the trip."""
        order = exp.Order(expressions=[exp.Ordered(this=column(self.time))])
        return exp.Window(this=aggregate, partition_by=[column(name) for name in self.trip], order=order, spec=spec)

    def within(self, aggregate: exp.Expr, before: int, after: int) -> exp.Expr:
        """The same over the points that lie at most so many microseconds before and after."""
        return self.window(aggregate, _frame("RANGE", before, after))

    def among(self, aggregate: exp.Expr, before: int, after: int) -> exp.Expr:
        """The same over so many points before and after."""
        return self.window(aggregate, _frame("ROWS", before, after))


def _frame(kind: str, before: int, after: int) -> exp.WindowSpec:
    def end(distance: int, side: str) -> tuple[Any, str | None]:
        return ("CURRENT ROW", None) if distance == 0 else (bigint(distance), side)

    start, start_side = end(before, "PRECEDING")
    stop, stop_side = end(after, "FOLLOWING")
    return exp.WindowSpec(kind=kind, start=start, start_side=start_side, end=stop, end_side=stop_side)


class Tuning(Word):
    """A label of each point, made of its values along the trip."""

    accepts: ClassVar[tuple[str, ...]] = KINDS
    gives: ClassVar[str | None] = None
    """The kind of what it gives, None for the kind that it is given."""

    def kind(self, given: str) -> str:
        """The kind of what it gives."""
        return self.gives or given

    def problem(self, kind: str) -> str | None:
        """Why it does not apply to values of a kind that it accepts, None where it does."""
        return None

    @property
    def steps_ahead(self) -> int:
        """How many points ahead of its own the value is taken from, less than 0 for points before."""
        return 0

    def applied(self, value: exp.Expr, kind: str, along: Along) -> exp.Expr:
        """The label, given its value before."""
        return value

    def reach(self, furthest: exp.Expr, along: Along) -> exp.Expr | None:
        """The greatest of `furthest` over the points that the label looks at, its own among them; None where it looks at none ahead."""
        return None


class NoTuning(Tuning):
    """The label as it is."""

    name = "no_tuning"


class _Event(Tuning):
    """Whether something happens near a point."""

    gives = "integer"
    event_value: Scalar
    duration: float = Field(gt=0, le=LONGEST)

    def problem(self, kind: str) -> str | None:
        return None if fits(self.event_value, kind) else f"event_value {self.event_value!r} is no {kind}"

    @property
    def micros(self) -> int:
        """The duration in microseconds."""
        return micros_of(self.duration)

    def _seen(self, value: exp.Expr, kind: str, along: Along, before: int, after: int) -> exp.Expr:
        event = exp.EQ(this=value.copy(), expression=as_cell(self.event_value, kind))
        happened = exp.Case().when(event, bigint(1)).else_(bigint(0))
        return along.within(exp.Max(this=happened), before, after)


class LeadUp(_Event):
    """1 where `event_value` follows within `duration` seconds in the trip, now and the end counted, else 0."""

    name = "leadup"
    accepts = ("boolean", "integer", "float", "string")

    def applied(self, value: exp.Expr, kind: str, along: Along) -> exp.Expr:
        return self._seen(value, kind, along, 0, self.micros)

    def reach(self, furthest: exp.Expr, along: Along) -> exp.Expr | None:
        return along.within(exp.Max(this=furthest), 0, self.micros)


class FollowUp(_Event):
    """1 where `event_value` came at most `duration` seconds before in the trip, now and the beginning counted, else 0."""

    name = "followup"
    accepts = ("boolean", "integer", "float", "string")

    def applied(self, value: exp.Expr, kind: str, along: Along) -> exp.Expr:
        return self._seen(value, kind, along, self.micros, 0)


class Shift(Tuning):
    """The value of another point of the trip: `shift_steps: -3` that of three points later, `3` that of three before.

    `fill_value` stands where the trip has no such point; without it the label is missing there.
    """

    name = "shift"
    shift_steps: int = Field(ge=-1_000_000, le=1_000_000)
    fill_value: Scalar | None = None

    @field_validator("shift_steps")
    @classmethod
    def _that_shifts(cls, steps: int) -> int:
        if steps == 0:
            raise ValueError("0 shifts nothing: leave it out, or write -1 for the next point")
        return steps

    def problem(self, kind: str) -> str | None:
        if self.fill_value is None or fits(self.fill_value, kind):
            return None
        return f"fill_value {self.fill_value!r} is no {kind}"

    @property
    def steps_ahead(self) -> int:
        return -self.shift_steps

    def applied(self, value: exp.Expr, kind: str, along: Along) -> exp.Expr:
        function = exp.Lag if self.shift_steps > 0 else exp.Lead
        default = {} if self.fill_value is None else {"default": as_cell(self.fill_value, kind)}
        return along.window(function(this=value, offset=exp.convert(abs(self.shift_steps)), **default))

    def reach(self, furthest: exp.Expr, along: Along) -> exp.Expr | None:
        return along.among(exp.Max(this=furthest), 0, -self.shift_steps) if self.shift_steps < 0 else None


class Map(Tuning):
    """The text that `mapper` has for a value: `{0: runs, 1: stands}`; values that it does not name stay, as texts."""

    name = "map"
    accepts = ("boolean", "integer", "string")
    gives = "string"
    mapper: dict[str, Scalar] = Field(min_length=1)

    def applied(self, value: exp.Expr, kind: str, along: Along) -> exp.Expr:
        text = exp.cast(value, "text")
        case = exp.Case()
        for old, new in self.mapper.items():
            told = str(new).lower() if isinstance(new, bool) else str(new)
            case = case.when(exp.EQ(this=text.copy(), expression=literal(old, "string")), literal(told, "string"))
        return case.else_(text)


LABEL_TUNINGS = table_of(NoTuning, LeadUp, FollowUp, Shift, Map)
