"""A clock that somebody moves while a run goes on: the run's processes see it move, this machine's own stays as it is."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from disturbed import RESUME, RUN, YAML, Outcome, assert_whole, copied, registered
from terminal import COMMAND, PATIENCE_SECONDS, Terminal, Typed

LIBRARIES = [str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")]
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not here: apt-get install libfaketime"),
]
LONGER = YAML.replace("train_steps: 6000", "train_steps: 20000")
DAY = 86400
AHEAD, BEHIND = f"+{DAY}", f"-{DAY}"
heavy = pytest.mark.heavy


class Clock:
    """What processes that are started with `environment` take for the time."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.move("+0")

    def move(self, offset: str) -> None:
        """In one step, so that nobody reads half of it."""
        draft = self.file.with_suffix(".new")
        draft.write_text(f"{offset}\n")
        draft.replace(self.file)

    @property
    def environment(self) -> dict[str, str]:
        # What measures durations stays true, as it does where an administrator or NTP sets a clock.
        return {
            "LD_PRELOAD": LIBRARIES[0],
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


@pytest.fixture
def clock(tmp_path) -> Clock:
    return Clock(tmp_path / "clock.rc")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Terminal, Outcome]:
    folder = tmp_path_factory.mktemp("undisturbed")
    ready = registered(folder, 4000, LONGER)
    done = copied(ready, folder / "done")
    done(*RUN)
    return ready, Outcome.of(done)


def checkpoints(terminal: Terminal) -> list[Path]:
    return sorted((terminal.project.folder / "artifacts" / ".work").glob("Train-*/checkpoints/step-*.npz"))


def newest(terminal: Terminal) -> dict:
    return terminal("pipeline", "runs", "mine", "--json").json[0]


def assert_no_time_is_negative(terminal: Terminal) -> None:
    for run in terminal.project.records.runs.all():
        assert run.seconds is None or run.seconds >= 0
        assert all((stage["seconds"] or 0) >= 0 and (stage["saved_seconds"] or 0) >= 0 for stage in run.stages)
        assert run.compute_cost >= 0 and run.training_cost >= 0
    for run in terminal("pipeline", "runs", "mine", "--json").json:
        assert not run["execution_time"].startswith("-"), run
    assert not terminal("pipeline", "status", "--json").json[0]["execution_time"].startswith("-")
    for artifact in terminal.project.folder.glob("artifacts/[!.]*/??/*/artifact.json"):
        assert json.loads(artifact.read_text())["seconds"] >= 0


def sees(clock: Clock) -> float:
    """The seconds by which a process with this clock is ahead of us."""
    command = ["python3", "-S", "-c", "import time; print(time.time())"]
    return (
        float(subprocess.run(command, env={**os.environ, **clock.environment}, capture_output=True, text=True).stdout)
        - time.time()
    )


def test_the_clock_of_these_tests_moves(clock) -> None:
    assert abs(sees(clock)) < 60
    clock.move(AHEAD)
    assert abs(sees(clock) - DAY) < 60


@pytest.mark.parametrize("offset", [pytest.param(AHEAD, marks=heavy), BEHIND])
def test_it_moves_while_a_run_trains(undisturbed, tmp_path, clock, offset) -> None:
    ready, expected = undisturbed
    terminal = copied(ready, tmp_path / "project")
    typed = terminal.start(*RUN, **clock.environment)
    typed.waits_for(lambda: checkpoints(terminal))
    clock.move(offset)
    typed.waits_for(lambda: len(checkpoints(terminal)) > 1)
    assert newest(terminal)["status"] == "Running"
    assert_no_time_is_negative(terminal)
    answer = typed.answer()
    assert answer.code == 0, answer.err
    Outcome.of(terminal).assert_equal(expected)
    assert_no_time_is_negative(terminal)
    assert_whole(terminal)


@pytest.mark.parametrize(("before", "after"), [(AHEAD, BEHIND), pytest.param(BEHIND, AHEAD, marks=heavy)])
def test_it_moves_between_a_kill_and_what_follows(undisturbed, tmp_path, clock, before, after) -> None:
    """The newest checkpoint is that of the highest step, whatever the files' times are."""
    ready, expected = undisturbed
    terminal = copied(ready, tmp_path / "project")
    clock.move(before)
    typed = terminal.start(*RUN, **clock.environment)
    typed.waits_for(lambda: len(checkpoints(terminal)) > 1)
    assert typed.kill().code == -9
    assert newest(terminal)["status"] == "Interrupted"
    steps = [path.stem for path in checkpoints(terminal)]
    for age, path in enumerate(checkpoints(terminal)):  # the newest by step is the oldest by time
        os.utime(path, (time.time() - age * DAY,) * 2)
    clock.move(after)
    typed = terminal.start(*RESUME, **clock.environment)
    typed.waits_for(lambda: [path.stem for path in checkpoints(terminal)] != steps)
    kept = {path.stem: path.stat().st_mtime for path in checkpoints(terminal)}
    assert max(kept) > steps[-1]
    assert time.time() - kept.get(steps[-1], 0.0) > DAY / 2, "it was written anew: training went on from an older one"
    assert typed.answer().code == 0
    assert newest(terminal)["status"] == "Succeeded"
    Outcome.of(terminal).assert_equal(expected)
    assert_no_time_is_negative(terminal)
    assert_whole(terminal)


def elsewhere(terminal: Terminal, clock: Clock, *words: str) -> Typed:
    """A command on what takes itself for another machine, of which only the heartbeat tells here; and its clock is another."""
    found = subprocess.run(["unshare", "--uts", "hostname", "elsewhere"], capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"no machine of another name can be had here: {found.stderr.strip()}")
    there = [
        "unshare",
        "--uts",
        "sh",
        "-c",
        'hostname elsewhere && exec "$@"',
        "sh",
        "env",
        *(f"{k}={v}" for k, v in clock.environment.items()),
    ]
    return terminal.start(*words, command=[*there, *COMMAND])


@pytest.mark.parametrize("offset", [AHEAD, pytest.param(BEHIND, marks=heavy)])
def test_a_run_on_a_machine_with_another_clock_is_dead_when_it_is_dead(undisturbed, tmp_path, clock, offset) -> None:
    ready, _ = undisturbed
    text = YAML.replace("train_steps: 6000", "train_steps: 50000000").replace("steps: 500", "steps: 2000")
    terminal = copied(ready, tmp_path / "project")
    terminal("pipeline", "push", terminal.write("endless.yaml", text), "endless")
    clock.move(offset)
    typed = elsewhere(terminal, clock, "pipeline", "run", "endless", "-y")
    try:
        typed.waits_for(lambda: checkpoints(terminal))
        (run,) = terminal.project.records.runs.all()
        assert run.process.startswith("elsewhere@")
        for _ in range(3):
            assert terminal("pipeline", "runs", "endless", "--json").json[0]["status"] == "Running"
            time.sleep(6)  # more than one heartbeat
    finally:
        typed.kill()
    until = time.monotonic() + PATIENCE_SECONDS
    while terminal("pipeline", "runs", "endless", "--json").json[0]["status"] != "Interrupted":
        assert time.monotonic() < until, "it seems to run for ever"
        time.sleep(1)
    assert not terminal("pipeline", "runs", "endless", "--json").json[0]["execution_time"].startswith("-")
