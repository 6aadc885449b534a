"""Rows of a time series -> periods: one GROUP BY over the rows, by series and period, on any engine.

A period is identified by its begin in microseconds since 1970. Beside what `resampling` asks for it has the first and last time of its
rows and the least and greatest rank of their splits. Sums are formed of whole numbers, so that they are the same on every engine
and for any number of threads; words that need a period's values one by one have them counted in a query of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlglot import exp

from cengine.config.timeseries import Series, SeriesColumn
from cengine.engines.engine import Engine
from cengine.expressions.build import bigint, column
from cengine.preprocess.source import Rows
from cengine.preprocess.split import LEARNT, Split
from cengine.tables import ROW_ID
from cengine.transforms.exact_sums import scale_of
from cengine.transforms.resample import Raw, Resampling

CATEGORY, BEGIN, TIME, RANK = "_category", "_begin", "_time", "_rank"
FIRST, LAST, LOW, HIGH = "_first", "_last", "_low", "_high"
VALUE, COUNT = "_value", "_count"
GRID = "grid.parquet"
SMALL = 2**31
# Names of the queries' own begin with it, and no column of the table stands beside them.
Train = Callable[[Sequence[str]], exp.Select]


@dataclass(frozen=True)
class Cell:
    """A column of the periods: what `word` makes of the raw column, or the raw cell where a row is a point (`word` None)."""

    name: str
    column: str | None
    word: Resampling | None
    raw: Raw

    @property
    def values_name(self) -> str:
        """What its values are called in queries before they are aggregated."""
        return f"value_{self.name}"

    def part(self, name: str) -> exp.Column:
        """One of the aggregates that it is made of."""
        return column(f"{self.name}_{name}")

    def file(self, folder: Path) -> Path:
        """Where the periods' values are counted, for words that ask for values."""
        return folder / f"counted_{self.name}.parquet"

    @property
    def is_plain(self) -> bool:
        """Whether the grid's GROUP BY does for it."""
        return self.word is not None and self.word.asks != "values"


@dataclass(frozen=True)
class Grid:
    """The periods, or the rows, in a file: `cells` in it, and which of them each feature and label is."""

    folder: Path
    cells: tuple[Cell, ...]
    of: dict[tuple[str | None, str | None], Cell]
    num_without_time: int
    own_inner: bool
    """Whether the inner part is still to be cut: the split has drawn it from rows at random."""

    @property
    def file(self) -> Path:
        """The periods."""
        return self.folder / GRID

    def cell(self, wanted: SeriesColumn) -> Cell | None:
        """The one of a feature or label; None for the category and the begin of the period."""
        return self.of.get(_key(wanted))


def _key(wanted: SeriesColumn) -> tuple[str | None, str | None]:
    return wanted.column, wanted.resampling.model_dump_json() + wanted.resampling.name if wanted.resampling else None


def num_queries(series: Series) -> int:
    """How many queries scan the rows at most: the facts, the periods, and one for each column whose values are counted."""
    if series.words.rate is None:
        return 2
    columns = [one for one in (*series.columns, *series.labels) if one.resampling is not None]
    return 2 + len({_key(one) for one in columns if one.resampling and one.resampling.asks == "values"})


def rank_of(split: Split) -> list[tuple[int, int]]:
    """(number of a split, its rank): train, then the inner part, then the others in order of time."""
    inner = len(split.names)
    return [(0, 0), (inner, 1), *((number, number + 1) for number in range(1, inner))]


def write_grid(engine: Engine, rows: Rows, split: Split, series: Series, folder: Path, *, inner: bool) -> Grid:
    """Writes the periods, and the counted values of those words that ask for them, into the folder."""
    own_inner = inner and split.has_inner and _draws_inner_rows(split)
    assigned = split.assigned(engine, rows, list(series.raw_columns), inner=inner and not own_inner)
    source = _Source(rows, split, series, assigned)
    wanted = [one for one in (*series.columns, *series.labels) if _is_made(one, series)]
    scales, num_without_time = _facts(engine, source, wanted)
    of: dict[tuple[str | None, str | None], Cell] = {}
    for one in wanted:
        if _key(one) not in of:
            raw = Raw(one.raw_kind, scale_of(scales.get(one.column or "")), _is_small(rows, one.column))
            of[_key(one)] = Cell(f"c{len(of)}", one.column, one.resampling, raw)
    grid = Grid(folder, tuple(of.values()), of, num_without_time, own_inner)
    if series.words.rate is None:
        engine.write(source.timed(grid.cells, with_id=True), grid.file)
        return grid
    engine.write(_periods(source, grid.cells), grid.file)
    for cell in grid.cells:
        if not cell.is_plain:
            engine.write(_counted(source, cell), cell.file(folder))
    return grid


