"""PostgreSQL: read over several connections that see the same snapshot, as COPY's binary rows turned into Arrow."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from cengine.connections.addresses import AddressField, connected
from cengine.connections.postgres import Why, trouble_of, wants_password
from cengine.errors import SourceError
from cengine.expressions.build import identifier
from cengine.extras import install_command
from cengine.sources.database import ServerDatabase, differ, unusable
from cengine.sources.ranges import ReadRange, edges, in_order
from cengine.sources.source import Part, Reading, batches_part

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_postgresql import dbapi
    from sqlglot import exp

# As they are; Arrow and DuckDB have their like.
_PLAIN = {
    "bool",
    "int2",
    "int4",
    "int8",
    "float4",
    "float8",
    "text",
    "varchar",
    "bpchar",
    "name",
    "date",
    "time",
    "bytea",
}
_PLAIN_LISTS = {
    f"_{name}" for name in ("bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar", "bpchar")
}
_AS_TEXT = {
    "uuid",
    "json",
    "jsonb",
    "xml",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "citext",
    "bit",
    "varbit",
    "char",
    "tsvector",
}
_MOMENTS = {"timestamp", "timestamptz"}
_NUMBERS = {"numeric": "DOUBLE PRECISION", "oid": "BIGINT", "xid": "BIGINT"}

BATCH_BYTES = 4 * 2**20
# A range is about so many pages of 8 KB: short enough to be held, long enough to be worth a query.
RANGE_PAGES = 4096
MAX_CONNECTIONS = 4
MIN_VERSION_OF_PAGE_RANGES = 140000


class Postgres(ServerDatabase):
    """A table or query of PostgreSQL."""

    name = "postgres"
    title = "PostgreSQL"
    dialect = "postgres"
    schemes = ("postgresql", "postgres")
    uri: AddressField = Field(
        description="postgresql://USER@HOST/DATABASE; the password comes from PGPASSWORD, a ${VARIABLE} in it, ~/.pgpass or the keyring."
    )

    @contextlib.contextmanager
    def opened(self, reading: Reading) -> Iterator[Sequence[Part]]:
        """One part, read in ranges of pages where it is a plain table."""
        with contextlib.ExitStack() as stack:
            with _translated(self):
                part = self._part(reading, stack)
            yield [part]

    def _part(self, reading: Reading, stack: contextlib.ExitStack) -> Part:
        item = self.item()
        first = stack.enter_context(_session(self))
        columns = _columns(self, first, item)
        ranges = _page_ranges(self, first) or [(None, None)]
        queries = [_query(item, columns, pages) for pages in ranges]
        schema = _with_digits(first.schema(queries[0]), columns)
        num_more = min(reading.threads, MAX_CONNECTIONS, len(ranges)) - 1
        snapshot = first.rows("SELECT pg_export_snapshot()")[0][0] if num_more > 0 else None
        sessions = [first, *(stack.enter_context(_session(self, snapshot)) for _ in range(num_more))]

        def batches() -> Iterator[pa.RecordBatch]:
            return in_order(
                len(queries), [_reader(self, session, queries, schema) for session in sessions], reading.memory_bytes
            )

        return batches_part(self.place, schema, batches, reading, _expected_rows(self, first))


# A connection


class _Session:
    """Statements in the one transaction of a connection."""

    def __init__(self, connection: dbapi.Connection) -> None:
        self.connection = connection

    def run(self, statement: str) -> None:
        """Runs what gives no rows."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """All rows."""
        with self.connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def schema(self, query: str) -> pa.Schema:
        """The schema of a query's rows; none is read."""
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM ({query}) AS asked LIMIT 0")
            return cursor.fetch_record_batch().schema.remove_metadata()

    def stream(self, query: str) -> Iterator[pa.RecordBatch]:
        """The rows in batches of some megabytes."""
        with self.connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
            cursor.execute(query)
            yield from cursor.fetch_record_batch()


