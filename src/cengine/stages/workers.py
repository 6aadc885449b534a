"""Who does the SQL of a run's table: this machine, or Spark's workers; and what a run of a size should be given."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from cengine.config.resolve import Resolved
from cengine.engines.engine import Engine, Setup
from cengine.engines.table import EMBEDDED, engine_class
from cengine.errors import PreprocessError
from cengine.store.project import Project
from cengine.store.settings import read_settings
from cengine.tables import TableSchema

# Measured: what Split, Fit and Transform cost a core for each cell with DuckDB, and how many times that with Spark.
SECONDS_PER_CELL = 0.3e-6
SPARK_TIMES = 4
# More workers are proposed where one machine would need longer than this for them.
PATIENCE_SECONDS = 900.0
MAX_CPUS_PER_WORKER = 16
BYTES_PER_CELL = 4


@dataclass
class Workers:
    """The engine that splits, fits and encodes, and what it is given; training and evaluation are this machine's.

    It is opened when a stage first asks for it and kept for the next one, since workers take a while to come.
    """

    name: str = EMBEDDED
    master: str | None = None
    workers: int | None = None
    cpus_per_worker: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    _opened: Engine | None = field(default=None, init=False, repr=False)

    @contextmanager
    def engine(self, project: Project, memory_bytes: int, threads: int | None) -> Iterator[Engine]:
        """The engine, given back where the block fails. Raises PreprocessError where it cannot be had."""
        if self._opened is None:
            self._opened = self.open(project, memory_bytes, threads).__enter__()
        try:
            yield self._opened
        except BaseException:
            self.release()
            raise

    def open(self, project: Project, memory_bytes: int, threads: int | None) -> Engine:
        """A new engine, which is the caller's to leave. Raises PreprocessError where it cannot be had."""
        own = (self.master, self.workers, self.cpus_per_worker, self.options)
        setup = Setup(project.scratch, memory_bytes, threads, *own, project.table_folders)
        return engine_class(self.name).open(setup)

    def release(self) -> None:
        """Gives the workers back, where there are any."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.__exit__(None, None, None)

    def __str__(self) -> str:
        parts = [self.name]
        parts += [f"at {self.master}"] if self.master else []
        parts += [f"{self.workers} workers"] if self.workers else []
        parts += [f"{self.cpus_per_worker} CPUs each"] if self.cpus_per_worker else []
        return ", ".join(parts)


def workers_of(project: Project, given: Mapping[str, Any], remote: Mapping[str, Any] | None) -> Workers:
    """What the project's settings say, and what was `given` in its place. Raises PreprocessError for what does not go together."""
    settings = read_settings(project.folder).engine
    workers = replace(Workers(**settings.model_dump()), **given)
    if not engine_class(workers.name).reads_files:
        raise PreprocessError(
            f"the engine '{workers.name}' reads the tables of its own place, not files", "choose duckdb or spark"
        )
    unfit = [name for name in ("master", "workers", "cpus_per_worker") if name in given]
    if workers.name == EMBEDDED and unfit:
        raise PreprocessError(
            f"--{unfit[0].replace('_', '-')} is for engines with workers; {EMBEDDED} is of this machine",
            "add --engine spark",
        )
    if remote is not None:
        if given:
            raise PreprocessError(
                "this table stays in its warehouse, which runs its queries", "leave --engine and its options out"
            )
        return Workers()
    return workers


@dataclass(frozen=True)
class Resources:
    """What a run of this size should be given."""

    workers: int
    cpus_per_worker: int
    memory_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"workers": self.workers, "cpus_per_worker": self.cpus_per_worker, "memory_bytes": self.memory_bytes}


def proposed_resources(resolved: Resolved, schema: TableSchema, base_bytes: int, most_bytes: int) -> Resources:
    """This machine where it is through within PATIENCE_SECONDS, else so many workers of Spark as are.

    Memory is for the encoded rows beside the programs, `base_bytes`, and never more than `most_bytes`.
    """
    cpus = os.cpu_count() or 1
    columns = len(resolved.features) + len(resolved.labels)
    wanted = min(base_bytes + max(2**29, int(2.5 * schema.num_rows * columns * BYTES_PER_CELL)), most_bytes)
    core_seconds = schema.num_rows * columns * SECONDS_PER_CELL
    if core_seconds <= PATIENCE_SECONDS * cpus:
        return Resources(1, cpus if schema.num_rows > 100_000 else min(cpus, 2), wanted)
    cores = math.ceil(core_seconds * SPARK_TIMES / PATIENCE_SECONDS)
    workers = max(2, math.ceil(cores / MAX_CPUS_PER_WORKER))
    return Resources(workers, min(MAX_CPUS_PER_WORKER, math.ceil(cores / workers)), wanted)


__all__ = ["Resources", "Workers", "proposed_resources", "workers_of"]
