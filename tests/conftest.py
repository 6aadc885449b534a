"""Fixtures that several folders need: an engine, and tables registered the way a user registers them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from servers import MysqlServer, PostgresServer, S3Server, mysql_server, postgres_server, s3_server
from terminal import Terminal

from cengine.datasources.register import Snapshot, take_snapshot
from cengine.engines.duckdb import DuckDB
from cengine.expressions.filters import parse_filter, with_columns
from cengine.preprocess.source import Rows
from cengine.sources import Parquet
from cengine.store.project import open_project

if TYPE_CHECKING:
    from bigquery_server import BigQueryServer
    from playwright.sync_api import Browser

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
def install_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Installs a package where Python finds it, for one test: `install_package("my-package", modules, entry_points)`.

    `modules` maps a path in the folder of packages to its text. A module that was imported from there is forgotten
    afterwards: two tests' packages may have one name.
    """
    folder = tmp_path / "site"

    def install(name: str, modules: dict[str, str], entry_points: str, *, version: str = "1.0") -> Path:
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        files = {**modules, f"{info.name}/METADATA": metadata, f"{info.name}/entry_points.txt": entry_points}
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        monkeypatch.syspath_prepend(str(folder))
        return folder

    yield install
    for name, module in list(sys.modules.items()):
        places = [getattr(module, "__file__", None), *(getattr(module, "__path__", None) or ())]
        if any(place and Path(place).is_relative_to(folder) for place in places):
            del sys.modules[name]


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    program = os.environ.get("CENGINE_CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip(
            "there is no Chromium: install it (Debian: apt-get install chromium) or name it in CENGINE_CHROMIUM"
        )
    with driver.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()
