"""Databases in one file: SQLite, by Python's own module, and DuckDB, by the engine's."""

from __future__ import annotations

import contextlib
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from cengine.connections.addresses import hidden
from cengine.digests import file_digest
from cengine.errors import SourceError
from cengine.expressions.build import identifier
from cengine.sources.database import Database, differ
from cengine.sources.source import Option, Part, Reading, State, batches_part

if TYPE_CHECKING:
    import sqlite3

    import duckdb
    import pyarrow as pa
    from sqlglot import exp

BATCH_ROWS = 20_000


def _without_scheme(uri: str) -> str:
    """`sqlite:///folder/file.db`, as others spell it, is a path."""
    for scheme in ("sqlite:///", "duckdb:///"):
        uri = uri.removeprefix(scheme)
    if "://" in uri:
        raise ValueError(f"'{hidden(uri)}' is no file; expected a path, or sqlite:///PATH")
    return uri


class FileDatabase(Database):
    """A database in a file."""

    kept_beside: ClassVar[tuple[str, ...]]
    """Suffixes of files that hold what the file itself does not yet."""
    uri: Annotated[str, AfterValidator(_without_scheme), Option(is_path=True)] = Field(
        description="The file of the {title} database."
    )

    @property
    def address(self) -> str:
        return self.uri

    def state(self, report: Callable[[float], None]) -> State:
        """The digests of the file and of what is kept beside it."""
        file = self.file()
        files = [
            file,
            *(other for suffix in self.kept_beside if (other := file.with_name(file.name + suffix)).exists()),
        ]
        try:
            return State([file_digest(one) for one in files])
        except OSError as error:
            raise SourceError(f"cannot read '{self.uri}': {error.strerror}") from None

    def file(self) -> Path:
        """The file. Raises SourceError where there is none: opening it would make one."""
        file = Path(self.uri).expanduser()
        if not file.is_file():
            raise SourceError(f"there is no file '{self.uri}'")
        return file

    @abstractmethod
    def opened(self, reading: Reading) -> contextlib.AbstractContextManager[Sequence[Part]]:
        """One part, read in one transaction."""


class Sqlite(FileDatabase):
    """A table or query of an SQLite database. A column's type is that of the values it holds."""

    name = "sqlite"
    title = "SQLite"
    dialect = "sqlite"
    kept_beside = ("-wal",)

    @contextlib.contextmanager
    def opened(self, reading: Reading) -> Iterator[Sequence[Part]]:
        import sqlite3

        import pyarrow as pa

        address = f"{self.file().absolute().as_uri()}?mode=ro"
        with (
            self._translated(),
            contextlib.closing(
                sqlite3.connect(address, uri=True, check_same_thread=False, isolation_level=None)
            ) as connection,
        ):
            connection.execute(
                "PRAGMA trusted_schema = OFF"
            )  # a view of the file calls no function that reaches beyond it
            connection.set_authorizer(_within_the_file)
            connection.execute("BEGIN")
            text = self._text(connection)
            columns = _sqlite_columns(connection, text)
            (num_rows,) = connection.execute(f"SELECT count(*) FROM {text}").fetchone()
            query = f"SELECT {', '.join(expression for _, expression, _ in columns)} FROM {text}"
            schema = pa.schema([(name, kind) for name, _, kind in columns])

            def batches() -> Iterator[pa.RecordBatch]:
                with self._translated(), contextlib.closing(connection.execute(query)) as cursor:
                    while rows := cursor.fetchmany(BATCH_ROWS):
                        cells = zip(*rows, strict=True)
                        yield pa.record_batch(
                            [pa.array(values, kind) for values, kind in zip(cells, schema.types, strict=True)],
                            schema=schema,
                        )

            part = batches_part(self.place, schema, batches, reading, num_rows)
            yield [part]

    def _text(self, connection: sqlite3.Connection) -> str:
        """What is read, as SQL."""
        tables = [
            row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        ]
        if self.table is not None and self.table.lower() not in [table.lower() for table in tables]:
            raise self.missing(tables)
        return self.item().sql(self.dialect)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        import sqlite3

        try:
            yield
        except sqlite3.Error as error:
            raise SourceError(f"{self.place} cannot be read: {error}") from None


