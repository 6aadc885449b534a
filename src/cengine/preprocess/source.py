"""The table a run reads: Parquet files with row identities, filtered as the YAML says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlglot import exp

from cengine.config.resolve import Label
from cengine.engines.duckdb import DuckDB
from cengine.expressions.build import column, finite
from cengine.tables import ROW_ID, TableSchema


@dataclass(frozen=True)
class Rows:
    """Rows of a snapshot: those that pass every filter and, where labels are not filled, have them."""

    files: tuple[Path, ...]
    schema: TableSchema
    filters: tuple[exp.Expr, ...]
    labels: tuple[Label, ...]

    def select(self, engine: DuckDB, columns: Sequence[str]) -> exp.Select:
        """A query for these columns and the row identity, numbers that are not finite made null."""
        names = dict.fromkeys([*columns, ROW_ID])
        query = exp.select(*[self.cell(name).as_(name, quoted=True) for name in names]).from_(engine.parquet(self.files))
        for condition in self.conditions():
            query = query.where(condition)
        return query

    def conditions(self) -> list[exp.Expr]:
        """The filters, and one for each label that is not filled."""
        present = [
            exp.Not(this=exp.Is(this=self.cell(label.name), expression=exp.null())) for label in self.labels if label.filling is None
        ]
        return [*(exp.Paren(this=f.copy()) for f in self.filters), *present]

    def cell(self, name: str) -> exp.Expr:
        """A column as the words see it."""
        if name != ROW_ID and self.schema[name].kind == "float":
            return finite(exp.cast(column(name), "double"))
        return column(name)
