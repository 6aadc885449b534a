"""The grid of time series on every engine: the same points, to the bit, and the same windows as DuckDB makes."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from engines_tried import ENGINES, opened

from cengine.config.checks import check
from cengine.config.mapping import mapping_text
from cengine.config.read import parse_config
from cengine.datasources.register import take_snapshot
from cengine.engines.duckdb import DuckDB
from cengine.learners.feedforward import Feedforward
from cengine.preprocess.series import POINTS, WINDOWS, write_series
from cengine.preprocess.source import Rows
from cengine.preprocess.split import fit_split
from cengine.sources import Parquet
from cengine.store.project import open_project
from cengine.transforms.resample import RESAMPLINGS

NUM_ROWS = 3000
CASES = [(name, kind) for name, word in RESAMPLINGS.items() for kind in word.accepts]
GIVEN = {
    ("threshold", "string"): {"cond": "includes", "c_value": "a'", "set_value": "it's"},
    ("threshold", "float"): {"cond": "less_or_equal", "c_value": -0.5, "set_value": 2.5, "threshold": 0.4},
    ("threshold", "boolean"): {"cond": "equal", "c_value": True, "set_value": True},
}


def table():
    """Rows of a day on either side of 1970, some of one time, categories and values of every sort."""
    random = np.random.default_rng(3)
    seconds = random.integers(-40_000_000, 40_000_000, NUM_ROWS) / 1000
    seconds[:200] = seconds[200:400]
    texts = np.array(["", "a'b", "Zürich", "zurich", "A", "日本", None], object)
    x = random.normal(size=NUM_ROWS) * 10.0 ** random.integers(-12, 12, NUM_ROWS)
    x[random.random(NUM_ROWS) < 0.1] = np.nan
    x[5] = np.inf
    values = {
        "boolean": [None if k == 2 else bool(k) for k in random.integers(0, 3, NUM_ROWS)],
        "integer": [None if k % 11 == 0 else int(k) for k in random.integers(-(2**62), 2**62, NUM_ROWS)],
        "float": [None if v != v else v for v in x.tolist()],
        "string": texts[random.integers(0, 7, NUM_ROWS)].tolist(),
        "timestamp": [datetime.datetime(1969, 12, 30) + datetime.timedelta(microseconds=int(k)) for k in random.integers(0, 2**38, NUM_ROWS)],
    }  # fmt: skip
    types = {"boolean": pa.bool_(), "integer": pa.int64(), "float": pa.float64(), "string": pa.string(), "timestamp": pa.timestamp("us")}  # fmt: skip
    at = [datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=float(s)) for s in seconds]
    at[7] = None
    columns = {
        "at": pa.array(at, pa.timestamp("us")),
        "place": pa.array(texts[random.integers(0, 7, NUM_ROWS)].tolist(), pa.string()),
        "small": pa.array(random.integers(-9, 9, NUM_ROWS), pa.int16()),
    }
    columns |= {f"c{i}": pa.array(values[kind], types[kind]) for i, (_, kind) in enumerate(CASES)}
    return pa.table(columns)


WORDS = {"process_sequence_w_timestamp": "at", "process_sequence_w_category": "place", "resampling_rate_in_secs": 450}
SETTINGS = {
    "cut in time": {
        "features": {
            "rows": {"resampling": "count"},
            "place": {},
            "at": {},
            **{
                f"c{i}": {
                    # The sum of such whole numbers has no room in 64 bits.
                    "resampling": {
                        "method": "mean" if (name, kind) == ("sum", "integer") else name,
                        "parameters": GIVEN.get((name, kind), {}),
                    }
                }
                for i, (name, kind) in enumerate(CASES)
            },
        },
        "labels": {"small": {"resampling": "sum"}},
        "timeseries": WORDS | {"trip_gap_threshold_in_secs": 4000, "sequence_length": 3, "horizon": 2},
        "split": {"index_ratio": {"train": 0.6, "eval": 0.4}},
        "trainer": {"type": "regression"},
    },
}
SETTINGS["whole series"] = SETTINGS["cut in time"] | {
    "features": {"c0": {"filling": "forward"}, "place": {}},
    "split": {"categorize_by": "place", "category_ratio": {"train": 0.6, "eval": 0.4}},
    "timeseries": SETTINGS["cut in time"]["timeseries"] | {"empty_periods": "keep"},
}


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    (folder / "files").mkdir()
    made = table()
    for n in range(2):
        pq.write_table(made.slice(n * NUM_ROWS // 2, NUM_ROWS // 2), folder / "files" / f"{n}.parquet")
    return take_snapshot(open_project(folder / "project"), Parquet(path=str(folder / "files")), memory_bytes=2**29)


def made_by(engine, snapshot, name, folder):
    """Points and windows of a setting, the grid made by the engine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Feedforward, "reads_windows", True)
        resolved, _ = check(parse_config(mapping_text(SETTINGS[name])), snapshot.schema)
    rows = Rows(snapshot.files, snapshot.schema, (), ())
    for part in ("split", "out"):
        (folder / part).mkdir(parents=True)
    split = fit_split(engine, rows, resolved.split, folder / "split", inner=True)
    with DuckDB(folder / "scratch", memory_bytes=2**28, threads=2) as local:
        report = write_series(engine, rows, split, resolved, local, folder / "out", inner=True)
    return report, *(pq.read_table(folder / "out" / name) for name in (POINTS, WINDOWS))


@pytest.fixture(scope="module")
def expected(snapshot, tmp_path_factory):
    folder = tmp_path_factory.mktemp("expected")
    with opened("duckdb", folder / "engine", None) as engine:
        return {name: made_by(engine, snapshot, name, folder / name) for name in SETTINGS}


@pytest.mark.parametrize("engine_name", ENGINES)
def test_points_and_windows_are_the_same(engine_name, snapshot, expected, tmp_path, request) -> None:
    with opened(engine_name, tmp_path / "engine", request) as engine:
        for name in SETTINGS:
            report, points, windows = made_by(engine, snapshot, name, tmp_path / name)
            assert report == expected[name][0]
            assert sum(report.windows.values()) > 50
            for one in points.column_names:
                assert points[one].combine_chunks().equals(expected[name][1][one].combine_chunks()), (name, one)
            assert windows.equals(expected[name][2])
