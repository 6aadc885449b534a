"""Pages and notebooks are opened by real programs: a browser that writes down what it was given, and JupyterLab."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

PATIENCE_SECONDS = 60
BROWSER = """#!/bin/sh
echo noise
echo noise >&2
echo "$1" > '{folder}/draft'
mv '{folder}/draft' '{folder}/opened'
sleep 8
touch '{folder}/closed'
"""


def waited_for(happened):
    """What `happened()` gives once it is something."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := happened()):
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)
    return found


@pytest.fixture
def desk(tmp_path):
    """An environment with a browser that makes noise and takes its time; `opened` holds what it was given."""
    browser = tmp_path / "browser"
    browser.write_text(BROWSER.format(folder=tmp_path))
    browser.chmod(0o755)
    jupyter = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    plain = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")}
    return {**plain, "BROWSER": str(browser), "HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython"), **jupyter}


def without_display(environment) -> dict:
    return {name: value for name, value in environment.items() if name != "BROWSER"}


def say(statement: str, environment: dict) -> subprocess.CompletedProcess:
    code = f"from pathlib import Path\nfrom cengine.cli.opening import open_notebook, open_page\n{statement}"
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )


def test_a_page_is_opened_without_noise_and_without_waiting(tmp_path, desk) -> None:
    page = tmp_path / "a folder #1" / "report?é.html"
    answer = say(f"print(open_page(Path({str(page)!r})))", desk)
    assert not (tmp_path / "closed").exists()
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "True\n", "")
    opened = waited_for(lambda: (tmp_path / "opened").exists() and (tmp_path / "opened").read_text().strip())
    assert opened.startswith("file:///")
    assert unquote(urlsplit(opened).path) == str(page)


def test_an_address_is_opened_as_it_is(tmp_path, desk) -> None:
    assert say("open_page('http://127.0.0.1:6006/?smoothing=0')", desk).returncode == 0
    waited_for((tmp_path / "opened").exists)
    assert (tmp_path / "opened").read_text() == "http://127.0.0.1:6006/?smoothing=0\n"


def test_without_a_display_nothing_is_opened(tmp_path, desk) -> None:
    answer = say(
        "print(open_page(Path('report.html')))\nopen_notebook(Path('a folder/report.ipynb'))", without_display(desk)
    )
    assert (
        answer.stdout
        == "False\nthere is no display to open it on; where there is one: jupyter lab 'a folder/report.ipynb'\n"
    )
    assert (answer.returncode, answer.stderr) == (0, "")


def test_without_jupyterlab_it_says_how_to_get_it(desk) -> None:
    answer = say(
        "import importlib.util\nimportlib.util.find_spec = lambda name: None\nopen_notebook(Path('report.ipynb'))", desk
    )
    assert answer.stdout.startswith("JupyterLab is not installed, the notebook is not opened: ")
    assert "-m pip install 'cengine-ml[notebook]'" in answer.stdout
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.skipif(
    importlib.util.find_spec("jupyterlab") is None,
    reason="JupyterLab is not installed: pip install 'cengine-ml[notebook]'",
)
def test_jupyterlab_shows_a_notebook_in_a_hidden_folder(tmp_path, desk) -> None:
    notebook = tmp_path / ".cengine" / "reports" / "run-1-1" / "report.ipynb"
    notebook.parent.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# it is this one")]), notebook)
    # Jupyter does not run as root unless it is told to, and tests may.
    (tmp_path / "CONFIG").mkdir()
    (tmp_path / "CONFIG" / "jupyter_server_config.json").write_text('{"ServerApp": {"allow_root": true}}')
    code = f"from pathlib import Path\nfrom cengine.cli.opening import open_notebook\nopen_notebook(Path({str(notebook)!r}))"
    command = ["env", "--default-signal=INT", sys.executable, "-c", code]
    # A terminal of its own, so that Ctrl-C reaches nobody else.
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=desk, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        redirect = waited_for(
            lambda: (
                process.poll() is None and (tmp_path / "opened").exists() and (tmp_path / "opened").read_text().strip()
            )
        )
        page = Path(unquote(urlsplit(redirect).path)).read_text() if redirect.startswith("file:") else redirect
        (address,) = re.findall(r"http://(?:localhost|127\.0\.0\.1):\d+/lab/tree/report\.ipynb\?token=\w+", page)[:1]
        parts = urlsplit(address)
        contents = f"http://{parts.netloc}/api/contents/report.ipynb?{parts.query}"
        with urllib.request.urlopen(contents, timeout=20) as answer:
            assert json.load(answer)["content"]["cells"][0]["source"] == "# it is this one"
        with urllib.request.urlopen(address, timeout=20) as answer:
            assert "JupyterLab" in answer.read().decode()
        process.send_signal(
            signal.SIGINT
        )  # the process we started has become Jupyter, which asks nothing where nobody can answer
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    log_text = (tmp_path / "log").read_text()
    assert log_text.startswith(f"opening it, Ctrl-C ends: jupyter lab {notebook}\n")
    assert "Traceback" not in log_text
