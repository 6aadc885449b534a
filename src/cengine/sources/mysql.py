"""MySQL and MariaDB: read in one transaction that sees one state, each row as a line of CSV that Arrow parses.

The driver is Python and slow by the cell, so the server puts a row's cells into one. Text is quoted and its quotes are
doubled, NULL is \\N without quotes: nothing that a cell holds can be taken for anything else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field

from cengine.connections.addresses import AddressField, connected
from cengine.errors import SourceError
from cengine.extras import install_command
from cengine.sources.database import ServerDatabase, differ, unusable
from cengine.sources.source import Part, Reading, batches_part

if TYPE_CHECKING:
    import pyarrow as pa
    from pymysql import Connection
    from sqlglot import exp

BATCH_ROWS = 20_000
NULL = r"\N"
ACCESS_DENIED, NO_SUCH_TABLE, NO_SUCH_DATABASE = 1045, 1146, 1049
UNSIGNED = 32  # among a column's flags
LOST = (2002, 2003, 2006, 2013, 1053, 1317, 1927)


class Mysql(ServerDatabase):
    """A table or query of MySQL or MariaDB."""

    name = "mysql"
    title = "MySQL"
    dialect = "mysql"
    schemes = ("mysql", "mariadb")
    uri: AddressField = Field(
        description="mysql://USER@HOST/DATABASE; the password comes from MYSQL_PWD, a ${VARIABLE} in it, or the keyring."
    )

    @contextlib.contextmanager
    def opened(self, reading: Reading) -> Iterator[Sequence[Part]]:
        """One part, read over one connection: the state that several would share could only be had by locking all tables."""
        item = self.item()
        with contextlib.ExitStack() as stack:
            with _translated(self):
                connection = stack.enter_context(contextlib.closing(_connected(self)))
                _rows(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                columns = _columns(self, connection, item)
            yield [_part(self, connection, item, columns, reading)]


def _part(
    source: Mysql, connection: Connection, item: exp.Expr, columns: list[tuple[str, str, pa.DataType]], reading: Reading
) -> Part:
    """`columns` are (name, SQL of the text, Arrow type)."""
    import pyarrow as pa

    cells = ", ',', ".join(f"IFNULL({text}, '\\\\N')" for _, text, _ in columns)
    query = f"SELECT CONCAT({cells}) FROM {item.sql(source.dialect)}"
    names, types = [name for name, _, _ in columns], {name: kind for name, _, kind in columns}

    def batches() -> Iterator[pa.RecordBatch]:
        from pymysql.cursors import SSCursor

        with _translated(source), contextlib.closing(connection.cursor(SSCursor)) as cursor:
            cursor.execute(query)
            while rows := cursor.fetchmany(BATCH_ROWS):
                lines = [row[0] for row in rows]
                if None in lines:
                    raise SourceError(
                        f"{source.place} has a row that is longer than the server's max_allowed_packet",
                        "raise it there, or leave out long columns with --query",
                    )
                yield _parsed(lines, names, types)

    schema = pa.schema(list(types.items()))
    return batches_part(source.place, schema, batches, reading, _expected_rows(source, connection))


def _parsed(lines: list[bytes], names: list[str], types: dict[str, pa.DataType]) -> pa.RecordBatch:
    """Lines of CSV as a batch."""
    import pyarrow as pa
    import pyarrow.csv

    read = pyarrow.csv.ReadOptions(
        column_names=names, use_threads=False, block_size=sum(map(len, lines)) + len(lines) + 1
    )
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
    convert = pyarrow.csv.ConvertOptions(
        column_types=types, null_values=[NULL], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    table = pyarrow.csv.read_csv(pa.py_buffer(b"\n".join(lines) + b"\n"), read, parse, convert)
    return table.combine_chunks().to_batches()[0]


def _connected(source: Mysql) -> Connection:
    """A connection, its words in bytes."""
    import os

    try:
        import pymysql
    except ImportError:
        raise SourceError("MySQL needs a package that is not installed", install_command("mysql")) from None
    parts = urlsplit(source.uri.filled())
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    if unknown := sorted(set(options) - {"ssl_ca", "ssl_cert", "ssl_key"}):
        raise SourceError(f"{source.address}: unknown parameter '{unknown[0]}'", "known: ssl_ca, ssl_cert, ssl_key")
    password = unquote(parts.password) if parts.password is not None else os.environ.get("MYSQL_PWD", "")

    def connect(kept: str | None) -> Connection:
        return pymysql.connect(
            host=parts.hostname or "localhost",
            port=parts.port or 3306,
            user=unquote(parts.username or ""),
            password=password if kept is None else kept,
            database=unquote(parts.path.lstrip("/")),
            charset="utf8mb4",
            use_unicode=False,
            autocommit=False,
            local_infile=False,
            sql_mode="",
            init_command="SET time_zone = '+00:00'",
            **options,
        )

    def wants_password(error: Exception) -> bool:
        return isinstance(error, pymysql.err.OperationalError) and error.args[0] == ACCESS_DENIED

    return connected(source.uri, connect, wants_password)


@contextlib.contextmanager
def _translated(source: Mysql) -> Iterator[None]:
    """The driver's errors as ours."""
    import pyarrow as pa

    try:
        import pymysql
    except ImportError:
        yield  # told when a connection is made
        return
    try:
        yield
    except pymysql.err.MySQLError as error:
        raise _error(source, error) from None
    except pa.ArrowInvalid as error:
        raise SourceError(
            f"{source.place} holds a value that does not fit its column: {error}",
            "convert the column with --query and a CAST",
        ) from None
    except OSError as error:
        raise SourceError(
            f"the connection to {source.address} broke: {error.strerror or error}",
            "nothing was registered; see that the server runs and run the command again",
        ) from None


