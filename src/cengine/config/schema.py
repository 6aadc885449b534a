"""What a YAML says once read: one frozen model a block, words already resolved to their classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny, field_validator

from cengine.config.block import Block as Block
from cengine.config.nested import (
    column_to_nested,
    metrics_to_nested,
    split_to_nested,
    trainer_to_nested,
    without_empty,
)
from cengine.config.timeseries import TimeSeries
from cengine.metrics.metric import Metric
from cengine.networks.encodings import Encoding
from cengine.networks.losses import Loss
from cengine.plain import Cell, Plain
from cengine.transforms import Filling, Transform
from cengine.transforms.resample import Resampling
from cengine.transforms.tuning import Tuning
from cengine.words import Word

if TYPE_CHECKING:
    from cengine.config.resolve import Label

TRAIN = "train"
# The part of train by which a model is chosen where no split is named for it. No split of a YAML can have this name: it holds a space.
INNER = "inner validation"
# How much of train that is.
INNER_SHARE = Fraction(1, 10)
# The rows of cross validation, each predicted by a model that has not learnt from it.
OUT_OF_FOLD = "out_of_fold"
FEWEST_FOLDS, MOST_FOLDS = 2, 20
# A split of such a name is there to choose by, where another one is left to report.
VALIDATION_NAMES = ("valid", "val", "validation")
# The word under `type:` of a trainer that has no labels.
AUTOENCODER = "autoencoder"
# The word under `class_weight:` by which all classes count alike together.
BALANCED = "balanced"
# What seeds the generators of random numbers that Keras uses.
GREATEST_SEED = 2**32 - 1
# No training is longer; it keeps numbers within what is computed with.
MOST_STEPS = 10**12


@dataclass(frozen=True)
class LabelFacts:
    """A label as the trainer block is checked against it: `ends` are its least and greatest value, None where they are not known."""

    label: Label
    num_labels: int
    ends: tuple[Cell, Cell] | None


@dataclass(frozen=True)
class Finding:
    """What does not fit, or looks like a mistake: at which key of the block, and how to mend it."""

    message: str
    key: str
    notes: tuple[str, ...] = ()
    within: tuple[str | int, ...] = ()
    """Where below the key, such as the place in a list."""


class ColumnConfig(Block):
    """What the YAML says of one column; None takes the default of the column's kind."""

    filling: SerializeAsAny[Filling] | None = None
    missing_indicator: bool | None = None
    transform: tuple[SerializeAsAny[Transform], ...] | None = None
    resampling: SerializeAsAny[Resampling] | None = None
    encoding: SerializeAsAny[Encoding] | None = None


class LabelConfig(ColumnConfig):
    """A label: its loss and metrics follow from its kind where left out.

    `sample_weight` is the column that says how much a row counts, in training and in metrics; `class_weight` how much a class
    counts in training alone.
    """

    loss: SerializeAsAny[Loss] | None = None
    metrics: tuple[SerializeAsAny[Metric], ...] | None = None
    label_tuning: tuple[SerializeAsAny[Tuning], ...] | None = None
    sample_weight: str | None = None
    class_weight: str | dict[str, float] | None = None

    @field_validator("class_weight", mode="before")
    @classmethod
    def _class_weight_that_is_one(cls, given: object) -> object:
        if given in (None, BALANCED):
            return given
        shares = list(given.values()) if isinstance(given, Mapping) else []
        if not shares or not all(isinstance(share, int | float) and share >= 0 for share in shares):
            raise ValueError(f"expected {BALANCED}, or what the rows of each class count, 0 or more: {{no: 1, yes: 3}}")
        return given


class KindDefaults(Block):
    """Defaults for the columns of one kind. That of `missing_indicator` is for those with missing cells."""

    filling: SerializeAsAny[Filling] | None = None
    missing_indicator: bool | None = None
    transform: tuple[SerializeAsAny[Transform], ...] | None = None
    resampling: SerializeAsAny[Resampling] | None = None
    encoding: SerializeAsAny[Encoding] | None = None
    label_tuning: tuple[SerializeAsAny[Tuning], ...] | None = None


