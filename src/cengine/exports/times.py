"""Parts of times, as operations on microseconds since 1970 UTC (rows, 1), int64."""

from __future__ import annotations

import functools

import duckdb
import numpy as np

from cengine.tensors import BOOL, INT64, Tensor, num_at_or_below

SECOND = 1_000_000
DAY = 86_400 * SECOND
# Days of 400 years, after which the calendar repeats, weekdays included.
DAYS_OF_CYCLE = 146_097
# From 0000-03-01 to 1970-01-01: years that begin in March have their leap day at the end.
DAYS_BEFORE_1970 = 719_468
# A clock's rules are asked for from year 1 on; from 2100 on none is known to change, so that they repeat as the calendar does.
FIRST_ASKED, LAST_RULES = "0001-01-01", "2100-01-01"


@functools.cache
def moment(text: str) -> int:
    """The microseconds of a time as DuckDB reads it."""
    with _asked() as connection:
        (found,) = connection.execute("SELECT epoch_us(CAST(? AS TIMESTAMP))", [text]).fetchall()[0]
    return int(found)


def floored(number: Tensor, divisor: int) -> Tensor:
    """The whole number at or below number / divisor; Div alone rounds towards 0."""
    return (number - number.apply("Mod", divisor, fmod=0)) / divisor


def local_part(time: Tensor, part: str) -> Tensor | None:
    """Year, month or day of the Gregorian calendar, int64; None for another part.

    Years that begin in March are counted in cycles of 400, in which (153 m + 2) / 5 days are before month m. Source of the
    formulas: Hinnant 2013, "chrono-Compatible Low-Level Date Algorithms".
    """
    if part not in ("year", "month", "day"):
        return None
    days = floored(time, DAY) + DAYS_BEFORE_1970
    cycle = floored(days, DAYS_OF_CYCLE)
    day = days - cycle * DAYS_OF_CYCLE
    year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365
    day_of_year = day - (year * 365 + year / 4 - year / 100)
    month = (day_of_year * 5 + 2) / 153
    if part == "day":
        return day_of_year - (month * 153 + 2) / 5 + 1
    is_next = month.apply("GreaterOrEqual", 10, dtype=BOOL).cast(INT64)
    if part == "month":
        return month + 3 - is_next * 12
    return year + cycle * 400 + is_next


def clock_in(zone: str, time: Tensor) -> Tensor:
    """What a clock in the zone shows at these moments."""
    moments, offsets = changes_of(zone)
    # Beyond the last change that was asked for, as long before it as the calendar takes to repeat.
    end = moment(LAST_RULES) + DAYS_OF_CYCLE * DAY
    late = (time - end).apply("Max", -1)
    cycles = floored(late, DAYS_OF_CYCLE * DAY) + 1
    place = num_at_or_below(time - cycles * (DAYS_OF_CYCLE * DAY), moments)
    return time + time.graph.add("Gather", time.graph.constant(offsets, INT64), place, axis=0)


@functools.cache
def changes_of(zone: str) -> tuple[np.ndarray, np.ndarray]:
    """When a zone's clock is set, in microseconds (n,), and its distance to UTC before the first and after each (n + 1,), int64.

    DuckDB is asked for each day, and between two days that differ it is asked again.
    """
    with _asked() as connection:
        first, last = moment(FIRST_ASKED), moment(LAST_RULES) + DAYS_OF_CYCLE * DAY
        days = np.arange(first, last + DAY, DAY)
        distances = _distances(connection, zone, days)
        at = np.flatnonzero(np.diff(distances))
        low, high, before = days[at], days[at + 1], distances[at]
        while (high - low > 1).any():
            middle = (low + high) // 2
            same = _distances(connection, zone, middle) == before
            low, high = np.where(same, middle, low), np.where(same, high, middle)
    return high, np.append(distances[:1], distances[at + 1])


def _asked() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")  # as all engines have it
    return connection


def _distances(connection: duckdb.DuckDBPyConnection, zone: str, moments: np.ndarray) -> np.ndarray:
    import pyarrow as pa

    connection.register("asked", pa.table({"t": moments}))
    query = "SELECT epoch_us(timezone(?, timezone('UTC', make_timestamp(t)))) - t FROM asked"
    (found,) = connection.execute(query, [zone]).fetchnumpy().values()
    return np.asarray(found, np.int64)
