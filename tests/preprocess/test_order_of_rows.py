"""The order of rows and of files decides nothing: the same identities, split, statistics and encoded rows."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cengine.config.read import parse_config
from cengine.config.resolve import resolve
from cengine.datasources.register import take_snapshot
from cengine.engines.duckdb import DuckDB
from cengine.preprocess.apply import write_encoded
from cengine.preprocess.fit import fit
from cengine.preprocess.source import Rows
from cengine.preprocess.split import fit_split
from cengine.sources import Parquet
from cengine.store.project import open_project

NUM_ROWS = 400
YAML = """
features: {odd: {}, tiny: {}, word: {}, at: {transform: {method: calendar, parameters: {zone: America/New_York}}}, n: {transform: quantile_normal}}
labels: {y: {}}
split: {ratio: {train: 0.7, eval: 0.3}}
trainer: {type: regression}
"""


def table():
    """Numbers of every sort, rows that are equal, and rows whose identities are: they differ in what these leave out."""
    random = np.random.default_rng(4)
    odd = [math.nan, math.inf, -math.inf, -0.0, 0.0, 1e300, -1e300, 5e-324, None, 2.5]
    return pa.table(
        {
            "odd": pa.array([odd[i % len(odd)] for i in range(NUM_ROWS)], pa.float64()),
            "tiny": pa.array([1e-15 * (i // 40) for i in range(NUM_ROWS)]),
            "word": pa.array([None if i % 7 == 0 else "a" for i in range(NUM_ROWS)]),
            "at": pa.array(
                [1_550_000_000_000_000 + 10**13 * (i % 2) for i in range(NUM_ROWS)], pa.timestamp("us", "UTC")
            ),
            "n": pa.array([i % 3 for i in range(NUM_ROWS)]),
            "y": pa.array([float(i % 4) for i in range(NUM_ROWS)]),
        }
    ).take(random.permutation(NUM_ROWS))


def prepared(folder, rows, num_files):
    """Identities with cells, statistics, and encoded rows, each in an order of their own."""
    (folder / "files").mkdir(parents=True)
    for n in range(num_files):
        low, high = (NUM_ROWS * i // num_files for i in (n, n + 1))
        pq.write_table(rows.slice(low, high - low), folder / "files" / f"{n}.parquet")
    snapshot = take_snapshot(open_project(folder / "project"), Parquet(path=str(folder / "files")), memory_bytes=2**29)
    resolved = resolve(parse_config(YAML).config, snapshot.schema)
    found = Rows(snapshot.files, snapshot.schema, (), resolved.labels)
    with DuckDB(folder / "scratch", memory_bytes=2**29, threads=2) as engine:
        split = fit_split(engine, found, resolved.split, folder)
        statistics = fit(engine, found, split, resolved)
        write_encoded(engine, found, split, resolved.features, resolved.labels, statistics, folder / "encoded.parquet")
    encoded = pq.read_table(folder / "encoded.parquet")
    return split.report, statistics, sorted(map(repr, zip(*[c.to_pylist() for c in encoded.columns], strict=True)))


@pytest.mark.parametrize(("seed", "num_files"), [(1, 1), (2, 3)])
def test_shuffled_rows_and_files_give_the_same(seed, num_files, tmp_path) -> None:
    expected = prepared(tmp_path / "one", table(), 1)
    shuffled = table().take(np.random.default_rng(seed).permutation(NUM_ROWS))
    found = prepared(tmp_path / "other", shuffled, num_files)
    assert found[0] == expected[0]
    assert found[1] == expected[1]
    assert found[2] == expected[2]
