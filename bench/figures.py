"""The project's figures, measured: 33 million made-up trips, from CSV to sliced metrics.

    python bench/figures.py [--rows 33319019] [--folder build/bench]

Writes the table of trips once (5.2 GB), then runs each job as a process of its own and prints its time and peak memory beside
what is asked for. Machines differ and are shared: run it twice.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
POST_ROWS = 33_319_019
PAIRS = """\
evaluator:
  slices: [[birth_year], [gender], [start_station_name], [birth_year, gender], [birth_year, start_station_name], [gender, start_station_name]]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=POST_ROWS)
    parser.add_argument("--folder", type=Path, default=Path("build/bench"))
    parser.add_argument("--csv", type=Path, help="a table of trips that is there already")
    arguments = parser.parse_args()
    project = arguments.folder / "project"
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir(parents=True)
    csv = arguments.csv or arguments.folder / f"trips-{arguments.rows}.csv"
    if not csv.exists():
        print(f"writing {csv} ...", flush=True)
        cengine(project, "sample", "trips", str(csv), "--rows", str(arguments.rows))
    bench = Bench(project, csv)
    print(f"{'what':<58} {'measured':>12} {'must':>8} {'aim':>8}")
    for line in bench.lines():
        print(line, flush=True)


class Bench:
    """The jobs, in order; each needs the ones before."""

    def __init__(self, project: Path, csv: Path) -> None:
        self.project = project
        self.csv = csv

    def lines(self):
        """A line of the table for each figure."""
        seconds, peak, _ = cengine(
            self.project, "datasource", "create", "csv", "--name", "trips", "--path", str(self.csv)
        )
        yield line(f"registering {self.csv.stat().st_size / 1e9:.1f} GB of CSV", seconds, "90 s", "45 s")
        yield line("  its peak memory", peak, "", "", "GB")
        cengine(self.project, "pipeline", "push", str(HERE / "post.yaml"), "post")
        seconds, peak, output = cengine(self.project, "pipeline", "run", "post", "-y")
        yield line("the post's YAML, from the snapshot to sliced metrics", seconds, "120 s", "60 s")
        for stage, took in re.findall(r"(\w+): done in (.*)", output):
            yield f"  {stage:<56} {took:>12}"
        yield line("  its peak memory", peak, "6 GB", "3 GB", "GB")
        other = self.project / "other.yaml"
        other.write_text((HERE / "post.yaml").read_text().replace("units: 32", "units: 16").replace("230000", "1000"))
        cengine(self.project, "pipeline", "push", str(other), "other")
        yield line("another `trainer` block: everything before training", self.before_training("other"), "2 s", "1 s")
        seconds, _, _ = cengine(self.project, "pipeline", "run", "post", "-y")
        yield line("a run of which everything is stored", seconds, "", "")
        seconds, peak, _ = self.report()
        yield line("evaluating by three columns and all their pairs, page written", seconds, "15 s", "")
        yield line("  its peak memory", peak, "3 GB", "", "GB")
        yield line("slicing the predictions by three columns", self.slicing(), "5 s", "2 s")
        yield line("`cengine --help`, CPU time", self.help_cpu(), "0.4 s", "0.15 s")
        yield "loop beside fit() and a bare scan:                          python bench/loop.py"

    def report(self) -> tuple[float, float, str]:
        """Evaluate, with all pairs of the slicing columns, then page and notebook: two processes; the larger memory of the two."""
        pairs = self.project / "pairs.yaml"
        text = (HERE / "post.yaml").read_text()
        pairs.write_text(re.sub(r"(?ms)^evaluator:.*?(?=^\S|\Z)", PAIRS, text))
        cengine(self.project, "pipeline", "push", str(pairs), "pairs")
        evaluated, first_peak, _ = cengine(self.project, "pipeline", "run", "pairs", "-y")
        written, second_peak, errors = cengine(self.project, "pipeline", "evaluate", "pairs", "--no-open")
        return evaluated + written, max(first_peak, second_peak), errors

    def before_training(self, pipeline: str) -> float:
        """Seconds from the start of the process until training begins."""
        began = time.perf_counter()
        process = subprocess.Popen(
            command(self.project, "pipeline", "run", pipeline, "-y"),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        assert process.stderr is not None
        seconds = next(time.perf_counter() - began for text in process.stderr if text.startswith("Train:"))
        process.stderr.read()
        process.wait()
        return seconds

    def slicing(self) -> float:
        """Seconds of the slicing alone, in a process that has the engine loaded."""
        code = f"""
import time
from pathlib import Path
from cengine import open_project
from cengine.engines.duckdb import DuckDB
from cengine.evaluation.slices import measure
from cengine.metrics.table import METRICS
from cengine.expressions.build import column, double
project = open_project({str(self.project)!r})
predictions = max(Path(project.folder).glob("artifacts/Evaluate/*/*/predictions.parquet"), key=lambda file: file.stat().st_size)
with DuckDB(project.scratch, folders=project.table_folders) as engine:
    roles = lambda role: double(1977.0) if role == "center" else column(f"{{role}}: birth_year")
    slices = [(), ("birth_year",), ("gender",), ("start_station_name",)]
    began = time.perf_counter()
    measure(engine, engine.parquet([predictions]), roles, "regression", [METRICS["mae"]()], slices)
    print(time.perf_counter() - began)
"""
        return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)

    def help_cpu(self) -> float:
        """CPU seconds, the least of five."""
        return min(cpu_of(command(self.project, "--help")) for _ in range(5))


def command(project: Path, *arguments: str) -> list[str]:
    """The command line of this environment."""
    return [sys.executable, "-m", "cengine.cli.main", "--project", str(project), *arguments]


def cengine(project: Path, *arguments: str) -> tuple[float, float, str]:
    """Seconds, peak memory in GB and the error stream of a command."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command(project, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(arguments)} failed:\n{errors}")
    return time.perf_counter() - began, usage.ru_maxrss / 1e6, errors


def cpu_of(arguments: list[str]) -> float:
    """User and system seconds of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(arguments, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def line(what: str, value: float, must: str, aim: str, unit: str = "s") -> str:
    """One line of the table."""
    return f"{what:<58} {value:>9.2f} {unit:<2} {must:>8} {aim:>8}"


if __name__ == "__main__":
    main()
