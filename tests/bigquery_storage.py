"""The Storage Read API over gRPC: read sessions of tables and of query results, Arrow batches in several streams."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass
from typing import Any

import grpc
import pyarrow as pa
from bigquery_sql import Refused
from bigquery_tables import Tables
from google.cloud.bigquery_storage_v1 import types

SERVICE = "google.cloud.bigquery.storage.v1.BigQueryRead"
ROWS_PER_MESSAGE = 4096
CODES = {
    "accessDenied": grpc.StatusCode.PERMISSION_DENIED,
    "notFound": grpc.StatusCode.NOT_FOUND,
    "quotaExceeded": grpc.StatusCode.RESOURCE_EXHAUSTED,
}
COMPRESSIONS = {1: "lz4", 2: "zstd"}


@dataclass(frozen=True)
class Stream:
    """Rows of a session, as they are sent."""

    rows: pa.Table
    compression: str | None


class Storage:
    """The service. `wire` counts bytes; `faults` says when a stream is cut or a call refused."""

    def __init__(self, tables: Tables, wire: Any, faults: Any) -> None:
        self.tables = tables
        self.wire = wire
        self.faults = faults
        self.streams: dict[str, Stream] = {}
        self.offsets: list[tuple[str, int]] = []  # every ReadRows: the stream and where it began
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        self.server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    SERVICE,
                    {
                        "CreateReadSession": grpc.unary_unary_rpc_method_handler(
                            self.create_session, types.CreateReadSessionRequest.deserialize, types.ReadSession.serialize
                        ),
                        "ReadRows": grpc.unary_stream_rpc_method_handler(
                            self.read_rows, types.ReadRowsRequest.deserialize, types.ReadRowsResponse.serialize
                        ),
                    },
                ),
            )
        )
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def create_session(self, request: Any, context: Any) -> Any:
        fault = self.faults.take("CreateReadSession")
        if fault:
            context.abort(CODES.get(fault.reason, grpc.StatusCode.UNAVAILABLE), fault.message)
        session = request.read_session
        _, project, _, dataset, _, table = session.table.split("/")
        snapshot = session.table_modifiers.snapshot_time
        try:
            version = self.tables.locate((project, dataset, table), snapshot.timestamp() if snapshot else None)
        except Refused as refused:
            context.abort(CODES.get(refused.reason, grpc.StatusCode.INVALID_ARGUMENT), str(refused))
        rows = self._rows(
            version.table, list(session.read_options.selected_fields), session.read_options.row_restriction
        )
        compression = COMPRESSIONS.get(int(session.read_options.arrow_serialization_options.buffer_compression))
        num_streams = max(1, min(request.max_stream_count or 4, 4, -(-rows.num_rows // ROWS_PER_MESSAGE)))
        name = f"projects/{request.parent.split('/')[-1]}/locations/us/sessions/{uuid.uuid4().hex}"
        answer = types.ReadSession(
            name=name,
            table=session.table,
            data_format=types.DataFormat.ARROW,
            estimated_row_count=rows.num_rows,
            expire_time=datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=6),
            arrow_schema=types.ArrowSchema(serialized_schema=rows.schema.serialize().to_pybytes()),
        )
        for number in range(num_streams if rows.num_rows else 0):
            low, high = (rows.num_rows * n // num_streams for n in (number, number + 1))
            stream = f"{name}/streams/{number}"
            self.streams[stream] = Stream(rows.slice(low, high - low), compression)
            answer.streams.append(types.ReadStream(name=stream))
        self.wire.count("arrow", len(answer.arrow_schema.serialized_schema))
        return answer

    def _rows(self, table: str, columns: list[str], restriction: str) -> pa.Table:
        import sqlglot

        wanted = ", ".join(f'"{name}"' for name in columns) or "*"
        where = f" WHERE {sqlglot.transpile(restriction, read='bigquery', write='duckdb')[0]}" if restriction else ""
        with self.tables.lock:
            return self.tables.connection.cursor().sql(f"SELECT {wanted} FROM {table}{where}").to_arrow_table()

    def read_rows(self, request: Any, context: Any) -> Iterator[Any]:
        self.offsets.append((request.read_stream, request.offset))
        fault = self.faults.take("ReadRows")
        stream = self.streams[request.read_stream]
        options = pa.ipc.IpcWriteOptions(compression=stream.compression)
        rows = stream.rows.slice(request.offset)
        for number, batch in enumerate(rows.to_batches(max_chunksize=ROWS_PER_MESSAGE)):
            if fault and number == fault.after_messages:
                context.abort(CODES.get(fault.reason, grpc.StatusCode.UNAVAILABLE), fault.message)
            data = _serialized(batch, options)
            self.wire.count("arrow", len(data))
            yield types.ReadRowsResponse(
                arrow_record_batch=types.ArrowRecordBatch(serialized_record_batch=data, row_count=batch.num_rows),
                row_count=batch.num_rows,
            )

    def close(self) -> None:
        self.server.stop(None).wait()


def _serialized(batch: pa.RecordBatch, options: pa.ipc.IpcWriteOptions) -> bytes:
    """The message of a batch without that of the schema before it."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    messages = pa.ipc.MessageReader.open_stream(sink.getvalue())
    messages.read_next_message()
    return bytes(messages.read_next_message().serialize())
