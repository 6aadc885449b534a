"""What a learner is: the word under `architecture:`. It fits a model to encoded rows, reads it again, and predicts.

A learner's fields are the keys of the `trainer:` block that only it reads. It is told what to predict (`Target`) and given the
rows (`Examples`); how good its predictions are is none of its business.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from cengine.config.schema import TrainerConfig
from cengine.errors import TrainingError
from cengine.words import Word

if TYPE_CHECKING:
    import numpy as np

    from cengine.config.resolve import Label
    from cengine.learners.examples import Batch, Examples
    from cengine.networks.encodings import Encoding
    from cengine.preprocess.apply import Input
    from cengine.preprocess.targets import Target
    from cengine.stopping import Reason, Wish

Load = dict[str, float]
# The folder, beside the files of a model, of which TensorBoard shows the curves.
TENSORBOARD = "tensorboard"
# What is kept beside the learner's own files where it was trained.
BESIDE = (TENSORBOARD, "training.json", "statistics.json", "artifact.json")


class Predictor(Protocol):
    """A model that was read."""

    def predict(self, batch: Batch) -> dict[str, np.ndarray]:
        """Predictions by label, float64: (n,) in the label's unit, (n, quantiles) where quantiles are predicted, or probabilities
        (n, outputs) of classes.

        A model that can also be written as a graph has a method `predicting` that says the same as operations on two tensors,
        the numbers (n, ...) float32 and the codes (n, ...) int32; `cengine export --format onnx` asks for it.
        """


@dataclass(frozen=True)
class Contributions:
    """What each feature has added to raw predictions: of a row they add up, with what is expected, to its raw prediction."""

    features: tuple[str, ...]
    unit: str
    """What is added up, in words: the label's own unit, or what the prediction is then made of."""
    values: np.ndarray
    """float64 (n, features)."""
    expected: np.ndarray
    """Where no feature is known, float64 (n,); of several classes it depends on which is predicted."""


class Explainer(Protocol):
    """Tells what the features have added to a model's predictions."""

    @property
    def most_rows(self) -> int:
        """How many rows it explains in a few seconds."""

    def contributions(self, batch: Batch) -> dict[str, Contributions]:
        """By label."""


@dataclass(frozen=True)
class Facts:
    """What is known of a training before it: rows by split, and what enters; vocabularies are guessed before Fit."""

    rows: Mapping[str, int]
    inputs: Sequence[tuple[int | None, Encoding]]
    """Of each input the number of indices of a code, None for a number, and its encoding."""
    num_encoded: int
    num_labels: int
    """How many; a label whose quantiles are predicted counts once a quantile."""
    judged: str | None
    """Which of `rows` the best model is chosen by; None where nothing chooses."""
    shown: str | None = None
    """A reported split that curves show."""
    window: tuple[int, int] | None = None
    """Where rows are windows, how many points enter and how many are predicted."""


@dataclass(frozen=True)
class Course:
    """What a training is given beside rows and targets."""

    folder: Path
    """Where the model's files go."""
    kept: Path
    """What an attempt that was interrupted has left, to continue from."""
    judged: str | None
    """The rows by which the best model is chosen, a name that `examples` know; None where there are none: then the last one is the
    result. It is the part of train that was kept back, or a split that the YAML has for it, and never one that is reported alone."""
    memory_bytes: int
    """How much of the rows may be held at once."""
    limit_bytes: int
    """The memory limit of the whole run, for messages."""
    num_features: int
    wish: Wish
    report: Callable[[int, str], None]
    """Told how many steps are done, with a note."""
    measure: Callable[[Mapping[str, np.ndarray], Batch], dict[str, float]]
    """The metrics of predictions beside the batch that they are of."""
    shown: str | None = None
    """A reported split that may be measured for the curves. Nothing may be chosen by it."""


