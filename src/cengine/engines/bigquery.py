"""BigQuery as an engine: queries run there, and only their results come here, as Arrow by the Storage Read API.

Look-ups and small tables travel with the query as parameters; nothing is written into anybody's project.
"""

from __future__ import annotations

import functools
import itertools
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlglot import TokenType, exp, tokenize

from cengine.connections.bigquery import Account, Budget, Connection, Say
from cengine.connections.bigquery_streams import MAX_STREAMS, download
from cengine.engines.duckdb import DuckDB
from cengine.engines.engine import Progress, Setup
from cengine.engines.remote import RemoteEngine
from cengine.errors import CengineError, PreprocessError
from cengine.expressions.build import column
from cengine.expressions.dialects import render
from cengine.tables import POSITION, TableSchema

if TYPE_CHECKING:
    from google.cloud import bigquery

# A result of no more rows comes with the answer to the query; a session of the Storage Read API takes longer to begin.
SMALL_RESULT_ROWS = 5_000
# The part of a query's time that its rows take to arrive, for the bar.
ARRIVING_SHARE = 0.5
# What BigQuery calls the columns of a stored result; others are called c0, c1, ... on the way.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_numbers = itertools.count(1)


class BigQuery(RemoteEngine):
    """One connection. `settings` of its Setup: `account` (an Account), `budget` and `say`, told of retries."""

    name = "bigquery"
    dialect = "bigquery"
    keeps_order = False

    @classmethod
    def open(cls, setup: Setup) -> BigQuery:
        """An engine with the account's rights."""
        return cls(setup, setup.settings["account"], setup.settings.get("budget"), setup.settings.get("say"))

    def __init__(self, setup: Setup, account: Account, budget: Budget | None = None, say: Say | None = None) -> None:
        self.setup = setup
        self.scratch = setup.scratch / f"bigquery-{next(_numbers)}"
        self.budget = budget or Budget()
        self.connection = Connection(account, say or (lambda text: None))
        self._lists: dict[str, pa.Array] = {}
        self._tables: dict[str, exp.Expr] = {}

    def __enter__(self) -> BigQuery:
        return self

    def __exit__(self, *_: object) -> None:
        import contextlib
        import shutil

        self.connection.close()
        shutil.rmtree(self.scratch, ignore_errors=True)
        with contextlib.suppress(OSError):  # another engine is at work there, or nothing was ever written
            self.scratch.parent.rmdir()

    def parquet(self, files: Sequence[Path], alias: str | None = None) -> exp.Expr:
        """Never: BigQuery does not read this machine's files."""
        raise PreprocessError("BigQuery cannot read files of this machine", "use the engine duckdb for them")

    # What travels with a query

    def register(self, name: str, table: pa.Table) -> None:
        """Makes a small table known to queries under `name`: one list a column, put side by side again in the query."""
        place = column("_place_in_list")
        columns = [
            self._cell(f"{name}_{number}", table[field.name], place).as_(field.name, quoted=True)
            for number, field in enumerate(table.schema)
        ]
        numbered = exp.Unnest(
            expressions=[
                exp.Anonymous(this="GENERATE_ARRAY", expressions=[exp.convert(0), exp.convert(table.num_rows - 1)])
            ],
            alias=exp.TableAlias(columns=[exp.to_identifier("_place_in_list", quoted=True)]),
        )
        self._tables[name] = exp.select(*columns).from_(numbered)

    def index_of_text(self, expression: exp.Expr, values: pa.Array | pa.ChunkedArray) -> exp.Expr:
        """The index of a text in `values`."""
        return self.beside(expression, values, pa.array(range(len(values)), pa.int64()))

    def beside(
        self, expression: exp.Expr, keys: pa.Array | pa.ChunkedArray, values: pa.Array | pa.ChunkedArray
    ) -> exp.Expr:
        """The one of `values` that stands where the text does in `keys`, by a binary search in the sorted keys."""
        if len(keys) == 0:
            return exp.null()
        texts = keys.to_pylist()
        order = sorted(range(len(texts)), key=lambda place: texts[place].encode())
        name = self.new_name("keys")
        ordered = self._list(name, pa.array([texts[place] for place in order], pa.string()))
        # RANGE_BUCKET counts the elements that are not greater.
        place = exp.Paren(this=exp.RangeBucket(this=expression.copy(), expression=ordered.copy()) - exp.convert(1))
        same = exp.EQ(this=_at(ordered, place), expression=exp.Paren(this=expression.copy()))
        return exp.Case().when(same, self._cell(f"{name}_values", values.take(pa.array(order, pa.int64())), place))

    def _cell(self, name: str, values: pa.Array | pa.ChunkedArray, place: exp.Expr) -> exp.Expr:
        """What a list has at a place, as the type it has here."""
        sendable, back = _sendable(values)
        cell: exp.Expr = _at(self._list(name, sendable.fill_null(_filler(sendable.type))), place)
        if sendable.null_count:
            cell = exp.Case().when(_at(self._list(f"{name}_null", pc.is_null(sendable)), place), exp.null()).else_(cell)
        return exp.cast(cell, back) if back else cell

    def _list(self, name: str, values: pa.Array) -> exp.Expr:
        self._lists[name] = values
        return exp.Parameter(this=exp.var(name))

    def prepared(self, query: exp.Expr) -> tuple[str, dict[str, pa.Array]]:
        """The text of a query and the lists that it needs."""
        query = query.copy()
        for table in [*query.find_all(exp.Table)]:
            if isinstance(table.this, exp.Identifier) and not table.args.get("db") and table.name in self._tables:
                alias = table.alias or table.name
                item = self._tables[table.name].copy()
                assert isinstance(item, exp.Query)
                table.replace(item.subquery(exp.to_identifier(alias, quoted=True)))
        names = {node.name for node in query.find_all(exp.Parameter)}
        text = render(query, self.dialect)
        if self._holds_several(text):
            raise PreprocessError(
                "one statement was to be sent to BigQuery, and the text holds several",
                "this is a bug; please report it",
            )
        return text, {name: self._lists[name] for name in sorted(names)}

    def _holds_several(self, text: str) -> bool:
        tokens = tokenize(text, dialect=self.dialect) if ";" in text else []
        return any(token.token_type == TokenType.SEMICOLON for token in tokens)

    # Queries

    def scanned_by(self, query: exp.Expr) -> int:
        """The bytes that a query would scan, by a dry run."""
        return self.connection.dry_run(*self.prepared(query))

    def fetch(self, query: exp.Expr, progress: Progress | None = None) -> pa.Table:
        """The result as an Arrow table, times without a zone."""
        job, names = self._run(query, progress)
        rows = self._small_result(job)
        if rows is None:
            with self._folder() as folder:
                session = download(self.connection, job.destination, Path(folder), 1)
                self.budget.received += session.num_bytes
                rows = pa.concat_tables([pq.read_table(part) for part in session.parts])
        self.finish(progress)
        return _plain(rows.rename_columns(names) if names else rows)

    def write(
        self, query: exp.Expr, target: Path, progress: Progress | None = None, schema: pa.Schema | None = None
    ) -> int:
        """Writes the result as one Parquet file, in the order of POSITION where it has one, else of the query."""
        progress = self.progress_of(progress)
        asked = None if progress is None else functools.partial(_scaled, progress, 0.0, 1 - ARRIVING_SHARE)
        job, names = self._run(query, asked)
        with self._folder() as folder:
            ordered = POSITION in (names or [])
            parts, num_rows = self._arrived(job, Path(folder), MAX_STREAMS if ordered else 1, progress)
            self._put_together(parts, names, target, schema)
        self.finish(progress)
        return num_rows

    def _run(self, query: exp.Expr, progress: Progress | None) -> tuple[bigquery.QueryJob, list[str]]:
        """The finished job, and what its columns are called here, empty where they are called so there too."""
        renamed, names = _with_storable_names(query)
        return self.connection.run(*self.prepared(renamed), self.budget, self.progress_of(progress)), names

    def _small_result(self, job: bigquery.QueryJob) -> pa.Table | None:
        """The rows as they come with the answer; None where they are many."""
        with self.connection.translating():
            rows = job.result(retry=self.connection.retry, job_retry=None)
            if rows.total_rows > SMALL_RESULT_ROWS and self.connection.reader is not None:
                return None
            table = rows.to_arrow(create_bqstorage_client=False)
        self.budget.received += table.nbytes
        return table

    def _arrived(
        self, job: bigquery.QueryJob, folder: Path, max_streams: int, progress: Progress | None
    ) -> tuple[list[Path], int]:
        """The rows of a job in Parquet files, in no order when there are several."""
        with self.connection.translating():
            total = job.result(retry=self.connection.retry, job_retry=None, page_size=1).total_rows
        if self.connection.reader is None:
            return self._arrived_by_rest(job, folder), total

        def tick(num_rows: int) -> None:
            if progress is not None:
                progress(1 - ARRIVING_SHARE + ARRIVING_SHARE * num_rows / max(total, 1))

        session = download(self.connection, job.destination, folder, max_streams, tick)
        self.budget.received += session.num_bytes
        if session.num_rows != total:
            raise PreprocessError(
                f"{session.num_rows:,} of {total:,} rows of the result arrived", "run the command again"
            )
        if not session.parts:
            session.parts.append(folder / "empty.parquet")
            pq.write_table(session.schema.empty_table(), session.parts[0])
        return session.parts, total

    def _arrived_by_rest(self, job: bigquery.QueryJob, folder: Path) -> list[Path]:
        part = folder / "rows.parquet"
        with self.connection.translating():
            table = job.result(retry=self.connection.retry, job_retry=None).to_arrow(create_bqstorage_client=False)
        self.budget.received += table.nbytes
        pq.write_table(table, part)
        return [part]

    def _put_together(
        self, parts: Sequence[Path], names: Sequence[str], target: Path, schema: pa.Schema | None
    ) -> None:
        """One file of the parts: sorted, names and types as they were asked for."""
        found = pq.read_schema(parts[0])
        called = list(names or found.names)
        setup = self.setup
        folders = setup.folders or [setup.scratch.parent]
        with DuckDB(self.scratch, memory_bytes=setup.memory_bytes, threads=setup.threads, folders=folders) as local:
            outputs = []
            for there, here in zip(found.names, called, strict=True):
                if here != POSITION:
                    kind = schema.field(here).type if schema is not None else _plain_type(found.field(there).type)
                    cell = exp.cast(column(there), _sql_type(kind), dialect="duckdb")
                    outputs.append(cell.as_(here, quoted=True))
            query = exp.select(*outputs).from_(local.parquet(parts))
            if POSITION in called:
                query = query.order_by(column(found.names[called.index(POSITION)]))
            local.write(query, target)

    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        self.scratch.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix="arriving-", dir=self.scratch)

    def bind_error(self, expression: exp.Expr, schema: TableSchema) -> str | None:
        """Why the expression is no condition on such a table, None where it is one; BigQuery is asked, and reads nothing."""
        cells = [
            exp.cast(exp.null(), known.sql_type, dialect="duckdb").as_(known.name, quoted=True)
            for known in schema.columns
            if known.kind
        ]
        row = exp.select(*cells).subquery("row_of_nulls")
        condition = exp.select(exp.Count(this=exp.Star()).as_("n")).from_(row).where(exp.Paren(this=expression.copy()))
        try:
            self.scanned_by(condition)
        except PreprocessError as error:
            return error.problems[0].message.removeprefix("BigQuery refuses the query: ")
        except CengineError:
            raise
        return None


