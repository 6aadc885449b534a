"""Pipelines: configurations that were pushed, on the datasource they run on."""

from __future__ import annotations

import re

from cengine.config.read import ConfigFile, parse_config
from cengine.errors import StoreError
from cengine.store.names import check_name, numbered
from cengine.store.project import Project
from cengine.store.records import now
from cengine.store.rows import DatasourceRow, PipelineRow, RunRow


def push_pipeline(project: Project, name: str, file: ConfigFile, datasource: DatasourceRow) -> tuple[PipelineRow, bool]:
    """The pipeline's record and whether it is new; the same text under the same name is the one there is."""
    check_name(name, refused=":")
    records, text = project.records, file.document.text
    if not any(row.name == name for row in records.pipelines.all()):
        try:
            row_id = records.pipelines.insert(
                name=name,
                config_name=file.document.name,
                config_text=text,
                datasource_id=datasource.id,
                created_at=now(),
            )
            return records.pipelines.get(row_id), True
        except StoreError:
            pass  # another process took the name just now, perhaps for the same
    row = records.pipelines.find(name)
    if row.config_text == text and row.datasource_id == datasource.id:
        return row, False
    raise StoreError(
        f"there is a pipeline named '{name}' already (id {row.id}), with another configuration", "choose another name"
    )


def pipeline_of(project: Project, file: ConfigFile, datasource: DatasourceRow, default: str) -> PipelineRow:
    """The newest pipeline of this configuration on this datasource, pushed where there is none, as `default` or `default-2`, ..."""
    stem = re.sub(r"[^\w.-]+", "_", default).strip("_.-") or "pipeline"
    names = numbered(f"pipeline_{stem}" if stem.isdigit() else stem)
    while True:
        rows, name = project.records.pipelines.all(), next(names)
        for row in reversed(rows):
            if row.config_text == file.document.text and row.datasource_id == datasource.id:
                return row
        if any(row.name == name for row in rows):
            continue
        try:
            return push_pipeline(project, name, file, datasource)[0]
        except StoreError:  # perhaps another process took the name just now
            if not any(row.name == name for row in project.records.pipelines.all()):
                raise


def pipeline_config(pipeline: PipelineRow) -> ConfigFile:
    """The configuration as it was pushed."""
    return parse_config(pipeline.config_text, pipeline.config_name)


def run_config(pipeline: PipelineRow, run: RunRow) -> ConfigFile:
    """The configuration that a run was made with: its own, or its pipeline's where an older version made it."""
    if run.config_text is None:
        return pipeline_config(pipeline)
    return parse_config(run.config_text, f"{pipeline.config_name}, run {run.number}")


def pipelines_on(project: Project, datasource: DatasourceRow) -> list[PipelineRow]:
    """The pipelines that run on a datasource, of all workspaces."""
    return [row for row in project.store.pipelines.all() if row.datasource_id == datasource.id]
