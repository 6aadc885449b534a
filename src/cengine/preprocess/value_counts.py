"""The values of a column and their numbers of rows by split, over all rows or, of large splits, over a sample of them.

The sample is drawn by identity, which is a hash: the rows with the smallest. So it depends on neither the order of rows nor
on threads, and an engine that reads Parquet passes over what is not in it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlglot import exp

from cengine.engines.engine import Engine
from cengine.expressions.build import bigint, column
from cengine.preprocess.source import Rows
from cengine.preprocess.split import Split
from cengine.tables import ROW_ID, Column

# A table of no more rows is looked at whole; of a larger one this many rows of each split.
EXACT_ROWS = 2_000_000
SAMPLE_ROWS = 2**18
ID_RANGE = 2**62
# To read one column takes longer the more a file has; of a table of few rows many fit into memory.
CELLS_READ_TOGETHER = 2**18
# A longer text is told by its beginning and a hash.
MAX_TEXT = 200
SPLIT = "_split"


@dataclass(frozen=True)
class SplitRows:
    """The rows of a table by split: `num_rows` of each; a table that is not split is one of the name `all`."""

    engine: Engine
    rows: Rows
    split: Split | None
    names: tuple[str, ...]
    num_rows: tuple[int, ...]

    @staticmethod
    def of(engine: Engine, rows: Rows, split: Split | None) -> SplitRows:
        """The rows that belong to a split; without one, all."""
        if split is not None:
            return SplitRows(engine, rows, split, split.names, tuple(split.report.rows[name] for name in split.names))
        num_rows = rows.schema.num_rows
        if rows.conditions(engine.dialect):
            counted = exp.select(exp.Count(this=exp.Star()).as_("n")).from_(rows.select(engine, []).subquery("rows"))
            num_rows = engine.fetch(counted)["n"][0].as_py()
        return SplitRows(engine, rows, None, ("all",), (num_rows,))

    def select(self, names: Sequence[str]) -> exp.Select:
        """The columns, the row identity and `rows.split_column`, the number of the split."""
        if self.split is not None:
            return self.split.assigned(self.engine, self.rows, list(names))
        return self.rows.select(self.engine, names).select(
            exp.cast(exp.convert(0), "smallint").as_(self.rows.split_column, quoted=True)
        )

    @cached_property
    def sampled(self) -> tuple[bool, ...]:
        """For each split, whether it is looked at through a sample."""
        return tuple(sum(self.num_rows) > EXACT_ROWS and n > SAMPLE_ROWS for n in self.num_rows)

    def sample(self, names: Sequence[str]) -> exp.Select:
        """The rows that are looked at."""
        query = exp.select("*").from_(self.select(names).subquery("rows", copy=False))
        if not any(self.sampled):
            return query
        below = [
            ID_RANGE * SAMPLE_ROWS // n if sampled else ID_RANGE
            for n, sampled in zip(self.num_rows, self.sampled, strict=True)
        ]
        of_split = exp.Case()
        for number, limit in enumerate(below):
            of_split = of_split.when(
                exp.EQ(this=column(self.rows.split_column), expression=exp.convert(number)), bigint(limit)
            )
        if max(below) < ID_RANGE:  # the same for all splits, which a reader of Parquet understands
            query = query.where(exp.LT(this=column(ROW_ID), expression=bigint(max(below))), copy=False)
        return query.where(exp.LT(this=column(ROW_ID), expression=of_split), copy=False)


@dataclass(frozen=True)
class ValueCounts:
    """The different values of a column: `counts` of splits x values, `num_nulls` of each split.

    Numbers and times (microseconds since 1970) ascend, texts and booleans have no order.
    """

    values: pa.Array
    counts: np.ndarray
    num_nulls: np.ndarray

    @cached_property
    def num_values(self) -> np.ndarray:
        """For each split, the rows with a value."""
        return np.asarray(self.counts.sum(axis=1))

    def num_distinct(self, split: int) -> int:
        """The different values of a split."""
        return int(np.count_nonzero(self.counts[split]))

    def num_single(self, split: int) -> int:
        """The values that one row has."""
        return int(np.count_nonzero(self.counts[split] == 1))

    def top(self, split: int, num_values: int) -> list[int]:
        """Where the most frequent values stand, most frequent first, equal ones by value."""
        counts = self.counts[split]
        present = np.flatnonzero(counts)
        if len(present) > num_values:
            least = np.partition(counts[present], len(present) - num_values)[len(present) - num_values]
            present = present[counts[present] >= least]
        order = pa.table(
            {"n": counts[present], "value": self.values.take(pa.array(present)).cast(_ordered_type(self.values.type))}
        )
        places = pc.sort_indices(order, [("n", "descending"), ("value", "ascending")])[:num_values]
        return [int(i) for i in present[places.to_numpy()]]

    def quantiles(self, split: int, probabilities: Sequence[float], *, between: bool = True) -> list[float]:
        """Quantiles of the numbers, with linear interpolation between neighbouring rows; the lower row's where not `between`."""
        through = np.cumsum(self.counts[split])
        if not len(through) or not through[-1]:
            return []
        found = []
        for probability in probabilities:
            position = (int(through[-1]) - 1) * probability
            low = self.values[int(np.searchsorted(through, int(position), side="right"))].as_py()
            if not between:
                found.append(low)
                continue
            high = self.values[
                int(np.searchsorted(through, min(int(position) + 1, int(through[-1]) - 1), side="right"))
            ].as_py()
            # Integers stay what they are, however large.
            found.append(low if low == high else low * (1 - position % 1) + high * (position % 1))
        return found


