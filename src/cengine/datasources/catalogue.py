"""Datasources as the records know them: created, found, given new snapshots, deleted."""

from __future__ import annotations

from cengine.datasources.ingest import Report
from cengine.datasources.origins import kept_options, source_of_record
from cengine.datasources.register import Say, Snapshot, read_snapshot, take_snapshot
from cengine.errors import CengineError, StoreError
from cengine.names import former_name
from cengine.sources.source import Source
from cengine.store.names import check_name, numbered
from cengine.store.project import Project
from cengine.store.records import now
from cengine.store.rows import DatasourceRow, SnapshotRow
from cengine.tables import TableSchema

ACTIVE = "active_datasource"


def registered(project: Project, source: Source, name: str | None, default: str, memory_bytes: int) -> Snapshot:
    """The snapshot of what the source holds now, as the newest one of its datasource, which becomes the active one.

    That is the one of the same place, and of this name where one is given. Where there is none it is made, called `default` (or
    `default-2`, ...) where no name is given. Raises StoreError for a name that belongs to another place.
    """
    taken = [row for row in project.records.datasources.all() if row.name == name]
    if name is not None and not (taken and _is_of(taken[0], source)):
        _check_free(project, name)
    snapshot = take_snapshot(project, source, memory_bytes=memory_bytes)
    row_id = _datasource_of(project, source, name, default)
    newest = project.records.snapshots.last(datasource_id=row_id)
    if newest is None or newest.content != snapshot.content:
        _record_snapshot(project, row_id, snapshot)
    project.set_own_setting(ACTIVE, row_id)
    return snapshot


def _datasource_of(project: Project, source: Source, name: str | None, default: str) -> int:
    """The id of the newest datasource of this place, made where there is none."""
    for free in numbered(default) if name is None else (name,):
        rows = project.records.datasources.all()
        for row in reversed(rows):
            if _is_of(row, source) and name in (None, row.name):
                return int(row.id)
        if any(row.name == free for row in rows):
            continue
        try:
            return project.records.datasources.insert(
                name=free, type=source.name, options=kept_options(source), created_at=now()
            )
        except StoreError:  # perhaps another process took the name just now, perhaps for the same place
            if not any(row.name == free for row in project.records.datasources.all()):
                raise
    raise _taken(free)


def _is_of(datasource: DatasourceRow, source: Source) -> bool:
    return datasource.type == source.name and dict(datasource.options) == kept_options(source)


def _check_free(project: Project, name: str) -> None:
    if any(row.name == name for row in project.records.datasources.all()):
        raise _taken(name)
    check_name(name)


def _taken(name: str) -> StoreError:
    return StoreError(
        f"there is a datasource named '{name}' already",
        "choose another --name, or take a new snapshot: cengine datasource commit",
    )


def create_datasource(
    project: Project,
    name: str,
    source: Source,
    *,
    memory_bytes: int,
    threads: int | None,
    report: Report,
    say: Say = lambda text: None,
) -> tuple[DatasourceRow, Snapshot]:
    """A new datasource with its first snapshot; it becomes the active one."""
    _check_free(project, name)
    snapshot = take_snapshot(project, source, memory_bytes=memory_bytes, threads=threads, report=report, say=say)
    options = kept_options(source)
    row_id = project.records.datasources.insert(name=name, type=source.name, options=options, created_at=now())
    _record_snapshot(project, row_id, snapshot)
    project.set_own_setting(ACTIVE, row_id)
    return project.records.datasources.get(row_id), snapshot


def commit_datasource(
    project: Project,
    datasource: DatasourceRow,
    *,
    memory_bytes: int,
    threads: int | None,
    report: Report,
    say: Say = lambda text: None,
) -> tuple[SnapshotRow, bool]:
    """The newest snapshot's record, and whether it is new: files that hold the same give the one there is."""
    snapshot = take_snapshot(
        project, source_of_record(datasource), memory_bytes=memory_bytes, threads=threads, report=report, say=say
    )
    newest = newest_snapshot(project, datasource)
    if newest.content == snapshot.content:
        return newest, False
    return _record_snapshot(project, datasource.id, snapshot), True


def read_schema(project: Project, datasource: DatasourceRow) -> TableSchema | None:
    """The columns of a datasource's newest snapshot, None where that is not stored any more."""
    try:
        return snapshot_of(project, datasource).schema
    except CengineError:
        return None


