"""What is asked of a label: a number, its quantiles, one of two classes, or one of several. Each task is a word of the table `TASKS`.

A task says what a prediction consists of and what a constant predictor would say. It knows neither how predictions are made
nor how they are measured: learners, evaluation and reports ask it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from cengine.names import quantile_name
from cengine.plain import Cell
from cengine.words import Word, table_of

# Of at most so many classes each row's predictions list the probabilities of all.
MAX_LISTED_CLASSES = 20
# A probability of 0 would have an infinite loss.
SMALLEST_PROBABILITY = 1e-15
# Of the constants, the median makes absolute errors least, the mean squared ones.
_LEAST_AT_MEDIAN = ("mae", "mape", "smape", "wape", "mase")
_OF_QUANTILES = ("quantile_loss", "wql", "coverage", "interval_width")
USUAL_QUANTILES, MOST_QUANTILES = (0.05, 0.5, 0.95), 19

# What is known of a row: the mean of its columns' losses, the greatest of them, the mean of squared errors, whether the score lies above
# the threshold, and the same of what constants make of it.
SCORES = (
    "prediction",
    "score_max",
    "score_squared",
    "score_above",
    "score_constant",
    "score_constant_squared",
    "score_constant_above",
)
USUAL_THRESHOLD = 0.99

Fitted = dict[str, Any]
Values = TypeVar("Values", bound=Any)


@dataclass(frozen=True)
class Constant:
    """A constant predictor: `what` names it for a person, `value` is what it says (a number, or a class).

    `roles` has what metrics read of its predictions: a number, or one for each class of the label, the first for a class that
    the train rows do not have, or the name of what the table of predictions has of it, where it differs from row to row.
    """

    what: str
    value: Cell
    roles: dict[str, float | list[float] | str]


class Task(Word):
    """What is asked of a label. `name` stands in statistics, results and reports."""

    labels_are: ClassVar[str]
    """What the label's values are, for a person."""
    has_classes: ClassVar[bool] = True
    """Whether labels are classes, which are counted in the train rows."""
    has_label: ClassVar[bool] = True
    """Whether it is about a column of the table; a reconstruction is about the row itself."""
    one_output_a_class: ClassVar[bool] = False
    """Whether a prediction has a probability for each class."""
    default_loss: ClassVar[str]
    default_metrics: ClassVar[tuple[str, ...]]
    row_loss: ClassVar[str]
    """The metric by which single rows are compared where the one asked for is no mean over rows."""

    @property
    def quantiles(self) -> tuple[float, ...]:
        """The quantiles that a prediction has, ascending shares of 1; of most tasks none."""
        return ()

    @property
    def point(self) -> int:
        """Which of a prediction's numbers stands for all of them where one is shown."""
        return 0

    def num_outputs(self, num_classes: int) -> int:
        """How many numbers a prediction has."""
        return num_classes if self.one_output_a_class else 1

    def columns(self, num_classes: int) -> dict[str, int | None]:
        """The columns of the table of predictions that a learner's predictions fill, with the length of a list or None for a number."""
        return {"label": None, "prediction": None}

    def predictions(self, predicted: np.ndarray, label: np.ndarray) -> dict[str, np.ndarray]:
        """These columns: `predicted` float64 (n,) in the label's unit or probabilities (n, outputs), `label` float32 (n,) as encoded."""
        return {"label": label.astype(np.int64).astype(np.float64), "prediction": predicted[:, 0]}

    def losses(self, predicted: np.ndarray, label: np.ndarray) -> np.ndarray:
        """The `row_loss` of each row, float64 (n,): `predicted` as for `predictions`, `label` in its unit or as class numbers."""
        rows, known = (
            np.arange(len(label)),
            label >= 0,
        )  # a class that the train rows do not have is given no probability
        likelihood = np.where(known, predicted[rows, np.maximum(label, 0).astype(np.int64)], 0.0)
        return np.asarray(-np.log(np.maximum(likelihood, SMALLEST_PROBABILITY)))

    @abstractmethod
    def constants(self, fitted: Fitted) -> dict[str, Constant]:
        """What constant predictors would say, learnt from the train rows: their statistics `fitted`, as Fit has them."""

    def hardest(self, metric: str) -> str:
        """Which of the constants is hard to beat in this metric."""
        return "class"