def _scaled(progress: Progress, start: float, length: float, share: float) -> None:
    progress(start + length * share)


def _at(values: exp.Expr, place: exp.Expr) -> exp.Expr:
    """`values[SAFE_OFFSET(place)]`: null where there is none."""
    return exp.Bracket(this=values.copy(), expressions=[place.copy()], offset=0, safe=True)


def _with_storable_names(query: exp.Expr) -> tuple[exp.Expr, list[str]]:
    """The query with names that a stored result may have, and the names it had; without change where all may."""
    names = query.named_selects if isinstance(query, exp.Query) else []
    if any(name == "*" for name in names):
        return query, []
    if all(_NAME.fullmatch(name) for name in names) or query.args.get("order"):
        return query, list(names)
    # Renamed where they are made: a name with a dot in it would be read as a path one query further out.
    renamed = query.copy()
    cells = [cell.this if isinstance(cell, exp.Alias) else cell for cell in renamed.expressions]
    renamed.set("expressions", [cell.as_(f"c{place}", quoted=True) for place, cell in enumerate(cells)])
    return renamed, list(names)


def _sendable(values: pa.Array | pa.ChunkedArray) -> tuple[pa.Array, str | None]:
    """The values as a list that a parameter can be, and the type they are cast back to."""
    one = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    one = pa.concat_arrays(one.chunks) if isinstance(one, pa.ChunkedArray) else one
    kind = one.type
    if pa.types.is_dictionary(kind):
        return _sendable(one.dictionary_decode())
    if pa.types.is_date(kind):
        return one.cast(pa.string()), "date"
    if pa.types.is_timestamp(kind):
        return pc.strftime(one.cast(pa.timestamp("us")), "%Y-%m-%d %H:%M:%S"), "timestamp"
    if pa.types.is_decimal(kind):
        return one.cast(pa.float64()), None
    if pa.types.is_integer(kind):
        return one.cast(pa.int64()), None
    to_text = pa.types.is_null(kind) or pa.types.is_large_string(kind)
    return one.cast(pa.string()) if to_text else one, None


def _filler(kind: pa.DataType) -> object:
    """A value that stands where null is: lists of parameters hold none."""
    if pa.types.is_boolean(kind):
        return False
    return "" if pa.types.is_string(kind) else 0


def _plain(table: pa.Table) -> pa.Table:
    """The table with times that have no zone, and numbers as the other engines give them."""
    return table.cast(pa.schema([pa.field(f.name, _plain_type(f.type)) for f in table.schema]))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us")
    return pa.float64() if pa.types.is_decimal(kind) else kind


def _sql_type(kind: pa.DataType) -> str:
    """DuckDB's name of a type."""
    names = {pa.float32(): "FLOAT", pa.float64(): "DOUBLE", pa.int16(): "SMALLINT", pa.int32(): "INTEGER", pa.int64(): "BIGINT",
             pa.bool_(): "BOOLEAN", pa.date32(): "DATE", pa.timestamp("us"): "TIMESTAMP", pa.binary(): "BLOB"}  # fmt: skip
    return names.get(kind, "VARCHAR")


__all__ = ["BigQuery"]
