"""Statistics: of the train rows only, equal to NumPy, and the same bits for any number of threads."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest

from cengine.config.read import parse_config
from cengine.config.resolve import resolve
from cengine.engines.duckdb import DuckDB
from cengine.errors import PreprocessError
from cengine.preprocess.fit import fit, read_statistics, write_statistics
from cengine.preprocess.split import fit_split

NUM_TRAIN, NUM_EVAL = 3000, 500


@pytest.fixture
def fitted(make_rows, tmp_path):
    """Statistics of a YAML's features and labels; the first 3,000 rows of the table are the train rows."""

    def run(columns, features="{x: {}}", labels="{y: {}}", task="regression", threads=2, **options):
        size = len(next(iter(columns.values())))
        part = ["a" if i < NUM_TRAIN else "b" for i in range(size)]
        table = pa.table({"y": pa.array(np.arange(size) % 7), "part": part} | columns)
        text = f"features: {features}\nlabels: {labels}\ntrainer: {{type: {task}}}\n"
        file = parse_config(f"{text}split: {{categorize_by: part, categories: {{train: [a], eval: [b]}}}}")
        rows = make_rows(table)
        resolved = resolve(file.config, rows.schema)
        rows = make_rows(table, labels=resolved.labels, **options)
        with DuckDB(tmp_path / "scratch", memory_bytes=2**29, threads=threads) as engine:
            return fit(engine, rows, fit_split(engine, rows, resolved.split, tmp_path), resolved)

    return run


def column(values, outliers=()):
    """Train values and, for the other rows, values far away, which must not be learnt from."""
    rest = np.resize(np.array(outliers or [10**9], dtype=np.asarray(values).dtype), NUM_EVAL)
    return pa.array(np.concatenate([values, rest]))


