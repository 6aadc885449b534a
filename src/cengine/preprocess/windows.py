"""Points -> windows: where they begin, which split they belong to, and how many there are not, by reason.

Windows are not looked at one by one: consecutive points that are alike (of one run of periods, one split, with labels) are segments,
and where windows of a trip may begin in one is an arithmetic sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cengine.config.timeseries import Series
from cengine.engines.duckdb import DuckDB
from cengine.errors import PreprocessError
from cengine.preprocess.grid import HIGH, LOW, rank_of
from cengine.preprocess.points import RUNNING, Made, tuned_name
from cengine.preprocess.split import Split


@dataclass(frozen=True)
class Counts:
    """How many there are: points, of them with labels, and windows by number of the split; windows that there are not, by reason."""

    points: dict[int, int]
    learnt_points: dict[int, int]
    windows: dict[int, int]
    num_series: int
    num_trips: int
    longest_trip: int
    short_trips: int
    holes: int
    straddlers: int
    reaching: int
    without_label: int


def write_windows(local: DuckDB, made: Made, series: Series, split: Split, folder: Path, target: Path) -> Counts:
    """Writes where windows begin and the number of their split, in order; says how many there are of everything."""
    segments = folder / "segments.parquet"
    local.write(_segments(local, made, series), segments)
    item = f"(SELECT * FROM read_parquet({_text(segments)}))"
    _check_order(local, item, series)
    words = series.words
    steps = words.horizon or 1
    runs = f"""SELECT *, min(low_i) OVER (PARTITION BY run) AS run_low, max(high_i) OVER (PARTITION BY run) AS run_high,
        min(low_i) OVER (PARTITION BY place) AS place_low, max(high_i) OVER (PARTITION BY place) AS place_high,
        max(reach_i) OVER (PARTITION BY place) AS place_reach FROM {item}"""
    begin = f"greatest(run_low, %s - {words.points - steps})"
    first, last = begin % "low_i", f"least(high_i, coalesce(reach_i, -1)) - {words.points - 1}"
    numbers = " ".join(f"WHEN {rank} THEN {number}" for number, rank in rank_of(split))
    good = (
        f"SELECT *, {_next(first, words.shift)} AS _from, {last} AS _to FROM ({runs}) WHERE NOT straddles AND present"
    )
    local.write(
        f"""SELECT first, CAST(CASE rank {numbers} END AS SMALLINT) AS split
            FROM (SELECT rank, unnest(generate_series(_from, _to, {words.shift})) AS first FROM ({good}) WHERE _from <= _to)
            ORDER BY first""",
        target,
    )
    return _counted(local, item, runs, series, split, target)


def _segments(local: DuckDB, made: Made, series: Series) -> str:
    """Consecutive points that are alike: of one run, of one split, with or without labels.

    `place` is a number for those that are alike but for labels. `reach_i` is the last point whose label looks at nothing of a later split.
    """
    missing = [f"{tuned_name(place, label)} IS NULL" for place, label in enumerate(series.labels) if not label.optional]
    absent = " OR ".join(missing) or "false"
    far = "_far" if made.ahead is not None else HIGH
    points = f"SELECT _i, _at, _series, _trip, _start, _run, {LOW}, {HIGH}, {far} AS _far, {absent} AS _absent FROM {made.item(local)}"
    marked = f"""SELECT *, coalesce(lag(_run) OVER () <> _run OR lag({LOW}) OVER () <> {LOW} OR lag({HIGH}) OVER () <> {HIGH}, true) AS _other,
        lag(_absent) OVER () <> _absent AS _turned,
        lag(_series) OVER () = _series AND lag({HIGH}) OVER () > {LOW} AS _mixed,
        lag(_series) OVER () = _series AND lag(_at) OVER () = _at AS _double FROM ({points})"""
    numbered = f"""SELECT *, count(CASE WHEN _other THEN 1 END) {RUNNING} AS _place,
        count(CASE WHEN _other OR _turned THEN 1 END) {RUNNING} AS _segment FROM ({marked})"""
    return f"""
        SELECT _segment AS segment, any_value(_place) AS place, any_value(_run) AS run, any_value(_trip) AS trip,
            any_value(_series) AS series, any_value(_start) AS start, any_value({HIGH}) AS rank, any_value({LOW} <> {HIGH}) AS straddles,
            any_value(NOT _absent) AS present, min(_i) AS low_i, max(_i) AS high_i,
            max(CASE WHEN _far <= {HIGH} THEN _i END) AS reach_i, count(CASE WHEN _mixed THEN 1 END) AS mixed,
            count(CASE WHEN _double THEN 1 END) AS doubled, min(CASE WHEN _double THEN _at END) AS double_at
        FROM ({numbered}) GROUP BY _segment"""


def _check_order(local: DuckDB, item: str, series: Series) -> None:
    (row,) = local.fetch_rows(
        f"SELECT sum(mixed) AS mixed, sum(doubled) AS doubled, strftime(make_timestamp(min(double_at)), '%Y-%m-%d %H:%M:%S.%f') AS at FROM {item}"
    )
    words = series.words
    within = f"with the same '{words.category}'" if words.category else "of the table"
    if row["doubled"]:
        raise PreprocessError(
            f"{int(row['doubled']):,} rows {within} have the time of the row before, the first at {row['at']}: their order is not known",
            "give resampling_rate_in_secs, so that the rows of a period become one point; or name a category that tells them apart",
        )
    if row["mixed"]:
        raise PreprocessError(
            f"{int(row['mixed']):,} points of a series are in an earlier split than the point before",
            f"divide by time, `index_by: {words.timestamp}`, or by a column that is the same all over a series",
        )


def _next(position: str, shift: int) -> str:
    """The first position from this one on where a window of the trip may begin."""
    return f"start + (({position} - start + {shift - 1}) // {shift}) * {shift}"


def _number(first: str, last: str, shift: int) -> str:
    """How many windows of a trip may begin between two positions, of which the first is in it."""
    number = f"({last} - start) // {shift} - ({first} - start + {shift - 1}) // {shift} + 1"
    return f"CASE WHEN {last} >= {first} THEN {number} ELSE 0 END"


def _counted(local: DuckDB, item: str, runs: str, series: Series, split: Split, target: Path) -> Counts:
    words = series.words
    steps, shift, points = words.horizon or 1, words.shift, words.points
    ahead = points - 1
    reached = "least(place_high, coalesce(place_reach, -1))"
    begins = f"greatest(run_low, place_low - {points - steps})"
    (trips,) = local.fetch_rows(
        f"""SELECT count(*) AS num, count(DISTINCT series) AS series, max(n) AS longest, count(CASE WHEN n < {points} THEN 1 END) AS short,
                sum({_number("start", f"start + n - {points}", shift)}) AS windows
            FROM (SELECT trip, any_value(series) AS series, any_value(start) AS start, sum(high_i - low_i + 1) AS n FROM {item} GROUP BY trip)"""
    )
    (in_runs,) = local.fetch_rows(
        f"""SELECT sum({_number("run_low", f"run_high - {ahead}", shift)}) AS windows
            FROM (SELECT run, any_value(start) AS start, any_value(run_low) AS run_low, any_value(run_high) AS run_high FROM ({runs}) GROUP BY run)"""
    )
    (places,) = local.fetch_rows(
        f"""SELECT sum({_number(begins, f"place_high - {ahead}", shift)}) AS windows, sum({_number(begins, f"{reached} - {ahead}", shift)}) AS within
            FROM (SELECT place, any_value(start) AS start, any_value(run_low) AS run_low, any_value(place_low) AS place_low,
                any_value(place_high) AS place_high, any_value(place_reach) AS place_reach FROM ({runs}) WHERE NOT straddles GROUP BY place)"""
    )
    number_of = {rank: number for number, rank in rank_of(split)}
    by_rank = local.fetch_rows(
        f"""SELECT rank, sum(high_i - low_i + 1) AS points, coalesce(sum(CASE WHEN present THEN high_i - low_i + 1 END), 0) AS learnt
            FROM {item} GROUP BY rank ORDER BY rank"""
    )
    found = local.fetch_rows(
        f"SELECT split, count(*) AS n FROM read_parquet({_text(target)}) GROUP BY split ORDER BY split"
    )
    windows = {int(row["split"]): int(row["n"]) for row in found}
    candidates, consecutive = int(trips["windows"] or 0), int(in_runs["windows"] or 0)
    whole, within = int(places["windows"] or 0), int(places["within"] or 0)
    return Counts(
        {number_of[row["rank"]]: int(row["points"]) for row in by_rank},
        {number_of[row["rank"]]: int(row["learnt"]) for row in by_rank},
        windows,
        int(trips["series"]),
        int(trips["num"]),
        int(trips["longest"] or 0),
        int(trips["short"]),
        candidates - consecutive,
        consecutive - whole,
        whole - within,
        within - sum(windows.values()),
    )


def _text(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
