"""A table that stays where it is, as a run reads it: one state for all queries, an engine there, a bound of what is scanned."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cengine.connections.bigquery import Budget, over_budget
from cengine.engines.engine import Engine, Setup
from cengine.engines.remote import RemoteEngine
from cengine.errors import PreprocessError
from cengine.pipeline.register import Say, Snapshot
from cengine.preprocess.source import Rows, WarehouseTable
from cengine.sources.source import HeldTable, RemoteSource
from cengine.store.project import Project

if TYPE_CHECKING:
    from cengine.preprocess.split import Split


@dataclass
class Warehouse:
    """The remote table of a snapshot. Nothing is asked of it before it is needed; then its state is settled for all that follows."""

    project: Project
    snapshot: Snapshot
    budget: Budget = field(default_factory=Budget)
    say: Say = lambda text: None
    _told: tuple[int, int] = (0, 0)

    @cached_property
    def source(self) -> RemoteSource:
        """The source, with the options of the datasource: who asks and who pays may have changed since the snapshot."""
        from cengine.pipeline.api import source_of, source_of_record

        records = self.project.records
        known = {row["id"]: row for row in records.all("datasources")}
        owners = [row["datasource_id"] for row in records.all("snapshots", content=self.snapshot.content) if row["datasource_id"] in known]
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
    def table(self) -> WarehouseTable:
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

    def traffic(self) -> dict[str, int]:
        """Bytes scanned there and received here since this was last asked."""
        told = {"scanned_bytes": self.budget.scanned - self._told[0], "received_bytes": self.budget.received - self._told[1]}
        self._told = (self.budget.scanned, self.budget.received)
        return told

    def sample(self, num_rows: int, seed: int | None) -> Any:
        """Rows drawn at random, an Arrow table."""
        return self.source.sample((self.snapshot.remote or {})["state"], num_rows, seed, lambda text: self.say(text))


def warehouse_of(
    project: Project, snapshot: Snapshot, max_scanned_bytes: int | None = None, say: Say = lambda text: None
) -> Warehouse | None:
    """The warehouse of a snapshot whose rows stay where they are, None where they are here."""
    return None if snapshot.remote is None else Warehouse(project, snapshot, Budget(max_scanned_bytes), say)


@dataclass(frozen=True)
class Scan:
    """What a run would scan: so many queries of so many bytes each."""

    num_queries: int
    query_bytes: int

    @property
    def num_bytes(self) -> int:
        """Of all queries together."""
        return self.num_queries * self.query_bytes

    def to_json(self) -> dict[str, int]:
        """Plain data."""
        return {"num_queries": self.num_queries, "query_bytes": self.query_bytes, "num_bytes": self.num_bytes}


def scan_of(warehouse: Warehouse, rows: Rows, num_queries: int) -> Scan:
    """What so many queries would scan, told by a dry run of one. Raises what keeps it from running.

    Each of them reads all columns: rows are told apart by what is in them. Raises PreprocessError where that is more than the budget.
    """
    with warehouse.engine(2**28, 1) as engine:
        scan = Scan(num_queries, engine.scanned_by(rows.select(engine, [])))
    if warehouse.budget.limit is not None and scan.num_bytes > warehouse.budget.limit:
        raise PreprocessError(
            f"this run would scan about {scan.num_bytes / 1e9:.2f} GB in {num_queries} queries, more than --max-gb-scanned {warehouse.budget.limit / 1e9:g}",
            "allow more, or take a smaller table",
        )
    return scan


def evaluated_rows(engine: Engine, rows: Rows, split: Split, names: Sequence[str], target: Path) -> Rows:
    """The rows that were not trained on with these columns, brought here into `target`: what evaluation reads beside predictions."""
    from cengine.expressions.build import column
    from cengine.expressions.queries import query
    from cengine.tables import TableSchema

    wanted = list(dict.fromkeys(names))
    assigned = query(
        "SELECT * FROM assigned WHERE number <> 0", assigned=split.assigned(engine, rows, wanted), number=column(rows.split_column)
    )
    engine.write(assigned, target)
    columns = tuple(rows.schema[name] for name in wanted)
    return Rows((target,), TableSchema(columns, sum(split.report.rows.values()) - split.report.rows["train"]), (), ())


def scratch_folder(project: Project) -> tempfile.TemporaryDirectory[str]:
    """A folder for rows that are brought here for a while."""
    project.scratch.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="beside-", dir=project.scratch)


__all__ = ["Scan", "Warehouse", "evaluated_rows", "over_budget", "scan_of", "scratch_folder", "warehouse_of"]
