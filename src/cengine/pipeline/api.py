"""What the command line and the Python API share: datasources, pipelines and runs as the records know them."""

from __future__ import annotations

import os
from typing import Any

from cengine.config.read import ConfigFile, parse_config
from cengine.errors import CengineError, SourceError, StoreError
from cengine.pipeline.execute import Run, StageRecord, execute
from cengine.pipeline.plan import Plan, default_memory_bytes
from cengine.pipeline.register import Report, Snapshot, read_snapshot, take_snapshot
from cengine.sources import SOURCES, FileSource
from cengine.store.project import Project, process_exists
from cengine.store.records import now

ACTIVE = "active_datasource"


def source_of(kind: str, options: dict[str, Any]) -> FileSource:
    """The source of a type's name and its options. Raises SourceError for an unknown type."""
    from pydantic import ValidationError

    if kind not in SOURCES:
        raise SourceError(f"unknown type of datasource '{kind}'", f"known types: {', '.join(SOURCES)}")
    try:
        source = SOURCES[kind].model_validate(options)
    except ValidationError as error:
        detail = error.errors()[0]
        raise SourceError(f"option '{'.'.join(map(str, detail['loc']))}' of {kind}: {detail['msg'].lower()}") from None
    assert isinstance(source, FileSource)
    return source


def register(project: Project, kind: str, *, allow_rejects: bool = False, memory_bytes: int | None = None, **options: Any) -> Snapshot:
    """A snapshot of a table in files, for the Python API: `register(project, "csv", path="trips*.csv")`."""
    return take_snapshot(
        project, source_of(kind, options), allow_rejects=allow_rejects, memory_bytes=memory_bytes or default_memory_bytes()
    )


# Datasources


def create_datasource(
    project: Project, name: str, source: FileSource, *, allow_rejects: bool, memory_bytes: int, threads: int | None, report: Report
) -> tuple[dict[str, Any], Snapshot]:  # fmt: skip
    """A new datasource with its first snapshot; it becomes the active one."""
    if any(row["name"] == name for row in project.records.all("datasources")):
        raise StoreError(
            f"there is a datasource named '{name}' already", "choose another --name, or take a new snapshot: cengine datasource commit"
        )
    if not name or name.isdigit():
        raise StoreError(f"'{name}' cannot be a name: it must not be empty or a number, which would be read as an id")
    snapshot = take_snapshot(project, source, allow_rejects=allow_rejects, memory_bytes=memory_bytes, threads=threads, report=report)
    options = {**source.model_dump(mode="json"), "path": absolute(source.path), "allow_rejects": allow_rejects}
    row_id = project.records.insert("datasources", name=name, type=source.name, options=options, created_at=now())
    _record_snapshot(project, row_id, snapshot)
    project.records.set_setting(ACTIVE, row_id)
    return project.records.get("datasources", row_id), snapshot


def commit_datasource(
    project: Project, datasource: dict[str, Any], *, memory_bytes: int, threads: int | None, report: Report
) -> tuple[dict[str, Any], bool]:
    """The newest snapshot's record, and whether it is new: files that hold the same give the one there is."""
    options = dict(datasource["options"])
    allow_rejects = options.pop("allow_rejects")
    snapshot = take_snapshot(
        project, source_of(datasource["type"], options), allow_rejects=allow_rejects, memory_bytes=memory_bytes, threads=threads, report=report
    )  # fmt: skip
    newest = newest_snapshot(project, datasource)
    if newest["content"] == snapshot.content:
        return newest, False
    return _record_snapshot(project, datasource["id"], snapshot), True


def active_datasource(project: Project) -> dict[str, Any]:
    """The datasource that commands mean when none is named."""
    rows = project.records.all("datasources")
    active = project.records.setting(ACTIVE)
    for row in rows:
        if row["id"] == active:
            return row
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


def delete_datasource(project: Project, datasource: dict[str, Any]) -> int:
    """Forgets a datasource; its snapshots go where no other datasource has the same content. Gives the bytes freed."""
    project.records.update("datasources", datasource["id"], deleted_at=now())
    alive = {row["id"] for row in project.records.all("datasources")}
    used = {row["content"] for row in project.records.all("snapshots") if row["datasource_id"] in alive}
    freed = 0
    for row in project.records.all("snapshots", datasource_id=datasource["id"]):
        if row["content"] not in used:
            project.artifacts.remove("snapshot", row["content"])
            freed += row["num_bytes"]
    return freed


def _record_snapshot(project: Project, datasource_id: int, snapshot: Snapshot) -> dict[str, Any]:
    return dict(project.records.insert_numbered(
        "snapshots", "datasource_id", datasource_id=datasource_id, content=snapshot.content,
        num_rows=snapshot.schema.num_rows, num_columns=len(snapshot.schema.columns), num_bytes=snapshot.num_bytes,
        num_rejected=snapshot.num_rejected, created_at=now(),
    ))  # fmt: skip


