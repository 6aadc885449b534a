"""A run that is to end before it is through: signals, `cancel`, limits. Real processes, real signals."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
from terminal import YAML, Terminal, table_text

from cengine import stopping
from cengine.cli import main
from cengine.digests import fingerprint
from cengine.learners.checkpoints import read_newest
from cengine.learners.model import load_model
from cengine.stopping import Reason, Stopped

PATIENCE_SECONDS = 120
EVERY = 20_000
NUM_STEPS = 60_000
# Its checkpoints are so far apart that whoever stops it does so between two of them.
LONG = (
    YAML.replace("layers: [{type: dense, units: 4}]", "layers: [{type: dense, units: 4}, {type: dropout, rate: 0.1}]")
    .replace("train_steps: 20", f"train_steps: {NUM_STEPS}")
    .replace("save_checkpoints_steps: 10", f"save_checkpoints_steps: {EVERY}")
)
ENDLESS = LONG.replace(f"train_steps: {NUM_STEPS}", "train_steps: 50000000")


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    """A terminal with two pipelines, a longer and an endless one; everything before training is stored."""
    folder = tmp_path_factory.mktemp("stopping")
    terminal = Terminal(folder / "project", folder)
    terminal("datasource", "create", "csv", "--name", "t", "--path", terminal.write("t.csv", table_text(2000)))
    terminal("pipeline", "push", terminal.write("long.yaml", LONG), "long")
    terminal("pipeline", "push", terminal.write("endless.yaml", ENDLESS), "endless")
    return terminal


@pytest.fixture
def here(pushed, tmp_path):
    """A terminal on a copy of that project."""
    shutil.copytree(pushed.folder, tmp_path / "project")
    return Terminal(tmp_path / "project", pushed.files)


def newest(terminal, name: str) -> dict:
    return terminal("pipeline", "runs", name, "--json").json[0]


def record(terminal) -> dict:
    rows = terminal.project.records.runs.all()
    return dataclasses.asdict(rows[-1]) if rows else {"progress": None, "status": "none yet"}


def waited(happened):
    until = time.monotonic() + PATIENCE_SECONDS
    while not (found := happened()):
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.02)
    return found


def trains(terminal, after: int = 0):
    """Waits until the newest run is between two checkpoints."""

    def between() -> bool:
        progress = record(terminal)["progress"]
        return bool(progress and progress["stage"] == "Train" and progress["done"] > after and progress["done"] % EVERY)

    waited(between)


def checkpoints(terminal) -> Path:
    (folder,) = (terminal.project.folder / "artifacts" / ".work").glob("Train-*/checkpoints")
    return folder


def result(terminal):
    """Weights and history of the longest training that is stored, and the points of its curves."""
    folders = list((terminal.project.folder / "artifacts" / "Train").glob("*/*"))
    folder = max(folders, key=lambda folder: json.loads((folder / "training.json").read_text())["num_steps"])
    return load_model(folder).get_weights(), json.loads((folder / "training.json").read_text())


def assert_same(one, other) -> None:
    for a, b in zip(one[0], other[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert one[1] == other[1]


@pytest.mark.slow
def test_signals_leave_a_checkpoint_and_the_end_is_the_same(here, tmp_path) -> None:
    shutil.copytree(here.folder, tmp_path / "undisturbed")
    undisturbed = Terminal(tmp_path / "undisturbed", here.files)
    undisturbed("pipeline", "run", "long", "-y")
    reached = 0
    for number, code, said in (
        (signal.SIGTERM, 143, "terminated (SIGTERM)"),
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGHUP, 129, "its terminal was closed"),
    ):
        typed = here.start("pipeline", *(("resume", "long") if reached else ("run", "long", "-y")))
        trains(here, reached)
        typed.process.send_signal(number)
        answer = typed.answer()
        assert (answer.code, answer.out.count("succeeded")) == (code, 0), answer
        assert said in answer.err
        found = newest(here, "long")
        assert found["status"] == "Interrupted"
        assert said in found["message"]
        checkpoint = read_newest(checkpoints(here))
        assert checkpoint.step > reached
        assert checkpoint.num_losses == checkpoint.step % EVERY
        reached = checkpoint.step
    here("pipeline", "resume", "long")
    assert newest(here, "long")["status"] == "Succeeded"
    assert here.leftovers() == []
    assert_same(result(here), result(undisturbed))


@pytest.mark.slow
def test_a_run_in_the_background_is_terminated_or_cancelled(here) -> None:
    here("pipeline", "run", "endless", "-y", "--detach")
    trains(here)
    os.kill(record(here)["process_id"], signal.SIGTERM)
    waited(lambda: record(here)["status"] != "Running")
    assert (record(here)["status"], record(here)["message"]) == (
        "Interrupted",
        "terminated (SIGTERM); resume it, or run again",
    )
    first = read_newest(checkpoints(here)).step
    assert first % EVERY
    here("pipeline", "resume", "endless", "--detach")
    trains(here, first)
    assert "is cancelled" in here("pipeline", "cancel", "endless").out
    assert read_newest(checkpoints(here)).step > first
    assert record(here)["status"] == "Cancelled"


def test_ctrl_c_twice_ends_at_once(here) -> None:
    typed = here.start("pipeline", "run", "endless", "-y")
    trains(here)
    for _ in range(2):
        typed.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    assert typed.answer().code in (
        130,
        -signal.SIGINT,
    )  # the second may find Python on its way out, for which shells say 130 too
    assert newest(here, "endless")["status"] == "Interrupted"


def test_a_run_that_waits_for_its_turn_hears_too(here) -> None:
    here("pipeline", "run", "endless", "-y", "--detach")
    trains(here)
    waiting = here.start("pipeline", "run", "long", "-y", "--max-parallel", "1")
    waited(lambda: record(here)["status"] == "Queued")
    waiting.process.send_signal(signal.SIGTERM)
    assert waiting.answer().code == 143
    assert newest(here, "long")["status"] == "Interrupted"
    waiting = here.start("pipeline", "run", "long", "-y", "--max-parallel", "1")
    waited(lambda: record(here)["status"] == "Queued")
    here("pipeline", "cancel", "long")
    answer = waiting.answer()
    assert (answer.code, "cancelled" in answer.err) == (130, True)
    here("pipeline", "cancel", "endless")


# Limits


@pytest.mark.slow
def test_out_of_time_the_best_so_far_is_evaluated_and_forgotten(here, tmp_path) -> None:
    shutil.copytree(here.folder, tmp_path / "undisturbed")
    slow = Terminal(tmp_path / "undisturbed", here.files)
    slow("pipeline", "run", "long", "-y")
    waits = here.start("pipeline", "run", "long", "-y")
    trains(here)
    waits.interrupt()  # so that there is a step from which the limited run begins, however slow the machine is
    answer = here("pipeline", "run", "long", "-y", "--max-minutes", "0.02")
    found = newest(here, "long")
    assert found["status"] == "Succeeded"
    assert "by --max-minutes 0.02; what was reached, of step" in found["message"]
    assert found["message"] in answer.out
    training = result(here)[1]
    assert training["num_steps"] < training["planned_steps"] == NUM_STEPS
    assert training["history"][-1]["step"] == training["num_steps"]
    assert here("pipeline", "evaluate", "long", "--json", "--no-open").json["metrics"]
    points = list((here.project.folder / "artifacts" / "Train").glob("*/*/tensorboard/eval/*points"))
    assert len(points) == 1
    (artifact,) = (here.project.folder / "artifacts" / "Train").glob("*/*/artifact.json")
    identity = json.loads(artifact.read_text())["details"]["identity"]
    assert fingerprint(identity.pop("whole")) == identity["training"]
    assert (fingerprint(identity), identity["limited_at"]) == (artifact.parent.name, training["num_steps"])
    # Without the limit it goes on to the end, from the checkpoint and not from the short result.
    shown = here("pipeline", "run", "long", "--explain").out
    assert "from step" in shown
    here("pipeline", "run", "long", "-y")
    assert newest(here, "long")["message"] == ""
    assert_same(result(here), result(slow))
    assert here.leftovers() == []


@pytest.mark.slow
def test_out_of_money_and_what_a_limit_needs(here) -> None:
    assert "nothing costs anything here" in here("pipeline", "run", "endless", "-y", "--max-cost", "5", code=7).err
    begun = here.start("pipeline", "run", "endless", "-y")
    trains(here)
    begun.interrupt()
    (here.project.folder / "settings.yaml").write_text("prices: {currency: USD, cpu_hour: 3600}\n")
    here("pipeline", "run", "endless", "-y", "--max-cost", "0.5", "--threads", "1")
    found = newest(here, "endless")
    assert found["status"] == "Succeeded"
    assert "by --max-cost 0.5" in found["message"]
    assert found["cost"] > 0.2


def test_out_of_time_before_there_is_a_model(here) -> None:
    answer = here("pipeline", "run", "endless", "-y", "--max-minutes", "0.0001", code=8)
    # A moment so short may end within a stage or between two.
    assert re.search(
        r"--max-minutes 0\.0001 was reached (in|before) (Split|Fit|Transform|Yardsticks|Train); there is no model to evaluate yet",
        answer.err,
    )
    assert newest(here, "endless")["status"] == "Interrupted"
    assert "is used up" in here("pipeline", "resume", "endless", code=7).err
    here("pipeline", "resume", "endless", "--no-limits", "--detach")
    trains(here)
    here("pipeline", "cancel", "endless")


@pytest.mark.parametrize(
    "words", [("--max-minutes", "0"), ("--max-minutes", "-1"), ("--max-minutes", "soon"), ("--max-cost", "0")]
)
def test_limits_that_are_none(here, words) -> None:
    assert here("pipeline", "run", "long", "-y", *words, code=2).out == ""
    assert here("pipeline", "runs", "long", "--json").json == []


# What libraries make of an exception in their midst


@click.command()
@click.argument("what")
def disturbed(what: str) -> None:
    """A command in which a library makes something else of Ctrl-C."""
    try:
        os.kill(os.getpid(), signal.SIGINT if what != "SIGTERM" else signal.SIGTERM)
        time.sleep(5)
    except KeyboardInterrupt as stopped:
        if what == "lost":
            stopping.current().raise_if_due()
        raise RuntimeError("the object registered as 'monitored' failed: KeyboardInterrupt") from stopped


@pytest.fixture
def default_signals():
    """Ctrl-C as in a terminal: a shell that runs the tests in the background lets them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("what", "code"), [("error", 130), ("lost", 130), ("SIGTERM", 143)])
def test_it_ends_as_interrupted_whatever_comes_out(here, monkeypatch, default_signals, what, code) -> None:
    monkeypatch.setitem(main.GROUPS, "disturbed", (__name__, ""))
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    answer = here("disturbed", what, code=code)
    assert "bug" not in answer.err
    assert "what was complete is kept" in answer.err


def test_a_wish_is_heard_from_another_thread_and_only_once() -> None:
    wish = stopping.Wish()
    with wish.held(*Reason):
        wish.express(Reason.OUT_OF_TIME)
        wish.raise_if_due()
        wish.press()
        assert wish.reason is Reason.INTERRUPTED
        wish.press()  # the same, told twice
        wish.raise_if_due()
        time.sleep(stopping.SAME_PRESS_SECONDS * 1.5)
        wish.press()
        with pytest.raises(Stopped):
            wish.raise_if_due()
    wish.express(Reason.CANCELLED)
    assert wish.reason is Reason.INTERRUPTED
