"""Encoded Parquet -> batches of named arrays, in blocks or shuffled. The position is the step: nothing else need be saved to go on.

What does not fit the memory given is read in windows: row groups in a new order each pass, as many at a time as fit, shuffled
among themselves.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cengine.preprocess.apply import Input

if TYPE_CHECKING:
    from cengine.learners.windows import Frame

GROUPS_AT_ONCE = 8
# What the inputs of a table are called in a batch, and the matrix in which its numbers stand with the labels.
NUMBERS, CODES, FLOATS = "numbers", "codes", "floats"
# What is known of the points to predict before they are there, where rows are windows of points.
AHEAD_NUMBERS, AHEAD_CODES = "ahead_numbers", "ahead_codes"
# The order in which a model takes what enters.
MODEL_INPUTS = (NUMBERS, CODES, AHEAD_NUMBERS, AHEAD_CODES)

# Of NumPy, or of JAX within a compiled step.
Array = Any


@dataclass(frozen=True)
class Batch:
    """Rows as named arrays whose first axes are the rows.

    `arrays` are kept as they are taken: `floats` float32 (n, numbers + labels) and `codes` int32 (n, codes), so that taking a
    shuffled row touches one place in memory. `inputs` and `labels` are views of them, also of JAX's arrays within a compiled step.
    """

    arrays: Mapping[str, Array]
    label_names: tuple[str, ...] = ()
    weighted: tuple[str, ...] = ()
    """The labels for which rows do not all count alike."""

    def __len__(self) -> int:
        return len(self.arrays[FLOATS])

    @property
    def bytes_per_row(self) -> int:
        """What a row takes, of all arrays together."""
        return sum(int(array.nbytes) for array in self.arrays.values()) // max(1, len(self))

    @property
    def inputs(self) -> dict[str, Array]:
        """`numbers` and `codes`, the columns in the order of the inputs."""
        floats = self.arrays[FLOATS]
        num_numbers = floats.shape[-1] - len(self.label_names) - len(self.weighted)
        return {NUMBERS: floats[..., :num_numbers], CODES: self.arrays[CODES]}

    @property
    def labels(self) -> dict[str, Array]:
        """Labels as encoded, float32 (n,), by the label's name."""
        floats = self.arrays[FLOATS]
        first = floats.shape[-1] - len(self.weighted) - len(self.label_names)
        return {name: floats[..., first + i] for i, name in enumerate(self.label_names)}

    @property
    def weights(self) -> dict[str, Array]:
        """How much rows count, as a share of the train rows' mean, float32 (n,), by the name of each label where they differ."""
        floats = self.arrays[FLOATS]
        first = floats.shape[-1] - len(self.weighted)
        return {name: floats[..., first + i] for i, name in enumerate(self.weighted)}

    def take(self, rows: np.ndarray) -> Batch:
        """The rows of these numbers."""
        return self.each(lambda array: array.take(rows, axis=0))

    def part(self, first: int, end: int) -> Batch:
        """The rows from number `first` to before `end`, without a copy."""
        return self.each(lambda array: array[first:end])

    def padded(self, num_rows: int) -> Batch:
        """So many rows; those that are missing are zeros."""
        missing = num_rows - len(self)
        if not missing:
            return self
        return self.each(lambda array: np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)]))

    def with_cells(self, donors: Batch, rows: np.ndarray, places: Mapping[str, Sequence[int]]) -> Batch:
        """These rows with the cells of as many others, by number, in some columns, which are given by the name of their array."""
        arrays = dict(self.arrays)
        for name, columns in places.items():
            if columns:
                arrays[name] = arrays[name].copy()
                arrays[name][..., list(columns)] = donors._cells(name, rows, columns)
        return self._with(arrays)

    def _cells(self, name: str, rows: np.ndarray, columns: Sequence[int]) -> Array:
        """Some columns of some rows."""
        return self.arrays[name][rows[:, None], list(columns)]

    def _with(self, arrays: Mapping[str, Array]) -> Batch:
        return replace(self, arrays=arrays)

    def followed_by(self, others: Sequence[Batch]) -> Batch:
        """The rows of this one and then those of the others."""
        arrays = {
            name: np.concatenate([array, *(other.arrays[name] for other in others)])
            for name, array in self.arrays.items()
        }
        return replace(self, arrays=arrays)

    def each(self, change: Callable[[Array], Array]) -> Batch:
        """The same rows, each of their arrays changed."""
        return replace(self, arrays={name: change(array) for name, array in self.arrays.items()})


