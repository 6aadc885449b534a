"""Predicts a table: encoded where it is, answered block by block on all cores, written part by part."""

from __future__ import annotations

import collections
import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from cengine.digests import fingerprint
from cengine.engines.duckdb import DuckDB
from cengine.engines.spark import Spark
from cengine.errors import StoreError
from cengine.models.blocks import Counts, Encoding, block_rows
from cengine.prediction.cells import columns_of, given_rows
from cengine.prediction.drift import drift_of
from cengine.prediction.parts import ENCODED, Parts, without_first
from cengine.prediction.source import Source
from cengine.stages.progress import Progress, Silent

if TYPE_CHECKING:
    from cengine.evaluation.drift import DescribedColumn
    from cengine.models.model import Model

# Of a part: what an interrupted command loses at most.
PART_ROWS, PART_BYTES = 2**22, 2**28
MAX_ENGINE_BYTES = 2**30
STAGE = "Predict"
SILENT = Silent()


@dataclass(frozen=True)
class Predicted:
    """What was written."""

    file: Path
    counts: Counts
    num_resumed: int
    """Rows that an earlier attempt had predicted."""
    columns: list[DescribedColumn]
    """The features as these rows have them beside the train rows, with their drift; none where the train rows are not known."""


@dataclass(frozen=True)
class Limits:
    """What may be used: memory in bytes, and threads (all cores where None)."""

    memory_bytes: int
    threads: int | None = None

    @property
    def engine_bytes(self) -> int:
        """What queries may hold."""
        return min(self.memory_bytes // 4, MAX_ENGINE_BYTES)

    @property
    def num_threads(self) -> int:
        """How many blocks are predicted at once."""
        return self.threads or os.cpu_count() or 1


def predict_table(
    model: Model,
    source: Source,
    parts: Parts,
    *,
    keep: Sequence[str] = (),
    limits: Limits,
    progress: Progress = SILENT,
) -> Predicted:
    """Writes the predictions of all rows of `source`, in its order, to the file of `parts`, behind the columns `keep`.

    An attempt that was interrupted is continued. Raises PreprocessError if the table does not have what the model needs,
    StoreError if the file cannot be written.
    """
    columns_of(source, model.signature.features)
    encoding = Encoding(model, tuple(_kept(model, source, keep)))
    signature = {"model": model.fingerprints, "signature": model.signature.to_json()}
    parts.take_up(fingerprint({**signature, "rows": source.identity, "keep": encoding.kept}))
    num_resumed, began = parts.counts.num_rows, time.monotonic()
    progress.begin(STAGE, source.rows.schema.num_rows, "rows")
    progress.advance(num_resumed)
    with _answered(encoding, source, parts, limits, progress) as answered:
        for table, counts in _in_parts(answered, progress, num_resumed):
            parts.add(table, counts)
    with DuckDB(parts.folder / "scratch", memory_bytes=limits.engine_bytes, folders=[parts.folder]) as engine:
        parts.join(engine)
    columns = _compared(model, source, limits, parts.counts.num_rows)
    progress.end(STAGE, time.monotonic() - began)
    return Predicted(parts.target, parts.counts, num_resumed, columns)


def _compared(model: Model, source: Source, limits: Limits, num_rows: int) -> list[DescribedColumn]:
    """The features beside the train rows; not of a warehouse, which would have to be asked again."""
    if not source.is_here:
        return []
    columns = columns_of(source, model.signature.features)
    with source.engine(limits.engine_bytes, limits.threads) as engine:
        assert isinstance(engine, DuckDB)
        return drift_of(source, engine, columns, model.certificate.get("train", ()), num_rows)


def _kept(model: Model, source: Source, keep: Sequence[str]) -> list[str]:
    """The columns to keep, as the table has them. Raises StoreError for one that there is not, or that is called as a prediction."""
    kept = []
    for written in keep:
        found = source.names.find(written)
        if found is None:
            fault, *notes = source.names.fault(written)
            raise StoreError(f"--keep: {fault}", *notes)
        kept.append(found)
    predicted = Encoding(model).predictions(_no_rows(model)).column_names
    taken = [name for name in kept if name in predicted]
    if taken:
        raise StoreError(
            f"--keep: the column '{taken[0]}' would have the name of a prediction", "rename it, or leave it out"
        )
    if not kept and not source.is_here:
        raise StoreError(
            f"{source.title} is a table without an order: predictions alone would not tell which row they are of",
            "name the columns that do: --keep COLUMN",
        )
    return list(dict.fromkeys(kept))


def _no_rows(model: Model) -> pa.Table:
    """Encoded rows of which there are none."""
    return pa.table(
        {one.column: pa.array([], pa.float32() if one.size is None else pa.int32()) for one in model.inputs}
    )


@contextlib.contextmanager
def _answered(
    encoding: Encoding, source: Source, parts: Parts, limits: Limits, progress: Progress
) -> Iterator[Iterator[tuple[pa.Table, Counts]]]:
    """Predictions of all rows but those that were predicted before, block by block: by workers, or here."""
    skip = parts.counts.num_rows
    if source.workers is None:
        with _blocks(encoding, source, parts, limits, skip) as blocks:
            yield _predicted(encoding, blocks, limits.num_threads)
        return
    from cengine.prediction.workers import answers, onnx_file, write_answers

    file, total = parts.folder / ENCODED, source.rows.schema.num_rows
    if not file.exists():
        onnx = onnx_file(encoding.model)  # before workers are asked for
        with source.workers(limits.memory_bytes, limits.threads) as engine:
            assert isinstance(engine, Spark)
            given = given_rows(source, engine, encoding.model.signature.features, encoding.kept)
            draft = file.with_suffix(".draft")
            write_answers(engine, encoding, onnx, given, draft, lambda share: progress.advance(share * total))
            draft.rename(file)
    yield answers(encoding, file, block_rows(encoding.model), skip)


@contextlib.contextmanager
def _blocks(
    encoding: Encoding, source: Source, parts: Parts, limits: Limits, skip: int
) -> Iterator[Iterator[pa.RecordBatch]]:
    """Encoded blocks of all rows but the first `skip`. Rows of a warehouse are encoded there, and brought here once."""
    features, size = encoding.model.signature.features, block_rows(encoding.model)
    encoded = parts.folder / ENCODED
    with source.engine(limits.engine_bytes, limits.threads) as engine:
        given = given_rows(source, engine, features, encoding.kept)
        encoding.model.predictor  # noqa: B018 - loaded by one thread, before several ask for it
        if isinstance(engine, DuckDB):
            yield engine.stream(encoding.query(engine, given, skip), size)
            return
        if not encoded.exists():
            engine.scratch.mkdir(parents=True, exist_ok=True)
            brought = engine.scratch / encoded.name  # where the engine may write
            engine.write(encoding.query(engine, given), brought)
            draft = encoded.with_suffix(".draft")
            shutil.move(brought, draft)
            draft.rename(encoded)
    with pq.ParquetFile(encoded) as file:
        yield without_first(file.iter_batches(size), skip)


def _predicted(
    encoding: Encoding, blocks: Iterator[pa.RecordBatch], num_threads: int
) -> Iterator[tuple[pa.Table, Counts]]:
    """Predictions of each block, in order; several blocks are worked on at once."""

    def answer(block: pa.RecordBatch) -> tuple[pa.Table, Counts]:
        encoded = pa.Table.from_batches([block])
        return encoding.predictions(encoded), encoding.counts(encoded)

    waiting: collections.deque[Future[tuple[pa.Table, Counts]]] = collections.deque()
    with ThreadPoolExecutor(num_threads, thread_name_prefix="predict") as pool:
        for block in blocks:
            waiting.append(pool.submit(answer, block))
            if len(waiting) > num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _in_parts(
    blocks: Iterator[tuple[pa.Table, Counts]], progress: Progress, num_rows: int
) -> Iterator[tuple[pa.Table, Counts]]:
    """Blocks put together to parts."""
    tables: list[pa.Table] = []
    counts = Counts()
    for table, found in blocks:
        tables.append(table)
        counts.add(found)
        num_rows += len(table)
        progress.advance(num_rows)
        if counts.num_rows >= PART_ROWS or sum(one.nbytes for one in tables) >= PART_BYTES:
            yield pa.concat_tables(tables), counts
            tables, counts = [], Counts()
    if tables:
        yield pa.concat_tables(tables), counts
