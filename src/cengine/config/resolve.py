"""Config + table schema -> every column explicit: nothing is implicit after this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cengine.config.schema import (
    INNER,
    Anomaly,
    ColumnConfig,
    Config,
    KindDefaults,
    LabelConfig,
    SplitConfig,
    TrainerConfig,
)
from cengine.config.series import explicit_columns, on_points, series_of
from cengine.config.timeseries import Series, TimeSeries
from cengine.metrics.metric import Metric
from cengine.metrics.table import METRICS
from cengine.names import HORIZON_STEP, Names
from cengine.networks.encodings import Auto, Encoding
from cengine.networks.losses import LOSSES, Loss
from cengine.tables import TableSchema
from cengine.tasks import USUAL_THRESHOLD, Binary, Classes, Regression, Task, task_named
from cengine.transforms import FILLINGS, TRANSFORMS, Filling, Transform
from cengine.transforms.fill import SERIES_FILLINGS, Custom

# What a column of each kind does where the YAML says nothing: filling, transform.
BUILT_IN = {
    "boolean": (FILLINGS["max"](), (TRANSFORMS["no_transform"](),)),
    "integer": (FILLINGS["min"](), (TRANSFORMS["scale_to_z_score"](),)),
    "float": (FILLINGS["max"](), (TRANSFORMS["scale_to_z_score"](),)),
    "string": (Custom(custom_value=""), (TRANSFORMS["compute_and_apply_vocabulary"](),)),
    "timestamp": (FILLINGS["min"](), (TRANSFORMS["calendar"](),)),
}


# "balanced", or what the rows of a class count by the class as text.
ClassWeight = str | tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Feature:
    """A column that enters the network, with every word it passes. `missing_indicator` adds an input: 1 where the cell is missing."""

    name: str
    kind: str
    filling: Filling
    transforms: tuple[Transform, ...]
    encoding: Encoding
    missing_indicator: bool = False

    def identity(self) -> dict[str, Any]:
        """What a fingerprint reads."""
        return {
            "column": self.name,
            "kind": self.kind,
            "filling": self.filling.identity(),
            "transforms": [word.identity() for word in self.transforms],
            "encoding": self.encoding.identity(),
            **({"missing_indicator": True} if self.missing_indicator else {}),
        }


@dataclass(frozen=True)
class Label:
    """A column to predict. `filling` None leaves rows without a label out.

    `task` is the name of its task; for a classification label that is not boolean, that of several classes becomes that of two
    once two are found in the train rows, unless `loss` settles it. `sample_weight` is the column that says how much a row counts.
    `class_weight` is "balanced", or pairs of a class as text and what its rows count in training.
    """

    name: str
    kind: str
    task: str
    filling: Filling | None
    transforms: tuple[Transform, ...]
    loss: Loss | None
    metrics: tuple[Metric, ...] | None
    sample_weight: str | None = None
    class_weight: ClassWeight | None = None
    window_labels: int | None = None
    """How many of it are predicted of a window of points; None where rows are predicted."""

    def asked(self, task: str | None = None) -> Task:
        """What is asked of it, where its task has this name; its own by default."""
        name = task or self.task
        return self.loss.asks(name) if self.loss else task_named(name)

    def identity(self) -> dict[str, Any]:
        """What a fingerprint of the preprocessing reads: of the loss only the quantiles, which are learnt too; not the metrics."""
        quantiles = self.asked().quantiles
        return {
            "column": self.name,
            "kind": self.kind,
            "classification": task_named(self.task).has_classes,
            "filling": self.filling.identity() if self.filling else None,
            "transforms": [word.identity() for word in self.transforms],
            **({"sample_weight": self.sample_weight} if self.sample_weight else {}),
            **({"quantiles": list(quantiles)} if quantiles else {}),
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
    yardstick: str | None = None
    series: Series | None = None
    """How the rows become points and windows; then features and labels are those of points."""
    anomaly: Anomaly | None = None
    threshold: float = USUAL_THRESHOLD

    @property
    def is_autoencoder(self) -> bool:
        """Whether rows are reconstructed, and no label is predicted."""
        return self.trainer.is_autoencoder

    def filled_in(self, num_rows: int) -> Resolved:
        """With what follows from the number of rows that are learnt from."""
        return replace(self, trainer=self.trainer.filled_in(num_rows))

    @property
    def has_inner(self) -> bool:
        """Whether a part of train is kept back to choose by."""
        return self.trainer.chooses and self.split.validation is None

    @property
    def judged(self) -> str | None:
        """Where the rows are by which a model is chosen; None where nothing chooses, and the last model is the result."""
        return self.split.validation or (INNER if self.trainer.chooses else None)

    @property
    def shown(self) -> str:
        """The first split that is reported and chooses nothing."""
        return next(name for name in self.split.names[1:] if name != self.split.validation)


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

    blocks["labels"] = {
        name: label.model_copy(update={"sample_weight": named(label.sample_weight)})
        if isinstance(label, LabelConfig) and label.sample_weight
        else label
        for name, label in blocks["labels"].items()
    }
    split, evaluator = _indexed(config, named), config.evaluator
    split = split.model_copy(
        update={
            "categorize": split.categorize.model_copy(update={"by": named(split.categorize.by)}),
            "index": split.index.model_copy(update={"by": named(split.index.by)}),
        }
    )
    slices = tuple(tuple(dict.fromkeys(names.find(name) or name for name in columns)) for columns in evaluator.slices)
    evaluator = evaluator.model_copy(update={"slices": slices})
    series = config.timeseries and _named_series(config.timeseries, named)
    if evaluator.anomaly is not None:
        anomaly = evaluator.anomaly.model_copy(update={"column": named(evaluator.anomaly.column)})
        evaluator = evaluator.model_copy(update={"anomaly": anomaly})
    found = config.model_copy(update={**blocks, "split": split, "evaluator": evaluator, "timeseries": series})
    return Spelled(found, written, tuple(repeated))


def _indexed(config: Config, named: Callable[[str | None], str | None]) -> SplitConfig:
    """The split; rows of a time series are in the order of their time where the YAML names no other."""
    split = config.split
    if config.timeseries is None or split.index.ratio is None or split.index.by is not None:
        return split
    return split.model_copy(update={"index": split.index.model_copy(update={"by": named(config.timeseries.timestamp)})})


def _named_series(words: TimeSeries, named: Callable[[str | None], str | None]) -> TimeSeries:
    known = tuple(named(name) or name for name in words.known_in_advance)
    return words.model_copy(
        update={"timestamp": named(words.timestamp), "category": named(words.category), "known_in_advance": known}
    )


def resolve(config: Config, schema: TableSchema) -> Resolved:
    """The configuration with every default made explicit. The columns exist: `checks` has seen to it."""
    config = spelled_as_in(config, schema.lookup).config
    series = series_of(config, schema)
    if series is not None:
        config, schema = on_points(config, series), series.schema(schema)
    return Resolved(
        features=tuple(_feature(name, column, config, schema) for name, column in config.features.items()),
        labels=tuple(_label(name, label, config, schema) for name, label in config.labels.items()),
        split=config.split,
        trainer=config.trainer.beside(len(config.features)),
        slices=tuple(dict.fromkeys(config.evaluator.slices)) or _usual_slices(series),
        metrics=config.evaluator.metrics,
        yardstick=config.evaluator.yardstick,
        series=series,
        anomaly=config.evaluator.anomaly,
        threshold=config.evaluator.threshold or USUAL_THRESHOLD,
    )


def _usual_slices(series: Series | None) -> tuple[tuple[str, ...], ...]:
    """What forecasts are sliced by where the YAML names nothing: the series, and the steps ahead."""
    if series is None:
        return ()
    by_series = [(series.words.category,)] if series.words.category else []
    return (*by_series, *([(HORIZON_STEP,)] if (series.words.horizon or 1) > 1 else []))


def explicit(config: Config, resolved: Resolved, names: Names) -> Config:
    """The configuration with the table's names for columns and with all that its features and labels take; resolved, it is the same."""
    spelled = spelled_as_in(config, names).config
    series = resolved.series
    written = explicit_columns(spelled, series) if series else spelled.features
    carried = {column.name: column.written for column in series.columns} if series else {}
    features = {
        carried.get(own.name, own.name): written[own.name].model_copy(
            update={
                "filling": _written_filling(own, written[own.name]),
                "missing_indicator": own.missing_indicator or None,
                "transform": own.transforms,
                "encoding": own.encoding,
            }
        )
        for own in resolved.features
    }
    labels = {
        own.name: spelled.labels[own.name].model_copy(update={"transform": own.transforms}) for own in resolved.labels
    }
    for label in series.labels if series else ():
        tuned = {"resampling": label.resampling, "label_tuning": label.tunings or None}
        labels[label.name] = labels[label.name].model_copy(update=tuned)
    return spelled.model_copy(update={"features": features, "labels": labels, "preprocessing": {}})


