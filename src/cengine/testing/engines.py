"""What every engine does: the same identities, splits, statistics and encoded rows as DuckDB, to the bit where they are no sums."""

from __future__ import annotations

import contextlib
import json
import math
import tempfile
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlglot import exp

from cengine.config.read import parse_config
from cengine.config.resolve import Resolved, resolve
from cengine.datasources.register import Snapshot, take_snapshot
from cengine.engines.duckdb import DuckDB
from cengine.engines.engine import Engine, Setup
from cengine.errors import CengineError
from cengine.expressions.build import column
from cengine.expressions.filters import parse_filter, with_columns
from cengine.preprocess.apply import write_encoded
from cengine.preprocess.fit import fit
from cengine.preprocess.source import Rows
from cengine.preprocess.split import fit_split
from cengine.sources import Parquet
from cengine.store.project import open_project
from cengine.tables import ROW_ID

NUM_ROWS = 400
YAML = """\
features:
  whole: {filling: median, transform: [log, scale_to_z_score]}
  share: {filling: mean, transform: quantile_normal, encoding: {method: piecewise_linear, parameters: {num_bins: 4}}}
  word: {filling: mode, transform: {method: compute_and_apply_vocabulary, parameters: {top_k: 2, num_oov_buckets: 3}}}
  kind: {transform: {method: hash_strings, parameters: {hash_buckets: 5}}}
  member: {filling: min, transform: one_hot_encode}
  at: {transform: calendar}
labels: {y: {transform: scale_to_0_1}, label: {}}
split: SPLIT
trainer: {type: regression}
"""
SPLITS = {
    "shares": "{ratio: {train: 0.7, eval: 0.2, test: 0.1}, seed: 5}",
    "in groups": "{categorize_by: word, index_ratio: {train: 0.7, eval: 0.3}}",
    "by time": "{index_by: at, ratio: {train: 0.6, eval: 0.4}}",
    "whole groups": "{categorize_by: whole, category_ratio: {train: 0.6, eval: 0.4}}",
}
WHERE = (
    "100 / (whole - 20) > 3 or whole > 30",
    "word like 'Z%' or share / 3 < 0 or word is null",
    "at >= '2018-02-01'",
)


class EngineSuite:
    """Derive a class `Test...` from it and write `opened`, an engine in a folder for what does not fit into memory."""

    @abstractmethod
    def opened(self, setup: Setup) -> Engine:
        """A new engine, before it is entered."""

    def test_filters_keep_the_same_rows(self, tmp_path: Path) -> None:
        for text in WHERE:
            with self._both(tmp_path) as both:
                kept = [sorted(one.identities(text)) for one in both]
            assert kept[0] == kept[1], text
            assert 0 < len(kept[0]) < NUM_ROWS, text

    @pytest.mark.parametrize("name", SPLITS)
    def test_splits_are_the_same(self, tmp_path: Path, name: str) -> None:
        with self._both(tmp_path) as both:
            found, expected = (one.split(SPLITS[name]) for one in both)
        assert found == expected

    def test_statistics_and_encoded_rows_are_the_same(self, tmp_path: Path) -> None:
        """Encoded rows come in the same order, in the same types, and are the same numbers as float32."""
        with self._both(tmp_path) as both:
            (statistics, encoded), (other_statistics, other) = (one.encoded(SPLITS["shares"]) for one in both)
        close(statistics, other_statistics)
        assert [(f.name, f.type) for f in encoded.schema] == [(f.name, f.type) for f in other.schema]
        for name in other.column_names:
            assert encoded[name].combine_chunks().equals(other[name].combine_chunks()), name

    def test_texts_are_found_in_lists(self, tmp_path: Path) -> None:
        """Whatever is in them; what is not there is null."""
        texts = ["", "a", "A", "it's", 'a "b"', "back\\slash", "line\nbreak", "Zürich", "日本"]
        with self._engine(tmp_path) as engine:
            engine.register("asked", pa.table({"n": range(len(texts) + 1), "t": [*texts, "nowhere"]}))
            index = engine.index_of_text(column("t"), pa.array(texts)).as_("i")
            query = exp.select(column("n"), index).from_("asked").order_by("n")
            assert engine.fetch(query)["i"].to_pylist() == [*range(len(texts)), None]
            beside = engine.beside(column("t"), pa.array(texts), pa.array([text * 2 for text in texts])).as_("b")
            query = exp.select(column("n"), beside).from_("asked").order_by("n")
            assert engine.fetch(query)["b"].to_pylist() == [*(text * 2 for text in texts), None]

    def test_a_registered_table_takes_the_place_of_the_one_before(self, tmp_path: Path) -> None:
        with self._engine(tmp_path) as engine:
            for value in (1, 2):
                engine.register("small", pa.table({"n": pa.array([value], pa.int64())}))
                assert engine.fetch(exp.select(column("n")).from_("small")).to_pylist() == [{"n": value}]

    def test_numbers_are_those_of_ieee(self, tmp_path: Path) -> None:
        """Nothing is rounded on the way out and in again."""
        numbers = [0.1, 1 / 3, 1e300, 5e-324, 2.0**53 + 2, -math.pi]
        with self._engine(tmp_path) as engine:
            engine.register("numbers", pa.table({"i": range(len(numbers)), "x": numbers}))
            query = exp.select(column("i"), (column("x") * exp.convert(1.0)).as_("x")).from_("numbers").order_by("i")
            assert engine.fetch(query)["x"].to_pylist() == numbers

    def test_a_file_is_written_in_the_order_of_the_query(self, tmp_path: Path) -> None:
        target = tmp_path / "written.parquet"
        with self._engine(tmp_path) as engine:
            engine.register("shuffled", pa.table({"n": np.random.default_rng(0).permutation(1000)}))
            query = exp.select(column("n")).from_("shuffled").order_by("n")
            assert engine.write(query, target, schema=pa.schema([("n", pa.int64())])) == 1000
        assert pq.read_table(target)["n"].to_pylist() == list(range(1000))

    def test_a_condition_is_checked_against_a_table(self, tmp_path: Path) -> None:
        snapshot = _registered(tmp_path)
        with self._engine(tmp_path) as engine:
            assert engine.bind_error(parse_filter("whole > 3 and word = 'a'"), snapshot.schema) is None
            assert engine.bind_error(parse_filter("at > 'no time'"), snapshot.schema)

    def test_what_fails_is_one_of_our_errors(self, tmp_path: Path) -> None:
        with self._engine(tmp_path) as engine, pytest.raises(CengineError):
            engine.fetch(exp.select(column("n")).from_("no_such_table"))

    @contextlib.contextmanager
    def _engine(self, folder: Path) -> Iterator[Engine]:
        with self.opened(_setup(folder / "scratch")) as engine:
            yield engine

    @contextlib.contextmanager
    def _both(self, folder: Path) -> Iterator[tuple[_Found, _Found]]:
        """What the engine makes of the table, and what DuckDB does."""
        snapshot = _registered(folder)
        with self._engine(folder) as engine, DuckDB.open(_setup(folder / "other")) as duckdb:
            yield _Found(engine, snapshot, folder / "found"), _Found(duckdb, snapshot, folder / "expected")


