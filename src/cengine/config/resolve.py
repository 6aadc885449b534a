"""Config + table schema -> every column explicit: nothing is implicit after this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cengine.config.schema import ColumnConfig, Config, KindDefaults, LabelConfig, SplitConfig, TrainerConfig
from cengine.networks.encodings import Auto, Encoding
from cengine.networks.losses import BinaryCrossentropy, Loss, MeanSquaredError, SparseCategoricalCrossentropy
from cengine.networks.metric import Metric
from cengine.networks.metrics import METRICS
from cengine.tables import TableSchema
from cengine.transforms import FILLINGS, TRANSFORMS, Filling, Transform
from cengine.transforms.fill import Custom

# What a column of each kind does where the YAML says nothing: filling, transform.
BUILT_IN = {
    "boolean": (FILLINGS["max"](), (TRANSFORMS["no_transform"](),)),
    "integer": (FILLINGS["min"](), (TRANSFORMS["scale_to_z_score"](),)),
    "float": (FILLINGS["max"](), (TRANSFORMS["scale_to_z_score"](),)),
    "string": (Custom(custom_value=""), (TRANSFORMS["compute_and_apply_vocabulary"](),)),
    "timestamp": (FILLINGS["min"](), (TRANSFORMS["calendar"](),)),
}
DEFAULT_METRICS = {
    "regression": ("mae", "rmse", "r2"),
    "binary": ("accuracy", "auc", "log_loss"),
    "classes": ("accuracy", "log_loss"),
}


@dataclass(frozen=True)
class Feature:
    """A column that enters the network, with every word it passes."""

    name: str
    kind: str
    filling: Filling
    transforms: tuple[Transform, ...]
    encoding: Encoding

    def identity(self) -> dict[str, Any]:
        """What a fingerprint reads."""
        return {
            "column": self.name,
            "kind": self.kind,
            "filling": self.filling.identity(),
            "transforms": [word.identity() for word in self.transforms],
            "encoding": self.encoding.identity(),
        }


@dataclass(frozen=True)
class Label:
    """A column to predict. `filling` None leaves rows without a label out.

    `task` is `regression`, `classes` or `binary`; for a classification label that is not boolean, `classes` becomes
    `binary` once two classes are found in the train rows, unless `loss` settles it.
    """

    name: str
    kind: str
    task: str
    filling: Filling | None
    transforms: tuple[Transform, ...]
    loss: Loss | None
    metrics: tuple[Metric, ...] | None

    def identity(self) -> dict[str, Any]:
        """What a fingerprint of the preprocessing reads: not the loss, not the metrics."""
        return {
            "column": self.name,
            "kind": self.kind,
            "classification": self.task != "regression",
            "filling": self.filling.identity() if self.filling else None,
            "transforms": [word.identity() for word in self.transforms],
        }


@dataclass(frozen=True)
class Resolved:
    """A configuration applied to a table."""

    features: tuple[Feature, ...]
    labels: tuple[Label, ...]
    split: SplitConfig
    trainer: TrainerConfig
    slices: tuple[tuple[str, ...], ...]
    metrics: tuple[Metric, ...] | None


def resolve(config: Config, schema: TableSchema) -> Resolved:
    """The configuration with every default made explicit. The columns exist: `checks` has seen to it."""
    return Resolved(
        features=tuple(_feature(name, column, config, schema) for name, column in config.features.items()),
        labels=tuple(_label(name, label, config, schema) for name, label in config.labels.items()),
        split=config.split,
        trainer=config.trainer,
        slices=tuple(dict.fromkeys(config.evaluator.slices)),
        metrics=config.evaluator.metrics,
    )


def task_of(label: Label, num_classes: int | None) -> str:
    """The label's task once its classes are counted (None for regression)."""
    if label.task != "classes" or label.loss is not None:
        return label.task
    return "binary" if num_classes == 2 else "classes"


def default_loss(task: str) -> Loss:
    """The loss of a label whose YAML names none."""
    losses = {"regression": MeanSquaredError, "binary": BinaryCrossentropy, "classes": SparseCategoricalCrossentropy}
    return losses[task]()


def metrics_of(label: Label, task: str, evaluator_metrics: tuple[Metric, ...] | None) -> tuple[Metric, ...]:
    """The metrics of a label: its own and the evaluator's, those of its task where neither names any."""
    given = [*(label.metrics or ()), *(m for m in evaluator_metrics or () if task in m.tasks)]
    unique = tuple(dict.fromkeys(given))
    return unique or tuple(METRICS[name]() for name in DEFAULT_METRICS[task])


def _feature(name: str, column: ColumnConfig, config: Config, schema: TableSchema) -> Feature:
    kind = schema[name].kind or "string"
    defaults = config.preprocessing.get(kind, KindDefaults())
    filling, transforms = BUILT_IN[kind]
    return Feature(
        name,
        kind,
        column.filling or defaults.filling or filling,
        column.transform or defaults.transform or transforms,
        column.encoding or Auto(),
    )


def _label(name: str, label: LabelConfig, config: Config, schema: TableSchema) -> Label:
    kind = schema[name].kind or "string"
    if config.trainer.type == "regression":
        task = "regression"
    elif label.loss is not None:
        task = label.loss.tasks[0]
    else:
        task = "binary" if kind == "boolean" else "classes"
    # Type defaults do not reach labels: z-scored years and invented labels are not what the file asks to predict.
    transforms = label.transform or (TRANSFORMS["no_transform"](),)
    return Label(name, kind, task, label.filling, transforms, label.loss, label.metrics)
