"""`calendar`: the parts of a time that repeat, as sine and cosine, and the year."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field
from sqlglot import exp

from cengine.expressions.build import as_double, double
from cengine.summaries import Needs, Summary
from cengine.transforms.scale import epoch_seconds
from cengine.transforms.value import Lookups, Transform, Value

Part = Literal["year", "month", "day", "day_of_week", "hour", "minute"]
SECONDS_PER_DAY = 86_400


class Calendar(Transform):
    """Columns for the chosen parts. Cyclic parts give a sine and a cosine; the year is z-scored over the train rows.

    Monday is the first day of the week. The part's finer remainder counts too: 23:59 lies next to 0:00.
    """

    name = "calendar"
    accepts = ("timestamp",)
    parts: tuple[Part, ...] = Field(default=("year", "month", "day_of_week", "hour", "minute"), min_length=1)

    def needs(self) -> Needs:
        return Needs(moments=True)

    def fit(self, summary: Summary, where: str) -> dict[str, Any]:
        # The mean and deviation of seconds, told in years of 365.2425 days, place the year without another query.
        year_seconds = 365.2425 * SECONDS_PER_DAY
        mean, deviation = summary.mean or 0.0, summary.deviation or 0.0
        return {"offset": 1970 + mean / year_seconds, "scale": max(deviation / year_seconds, 1e-3)}

    def apply(self, value: Value, statistics: dict[str, Any], lookups: Lookups) -> tuple[Value, ...]:
        time = exp.cast(value.expression, "timestamp")
        values = []
        for part in dict.fromkeys(self.parts):
            if part == "year":
                year = as_double(exp.Extract(this=exp.var("year"), expression=time.copy()))
                scaled = exp.Paren(this=year - double(statistics["offset"])) / double(statistics["scale"])
                values.append(Value(exp.Paren(this=scaled), "float", part="year"))
                continue
            angle = exp.Paren(this=_turn(part, time)) * double(2 * math.pi)
            values.append(Value(exp.Sin(this=angle), "float", part=f"{part}_sin"))
            values.append(Value(exp.Cos(this=angle.copy()), "float", part=f"{part}_cos"))
        return tuple(values)


def _turn(part: str, time: exp.Expr) -> exp.Expr:
    """How much of its cycle has passed, 0 to 1."""
    if part in ("month", "day"):
        unit, length = ("month", 12.0) if part == "month" else ("day", 31.0)
        number = as_double(exp.Extract(this=exp.var(unit), expression=time.copy()))
        return exp.Paren(this=number - double(1.0)) / double(length)
    cycle, shift = {"minute": (3600.0, 0.0), "hour": (86_400.0, 0.0), "day_of_week": (7 * 86_400.0, 3 * 86_400.0)}[part]
    # 1970-01-01 was a Thursday: three days after a Monday.
    turns = exp.Paren(this=epoch_seconds(time) + double(shift)) / double(cycle)
    return exp.Paren(this=turns) - exp.Floor(this=exp.Paren(this=turns.copy()))
