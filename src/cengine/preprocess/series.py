"""Rows of time series -> points and windows, as files: only the grid, one GROUP BY, runs where the rows are; all else on this machine.

`part-points.parquet` is a table like another one: features and labels under their names, the number of the row, the number of its split.
It is ordered by series, in binary order of the category, and time. `windows.parquet` says at which row windows begin (`first`) and
which split they belong to (`split`), the one of the points that are predicted. A window is so many rows from there on.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from cengine.config.resolve import Resolved
from cengine.config.schema import INNER, TRAIN
from cengine.config.timeseries import Series, in_seconds
from cengine.engines.duckdb import DuckDB
from cengine.engines.engine import Engine
from cengine.errors import PreprocessError
from cengine.preprocess.grid import write_grid
from cengine.preprocess.points import made_points, sorted_periods, write_points
from cengine.preprocess.source import Rows
from cengine.preprocess.split import Split
from cengine.preprocess.windows import Counts, write_windows

POINTS, WINDOWS, REPORT = "part-points.parquet", "windows.parquet", "series.json"


@dataclass(frozen=True)
class SeriesReport:
    """How many points and windows there are, by the names of splits, and why there are no more windows.

    `points` of train are without those that are kept back to choose a model by, which are named for themselves. `learnt_points` have a
    label. Windows that there are not: `straddlers` have labels in several splits, `reaching` a label that looks into a later one,
    `holes` a period without a point, `without_label` a label that is missing. `short_trips` have fewer points than a window.
    """

    num_points: int
    points: dict[str, int]
    learnt_points: dict[str, int]
    windows: dict[str, int]
    num_series: int
    num_trips: int
    longest_trip: int
    short_trips: int
    holes: int
    straddlers: int
    reaching: int
    without_label: int
    rows_without_time: int
    split_column: str
    """What the number of a point's split is called among its columns."""

    @property
    def num_learnt(self) -> int:
        """How many windows are learnt from."""
        return self.windows[TRAIN]

    @property
    def num_inner(self) -> int:
        """How many windows are kept back to choose a model by."""
        return self.windows.get(INNER, 0)


def write_series(
    engine: Engine, rows: Rows, split: Split, resolved: Resolved, local: DuckDB, folder: Path, *, inner: bool
) -> SeriesReport:
    """Writes points, windows and the report into the folder. Raises PreprocessError where a split has no window.

    The grid is made on `engine`, where the rows are, all else on `local`. With `inner` the part of train that is kept back has the
    number after the last split's. Rows are taken whether or not they have a label: it is points that have one.
    """
    series = resolved.series
    assert series is not None
    between = folder / "between"
    between.mkdir()
    rows = Rows(rows.table, rows.schema, rows.filters, ())
    grid = write_grid(engine, rows, split, series, between, inner=inner)
    made = made_points(local, grid, series, sorted_periods(local, grid, series))
    counts = write_windows(local, made, series, split, between, folder / WINDOWS)
    report = _report(counts, split, grid.num_without_time, inner=inner)
    _check_windows(report, series)
    split_column = write_points(local, made, series, split, series.schema(rows.schema), folder / POINTS)
    report = SeriesReport(**{**asdict(report), "split_column": split_column})
    for file in between.iterdir():
        file.unlink()
    between.rmdir()
    (folder / REPORT).write_text(json.dumps(asdict(report), indent=1))
    return report


def read_report(folder: Path) -> SeriesReport:
    """The report that `write_series` wrote."""
    return SeriesReport(**json.loads((folder / REPORT).read_text()))


def _report(counts: Counts, split: Split, num_without_time: int, *, inner: bool) -> SeriesReport:
    names = {**dict(enumerate(split.names)), **({len(split.names): INNER} if inner and split.has_inner else {})}

    def named(of: dict[int, int]) -> dict[str, int]:
        return {name: of.get(number, 0) for number, name in names.items()}

    found = {key: value for key, value in asdict(counts).items() if not isinstance(value, dict)}
    return SeriesReport(
        num_points=sum(counts.points.values()),
        points=named(counts.points),
        learnt_points=named(counts.learnt_points),
        windows=named(counts.windows),
        rows_without_time=num_without_time,
        split_column="",
        **found,
    )


def _check_windows(report: SeriesReport, series: Series) -> None:
    empty = next((name for name, number in report.windows.items() if number == 0), None)
    if empty is None:
        return
    words = series.words
    needed = f"{words.length} points" + (f" and {words.horizon} of horizon" if words.horizon else "")
    counts = ", ".join(f"{name}: {number:,}" for name, number in report.windows.items())
    without = {
        "holes": "cross a period without rows",
        "straddlers": "have labels in two splits",
        "reaching": "have a label that looks into a later split",
        "without_label": "have no label",
    }
    told = [f"{number:,} {what}" for name, what in without.items() if (number := getattr(report, name))]
    notes = [f"windows that there are not: {'; '.join(told)}"] if told else []
    if report.longest_trip < words.points:
        notes.append("take a shorter sequence_length, a longer trip_gap_threshold_in_secs, or `empty_periods: keep`")
    elif report.holes and words.empty_periods == "drop":
        notes.append("`empty_periods: keep` makes points of periods without rows")
    else:
        notes.append("take a shorter sequence_length or horizon, or a greater share for it under `split:`")
    if words.rate is not None and report.longest_trip < words.points:
        notes.append(f"a point is a period of {in_seconds(words.rate):,} seconds")
    raise PreprocessError(
        f"split '{empty}' has no window ({counts}): a window needs {needed}, the longest trip has {report.longest_trip:,}",
        *notes,
    )


__all__ = ["SeriesReport", "read_report", "write_series"]