@contextlib.contextmanager
def _session(source: Postgres, snapshot: str | None = None) -> Iterator[_Session]:
    """A connection whose transaction sees one state of the database: that of `snapshot`, or the one that is now."""
    with contextlib.closing(_connected(source)) as connection:
        session = _Session(connection)
        session.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if snapshot is not None:
            session.run(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        yield session


def _connected(source: Postgres) -> dbapi.Connection:
    """A connection with a transaction of its own."""
    from adbc_driver_postgresql import dbapi

    return connected(
        source.uri, lambda password: dbapi.connect(source.uri.filled(password), autocommit=False), wants_password
    )


@contextlib.contextmanager
def _translated(source: Postgres) -> Iterator[None]:
    """The driver's errors as ours. Raises SourceError if there is no driver."""
    import pyarrow as pa

    try:
        import adbc_driver_postgresql  # noqa: F401
        from adbc_driver_manager import Error
    except ImportError:
        raise SourceError("PostgreSQL needs packages that are not installed", install_command("postgres")) from None

    try:
        yield
    except (Error, pa.ArrowException, OSError) as error:
        raise _error(source, error) from None


def _error(source: Postgres, error: Exception) -> SourceError:
    trouble = trouble_of(error)
    match trouble.why:
        case Why.PASSWORD:
            return SourceError(
                f"{source.address} asks for a password, or for another one: {trouble.told}",
                "give it in the environment (export PGPASSWORD=..., or a ${VARIABLE} in the address), in ~/.pgpass, or in the keyring: "
                f"keyring set cengine '{source.address}'",
            )
        case Why.FORBIDDEN:
            return SourceError(f"{source.address}: {trouble.told}", "the user has to be allowed to SELECT from it")
        case Why.AWAY | Why.NO_DATABASE:
            again = "nothing was registered; see that the server runs and run the command again"
            return SourceError(f"the connection to {source.address} cannot be made or broke: {trouble.told}", again)
    return SourceError(f"{source.place} cannot be read: {trouble.told}")


# What is read


@dataclass(frozen=True)
class _Column:
    """A column with the expression that reads it."""

    name: str
    expression: str
    has_digits: bool = False
    """Whether the expression gives texts of whole numbers that no plain type holds."""


def _columns(source: Postgres, session: _Session, item: exp.Expr) -> list[_Column]:
    """The columns, each cast to a type that has a counterpart. Raises SourceError for one that has none."""
    text = item.sql(source.dialect)
    try:
        names = session.schema(f"SELECT * FROM {text}").names
    except Exception as error:
        if source.table is not None and getattr(error, "sqlstate", None) in ("42P01", "3F000"):
            raise source.missing(_tables(source)) from None
        raise
    differ(names)
    if not names:
        raise SourceError(f"{source.place} has no columns")
    # Without reading a row: the types of a join that finds nothing.
    oids = ", ".join(f"CAST(CAST(pg_typeof(asked.{identifier(name)}) AS oid) AS bigint)" for name in names)
    ((*kinds,),) = session.rows(
        f"SELECT {oids} FROM (SELECT 1) AS one LEFT JOIN (SELECT * FROM {text} LIMIT 0) AS asked ON false"
    )
    known = {
        row[0]: row[1:]
        for row in session.rows(f"""
        WITH RECURSIVE kinds AS (
            SELECT oid AS asked, oid, typname, typtype, typbasetype FROM pg_type WHERE oid IN ({", ".join(map(str, kinds))})
            UNION ALL
            SELECT k.asked, t.oid, t.typname, t.typtype, t.typbasetype FROM kinds k JOIN pg_type t ON t.oid = k.typbasetype WHERE k.typtype = 'd'
        ) SELECT CAST(asked AS bigint), CAST(typname AS text), CAST(typtype AS text) FROM kinds WHERE typtype <> 'd'
    """)
    }
    numbers = [name for name, kind in zip(names, kinds, strict=True) if known[kind][0] == "numeric"]
    exact = _whole_numbers(session, text, numbers)
    return [
        exact.get(name) or _Column(name, _expression(name, *known[kind]))
        for name, kind in zip(names, kinds, strict=True)
    ]


def _whole_numbers(session: _Session, text: str, names: Sequence[str]) -> dict[str, _Column]:
    """Of columns of NUMERIC, which a server tells no range of, those of whole numbers that a double would not hold.

    Greater ones than 38 digits, infinity and NaN are numbers as before.
    """
    found = {}
    for start in range(0, len(names), 500):  # a row of PostgreSQL has 1,664 columns
        part = names[start : start + 500]
        asked = ", ".join(
            f"CAST(CASE WHEN bool_and({cell} = trunc({cell})) THEN CASE WHEN max(abs({cell})) < 1e15 THEN 0 "
            f"WHEN max(abs({cell})) < 9e18 THEN 1 WHEN max(abs({cell})) < 1e38 THEN 2 ELSE 3 END ELSE 0 END AS bigint)"
            for cell in (f"asked.{identifier(name)}" for name in part)
        )
        ((*sizes,),) = session.rows(f"SELECT {asked} FROM (SELECT * FROM {text}) AS asked")
        for name, size in zip(part, sizes, strict=True):
            cell = f"asked.{identifier(name)}"
            if size == 1:
                found[name] = _Column(name, f"CAST({cell} AS bigint)")
            elif size == 2:
                found[name] = _Column(name, f"CAST(trunc({cell}) AS text)", has_digits=True)
    return found


def _expression(name: str, kind: str, category: str) -> str:
    """SQL that reads a column of a type."""
    cell = f"asked.{identifier(name)}"
    if kind in _PLAIN or kind in _PLAIN_LISTS:
        return cell
    if kind in _MOMENTS:
        # Infinity is no time that one can reckon with.
        return f"CASE WHEN isfinite({cell}) THEN {cell} END"
    if kind in _NUMBERS:
        return f"CAST({cell} AS {_NUMBERS[kind]})"
    if kind in _AS_TEXT or category == "e":
        return f"CAST({cell} AS text)"
    seconds = "extract(epoch from {})" if kind == "interval" else "cast({} as text)"
    raise unusable(name, f"{kind.removeprefix('_')}[]" if kind.startswith("_") else kind, seconds.format(name))


def _query(item: exp.Expr, columns: list[_Column], pages: tuple[int | None, int | None]) -> str:
    """The SELECT of a range of pages, or of all rows."""
    cells = ", ".join(f"{column.expression} AS {identifier(column.name)}" for column in columns)
    source = item.copy()
    source.set("alias", None)
    text = f"SELECT {cells} FROM {source.sql('postgres')} AS asked"
    low, high = pages
    conditions = [f"asked.ctid >= '({low},0)'::tid"] if low is not None else []
    conditions += [f"asked.ctid < '({high},0)'::tid"] if high is not None else []
    return f"{text} WHERE {' AND '.join(conditions)}" if conditions else text


def _page_ranges(source: Postgres, session: _Session) -> list[tuple[int | None, int | None]] | None:
    """Ranges of a plain table's pages; None for a view, a query, or a server that would read all pages for each of them."""
    if source.table is None:
        return None
    ((version,),) = session.rows("SELECT CAST(current_setting('server_version_num') AS bigint)")
    found = session.rows(
        f"SELECT CAST(relkind AS text), pg_relation_size(oid) / 8192 FROM pg_class WHERE oid = {_oid(source)}"
    )
    if version < MIN_VERSION_OF_PAGE_RANGES or not found or found[0][0] not in ("r", "m"):
        return None
    num_pages = int(found[0][1])
    return edges(0, num_pages - 1, -(-num_pages // RANGE_PAGES)) if num_pages > RANGE_PAGES else None


def _expected_rows(source: Postgres, session: _Session) -> int:
    """About how many rows there are, as the server's own statistics say; 0 where they do not."""
    if source.table is None:
        return 0
    found = session.rows(f"SELECT CAST(reltuples AS bigint) FROM pg_class WHERE oid = {_oid(source)}")
    return max(0, int(found[0][0])) if found else 0


def _oid(source: Postgres) -> str:
    """SQL for the number of the table."""
    name = source.item().sql("postgres").replace("'", "''")
    return f"'{name}'::regclass"


def _tables(source: Postgres) -> list[str]:
    """The tables and views one may read, those of the search path by their name alone."""
    with _session(source) as session:
        found = session.rows("""
            SELECT CASE WHEN pg_table_is_visible(c.oid) THEN CAST(c.relname AS text) ELSE n.nspname || '.' || c.relname END
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
              AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
        """)
    return [row[0] for row in found]


def _reader(source: Postgres, session: _Session, queries: list[str], schema: pa.Schema) -> ReadRange:
    """What reads a range by its number."""

    def read(number: int) -> Generator[pa.RecordBatch, None, None]:
        import pyarrow as pa

        with _translated(source):
            for batch in session.stream(queries[number]):
                cells = [
                    cell.cast(kind) if pa.types.is_decimal(kind) else cell
                    for cell, kind in zip(batch.columns, schema.types, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(cells, schema=schema)

    return read


def _with_digits(schema: pa.Schema, columns: Sequence[_Column]) -> pa.Schema:
    """The schema with decimals where the server sends texts of digits."""
    import pyarrow as pa

    return pa.schema(
        [
            field.with_type(pa.decimal128(38, 0)) if known.has_digits else field
            for field, known in zip(schema, columns, strict=True)
        ]
    )
