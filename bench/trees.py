"""Boosted trees of millions of rows: memory and processor time of Train beside plain LightGBM on the same encoded rows, and how far off
the estimate of Train is.

    python bench/trees.py [--folder build/trees] [--rows 30000 300000 3000000] [--trees 100] [--memory-gb 1.5]

The rows are made-up trips with the post's five features. Each run is a process of its own. Plain LightGBM reads the encoded rows into
one float32 matrix and grows as many trees with the same parameters; its time begins before the rows are read.
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
from typing import Any

YAML = """
features: {{start_station_id: {{}}, end_station_id: {{}}, usertype: {{}}, gender: {{}}, tripduration: {{}}}}
labels: {{birth_year: {{loss: mse, metrics: [mae]}}}}
split: {{ratio: {{train: 0.9, eval: 0.1}}, where: [birth_year > 1900]}}
trainer: {{type: regression, architecture: boosted_trees, trees: {trees}}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build/trees"))
    parser.add_argument("--rows", type=int, nargs="+", default=[30_000, 300_000, 3_000_000])
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--memory-gb", type=float, default=1.5)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        kind, folder = given.child
        told = run_ours(Path(folder), given) if kind == "ours" else run_plain(Path(folder), given.trees)
        print(json.dumps(told))
        return
    print(
        "     rows |   ours CPU s, peak GB | LightGBM CPU s, peak GB | ours / LightGBM: CPU, peak | estimate / measured: CPU, peak"
    )
    for rows in given.rows:
        folder = given.folder / str(rows)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        from cengine.samples.trips import generate_trips

        generate_trips(folder / "trips.parquet", rows)
        ours, plain = (child(kind, folder, given) for kind in ("ours", "plain"))
        print(
            f"{rows:9,} | {ours['cpu']:11.1f}, {ours['peak'] / 1e9:7.2f} | {plain['cpu']:13.1f}, {plain['peak'] / 1e9:8.2f} | "
            f"{ours['cpu'] / plain['cpu']:19.2f}, {ours['peak'] / plain['peak']:5.2f} | "
            f"{ours['estimated_cpu'] / ours['cpu']:22.2f}, {ours['estimated_peak'] / ours['peak']:5.2f}",
            flush=True,
        )


def child(kind: str, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """What a process of its own tells on its last line."""
    command = [sys.executable, __file__, "--trees", str(given.trees), "--memory-gb", str(given.memory_gb)]
    done = subprocess.run([*command, "--child", kind, str(folder)], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_ours(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Train's seconds of processor, the peak of the whole process, and what the rates of the stage make of Train's load."""
    import cengine
    from cengine.forecast.estimates import expected
    from cengine.stages.stage import CPU, PEAK
    from cengine.stages.train import Train

    project = cengine.open_project(folder / "project")
    snapshot = cengine.register(project, "parquet", path=str(folder / "trips.parquet"))
    file = cengine.parse_config(YAML.format(trees=given.trees))
    run = cengine.execute(cengine.plan(project, file, snapshot, memory_bytes=int(given.memory_gb * 1e9)))
    record = next(stage for stage in run.stages if stage.name == Train.name)
    (folder / "encoded").write_text(str(run.folders["Transform"] / "encoded.parquet"))
    estimated = {measure: expected(measure, Train(), record.load, ()).expected for measure in (CPU, PEAK)}
    return {
        "cpu": record.cpu_seconds,
        "peak": record.peak_bytes,
        "estimated_cpu": estimated[CPU],
        "estimated_peak": estimated[PEAK],
    }


def run_plain(folder: Path, trees: int) -> dict[str, Any]:
    """LightGBM by itself, on the encoded rows of ours."""
    import lightgbm
    import numpy as np
    import pyarrow.parquet as pq

    from cengine.learners.boosted_trees import BoostedTrees

    began = time.process_time()
    table = pq.read_table((folder / "encoded").read_text())
    table = table.filter(np.asarray(table["_split"]) == 0)
    names = [name for name in table.column_names if not name.startswith(("label: ", "_"))]
    codes = [place for place, name in enumerate(names) if str(table[name].type) == "int32"]
    matrix = np.column_stack([table[name].to_numpy().astype(np.float32) for name in names])
    label = table["label: birth_year"].to_numpy()
    parameters = {**BoostedTrees(type="regression").parameters(), "objective": "regression", "num_threads": 2}
    data = lightgbm.Dataset(matrix, label, categorical_feature=codes, params=parameters)
    lightgbm.train(parameters, data, trees)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"cpu": time.process_time() - began, "peak": peak}


if __name__ == "__main__":
    main()
