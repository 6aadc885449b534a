"""A table with a column of each kind, and every word that takes it: what the tests of words and of engines both try."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pytest
import reference

from cengine.tables import KINDS
from cengine.transforms import FILLINGS, TRANSFORMS, InvertibleTransform

TRAIN_ROWS, EVAL_ROWS = 400, 60


def times(days):
    start = datetime.datetime(2018, 6, 1, 12, 34, 56, 789_000)
    return [None if day is None else start + datetime.timedelta(days=day) for day in days]


def with_nulls(values, every):
    return [None if i % every == 3 else value for i, value in enumerate(values)]


def columns():
    """A column of each kind: nulls in both splits; eval rows with values that no train row has, within and outside the range."""
    random = np.random.default_rng(7)
    total = TRAIN_ROWS + EVAL_ROWS
    station = [f"St. {n} & Ave é" for n in np.minimum(random.geometric(0.2, total), 30)]
    station[TRAIN_ROWS : TRAIN_ROWS + 3] = ["never seen", "", "null"]
    number = [int(n) for n in random.integers(1, 60, total)]
    number[TRAIN_ROWS : TRAIN_ROWS + 3] = [-5, 10**9, 61]
    size = [float(x) for x in random.lognormal(3, 2, total)]
    size[TRAIN_ROWS : TRAIN_ROWS + 3] = [-1.5, 1e12, 0.0]
    days = [float(d) for d in random.uniform(0, 900, total)]
    days[TRAIN_ROWS : TRAIN_ROWS + 2] = [-9000.5, 9000.25]
    return {
        "boolean": with_nulls([bool(b) for b in random.integers(0, 2, total)], 11),
        "integer": with_nulls(number, 13),
        "float": with_nulls(size, 17),
        "string": with_nulls(station, 19),
        "timestamp": times(with_nulls(days, 23)),
    }


COLUMNS = columns()
TYPES = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us"),
}
# A filling for each kind that leaves the other words something to do.
FILLING = {
    "boolean": FILLINGS["max"](),
    "integer": FILLINGS["min"](),
    "float": FILLINGS["max"](),
    "string": FILLINGS["custom"](custom_value="(none)"),
    "timestamp": FILLINGS["min"](),
}
FILLED_WITH = {kind: word.model_dump() for kind, word in FILLING.items()}
# Parameters beside the defaults, so that each is seen to act.
PARAMETERS = {
    "scale_by_min_max": [{}, {"min": -3.0, "max": 2.0}],
    "bucketize": [{}, {"num_buckets": 3}, {"num_buckets": 200}],
    "compute_and_apply_vocabulary": [{}, {"top_k": 4}, {"num_oov_buckets": 5}, {"top_k": 2, "num_oov_buckets": 3}],
    "one_hot_encode": [{}, {"top_k": 3}],
    "hash_strings": [{}, {"hash_buckets": 7}],
    "calendar": [
        {},
        {"parts": ["day", "minute"]},
        {"parts": ["year"]},
        {"zone": "Europe/Berlin"},
        {"zone": "Asia/Kolkata", "parts": ["year", "hour"]},
    ],
}
CASES = [
    pytest.param(name, kind, parameters, id=f"{name}-{kind}-{parameters}")
    for name, word in TRANSFORMS.items()
    for kind in word.accepts
    if kind in KINDS
    for parameters in PARAMETERS.get(name, [{}])
]
INVERTIBLE = [
    (name, kind)
    for name, word in TRANSFORMS.items()
    if issubclass(word, InvertibleTransform)
    for kind in word.accepts
    if kind != "code"
]


def table():
    part = ["a"] * TRAIN_ROWS + ["b"] * EVAL_ROWS
    arrays = {kind: pa.array(values, TYPES[kind]) for kind, values in COLUMNS.items()}
    return pa.table({**arrays, "part": part, "row": pa.array(range(len(part)), pa.int64())})


def oracle_filled(kind):
    values = COLUMNS[kind]
    method = FILLING[kind].name
    return reference.fill(values, reference.FILLINGS[method](values[:TRAIN_ROWS], **FILLED_WITH[kind]))
