"""What `--explain` foretells beside what the run then takes, on three sizes of the table of trips.

    python bench/estimates.py [--folder build/estimates]

First a run on each of four other sizes, which is the history that estimates go by; then, for each size, the estimate and the run.
A network of two layers, one pass over the rows. On a machine that others keep busy the seconds are theirs too, so three more
measures are shown: seconds without what the run waited for a processor, the same as they would have been at the machine's usual
pace (`pace.py`, before and after each run, which waits for that pace up to five minutes), and seconds of processors. The last
column says whether the run was within the interval that 4 of 5 are to be in.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from pace import pace, steady

HISTORY = (50_000, 300_000, 1_500_000, 3_000_000)
SIZES = (100_000, 1_000_000, 5_000_000)
YAML = """\
features:
  tripduration: {}
  start_station_id: {transform: compute_and_apply_vocabulary}
  end_station_id: {transform: compute_and_apply_vocabulary}
  gender: {transform: compute_and_apply_vocabulary}
  usertype: {}
labels:
  birth_year: {loss: mse, metrics: [mae]}
split:
  categorize_by: start_station_name
  index_ratio: {train: 0.9, eval: 0.1}
trainer:
  type: regression
  layers: [{type: dense, units: 64}, {type: dense, units: 32}]
  train_batch_size: 256
  epochs: 1
evaluator: [gender, start_station_name]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build/estimates"))
    parser.add_argument("--history", type=int, nargs="*", default=HISTORY)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder / "project", ignore_errors=True)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(arguments.folder)
    for rows in arguments.history:
        bench.run(rows)
    print(
        f"usual pace {bench.usual:.2f} s, during the history {', '.join(f'{seconds:.2f}' for seconds in bench.paces)} s"
    )
    print(
        f"{'rows':>10} {'what':<14} {'estimate':>10} {'between':>19} {'measured':>10} {'ratio':>6}  within", flush=True
    )
    for rows in arguments.sizes:
        estimated = bench.run(rows)
        print(
            *bench.compared(rows, estimated, bench.paces[-1] / bench.usual),
            f"{rows:>10,} pace {bench.paces[-1]:.2f} s",
            sep="\n",
            flush=True,
        )


class Bench:
    """A project in which each size is a datasource of its own, and a pipeline."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.usual = min(pace() for _ in range(5))
        self.paces: list[float] = []
        (folder / "pipeline.yaml").write_text(YAML)

    def run(self, rows: int) -> dict:
        """The estimate of the run that was made then."""
        csv, name = self.folder / f"trips-{rows}.csv", f"trips{rows}"
        if not csv.exists():
            self.cengine("sample", "trips", str(csv), "--rows", str(rows))
        self.cengine("datasource", "create", "csv", "--name", name, "--path", str(csv))
        self.cengine("pipeline", "push", str(self.folder / "pipeline.yaml"), name)
        estimate = json.loads(self.cengine("pipeline", "run", name, "--explain", "--json"))
        before = steady(self.usual)
        self.cengine("pipeline", "run", name, "-y")
        self.paces.append((before + pace()) / 2)
        return estimate

    def compared(self, rows: int, estimate: dict, slower: float) -> list[str]:
        """A line for each stage and for the whole, in seconds, CPU seconds and bytes; `slower` is this run's pace by the usual one."""
        from cengine import open_project

        project = open_project(self.folder / "project")
        pipeline = project.records.pipelines.find(f"trips{rows}")
        taken = {
            stage["name"]: stage
            | {"alone": stage["seconds"] / stage["slowdown"], "alike": stage["seconds"] / stage["slowdown"] / slower}
            for stage in project.records.runs.last(pipeline_id=pipeline.id).stages
        }
        lines = []
        measures = {"seconds": "s", "alone": "s alone", "alike": "s alike", "cpu_seconds": "s CPU", "peak_bytes": "GB"}
        for measure, unit in measures.items():
            without_others = measure in ("alone", "alike")
            scale = 1e9 if unit == "GB" else 1
            found = {s["name"]: s["estimate"]["seconds" if without_others else measure] for s in estimate["stages"]}
            if without_others:
                found = {
                    name: {key: value / estimate["estimate"]["slowdown"] for key, value in i.items()}
                    for name, i in found.items()
                }
            for name, interval in found.items():
                lines.append(line(rows, f"{name} {unit}", interval, taken[name][measure], scale))
            if measure != "peak_bytes":
                whole = {key: sum(interval[key] for interval in found.values()) for key in ("expected", "low", "high")}
                lines.append(line(rows, f"all {unit}", whole, sum(taken[name][measure] for name in found), scale))
        return lines

    def cengine(self, *words: str) -> str:
        """What a command of this environment prints."""
        command = [sys.executable, "-m", "cengine.cli.main", "--project", str(self.folder / "project"), *words]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
        if done.returncode:
            sys.exit(f"{' '.join(words)} failed:\n{done.stderr}")
        return done.stdout


def line(rows: int, what: str, interval: dict, measured: float, scale: float) -> str:
    """One line of the table."""
    low, high, expected, measured = (
        value / scale for value in (interval["low"], interval["high"], interval["expected"], measured)
    )
    within = "yes" if low <= measured <= high else "no"
    return f"{rows:>10,} {what:<14} {expected:>10.2f} {f'{low:.2f} - {high:.2f}':>19} {measured:>10.2f} {measured / expected:>6.2f}  {within}"


if __name__ == "__main__":
    main()
