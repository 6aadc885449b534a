"""A linear model of encoded rows, the yardstick beside every other model: ridge regression for numbers, logistic regression for classes.

Numbers are standardized, a code is one column for each of its commoner values. Both are fitted as scikit-learn's `Ridge` and
`LogisticRegression` are by default: the sum over rows of the squared error of the standardized label, or of the log loss of the
classes, and the squared weights (half of them for classes), intercepts left free. Quantiles are those of the errors in the train rows,
added to the number: the same interval around every row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cengine.config.schema import TRAIN
from cengine.errors import StoreError
from cengine.learners.examples import CODES, NUMBERS, Batch, Examples
from cengine.preprocess.apply import Input
from cengine.preprocess.targets import Target
from cengine.preprocess.weights import weighted_quantiles

VERSION = 1
FILE = "linear.npz"
# The most rows that are learnt from, the most columns that they have once codes are spread out, and the most cells of both.
MOST_ROWS, MOST_COLUMNS, MOST_CELLS = 200_000, 512, 2**24
# Classes multiply the work of a step: fewer rows are read of many, but never fewer than FEWEST_ROWS for it.
MOST_SCORES, FEWEST_ROWS = 2**20, 10_000
BLOCK_ROWS = 2**13
PENALTY = 1.0
# L-BFGS on columns that are nearly uncorrelated has converged long before.
MOST_STEPS, TOLERANCE = 100, 1e-5
# Standardized cells are cut off here, so that no sum of them is infinite.
FARTHEST = 1e6

# Called between two pieces of work; it raises where the work is to end.
Ask = Callable[[], None]


def num_columns(inputs: Sequence[Input]) -> int:
    """How many columns the inputs have once codes are spread out."""
    return min(MOST_COLUMNS, sum(one.size or 1 for one in inputs))


def rows_wanted(columns: int, num_inputs: int, num_scores: int) -> int:
    """How many rows are learnt from at most: as many as their cells fit a fixed part of memory, whatever the memory limit."""
    by_scores = max(FEWEST_ROWS, MOST_SCORES // max(1, num_scores))
    return min(MOST_ROWS, by_scores, max(1, MOST_CELLS // max(1, columns, num_inputs)))


@dataclass(frozen=True)
class Layout:
    """Which columns a row has: the numbers `kept` (m,), standardized by `mean` and `scale`, then a column for each value of a code.

    `places` has of each code the column of each of its indices, int64 (size,), -1 for the rare ones that have none.
    """

    kept: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    places: tuple[np.ndarray, ...]
    width: int

    @staticmethod
    def of(rows: Batch, sizes: Sequence[int], labels: np.ndarray) -> Layout:
        """That of these train rows; `sizes` are the numbers of indices of the codes, `labels` (n, t) tell which numbers matter."""
        numbers = rows.inputs[NUMBERS]
        mean, scale = _moments(numbers)
        kept = np.arange(numbers.shape[1])
        if len(kept) > MOST_COLUMNS:
            kept = np.sort(np.argsort(-_correlations(numbers, mean, scale, labels), kind="stable")[:MOST_COLUMNS])
        room = MOST_COLUMNS - len(kept)
        codes = rows.inputs[CODES]
        counts = [np.bincount(codes[:, i], minlength=size) for i, size in enumerate(sizes)]
        order = np.argsort(-np.concatenate([*counts, np.zeros(0, np.int64)]), kind="stable")
        chosen = np.zeros(len(order), bool)
        chosen[order[:room]] = True
        places, width, start = [], len(kept), 0
        for found in counts:
            has_column = chosen[start : start + len(found)] & (found > 0)
            places.append(np.where(has_column, width + np.cumsum(has_column) - 1, -1))
            width, start = width + int(has_column.sum()), start + len(found)
        return Layout(kept, mean[kept], scale[kept], tuple(places), width)

    def numbers(self, batch: Batch) -> np.ndarray:
        """Standardized numbers, float32 (n, m)."""
        found = (batch.inputs[NUMBERS][:, self.kept].astype(np.float64) - self.mean) / self.scale
        clipped: np.ndarray = np.clip(found, -FARTHEST, FARTHEST).astype(np.float32)
        return clipped

    def matrix(self, rows: Batch, ask: Ask) -> np.ndarray:
        """All columns, float32 (n, width)."""
        found = np.zeros((len(rows), self.width), np.float32)
        for start in range(0, len(rows), BLOCK_ROWS):
            ask()
            block, part = rows.part(start, start + BLOCK_ROWS), found[start : start + BLOCK_ROWS]
            part[:, : len(self.kept)] = self.numbers(block)
            for i, places in enumerate(self.places):
                column = places[block.inputs[CODES][:, i]]
                (known,) = np.nonzero(column >= 0)
                part[known, column[known]] = 1.0
        return found


@dataclass(frozen=True)
class Weights:
    """What is added up for a target: `weights` (width, outputs) and `intercept` (outputs,), float64.

    Of a number `least` and `greatest` are the ends of the encoded label in the train rows, beyond which it is not predicted.
    """

    weights: np.ndarray
    intercept: np.ndarray
    least: float = 0.0
    greatest: float = 0.0


class LinearModel:
    """A fitted model: predicts as every learner's does."""

    def __init__(self, layout: Layout, fitted: Sequence[Weights], targets: Sequence[Target]) -> None:
        self.layout, self.fitted, self.targets = layout, list(fitted), list(targets)
        together = np.hstack([one.weights for one in fitted])
        self._of_numbers = together[: len(layout.kept)].astype(np.float32)
        # What each index of a code adds, so that codes need not be spread out to predict.
        self._of_codes = [np.where(at[:, None] >= 0, together[at], 0.0) for at in layout.places]
        self._intercept = np.concatenate([one.intercept for one in fitted])

    def predict(self, batch: Batch) -> dict[str, np.ndarray]:
        """Predictions by label: float64 (n,) in the label's unit, or probabilities (n, outputs)."""
        sums = (self.layout.numbers(batch) @ self._of_numbers).astype(np.float64) + self._intercept
        for i, added in enumerate(self._of_codes):
            sums += added[batch.inputs[CODES][:, i]]
        found, start = {}, 0
        for target, one in zip(self.targets, self.fitted, strict=True):
            end = start + len(one.intercept)
            found[target.name] = _told(target, one, sums[:, start:end])
            start = end
        return found

    def write(self, folder: Path) -> None:
        """Writes the model as arrays."""
        layout = self.layout
        arrays = {"version": np.array(VERSION), "kept": layout.kept, "mean": layout.mean, "scale": layout.scale}
        arrays |= {"width": np.array(layout.width)}
        arrays |= {f"places-{i}": places for i, places in enumerate(layout.places)}
        for i, one in enumerate(self.fitted):
            arrays |= {f"weights-{i}": one.weights, f"intercept-{i}": one.intercept}
            arrays |= {f"ends-{i}": np.array([one.least, one.greatest])}
        np.savez(folder / FILE, allow_pickle=False, **arrays)


