"""`label_tuning:`, what a label becomes along its trip: one word, or a list of them in order.

Each is an expression over the points of a trip in order of time, in DuckDB; `until` says how far into the future it looks, so that
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

    def rest(self, aggregate: exp.Expr, *, own: bool = True) -> exp.Expr:
        """The same over the points from this one, or the next one, on, those without a value left out."""
        start: tuple[Any, str | None] = ("CURRENT ROW", None) if own else (exp.convert(1), "FOLLOWING")
        spec = exp.WindowSpec(kind="ROWS", start=start[0], start_side=start[1], end="UNBOUNDED", end_side="FOLLOWING")
        return self.window(exp.IgnoreNulls(this=aggregate), spec)

    def so_far(self, aggregate: exp.Expr) -> exp.Expr:
        """The same over the points up to this one, those without a value left out."""
        spec = exp.WindowSpec(kind="ROWS", start="UNBOUNDED", start_side="PRECEDING", end="CURRENT ROW")
        return self.window(exp.IgnoreNulls(this=aggregate), spec)

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

    def until(self, before: str | None, along: Along) -> exp.Expr | None:
        """The latest time that the label looks at; None where it looks at no later point.

        `before` names the same of the value that it is made of, None where that looks at none but its own.
        """
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

    def _when(self, value: exp.Expr, kind: str, along: Along) -> exp.Expr:
        """The time of the point where the event happens."""
        event = exp.EQ(this=value.copy(), expression=as_cell(self.event_value, kind))
        return exp.Case().when(event, column(along.time))

    def _is_near(self, distance: exp.Expr) -> exp.Expr:
        """1 where there is a distance in time of at most the duration, else 0."""
        near = exp.LTE(this=exp.Paren(this=distance), expression=bigint(self.micros))
        return exp.Case().when(near, bigint(1)).else_(bigint(0))


class LeadUp(_Event):
    """1 where `event_value` follows within `duration` seconds in the trip, now and the end counted, else 0."""

    name = "leadup"
    accepts = ("boolean", "integer", "float", "string")

    def applied(self, value: exp.Expr, kind: str, along: Along) -> exp.Expr:
        # The next event's time: a frame that ends with the trip costs a fifth of one by time.
        following = along.rest(exp.FirstValue(this=self._when(value, kind, along)))
        return self._is_near(exp.Sub(this=following, expression=column(along.time)))

    def until(self, before: str | None, along: Along) -> exp.Expr | None:
        if before is None:
            return exp.Add(this=column(along.time), expression=bigint(self.micros))
        return along.within(exp.Max(this=column(before)), 0, self.micros)


class FollowUp(_Event):
    """1 where `event_value` came at most `duration` seconds before in the trip, now and the beginning counted, else 0."""

    name = "followup"
    accepts = ("boolean", "integer", "float", "string")

    def applied(self, value: exp.Expr, kind: str, along: Along) -> exp.Expr:
        followed = along.so_far(exp.LastValue(this=self._when(value, kind, along)))
        return self._is_near(exp.Sub(this=column(along.time), expression=followed))


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

    def until(self, before: str | None, along: Along) -> exp.Expr | None:
        if self.shift_steps > 0:
            return None if before is None else column(before)
        return along.among(exp.Max(this=column(before or along.time)), 0, -self.shift_steps)


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
