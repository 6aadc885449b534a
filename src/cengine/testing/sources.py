"""What every source does, with a table that it is given to hold."""

from __future__ import annotations

import datetime
import json
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cengine.datasources.register import Snapshot, take_snapshot
from cengine.errors import SourceError
from cengine.sources import Parquet
from cengine.sources.source import CopiedSource
from cengine.store.project import open_project
from cengine.tables import ROW_ID

MEMORY_BYTES = 2**29
_NOON = datetime.datetime(2020, 2, 28, 12, 30, 15)
TABLE = pa.table({
    "number": pa.array([1, 2, None, -(2**40), 5], pa.int64()),
    "share": pa.array([0.5, None, -1.25, 1e300, 0.1], pa.float64()),
    "word": pa.array(["a", 'it\'s "odd", isn\'t it', "Zürich", None, "a"], pa.string()),
    "member": pa.array([True, False, None, True, False], pa.bool_()),
    "at": pa.array([_NOON, None, _NOON.replace(year=1970), _NOON.replace(month=7), _NOON], pa.timestamp("us")),
})  # fmt: skip


class SourceSuite:
    """Derive a class `Test...` from it and write `make`; set `table` where the source cannot hold the one that is given."""

    table: ClassVar[pa.Table] = TABLE
    """The rows that the source is to hold, all of them different."""

    @abstractmethod
    def make(self, table: pa.Table, folder: Path) -> CopiedSource:
        """Puts the rows where the source finds them, at the same place if it is called again, and gives the source."""

    def missing(self, folder: Path) -> CopiedSource | None:
        """A source of a table that is not there; None where there is none such."""
        return None

    def test_its_rows_are_those_of_the_table(self, tmp_path: Path) -> None:
        """With their types and nulls, and the row identities that the rows have in any other source."""
        found = self._register(self.table, tmp_path)
        assert list(found.schema.names) == self.table.column_names
        pq.write_table(self.table, tmp_path / "same.parquet")
        same = take_snapshot(
            open_project(tmp_path / "same"), Parquet(path=str(tmp_path / "same.parquet")), memory_bytes=MEMORY_BYTES
        )
        assert [(c.name, c.kind) for c in found.schema.columns] == [(c.name, c.kind) for c in same.schema.columns]
        assert _rows(found) == _rows(same)

    def test_the_same_table_is_known_again(self, tmp_path: Path) -> None:
        first = self._register(self.table, tmp_path)
        assert self._register(self.table, tmp_path).content == first.content

    def test_another_table_is_another_snapshot(self, tmp_path: Path) -> None:
        first = self._register(self.table, tmp_path)
        fewer = self._register(self.table.slice(1), tmp_path)
        assert (fewer.schema.num_rows, fewer.content != first.content) == (len(self.table) - 1, True)
        assert _rows(first) != _rows(fewer)

    def test_its_state_is_plain_data_and_stays(self, tmp_path: Path) -> None:
        source = self.make(self.table, tmp_path)
        states = [source.state(lambda share: None) for _ in range(2)]
        data = [None if state is None else json.dumps(state.data) for state in states]
        assert data[0] == data[1]

    def test_its_options_are_read_back(self, tmp_path: Path) -> None:
        """They are kept in the project, so that `datasource commit` finds the table again."""
        source = self.make(self.table, tmp_path)
        kept = json.loads(json.dumps(source.model_dump(mode="json")))
        assert type(source).model_validate(kept) == source
        assert source.identity()["word"] == type(source).name
        assert source.place
        assert source.title

    def test_what_is_not_there_is_an_error_that_leaves_nothing(self, tmp_path: Path) -> None:
        source = self.missing(tmp_path)
        if source is None:
            pytest.skip("the source cannot be without a table")
        project = open_project(tmp_path / "project")
        with pytest.raises(SourceError) as caught:
            take_snapshot(project, source, memory_bytes=MEMORY_BYTES)
        assert caught.value.problems[0].message
        assert not [*project.scratch.glob("*")]

    def _register(self, table: pa.Table, folder: Path) -> Snapshot:
        return take_snapshot(open_project(folder / "project"), self.make(table, folder), memory_bytes=MEMORY_BYTES)


def _rows(snapshot: Snapshot) -> list[tuple[object, ...]]:
    """The rows with their identities, in an order that does not depend on the source's."""
    names = [ROW_ID, *snapshot.schema.names]
    return sorted(
        tuple(row[name] for name in names) for file in snapshot.files for row in pq.read_table(file).to_pylist()
    )
