"""Many batches become one Parquet file as the trainer reads it, whatever their sizes; Spark's files are strung together by position."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cengine.engines.duckdb import DEFAULT_ROW_GROUP_ROWS
from cengine.engines.files import ROW_GROUP_ROWS, write_parquet
from cengine.engines.spark import _OutOfOrder, _string_together
from cengine.tables import POSITION

SCHEMA = pa.schema([("x", pa.float32()), ("code", pa.int32())])
# As an engine says them that knows more of nulls, in types of its own.
FOUND = pa.schema([pa.field("x", pa.float64()), pa.field("code", pa.int64(), nullable=False)])


def batch(start, num_rows):
    numbers = np.arange(start, start + num_rows)
    return pa.record_batch([pa.array(numbers / 4), pa.array(numbers)], schema=FOUND)


@pytest.mark.parametrize("sizes", [[], [3], [ROW_GROUP_ROWS], [100_000] * 5, [7, 300_000, 1, 1, 122_879]])
def test_row_groups_are_of_one_size_and_types_are_those_asked_for(sizes, tmp_path) -> None:
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
    target = tmp_path / "one.parquet"
    assert write_parquet((batch(s, n) for s, n in zip(starts, sizes, strict=False)), SCHEMA, target) == sum(sizes)
    with pq.ParquetFile(target) as file:
        assert file.schema_arrow == SCHEMA
        groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        assert all(n == ROW_GROUP_ROWS for n in groups[:-1])
        assert file.read()["code"].to_pylist() == list(range(sum(sizes)))


def test_row_groups_are_those_of_the_embedded_engine() -> None:
    assert ROW_GROUP_ROWS == DEFAULT_ROW_GROUP_ROWS


def written(folder, *parts):
    """Files as Spark writes them: named by task, not by position; an empty one among them."""
    folder.mkdir()
    for number, positions in enumerate([*parts, []]):
        table = pa.table(
            {"code": pa.array([p * 10 for p in positions], pa.int64()), POSITION: pa.array(positions, pa.int64())}
        )
        pq.write_table(table, folder / f"part-{number:05d}-x.parquet")
    return folder


def test_files_are_strung_together_by_position(tmp_path) -> None:
    folder = written(tmp_path / "w", [2**40, 2**40 + 1], [5, 7, 9], [0, 1])
    assert _string_together(folder, tmp_path / "one.parquet", None) == 7
    table = pq.read_table(tmp_path / "one.parquet")
    assert table.column_names == ["code"]
    assert table["code"].to_pylist() == [10 * p for p in (0, 1, 5, 7, 9, 2**40, 2**40 + 1)]


@pytest.mark.parametrize("parts", [([0, 5], [3, 8]), ([0, 2, 1],), ([0, 1], [1, 2])])
def test_rows_out_of_order_are_never_strung_together(parts, tmp_path) -> None:
    with pytest.raises(_OutOfOrder):
        _string_together(written(tmp_path / "w", *parts), tmp_path / "one.parquet", None)


def test_nothing_is_a_file_without_rows(tmp_path) -> None:
    assert _string_together(written(tmp_path / "w"), tmp_path / "one.parquet", None) == 0
    assert pq.read_schema(tmp_path / "one.parquet").names == ["code"]
