"""Fixtures that several folders need: an engine, and tables registered the way a user registers them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from servers import MysqlServer, PostgresServer, S3Server, mysql_server, postgres_server, s3_server
from terminal import Terminal

from cengine.engines.duckdb import DuckDB
from cengine.expressions.filters import parse_filter, with_columns
from cengine.pipeline.register import Snapshot, take_snapshot
from cengine.preprocess.source import Rows
from cengine.sources import Parquet
from cengine.store.project import open_project

if TYPE_CHECKING:
    from bigquery_server import BigQueryServer

MEMORY_BYTES = 2**29


def pytest_configure(config: pytest.Config) -> None:
    """Lets tests and the commands that they start reuse compiled networks: compiling is a third of a run on a small table.

    Each worker of the tests has a folder of its own, since JAX writes entries in place.
    """
    folder = tempfile.TemporaryDirectory(prefix="cengine-compiled-")
    config.add_cleanup(folder.cleanup)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckDB]:
    """An engine with two threads."""
    with DuckDB(tmp_path / "scratch", memory_bytes=MEMORY_BYTES, threads=2) as opened:
        yield opened


@pytest.fixture
def register_table(tmp_path: Path) -> Callable[..., Snapshot]:
    """Registers a table as Parquet files, headers kept: `register_table(table, num_files=1, name="table")`."""

    def register(table: pa.Table | dict, *, num_files: int = 1, name: str = "table") -> Snapshot:
        table = pa.table(table)
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for stale in folder.iterdir():
            stale.unlink()
        for number in range(num_files):
            low, high = (len(table) * n // num_files for n in (number, number + 1))
            pq.write_table(table.slice(low, high - low), folder / f"{number}.parquet")
        source = Parquet(path=str(folder))
        return take_snapshot(open_project(tmp_path / f"{name}-project"), source, memory_bytes=MEMORY_BYTES)

    return register


@pytest.fixture
def make_rows(register_table: Callable[..., Snapshot]) -> Callable[..., Rows]:
    """The rows of a table as a run reads them: `make_rows(table, where=["x > 1"], labels=[...])`."""

    def make(table: pa.Table | dict, *, where: tuple = (), labels: tuple = (), **options: object) -> Rows:
        snapshot = register_table(table, **options)
        filters = tuple(with_columns(parse_filter(text), snapshot.schema.names) for text in where)
        return Rows(snapshot.files, snapshot.schema, filters, tuple(labels))

    return make


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A terminal on a new project; `terminal("datasource", "list")` types a command."""
    return Terminal(tmp_path / "project", tmp_path)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL for the tests of this process; `postgres.new_database()` is an address to use."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An object store for the tests of this process; `s3.new_bucket()` is an address to use, with `s3.environment`."""
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def mysql() -> Iterator[MysqlServer]:
    """A MariaDB for the tests of this process; `mysql.new_database()` is the name of one to use."""
    with mysql_server() as server:
        yield server


@pytest.fixture
def bigquery(monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQueryServer]:
    """A BigQuery on loopback that commands find by the usual variables."""
    pytest.importorskip("google.cloud.bigquery")
    pytest.importorskip("google.cloud.bigquery_storage_v1")
    from bigquery_server import BigQueryServer

    with BigQueryServer() as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.endpoint)
        monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", server.storage_endpoint)
        monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
        yield server
        assert server.broken == []
