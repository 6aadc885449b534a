"""Encoded Parquet -> shuffled chunks of batches. The position is the step: nothing else need be saved to go on.

Rows are held in two matrices, `floats` (numbers, then labels) and `codes`, so that taking a shuffled row touches
one place in memory. What does not fit the memory given is read in windows: row groups in a new order each pass, as
many at a time as fit, shuffled among themselves.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from cengine.preprocess.apply import Input

GROUPS_AT_ONCE = 8


@dataclass(frozen=True)
class Matrices:
    """Rows: `floats` float32 (n, numbers + labels), `codes` int32 (n, codes)."""

    floats: np.ndarray
    codes: np.ndarray

    def __len__(self) -> int:
        return len(self.floats)

    def take(self, rows: np.ndarray) -> Matrices:
        """The rows of these numbers."""
        return Matrices(self.floats.take(rows, axis=0), self.codes.take(rows, axis=0))


class EncodedFile:
    """The Parquet file that Transform wrote."""

    def __init__(self, path: Path, inputs: Sequence[Input], label_names: Sequence[str]) -> None:
        self.path = path
        self.float_columns = [i.column for i in inputs if i.size is None] + [f"label: {name}" for name in label_names]
        self.code_columns = [i.column for i in inputs if i.size is not None]
        self.num_numbers = len(self.float_columns) - len(label_names)
        self.bytes_per_row = 4 * (len(self.float_columns) + len(self.code_columns))
        self._file = pq.ParquetFile(path, memory_map=True)
        self.group_rows = [self._file.metadata.row_group(g).num_rows for g in range(self._file.num_row_groups)]

    def split_rows(self, split: int) -> list[int]:
        """The number of the split's rows in each row group."""
        counts = []
        for group in range(len(self.group_rows)):
            numbers = self._file.read_row_group(group, columns=["_split"])["_split"].to_numpy()
            counts.append(int(np.count_nonzero(numbers == split)))
        return counts

    def load(self, split: int, groups: Sequence[int], num_rows: int) -> Matrices:
        """The split's rows in these row groups, in the file's order; `num_rows` is how many there are."""
        floats = np.empty((num_rows, len(self.float_columns)), dtype=np.float32)
        codes = np.empty((num_rows, len(self.code_columns)), dtype=np.int32)
        position = 0
        for start in range(0, len(groups), GROUPS_AT_ONCE):
            table = self._file.read_row_groups(list(groups[start : start + GROUPS_AT_ONCE]),
                                               columns=[*self.float_columns, *self.code_columns, "_split"])  # fmt: skip
            chosen = np.flatnonzero(table["_split"].to_numpy() == split)
            rows = slice(position, position + len(chosen))
            for target, names in ((floats, self.float_columns), (codes, self.code_columns)):
                for column, name in enumerate(names):
                    target[rows, column] = table[name].to_numpy()[chosen]
            position += len(chosen)
        return Matrices(floats, codes)

    def column(self, name: str, split: int, groups: Sequence[int]) -> np.ndarray:
        """One column of the split's rows in these row groups, in the file's order; in rows of other splits it may be null."""
        import pyarrow.compute as pc

        table = self._file.read_row_groups(list(groups), columns=[name, "_split"])
        return table[name].filter(pc.equal(table["_split"], split)).to_numpy()


class TrainRows:
    """The train rows in an endless sequence of passes, each a new permutation. Batches go on across passes."""

    def __init__(self, file: EncodedFile, seed: int, memory_bytes: int) -> None:
        self.file = file
        self.seed = seed
        self.counts = file.split_rows(0)
        self.num_rows = sum(self.counts)
        self.window_rows = max(1, memory_bytes // (file.bytes_per_row or 1))
        self.fits = self.num_rows <= self.window_rows
        self._all: Matrices | None = None

    def sample(self, num_rows: int) -> Matrices:
        """Rows drawn without replacement, the same ones each time."""
        if self.fits:
            chosen = np.random.default_rng([self.seed, 1]).choice(self.num_rows, min(num_rows, self.num_rows), replace=False)
            return self._everything().take(np.sort(chosen))
        window = next(iter(self._windows(0)))
        rows = self._window(window)
        chosen = np.random.default_rng([self.seed, 1]).choice(len(rows), min(num_rows, len(rows)), replace=False)
        return rows.take(np.sort(chosen))

    def chunks(self, first_step: int, lengths: Iterable[int], batch_rows: int) -> Iterator[Matrices]:
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
            yield parts[0] if len(parts) == 1 else joined(parts)

    def _from(self, skip: int) -> Iterator[tuple[Matrices, np.ndarray]]:
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

    def _window(self, groups: list[int]) -> Matrices:
        return self._everything() if self.fits else self.file.load(0, groups, sum(self.counts[g] for g in groups))

    def _everything(self) -> Matrices:
        if self._all is None:
            self._all = self.file.load(0, range(len(self.counts)), self.num_rows)
        return self._all


def joined(parts: list[Matrices]) -> Matrices:
    """The rows of all, one after the other."""
    return Matrices(np.concatenate([part.floats for part in parts]), np.concatenate([part.codes for part in parts]))
