"""What is added to a run by what Evaluate finds beside its metrics, in seconds and CPU seconds, on trips of `cengine sample trips`.

    python bench/truth.py [--rows 3000000] [--folder build/bench-truth]

Trains a small network on five features once, then looks for leaks, counts repeated rows, and finds which features matter, how
predictions depend on them, and the worst rows, three times each. Prints the medians.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cengine
from cengine.evaluation.leaks import associations
from cengine.evaluation.repeats import repeated_rows
from cengine.samples.trips import generate_trips
from cengine.stages.encoded import Encoded
from cengine.stages.looking import found_in_predictions
from cengine.stages.sizes import facts
from cengine.stages.stage import Work
from cengine.stages.train import Train

NUM_TRIES = 3
YAML = """
features: [end_station_id, gender, start_station_id, tripduration, usertype]
labels: {birth_year: {loss: mse, metrics: [mae]}}
split: {ratio: {train: 0.9, eval: 0.1}}
trainer: {type: regression, layers: [{type: dense, units: 64}, {type: dense, units: 32}], train_steps: 500, train_batch_size: 256}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--folder", type=Path, default=Path("build/bench-truth"))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    table = given.folder / f"trips-{given.rows}.parquet"
    if not table.exists():
        generate_trips(table, given.rows)
    project = cengine.open_project(given.folder / "project")
    snapshot = cengine.register(project, "parquet", path=str(table))
    plan = cengine.plan(project, cengine.parse_config(YAML, "truth.yaml"), snapshot)
    run = cengine.execute(plan)
    with tempfile.TemporaryDirectory() as kept:
        work = Work(run.folders, Path(kept), Path(kept))
        encoded = Encoded.of(plan.context, work)
        predictor = plan.context.learner.read(work.of(Train), encoded.examples.inputs, encoded.targets)
    products = plan.context.learner.products(facts(plan.context, run.folders))
    with run.engine() as engine:
        scan = engine.parquet([run.predictions_file])
        asked = {
            "leaks": lambda: associations(engine, run.rows, run.split, run.resolved),
            "repeated rows": lambda: repeated_rows(engine, run.rows, run.split, run.resolved),
            "features and worst rows": lambda: found_in_predictions(
                plan.context, encoded, predictor, engine, scan, run.rows, products
            ),
        }
        for name, ask in asked.items():
            seconds, cpu = measured(ask)
            print(f"{name:24} {seconds:6.2f} s {cpu:6.2f} CPU s")


def measured(ask: Callable[[], object]) -> tuple[float, float]:
    """The median of the seconds, and of the CPU seconds, that it takes."""
    times = []
    for _ in range(NUM_TRIES):
        began, before = time.perf_counter(), time.process_time()
        ask()
        times.append((time.perf_counter() - began, time.process_time() - before))
    return statistics.median(one for one, _ in times), statistics.median(one for _, one in times)


if __name__ == "__main__":
    main()
