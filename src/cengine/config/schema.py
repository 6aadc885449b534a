"""What a YAML says once read: one frozen model a block, words already resolved to their classes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, field_validator, model_validator

from cengine.networks.encodings import Encoding
from cengine.networks.layers import Activation, Layer
from cengine.networks.losses import Loss
from cengine.networks.metric import Metric
from cengine.networks.optimizers import Adam, Optimizer
from cengine.transforms import Filling, Transform
from cengine.words import Word

TRAIN = "train"
# What seeds the generators of random numbers that Keras uses.
GREATEST_SEED = 2**32 - 1
# No training is longer; it keeps numbers within what is computed with.
MOST_STEPS = 10**12


class Block(BaseModel):
    """A block of the YAML."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)


class ColumnConfig(Block):
    """What the YAML says of one column; None takes the default of the column's kind."""

    filling: SerializeAsAny[Filling] | None = None
    transform: tuple[SerializeAsAny[Transform], ...] | None = None
    resampling: SerializeAsAny[Word] | None = None
    encoding: SerializeAsAny[Encoding] | None = None


class LabelConfig(ColumnConfig):
    """A label: its loss and metrics follow from its kind where left out."""

    loss: SerializeAsAny[Loss] | None = None
    metrics: tuple[SerializeAsAny[Metric], ...] | None = None
    label_tuning: SerializeAsAny[Word] | None = None


class KindDefaults(Block):
    """Defaults for the columns of one kind."""

    filling: SerializeAsAny[Filling] | None = None
    transform: tuple[SerializeAsAny[Transform], ...] | None = None
    resampling: SerializeAsAny[Word] | None = None
    label_tuning: SerializeAsAny[Word] | None = None


class Categorize(Block):
    """Groups of rows: by which column, and which share or names of whole groups each split takes."""

    by: str | None = None
    ratio: dict[str, float] | None = None
    categories: dict[str, tuple[str | int | float | bool | None, ...]] | None = None


class Index(Block):
    """Rows within a group: in which order, and which share each split takes."""

    by: str | None = None
    ratio: dict[str, float] | None = None


class SplitConfig(Block):
    """Which rows go where. Exactly one of the four ways to divide is given."""

    categorize: Categorize = Categorize()
    index: Index = Index()
    ratio: dict[str, float] | None = None
    where: tuple[str, ...] = ()
    seed: int = Field(default=0, ge=0)

    @property
    def shares(self) -> dict[str, Fraction] | None:
        """The exact share of each split, of rows or of groups; None for named groups."""
        ratio = self.ratio or self.index.ratio or self.categorize.ratio
        # Through text: 0.9 means nine tenths, not the nearest binary fraction.
        return {name: Fraction(str(share)) for name, share in ratio.items()} if ratio else None

    @property
    def names(self) -> tuple[str, ...]:
        """The splits, train first, the others in the order of the YAML."""
        given = list(self.ratio or self.index.ratio or self.categorize.ratio or self.categorize.categories or ())
        return (TRAIN, *(name for name in given if name != TRAIN))


class EarlyStopping(Block):
    """Training ends when `patience` checkpoints in a row are no better than the best one by `min_delta`."""

    patience: int = Field(default=3, ge=1, le=MOST_STEPS)
    min_delta: float = Field(default=0.0, ge=0)


