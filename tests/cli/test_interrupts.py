"""Ctrl-C and SIGKILL in any stage: nothing is half-written, the records tell the truth, and running again goes on."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import sys
import time

import numpy as np
import pytest
from terminal import Terminal

from cengine.cli.interrupt import raise_if_pressed, remembered
from cengine.learners.model import load_model
from cengine.stopping import Stopped

NUM_ROWS = 300_000
# Long enough to be met at work, short enough to wait for.
LONG = """\
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
  layers: [{type: dense, units: 16}, {type: dropout, rate: 0.1}]
  train_batch_size: 64
  train_steps: 12000
  save_checkpoints_steps: 500
evaluator:
  gender: {}
"""


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """A terminal where the table is registered and the pipeline pushed."""
    folder = tmp_path_factory.mktemp("registered")
    terminal = Terminal(folder / "project", folder)
    terminal("sample", "trips", folder / "trips.csv", "--rows", NUM_ROWS)
    terminal("datasource", "create", "csv", "--name", "trips", "--path", folder / "trips.csv")
    terminal("pipeline", "push", terminal.write("long.yaml", LONG), "long")
    return terminal


def copied(terminal, folder):
    """Another terminal on a copy of the project."""
    shutil.copytree(terminal.folder, folder)
    return Terminal(folder, terminal.files)


def stored(terminal, stage: str) -> list:
    return list((terminal.project.folder / "artifacts" / stage).glob("*/*"))


def newest(terminal) -> dict:
    return terminal("pipeline", "status", "--pipeline-id", "long", "--json").json[0]


def outcome(terminal):
    """Weights, metrics, slices and history of the newest run."""
    (train,) = stored(terminal, "Train")
    metrics = terminal("pipeline", "evaluate", "long", "--json").json
    history = json.loads((train / "training.json").read_text())
    return load_model(train).get_weights(), metrics["metrics"], metrics["slices"], history


def assert_interrupted(terminal, answer) -> None:
    assert (answer.code, answer.out.count("succeeded")) == (130, 0), answer
    assert "interrupted" in answer.err
    assert [name for name in terminal.leftovers() if "/Train-" not in name] == []


def assert_whole(terminal, stage: str) -> None:
    """Ctrl-C may come a moment too late to stop the stage; what is stored of it then is complete."""
    assert all((folder / "artifact.json").exists() for folder in stored(terminal, stage))


def test_in_datasource_create(terminal, registered) -> None:
    work = terminal.project.folder / "artifacts" / ".work"
    words = ("datasource", "create", "csv", "--name", "trips", "--path", registered.files / "trips.csv")
    for end in ("interrupt", "kill"):
        typed = terminal.start(*words)
        typed.waits_for(lambda: list(work.glob("draft-*/part-*")))
        if end == "interrupt":
            assert_interrupted(terminal, typed.interrupt())
        else:
            assert typed.kill().code == -9
        assert stored(terminal, "snapshot") == []
        assert terminal("datasource", "list", "--json").json == []
    # What a killed process left is cleared away by the next one that builds the same.
    assert f"{NUM_ROWS:,} rows read" in terminal(*words).out
    assert terminal.leftovers() == []


@pytest.mark.slow
def test_in_every_stage_one_after_the_other(registered, tmp_path) -> None:
    """However often a run is stopped, the next one goes on, and the end is that of an undisturbed run."""
    terminal = copied(registered, tmp_path / "disturbed")
    checkpoints = terminal.project.folder / "artifacts" / ".work"
    words = ("pipeline", "run", "long", "-y")
    stages = ["Split", "Fit", "Transform", "Yardsticks", "Train", "Evaluate"]

    for stage in ("Split", "Fit", "Transform", "Yardsticks"):
        typed = terminal.start(*words)
        typed.says(f"{stage}: {NUM_ROWS:,} rows")
        assert_interrupted(terminal, typed.interrupt())
        assert newest(terminal)["status"] == "Interrupted"
        assert_whole(terminal, stage)
        for earlier in stages[: stages.index(stage)]:
            assert len(stored(terminal, earlier)) == 1

    for step, end in ((500, "interrupt"), (2500, "kill")):
        typed = terminal.start(*words)
        typed.waits_for(lambda step=step: list(checkpoints.glob(f"Train-*/checkpoints/step-{step:012d}.npz")))
        answer = typed.interrupt() if end == "interrupt" else typed.kill()
        if end == "interrupt":
            assert_interrupted(terminal, answer)
        else:
            assert answer.code == -9
        assert newest(terminal)["status"] == "Interrupted"
        # How far a killed run came is known up to its last sign of life, which may be its first.
        assert (0 if end == "kill" else 1) <= int(newest(terminal)["completion"].rstrip("%")) < 100
        assert stored(terminal, "Train") == []

    typed = terminal.start(*words)
    typed.says("Evaluate: ")
    assert_interrupted(terminal, typed.interrupt())
    assert_whole(terminal, "Evaluate")

    last = terminal(*words)
    for stage in stages[:-1]:
        assert f"{stage}: stored already" in last.err
    assert newest(terminal)["status"] == "Succeeded"
    assert terminal.leftovers() == []

    undisturbed = copied(registered, tmp_path / "undisturbed")
    undisturbed(*words)
    one, other = outcome(terminal), outcome(undisturbed)
    assert [entry["step"] for entry in one[3]["history"]] == list(range(500, 12001, 500))
    for a, b in zip(one[0], other[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert one[1:] == other[1:]


@pytest.fixture
def default_signals():
    """Ctrl-C as in a terminal: a shell that runs the tests in the background lets them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_that_another_library_drops(monkeypatch, default_signals) -> None:
    """What is raised in a hook of the garbage collector is ignored by Python; the next sign of progress raises it.

    Nobody is told of a wish that was dropped, as it is not lost, but of all else.
    """
    told, raised = [], []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_type))

    def hook(phase, info) -> None:
        gc.callbacks.remove(hook)
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
        except Stopped as wish:
            raised.append(type(wish))
            raise

    def other(phase, info) -> None:
        gc.callbacks.remove(other)
        raise ValueError

    with pytest.raises(KeyboardInterrupt), remembered():
        raise_if_pressed()
        for ours in (other, hook):
            gc.callbacks.append(ours)
            gc.collect()
        raise_if_pressed()
    assert raised == [Stopped]
    assert told == [ValueError]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
