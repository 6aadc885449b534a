"""Rows to points and windows: equal to plain Python on random tables, to the bit for any threads and memory, and without leaks."""

from __future__ import annotations

import datetime
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from series_reference import micros, reference
from series_tried import resolved_of, tried

from cengine.datasources.register import take_snapshot
from cengine.errors import ConfigError, PreprocessError
from cengine.sources import Parquet
from cengine.store.project import open_project

START = datetime.datetime(2018, 6, 1)
TYPES = {
    "at": pa.timestamp("us"),
    "machine": pa.string(),
    "x": pa.float64(),
    "n": pa.int64(),
    "word": pa.string(),
    "flag": pa.bool_(),
    "when": pa.timestamp("us"),
}


def after(seconds):
    return None if seconds is None else START + datetime.timedelta(seconds=seconds)


def snapshot_of(folder, columns):
    """A snapshot of columns by name."""
    (folder / "files").mkdir(parents=True)
    table = pa.table({name: pa.array(values, TYPES.get(name)) for name, values in columns.items()})
    pq.write_table(table, folder / "files" / "0.parquet", row_group_size=7)
    return take_snapshot(open_project(folder / "project"), Parquet(path=str(folder / "files")), memory_bytes=2**28)


# Equal to plain Python

SMALL = st.integers(-4, 4).map(lambda n: n / 8)
WORDS = {
    "x": ["mean", "median", "mode", "min", "max", "sum", "count", "first", "last", {"method": "threshold", "parameters": {"c_value": 0.125, "threshold": 0.3}}],
    "n": ["mean", "median", "mode", "min", "max", "sum", "count", "first", "last", {"method": "threshold", "parameters": {"cond": "equal", "c_value": 1, "set_value": "one"}}],
    "word": ["mode", "min", "max", "count", "first", "last", {"method": "threshold", "parameters": {"cond": "includes", "c_value": "a", "set_value": 0.5}}],
    "flag": ["mean", "median", "mode", "min", "max", "sum", "count", "first", "last", {"method": "threshold", "parameters": {"set_value": True, "threshold": 0.5}}],
    "when": ["mode", "min", "max", "count", "first", "last"],
}  # fmt: skip
CHAINS = {
    "n": [
        [],
        [{"method": "shift", "parameters": {"shift_steps": -2}}],
        [{"method": "shift", "parameters": {"shift_steps": 1, "fill_value": 7}}],
        [{"method": "leadup", "parameters": {"event_value": 1, "duration": 5.5}}],
        [{"method": "followup", "parameters": {"event_value": 1, "duration": 4}}],
        [{"method": "leadup", "parameters": {"event_value": 1, "duration": 3}}, {"method": "shift", "parameters": {"shift_steps": -1}}],
        [{"method": "shift", "parameters": {"shift_steps": -1}}, {"method": "leadup", "parameters": {"event_value": 0, "duration": 6}}, {"method": "map", "parameters": {"mapper": {"0": "no", "1": "yes"}}}],
    ],
    "word": [
        [],
        [{"method": "map", "parameters": {"mapper": {"a": "z"}}}, {"method": "shift", "parameters": {"shift_steps": -1, "fill_value": "z"}}],
        [{"method": "leadup", "parameters": {"event_value": "ab", "duration": 4}}],
    ],
}  # fmt: skip
SPLITS = [
    {"index_ratio": {"train": 0.6, "eval": 0.4}},
    {"index_ratio": {"train": 0.5, "eval": 0.3, "test": 0.2}},
    {"categorize_by": "machine", "index_ratio": {"train": 0.6, "eval": 0.4}},
    {"categorize_by": "machine", "category_ratio": {"train": 0.6, "eval": 0.4}},
]


@st.composite
def tables(draw):
    num = draw(st.integers(4, 60))
    times = draw(st.lists(st.integers(0, 60), min_size=num, max_size=num))
    columns = {
        "at": [after(t / draw(st.sampled_from([1, 2]))) for t in times],
        "machine": draw(st.lists(st.sampled_from(["é", "B", "a", None]), min_size=num, max_size=num)),
        "x": draw(st.lists(st.none() | SMALL | st.just(float("nan")), min_size=num, max_size=num)),
        "n": draw(st.lists(st.none() | st.integers(-2, 2), min_size=num, max_size=num)),
        "word": draw(st.lists(st.none() | st.sampled_from(["", "a", "ab", "Z"]), min_size=num, max_size=num)),
        "flag": draw(st.lists(st.none() | st.booleans(), min_size=num, max_size=num)),
        "when": draw(st.lists(st.none() | st.integers(0, 3).map(after), min_size=num, max_size=num)),
        "row": list(range(num)),
    }
    if draw(st.booleans()):
        columns["at"][draw(st.integers(0, num - 1))] = None
    return columns


