"""What docs/running.md says that the weights depend on."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import cengine

NUM_ROWS = 300
YAML = {
    "features": "{x: {}, word: {}}",
    "labels": "{y: {}}",
    "split": "{ratio: {train: 0.8, eval: 0.2}}",
    "trainer": "{type: regression, train_steps: 4, train_batch_size: 32, layers: [{type: dense, units: 4}]}",
}


def weights(folder, rows, names):
    """The trained weights of a table in files of these names, and its rows of each split."""
    folder.mkdir()
    for n, name in enumerate(names):
        low, high = (NUM_ROWS * i // len(names) for i in (n, n + 1))
        pq.write_table(rows.slice(low, high - low), folder / f"{name}.parquet")
    (folder / "p.yaml").write_text("\n".join(f"{key}: {value}" for key, value in YAML.items()))
    project = cengine.open_project(folder / "project")
    table = cengine.register(project, "parquet", path=str(folder / "*.parquet"))
    run = cengine.execute(cengine.plan(project, cengine.load_config(folder / "p.yaml"), table))
    return run.model().network.get_weights(), sorted(run.predictions()["_row_id"].to_pylist())


def test_names_of_files_decide_nothing_and_the_order_of_rows_the_weights_but_not_the_split(tmp_path) -> None:
    random = np.random.default_rng(1)
    rows = pa.table(
        {
            "x": random.normal(0, 1, NUM_ROWS),
            "word": [f"w{i % 9}" for i in range(NUM_ROWS)],
            "y": random.normal(0, 1, NUM_ROWS),
        }
    )
    three, evaluated = weights(tmp_path / "three", rows, "abc")
    renamed, _ = weights(tmp_path / "renamed", rows, "cab")
    assert all(np.array_equal(a, b) for a, b in zip(three, renamed, strict=True))
    for name, others, names in (("one", rows, "a"), ("shuffled", rows.take(random.permutation(NUM_ROWS)), "abc")):
        found, evaluated_too = weights(tmp_path / name, others, names)
        assert evaluated_too == evaluated
        assert not all(np.array_equal(a, b) for a, b in zip(three, found, strict=True))
