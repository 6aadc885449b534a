"""What docs/folds.md says is run, and what is shown of it at a terminal and on the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml_blocks
from terminal import Answer, Terminal

import cengine

PAGE = (Path(__file__).parent.parent / "docs" / "folds.md").read_text()
SENTENCE = "Each of the 5 models was measured on the fifth of the rows that it did not see; the model kept learnt from all rows."


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Terminal, Answer]:
    """A terminal in which the page's YAML ran, and what was printed."""
    folder = tmp_path_factory.mktemp("folds")
    folder.joinpath("project").mkdir()
    terminal = Terminal(folder / "project", folder)
    (text,) = yaml_blocks.of(PAGE)
    shorter = text.replace("train_steps: 500", "train_steps: 60, save_checkpoints_steps: 20")
    assert shorter != text
    terminal("sample", "trips", folder / "trips.csv", "--rows", 800)
    terminal("datasource", "create", "csv", "--name", "trips", "--path", folder / "trips.csv")
    terminal("pipeline", "push", terminal.write("p.yaml", shorter), "p")
    return terminal, terminal("pipeline", "run", "p", "--yes")


def test_its_yaml_runs_and_is_told_within_80_columns(ran) -> None:
    _, answer = ran
    rows = answer.rows("Metric | Mean | Deviation | Least | Greatest")
    assert [row[0] for row in rows] == ["mae", "rmse"]
    assert all(float(row[3]) <= float(row[1]) <= float(row[4]) for row in rows)
    assert " ".join(answer.out.split()).count(SENTENCE[1:-1]) == 1
    assert "split: 5 folds of" in answer.out
    tables = [line for line in answer.out.splitlines() if " | " in line or set(line) <= set("-+")]
    assert len(tables) > 30
    assert max(map(len, tables)) <= 80
    stages = [row[0] for row in answer.rows("Stage | State | Size | Time | Memory | Saves")]
    assert stages[4:6] == ["Train 1 of 5", "Fit 2 of 5"]
    assert stages[-3:] == ["Transform", "Train", "Evaluate"]


def test_the_same_for_programs(ran) -> None:
    terminal, _ = ran
    found = terminal("pipeline", "evaluate", "p", "--json", "--no-open").json
    assert found["folds"] == SENTENCE[0].lower() + SENTENCE[1:-1]
    assert set(found["metrics"][0]["folds"]) == {"values", "mean", "deviation"}
    assert len(found["metrics"][0]["folds"]["values"]) == 5
    run = cengine.find_run(terminal.project, "p")
    assert run.results.overall["folds"][0].as_py()["mean"] == found["metrics"][0]["folds"]["mean"]
    assert "Over folds" in run.view("answer")._repr_html_()


def test_the_page_in_a_browser(ran, browser, tmp_path) -> None:
    terminal, answer = ran
    terminal("pipeline", "evaluate", "p", "--no-open", "--output", tmp_path)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda told: said.append(told.text) if told.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((tmp_path / "report.html").as_uri())
    text = page.inner_text("main")
    assert text.count(SENTENCE) == 2
    mean, deviation = (answer.rows("Metric | Mean | Deviation | Least | Greatest")[0][i] for i in (1, 2))
    shown = re.search(r"([\d.]+) ± ([\d.]+)", text)
    assert float(shown[1]) == pytest.approx(float(mean), rel=1e-3)
    assert float(shown[2]) == pytest.approx(float(deviation), rel=1e-2)
    assert page.locator("#split tbody tr").all_inner_texts()[0].startswith("fold 1")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    box = page.locator("#answer .scroller").first
    assert box.evaluate("node => node.scrollWidth <= node.clientWidth")
    assert said == []
    context.close()


def test_the_page_of_trees_says_what_features_add_but_not_who_pushed_rows(ran, tmp_path) -> None:
    """Each row was predicted by the model of its fold, and the one that is explained is the last."""
    terminal, _ = ran
    (text,) = yaml_blocks.of(PAGE)
    trees = re.sub(
        r"(?ms)^trainer:.*?(?=^\S|\Z)", "trainer: {type: regression, architecture: boosted_trees, trees: 5}\n", text
    )
    assert trees != text
    terminal("pipeline", "push", terminal.write("t.yaml", trees), "t")
    terminal("pipeline", "run", "t", "--yes")
    terminal("pipeline", "evaluate", "t", "--no-open", "--output", tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "exact Shapley values" in page
    assert "The largest errors" in page
    assert "Pushed by" not in page
