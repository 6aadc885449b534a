"""What rows become points and windows, row by row in plain Python: slow, and as the documentation says it."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(time):
    """Microseconds since 1970."""
    delta = time.replace(tzinfo=UTC) - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


@dataclass
class Point:
    category: object
    at: int
    low: int
    high: int
    trip: int
    first: int
    last: int
    is_period: bool = True
    raw: dict = field(default_factory=dict)
    """Values of (column, word) before filling and tuning."""
    cells: dict = field(default_factory=dict)
    far: int = 0


def rank(number, num_splits):
    """train < inner < the others."""
    return 0 if number == 0 else 1 if number == num_splits else number + 1


def key(category):
    """The order of categories: missing first, then binary."""
    return (category is not None, category.encode() if isinstance(category, str) else category or 0)


def reduced(word, values):
    """`values`: those of a period that are there, by time and row."""
    name = word.name
    if name == "count":
        return len(values)
    if not values:
        return None
    numbers = [int(v) if isinstance(v, bool) else v for v in values]
    match name:
        case "threshold":
            met = sum(compares(word, v) for v in numbers)
            none = {bool: False, int: 0, float: 0.0, str: ""}[type(word.set_value)]
            return word.set_value if met / len(values) > word.threshold else none
        case "sum":
            return sum(numbers)
        case "mean":
            return float(sum(numbers)) / len(values)
        case "median":
            return float(statistics.median(numbers))
        case "mode":
            counts = Counter(values)
            return min(counts, key=lambda v: (-counts[v], v))
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "first":
            return values[0]
        case "last":
            return values[-1]
    raise AssertionError(name)


def compares(word, value):
    other = word.c_value
    match word.cond:
        case "greater":
            return value > other
        case "less":
            return value < other
        case "equal":
            return value == (str(other) if isinstance(value, str) else other)
        case "greater_or_equal":
            return value >= other
        case "less_or_equal":
            return value <= other
        case "includes":
            return str(other) in value
    raise AssertionError(word.cond)


def as_text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def happened(word, kind, values):
    wanted = as_text(word.event_value) if kind == "string" else word.event_value
    return int(any(value is not None and value == wanted for value in values))


def tuned(trip, label):
    """The label of each point of a trip, and how far into later splits it looks."""
    values = [point.raw[slot(label)] for point in trip]
    far = [point.high for point in trip]
    kind = label.untuned_kind
    times = [point.at for point in trip]
    for word in label.tunings:
        match word.name:
            case "leadup":
                seen = [[j for j, t in enumerate(times) if at <= t <= at + word.micros] for at in times]
                values = [happened(word, kind, [values[j] for j in js]) for js in seen]
                far = [max(far[j] for j in js) for js in seen]
            case "followup":
                seen = [[j for j, t in enumerate(times) if at - word.micros <= t <= at] for at in times]
                values = [happened(word, kind, [values[j] for j in js]) for js in seen]
            case "shift":
                k = word.shift_steps
                places = [i - k for i in range(len(trip))]
                values = [values[p] if 0 <= p < len(trip) else word.fill_value for p in places]
                if k < 0:
                    far = [max(far[i : i - k + 1]) for i in range(len(trip))]
            case "map":
                values = [None if v is None else as_text(word.mapper.get(as_text(v), v)) for v in values]
        kind = word.kind(kind)
    return values, far


def slot(column):
    return (column.column, column.resampling.model_dump_json() + column.resampling.name if column.resampling else None)


def periods(rows, numbers, num_splits, series):
    """The periods of each series, in order, in trips."""
    words = series.words
    groups = defaultdict(list)
    for row in rows:
        if row[words.timestamp] is None:
            continue
        time = micros(row[words.timestamp])
        category = row[words.category] if words.category else 0
        begin = time if words.rate is None else time // words.rate * words.rate
        place = row["_row_id"] if words.rate is None else None
        groups[category, begin, place].append((time, row["_row_id"], row))
    made = []
    for (category, begin, _), members in sorted(
        groups.items(), key=lambda item: (key(item[0][0]), item[0][1], item[0][2] or 0)
    ):
        members.sort(key=lambda member: member[:2])
        ranks = [rank(numbers[member[1]], num_splits) for member in members]
        point = Point(category, begin, min(ranks), max(ranks), 0, members[0][0], members[-1][0])
        for column in (*series.columns, *series.labels):
            if column.resampling is None and column.column in (words.timestamp, words.category):
                continue
            values = [m[2][column.column] for m in members] if column.column else [1] * len(members)
            values = [None if isinstance(v, float) and not math.isfinite(v) else v for v in values]
            present = [v for v in values if v is not None]
            point.raw[slot(column)] = reduced(column.resampling, present) if column.resampling else values[0]
        made.append(point)
    trip = 0
    for before, point in zip([None, *made], made, strict=False):
        fresh = before is None or before.category != point.category
        if fresh or (words.gap is not None and point.first - before.last >= words.gap):
            trip += 1
        point.trip = trip
    return made


def standing(made, series):
    """Without empty periods, or with all of them."""
    words = series.words
    if words.rate is None:
        return made
    if words.empty_periods == "drop":
        return [p for p in made if any(v is not None for v in p.raw.values()) or not p.raw]
    found = []
    for point, after in zip(made, [*made[1:], None], strict=False):
        found.append(point)
        if after is None or after.trip != point.trip:
            continue
        for at in range(point.at + words.rate, after.at, words.rate):
            empty = Point(point.category, at, after.low, after.low, point.trip, 0, 0)
            for column in (*series.columns, *series.labels):
                if slot(column) in point.raw:
                    none = {"count": 0, "sum": 0.0 if column.raw_kind == "float" else 0}
                    empty.raw[slot(column)] = none.get(column.resampling.name)
            found.append(empty)
    return found


def reference(rows, numbers, num_splits, series, *, cuts_inner=False):
    """(points in order, {first: number of the split} of windows, counts).

    With `cuts_inner` the last tenth of the train periods is kept back; else the rows' numbers tell which are.
    """
    words = series.words
    made = periods(rows, numbers, num_splits, series)
    if cuts_inner:
        begins = sorted(point.at for point in made if point.high == 0)
        cut = begins[math.ceil(0.9 * len(begins)) - 1]
        for point in made:
            if point.high == 0 and point.at >= cut:
                point.low = point.high = 1
    points = standing(made, series)
    trips = defaultdict(list)
    for point in points:
        trips[point.trip].append(point)
    for trip in trips.values():
        _fill(trip, series)
        for point in trip:
            point.far = point.high
        for label in series.labels:
            values, far = tuned(trip, label)
            for point, value, reached in zip(trip, values, far, strict=True):
                point.cells[label.name] = value
                point.far = max(point.far, reached)
    windows, counts = {}, Counter()
    first_of_trip = 0
    needed = [label.name for label in series.labels if not label.optional]
    steps = words.horizon or 1
    for _, trip in sorted(trips.items()):
        counts["short_trips"] += len(trip) < words.points
        counts["longest_trip"] = max(counts["longest_trip"], len(trip))
        for start in range(0, len(trip) - words.points + 1, words.shift):
            window = trip[start : start + words.points]
            asked = window[-steps:]
            ranks = {r for point in asked for r in (point.low, point.high)}
            if words.rate is not None and window[-1].at != window[0].at + (words.points - 1) * words.rate:
                counts["holes"] += 1
            elif len(ranks) > 1:
                counts["straddlers"] += 1
            elif any(point.far > point.high for point in asked):
                counts["reaching"] += 1
            elif any(point.cells[name] is None for point in asked for name in needed):
                counts["without_label"] += 1
            else:
                windows[first_of_trip + start] = asked[-1].high
        first_of_trip += len(trip)
    counts["num_trips"] = len(trips)
    counts["num_series"] = len({point.category for point in points})
    number_of = {rank(number, num_splits): number for number in range(num_splits + 1)}
    return points, {first: number_of[found] for first, found in windows.items()}, counts


def _fill(trip, series):
    words = series.words
    for column in series.columns:
        if column.resampling is None and column.column in (words.timestamp, words.category):
            for point in trip:
                point.cells[column.name] = point.category if column.column == words.category else point.at
            continue
        values = [point.raw[slot(column)] for point in trip]
        if column.fill == "forward":
            for i in range(1, len(trip)):
                values[i] = values[i - 1] if values[i] is None else values[i]
        if column.fill == "backwards":
            for i in range(len(trip) - 2, -1, -1):
                if values[i] is None and trip[i].high == trip[i + 1].high:
                    values[i] = values[i + 1]
        for point, value in zip(trip, values, strict=True):
            point.cells[column.name] = value
