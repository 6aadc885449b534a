"""A table with a column of every kind, some cells missing, and labels to learn from them; features that take all of its columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

FEATURES = """
features:
  Size: {filling: median}
  grams: {transform: log, encoding: {method: piecewise_linear, parameters: {num_bins: 4}}}
  word: {}
  member: {}
  at: {transform: {method: calendar, parameters: {zone: Europe/Berlin}}}
split: {ratio: {train: 0.8, eval: 0.2}, seed: 3}
"""


def every_kind(num_rows: int, words: Sequence[str]) -> pa.Table:
    """Always the same rows; `y` is a number, `rich` one of two texts, `kind` one of three integers."""
    random = np.random.default_rng(5)
    gaps = random.random(num_rows) < 0.1
    word = random.choice(words, num_rows)
    grams = random.lognormal(0, 1, num_rows)
    size = random.integers(0, 50, num_rows)
    seconds = random.integers(1_600_000_000, 1_700_000_000, num_rows)
    return pa.table(
        {
            "Size": pa.array(size, pa.int64(), mask=gaps),
            "grams": pa.array(grams, mask=np.roll(gaps, 1)),
            "word": pa.array(word, mask=np.roll(gaps, 2)),
            "member": pa.array(random.random(num_rows) < 0.5, mask=np.roll(gaps, 3)),
            "at": pa.array(seconds * 1_000_000, pa.timestamp("us", tz="UTC"), mask=np.roll(gaps, 4)),
            "y": 10 * grams + size,
            "rich": np.where(grams > 1, "yes", "no"),
            "kind": np.where(size % 3 == 0, 7, np.where(grams > 1, 8, 9)),
        }
    )
