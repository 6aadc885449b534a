"""Sentences on a training: which weights were kept and by which rows, whether it was too long or too short."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cengine
from cengine.config.schema import INNER
from cengine.reports.training import training_told


def training(seen: list[float], learnt: list[float], judged: str | None = None, **changes) -> dict:
    """What Train writes of a training with these losses beside train and on it, a checkpoint every ten steps."""
    name = judged or "eval"
    history = [
        {"step": 10 * (i + 1), "train": {"loss": b}, name: {"loss": a}}
        for i, (a, b) in enumerate(zip(seen, learnt, strict=True))
    ]
    best = 10 * (1 + int(np.argmin(seen))) if judged else 10 * len(seen)
    return {
        "history": history, "judged_on": judged, "num_judged": 27 if judged else 0, "best_step": best, "stopped_early": False,
        "limit": None, **changes,
    }  # fmt: skip


FALLING = [9.0, 7, 6, 5, 4.4, 4, 3.7, 3.4]
FLAT = [9.0, 7, 6, 5.6, 5.51, 5.505, 5.502, 5.5]
RISING = [9.0, 7, 6, 5.9, 6.1, 6.5, 7, 7.5]


@pytest.mark.parametrize(("found", "told"), [
    (training(FLAT, FLAT), ["The last weights, of step 80, were kept; no rows chose"]),
    (training(FLAT, FLAT, INNER), ["their loss is the least on 27 rows that were kept back from train"]),
    (training(FLAT, FLAT, "valid"), ["the least on valid, which chose them, so that the metrics of valid flatter"]),
    (training(FALLING, FALLING), ["last weights", "Underfitting: the loss on eval still fell at the end, from 4 at step 60 to 3.4 at step 80"]),
    (training(FALLING, FALLING, INNER, stopped_early=True), ["step 80", "stopped early"]),
    (training(FALLING, FALLING, limit="out of time"), ["last weights"]),
    (training(RISING, FALLING), ["last weights", "Overfitting: from step 40 to 80 the loss rose from 5.9 to 7.5 on eval, while it fell from "
                                 "5 to 3.4 on train; the last weights were kept all the same"]),
    (training(RISING, FALLING, INNER), ["step 40", "on inner validation, while it fell from 5 to 3.4 on train; those of step 40 were kept."]),
    (training(RISING, RISING, INNER), ["step 40"]),
    (training(FALLING[:3], FALLING[:3]), ["last weights"]),
    (training([1.0, 0.1, 4e-5, 3e-5, 2.5e-5, 2.4e-5, 2.2e-5, 2e-5], FALLING), ["last weights"]),
    ({**training(FLAT, FLAT), "best_step": None}, []),
    ({**training(FLAT, FLAT), "history": []}, []),
])  # fmt: skip
def test_planted_histories(found, told) -> None:
    said = training_told(json.loads(json.dumps(found)))
    assert len(said) == len(told)
    for sentence, part in zip(said, told, strict=True):
        assert part in sentence


def test_an_older_run_says_what_chose_then() -> None:
    older = training(FLAT, FLAT, "eval")
    del older["num_judged"], older["limit"]
    assert training_told(older) == [
        "The weights of step 80 were kept, judged on eval, as cengine did then: the metrics of eval flatter."
    ]


YAML = """
features: {{a: {{}}, b: {{}}, c: {{}}, d: {{}}, e: {{}}, f: {{}}}}
labels: {{y: {{}}}}
split: {{ratio: {{train: 0.5, eval: 0.5}}}}
trainer: {{type: regression, layers: [{{type: dense, units: 128}}], {trainer}}}
"""


def told(folder, trainer: str, noise: float, num_rows: int) -> str:
    random = np.random.default_rng(1)
    columns = {name: random.normal(size=num_rows) for name in "abcdef"}
    y = columns["a"] + columns["b"] * columns["c"] + noise * random.normal(size=num_rows)
    project = cengine.open_project(folder / "project")
    pq.write_table(pa.table({**columns, "y": y}), folder / "t.parquet")
    source = cengine.register(project, "parquet", path=str(folder / "t.parquet"))
    outcome = cengine.execute(cengine.plan(project, cengine.parse_config(YAML.format(trainer=trainer)), source))
    return " ".join(training_told(outcome.training))


def test_a_tiny_noisy_table_overfits(tmp_path) -> None:
    said = told(tmp_path, "train_steps: 600, optimizer: {type: adam, learning_rate: 0.01}", 3.0, 120)
    assert "Overfitting: from step" in said
    assert "the last weights were kept all the same" in said
    assert "Underfitting" not in said


def test_a_short_training_underfits(tmp_path) -> None:
    said = told(tmp_path, "train_steps: 40", 0.1, 2000)
    assert "Underfitting: the loss on eval still fell at the end" in said
    assert "Overfitting" not in said
