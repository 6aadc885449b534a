"""The rows of a snapshot, where they are: in Parquet files here, or in a warehouse. Whoever reads them does it alike."""

from __future__ import annotations

import contextlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sqlglot import exp

from cengine.connections.bigquery import Budget
from cengine.datasources.origins import source_of, source_of_record
from cengine.datasources.register import Say, Snapshot
from cengine.engines.duckdb import DuckDB
from cengine.engines.engine import Engine, Setup
from cengine.engines.remote import RemoteEngine
from cengine.errors import PreprocessError
from cengine.expressions.build import column, identifier
from cengine.expressions.queries import query
from cengine.preprocess.source import Rows, WarehouseTable
from cengine.sources.source import HeldTable, RemoteSource
from cengine.store.project import Project
from cengine.tables import TableSchema

if TYPE_CHECKING:
    import pyarrow as pa

    from cengine.config.resolve import Label
    from cengine.preprocess.split import Split

SAMPLE_MEMORY_BYTES = 2**30


@dataclass(frozen=True)
class Scan:
    """What a run would scan of a warehouse, `title`: so many queries of so many bytes each."""

    title: str
    num_queries: int
    query_bytes: int

    @property
    def num_bytes(self) -> int:
        """Of all queries together."""
        return self.num_queries * self.query_bytes

    def to_json(self) -> dict[str, int]:
        """Plain data."""
        return {"num_queries": self.num_queries, "query_bytes": self.query_bytes, "num_bytes": self.num_bytes}


@dataclass
class Table(ABC):
    """The table of a snapshot; reading it passes messages for the user to `say`."""

    project: Project
    snapshot: Snapshot
    say: Say = lambda text: None

    @abstractmethod
    def rows(self, filters: Sequence[exp.Expr] = (), labels: Sequence[Label] = ()) -> Rows:
        """The rows that pass the filters and have the labels that are not filled."""

    @abstractmethod
    def cells(self, engine: Engine) -> exp.Expr:
        """All rows as an item of FROM, cells of the types that the schema says."""

    @abstractmethod
    def engine(self, memory_bytes: int, threads: int | None) -> Engine:
        """An engine where the rows are."""

    @abstractmethod
    def sample(self, num_rows: int, seed: int | None) -> pa.Table:
        """Rows drawn at random, the same ones for the same seed."""

    @abstractmethod
    def scan(self, rows: Rows, num_queries: int) -> Scan | None:
        """What so many queries would scan, None where that costs nothing. Raises what keeps them from running."""

    @abstractmethod
    def traffic(self) -> dict[str, int] | None:
        """Bytes scanned and received since this was last asked, None where nothing is sent."""

    @abstractmethod
    def joinable(
        self, rows: Rows, split: Split, names: Sequence[str], engine: Callable[[], AbstractContextManager[Engine]]
    ) -> AbstractContextManager[Rows]:
        """For the block, rows with these columns that can be joined here: all of them, or those that were not trained on."""


class StoredTable(Table):
    """Parquet files of this project."""

    def rows(self, filters: Sequence[exp.Expr] = (), labels: Sequence[Label] = ()) -> Rows:
        return Rows(self.snapshot.files, self.snapshot.schema, tuple(filters), tuple(labels))

    def cells(self, engine: Engine) -> exp.Expr:
        return engine.parquet(self.snapshot.files)

    def engine(self, memory_bytes: int, threads: int | None) -> DuckDB:
        return DuckDB(
            self.project.scratch, memory_bytes=memory_bytes, threads=threads, folders=self.project.table_folders
        )

    def sample(self, num_rows: int, seed: int | None) -> pa.Table:
        names = ", ".join(identifier(name) for name in self.snapshot.schema.names)
        repeatable = f" REPEATABLE ({seed})" if seed is not None else ""
        with self.engine(SAMPLE_MEMORY_BYTES, 1 if seed is not None else None) as engine:
            source = self.cells(engine).sql("duckdb")
            return engine.fetch(f"SELECT {names} FROM {source} USING SAMPLE reservoir({num_rows} ROWS){repeatable}")

    def scan(self, rows: Rows, num_queries: int) -> Scan | None:
        return None

    def traffic(self) -> dict[str, int] | None:
        return None

    def joinable(
        self, rows: Rows, split: Split, names: Sequence[str], engine: Callable[[], AbstractContextManager[Engine]]
    ) -> AbstractContextManager[Rows]:
        return contextlib.nullcontext(rows)


