"""A person at the terminal: commands typed into this process or into a new one, and what they leave behind."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cengine.cli.main import run
from cengine.store.project import Project

COMMAND = [sys.executable, "-m", "cengine.cli.main"]
PATIENCE_SECONDS = 300

YAML = """\
features:
  x: {}
  word: {}
labels:
  y: {loss: mse, metrics: [mae]}
split:
  categorize_by: word
  index_ratio: {train: 0.8, eval: 0.2}
trainer:
  type: regression
  layers: [{type: dense, units: 4}]
  train_batch_size: 32
  train_steps: 20
  save_checkpoints_steps: 10
evaluator:
  word: {}
"""


@dataclass(frozen=True)
class Answer:
    """How a command ended: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    def rows(self, headers: str) -> list[list[str]]:
        """The cells of the printed table whose header line has these columns."""
        lines = self.out.splitlines()
        start = next(
            i
            for i, line in enumerate(lines)
            if [c.strip() for c in line.split("|")] == [c.strip() for c in headers.split("|")]
        )
        body = lines[start + 2 :]
        end = next((i for i, line in enumerate(body) if not line.strip()), len(body))
        return [[cell.strip() for cell in line.split("|")] for line in body[:end]]


class Terminal:
    """Commands on the project in `folder`; `files` is where tables and YAMLs are written."""

    def __init__(self, folder: Path, files: Path) -> None:
        self.folder = folder
        self.files = files
        self.project = Project(folder / ".cengine")

    def __call__(self, *words: object, code: int | None = 0) -> Answer:
        """Runs a command in this process; the exit code must be `code`, any where that is None."""
        out, err = io.StringIO(), io.StringIO()
        before = {name: os.environ.get(name) for name in ("CENGINE_PROJECT", "CENGINE_WORKSPACE")}
        os.environ["CENGINE_PROJECT"] = str(self.folder)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                found = run([str(word) for word in words])
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
        answer = Answer(found, out.getvalue(), err.getvalue())
        assert code is None or found == code, f"{words} gave {found}\n{answer.out}\n{answer.err}"
        return answer

    def start(self, *words: object, command: Sequence[str] = COMMAND, **environment: str) -> Typed:
        """Runs a command in a process of its own, without waiting for it."""
        return Typed([str(word) for word in words], self.folder, command, environment)

    def write(self, name: str, text: str | bytes) -> Path:
        """A file beside the project."""
        path = self.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def leftovers(self) -> list[str]:
        """What is half-written in the project folder: drafts, scratch files, what unfinished stages keep."""
        found = []
        for name in ("artifacts/.work", "scratch"):
            found += [str(path) for path in (self.project.folder / name).glob("*")]
        return found


class Typed:
    """A command that runs in a process of its own."""

    def __init__(
        self, words: list[str], folder: Path, command: Sequence[str] = COMMAND, more: dict[str, str] | None = None
    ) -> None:
        environment = {**os.environ, "CENGINE_PROJECT": str(folder), **(more or {})}
        # A shell that runs the tests in the background or behind nohup lets them ignore signals; the command is to hear them.
        typed = ["env", "--default-signal=INT,HUP", *command, *words]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(typed, **pipes, text=True, env=environment, start_new_session=True)

    def says(self, text: str) -> None:
        """Waits until a line of the error stream holds `text`."""
        seen = []
        while line := self.process.stderr.readline():
            seen.append(line)
            if text in line:
                return
        raise AssertionError(f"never said {text!r} but {''.join(seen)}")

    def waits_for(self, happened: Callable[[], object]) -> None:
        """Waits until `happened()` is true while the command runs."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not happened():
            assert self.process.poll() is None, f"it ended before: {self.process.communicate()}"
            assert time.monotonic() < end, "it never happened"
            time.sleep(0.005)

    def interrupt(self) -> Answer:
        """Ctrl-C, and how it ends."""
        self.process.send_signal(signal.SIGINT)
        return self.answer()

    def kill(self) -> Answer:
        """SIGKILL."""
        self.process.kill()
        return self.answer()

    def answer(self) -> Answer:
        """How it ends."""
        out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        return Answer(self.process.returncode, out, err)


def table_text(num_rows: int = 400, start: int = 0) -> str:
    """A CSV with a number x, a word, and a label y = 3 x + 10 that can be learnt."""
    lines = ["x,word,y"]
    for i in range(start, start + num_rows):
        x = (i * 37 % 101) / 10
        lines.append(f"{x},{'abc'[i % 3]},{3 * x + 10:.3f}")
    return "\n".join(lines) + "\n"
