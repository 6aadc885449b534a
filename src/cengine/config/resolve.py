"""Config + table schema -> every column explicit: nothing is implicit after this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cengine.config.schema import ColumnConfig, Config, KindDefaults, LabelConfig, SplitConfig, TrainerConfig
from cengine.names import Names
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


@dataclass(frozen=True)
class Spelled:
    """A configuration in which columns are called as in the table, and how the YAML wrote each of its features and labels.

    A name that no column has, or more than one may have, is left as it is written.
    """

    config: Config
    written: dict[tuple[str, str], str]
    repeated: tuple[tuple[str, str, str], ...]
    """(block, one spelling, another one) where a block names one column twice."""


def spelled_as_in(config: Config, names: Names) -> Spelled:
    """The configuration with the table's names for columns, however the YAML spells them."""
    written: dict[tuple[str, str], str] = {}
    repeated: list[tuple[str, str, str]] = []
    blocks: dict[str, dict[str, ColumnConfig]] = {"features": {}, "labels": {}}
    for block, columns in blocks.items():
        for spelling, column in getattr(config, block).items():
            name = names.find(spelling) or spelling
            if name in columns:
                repeated.append((block, written[block, name], spelling))
                continue
            columns[name], written[block, name] = column, spelling

    def named(spelling: str | None) -> str | None:
        return spelling and (names.find(spelling) or spelling)

    split, evaluator = config.split, config.evaluator
    split = split.model_copy(update={
        "categorize": split.categorize.model_copy(update={"by": named(split.categorize.by)}),
        "index": split.index.model_copy(update={"by": named(split.index.by)}),
    })  # fmt: skip
    slices = tuple(tuple(dict.fromkeys(names.find(name) or name for name in columns)) for columns in evaluator.slices)
    evaluator = evaluator.model_copy(update={"slices": slices})
    found = config.model_copy(update={**blocks, "split": split, "evaluator": evaluator})
    return Spelled(found, written, tuple(repeated))


def resolve(config: Config, schema: TableSchema) -> Resolved:
    """The configuration with every default made explicit. The columns exist: `checks` has seen to it."""
    config = spelled_as_in(config, schema.lookup).config
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
