"""The rows of the records, one class a table; a test compares their fields with the columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class WorkspaceRow:
    """A workspace."""

    id: int
    name: str
    created_at: str


@dataclass(frozen=True)
class DatasourceRow:
    """A datasource: the type and options of its source."""

    id: int
    name: str
    type: str
    options: dict[str, Any]
    created_at: str
    deleted_at: str | None
    workspace_id: int


@dataclass(frozen=True)
class SnapshotRow:
    """A snapshot of a datasource; `content` is its fingerprint."""

    id: int
    datasource_id: int
    number: int
    content: str
    num_rows: int
    num_columns: int
    num_bytes: int
    num_rejected: int
    created_at: str


@dataclass(frozen=True)
class PipelineRow:
    """A pipeline: a YAML as it was pushed, on a datasource."""

    id: int
    name: str
    config_name: str
    config_text: str
    datasource_id: int
    created_at: str
    workspace_id: int


@dataclass(frozen=True)
class RunRow:
    """A run: its state, its stages as plain data, what it cost. See `schema.py` for what the columns mean."""

    id: int
    pipeline_id: int
    number: int
    snapshot_id: int
    status: str
    completion_ratio: float
    compute_cost: float
    training_cost: float
    started_at: str
    ended_at: str | None
    process_id: int
    message: str | None
    stages: list[dict[str, Any]]
    process: str | None
    heartbeat_at: str | None
    attempt: int
    cancelled_at: str | None
    options: dict[str, Any]
    progress: dict[str, Any] | None
    saved_cost: float
    seconds: float | None
    config_text: str | None

    @property
    def key(self) -> str:
        """How the command line calls it: `1:2` is run 2 of pipeline 1."""
        return f"{self.pipeline_id}:{self.number}"
