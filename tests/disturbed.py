"""A small but real run to be killed, starved and confused, and what must come of it in the end: that of an undisturbed one."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from terminal import Terminal

import cengine
from cengine.learners.model import load_model

# Every stage has something to do; the network's random state matters, and there are twelve checkpoints.
YAML = """\
features:
  tripduration: {}
  start_station_id: {transform: compute_and_apply_vocabulary}
  end_station_id: {transform: quantile_normal}
  starttime: {}
labels:
  birth_year: {loss: mse, metrics: [mae]}
split:
  categorize_by: start_station_name
  index_by: starttime
  index_ratio: {train: 0.8, eval: 0.1, test: 0.1}
trainer:
  type: regression
  layers: [{type: dense, units: 48}, {type: dropout, rate: 0.1}]
  train_batch_size: 64
  train_steps: 6000
  save_checkpoints_steps: 500
evaluator:
  gender: {}
"""
STAGES = ("Split", "Fit", "Transform", "Yardsticks", "Train", "Evaluate")
RUN = ("pipeline", "run", "mine", "-y")
RESUME = ("pipeline", "resume", "mine")

# A command that kills itself, by SIGKILL, the n-th time that Python is about to do something: `WHEN WHAT N WORDS ...`.
# WHEN is an audit event (open, os.rename, os.remove, shutil.rmtree) or `sql`, which is after a statement and before its
# commit; WHAT must be in what the event is about. The program itself is the one that everybody runs.
SUICIDE = [
    sys.executable,
    "-c",
    """
import os, runpy, signal, sys
when, what, left = sys.argv[1], sys.argv[2], int(sys.argv[3])
del sys.argv[1:4]
def happened(about):
    global left
    if all(word in about for word in what.split("+")):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
if when == "sql":
    import sqlalchemy
    def executed(connection, cursor, statement, parameters, context, many):
        happened(statement + repr(parameters))
    sqlalchemy.event.listen(sqlalchemy.Engine, "after_cursor_execute", executed)
else:
    sys.addaudithook(lambda name, about: happened(repr(about)) if name == when else None)
runpy.run_module("cengine.cli.main", run_name="__main__")
""",
]


def registered(folder: Path, num_rows: int = 4000, text: str = YAML) -> Terminal:
    """A terminal where the table is registered and the pipeline pushed."""
    folder.mkdir(parents=True, exist_ok=True)
    terminal = Terminal(folder / "project", folder)
    terminal("sample", "trips", folder / "trips.csv", "--rows", num_rows)
    terminal("datasource", "create", "csv", "--name", "trips", "--path", folder / "trips.csv")
    terminal("pipeline", "push", terminal.write("mine.yaml", text), "mine")
    return terminal


def copied(terminal: Terminal, folder: Path) -> Terminal:
    """Another terminal on a copy of the project."""
    shutil.copytree(terminal.folder, folder, symlinks=True)
    return Terminal(folder, terminal.files)


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    weights: list[np.ndarray]
    metrics: list[dict]
    predictions: object

    @staticmethod
    def of(terminal: Terminal) -> Outcome:
        """That of the newest run, which must have succeeded."""
        (newest,) = terminal("pipeline", "status", "--pipeline-id", "mine", "--json").json
        assert newest["status"] == "Succeeded", newest
        (train,), (evaluate,) = (
            list((terminal.project.folder / "artifacts" / stage).glob("??/*")) for stage in ("Train", "Evaluate")
        )
        found = terminal("pipeline", "evaluate", "mine", "--json", "--no-open").json
        return Outcome(
            load_model(train).get_weights(),
            [found["metrics"], found["slices"]],
            pq.read_table(evaluate / "predictions.parquet"),
        )

    def assert_equal(self, other: Outcome) -> None:
        """Bit for bit."""
        assert len(self.weights) == len(other.weights) > 0
        for one, two in zip(self.weights, other.weights, strict=True):
            assert one.dtype == two.dtype
            assert one.tobytes() == two.tobytes()
        assert self.metrics == other.metrics
        assert self.predictions.equals(other.predictions)


def assert_whole(terminal: Terminal) -> None:
    """Nothing is wrong with the store, nothing is in the way, nothing seems to go on."""
    found = terminal("cache", "verify", "--json").json
    assert (found["wrong"], found["findings"]) == (0, [])
    assert found["files"] > 10
    assert terminal.leftovers() == []
    for run in terminal.project.records.runs.all():
        assert run.status not in ("Queued", "Running")
        assert run.seconds is None or run.seconds >= 0


@dataclass(frozen=True)
class Timeline:
    """When an undisturbed run began each stage, in seconds from its start as a process, and when it ended."""

    began: dict[str, float]
    ended: float

    @staticmethod
    def of(terminal: Terminal) -> Timeline:
        """Measured, by doing the run."""
        start = time.monotonic()
        typed = terminal.start(*RUN)
        began = {"start": 0.0}
        while line := typed.process.stderr.readline():
            for stage in STAGES:
                if line.startswith(f"{stage}: ") and stage not in began:
                    began[stage] = time.monotonic() - start
        assert typed.answer().code == 0
        return Timeline(began, time.monotonic() - start)

    def anchored(self, moment: float) -> tuple[str, float]:
        """A moment as the part of the run that it is in, and the seconds since that began: machines are not always as fast."""
        part = [name for name, began in self.began.items() if began <= moment][-1]
        return part, moment - self.began[part]

    def length(self, part: str) -> float:
        """The seconds that a part took."""
        ends = [*list(self.began.values())[1:], self.ended]
        return ends[list(self.began).index(part)] - self.began[part]


def outcome_of(terminal: Terminal) -> tuple[object, list[dict], list[list[object]]]:
    """What came of the run `mine`: its predictions, its metrics, the fingerprints of its stages."""
    found = cengine.find_run(terminal.project, "mine")
    fingerprints = [[stage.name, stage.fingerprint] for stage in found.stages]
    return pq.read_table(found.predictions_file), found.results.overall_rows, fingerprints