class TrainerConfig(Block):
    """The network and how it is trained."""

    type: Literal["regression", "classification"]
    architecture: Literal["feedforward"] = "feedforward"
    layers: tuple[SerializeAsAny[Layer], ...] = ()
    last_activation: Activation | None = None
    num_output_units: int | None = Field(default=None, ge=1, le=1_000_000)
    optimizer: SerializeAsAny[Optimizer] = Adam()
    train_steps: int | None = Field(default=None, ge=1, le=MOST_STEPS)
    epochs: int | float | None = Field(default=None, gt=0, le=10**9)
    train_batch_size: int = Field(default=256, ge=1, le=1_000_000)
    eval_batch_size: int = Field(default=4096, ge=1, le=1_000_000)
    save_checkpoints_steps: int | None = Field(default=None, ge=1, le=MOST_STEPS)
    early_stopping: EarlyStopping | None = None
    seed: int = Field(default=0, ge=0)

    @field_validator("seed")
    @classmethod
    def _seed_that_is_one(cls, seed: int) -> int:
        if seed > GREATEST_SEED:
            raise ValueError(f"the greatest seed is {GREATEST_SEED}")
        return seed

    @model_validator(mode="after")
    def _one_length(self) -> TrainerConfig:
        if self.train_steps is not None and self.epochs is not None:
            raise ValueError("give train_steps or epochs, not both")
        return self

    @field_validator("layers")
    @classmethod
    def _not_too_many(cls, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        if len(layers) > 256:
            raise ValueError("more than 256 layers")
        return layers


class EvaluatorConfig(Block):
    """Slices (each a tuple of columns) and the metrics; None takes those of the labels."""

    slices: tuple[tuple[str, ...], ...] = ()
    metrics: tuple[SerializeAsAny[Metric], ...] | None = None


class Config(Block):
    """A whole YAML."""

    version: Literal[1] = 1
    features: dict[str, ColumnConfig]
    labels: dict[str, LabelConfig]
    split: SplitConfig
    trainer: TrainerConfig
    evaluator: EvaluatorConfig = EvaluatorConfig()
    preprocessing: dict[str, KindDefaults] = {}

    def to_nested(self) -> dict[str, Any]:
        """Plain data in the nested spelling, defaults left out; reading it gives this configuration again."""
        evaluator = self.evaluator
        return _without_empty({
            "version": self.version,
            "features": {name: _column(column) for name, column in self.features.items()},
            "labels": {name: _column(label) for name, label in self.labels.items()},
            "split": _split(self.split),
            "trainer": _trainer(self.trainer),
            "evaluator": _without_empty({"slices": [list(s) for s in evaluator.slices] or None,
                                         "metrics": _metrics(evaluator.metrics)}) or None,
            "preprocessing": {kind: _column(defaults) for kind, defaults in self.preprocessing.items()} or None,
        })  # fmt: skip


def word_to_nested(word: Word, key: str = "method") -> Any:
    """`{method, parameters}` for words of columns, `{type, ...}` for the others; the bare name without parameters."""
    parameters = {name: word_to_nested(getattr(word, name), "type") if isinstance(getattr(word, name), Word) else value
                  for name, value in word.parameters().items()}  # fmt: skip
    if not parameters:
        return word.name
    return {key: word.name, "parameters": parameters} if key == "method" else {key: word.name, **parameters}


def _column(column: Block) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in column:
        if value is None:
            continue
        if key == "transform":
            words = [word_to_nested(word) for word in value]
            nested[key] = words[0] if len(words) == 1 else words
        elif key == "metrics":
            nested[key] = _metrics(value)
        else:
            nested[key] = word_to_nested(value, "type" if key == "loss" else "method")
    return nested


def _metrics(metrics: tuple[Metric, ...] | None) -> list[Any] | None:
    return None if metrics is None else [word_to_nested(metric, "type") for metric in metrics]


def _split(split: SplitConfig) -> dict[str, Any]:
    dumped = split.model_dump(mode="json", exclude_none=True)
    dumped = {key: value for key, value in dumped.items() if value not in ({}, [])}
    if not dumped["seed"]:
        del dumped["seed"]
    return dumped


def _trainer(trainer: TrainerConfig) -> dict[str, Any]:
    nested = trainer.model_dump(mode="json", exclude_none=True, exclude={"layers", "optimizer"})
    nested["layers"] = [_with_type(layer) for layer in trainer.layers]
    nested["optimizer"] = word_to_nested(trainer.optimizer, "type")
    return nested


def _with_type(layer: Layer) -> Any:
    nested = word_to_nested(layer, "type")
    return {"type": nested} if isinstance(nested, str) else nested


def _without_empty(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}
