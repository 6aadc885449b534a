"""Slices of a saved table of predictions, worked out again by pandas and scikit-learn from the file alone."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as sk

import cengine

NUM_ROWS = 4000
CONFIG = """
features: [a, b, group]
labels: {label}
split: {{ratio: {{train: 0.5, eval: 0.3, test: 0.2}}}}
trainer: {{type: {type}, layers: [{{type: dense, units: 4}}], train_steps: 60, train_batch_size: 128}}
evaluator: {{slices: [[group], [size], [group, size]]}}
"""
REGRESSION = {
    "mae": sk.mean_absolute_error,
    "mse": sk.mean_squared_error,
    "rmse": sk.root_mean_squared_error,
    "r2": sk.r2_score,
}


# From labels of 0 and 1 and the probability of 1.
BINARY = {
    "accuracy": lambda y, p: sk.accuracy_score(y, p > 0.5),
    "auc": sk.roc_auc_score,
    "log_loss": lambda y, p: sk.log_loss(y, p, labels=[0, 1]),
    "f1": lambda y, p: sk.f1_score(y, p > 0.5),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a label on a table of which some groups are harder than others."""
    folder = tmp_path_factory.mktemp("slices")
    random = np.random.default_rng(3)
    a, b = random.normal(size=(2, NUM_ROWS))
    group = random.choice(["north", "south", '"; DROP TABLE', None], NUM_ROWS, p=[0.4, 0.3, 0.2, 0.1])
    hard = np.where(group == "south", 3.0, 1.0)
    score = a - b + hard * random.normal(size=NUM_ROWS)
    pq.write_table(
        pa.table(
            {
                "a": a,
                "b": b,
                "group": group.tolist(),
                "size": random.integers(0, 3, NUM_ROWS),
                "number": 1977 + 10 * score,
                "flag": score > 0.2,
            }
        ),
        folder / "t.parquet",
    )
    project = cengine.open_project(folder)
    snapshot = cengine.register(project, "parquet", path=str(folder / "t.parquet"))

    def made(label: str, kind: str) -> cengine.Run:
        return cengine.execute(
            cengine.plan(project, cengine.parse_config(CONFIG.format(label=label, type=kind)), snapshot)
        )

    return made


def check(run: cengine.Run, label: str, formulas) -> None:
    """Every slice of every set has the rows and, to 1e-9, the metrics that the saved table gives."""
    saved = pd.read_parquet(run.predictions_file)
    names = {"eval": 1, "test": 2}
    num_checked = 0
    for found, split in itertools.product(run.results.slices, names):
        told = {tuple(row[c] for c in found.columns): row for row in found.table.to_pylist() if row["split"] == split}
        rows = saved[saved["_split"] == names[split]]
        groups = rows.groupby(list(found.columns), dropna=False)
        assert len(told) == groups.ngroups
        for key, part in groups:
            key = tuple(None if isinstance(value, float) and np.isnan(value) else value for value in key)
            assert told[key]["num_rows"] == len(part)
            truth = part[f"label: {label}"].to_numpy(float)
            for name, formula in formulas.items():
                expected = formula(truth, part[f"prediction: {label}"].to_numpy(float))
                assert told[key][name] == pytest.approx(expected, rel=1e-9, abs=1e-12), (found.columns, key, name)
                num_checked += 1
    assert num_checked > 100


def test_numbers(run) -> None:
    found = run(f"{{number: {{loss: mse, metrics: [{', '.join(REGRESSION)}]}}}}", "regression")
    check(found, "number", REGRESSION)


def test_two_classes(run) -> None:
    found = run(f"{{flag: {{metrics: [{', '.join(BINARY)}]}}}}", "classification")
    check(found, "flag", BINARY)
