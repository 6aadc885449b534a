"""Tables as BigQuery keeps them: versions, schemas, bytes; queries on them run in DuckDB."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from bigquery_sql import Refused, Translated, scanned_columns, translate

LEAST_BILLED_BYTES = 10 * 2**20
ANONYMOUS = "_anonymous"
BYTES_OF_TYPE = {
    "INT64": 8,
    "FLOAT64": 8,
    "BOOL": 1,
    "DATE": 8,
    "DATETIME": 8,
    "TIMESTAMP": 8,
    "TIME": 8,
    "NUMERIC": 16,
    "BIGNUMERIC": 32,
}


@dataclass
class Version:
    """A table's rows from a time on; `schema` are the fields as REST tells them."""

    table: str
    schema: list[dict[str, Any]]
    num_rows: int
    column_bytes: dict[str, int]
    since: float

    @property
    def num_bytes(self) -> int:
        return sum(self.column_bytes.values())


@dataclass
class Table:
    """A table's versions, oldest first."""

    created: float
    versions: list[Version] = field(default_factory=list)
    kind: str = "TABLE"

    def at(self, seconds: float | None) -> Version:
        """The version of a time, the newest where None."""
        if seconds is None:
            return self.versions[-1]
        if seconds < time.time() - 7 * 86_400:
            raise Refused(
                "invalidQuery",
                f"Invalid time travel timestamp {int(seconds * 1000)} for table. Cannot read before 7 days ago",
            )
        found = [version for version in self.versions if version.since <= seconds]
        if not found:
            raise Refused("invalidQuery", "Invalid snapshot time: the table did not exist then")
        return found[-1]


class Tables:
    """All tables, and DuckDB behind them."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(config={"threads": 2})
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute("""
            CREATE MACRO bq_number_text(t) AS CASE WHEN contains(t, '.') THEN rtrim(rtrim(t, '0'), '.') ELSE t END
        """)
        self.found: dict[tuple[str, str, str], Table] = {}
        self.lock = threading.RLock()

    def put(
        self, key: tuple[str, str, str], rows: pa.Table, types: dict[str, str] | None = None, since: float | None = None
    ) -> Table:
        """A new table, or a new version of one; `types` names BigQuery's type of columns that Arrow has none for."""
        with self.lock:
            known = self.found.setdefault(key, Table(since or time.time()))
            name = f"t_{uuid.uuid4().hex}"
            self.connection.register("arriving", rows)
            self.connection.execute(f"CREATE TABLE {name} AS SELECT * FROM arriving")
            self.connection.unregister("arriving")
            schema = [_field(f, (types or {}).get(f.name)) for f in rows.schema]
            sizes = {f["name"]: _column_bytes(rows[f["name"]], f) for f in schema}
            known.versions.append(Version(name, schema, rows.num_rows, sizes, since or time.time()))
            return known

    def locate(self, key: tuple[str, str, str], seconds: float | None = None) -> Version:
        """The version of a time. Raises Refused where there is none."""
        if key not in self.found:
            datasets = {(k[0], k[1]) for k in self.found}
            if key[:2] not in datasets:
                raise Refused("notFound", f"Not found: Dataset {key[0]}:{key[1]} was not found in location US")
            raise Refused("notFound", f"Not found: Table {key[0]}:{key[1]}.{key[2]} was not found in location US")
        return self.found[key].at(seconds)

    def plan(self, text: str, project: str, parameters: dict[str, Any]) -> tuple[Translated, int]:
        """The query for DuckDB, and how many bytes BigQuery would read for it."""
        names: dict[str, Version] = {}

        def locate(*parts: Any) -> str:
            version = self.locate(parts[:3], parts[3])
            names[version.table] = version
            return version.table

        translated = translate(text, project, parameters, locate)
        if translated.statement != "SELECT":
            return translated, 0
        with self.lock:
            try:
                cursor = self._prepared(translated)
                explained = cursor.execute(f"EXPLAIN (FORMAT json) {translated.text}").fetchall()[0][1]
            except duckdb.Error as error:
                raise refusal(error) from error
        columns = scanned_columns(explained)
        return translated, sum(names[table].column_bytes.get(column, 0) for table, column in columns if table in names)

    def _prepared(self, translated: Translated) -> duckdb.DuckDBPyConnection:
        cursor = self.connection.cursor()
        cursor.execute("SET TimeZone = 'UTC'")
        for name, values in translated.variables.items():
            cursor.register("list_of_parameter", pa.table({"v": values, "i": pa.array(range(len(values)))}))
            cursor.execute(f"SET VARIABLE {name} = (SELECT coalesce(list(v ORDER BY i), []) FROM list_of_parameter)")
            cursor.unregister("list_of_parameter")
        return cursor

    def run(self, translated: Translated) -> pa.Table:
        """The rows of a query."""
        with self.lock:
            try:
                rows = self._prepared(translated).sql(translated.text).to_arrow_table()
            except duckdb.Error as error:
                raise refusal(error) from error
        return _as_bigquery(rows)

    def keep_result(self, project: str, rows: pa.Table) -> tuple[str, str, str]:
        """Where the rows of a query are kept, as BigQuery keeps them for a day."""
        key = (project, ANONYMOUS, f"anon{uuid.uuid4().hex}")
        self.put(key, rows)
        return key


