"""Aggregates of many expressions over the train rows in as few queries as possible, the same for any number of threads.

Sums are formed of integers (`fixed_point.py`): sums of floating-point numbers depend on their order, and with threads the
order is not known.
Quantiles come from at most 2**20 rows, drawn by identity: exact up to that size, and repeatable above it.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from sqlglot import exp

from cengine.engines.engine import Engine
from cengine.errors import PreprocessError
from cengine.expressions.build import as_double, as_number, column
from cengine.expressions.keys import drawn
from cengine.expressions.queries import query
from cengine.plain import Cell
from cengine.preprocess.fixed_point import FixedPoint
from cengine.summaries import Needs, Summary
from cengine.transforms.scale import LARGE, epoch_seconds

MAX_SAMPLE_ROWS = 2**20
MAX_VOCABULARY = 2_000_000

# Engines plan a query of many more expressions in a time that grows with their square.
COLUMNS_PER_QUERY = 128
# GROUPING() has a bit for each, and its sign none.
COUNTED_PER_QUERY = 60

# The train rows with these columns.
TrainRows = Callable[[Sequence[str]], exp.Select]


@dataclass(frozen=True)
class Question:
    """What is asked of one expression; `bounds` are known to hold its values where they are given."""

    label: str
    expression: exp.Expr
    kind: str
    needs: Needs
    bounds: tuple[float, float] | None = None


def summarize(engine: Engine, train: TrainRows, num_rows: int, questions: list[Question]) -> list[Summary]:
    """One summary a question; `num_rows` is the number of train rows."""
    # What a table in a warehouse costs is its scans, each of all columns: they are as few as can be.
    size = COLUMNS_PER_QUERY if engine.reads_files else max(1, len(questions))
    parts = [questions[start : start + size] for start in range(0, len(questions), size)]
    return [summary for part in parts for summary in _summarized(engine, train, num_rows, part)]


def _summarized(engine: Engine, train: TrainRows, num_rows: int, questions: list[Question]) -> list[Summary]:
    ranges = _ranges(engine, train, questions)
    moments = _moments(engine, train, questions, ranges)
    counts = _counts(engine, train, questions)
    quantiles = _quantiles(engine, train, num_rows, questions)
    summaries = []
    for i, _ in enumerate(questions):
        low, high, num_valid = ranges.get(i, (None, None, None))
        exact, deviation, num_counted = moments.get(i, (None, None, None))
        mean, rest = (None, 0.0) if exact is None else (float(exact), float(exact - Fraction(float(exact))))
        missing = num_rows - next((n for n in (num_valid, num_counted) if n is not None), num_rows)
        pairs, num_distinct = counts.get(i, ((), None))
        own = quantiles.get(i, ())
        summaries.append(Summary(num_rows, missing, low, high, mean, deviation, pairs, num_distinct, own, rest))
    return summaries


def _values(train: TrainRows, questions: Sequence[Question], expressions: Mapping[str, exp.Expr]) -> exp.Subquery:
    """Expressions over the train rows under names, as an item of FROM: what is asked of them repeats a name and not the expression."""
    values = [expression.as_(name, quoted=True, copy=False) for name, expression in expressions.items()]
    return exp.select(*values, copy=False).from_(_rows(train, questions), copy=False).subquery("numbers", copy=False)


def _rows(train: TrainRows, questions: Sequence[Question]) -> exp.Subquery:
    """The train rows with what the expressions read, as an item of FROM."""
    names = dict.fromkeys(cell.name for question in questions for cell in question.expression.find_all(exp.Column))
    return train([*names]).subquery("train", copy=False)


def _numeric(question: Question) -> exp.Expr:
    """The expression as a number: seconds for times, 0 and 1 for booleans."""
    if question.kind == "timestamp":
        return epoch_seconds(question.expression)
    return as_number(question.expression.copy(), question.kind)


def _ranges(engine: Engine, train: TrainRows, questions: list[Question]) -> dict[int, tuple[Cell, Cell, int]]:
    """Least and greatest value and number of values, of the questions that ask, or whose moments need bounds."""
    asked = [i for i, q in enumerate(questions) if q.needs.range or (q.needs.moments and q.bounds is None)]
    if not asked:
        return {}
    outputs, values = [], {}
    for i in asked:
        question = questions[i]
        # Engines disagree on the least of booleans.
        is_plain = question.needs.range and question.kind != "boolean"
        values[f"value_{i}"] = question.expression.copy() if is_plain else _numeric(question)
        for name, aggregate in (("low", exp.Min), ("high", exp.Max), ("num", exp.Count)):
            outputs.append(aggregate(this=column(f"value_{i}")).as_(f"{name}_{i}", quoted=True, copy=False))
    rows = _values(train, [questions[i] for i in asked], values)
    row = engine.fetch_rows(exp.select(*outputs, copy=False).from_(rows, copy=False))[0]
    return {
        i: (_end(row[f"low_{i}"], questions[i]), _end(row[f"high_{i}"], questions[i]), row[f"num_{i}"]) for i in asked
    }


def _end(value: Cell, question: Question) -> Cell:
    return bool(value) if question.kind == "boolean" and question.needs.range and value is not None else _plain(value)


def _moments(
    engine: Engine, train: TrainRows, questions: list[Question], ranges: dict[int, tuple[Cell, Cell, int]]
) -> dict[int, tuple[Fraction | None, float | None, int]]:
    """Mean, deviation and number of values."""
    outputs: list[exp.Expr] = []
    shifted: dict[str, exp.Expr] = {}
    plans: dict[int, FixedPoint | None] = {}
    for i, question in enumerate(questions):
        if not question.needs.moments:
            continue
        bounds = question.bounds or _numbers(ranges[i][:2])
        if bounds is None:
            plans[i] = None
            continue
        plan = FixedPoint.of(bounds, whole=question.kind in ("integer", "boolean"))
        plans[i] = plan
        called = f"shifted_{i}"
        shifted[called] = plan.shifted(_numeric(question))
        outputs += [total.as_(f"sum_{i}_{name}", quoted=True, copy=False) for name, total in plan.sums(called).items()]
        outputs.append(exp.Count(this=column(called)).as_(f"num_{i}", quoted=True, copy=False))
    if not plans:
        return {}
    rows = _values(train, [questions[i] for i in plans], shifted) if shifted else None
    row = {} if rows is None else engine.fetch_rows(exp.select(*outputs, copy=False).from_(rows, copy=False))[0]
    found: dict[int, tuple[Fraction | None, float | None, int]] = {}
    for i, planned in plans.items():
        count = row.get(f"num_{i}", 0)
        if planned is None or not count:
            found[i] = (None, None, 0)
        else:
            sums = {name: row[f"sum_{i}_{name}"] for name in FixedPoint.NAMES}
            found[i] = (*planned.exact_moments(sums, count), count)
    return found


def _counts(
    engine: Engine, train: TrainRows, questions: list[Question]
) -> dict[int, tuple[tuple[tuple[Cell, int], ...], int]]:
    """Values and their numbers of rows, most frequent first; many columns in one pass over the rows."""
    asked = [i for i, q in enumerate(questions) if q.needs.counts]
    found: dict[int, tuple[tuple[tuple[Cell, int], ...], int]] = {}
    for start in range(0, len(asked), COUNTED_PER_QUERY):
        found |= _counts_of(engine, train, questions, asked[start : start + COUNTED_PER_QUERY])
    return found


def _counts_of(
    engine: Engine, train: TrainRows, questions: list[Question], asked: list[int]
) -> dict[int, tuple[tuple[tuple[Cell, int], ...], int]]:
    import pyarrow.compute as pc

    names = {i: f"value_{i}" for i in asked}
    cells = [questions[i].expression.copy().as_(names[i], quoted=True, copy=False) for i in asked]
    values = exp.select(*cells, copy=False).from_(_rows(train, [questions[i] for i in asked]), copy=False)
    columns = ", ".join(names.values())
    sets = ", ".join(f"({name})" for name in names.values())
    every = 2 ** len(asked) - 1
    found: dict[int, tuple[tuple[tuple[Cell, int], ...], int]] = {}
    masks = {i: every - 2 ** (len(asked) - 1 - position) for position, i in enumerate(asked)}
    # Nulls are counted apart, so one more than asked for is fetched.
    limits = " OR ".join(
        f"(which = {masks[i]} AND place <= {(questions[i].needs.top or MAX_VOCABULARY) + 1})" for i in asked
    )
    table = engine.fetch(
        query(
            f"""
        WITH grouped AS (SELECT {columns}, GROUPING({columns}) AS which, COUNT(*) AS n FROM asked GROUP BY GROUPING SETS ({sets})),
        ordered AS (SELECT {columns}, which, n, ROW_NUMBER() OVER (PARTITION BY which ORDER BY n DESC, {columns}) AS place FROM grouped)
        SELECT {columns}, which, n FROM ordered WHERE {limits} ORDER BY which, place
    """,
            asked=values,
        )
    )
    for i in asked:
        part = table.filter(pc.equal(table["which"], masks[i]))
        pairs = [
            (v, n) for v, n in zip(part[names[i]].to_pylist(), part["n"].to_pylist(), strict=True) if v is not None
        ]
        pairs.sort(key=lambda pair: (-pair[1], pair[0]))
        top = questions[i].needs.top
        if top is None and len(pairs) > MAX_VOCABULARY:
            raise PreprocessError(
                f"{questions[i].label}: more than {MAX_VOCABULARY:,} different values",
                "bound the vocabulary with `top_k`, or use hash_strings",
            )
        found[i] = (tuple((_plain(v), n) for v, n in pairs[:top]), len(pairs))
    return found


def _quantiles(
    engine: Engine, train: TrainRows, num_rows: int, questions: list[Question]
) -> dict[int, tuple[float, ...]]:
    """Quantiles with linear interpolation between neighbouring rows."""
    asked = [i for i, q in enumerate(questions) if q.needs.probabilities]
    if not asked:
        return {}
    query = exp.select(*[as_double(_numeric(questions[i])).as_(f"value_{i}") for i in asked]).from_(
        _rows(train, [questions[i] for i in asked])
    )
    if num_rows > MAX_SAMPLE_ROWS:
        query = query.where(drawn("sample", MAX_SAMPLE_ROWS, num_rows))
    sample = engine.fetch(query)
    found = {}
    for i in asked:
        values = sample[f"value_{i}"].drop_null().to_numpy()
        found[i] = _between(values, questions[i].needs.probabilities) if len(values) else ()
    return found


def _between(values: np.ndarray, probabilities: tuple[float, ...]) -> tuple[float, ...]:
    # Two numbers may be farther apart than a number can say; their halves are not.
    unit = 2.0 if np.abs(values[[values.argmin(), values.argmax()]]).max() > LARGE else 1.0
    return tuple(float(v) * unit for v in np.quantile(values / unit, probabilities))


def _numbers(pair: tuple[Cell, ...]) -> tuple[float, float] | None:
    low, high = pair
    if isinstance(low, str) or isinstance(high, str):  # a time's range, as text
        low, high = (datetime.datetime.fromisoformat(t).replace(tzinfo=datetime.UTC).timestamp() for t in (low, high))
    return None if low is None else (float(low), float(high))


def _plain(value: Cell) -> Cell:
    """A value as JSON can hold it."""
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None).isoformat(sep=" ")
    return value.isoformat() if isinstance(value, datetime.date) else value