RANDOM = np.random.default_rng(9)
NUMBERS = {
    "small integers": RANDOM.integers(0, 3, NUM_TRAIN),
    "durations": RANDOM.integers(60, 4_000_000, NUM_TRAIN),
    "years": RANDOM.integers(1900, 2003, NUM_TRAIN).astype(np.int32),
    "large integers": RANDOM.integers(2**52, 2**53, NUM_TRAIN),
    "negative integers": -RANDOM.integers(10**6, 10**7, NUM_TRAIN),
    "normal": RANDOM.normal(0, 1, NUM_TRAIN),
    "far from zero": RANDOM.normal(1e6, 1e-3, NUM_TRAIN),
    "huge": RANDOM.normal(0, 1e150, NUM_TRAIN),
    "tiny": RANDOM.normal(0, 1e-200, NUM_TRAIN),
    "of every size": 10.0 ** RANDOM.uniform(-12, 12, NUM_TRAIN),
    "floats of 32 bits": RANDOM.normal(5, 2, NUM_TRAIN).astype(np.float32),
    "one value": np.full(NUM_TRAIN, 0.1),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_moments_and_range_equal_numpy_and_are_of_the_train_rows(name, fitted) -> None:
    values = NUMBERS[name]
    features = "{x: {transform: scale_to_z_score}, y: {transform: scale_to_0_1}}"
    scaled = fitted({"x": column(values)}, features)["features"]["x"]["transforms"][0]
    exact = [float(v) for v in values]
    mean = math.fsum(exact) / NUM_TRAIN
    deviation = math.sqrt(math.fsum(((v - mean) / max(map(abs, exact))) ** 2 for v in exact) / NUM_TRAIN) * max(
        map(abs, exact)
    )
    assert scaled["offset"] == pytest.approx(mean, rel=1e-12, abs=1e-12 * deviation)
    if name == "one value":
        assert scaled == {"offset": 0.1, "scale": 1.0}
    else:
        assert scaled["scale"] == pytest.approx(deviation, rel=1e-9)


def test_threads_change_no_bit(fitted) -> None:
    random = np.random.default_rng(2)
    # Several row groups' worth of rows, so that two threads have something to share.
    columns = {
        name: pa.array(np.concatenate([values, random.choice(values, 260_000)])) for name, values in NUMBERS.items()
    }
    columns["part"] = pa.array(["a"] * (NUM_TRAIN + 259_999) + ["b"])
    features = ", ".join(f"{name}: {{transform: [scale_to_z_score, scale_to_z_score]}}" for name in NUMBERS)
    one, two = (
        fitted(columns, f"{{{features}, y: {{transform: quantile_normal}}}}", threads=threads) for threads in (1, 2)
    )
    assert json.dumps(one) == json.dumps(two)
    assert one["num_train_rows"] == NUM_TRAIN + 259_999


def test_quantiles_range_and_median_equal_numpy(fitted) -> None:
    values = NUMBERS["of every size"]
    features = "{x: {filling: median, transform: {method: bucketize, parameters: {num_buckets: 7}}}, z: {transform: scale_to_0_1}}"
    found = fitted({"x": column(values), "z": column(values)}, features)["features"]
    assert found["x"]["filling"] == pytest.approx(np.median(values), rel=1e-15)
    assert found["x"]["transforms"][0]["edges"] == pytest.approx(np.quantile(values, np.arange(1, 7) / 7), rel=1e-15)
    assert found["z"]["transforms"][0]["offset"] == values.min()
    assert found["z"]["transforms"][0]["scale"] == values.max() - values.min()


def test_nulls_are_filled_before_the_transform_learns(fitted) -> None:
    values = [None if i % 4 == 0 else float(i % 10) for i in range(NUM_TRAIN)] + [None] * NUM_EVAL
    filled = [0.5 if v is None else v for v in values[:NUM_TRAIN]]
    features = "{x: {filling: {method: custom, parameters: {custom_value: 0.5}}, transform: scale_to_z_score}}"
    (scaled,) = fitted({"x": pa.array(values)}, features)["features"]["x"]["transforms"]
    assert scaled == pytest.approx({"offset": np.mean(filled), "scale": np.std(filled)}, rel=1e-12)


def test_nan_and_infinity_count_as_null(fitted) -> None:
    values = NUMBERS["normal"].copy()
    values[:5] = [math.nan, math.inf, -math.inf, math.nan, math.inf]
    found = fitted({"x": column(values, [math.inf])}, "{x: {filling: max, transform: scale_to_z_score}}")["features"][
        "x"
    ]
    finite = values[5:]
    assert found["filling"] == finite.max()
    filled = np.concatenate([np.full(5, finite.max()), finite])
    assert found["transforms"][0] == pytest.approx({"offset": filled.mean(), "scale": filled.std()}, rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "fill", "statistics"),
    [
        (pa.float64(), None, {"offset": 0.0, "scale": 1.0}),
        (pa.int64(), None, {"offset": 0.0, "scale": 1.0}),
        (pa.string(), "", {"vocabulary": [""]}),
        (pa.bool_(), None, {}),
        (pa.timestamp("us"), None, {"offset": 1970.0, "scale": 1.0}),
    ],
)
def test_a_column_of_nulls_takes_the_kinds_empty_value(kind, fill, statistics, fitted) -> None:
    found = fitted({"x": pa.nulls(NUM_TRAIN + NUM_EVAL, kind)})["features"]["x"]
    assert found == {"filling": fill, "transforms": [statistics]}