def _error(source: Mysql, error: Exception) -> SourceError:
    code, told = (*error.args, "", "")[:2]
    told = str(told).rstrip(".")
    if code == ACCESS_DENIED:
        return SourceError(
            f"{source.address} asks for a password, or for another one: {told}",
            "give it in the environment (export MYSQL_PWD=..., or a ${VARIABLE} in the address), or in the keyring: "
            f"keyring set cengine '{source.address}'",
        )
    if code in LOST or isinstance(code, str):
        return SourceError(
            f"the connection to {source.address} cannot be made or broke: {told or code}",
            "nothing was registered; see that the server runs and run the command again",
        )
    return SourceError(f"{source.place} cannot be read: {told}")


def _rows(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def _columns(source: Mysql, connection: Connection, item: exp.Expr) -> list[tuple[str, str, pa.DataType]]:
    """Name, SQL of its text, and Arrow type of each column. Raises SourceError for one that has no counterpart."""
    text = item.sql(source.dialect)
    with contextlib.closing(connection.cursor()) as cursor:
        try:
            cursor.execute(f"SELECT * FROM {text} LIMIT 0")
        except Exception as error:
            if source.table is not None and error.args and error.args[0] == NO_SUCH_TABLE:
                raise source.missing([row[0].decode() for row in _rows(connection, "SHOW TABLES")]) from None
            raise
        described = [(_text(column[0]), column[1], column[4], column[5]) for column in cursor.description]
        unsigned = [bool(known.flags & UNSIGNED) for known in cursor._result.fields]
    differ([name for name, *_ in described])
    sets = ", ".join(f"CHARSET({_quoted(name)})" for name, *_ in described)
    # Without reading a row: a join that finds nothing still knows its columns.
    ((*charsets,),) = _rows(
        connection, f"SELECT {sets} FROM (SELECT 1) AS one LEFT JOIN (SELECT * FROM {text} LIMIT 0) AS asked ON 0 = 1"
    )
    return [
        (name, *_conversion(name, kind, precision, scale, _text(charset) == "binary", is_unsigned))
        for (name, kind, precision, scale), charset, is_unsigned in zip(described, charsets, unsigned, strict=True)
    ]


def _conversion(
    name: str, kind: int, precision: int, scale: int, binary: bool, unsigned: bool
) -> tuple[str, pa.DataType]:
    """SQL that gives a cell as CSV, and the Arrow type that it becomes."""
    import pyarrow as pa
    from pymysql.constants import FIELD_TYPE as T

    cell = _quoted(name)
    if kind == T.LONGLONG and unsigned:
        return f"CAST({cell} AS CHAR)", pa.uint64()
    if kind in (T.TINY, T.SHORT, T.INT24, T.LONG, T.YEAR, T.LONGLONG):
        return f"CAST({cell} AS CHAR)", pa.int64()
    if kind in (T.FLOAT, T.DOUBLE):
        return f"CAST({cell} + 0e0 AS CHAR)", pa.float64()
    if kind in (T.DECIMAL, T.NEWDECIMAL):
        # Whole numbers of more digits than a double has are identifiers.
        exact = pa.int64() if precision <= 18 else pa.decimal128(38, 0)
        return f"CAST({cell} AS CHAR)", exact if scale == 0 else pa.float64()
    if kind == T.BIT:
        return f"CAST({cell} + 0 AS CHAR)", pa.int64()
    if kind in (T.DATE, T.NEWDATE):
        return f"CAST(NULLIF({cell}, 0) AS CHAR)", pa.date32()
    if kind in (T.DATETIME, T.TIMESTAMP):
        return f"CAST(NULLIF({cell}, 0) AS CHAR)", pa.timestamp("us")
    if kind == T.JSON or (
        kind in (T.VARCHAR, T.VAR_STRING, T.STRING, T.TINY_BLOB, T.MEDIUM_BLOB, T.LONG_BLOB, T.BLOB, T.ENUM, T.SET)
        and not binary
    ):
        return f"CONCAT('\"', REPLACE(CONVERT({cell} USING utf8mb4), '\"', '\"\"'), '\"')", pa.string()
    if kind == T.TIME:
        raise unusable(name, "time", f"time_to_sec({name})")
    if kind == T.GEOMETRY:
        raise unusable(name, "geometry", f"st_astext({name})")
    raise unusable(name, "binary" if binary else f"number {kind}", f"hex({name})")


def _expected_rows(source: Mysql, connection: Connection) -> int:
    """About how many rows there are, as the server's statistics say; 0 where they do not."""
    if source.table is None or "." in source.table:
        return 0
    name = source.table.replace("\\", "\\\\").replace("'", "''")
    found = _rows(
        connection,
        f"SELECT table_rows FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '{name}'",
    )
    return int(found[0][0] or 0) if found else 0


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
