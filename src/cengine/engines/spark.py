"""Apache Spark: for what one machine cannot hold. It reads the snapshot's Parquet parts from a file system that all workers share."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from cengine.engines.binding import bind_error_of
from cengine.engines.engine import Engine, Progress, Setup
from cengine.engines.files import without_zones, write_parquet, zoneless
from cengine.engines.lookups import found_in
from cengine.engines.spark_session import cores_of, start, stop, translated
from cengine.errors import PreprocessError
from cengine.expressions.dialects import render
from cengine.names import free_name
from cengine.tables import LOOKUP_KEY, LOOKUP_VALUE, POSITION, TableSchema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

POLL_SECONDS = 0.5
# A file's number stands above the number of a row in it.
ROW_BITS = 40
MAX_PART_BYTES, MIN_PART_BYTES = 128 * 2**20, 4 * 2**20
BYTES_PER_SHUFFLE_PARTITION = 16 * 2**20


class Spark(Engine):
    """A session of its own on the master; leaving it gives the workers back and ends the JVM."""

    name = "spark"
    dialect = "spark"
    keeps_order = False
    reads_files = True

    @classmethod
    def open(cls, setup: Setup) -> Spark:
        """An engine on the master that the setup names, on this machine where it names none."""
        return cls(setup)

    def __init__(self, setup: Setup) -> None:
        self.scratch = setup.scratch / f"spark-{id(self):x}"
        self.scratch.mkdir(parents=True, exist_ok=True)
        self._setup = setup
        self._views: dict[tuple[Path, ...], str] = {}
        try:
            self.session = start(setup, self.scratch)
        except BaseException:
            self._clear()
            raise
        self._num_cores = cores_of(self.session, setup)

    def __enter__(self) -> Spark:
        return self

    def __exit__(self, *_: object) -> None:
        stop(self.session)
        self._clear()

    def _clear(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)
        with contextlib.suppress(OSError):  # another engine is at work there
            self.scratch.parent.rmdir()

    def parquet(self, files: Sequence[Path], alias: str | None = None) -> exp.Expr:
        """The rows of Parquet files with their POSITION."""
        key = tuple(Path(file).absolute() for file in files)
        if key not in self._views:
            self._views[key] = self._view(key)
        table = exp.to_table(self._views[key])
        return exp.alias_(table, alias, table=True) if alias else table

    def _view(self, files: Sequence[Path]) -> str:
        name = self.new_name("parts")
        of_file, of_row = (free_name(stem, pq.read_schema(files[0]).names) for stem in ("_file", "_row"))
        self._divide(sum(file.stat().st_size for file in files))
        with translated():
            frame = self.session.read.schema(_spark_schema(files[0])).parquet(*(file.as_uri() for file in files))
            # By its own object: a column of the user's may be called _metadata.
            origin = frame.metadataColumn("_metadata")
            frame.select(
                "*", origin["file_name"].alias(of_file), origin["row_index"].alias(of_row)
            ).createOrReplaceTempView(f"{name}_scan")
        number = "CAST(0 AS BIGINT)"
        if len(files) > 1:
            # As they are named in an address: what is no letter may be escaped.
            names = pa.array([file.as_uri().rpartition("/")[2] for file in files])
            listed = self.load_pairs("files", names, pa.array(range(len(files)), pa.int64()))
            number = f"(SELECT MAX({LOOKUP_VALUE}) FROM {listed} WHERE {LOOKUP_KEY} = {of_file})"
        with translated():
            self.session.sql(
                f"SELECT * EXCEPT ({of_file}, {of_row}), SHIFTLEFT({number}, {ROW_BITS}) + {of_row} AS {POSITION} FROM {name}_scan"
            ).createOrReplaceTempView(name)
        return name

    def _divide(self, num_bytes: int) -> None:
        """A few tasks for each core, none of more than a part's bytes; each part of a file is a task, so that tasks keep its order."""
        part = min(MAX_PART_BYTES, max(MIN_PART_BYTES, num_bytes // (3 * self._num_cores)))
        shuffled = max(2 * self._num_cores, num_bytes // BYTES_PER_SHUFFLE_PARTITION)
        given = self._setup.settings
        for key, value in (
            ("spark.sql.files.maxPartitionBytes", part),
            ("spark.sql.files.openCostInBytes", part),
            ("spark.sql.shuffle.partitions", shuffled),
        ):
            if key not in given:
                self.session.conf.set(key, str(value))

    def register(self, name: str, table: pa.Table) -> None:
        """A file that all workers read."""
        folder = self.scratch / "tables"
        folder.mkdir(exist_ok=True)
        file = folder / f"{self.new_name(name)}.parquet"
        pq.write_table(table, file)
        with translated():
            self.session.read.parquet(file.as_uri()).createOrReplaceTempView(name)

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
        with translated(), self._running(progress):
            return without_zones(self.session.sql(render(query, self.dialect)).toArrow())

    def write(
        self, query: exp.Expr, target: Path, progress: Progress | None = None, schema: pa.Schema | None = None
    ) -> int:
        """Writes the result as one Parquet file.

        Tasks that pass rows on keep their order, and so do the files they write: those are strung together by their POSITIONs. Only
        where rows came out of order after all does Spark have to sort them.
        """
        with translated():
            frame = self.session.sql(render(query, self.dialect))
        return self._write(frame, target, progress, schema)

    def write_mapped(
        self,
        query: exp.Expr,
        module: ModuleType,
        function: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]],
        passed: Sequence[str],
        types: Sequence[str],
        target: Path,
        progress: Progress | None = None,
    ) -> int:
        """Writes what workers make of the batches of a query, as `write` does.

        `function` goes to the workers with its `module`, which may need no other one of ours. What it gives are the columns `passed` as
        they came, POSITION among them, and others of these SQL types.
        """
        from pyspark import cloudpickle
        from pyspark.sql.types import StructField, StructType, _parse_datatype_string

        cloudpickle.register_pickle_by_value(module)
        try:
            with translated():
                frame = self.session.sql(render(query, self.dialect))
                fields = [frame.schema[name] for name in passed]
                fields += [
                    StructField(f"_made_{place}", _parse_datatype_string(kind)) for place, kind in enumerate(types)
                ]
                frame = frame.mapInArrow(function, StructType(fields))
            return self._write(frame, target, progress, None)
        finally:
            cloudpickle.unregister_pickle_by_value(module)

    def _write(self, frame: DataFrame, target: Path, progress: Progress | None, schema: pa.Schema | None) -> int:
        folder = self.scratch / self.new_name("written")
        try:
            with translated(), self._running(progress):
                frame.write.option("compression", "snappy").parquet(folder.as_uri())
            try:
                return _string_together(folder, target, schema)
            except _OutOfOrder:
                shutil.rmtree(folder)
                with translated(), self._running(progress):
                    frame.orderBy(POSITION).write.option("compression", "snappy").parquet(folder.as_uri())
                return _string_together(folder, target, schema)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def bind_error(self, expression: exp.Expr, schema: TableSchema) -> str | None:
        """Why the expression is no condition on such a table, None where it is one."""
        return bind_error_of(self, expression, schema)

    @contextlib.contextmanager
    def _running(self, progress: Progress | None) -> Iterator[None]:
        """The block in which Spark runs a query: its progress is told, and Ctrl-C ends its jobs."""
        with self.watched(progress, self._shares_done(), POLL_SECONDS):
            try:
                yield
            except KeyboardInterrupt:
                with contextlib.suppress(Exception):
                    self.session.sparkContext.cancelAllJobs()
                raise

    def _shares_done(self) -> Iterator[float | None]:
        """The share of the running query's tasks that are done, counted each time; it never falls, though stages begin and end."""
        tracker = self.session.sparkContext.statusTracker()
        reached = None
        while True:
            with contextlib.suppress(Exception):  # a session that ends answers no more
                stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
                tasks = [(known.numCompletedTasks, known.numTasks) for known in stages if known is not None]
                if tasks:
                    reached = max(reached or 0.0, sum(t[0] for t in tasks) / max(1, sum(t[1] for t in tasks)) * 0.95)
            yield reached


class _OutOfOrder(Exception):
    """Files that cannot be strung together."""


def _string_together(folder: Path, target: Path, schema: pa.Schema | None) -> int:
    """Spark's files as one, by the first POSITION of each. Raises _OutOfOrder where the positions do not ascend through them."""
    files = [file for file in sorted(folder.glob("part-*.parquet")) if pq.read_metadata(file).num_rows]
    found = pq.read_schema(next(folder.glob("part-*.parquet"), target)).remove_metadata()
    names = [name for name in found.names if name != POSITION]
    if POSITION in found.names:
        files.sort(key=_first_position)
    wanted = schema or zoneless(pa.schema([found.field(name) for name in names]))
    return write_parquet(_batches(files, names, ordered=POSITION in found.names), wanted, target)


def _first_position(file: Path) -> int:
    with pq.ParquetFile(file) as reader:
        first = next(reader.iter_batches(1, columns=[POSITION]))
    return int(first.column(0)[0].as_py())


def _batches(files: Sequence[Path], names: Sequence[str], *, ordered: bool) -> Iterator[pa.RecordBatch]:
    last = -1
    for file in files:
        with pq.ParquetFile(file) as reader:
            for batch in reader.iter_batches(2**17):
                if ordered:
                    positions = batch.column(POSITION).to_numpy()
                    if positions[0] <= last or (np.diff(positions) <= 0).any():
                        raise _OutOfOrder
                    last = int(positions[-1])
                yield from without_zones(pa.Table.from_batches([batch]).select(names)).to_batches()


def _spark_schema(file: Path) -> str:
    """The columns of a part that words can use, as Spark is to read them: it refuses files that hold some others."""
    cells = [
        f"{exp.to_identifier(f.name, quoted=True).sql('spark')} {_spark_type(f)}"
        for f in pq.read_schema(file)
        if _usable(f.type)
    ]
    return ", ".join(cells)


def _usable(kind: pa.DataType) -> bool:
    scalar = (
        pa.types.is_primitive(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_decimal(kind)
    )
    return (scalar or pa.types.is_dictionary(kind)) and not pa.types.is_time(kind) and not pa.types.is_duration(kind)


def _spark_type(known: pa.Field) -> str:
    kind = known.type
    names = {pa.bool_(): "BOOLEAN", pa.int8(): "TINYINT", pa.int16(): "SMALLINT", pa.int32(): "INT", pa.int64(): "BIGINT",
             pa.uint8(): "SMALLINT", pa.uint16(): "INT", pa.uint32(): "BIGINT", pa.uint64(): "DECIMAL(20, 0)",
             pa.float32(): "FLOAT", pa.float64(): "DOUBLE", pa.date32(): "DATE"}  # fmt: skip
    if kind in names:
        return names[kind]
    if pa.types.is_timestamp(kind):
        if kind.unit == "ns":
            raise PreprocessError(
                f"column '{known.name}' holds times in nanoseconds, which Spark cannot read",
                "store them as microseconds, or run without --engine spark",
            )
        return "TIMESTAMP" if kind.tz else "TIMESTAMP_NTZ"
    return f"DECIMAL({kind.precision}, {kind.scale})" if pa.types.is_decimal(kind) else "STRING"


__all__ = ["Spark"]
