"""Histograms of a column with the same edges for all splits: equal steps over the bulk, the outer bins hold what lies beyond."""

from __future__ import annotations

import math

import numpy as np

from cengine.preprocess.value_counts import ValueCounts

NUM_BINS = 30
# Integers of a span so small have a bin each.
MAX_SINGLE_VALUES = 40
BULK = (0.005, 0.995)


def edges_of(found: ValueCounts, *, whole: bool) -> list[float]:
    """The edges of about 30 bins, none where there are no values; `whole` says that the values are integers."""
    splits = [split for split in range(len(found.counts)) if found.num_values[split]]
    if not splits:
        return []
    lowest, highest = found.values[0].as_py(), found.values[-1].as_py()
    if whole and highest - lowest < MAX_SINGLE_VALUES and max(abs(lowest), abs(highest)) < 2**51:
        return [value - 0.5 for value in range(lowest, highest + 2)]
    bulks = [found.quantiles(split, BULK) for split in splits]
    low, high = min(bulk[0] for bulk in bulks), max(bulk[1] for bulk in bulks)
    if low == high:  # nearly all rows have one value; the others show where the bulk does not
        low, high = lowest, highest
    if float(low) == float(high):  # whole numbers near 2**62 may differ and be one number to an edge
        low = float(low)
        half = max(0.5, abs(low) * 1e-9)
        return [low - half, low + half]
    return _whole_steps(low, high) if whole else _steps(low, high)


def histogram(found: ValueCounts, edges: list[float], unit: float) -> np.ndarray:
    """Rows of each split and bin; a value is divided by `unit` to be on the scale of the edges."""
    values = found.values.to_numpy(zero_copy_only=False) / unit
    bins = np.searchsorted(np.asarray(edges[1:-1], np.float64), values, side="right")
    num_bins = len(edges) - 1
    return np.stack([np.bincount(bins, row, num_bins).astype(np.int64) for row in found.counts])


def _whole_steps(low: float, high: float) -> list[float]:
    """Edges between integers, so that each bin but the outer ones holds as many of them."""
    first, last = math.floor(low), math.ceil(high)
    step = -(-(last - first + 1) // NUM_BINS)
    num_bins = -(-(last - first + 1) // step)
    edges = [float(first + step * i) - 0.5 for i in range(num_bins + 1)]
    return edges if len(set(edges)) == len(edges) else _steps(low, high)


def _steps(low: float, high: float) -> list[float]:
    # Halved, since the difference of two numbers may be more than a number can be.
    edges = [2 * (low / 2 + (high / 2 - low / 2) * (i / NUM_BINS)) for i in range(NUM_BINS)] + [high]
    return sorted({float(edge) for edge in edges if math.isfinite(edge)})
