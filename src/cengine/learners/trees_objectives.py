"""What boosted trees make small for each loss of the YAML, and how the sum of their leaves is read.

LightGBM names the same losses otherwise: https://lightgbm.readthedocs.io/en/stable/Parameters.html#objective. A regression works on the
standardized label as a network does, but for `poisson`, whose trees give the logarithm of the label in its own unit. Each quantile has
trees of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np

from cengine.config.resolve import Label, default_loss
from cengine.preprocess.targets import Target
from cengine.tasks import Quantiles
from cengine.tensors import DOUBLE, Tensor

# By the loss' name what LightGBM calls it.
OBJECTIVES = {
    "mse": "regression",
    "mae": "regression_l1",
    "huber": "huber",
    "poisson": "poisson",
    "quantile": "quantile",
    "binary_crossentropy": "binary",
    "sparse_categorical_crossentropy": "multiclass",
    "categorical_crossentropy": "multiclass",
}
LEAST_SHARE = 1e-7

Raw = TypeVar("Raw")


def refused(label: Label) -> str | None:
    """Why a label's loss cannot be the trees', None where it can."""
    if label.loss is None:
        return None
    if label.loss.name not in OBJECTIVES:
        return f"boosted trees have no loss '{label.loss.name}'"
    if getattr(label.loss, "label_smoothing", 0.0):
        return "boosted trees have no label_smoothing"
    return None


@dataclass(frozen=True)
class Objective:
    """A target as LightGBM learns it, or one `quantile` of it. Raw scores are (n, num_scores) float64: sums of leaves, one of them a
    class of several.
    """

    target: Target
    quantile: float | None = None

    @property
    def loss(self) -> str:
        """The name of the loss."""
        label = self.target.label
        return (label.loss or default_loss(self.target.task.name)).name

    @property
    def is_logarithm(self) -> bool:
        """Whether the trees give the logarithm of the label."""
        return self.loss == "poisson"

    @property
    def num_scores(self) -> int:
        """How many sums of leaves a prediction has."""
        return 1 if self.quantile is not None else self.target.num_outputs

    @property
    def share(self) -> float:
        """What it counts in its target's loss, which is the mean over the quantiles."""
        return 1.0 if self.quantile is None else 1.0 / self.target.num_outputs

    @property
    def parameters(self) -> dict[str, Any]:
        """LightGBM's parameters."""
        found: dict[str, Any] = {"objective": OBJECTIVES[self.loss]}
        if self.loss == "huber":
            found["alpha"] = getattr(self.target.label.loss, "delta", 1.0) / self.target.scale
        if self.quantile is not None:
            found["alpha"] = self.quantile
        if self.target.task.one_output_a_class:
            found["num_class"] = self.num_scores
        return found

    def labels(self, encoded: np.ndarray) -> np.ndarray:
        """What the trees learn, of encoded labels (n,): float32."""
        if not self.is_logarithm:
            return encoded
        return (encoded.astype(np.float64) * self.target.scale + self.target.offset).astype(np.float32)

    @property
    def told_in(self) -> tuple[float, float, str]:
        """The factor and the offset that turn a raw score into the unit shown to a user, and the name of this unit."""
        target = self.target
        if target.task.one_output_a_class:
            return 1.0, 0.0, "the score of the predicted class, before softmax"
        if target.task.has_classes:
            return 1.0, 0.0, f"log-odds of {target.classes[1]}"
        if self.is_logarithm:
            return 1.0, 0.0, f"the logarithm of {target.name}"
        name = target.name if self.quantile is None else f"{target.name}, its quantile {self.quantile:g}"
        if not target.is_linear:
            return target.scale, target.offset, f"{name} after its transforms"
        offset, end = target.in_unit(np.array([target.offset, target.offset + target.scale]))
        return float(end - offset), float(offset), name

    @property
    def is_point(self) -> bool:
        """Whether it is what a point prediction comes from: of several quantiles one is."""
        task = self.target.task
        return self.quantile is None or (isinstance(task, Quantiles) and self.quantile == task.quantiles[task.point])

    def shares(self, raw: np.ndarray) -> np.ndarray:
        """Probabilities of classes, float64 (n, outputs)."""
        return softmax(raw) if self.target.task.one_output_a_class else 1.0 / (1.0 + np.exp(-raw))

    def traced_shares(self, raw: Tensor) -> Tensor:
        """The same as operations on a tensor (rows, num_scores) of float64."""
        return raw.apply("Softmax", axis=1) if self.target.task.one_output_a_class else raw.apply("Sigmoid")

    def transformed(self, score: np.ndarray) -> np.ndarray:
        """The transformed label T(y) that a score stands for."""
        return np.exp(score) if self.is_logarithm else score * self.target.scale + self.target.offset

    def losses(self, raw: np.ndarray, encoded: np.ndarray) -> np.ndarray:
        """The loss of each row, (n,), as a network tells it: of a regression in the unit of the transformed label."""
        target = self.target
        if target.task.has_classes:
            shares = self.shares(raw)
            if not target.task.one_output_a_class:
                shares = np.column_stack([1.0 - shares[:, 0], shares[:, 0]])
            places = encoded.astype(np.int64)  # -1 for a class that the train rows do not have
            own = np.where(places < 0, 0.0, shares[np.arange(len(shares)), np.maximum(places, 0)])
            return np.asarray(-np.log(np.clip(own, LEAST_SHARE, 1 - LEAST_SHARE)))
        label = encoded.astype(np.float64) * target.scale + target.offset
        found = self.transformed(raw[:, 0])
        return self._of_numbers(label, found)

    def _of_numbers(self, label: np.ndarray, found: np.ndarray) -> np.ndarray:
        error: np.ndarray = np.abs(label - found)
        if self.loss == "mae":
            return error
        if self.quantile is not None:
            return np.asarray(np.where(label >= found, self.quantile, 1.0 - self.quantile) * error)
        if self.loss == "huber":
            delta = getattr(self.target.label.loss, "delta", 1.0)
            return np.where(error <= delta, error**2 / 2, delta * error - delta**2 / 2)
        if self.loss == "poisson":
            return np.asarray(found - label * np.log(found + LEAST_SHARE))
        return np.asarray(error**2)

    @property
    def constant(self) -> np.ndarray | None:
        """The raw scores (1, 1) that say the mean of the train rows' labels; None for classes."""
        if self.target.task.has_classes:
            return None
        return np.array([[np.log(max(self.target.offset, LEAST_SHARE)) if self.is_logarithm else 0.0]])