@dataclass(frozen=True)
class Fitted:
    """How a training went. `history` has what was measured at steps: `{"step": n, SPLIT: {"loss": ..., METRIC: ...}}`."""

    num_steps: int
    planned_steps: int
    num_weights: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_step: int | None = None
    stopped_early: bool = False
    first_step: int = 0
    """Where this attempt continued from."""
    limit: Reason | None = None
    """The limit that ended it before its last step."""
    steps_are: str = "steps"
    """What a step is called on the page, in the plural."""
    weights_are: str = "weights"
    """What `num_weights` counts, in the plural."""
    importance: dict[str, dict[str, float]] = field(default_factory=dict)
    """By label and feature what share the feature has in what was learnt, as far as the learner can tell; 1 in all."""


class Learner(TrainerConfig):
    """A way to learn. `name` is the word under `architecture:`."""

    explains: ClassVar[int] = 0
    """Raised when its explanations change; 0 where it has none."""

    def identity(self) -> dict[str, Any]:
        """Name, version and every key with its default, those of words within it too, as plain data."""
        words = {key: _identity(getattr(self, key)) for key in self.words if getattr(self, key) is not None}
        return {"word": self.name, "version": self.version, **self.model_dump(mode="json", exclude=set(words)), **words}

    def settings(self, labels: Sequence[Label]) -> dict[str, Any]:
        """All that the model depends on beside rows and statistics, as plain data; the fingerprint reads it."""
        return {"learner": self.identity(), "losses": losses(labels)}

    @abstractmethod
    def num_steps(self, num_rows: int) -> int:
        """How many steps a training on so many rows has, 0 where that is not known without the rows (`num_rows` 0)."""

    def told(self, num_rows: int) -> str | None:
        """What a training on so many rows takes where the YAML leaves it out, as a plan says it; None where it leaves nothing out."""
        return None

    @abstractmethod
    def load(self, facts: Facts, first_step: int = 0, last_step: int | None = None) -> Load:
        """What training has to do, in what the rates of the stage Train are told in, from `first_step` to `last_step` or to its end."""

    @abstractmethod
    def products(self, facts: Facts) -> int:
        """Multiplications for the prediction of one row, near enough to tell time by."""

    @abstractmethod
    def fit(self, examples: Examples, targets: Sequence[Target], course: Course) -> Fitted:
        """Trains, and writes the model's files into `course.folder`. No file of it may need code to be read: nothing is pickled.

        Raises TrainingError where nothing can be learnt, and Stopped where `course.wish` is expressed, unless it is a limit: then
        what was reached is the result.
        """

    @abstractmethod
    def read(self, folder: Path, inputs: Sequence[Input], targets: Sequence[Target]) -> Predictor:
        """The model that `fit` wrote. Raises StoreError where its files are damaged."""

    def explainer(self, predictor: Predictor) -> Explainer | None:
        """What tells how a model that `read` gave comes to its predictions; None where `explains` is 0."""
        return None

    def first_step(self, kept: Path) -> int:
        """The step from which a training continues, given what an interrupted one has left."""
        return 0


def losses(labels: Sequence[Label]) -> list[dict[str, Any] | None]:
    """The losses that the YAML names, for a fingerprint; None for the default of a label's task. Beside them what classes count."""
    found = [label.loss.identity() if label.loss else None for label in labels]
    return [
        {"loss": loss, "class_weight": label.class_weight} if label.class_weight else loss
        for label, loss in zip(labels, found, strict=True)
    ]


def _identity(value: Word | Sequence[Word]) -> dict[str, Any] | list[dict[str, Any]]:
    return value.identity() if isinstance(value, Word) else [word.identity() for word in value]


def nothing_to_judge_on(num_rows: int, instead: str) -> TrainingError:
    """That `early_stopping` was asked for where no rows could be kept back from so many train rows; `instead` gives a length."""
    return TrainingError(
        f"early_stopping has no rows to look at: of the {num_rows:,} train rows no tenth could be kept back",
        "with `index_by` that takes several times in train",
        f"name a third split `valid` for it, or leave early_stopping out and {instead}",
    )
