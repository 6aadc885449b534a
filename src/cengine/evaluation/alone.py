"""How much one column alone tells of a label, on rows that were not learnt from.

The rows are two halves. In one half each group of rows (those with the same value, or in the same interval between quantiles)
says what its label is: the commonest class, or the mean of the ranks of numbers. The other half is asked how far that is right, and
the halves change places. So a column with as many values as rows says nothing: no value of one half occurs in the other.

Of numbers ranks are compared, by the share of their variance that is explained: a copy of a label with a few huge values, or its
logarithm, explains all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Of fewer rows nothing is said of a column.
LEAST_ROWS = 50
# Rows to an interval between quantiles, and the bounds of their number.
ROWS_PER_INTERVAL = 64
FEWEST_INTERVALS, MOST_INTERVALS = 8, 256


@dataclass(frozen=True)
class Told:
    """What a column alone tells: `share` of the errors of a constant (of classes) or of the variance (of numbers), at most 1.

    `right` is the share of rows whose class it names, None of numbers.
    """

    share: float
    right: float | None


def told_alone(column: pa.Array | pa.ChunkedArray, label: np.ndarray, *, classes: bool) -> Told | None:
    """What the column tells of the label: class numbers int64 (n,) or numbers float64 (n,), in an order that neither knows.

    None where there are too few rows, or where the label does not vary.
    """
    if len(label) < LEAST_ROWS or len(np.unique(label)) < 2:
        return None
    answers = label if classes else _ranks(label)
    found = [(_of_classes if classes else _of_ranks)(groups, answers) for groups in _groupings(column)]
    known = [told for told in found if told is not None]
    return max(known, key=lambda told: told.share) if known else None


def _groupings(column: pa.Array | pa.ChunkedArray) -> Iterator[np.ndarray]:
    """Numbers of groups int64 (n,): rows of the same value, and of numbers and times those within the same interval; nulls are a group."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int64())
    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column)
    codes = column.indices.fill_null(len(column.dictionary)).to_numpy(zero_copy_only=False).astype(np.int64)
    values = column.dictionary
    yield codes
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)) or not len(values):
        return
    numbers = np.append(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.nan)[codes]
    present = numbers[np.isfinite(numbers)]
    intervals = int(np.clip(len(numbers) // ROWS_PER_INTERVAL, FEWEST_INTERVALS, MOST_INTERVALS))
    if len(values) > intervals and len(present):
        edges = np.unique(np.quantile(present, np.linspace(0, 1, intervals + 1)[1:-1]))
        yield np.where(np.isfinite(numbers), np.searchsorted(edges, numbers, side="right"), len(edges) + 1)


def _ranks(label: np.ndarray) -> np.ndarray:
    """Ranks in (0, 1), equal numbers sharing their mean rank."""
    _, places, counts = np.unique(label, return_inverse=True, return_counts=True)
    means = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(means[places] / len(label))


def _halves(groups: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows that are learnt from and those that are asked, twice."""
    numbers = np.arange(len(groups))
    first, second = numbers[::2], numbers[1::2]
    yield first, second
    yield second, first


def _known(groups: np.ndarray, learnt: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For both halves the group of each row; those that fewer than two learnt rows have are one group together, number 0."""
    counts = np.bincount(groups[learnt], minlength=int(groups.max()) + 1)
    own = np.where(counts >= 2, np.arange(1, len(counts) + 1), 0)
    return own[groups[learnt]], own[groups[asked]]


def _of_ranks(groups: np.ndarray, ranks: np.ndarray) -> Told | None:
    errors = spread = 0.0
    for learnt, asked in _halves(groups):
        known, given = _known(groups, learnt, asked)
        size = int(max(known.max(), given.max())) + 1
        counts, mean = np.bincount(known, minlength=size), ranks[learnt].mean()
        sums = np.bincount(known, ranks[learnt], minlength=size)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), mean)
        errors += float(((ranks[asked] - means[given]) ** 2).sum())
        spread += float(((ranks[asked] - mean) ** 2).sum())
    return Told(1 - errors / spread, None) if spread else None


def _of_classes(groups: np.ndarray, classes: np.ndarray) -> Told | None:
    wrong = wrong_of_constant = 0
    for learnt, asked in _halves(groups):
        known, given = _known(groups, learnt, asked)
        commonest = int(np.bincount(classes[learnt]).argmax())
        likeliest = _likeliest(known, classes[learnt], int(max(known.max(), given.max())) + 1, commonest)
        wrong += int((likeliest[given] != classes[asked]).sum())
        wrong_of_constant += int((classes[asked] != commonest).sum())
    return Told(1 - wrong / wrong_of_constant, 1 - wrong / len(classes)) if wrong_of_constant else None


def _likeliest(groups: np.ndarray, classes: np.ndarray, num_groups: int, commonest: int) -> np.ndarray:
    """The commonest class of each group, int64 (num_groups,); of a group without rows that of all."""
    width = int(classes.max()) + 1
    pairs, counts = np.unique(groups * width + classes, return_counts=True)
    found = np.full(num_groups, commonest)
    order = np.argsort(counts, kind="stable")  # the commonest is written last
    found[pairs[order] // width] = pairs[order] % width
    return found
