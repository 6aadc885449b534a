"""What words promise holds of narrow and wide tables, and numbers of any size are encoded, on every engine."""

from __future__ import annotations

import datetime
import math
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from engines_tried import ENGINES, opened

from cengine.config.resolve import Feature, Label, Resolved
from cengine.config.schema import Categorize, SplitConfig
from cengine.datasources.register import take_snapshot
from cengine.errors import PreprocessError
from cengine.networks.encodings import Auto, PiecewiseLinear
from cengine.preprocess.apply import write_encoded
from cengine.preprocess.fit import fit
from cengine.preprocess.source import Rows
from cengine.preprocess.split import fit_split
from cengine.sources import Parquet
from cengine.store.project import open_project
from cengine.transforms import FILLINGS, TRANSFORMS
from cengine.transforms.value import LARGEST_INPUT

TRAIN_ROWS, EVAL_ROWS = 200, 40
NUM_ROWS = TRAIN_ROWS + EVAL_ROWS
PART = ["a"] * TRAIN_ROWS + ["b"] * EVAL_ROWS
# Words whose docstring promises mean 0 and deviation 1, and the part of the result that it speaks of.
STANDARDIZED = {"scale_to_z_score": "", "epoch_seconds": "", "calendar": "year"}
HUGE = [1e300, -1e300, sys.float_info.max, -sys.float_info.max, 1e19, -1e19, 3.5e38]


def spread(low, high):
    """Times from one to the other."""
    return [low + (high - low) * i / (NUM_ROWS - 1) for i in np.random.default_rng(1).permutation(NUM_ROWS)]


def standard_columns():
    """Narrow and wide columns by name: kind, type, values."""
    random = np.random.default_rng(3)
    day = datetime.datetime
    whole = {
        "narrow": [10**15 + int(n) for n in random.integers(0, 5, NUM_ROWS)],
        "wide": [int(n) for n in random.integers(-(2**60), 2**60, NUM_ROWS)],
        "one value": [7] * NUM_ROWS,
    }
    numbers = {
        "narrow float": 1e9 + random.normal(0, 1e-5, NUM_ROWS),
        "wide float": random.normal(0, 1, NUM_ROWS) * 10.0 ** random.integers(-200, 200, NUM_ROWS),
        "tiny float": random.normal(0, 1e-150, NUM_ROWS),
        "widest float": random.choice([-1.7e308, 1.7e308, 1.0], NUM_ROWS),
        "large float": 1.6e308 + random.normal(0, 1e300, NUM_ROWS),
        "one float": [0.1] * NUM_ROWS,
    }
    times = {
        "one month": spread(day(2019, 4, 1), day(2019, 4, 30, 23, 59)),
        "turn of the year": spread(day(2019, 12, 25), day(2020, 1, 10)),
        "one instant": [day(2019, 4, 3, 12, 30, 0, 5)] * NUM_ROWS,
        "microseconds": spread(day(2019, 4, 3), day(2019, 4, 3, 0, 0, 0, 100)),
        "centuries": spread(day(1, 1, 1), day(9999, 12, 31)),
    }
    found = {name: ("integer", pa.int64(), values) for name, values in whole.items()}
    found |= {name: ("float", pa.float64(), list(values)) for name, values in numbers.items()}
    found |= {name: ("timestamp", pa.timestamp("us"), values) for name, values in times.items()}
    return found | {"boolean": ("boolean", pa.bool_(), [bool(b) for b in random.integers(0, 2, NUM_ROWS)])}


def huge_columns():
    """Columns with huge numbers and such that are none, in train rows or in eval rows only."""
    random = np.random.default_rng(5)
    found = {}
    for name, deviation in (("usual", 10.0), ("fine", 1e-6)):
        usual = random.lognormal(0, 1, NUM_ROWS) * deviation
        for place, start in (("train", 0), ("eval", TRAIN_ROWS)):
            values = [float(x) for x in usual]
            values[start : start + 10] = [*HUGE, math.nan, math.inf, -math.inf]
            found[f"{name} {place}"] = values
    # As far apart as two numbers can be.
    found["ends"] = [(-1) ** i * sys.float_info.max for i in range(NUM_ROWS)]
    return found


