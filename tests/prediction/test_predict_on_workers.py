"""`cengine predict --engine spark`: workers with nothing of ours give the predictions of this machine, in the table's order."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from terminal import Terminal

NUM_ROWS = 20_000
YAML = """\
features:
  size: {}
  grams: {transform: quantile_normal}
  word: {}
  member: {}
  at: {transform: {method: calendar, parameters: {zone: Europe/Berlin}}}
labels: LABELS
split: {ratio: {train: 0.8, eval: 0.2}}
trainer: {type: TYPE, layers: [{type: dense, units: 4}], train_steps: 40}
"""
pytestmark = [pytest.mark.spark, pytest.mark.heavy]


def made(seed: int, words: tuple[str, ...]) -> pa.Table:
    random = np.random.default_rng(seed)
    gaps = random.random(NUM_ROWS) < 0.1
    grams = random.lognormal(0, 1, NUM_ROWS)
    grams[::500] = np.inf
    seconds = random.integers(1_600_000_000, 1_700_000_000, NUM_ROWS)
    return pa.table(
        {
            "key": np.arange(NUM_ROWS),
            "size": pa.array(random.integers(0, 50, NUM_ROWS), mask=gaps),
            "grams": pa.array(grams, mask=np.roll(gaps, 1)),
            "word": pa.array(random.choice(words, NUM_ROWS), mask=np.roll(gaps, 2)),
            "member": pa.array(random.random(NUM_ROWS) < 0.5, mask=np.roll(gaps, 3)),
            "at": pa.array(seconds * 1_000_000, pa.timestamp("us"), mask=np.roll(gaps, 4)),
            "kind": random.integers(7, 10, NUM_ROWS),
            "y": random.normal(5, 2, NUM_ROWS),
        }
    )


@pytest.fixture(scope="module")
def terminal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    terminal = Terminal(folder / "project", folder)
    pq.write_table(made(1, ("red", "green", "")), folder / "made.parquet")
    terminal("datasource", "create", "parquet", folder / "made.parquet")
    for name, labels, task in (
        ("kinds", "{kind: {}}", "classification"),
        ("numbers", "{y: {loss: quantile}, size: {}}", "regression"),
    ):
        text = YAML.replace("LABELS", labels).replace("TYPE", task)
        if name == "numbers":  # ONNX has no hash of a text: the workers give it
            text = text.replace("  size: {}\n", "").replace("  word: {}", "  word: {transform: hash_strings}")
        terminal("pipeline", "push", terminal.write(f"{name}.yaml", text), name)
        terminal("pipeline", "run", name, "-y")
    return terminal


@pytest.mark.parametrize(("name", "master"), [("kinds", "local-cluster[2,1,1024]"), ("numbers", "local[2]")])
def test_workers_predict_what_this_machine_does(terminal, tmp_path, name, master) -> None:
    pq.write_table(made(2, ("red", "blue")), tmp_path / "new.parquet")
    words = ("predict", name, "--input", tmp_path / "new.parquet", "--keep", "key,at", "--json", "-o")
    here = terminal(*words, tmp_path / "here.parquet").json
    there = terminal(*words, tmp_path / "there.parquet", "--engine", "spark", "--master", master).json
    assert {**there, "file": None} == {**here, "file": None}
    mine, theirs = pq.read_table(tmp_path / "here.parquet"), pq.read_table(tmp_path / "there.parquet")
    assert theirs.schema.names == mine.schema.names and theirs.schema.types == mine.schema.types
    for column in mine.column_names:
        if pa.types.is_floating(mine.schema.field(column).type):
            # Numbers of 32 bits are added in blocks of other sizes; predictions are around 20, some of them near 0.
            np.testing.assert_allclose(theirs[column], mine[column], rtol=1e-5, atol=2e-5)
        else:
            assert theirs[column].to_pylist() == mine[column].to_pylist()
