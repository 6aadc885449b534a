"""Rows to points and windows: equal to plain Python on random tables, to the bit for any threads and memory, and without leaks."""

from __future__ import annotations

import datetime
import hashlib
import tempfile
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
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


def word(name, **parameters):
    """A word with its parameters."""
    return {"method": name, "parameters": parameters}


EVERY = ["mean", "median", "mode", "min", "max", "sum", "count", "first", "last"]
OF_TEXTS = ["mode", "min", "max", "count", "first", "last"]
WORDS = {
    "x": [*EVERY, word("threshold", c_value=0.125, threshold=0.3)],
    "n": [*EVERY, word("threshold", cond="equal", c_value=1, set_value="one")],
    "word": [*OF_TEXTS, word("threshold", cond="includes", c_value="a", set_value=0.5)],
    "flag": [*EVERY, word("threshold", set_value=True, threshold=0.5)],
    "when": OF_TEXTS,
}
NEXT = word("shift", shift_steps=-1)
CHAINS = {
    "n": [
        [],
        [word("shift", shift_steps=-2)],
        [word("shift", shift_steps=1, fill_value=7)],
        [word("leadup", event_value=1, duration=5.5)],
        [word("followup", event_value=1, duration=4)],
        [word("leadup", event_value=1, duration=3), NEXT],
        [NEXT, word("leadup", event_value=0, duration=6), word("map", mapper={"0": "no", "1": "yes"})],
    ],
    "word": [
        [],
        [word("map", mapper={"a": "z"}), word("shift", shift_steps=-1, fill_value="z")],
        [word("leadup", event_value="ab", duration=4)],
    ],
}
SPLITS = [
    {"index_ratio": {"train": 0.6, "eval": 0.4}},
    {"index_ratio": {"train": 0.5, "eval": 0.3, "test": 0.2}},
    {"categorize_by": "machine", "index_ratio": {"train": 0.6, "eval": 0.4}},
    {"categorize_by": "machine", "category_ratio": {"train": 0.6, "eval": 0.4}},
]


