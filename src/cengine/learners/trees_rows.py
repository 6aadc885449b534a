"""Encoded Parquet -> what LightGBM learns from: rows are binned block by block, so that never all of them are held as numbers.

LightGBM keeps a byte for each cell (two where a code has more than 256 indices). Codes are categories to it, numbers are compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cengine.config.schema import TRAIN
from cengine.errors import TrainingError
from cengine.learners.examples import CODES, NUMBERS, Batch, Examples, grouped
from cengine.learners.learner import Course
from cengine.learners.trees_graph import LEAST_NUMBER
from cengine.learners.trees_library import import_lightgbm
from cengine.learners.trees_objectives import Objective
from cengine.preprocess.apply import Input
from cengine.preprocess.targets import row_weights

if TYPE_CHECKING:
    import lightgbm

# Rows that are held as numbers at a time, where the memory has room for so many.
BLOCK_ROWS = 2**18
# Larger codes are no whole numbers of 32 bits any more.
MOST_EXACT = 2**24


def matrix_of(batch: Batch) -> np.ndarray:
    """The rows as LightGBM reads them: numbers, those nearest to 0 as 0, then codes; float32 where that holds every code."""
    numbers, codes = batch.inputs[NUMBERS], batch.inputs[CODES]
    numbers = np.where(np.abs(numbers) < LEAST_NUMBER, np.float32(0), numbers)
    wide = np.float64 if codes.size and codes.max() > MOST_EXACT else np.float32
    found: np.ndarray = np.hstack([numbers.astype(wide, copy=False), codes.astype(wide)])
    return np.ascontiguousarray(found)


def ordered(inputs: Sequence[Input]) -> list[Input]:
    """The inputs in the order of the matrix' columns: numbers, then codes."""
    return [one for one in inputs if one.size is None] + [one for one in inputs if one.size is not None]


class TrainTable:
    """The train rows in blocks of row groups, read as often as they are asked for."""

    def __init__(self, examples: Examples, course: Course) -> None:
        self.examples = examples
        self.wish = course.wish
        # A block is there as it was read, as a matrix, and as the numbers of 64 bits that one of them is made of.
        room = course.memory_bytes // (8 * 4 * max(1, len(examples.inputs) + len(examples.labels)))
        self.block_rows = max(1, min(BLOCK_ROWS, room))

    @property
    def num_rows(self) -> int:
        """The number of train rows."""
        return self.examples.num_rows(TRAIN)

    def blocks(self) -> Iterator[Batch]:
        """All rows in the file's order."""
        for _, batch in self.examples.blocks(TRAIN, self.block_rows):
            self.wish.raise_if_due()
            yield batch

    @cached_property
    def groups(self) -> list[tuple[list[int], int]]:
        """The row groups of each block, and its rows."""
        return [
            (groups, sum(self._counts[group] for group in groups)) for groups in grouped(self._counts, self.block_rows)
        ]

    @cached_property
    def _counts(self) -> list[int]:
        return self.examples.split_rows(TRAIN)

    def matrix(self, groups: Sequence[int]) -> np.ndarray:
        """The rows of a block as LightGBM reads them."""
        self.wish.raise_if_due()
        return matrix_of(self.examples.load(TRAIN, groups))

    def labels(self, name: str) -> np.ndarray:
        """Encoded labels of all rows, float32 (n,)."""
        return self.examples.column(f"label: {name}", TRAIN, range(len(self.examples.group_rows))).astype(np.float32)

    def weights(self, name: str) -> np.ndarray | None:
        """How much all rows count for a label, float32 (n,); None if they count alike."""
        if name not in self.examples.weighted:
            return None
        return self.examples.column(f"weight: {name}", TRAIN, range(len(self.examples.group_rows)))

    def dataset(
        self, objective: Objective, parameters: Mapping[str, Any], scores: np.ndarray | None
    ) -> lightgbm.Dataset:
        """The rows binned, with the labels of a target; `scores` (n, num_scores) are what trees of before say."""
        library = import_lightgbm()
        inputs, labels = ordered(self.examples.inputs), self.labels(objective.target.name)
        made = library.Dataset(
            _sequences(library, self),
            label=objective.labels(labels),
            weight=row_weights(objective.target, labels, self.weights(objective.target.name)),
            init_score=scores if scores is None or objective.num_scores > 1 else scores[:, 0],
            feature_name=[f"x{place}" for place in range(len(inputs))],
            categorical_feature=[place for place, one in enumerate(inputs) if one.size is not None],
            params=dict(parameters),
        )
        found: lightgbm.Dataset = made.construct()
        return found


def _sequences(library: Any, table: TrainTable) -> list[Any]:
    """The blocks as LightGBM asks for them: single rows in ascending order for a sample, then slices. One block is held at a time."""
    held: dict[int, np.ndarray] = {}

    class Block(library.Sequence):  # type: ignore[misc]  # the library is loaded when trees are needed
        batch_size = table.block_rows + max(table.examples.group_rows)

        def __init__(self, place: int) -> None:
            self.place = place

        def __len__(self) -> int:
            return table.groups[self.place][1]

        def __getitem__(self, rows: int | slice) -> np.ndarray:
            if self.place not in held:
                held.clear()
                held[self.place] = table.matrix(table.groups[self.place][0])
            found: np.ndarray = held[self.place][rows]
            return found if isinstance(rows, slice) else found.astype(np.float64)  # what a sample consists of

    return [Block(place) for place in range(len(table.groups))]


def check_memory(
    table: TrainTable, objectives: Sequence[Objective], course: Course, num_bins: int, leaves: int
) -> None:
    """Raises TrainingError where the binned rows, their gradients and histograms are more than the memory limit leaves for them.

    A cell takes a byte, or two; a row its label, and for each score 8 bytes and two gradients of 4, twice for rows put in order.
    """
    inputs = table.examples.inputs
    cells = sum(2 if (one.size or num_bins) > 256 else 1 for one in inputs)
    rows = sum(table.num_rows * (cells + 12 + 24 * one.num_scores) for one in objectives)
    histograms = len(objectives) * leaves * 16 * sum(min(one.size or num_bins, num_bins) for one in inputs)
    needed = rows + histograms
    if needed > course.memory_bytes:
        wanted = course.limit_bytes + 2 * (needed - course.memory_bytes)
        raise TrainingError(
            f"the memory limit of {course.limit_bytes / 1e9:.1f} GB is too small for boosted trees of {table.num_rows:,} rows and "
            f"{len(inputs):,} columns",
            f"give more with --memory, here --memory {math.ceil(wanted / 1e9)}GB; architecture: feedforward needs less",
        )
