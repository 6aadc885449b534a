"""The engines that the conformance suite tries, and what is known not to be the same on them.

A gap is marked as ibis marks it: `notimpl` (nobody has done it yet), `notyet` (the engine cannot, a later version may),
`never` (the engine means something else). Each is a strict expected failure with a reason: one that is mended fails the suite.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
import sqlglot
from bigquery_sql import never_null
from sqlglot import exp

from cengine.engines.duckdb import DuckDB
from cengine.engines.engine import Engine, Progress, Setup
from cengine.engines.files import is_positioned, write_parquet
from cengine.engines.lookups import found_in
from cengine.engines.table import engine_class
from cengine.errors import CengineError
from cengine.expressions.build import column
from cengine.expressions.dialects import render
from cengine.tables import POSITION, TableSchema

SPARK_MASTER = "local-cluster[2,1,1024]"
ENGINES = [
    "duckdb",
    "postgres",
    pytest.param("bigquery", marks=pytest.mark.slow),
    pytest.param("spark", marks=[pytest.mark.spark, pytest.mark.heavy]),
]


# What is tried beside, and on which engine it is known to fail.
GAPS = {
    ("nanoseconds", "spark"): ("notyet", "Spark reads no Parquet with times in nanoseconds"),
    ("the character 0", "postgres"): ("never", "PostgreSQL has no text with the character 0"),
}


def expect_gap(what: str, engine: str, request: pytest.FixtureRequest) -> None:
    """Says that the test is to fail, where the engine has this gap."""
    if (what, engine) in GAPS:
        kind, reason = GAPS[what, engine]
        assert kind in ("notimpl", "notyet", "never")
        request.applymarker(pytest.mark.xfail(strict=True, raises=CengineError, reason=f"{kind}: {reason}"))


class BigQueryText(Engine):
    """BigQuery's dialect without BigQuery: queries are said in it, read as it, and run by DuckDB.

    What DuckDB would not know of BigQuery it cannot tell: types are DuckDB's, and so is the arithmetic.
    """

    name = "bigquery"
    dialect = "bigquery"
    keeps_order = False

    @classmethod
    def open(cls, setup: Setup) -> BigQueryText:
        return cls(setup)

    def __init__(self, setup: Setup) -> None:
        self.inner = DuckDB.open(setup)
        self.scratch = self.inner.scratch
        self.inner.connection.execute("CREATE MACRO ieee_divide(a, b) AS a / b")  # what DuckDB's division is

    def __enter__(self) -> BigQueryText:
        return self

    def __exit__(self, *_: object) -> None:
        self.inner.__exit__()

    def expect(self, num_queries: int, report: Progress) -> None:
        self.inner.expect(num_queries, report)

    def parquet(self, files: Sequence[Path], alias: str | None = None) -> exp.Expr:
        name = self.new_name("files")
        parts = [self.inner.parquet([file], file_row_number=True).sql("duckdb") for file in files]
        numbered = [
            f"SELECT * EXCLUDE (file_row_number), {n * 2**40} + file_row_number AS {POSITION} FROM {part}"
            for n, part in enumerate(parts)
        ]
        self.inner.connection.execute(f"CREATE TEMP VIEW {name} AS {' UNION ALL '.join(numbered)}")
        table = exp.to_table(name)
        return exp.alias_(table, alias, table=True) if alias else table

    def register(self, name: str, table: pa.Table) -> None:
        self.inner.register(name, table)

    def index_of_text(self, expression, values):
        return found_in(self.load_pairs("texts", values, pa.array(range(len(values)), pa.int64())), expression)

    def beside(self, expression, keys, values):
        return found_in(self.load_pairs("pairs", keys, values), expression)

    def fetch(self, query: exp.Expr, progress: Progress | None = None) -> pa.Table:
        return self.inner.fetch(self._through(query), progress)

    def write(
        self, query: exp.Expr, target: Path, progress: Progress | None = None, schema: pa.Schema | None = None
    ) -> int:
        if is_positioned(query):
            query = exp.select("*").from_(query.subquery("ordered")).order_by(column(POSITION))
        table = self.fetch(query, progress)
        table = table.drop_columns([POSITION]) if POSITION in table.column_names else table
        wanted = schema or table.schema
        return write_parquet(table.cast(wanted).to_batches(), wanted, target)

    def bind_error(self, expression: exp.Expr, schema: TableSchema) -> str | None:
        return self.inner.bind_error(expression, schema)

    def _through(self, query: exp.Expr) -> str:
        """The query as BigQuery is told it, read again as BigQuery reads it."""
        parsed = sqlglot.parse_one(render(query, "bigquery"), dialect="bigquery")
        for kind in parsed.find_all(exp.DataType):
            if kind.is_type(
                "bigdecimal"
            ):  # whole numbers of 38 digits before the point, which DuckDB's decimals have not
                kind.replace(exp.DataType.build("int128"))
        for like in [*parsed.find_all(exp.Like)]:  # there the backslash is the escape of every pattern
            like.replace(exp.Escape(this=like.copy(), expression=exp.Literal.string("\\")))
        for extreme in parsed.find_all(exp.Greatest, exp.Least):
            never_null(extreme)
        return parsed.sql("duckdb")


@contextmanager
def opened(
    name: str, scratch: Path, request: pytest.FixtureRequest, more: Sequence[tuple[str, str]] = ()
) -> Iterator[Engine]:
    """An engine of this name; the test is skipped where what it needs is not here."""
    settings: dict[str, object] = {}
    if name == "postgres":
        settings["uri"] = request.getfixturevalue("postgres").new_database()
    if name == "spark":
        pytest.importorskip("pyspark", reason="PySpark is not installed: pip install 'cengine-ml[spark]'")
        settings |= {
            "spark.executor.memory": "1g",
            "spark.sql.shuffle.partitions": "4",
            **dict(more),
        }
    setup = Setup(
        scratch,
        memory_bytes=2**29,
        threads=2,
        master=SPARK_MASTER if name == "spark" else None,
        settings=settings,
        folders=[Path(tempfile.gettempdir())],
    )
    with (BigQueryText if name == "bigquery" else engine_class(name)).open(setup) as engine:
        yield engine
