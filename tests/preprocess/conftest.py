"""Splits a table and gives the split of each row."""

from __future__ import annotations

import pytest
from stations import split_config

from cengine.engines.duckdb import DuckDB
from cengine.preprocess.split import fit_split, read_split


@pytest.fixture
def assign(tmp_path):
    """Assigns rows: `assign(rows, "{ratio: ...}")` gives {row: name of its split} and the report."""

    def run(rows, text, threads=2):
        with DuckDB(tmp_path / "scratch", memory_bytes=2**29, threads=threads) as engine:
            split = fit_split(engine, rows, split_config(text), tmp_path)
            assert read_split(tmp_path) == split
            table = engine.fetch(split.assigned(engine, rows, ["row"]))
        numbers = table["row"].to_pylist()
        assert len(numbers) == len(set(numbers)), "a row is in two splits"
        names = [split.names[n] for n in table["_split"].to_pylist()]
        assert split.report.rows == {name: names.count(name) for name in split.names}
        return dict(zip(numbers, names, strict=True)), split.report

    return run
