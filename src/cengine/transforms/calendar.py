"""`calendar`: the parts of a time that repeat, as sine and cosine, and the year."""

from __future__ import annotations

import functools
import math
from typing import Any, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from sqlglot import exp

from cengine.expressions.build import as_double, double
from cengine.summaries import Needs, Summary
from cengine.transforms.scale import epoch_seconds, scaled, standardizing
from cengine.transforms.value import Lookups, Transform, Value

Part = Literal["year", "month", "day", "day_of_week", "hour", "minute"]


class Calendar(Transform):
    """Columns for the chosen parts. Cyclic parts give a sine and a cosine; the year is z-scored over the train rows, and 0 if
    they are of one year. With `zone` (`Europe/Berlin`) the parts are those that a clock in this zone shows. Without it they are
    those of UTC for a column with a time zone, and those that are written for one without. Under `zone` a column without a
    time zone counts as UTC.

    Monday is the first day of the week. The part's finer remainder counts too: 23:59 lies next to 0:00.
    """

    name = "calendar"
    gives_several = True
    version = 2
    accepts = ("timestamp",)
    parts: tuple[Part, ...] = Field(default=("year", "month", "day_of_week", "hour", "minute"), min_length=1)
    zone: str | None = None

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str | None) -> str | None:
        if zone is not None and zone not in zones():
            # Of this type because its message then comes with a near miss, as that of any word does.
            raise PydanticCustomError(
                "literal_error", "there is no such time zone", {"expected": ", ".join(sorted(zones()))}
            )
        return zone

    def needs(self) -> Needs:
        return Needs(moments="year" in self.parts)

    def asked(self, value: Value) -> Value:
        return Value(exp.cast(_extract("year", self._local(value)), "bigint"), "integer")

    def fit(self, summary: Summary, where: str) -> dict[str, Any]:
        return standardizing(summary)

    def apply(self, value: Value, statistics: dict[str, Any], lookups: Lookups) -> tuple[Value, ...]:
        time = self._local(value)
        values = []
        for part in dict.fromkeys(self.parts):
            if part == "year":
                year = scaled(as_double(_extract("year", time)), statistics)
                values.append(Value(year, "float", part="year"))
                continue
            angle = exp.Paren(this=_turn(part, time)) * double(2 * math.pi)
            values.append(Value(exp.Sin(this=angle), "float", part=f"{part}_sin"))
            values.append(Value(exp.Cos(this=angle.copy()), "float", part=f"{part}_cos"))
        return tuple(values)

    def _local(self, value: Value) -> exp.Expr:
        """What a clock in the zone shows; times are UTC without a zone everywhere else."""
        time = exp.cast(value.expression.copy(), "timestamp")
        return time if self.zone is None else _in_zone(self.zone, _in_zone("UTC", time))


@functools.cache
def zones() -> frozenset[str]:
    """The time zones that all engines know: regions with cities, and UTC.

    Abbreviations mean different things (IST is in India, Ireland and Israel), and engines do not agree on them.
    """
    import duckdb

    with duckdb.connect() as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM pg_timezone_names()").fetchall()]
    return frozenset(["UTC", *(name for name in names if "/" in name and not name.startswith("SystemV/"))])


def _in_zone(zone: str, time: exp.Expr) -> exp.Expr:
    """`timezone(zone, time)`: a clock's time in the zone -> a moment, and a moment -> what a clock shows."""
    return exp.Anonymous(this="timezone", expressions=[exp.Literal.string(zone), time])


def _extract(unit: str, time: exp.Expr) -> exp.Expr:
    return exp.Extract(this=exp.var(unit), expression=time.copy())


def _turn(part: str, time: exp.Expr) -> exp.Expr:
    """How much of its cycle has passed, 0 to 1."""
    if part in ("month", "day"):
        length = 12.0 if part == "month" else 31.0
        return exp.Paren(this=as_double(_extract(part, time)) - double(1.0)) / double(length)
    cycle, shift = {"minute": (3600.0, 0.0), "hour": (86_400.0, 0.0), "day_of_week": (7 * 86_400.0, 3 * 86_400.0)}[part]
    # 1970-01-01 was a Thursday: three days after a Monday.
    turns = exp.Paren(this=epoch_seconds(time) + double(shift)) / double(cycle)
    return exp.Paren(this=turns) - exp.Floor(this=exp.Paren(this=turns.copy()))
