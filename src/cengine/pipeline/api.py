"""What the command line and the Python API share: datasources and pipelines as the records know them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cengine.config.read import ConfigFile, parse_config
from cengine.errors import CengineError, SourceError, StoreError, near_miss
from cengine.names import former_name
from cengine.pipeline.plan import default_memory_bytes
from cengine.pipeline.register import Report, Say, Snapshot, read_snapshot, take_snapshot
from cengine.sources import SOURCES
from cengine.sources.addresses import hidden
from cengine.sources.source import Option, Source
from cengine.store.project import Project
from cengine.store.records import now
from cengine.tables import TableSchema

ACTIVE = "active_datasource"


def source_of(kind: str, options: dict[str, Any]) -> Source:
    """The source of a type's name and its options. Raises SourceError for an unknown type."""
    from pydantic import ValidationError

    try:
        source_class = SOURCES[kind]
    except KeyError:
        hint = (f'a file is registered by its type: register(project, "csv", path="{kind}")',) if Path(kind).suffix else ()
        raise SourceError(
            f"unknown type of datasource '{kind}'", *near_miss(kind, SOURCES), *hint, f"known types: {', '.join(SOURCES)}"
        ) from None
    try:
        return source_class.model_validate(options)
    except ValidationError as error:
        # Without the value: it may be a password.
        detail = error.errors(include_input=False, include_url=False)[0]
        place = f"option '{'.'.join(map(str, detail['loc']))}' of {kind}" if detail["loc"] else kind
        said = detail["msg"].removeprefix("Value error, ")
        raise SourceError(f"{place}: {said if said != detail['msg'] else said.lower()}") from None


def kept_options(source: Source) -> dict[str, Any]:
    """The options as records keep them: paths do not depend on the working folder."""
    paths = [name for name, field in type(source).model_fields.items() if any(isinstance(m, Option) and m.is_path for m in field.metadata)]
    options: dict[str, Any] = source.model_dump(mode="json")
    return options | {name: absolute(options[name]) for name in paths if options[name] is not None}


def source_of_record(datasource: dict[str, Any]) -> Source:
    """The source a datasource was registered from. Raises SourceError for a table of a Python program's memory."""
    if datasource["type"] == "frame":
        raise SourceError(
            f"datasource '{datasource['name']}' came from a Python program; a new snapshot of it is taken there",
            f"cengine.register(project, table, name='{datasource['name']}')",
        )
    options = dict(datasource["options"])
    if datasource["type"] in ("parquet", "json"):
        options.pop("allow_rejects", None)  # kept for all files by versions before 0.2
    return source_of(datasource["type"], options)


def place_of(datasource: dict[str, Any]) -> str:
    """Where a datasource's table is, as far as that can be told without the package that its source may come from."""
    try:
        return source_of_record(datasource).place
    except SourceError:
        return hidden(str(datasource["options"].get("path") or datasource["type"]))


def absolute(path: str) -> str:
    """The path independent of the working folder; an address (s3://...) as it is."""
    return path if "://" in path else str(Path(path).expanduser().absolute())


def register(project: Project, kind: Any, *, name: str | None = None, memory_bytes: int | None = None, **options: Any) -> Snapshot:
    """A snapshot of a table, for the Python API.

    `kind` is a type with its options, `register(project, "csv", path="trips*.csv")`, or a table in memory itself: a pandas or polars
    DataFrame, a pyarrow table, anything with `__arrow_c_stream__`. With `name` it becomes a datasource, as of the command
    line; one of this name that came of the same place gets a new snapshot. Raises SourceError, StoreError.
    """
    from cengine.sources.frames import Frame

    if isinstance(kind, str):
        source = source_of(kind, options)
    elif options:
        raise SourceError(f"a table in memory has no option '{next(iter(options))}'", "known: name, memory_bytes")
    else:
        source = Frame.of(kind)
    memory_bytes = memory_bytes or default_memory_bytes()
    if name is None:
        return take_snapshot(project, source, memory_bytes=memory_bytes)
    return _registered(project, name, source, memory_bytes)


