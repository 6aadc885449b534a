"""What boosted trees make small for each loss of the YAML, and how the sum of their leaves is read.

LightGBM names the same losses otherwise: https://lightgbm.readthedocs.io/en/stable/Parameters.html#objective. A regression works on the
standardized label as a network does, but for `poisson`, whose trees give the logarithm of the label in its own unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from cengine.config.resolve import Label, default_loss
from cengine.preprocess.targets import Target
from cengine.tensors import DOUBLE, Tensor

# By the loss' name what LightGBM calls it.
OBJECTIVES = {
    "mse": "regression",
    "mae": "regression_l1",
    "huber": "huber",
    "poisson": "poisson",
    "binary_crossentropy": "binary",
    "sparse_categorical_crossentropy": "multiclass",
    "categorical_crossentropy": "multiclass",
}
LEAST_SHARE = 1e-7


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
    """A target as LightGBM learns it. Raw scores are (n, num_scores) float64: sums of leaves, one of them a class of several."""

    target: Target

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
        return self.target.num_outputs

    @property
    def parameters(self) -> dict[str, Any]:
        """LightGBM's parameters."""
        found: dict[str, Any] = {"objective": OBJECTIVES[self.loss]}
        if self.loss == "huber":
            found["alpha"] = getattr(self.target.label.loss, "delta", 1.0) / self.target.scale
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
        """A factor and an offset by which a raw score, and parts of it, are told, and the unit that they are in then, in words."""
        target = self.target
        if target.task.one_output_a_class:
            return 1.0, 0.0, "the score of the predicted class, before softmax"
        if target.task.has_classes:
            return 1.0, 0.0, f"log-odds of {target.classes[1]}"
        if self.is_logarithm:
            return 1.0, 0.0, f"the logarithm of {target.name}"
        if not target.is_linear:
            return target.scale, target.offset, f"{target.name} after its transforms"
        offset, end = target.in_unit(np.array([target.offset, target.offset + target.scale]))
        return float(end - offset), float(offset), target.name

    def read(self, raw: np.ndarray) -> np.ndarray:
        """Predictions: float64 (n,) in the label's unit, or probabilities (n, outputs)."""
        target = self.target
        if target.task.has_classes:
            return softmax(raw) if target.task.one_output_a_class else 1.0 / (1.0 + np.exp(-raw))
        return target.in_unit(self._transformed(raw[:, 0]))

    def traced(self, raw: Tensor) -> Tensor:
        """The same as operations on a tensor (rows, num_scores) of float64."""
        if self.target.task.has_classes:
            return raw.apply("Softmax", axis=1) if self.target.task.one_output_a_class else raw.apply("Sigmoid")
        found = self._transformed(cast(np.ndarray, raw[:, 0]))
        return cast(Tensor, self.target.in_unit(found)).cast(DOUBLE)

    def _transformed(self, score: np.ndarray) -> np.ndarray:
        """The transformed label T(y) that a score stands for."""
        return np.exp(score) if self.is_logarithm else score * self.target.scale + self.target.offset

    def losses(self, raw: np.ndarray, encoded: np.ndarray) -> np.ndarray:
        """The loss of each row, (n,), as a network tells it: of a regression in the unit of the transformed label."""
        target = self.target
        if target.task.has_classes:
            shares = self.read(raw)
            if not target.task.one_output_a_class:
                shares = np.column_stack([1.0 - shares[:, 0], shares[:, 0]])
            places = encoded.astype(np.int64)  # -1 for a class that the train rows do not have
            own = np.where(places < 0, 0.0, shares[np.arange(len(shares)), np.maximum(places, 0)])
            return np.asarray(-np.log(np.clip(own, LEAST_SHARE, 1 - LEAST_SHARE)))
        label = encoded.astype(np.float64) * target.scale + target.offset
        found = self._transformed(raw[:, 0])
        return self._of_numbers(label, found)

    def _of_numbers(self, label: np.ndarray, found: np.ndarray) -> np.ndarray:
        error: np.ndarray = np.abs(label - found)
        if self.loss == "mae":
            return error
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
    """One objective a target."""
    return [Objective(target) for target in targets]


def softmax(raw: np.ndarray) -> np.ndarray:
    """Shares of classes (n, k) of their scores."""
    powers = np.exp(raw - raw.max(axis=1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares
