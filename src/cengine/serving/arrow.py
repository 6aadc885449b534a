"""Tables of Arrow in requests and answers. pyarrow is loaded when the first one comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cengine.models.inputs import BLANKS, fits
from cengine.serving.bundle import Field
from cengine.serving.refusals import Misfits, Refused

TYPES = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True)
class Cells:
    """A column as arrays [rows]: values, with anything where one is missing, and whether one is."""

    values: np.ndarray
    missing: np.ndarray | None

    def slice(self, start: int, stop: int) -> Cells:
        """Rows from `start` to before `stop`."""
        return Cells(self.values[start:stop], None if self.missing is None else self.missing[start:stop])

    def tolist(self) -> list[Any]:
        """The cells, None for missing ones."""
        found: list[Any] = self.values.tolist()
        return (
            found
            if self.missing is None
            else [None if gone else v for v, gone in zip(found, self.missing, strict=True)]
        )


def read_table(body: bytes) -> pa.Table:
    """The table of a stream or a file of Arrow's IPC format. Raises Refused."""
    try:
        opened = pa.ipc.open_file if body[:6] == b"ARROW1" else pa.ipc.open_stream
        table = opened(pa.py_buffer(body)).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Refused(400, "malformed", f"the Arrow table cannot be read: {str(error).splitlines()[0]}") from None
    return table


def taken(table: pa.Table, fields: Sequence[Field], places: Sequence[int]) -> list[Cells]:
    """The columns of the fields. Raises Refused for those of another type."""
    misfits, found = Misfits(), []
    for field, place in zip(fields, places, strict=True):
        try:
            found.append(_cells(table.column(place), field.kind))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            misfits.add("wrong_type", str(error).splitlines()[0], column=field.column)
    misfits.refuse()
    return found


def _cells(column: pa.ChunkedArray, kind: str) -> Cells:
    """The column as arrays. Raises ArrowInvalid for a type that does not fit, or cells that would change."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not pa.types.is_null(column.type) and not fits(column.type, kind):
        raise pa.ArrowInvalid(f"is of type {column.type}, the model has {kind}")
    array = column.cast(TYPES[kind]).combine_chunks()
    missing = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    if kind == "timestamp":
        array = array.cast(pa.int64())
    if missing is not None:
        array = array.fill_null(BLANKS[kind])
    return Cells(array.to_numpy(zero_copy_only=False), missing)


def written(columns: Mapping[str, Sequence[Any]]) -> bytes:
    """The columns as a stream of Arrow's IPC format."""
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