def _within_the_file(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Whether SQLite may do this: no other database is opened, no code is loaded. The file itself is open for reading only."""
    import sqlite3

    opens = action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH)
    loads = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() == "load_extension"
    return sqlite3.SQLITE_DENY if opens or loads else sqlite3.SQLITE_OK


def _sqlite_columns(connection: sqlite3.Connection, text: str) -> list[tuple[str, str, pa.DataType]]:
    """Name, expression and Arrow type of each column, as its values are."""
    names = [column[0] for column in connection.execute(f"SELECT * FROM {text} LIMIT 0").description]
    differ(names)
    # By name the kinds are ordered blob, integer, real, text: the first and the last one tell what stands between.
    held = _aggregated(
        connection,
        text,
        [f"{which}(nullif(typeof({identifier(name)}), 'null'))" for name in names for which in ("min", "max")],
    )
    first, last = held[::2], held[1::2]
    texts = [name for name, one, other in zip(names, first, last, strict=True) if one == other == "text"]
    mixed = [name for name, one, other in zip(names, first, last, strict=True) if (one, other) == ("integer", "real")]
    whole = {name for name in mixed if _is_whole(connection, text, name)}
    strangers = dict(
        zip(texts, _aggregated(connection, text, [f"max({_is_no_time(name)})" for name in texts]), strict=True)
    )
    return [
        (
            name,
            *_sqlite_type(
                name,
                "integer" if name in whole else one,
                "integer" if name in whole else other,
                is_time=strangers.get(name) == 0,
            ),
        )
        for name, one, other in zip(names, first, last, strict=True)
    ]


def _is_whole(connection: sqlite3.Connection, text: str, name: str) -> bool:
    """Whether a column of integers and reals is to be read as integers, since reals would lose digits of them.

    Raises SourceError for one whose reals are no integers either.
    """
    cell = identifier(name)
    # A real has the digits of whole numbers up to 2**53.
    loses, fraction = _aggregated(
        connection,
        text,
        [
            f"max(typeof({cell}) = 'integer' AND ({cell} > {2**53} OR {cell} < -{2**53}))",
            f"max(typeof({cell}) = 'real' AND NOT ({cell} = round({cell}) AND {cell} BETWEEN -9.2e18 AND 9.2e18))",
        ],
    )
    if loses and fraction:
        raise SourceError(
            f"column '{name}' holds whole numbers above 2**53 beside numbers with a fraction; no type holds both without a change",
            f"choose one with --query, for example: CAST({name} AS TEXT)",
        )
    return bool(loses)


def _aggregated(connection: sqlite3.Connection, text: str, aggregates: list[str]) -> list[Any]:
    """The values of aggregates over all rows."""
    found: list[Any] = []
    for start in range(0, len(aggregates), 1000):  # SQLite takes 2,000 at most
        found += connection.execute(f"SELECT {', '.join(aggregates[start : start + 1000])} FROM {text}").fetchone()
    return found


def _sqlite_type(name: str, first: str | None, last: str | None, *, is_time: bool) -> tuple[str, pa.DataType]:
    """The expression and Arrow type of a column that holds kinds from `first` to `last`."""
    import pyarrow as pa

    cell = identifier(name)
    if first == last == "integer":
        return f"CAST({cell} AS INTEGER)", pa.int64()
    if first in ("integer", "real") and last == "real":
        return f"CAST({cell} AS REAL)", pa.float64()
    if first == last == "blob":
        return cell, pa.binary()
    if first == "blob":
        raise SourceError(
            f"column '{name}' holds bytes beside a {last}", f"choose one with --query, for example: hex({name})"
        )
    if is_time:
        # SQLite keeps times as text.
        seconds = f"CAST(strftime('%s', {cell}) AS INTEGER)"
        fraction = f"CASE WHEN instr({cell}, '.') > 0 THEN CAST(round(CAST('0' || substr({cell}, instr({cell}, '.')) AS REAL) * 1e6) AS INTEGER) ELSE 0 END"
        return f"{seconds} * 1000000 + {fraction}", pa.timestamp("us")
    short = f"CAST({cell} AS TEXT)"
    # Of a real beside texts SQLite writes 15 digits, which may be another number.
    exact = f"CASE WHEN typeof({cell}) = 'real' AND CAST({short} AS REAL) <> {cell} THEN printf('%!.17g', {cell}) ELSE {short} END"
    return (exact if first == "real" or (first, last) == ("integer", "text") else short), pa.string()


def _is_no_time(name: str) -> str:
    """SQL: whether a cell is something else than an ISO date or time."""
    cell = identifier(name)
    return f"{cell} IS NOT NULL AND NOT ({cell} GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]*' AND julianday({cell}) IS NOT NULL)"


class DuckDBFile(FileDatabase):
    """A table or query of a DuckDB database, opened for reading only."""

    name = "duckdb"
    title = "DuckDB"
    dialect = "duckdb"
    kept_beside = (".wal",)

    @contextlib.contextmanager
    def opened(self, reading: Reading) -> Iterator[Sequence[Part]]:
        import duckdb

        config: dict[str, Any] = {"memory_limit": f"{max(reading.memory_bytes, 2**27)}B", "threads": reading.threads,
                                  "temp_directory": str(reading.scratch), "autoinstall_known_extensions": False,
                                  "autoload_known_extensions": False, "python_enable_replacements": False}  # fmt: skip
        with (
            self._translated(),
            contextlib.closing(duckdb.connect(str(self.file()), read_only=True, config=config)) as connection,
        ):
            # A query reads this database, not files of whoever registers it.
            for statement in (
                "SET TimeZone = 'UTC'",
                "SET enable_external_access = false",
                "SET lock_configuration = true",
                "BEGIN",
            ):
                connection.execute(statement)
            text = self._text(connection)
            (num_rows,) = connection.execute(_single(connection, f"SELECT count(*) FROM {text}")).fetchone() or (0,)
            columns = _duckdb_columns(connection, text)
            beyond = _beyond_decimals(connection, text, columns)
            cells = ", ".join(_duckdb_cell(name, kind, beyond) for name, kind in columns)
            query = f"SELECT {cells} FROM {text}"
            schema = connection.sql(f"{query} LIMIT 0").to_arrow_table().schema

            def batches() -> Iterator[pa.RecordBatch]:
                with self._translated():
                    yield from connection.sql(_single(connection, query)).to_arrow_reader(BATCH_ROWS)

            yield [batches_part(self.place, schema, batches, reading, num_rows)]

    def _text(self, connection: duckdb.DuckDBPyConnection) -> str:
        """What is read, as SQL."""
        item: exp.Expr = self.item()
        if self.table is not None:
            tables = [
                row[0] if row[1] == "main" else f"{row[1]}.{row[0]}"
                for row in connection.execute(
                    "SELECT table_name, table_schema FROM information_schema.tables"
                ).fetchall()
            ]
            if self.table.lower().removeprefix("main.") not in [table.lower() for table in tables]:
                raise self.missing(tables)
        return item.sql(self.dialect)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        import duckdb

        try:
            yield
        except duckdb.Error as error:
            told = str(error).splitlines()[0].split("Error: ", 1)[-1]
            if "different configuration" in told:
                raise SourceError(
                    f"'{self.uri}' is open in this program already", "close that connection first"
                ) from None
            if "lock" in told.lower():
                raise SourceError(
                    f"'{self.uri}' is open for writing in another program", "close it there, or copy the file"
                ) from None
            raise SourceError(f"{self.place} cannot be read: {told}") from None


def _single(connection: duckdb.DuckDBPyConnection, text: str) -> duckdb.Statement:
    """The one statement of a text. Raises SourceError where it holds several: `execute` would run them all."""
    statements = connection.extract_statements(text)
    if len(statements) != 1:
        raise SourceError(f"--query holds {len(statements)} statements", "expected one SELECT")
    return statements[0]


def _duckdb_columns(connection: duckdb.DuckDBPyConnection, text: str) -> list[tuple[str, str]]:
    described = connection.execute(_single(connection, f"DESCRIBE SELECT * FROM {text}")).fetchall()
    differ([row[0] for row in described])
    return [(row[0], row[1]) for row in described]


def _beyond_decimals(connection: duckdb.DuckDBPyConnection, text: str, columns: list[tuple[str, str]]) -> set[str]:
    """The columns of 128-bit numbers with more digits than a decimal has."""
    wide = [name for name, kind in columns if kind in ("HUGEINT", "UHUGEINT")]
    limit = 10**38
    asked = ", ".join(
        f"max({cell} >= {limit}::UHUGEINT OR {cell} <= -{limit}::HUGEINT)" for cell in map(identifier, wide)
    )
    (found,) = connection.execute(f"SELECT {asked} FROM {text}").fetchall() if wide else ((),)
    return {name for name, is_beyond in zip(wide, found, strict=True) if is_beyond}


# What Arrow or Parquet would carry as something else.
_NO_LIKE = re.compile(r"\b(BIT|TIME WITH TIME ZONE|INTERVAL|BIGNUM|UNION|TYPE|VARIANT|GEOMETRY)\b")


def _duckdb_cell(name: str, kind: str, beyond: set[str]) -> str:
    """A column as Arrow can carry it to another DuckDB."""
    cell, plain = identifier(name), kind.split("(")[0].upper()
    if (
        name in beyond
        or plain in ("UUID", "ENUM", "JSON")
        or (not plain.startswith("ENUM") and _NO_LIKE.search(_outside_quotes(kind)))
    ):
        return f"CAST({cell} AS VARCHAR) AS {cell}"
    if "HUGEINT" in _outside_quotes(kind):  # digits of Parquet's decimals, not a double
        return f"CAST({cell} AS {re.sub(r'U?HUGEINT', 'DECIMAL(38,0)', kind)}) AS {cell}"
    return cell


def _outside_quotes(kind: str) -> str:
    """A type without the names and values in it."""
    return re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", "", kind)
