"""PostgreSQL: queries run in the database, results come out by COPY. The database is only read; look-ups are temporary tables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from sqlglot import exp

from cengine.connections.addresses import connected, parse_address
from cengine.connections.postgres import Why, trouble_of, wants_password
from cengine.engines.binding import bind_error_of
from cengine.engines.engine import Engine, Progress, Setup
from cengine.engines.files import is_positioned, without_zones, write_parquet, zoneless
from cengine.engines.lookups import found_in
from cengine.errors import CengineError, PreprocessError, SourceError
from cengine.expressions.build import column, identifier
from cengine.expressions.dialects import render
from cengine.extras import install_command
from cengine.tables import LOOKUP_KEY, POSITION, TableSchema

# What PostgreSQL's types are in Arrow, by their names in pg_type.
_ARROW_TYPES = {
    "bool": pa.bool_(), "int2": pa.int16(), "int4": pa.int32(), "int8": pa.int64(), "float4": pa.float32(), "float8": pa.float64(),
    "numeric": pa.float64(), "text": pa.string(), "varchar": pa.string(), "bpchar": pa.string(), "name": pa.string(), "uuid": pa.string(),
    "date": pa.date32(), "timestamp": pa.timestamp("us"), "timestamptz": pa.timestamp("us", "UTC"), "unknown": pa.string(),
}  # fmt: skip


class Postgres(Engine):
    """One connection; `uri` says where to."""

    name = "postgres"
    dialect = "postgres"
    keeps_order = False

    @classmethod
    def open(cls, setup: Setup) -> Postgres:
        """An engine on the database of `settings["uri"]`."""
        return cls(setup.scratch, str(setup.settings["uri"]))

    def __init__(self, scratch: Path, uri: str) -> None:
        try:
            import psycopg
        except ImportError:
            raise SourceError(
                "PostgreSQL is spoken to by psycopg, which is not installed", install_command("postgres")
            ) from None
        self.scratch = scratch
        self._loaded: dict[tuple[Path, ...], str] = {}
        address = parse_address(uri)
        options = "-c timezone=UTC -c extra_float_digits=1 -c standard_conforming_strings=on"
        try:
            self.connection = connected(
                address,
                lambda password: psycopg.connect(address.filled(password), autocommit=True, options=options),
                wants_password,
            )
        except psycopg.OperationalError as error:
            raise SourceError(
                f"PostgreSQL cannot be reached: {trouble_of(error).told}", "is the server up, and the address right?"
            ) from None

    def __enter__(self) -> Postgres:
        self.scratch.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        with contextlib.suppress(OSError):
            self.scratch.rmdir()

    def parquet(self, files: Sequence[Path], alias: str | None = None) -> exp.Expr:
        """The rows of Parquet files, loaded into a temporary table with their POSITION."""
        name = self._loaded.get(tuple(files))
        if name is None:
            name = self._loaded[tuple(files)] = self.new_name("files")
            self._create(name, pq.read_schema(files[0]).append(pa.field(POSITION, pa.int64())))
            start = 0
            for file in files:
                with pq.ParquetFile(file) as reader:
                    for batch in reader.iter_batches():
                        places = pa.array(range(start, start + len(batch)), pa.int64())
                        self._copy_in(name, pa.Table.from_batches([batch]).append_column(POSITION, places))
                        start += len(batch)
            self._execute(f"ANALYZE {name}")
        table = exp.to_table(name)
        return exp.alias_(table, alias, table=True) if alias else table

    def register(self, name: str, table: pa.Table) -> None:
        """A temporary table, with an index where it is one to look up in."""
        self._execute(f"DROP TABLE IF EXISTS {name}")
        self._create(name, table.schema)
        self._copy_in(name, table)
        if LOOKUP_KEY in table.column_names:
            self._execute(f'CREATE INDEX ON {name} ("{LOOKUP_KEY}")')
        self._execute(f"ANALYZE {name}")

    def index_of_text(self, expression: exp.Expr, values: pa.Array | pa.ChunkedArray) -> exp.Expr:
        """The index of a text in `values`."""
        return found_in(self.load_pairs("texts", values, pa.array(range(len(values)), pa.int64())), expression)

    def beside(
        self, expression: exp.Expr, keys: pa.Array | pa.ChunkedArray, values: pa.Array | pa.ChunkedArray
    ) -> exp.Expr:
        """The one of `values` that stands where the text does in `keys`."""
        return found_in(self.load_pairs("pairs", keys, values), expression)

    def fetch(self, query: exp.Expr, progress: Progress | None = None) -> pa.Table:
        """The result as an Arrow table."""
        with self._answer(query, progress) as (file, schema):
            if not file.stat().st_size:
                return schema.empty_table()
            return without_zones(pc.read_csv(file, *_csv_options(schema)))

    def write(
        self, query: exp.Expr, target: Path, progress: Progress | None = None, schema: pa.Schema | None = None
    ) -> int:
        """Writes the result as one Parquet file, in the order of the column POSITION where it has one."""
        if isinstance(query, exp.Query) and is_positioned(query):
            query = exp.select("*").from_(query.subquery("ordered")).order_by(column(POSITION))
        with self._answer(query, progress) as (file, found):
            names = [name for name in found.names if name != POSITION]
            wanted = schema or zoneless(pa.schema([found.field(name) for name in names]))
            if not file.stat().st_size:
                return write_parquet([], wanted, target)
            with pc.open_csv(file, *_csv_options(found)) as reader:
                tables = (without_zones(pa.Table.from_batches([batch])).select(names) for batch in reader)
                return write_parquet((table.to_batches()[0] for table in tables), wanted, target)

    def bind_error(self, expression: exp.Expr, schema: TableSchema) -> str | None:
        """Why the expression is no condition on such a table, None where it is one."""
        return bind_error_of(self, expression, schema)

    @contextlib.contextmanager
    def _answer(self, query: exp.Expr, progress: Progress | None) -> Iterator[tuple[Path, pa.Schema]]:
        """The result as a file of CSV, and its types."""
        text = render(query, self.dialect)
        self.scratch.mkdir(parents=True, exist_ok=True)
        file = self.scratch / f"{self.new_name('answer')}.csv"
        try:
            with _translated(), self.connection.transaction(), self.connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ ONLY")
                # As one prepared statement (`binary` asks for that): the server refuses a text that holds several.
                cursor.execute(f"SELECT * FROM ({text}) AS described LIMIT 0", binary=True)
                schema = pa.schema(
                    [(known.name, self._arrow_type(known.name, known.type_code)) for known in cursor.description or ()]
                )
                with cursor.copy(f"COPY ({text}) TO STDOUT (FORMAT csv)") as copy, file.open("wb") as stream:
                    for block in copy:
                        stream.write(block)
            self.finish(progress)  # PostgreSQL does not tell how far a query is
            yield file, schema
        finally:
            file.unlink(missing_ok=True)

    def _arrow_type(self, name: str, oid: int) -> pa.DataType:
        known = self.connection.adapters.types.get(oid)
        found = _ARROW_TYPES.get(known.name if known else "")
        if found is None:
            raise PreprocessError(
                f"column '{name}': its type in PostgreSQL ({known.name if known else oid}) is not one we can take"
            )
        return found

    def _create(self, name: str, schema: pa.Schema) -> None:
        cells = ", ".join(f"{identifier(f.name)} {_sql_type(f)}" for f in schema)
        self._execute(f"CREATE TEMPORARY TABLE {name} ({cells})")

    def _copy_in(self, name: str, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pc.write_csv(table, sink, pc.WriteOptions(include_header=False))
        with (
            _translated(),
            self.connection.cursor() as cursor,
            cursor.copy(f"COPY {name} FROM STDIN (FORMAT csv)") as copy,
        ):
            copy.write(sink.getvalue().to_pybytes())

    def _execute(self, statement: str) -> None:
        with _translated():
            self.connection.execute(statement)


def _sql_type(known: pa.Field) -> str:
    """The type of a temporary table's column."""
    kind = known.type
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return (
            "smallint"
            if kind.bit_width <= 16 and kind != pa.uint16()
            else "integer"
            if kind in (pa.int32(), pa.uint16())
            else "bigint"
        )
    if pa.types.is_floating(kind):
        return "double precision" if kind == pa.float64() else "real"
    if pa.types.is_timestamp(kind):
        return "timestamp"
    if pa.types.is_date(kind):
        return "date"
    if pa.types.is_decimal(kind):
        return "numeric"
    return 'text COLLATE "C"'


def _csv_options(schema: pa.Schema) -> tuple[pc.ReadOptions, pc.ParseOptions, pc.ConvertOptions]:
    read = pc.ReadOptions(column_names=schema.names, block_size=2**24)
    # A row that holds one null and nothing else is an empty line.
    parse = pc.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
    convert = pc.ConvertOptions(
        column_types=schema,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        true_values=["t"],
        false_values=["f"],
        timestamp_parsers=[pc.ISO8601],
    )
    return read, parse, convert


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise _error(error) from None


def _error(error: Exception) -> CengineError:
    trouble = trouble_of(error)
    match trouble.why:
        case Why.FORBIDDEN:
            return SourceError(
                f"PostgreSQL: {trouble.told}", "ask for the right to read the table and to make temporary tables"
            )
        case Why.AWAY | Why.DISK_FULL:
            return SourceError(
                f"PostgreSQL: {trouble.told}", "the connection was cut or the server is out of room; run it again"
            )
    return PreprocessError(f"PostgreSQL: {trouble.told}")
