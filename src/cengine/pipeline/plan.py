"""Config + snapshot -> a plan: plain records of stages with fingerprints. Runs nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cengine.config.checks import check, filters_of
from cengine.config.mapping import mapping_text
from cengine.config.read import ConfigFile
from cengine.config.resolve import Resolved, explicit
from cengine.datasources.register import Snapshot
from cengine.datasources.table import Scan, table_of
from cengine.digests import fingerprint
from cengine.errors import Problem
from cengine.memory import default_memory_bytes
from cengine.stages.context import BASE_BYTES, Context
from cengine.stages.progress import Progress, Silent
from cengine.stages.stage import Stage
from cengine.stages.table import stages_of
from cengine.stages.workers import Resources, workers_of
from cengine.stages.workers import proposed_resources as proposed
from cengine.store.project import Project
from cengine.tables import TableSchema

RUN_VERSION = 1


@dataclass(frozen=True)
class PlannedStage:
    """A stage of a plan: `stored_seconds` is what its stored result took to build, None where it is to run."""

    stage: Stage
    identity: dict[str, Any]
    stored_seconds: float | None
    size: int
    told: str | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Of the identity."""
        return fingerprint(self.identity)

    @property
    def name(self) -> str:
        """What records and artifacts call it."""
        return self.stage.name

    @property
    def unit(self) -> str:
        """What its size is counted in."""
        return self.stage.unit


@dataclass(frozen=True)
class Plan:
    """What a run would do. `options` are what it was asked for with, for whoever takes the run up again."""

    project: Project
    file: ConfigFile
    snapshot: Snapshot
    resolved: Resolved
    warnings: tuple[Problem, ...]
    stages: tuple[PlannedStage, ...]
    context: Context
    options: dict[str, Any]

    @property
    def saved_seconds(self) -> float:
        """The time that stored stages save."""
        return sum(stage.stored_seconds or 0.0 for stage in self.stages)

    @property
    def config_text(self) -> str:
        """The YAML of all that is meant: as the run keeps it."""
        return mapping_text(explicit(self.file.config, self.resolved, self.snapshot.schema.lookup).to_nested())

    def scan(self) -> Scan | None:
        """What the stages that are to run would scan of a warehouse's table, None where that is nothing.

        The warehouse is asked, which finds out too what it would not run. Raises PreprocessError where it is more than allowed.
        """
        num_queries = sum(
            planned.stage.num_queries(self.resolved) for planned in self.stages if planned.stored_seconds is None
        )
        return self.context.table.scan(self.context.rows, num_queries) if num_queries else None


def plan(
    project: Project,
    file: ConfigFile,
    snapshot: Snapshot,
    *,
    memory_bytes: int | None = None,
    threads: int | None = None,
    max_scanned_bytes: int | None = None,
    engine: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Plan:
    """The plan of running a configuration on a snapshot. Raises ConfigError where the two do not fit.

    `engine` (`name`, `master`, `workers`, `cpus_per_worker`) goes before the settings of the project.
    """
    progress = progress or Silent()
    table = table_of(project, snapshot, max_scanned_bytes, progress.say)
    workers = workers_of(project, engine or {}, snapshot.remote)
    resolved, warnings = checked(project, file, snapshot.schema)
    context = Context(
        project,
        snapshot,
        resolved,
        tuple(filters_of(resolved, snapshot.schema)),
        memory_bytes or default_memory_bytes(),
        threads,
        progress,
        table,
        workers,
    )
    stages: list[PlannedStage] = []
    folders: dict[str, Path] = {}
    fingerprints: dict[str, str] = {}
    for stage in stages_of(resolved):
        identity = _identity(stage, context, parent_of(stage, fingerprints))
        fingerprints[stage.name] = own = fingerprint(identity)
        artifact = project.artifacts.find(stage.name, own)
        known = stage.size(context, folders), stage.told(context, folders)
        stages.append(PlannedStage(stage, identity, artifact.seconds if artifact else None, *known))
        if artifact is not None:
            folders[stage.name] = artifact.folder
    options = {
        "memory_bytes": memory_bytes,
        "threads": threads,
        "max_scanned_bytes": max_scanned_bytes,
        "engine": dict(engine or {}),
    }
    return Plan(project, file, snapshot, resolved, warnings, tuple(stages), context, options)


def parent_of(stage: Stage, fingerprints: Mapping[str, str]) -> str:
    """The fingerprint that a stage's identity builds on, among those of the stages before it."""
    return fingerprints[stage.after[-1].name] if stage.after else ""


def _identity(stage: Stage, context: Context, parent: str) -> dict[str, Any]:
    """Everything that the fingerprint of a stage's result is computed from."""
    return {
        "run": RUN_VERSION,
        "stage": stage.name,
        "version": stage.version,
        "parent": parent,
        "settings": json.loads(json.dumps(stage.settings(context), default=str)),
    }


def limited_identity(whole: str, step: int) -> dict[str, Any]:
    """The same of a training that a limit ended at this step; `whole` is the fingerprint of the training as it was meant."""
    return {"run": RUN_VERSION, "training": whole, "limited_at": step}


def checked(project: Project, file: ConfigFile, schema: TableSchema) -> tuple[Resolved, tuple[Problem, ...]]:
    """The resolved configuration and warnings; filters are bound by an engine that reads nothing."""
    if not file.config.split.where:
        return check(file, schema)
    from cengine.engines.checking import Checking

    with Checking() as checking:
        return check(file, schema, checking.bind_error)


def proposed_resources(resolved: Resolved, schema: TableSchema) -> Resources:
    """What a run on this machine, or on workers where it is too large for that, should be given."""
    return proposed(resolved, schema, BASE_BYTES, default_memory_bytes())
