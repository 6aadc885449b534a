"""Made-up trips -> hourly points per station, trips, filling, a label that looks ahead, windows: seconds, CPU, peak memory.

Beside it what DuckDB alone takes for the bare `GROUP BY` of the same rows, in the same run.

python bench/series.py --rows 33300000 --folder /tmp/series            # the trips are made once and kept in the folder
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

CONFIG = """\
features:
  num_trips: {resampling: count}
  tripduration: {resampling: mean, filling: forward}
  gender: {resampling: mode}
labels:
  usertype:
    resampling: {method: threshold, parameters: {cond: equal, c_value: Customer, threshold: 0.5, set_value: 1}}
    label_tuning: {method: leadup, parameters: {event_value: 1, duration: 21600}}
timeseries:
  process_sequence_w_timestamp: starttime
  process_sequence_w_category: start_station_id
  resampling_rate_in_secs: 3600
  trip_gap_threshold_in_secs: 604800
  empty_periods: keep
  sequence_length: 24
  sequence_shift: 6
  horizon: 6
split: {index_ratio: {train: 0.8, eval: 0.1, test: 0.1}}
trainer: {type: classification}
"""
WHOLE, PLAIN, TRIPS = "whole", "plain", "trips"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=33_300_000)
    parser.add_argument("--stations", type=int, default=800)
    parser.add_argument("--folder", type=Path, default=Path("build/series"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", type=float, default=1.6, help="GB that DuckDB may take")
    parser.add_argument(
        "--mode", action="store_true", help="with the most frequent gender, whose values are counted one by one"
    )
    parser.add_argument("--only", choices=(WHOLE, PLAIN))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    table = options.folder / f"trips-{options.rows}-{options.stations}.parquet"
    if options.only is not None:
        print(json.dumps((whole if options.only == WHOLE else plain)(table, options)))
        return
    if not table.exists():
        from cengine.samples.trips import generate_trips

        generate_trips(table, options.rows, num_stations=options.stations)
    found = {}
    for name in (PLAIN, WHOLE):
        command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
        found[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for name, figures in found.items():
        shown = ", ".join(f"{key} {value:,}" for key, value in figures.items())
        print(f"{name:6} {shown}")
    print(f"whole / plain: {found[WHOLE]['seconds'] / found[PLAIN]['seconds']:.1f} x seconds")


def plain(table: Path, options: argparse.Namespace) -> dict[str, float]:
    """What DuckDB takes to count the trips of each station and hour."""
    import duckdb

    connection = duckdb.connect(config={"threads": options.threads, "memory_limit": f"{options.memory}GB"})
    began = time.perf_counter()
    query = "SELECT start_station_id, time_bucket(INTERVAL 1 HOUR, starttime) AS hour, count(*) AS n FROM read_parquet(?) GROUP BY ALL"
    (found,) = connection.execute(f"SELECT count(*) FROM ({query})", [str(table)]).fetchone()
    return measured(began, {"points": found})


def whole(table: Path, options: argparse.Namespace) -> dict[str, float]:
    """Points and windows as a run makes them."""
    from cengine.config.checks import check
    from cengine.config.read import parse_config
    from cengine.engines.duckdb import DuckDB
    from cengine.learners.feedforward import Feedforward
    from cengine.preprocess.series import write_series
    from cengine.preprocess.source import Rows
    from cengine.preprocess.split import fit_split

    schema, files = snapshot(table, options.folder)
    Feedforward.reads_windows = True
    text = CONFIG if options.mode else CONFIG.replace("  gender: {resampling: mode}\n", "")
    resolved, _ = check(parse_config(text), schema)
    rows = Rows(files, schema, (), ())
    out = options.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    (out / "split").mkdir(parents=True)
    memory = int(options.memory * 10**9)
    with DuckDB(options.folder / "scratch", memory_bytes=memory, threads=options.threads) as engine:
        split = fit_split(engine, rows, resolved.split, out / "split")
        began, cpu = time.perf_counter(), cpu_seconds()
        report = write_series(engine, rows, split, resolved, engine, out, inner=False)
    numbers = {"points": report.num_points, "trips": report.num_trips, "windows": sum(report.windows.values())}
    figures = measured(began, numbers)
    return figures | {"cpu": round(cpu_seconds() - cpu, 1)}


def snapshot(table: Path, folder: Path):
    """The table registered, once."""
    from cengine.datasources.register import take_snapshot
    from cengine.sources import Parquet
    from cengine.store.project import open_project

    project = open_project(folder / "project")
    taken = take_snapshot(project, Parquet(path=str(table)), memory_bytes=2 * 10**9)
    return taken.schema, taken.files


def measured(began: float, numbers: dict[str, float]) -> dict[str, float]:
    """Numbers with seconds since `began`, CPU and peak memory of the process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "cpu": round(cpu_seconds(), 1),
        "peak_gb": round(peak, 2),
        **numbers,
    }


def cpu_seconds() -> float:
    """CPU seconds of the process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
