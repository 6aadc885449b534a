"""A finished run, looked at again: its records, its folders, and what its configuration meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlglot import exp

from cengine.config.checks import filters_of
from cengine.config.read import ConfigFile
from cengine.config.resolve import Resolved
from cengine.engines.duckdb import DuckDB
from cengine.engines.engine import Engine
from cengine.evaluation.predictions import missing_beside
from cengine.evaluation.results import Results
from cengine.pipeline.api import pipeline_config
from cengine.pipeline.execute import Run
from cengine.pipeline.fingerprint import fingerprint
from cengine.pipeline.plan import checked, default_memory_bytes
from cengine.pipeline.register import Snapshot, read_snapshot
from cengine.pipeline.runs import finished_run, parse_key
from cengine.pipeline.stages import table as stages
from cengine.pipeline.stages.stage import Stage
from cengine.pipeline.warehouse import Warehouse, evaluated_rows, warehouse_of
from cengine.preprocess.fit import Statistics, read_statistics
from cengine.preprocess.source import Rows
from cengine.preprocess.split import Split, read_split
from cengine.store.project import Project
from cengine.tables import TableSchema

LOOKING_MEMORY_BYTES = 2 * 2**30


@dataclass(frozen=True)
class FinishedRun:
    """A run that succeeded: `pipeline` and `record` are its rows in the records."""

    project: Project
    pipeline: dict[str, Any]
    record: dict[str, Any]
    run: Run

    @property
    def key(self) -> str:
        """How the command line calls it: `1:2` is run 2 of pipeline 1."""
        return f"{self.pipeline['id']}:{self.record['number']}"

    @property
    def name(self) -> str:
        """How a person calls it."""
        return f"{self.pipeline['name']}, run {self.record['number']}"

    @property
    def seconds(self) -> float:
        """From its start to its end."""
        started, ended = (datetime.fromisoformat(self.record[name] or self.record["started_at"]) for name in ("started_at", "ended_at"))
        return (ended - started).total_seconds()

    @property
    def predictions_file(self) -> Path:
        """The table of predictions, in Parquet."""
        return self.run.predictions_file

    @cached_property
    def snapshot_record(self) -> dict[str, Any]:
        """The snapshot's row in the records."""
        return self.project.records.get("snapshots", self.record["snapshot_id"])

    @property
    def datasource_name(self) -> str:
        """How the datasource of its snapshot is called."""
        return str(self.project.records.get("datasources", self.snapshot_record["datasource_id"])["name"])

    @cached_property
    def results(self) -> Results:
        """Overall metrics, slices and verdicts."""
        return self.run.results

    @cached_property
    def config(self) -> ConfigFile:
        """The YAML as it was pushed."""
        return pipeline_config(self.pipeline)

    @cached_property
    def snapshot(self) -> Snapshot:
        """The rows it ran on."""
        return read_snapshot(self.project, self.snapshot_record["content"])

    @cached_property
    def resolved(self) -> Resolved:
        """The configuration with every default made explicit."""
        return checked(self.project, self.config, self.snapshot.schema)[0]

    @cached_property
    def filters(self) -> tuple[exp.Expr, ...]:
        """The row filters of `where:`."""
        return tuple(filters_of(self.resolved, self.snapshot.schema))

    @cached_property
    def rows(self) -> Rows:
        """The table as the run read it."""
        table = self.snapshot.files if self.warehouse is None else self.warehouse.table
        return Rows(table, self.snapshot.schema, self.filters, self.resolved.labels)

    @cached_property
    def warehouse(self) -> Warehouse | None:
        """Where the table is, if it is not here."""
        return warehouse_of(self.project, self.snapshot)

    def rows_with(self, names: Sequence[str]) -> Rows:
        """Rows that can be joined with the predictions here; columns of a warehouse's table are brought here once and kept."""
        missing = missing_beside(self.predictions_file, names)
        if self.warehouse is None or not missing:
            return Rows(self.snapshot.files, self.snapshot.schema, self.filters, self.resolved.labels)
        identity = fingerprint({"split": self.fingerprint(stages.Split), "columns": sorted(missing)})
        with self.project.artifacts.building("beside", identity) as building:
            if building is not None:
                with self.table_engine() as engine:
                    evaluated_rows(engine, self.rows, self.split, missing, building.folder / "beside.parquet")
        file = self.project.artifacts.folder("beside", identity) / "beside.parquet"
        return Rows((file,), TableSchema(tuple(self.snapshot.schema[name] for name in missing), 0), (), ())

    def table_engine(self) -> Engine:
        """An engine where the table is."""
        return self.engine() if self.warehouse is None else self.warehouse.engine(LOOKING_MEMORY_BYTES, None)

    @cached_property
    def split(self) -> Split:
        """Which row went where."""
        return read_split(self.run.folders[stages.Split.name])

    @cached_property
    def statistics(self) -> Statistics:
        """What Fit learned."""
        return read_statistics(self.run.folders[stages.Fit.name])

    @cached_property
    def heads(self) -> Any:
        """One head a label."""
        from cengine.training.heads import heads_of

        return heads_of(self.resolved.labels, self.resolved.trainer, self.statistics)

    def fingerprint(self, stage: type[Stage]) -> str:
        """The identity of a stage's result."""
        return next(s.fingerprint for s in self.run.stages if s.name == stage.name)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """All that is known of the run as plain data, what its page shows (see `reports/summary.py`)."""
        from cengine.pipeline.report import summary_of

        return summary_of(self)

    def view(self, *sections: str, other: FinishedRun | None = None) -> Any:
        """Sections of the page ("answer", "curves", "errors", "slices", "worst", "split", "columns", "configuration"), in a notebook.

        All of them where none is named; `other` is shown beside it. Raises ValueError for an unknown section.
        """
        from cengine.reports.html import SECTIONS
        from cengine.reports.view import View

        return View(self.summary, other=other.summary if other else None, sections=sections or SECTIONS, cache=self.project.cache)

    def predictions(self) -> Any:
        """The table of predictions, a pyarrow Table."""
        return self.run.predictions()

    def model(self) -> Any:
        """The trained Keras model."""
        return self.run.model()

    def engine(self) -> DuckDB:
        """An engine to look with."""
        return looking_engine(self.project)


def looking_engine(project: Project) -> DuckDB:
    """An engine that looks at what is stored, within a memory limit that leaves room for other work."""
    return DuckDB(project.scratch, memory_bytes=min(default_memory_bytes(), LOOKING_MEMORY_BYTES), folders=project.table_folders)


def find_run(project: Project, key: str | int) -> FinishedRun:
    """The run of `ID|NAME[:RUN]`, the pipeline's newest that succeeded where no number is given.

    Raises StoreError where there is none, or where what it stored is gone.
    """
    name, number = parse_key(key)
    pipeline = project.records.find("pipelines", name)
    record, run = finished_run(project, pipeline, number)
    return FinishedRun(project, pipeline, record, run)