def _draws_inner_rows(split: Split) -> bool:
    """Whether whole groups are divided, and the inner part is rows of them, drawn by a hash: neighbours in time would be in both."""
    import pyarrow.parquet as pq

    names = pq.read_schema(split.folder / "cuts.parquet").names
    return split.kind == "groups" and (LEARNT in names or any(name.startswith("inner_") for name in names))


def _is_made(one: SeriesColumn, series: Series) -> bool:
    """Whether a point's cell is made of rows' cells, and is not what tells the point."""
    words = series.words
    return one.resampling is not None or (words.rate is None and one.column not in (words.category, words.timestamp))


def _is_small(rows: Rows, name: str | None) -> bool:
    """Whether the snapshot tells that whole numbers are so small that their sums have room."""
    if name is None:
        return True
    known = rows.schema[name]
    return all(isinstance(end, int) and abs(end) < SMALL for end in (known.minimum, known.maximum))


@dataclass(frozen=True)
class _Source:
    """The rows with their splits, and what is made of their time."""

    rows: Rows
    split: Split
    series: Series
    assigned: exp.Select

    @property
    def micros(self) -> exp.Expr:
        """The time in microseconds since 1970."""
        time = exp.cast(column(self.series.words.timestamp), "timestamp")
        return exp.Anonymous(this="epoch_us", expressions=[time])

    def cell(self, name: str) -> exp.Expr:
        """A raw column in the one type that its kind has."""
        known = self.rows.schema[name]
        types = {"integer": "bigint", "timestamp": "timestamp"}
        if known.kind == "string" and known.sql_type.split("(")[0] in ("UUID", "ENUM"):
            return exp.cast(column(name), "text")
        return exp.cast(column(name), types[known.kind]) if known.kind in types else column(name)

    def timed(self, cells: Sequence[Cell], *, with_id: bool = False) -> exp.Select:
        """The rows that have a time: category, begin of their period, time, rank of their split, and values to aggregate."""
        words = self.series.words
        category = self.cell(words.category) if words.category else bigint(0)
        outputs = [
            category.as_(CATEGORY, quoted=True),
            (self.micros if words.rate is None else _floored(self.micros, words.rate)).as_(BEGIN, quoted=True),
            self.micros.as_(TIME, quoted=True),
            self._rank().as_(RANK, quoted=True),
            *(self._value(cell).as_(cell.values_name, quoted=True) for cell in cells if cell.column is not None),
            *([column(ROW_ID)] if with_id else []),
        ]
        present = exp.Not(this=exp.Is(this=column(words.timestamp), expression=exp.null()))
        return exp.select(*outputs).from_(self.assigned.subquery("assigned")).where(present)

    def _value(self, cell: Cell) -> exp.Expr:
        assert cell.column is not None
        own = self.cell(cell.column)
        return own if cell.word is None else cell.word.prepared(own, cell.raw)

    def _rank(self) -> exp.Expr:
        case = exp.Case()
        for number, rank in rank_of(self.split):
            same = exp.EQ(this=column(self.rows.split_column), expression=exp.convert(number))
            case = case.when(same, bigint(rank))
        return case


def _floored(micros: exp.Expr, rate: int) -> exp.Expr:
    """The begin of the period of a time. Remainders of times before 1970 are below 0."""
    remainder = exp.Mod(this=exp.Paren(this=micros.copy()), expression=bigint(rate))
    positive = exp.Mod(this=exp.Paren(this=exp.Add(this=remainder, expression=bigint(rate))), expression=bigint(rate))
    return exp.Sub(this=micros, expression=exp.Paren(this=positive))


