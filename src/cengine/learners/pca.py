"""Principal components of encoded rows, the yardstick beside every autoencoder: a code of as many numbers, found by a linear model.

Numbers are standardized, a code is one column for each of its commoner values, as in the linear model. From the sums of products of
these columns over train rows come the directions that keep most (Pearson 1901). A row's score is the mean over its columns of the
squared error, each divided by that of the column's mean in the train rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cengine.config.schema import TRAIN
from cengine.errors import StoreError
from cengine.learners.examples import CODES, Batch, Examples
from cengine.learners.linear_model import BLOCK_ROWS, Ask, Layout
from cengine.preprocess.targets import Target
from cengine.tasks import SCORES, Reconstruction

VERSION = 1
FILE = "pca.npz"
_LEAST_VARIANCE = 1e-12


@dataclass(frozen=True)
class Components:
    """What was learnt: the `mean` of each column (width,), the `directions` (width, code), float64.

    `parts` has for each column the number of what it is made of (width,), numbers first, then codes; `variances` is what the mean
    leaves of each of those, 0 if nothing. A value without a column of its own, one of many rare ones, is never reconstructed.
    `scores` are those of the train rows, ascending.
    """

    layout: Layout
    mean: np.ndarray
    directions: np.ndarray
    parts: np.ndarray
    variances: np.ndarray
    scores: np.ndarray

    def _missed(self, batch: Batch) -> np.ndarray:
        """Of each code whether its value has no column, (n, codes)."""
        codes = batch.inputs[CODES]
        found = np.zeros(codes.shape)
        for i, places in enumerate(self.layout.places):
            found[:, i] = places[codes[:, i]] < 0
        return found

    def losses(self, batch: Batch) -> np.ndarray:
        """The squared error of each part that varies, divided by its mean's, float64 (n, parts)."""
        found = []
        for start in range(0, len(batch), BLOCK_ROWS):
            block = batch.part(start, start + BLOCK_ROWS)
            centered = self.layout.matrix(block, _nothing).astype(np.float64) - self.mean
            left = centered - (centered @ self.directions) @ self.directions.T
            found.append(self._by_part(np.square(left), self._missed(block)))
        return np.concatenate(found) if found else np.zeros((0, int((self.variances > 0).sum())))

    def _by_part(self, squares: np.ndarray, missed: np.ndarray) -> np.ndarray:
        sums = np.stack([squares[:, self.parts == part].sum(axis=1) for part in range(len(self.variances))], axis=1)
        sums[:, len(self.layout.kept) :] += missed
        varies = self.variances > 0
        found: np.ndarray = sums[:, varies] / self.variances[varies]
        return found


def _without_column(layout: Layout, rows: Batch) -> np.ndarray:
    """Of each code in how much of the rows its value has no column, float64 (codes,)."""
    codes = rows.inputs[CODES]
    return np.array([(places[codes[:, i]] < 0).mean() for i, places in enumerate(layout.places)])


def _nothing() -> None:
    """Nobody is asked."""


class PcaPredictor:
    """Components that predict as an autoencoder does; of constants and codes it says nothing."""

    def __init__(self, components: Components, target: Target) -> None:
        assert isinstance(target.task, Reconstruction)
        self.components, self.target = components, target
        self.threshold = float(np.quantile(components.scores, target.task.threshold))

    def predict(self, batch: Batch) -> dict[str, np.ndarray]:
        """The numbers of `tasks.SCORES` of each row, float64 (n, 7)."""
        losses = self.components.losses(batch)
        score = losses.mean(axis=1)
        found = np.full((len(batch), len(SCORES)), np.nan)
        found[:, :4] = np.column_stack([score, losses.max(axis=1), score, score > self.threshold])
        return {self.target.name: found}


def fit_pca(examples: Examples, code: int, ask: Ask) -> Components:
    """Learns from the train rows of `examples`, all of which are held at once."""
    rows = examples.load(TRAIN)
    sizes = [one.size for one in examples.inputs if one.size is not None]
    layout = Layout.of(rows, sizes, np.zeros((len(rows), 1)))
    matrix = layout.matrix(rows, ask)
    sums, products = np.zeros(layout.width), np.zeros((layout.width, layout.width))
    for start in range(0, len(matrix), BLOCK_ROWS):
        ask()
        block = matrix[start : start + BLOCK_ROWS]
        sums += block.sum(axis=0, dtype=np.float64)
        products += block.T @ block
    mean = sums / len(matrix)
    covariance = products / len(matrix) - np.outer(mean, mean)
    _, vectors = np.linalg.eigh(covariance)
    parts = _parts_of(layout)
    num_parts = len(layout.kept) + len(layout.places)
    variances = np.bincount(parts, np.maximum(np.diag(covariance), 0.0), minlength=num_parts)
    variances[len(layout.kept) :] += _without_column(layout, rows)
    variances = np.where(variances > _LEAST_VARIANCE, variances, 0.0)
    directions = vectors[:, ::-1][:, : min(code, layout.width)]
    found = Components(layout, mean, directions, parts, variances, np.zeros(0))
    return Components(layout, mean, directions, parts, variances, np.sort(found.losses(rows).mean(axis=1)))


def _parts_of(layout: Layout) -> np.ndarray:
    """Which number or code each column is of, int64 (width,)."""
    found = np.zeros(layout.width, np.int64)
    found[: len(layout.kept)] = np.arange(len(layout.kept))
    for number, places in enumerate(layout.places, start=len(layout.kept)):
        found[places[places >= 0]] = number
    return found


def write_pca(components: Components, folder: Path) -> None:
    """Writes the components as arrays."""
    layout = components.layout
    arrays: dict[str, Any] = {
        "version": np.array(VERSION),
        "kept": layout.kept,
        "center": layout.mean,
        "scale": layout.scale,
        "width": np.array(layout.width),
        **{f"places-{i}": places for i, places in enumerate(layout.places)},
        **{name: getattr(components, name) for name in ("mean", "directions", "parts", "variances", "scores")},
    }
    np.savez(folder / FILE, allow_pickle=False, **arrays)


def read_pca(folder: Path, target: Target) -> PcaPredictor:
    """What `write_pca` wrote. Raises StoreError where its file is damaged."""
    try:
        with np.load(folder / FILE, allow_pickle=False) as file:
            arrays: dict[str, Any] = dict(file)
        places = tuple(arrays[f"places-{i}"] for i in range(sum(name.startswith("places-") for name in arrays)))
        layout = Layout(arrays["kept"], arrays["center"], arrays["scale"], places, int(arrays["width"]))
        learnt = (arrays[name] for name in ("mean", "directions", "parts", "variances", "scores"))
        return PcaPredictor(Components(layout, *learnt), target)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"the principal components {folder / FILE} are damaged: {error}",
            "cengine cache verify --repair removes them, and the next run builds them again",
        ) from error
