"""Which features matter: how much worse predictions are where a feature is that of another row.

Permutation importance (Breiman 2001): the mean loss of the evaluated rows with one feature's cells exchanged among them, less their
mean loss. All that is made of the feature is exchanged together, and nothing is trained again.

The interval is that of a U-statistic of pairs of rows (Hoeffding 1948): a row counts with what it loses under the features of others,
and with what others lose under its feature. A feature that the model has nothing of is worth exactly 0, one that it has learnt by heart
0 on average, since the label knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from cengine.metrics.intervals import Z

SEED = 14
# Rows that are looked at, and how often each feature is exchanged; of fewer rows more often.
MOST_ROWS, FEWEST_REPEATS, MOST_REPEATS = 8192, 4, 16
# So many rows are predicted at most for all features together, and so many multiplications are made.
MOST_PREDICTED, MOST_PRODUCTS = 2**20, 4e10
LEAST_ROWS = 256
# Of more features these are looked at closely: those that matter most on LEAST_ROWS rows.
MOST_FEATURES = 64

# The losses float64 (labels, n) of rows: `base`, the numbers of rows, with the cells of a feature (by its place) of the rows `donors`.
Losses = Callable[[np.ndarray, int | None, np.ndarray | None], np.ndarray]


class Importance(TypedDict):
    """How much higher the mean loss of a label is without a feature, with its 95 % interval; `share` is beside the loss with it."""

    label: str
    feature: str
    value: float
    low: float
    high: float
    share: float | None


class Important(TypedDict):
    """The features of all labels, the most important first for each label, with the loss and the rows they were measured on."""

    split: str
    num_rows: int
    repeats: int
    left_out: int
    losses: dict[str, str]
    features: list[Importance]


class LabelImportance(TypedDict):
    """The features of a label by importance: how much higher its `loss` is without each, on rows of one split."""

    split: str
    loss: str
    num_rows: int
    repeats: int
    left_out: int
    features: list[Importance]


@dataclass(frozen=True)
class Effort:
    """How many rows are looked at, and how often each feature is exchanged."""

    num_rows: int
    repeats: int

    @staticmethod
    def of(num_rows: int, num_features: int, products: int) -> Effort:
        """What is possible within MOST_PREDICTED rows and MOST_PRODUCTS multiplications; `products` are those of a row."""
        budget = int(min(MOST_PREDICTED, MOST_PRODUCTS / max(1, products)))
        each = max(1, budget // max(1, min(num_features, MOST_FEATURES)))
        rows = max(1, min(num_rows, MOST_ROWS, max(LEAST_ROWS, each // FEWEST_REPEATS)))
        return Effort(rows, int(np.clip(each // rows, FEWEST_REPEATS, MOST_REPEATS)))


def importances(
    losses: Losses, num_features: int, effort: Effort, blocks: np.ndarray | None = None
) -> tuple[np.ndarray, list[int], np.ndarray]:
    """The places of the features that were looked at closely, and for each label and feature its value and half its interval.

    Features are exchanged among rows of the same of `blocks`, int64 (rows,), ascending; among all where there are none. Gives
    the mean losses (labels,), the places, and float64 (features, labels, 2).
    """
    random = np.random.default_rng(SEED)
    rows = np.arange(effort.num_rows)
    places = list(range(num_features))
    if num_features > MOST_FEATURES:
        places = _screened(losses, num_features, rows[:LEAST_ROWS], random, blocks)
    own = losses(rows, None, None)
    found = np.stack([_exchanged(losses, place, own, effort, random, blocks) for place in places])
    return own.mean(axis=1), places, found


def _screened(
    losses: Losses, num_features: int, rows: np.ndarray, random: np.random.Generator, blocks: np.ndarray | None
) -> list[int]:
    """The features whose exchange among a few rows does most, in their order."""
    own = losses(rows, None, None).mean(axis=1)
    order = np.roll(random.permutation(len(rows)), 1) if blocks is None else _derangement_within(blocks[rows], random)
    donors = rows[order]
    more = [
        float(np.max((losses(rows, k, donors).mean(axis=1) - own) / np.maximum(own, 1e-12)))
        for k in range(num_features)
    ]
    return sorted(np.argsort([-one for one in more], kind="stable")[:MOST_FEATURES].tolist())


def _exchanged(
    losses: Losses,
    place: int,
    own: np.ndarray,
    effort: Effort,
    random: np.random.Generator,
    blocks: np.ndarray | None,
) -> np.ndarray:
    """For each label the importance of one feature, and half its interval: float64 (labels, 2)."""
    num, repeats = effort.num_rows, effort.repeats
    among = np.zeros(num, np.int64) if blocks is None else blocks
    donors = np.stack([_derangement_within(among, random) for _ in range(repeats)])
    lost = losses(np.tile(np.arange(num), repeats), place, donors.ravel()).reshape(len(own), repeats, num)
    more = lost - own[:, None]
    given = np.empty_like(more)
    for number, those in enumerate(donors):
        given[:, number, those] = more[:, number]
    # A row's part in the U-statistic: under the features of others, and that of its feature under others.
    parts = more.mean(axis=1) + given.mean(axis=1)
    half = Z * parts.std(axis=1, ddof=1) / np.sqrt(num) if num > 1 else np.full(len(own), np.inf)
    return np.stack([more.mean(axis=(1, 2)), half], axis=1)


def _derangement_within(blocks: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A permutation that leaves each row in its block, int64 (rows,); `blocks` ascend."""
    ends = np.flatnonzero(np.diff(blocks, append=blocks[-1] + 1)) + 1
    starts = [0, *ends[:-1].tolist()]
    return np.concatenate(
        [start + _derangement(int(end) - start, random) for start, end in zip(starts, ends, strict=True)]
    )


def _derangement(num: int, random: np.random.Generator) -> np.ndarray:
    """A permutation that leaves no row where it is, but of a single one: a random cycle through all rows."""
    order = random.permutation(num)
    found = np.empty(num, np.int64)
    found[order] = np.roll(order, 1)
    return found


def told(
    split: str,
    effort: Effort,
    names: Sequence[str],
    labels: Sequence[tuple[str, str]],
    losses: Losses,
    blocks: np.ndarray | None = None,
) -> Important:
    """Plain data: for each label (its name, and that of its loss) the features, most important first; `blocks` as for `importances`."""
    means, places, found = importances(losses, len(names), effort, blocks)
    features: list[Importance] = []
    for number, (label, _) in enumerate(labels):
        own: list[Importance] = [
            {
                "label": label,
                "feature": names[place],
                "value": float(values[number, 0]),
                "low": float(values[number, 0] - values[number, 1]),
                "high": float(values[number, 0] + values[number, 1]),
                "share": float(values[number, 0] / means[number]) if means[number] > 0 else None,
            }
            for place, values in zip(places, found, strict=True)
        ]
        features += sorted(own, key=lambda one: (-one["value"], one["feature"]))
    return {
        "split": split,
        "num_rows": effort.num_rows,
        "repeats": effort.repeats,
        "left_out": len(names) - len(places),
        "losses": dict(labels),
        "features": features,
    }


def importance_of(found: Important | None, label: str) -> LabelImportance | None:
    """The importances for one label; None if the evaluation did not measure them."""
    if found is None:
        return None
    return {
        "split": found["split"],
        "loss": found["losses"][label],
        "num_rows": found["num_rows"],
        "repeats": found["repeats"],
        "left_out": found["left_out"],
        "features": [one for one in found["features"] if one["label"] == label],
    }
