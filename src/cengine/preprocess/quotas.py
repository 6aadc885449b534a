"""How many rows of a group each split takes: exact shares by the largest remainder."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

LARGEST_DENOMINATOR = 10**9


def quotas(sizes: np.ndarray, shares: Sequence[Fraction]) -> np.ndarray:
    """Rows for each group and split, int64 (groups, splits), adding up to `sizes` in each group.

    Each split has its share off by less than one row (method of the largest remainder; equal remainders favour the
    earlier split). A group with at least as many rows as splits has a row in each; in a smaller one the first split,
    train, has one. These two come first where they contradict the shares.
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    weights, denominator = _weights(shares)
    product = sizes[:, None] * weights
    counts, remainders = product // denominator, product % denominator
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


def _weights(shares: Sequence[Fraction]) -> tuple[np.ndarray, int]:
    bounded = [share.limit_denominator(LARGEST_DENOMINATOR) for share in shares]
    denominator = min(int(np.lcm.reduce([share.denominator for share in bounded])), LARGEST_DENOMINATOR)
    weights = [round(share * denominator) for share in bounded[:-1]]
    return np.array([*weights, denominator - sum(weights)], dtype=np.int64), denominator
