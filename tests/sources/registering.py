"""Registering a table from anywhere, and the rows that came of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cengine.datasources.origins import source_of
from cengine.datasources.register import Snapshot, take_snapshot
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


def keyring_with(address: str, password: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives the processes started from now on a keyring, and puts a password into it with the command that messages name."""
    pytest.importorskip("keyring", reason="pip install 'cengine-ml[keyring]'")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "file_keyring.FileKeyring")
    monkeypatch.setenv("TEST_KEYRING", str(folder / "keyring.json"))
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    )
    subprocess.run([sys.executable, "-m", "keyring", "set", "cengine", address], input=password, text=True, check=True)