STANDARD, LARGE = standard_columns(), huge_columns()
STANDARD_CASES = [
    (word, name) for word in STANDARDIZED for name, (kind, _, _) in STANDARD.items() if kind in TRANSFORMS[word].accepts
]
# `log` needs positive train rows, and a range is refused that is wider than a number can say.
LARGE_CASES = [
    (word, name)
    for word in (
        "no_transform",
        "scale_to_z_score",
        "scale_to_0_1",
        "scale_by_min_max",
        "log",
        "quantile_normal",
        "robust",
        "bucketize",
    )
    for name in LARGE
    if name.endswith("eval") or word not in ("log", "scale_to_0_1", "scale_by_min_max")
]


def encoded(engine, folder, table, features, labels=()):
    """The encoded rows, and the statistics, of a table whose first TRAIN_ROWS rows are the train rows."""
    folder.mkdir()
    pq.write_table(table.append_column("part", pa.array(PART)), folder / "table.parquet")
    source = Parquet(path=str(folder / "table.parquet"), keep_headers=True)
    snapshot = take_snapshot(open_project(folder / "project"), source, memory_bytes=2**29)
    rows = Rows(snapshot.files, snapshot.schema, (), labels)
    config = SplitConfig(categorize=Categorize(by="part", categories={"train": ("a",), "eval": ("b",)}))
    split = fit_split(engine, rows, config, folder)
    statistics = fit(engine, rows, split, Resolved(features, labels, config, None, (), None))
    write_encoded(engine, rows, split, features, labels, statistics, folder / "encoded.parquet")
    return pq.read_table(folder / "encoded.parquet"), statistics


@pytest.fixture(scope="module", params=ENGINES)
def engine(request, tmp_path_factory):
    with opened(request.param, tmp_path_factory.mktemp("scratch"), request) as engine:
        yield engine


@pytest.fixture(scope="module")
def standard(engine, tmp_path_factory):
    """A column for each case, encoded."""
    arrays = {f"{word} {name}": pa.array(STANDARD[name][2], STANDARD[name][1]) for word, name in STANDARD_CASES}
    features = tuple(
        Feature(f"{word} {name}", STANDARD[name][0], FILLINGS["min"](), (TRANSFORMS[word](),), Auto())
        for word, name in STANDARD_CASES
    )
    return encoded(engine, tmp_path_factory.mktemp("standard") / "all", pa.table(arrays), features)[0]


@pytest.fixture(scope="module")
def large(engine, tmp_path_factory):
    """A column for each case, encoded, and the statistics."""
    arrays = {f"{word} {name}": pa.array(LARGE[name], pa.float64()) for word, name in LARGE_CASES}
    features = tuple(
        Feature(
            f"{word} {name}",
            "float",
            FILLINGS["median"](),
            (TRANSFORMS[word](),),
            PiecewiseLinear() if word == "no_transform" else Auto(),
        )
        for word, name in LARGE_CASES
    )
    return encoded(engine, tmp_path_factory.mktemp("large") / "all", pa.table(arrays), features)


def test_every_word_that_promises_mean_and_deviation_is_tried() -> None:
    promising = {
        name
        for name, word in TRANSFORMS.items()
        if "z-score" in (word.__doc__ or "") or "deviation" in (word.__doc__ or "")
    }
    assert promising == set(STANDARDIZED)
    assert {name for _, name in STANDARD_CASES} == set(STANDARD)


