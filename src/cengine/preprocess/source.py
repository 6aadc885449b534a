"""The table a run reads: Parquet parts with row identities, or a table in a warehouse, filtered as the YAML says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sqlglot import exp

from cengine.config.resolve import Label
from cengine.engines.engine import Engine
from cengine.errors import PreprocessError
from cengine.expressions.build import as_double, bigint, column, finite
from cengine.expressions.dialects import collated
from cengine.expressions.filters import NotAFilter
from cengine.expressions.keys import content_hash, content_sums, told_apart
from cengine.expressions.reading_back import check_reads_back
from cengine.names import free_name
from cengine.tables import POSITION, ROW_ID, TableSchema


@dataclass(frozen=True)
class WarehouseTable:
    """A table that stays where it is, as `item` of FROM.

    `cells` tell of a column what has the type that the schema says (`CAST(t AS DATETIME)` of a time with a zone); a column
    that is not among them is taken as it is. `distinct` says that no two rows are equal, which saves telling them apart.
    """

    item: exp.Expr
    cells: Mapping[str, exp.Expr] = field(default_factory=dict)
    distinct: bool = False


@dataclass(frozen=True)
class Rows:
    """Rows of a snapshot's files or of a warehouse's table: those that pass every filter and, where labels are not filled, have them."""

    table: tuple[Path, ...] | WarehouseTable
    schema: TableSchema
    filters: tuple[exp.Expr, ...]
    labels: tuple[Label, ...]

    def free(self, stem: str) -> str:
        """A name for a column of ours beside the table's: the stem, unless the table has such a column."""
        if stem not in self._free:
            self._free[stem] = free_name(stem, self.schema.names)
        return self._free[stem]

    @cached_property
    def _free(self) -> dict[str, str]:
        """The names that were asked for: tables may be wide, and queries many."""
        return {}

    @cached_property
    def split_column(self) -> str:
        """What the number of a row's split is called in queries beside the table's columns."""
        return self.free("_split")

    @property
    def files(self) -> tuple[Path, ...]:
        """The snapshot's files, none where the table is a warehouse's."""
        return () if isinstance(self.table, WarehouseTable) else self.table

    def select(self, engine: Engine, columns: Sequence[str]) -> exp.Select:
        """A query for these columns and the row identity, numbers that are not finite made null.

        A column POSITION is what an engine that keeps no order can order by.
        """
        names = list(dict.fromkeys([*columns, ROW_ID]))
        if isinstance(self.table, WarehouseTable):
            return _identified(self, self.table, engine, names)
        cells = ((name, self.cell(name)) for name in names)
        outputs = [
            cell if isinstance(cell, exp.Column) else cell.as_(name, quoted=True, copy=False) for name, cell in cells
        ]
        query = exp.select(*outputs, copy=False).from_(engine.parquet(self.table), copy=False)
        for condition in self.conditions(engine.dialect):
            query = query.where(condition, copy=False)
        return query

    def conditions(self, dialect: str) -> list[exp.Expr]:
        """The filters, and one for each label that is not filled. Raises PreprocessError for a filter that the engine would misread."""
        for known in self.filters:
            try:
                check_reads_back(known, dialect)
            except NotAFilter as reason:
                raise PreprocessError(
                    f"the filter {known.sql('duckdb')} cannot be used: {reason}", *reason.notes
                ) from None
        present = [
            exp.Not(this=exp.Is(this=self.cell(label.name), expression=exp.null()))
            for label in self.labels
            if label.filling is None
        ]
        return [*(exp.Paren(this=f.copy()) for f in self.filters), *present]

    def cell(self, name: str) -> exp.Expr:
        """A column as the words see it."""
        if name not in (ROW_ID, POSITION) and self.schema[name].kind == "float":
            # Files hold what the schema says, a warehouse's table may hold other numbers.
            is_double = self.schema[name].sql_type == "DOUBLE" and not isinstance(self.table, WarehouseTable)
            return finite(column(name) if is_double else as_double(column(name)))
        return column(name)


def _identified(rows: Rows, table: WarehouseTable, engine: Engine, names: Sequence[str]) -> exp.Select:
    """The rows of a warehouse's table with identities made in the query, of all columns that words can use.

    So a column that enters the YAML moves no row between splits. Equal rows pass a filter alike: they can be told apart after it.
    """
    usable = [known for known in rows.schema.columns if known.kind is not None]
    cells = []
    for known in usable:
        cell = table.cells.get(known.name, column(known.name))
        cells.append((collated(cell, engine.dialect) if known.kind == "string" else cell).as_(known.name, quoted=True))
    taken = [name for name in names if name not in (ROW_ID, POSITION)]
    one, other, content, occurrence = (rows.free(stem) for stem in ("_first", "_second", "_content", "_occurrence"))
    first, second = content_sums(usable)
    hashed = exp.select(
        *[rows.cell(name).as_(name, quoted=True) for name in taken],
        first.as_(one, quoted=True),
        second.as_(other, quoted=True),
    )
    hashed = hashed.from_(exp.select(*cells).from_(table.item.copy()).subquery("cells"))
    for condition in rows.conditions(engine.dialect):
        hashed = hashed.where(condition)
    outputs = [column(name) for name in taken]
    query = exp.select(*outputs, content_hash(column(one), column(other)).as_(content, quoted=True)).from_(
        hashed.subquery("sums")
    )
    if table.distinct:
        query = exp.select(*outputs, column(content).as_(ROW_ID, quoted=True)).from_(query.subquery("contents"))
    else:
        numbered = exp.Window(
            this=exp.RowNumber(),
            partition_by=[column(content)],
            order=exp.Order(expressions=[exp.Ordered(this=column(content))]),
        )
        number = (exp.cast(numbered, "bigint") - bigint(1)).as_(occurrence, quoted=True)
        query = exp.select(*[column(name) for name in [*taken, content]], number).from_(query.subquery("contents"))
        query = told_apart(query.subquery("numbered"), taken, content, occurrence, ROW_ID)
    if POSITION in names:
        query = exp.select("*", column(ROW_ID).as_(POSITION, quoted=True)).from_(query.subquery("identified"))
    return query


__all__ = ["Rows", "WarehouseTable"]