def joined(parts: Sequence[Batch]) -> Batch:
    """The rows of all, one after the other."""
    return parts[0] if len(parts) == 1 else parts[0].followed_by(parts[1:])


def batch_of(encoded: pa.Table, inputs: Sequence[Input]) -> Batch:
    """Encoded rows without labels as a batch."""
    numbers = [encoded[i.column].to_numpy() for i in inputs if i.size is None]
    codes = [encoded[i.column].to_numpy() for i in inputs if i.size is not None]
    empty = np.empty((len(encoded), 0))
    return Batch({
        FLOATS: np.column_stack(numbers or [empty]).astype(np.float32, copy=False),
        CODES: np.column_stack(codes or [empty]).astype(np.int32, copy=False),
    })  # fmt: skip


class Examples:
    """The Parquet file that Transform wrote, as learners read it. `splits` are the names of the splits, train first, `weighted` the
    labels for which rows do not all count alike.
    """

    def __init__(
        self,
        path: Path,
        inputs: Sequence[Input],
        labels: Sequence[str],
        splits: Sequence[str],
        weighted: Sequence[str] = (),
    ) -> None:
        self.path = path
        self.inputs = list(inputs)
        self.labels = list(labels)
        self.splits = list(splits)
        self.weighted = tuple(weighted)
        beside = [*(f"label: {name}" for name in labels), *(f"weight: {name}" for name in weighted)]
        self._columns = {
            FLOATS: [*(i.column for i in inputs if i.size is None), *beside],
            CODES: [i.column for i in inputs if i.size is not None],
        }
        self.bytes_per_row = 4 * (len(self.inputs) + len(beside))
        self._file = pq.ParquetFile(path, memory_map=True)
        self.group_rows = [self._file.metadata.row_group(g).num_rows for g in range(self._file.num_row_groups)]

    @property
    def frame(self) -> Frame | None:
        """Which points are what, where the rows are windows of them."""
        return None

    @property
    def held_bytes_per_row(self) -> int:
        """What a row takes that is held to be drawn from."""
        return self.bytes_per_row

    @property
    def rows_per_example(self) -> int:
        """How many predictions one of them has."""
        return 1

    def batch(self, arrays: Mapping[str, Array]) -> Batch:
        """Rows of these arrays, also of JAX's within a compiled step."""
        return Batch(arrays, tuple(self.labels), self.weighted)

    @cached_property
    def _counts(self) -> np.ndarray:
        """The number of each split's rows in each row group, int64 (groups, splits)."""
        counts = np.zeros((len(self.group_rows), len(self.splits)), dtype=np.int64)
        for group in range(len(self.group_rows)):
            numbers = self._file.read_row_group(group, columns=["_split"])["_split"].to_numpy()
            counts[group] = np.bincount(numbers, minlength=len(self.splits))
        return counts

    def num_rows(self, split: str) -> int:
        """The number of the split's rows."""
        return sum(self.split_rows(split))

    def split_rows(self, split: str) -> list[int]:
        """The number of the split's rows in each row group."""
        counts: list[int] = self._counts[:, self.splits.index(split)].tolist()
        return counts

    def load(self, split: str, groups: Sequence[int] | None = None) -> Batch:
        """The split's rows, all or those in these row groups, in the file's order."""
        counts = self.split_rows(split)
        groups = range(len(counts)) if groups is None else groups
        num_rows = sum(counts[group] for group in groups)
        arrays = {
            FLOATS: np.empty((num_rows, len(self._columns[FLOATS])), dtype=np.float32),
            CODES: np.empty((num_rows, len(self._columns[CODES])), dtype=np.int32),
        }
        names = [*self._columns[FLOATS], *self._columns[CODES], "_split"]
        wanted, position = self.splits.index(split), 0
        for start in range(0, len(groups), GROUPS_AT_ONCE):
            table = self._file.read_row_groups(list(groups[start : start + GROUPS_AT_ONCE]), columns=names)
            chosen = np.flatnonzero(table["_split"].to_numpy() == wanted)
            rows = slice(position, position + len(chosen))
            for kind, target in arrays.items():
                for column, name in enumerate(self._columns[kind]):
                    target[rows, column] = table[name].to_numpy()[chosen]
            position += len(chosen)
        return self.batch(arrays)

    def blocks(self, split: str, block_rows: int) -> Iterator[tuple[list[int], Batch]]:
        """The split's rows in blocks of about so many, in the file's order, each with the row groups that it is of."""
        counts = self.split_rows(split)
        for groups in grouped(counts, block_rows):
            yield groups, self.load(split, groups)

    def thinned_rows(self, split: str, num_rows: int) -> np.ndarray:
        """The numbers of the rows that `thinned` takes, int64, in the split's order."""
        total = self.num_rows(split)
        return np.linspace(0, total - 1, min(total, num_rows)).astype(np.int64)

    def thinned(self, split: str, num_rows: int, block_rows: int) -> Batch:
        """The split's rows, or of a larger split so many of them at equal distances."""
        if self.num_rows(split) <= num_rows:
            return self.load(split)
        return self.picked(split, self.thinned_rows(split, num_rows), block_rows)

    def drawn_rows(self, identities: np.ndarray, num_rows: int) -> np.ndarray:
        """The numbers of so many of the rows with these identities, in their order: the same rows in whatever order they stand."""
        return np.sort(np.argsort(_draws(identities.astype(np.uint64)), kind="stable")[:num_rows])

    def picked(self, split: str, chosen: np.ndarray, block_rows: int) -> Batch:
        """The split's rows of these numbers, which ascend; so many rows are read at a time."""
        parts, before = [self.load(split, [])], 0
        for _, block in self.blocks(split, block_rows):
            parts.append(block.take(chosen[(chosen >= before) & (chosen < before + len(block))] - before))
            before += len(block)
        return joined(parts)

    def drawn(self, most: Mapping[str, int], file: Path, report: Callable[[float], None]) -> Examples:
        """At most so many rows of each of these splits, drawn by their places in the file; all are there where they are few enough.

        Train rows have no identity here, and their order is settled. They are written to `file`, group by group, and `report` is told
        the share done. The number drawn varies by chance, so that a little less is aimed at.
        """
        totals = {split: self.num_rows(split) for split in most}
        if all(totals[split] <= most[split] for split in most):
            return self
        limits = np.zeros(len(self.splits))
        for split, wanted in most.items():
            aim = wanted if totals[split] <= wanted else max(1.0, wanted - 5 * wanted**0.5)
            limits[self.splits.index(split)] = min(1.0, aim / max(1, totals[split]))
        num_groups, place = len(self.group_rows), 0
        names = [*self._columns[FLOATS], *self._columns[CODES], "_split"]
        schema = pa.schema([self._file.schema_arrow.field(name) for name in names])
        with pq.ParquetWriter(file, schema, compression="none", use_dictionary=False, write_statistics=False) as writer:
            for start in range(0, num_groups, GROUPS_AT_ONCE):
                groups = list(range(start, min(start + GROUPS_AT_ONCE, num_groups)))
                table = self._file.read_row_groups(groups, columns=names)
                places = np.arange(place, place + len(table), dtype=np.uint64)
                place += len(table)
                chosen = _draws(places) < limits[table["_split"].to_numpy()]
                writer.write_table(table.take(np.flatnonzero(chosen)).select(names))
                report(min(1.0, (start + GROUPS_AT_ONCE) / num_groups))
        return Examples(file, self.inputs, self.labels, self.splits, self.weighted)

    def beside(self, split: str, groups: Sequence[int]) -> dict[str, np.ndarray]:
        """What stands beside the predictions of the split's rows in these row groups."""
        return {}

    def column(self, name: str, split: str, groups: Sequence[int]) -> np.ndarray:
        """One column of the split's rows in these row groups, in the file's order; in rows of other splits it may be null."""
        import pyarrow.compute as pc

        table = self._file.read_row_groups(list(groups), columns=[name, "_split"])
        found: np.ndarray = table[name].filter(pc.equal(table["_split"], self.splits.index(split))).to_numpy()
        return found


