"""Rows by the Storage Read API: Arrow in several streams at once, each taken up again where it broke."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cengine.connections.bigquery_errors import is_transient, told

if TYPE_CHECKING:
    import pyarrow as pa
    from google.cloud import bigquery

    from cengine.connections.bigquery import Connection

MAX_STREAMS = 8
# How often in a row a stream may break before it is given up; what it brought in between starts the count anew.
MAX_BREAKS = 5
FIRST_WAIT_SECONDS = 0.5
TICK_SECONDS = 0.1

# Told the rows that have arrived so far; it may raise.
Tick = Callable[[int], None]


@dataclass
class Session:
    """What is being read: `parts` are the files with the rows of each stream."""

    schema: pa.Schema
    streams: list[str]
    num_rows: int = 0
    num_bytes: int = 0
    parts: list[Path] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, num_rows: int, num_bytes: int) -> None:
        """Counts what has arrived."""
        with self.lock:
            self.num_rows += num_rows
            self.num_bytes += num_bytes


def download(
    connection: Connection,
    table: bigquery.Table | bigquery.TableReference,
    folder: Path,
    max_streams: int,
    tick: Tick = lambda rows: None,
) -> Session:
    """Writes a table's rows into Parquet files in `folder`, one a stream. One stream keeps the order of a sorted result."""
    with connection.translating():
        session = _begin(connection, table, max_streams)
        with ThreadPoolExecutor(max(1, len(session.streams)), thread_name_prefix="bigquery-stream") as pool:
            futures = []
            for number, name in enumerate(session.streams):
                part = folder / f"stream-{number:03d}.parquet"
                session.parts.append(part)
                futures.append(pool.submit(_read, connection, session, name, part))
            try:
                while (state := wait(futures, TICK_SECONDS, FIRST_EXCEPTION)).not_done:
                    tick(session.num_rows)
                    for future in state.done:
                        future.result()
                for future in futures:
                    future.result()
            finally:
                session.stopped.set()
    tick(session.num_rows)
    return session


def _begin(connection: Connection, table: bigquery.Table | bigquery.TableReference, max_streams: int) -> Session:
    import pyarrow as pa
    from google.cloud.bigquery_storage_v1 import types

    # Codes and standardized numbers of 64 bits hold few different bytes: zstd brings them down to what they tell.
    arrow = types.ArrowSerializationOptions(buffer_compression=types.ArrowSerializationOptions.CompressionCodec.ZSTD)
    options = types.ReadSession.TableReadOptions(arrow_serialization_options=arrow)
    wanted = types.ReadSession(table=table.to_bqstorage(), data_format=types.DataFormat.ARROW, read_options=options)
    begun = connection.reader.create_read_session(
        parent=f"projects/{connection.billing_project}",
        read_session=wanted,
        max_stream_count=max_streams,
        retry=connection.retry,
    )
    schema = pa.ipc.read_schema(pa.py_buffer(begun.arrow_schema.serialized_schema))
    return Session(schema, [stream.name for stream in begun.streams], 0, len(begun.arrow_schema.serialized_schema))


def _read(connection: Connection, session: Session, name: str, part: Path) -> None:
    """One stream into one file. A stream that breaks is opened again behind the rows that have arrived."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from google.cloud.bigquery_storage_v1 import types

    offset = breaks = 0
    with pq.ParquetWriter(part, session.schema, compression="lz4") as writer:
        while True:
            try:
                # Without the client's own retries: they would begin a broken stream at its beginning.
                request = types.ReadRowsRequest(read_stream=name, offset=offset)
                messages = connection.reader.read_rows(request=request, retry=None, timeout=None)
                for message in messages:
                    if session.stopped.is_set():
                        messages.cancel()
                        return
                    data = message.arrow_record_batch.serialized_record_batch
                    writer.write_batch(pa.ipc.read_record_batch(pa.py_buffer(data), session.schema))
                    offset, breaks = offset + message.row_count, 0
                    session.add(message.row_count, len(data))
                return
            except Exception as error:
                breaks += 1
                if breaks > MAX_BREAKS or session.stopped.is_set() or not _passes(error):
                    raise
                connection.say(f"BigQuery: a stream broke at row {offset:,} ({told(error)}); taking it up again")
                time.sleep(FIRST_WAIT_SECONDS * 2 ** (breaks - 1))


def _passes(error: Exception) -> bool:
    """Whether a broken stream can be taken up again: all that is no answer to what was asked."""
    from google.api_core import exceptions

    return is_transient(error) or isinstance(error, exceptions.Aborted | exceptions.Cancelled | exceptions.Unknown)
