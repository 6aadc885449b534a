"""Processes that push, run and cancel at once: nothing is lost, nothing is built twice, no more runs go on than may."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from terminal import YAML, Terminal, table_text

LONG = YAML.replace("train_steps: 20", "train_steps: 50000000").replace(
    "save_checkpoints_steps: 10", "save_checkpoints_steps: 2000"
)
MAX_PARALLEL = 2
PATIENCE_SECONDS = 540
SAMPLE_SECONDS = 0.02
STAGES = ("Split", "Fit", "Transform", "Yardsticks", "Train", "Evaluate")
WORKER = """
import json, sys
from cengine.cli.main import run
for words in json.loads(sys.argv[1]):
    code = run(words)
    if code:
        print("failed:", words, code, file=sys.stderr)
        sys.exit(code)
"""


class Sampler:
    """Looks into the records again and again, and remembers the most runs that were Running at once."""

    def __init__(self, terminal: Terminal) -> None:
        self.records = terminal.project.store
        self.most = self.num_samples = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self.most = max(self.most, sum(run.status == "Running" for run in self.records.runs.all()))
            self.num_samples += 1


def start(terminal: Terminal, *commands: list[str]) -> subprocess.Popen[str]:
    """A process that types these commands one after the other."""
    environment = {**os.environ, "CENGINE_PROJECT": str(terminal.folder)}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    words = json.dumps([[str(word) for word in command] for command in commands])
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, words], text=True, env=environment, start_new_session=True, **pipes
    )


def commands_of(number: int, yaml: Path, long: Path | None) -> list[list[object]]:
    """What the process of this number does: its own pipelines, and the one that all have."""
    run = ["-y", "--max-parallel", MAX_PARALLEL]
    pushed = [["pipeline", "push", yaml, f"own-{number}"], ["pipeline", "push", yaml, "same"]]
    ended = (
        [
            ["pipeline", "push", long, f"long-{number}"],
            ["pipeline", "run", f"long-{number}", *run, "--detach"],
            ["pipeline", "cancel", f"long-{number}"],
        ]
        if long
        else []
    )
    return [
        *pushed,
        *ended,
        ["pipeline", "run", "same", *run],
        ["pipeline", "run", f"own-{number}", *run],
        ["pipeline", "list"],
    ]


def check_together(terminals: list[Terminal], num_processes: int, num_long: int) -> None:
    """Starts the processes, waits for all, and looks whether all is there."""
    first = terminals[0]
    first("datasource", "create", "csv", "--name", "t", "--path", first.write("t.csv", table_text(600)))
    yaml, long = first.write("c.yaml", YAML), first.write("long.yaml", LONG)
    with Sampler(first) as sampler:
        processes = [
            start(terminals[i % len(terminals)], *commands_of(i, yaml, long if i < num_long else None))
            for i in range(num_processes)
        ]
        told = [process.communicate(timeout=PATIENCE_SECONDS) for process in processes]
    assert [process.returncode for process in processes] == [0] * num_processes, "\n".join(err for _, err in told)
    assert 0 < sampler.most <= MAX_PARALLEL
    assert sampler.num_samples > 20

    records = first.project.store
    pipelines = {row.name: row.id for row in records.pipelines.all()}
    names = ["same", *(f"own-{i}" for i in range(num_processes)), *(f"long-{i}" for i in range(num_long))]
    assert sorted(pipelines) == sorted(names)
    assert len(set(pipelines.values())) == len(names)
    runs = records.runs.all()
    assert sorted(run.number for run in runs if run.pipeline_id == pipelines["same"]) == list(
        range(1, num_processes + 1)
    )
    for name, pipeline in pipelines.items():
        found = [run.status for run in runs if run.pipeline_id == pipeline]
        expected = (
            ["Cancelled"] if name.startswith("long-") else ["Succeeded"] * (num_processes if name == "same" else 1)
        )
        assert found == expected, name
    # All are the same to the cache, the long ones up to their training: each stage was built by one run, whichever.
    stages = [stage for run in runs for stage in run.stages if stage["seconds"] is not None]
    built = Counter(stage["name"] for stage in stages if not stage["reused"])
    assert built == dict.fromkeys(STAGES, 1)
    for terminal in terminals:
        terminal("cache", "verify")
        assert [path for path in terminal.leftovers() if "draft" in path] == []


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "postgres":
        monkeypatch.setenv("CENGINE_STORE", request.getfixturevalue("postgres").new_database())
    return request.param


def test_three_processes(store, terminal) -> None:
    check_together([terminal], 3, 1)


@pytest.mark.heavy
def test_ten_processes(store, terminal) -> None:
    began = time.monotonic()
    check_together([terminal], 10, 4)
    print(f"ten processes on {store}: {time.monotonic() - began:.0f} s")


@pytest.mark.heavy
def test_ten_processes_on_two_machines(postgres, tmp_path, monkeypatch) -> None:
    """Five each, with a folder of their own; they share a database and a folder of artifacts."""
    (tmp_path / "shared").mkdir(mode=0o700)
    monkeypatch.setenv("CENGINE_STORE", postgres.new_database())
    monkeypatch.setenv("CENGINE_ARTIFACTS", str(tmp_path / "shared"))
    check_together([Terminal(tmp_path / name, tmp_path) for name in ("ada", "bob")], 10, 4)