@dataclass
class Warehouse(Table):
    """A table that stays in its warehouse. The first query fixes the state that all later ones read."""

    budget: Budget = field(default_factory=Budget)
    _told: tuple[int, int] = (0, 0)

    @cached_property
    def source(self) -> RemoteSource:
        """The source, with the options of the datasource: who asks and who pays may have changed since the snapshot."""
        records = self.project.records
        known = {row.id: row for row in records.datasources.all()}
        owners = [
            row.datasource_id
            for row in records.snapshots.all(content=self.snapshot.content)
            if row.datasource_id in known
        ]
        remote = self.snapshot.remote or {}
        source = source_of_record(known[owners[-1]]) if owners else source_of(remote["type"], remote["options"])
        assert isinstance(source, RemoteSource)
        return source

    @cached_property
    def held(self) -> HeldTable:
        """The state that is read. Raises SourceError where it is not to be had any more."""
        remote = self.snapshot.remote or {}
        return self.source.held(remote["state"], remote.get("seen", {}), lambda text: self.say(text))

    @cached_property
    def _item(self) -> WarehouseTable:
        """The same, for queries."""
        return WarehouseTable(self.held.item, self.held.cells)

    def engine(self, memory_bytes: int, threads: int | None) -> RemoteEngine:
        """An engine where the table is."""
        from cengine.engines.table import engine_class

        settings = {
            **self.source.settings((self.snapshot.remote or {})["state"]),
            "budget": self.budget,
            "say": lambda text: self.say(text),
        }
        engine = engine_class(self.source.engine).open(
            Setup(self.project.scratch, memory_bytes, threads, settings=settings, folders=self.project.table_folders)
        )
        assert isinstance(engine, RemoteEngine)
        return engine

    def rows(self, filters: Sequence[exp.Expr] = (), labels: Sequence[Label] = ()) -> Rows:
        return Rows(self._item, self.snapshot.schema, tuple(filters), tuple(labels))

    def cells(self, engine: Engine) -> exp.Expr:
        cells = [self._item.cells.get(name, column(name)).as_(name, quoted=True) for name in self.snapshot.schema.names]
        return exp.select(*cells).from_(self._item.item.copy()).subquery("cells")

    def sample(self, num_rows: int, seed: int | None) -> pa.Table:
        found: pa.Table = self.source.sample(
            (self.snapshot.remote or {})["state"], num_rows, seed, lambda text: self.say(text)
        )
        return found

    def scan(self, rows: Rows, num_queries: int) -> Scan | None:
        """Told by a dry run of one query.

        Each query reads all columns, since a row's identity is its content. Raises PreprocessError if that exceeds the budget.
        """
        with self.engine(2**28, 1) as engine:
            scan = Scan(self.source.title, num_queries, engine.scanned_by(rows.select(engine, [])))
        if self.budget.limit is not None and scan.num_bytes > self.budget.limit:
            raise PreprocessError(
                f"this run would scan about {scan.num_bytes / 1e9:.2f} GB in {num_queries} queries, more than --max-gb-scanned {self.budget.limit / 1e9:g}",
                "allow more, or take a smaller table",
            )
        return scan

    def traffic(self) -> dict[str, int] | None:
        told = {
            "scanned_bytes": self.budget.scanned - self._told[0],
            "received_bytes": self.budget.received - self._told[1],
        }
        self._told = (self.budget.scanned, self.budget.received)
        return told

    @contextlib.contextmanager
    def joinable(
        self, rows: Rows, split: Split, names: Sequence[str], engine: Callable[[], AbstractContextManager[Engine]]
    ) -> Iterator[Rows]:
        self.project.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="beside-", dir=self.project.scratch) as folder, engine() as opened:
            yield evaluated_rows(opened, rows, split, names, Path(folder) / "beside.parquet")


def table_of(
    project: Project, snapshot: Snapshot, max_scanned_bytes: int | None = None, say: Say = lambda text: None
) -> Table:
    """The table of a snapshot."""
    return (
        StoredTable(project, snapshot, say)
        if snapshot.is_here
        else Warehouse(project, snapshot, say, Budget(max_scanned_bytes))
    )


def evaluated_rows(engine: Engine, rows: Rows, split: Split, names: Sequence[str], target: Path) -> Rows:
    """The rows that were measured with these columns, brought here into `target`: what evaluation reads beside predictions."""
    wanted = list(dict.fromkeys(names))
    assigned = split.assigned(engine, rows, wanted)
    if not split.all_are_measured:
        assigned = query(
            "SELECT * FROM assigned WHERE number <> 0", assigned=assigned, number=column(rows.split_column)
        )
    engine.write(assigned, target)
    columns = tuple(rows.schema[name] for name in wanted)
    num_rows = sum(n for name, n in split.report.rows.items() if split.all_are_measured or name != "train")
    return Rows((target,), TableSchema(columns, num_rows), (), ())
