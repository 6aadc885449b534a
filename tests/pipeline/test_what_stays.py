"""Results that were stored before are found again: identities, statistics and encoded rows of three pipelines are what they were.

The build before stages became classes wrote `what_stays.json`; `python tests/pipeline/test_what_stays.py` prints what this build gives.
Were an identity to change, everything that a user has stored would be built again; were another number, without a word.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cengine
from cengine.digests import fingerprint

KEPT = Path(__file__).with_name("what_stays.json")
NUM_ROWS = 600
PIPELINES = {
    "numbers": """
features: {x: {}, n: {transform: scale_to_0_1, filling: min}, flag: {}, when: {}}
labels: {y: {loss: mse, metrics: [mae, rmse]}}
split: {index_by: when, ratio: {train: 0.7, eval: 0.2, test: 0.1}}
trainer: {type: regression, train_steps: 20, train_batch_size: 32, layers: [{type: dense, units: 8}, {type: dropout, rate: 0.1}]}
evaluator: {word: {}}
""",
    "classes": """
features: {x: {transform: quantile_normal}, word: {transform: {method: compute_and_apply_vocabulary, parameters: {top_k: 5, num_oov_buckets: 3}}}}
labels: {kind: {}}
split: {categorize_by: word, ratio: {train: 0.6, eval: 0.2, test: 0.2}, where: [n > -40, word <> 'w3']}
trainer: {type: classification, train_steps: 20, train_batch_size: 32, layers: [{type: dense, units: 8}]}
evaluator: {flag: {}}
""",
    "groups": """
features: {x: {encoding: {method: piecewise_linear, parameters: {num_bins: 4}}}, flag: {}, word: {encoding: embedding}}
labels: {y: {transform: scale_to_z_score}, n: {}}
split: {categorize: {by: group, ratio: {train: 0.6, eval: 0.4}}, seed: 7}
trainer: {type: regression, train_steps: 20, train_batch_size: 64, seed: 3, optimizer: {type: adam, learning_rate: 0.01}, layers: [{type: dense, units: 4}]}
""",
}


def table() -> pa.Table:
    """Cells of every kind, made by arithmetic alone."""
    numbers = range(NUM_ROWS)
    noise = [(i * 7919 % 1009) / 1009 - 0.5 for i in numbers]
    start = datetime.datetime(2019, 2, 27, 13, 5)
    return pa.table(
        {
            "x": [None if i % 17 == 0 else 3 * noise[i] + i / 300 for i in numbers],
            "n": [None if i % 23 == 0 else i * 31 % 101 - 50 for i in numbers],
            "flag": [None if i % 29 == 0 else i * 37 % 5 > 1 for i in numbers],
            "when": [start + datetime.timedelta(hours=5 * (i * 389 % NUM_ROWS)) for i in numbers],
            "word": [None if i % 31 == 0 else f"w{i * i % 11}" for i in numbers],
            "group": [i * 13 % 40 for i in numbers],
            "kind": [("low", "middle", "high")[int(noise[i] > 0.2) + int(noise[i] > -0.1)] for i in numbers],
            "y": [2 * noise[i] + (i * 31 % 101) / 50 + (i % 7) / 10 for i in numbers],
        }
    )


def digest(columns: pa.Table) -> str:
    """Of the values, whatever the file around them."""
    found = hashlib.sha256()
    for name in columns.column_names:
        cells = columns[name].combine_chunks()
        found.update(name.encode() + np.ascontiguousarray(cells.fill_null(-1).to_numpy(zero_copy_only=False)).tobytes())
    return found.hexdigest()


def results(folder: Path, text: str) -> dict[str, object]:
    """What a run of a pipeline gave."""
    project = cengine.open_project(folder / "project")
    pq.write_table(table(), folder / "t.parquet")
    run = cengine.execute(
        cengine.plan(
            project, cengine.parse_config(text), cengine.register(project, "parquet", path=str(folder / "t.parquet"))
        )
    )
    for stage in run.stages:
        identity = project.artifacts.find(stage.name, stage.fingerprint).details["identity"]
        assert fingerprint(identity) == stage.fingerprint
        assert identity["stage"] == stage.name
    return {
        "fingerprints": {stage.name: stage.fingerprint for stage in run.stages},
        "statistics": json.loads((run.folders["Fit"] / "statistics.json").read_text()),
        "encoded": digest(pq.read_table(run.folders["Transform"] / "encoded.parquet")),
        "evaluated": digest(run.predictions().select(["_row_id"]).sort_by("_row_id")),
        "weights": [float(np.abs(weights).sum()) for weights in run.model().network.get_weights()],
        "metrics": [float(value) for value in run.results.overall.to_pandas()["model"]],
    }


@pytest.mark.parametrize("name", PIPELINES)
def test_results_of_before_are_found_again_and_are_the_same(tmp_path, name) -> None:
    kept, found = json.loads(KEPT.read_text())[name], results(tmp_path, PIPELINES[name])
    exact = ("fingerprints", "statistics", "encoded", "evaluated")
    assert {key: found[key] for key in exact} == {key: kept[key] for key in exact}
    for key in ("weights", "metrics"):  # processors of other makes round differently
        np.testing.assert_allclose(found[key], kept[key], rtol=2e-4)


if __name__ == "__main__":
    everything = {}
    for name, text in PIPELINES.items():
        with tempfile.TemporaryDirectory() as folder:
            everything[name] = results(Path(folder), text)
    json.dump(everything, sys.stdout, indent=1)
    print()
