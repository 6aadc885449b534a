"""Periods of series -> points: trips, empty periods, filling and tuned labels, in DuckDB on this machine.

The periods are sorted once, by series and time. What looks back along a series streams over the sorted file, in order and without
a sort of its own; what looks ahead (`label_tuning`, filling backwards) is a window function over few narrow columns, whose result
lies beside the file row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlglot import exp

from cengine.config.schema import INNER_SHARE
from cengine.config.timeseries import Series, SeriesColumn, SeriesLabel
from cengine.engines.duckdb import DuckDB
from cengine.errors import PreprocessError
from cengine.expressions.build import column, identifier
from cengine.expressions.dialects import render
from cengine.names import free_name
from cengine.preprocess.grid import (
    BEGIN,
    CATEGORY,
    COUNT,
    FIRST,
    HIGH,
    LAST,
    LOW,
    RANK,
    TIME,
    VALUE,
    Cell,
    Grid,
    rank_of,
)
from cengine.preprocess.split import Split
from cengine.tables import ROW_ID, TableSchema
from cengine.transforms.resample import NOTHING
from cengine.transforms.tuning import Along

# The first points of windows are numbers of 32 bits.
MOST_POINTS = 2**31 - 1
RUNNING = "OVER (ROWS UNBOUNDED PRECEDING)"


@dataclass(frozen=True)
class Made:
    """The points in files: one by one what is made of periods, and beside it, row by row, what looks ahead (None where nothing does)."""

    points: Path
    ahead: Path | None

    def item(self, local: DuckDB) -> str:
        """Both as an item of FROM, in the order of the points."""
        made = render(local.parquet([self.points]), "duckdb")
        return made if self.ahead is None else f"{made} POSITIONAL JOIN {render(local.parquet([self.ahead]), 'duckdb')}"


def feature_name(place: int) -> str:
    """What a feature's cell is called in files between."""
    return f"feature_{place}"


def label_name(place: int, step: int = 0) -> str:
    """What a label's cell is called in files between, after so many tunings."""
    return f"label_{place}_{step}"


def sorted_periods(local: DuckDB, grid: Grid, series: Series) -> Path:
    """The periods by series, in binary order of the category, and time, with their cells; the file's path."""
    target = grid.folder / "sorted.parquet"
    cells = "".join(f", {_sql(_combined(cell))} AS {cell.name}" for cell in grid.cells)
    source = render(local.parquet([grid.file]), "duckdb")
    if series.words.rate is None:
        query = f"""
            SELECT {CATEGORY}, {BEGIN}, {TIME} AS {FIRST}, {TIME} AS {LAST}, {RANK} AS {LOW}, {RANK} AS {HIGH}{cells}, true AS _some
            FROM {source} ORDER BY {CATEGORY} NULLS FIRST, {BEGIN}, {identifier(ROW_ID)}"""
    else:
        some = " OR ".join(f"{_sql(_combined(cell))} IS NOT NULL" for cell in grid.cells) or "true"
        joins = "".join(_beside(local, grid, cell) for cell in grid.cells if not cell.is_plain)
        query = f"""
            SELECT periods.{CATEGORY}, periods.{BEGIN}, {FIRST}, {LAST}, {LOW}, {HIGH}{cells}, {some} AS _some
            FROM {source} AS periods{joins} ORDER BY periods.{CATEGORY} NULLS FIRST, periods.{BEGIN}"""
    local.write(query, target)
    return target


def _combined(cell: Cell) -> exp.Expr:
    return column(cell.values_name) if cell.word is None else cell.word.combined(cell.part, cell.raw)


