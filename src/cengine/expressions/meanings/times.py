"""Times: their parts, borders and distances, as whole numbers of microseconds and days since 1970 wherever engines differ."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from sqlglot import exp

from cengine.expressions.build import bigint, double
from cengine.expressions.meanings.meant import (
    DATE,
    DOUBLE,
    DURATION,
    NULL,
    TEXT,
    TIME,
    WHOLE,
    Meaning,
    Meanings,
    Meant,
    Read,
    adapted,
    as_time,
    expect_only,
    micros,
    minus,
    number_of,
    operand,
    place_in,
    plus,
    quotient,
    refuse,
    stretch_of,
    time_text,
    times,
)

MICROS = {"microsecond": 1, "millisecond": 10**3, "second": 10**6, "minute": 60 * 10**6, "hour": 3600 * 10**6, "day": 86_400 * 10**6,
          "week": 7 * 86_400 * 10**6}  # fmt: skip
MONTHS = {"month": 1, "quarter": 3, "year": 12}
_SHORT = {"us": "microsecond", "usec": "microsecond", "ms": "millisecond", "msec": "millisecond", "s": "second", "sec": "second",
          "m": "minute", "min": "minute", "h": "hour", "hr": "hour", "d": "day", "w": "week", "mon": "month", "y": "year", "yr": "year",
          "dayofweek": "dow", "weekday": "dow", "dayofyear": "doy", "dayofmonth": "day", "weekofyear": "week"}  # fmt: skip
# 1970-01-01 was a Thursday.
DAYS_FROM_SUNDAY, DAYS_FROM_MONDAY = 4, 3
# Days from 0001-01-01 to 1970-01-01.
DAYS_BEFORE_1970 = 719_162


def unit_of(node: exp.Expr | None) -> str:
    """The unit's name in full, in lower case; an unknown one as it is written."""
    name = (node.name if node is not None else "").lower()
    for known in (name, name.removesuffix("s")):
        if known in MICROS or known in MONTHS:
            return known
        if known in _SHORT:
            return _SHORT[known]
    return name


def _time(meant: Meant, node: exp.Expr) -> Meant:
    """A date or time; a text that the user wrote is one if it can be."""
    if meant.kind == NULL:
        return Meant(exp.cast(exp.null(), "timestamp"), TIME)
    meant = adapted(meant, Meant(exp.null(), TIME), node)
    if not meant.is_time:
        raise refuse(
            node, f"{meant.called} stands where a date or time is needed", "use CAST(... AS TIMESTAMP) if it is one"
        )
    return meant


# Numbers of a time


def days(meant: Meant) -> exp.Expr:
    """Days since 1970, a BIGINT."""
    return stretch_of(micros(meant), MICROS["day"])


def _part(unit: str, meant: Meant) -> exp.Expr:
    return exp.cast(exp.Extract(this=exp.var(unit.upper()), expression=as_time(meant)), "bigint")


def _day_of_year(meant: Meant) -> exp.Expr:
    before = minus(_part("year", meant), bigint(1))
    leap_days = plus(minus(quotient(before, bigint(4)), quotient(before, bigint(100))), quotient(before, bigint(400)))
    new_year = minus(plus(times(before, bigint(365)), leap_days), bigint(DAYS_BEFORE_1970))
    return plus(minus(days(meant), new_year), bigint(1))


def _second(meant: Meant) -> exp.Expr:
    return quotient(place_in(micros(meant), MICROS["minute"]), bigint(MICROS["second"]))


PARTS: dict[str, Callable[[Meant], exp.Expr]] = {
    **{unit: functools.partial(_part, unit) for unit in ("year", "month", "day", "hour", "minute", "week", "isoyear")},
    "quarter": lambda meant: quotient(plus(_part("month", meant), bigint(2)), bigint(3)),
    "second": _second,
    "millisecond": lambda meant: quotient(place_in(micros(meant), MICROS["minute"]), bigint(1000)),
    "microsecond": lambda meant: place_in(micros(meant), MICROS["minute"]),
    "dow": lambda meant: place_in(plus(days(meant), bigint(DAYS_FROM_SUNDAY)), 7),
    "isodow": lambda meant: plus(place_in(plus(days(meant), bigint(DAYS_FROM_MONDAY)), 7), bigint(1)),
    "doy": _day_of_year,
    "epoch": lambda meant: exp.Div(this=exp.cast(micros(meant), "double"), expression=double(1e6)),
}


def _named_part(unit: str) -> Meaning:
    def meaning(node: exp.Expr, read: Read) -> Meant:
        expect_only(node, "this")
        return Meant(PARTS[unit](_time(read(node.this), node)), WHOLE)

    return meaning