@st.composite
def configs(draw):
    rate = draw(st.sampled_from([1, 2, 5, 0.5, None]))
    horizon = draw(st.sampled_from([None, None, 1, 2]))
    label = draw(st.sampled_from(["n", "word"]))
    chain = [word for word in draw(st.sampled_from(CHAINS[label])) if horizon is None or word["method"] != "shift"]
    features = {}
    for name in draw(st.lists(st.sampled_from(["x", "flag", "when"]), unique=True)):
        features[name] = {"resampling": draw(st.sampled_from(WORDS[name]))} if rate else {}
        if draw(st.booleans()):
            features[name]["filling"] = draw(st.sampled_from(["forward", *([] if horizon else ["backwards"])]))
    if rate and draw(st.booleans()):
        features["rows"] = {"resampling": "count"}
    features |= dict.fromkeys(draw(st.lists(st.sampled_from(["machine", "at"]), unique=True)), {}) or (
        {"row": {}} if not features else {}
    )
    given_label = {"resampling": draw(st.sampled_from(WORDS[label]))} if rate else {}
    if chain:
        given_label = {"resampling": "last" if rate else None, "label_tuning": chain}
        given_label = {key: value for key, value in given_label.items() if value is not None}
    series = {
        "process_sequence_w_timestamp": "at",
        "process_sequence_w_category": "machine",
        "resampling_rate_in_secs": rate,
        "trip_gap_threshold_in_secs": draw(st.sampled_from([None, 5, 12])),
        "sequence_length": draw(st.integers(1, 3)),
        "sequence_shift": draw(st.integers(1, 3)),
        "horizon": horizon,
        "empty_periods": draw(st.sampled_from(["drop", "keep"])) if rate else None,
    }
    return {
        "features": features,
        "labels": {label: given_label},
        "timeseries": {key: value for key, value in series.items() if value is not None},
        "split": draw(st.sampled_from(SPLITS)),
        "trainer": {"type": "classification"},
    }


def test_equal_to_plain_python() -> None:
    outcomes = Counter()

    @settings(
        max_examples=300,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(tables(), configs(), st.booleans())
    def equal(columns, config, inner) -> None:
        outcomes[is_equal(columns, config, inner)] += 1

    equal()
    assert outcomes[True] >= 200, outcomes


def is_equal(columns, config, inner) -> bool:
    """Whether there are windows at all, which then are the same."""
    if "resampling_rate_in_secs" not in config["timeseries"]:
        columns["at"] = [after(i * 0.75 + i // 9 * 20) for i in range(len(columns["row"]))]
    with tempfile.TemporaryDirectory() as name:
        snapshot = snapshot_of(Path(name), columns)
        return compare(snapshot, config, Path(name) / "tried", inner)


def compare(snapshot, config, folder, inner):
    config = labels_that_fit(config, snapshot)
    try:
        found = tried(snapshot, config, folder, inner=inner)
    except PreprocessError as error:
        if "has no window" in str(error) or "has no rows" in str(error) or "no group" in str(error):
            return False
        raise
    ids = pq.ParquetDataset([str(path) for path in snapshot.files]).read().to_pylist()
    points, windows, counts = reference(
        ids, found.numbers, len(found.split_names), found.resolved.series, cuts_inner=found.cuts_inner
    )
    table = found.points.to_pylist()
    assert len(table) == len(points)
    series = found.resolved.series
    for place, (row, point) in enumerate(zip(table, points, strict=True)):
        assert row["_row_id"] == place
        assert micros(row["at"]) == point.at
        assert row["machine"] == point.category
        for column in (*series.columns, *series.labels):
            expected = point.cells[column.name]
            if column.column in ("at", "machine") and column.resampling is None:
                continue
            assert row[column.name] == expected, (column.name, place)
            assert expected is None or type(row[column.name]) is type(expected)
    assert found.windows == windows
    for name, number in counts.items():
        assert getattr(found.report, name) == number, name
    return True


def labels_that_fit(config, snapshot):
    """The configuration with the type that its label takes."""
    try:
        resolved_of(config, snapshot.schema)
    except ConfigError as error:
        assert "classes are booleans, words or integers" in str(error)
        return config | {"trainer": {"type": "regression"}}
    return config