def _facts(engine: Engine, source: _Source, wanted: Sequence[SeriesColumn]) -> tuple[dict[str, float | None], int]:
    """The greatest distance from 0 of the floats that are added up, in the rows that are learnt from alone; and how many rows have no time.

    No row beyond the cut may change what a sum within it is rounded to.
    """
    added = dict.fromkeys(
        one.column
        for one in wanted
        if one.column and one.raw_kind == "float" and one.resampling and one.resampling.name in ("sum", "mean")
    )
    name = source.series.words.timestamp
    outputs: list[exp.Expr] = []
    if source.rows.schema[name].num_nulls != 0:
        missing = exp.Case().when(exp.Is(this=column(name), expression=exp.null()), bigint(1))
        outputs.append(exp.Count(this=missing).as_("without_time", quoted=True))
    learnt = exp.EQ(this=column(source.rows.split_column), expression=exp.convert(0))
    for place, own in enumerate(added):
        distance = exp.Case().when(learnt.copy(), exp.Abs(this=column(own)))
        outputs.append(exp.Max(this=distance).as_(f"greatest_{place}", quoted=True))
    if not outputs:
        return {}, 0
    (row,) = engine.fetch_rows(exp.select(*outputs).from_(source.assigned.copy().subquery("assigned")))
    return {own: row[f"greatest_{place}"] for place, own in enumerate(added)}, row.get("without_time", 0)


def _periods(source: _Source, cells: Sequence[Cell]) -> exp.Select:
    plain = [cell for cell in cells if cell.is_plain]
    ordered = [cell for cell in plain if cell.word and cell.word.asks == "order"]
    rows = source.timed(plain, with_id=bool(ordered))
    if ordered:
        rows = _told_first(rows, plain, ordered)
    outputs: list[exp.Expr] = [column(CATEGORY), column(BEGIN)]
    for name, aggregate, of in (
        (FIRST, exp.Min, TIME),
        (LAST, exp.Max, TIME),
        (LOW, exp.Min, RANK),
        (HIGH, exp.Max, RANK),
    ):
        outputs.append(aggregate(this=column(of)).as_(name, quoted=True))
    for cell in plain:
        assert cell.word is not None
        if cell.column is None:
            parts: dict[str, exp.Expr] = {"value": exp.Count(this=exp.Star())}
        else:
            parts = cell.word.aggregates(column(cell.values_name), cell.raw)
        outputs += [aggregate.as_(f"{cell.name}_{part}", quoted=True) for part, aggregate in parts.items()]
    return exp.select(*outputs).from_(rows.subquery("timed")).group_by(column(CATEGORY), column(BEGIN))


def _told_first(rows: exp.Select, plain: Sequence[Cell], ordered: Sequence[Cell]) -> exp.Select:
    """The rows in which of a cell that is asked by order all values but the first, or last, of the period are null."""
    outputs: list[exp.Expr] = [column(name) for name in (CATEGORY, BEGIN, TIME, RANK)]
    numbers = []
    for cell in plain:
        if cell.column is None:
            continue
        outputs.append(column(cell.values_name))
        if cell in ordered:
            numbers.append(_place(cell).as_(f"place_{cell.name}", quoted=True))
    placed = exp.select(*outputs, *numbers).from_(rows.subquery("rows")).subquery("placed")
    chosen: list[exp.Expr] = []
    for output in outputs:
        cell_of = next((cell for cell in ordered if cell.values_name == output.name), None)
        if cell_of is None:
            chosen.append(output.copy())
            continue
        first = exp.EQ(this=column(f"place_{cell_of.name}"), expression=bigint(1))
        chosen.append(exp.Case().when(first, output.copy()).as_(output.name, quoted=True))
    return exp.select(*chosen).from_(placed)


def _place(cell: Cell) -> exp.Expr:
    """Which of its period's values it is by time and row, from the end for `last`; missing ones come behind."""
    missing = exp.Case().when(exp.Is(this=column(cell.values_name), expression=exp.null()), bigint(1)).else_(bigint(0))
    back = cell.word is not None and cell.word.name == "last"
    keys: list[tuple[exp.Expr, bool]] = [(missing, False), (column(TIME), back), (column(ROW_ID), back)]
    order = exp.Order(expressions=[exp.Ordered(this=key, desc=desc) for key, desc in keys])
    window = exp.Window(this=exp.RowNumber(), partition_by=[column(CATEGORY), column(BEGIN)], order=order)
    return exp.cast(window, "bigint")


def _counted(source: _Source, cell: Cell) -> exp.Select:
    """The values of a period and how often each is there."""
    present = exp.Not(this=exp.Is(this=column(cell.values_name), expression=exp.null()))
    keys = [column(CATEGORY), column(BEGIN), column(cell.values_name)]
    outputs = [
        keys[0],
        keys[1],
        keys[2].copy().as_(VALUE, quoted=True),
        exp.Count(this=exp.Star()).as_(COUNT, quoted=True),
    ]
    rows = source.timed([cell]).subquery("timed")
    return exp.select(*outputs).from_(rows).where(present).group_by(*[key.copy() for key in keys])
