"""The log of requests: what came and what was predicted, as Parquet files that `cengine datasource create parquet` registers.

Rows are gathered and written by a thread, so that a request pays for no more than a reference. A file appears when it is complete.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cengine.errors import CengineError
from cengine.names import free_name
from cengine.serving.answers import columns_of
from cengine.serving.bundle import Bundle
from cengine.serving.rows import Given
from cengine.serving.session import Outputs

if TYPE_CHECKING:
    import pyarrow as pa

FLUSH_ROWS = 50_000
FLUSH_SECONDS = 10.0
# Rows as Python has them take ten times the memory of a column, so no more of them are held.
PACK_ROWS = 1000
GROUP_ROWS = 10_000
# Beyond it rows are dropped, and counted as such: a disk that takes nothing must not take the server's memory.
MAX_HELD_ROWS = 1_000_000


@dataclass
class Batch:
    """Rows that were predicted together, and when, in microseconds since 1970 UTC."""

    given: Given
    outputs: Outputs
    time: int


@dataclass
class _Gathered:
    """Rows for one file: those that came last, and the others as tables, which the writer's thread makes."""

    bundle: Bundle
    batches: list[Batch] = field(default_factory=list)
    rows: int = 0
    packed_rows: int = 0
    tables: list[Future[pa.Table]] = field(default_factory=list)

    def pack(self, writer: ThreadPoolExecutor) -> None:
        """Has the last rows made a table."""
        batches, self.batches, self.packed_rows = self.batches, [], self.rows
        if batches:
            self.tables.append(writer.submit(table_of, self.bundle, batches))


class Journal:
    """Writes below `folder`, in a folder of each model where `by_model`. `failed` is told of what could not be written."""

    def __init__(self, folder: Path, *, by_model: bool, failed: Callable[[str, int], None]) -> None:
        import pyarrow.parquet  # noqa: F401  now, not while somebody waits for an answer

        self._folder, self._by_model, self._failed = folder, by_model, failed
        self._gathered: dict[str, _Gathered] = {}
        self._held = 0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._numbers = itertools.count(1)
        self._timer: asyncio.TimerHandle | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise CengineError(f"requests cannot be logged to {folder}: {error.strerror or error}") from error

    def ran(self, bundle: Bundle, given: Given, outputs: Outputs) -> None:
        """Takes a batch that was predicted; called in the thread of the loop."""
        if self._held + given.num_rows > MAX_HELD_ROWS:
            self._failed("more rows came than the disk took", given.num_rows)
            return
        self._held += given.num_rows
        gathered = self._gathered.setdefault(bundle.version, _Gathered(bundle))
        gathered.batches.append(Batch(given, outputs, time.time_ns() // 1000))
        gathered.rows += given.num_rows
        if gathered.rows - gathered.packed_rows >= PACK_ROWS:
            gathered.pack(self._writer)
        if gathered.rows >= FLUSH_ROWS:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Has all that was gathered written, beside."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gathered, self._gathered = self._gathered, {}
        for one in gathered.values():
            one.pack(self._writer)
            self._writer.submit(self._write, one)

    def close(self) -> None:
        """Writes what is left, and waits for it."""
        self.flush()
        self._writer.shutdown()

    def _write(self, gathered: _Gathered) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        bundle = gathered.bundle
        folder = self._folder / bundle.name if self._by_model else self._folder
        name = f"{bundle.version}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}-{next(self._numbers):06}.parquet"
        draft = folder / f".{name}.partial"
        try:
            folder.mkdir(exist_ok=True)
            pq.write_table(
                pa.concat_tables([table.result() for table in gathered.tables]), draft, row_group_size=GROUP_ROWS
            )
            draft.rename(folder / name)
        except Exception as error:  # whatever the disk or Arrow raises: rows that are lost are counted and reported
            with contextlib.suppress(OSError):
                draft.unlink()
            self._failed(f"{type(error).__name__}: {error}", gathered.rows)
        finally:
            self._held -= gathered.rows
            gathered.tables.clear()
            pa.default_memory_pool().release_unused()  # Arrow would keep 20 MB for later


def table_of(bundle: Bundle, batches: Sequence[Batch]) -> pa.Table:
    """The columns as they came, then the predictions, `version` and `time`; with _ before a name that a column has already."""
    import pyarrow as pa

    columns: dict[str, Any] = {}
    for place, one in enumerate(bundle.fields):
        parts = [batch.given.columns[place] for batch in batches]
        values = itertools.chain.from_iterable(part if isinstance(part, list) else part.tolist() for part in parts)
        columns[one.column] = pa.array(list(values), _arrow_type(one.kind))
    predicted = [columns_of(bundle, batch.outputs) for batch in batches]
    for name, _, _ in bundle.columns():
        columns[free_name(name, columns)] = pa.array(
            list(itertools.chain.from_iterable(one[name] for one in predicted))
        )
    rows = sum(batch.given.num_rows for batch in batches)
    columns[free_name("version", columns)] = pa.array([bundle.version] * rows, pa.string())
    times = itertools.chain.from_iterable([batch.time] * batch.given.num_rows for batch in batches)
    columns[free_name("time", columns)] = pa.array(list(times), pa.timestamp("us", tz="UTC"))
    return pa.table(columns)


def _arrow_type(kind: str) -> pa.DataType:
    from cengine.serving.arrow import TYPES

    return TYPES[kind]
