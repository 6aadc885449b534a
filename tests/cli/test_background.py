"""Runs in the background: they go on without us, are watched, cancelled and taken up again."""

from __future__ import annotations

import os
import signal
import time

import pytest
from terminal import YAML, table_text

from cengine.store.rows import RunRow

LONG = YAML.replace("train_steps: 20", "train_steps: 50000000").replace(
    "save_checkpoints_steps: 10", "save_checkpoints_steps: 2000"
)
PATIENCE_SECONDS = 90


@pytest.fixture
def pushed(terminal):
    terminal("datasource", "create", "csv", "--name", "t", "--path", terminal.write("t.csv", table_text()))
    terminal("pipeline", "push", terminal.write("short.yaml", YAML), "short")
    terminal("pipeline", "push", terminal.write("long.yaml", LONG), "long")
    return terminal


def status(terminal, key: str) -> dict:
    return terminal("pipeline", "runs", key, "--json").json[0]


def waited(terminal, key: str, *wanted: str) -> dict:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if (found := status(terminal, key))["status"] in wanted:
            return found
        time.sleep(0.2)
    raise AssertionError(f"still {found}")


def at_work(terminal, key: str) -> RunRow:
    """The run's record once it trains."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        (row,) = [
            r
            for r in terminal.project.records.runs.all()
            if r.pipeline_id == terminal.project.records.pipelines.find(key).id
        ]
        if row.progress and row.progress["stage"] == "Train" and row.progress["rate"]:
            return row
        time.sleep(0.1)
    raise AssertionError(f"still {row}")


def test_a_detached_run_succeeds_by_itself(pushed) -> None:
    told = pushed("pipeline", "run", "short", "-y", "--detach").out
    assert "goes on in the background" in told
    assert waited(pushed, "short", "Succeeded", "Failed")["status"] == "Succeeded"
    log = pushed("pipeline", "logs", "short", "--follow").out
    assert "Train: done in" in log
    assert "The model of y" in log
    assert "is succeeded" in pushed("pipeline", "attach", "short").out
    assert pushed("pipeline", "evaluate", "short", "--json").json["metrics"]


def test_a_run_is_cancelled_and_resumed(pushed) -> None:
    pushed("pipeline", "run", "long", "-y", "--detach")
    row = at_work(pushed, "long")
    shown = pushed("pipeline", "status", "--pipeline_id", "long").out
    assert "Running" in shown
    assert "steps/s" in shown
    assert "is cancelled" in pushed("pipeline", "cancel", "long").out
    assert status(pushed, "long")["status"] == "Cancelled"
    assert "does not go on any more: it is cancelled" in pushed("pipeline", "cancel", "long", code=7).err
    pushed("pipeline", "resume", "long", "--detach")
    assert at_work(pushed, "long").attempt == 2
    assert "cannot be" not in pushed("pipeline", "status").out
    pushed("pipeline", "cancel", "long")
    assert row.id == pushed.project.records.runs.all()[0].id


def test_a_killed_run_is_interrupted_and_resumed(pushed) -> None:
    pushed("pipeline", "run", "long", "-y", "--detach")
    os.kill(at_work(pushed, "long").process_id, signal.SIGKILL)
    found = waited(pushed, "long", "Interrupted")
    assert "without a word" in found["message"]
    pushed("pipeline", "resume", "long", "--detach")
    assert at_work(pushed, "long").attempt == 2
    pushed("pipeline", "cancel", "long")


def test_what_has_ended_well_is_not_resumed(pushed) -> None:
    pushed("pipeline", "run", "short", "-y")
    assert "is succeeded" in pushed("pipeline", "resume", "short", code=7).err
    assert "has no run 7" in pushed("pipeline", "resume", "short:7", code=7).err
    assert "was never run" in pushed("pipeline", "cancel", "long", code=7).err


def test_prices(pushed) -> None:
    (pushed.project.folder / "settings.yaml").write_text("prices: {currency: USD, cpu_hour: 3600}\n")
    pushed("pipeline", "run", "short", "-y", "--threads", 1)
    found = pushed("pipeline", "status", "--json").json[0]
    assert found["compute_cost"] > 0
    assert found["training_cost"] > 0
    assert found["total_cost"] == pytest.approx(found["compute_cost"] + found["training_cost"], abs=0.02)
    assert "Total Cost ($)" in pushed("pipeline", "status").out
    (pushed.project.folder / "settings.yaml").write_text("prices: {cpu_hours: 1}\n")
    error = pushed("pipeline", "status", code=7).err
    assert "prices.cpu_hours" in error
    assert "did you mean 'cpu_hour'?" in error
