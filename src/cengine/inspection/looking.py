"""Engines to look with at what is stored, within a memory limit that leaves room for other work."""

from __future__ import annotations

from cengine.datasources.table import Table
from cengine.engines.duckdb import DuckDB
from cengine.engines.engine import Engine
from cengine.memory import default_memory_bytes
from cengine.store.project import Project

LOOKING_MEMORY_BYTES = 2 * 2**30


def looking_engine(project: Project) -> DuckDB:
    """An engine here."""
    return DuckDB(project.scratch, memory_bytes=_memory_bytes(), folders=project.table_folders)


def engine_at(table: Table) -> Engine:
    """An engine where the table is."""
    return table.engine(_memory_bytes(), None)


def _memory_bytes() -> int:
    return min(default_memory_bytes(), LOOKING_MEMORY_BYTES)
