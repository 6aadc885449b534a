"""What an evaluation of an autoencoder says beside its metrics: where scores lie, which columns are not reconstructed, the oddest rows.

Written by Evaluate into `odd_rows.json`, read by all that tell of a run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np

FILE = "odd_rows.json"
# How many rows are kept. The terminal and the page show fewer.
NUM_ODDEST, NUM_COLUMNS_TOLD = 100, 3
NUM_BINS = 48
# From this share of its constant's loss on a column is called not reconstructed.
NOT_RECONSTRUCTED = 0.9
# If a split's mean score is farther than this from train's, the scores are said to drift.
DRIFTED = 1.1


class Threshold(TypedDict):
    """From which score a row is called odd: `level` of `num_rows` train rows lie below it."""

    level: float
    value: float
    num_rows: int


class ScoresOfSplit(TypedDict):
    """Where the scores of a split lie: `counts` are its rows by the edges of the record; `drift` is its mean by that of train."""

    split: str
    num_rows: int
    mean: float
    drift: float
    quantiles: dict[str, float]
    above: float
    counts: list[int]


class ColumnLoss(TypedDict):
    """What a column loses, by that of its constant, in train and in each evaluated split."""

    column: str
    kind: str
    train: float
    splits: dict[str, float]


class OddCell(TypedDict):
    """A column of an odd row: its loss, what was expected and what there is."""

    column: str
    loss: float
    expected: Any
    found: Any


class OddRow(TypedDict):
    """A row with a high score: `known` is whether it is known to be odd, None where no column tells."""

    score: float
    score_max: float
    above: bool
    known: bool | None
    cells: list[OddCell]


class OddRows(TypedDict):
    """All of it. `columns` are those that are reconstructed worst first, `left_out` those with one value in the train rows."""

    threshold: Threshold
    code: int
    edges: list[float]
    splits: list[ScoresOfSplit]
    columns: list[ColumnLoss]
    left_out: list[str]
    hashed: list[str]
    anomaly: str | None
    split: str
    rows: list[OddRow]
    told: list[str]


def edges_of(scores: np.ndarray) -> np.ndarray:
    """Edges of bins of equal width on a logarithmic scale, which hold all of these scores."""
    positive = scores[scores > 0]
    if not len(positive):
        return np.array([0.0, 1.0])
    low, high = float(np.quantile(positive, 0.001)), float(positive.max())
    return np.geomspace(low, max(high, low * 1.01), NUM_BINS + 1)


def scores_of_split(
    split: str, scores: np.ndarray, above: float, train_mean: float, edges: np.ndarray
) -> ScoresOfSplit:
    """Where the scores of a split lie."""
    mean = float(scores.mean()) if len(scores) else float("nan")
    levels = (0.5, 0.9, 0.99)
    found = np.quantile(scores, levels) if len(scores) else [float("nan")] * len(levels)
    return {
        "split": split,
        "num_rows": len(scores),
        "mean": mean,
        "drift": mean / train_mean if train_mean > 0 else float("nan"),
        "quantiles": dict(zip(map(str, levels), map(float, found), strict=True)),
        "above": above,
        "counts": np.histogram(np.clip(scores, edges[0], edges[-1]), edges)[0].tolist(),
    }


def sentences(found: OddRows) -> list[str]:
    """What is to be known of the scores, in sentences."""
    threshold, told = found["threshold"], []
    told.append(
        f"A row is called odd where its score is above {threshold['value']:.4g}: {threshold['level']:.4g} of the {threshold['num_rows']:,} "
        f"train rows looked at have a lower one, so that by definition about {100 * (1 - threshold['level']):.3g} % of rows like them are called odd."
    )
    for one in found["splits"][1:]:
        if one["drift"] > DRIFTED:
            told.append(
                f"Rows of {one['split']} are reconstructed worse than train rows: their mean score is {one['drift']:.3g} times as high. They "
                "are of another kind, or the network knows its train rows by heart."
            )
    bad = [one["column"] for one in found["columns"] if one["splits"].get(found["split"], 0.0) >= NOT_RECONSTRUCTED]
    if bad:
        told.append(f"Not reconstructed, hardly better than a constant says: {', '.join(bad)}.")
    if found["left_out"]:
        told.append(f"Left out, one value in all train rows: {', '.join(found['left_out'])}.")
    if found["hashed"]:
        told.append(f"Hashed to 1,024 outputs, more than 10,000 values: {', '.join(found['hashed'])}.")
    return told


def write_odd_rows(found: Mapping[str, Any], folder: Path) -> None:
    """Writes it as JSON."""
    (folder / FILE).write_text(json.dumps(found, ensure_ascii=False, indent=1, default=str), encoding="utf-8")


def read_odd_rows(folder: Path) -> OddRows | None:
    """What `write_odd_rows` wrote, None where labels were evaluated."""
    file = folder / FILE
    return cast(OddRows, json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None


def worst_first(columns: Sequence[ColumnLoss], split: str) -> list[ColumnLoss]:
    """The columns that are reconstructed worst first."""
    return sorted(columns, key=lambda one: (-one["splits"].get(split, one["train"]), one["column"]))
