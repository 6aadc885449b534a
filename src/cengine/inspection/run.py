"""A finished run, looked at again: its records, its folders, and what its configuration meant."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from cengine.config.checks import filters_of
from cengine.config.read import ConfigFile
from cengine.config.resolve import Resolved
from cengine.config.schema import TRAIN
from cengine.datasources.points import points_snapshot
from cengine.datasources.register import Snapshot, read_snapshot
from cengine.datasources.table import Table, evaluated_rows, table_of
from cengine.digests import fingerprint
from cengine.engines.duckdb import DuckDB
from cengine.engines.engine import Engine
from cengine.errors import CengineError
from cengine.evaluation.predictions import missing_beside
from cengine.evaluation.results import Results
from cengine.inspection.looking import engine_at, looking_engine
from cengine.inspection.report import summary_of
from cengine.learners.learner import Learner
from cengine.names import HORIZON_STEP
from cengine.pipeline.execute import Outcome, StageRecord
from cengine.pipeline.plan import checked
from cengine.preprocess.describe import of_one_split
from cengine.preprocess.fit import Statistics, read_statistics
from cengine.preprocess.point_split import split_of_points
from cengine.preprocess.source import Rows
from cengine.preprocess.split import Split, read_split
from cengine.preprocess.targets import Target, targets_of_run
from cengine.reports.training import training_told
from cengine.runs.pushed import run_config
from cengine.runs.runs import finished_run, parse_key
from cengine.stages import table as stage_table
from cengine.stages.context import name_of_fold
from cengine.stages.evaluate import PREDICTIONS
from cengine.stages.stage import Stage
from cengine.store.project import Project
from cengine.store.rows import DatasourceRow, PipelineRow, RunRow, SnapshotRow
from cengine.tables import Column, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa

    from cengine.models.model import Model
    from cengine.reports.summary import Summary
    from cengine.reports.view import View


@dataclass(frozen=True)
class Run:
    """A run that succeeded: what the records know of it, its folders, and what its configuration meant.

    `pipeline` and `record` are its rows in the records.
    """

    project: Project
    pipeline: PipelineRow
    record: RunRow
    outcome: Outcome

    @property
    def key(self) -> str:
        """How the command line calls it: `1:2` is run 2 of pipeline 1."""
        return self.record.key

    @property
    def name(self) -> str:
        """How a person calls it."""
        return f"{self.pipeline.name}, run {self.record.number}"

    @property
    def seconds(self) -> float:
        """From its start to its end."""
        started = self.record.started_at
        ended = self.record.ended_at or started
        return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()

    @property
    def stages(self) -> tuple[StageRecord, ...]:
        """What became of each stage, and what it took."""
        return self.outcome.stages

    @property
    def folders(self) -> dict[str, Path]:
        """Where the result of each stage is, by the stage's name."""
        return self.outcome.folders

    @property
    def predictions_file(self) -> Path:
        """The table of predictions, in Parquet."""
        return self.folders[stage_table.Evaluate.name] / PREDICTIONS

    @property
    def training(self) -> dict[str, Any]:
        """How training went: its history, steps, the step whose weights were kept, and what limit ended it."""
        return self.outcome.training

    @property
    def training_told(self) -> list[str]:
        """The same in sentences: which weights were kept and by which rows, whether training was too long or too short."""
        return training_told(self.training)

    @property
    def saved_seconds(self) -> float:
        """The time that stored stages saved."""
        return self.outcome.saved_seconds

    @cached_property
    def snapshot_record(self) -> SnapshotRow:
        """The snapshot's row in the records."""
        return self.project.records.snapshots.get(self.record.snapshot_id)

    @cached_property
    def datasource(self) -> DatasourceRow:
        """The datasource of its snapshot, in the records."""
        return self.project.records.datasources.get(self.snapshot_record.datasource_id)

    @property
    def datasource_name(self) -> str:
        """How the datasource of its snapshot is called."""
        return self.datasource.name

    @cached_property
    def results(self) -> Results:
        """Overall metrics, slices and verdicts."""
        return self.outcome.results

    @cached_property
    def config(self) -> ConfigFile:
        """What it was made with: the YAML of all that was meant, defaults included; of an older version's run, as it was pushed."""
        return run_config(self.pipeline, self.record)

    @cached_property
    def snapshot(self) -> Snapshot:
        """The rows it ran on."""
        return read_snapshot(self.project, self.snapshot_record.content)

    @cached_property
    def resolved(self) -> Resolved:
        """The configuration with every default made explicit."""
        return checked(self.project, self.config, self.snapshot.schema)[0]

    @cached_property
    def filters(self) -> tuple[exp.Expr, ...]:
        """The row filters of `where:`."""
        return tuple(filters_of(self.resolved, self.snapshot.schema))

    @cached_property
    def points(self) -> Path | None:
        """The folder of the points that its rows became; None without `timeseries`."""
        return self.folders.get(stage_table.Series.name)

    @cached_property
    def seen(self) -> Snapshot:
        """What was split, encoded and learnt: the points of `timeseries`, else the rows it ran on."""
        series = self.resolved.series
        if self.points is None or series is None:
            return self.snapshot
        return points_snapshot(self.snapshot, series, self.points)

    @cached_property
    def sliced_by(self) -> TableSchema:
        """The columns that slices may be by: those of `seen`, and how many steps ahead a forecast is."""
        schema, series = self.seen.schema, self.resolved.series
        if series is None or series.words.horizon is None:
            return schema
        return TableSchema((*schema.columns, Column(HORIZON_STEP, "SMALLINT", "integer")), schema.num_rows)

    @cached_property
    def rows(self) -> Rows:
        """The table as the run read it."""
        return self.table.rows(() if self.points else self.filters, self.resolved.labels)

    @cached_property
    def table(self) -> Table:
        """The table, where it is."""
        return table_of(self.project, self.seen)

    def rows_with(self, names: Sequence[str]) -> Rows:
        """Rows that can be joined with the predictions here; columns of a warehouse's table are brought here once and kept."""
        missing = missing_beside(self.predictions_file, names)
        if self.points:
            return self.table.rows()
        if self.snapshot.is_here or not missing:
            return Rows(self.snapshot.files, self.snapshot.schema, self.filters, self.resolved.labels)
        identity = fingerprint({"split": self.fingerprint(stage_table.Split), "columns": sorted(missing)})
        with self.project.artifacts.building("beside", identity) as building:
            if building is not None:
                with self.table_engine() as engine:
                    evaluated_rows(engine, self.rows, self.split, missing, building.folder / "beside.parquet")
        file = self.project.artifacts.folder("beside", identity) / "beside.parquet"
        return Rows((file,), TableSchema(tuple(self.snapshot.schema[name] for name in missing), 0), (), ())

    def table_engine(self) -> Engine:
        """An engine where the table is."""
        return engine_at(self.table)

    @cached_property
    def row_split(self) -> Split:
        """Which row of the table went where."""
        return read_split(self.folders[stage_table.Split.name])

    @cached_property
    def split(self) -> Split:
        """Which row went where, of points which point."""
        return split_of_points(self.row_split, self.points) if self.points else self.row_split

    @property
    def placing(self) -> type[Stage]:
        """The stage that settles which row went where."""
        return stage_table.Series if self.points else stage_table.Split

    @cached_property
    def statistics(self) -> Statistics:
        """What Fit learned."""
        return read_statistics(self.folders[stage_table.Fit.name])

    @property
    def of_folds(self) -> bool:
        """Whether every row was predicted, each by a model that had not seen it."""
        return self.resolved.split.num_folds is not None

    @cached_property
    def statistics_of_folds(self) -> list[Statistics]:
        """What Fit learned for the model of each fold, none where rows were divided once."""
        name = stage_table.Fit.name
        folds = range(1, (self.resolved.split.num_folds or 0) + 1)
        return [read_statistics(self.folders[name_of_fold(name, fold, len(folds))]) for fold in folds]

    @cached_property
    def targets(self) -> list[Target]:
        """What was predicted, one target a label."""
        return targets_of_run(self.resolved, self.statistics)

    def fingerprint(self, stage: type[Stage]) -> str:
        """The identity of a stage's result."""
        return next(s.fingerprint for s in self.stages if s.name == stage.name)

    @cached_property
    def summary(self) -> Summary:
        """All that is known of the run as plain data, what its page shows (see `reports/summary.py`)."""
        return summary_of(self)

    def view(self, *sections: str, other: Run | None = None) -> View:
        """Sections of the page ("answer", "curves", "features", "errors", "rows", "slices", "worst", "split", "columns", "configuration"), in a notebook.

        All of them where none is named; `other` is shown beside it. Raises ValueError for an unknown section.
        """
        from cengine.reports.html import SECTIONS
        from cengine.reports.view import View

        return View(
            self.summary,
            other=other.summary if other else None,
            sections=sections or SECTIONS,
            cache=self.project.cache,
        )

    def predictions(self) -> pa.Table:
        """The table of predictions, a pyarrow Table."""
        import pyarrow.parquet as pq

        return pq.read_table(self.predictions_file)

    def predict(self, table: object) -> pa.Table:
        """Predictions of new rows, of a data frame or an Arrow table: see `Model.predict`."""
        return self.model().predict(table)

    def embed(self, table: object) -> pa.Table:
        """The code that an autoencoder makes of each new row: see `Model.embed`."""
        return self.model().embed(table)

    def model(self) -> Model:
        """The trained model: `run.model().predict(table)` predicts new rows."""
        from cengine.models.artifact import Parts
        from cengine.models.model import Model
        from cengine.models.signature import Signature

        if self.points:
            raise CengineError(
                f"{self.name} learnt windows of series: predict, export and serve do not take them yet",
                f"what it forecast of the evaluated windows: {self.predictions_file}",
            )
        learner = self.resolved.trainer
        assert isinstance(learner, Learner)
        signature = Signature(self.resolved.features, tuple(self.targets), self.statistics, learner)
        fingerprints = {stage.name: stage.fingerprint for stage in self.stages}
        return Model(Parts(signature, self.folders[stage_table.Train.name], self._certificate, fingerprints))

    def _certificate(self) -> dict[str, Any]:
        """How good the model was, and what its features held in the train rows; a warehouse is not asked for that."""
        from cengine.inspection.describe import run_columns

        described = run_columns(self, used=True) if self.snapshot.is_here else []
        features = {feature.name for feature in self.resolved.features}
        return {
            "run": self.name,
            "rows": self.split.report.rows,
            "overall": self.results.overall_rows,
            "verdicts": self.results.verdicts,
            **({"folds": self.results.folds} if self.results.folds else {}),
            "train": [of_one_split(one, TRAIN) for one in described if one["name"] in features],
        }

    @contextlib.contextmanager
    def evaluated(self) -> Iterator[Iterator[pa.Table]]:
        """For the block, the features of the rows that were not trained on, raw, in tables of up to 65,536 rows."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = [feature.name for feature in self.resolved.features]
        self.project.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="evaluated-", dir=self.project.scratch) as folder:
            file = Path(folder) / "evaluated.parquet"
            with self.table_engine() as engine:
                evaluated_rows(engine, self.rows, self.split, names, file)
            with pq.ParquetFile(file) as parquet:
                blocks = parquet.iter_batches(columns=names)
                yield (pa.Table.from_batches([block]) for block in blocks)

    def engine(self) -> DuckDB:
        """An engine to look with."""
        return looking_engine(self.project)


def find_run(project: Project, key: str | int) -> Run:
    """The run of `ID|NAME[:RUN]`, the pipeline's newest that succeeded where no number is given.

    Raises StoreError where there is none, or where what it stored is gone.
    """
    name, number = parse_key(key)
    pipeline = project.records.pipelines.find(name)
    return Run(project, pipeline, *finished_run(project, pipeline, number))
