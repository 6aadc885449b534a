"""What is predicted of each label, in its own unit; how a learner comes to say it is the learner's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cengine.config.resolve import Label, task_of
from cengine.plain import Cell
from cengine.preprocess.fit import Statistics
from cengine.tasks import Task, task_named
from cengine.transforms import InvertibleTransform


@dataclass(frozen=True)
class Target:
    """A label as it is learnt and told.

    The encoded label of a regression is (T(y) - offset) / scale, T the label's transforms with their statistics; that of a
    classification is the number of its class.
    """

    label: Label
    task: Task
    offset: float = 0.0
    scale: float = 1.0
    classes: tuple[Cell, ...] = ()
    transform_statistics: tuple[dict[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """The label's column."""
        return self.label.name

    @property
    def num_outputs(self) -> int:
        """How many numbers a prediction has."""
        return self.task.num_outputs(len(self.classes))

    @property
    def is_linear(self) -> bool:
        """Whether y is a factor and an offset of T(y)."""
        return all(getattr(word, "is_linear", False) for word in self.label.transforms)

    def read_label(self, encoded: np.ndarray) -> np.ndarray:
        """Encoded labels (n,) in the label's unit, or as class numbers, float64."""
        if self.task.has_classes:
            return encoded.astype(np.float64)
        return self.in_unit(encoded.astype(np.float64) * self.scale + self.offset)

    def in_unit(self, transformed: np.ndarray) -> np.ndarray:
        """Values of T(y) as values of y, float64."""
        for word, statistics in reversed(list(zip(self.label.transforms, self.transform_statistics, strict=True))):
            assert isinstance(word, InvertibleTransform)
            transformed = word.inverse(transformed, statistics)
        return transformed


def targets_of(labels: Sequence[Label], statistics: Statistics, *, one_output_a_class: bool = False) -> list[Target]:
    """One target for each label. Two classes share one probability, or have one each if `one_output_a_class` is true and no loss is named."""
    return [_target(label, statistics["labels"][label.name], one_output_a_class) for label in labels]


def _target(label: Label, fitted: dict[str, Any], one_output_a_class: bool) -> Target:
    if not task_named(label.task).has_classes:
        return Target(
            label,
            task_named(label.task),
            float(fitted["offset"]),
            float(fitted["scale"]),
            transform_statistics=tuple(fitted["transforms"]),
        )
    classes = tuple(fitted["classes"])
    return Target(
        label, task_named(task_of(label, len(classes), one_output_a_class=one_output_a_class)), classes=classes
    )