# Pipelines and runs


def push_pipeline(project: Project, name: str, file: ConfigFile, datasource: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The pipeline's record and whether it is new; the same text under the same name is the one there is."""
    if not name or name.isdigit() or ":" in name:
        raise StoreError(f"'{name}' cannot be a name: it must not be empty or a number, which would be read as an id, nor hold a colon")
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


def settled_runs(project: Project) -> list[dict[str, Any]]:
    """All runs; those recorded as running whose process is gone become Interrupted."""
    runs = project.records.all("runs")
    for run in runs:
        if run["status"] == "Running" and not process_exists(run["process_id"]):
            run.update(status="Interrupted", message="the process ended without a word", ended_at=run["ended_at"] or now())
            project.records.update("runs", run["id"], status=run["status"], message=run["message"], ended_at=run["ended_at"])
    return runs


def pipeline_config(pipeline: dict[str, Any]) -> ConfigFile:
    """The configuration as it was pushed."""
    return parse_config(pipeline["config_text"], pipeline["config_name"])


def run_pipeline(pipeline: dict[str, Any], plan: Plan, snapshot_id: int) -> tuple[dict[str, Any], Run]:
    """Executes a plan as a recorded run, which says the truth about its end whatever the end is."""
    records = plan.project.records
    record = dict(records.insert_numbered(
        "runs", "pipeline_id", pipeline_id=pipeline["id"], snapshot_id=snapshot_id, status="Running", completion_ratio=0.0,
        compute_cost=0.0, training_cost=0.0, started_at=now(), process_id=os.getpid(), stages=_planned(plan),
    ))  # fmt: skip

    def recorded(share: float, stages: list[StageRecord]) -> None:
        records.update("runs", record["id"], completion_ratio=share, stages=_stages(stages, plan))

    try:
        run = execute(plan, recorded)
    except KeyboardInterrupt:
        records.update("runs", record["id"], status="Interrupted", ended_at=now(), message="interrupted at the terminal")
        raise
    except CengineError as error:
        records.update("runs", record["id"], status="Failed", ended_at=now(), message=error.render())
        raise
    except BaseException as error:
        records.update("runs", record["id"], status="Failed", ended_at=now(), message=f"{type(error).__name__}: {error}")
        raise
    records.update("runs", record["id"], status="Succeeded", completion_ratio=1.0, ended_at=now(), stages=_stages(list(run.stages), plan))
    return records.get("runs", record["id"]), run


def finished_run(project: Project, pipeline: dict[str, Any], number: int | None) -> tuple[dict[str, Any], Run]:
    """A run that succeeded, by number or the newest one, with its folders."""
    runs = project.records.all("runs", pipeline_id=pipeline["id"])
    chosen = [run for run in runs if run["status"] == "Succeeded" and number in (None, run["number"])]
    if not chosen:
        what = f"run {number} of pipeline '{pipeline['name']}'" if number else f"pipeline '{pipeline['name']}'"
        state = f"the newest run is {runs[-1]['status'].lower()}" if runs else "it was never run"
        raise StoreError(f"{what} has no results: {state}", f"run it: cengine pipeline run {pipeline['id']}")
    record = chosen[-1]
    folders = {}
    for stage in record["stages"]:
        artifact = project.artifacts.find(stage["name"], stage["fingerprint"])
        if artifact is None:
            raise StoreError(f"the stored result of {stage['name']} is gone", f"run it again: cengine pipeline run {pipeline['id']}")
        folders[stage["name"]] = artifact.folder
    stages = tuple(StageRecord(s["name"], s["fingerprint"], s["reused"], s["seconds"], s["saved_seconds"]) for s in record["stages"])
    return record, Run(stages, folders)


def absolute(path: str) -> str:
    """The path independent of the working folder; the datasource is committed again from anywhere."""
    from pathlib import Path

    return str(Path(path).expanduser().absolute())


def _planned(plan: Plan) -> list[dict[str, Any]]:
    return [{"name": s.name, "fingerprint": s.fingerprint, "reused": s.stored_seconds is not None, "seconds": None, "saved_seconds": None}
            for s in plan.stages]  # fmt: skip


def _stages(done: list[StageRecord], plan: Plan) -> list[dict[str, Any]]:
    finished = [{"name": s.name, "fingerprint": s.fingerprint, "reused": s.reused, "seconds": s.seconds, "saved_seconds": s.saved_seconds}
                for s in done]  # fmt: skip
    return finished + _planned(plan)[len(done) :]
