"""What is known of a table before any query: its columns, their kinds, and how many rows there are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from cengine.names import Names
from cengine.plain import Cell

# The kinds a YAML speaks of under `preprocessing:`.
KINDS = ("boolean", "integer", "float", "string", "timestamp")
ROW_ID = "_row_id"
# By which an engine whose queries have no order puts rows into one.
POSITION = "_position"
LOOKUP_KEY, LOOKUP_VALUE = "_lookup_key", "_lookup_value"
# Columns that are stored beside a table's own, and whose names none of those may have.
RESERVED_NAMES = (ROW_ID, POSITION)

# The type of whole numbers beyond 64 bits in a schema. They are identifiers, and every engine keeps all digits of a text: their
# column is of the kind string and stored as such, and a filter reads it as this type (`expressions/filters.py`).
DIGITS = "DECIMAL(38,0)"

_KIND_OF_SQL_TYPE = {
    "BOOLEAN": "boolean",
    "TINYINT": "integer", "SMALLINT": "integer", "INTEGER": "integer", "BIGINT": "integer",
    "UTINYINT": "integer", "USMALLINT": "integer", "UINTEGER": "integer",
    "UBIGINT": "float", "HUGEINT": "float", "UHUGEINT": "float",
    "FLOAT": "float", "DOUBLE": "float",
    "VARCHAR": "string", "UUID": "string", "ENUM": "string",
    "DATE": "timestamp", "TIMESTAMP": "timestamp", "TIMESTAMP_S": "timestamp", "TIMESTAMP_MS": "timestamp",
    "TIMESTAMP_NS": "timestamp", "TIMESTAMP WITH TIME ZONE": "timestamp",
}  # fmt: skip


def kind_of(sql_type: str) -> str | None:
    """The kind of a column of this SQL type, None for one that no word can use (lists, structs, times of day, ...)."""
    name = sql_type.split("(")[0].strip().upper()
    if name == "DECIMAL" and not sql_type.endswith("]"):
        return "float"
    return None if sql_type.endswith("]") else _KIND_OF_SQL_TYPE.get(name)


@dataclass(frozen=True)
class Column:
    """A column: `num_nulls`, `minimum` and `maximum` are of the whole table, None where not known."""

    name: str
    sql_type: str
    kind: str | None
    num_nulls: int | None = None
    minimum: Cell = None
    maximum: Cell = None

    @property
    def has_digits(self) -> bool:
        """Whether the column holds whole numbers as texts, which a filter compares as numbers."""
        return self.kind == "string" and self.sql_type == DIGITS

    @property
    def stored_type(self) -> str:
        """The SQL type of the column in the snapshot's files."""
        return "VARCHAR" if self.has_digits else self.sql_type


@dataclass(frozen=True)
class TableSchema:
    """A table's columns in order, and its number of rows."""

    columns: tuple[Column, ...]
    num_rows: int

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Column:
        return self._by_name[name]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    @cached_property
    def lookup(self) -> Names:
        """The columns' names, to be found by what a YAML writes for them."""
        return Names(self.names)

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    def to_json(self) -> dict[str, Any]:
        """A JSON-able form that `from_json` reads."""
        return {"num_rows": self.num_rows, "columns": [asdict(column) for column in self.columns]}

    @staticmethod
    def from_json(data: dict[str, Any]) -> TableSchema:
        """The schema that `to_json` wrote."""
        return TableSchema(tuple(Column(**column) for column in data["columns"]), data["num_rows"])
