"""Nothing that a table, a YAML or a name holds is obeyed by a terminal: tried on a pseudo terminal, and in the code."""

from __future__ import annotations

import ast
import json
import os
import pty
import subprocess
import threading
from pathlib import Path

import pytest
from terminal import COMMAND, Terminal

from cengine.cli.output import cell
from cengine.terminal import REPLACEMENT, safe

PRINTING = {
    "print",
    "Console",
    "sys.stdout.write",
    "sys.stderr.write",
    "click.echo",
    "click.secho",
    "click.confirm",
    "click.prompt",
}
SOURCE = Path(__file__).parents[2] / "src" / "cengine"
# Colours of our own are other sequences; this one comes from the data alone.
MARK = "\x1b[35;44mMARK"
EVIL = [MARK, "\x9b31mMARK", "\x07MARK", "\u202eMARK", "MARK\x7f"]
YAML = """\
features: {{"{name}": {{}}}}
labels: {{y: {{loss: mse, metrics: [mae]}}}}
split: {{ratio: {{train: 0.8, eval: 0.2}}}}
trainer: {{type: regression, layers: [{{type: dense, units: 2}}], train_batch_size: 8, train_steps: 4, save_checkpoints_steps: 4}}
evaluator: {{"{name}": {{}}}}
"""


def on_a_terminal(folder: Path, *words: object) -> str:
    """What a command shows on a terminal of its own."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "CENGINE_PROJECT": str(folder), "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [*COMMAND, *map(str, words)], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    seen = bytearray()

    def read() -> None:
        try:
            while piece := os.read(ours, 65536):
                seen.extend(piece)
        except OSError:
            pass  # the other end is closed

    reader = threading.Thread(target=read)
    reader.start()
    process.wait(timeout=300)
    reader.join(timeout=10)
    os.close(ours)
    return seen.decode(errors="replace")


def table_text(header: str, value: str) -> str:
    rows = "".join(f'"{value} {i % 3}",{i % 7}\n' for i in range(120))
    return f'"{header}",y\n{rows}'


@pytest.fixture
def project(terminal: Terminal) -> Terminal:
    """A table whose header and cells hold sequences that a terminal obeys."""
    path = terminal.write("odd.csv", table_text(MARK, MARK))
    terminal("datasource", "create", "csv", "--name", "odd", "--path", path)
    return terminal


@pytest.mark.parametrize(
    "words", [("datasource", "show"), ("datasource", "peek"), ("datasource", "statistics"), ("pipeline", "template")]
)
def test_a_reading_command_shows_no_sequence_of_the_table(project, words) -> None:
    shown = on_a_terminal(project.folder, *words)
    assert "mark" in shown.lower()
    assert MARK not in shown


def test_creating_shows_no_sequence_of_the_table(terminal) -> None:
    path = terminal.write("odd.csv", table_text(MARK, MARK))
    shown = on_a_terminal(terminal.folder, "datasource", "create", "csv", "--name", "odd", "--path", path)
    assert "120 rows" in shown
    assert MARK not in shown


def test_a_run_and_its_log_show_no_sequence_of_the_table(project) -> None:
    columns = [column["name"] for column in project("datasource", "show", "--json").json["columns"]]
    name = next(name for name in columns if name != "y")
    yaml = project.write("odd.yaml", YAML.format(name=json.dumps(name)[1:-1]))
    project("pipeline", "push", yaml, "odd")
    shown = on_a_terminal(project.folder, "pipeline", "run", "odd", "--yes")
    assert "succeeded" in shown
    assert MARK not in shown
    for words in (
        ("pipeline", "logs", "odd"),
        ("pipeline", "evaluate", "odd", "--no-open"),
        ("pipeline", "statistics", "odd"),
    ):
        shown = on_a_terminal(project.folder, *words)
        assert len(shown) > 20
        assert MARK not in shown


@pytest.mark.parametrize("evil", EVIL)
def test_errors_show_no_sequence_of_what_was_given(terminal, evil) -> None:
    yaml = terminal.write(
        "odd.yaml", f"features: {{{json.dumps(evil)}: {{}}}}\nlabels: {{y: {{loss: {json.dumps(evil)}}}}}\n"
    )
    for words in (
        ("pipeline", "validate", yaml),
        ("datasource", "show", evil),
        ("--traceback", "datasource", "show", evil),
        (evil,),
    ):
        answer = terminal(*words, code=None)
        assert answer.code != 0
        assert "MARK" in answer.out + answer.err
        assert evil not in answer.out + answer.err


@pytest.mark.parametrize("evil", EVIL)
def test_json_holds_the_text_and_the_terminal_gets_none_of_it(terminal, evil) -> None:
    path = terminal.write("odd.csv", table_text("x", evil))
    terminal("datasource", "create", "csv", "--name", "odd", "--path", path)
    answer = terminal("datasource", "peek", "--json", "--rows", "1")
    assert evil not in answer.out
    assert evil in answer.json[0]["x"]


@pytest.mark.parametrize("name", [MARK, "a\nb", "a\tb", "\u202ename", " "])
def test_a_name_of_a_datasource_or_pipeline_holds_no_control_character(terminal, name) -> None:
    path = terminal.write("plain.csv", table_text("x", "v"))
    yaml = terminal.write("plain.yaml", YAML.format(name="x"))
    terminal("datasource", "create", "csv", "--name", "plain", "--path", path)
    for words in (("datasource", "create", "csv", "--name", name, "--path", path), ("pipeline", "push", yaml, name)):
        answer = terminal(*words, code=7)
        assert "cannot be a name" in answer.err
        assert MARK not in answer.err
    assert [row["name"] for row in terminal("datasource", "list", "--json").json] == ["plain"]


def test_safe_keeps_what_people_write() -> None:
    text = "naïve Zürich 東京 👩‍🚀 a\tb\nc\r\n\u00a0½"
    assert safe(text) == text
    assert cell("two\nlines") == f"two{REPLACEMENT}lines"


def test_nothing_prints_but_by_the_doors() -> None:
    """Whoever prints in another way prints what a table holds as it is."""
    found = []
    for path in SOURCE.rglob("*.py"):
        if path in (SOURCE / "cli" / "output.py", SOURCE / "terminal.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called in PRINTING:
                found.append(f"{path.relative_to(SOURCE)}:{node.lineno}: {called}")
    assert found == []