class Categorize(Block):
    """Groups of rows: by which column, and which share or names of whole groups each split takes, or how many folds of them there are."""

    by: str | None = None
    ratio: dict[str, float] | None = None
    folds: int | None = Field(default=None, ge=FEWEST_FOLDS, le=MOST_FOLDS)
    categories: dict[str, tuple[str | int | float | bool | None, ...]] | None = None


class Index(Block):
    """Rows within a group: in which order, and which share each split takes."""

    by: str | None = None
    ratio: dict[str, float] | None = None


class SplitConfig(Block):
    """Which rows go where. Exactly one of the six ways to divide is given.

    With `folds` every row is dealt to one of them: a model learns from all but one, and is measured on that one.
    """

    categorize: Categorize = Categorize()
    index: Index = Index()
    ratio: dict[str, float] | None = None
    folds: int | None = Field(default=None, ge=FEWEST_FOLDS, le=MOST_FOLDS)
    where: tuple[str, ...] = ()
    seed: int = Field(default=0, ge=0)

    @property
    def shares(self) -> dict[str, Fraction] | None:
        """The exact share of each split, of rows or of groups; None for named groups. Of folds those that one of their models sees."""
        if self.num_folds:
            held_out = Fraction(1, self.num_folds)
            return {TRAIN: 1 - held_out, OUT_OF_FOLD: held_out}
        ratio = self.ratio or self.index.ratio or self.categorize.ratio
        # Through text: 0.9 means nine tenths, not the nearest binary fraction.
        return {name: Fraction(str(share)) for name, share in ratio.items()} if ratio else None

    @property
    def whole_groups(self) -> bool:
        """Whether each group is in one split as a whole."""
        groups = self.categorize
        return groups.categories is not None or groups.ratio is not None or groups.folds is not None

    @property
    def num_folds(self) -> int | None:
        """How many folds the rows or the groups are dealt to; None where they are divided once."""
        return self.folds or self.categorize.folds

    @property
    def names(self) -> tuple[str, ...]:
        """The splits, train first, the others in the order of the YAML."""
        if self.num_folds:
            return (TRAIN, OUT_OF_FOLD)
        given = list(self.ratio or self.index.ratio or self.categorize.ratio or self.categorize.categories or ())
        return (TRAIN, *(name for name in given if name != TRAIN))

    @property
    def validation(self) -> str | None:
        """The split that the YAML has for choosing, None where every split beside train is reported."""
        others = self.names[1:]
        return next((name for name in others if name.lower() in VALIDATION_NAMES), None) if len(others) > 1 else None


class EarlyStopping(Block):
    """Training ends when `patience` checkpoints in a row are no better than the best one by `min_delta`."""

    patience: int = Field(default=3, ge=1, le=MOST_STEPS)
    min_delta: float = Field(default=0.0, ge=0)

    def is_over(self, losses: Sequence[float]) -> bool:
        """Whether, of the losses at all checkpoints so far, the last `patience` ones are no better than the best before them."""
        if len(losses) <= self.patience:
            return False
        return min(losses[-self.patience :]) >= min(losses[: -self.patience]) - self.min_delta

    @classmethod
    def spelled_out(cls, value: Plain) -> Plain:
        """`true` takes the defaults, a number is the patience; `false` stays what it is, which is not the same as nothing said."""
        if value is True:
            return {}
        if value is False:
            return False
        return {"patience": value} if isinstance(value, int) else value


@dataclass(frozen=True)
class WordKey:
    """A key of the trainer block under which words of a table stand: one, or a list of `many`."""

    table: Mapping[str, type[Word]]
    what: str
    many: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)


