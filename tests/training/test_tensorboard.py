"""Event files, read back by TensorBoard itself."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from terminal import YAML, table_text

from cengine.training.tensorboard import ScalarWriter


def read(folder) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_points_of_each_split(tmp_path) -> None:
    with ScalarWriter(tmp_path) as writer:
        writer.write(10, {"train": {"loss": 2.0, "mae": 1.5}, "eval": {"loss": 3.0}})
        writer.write(20, {"train": {"loss": 1.0, "mae": 0.5}, "eval": {"loss": 2.5}})
    assert [(e.step, e.value) for e in read(tmp_path / "train").Scalars("loss")] == [(10, 2.0), (20, 1.0)]
    assert [(e.step, e.value) for e in read(tmp_path / "train").Scalars("mae")] == [(10, 1.5), (20, 0.5)]
    assert [(e.step, e.value) for e in read(tmp_path / "eval").Scalars("loss")] == [(10, 3.0), (20, 2.5)]


def test_a_run_writes_train_and_eval_at_each_checkpoint(terminal) -> None:
    terminal("datasource", "create", "csv", "--name", "t", "--path", terminal.write("t.csv", table_text()))
    terminal("pipeline", "push", terminal.write("c.yaml", YAML.replace("train_steps: 20", "train_steps: 35")), "mine")
    terminal("pipeline", "run", "mine", "-y")
    (folder,) = (terminal.project.folder / "artifacts" / "Train").glob("*/*")
    history = json.loads((folder / "training.json").read_text())["history"]
    assert [entry["step"] for entry in history] == [10, 20, 30, 35]
    for split in ("train", "eval"):
        events = read(folder / "tensorboard" / split)
        for tag in ("loss", "mae"):
            points = events.Scalars(tag)
            assert [point.step for point in points] == [10, 20, 30, 35]
            np.testing.assert_allclose([p.value for p in points], [entry[split][tag] for entry in history], rtol=1e-6)
    (row,) = terminal("pipeline", "evaluate", "mine", "--json").json["metrics"]
    best = next(entry for entry in history if entry["step"] == json.loads((folder / "training.json").read_text())["best_step"])
    assert row["model"] == pytest.approx(best["eval"]["mae"], rel=1e-5)
