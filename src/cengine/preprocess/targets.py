"""What is predicted of each label, in its own unit; how a learner comes to say it is the learner's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from cengine.config.resolve import Label, Resolved, task_of
from cengine.metrics.table import METRICS
from cengine.plain import Cell
from cengine.preprocess.fit import Statistics
from cengine.preprocess.weights import class_weights
from cengine.tasks import Reconstruction, Task, Values, ascending
from cengine.tensors import INT64, Tensor
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
    class_weights: tuple[float, ...] = ()
    """What a row of each class counts in training; () if all count alike."""

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

    def numbers(self, transformed: Sequence[np.ndarray]) -> np.ndarray:
        """What a learner says of T(y), an array (n,) an output, as predictions in the label's unit: float64 (n,), of quantiles (n, outputs)."""
        columns = self._ascending(transformed)
        return np.column_stack(columns) if self.task.quantiles else columns[0]

    def traced(self, transformed: Sequence[Tensor]) -> Tensor:
        """The same as operations on tensors (rows,), by the same code."""
        columns = self._ascending(transformed)
        if not self.task.quantiles:
            return columns[0]
        graph = columns[0].graph
        return graph.side_by_side([graph.add("Unsqueeze", one, graph.constant([1], INT64)) for one in columns])

    def _ascending(self, transformed: Sequence[Values]) -> list[Values]:
        return ascending([cast(Values, self.in_unit(one)) for one in transformed])

    def in_unit(self, transformed: np.ndarray) -> np.ndarray:
        """Values of T(y) as values of y, float64."""
        for word, statistics in reversed(list(zip(self.label.transforms, self.transform_statistics, strict=True))):
            assert isinstance(word, InvertibleTransform)
            transformed = word.inverse(transformed, statistics)
        return transformed


def row_weights(target: Target, labels: Any, weights: Any | None) -> Any | None:
    """How much rows count in training, (n,), of NumPy or JAX as `labels` are; None if all count alike.

    `labels` are encoded; `weights` are the label's, None where it has no `sample_weight`.
    """
    if not target.class_weights:
        return weights
    library = labels.__array_namespace__()  # NumPy, or JAX inside a compiled step
    # A class that the train rows do not have counts as the first: it is not learnt.
    of_classes = library.asarray(target.class_weights)[labels.astype("int32").clip(0)]
    return of_classes if weights is None else of_classes * weights


def targets_of(labels: Sequence[Label], statistics: Statistics, *, one_output_a_class: bool = False) -> list[Target]:
    """One target for each label. Two classes share one probability, or have one each if `one_output_a_class` is true and no loss is named."""
    return [_target(label, statistics["labels"][label.name], one_output_a_class) for label in labels]


def _target(label: Label, fitted: dict[str, Any], one_output_a_class: bool) -> Target:
    if not label.asked().has_classes:
        return Target(
            label,
            label.asked(),
            float(fitted["offset"]),
            float(fitted["scale"]),
            transform_statistics=tuple(fitted["transforms"]),
        )
    classes = tuple(fitted["classes"])
    task = label.asked(task_of(label, len(classes), one_output_a_class=one_output_a_class))
    weights = class_weights(label.class_weight, classes, fitted.get("counts", ()), label.name)
    return Target(label, task, classes=classes, class_weights=weights)


def targets_of_run(resolved: Resolved, statistics: Statistics) -> list[Target]:
    """What a run predicts: a target for each label, or the rows themselves."""
    if resolved.is_autoencoder:
        return [row_target(resolved)]
    return targets_of(resolved.labels, statistics, one_output_a_class=resolved.trainer.one_output_a_class)


def row_target(resolved: Resolved) -> Target:
    """The target of an autoencoder: its name stands where a label's would. Metrics that need to know odd rows are there if they are known."""
    usual = Reconstruction.default_metrics
    names = ("auc", *usual[1:], "precision_above", "pr_auc", usual[0]) if resolved.anomaly else usual
    metrics = tuple(METRICS[name]() for name in names)
    kind = Reconstruction.name
    label = Label(kind, "float", kind, None, (), None, metrics)
    return Target(label, Reconstruction(threshold=resolved.threshold, code=resolved.trainer.code_size))
