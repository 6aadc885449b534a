"""What every stage is given: the table, the configuration, the limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlglot import exp

from cengine.config.resolve import Label, Resolved
from cengine.datasources.register import Snapshot
from cengine.datasources.table import StoredTable, Table
from cengine.engines.duckdb import DuckDB
from cengine.engines.engine import Engine
from cengine.engines.table import EMBEDDED
from cengine.learners.learner import Learner
from cengine.preprocess.source import Rows
from cengine.stages.progress import Progress
from cengine.stages.workers import Workers
from cengine.store.project import Project
from cengine.tables import ROW_ID

if TYPE_CHECKING:
    from cengine.preprocess.apply import Input
    from cengine.preprocess.split import Split

# What Python, Keras, JAX and DuckDB hold before the first row is read.
BASE_BYTES = 700 * 2**20


def name_of_fold(stage: str, fold: int, num_folds: int) -> str:
    """What records and artifacts call a stage of the model that does not learn from this fold (from 1)."""
    return f"{stage} {fold} of {num_folds}"


@dataclass(frozen=True)
class Context:
    """What every stage is given: the table, the configuration, the limits."""

    project: Project
    snapshot: Snapshot
    resolved: Resolved
    filters: tuple[exp.Expr, ...]
    memory_bytes: int
    threads: int | None
    progress: Progress
    table: Table
    workers: Workers = field(default_factory=Workers)
    fold: int | None = None
    """The fold that the model at work does not learn from, from 1; None for a model that learns from all train rows."""
    points: Path | None = None
    """The folder of the stage Series, once its points are what is read."""
    known_inputs: dict[Path, list[Input]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def rows(self) -> Rows:
        return self.table.rows(self.filters, self.labels_of_rows)

    @property
    def labels_of_rows(self) -> tuple[Label, ...]:
        """The labels that a row needs to be one: of what becomes points none, since it is points that have labels."""
        return () if self.resolved.series is not None and self.points is None else self.resolved.labels

    @property
    def encoded_rows(self) -> Rows:
        """The rows that are encoded: of points also those without a label, which may precede one that has it."""
        return self.rows if self.points is None else self.table.rows()

    def split(self, folder: Path) -> Split:
        """Which row goes where, as the model at work sees it, given the folder of what Split has found."""
        from cengine.preprocess.split import read_split

        found = read_split(folder, self.fold)
        if self.points is None:
            return found
        from cengine.preprocess.point_split import split_of_points

        return split_of_points(found, self.points)

    def at(self, folder: Path | None) -> Context:
        """The same where the points of the series take the place of the table's rows; `folder` has them, None where there are none yet."""
        series = self.resolved.series
        if folder is None or series is None or self.points is not None:
            return self
        from cengine.datasources.points import points_snapshot

        snapshot = points_snapshot(self.snapshot, series, folder)
        return replace(self, snapshot=snapshot, table=StoredTable(self.project, snapshot), filters=(), points=folder)

    @property
    def folds(self) -> tuple[Context, ...]:
        """What the models are given that are measured, one for each fold; none where rows are divided once."""
        return tuple(replace(self, fold=fold) for fold in range(1, (self.resolved.split.num_folds or 0) + 1))

    def named(self, stage: str) -> str:
        """What a stage is called in records: `Train`, and `Train 2 of 5` of the model that does not learn from fold 2."""
        return stage if self.fold is None else name_of_fold(stage, self.fold, self.resolved.split.num_folds or 0)

    def seen(self, folders: Mapping[str, Path]) -> Mapping[str, Path]:
        """The folders that the model at work builds on, by the stages' names, of all that are complete: its own, and what all models share.

        The stages of a fold's model come before those of the model of all rows, which has stages of the same names.
        """
        if self.fold is None:
            return folders
        shared = {name: folder for name, folder in folders.items() if " " not in name}
        ending = self.named("")
        own = {name.removesuffix(ending): folder for name, folder in folders.items() if name.endswith(ending)}
        return {**shared, **own}

    def table_engine(self) -> AbstractContextManager[Engine]:
        """An engine where the table is: that of its warehouse, the workers' that were asked for, or one here, where points always are."""
        if self.workers.name != EMBEDDED and self.points is None:
            return self.workers.engine(self.project, self.memory_bytes, self.threads)
        self.table.say = self.progress.say
        return self.table.engine(self.engine_bytes, self.threads)

    def engine(self) -> DuckDB:
        """An engine within the memory limit; workers are given back, for what follows is this machine's."""
        self.workers.release()
        return self.engine_beside()

    def engine_beside(self) -> DuckDB:
        """The same beside workers that are still needed."""
        return DuckDB(
            self.project.scratch,
            memory_bytes=self.engine_bytes,
            threads=self.threads,
            folders=self.project.table_folders,
        )

    @property
    def engine_bytes(self) -> int:
        """How much memory an engine may take."""
        return int(0.7 * max(self.memory_bytes - BASE_BYTES, 2**28))

    def joinable_rows(self, split: Split, names: Sequence[str]) -> AbstractContextManager[Rows]:
        """Rows that can be joined here; of a warehouse's table those that were not trained on are brought here first."""
        return self.table.joinable(self.rows, split, names, self.table_engine)

    def report_rows(self, share: float) -> None:
        """Tells how much of the table a stage has been through."""
        self.progress.advance(share * self.snapshot.schema.num_rows)

    @property
    def matrix_bytes(self) -> int:
        """How much of the train rows may be held at once."""
        return max(self.memory_bytes - BASE_BYTES, 2**27) // 2

    def inputs(self, fitted: Path) -> list[Input]:
        """The columns that enter the learner, given the folder of what Fit has learnt: formed once, since wide tables have many."""
        if fitted not in self.known_inputs:
            from cengine.preprocess.apply import inputs_of
            from cengine.preprocess.fit import read_statistics

            self.known_inputs[fitted] = inputs_of(self.resolved.features, read_statistics(fitted))
        return self.known_inputs[fitted]

    @property
    def learner(self) -> Learner:
        """The word under `architecture:`, with the keys of the trainer block."""
        assert isinstance(self.resolved.trainer, Learner)
        return self.resolved.trainer

    # Columns of the table

    @property
    def num_encoded(self) -> int:
        """The number of columns that are encoded: features and labels."""
        return len(self.resolved.features) + len(self.resolved.labels)

    @property
    def kept_columns(self) -> set[str]:
        """The columns that say which rows there are: those of filters, labels that are not filled, the row identity."""
        kept = {node.name for condition in self.filters for node in condition.find_all(exp.Column)}
        return kept | {label.name for label in self.labels_of_rows if label.filling is None} | {ROW_ID}

    @property
    def placed_columns(self) -> set[str]:
        """The columns that say which split a row belongs to."""
        split = self.resolved.split
        return self.kept_columns | {name for name in (split.categorize.by, split.index.by) if name}

    @property
    def learnt_columns(self) -> set[str]:
        """The columns that are encoded, and those that place their rows."""
        resolved = self.resolved
        return (
            self.placed_columns
            | {label.name for label in resolved.labels}
            | {label.sample_weight for label in resolved.labels if label.sample_weight}
            | {feature.name for feature in resolved.features}
        )
