"""What it costs that a run can be watched: training with and without heartbeat, progress and log; and a run of which everything is stored.

    python bench/overhead.py [--folder build/overhead] [--steps 200000] [--times 3]

Training of a small network is done in turns with all of it, and with none of it; each time the seconds of processors are taken,
which others' work on the same machine hardly changes, and least of all its least. Beside that ratio stands the share of
training that the thread that trains spends with recording, measured by the clock.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROWS = 100_000
YAML = """\
features: [end_station_id, gender, start_station_id, tripduration, usertype]
labels: {birth_year: {loss: mse, metrics: [mae]}}
split: {ratio: {train: 0.9, eval: 0.1}}
trainer:
  type: regression
  layers: [{type: dense, units: 64}, {type: dense, units: 32}]
  train_steps: STEPS
  train_batch_size: 256
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build/overhead"))
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    arguments.folder.mkdir(parents=True)
    bench = Bench(arguments.folder, arguments.steps)
    bench.train(recorded=True)  # what is before training, and all that is compiled or read for the first time
    watched, bare, shares = [], [], []
    for _ in range(arguments.times):
        seconds, share = bench.train(recorded=True)
        watched.append(seconds)
        shares.append(share)
        bare.append(bench.train(recorded=False)[0])
    print(
        f"training of {arguments.steps:,} steps, seconds of processors, recorded:     {min(watched):8.2f}  (of {len(watched)}, to {max(watched):.2f})"
    )
    print(
        f"                                                          not recorded: {min(bare):8.2f}  (of {len(bare)}, to {max(bare):.2f})"
    )
    print(
        f"ratio of the least of each                                              {min(watched) / min(bare):8.4f}  must be below 1.01"
    )
    print(
        f"share of training's time spent with recording                           {100 * statistics.median(shares):8.3f} %  must be below 1 %"
    )
    bench.train(recorded=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    times = [bench.cached() for _ in range(5)]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / len(times)
    print(
        f"a run of which everything is stored, as a process: seconds              {min(times):8.2f}  (of 5, to {max(times):.2f})  must be below 1.5"
    )
    print(f"                                           seconds of processors         {cpu:8.2f}")


class Bench:
    """A project with one pipeline, whose training is done again and again."""

    def __init__(self, folder: Path, steps: int) -> None:
        from cengine.cli.main import run
        from cengine.store.project import Project

        self.folder = folder
        self.project = Project(folder / ".cengine")
        (folder / "pipeline.yaml").write_text(YAML.replace("STEPS", str(steps)))
        for words in (
            ["sample", "trips", str(folder / "trips.csv"), "--rows", str(ROWS)],
            [
                "--project",
                str(folder),
                "datasource",
                "create",
                "csv",
                "--name",
                "trips",
                "--path",
                str(folder / "trips.csv"),
            ],
            ["--project", str(folder), "pipeline", "push", str(folder / "pipeline.yaml"), "mine"],
        ):
            assert run(words) == 0

    def train(self, *, recorded: bool) -> tuple[float, float]:
        """Seconds of processors of the training, and the share of its time spent with recording it."""
        from cengine.pipeline.execute import execute
        from cengine.runs.book import Book
        from cengine.runs.pushed import pipeline_config
        from cengine.runs.runs import plan_of, run_pipeline
        from cengine.stages.progress import Journal, Silent

        plan = plan_of(self.project, pipeline_config(self.project.records.pipelines.find("mine")), 1, {}, Silent())
        for stage in plan.stages:
            if stage.name in ("Train", "Evaluate"):
                self.project.artifacts.remove(stage.name, stage.fingerprint)
        plan = plan_of(self.project, pipeline_config(self.project.records.pipelines.find("mine")), 1, {}, Silent())
        if not recorded:
            train = execute(plan).stages[3]
        else:
            with Stopwatch(Book, "write"), Stopwatch(Journal, "advance"):
                _, run = run_pipeline(self.project.records.pipelines.find("mine"), plan, 1)
                train = run.stages[3]
                return train.cpu_seconds, Stopwatch.seconds["Train"] / train.seconds
        return train.cpu_seconds, 0.0

    def cached(self) -> float:
        """Seconds of a process that runs what is stored."""
        began = time.perf_counter()
        command = [
            sys.executable,
            "-m",
            "cengine.cli.main",
            "--project",
            str(self.folder),
            "pipeline",
            "run",
            "mine",
            "-y",
        ]
        subprocess.run(command, capture_output=True, check=True)
        return time.perf_counter() - began


class Stopwatch:
    """For the block, adds up the time that calls of a method take while training."""

    seconds: dict[str, float] = {"Train": 0.0}  # noqa: RUF012

    def __init__(self, owner: type, name: str) -> None:
        self.owner, self.name, self.method = owner, name, getattr(owner, name)

    def __enter__(self) -> None:
        self.seconds["Train"] = 0.0

        def timed(instance: object, *arguments: object, **named: object) -> object:
            began = time.perf_counter()
            try:
                return self.method(instance, *arguments, **named)
            finally:
                if vars(instance).get("stage", vars(instance).get("_stage")) == "Train":
                    self.seconds["Train"] += time.perf_counter() - began

        setattr(self.owner, self.name, timed)

    def __exit__(self, *_: object) -> None:
        setattr(self.owner, self.name, self.method)


if __name__ == "__main__":
    main()