@pytest.mark.parametrize(("word", "name"), STANDARD_CASES)
def test_mean_is_0_and_deviation_1_over_the_train_rows(word, name, standard) -> None:
    part = STANDARDIZED[word]
    cells = standard[f"{word} {name}" + (f".{part}" if part else "")].to_numpy().astype(np.float64)
    values = STANDARD[name][2]
    told_apart = {value.year for value in values} if part == "year" else set(values)
    if len(told_apart) == 1:
        assert set(cells) == {0.0}
        return
    # Of large numbers a bit more or less is a part of their deviation.
    assert cells[:TRAIN_ROWS].mean() == pytest.approx(0, abs=2e-4 if name == "narrow float" else 1e-6)
    assert cells[:TRAIN_ROWS].std() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize(("word", "name"), LARGE_CASES)
def test_huge_numbers_are_encoded_as_numbers_of_32_bits(word, name, large) -> None:
    table, statistics = large
    cells = table[f"{word} {name}"].to_numpy()
    fill = statistics["features"][f"{word} {name}"]["filling"]
    values = [x if math.isfinite(x) else fill for x in LARGE[name]]
    wanted = expected(word, values[:TRAIN_ROWS], values)
    if word == "bucketize":
        assert cells.tolist() == wanted.tolist()
        return
    assert np.isfinite(cells).all()
    assert abs(cells).max() <= LARGEST_INPUT
    np.testing.assert_allclose(
        cells, np.clip(wanted, -LARGEST_INPUT, LARGEST_INPUT).astype(np.float32), rtol=2e-6, atol=2e-6
    )


def expected(word, train, values):
    """The oracle's result. Where its own differences and squares are too large, that of all numbers divided by a power of two."""
    scale_free = word in ("scale_to_z_score", "quantile_normal", "robust", "bucketize")
    divisor = 2.0**600 if scale_free and max(map(abs, train)) > 1e150 else 1.0
    with np.errstate(over="ignore"):
        return reference.TRANSFORMS[word](np.array(train) / divisor, np.array(values) / divisor)[""]


def test_edges_of_bins_are_those_of_numbers_of_32_bits(large) -> None:
    for name in LARGE:
        edges = large[1]["features"][f"no_transform {name}"]["encoding"]["edges"]
        assert max(map(abs, edges)) <= LARGEST_INPUT


def label(name, word="no_transform"):
    return Label(name, "float", "regression", None, (TRANSFORMS[word](),), None, None)


@pytest.mark.parametrize("place", [0, TRAIN_ROWS])
def test_huge_labels_are_refused_with_their_number(place, engine, tmp_path) -> None:
    """And not changed; in train rows as in eval rows."""
    values = [float(i) for i in range(NUM_ROWS)]
    values[place : place + 2] = [1e300, -1e39]
    table = pa.table({"x": pa.array(range(NUM_ROWS), pa.int64()), "the label": pa.array(values, pa.float64())})
    feature = Feature("x", "integer", FILLINGS["min"](), (TRANSFORMS["scale_to_z_score"](),), Auto())
    with pytest.raises(PreprocessError, match=r"label 'the label' .* in 2 of 240 rows") as refused:
        encoded(engine, tmp_path / "refused", table, (feature,), (label("the label"),))
    assert 'abs("the label") < 1e30' in str(refused.value)


def test_labels_that_are_large_but_numbers_of_32_bits_are_kept(engine, tmp_path) -> None:
    values = np.random.default_rng(2).normal(1e30, 1e29, NUM_ROWS)
    values[0] = -1e36
    logarithms = np.random.default_rng(3).uniform(-700, 700, NUM_ROWS)
    table = pa.table(
        {"x": pa.array(range(NUM_ROWS), pa.int64()), "y": pa.array(values), "z": pa.array(np.exp(logarithms))}
    )
    feature = Feature("x", "integer", FILLINGS["min"](), (TRANSFORMS["scale_to_z_score"](),), Auto())
    rows, statistics = encoded(engine, tmp_path / "kept", table, (feature,), (label("y"), label("z", "log")))
    for name, wanted in (("y", values), ("z", np.maximum(logarithms, logarithms[:TRAIN_ROWS].min()))):
        fitted = statistics["labels"][name]
        found = rows[f"label: {name}"].to_numpy().astype(np.float64) * fitted["scale"] + fitted["offset"]
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=fitted["scale"] * 1e-5)