def read_linear(folder: Path, inputs: Sequence[Input], targets: Sequence[Target]) -> LinearModel:
    """The model that `write` wrote. Raises StoreError where its file is damaged."""
    try:
        with np.load(folder / FILE, allow_pickle=False) as file:
            arrays: dict[str, Any] = dict(file)
        num_codes = sum(one.size is not None for one in inputs)
        places = tuple(arrays[f"places-{i}"] for i in range(num_codes))
        layout = Layout(arrays["kept"], arrays["mean"], arrays["scale"], places, int(arrays["width"]))
        fitted = [
            Weights(arrays[f"weights-{i}"], arrays[f"intercept-{i}"], *map(float, arrays[f"ends-{i}"]))
            for i in range(len(targets))
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"the linear model {folder / FILE} is damaged: {error}",
            "cengine cache verify --repair removes it, and the next run builds it again",
        ) from error
    return LinearModel(layout, fitted, targets)


def fit_linear(examples: Examples, targets: Sequence[Target], ask: Ask) -> LinearModel:
    """Learns from the train rows of `examples`, all of which are held at once: no more than `rows_wanted`."""
    rows = examples.load(TRAIN)
    labels = np.column_stack([rows.labels[target.name].astype(np.float64) for target in targets])
    layout = Layout.of(rows, [one.size for one in examples.inputs if one.size is not None], labels)
    matrix = layout.matrix(rows, ask)
    alike = _Counted.of(matrix, None, ask) if len(rows.weights) < len(targets) else None
    fitted = []
    for place, target in enumerate(targets):
        label, weights = labels[:, place], rows.weights.get(target.name)
        counted = _Counted.of(matrix, weights, ask) if weights is not None or alike is None else alike
        if target.task.has_classes:
            number = label.astype(np.int64)
            fitted.append(_logistic(matrix, counted, number, max(1, len(target.classes)), ask))
        else:
            ridge = _ridge(matrix, counted, label)
            quantiles = target.task.quantiles
            fitted.append(_shifted(ridge, matrix, label, weights, quantiles) if quantiles else ridge)
    return LinearModel(layout, fitted, targets)