def _registered(project: Project, name: str, source: Source, memory_bytes: int) -> Snapshot:
    """The snapshot of a datasource, new or the newest one of the same place."""
    known = next((row for row in project.records.all("datasources") if row["name"] == name), None)
    if known is None or known["type"] != source.name or dict(known["options"]) != kept_options(source):
        return create_datasource(project, name, source, memory_bytes=memory_bytes, threads=None, report=lambda phase, share, rows: None)[1]
    snapshot = take_snapshot(project, source, memory_bytes=memory_bytes)
    newest = project.records.last("snapshots", datasource_id=known["id"])
    if newest is None or newest["content"] != snapshot.content:
        _record_snapshot(project, known["id"], snapshot)
    project.set_own_setting(ACTIVE, known["id"])
    return snapshot


def check_name(name: str, refused: str = "") -> None:
    """Raises StoreError for what cannot be the name of a datasource or pipeline; `refused` are characters that mean something there."""
    if not name.strip() or name.isdigit():
        raise StoreError(f"'{name}' cannot be a name: it must not be empty or a number, which would be read as an id")
    if wrong := next((c for c in name if c in refused or not c.isprintable()), None):
        what = "a colon" if wrong == ":" else f"the character {wrong!a}"
        raise StoreError(f"{ascii(name) if not name.isprintable() else repr(name)} cannot be a name: it must not hold {what}",
                         "choose a name of letters, digits and signs that can be seen")  # fmt: skip


# Datasources


def default_name(kind: str, options: dict[str, Any]) -> str:
    """What a datasource is called that nobody gave a name: as its file, folder or table. Raises StoreError where that gives none."""
    path, table = str(options.get("path") or ""), str(options.get("table") or "")
    parts = [part for part in (absolute(path) if path else "").split("/") if part]
    # A glob of nothing but wildcards is called as its folder.
    stems = (re.sub(r"(\.[A-Za-z]{1,8})?(\.(gz|zst|zip))?$", "", re.sub(r"[*?]+|\[.*?\]", "", part)) for part in reversed(parts))
    stem = next((stem for stem in stems if stem), "") if path else table.replace('"', "").rpartition(".")[2]
    name = re.sub(r"[^\w.-]+", "_", stem).strip("_.-")
    if not name:
        raise StoreError(f"the table's place gives no name for the datasource of type {kind}", "choose one: --name NAME")
    return f"table_{name}" if name.isdigit() else name


def create_datasource(
    project: Project, name: str, source: Source, *, memory_bytes: int, threads: int | None, report: Report,
    say: Say = lambda text: None,
) -> tuple[dict[str, Any], Snapshot]:  # fmt: skip
    """A new datasource with its first snapshot; it becomes the active one."""
    if any(row["name"] == name for row in project.records.all("datasources")):
        raise StoreError(
            f"there is a datasource named '{name}' already", "choose another --name, or take a new snapshot: cengine datasource commit"
        )
    check_name(name)
    snapshot = take_snapshot(project, source, memory_bytes=memory_bytes, threads=threads, report=report, say=say)
    options = kept_options(source)
    row_id = project.records.insert("datasources", name=name, type=source.name, options=options, created_at=now())
    _record_snapshot(project, row_id, snapshot)
    project.set_own_setting(ACTIVE, row_id)
    return project.records.get("datasources", row_id), snapshot


def commit_datasource(
    project: Project, datasource: dict[str, Any], *, memory_bytes: int, threads: int | None, report: Report,
    say: Say = lambda text: None,
) -> tuple[dict[str, Any], bool]:  # fmt: skip
    """The newest snapshot's record, and whether it is new: files that hold the same give the one there is."""
    snapshot = take_snapshot(project, source_of_record(datasource), memory_bytes=memory_bytes, threads=threads, report=report, say=say)
    newest = newest_snapshot(project, datasource)
    if newest["content"] == snapshot.content:
        return newest, False
    return _record_snapshot(project, datasource["id"], snapshot), True


def read_schema(project: Project, datasource: dict[str, Any]) -> TableSchema | None:
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
            alike = [other for other in after.names if other != name and former_name(other) == name and other not in before]
            lines += [f"  '{name}' is a column of its own now; what was called so may be '{other}'" for other in alike]
        elif (found := after.lookup.find(name)) is not None:
            lines.append(f"  {name} -> {found} (as in the file; a YAML may go on writing {name})")
        elif several := after.lookup.candidates(name):
            lines.append(f"  '{name}' may now be any of {', '.join(repr(other) for other in several)}; a YAML has to name one of them")
    return lines


