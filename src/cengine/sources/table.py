"""The table of sources: one line each, loaded when it is asked for; those of other packages come by an entry point."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from cengine.errors import SourceError

if TYPE_CHECKING:
    from cengine.sources.source import Source

ENTRY_POINTS = "cengine.sources"


class Sources(Mapping[str, "type[Source]"]):
    """From a type's name to its class. `listed` has (module:class, what `create --help` says) for each of our own."""

    def __init__(self, listed: dict[str, tuple[str, str]]) -> None:
        self._listed = listed

    def __getitem__(self, name: str) -> type[Source]:
        if name in self._listed:
            module, _, attribute = self._listed[name][0].partition(":")
            found: type[Source] = getattr(importlib.import_module(module), attribute)
            return found
        if name in (plugins := _plugins()):
            return _load(name, plugins[name])
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        yield from self._listed
        yield from (name for name in _plugins() if name not in self._listed)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def about(self, name: str) -> str:
        """One line of help, told without loading the class."""
        return self._listed[name][1] if name in self._listed else f"From the package {_package(_plugins()[name])}."

    @property
    def own(self) -> tuple[str, ...]:
        """The names that no other package brings."""
        return tuple(self._listed)


def _plugins() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}


def _package(point: importlib.metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "?"


def _load(name: str, point: importlib.metadata.EntryPoint) -> type[Source]:
    """The class behind an entry point. Whatever is wrong with it is told with its package's name."""
    from cengine.sources.source import CopiedSource, RemoteSource

    def broken(reason: str) -> SourceError:
        return SourceError(f"the source '{name}' of the package {_package(point)} cannot be used: {reason}",
                           f"its entry point is {point.value}; upgrade the package or remove it")  # fmt: skip

    try:
        found = point.load()
    except Exception as error:  # another package's code: anything can come out of it
        raise broken(f"{type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, CopiedSource | RemoteSource)):
        raise broken("it is no class derived from cengine.sources.source.CopiedSource or RemoteSource")
    if missing := sorted(found.__abstractmethods__):
        raise broken(f"it does not define {', '.join(missing)}")
    if getattr(found, "name", None) != name:
        raise broken(f"its class calls itself '{getattr(found, 'name', None)}'")
    return found


SOURCES = Sources({
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
})  # fmt: skip