class Regression(Task):
    """A number in the label's own unit."""

    name = "regression"
    labels_are = "numbers"
    has_classes = False
    default_loss = "mse"
    default_metrics = ("mae", "rmse", "r2")
    row_loss = "mae"

    def columns(self, num_classes: int) -> dict[str, int | None]:
        return {"prediction": None}  # the label itself is read from the table, where it has all its digits

    def predictions(self, predicted: np.ndarray, label: np.ndarray) -> dict[str, np.ndarray]:
        return {"prediction": predicted}

    def losses(self, predicted: np.ndarray, label: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(predicted - label))

    def constants(self, fitted: Fitted) -> dict[str, Constant]:
        return {
            which: Constant(f"train {which}", fitted[which], {"prediction": float(fitted[which])})
            for which in ("median", "mean")
        }

    def hardest(self, metric: str) -> str:
        return "median" if metric in _LEAST_AT_MEDIAN else "mean"


class Quantiles(Regression):
    """A number in the label's own unit by quantiles of what it may be: `at` are ascending shares of 1.

    A prediction has one number a quantile, ascending too: outputs that cross are sorted, which is never farther from the
    true quantiles (Chernozhukov, Fernández-Val and Galichon 2010). The point prediction is the quantile nearest to the
    median, of two equally near ones the lower.
    """

    name = "quantiles"
    labels_are = "quantiles of numbers"
    default_loss = "quantile"
    default_metrics = ("quantile_loss", "mae", "coverage")
    row_loss = "quantile_loss"
    at: tuple[float, ...] = USUAL_QUANTILES

    @property
    def quantiles(self) -> tuple[float, ...]:
        return self.at

    @property
    def point(self) -> int:
        return min(range(len(self.at)), key=lambda place: (round(abs(self.at[place] - 0.5), 12), place))

    def num_outputs(self, num_classes: int) -> int:
        return len(self.at)

    def columns(self, num_classes: int) -> dict[str, int | None]:
        return {"prediction": None, **dict.fromkeys(map(quantile_name, self.at))}

    def predictions(self, predicted: np.ndarray, label: np.ndarray) -> dict[str, np.ndarray]:
        columns = {quantile_name(share): predicted[:, place] for place, share in enumerate(self.at)}
        return {"prediction": predicted[:, self.point], **columns}

    def losses(self, predicted: np.ndarray, label: np.ndarray) -> np.ndarray:
        error, at = label[:, None] - predicted, np.array(self.at)
        return np.asarray(np.maximum(at * error, (at - 1.0) * error).mean(axis=1))

    def constants(self, fitted: Fitted) -> dict[str, Constant]:
        found = super().constants(fitted)
        values = [float(value) for value in fitted["quantiles"]]
        roles = {quantile_name(share): value for share, value in zip(self.at, values, strict=True)}
        told = f"{values[0]:.6g}" if len(values) == 1 else f"{values[0]:.6g} to {values[-1]:.6g}"
        what = "train quantile" if len(values) == 1 else "train quantiles"
        return {**found, "quantiles": Constant(what, told, {"prediction": values[self.point], **roles})}

    def hardest(self, metric: str) -> str:
        return "quantiles" if metric in _OF_QUANTILES else super().hardest(metric)


def ascending(values: Sequence[Values]) -> list[Values]:
    """Arrays or tensors of one shape sorted among each other, place by place, by exchanges of neighbours."""
    found = list(values)
    for last in range(len(found) - 1, 0, -1):
        for place in range(last):
            low, high = found[place], found[place + 1]
            found[place], found[place + 1] = np.minimum(low, high), np.maximum(low, high)
    return found


class Binary(Task):
    """The probability of the second of two classes."""

    name = "binary"
    labels_are = "two classes"
    default_loss = "binary_crossentropy"
    default_metrics = ("accuracy", "auc", "log_loss")
    row_loss = "log_loss"

    def losses(self, predicted: np.ndarray, label: np.ndarray) -> np.ndarray:
        likelihood = np.where(label == 1, predicted[:, 0], 1.0 - predicted[:, 0])
        return np.asarray(-np.log(np.maximum(likelihood, SMALLEST_PROBABILITY)))

    def constants(self, fitted: Fitted) -> dict[str, Constant]:
        share = fitted["counts"][1] / sum(fitted["counts"])
        return {"class": Constant("most frequent class", _most_frequent(fitted), {"prediction": share})}