def active_datasource(project: Project) -> dict[str, Any]:
    """The datasource that commands mean when none is named."""
    rows = project.records.all("datasources")
    active = project.own_setting(ACTIVE)
    for row in rows:
        if row["id"] == active:
            return row
    if len(rows) == 1 and active is None:  # of a colleague, in a store that is shared
        return rows[0]
    if rows:
        raise StoreError("no datasource is active", "choose one: cengine datasource set NAME")
    raise StoreError("there are no datasources yet", "register one: cengine datasource create csv --name NAME --path FILE")


def find_datasource(project: Project, key: str | None) -> dict[str, Any]:
    """The datasource of an id or name; the active one where none is given."""
    return active_datasource(project) if key is None else project.records.find("datasources", key)


def newest_snapshot(project: Project, datasource: dict[str, Any]) -> dict[str, Any]:
    """The record of a datasource's newest snapshot."""
    row = project.records.last("snapshots", datasource_id=datasource["id"])
    if row is None:
        raise StoreError(f"datasource '{datasource['name']}' has no snapshot", f"take one: cengine datasource commit {datasource['id']}")
    return row


def snapshot_of(project: Project, datasource: dict[str, Any]) -> Snapshot:
    """A datasource's newest snapshot."""
    return read_snapshot(project, newest_snapshot(project, datasource)["content"])


def pipelines_on(project: Project, datasource: dict[str, Any]) -> list[dict[str, Any]]:
    """The pipelines that run on a datasource, of all workspaces."""
    return [row for row in project.store.all("pipelines") if row["datasource_id"] == datasource["id"]]


def delete_datasource(project: Project, datasource: dict[str, Any]) -> int:
    """Forgets a datasource; its snapshots go where no other datasource has the same content. Gives the bytes freed."""
    project.records.update("datasources", datasource["id"], deleted_at=now())
    alive = {row["id"] for row in project.store.all("datasources")}  # of all workspaces: they share what has the same content
    used = {row["content"] for row in project.records.all("snapshots") if row["datasource_id"] in alive}
    freed = 0
    for row in project.records.all("snapshots", datasource_id=datasource["id"]):
        if row["content"] not in used:
            project.artifacts.remove_shared("snapshot", row["content"])
            stored = project.artifacts.find("snapshot", row["content"], whole=False)  # of a table that stays where it is, next to nothing
            freed += stored.num_bytes if stored is not None else 0
            project.artifacts.remove("snapshot", row["content"])
    return freed


def _record_snapshot(project: Project, datasource_id: int, snapshot: Snapshot) -> dict[str, Any]:
    return dict(project.records.insert_numbered(
        "snapshots", "datasource_id", datasource_id=datasource_id, content=snapshot.content,
        num_rows=snapshot.schema.num_rows, num_columns=len(snapshot.schema.columns),
        num_bytes=snapshot.num_bytes if snapshot.remote is None else snapshot.source_bytes,
        num_rejected=snapshot.num_rejected, created_at=now(),
    ))  # fmt: skip


# Pipelines


def push_pipeline(project: Project, name: str, file: ConfigFile, datasource: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The pipeline's record and whether it is new; the same text under the same name is the one there is."""
    check_name(name, refused=":")
    records, text = project.records, file.document.text
    if not any(row["name"] == name for row in records.all("pipelines")):
        try:
            row_id = records.insert(
                "pipelines", name=name, config_name=file.document.name, config_text=text, datasource_id=datasource["id"], created_at=now()
            )
            return records.get("pipelines", row_id), True
        except StoreError:
            pass  # another process took the name just now, perhaps for the same
    row = records.find("pipelines", name)
    if row["config_text"] == text and row["datasource_id"] == datasource["id"]:
        return row, False
    raise StoreError(f"there is a pipeline named '{name}' already (id {row['id']}), with another configuration", "choose another name")


def pipeline_config(pipeline: dict[str, Any]) -> ConfigFile:
    """The configuration as it was pushed."""
    return parse_config(pipeline["config_text"], pipeline["config_name"])