def _extract(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this", "expression")
    unit = unit_of(node.this)
    if unit not in PARTS:
        raise refuse(node, f"'{unit}' is no part that all engines know", f"there are {', '.join(PARTS)}")
    return Meant(PARTS[unit](_time(read(node.expression), node)), DOUBLE if unit == "epoch" else WHOLE)


# Borders


def _border(unit: str, meant: Meant, node: exp.Expr) -> exp.Expr:
    """The number of borders of a unit that lie before a time, from any start on."""
    if unit in MONTHS:
        months = plus(times(_part("year", meant), bigint(12)), minus(_part("month", meant), bigint(1)))
        return months if unit == "month" else quotient(months, bigint(MONTHS[unit]))
    if unit not in MICROS:
        raise refuse(node, f"'{unit}' is no unit that all engines know", f"there are {', '.join([*MICROS, *MONTHS])}")
    return stretch_of(micros(meant), MICROS[unit])


def _difference(node: exp.Expr, read: Read) -> Meant:
    """Borders between two times; weeks are seven days each, whatever day they begin on."""
    expect_only(node, "this", "expression", "unit", "date_part_boundary")
    unit = unit_of(node.args.get("unit")) or "day"
    later, earlier = (_time(read(node.args[name]), node) for name in ("this", "expression"))
    if unit == "week":
        return Meant(quotient(minus(days(later), days(earlier)), bigint(7)), WHOLE)
    return Meant(minus(_border(unit, later, node), _border(unit, earlier, node)), WHOLE)


def _truncated(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this", "unit", "input_type_preserved", "function")
    unit = unit_of(node.args.get("unit"))
    if unit not in MICROS and unit not in MONTHS:
        raise refuse(node, f"'{unit}' is no unit that all engines know", f"there are {', '.join([*MICROS, *MONTHS])}")
    found = exp.TimestampTrunc(this=as_time(_time(read(node.this), node)), unit=exp.var(unit.upper()))
    return Meant(exp.cast(found, "timestamp"), TIME)


# Lengths of time


def _interval(node: exp.Expr) -> tuple[int, str]:
    """The number and the unit of `INTERVAL 2 DAY`."""
    expect_only(node, "this", "unit")
    count = _count_of(node.this)
    unit = unit_of(node.args.get("unit"))
    if not re.fullmatch(r"-?\d{1,9}", count) or (unit not in MICROS and unit not in MONTHS):
        raise refuse(
            node,
            "a length of time is a whole number and one unit",
            f"INTERVAL 2 DAY; units are {', '.join([*MICROS, *MONTHS])}",
        )
    return int(count), unit


def _count_of(written: exp.Expr) -> str:
    if isinstance(written, exp.Neg):
        return str(int(number_of(written)))
    return written.name if isinstance(written, exp.Literal) else ""


def _length(node: exp.Expr, read: Read) -> Meant:
    """A length of time beside another, in microseconds."""
    count, unit = _interval(node)
    if unit in MONTHS:
        raise refuse(
            node, f"a {unit} is not always as long as another", f"use date_diff('{unit}', ...), or count in days"
        )
    return Meant(bigint(count * MICROS[unit]), DURATION)


def moved(meant: Meant, interval: exp.Expr, node: exp.Expr, *, back: bool) -> Meant:
    """A time some units later or earlier; a date becomes a time."""
    count, unit = _interval(interval)
    if meant.kind == DURATION:
        other = _length(interval, lambda _: meant)
        return Meant((minus if back else plus)(meant.tree, other.tree), DURATION)
    time = as_time(_time(meant, node))
    if unit in ("millisecond", "microsecond", "quarter", "week"):  # said in units that all engines have
        count, unit = {
            "millisecond": (count * 1000, "microsecond"),
            "quarter": (count * 3, "month"),
            "week": (count * 7, "day"),
        }.get(unit, (count, unit))
    length = exp.Interval(this=exp.Literal.string(str(abs(count))), unit=exp.var(unit.upper()))
    kind = exp.Sub if back != (count < 0) else exp.Add
    return Meant(kind(this=operand(time), expression=length), TIME)


# Texts and times as dates


def _date(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this")
    value = read(node.this)
    if value.literal and value.kind == TEXT:
        return time_text(value, node, DATE)
    return Meant(exp.cast(_time(value, node).tree, "date"), DATE)


def _timestamp(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this")
    value = read(node.this)
    if value.literal and value.kind == TEXT:
        return time_text(value, node, TIME)
    return Meant(as_time(_time(value, node)), TIME)


MEANINGS: Meanings = {
    exp.Extract: _extract, exp.Year: _named_part("year"), exp.Month: _named_part("month"), exp.Day: _named_part("day"),
    exp.Hour: _named_part("hour"), exp.Minute: _named_part("minute"), exp.DayOfWeek: _named_part("dow"), exp.DayOfYear: _named_part("doy"),
    exp.Quarter: _named_part("quarter"), exp.Week: _named_part("week"), exp.DateDiff: _difference, exp.TimestampTrunc: _truncated,
    exp.DateTrunc: _truncated, exp.Interval: _length, exp.Date: _date, exp.TsOrDsToDate: _date, exp.DateStrToDate: _date,
    exp.Timestamp: _timestamp, exp.TimeStrToTime: _timestamp,
}  # fmt: skip