def _beside(local: DuckDB, grid: Grid, cell: Cell) -> str:
    """The join with what the counted values of each period say."""
    assert cell.word is not None
    counted = render(local.parquet([cell.file(grid.folder)]), "duckdb")
    over = f"PARTITION BY {CATEGORY}, {BEGIN}"
    if cell.word.name == "mode":
        found = f"""SELECT {CATEGORY}, {BEGIN}, {VALUE} AS {cell.name}_most FROM {counted}
            QUALIFY row_number() OVER ({over} ORDER BY {COUNT} DESC, {VALUE}) = 1"""
    else:
        summed = f"sum({COUNT}) OVER ({over} ORDER BY {VALUE} ROWS UNBOUNDED PRECEDING)::BIGINT"
        found = f"""SELECT {CATEGORY}, {BEGIN}, min({VALUE}) FILTER (through > (total - 1) // 2) AS {cell.name}_lower,
                min({VALUE}) FILTER (through > total // 2) AS {cell.name}_upper
            FROM (SELECT *, {summed} AS through, sum({COUNT}) OVER ({over})::BIGINT AS total FROM {counted})
            GROUP BY {CATEGORY}, {BEGIN}"""
    name = f"of_{cell.name}"
    same = f"periods.{CATEGORY} IS NOT DISTINCT FROM {name}.{CATEGORY} AND periods.{BEGIN} = {name}.{BEGIN}"
    return f" LEFT JOIN ({found}) AS {name} ON {same}"


def made_points(local: DuckDB, grid: Grid, series: Series, periods: Path) -> Made:
    """The points with what looks back, and beside them what looks ahead."""
    target = grid.folder / "made.parquet"
    local.write(_looking_back(local, grid, series, periods), target)
    ahead = _looking_ahead(local, series, target)
    if ahead is None:
        return Made(target, None)
    beside = grid.folder / "ahead.parquet"
    local.write(ahead, beside)
    return Made(target, beside)


def _tripped(local: DuckDB, grid: Grid, series: Series, periods: Path) -> str:
    """The periods with their series and trip, each numbered from 1."""
    gap = series.words.gap
    apart = "false" if gap is None else f"coalesce({FIRST} - _before >= {gap}, false)"
    ranks = f"{LOW}, {HIGH}"
    if grid.own_inner:
        cut = _inner_cut(local, periods)
        ranks = ", ".join(f"CASE WHEN {n} = 0 AND {BEGIN} >= {cut} THEN 1 ELSE {n} END AS {n}" for n in (LOW, HIGH))
    cells = "".join(f", {cell.name}" for cell in grid.cells)
    source = render(local.parquet([periods]), "duckdb")
    return f"""
        SELECT *, count(CASE WHEN _fresh THEN 1 END) {RUNNING} AS _series,
            count(CASE WHEN _fresh OR {apart} THEN 1 END) {RUNNING} AS _trip
        FROM (SELECT {CATEGORY}, {BEGIN}, {FIRST}, {ranks}, _some{cells},
                row_number() OVER () = 1 OR {CATEGORY} IS DISTINCT FROM lag({CATEGORY}) OVER () AS _fresh,
                lag({LAST}) OVER () AS _before
            FROM {source})"""


def _inner_cut(local: DuckDB, periods: Path) -> int:
    """Where the part of train begins that is kept back to choose by, where the split has not cut it in time: a tenth of its points."""
    share = float(1 - INNER_SHARE)
    source = render(local.parquet([periods]), "duckdb")
    (row,) = local.fetch_rows(f"SELECT quantile_disc({BEGIN}, {share}) AS cut FROM {source} WHERE {HIGH} = 0")
    return int(row["cut"] or 0)


