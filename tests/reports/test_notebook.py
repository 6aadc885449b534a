"""The notebook: written the same each time, hostile names are text in it, and a real kernel runs it from top to bottom."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import urllib.request
from html.parser import HTMLParser
from pathlib import Path

import mistune
import nbformat
import psutil
import pytest
from terminal import YAML, Terminal, table_text

import cengine
from cengine.inspection.tensorboard import chosen_runs
from cengine.reports.notebook import as_markdown, notebook, write_notebook

ARGUMENTS = ("birth_year, run 2", "1:2", "../..", "../../tensorboard/1")
HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"; DROP TABLE runs; --', "'''\nimport os; os.abort()\n'''", "# heading",
    "[a](javascript:alert(1)) ![b](http://example.com/c.png)", "`code` *bold* _under_ ~~gone~~ | table |", "$x^2$ \\(y\\) &lt;b&gt;", "{{ x }} {1+1} %d %s",
    "line\nbreak\r\n\n- list", "عنوان \u202etxt.exe 🚲 ✨", "very long " * 20, "-", "1. one", "www.example.com",
]  # fmt: skip


def made_notebook(*arguments) -> nbformat.NotebookNode:
    return nbformat.reads(json.dumps(notebook(*arguments)), as_version=4)


def code_of(made) -> list[str]:
    return [cell.source for cell in made.cells if cell.cell_type == "code"]


class Elements(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.elements.append(tag)

    def handle_data(self, data) -> None:
        self.text += data


def test_written_twice_it_is_the_same(tmp_path) -> None:
    for name in ("one", "other"):
        write_notebook(tmp_path / name, *ARGUMENTS)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    made = nbformat.read(tmp_path / "one", as_version=4)
    nbformat.validate(made)
    assert made.nbformat_minor >= 5
    ids = [cell.id for cell in made.cells]
    assert len(set(ids)) == len(ids)
    assert made.metadata.kernelspec.name == "python3"


def test_tensorboard_reads_the_links_of_the_pipeline_unless_told_otherwise(tmp_path) -> None:
    write_notebook(tmp_path / "a.ipynb", "birth_year, run 2", "17:2", "../..")
    assert "logdir = '../../tensorboard/17'" in (tmp_path / "a.ipynb").read_text()


def test_there_is_no_absolute_path_in_it() -> None:
    text = "\n".join(cell.source for cell in made_notebook(*ARGUMENTS).cells)
    assert not re.search(r"[\"'\s](/|~|[A-Z]:\\)\w", text)
    assert str(Path.home()) not in text


@pytest.mark.parametrize("title", HOSTILE)
def test_a_hostile_title_is_text(title) -> None:
    made = made_notebook(title, *ARGUMENTS[1:])
    heading, _, rest = made.cells[0].source.partition("\n\n")
    assert code_of(made) == code_of(made_notebook(*ARGUMENTS))
    page = Elements(mistune.html(heading))
    assert page.elements == ["h1"]
    seen = "".join(c for c in title if c.isprintable() or c.isspace())
    assert page.text.split() == seen.split()
    assert "\u202e" not in heading
    assert rest == made_notebook(*ARGUMENTS).cells[0].source.partition("\n\n")[2]
    # What Jupyter takes for TeX before it reads the Markdown.
    assert not set("$\\<") & set(heading)


def test_plain_titles_stay_legible() -> None:
    assert as_markdown("birth_year, run 2") == "birth_year, run 2"


@pytest.mark.parametrize("path", ["../..", "../a b/it's", '../"$x"/{1+1}\n', "../🚲/`x`", "../\\"])
def test_hostile_paths_are_literals(path) -> None:
    codes = code_of(made_notebook("t", "1:2", path, path))
    opened = next(node for node in ast.walk(ast.parse(codes[0])) if isinstance(node, ast.Call))
    assert ast.literal_eval(opened.args[0]) == path
    for code in codes:
        ast.parse("\n".join(line for line in code.splitlines() if not line.startswith("%")))


# Executed


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A terminal with a small run."""
    folder = tmp_path_factory.mktemp("run with a space")
    terminal = Terminal(folder / "project", folder)
    terminal("datasource", "create", "csv", "--name", "t", "--path", terminal.write("t.csv", table_text()))
    terminal("pipeline", "push", terminal.write("c.yaml", YAML), "<b>'mine'</b>")
    terminal("pipeline", "run", "1", "-y")
    return terminal


# Refuses every connection but those on this machine.
NO_NETWORK = """
import sys
def refuse(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"no network in this test: {arguments[1]}")
sys.addaudithook(refuse)
"""


@pytest.fixture
def tensorboards(run):
    """The TensorBoards that were started in the project's folder; they end with the test."""

    def found() -> list:
        from tensorboard import manager

        infos = [info for info in manager.get_all() if psutil.pid_exists(info.pid)]
        return [info for info in infos if Path(psutil.Process(info.pid).cwd()).is_relative_to(run.project.folder)]

    yield found
    for info in found():
        process = psutil.Process(info.pid)
        process.terminate()
        process.wait(20)


@pytest.mark.skipif(
    importlib.util.find_spec("ipykernel") is None,
    reason="ipykernel is not installed: pip install 'cengine-ml[notebook]'",
)
def test_a_kernel_runs_it_from_top_to_bottom(run, tensorboards, tmp_path, monkeypatch) -> None:
    from nbclient import NotebookClient

    folder = run.project.reports / "run-1-1"
    folder.mkdir(parents=True)
    chosen = chosen_runs(run.project, ["1"])
    path = folder / "report.ipynb"
    write_notebook(
        path,
        "mine, run 1",
        "1:1",
        os.path.relpath(run.project.folder.parent, folder),
        os.path.relpath(chosen.folder, folder),
    )
    made = nbformat.read(path, as_version=4)

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("CENGINE_PROJECT", str(tmp_path / "another project"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # as where Jupyter was started without the environment being activated
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "network.py").write_text(NO_NETWORK)
    client = NotebookClient(made, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    with client.setup_kernel():
        for number, cell in enumerate(made.cells):
            client.execute_cell(cell, number)
        outputs = {cell.source.splitlines()[0]: cell.outputs for cell in made.cells if cell.cell_type == "code"}
        (info,) = tensorboards()  # ends with the kernel
        (frame,) = [o for o in outputs["import os"] if "text/html" in o.get("data", {})]
        assert f"const port = {info.port};" in frame.data["text/html"]
        with urllib.request.urlopen(f"http://localhost:{info.port}/data/runs") as answer:
            assert sorted(json.load(answer)) == ["b-mine-b-1", "b-mine-b-1/eval", "b-mine-b-1/train"]

    printed = {first: "".join(o.text for o in found if o.output_type == "stream") for first, found in outputs.items()}
    (verdict,) = cengine.find_run(run.project, "1:1").results.verdicts
    assert printed["import cengine"] == f"eval: {verdict['sentence']}\n"
    for section in ("answer", "slices", "worst", "errors", "columns"):
        (shown,) = outputs[f'run.view("{section}")']
        assert "<" in shown.data["text/html"]
    assert printed["predictions = run.predictions()"].startswith("81 rows: ")
    assert "Total params" in json.dumps(outputs["model = run.model()"])
