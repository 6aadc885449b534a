"""Folds of a table that stays in a warehouse: dealt, and predicted, as here."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from terminal import Terminal

from cengine.inspection.run import find_run

NUM_ROWS = 600
PLACE = ("--project", "some-project", "--dataset", "shop", "--table", "t", "--table_type", "public")
YAML = """\
features: {{x: {{}}, word: {{}}}}
labels: {{y: {{loss: mse, metrics: [mae]}}}}
split: {{{split}}}
trainer: {{type: regression, architecture: boosted_trees, trees: 10, leaves: 7, early_stopping: true}}
evaluator: {{word: {{}}}}
"""
SPLITS = {
    "rows": "folds: 3",
    "groups": "categorize_by: word, category_folds: 3",
    "strata": "categorize_by: word, folds: 4, where: [x > -2]",
}
pytestmark = pytest.mark.heavy


def table() -> pa.Table:
    random = np.random.default_rng(4)
    x = np.round(random.normal(size=NUM_ROWS), 4)
    words = np.array(["Grove St", "Hamilton Park", "JC's", "é", "Ω"], object)[random.integers(0, 5, NUM_ROWS)]
    return pa.table({"x": x, "word": words.tolist(), "y": np.round(x + random.normal(size=NUM_ROWS), 4)})


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Terminal:
    folder = tmp_path_factory.mktemp("here")
    terminal = Terminal(folder / "project", folder)
    pacsv.write_csv(table(), folder / "t.csv")
    terminal("datasource", "create", "csv", "--name", "t", "--path", folder / "t.csv")
    return terminal


def ran(terminal: Terminal, name: str, *options: str) -> pa.Table:
    """The predictions of a run of these folds, in the order of their rows."""
    terminal("pipeline", "push", terminal.write(f"{name}.yaml", YAML.format(split=SPLITS[name])), name)
    terminal("pipeline", "run", name, "-y", *options)
    found = find_run(terminal.project, name)
    assert found.results.overall_rows[0]["num_rows"] == pq.ParquetFile(found.predictions_file).metadata.num_rows
    assert found.summary["split"]["folds"]["sentence"]
    return found.predictions().sort_by("_row_id")


def assert_same(one: pa.Table, other: pa.Table) -> None:
    assert one.num_rows > 500
    for name in ("_row_id", "_fold", "word"):
        assert one[name].to_pylist() == other[name].to_pylist(), name
    np.testing.assert_allclose(one["prediction: y"].to_numpy(), other["prediction: y"].to_numpy(), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", SPLITS)
def test_in_bigquery(here, name, bigquery, tmp_path) -> None:
    bigquery.put("some-project.shop.t", table())
    there = Terminal(tmp_path / "there", tmp_path)
    there("datasource", "create", "bq", "--name", "t", *PLACE)
    assert_same(ran(there, name), ran(here, name))