class TrainerConfig(Block):
    """The trainer block: what all learners have in common. The class of the learner has the keys that only it reads as its fields."""

    name: ClassVar[str]
    """The word under `architecture:`."""
    version: ClassVar[int] = 1
    """Raised when the same settings give another model than before."""
    words: ClassVar[Mapping[str, WordKey]] = {}
    """Those of its keys under which words stand."""
    blocks: ClassVar[Mapping[str, type[Block]]] = {}
    """Those of its keys under which a block stands."""
    reads_windows: ClassVar[bool] = False
    """Whether an example is a window of points, which the block `timeseries` makes of the rows; else it is a row."""
    predicts_quantiles: ClassVar[bool] = False
    """Whether a label may be asked for by quantiles: then predictions are (rows, quantiles), as `Target.numbers` gives them."""

    reconstructs: ClassVar[bool] = False
    """Whether it can be an autoencoder."""

    type: Literal["regression", "classification", "autoencoder"]
    architecture: str
    seed: int = Field(default=0, ge=0)

    @field_validator("type")
    @classmethod
    def _type_that_it_has(cls, type: str) -> str:
        if type == AUTOENCODER and not cls.reconstructs:
            raise ValueError(
                f"the learner '{cls.name}' predicts labels; an autoencoder has `architecture: feedforward`"
            )
        return type

    @field_validator("seed")
    @classmethod
    def _seed_that_is_one(cls, seed: int) -> int:
        if seed > GREATEST_SEED:
            raise ValueError(f"the greatest seed is {GREATEST_SEED}")
        return seed

    @property
    def is_autoencoder(self) -> bool:
        """Whether it learns to reconstruct rows, and has no labels."""
        return self.type == AUTOENCODER

    @property
    def code_size(self) -> int:
        """How many numbers the code of an autoencoder has."""
        return 0

    def beside(self, num_features: int) -> TrainerConfig:
        """With a value for each key that follows from the number of features where the YAML leaves it out."""
        return self

    def filled_in(self, num_rows: int) -> TrainerConfig:
        """With a value for each key that follows from the number of rows that are learnt from where the YAML leaves it out."""
        return self

    @property
    def chooses(self) -> bool:
        """Whether it looks at rows that it does not learn from, to tell when to end and which model to keep."""
        return False

    @property
    def one_output_a_class(self) -> bool:
        """Whether two classes are asked to have an output each."""
        return False

    def problems(self, label: LabelFacts) -> Iterator[Finding]:
        """What of the block does not fit a label."""
        yield from ()

    def problems_of_windows(self, length: int, horizon: int | None) -> Iterator[Finding]:
        """What of the block does not fit windows of so many points, after which so many are predicted."""
        yield from ()

    def suspicions(self, label: LabelFacts | None = None) -> Iterator[Finding]:
        """What is obeyed, but looks like a mistake: of the block itself, or beside a label."""
        yield from ()


class Anomaly(Block):
    """A column that says which rows are known to be odd, and with which value; an autoencoder never learns from it."""

    column: str
    positive: str | int | float | bool = 1


class EvaluatorConfig(Block):
    """Slices (each a tuple of columns) and the metrics; None takes those of the labels. `yardstick` adds one to the linear model.

    Of an autoencoder `threshold` is the share of the train rows whose scores lie below the one from which a row is called odd.
    """

    slices: tuple[tuple[str, ...], ...] = ()
    metrics: tuple[SerializeAsAny[Metric], ...] | None = None
    yardstick: Literal["trees"] | None = None
    anomaly: Anomaly | None = None
    threshold: float | None = Field(default=None, gt=0, lt=1)


class Config(Block):
    """A whole YAML."""

    version: Literal[1] = 1
    features: dict[str, ColumnConfig]
    labels: dict[str, LabelConfig]
    split: SplitConfig
    trainer: SerializeAsAny[TrainerConfig]
    evaluator: EvaluatorConfig = EvaluatorConfig()
    preprocessing: dict[str, KindDefaults] = Field(default_factory=dict)
    timeseries: TimeSeries | None = None

    def to_nested(self) -> dict[str, Any]:
        """Plain data in the nested spelling, defaults left out; reading it gives this configuration again."""
        evaluator = self.evaluator
        return without_empty(
            {
                "version": self.version,
                "features": {name: column_to_nested(column) for name, column in self.features.items()},
                "labels": {name: column_to_nested(label) for name, label in self.labels.items()} or None,
                "timeseries": self.timeseries.to_nested() if self.timeseries else None,
                "split": split_to_nested(self.split),
                "trainer": trainer_to_nested(self.trainer),
                "evaluator": without_empty(
                    {
                        "slices": [list(s) for s in evaluator.slices] or None,
                        "metrics": metrics_to_nested(evaluator.metrics),
                        "yardstick": evaluator.yardstick,
                        "anomaly": evaluator.anomaly.model_dump(mode="json") if evaluator.anomaly else None,
                        "threshold": evaluator.threshold,
                    }
                )
                or None,
                "preprocessing": {kind: column_to_nested(defaults) for kind, defaults in self.preprocessing.items()}
                or None,
            }
        )
