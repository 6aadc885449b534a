"""A table of every kind of column in which some rows do not go together, and the YAML of an autoencoder for it."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

YAML = """\
features:
  length: {}
  weight: {}
  is_heavy: {}
  size: {}
  seen_at: {transform: {method: calendar, parameters: {parts: [hour]}}}
  checked: {missing_indicator: true, filling: median}
  nothing: {}
split: {categorize_by: part, categories: {train: [train], eval: [eval]}}
trainer:
  type: autoencoder
  layers: [{type: dense, units: 32}, {type: dense, units: 3, name: code}, {type: dense, units: 32}]
  train_steps: 1200
  train_batch_size: 128
evaluator: {anomaly: {column: odd, positive: true}, size: {}, threshold: 0.98}
"""
NUM_TRAIN, NUM_EVAL, NUM_ODD = 3000, 1000, 20


def planted(file: Path, seed: int = 3) -> pa.Table:
    """Weight, size and hour follow from the length, but not in the odd rows; written as Parquet."""
    random = np.random.default_rng(seed)
    total = NUM_TRAIN + NUM_EVAL
    length = random.normal(50, 10, total)
    weight = 2 * length + random.normal(0, 1, total)
    hour = np.clip(length / 5, 0, 23)
    odd = np.zeros(total, bool)
    odd[NUM_TRAIN + random.choice(NUM_EVAL, NUM_ODD, replace=False)] = True
    size = np.where(length > 57, "large", np.where(length < 43, "small", "middle")).astype(object)
    weight[odd] = 200 - weight[odd]
    size[odd] = np.where(size[odd] == "large", "small", "large")
    checked = [None if random.random() < 0.2 else float(value) for value in length + random.normal(0, 1, total)]
    start = datetime.datetime(2021, 5, 3)
    table = pa.table(
        {
            "length": length,
            "weight": weight,
            "is_heavy": weight > 100,
            "size": size.tolist(),
            "seen_at": [start + datetime.timedelta(hours=float(at)) for at in hour],
            "checked": checked,
            "nothing": np.full(total, 7),
            "odd": odd,
            "part": ["train"] * NUM_TRAIN + ["eval"] * NUM_EVAL,
        }
    )
    pq.write_table(table, file)
    return table