class _Found:
    """What an engine makes of the table."""

    def __init__(self, engine: Engine, snapshot: Snapshot, folder: Path) -> None:
        self.engine, self.snapshot, self.folder = engine, snapshot, folder
        folder.mkdir(exist_ok=True)

    def identities(self, where: str) -> list[int]:
        schema = self.snapshot.schema
        rows = Rows(self.snapshot.files, schema, (with_columns(parse_filter(where), schema.names),), ())
        found: list[int] = self.engine.fetch(rows.select(self.engine, ["whole"]))[ROW_ID].to_pylist()
        return found

    def _resolved(self, split: str) -> tuple[Rows, Resolved]:
        schema = self.snapshot.schema
        resolved = resolve(parse_config(YAML.replace("SPLIT", split)).config, schema)
        return Rows(self.snapshot.files, schema, (), resolved.labels), resolved

    def split(self, split: str) -> tuple[Any, ...]:
        """The split's report, its cuts, and the split of each row identity."""
        rows, resolved = self._resolved(split)
        fitted = fit_split(self.engine, rows, resolved.split, self.folder)
        assigned = self.engine.fetch(fitted.assigned(self.engine, rows, [])).select([ROW_ID, rows.split_column])
        cuts = pq.read_table(self.folder / "cuts.parquet")
        return fitted.report, cuts.to_pydict(), assigned.sort_by(ROW_ID).to_pydict()

    def encoded(self, split: str) -> tuple[dict[str, Any], pa.Table]:
        """The statistics, and the file that Transform writes."""
        rows, resolved = self._resolved(split)
        fitted = fit_split(self.engine, rows, resolved.split, self.folder)
        statistics = json.loads(json.dumps(fit(self.engine, rows, fitted, resolved)))
        target = self.folder / "encoded.parquet"
        write_encoded(self.engine, rows, fitted, resolved.features, resolved.labels, statistics, target)
        return statistics, pq.read_table(target)


def _setup(scratch: Path) -> Setup:
    return Setup(scratch, memory_bytes=2**29, threads=2, folders=[Path(tempfile.gettempdir()), scratch.parent])


def _registered(folder: Path) -> Snapshot:
    """A snapshot of two files, with cells of every kind, nulls, and rows that are equal in all of them."""
    random = np.random.default_rng(7)
    gaps = random.random(NUM_ROWS) < 0.1
    words = random.choice(["red", "Zürich", "it's", 'a "b"\n', ""], NUM_ROWS)
    seconds = random.integers(1_500_000_000, 1_600_000_000, NUM_ROWS)
    made = pa.table({
        "whole": pa.array(random.integers(1, 50, NUM_ROWS), pa.int64(), mask=gaps),
        "share": pa.array(random.normal(size=NUM_ROWS), mask=np.roll(gaps, 1)),
        "word": pa.array(words, mask=np.roll(gaps, 2)),
        "kind": pa.array(random.choice(["x", "y", "z"], NUM_ROWS)),
        "member": pa.array(random.random(NUM_ROWS) < 0.5, mask=np.roll(gaps, 3)),
        "at": pa.array(seconds * 1_000_000, pa.timestamp("us"), mask=np.roll(gaps, 4)),
        "y": random.normal(1980, 12, NUM_ROWS),
        "label": random.normal(size=NUM_ROWS),
    })  # fmt: skip
    made = pa.concat_tables([made, made.slice(0, 40), made.slice(10, 5)])
    files = folder / "files"
    files.mkdir(exist_ok=True)
    for number, part in enumerate((made.slice(0, 200), made.slice(200))):
        pq.write_table(part, files / f"{number}.parquet")
    return take_snapshot(open_project(folder / "project"), Parquet(path=str(files)), memory_bytes=2**29)


def close(one: Any, other: Any, where: str = "") -> None:
    """Fails where plain data is not equal, floating-point numbers to 1e-12."""
    if isinstance(one, float) and isinstance(other, int | float):
        assert one == pytest.approx(other, rel=1e-12, abs=1e-300), where
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            close(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            close(a, b, f"{where}[{i}]")
    else:
        assert one == other, where