@contextmanager
def sampled_values(table: SplitRows, columns: Sequence[Column]) -> Iterator[Sample]:
    """The rows that are looked at, in a file of their own, so that one column of them is in memory at a time."""
    engine = table.engine
    engine.scratch.mkdir(parents=True, exist_ok=True)
    cells = [_stored(known).as_(f"c{i}", copy=False) for i, known in enumerate(columns)]
    # Trees of wide tables are large: they are handed on, not copied.
    rows = table.sample([known.name for known in columns]).subquery("sample", copy=False)
    query = exp.select(*cells, column(table.rows.split_column).as_(SPLIT, quoted=True), copy=False).from_(
        rows, copy=False
    )
    with tempfile.TemporaryDirectory(prefix="sample-", dir=engine.scratch) as folder:
        file = Path(folder) / "sample.parquet"
        engine.write(query, file)
        texts = [f"c{i}" for i, known in enumerate(columns) if known.kind == "string"]
        with pq.ParquetFile(file, read_dictionary=texts) as reader:
            yield Sample(reader, len(table.names))


class Sample:
    """What `sampled_values` has written."""

    def __init__(self, reader: pq.ParquetFile, num_splits: int) -> None:
        self._reader = reader
        self._num_splits = num_splits
        self._splits = reader.read(columns=[SPLIT])[SPLIT].to_numpy().astype(np.int64)
        self.num_rows = np.bincount(self._splits, minlength=num_splits)
        self._together = max(1, CELLS_READ_TOGETHER // max(1, len(self._splits)))
        self._read = pa.table({})

    def counts(self, place: int) -> ValueCounts:
        """The values of the column at this place."""
        name = f"c{place}"
        if name not in self._read.column_names:
            first = place - place % self._together
            self._read = self._reader.read(columns=[f"c{i}" for i in range(first, first + self._together)])
        cells = self._read[name]
        if not pa.types.is_dictionary(cells.type):
            cells = cells.dictionary_encode()
        cells = cells.unify_dictionaries().combine_chunks()
        values = cells.dictionary if isinstance(cells, pa.DictionaryArray) else pa.array([], cells.type.value_type)
        codes = (
            cells.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
            if len(self._splits)
            else np.zeros(0, np.int64)
        )
        width = len(values) + 1
        counts = np.bincount(codes.astype(np.int64) + self._splits * width, minlength=self._num_splits * width)
        counts = counts.reshape(self._num_splits, width)
        return _ascending(values, counts[:, :-1], counts[:, -1])


def _stored(known: Column) -> exp.Expr:
    """The cell as it is written: times as microseconds, texts bounded in length."""
    cell: exp.Expr = column(known.name)
    if known.kind == "timestamp":
        return microseconds(cell)
    if known.kind != "string":
        return cell
    text = exp.cast(cell, "text")
    beginning = exp.Anonymous(this="LEFT", expressions=[text.copy(), exp.convert(MAX_TEXT)])
    marked = exp.DPipe(
        this=exp.DPipe(this=beginning, expression=exp.Literal.string("…"), safe=False),
        expression=exp.MD5(this=text.copy()),
        safe=False,
    )
    return (
        exp.Case().when(exp.GT(this=exp.Length(this=text.copy()), expression=exp.convert(MAX_TEXT)), marked).else_(text)
    )


def microseconds(cell: exp.Expr) -> exp.Expr:
    """A time as microseconds since 1970."""
    return exp.Anonymous(this="epoch_us", expressions=[exp.cast(cell, "timestamp")])


def shown_text(text: str) -> str:
    """A text of a sample without the hash that tells long ones apart."""
    return text[: MAX_TEXT + 1] if len(text) > MAX_TEXT else text


def _ascending(values: pa.Array, counts: np.ndarray, num_nulls: np.ndarray) -> ValueCounts:
    """Numbers in order, 0 and -0 as one."""
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type) or pa.types.is_boolean(values.type):
        return ValueCounts(values, counts, num_nulls)
    numbers = values.to_numpy(zero_copy_only=False)
    numbers = numbers + 0.0 if numbers.dtype.kind == "f" else numbers
    unique, places = np.unique(numbers, return_inverse=True)
    summed = np.stack([np.bincount(places, row, len(unique)).astype(np.int64) for row in counts])
    return ValueCounts(pa.array(unique), summed, num_nulls)


def _ordered_type(kind: pa.DataType) -> pa.DataType:
    return pa.int8() if pa.types.is_boolean(kind) else kind


__all__ = ["Sample", "SplitRows", "ValueCounts", "microseconds", "sampled_values", "shown_text"]
