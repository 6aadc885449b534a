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


def weights(folder, rows, num_files):
    """The trained weights of a table in so many files, and its rows of each split."""
    folder.mkdir()
    for n in range(num_files):
        low, high = (NUM_ROWS * i // num_files for i in (n, n + 1))
        pq.write_table(rows.slice(low, high - low), folder / f"{n}.parquet")
    (folder / "p.yaml").write_text("\n".join(f"{key}: {value}" for key, value in YAML.items()))
    project = cengine.open_project(folder / "project")
    table = cengine.register(project, "parquet", path=str(folder / "*.parquet"))
    run = cengine.execute(cengine.plan(project, cengine.load_config(folder / "p.yaml"), table))
    return run.model().get_weights(), sorted(run.predictions()["_row_id"].to_pylist())


def test_files_and_order_decide_about_weights_but_not_about_the_rows_of_a_split(tmp_path) -> None:
    random = np.random.default_rng(1)
    rows = pa.table(
        {"x": random.normal(0, 1, NUM_ROWS), "word": [f"w{i % 9}" for i in range(NUM_ROWS)], "y": random.normal(0, 1, NUM_ROWS)}
    )
    one, evaluated = weights(tmp_path / "one", rows, 1)
    _, evaluated_of_three = weights(tmp_path / "three", rows, 3)
    assert evaluated_of_three == evaluated
    shuffled, evaluated_too = weights(tmp_path / "shuffled", rows.take(random.permutation(NUM_ROWS)), 1)
    assert evaluated_too == evaluated
    assert not all(np.array_equal(a, b) for a, b in zip(one, shuffled, strict=True))
