"""Embedded DuckDB: out of core within a memory limit, on all cores, with the same result for any number of them."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from sqlglot import exp

from cengine import memory
from cengine.engines.checking import CLOSED, Checking, first_line, single
from cengine.engines.engine import Engine, Progress, Setup
from cengine.errors import CengineError, PreprocessError, SourceError, StoreError
from cengine.expressions.dialects import render
from cengine.tables import LOOKUP_KEY, LOOKUP_VALUE, TableSchema

DEFAULT_ROW_GROUP_ROWS = 122_880
POLL_SECONDS = 0.1
MAX_LISTED_FILES = 2_000
_numbers = itertools.count(1)


class DuckDB(Engine):
    """One connection. `memory_bytes` bounds what queries hold; what does not fit goes to a folder of its own under `scratch`.

    The folder goes when the engine is closed, and `scratch` with the last one. Queries read and write files in `scratch` and
    in `folders` (where none are named, in the folder that `scratch` lies in) and those that `files` names, no others.
    """

    name = "duckdb"
    dialect = "duckdb"
    keeps_order = True
    reads_files = True

    @classmethod
    def open(cls, setup: Setup) -> DuckDB:
        """An engine of this process."""
        return cls(setup.scratch, memory_bytes=setup.memory_bytes, threads=setup.threads, folders=setup.folders)

    def __init__(
        self,
        scratch: Path,
        *,
        memory_bytes: int = 2 * 2**30,
        threads: int | None = None,
        folders: Sequence[Path] | None = None,
        files: Sequence[Path] = (),
    ) -> None:
        self.scratch = scratch / f"engine-{next(_numbers)}"
        scratch.mkdir(parents=True, exist_ok=True)  # DuckDB makes the folder itself, but none above it
        self._types: list[tuple[pa.Array | pa.ChunkedArray, str]] = []
        if (refused := memory.too_little_for_engine()) is not None:
            raise PreprocessError(*refused)
        self.connection = duckdb.connect(
            config={
                "memory_limit": f"{memory_bytes}B",
                "temp_directory": str(self.scratch),
                "threads": threads or os.cpu_count() or 1,
                "enable_external_file_cache": False,
                "preserve_insertion_order": True,
                **CLOSED,
            }
        )
        # Progress can only be asked for when the bar is on, and the bar must not draw into our own.
        self.connection.execute("SET TimeZone = 'UTC'")
        with contextlib.suppress(
            duckdb.InvalidInputException
        ):  # a notebook without widgets has no bar; nobody asks for one there
            self.connection.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
        self._checking: Checking | None = None
        close_to_others(self.connection, [scratch, *([scratch.parent] if folders is None else folders)], files)

    def __enter__(self) -> DuckDB:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        if self._checking is not None:
            self._checking.__exit__()
        shutil.rmtree(self.scratch, ignore_errors=True)
        with contextlib.suppress(OSError):  # another engine is at work there
            self.scratch.parent.rmdir()

    def parquet(self, files: Sequence[Path], alias: str | None = None, **options: object) -> exp.Expr:
        """The rows of Parquet files, in the order of the files, as an item of FROM."""
        names = exp.Array(expressions=[exp.Literal.string(str(file)) for file in files])
        arguments = [exp.EQ(this=exp.var(key), expression=exp.convert(value)) for key, value in options.items()]
        item = exp.Table(this=exp.Anonymous(this="read_parquet", expressions=[names, *arguments]))
        return exp.alias_(item, alias, table=True) if alias else item

    def index_of_text(self, expression: exp.Expr, values: pa.Array | pa.ChunkedArray) -> exp.Expr:
        """The index of a text in `values`, by an ENUM type and not a join: joins of DuckDB 2.0 lose the order of rows when threads share them."""
        member = exp.TryCast(this=expression.copy(), to=exp.DataType.build(self._type_of(values), udt=True))
        return exp.cast(exp.Anonymous(this="enum_code", expressions=[member]), "bigint")

    def beside(
        self, expression: exp.Expr, keys: pa.Array | pa.ChunkedArray, values: pa.Array | pa.ChunkedArray
    ) -> exp.Expr:
        """The one of `values` that stands where the text does in `keys`."""
        places = pa.array(range(len(values)), pa.int64())
        name = self.load_pairs("elements", places, values)
        self.connection.execute(
            f"SET VARIABLE {name} = (SELECT list({LOOKUP_VALUE} ORDER BY {LOOKUP_KEY}) FROM {name})"
        )
        variable = exp.Anonymous(this="getvariable", expressions=[exp.Literal.string(name)])
        place = exp.Paren(this=self.index_of_text(expression, keys)) + exp.convert(1)
        return exp.Anonymous(this="list_extract", expressions=[variable, place])

    def _type_of(self, values: pa.Array | pa.ChunkedArray) -> str:
        """The name of an ENUM of these texts; one that was asked for before is taken up again."""
        for known, name in self._types:
            if known is values:
                return name
        table = self.load_pairs("texts", pa.array(range(len(values)), pa.int64()), values)
        name = f"{table}_type"
        self.connection.execute(
            f"CREATE TYPE {name} AS ENUM (SELECT {LOOKUP_VALUE} FROM {table} ORDER BY {LOOKUP_KEY})"
        )
        self._types.append((values, name))
        return name

    def register(self, name: str, table: pa.Table | pa.RecordBatchReader) -> None:
        """Makes an Arrow table, or a stream of one that can be read once, known to queries under `name`."""
        self.connection.register(name, table)

    def fetch(self, query: exp.Expr | str, progress: Progress | None = None) -> pa.Table:
        """The result as an Arrow table. Raises PreprocessError where the query fails for what the rows hold."""
        text = query if isinstance(query, str) else render(query, self.dialect)
        with self._translated(), self.watched(progress, self._shares_done(), POLL_SECONDS):
            return self.connection.sql(single(self.connection, text)).to_arrow_table()

    def stream(self, query: exp.Expr | str, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """The result in batches of at most so many rows, in the query's order; there is one if there are no rows. Raises as `fetch` does."""
        text = query if isinstance(query, str) else render(query, self.dialect)
        with self._translated():
            reader = self.connection.sql(single(self.connection, text)).to_arrow_reader(batch_rows)
            yield from itertools.chain([next(reader, pa.RecordBatch.from_pylist([], schema=reader.schema))], reader)

    def fetch_rows(self, query: exp.Expr | str) -> list[dict[str, Any]]:
        """The rows of a result that has few of them. `sql` binds a query twice, which takes longer than thousands of sums."""
        text = query if isinstance(query, str) else render(query, self.dialect)
        with self._translated(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Arrow output on a DB-API result")  # a copy of these few
            found = self.connection.execute(single(self.connection, text)).to_arrow_table()
            assert found is not None  # a query, and no other statement
            rows: list[dict[str, Any]] = found.to_pylist()
            return rows

    def write(
        self,
        query: exp.Expr | str,
        target: Path,
        progress: Progress | None = None,
        schema: pa.Schema | None = None,
        row_group_rows: int = DEFAULT_ROW_GROUP_ROWS,
        compression: str = "lz4_raw",
    ) -> int:
        """Writes the result as one Parquet file, rows in the query's order; gives the number of rows."""
        text = query if isinstance(query, str) else render(query, self.dialect)
        path = exp.Literal.string(str(target)).sql(self.dialect)
        copy = f"COPY ({text}) TO {path} (FORMAT parquet, COMPRESSION {compression}, ROW_GROUP_SIZE {row_group_rows})"
        with self._translated(), self.watched(progress, self._shares_done(), POLL_SECONDS):
            row = self.connection.execute(single(self.connection, copy)).fetchone()
        return int(row[0]) if row else 0

    def write_csv(self, query: exp.Expr, target: Path) -> None:
        """Writes the result as one CSV file with a header, rows in the query's order; an empty text is quoted, null is not."""
        path = exp.Literal.string(str(target)).sql(self.dialect)
        text = render(query, self.dialect)
        with self._translated():
            self.connection.execute(single(self.connection, f"COPY ({text}) TO {path} (FORMAT csv, HEADER true)"))

    def bind_error(self, expression: exp.Expr, schema: TableSchema) -> str | None:
        """Why the expression cannot be evaluated on such a table, None where it can; no row of the table is read.

        It is evaluated on a row of nulls, since a text that is no time (`t > 'yesterday'`) only fails then.
        """
        if self._checking is None:
            self._checking = Checking()
        return self._checking.bind_error(expression, schema)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise translated(error) from error
        except RuntimeError as error:
            # What DuckDB makes of Ctrl-C during a query.
            raise (KeyboardInterrupt() if str(error) == "Query interrupted" else error) from None

    def _shares_done(self) -> Iterator[float | None]:
        """How much of the running query is done, asked each time; None where DuckDB does not know."""
        # It may be closed by a wish to end that was heard while the thread that asks was waited for.
        with contextlib.suppress(duckdb.ConnectionException):
            while True:
                share = self.connection.query_progress() / 100
                yield share if 0 <= share <= 1 else None


def close_to_others(connection: duckdb.DuckDBPyConnection, folders: Sequence[Path], files: Sequence[Path] = ()) -> None:
    """Lets a connection reach these folders and files and nothing else, for good. DuckDB follows links before it compares."""
    if len(files) > MAX_LISTED_FILES:  # setting a hundred thousand takes seconds
        folders, files = [*folders, *dict.fromkeys(file.parent for file in files)], ()
    for setting, paths in (("allowed_directories", folders), ("allowed_paths", files)):
        listed = exp.Array(expressions=[exp.Literal.string(str(path.absolute())) for path in paths])
        connection.execute(f"SET {setting} = {listed.sql('duckdb')}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def translated(error: duckdb.Error) -> CengineError | KeyboardInterrupt:
    """DuckDB's exception as one of ours."""
    message = first_line(error)
    if isinstance(error, duckdb.InterruptException):
        return KeyboardInterrupt()
    # The last is said where what does not fit into memory does not fit on the disk either.
    if any(words in str(error) for words in ("No space left on device", "Disk full", "max_temp_directory_size")):
        return StoreError("the disk is full", "nothing half-written is kept; make room and run the command again")
    if (refused := memory.refusal(error)) is not None:
        return PreprocessError(*refused)
    if isinstance(error, duckdb.OutOfMemoryException):
        return PreprocessError(
            f"the memory limit is too small for this: {message}", "give more with --memory, for example --memory 4GB"
        )
    if isinstance(error, duckdb.IOException | duckdb.InvalidInputException):
        return SourceError(message)
    return PreprocessError(message)