def _standing(local: DuckDB, grid: Grid, series: Series, periods: Path) -> str:
    """The points in order: those that have a value, or with `empty_periods: keep` every period between the first and last of a trip."""
    tripped = _tripped(local, grid, series, periods)
    cells = "".join(f", {cell.name}" for cell in grid.cells)
    if series.words.empty_periods != "keep":
        return f"SELECT {CATEGORY}, {BEGIN} AS _at, {LOW}, {HIGH}, _series, _trip{cells} FROM ({tripped}) WHERE _some"
    rate = series.words.rate
    ahead = f"""SELECT *, CASE WHEN lead(_trip) OVER () = _trip THEN lead({BEGIN}) OVER () - {rate} ELSE {BEGIN} END AS _until,
            lead({LOW}) OVER () AS _next FROM ({tripped})"""
    _check_number(local, f"SELECT sum((_until - {BEGIN}) // {rate} + 1) AS n FROM ({ahead})")
    there = f"_at = {BEGIN}"
    ranks = ", ".join(f"CASE WHEN {there} THEN {name} ELSE _next END AS {name}" for name in (LOW, HIGH))
    filled = "".join(
        f", CASE WHEN {there} THEN {cell.name}{_of_nothing(cell)} END AS {cell.name}" for cell in grid.cells
    )
    return f"""SELECT {CATEGORY}, _at, {ranks}, _series, _trip{filled}
        FROM (SELECT *, unnest(generate_series({BEGIN}, _until, {rate})) AS _at FROM ({ahead}))"""


def _of_nothing(cell: Cell) -> str:
    """What a period without rows has, as a branch of a CASE."""
    if cell.word is None or not cell.word.counts_rows:
        return ""
    return f" ELSE {NOTHING[cell.word.kind(cell.raw.kind)]!r}"


def _check_number(local: DuckDB, query: str) -> None:
    (row,) = local.fetch_rows(query)
    if (row["n"] or 0) > MOST_POINTS:
        raise PreprocessError(
            f"with empty_periods: keep the series have {int(row['n']):,} points, more than {MOST_POINTS:,}",
            "take a longer resampling_rate_in_secs, a shorter trip_gap_threshold_in_secs, or leave empty_periods out",
        )


def _looking_back(local: DuckDB, grid: Grid, series: Series, periods: Path) -> str:
    """The points, numbered, with where their trip begins, the run of consecutive periods that they are in, and forward filled cells."""
    rate = series.words.rate
    apart = "false" if rate is None else f"lag(_at) OVER () + {rate} <> _at"
    numbered = f"""
        SELECT *, row_number() OVER () - 1 AS _i, coalesce(lag(_trip) OVER () <> _trip, true) AS _new, {apart} AS _apart,
            CASE WHEN lag(_trip) OVER () = _trip AND lag({HIGH}) OVER () < {HIGH} THEN _at END AS _rise
        FROM ({_standing(local, grid, series, periods)})"""
    running, cells = [], []
    for place, feature in enumerate(series.columns):
        cell = grid.cell(feature)
        if cell is None:
            continue
        name = feature_name(place)
        if feature.fill != "forward":
            cells.append(f"{cell.name} AS {name}")
            continue
        running.append(f"last_value({cell.name} IGNORE NULLS) {RUNNING} AS {name}_last")
        running.append(f"max(CASE WHEN {cell.name} IS NOT NULL THEN _i END) {RUNNING} AS {name}_place")
        cells.append(f"CASE WHEN {name}_place >= _start THEN {name}_last END AS {name}")
    for place, label in enumerate(series.labels):
        own = grid.cell(label)
        assert own is not None
        cells.append(f"{own.name} AS {label_name(place)}")
    also = "".join(f", {text}" for text in running)
    return f"""
        SELECT {CATEGORY}, _at, {LOW}, {HIGH}, _series, _trip, _i, _start, _run, _rise, {", ".join(cells)}
        FROM (SELECT *, max(CASE WHEN _new THEN _i END) {RUNNING} AS _start,
                count(CASE WHEN _new OR _apart THEN 1 END) {RUNNING} AS _run{also}
            FROM ({numbered}))"""


