"""How many rows of a group each split takes: exact shares by the largest remainder."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from cengine.config.schema import INNER_SHARE

LARGEST_DENOMINATOR = 10**9
# At most so much of train is kept back where rows cannot be had one by one, as groups or times that stay whole: with more, too little is learnt from.
LARGEST_INNER = 1 / 3


def quotas(sizes: np.ndarray, shares: Sequence[Fraction]) -> np.ndarray:
    """Rows for each group and split, int64 (groups, splits), adding up to `sizes` in each group.

    Each split has its share off by less than one row (method of the largest remainder; equal remainders favour the
    earlier split). A group with at least as many rows as splits has a row in each; in a smaller one the first split,
    train, has one. These two come first where they contradict the shares.
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    weights, denominator = _weights(shares)
    product = sizes[:, None] * weights
    counts: np.ndarray = product // denominator
    remainders = product % denominator
    missing = sizes - counts.sum(axis=1)
    ranks = np.argsort(np.argsort(-remainders, axis=1, kind="stable"), axis=1, kind="stable")
    counts += ranks < missing[:, None]
    for split in range(len(shares)):
        needs_row = counts[:, split] == 0
        needs_row &= (sizes >= len(shares)) if split else (sizes > 0)
        rows = np.flatnonzero(needs_row)
        donors = counts[rows].argmax(axis=1)
        counts[rows, donors] -= 1
        counts[rows, split] += 1
    return counts


def inner_quotas(sizes: np.ndarray) -> np.ndarray:
    """How many of each group's train rows are kept back to choose a model by, int64 (groups,).

    INNER_SHARE of all rows, at least one of two; each group gives its share less a fraction, and those of the largest remainders
    one row more. A group of one row gives none.
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    product = sizes * INNER_SHARE.numerator
    counts: np.ndarray = product // INNER_SHARE.denominator
    total = int(sizes.sum())
    missing = max(total * INNER_SHARE.numerator // INNER_SHARE.denominator, min(1, total // 2)) - int(counts.sum())
    order = np.argsort(-(product % INNER_SHARE.denominator), kind="stable")
    counts[order[sizes[order] > 1][:missing]] += 1
    return counts


def _weights(shares: Sequence[Fraction]) -> tuple[np.ndarray, int]:
    bounded = [share.limit_denominator(LARGEST_DENOMINATOR) for share in shares]
    denominator = min(int(np.lcm.reduce([share.denominator for share in bounded])), LARGEST_DENOMINATOR)
    weights = [round(share * denominator) for share in bounded[:-1]]
    return np.array([*weights, denominator - sum(weights)], dtype=np.int64), denominator
