"""BigQuery's types as the words see them: each is mapped, or named as one that no word reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlglot import exp

from cengine.expressions.build import column
from cengine.tables import Column

if TYPE_CHECKING:
    from google.cloud.bigquery import SchemaField

# (type in the schema, kind of the YAML); NUMERIC and BIGNUMERIC are read as numbers of 15 digits.
_MAPPED = {
    "INTEGER": ("BIGINT", "integer"), "INT64": ("BIGINT", "integer"),
    "FLOAT": ("DOUBLE", "float"), "FLOAT64": ("DOUBLE", "float"),
    "NUMERIC": ("DOUBLE", "float"), "BIGNUMERIC": ("DOUBLE", "float"),
    "BOOLEAN": ("BOOLEAN", "boolean"), "BOOL": ("BOOLEAN", "boolean"),
    "STRING": ("VARCHAR", "string"),
    "DATE": ("DATE", "timestamp"), "DATETIME": ("TIMESTAMP", "timestamp"), "TIMESTAMP": ("TIMESTAMP", "timestamp"),
}  # fmt: skip
# Columns that stay in the table and that no word reads.
UNREADABLE = {
    "BYTES": "bytes have no meaning of their own; give a number or text of them in a view saved as a table",
    "TIME": "a time of day is no moment; give its seconds or hour as a number",
    "GEOGRAPHY": "give ST_X and ST_Y of it as numbers",
    "JSON": "give what you need of it with JSON_VALUE",
    "RECORD": "give its fields as columns of their own", "STRUCT": "give its fields as columns of their own",
    "INTERVAL": "give it as a number", "RANGE": "give its ends as two columns",
}  # fmt: skip
REPEATED = "give its length, an element or a row for each element"


def column_of(field: SchemaField) -> Column:
    """A field of a table's schema as a column; of a kind that no word reads where its type has none."""
    if field.mode == "REPEATED":
        return Column(field.name, f"ARRAY<{field.field_type}>", None)
    sql_type, kind = _MAPPED.get(field.field_type, (field.field_type, None))
    return Column(field.name, sql_type, kind)


def why_unreadable(field: SchemaField) -> str:
    """The sentence for a column whose type is not mapped."""
    kind = f"ARRAY<{field.field_type}>" if field.mode == "REPEATED" else field.field_type
    advice = REPEATED if field.mode == "REPEATED" else UNREADABLE.get(field.field_type, "this version does not know it")
    return f"column '{field.name}' is of type {kind}, which no transform reads: {advice}"


def cells_of(fields: Iterable[SchemaField]) -> dict[str, exp.Expr]:
    """What gives the cells of columns the type that `column_of` says, of those that have another."""
    cells: dict[str, exp.Expr] = {}
    for field in fields:
        if field.mode == "REPEATED":
            continue
        if field.field_type == "TIMESTAMP":  # in UTC, without a zone
            cells[field.name] = exp.cast(column(field.name), "timestamp")
        elif field.field_type in ("NUMERIC", "BIGNUMERIC"):
            cells[field.name] = exp.cast(column(field.name), "double")
    return cells
