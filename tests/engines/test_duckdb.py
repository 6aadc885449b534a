"""The engine on this machine: what happens around its queries."""

from __future__ import annotations

import threading

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cengine.engines.checking import Checking
from cengine.engines.duckdb import DuckDB
from cengine.errors import CengineError
from cengine.expressions.filters import parse_filter
from cengine.tables import Column, TableSchema


def test_a_connection_that_is_closed_under_a_query_ends_its_progress_quietly(tmp_path, monkeypatch) -> None:
    raised = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    engine = DuckDB(tmp_path)
    with engine.watched(lambda share: None, engine._shares_done(), 0.01):
        (thread,) = [t for t in threading.enumerate() if t.name == "query-progress"]
        engine.connection.close()  # after which it may be gone at once
        thread.join(timeout=30)
    assert not thread.is_alive()
    assert raised == []


@pytest.fixture
def places(tmp_path):
    """Folders `mine` and `others`, each with a table."""
    for name in ("mine", "others"):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table({"n": [1, 2]}), tmp_path / name / "t.parquet")
    return tmp_path


def test_an_engine_reaches_its_folders_and_files_only(places) -> None:
    other = places / "others" / "t.parquet"
    (places / "mine" / "link.parquet").symlink_to(other)
    with DuckDB(places / "s" / "1", folders=[places / "mine"]) as engine:
        assert engine.fetch(f"SELECT * FROM read_parquet('{places}/mine/t.parquet')").num_rows == 2
        assert engine.write("SELECT 1 AS n", places / "mine" / "new.parquet") == 1
        for query in (
            f"FROM '{other}'",
            f"FROM '{places}/mine/../others/t.parquet'",
            f"FROM '{places}/mine/link.parquet'",
            f"FROM read_text('{other}')",
            f"FROM glob('{places}/others/*')",
            f"COPY (SELECT 1) TO '{places}/others/x.csv'",
            f"ATTACH '{places}/others/x.db'",
            "SET enable_external_access = true",
            "SET allowed_directories = ['/']",
        ):
            with pytest.raises(CengineError):
                engine.fetch(query)
        with pytest.raises(CengineError):
            engine.write("SELECT 1 AS n", places / "others" / "new.parquet")
    assert sorted(file.name for file in (places / "others").iterdir()) == ["t.parquet"]
    with DuckDB(places / "s" / "2", folders=[], files=[places / "mine" / "link.parquet"]) as engine:
        assert engine.fetch(f"FROM '{places}/mine/link.parquet'").num_rows == 2
        with pytest.raises(CengineError):
            engine.fetch(f"FROM '{places}/mine/t.parquet'")


def test_a_text_of_several_statements_is_not_run(tmp_path) -> None:
    with DuckDB(tmp_path / "s") as engine:
        with pytest.raises(ValueError, match="holds 2"):
            engine.fetch("CREATE TABLE made AS SELECT 1 AS n; SELECT 2 AS n")
        assert engine.fetch("SELECT COUNT(*) AS n FROM duckdb_tables() WHERE table_name = 'made'")["n"].to_pylist() == [
            0
        ]


def test_the_connection_that_checks_has_nothing_to_give(places) -> None:
    schema = TableSchema((Column("n", "BIGINT", "integer"), Column("t", "TIMESTAMP", "timestamp")), 5)
    with Checking() as checking:
        assert checking.bind_error(parse_filter("n > 3"), schema) is None
        assert "yesterday" in (checking.bind_error(parse_filter("t > 'yesterday'"), schema) or "")
        assert checking.connection.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("bind_check",)]
        for query in (
            f"FROM '{places}/mine/t.parquet'",
            "FROM '/etc/hostname'",
            f"COPY (SELECT 1) TO '{places}/x.csv'",
            f"ATTACH '{places}/x.db'",
            "SET enable_external_access = true",
            "SET lock_configuration = false",
        ):
            with pytest.raises(duckdb.Error):
                checking.connection.execute(query)
    assert sorted(file.name for file in places.iterdir()) == ["mine", "others"]
