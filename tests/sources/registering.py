"""Registering a table from anywhere, and the rows that came of it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cengine.pipeline.api import source_of
from cengine.pipeline.register import Snapshot, take_snapshot
from cengine.store.project import Project

MEMORY_BYTES = 2**29


def register(project: Project, kind: str, *, threads: int = 2, **options: object) -> Snapshot:
    """The snapshot of a source's table as it is now."""
    return take_snapshot(project, source_of(kind, options), memory_bytes=MEMORY_BYTES, threads=threads)


def stored(snapshot: Snapshot) -> pa.Table:
    """The rows with their identities."""
    return pa.concat_tables([pq.read_table(file) for file in snapshot.files], promote_options="permissive")


def rows(snapshot: Snapshot, by: str) -> list[dict]:
    """The rows without their identities, in the order of a column."""
    return stored(snapshot).drop_columns(["_row_id"]).sort_by(by).to_pylist()


def kinds(snapshot: Snapshot) -> dict[str, str | None]:
    """The kind of each column."""
    return {column.name: column.kind for column in snapshot.schema.columns}


def everything_in(folder: Path) -> bytes:
    """The bytes of all files below, one after the other: what must never be kept is not among them."""
    return b"\n".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())