class Classes(Task):
    """A probability for each class."""

    name = "classes"
    labels_are = "classes"
    one_output_a_class = True
    default_loss = "sparse_categorical_crossentropy"
    default_metrics = ("accuracy", "log_loss")
    row_loss = "log_loss"

    def columns(self, num_classes: int) -> dict[str, int | None]:
        listed = {"class_probabilities": num_classes} if num_classes <= MAX_LISTED_CLASSES else {}
        numbers = ("label", "prediction", "predicted_probability", "label_probability", "label_rank")
        return {**dict.fromkeys(numbers), **listed}

    def predictions(self, predicted: np.ndarray, label: np.ndarray) -> dict[str, np.ndarray]:
        label = label.astype(np.int64)
        known = label >= 0
        own = np.where(known, predicted[np.arange(len(predicted)), np.maximum(label, 0)], 0.0)
        rank = 1.0 + (predicted > own[:, None]).sum(axis=1)
        listed = predicted.shape[1] <= MAX_LISTED_CLASSES
        return {
            "label": label.astype(np.float64),
            "prediction": predicted.argmax(axis=1).astype(np.float64),
            "predicted_probability": predicted.max(axis=1),
            "label_probability": own,
            "label_rank": np.where(known, rank, predicted.shape[1] + 1.0),
            **({"class_probabilities": predicted.astype(np.float32)} if listed else {}),
        }

    def constants(self, fitted: Fitted) -> dict[str, Constant]:
        counts, total = fitted["counts"], sum(fitted["counts"])
        by_count = sorted(range(len(counts)), key=lambda i: -counts[i])
        chosen = float(by_count[0])
        ranks = [float(by_count.index(i) + 1) for i in range(len(counts))]
        roles: dict[str, float | list[float] | str] = {
            "prediction": chosen,
            "predicted_class": chosen,
            "label_probability": [0.0, *(count / total for count in counts)],
            "label_rank": [len(counts) + 1.0, *ranks],
        }
        return {"class": Constant("most frequent class", _most_frequent(fitted), roles)}


class Reconstruction(Task):
    """The row itself: how far it is from what a model makes of it that has seen many such rows.

    A prediction has the numbers of SCORES, then those of the code. `threshold` is the share of the train rows whose scores are below
    the one from which a row is called odd, `code` how many numbers the code has.
    """

    name = "reconstruction"
    labels_are = "rows"
    has_classes = False
    has_label = False
    default_loss = "mse"
    default_metrics = ("squared_error", "above_threshold", "score")
    row_loss = "score"
    threshold: float = USUAL_THRESHOLD
    code: int = 1

    def num_outputs(self, num_classes: int) -> int:
        return len(SCORES) + self.code

    def columns(self, num_classes: int) -> dict[str, int | None]:
        return dict.fromkeys(SCORES)

    def predictions(self, predicted: np.ndarray, label: np.ndarray) -> dict[str, np.ndarray]:
        return {name: predicted[:, place] for place, name in enumerate(SCORES)}

    def losses(self, predicted: np.ndarray, label: np.ndarray) -> np.ndarray:
        return predicted[:, 0]

    def constants(self, fitted: Fitted) -> dict[str, Constant]:
        roles: dict[str, float | list[float] | str] = {
            "prediction": "score_constant",
            "score_squared": "score_constant_squared",
            "score_above": "score_constant_above",
        }
        return {"row": Constant("each column's", "mean", roles)}

    def hardest(self, metric: str) -> str:
        return "row"


def _most_frequent(fitted: Fitted) -> Cell:
    return fitted["classes"][fitted["counts"].index(max(fitted["counts"]))]


TASKS = table_of(Regression, Quantiles, Binary, Classes, Reconstruction)


def task_named(name: str) -> Task:
    """The task of this name."""
    return TASKS[name]()
