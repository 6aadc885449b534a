"""Config + snapshot -> a plan: plain records of stages with fingerprints. Runs nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from cengine.stages.table import Series, stages_of
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
    name: str = ""
    """What records and artifacts call it."""
    fold: int | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Of the identity."""
        return fingerprint(self.identity)

    def sees(self, context: Context) -> Context:
        """What its stage is given of what all are given."""
        return replace(context, fold=self.fold)

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
    for stage, fold in stages_of(resolved):
        seen = replace(context, fold=fold)
        name, before = seen.named(stage.name), seen.seen(folders)
        identity = _identity(stage, seen, parents_of(stage, seen, fingerprints))
        fingerprints[name] = own = fingerprint(identity)
        artifact = project.artifacts.find(name, own)
        at = seen.at(before.get(Series.name))
        known = stage.size(at, before), stage.told(at, before)
        stages.append(PlannedStage(stage, identity, artifact.seconds if artifact else None, *known, name, fold))
        if artifact is not None:
            folders[name] = artifact.folder
    options = {
        "memory_bytes": memory_bytes,
        "threads": threads,
        "max_scanned_bytes": max_scanned_bytes,
        "engine": dict(engine or {}),
    }
    return Plan(project, file, snapshot, resolved, warnings, tuple(stages), context, options)


def parents_of(stage: Stage, context: Context, fingerprints: Mapping[str, str]) -> dict[str, Any]:
    """What a stage's identity builds on: the fingerprint of the stage before it, and where models of folds come together, of theirs."""
    names = [name for one in stage.after for name in (one.name, context.named(one.name)) if name in fingerprints]
    parent = fingerprints[names[-1]] if names else ""
    if not stage.joins_folds or not context.folds:
        return {"parent": parent}
    names = [fold.named(one.name) for fold in context.folds for one in stage.after]
    return {"parent": parent, "folds": [fingerprints[name] for name in names if name in fingerprints]}


def _identity(stage: Stage, context: Context, parents: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the fingerprint of a stage's result is computed from."""
    return {
        "run": RUN_VERSION,
        "stage": stage.name,
        "version": stage.version,
        **parents,
        **({} if context.fold is None else {"fold": context.fold}),
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
