"""The post's job with DuckDB and on Spark's workers: the same split and metrics, how long, and what an executor held.

    python bench/spark.py [ROWS] [--folder FOLDER] [--steps N] [--executor-memory 1g]

Generates the table with `cengine sample trips` (33,319,019 rows take 5.2 GB as CSV), runs bench/post.yaml in one project with the
embedded engine and in another on a standalone Spark on loopback, 2 workers of 1 core, and compares. The memory of an executor is
its process' resident peak (VmHWM), read while the run goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
POST_ROWS = 33_319_019
EXECUTOR = b"org.apache.spark.executor.CoarseGrainedExecutorBackend"


def main() -> None:
    """Prints the figures; exits with 1 where the two do not agree or an executor held more than 2 GB."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int, nargs="?", default=POST_ROWS)
    parser.add_argument(
        "--folder", type=Path, help="Where the table is kept for the next time. Default: a temporary folder."
    )
    parser.add_argument(
        "--steps", type=int, default=2000, help="Steps of training; the two train on the same rows, so a few will tell."
    )
    parser.add_argument("--executor-memory", default="1g")
    given = parser.parse_args()
    if given.folder is not None:
        given.folder.mkdir(parents=True, exist_ok=True)
        sys.exit(bench(given.folder, given))
    with tempfile.TemporaryDirectory(prefix="bench-spark-") as folder:
        sys.exit(bench(Path(folder), given))


def bench(folder: Path, given: argparse.Namespace) -> int:
    """The exit code."""
    from spark_cluster import spark_cluster

    table = folder / f"trips-{given.rows}.csv"
    if not table.exists():
        cengine(folder, "sample", "trips", table, "--rows", given.rows)
    config = folder / "post.yaml"
    config.write_text(
        (ROOT / "bench" / "post.yaml").read_text().replace("train_steps: 230000", f"train_steps: {given.steps}")
    )
    here, there = folder / "duckdb", folder / "spark"
    for project in (here, there):
        shutil.rmtree(project, ignore_errors=True)  # what is stored already would take no time
        cengine(project, "datasource", "create", "csv", "--name", "trips", "--path", table)
        cengine(project, "pipeline", "push", config, f"post_{given.steps}")
    cengine(here, "pipeline", "run", f"post_{given.steps}", "-y")
    with spark_cluster(num_workers=2, worker_megabytes=4096) as cluster:
        settings = {
            "name": "spark",
            "master": cluster.master,
            "workers": 2,
            "cpus_per_worker": 1,
            "options": {"spark.executor.memory": given.executor_memory},
        }
        (there / ".cengine" / "settings.yaml").write_text(json.dumps({"engine": settings}))
        with ExecutorMemory() as memory:
            cengine(there, "pipeline", "run", f"post_{given.steps}", "-y")
    return report(given, here, there, memory.peak_bytes)


def report(given: argparse.Namespace, here: Path, there: Path, peaks: dict[int, int]) -> int:
    """Prints what was found; 0 where it is as it should be."""
    import pyarrow.parquet as pq

    from cengine.store.project import Project

    runs, folders, results = [], [], []
    for folder in (here, there):
        project = Project(folder / ".cengine")
        run = project.records.runs.all()[-1]
        runs.append({stage["name"]: stage["seconds"] for stage in run.stages})
        folders.append(
            {stage["name"]: project.artifacts.find(stage["name"], stage["fingerprint"]).folder for stage in run.stages}
        )
        results.append(json.loads((folders[-1]["Evaluate"] / "results.json").read_text())["overall"])
    same = {
        "split": pq.read_table(folders[0]["Split"] / "cuts.parquet").equals(
            pq.read_table(folders[1]["Split"] / "cuts.parquet")
        ),
        "statistics": (folders[0]["Fit"] / "statistics.json").read_text()
        == (folders[1]["Fit"] / "statistics.json").read_text(),
        "encoded rows": equal_files(
            folders[0]["Transform"] / "encoded.parquet", folders[1]["Transform"] / "encoded.parquet"
        ),
        "metrics": results[0] == results[1],
    }
    print(f"\n{given.rows:,} rows, {given.steps:,} steps of training")
    print(f"{'stage':<12}{'DuckDB':>10}{'Spark':>10}   seconds")
    for name in runs[0]:
        print(f"{name:<12}{runs[0][name]:>10.1f}{runs[1][name]:>10.1f}")
    for process, peak in peaks.items():
        print(f"executor {process}: peak of {peak / 2**30:.2f} GB resident")
    for what, equal in same.items():
        print(f"{what}: {'equal' if equal else 'NOT EQUAL'}")
    for row in results[1]:
        print(f"{row['split']} {row['metric']}: {row['model']:.6g}")
    return 0 if all(same.values()) and peaks and max(peaks.values()) <= 2 * 2**30 else 1


def equal_files(one: Path, other: Path) -> bool:
    """Whether two files of encoded rows hold the same rows in the same order, column by column."""
    import pyarrow.parquet as pq

    names = pq.read_schema(one).names
    if names != pq.read_schema(other).names:
        return False
    return all(
        pq.read_table(one, columns=[name])[name].equals(pq.read_table(other, columns=[name])[name]) for name in names
    )


def cengine(project: Path, *words: object) -> None:
    """A command, as a user types it."""
    began = time.monotonic()
    command = [sys.executable, "-m", "cengine.cli.main", "--project", str(project), *(str(word) for word in words)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
    print(f"--- {' '.join(str(word) for word in words)}: {time.monotonic() - began:.1f} s", flush=True)


class ExecutorMemory:
    """`peak_bytes` of each executor of this machine while the block goes on, by process."""

    def __init__(self) -> None:
        self.peak_bytes: dict[int, int] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> ExecutorMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    if EXECUTOR in (process / "cmdline").read_bytes().split(b"\0"):
                        line = next(
                            line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM")
                        )
                        number = int(process.name)
                        self.peak_bytes[number] = max(self.peak_bytes.get(number, 0), int(line.split()[1]) * 1024)
                except (OSError, StopIteration):
                    continue  # it has just ended


if __name__ == "__main__":
    main()