def _draws(places: np.ndarray) -> np.ndarray:
    """A number from 0 to below 1 for each place, float64: SplitMix64, a generator whose n-th number is known (Steele, Lea and Flood 2014)."""
    mixed = (places + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)) / 2.0**53


def grouped(counts: list[int], block_rows: int) -> Iterator[list[int]]:
    """Row groups in blocks of about so many rows."""
    block: list[int] = []
    rows = 0
    for group, count in enumerate(counts):
        block.append(group)
        rows += count
        if rows >= block_rows:
            yield block
            block, rows = [], 0
    if rows:
        yield block


class TrainRows:
    """The train rows in an endless sequence of passes, each a new permutation. Batches go on across passes."""

    def __init__(self, examples: Examples, seed: int, memory_bytes: int) -> None:
        self.examples = examples
        self.split = examples.splits[0]
        self.seed = seed
        self.counts = examples.split_rows(self.split)
        self.num_rows = sum(self.counts)
        self.window_rows = max(1, memory_bytes // (examples.held_bytes_per_row or 1))
        self.fits = self.num_rows <= self.window_rows
        self._all: Batch | None = None

    def sample(self, num_rows: int) -> Batch:
        """Rows drawn without replacement, the same ones each time."""
        if self.fits:
            chosen = np.random.default_rng([self.seed, 1]).choice(
                self.num_rows, min(num_rows, self.num_rows), replace=False
            )
            return self._everything().take(np.sort(chosen))
        window = next(iter(self._windows(0)))
        rows = self._window(window)
        chosen = np.random.default_rng([self.seed, 1]).choice(len(rows), min(num_rows, len(rows)), replace=False)
        return rows.take(np.sort(chosen))

    def chunks(self, first_step: int, lengths: Iterable[int], batch_rows: int) -> Iterator[Batch]:
        """For each length n the next n batches, n * batch_rows rows, from `first_step` on."""
        passes = self._from(first_step * batch_rows)
        rows, order = next(passes)
        for length in lengths:
            wanted, parts = length * batch_rows, []
            while True:
                taken, order = order[:wanted], order[wanted:]
                parts.append(rows.take(taken))
                wanted -= len(taken)
                if not wanted:
                    break
                rows, order = next(passes)
            yield joined(parts)

    def _from(self, skip: int) -> Iterator[tuple[Batch, np.ndarray]]:
        """Windows of rows with the order to take them in, pass after pass, the first `skip` rows left out."""
        first_pass, skip = divmod(skip, self.num_rows)
        for number in itertools.count(first_pass):
            for window in self._windows(number):
                num_rows = sum(self.counts[group] for group in window)
                if skip >= num_rows:
                    skip -= num_rows
                    continue
                order = np.arange(num_rows, dtype=np.uint32 if num_rows < 2**32 else np.uint64)
                np.random.default_rng([self.seed, 0, number, window[0]]).shuffle(order)
                yield self._window(window), order[skip:]
                skip = 0

    def _windows(self, number: int) -> list[list[int]]:
        """The row groups of each window of a pass."""
        if self.fits:
            return [list(range(len(self.counts)))]
        order = np.random.default_rng([self.seed, 2, number]).permutation(len(self.counts))
        windows: list[list[int]] = [[]]
        rows = 0
        for group in order:
            if rows + self.counts[group] > self.window_rows and windows[-1]:
                windows.append([])
                rows = 0
            windows[-1].append(int(group))
            rows += self.counts[group]
        return windows

    def _window(self, groups: list[int]) -> Batch:
        return self._everything() if self.fits else self.examples.load(self.split, groups)

    def _everything(self) -> Batch:
        if self._all is None:
            self._all = self.examples.load(self.split)
        return self._all
