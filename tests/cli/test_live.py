"""What only a real terminal shows: questions, and bars that move. The terminal is a pseudo one of the system."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

import pytest
from terminal import COMMAND, YAML

PATIENCE_SECONDS = 120


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = [f"{i % 97},{'abc'[i % 3]},{i % 97 * 2 + i % 5}" for i in range(3000)]
    (tmp_path / "table.csv").write_text("x,word,y\n" + "\n".join(lines) + "\n")
    (tmp_path / "c.yaml").write_text(YAML)
    code, _ = talk(tmp_path, ["datasource", "create", "csv", "--name", "t", "--path", "table.csv"])
    assert code == 0
    return tmp_path


def talk(folder: Path, arguments: list[str], answers: tuple[str, ...] = ()) -> tuple[int, str]:
    """The exit code and all that a terminal showed; an answer is typed whenever a question stands there."""
    terminal, inner = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "CENGINE_PROJECT": str(folder)}
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, env=environment, stdin=inner, stdout=inner, stderr=inner
    )
    os.close(inner)
    shown, waiting, until = b"", list(answers), time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        readable, _, _ = select.select([terminal], [], [], 0.2)
        if readable:
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # the other end is gone
                break
        elif waiting and shown.rstrip().endswith((b":", b"]")):
            os.write(terminal, waiting.pop(0).encode() + b"\n")
    code = process.wait(PATIENCE_SECONDS)
    os.close(terminal)
    return code, re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())


def test_configure_asks_and_writes_what_was_said(folder: Path) -> None:
    code, shown = talk(folder, ["pipeline", "configure", "made.yaml"], ("y", "x, word", "0.25"))
    assert code == 0, shown
    assert "what is to be predicted" in shown
    text = (folder / "made.yaml").read_text()
    assert "eval: 0.25" in text
    code, shown = talk(folder, ["pipeline", "push", "made.yaml", "made"])
    assert code == 0, shown


def test_configure_refuses_a_column_that_is_not_there(folder: Path) -> None:
    code, shown = talk(folder, ["pipeline", "configure", "made.yaml"], ("yy",))
    assert code == 4
    assert "did you mean 'y'?" in shown
    assert not (folder / "made.yaml").exists()


def test_a_run_asks_draws_bars_and_ends_them_full(folder: Path) -> None:
    assert talk(folder, ["pipeline", "push", "c.yaml", "c"])[0] == 0
    code, shown = talk(folder, ["pipeline", "run", "c"], ("Y",))
    assert code == 0, shown
    assert "run it? [Y/n]" in shown
    for stage, size in (("Split", "3,000/3,000 rows"), ("Train", "20/20 steps"), ("Evaluate", "600/600 rows")):
        assert re.search(rf"{stage} +━+ +100 % {size}", shown), stage
    assert re.search(r"steps/s", shown)


def test_answering_no_ends_without_a_run(folder: Path) -> None:
    assert talk(folder, ["pipeline", "push", "c.yaml", "c"])[0] == 0
    code, shown = talk(folder, ["pipeline", "run", "c"], ("n",))
    assert code == 1
    assert "nothing was run" in shown
    assert "Train" not in shown.split("[Y/n]")[1]
