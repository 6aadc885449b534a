"""Tables in this program's memory: pandas, polars, pyarrow, and whatever gives its rows as a stream of Arrow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from cengine.errors import SourceError
from cengine.sources.source import CopiedSource, Part, Reading, State, batches_part

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

KIND = "frame"
BATCH_ROWS = 65_536
_ACCEPTED = "a pandas or polars DataFrame, a pyarrow table, or anything with __arrow_c_stream__"


class Frame(CopiedSource):
    """A table that a Python program holds. It is known again by its rows alone."""

    name = KIND
    title = "Python"
    _data: Any = PrivateAttr(default=None)
    _called: str = PrivateAttr(default="the table")

    @classmethod
    def of(cls, data: Any) -> Frame:
        """The source of a table in memory. Raises SourceError for what is no table, and for columns of no one type."""
        frame = cls()
        frame._called = called(data)
        frame._data = _from_pandas(data) if _is_pandas(data) else _from_arrow(data)
        return frame

    @property
    def place(self) -> str:
        return self._called

    def state(self, report: Callable[[float], None]) -> State | None:
        """Nothing tells it but its rows."""
        return None

    @contextlib.contextmanager
    def opened(self, reading: Reading) -> Iterator[Sequence[Part]]:
        """One part."""
        schema, batches, num_rows = _plain(self._data)
        yield [batches_part(self._called, schema, lambda: batches, reading, num_rows)]


def arrow_table(data: Any) -> pa.Table:
    """A table in memory as a pyarrow Table. Raises SourceError as `Frame.of` does."""
    import pyarrow as pa

    schema, batches, _ = _plain(_from_pandas(data) if _is_pandas(data) else _from_arrow(data))
    return pa.Table.from_batches(list(batches), schema)


def called(data: object) -> str:
    """What a table in memory is called in messages: the type of its object."""
    return f"{type(data).__module__.partition('.')[0]} {type(data).__name__}"


def _is_pandas(data: object) -> bool:
    return any(
        kind.__module__.partition(".")[0] == "pandas" and kind.__name__ in ("DataFrame", "Series")
        for kind in type(data).__mro__
    )


def _from_arrow(data: Any) -> pa.Table | pa.RecordBatchReader:
    """A pyarrow table or a reader of one."""
    import pyarrow as pa

    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pa.Table | pa.RecordBatchReader):
        found = data
    elif hasattr(data, "__arrow_c_stream__"):
        try:
            found = pa.RecordBatchReader.from_stream(data)
        except (pa.ArrowException, TypeError, ValueError, BufferError) as error:
            raise SourceError(
                f"the {called(data)} gives no table: {str(error).splitlines()[0]}", f"expected {_ACCEPTED}"
            ) from None
        except Exception as error:  # another package's code: anything can come out of it
            raise SourceError(f"the {called(data)} cannot be read: {type(error).__name__}: {error}") from error
    else:
        hint = ("collect it first: .collect()",) if type(data).__name__ == "LazyFrame" else ()
        raise SourceError(f"a {called(data)} is no table that can be registered", *hint, f"expected {_ACCEPTED}")
    _check_headers(list(found.schema.names), called(data))
    return found


def _check_headers(headers: Sequence[str], what: str) -> None:
    if not headers:
        raise SourceError(f"the {what} has no columns")
    twice = next((header for place, header in enumerate(headers) if header in headers[:place]), None)
    if twice is not None:
        raise SourceError(f"the {what} has two columns named '{twice}'", "rename one of them")


def _plain(data: pa.Table | pa.RecordBatchReader) -> tuple[pa.Schema, Iterator[pa.RecordBatch], int]:
    """The schema, batches and number of rows of a table, of a stream 0; words of a dictionary are the values that they stand for."""
    import pyarrow as pa

    schema = pa.schema([field.with_type(_value_type(field.type)).remove_metadata() for field in data.schema])

    def batches() -> Iterator[pa.RecordBatch]:
        incoming = data.to_batches(max_chunksize=BATCH_ROWS) if isinstance(data, pa.Table) else data
        for batch in incoming:
            columns = [_decoded(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
            yield pa.record_batch(columns, schema=schema)

    return schema, batches(), data.num_rows if isinstance(data, pa.Table) else 0


def _value_type(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if not pa.types.is_dictionary(kind):
        return kind
    return pa.string() if pa.types.is_string_view(kind.value_type) else kind.value_type


def _decoded(column: pa.Array, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    return column.dictionary.cast(kind).take(column.indices) if pa.types.is_dictionary(column.type) else column


# pandas


def _from_pandas(data: pd.DataFrame) -> pa.Table:
    """A pandas DataFrame as a pyarrow table: the columns, before them each named level of the index."""
    import pyarrow as pa

    if type(data).__name__ == "Series" or not hasattr(data, "columns"):
        raise SourceError("a pandas Series is no table", "make one of it: series.to_frame()")
    if data.columns.nlevels > 1:
        raise SourceError(
            f"the columns of the {called(data)} have {data.columns.nlevels} levels of names", "give each one name"
        )
    columns: dict[str, Any] = {}
    for level in range(data.index.nlevels):
        values = data.index.get_level_values(level)
        if values.name is not None:
            columns[str(values.name)] = values
        elif data.index.nlevels > 1 or values.dtype.kind not in "iu":
            raise SourceError(
                f"the index of the {called(data)} has values and no name: is it a column?",
                "name it, frame.rename_axis('NAME'), or leave it out, frame.reset_index(drop=True)",
            )
    _check_headers([*columns, *map(str, data.columns)], called(data))
    columns |= {str(label): data.iloc[:, place] for place, label in enumerate(data.columns)}
    return pa.table({header: _column(header, values) for header, values in columns.items()})


def _column(header: str, values: pd.Series) -> pa.Array:
    import pyarrow as pa

    if values.dtype == object:
        _check_kinds(header, values)
    try:
        found = pa.Array.from_pandas(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise SourceError(
            f"column '{header}' of type {values.dtype} cannot be read: {str(error).splitlines()[0]}",
            "convert it, for example frame[column].astype(str)",
        ) from None
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _check_kinds(header: str, values: pd.Series) -> None:
    """Raises SourceError for a column of Python objects that are not all of one kind, with the first row of each."""
    import pandas

    first: dict[str, tuple[int, Any]] = {}
    for row, value in enumerate(values):
        kind = _kind_of_object(value)
        if kind not in first and not (pandas.api.types.is_scalar(value) and pandas.isna(value)):
            first[kind] = (row, value)
    if len(first) > 1 and set(first) != {"int", "float"}:
        shown = ", ".join(f"{kind} in row {row:,} ({str(value)[:40]!r})" for kind, (row, value) in first.items())
        raise SourceError(
            f"column '{header}' holds objects of several types: {shown}",
            "give them one, for example frame[column].astype(str)",
        )


def _kind_of_object(value: Any) -> str:
    name = type(value).__name__
    if name.startswith("float"):
        return "float"
    return "int" if name.startswith(("int", "uint")) else name
