"""What docs/extending.md says is run: its modules become a package, which goes from the YAML to the page and passes its tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml_blocks
from terminal import Terminal, table_text

import cengine

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
WORDS, TREES, TESTS = re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.fixture
def package(install_package):
    """The page's modules, installed where Python finds them."""
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    groups = tomllib.loads(toml)["project"]["entry-points"]
    lines = [
        line for group, words in groups.items() for line in (f"[{group}]", *(f"{k} = {v}" for k, v in words.items()))
    ]
    modules = {"my_package/__init__.py": "", "my_package/words.py": WORDS, "my_package/trees.py": TREES}
    return install_package("my-package", {**modules, "test_trees.py": TESTS}, "\n".join(lines))


def test_the_learner_takes_no_more_than_60_lines() -> None:
    assert len([line for line in TREES.splitlines() if line.strip()]) <= 60


@pytest.mark.parametrize("learner", ["trees, rounds: 40", "feedforward, train_steps: 40"])
def test_its_words_go_from_the_yaml_to_the_page(terminal: Terminal, package, learner) -> None:
    (text,) = yaml_blocks.of(PAGE)
    assert "trees, rounds: 40" in text
    terminal("datasource", "create", "csv", terminal.write("t.csv", table_text()), "--name", "t")
    terminal("pipeline", "push", terminal.write("p.yaml", text.replace("trees, rounds: 40", learner)), "p")
    terminal("pipeline", "run", "p", "--yes")
    terminal("pipeline", "evaluate", "p", "--no-open", "--output", terminal.files / "page")
    assert "within(tolerance=2.0)" in (terminal.files / "page" / "report.html").read_text()
    rows = cengine.find_run(terminal.project, "p").results.overall_rows
    found = {row["metric"]: row for row in rows}
    assert 0 <= found["within(tolerance=2.0)"]["low"] <= found["within(tolerance=2.0)"]["model"] <= 1
    if "trees" in learner:
        assert found["mae"]["model"] < found["mae"]["constant"] / 5


@pytest.mark.slow
def test_the_suite_of_the_page_passes(package) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package), *sys.path])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_trees.py"]
    done = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    assert "10 passed" in done.stdout
