"""What the network predicts of each label, and how its outputs are read in the label's own unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cengine.config.resolve import Label, default_loss, task_of
from cengine.config.schema import TrainerConfig
from cengine.errors import TrainingError
from cengine.networks.losses import Loss
from cengine.preprocess.fit import Statistics
from cengine.transforms import InvertibleTransform

# Activations whose outputs reach everywhere can be centred; the others mean a value in the label's own unit.
_CENTRED = ("linear", "leaky_relu", "tanh_shrink")
_BOUNDED = ("sigmoid", "hard_sigmoid", "tanh", "hard_tanh", "softsign", "relu6")


@dataclass(frozen=True)
class Head:
    """A label's output: `units` and `activation`, and for regression the unit the network works in.

    The encoded label is (T(y) - offset) / scale with T the label's transforms; the network's output o stands for
    o * output_scale + output_offset in the unit of T(y).
    """

    label: Label
    task: str
    loss: Loss
    units: int
    activation: str
    offset: float
    scale: float
    output_offset: float
    output_scale: float
    classes: tuple[Any, ...]
    transform_statistics: tuple[dict[str, Any], ...]

    def read(self, outputs: np.ndarray) -> np.ndarray:
        """Predictions in the label's unit: float64 (n,) of numbers, or probabilities (n, units)."""
        if self.task != "regression":
            return outputs.astype(np.float64)
        return self._untransformed(outputs[:, 0].astype(np.float64) * self.output_scale + self.output_offset)

    def read_label(self, encoded: np.ndarray) -> np.ndarray:
        """Encoded labels (n,) in the label's unit, or as class numbers, float64."""
        if self.task != "regression":
            return encoded.astype(np.float64)
        return self._untransformed(encoded.astype(np.float64) * self.scale + self.offset)

    def losses(self, per_row: Any, encoded: Any, outputs: Any) -> Any:
        """The loss of each row in the unit of the transformed label, inside a compiled step."""
        if self.task != "regression":
            return per_row(encoded, outputs)
        shift = self.offset if self.loss.shift_invariant else 0.0
        target = encoded * self.scale + (self.offset - shift)
        return per_row(target, outputs * self.output_scale + (self.output_offset - shift))

    def _untransformed(self, array: np.ndarray) -> np.ndarray:
        for word, statistics in reversed(list(zip(self.label.transforms, self.transform_statistics, strict=True))):
            assert isinstance(word, InvertibleTransform)
            array = word.inverse(array, statistics)
        return array


def heads_of(labels: Sequence[Label], trainer: TrainerConfig, statistics: Statistics) -> list[Head]:
    """One head a label. Raises TrainingError where the YAML's outputs do not fit the classes that were found."""
    return [_head(label, trainer, statistics["labels"][label.name]) for label in labels]


def _head(label: Label, trainer: TrainerConfig, fitted: dict[str, Any]) -> Head:
    if label.task == "regression":
        activation = trainer.last_activation or "linear"
        offset, scale = float(fitted["offset"]), float(fitted["scale"])
        centred = activation in _CENTRED
        output_scale = 1.0 if activation in _BOUNDED else scale
        return Head(label, "regression", label.loss or default_loss("regression"), 1, activation, offset, scale,
                    offset if centred else 0.0, output_scale, (), tuple(fitted["transforms"]))  # fmt: skip
    classes = tuple(fitted["classes"])
    task = task_of(label, len(classes))
    if task == "binary" and label.loss is None and trainer.num_output_units == 2:
        task = "classes"  # two outputs were asked for: one a class
    units = 1 if task == "binary" else len(classes)
    if trainer.num_output_units not in (None, units):
        raise TrainingError(
            f"label '{label.name}' has {len(classes)} classes and needs {units} output units, found num_output_units: {trainer.num_output_units}",
            "leave num_output_units out",
        )
    activation = trainer.last_activation or ("sigmoid" if task == "binary" else "softmax")
    if (task == "binary") != (activation in ("sigmoid", "hard_sigmoid")):
        wanted = "sigmoid" if task == "binary" else "softmax"
        raise TrainingError(f"label '{label.name}' has {len(classes)} classes and needs last_activation: {wanted}, found {activation}",
                            "leave last_activation out")  # fmt: skip
    return Head(label, task, label.loss or default_loss(task), units, activation, 0.0, 1.0, 0.0, 1.0, classes, ())
