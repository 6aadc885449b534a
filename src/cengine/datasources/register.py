"""Registering a table: what a source holds becomes an immutable snapshot, or is referred to where it stays."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cengine.datasources.ingest import Report, ingest
from cengine.digests import fingerprint
from cengine.engines.duckdb import DuckDB
from cengine.errors import SourceError
from cengine.sources.source import CopiedSource, RemoteSource, Source, State
from cengine.store.artifacts import Artifact
from cengine.store.disk import disk_errors
from cengine.store.project import Project
from cengine.tables import TableSchema

# 2: types of texts are settled by all cells.
SNAPSHOT_VERSION = 2
_numbers = itertools.count(1)
# Told a sentence for people: a call is tried again, for one.
Say = Callable[[str], None]


@dataclass(frozen=True)
class Snapshot:
    """A stored table: its Parquet parts in order, its schema, the identity of its content.

    A table that stays where it is has no parts; `remote` is what its source needs to read it again in the same state.
    `notes` are sentences for people: what should be known of how it was read.
    """

    content: str
    folder: Path
    schema: TableSchema
    renamed: dict[str, str]
    num_bytes: int
    num_rejected: int
    source_bytes: int
    remote: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_here(self) -> bool:
        """Whether its rows are stored here; else they stay in a warehouse (see `table.py`)."""
        return self.remote is None

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(sorted(self.folder.glob("part-*.parquet")))


def read_snapshot(project: Project, content: str) -> Snapshot:
    """The snapshot of this content. Raises SourceError where it is gone."""
    artifact = _artifact(project, content)
    data = artifact.details
    return Snapshot(
        content,
        artifact.folder,
        TableSchema.from_json(data["schema"]),
        data["renamed"],
        artifact.num_bytes,
        data["num_rejected"],
        data["source_bytes"],
        data.get("remote"),
        tuple(data.get("notes", ())),
    )


def _artifact(project: Project, content: str) -> Artifact:
    """The snapshot's artifact, marked as used now."""
    artifact = project.artifacts.find("snapshot", content)
    if artifact is None:
        raise SourceError(
            "the datasource's snapshot is not stored any more", "take a new one: cengine datasource commit"
        )
    project.artifacts.touch("snapshot", content)
    return artifact


def take_snapshot(
    project: Project,
    source: Source,
    *,
    memory_bytes: int,
    threads: int | None = None,
    report: Report = lambda phase, share, rows: None,
    say: Say = lambda text: None,
) -> Snapshot:
    """The snapshot of what the source holds now; one of the same content is taken up again.

    Raises SourceError for what cannot be read, and for rows that do not fit their columns where they are not allowed;
    then nothing is stored.
    """
    if isinstance(source, RemoteSource):
        return read_snapshot(project, _referred(project, source, say))
    assert isinstance(source, CopiedSource)
    state = source.state(lambda share: report("hash", share, 0))

    def copied(folder: Path) -> dict[str, Any]:
        with DuckDB(
            project.scratch,
            memory_bytes=memory_bytes,
            threads=threads,
            folders=project.table_folders,
            files=state.files if state is not None else (),
        ) as engine:
            return ingest(
                engine, source, state, folder, report, memory_bytes=memory_bytes, threads=threads or os.cpu_count() or 1
            )

    if state is not None and state.is_content:
        snapshot = read_snapshot(project, _copied_once(project, source, state, copied))
    else:
        snapshot = read_snapshot(project, _copied_anyway(project, source, state, copied))
    for note in snapshot.notes:
        say(note)
    return snapshot


def _copied_once(project: Project, source: CopiedSource, state: State, copied: Callable[[Path], dict[str, Any]]) -> str:
    """The identity of a snapshot that is known before reading: nothing is read where it is stored."""
    written = source.model_dump(mode="json")
    options = {key: value for key, value in written.items() if key not in ("path", "allow_rejects")}
    content = fingerprint(
        {
            "version": SNAPSHOT_VERSION,
            "files": state.data,
            "type": source.name,
            "options": options,
            "allow_rejects": getattr(source, "allow_rejects", False),
        }
    )
    with project.artifacts.building("snapshot", content) as building:
        if building is not None:
            building.details.update(copied(building.folder))
    return content


def _copied_anyway(
    project: Project, source: CopiedSource, state: State | None, copied: Callable[[Path], dict[str, Any]]
) -> str:
    """The identity of a snapshot that its rows give: equal rows give the one there is.

    Where the source can tell its state, the rows of a state that was read before are not read again.
    """
    known = (
        None
        if state is None
        else fingerprint({"version": SNAPSHOT_VERSION, "source": source.identity(), "state": state.data})
    )
    if known is not None and (reading := project.artifacts.find("reading", known)) is not None:
        content: str = reading.details["content"]
        if project.artifacts.find("snapshot", content) is not None:
            return content
    with _folder(project) as folder:
        details = copied(folder)
        after = source.state(lambda share: None) if state is not None else None
        unchanged = (after and after.data) == (state and state.data)
        if not unchanged and state is not None and state.must_hold:
            raise SourceError(
                f"{source.place} changed while it was read; nothing was registered", "run the command again"
            )
        content = fingerprint(
            {
                "version": SNAPSHOT_VERSION,
                **{key: details[key] for key in ("schema", "renamed", "num_rejected")},
                "digest": details.pop("digest"),
            }
        )
        with project.artifacts.building("snapshot", content) as building:
            if building is not None:
                for file in sorted(folder.iterdir()):
                    shutil.move(file, building.folder / file.name)
                building.details.update(details)
    if known is not None and unchanged:
        project.artifacts.remove("reading", known)  # of a snapshot that is gone
        with project.artifacts.building("reading", known) as building:
            if building is not None:
                building.details["content"] = content
    return content


def _referred(project: Project, source: RemoteSource, say: Say) -> str:
    """The identity of a snapshot that holds no rows, only what the table is like and how it is found again."""
    table = source.look(say)
    schema = TableSchema(table.columns, table.num_rows)
    # Who asks and who pays is no part of what the table holds.
    content = fingerprint(
        {"version": SNAPSHOT_VERSION, "type": source.name, "state": table.state, "schema": schema.to_json()}
    )
    with project.artifacts.building("snapshot", content) as building:
        if building is not None:
            options = source.model_dump(mode="json")
            remote = {"type": source.name, "options": options, "state": table.state, "seen": table.seen}
            building.details.update(
                schema=schema.to_json(), renamed={}, num_rejected=0, source_bytes=table.num_bytes, remote=remote
            )
    return content


@contextlib.contextmanager
def _folder(project: Project) -> Iterator[Path]:
    """A folder for parts whose identity is not known yet."""
    folder = project.scratch / f"incoming-{next(_numbers)}"
    with disk_errors():
        folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # an engine is at work there
            folder.parent.rmdir()
