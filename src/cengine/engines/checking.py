"""Whether a condition fits a table, asked of a DuckDB that has nothing to give away: no rows, no files, settings that are locked."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import duckdb
from sqlglot import exp

from cengine.expressions.build import identifier
from cengine.expressions.filters import NotAFilter
from cengine.expressions.reading_back import check_reads_back
from cengine.tables import TableSchema

MEMORY_LIMIT = "256MB"
# What an embedded DuckDB never does here: fetch code, or take a variable of this program for a table.
CLOSED: dict[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}


class Checking:
    """A connection for conditions that nobody has vouched for yet. Its one table is a row of nulls."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "threads": 1, **CLOSED})
        # As settings of the open connection: DuckDB makes the folder for spilled data a readable one, so that it goes first.
        for setting in (
            "TimeZone = 'UTC'",
            "temp_directory = ''",
            "enable_external_access = false",
            "lock_configuration = true",
        ):
            self.connection.execute(f"SET {setting}")
        self._checked: TableSchema | None = None

    def __enter__(self) -> Checking:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def bind_error(self, expression: exp.Expr, schema: TableSchema) -> str | None:
        """Why the expression cannot be evaluated on such a table, None where it can; no row of the table is read.

        It is evaluated on a row of nulls, since a text that is no time (`t > 'yesterday'`) only fails then.
        """
        try:
            check_reads_back(expression, "duckdb")
        except NotAFilter as reason:
            return str(reason)
        try:
            self._take(schema)
            found = self.connection.sql(single(self.connection, f"SELECT {expression.sql('duckdb')} FROM bind_check"))
            kind = str(found.types[0])
            found.fetchall()
        except duckdb.Error as error:
            return first_line(error)
        return None if kind == "BOOLEAN" else f"it gives a {kind.lower()}, not true or false"

    def _take(self, schema: TableSchema) -> None:
        """Makes the row of nulls, once for all filters of a configuration."""
        if self._checked is schema:
            return
        self._checked = None
        columns = ", ".join(f"{identifier(c.name)} {c.sql_type}" for c in schema.columns)
        self.connection.execute(single(self.connection, f"CREATE OR REPLACE TEMP TABLE bind_check ({columns})"))
        self.connection.execute("INSERT INTO bind_check DEFAULT VALUES")
        self._checked = schema


def single(connection: duckdb.DuckDBPyConnection, text: str) -> duckdb.Statement:
    """The one statement of a text, prepared. Raises ValueError where it holds several: `execute` would run them all."""
    statements = connection.extract_statements(text)
    if len(statements) != 1:
        raise ValueError(f"one statement was to be run, and the text holds {len(statements)}")
    return statements[0]


def first_line(error: Exception) -> str:
    """What DuckDB says, in one line."""
    text = str(error).strip()
    if text.startswith("{"):  # errors as JSON
        with contextlib.suppress(ValueError):
            text = json.loads(text).get("exception_message", text)
    line = text.splitlines()[0]
    return line.split("Error: ", 1)[-1]
