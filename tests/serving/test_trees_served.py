"""Boosted trees behind a real server, started from what was typed: its answers are those of `cengine predict`, gaps and unseen words included."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from every_kind import FEATURES, every_kind
from terminal import Terminal

NUM_ROWS = 600
TREES = "architecture: boosted_trees, trees: 60, leaves: 8, min_rows_in_leaf: 5"
LABELS = {
    "number": ("labels: {y: {}}", "regression"),
    "two": ("labels: {rich: {}}", "classification"),
    "several": ("labels: {kind: {}}", "classification"),
}
NAMES = ["Size", "grams", "word", "member", "at"]
# What no train row has: nothing at all, words and numbers never seen, a leap day long ago.
ODD = [
    dict.fromkeys(NAMES),
    {"Size": -7, "grams": 1e9, "word": "never seen", "member": True, "at": datetime.datetime(1972, 2, 29, 23, 59)},
    {"Size": 2**40, "grams": 1e-12, "word": "RED", "member": None, "at": datetime.datetime(2099, 12, 31)},
    {"Size": None, "grams": 0.0, "word": "", "member": False, "at": None},
]


def asked() -> pa.Table:
    """Rows of the table, gaps among them, and odd ones."""
    usual = every_kind(NUM_ROWS, ["red", "green", "blue"]).select(NAMES)
    odd = [{**row, "at": row["at"] and row["at"].replace(tzinfo=datetime.UTC)} for row in ODD]
    return pa.concat_tables([usual, pa.Table.from_pylist(odd, usual.schema)])


@pytest.mark.parametrize("name", LABELS)
def test_it_answers_what_is_predicted_here(terminal: Terminal, serving, name) -> None:
    label, task = LABELS[name]
    pq.write_table(every_kind(NUM_ROWS, ["red", "green", "blue"]), terminal.files / "rows.parquet")
    pq.write_table(asked(), terminal.files / "asked.parquet")
    terminal("datasource", "create", "parquet", "--name", "rows", "--path", terminal.files / "rows.parquet")
    config = f"{FEATURES}{label}\ntrainer: {{type: {task}, {TREES}}}\n"
    terminal("pipeline", "push", terminal.write("p.yaml", config), name, "--datasource", "rows")
    terminal("pipeline", "run", name, "--yes")
    bundle, file = terminal.files / name, terminal.files / "predicted.parquet"
    terminal("export", name, "--format", "bundle", "-o", bundle)
    terminal("predict", name, "--input", terminal.files / "asked.parquet", "-o", file)
    expected = pq.read_table(file)
    assert len(expected) == NUM_ROWS + len(ODD)

    server = serving(bundle)
    rows = [{n: cell.isoformat() if hasattr(cell, "isoformat") else cell for n, cell in row.items()} for row in asked().to_pylist()]  # fmt: skip
    answer = server.post("/predict", {"rows": rows})
    assert answer.status == 200, answer.body
    found = answer.json["predictions"]
    assert list(found[0]) == expected.column_names
    for column in expected.column_names:
        told, wanted = [row[column] for row in found], expected[column].to_pylist()
        assert len(set(wanted)) > 1
        if isinstance(wanted[0], float):
            np.testing.assert_allclose(told, wanted, rtol=1e-5, atol=1e-5)
        else:
            assert told == wanted