def objectives_of(targets: Sequence[Target]) -> list[Objective]:
    """One objective a target, or a quantile of one, those of a target side by side."""
    return [Objective(target, quantile) for target in targets for quantile in (target.task.quantiles or (None,))]


def predictions_of(objectives: Sequence[Objective], raw: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Predictions by label of the raw scores of each objective: float64 (n,) in the label's unit, quantiles or probabilities (n, outputs)."""
    found: dict[str, np.ndarray] = {}
    for (first, scores), *others in _by_target(objectives, raw):
        target = first.target
        if target.task.has_classes:
            found[target.name] = first.shares(scores)
        else:
            every = [(first, scores), *others]
            found[target.name] = target.numbers([one.transformed(own[:, 0]) for one, own in every])
    return found


def traced_predictions(objectives: Sequence[Objective], raw: Sequence[Tensor]) -> dict[str, Tensor]:
    """The same as operations on tensors (rows, num_scores) of float64."""
    found: dict[str, Tensor] = {}
    for (first, scores), *others in _by_target(objectives, raw):
        target = first.target
        if target.task.has_classes:
            found[target.name] = first.traced_shares(scores)
        else:
            every = [(first, scores), *others]
            columns = [one.transformed(cast(np.ndarray, own[:, 0])) for one, own in every]
            found[target.name] = target.traced(cast(list[Tensor], columns)).cast(DOUBLE)
    return found


def _by_target(objectives: Sequence[Objective], raw: Sequence[Raw]) -> list[list[tuple[Objective, Raw]]]:
    """The objectives of each target, each with its scores."""
    pairs = zip(objectives, raw, strict=True)
    return [list(group) for _, group in itertools.groupby(pairs, lambda pair: pair[0].target.name)]


def softmax(raw: np.ndarray) -> np.ndarray:
    """Shares of classes (n, k) of their scores."""
    powers = np.exp(raw - raw.max(axis=1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares
