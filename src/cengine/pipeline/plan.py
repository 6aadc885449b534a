"""Config + snapshot -> a plan: plain records of stages with fingerprints. Runs nothing."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cengine.config.checks import check, filters_of
from cengine.config.read import ConfigFile
from cengine.config.resolve import Resolved
from cengine.engines.duckdb import DuckDB
from cengine.errors import Problem
from cengine.pipeline.fingerprint import fingerprint
from cengine.pipeline.memory import default_memory_bytes
from cengine.pipeline.progress import Progress, Silent
from cengine.pipeline.register import Snapshot
from cengine.pipeline.stages import BASE_BYTES, STAGES, Context, Stage
from cengine.store.project import Project
from cengine.tables import TableSchema

RUN_VERSION = 1
BYTES_PER_CELL = 4


@dataclass(frozen=True)
class PlannedStage:
    """A stage of a plan: `stored_seconds` is what its stored result took to build, None where it is to run."""

    name: str
    fingerprint: str
    stored_seconds: float | None
    unit: str
    size: int


@dataclass(frozen=True)
class Plan:
    """What a run would do."""

    project: Project
    snapshot: Snapshot
    resolved: Resolved
    warnings: tuple[Problem, ...]
    stages: tuple[PlannedStage, ...]
    context: Context

    @property
    def saved_seconds(self) -> float:
        """The time that stored stages save."""
        return sum(stage.stored_seconds or 0.0 for stage in self.stages)


def plan(
    project: Project, file: ConfigFile, snapshot: Snapshot, *, memory_bytes: int | None = None, threads: int | None = None,
    progress: Progress | None = None,
) -> Plan:  # fmt: skip
    """The plan of running a configuration on a snapshot. Raises ConfigError where the two do not fit."""
    resolved, warnings = checked(project, file, snapshot.schema)
    context = Context(project, snapshot, resolved, tuple(filters_of(resolved, snapshot.schema)),
                      memory_bytes or default_memory_bytes(), threads, progress or Silent())  # fmt: skip
    stages: list[PlannedStage] = []
    folders: dict[str, Path] = {}
    parent = ""
    for stage in STAGES:
        parent = stage_fingerprint(stage, context, parent)
        artifact = project.artifacts.find(stage.name, parent)
        stages.append(PlannedStage(stage.name, parent, artifact.seconds if artifact else None, stage.unit, stage.size(context, folders)))
        if artifact is not None:
            folders[stage.name] = artifact.folder
    return Plan(project, snapshot, resolved, warnings, tuple(stages), context)


def stage_fingerprint(stage: Stage, context: Context, parent: str) -> str:
    """The identity of a stage's result after a stage before it of the fingerprint `parent`."""
    return fingerprint({"run": RUN_VERSION, "stage": stage.name, "version": stage.version, "parent": parent,
                        "settings": json.loads(json.dumps(stage.settings(context), default=str))})  # fmt: skip


def limited_fingerprint(whole: str, step: int) -> str:
    """The identity of a training that a limit ended at this step; `whole` is that of the training as it was meant."""
    return fingerprint({"run": RUN_VERSION, "training": whole, "limited_at": step})


def checked(project: Project, file: ConfigFile, schema: TableSchema) -> tuple[Resolved, tuple[Problem, ...]]:
    """The resolved configuration and warnings; filters are bound by an engine that reads nothing."""
    if not file.config.split.where:
        return check(file, schema)
    with DuckDB(project.scratch, memory_bytes=2**28, threads=1) as engine:
        return check(file, schema, engine.bind_error)


@dataclass(frozen=True)
class Resources:
    """What a run of this size should be given."""

    workers: int
    cpus_per_worker: int
    memory_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"workers": self.workers, "cpus_per_worker": self.cpus_per_worker, "memory_bytes": self.memory_bytes}


def proposed_resources(resolved: Resolved, schema: TableSchema) -> Resources:
    """One worker, this machine: its CPUs where the table is large, and memory for the encoded rows beside the programs."""
    cpus = os.cpu_count() or 1
    columns = len(resolved.features) + len(resolved.labels)
    matrices = schema.num_rows * columns * BYTES_PER_CELL
    wanted = BASE_BYTES + max(2**29, int(2.5 * matrices))
    return Resources(1, cpus if schema.num_rows > 100_000 else min(cpus, 2), min(wanted, default_memory_bytes()))