def _looking_ahead(local: DuckDB, series: Series, made: Path) -> str | None:
    """What of labels and fillings looks ahead, in the order of the points: tuned labels, filled features, how far labels look."""
    backwards = [place for place, feature in enumerate(series.columns) if feature.fill == "backwards"]
    if not backwards and not any(label.tunings for label in series.labels):
        return None
    along = Along(("_trip",), "_at")
    # A value is taken from a point of the same split alone.
    within = Along(("_trip", HIGH), "_at")
    read = [f"_i, _trip, _at, {HIGH}, _rise", *map(feature_name, backwards)]
    read += [label_name(place) for place, label in enumerate(series.labels) if label.tunings]
    query = f"SELECT {', '.join(read)} FROM {render(local.parquet([made]), 'duckdb')}"
    kinds = {place: label.untuned_kind for place, label in enumerate(series.labels)}
    until: dict[int, str] = {}
    for step in range(max((len(label.tunings) for label in series.labels), default=0)):
        outputs = []
        for place, label in enumerate(series.labels):
            if step >= len(label.tunings):
                continue
            word = label.tunings[step]
            tuned = word.applied(column(label_name(place, step)), kinds[place], along)
            outputs.append(f"{_sql(tuned)} AS {label_name(place, step + 1)}")
            kinds[place] = word.kind(kinds[place])
            latest = word.until(until.get(place), along)
            if latest is not None:
                until[place] = f"until_{place}_{step}"
                outputs.append(f"{_sql(latest)} AS {until[place]}")
        query = f"SELECT *, {', '.join(outputs)} FROM ({query})"
    # How far a label looks ahead decides whether it looks into a later split.
    rise = _sql(along.rest(exp.FirstValue(this=column("_rise")), own=False))
    far = (
        f"CASE WHEN {rise} <= greatest({', '.join(until.values())}) THEN {HIGH} + 1 ELSE {HIGH} END" if until else HIGH
    )
    outputs = [f"{far} AS _far"]
    outputs += [
        f"{label_name(place, len(label.tunings))}" for place, label in enumerate(series.labels) if label.tunings
    ]
    outputs += [f"{_sql(_next_value(place, within))} AS {_filled_name(place)}" for place in backwards]
    return f"SELECT {', '.join(outputs)} FROM ({query}) ORDER BY _i"


def _next_value(place: int, within: Along) -> exp.Expr:
    return within.rest(exp.FirstValue(this=column(feature_name(place))))


def _filled_name(place: int) -> str:
    return f"{feature_name(place)}_filled"


def tuned_name(place: int, label: SeriesLabel) -> str:
    """What a label's cell is called once it is tuned."""
    return label_name(place, len(label.tunings))


def write_points(local: DuckDB, made: Made, series: Series, split: Split, schema: TableSchema, target: Path) -> str:
    """The points as a table: columns by their own names, the number of the row, and that of the split; gives the name of the last."""
    cells: dict[str, str] = {}
    for place, feature in enumerate(series.columns):
        name = _filled_name(place) if feature.fill == "backwards" else feature_name(place)
        cells[feature.name] = _key_cell(feature, series) or name
    for place, label in enumerate(series.labels):
        cells[label.name] = tuned_name(place, label)
    words = series.words
    cells.setdefault(words.timestamp, "make_timestamp(_at)")
    if words.category is not None:
        cells.setdefault(words.category, CATEGORY)
    split_column = free_name("_split", schema.names)
    numbers = " ".join(f"WHEN {rank} THEN {number}" for number, rank in rank_of(split))
    outputs = [f"{cells[name]} AS {identifier(name)}" for name in schema.names]
    outputs.append(f"_i AS {identifier(ROW_ID)}")
    outputs.append(f"CAST(CASE {HIGH} {numbers} END AS SMALLINT) AS {identifier(split_column)}")
    local.write(f"SELECT {', '.join(outputs)} FROM {made.item(local)}", target)
    return split_column


def _key_cell(feature: SeriesColumn, series: Series) -> str | None:
    """The category or the begin of the period, where the feature is one of them."""
    if feature.resampling is not None:
        return None
    return {series.words.timestamp: "make_timestamp(_at)", series.words.category: CATEGORY}.get(feature.column)


def _sql(expression: exp.Expr) -> str:
    return render(expression, "duckdb")
