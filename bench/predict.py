"""Predicting a table of 33 million rows, and the network alone beside Keras' `predict()`.

    python bench/predict.py [--rows 33319019] [--folder build/bench]

Writes and registers a made-up table of trips if it is not there, trains the post's network for 1,000 steps, then predicts the whole
table as a command of its own. Beside it, rows that are encoded already go through Keras and through ours in turns: the ratio is of rows a
CPU second. Machines differ and are shared: run it twice.
"""

from __future__ import annotations

import argparse
import functools
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
KERAS_BATCHES = (32, 1024, 8192, 65_536)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=33_319_019)
    parser.add_argument("--folder", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    project = arguments.folder / f"predict-{arguments.rows}"
    if not (project / ".cengine").exists():
        prepare(project, arguments.rows)
    for ending in ("parquet", "csv"):
        target = arguments.folder / f"predicted.{ending}"
        seconds, cpu, peak = command(project, "predict", "post", "--input", "trips", "-o", str(target), "--overwrite")
        told = f"{arguments.rows:,} rows to {ending}, start included"
        print(f"{told:<60} {seconds:6.1f} s {cpu:6.1f} s of CPU {peak:5.2f} GB")
    beside_keras(project)


def prepare(project: Path, num_rows: int) -> None:
    """The table as a datasource, and a trained model."""
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir(parents=True)
    csv = project.parent / f"trips-{num_rows}.csv"
    if not csv.exists():
        command(project, "sample", "trips", str(csv), "--rows", str(num_rows))
    command(project, "datasource", "create", "csv", "--name", "trips", "--path", str(csv))
    post = project / "post.yaml"
    post.write_text((HERE / "post.yaml").read_text().replace("230000", "1000").replace("15000", "1000"))
    command(project, "pipeline", "push", str(post), "post")
    command(project, "pipeline", "run", "post", "-y")


def command(project: Path, *words: str) -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak memory in GB of a command."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "cengine.cli.main", "--project", str(project), *words],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(words)} failed:\n{errors}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6


def beside_keras(project: Path) -> None:
    """Rows that are encoded already: a CPU second of ours beside one of Keras'."""
    from cengine import find_run, open_project
    from cengine.learners.examples import CODES, NUMBERS, Examples
    from cengine.stages.table import Transform

    run = find_run(open_project(project), "post")
    model = run.model()
    labels = [label.name for label in run.resolved.labels]
    examples = Examples(
        run.folders[Transform.name] / "encoded.parquet", model.inputs, labels, list(run.split.names)
    )  # fmt: skip
    batch = examples.thinned("train", 1_000_000, 2**18)
    inputs = batch.inputs
    arrays = [np.ascontiguousarray(inputs[NUMBERS]), np.ascontiguousarray(inputs[CODES])]
    network, predictor = model.network, model.predictor
    rates: dict[str, list[float]] = {}
    for _ in range(4):  # the first compiles
        rates.setdefault("ours", []).append(rate(len(batch), lambda: predictor.predict(batch)))
        for size in KERAS_BATCHES:
            rows = len(batch) if size > 1000 else 20_000
            part = [array[:rows] for array in arrays]
            work = functools.partial(network.predict, part, batch_size=size, verbose=0)
            rates.setdefault(f"Keras, batches of {size:,}", []).append(rate(rows, work))
    for name, found in rates.items():
        best = max(found[1:])
        print(f"{name:<40} {best:>12,.0f} rows a CPU second   ours is {max(rates['ours'][1:]) / best:.1f} times that")


def rate(num_rows: int, work: Callable[[], object]) -> float:
    """Rows a CPU second."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return num_rows / (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


if __name__ == "__main__":
    main()