def _written_filling(feature: Feature, given: ColumnConfig) -> Filling:
    """What the YAML has: a neighbour's value where that fills the points' cells."""
    return given.filling if given.filling is not None and given.filling.name in SERIES_FILLINGS else feature.filling


def is_open(label: Label) -> bool:
    """Whether the number of classes, which is counted in the train rows, settles the label's task."""
    return label.task == Classes.name and label.loss is None


def task_of(label: Label, num_classes: int | None, *, one_output_a_class: bool = False) -> str:
    """The name of the label's task once its classes are counted (None for regression).

    If `one_output_a_class` is true and no loss is named, two classes get an output each, as more classes do.
    """
    found = Binary.name if is_open(label) and num_classes == 2 else label.task
    return Classes.name if found == Binary.name and label.loss is None and one_output_a_class else found


def default_loss(task: str) -> Loss:
    """The loss of a label whose YAML names none."""
    return LOSSES[task_named(task).default_loss]()


def metrics_of(label: Label, task: str, evaluator_metrics: tuple[Metric, ...] | None) -> tuple[Metric, ...]:
    """The metrics of a label: its own and the evaluator's, those of its task where neither names any."""
    given = [*(label.metrics or ()), *(m for m in evaluator_metrics or () if task in m.tasks)]
    unique = tuple(dict.fromkeys(given))
    return unique or tuple(METRICS[name]() for name in task_named(task).default_metrics)