def test_vocabulary_is_ordered_by_frequency_then_value(fitted) -> None:
    words = ["b", "a", "ä", "Z", "often", "often"] * (NUM_TRAIN // 6)
    found = fitted({"x": pa.array(words + ["never in train"] * NUM_EVAL)})["features"]["x"]["transforms"]
    assert found == [{"vocabulary": ["often", "Z", "a", "b", "ä"]}]


def test_fill_value_enters_the_vocabulary(fitted) -> None:
    words = [None if i % 3 == 0 else "x" for i in range(NUM_TRAIN + NUM_EVAL)]
    assert fitted({"x": pa.array(words)})["features"]["x"] == {"filling": "", "transforms": [{"vocabulary": ["x", ""]}]}


def test_where_bounds_what_is_learnt(fitted) -> None:
    values = NUMBERS["years"].astype(np.int64).copy()
    values[::10] = -(10**15)
    found = fitted({"x": column(values)}, where=("x > 0",))["features"]["x"]["transforms"][0]
    kept = values[values > 0]
    assert found == pytest.approx({"offset": kept.mean(), "scale": kept.std()}, rel=1e-12)


def test_label_learns_its_moments_median_and_range(fitted) -> None:
    values = NUMBERS["years"].astype(np.float64)
    found = fitted({"z": column(values)}, "{y: {}}", "{z: {loss: mae}}")["labels"]["z"]
    expected = {"mean": values.mean(), "deviation": values.std(), "median": np.median(values), "minimum": values.min(),
                "maximum": values.max(), "offset": values.mean(), "scale": values.std()}  # fmt: skip
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-12)
    assert found["transforms"] == [{}]


def test_transformed_label_is_standardized_after_its_transform(fitted) -> None:
    values = NUMBERS["durations"].astype(np.float64)
    found = fitted({"z": column(values)}, "{y: {}}", "{z: {transform: log}}")["labels"]["z"]
    assert (found["mean"], found["median"]) == pytest.approx((values.mean(), np.median(values)), rel=1e-12)
    assert (found["offset"], found["scale"]) == pytest.approx((np.log(values).mean(), np.log(values).std()), rel=1e-9)


@pytest.mark.parametrize(
    ("values", "classes"),
    [([True, False, True], [False, True]), (["yes", "no", "no"], ["no", "yes"]), ([2, 10, 1], [1, 2, 10])],
)
def test_classes_are_in_the_order_of_their_values(values, classes, fitted) -> None:
    cells = [values[i % 3] for i in range(NUM_TRAIN)] + [values[0]] * NUM_EVAL
    found = fitted({"z": pa.array(cells)}, "{y: {}}", "{z: {}}", task="classification")["labels"]["z"]
    assert found["classes"] == classes
    assert found["counts"] == [cells[:NUM_TRAIN].count(value) for value in classes]


@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [
        (["a"], "{z: {}}", "label 'z': the train rows hold only 'a'; there is nothing to tell apart"),
        (
            ["a", "b", "c"],
            "{z: {loss: binary_crossentropy}}",
            "loss 'binary_crossentropy' needs two classes; label 'z' has 3",
        ),
    ],
)
def test_classes_that_cannot_be_learnt_are_errors(values, labels, message, fitted) -> None:
    cells = [values[i % len(values)] for i in range(NUM_TRAIN + NUM_EVAL)]
    with pytest.raises(PreprocessError, match=message):
        fitted({"z": pa.array(cells)}, "{y: {}}", labels, task="classification")


def test_logarithm_of_what_is_not_positive_is_an_error_that_says_where(fitted) -> None:
    with pytest.raises(
        PreprocessError, match=r"column 'x', transform log: .*the least of the train rows is -3\.0"
    ) as caught:
        fitted({"x": column(np.linspace(-3, 5, NUM_TRAIN))}, "{x: {transform: log}}")
    assert "quantile_normal" in str(caught.value)


def test_statistics_survive_their_file(fitted, tmp_path) -> None:
    words = [f"{i % 9} 'é\u2028\n" for i in range(NUM_TRAIN + NUM_EVAL)]
    statistics = fitted(
        {"x": pa.array(words), "z": column(NUMBERS["tiny"])}, "{x: {}, z: {encoding: piecewise_linear}}"
    )
    write_statistics(statistics, tmp_path)
    assert read_statistics(tmp_path) == statistics
    assert statistics["num_train_rows"] == NUM_TRAIN