def respelled(before: TableSchema | None, after: TableSchema | None) -> list[str]:
    """What is to be said of columns that a newer snapshot calls otherwise: version 0.1 wrote `birth_year` for `birth year`.

    A YAML may go on with the former name, but where that is another column's now, or where it may be any of several.
    """
    if before is None or after is None:
        return []
    lines = []
    for name in before.names:
        if name in after:
            alike = [
                other for other in after.names if other != name and former_name(other) == name and other not in before
            ]
            lines += [f"  '{name}' is a column of its own now; what was called so may be '{other}'" for other in alike]
        elif (found := after.lookup.find(name)) is not None:
            lines.append(f"  {name} -> {found} (as in the file; a YAML may go on writing {name})")
        elif several := after.lookup.candidates(name):
            lines.append(
                f"  '{name}' may now be any of {', '.join(repr(other) for other in several)}; a YAML has to name one of them"
            )
    return lines


def active_datasource(project: Project) -> DatasourceRow:
    """The datasource that commands mean when none is named."""
    rows = project.records.datasources.all()
    active = project.own_setting(ACTIVE)
    for row in rows:
        if row.id == active:
            return row
    if len(rows) == 1 and active is None:  # of a colleague, in a store that is shared
        return rows[0]
    if rows:
        raise StoreError("no datasource is active", "choose one: cengine datasource set NAME")
    raise StoreError(
        "there are no datasources yet", "register one: cengine datasource create csv --name NAME --path FILE"
    )


def find_datasource(project: Project, key: str | None) -> DatasourceRow:
    """The datasource of an id or name; the active one where none is given."""
    return active_datasource(project) if key is None else project.records.datasources.find(key)


def newest_snapshot(project: Project, datasource: DatasourceRow) -> SnapshotRow:
    """The record of a datasource's newest snapshot."""
    row = project.records.snapshots.last(datasource_id=datasource.id)
    if row is None:
        raise StoreError(
            f"datasource '{datasource.name}' has no snapshot", f"take one: cengine datasource commit {datasource.id}"
        )
    return row


def snapshot_of(project: Project, datasource: DatasourceRow) -> Snapshot:
    """A datasource's newest snapshot."""
    return read_snapshot(project, newest_snapshot(project, datasource).content)


def owner_of(project: Project, snapshot: Snapshot) -> tuple[DatasourceRow, int]:
    """The datasource that a snapshot is of, the newest where several hold the same, and the id of the snapshot's record.

    Raises StoreError where there is none any more.
    """
    rows = {row.id: row for row in project.records.datasources.all()}
    for found in reversed(project.records.snapshots.all(content=snapshot.content)):
        if found.datasource_id in rows:
            return rows[found.datasource_id], found.id
    raise StoreError(
        "the table of this plan is no datasource of the project any more", "register it again: cengine.register"
    )


def delete_datasource(project: Project, datasource: DatasourceRow) -> int:
    """Forgets a datasource; its snapshots go where no other datasource has the same content. Gives the bytes freed."""
    project.records.datasources.update(datasource.id, deleted_at=now())
    alive = {
        row.id for row in project.store.datasources.all()
    }  # of all workspaces: they share what has the same content
    used = {row.content for row in project.records.snapshots.all() if row.datasource_id in alive}
    freed = 0
    for row in project.records.snapshots.all(datasource_id=datasource.id):
        if row.content not in used:
            project.artifacts.remove_shared("snapshot", row.content)
            # The snapshot of a table that stays in its warehouse takes almost no room.
            stored = project.artifacts.find("snapshot", row.content, whole=False)
            freed += stored.num_bytes if stored is not None else 0
            project.artifacts.remove("snapshot", row.content)
    return freed


def _record_snapshot(project: Project, datasource_id: int, snapshot: Snapshot) -> SnapshotRow:
    return project.records.snapshots.insert_numbered(
        datasource_id=datasource_id,
        content=snapshot.content,
        num_rows=snapshot.schema.num_rows,
        num_columns=len(snapshot.schema.columns),
        num_bytes=snapshot.num_bytes if snapshot.is_here else snapshot.source_bytes,
        num_rejected=snapshot.num_rejected,
        created_at=now(),
    )
