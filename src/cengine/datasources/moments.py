"""Times beyond the years 1 to 9999: no calendar, no literal and no other engine takes them, so they are refused with their place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlglot import exp

from cengine.engines.duckdb import DuckDB
from cengine.errors import SourceError
from cengine.expressions.build import column
from cengine.tables import Column

_FIRST, _LAST = "0001-01-01", "9999-12-31"
NUM_SHOWN = 3


def refuse_far_moments(engine: DuckDB, file: Path, label: str, columns: Sequence[Column]) -> None:
    """Raises SourceError for the first column of a part with a value before year 1 or after year 9999, with row and value."""
    times = [known for known in columns if known.kind == "timestamp"]
    if not times:
        return
    rows = engine.parquet([file])
    counts = [exp.Sum(this=exp.cast(_is_far(known), "bigint")).as_(f"n{place}") for place, known in enumerate(times)]
    found = list(engine.fetch_rows(exp.select(*counts).from_(rows))[0].values())
    for known, num_far in zip(times, found, strict=True):
        if num_far:
            raise _refusal(engine, file, label, known, int(num_far))


def _refusal(engine: DuckDB, file: Path, label: str, known: Column, num_far: int) -> SourceError:
    scan = engine.parquet([file])
    query = exp.select((column("file_row_number") + 1).as_("place"), exp.cast(column(known.name), "text").as_("value"))
    shown = engine.fetch(query.from_(scan).where(_is_far(known)).order_by("place").limit(NUM_SHOWN)).to_pylist()
    places = [f"row {row['place']}: {row['value']}" for row in shown]
    more = [f"... and {num_far - len(shown):,} more"] if num_far > len(shown) else []
    return SourceError(
        f"column '{known.name}' of '{label}' holds times beyond the years 1 to 9999 in {num_far:,} of its rows; nothing was registered",
        *places,
        *more,
        "mend them (a slip of a digit, milliseconds taken for seconds, a word for never?), or make null or text of them",
    )


def _is_far(known: Column) -> exp.Expr:
    """Whether a cell is beyond; null where it is null."""
    kind = "date" if known.sql_type == "DATE" else "timestamp"
    cell = exp.cast(column(known.name), kind)
    first = exp.LT(this=cell, expression=exp.cast(exp.Literal.string(_FIRST), kind))
    last = exp.cast(exp.Literal.string(_LAST if kind == "date" else f"{_LAST} 23:59:59.999999"), kind)
    return exp.Paren(this=exp.Or(this=first, expression=exp.GT(this=cell.copy(), expression=last)))
