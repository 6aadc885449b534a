"""What an engine is: sqlglot expressions in, an Arrow table or one Parquet file out."""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import pyarrow as pa
from sqlglot import exp

from cengine.tables import LOOKUP_KEY, LOOKUP_VALUE, TableSchema

# Called with a share between 0 and 1 while a query runs.
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Setup:
    """What an engine is opened with: a folder for what does not fit into memory, limits, and workers where it has any.

    `settings` are the engine's own, by name (`spark.executor.memory`, `uri`, ...). `folders` are where files of this machine are
    read and written beside `scratch`, None for the folder that it lies in.
    """

    scratch: Path
    memory_bytes: int = 2 * 2**30
    threads: int | None = None
    master: str | None = None
    workers: int | None = None
    cpus_per_worker: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    folders: Sequence[Path] | None = None


class Engine(ABC):
    """Where SQL runs. It is a context manager: leaving it gives back all that it holds.

    Expressions are written as DuckDB understands them; `expressions.dialects.render` says them in `dialect`. Errors of the
    engine come out as CengineErrors. Results do not depend on the engine: see `docs/engines.md` and `tests/conformance`.
    """

    name: ClassVar[str]
    dialect: ClassVar[str]
    # Whether the rows of a query come in the order of the files it reads. Where they do not, `write` orders by POSITION.
    keeps_order: ClassVar[bool]
    # Whether it is to be chosen for a snapshot's files; others are where their own tables are.
    reads_files: ClassVar[bool] = False

    scratch: Path
    _num_names: int = 0
    _report: Progress | None = None
    _num_expected: int = 0
    _num_finished: int = 0

    @classmethod
    @abstractmethod
    def open(cls, setup: Setup) -> Self:
        """A new engine."""

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(self, *_: object) -> None: ...

    @abstractmethod
    def parquet(self, files: Sequence[Path], alias: str | None = None) -> exp.Expr:
        """The rows of Parquet files as an item of FROM.

        An engine that does not keep their order gives a column POSITION with them, a BIGINT that ascends in the order of the
        files and of the rows in each.
        """

    @abstractmethod
    def register(self, name: str, table: pa.Table) -> None:
        """Makes a small Arrow table known to queries under `name`; a later one of the same name takes its place."""

    @abstractmethod
    def index_of_text(self, expression: exp.Expr, values: pa.Array | pa.ChunkedArray) -> exp.Expr:
        """The index (BIGINT) of a text in `values`, which differ; null where it is not among them. The order of rows stays."""

    @abstractmethod
    def beside(
        self, expression: exp.Expr, keys: pa.Array | pa.ChunkedArray, values: pa.Array | pa.ChunkedArray
    ) -> exp.Expr:
        """The one of `values` that stands where the text does in `keys`, which differ; null where it is none of them. The order of rows stays."""

    @abstractmethod
    def fetch(self, query: exp.Expr, progress: Progress | None = None) -> pa.Table:
        """The result as an Arrow table, times without a zone. Raises PreprocessError where the query fails for what the rows hold."""

    def fetch_rows(self, query: exp.Expr) -> list[dict[str, Any]]:
        """The rows of a result that has few of them, by the names of its columns. Raises as `fetch` does."""
        rows: list[dict[str, Any]] = self.fetch(query).to_pylist()
        return rows

    @abstractmethod
    def write(
        self, query: exp.Expr, target: Path, progress: Progress | None = None, schema: pa.Schema | None = None
    ) -> int:
        """Writes the result as one Parquet file; gives the number of rows.

        Rows come in the query's order or, where the result has a column POSITION, in the order of that column, which is left
        out of the file. `schema` (without POSITION) are the types of the file where those of the engine are others.
        """

    @abstractmethod
    def bind_error(self, expression: exp.Expr, schema: TableSchema) -> str | None:
        """Why the expression is no condition on such a table, None where it is one; no row of the table is read.

        It is evaluated on a row of nulls, since a text that is no time (`t > 'yesterday'`) only fails then.
        """

    def expect(self, num_queries: int, report: Progress) -> None:
        """From now on `report` is told how much of so many queries is done, for stages that are several queries."""
        self._report, self._num_expected, self._num_finished = report, num_queries, 0

    def progress_of(self, progress: Progress | None) -> Progress | None:
        """Who is told how much of the running query is done: `progress`, or else whoever waits for all that are expected."""
        if progress is not None or self._report is None:
            return progress
        report, finished, expected = self._report, self._num_finished, self._num_expected
        return lambda share: report(min(1.0, (finished + share) / expected))

    def finish(self, progress: Progress | None) -> None:
        """Counts a query as done, and tells it."""
        told = self.progress_of(progress)
        self._num_finished += 1
        if told is not None:
            told(1.0)

    @contextlib.contextmanager
    def watched(self, progress: Progress | None, shares: Iterator[float | None], poll_seconds: float) -> Iterator[None]:
        """Tells from a thread of its own how much of the query in the block is done: the next of `shares`, unless it is None."""
        told = self.progress_of(progress)
        done = threading.Event()

        def poll(tell: Progress) -> None:
            pauses = iter(lambda: done.wait(poll_seconds), True)
            for _, share in zip(pauses, shares, strict=False):
                if share is not None:
                    tell(share)

        thread = threading.Thread(target=poll, args=(told,), name="query-progress", daemon=True)
        if told is not None:
            thread.start()
        try:
            yield
        finally:
            done.set()
            if told is not None:
                thread.join()
            self._num_finished += 1

    def index_of(self, expression: exp.Expr, kind: str, values: Sequence[Any]) -> exp.Expr:
        """The index of the expression's value in `values`, null where it is not among them."""
        if not values:
            return exp.null()
        texts = [str(value).lower() if kind == "boolean" else str(value) for value in values]
        return self.index_of_text(exp.cast(expression.copy(), "text"), pa.array(texts, pa.string()))

    def fetch_texts(self, values: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
        """The values as this engine writes them as text, nulls kept."""
        listed = self.load_pairs("texts", pa.array(range(len(values)), pa.int64()), values)
        text = exp.cast(exp.column(LOOKUP_VALUE, quoted=True), "text").as_(LOOKUP_VALUE, quoted=True)
        return self.fetch(exp.select(text).from_(listed).order_by(exp.column(LOOKUP_KEY, quoted=True)))[LOOKUP_VALUE]

    def load_pairs(self, stem: str, keys: pa.Array | pa.ChunkedArray, values: pa.Array | pa.ChunkedArray) -> str:
        """The name of a new registered table with the columns LOOKUP_KEY and LOOKUP_VALUE."""
        name = self.new_name(stem)
        self.register(name, pa.table({LOOKUP_KEY: keys, LOOKUP_VALUE: values}))
        return name

    def new_name(self, stem: str) -> str:
        """A name that no other table of this engine has."""
        self._num_names += 1
        return f"{stem}_{self._num_names}"


__all__ = ["Engine", "Progress", "Setup"]