def refusal(error: duckdb.Error) -> Refused:
    """DuckDB's error as BigQuery tells it."""
    text = str(error).splitlines()[0]
    if isinstance(error, duckdb.BinderException) and "not found" in text:
        import re

        name = re.search(r'column "([^"]*)"', text)
        return Refused("invalidQuery", f"Unrecognized name: {name[1] if name else text}")
    return Refused("invalidQuery", text.split("Error: ", 1)[-1])


def _as_bigquery(rows: pa.Table) -> pa.Table:
    """The types that BigQuery has: whole numbers of 64 bits, numbers of 64 bits."""
    fields = []
    for f in rows.schema:
        kind = f.type
        if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0):
            kind = pa.int64()
        elif pa.types.is_floating(kind):
            kind = pa.float64()
        elif pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
            kind = pa.string()
        fields.append(pa.field(f.name, kind))
    try:
        return rows.cast(pa.schema(fields))
    except pa.ArrowInvalid as error:
        raise Refused("invalidQuery", f"integer overflow: {error}") from None


def _field(f: pa.Field, given: str | None) -> dict[str, Any]:
    kind, mode = f.type, "NULLABLE"
    if pa.types.is_list(kind):
        kind, mode = kind.value_type, "REPEATED"
    found: dict[str, Any] = {"name": f.name, "type": given or _type(kind), "mode": mode}
    if pa.types.is_struct(kind):
        found["fields"] = [_field(child, None) for child in kind]
    return found


def _type(kind: pa.DataType) -> str:
    tests = (
        (pa.types.is_integer, "INTEGER"), (pa.types.is_floating, "FLOAT"), (pa.types.is_boolean, "BOOLEAN"),
        (pa.types.is_date, "DATE"), (pa.types.is_time, "TIME"), (pa.types.is_struct, "RECORD"),
        (pa.types.is_binary, "BYTES"), (pa.types.is_string, "STRING"), (pa.types.is_large_string, "STRING"),
    )  # fmt: skip
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP" if kind.tz else "DATETIME"
    if pa.types.is_decimal(kind):
        return "NUMERIC" if kind.scale <= 9 else "BIGNUMERIC"
    return next((name for test, name in tests if test(kind)), "STRING")


def _column_bytes(cells: pa.ChunkedArray, f: dict[str, Any]) -> int:
    """What BigQuery bills for a column: nulls nothing, texts their bytes and two."""
    kind = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}.get(f["type"], f["type"])
    present = len(cells) - cells.null_count
    if f["mode"] == "REPEATED" or kind in ("RECORD", "STRUCT"):
        return cells.nbytes
    if kind in BYTES_OF_TYPE:
        return BYTES_OF_TYPE[kind] * present
    return int(pc.sum(pc.binary_length(cells.cast(pa.large_binary()))).as_py() or 0) + 2 * present
