"""`cengine datasource create TYPE`: one class a type, one line in the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cengine.sources.table import SOURCES

if TYPE_CHECKING:
    from cengine.sources.csv_files import Csv
    from cengine.sources.json_files import Json
    from cengine.sources.parquet_files import Parquet

__all__ = ["SOURCES", "Csv", "Json", "Parquet"]


def __getattr__(name: str) -> Any:
    # `create --help` reads the table and must not load what is listed in it.
    if name in __all__:
        return SOURCES[name.lower()]
    raise AttributeError(f"module 'cengine.sources' has no attribute '{name}'")
