"""`pipeline statistics` and `datasource statistics`: what the columns hold, at the terminal, as JSON and as a page."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from terminal import Terminal

NUM_ROWS = 3000
YAML = """
features: {amount: {}, word: {}, flag: {}}
labels: {y: {loss: mse, metrics: [mae]}}
split: {categorize: {by: part, categories: {train: [old], eval: [new]}}}
trainer: {type: regression, layers: [{type: dense, units: 2}], train_steps: 5}
evaluator: {word: {}}
"""


def table() -> pd.DataFrame:
    """Rows of which the newer ones have larger amounts, and a word that the older ones never have."""
    random = np.random.default_rng(0)
    part = np.where(np.arange(NUM_ROWS) % 5 == 0, "new", "old")
    amount = random.gamma(2.0, 10.0, NUM_ROWS) + np.where(part == "new", 30, 0)
    word = np.where(
        (part == "new") & (random.random(NUM_ROWS) < 0.5), "<b>fresh</b>", random.choice(["a", "b, c"], NUM_ROWS)
    )
    found = pd.DataFrame(
        {
            "part": part,
            "amount": amount,
            "word": word,
            "flag": random.random(NUM_ROWS) < 0.25,
            "at": pd.Timestamp("2018-06-01") + pd.to_timedelta(np.arange(NUM_ROWS), "h"),
            "y": amount * 2,
        }
    )
    found.loc[found.index % 10 == 1, "amount"] = np.nan
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("statistics")
    terminal = Terminal(folder / "project", folder)
    table().to_parquet(folder / "t.parquet")
    terminal("datasource", "create", "parquet", "--name", "t", "--path", folder / "t.parquet")
    terminal("pipeline", "push", terminal.write("c.yaml", YAML), "mine")
    terminal("pipeline", "run", "mine", "-y")
    return terminal


def test_columns_of_a_datasource_are_those_of_pandas(finished) -> None:
    found = finished("datasource", "statistics", "t", "--json").json
    columns = {column["name"]: column for column in found["columns"]}
    amount, told = table()["amount"], columns["amount"]["splits"]["all"]
    assert found["snapshot"] == 1
    assert (told["num_rows"], told["num_nulls"]) == (NUM_ROWS, NUM_ROWS // 10)
    assert told["mean"] == pytest.approx(amount.mean(), rel=1e-12)
    assert told["deviation"] == pytest.approx(amount.std(ddof=0), rel=1e-12)
    for level in ("0.05", "0.5", "0.95"):
        assert told["quantiles"][level] == pytest.approx(amount.quantile(float(level)), rel=1e-12)
    assert dict(columns["word"]["splits"]["all"]["top"]) == table()["word"].value_counts().to_dict()
    assert columns["amount"]["drift"] is None


def test_columns_of_a_run_are_told_by_split_with_what_differs(finished) -> None:
    found = finished("pipeline", "statistics", "mine", "--json").json
    columns = {column["name"]: column for column in found["columns"]}
    newer = table()[table()["part"] == "new"]
    assert (found["pipeline_id"], found["run"]) == (1, 1)
    assert columns["amount"]["splits"]["eval"]["mean"] == pytest.approx(newer["amount"].mean(), rel=1e-12)
    assert columns["amount"]["roles"] == ["feature"]
    assert columns["amount"]["drift"]["splits"]["eval"]["level"] == "strong"
    assert columns["word"]["drift"]["splits"]["eval"]["num_unseen"] == (newer["word"] == "<b>fresh</b>").sum()
    assert columns["flag"]["drift"]["splits"]["eval"]["level"] == "same"


def test_the_terminal_says_the_same(finished) -> None:
    told = finished("pipeline", "statistics", "mine").out
    assert told.startswith("mine, run 1: 6 columns, train 2,400 rows, eval 600 rows\n")
    assert "amount   float, feature   ! strong drift in eval" in told
    assert re.search(r"commonest: .*'b, c' [\d.]+ % / [\d.]+ %", told)
    assert re.search(r"strong +amount: .* of train.* \(psi [\d.]+, noise [\d.]+\)", told)
    assert re.search(r"   train  [▁▂▃▄▅▆▇█ ]+\n   eval   [▁▂▃▄▅▆▇█ ]+\n", told)
    assert "commonest" in finished("datasource", "statistics", "--column", "flag").out


def test_the_page_shows_the_columns_that_were_asked_for(finished, tmp_path) -> None:
    page = tmp_path / "columns.html"
    answer = finished("pipeline", "statistics", "mine", "--column", "word", "--no-open", "--output", page)
    assert "page:" in answer.out
    text = page.read_text()
    assert "&lt;b&gt;fresh&lt;/b&gt;" in text
    assert "<b>fresh</b>" not in text
    assert "amount" not in re.sub(r"<script.*?</script>|<style.*?</style>", "", text, flags=re.S)
    default = finished("datasource", "statistics", "--no-open")
    assert (finished.project.reports / "statistics-datasource-1-1.html").exists(), default.out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("pipeline", "statistics", "mine", "--column", "amont"), 4, "did you mean 'amount'?"),
        (("pipeline", "statistics", "mine:7"), 7, "mine"),
        (("pipeline", "statistics", "nobody"), 7, "there is no pipeline 'nobody'"),
        (("datasource", "statistics", "nothing"), 7, "there is no datasource 'nothing'"),
    ],
)
def test_wrong_names_are_told(finished, words, code, says) -> None:
    assert says in finished(*words, code=code).err


def test_the_page_of_a_run_tells_of_the_columns_that_the_yaml_uses(finished) -> None:
    finished("pipeline", "evaluate", "mine", "--no-open")
    (page,) = finished.project.folder.glob("reports/**/report.html")
    names = [column["name"] for column in json.loads(page.with_name("summary.json").read_text())["columns"]]
    assert names == ["part", "amount", "word", "flag", "y"]
    assert "The YAML does not use 1 of the table's columns" in page.read_text()


def test_what_is_known_of_all_columns_is_not_worked_out_again_for_the_page(finished) -> None:
    kept = finished.project.folder / "artifacts" / "describe"
    shutil.rmtree(kept, ignore_errors=True)
    finished("pipeline", "statistics", "mine")
    finished("pipeline", "evaluate", "mine", "--no-open")
    assert len(list(kept.glob("*/*"))) == 1
