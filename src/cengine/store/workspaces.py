"""Workspaces: datasources and pipelines kept apart in one store. Artifacts are shared by their content, whoever made them."""

from __future__ import annotations

from typing import Any

from cengine.errors import StoreError
from cengine.store.records import Records, now
from cengine.store.rows import WorkspaceRow


def create_workspace(records: Records, name: str) -> WorkspaceRow:
    """The record of a new workspace. Raises StoreError for a name that is taken or cannot be one."""
    if not name.strip() or name != name.strip() or name.isdigit() or not name.isprintable():
        raise StoreError(
            f"'{name}' cannot be a name: it must not be empty or a number, which would be read as an id, nor hold other than visible letters"
        )
    return records.workspaces.get(records.workspaces.insert(name=name, created_at=now()))


def workspace_facts(records: Records, workspace: WorkspaceRow) -> dict[str, Any]:
    """What a workspace holds: id, name, the numbers of its datasources, pipelines and runs, when it was made."""
    records = records.everywhere()
    pipelines = {row.id for row in records.pipelines.all(workspace_id=workspace.id)}
    return {
        "id": workspace.id,
        "name": workspace.name,
        "datasources": len(records.datasources.all(workspace_id=workspace.id)),
        "pipelines": len(pipelines),
        "runs": sum(run.pipeline_id in pipelines for run in records.runs.all()),
        "created": workspace.created_at[:19].replace("T", " "),
    }
