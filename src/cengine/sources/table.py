"""The table of sources: one line each, loaded when it is asked for; those of other packages come by an entry point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cengine.errors import SourceError
from cengine.plugins import Plugins

ENTRY_POINTS = "cengine.sources"


class Sources(Plugins[Any]):
    """From a type's name to its class. `listed` has (module:class, what `create --help` says) for each of our own."""

    def __init__(self, listed: Mapping[str, tuple[str, str]]) -> None:
        super().__init__(
            "source", ENTRY_POINTS, {name: place for name, (place, _) in listed.items()}, _unfit, SourceError
        )
        self._about = {name: about for name, (_, about) in listed.items()}

    def about(self, name: str) -> str:
        """One line of help, told without loading the class."""
        return self._about[name] if name in self._about else f"From the package {self.package(name)}."


def _unfit(found: object) -> str | None:
    from cengine.sources.source import CopiedSource, RemoteSource

    if isinstance(found, type) and issubclass(found, CopiedSource | RemoteSource):
        return None
    return "it is no class derived from cengine.sources.source.CopiedSource or RemoteSource"


SOURCES = Sources(
    {
        "csv": ("cengine.sources.csv_files:Csv", "Register a table in CSV files, plain or compressed."),
        "parquet": ("cengine.sources.parquet_files:Parquet", "Register a table in Parquet files."),
        "json": ("cengine.sources.json_files:Json", "Register a table in JSON files, plain or compressed."),
        "excel": ("cengine.sources.excel:Excel", "Register a sheet of an Excel workbook."),
        "postgres": ("cengine.sources.postgres:Postgres", "Register a table or a query of a PostgreSQL database."),
        "mysql": ("cengine.sources.mysql:Mysql", "Register a table or a query of a MySQL or MariaDB database."),
        "sqlite": ("cengine.sources.embedded:Sqlite", "Register a table or a query of an SQLite database."),
        "delta": ("cengine.sources.lake:Delta", "Register a Delta table."),
        "iceberg": ("cengine.sources.lake:Iceberg", "Register an Iceberg table."),
        "duckdb": ("cengine.sources.embedded:DuckDBFile", "Register a table or a query of a DuckDB database."),
        "bq": ("cengine.sources.bigquery:BigQueryTable", "Register a table of BigQuery; its rows stay there."),
    }
)
