"""Made trips from stations of very different sizes, and what the tests of the split ask of an assignment."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa

from cengine.config.read import parse_config

NUM_ROWS = 5000


def trips():
    """Stations of very different sizes, one of them null; numbers with many ties; a float that tells rows apart."""
    random = np.random.default_rng(5)
    stations = np.array(["Grove St", "Hamilton Park", "JC's", "é", None], object)
    station = stations[random.choice(5, NUM_ROWS, p=[0.6, 0.25, 0.1, 0.03, 0.02])]
    station[:3] = ["one row", "two rows", "two rows"]
    return pa.table(
        {
            "row": pa.array(range(NUM_ROWS)),
            "station": pa.array(station.tolist(), pa.string()),
            "minute": pa.array(random.integers(0, 40, NUM_ROWS)),
            "weight": pa.array(np.round(random.normal(size=NUM_ROWS), 1)),
            "year": pa.array([None if x < 0.05 else int(1950 + 50 * x) for x in random.random(NUM_ROWS)], pa.int64()),
        }
    )


def split_config(text):
    """The `split:` block of a YAML."""
    layers = "features: {minute: {}}\nlabels: {year: {}}\ntrainer: {type: regression}\n"
    return parse_config(f"{layers}split: {text}").config.split


def rows_of(assigned, name):
    return {row for row, split in assigned.items() if split == name}


def count_by_group(table, assigned, by="station"):
    """(group, split) -> number of rows."""
    return Counter(
        (group, assigned[row]) for row, group in zip(table["row"].to_pylist(), table[by].to_pylist(), strict=True)
    )
