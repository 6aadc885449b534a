"""What every stage is given: the table, the configuration, the limits."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from sqlglot import exp

from cengine.config.resolve import Resolved
from cengine.engines.duckdb import DuckDB
from cengine.engines.engine import Engine
from cengine.engines.table import EMBEDDED
from cengine.pipeline.progress import Progress
from cengine.pipeline.register import Snapshot
from cengine.pipeline.warehouse import Warehouse
from cengine.pipeline.workers import Workers
from cengine.preprocess.source import Rows
from cengine.store.project import Project
from cengine.tables import ROW_ID

# What Python, Keras, JAX and DuckDB hold before the first row is read.
BASE_BYTES = 700 * 2**20


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
    warehouse: Warehouse | None = None
    workers: Workers = field(default_factory=Workers)

    @property
    def rows(self) -> Rows:
        table = self.snapshot.files if self.warehouse is None else self.warehouse.table
        return Rows(table, self.snapshot.schema, self.filters, self.resolved.labels)

    def table_engine(self) -> AbstractContextManager[Engine]:
        """An engine where the table is: that of its warehouse, the workers' that were asked for, or one here."""
        if self.warehouse is None and self.workers.name != EMBEDDED:
            return self.workers.engine(self.project, self.memory_bytes, self.threads)
        if self.warehouse is None:
            return self.engine()
        self.warehouse.say = self.progress.say
        return self.warehouse.engine(int(0.7 * max(self.memory_bytes - BASE_BYTES, 2**28)), self.threads)

    def engine(self) -> DuckDB:
        """An engine within the memory limit; workers are given back, for what follows is this machine's."""
        self.workers.release()
        available = max(self.memory_bytes - BASE_BYTES, 2**28)
        return DuckDB(self.project.scratch, memory_bytes=int(0.7 * available), threads=self.threads, folders=self.project.table_folders)

    def report_rows(self, share: float) -> None:
        """Tells how much of the table a stage has been through."""
        self.progress.advance(share * self.snapshot.schema.num_rows)

    @property
    def matrix_bytes(self) -> int:
        """How much of the train rows may be held at once."""
        return max(self.memory_bytes - BASE_BYTES, 2**27) // 2

    # Columns of the table

    @property
    def num_encoded(self) -> int:
        """The number of columns that are encoded: features and labels."""
        return len(self.resolved.features) + len(self.resolved.labels)

    @property
    def kept_columns(self) -> set[str]:
        """The columns that say which rows there are: those of filters, labels that are not filled, the row identity."""
        kept = {node.name for condition in self.filters for node in condition.find_all(exp.Column)}
        return kept | {label.name for label in self.resolved.labels if label.filling is None} | {ROW_ID}

    @property
    def placed_columns(self) -> set[str]:
        """The columns that say which split a row belongs to."""
        split = self.resolved.split
        return self.kept_columns | {name for name in (split.categorize.by, split.index.by) if name}

    @property
    def learnt_columns(self) -> set[str]:
        """The columns that are encoded, and those that place their rows."""
        resolved = self.resolved
        return self.placed_columns | {label.name for label in resolved.labels} | {feature.name for feature in resolved.features}