def _told(target: Target, fitted: Weights, sums: np.ndarray) -> np.ndarray:
    """What sums (n, outputs) say of a label."""
    if not target.task.has_classes:
        encoded = np.clip(sums, fitted.least, fitted.greatest)
        return target.numbers([one * target.scale + target.offset for one in encoded.T])
    shares = _shares(sums, len(target.classes))
    return shares if target.task.one_output_a_class else shares[:, 1:]


def _moments(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column, float64; a deviation of 0 is told as 1."""
    wide = numbers.astype(np.float64)
    mean, deviation = wide.mean(axis=0), wide.std(axis=0)
    return mean, np.where(np.isfinite(deviation) & (deviation > 0), deviation, 1.0)


def _correlations(numbers: np.ndarray, mean: np.ndarray, scale: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of each number the greatest absolute correlation with a label."""
    centered = labels - labels.mean(axis=0)
    centered /= np.maximum(np.abs(centered).max(axis=0), np.finfo(np.float64).tiny)
    products = np.zeros((numbers.shape[1], labels.shape[1]))
    for start in range(0, len(numbers), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        products += ((numbers[part] - mean) / scale).T @ centered[part]
    found: np.ndarray = np.abs(products).max(axis=1)
    return found


@dataclass(frozen=True)
class _Counted:
    """How much rows count, float32 (n, 1) or None for all alike, in all `total`; the `mean` of each column and the sums over rows of the
    `products` of two columns less their means, float64.
    """

    weights: np.ndarray | None
    total: float
    mean: np.ndarray
    products: np.ndarray

    @staticmethod
    def of(matrix: np.ndarray, weights: np.ndarray | None, ask: Ask) -> _Counted:
        """That of these rows."""
        width = matrix.shape[1]
        sums, products = np.zeros(width), np.zeros((width, width))
        column = None if weights is None else weights[:, None]
        for start in range(0, len(matrix), BLOCK_ROWS):
            ask()
            block = matrix[start : start + BLOCK_ROWS]
            counted = block if column is None else block * column[start : start + BLOCK_ROWS]
            sums += counted.sum(axis=0, dtype=np.float64)
            products += counted.T @ block
        total = float(len(matrix) if weights is None else weights.sum(dtype=np.float64))
        mean = sums / total
        return _Counted(column, total, mean, products - total * np.outer(mean, mean))

    def times(self, values: np.ndarray) -> np.ndarray:
        """Values of rows (n, ...), each as often as its row counts."""
        return values if self.weights is None else values * self.weights.reshape(-1, *[1] * (values.ndim - 1))


def _ridge(matrix: np.ndarray, rows: _Counted, label: np.ndarray) -> Weights:
    """The normal equations of ridge regression (Hoerl and Kennard 1970), the intercept not penalized."""
    center = float(rows.times(label).sum()) / rows.total if rows.weights is not None else label.mean()
    unit = max(float(np.abs(label - center).max()), np.finfo(np.float64).tiny)
    centered = rows.times(((label - center) / unit).astype(np.float32))
    right = (matrix.T @ centered).astype(np.float64) - rows.mean * float(centered.sum(dtype=np.float64))
    weights = unit * np.linalg.solve(rows.products + PENALTY * np.eye(len(rows.mean)), right)[:, None]
    return Weights(weights, center - rows.mean @ weights, float(label.min()), float(label.max()))


def _shifted(
    ridge: Weights, matrix: np.ndarray, label: np.ndarray, counted: np.ndarray | None, quantiles: Sequence[float]
) -> Weights:
    """An output a quantile: the sum of the ridge regression, and that quantile of the errors that it leaves in the train rows."""
    errors = label - (matrix @ ridge.weights[:, 0].astype(np.float32) + ridge.intercept)
    shifts = np.quantile(errors, quantiles) if counted is None else weighted_quantiles(errors, counted, quantiles)
    weights = np.tile(ridge.weights, (1, len(quantiles)))
    return replace(ridge, weights=weights, intercept=ridge.intercept + shifts)


def _shares(sums: np.ndarray, num_classes: int) -> np.ndarray:
    """Probabilities (n, classes) of sums (n, outputs): of two classes the second one alone has an output."""
    if num_classes == 2:
        sums = np.hstack([np.zeros_like(sums), sums])
    powers = np.exp(sums - sums.max(axis=1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _logistic(matrix: np.ndarray, rows: _Counted, number: np.ndarray, num_classes: int, ask: Ask) -> Weights:
    """Multinomial logistic regression by L-BFGS (Liu and Nocedal 1989).

    It works on columns without correlation: weights are those of it times the inverse of a Cholesky factor of the bound of the
    second derivatives (Böhning 1992), a quarter of the products of the columns.
    """
    from scipy.optimize import minimize

    num_rows, mean, outputs = rows.total, rows.mean, 1 if num_classes == 2 else num_classes
    bound = rows.products / (4 * num_rows) + (PENALTY / num_rows) * np.eye(len(mean))
    whitening = np.linalg.inv(np.linalg.cholesky(bound)).T
    counts = rows.times(np.ones(len(matrix)))
    counts = np.bincount(number, counts, minlength=num_classes)
    priors = np.log((counts + 0.5) / (num_rows + 0.5 * num_classes))
    start = priors[1:] - priors[0] if num_classes == 2 else priors

    def weighed(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights and intercept beside columns less their means."""
        return whitening @ flat[outputs:].reshape(len(mean), outputs), flat[:outputs]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        ask()
        weights, intercept = weighed(flat)
        shares = _shares(matrix @ weights.astype(np.float32) + (intercept - mean @ weights), num_classes)
        own = np.arange(len(matrix)), number
        surprise = -np.log(np.maximum(shares[own], np.finfo(np.float64).tiny))
        value = surprise.mean() if rows.weights is None else rows.times(surprise).sum() / num_rows
        value += PENALTY / (2 * num_rows) * float((weights**2).sum())
        shares[own] -= 1.0
        rest = rows.times(shares[:, num_classes - outputs :])
        total = rest.sum(axis=0)
        slope = (matrix.T @ rest.astype(np.float32) - np.outer(mean, total) + PENALTY * weights) / num_rows
        return float(value), np.concatenate([total / num_rows, (whitening.T @ slope).ravel()])

    first = np.concatenate([start, np.zeros(len(mean) * outputs)])
    options = {"maxiter": MOST_STEPS, "gtol": TOLERANCE, "ftol": 1e-9}
    weights, intercept = weighed(minimize(loss, first, jac=True, method="L-BFGS-B", options=options).x)
    return Weights(weights, intercept - mean @ weights)
