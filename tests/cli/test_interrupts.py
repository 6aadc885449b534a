"""Ctrl-C and SIGKILL in any stage: nothing is half-written, the records tell the truth, and running again goes on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from terminal import Terminal

from cengine.training.model import load_model

NUM_ROWS = 400_000
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
  train_steps: 8000
  save_checkpoints_steps: 800
evaluator:
  gender: {}
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A terminal where the table is registered and the pipeline has run to its end."""
    folder = tmp_path_factory.mktemp("undisturbed")
    terminal = Terminal(folder / "project", folder)
    terminal("sample", "trips", folder / "trips.csv", "--rows", NUM_ROWS)
    terminal("datasource", "create", "csv", "--name", "trips", "--path", folder / "trips.csv")
    terminal("pipeline", "push", terminal.write("long.yaml", LONG), "long")
    terminal("pipeline", "run", "long", "-y")
    return terminal


@pytest.fixture
def ready(undisturbed, tmp_path):
    """Another project with the same table and pipeline, never run."""
    terminal = Terminal(tmp_path / "project", undisturbed.files)
    terminal("datasource", "create", "csv", "--name", "trips", "--path", terminal.files / "trips.csv")
    terminal("pipeline", "push", terminal.files / "long.yaml", "long")
    return terminal


def stored(terminal, stage: str) -> list:
    return list((terminal.project.folder / "artifacts" / stage).glob("*/*"))


def status(terminal) -> str:
    return terminal("pipeline", "status", "--json").json[0]["status"]


def outcome(terminal):
    """Weights, metrics and history of the newest run."""
    (train,) = stored(terminal, "Train")
    metrics = terminal("pipeline", "evaluate", "long", "--json").json
    history = json.loads((train / "training.json").read_text())
    return load_model(train).get_weights(), metrics["metrics"], metrics["slices"], history


def assert_same_outcome(one, other) -> None:
    for a, b in zip(one[0], other[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert one[1:] == other[1:]


def test_in_datasource_create(terminal, undisturbed) -> None:
    work = terminal.project.folder / "artifacts" / ".work"
    words = ("datasource", "create", "csv", "--name", "trips", "--path", undisturbed.files / "trips.csv")
    typed = terminal.start(*words)
    typed.waits_for(lambda: list(work.glob("draft-*/part-*")))
    answer = typed.interrupt()
    assert (answer.code, answer.out) == (130, "")
    assert "interrupted" in answer.err
    assert "Traceback" not in answer.err
    assert terminal.leftovers() == []
    assert stored(terminal, "snapshot") == []
    assert terminal("datasource", "list", "--json").json == []
    assert f"{NUM_ROWS:,} rows read" in terminal(*words).out


@pytest.mark.parametrize("stage", ["Split", "Fit", "Transform", "Evaluate"])
def test_in_a_stage_before_or_after_training(ready, undisturbed, stage) -> None:
    typed = ready.start("pipeline", "run", "long", "-y")
    typed.says(f"{stage}: ")
    answer = typed.interrupt()
    if answer.code == 0:
        pytest.skip(f"{stage} was through before Ctrl-C came")
    assert answer.code == 130
    assert "interrupted" in answer.err
    assert "Traceback" not in answer.err
    assert status(ready) == "Interrupted"
    assert stored(ready, stage) == []
    assert [name for name in ready.leftovers() if "Train" not in name] == []
    again = ready("pipeline", "run", "long", "-y")
    before = ["Split", "Fit", "Transform", "Train", "Evaluate"]
    for earlier in before[: before.index(stage)]:
        assert f"{earlier}: stored already" in again.err
    assert status(ready) == "Succeeded"
    assert ready.leftovers() == []
    assert_same_outcome(outcome(ready), outcome(undisturbed))


@pytest.mark.parametrize("end", ["interrupt", "kill"])
def test_training_goes_on_from_its_last_checkpoint(ready, undisturbed, end) -> None:
    typed = ready.start("pipeline", "run", "long", "-y")
    checkpoints = ready.project.folder / "artifacts" / ".work"
    typed.waits_for(lambda: list(checkpoints.glob("Train-*/checkpoints/step-000000001600.npz")))
    answer = typed.interrupt() if end == "interrupt" else typed.kill()
    assert answer.code == (130 if end == "interrupt" else -9)
    row = ready("pipeline", "status", "--pipeline-id", "long")
    assert "Interrupted" in row.out
    assert stored(ready, "Train") == []
    assert 0 < float(ready("pipeline", "status", "--json").json[0]["completion"].rstrip("%")) < 100
    again = ready.start("pipeline", "run", "long", "-y").answer()
    assert again.code == 0, again.err
    assert "Transform: stored already" in again.err
    assert ready.leftovers() == []
    assert_same_outcome(outcome(ready), outcome(undisturbed))
    (train,) = stored(ready, "Train")
    steps = [entry["step"] for entry in json.loads((train / "training.json").read_text())["history"]]
    assert steps == list(range(800, 8001, 800))


def test_killed_while_reading_leaves_nothing_that_is_taken_for_whole(terminal, undisturbed) -> None:
    """What a killed process left is cleared away by the next one that builds the same."""
    work = terminal.project.folder / "artifacts" / ".work"
    words = ("datasource", "create", "csv", "--name", "trips", "--path", undisturbed.files / "trips.csv")
    typed = terminal.start(*words)
    typed.waits_for(lambda: list(work.glob("draft-*/part-*")))
    assert typed.kill().code == -9
    assert stored(terminal, "snapshot") == []
    assert terminal("datasource", "list", "--json").json == []
    terminal(*words)
    assert terminal.leftovers() == []
    assert len(terminal("datasource", "list", "--json").json) == 1