@st.composite
def tables(draw):
    num = draw(st.integers(20, 70))
    times = draw(st.lists(st.integers(0, 40), min_size=num, max_size=num))
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
    chain = [one for one in draw(st.sampled_from(CHAINS[label])) if horizon is None or one["method"] != "shift"]
    features = {}
    for name in draw(st.lists(st.sampled_from(["x", "flag", "when"]), unique=True)):
        features[name] = {"resampling": draw(st.sampled_from(WORDS[name]))} if rate else {}
        if draw(st.booleans()):
            features[name]["filling"] = draw(st.sampled_from(["forward", *([] if horizon else ["backwards"])]))
    if rate and draw(st.booleans()):
        features["rows"] = {"resampling": "count"}
    features |= {name: {} for name in draw(st.lists(st.sampled_from(["machine", "at"]), unique=True))}
    features = features or {"row": {}}
    given_label = {"resampling": draw(st.sampled_from(WORDS[label]))} if rate else {}
    if chain:
        given_label = {"resampling": "last" if rate else None, "label_tuning": chain}
        given_label = {key: value for key, value in given_label.items() if value is not None}
    series = {
        "process_sequence_w_timestamp": "at",
        "process_sequence_w_category": "machine",
        "resampling_rate_in_secs": rate,
        "trip_gap_threshold_in_secs": draw(st.sampled_from([None, 5, 12])),
        "sequence_length": draw(st.sampled_from([1, 1, 2, 3])),
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


@pytest.mark.parametrize(("num_tables", "with_windows"), [(60, 25), pytest.param(400, 200, marks=pytest.mark.slow)])
def test_equal_to_plain_python(num_tables, with_windows) -> None:
    outcomes = Counter()

    @settings(
        max_examples=num_tables,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(tables(), configs(), st.booleans())
    def equal(columns, config, inner) -> None:
        outcomes[is_equal(columns, config, inner)] += 1

    equal()
    assert outcomes[True] >= with_windows, outcomes


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


# Exactness and memory

HOURS = {
    "process_sequence_w_timestamp": "at",
    "process_sequence_w_category": "machine",
    "resampling_rate_in_secs": 60,
    "sequence_length": 6,
}
CUT = {"index_ratio": {"train": 0.7, "eval": 0.3}}
CONFIG = {
    "features": {
        "x": {"resampling": "mean", "filling": "backwards"},
        "n": {"resampling": "mode", "filling": "forward"},
        "rows": {"resampling": "count"},
        "word": {"resampling": "last"},
    },
    "labels": {
        "flag": {
            "resampling": "max",
            "label_tuning": {"method": "leadup", "parameters": {"event_value": True, "duration": 400}},
        }
    },
    "timeseries": HOURS | {"trip_gap_threshold_in_secs": 600, "empty_periods": "keep"},
    "split": CUT,
    "trainer": {"type": "classification"},
}
FORECAST = CONFIG | {
    "features": {"x": {"filling": "forward"}, "n": {"resampling": "median"}},
    "labels": {"y": {"resampling": "sum"}},
    "timeseries": HOURS
    | {"trip_gap_threshold_in_secs": 3600, "horizon": 3, "sequence_shift": 2, "empty_periods": "keep"},
    "trainer": {"type": "regression"},
}
SHIFTED = CONFIG | {
    "labels": {"word": {"resampling": "mode", "label_tuning": word("shift", shift_steps=-4)}},
    "features": {"x": {"filling": "backwards"}},
}


HALVES = {
    "features": {"x": {}},
    "labels": {"y": {}},
    "split": {"index_ratio": {"train": 0.5, "eval": 0.5}},
    "trainer": {"type": "regression"},
}


def machines(num_rows, seed=0, after_cut=None):
    """Rows of eleven machines over a day and more. Every value later than `after_cut` seconds is another one than of other seeds."""
    random = np.random.default_rng(11)
    seconds = np.sort(random.integers(0, 90_000, num_rows)) + random.integers(0, 1000, num_rows) / 1000
    values = [np.random.default_rng(5), np.random.default_rng(5 if after_cut is None else seed)]
    made = []
    for own in values:
        x = own.normal(size=num_rows) * 10.0 ** own.integers(-6, 6, num_rows)
        made.append(
            {
                "x": np.where(own.random(num_rows) < 0.3, np.nan, x),
                "y": own.normal(size=num_rows) + 1e9 * own.integers(0, 2, num_rows),
                "n": own.integers(0, 9, num_rows),
                "word": np.array(["Zürich", "a", "B", None], object)[own.integers(0, 4, num_rows)],
                "flag": own.random(num_rows) < 0.003,
            }
        )
    late = np.zeros(num_rows, bool) if after_cut is None else seconds > after_cut
    columns = {name: np.where(late, made[1][name], made[0][name]) for name in made[0]}
    return {
        "at": [after(float(s)) for s in seconds],
        "machine": [f"m{k}" for k in random.integers(0, 11, num_rows)],
        "row": np.arange(num_rows),
        **{name: [None if v is None or v != v else v for v in values.tolist()] for name, values in columns.items()},
    }


def digest(folder):
    return [
        hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("part-points.parquet", "windows.parquet", "series.json")
    ]


@pytest.mark.parametrize("config", [CONFIG, FORECAST, SHIFTED], ids=["leadup", "forecast", "shift"])
def test_the_same_bytes_for_any_threads_and_memory(tmp_path, config) -> None:
    snapshot = snapshot_of(tmp_path, machines(60_000))
    found = [
        digest(
            tried(
                snapshot, config, tmp_path / f"{threads}-{memory}", threads=threads, memory=memory * 2**20, inner=True
            ).folder
        )
        for threads, memory in ((1, 512), (2, 512), (4, 512), (4, 96))
    ]
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize("config", [CONFIG, FORECAST, SHIFTED], ids=["leadup", "forecast", "shift"])
@pytest.mark.parametrize("inner", [False, True])
def test_no_train_window_knows_what_comes_after_the_cut(tmp_path, config, inner) -> None:
    """Every raw value after the cut is another one, a million times as large too: points of train windows are the same to the bit."""
    first = tried(snapshot_of(tmp_path / "a", machines(20_000)), config, tmp_path / "a" / "tried", inner=inner)
    columns = machines(20_000)
    of_train = [number == 0 for _, number in sorted(first.numbers.items())]
    ids = pq.ParquetDataset([str(path) for path in (tmp_path / "a" / "project").rglob("*.parquet")]).read(
        ["row", "_row_id"]
    )
    place = dict(zip(ids["_row_id"].to_pylist(), ids["row"].to_pylist(), strict=True))
    learnt = [place[row] for row, number in first.numbers.items() if number == 0]
    cut = max(columns["at"][row] for row in learnt) - START
    changed = machines(20_000, seed=8, after_cut=cut.total_seconds())
    changed["x"] = [
        v if v is None or t - START <= cut else v * 1e6 for v, t in zip(changed["x"], changed["at"], strict=True)
    ]
    assert sum(a != b for a, b in zip(changed["n"], columns["n"], strict=True)) > 1000
    assert any(of_train) and not all(of_train)
    second = tried(snapshot_of(tmp_path / "b", changed), config, tmp_path / "b" / "tried", inner=inner)
    starts = [at for at, split in first.windows.items() if split == 0]
    assert len(starts) > 150
    assert starts == [at for at, split in second.windows.items() if split == 0]
    num = first.resolved.series.words.points
    taken = sorted({at + step for at in starts for step in range(num)})
    names = [name for name in first.points.column_names if name != "_split"]
    assert first.points.select(names).take(taken).equals(second.points.select(names).take(taken))
    assert not first.points.select(names).equals(second.points.select(names))
    assert first.report.reaching + first.report.straddlers > 0


def test_windows_would_leak_without_the_purge(tmp_path) -> None:
    """The label looks seven minutes ahead: the windows whose label does so over the cut are those that are purged."""
    report = tried(snapshot_of(tmp_path, machines(20_000)), CONFIG, tmp_path / "tried").report
    # Eleven machines, and the seven points before the cut of each that has any.
    assert 0 < report.reaching <= 11 * 7


def test_the_originals_toy(tmp_path) -> None:
    """A trip with a hole of one period: windows of three start where three follow one another."""
    seconds = [0, 1, 2, 3, 5, 6, 7, 8, 9]
    columns = {"at": [after(s) for s in seconds], "x": [float(s) for s in seconds], "y": [float(s) for s in seconds]}
    words = {
        "process_sequence_w_timestamp": "at",
        "resampling_rate_in_secs": 1,
        "trip_gap_threshold_in_secs": 3,
        "sequence_length": 3,
    }
    config = HALVES | {"timeseries": words}
    snapshot = snapshot_of(tmp_path, columns)
    found = tried(snapshot, config, tmp_path / "drop")
    assert sorted(found.windows) == [0, 1, 4, 5, 6]
    assert (found.report.holes, found.report.num_trips) == (2, 1)
    kept = tried(snapshot, config | {"timeseries": words | {"empty_periods": "keep"}}, tmp_path / "keep")
    assert kept.points["x"].to_pylist() == [0, 1, 2, 3, None, 5, 6, 7, 8, 9]
    # The label of the empty period is missing, and only windows that end there are dropped.
    assert sorted(kept.windows) == [0, 1, 3, 4, 5, 6, 7]
    assert kept.report.without_label == 1
    shifted = tried(snapshot, config | {"timeseries": words | {"sequence_shift": 2}}, tmp_path / "shift")
    assert sorted(shifted.windows) == [0, 4, 6]


def test_a_gap_of_exactly_the_threshold_ends_a_trip(tmp_path) -> None:
    words = {
        "process_sequence_w_timestamp": "at",
        "resampling_rate_in_secs": 2,
        "trip_gap_threshold_in_secs": 2,
        "sequence_length": 1,
    }
    config = HALVES | {"timeseries": words}
    seconds = [0, 2, 3.999999, 5.9, 8, 10]
    columns = {"at": [after(s) for s in seconds], "x": seconds, "y": seconds}
    assert tried(snapshot_of(tmp_path, columns), config, tmp_path / "tried").report.num_trips == 4


def test_sums_of_floats_are_right_to_the_last_digits(tmp_path) -> None:
    columns = machines(20_000)
    config = FORECAST | {
        "features": {"y": {"resampling": "sum"}},
        "labels": {"y": {"resampling": "mean"}},
        "timeseries": FORECAST["timeseries"] | {"empty_periods": "drop"},
    }
    found = tried(snapshot_of(tmp_path, columns), config, tmp_path / "tried")
    periods = {}
    for at, machine, y in zip(columns["at"], columns["machine"], columns["y"], strict=True):
        periods.setdefault((machine, micros(at) // 60_000_000), []).append(Fraction(y))
    for row in found.points.to_pylist():
        values = periods[row["machine"], micros(row["at"]) // 60_000_000]
        total = float(sum(values))
        assert row["past y"] == pytest.approx(total, rel=1e-15)
        assert row["y"] == pytest.approx(total / len(values), rel=1e-15)


# What stops


def test_no_window_is_one_message_with_the_lengths(tmp_path) -> None:
    columns = machines(3000)
    snapshot = snapshot_of(tmp_path, columns)
    with pytest.raises(PreprocessError) as caught:
        tried(snapshot, CONFIG | {"timeseries": HOURS | {"sequence_length": 5000}}, tmp_path / "long")
    message = str(caught.value)
    assert (
        "split 'train' has no window (train: 0, eval: 0): a window needs 5000 points, the longest trip has" in message
    )
    assert "take a shorter sequence_length" in message
    with pytest.raises(PreprocessError) as caught:
        tried(snapshot, FORECAST | {"timeseries": HOURS | {"horizon": 3}}, tmp_path / "holes")
    assert "`empty_periods: keep` makes points of periods without rows" in str(caught.value)


def test_rows_of_one_time_have_no_order(tmp_path) -> None:
    columns = machines(200)
    columns["at"][70], columns["machine"][70] = columns["at"][69], columns["machine"][69]
    words = {key: value for key, value in HOURS.items() if key != "resampling_rate_in_secs"}
    config = CONFIG | {"timeseries": words | {"sequence_length": 2}, "features": {"x": {}}, "labels": {"word": {}}}
    with pytest.raises(
        PreprocessError, match=r"1 rows with the same 'machine' have the time of the row before, the first at 2018-06-0"
    ):
        tried(snapshot_of(tmp_path, columns), config, tmp_path / "tried")


def test_whole_groups_are_whole_series(tmp_path) -> None:
    columns = machines(2000)
    columns["half"] = ["a" if row % 2 else "b" for row in columns["row"]]
    split = {"categorize_by": "half", "categories": {"train": ["a"], "eval": ["b"]}}
    with pytest.raises(
        PreprocessError, match="points of a series are in an earlier split than the point before"
    ) as caught:
        tried(snapshot_of(tmp_path, columns), CONFIG | {"split": split}, tmp_path / "tried")
    assert "by a column that is the same all over a series" in str(caught.value)


def test_too_many_empty_periods(tmp_path) -> None:
    columns = {"at": [after(0), after(10**8), after(2 * 10**8)], "x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 4.0]}
    words = {
        "process_sequence_w_timestamp": "at",
        "resampling_rate_in_secs": 0.01,
        "sequence_length": 2,
        "empty_periods": "keep",
    }
    config = FORECAST | {"timeseries": words, "features": {"x": {}}, "labels": {"y": {}}}
    with pytest.raises(PreprocessError, match="the series have 20,000,000,001 points, more than 2,147,483,647"):
        tried(snapshot_of(tmp_path, columns), config, tmp_path / "tried")