def _feature(name: str, column: ColumnConfig, config: Config, schema: TableSchema) -> Feature:
    kind = schema[name].kind or "string"
    defaults = config.preprocessing.get(kind, KindDefaults())
    filling, transforms = BUILT_IN[kind]
    chosen = column.transform or defaults.transform or transforms
    encoding = column.encoding or defaults.encoding or Auto()
    if column.encoding is None and column.transform is not None and given_by(chosen) not in encoding.accepts:
        encoding = Auto()  # the kind's is for the kind's transform
    indicator = column.missing_indicator
    if indicator is None:
        indicator = bool(defaults.missing_indicator) and schema[name].num_nulls != 0
    return Feature(name, kind, column.filling or defaults.filling or filling, chosen, encoding, indicator)


def given_by(transforms: Sequence[Transform]) -> str:
    """What such transforms give to an encoding: a `number` or a `code`."""
    return "code" if transforms[-1].gives == "code" else "number"


def _label(name: str, label: LabelConfig, config: Config, schema: TableSchema) -> Label:
    kind = schema[name].kind or "string"
    if config.trainer.type == "regression":
        named = label.loss.tasks[0] if label.loss else Regression.name
        task = Regression.name if task_named(named).has_classes else named
    elif label.loss is not None:
        task = label.loss.tasks[0]
    else:
        task = Binary.name if kind == "boolean" else Classes.name
    # Type defaults do not reach labels: z-scored years and invented labels are not what the file asks to predict.
    transforms = label.transform or (TRANSFORMS["no_transform"](),)
    weights = tuple(label.class_weight.items()) if isinstance(label.class_weight, dict) else label.class_weight
    windows = None if config.timeseries is None else config.timeseries.horizon or 1
    return Label(
        name, kind, task, label.filling, transforms, label.loss, label.metrics, label.sample_weight, weights, windows
    )
