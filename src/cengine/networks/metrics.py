"""`metrics:`, each defined once, as sums over rows that any engine can form; training and slices use the same.

A metric is told by three parts: `rows` sums expressions over the rows of a slice, `scores` reads rows grouped by
predicted probability (AUC), `confusion` reads rows grouped by true and predicted class. `value` turns the sums,
arrays with one entry a slice, into the metric; NaN where it is not defined for a slice.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from pydantic import Field
from sqlglot import exp

from cengine.expressions.build import double
from cengine.words import Word, table_of

Sums = dict[str, np.ndarray]
# From a role ("label", "prediction", ...) to its column in the table of predictions.
Roles = Callable[[str], exp.Expr]

SMALLEST_PROBABILITY = 1e-15


class Metric(Word):
    """A number that tells how good predictions are."""

    tasks: ClassVar[tuple[str, ...]]
    higher_is_better: ClassVar[bool] = False
    unit: ClassVar[str] = ""
    grouping: ClassVar[str] = "rows"

    @abstractmethod
    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        """Expressions over one row, by name; what is to be summed in each slice beside `num_rows`."""

    @abstractmethod
    def value(self, sums: Sums) -> np.ndarray:
        """The metric of each slice, float64."""


def _error(roles: Roles) -> exp.Expr:
    return exp.Paren(this=roles("label") - roles("prediction"))


class MeanAbsoluteError(Metric):
    """mean |y - p|"""

    name = "mae"
    tasks = ("regression",)
    unit = "label"

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {"absolute_error": exp.Abs(this=_error(roles))}

    def value(self, sums: Sums) -> np.ndarray:
        return _ratio(sums["absolute_error"], sums["num_rows"])


class MeanSquaredError(Metric):
    """mean (y - p)^2"""

    name = "mse"
    tasks = ("regression",)
    unit = "label squared"

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {"squared_error": _error(roles) * _error(roles)}

    def value(self, sums: Sums) -> np.ndarray:
        return _ratio(sums["squared_error"], sums["num_rows"])


class RootMeanSquaredError(Metric):
    """sqrt(mse)"""

    name = "rmse"
    tasks = ("regression",)
    unit = "label"

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return MeanSquaredError().sums(roles, task)

    def value(self, sums: Sums) -> np.ndarray:
        return np.sqrt(MeanSquaredError().value(sums))


class MeanAbsolutePercentageError(Metric):
    """100 * mean |y - p| / |y|, over the rows whose label is not 0"""

    name = "mape"
    tasks = ("regression",)
    unit = "%"

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        size = exp.Nullif(this=exp.Abs(this=roles("label")), expression=double(0.0))
        nonzero = exp.Case().when(exp.NEQ(this=roles("label"), expression=double(0.0)), double(1.0)).else_(double(0.0))
        return {"percentage_error": exp.Abs(this=_error(roles)) / size, "num_nonzero": nonzero}

    def value(self, sums: Sums) -> np.ndarray:
        return 100 * _ratio(sums["percentage_error"], sums["num_nonzero"])


class R2(Metric):
    """1 - sum (y - p)^2 / sum (y - mean y)^2, the mean being the slice's own"""

    name = "r2"
    tasks = ("regression",)
    higher_is_better = True

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        # Labels are centred on the overall mean: sums of squares of large labels would cancel.
        centred = exp.Paren(this=roles("label") - roles("center"))
        return {**MeanSquaredError().sums(roles, task), "centred": centred, "centred_squared": centred.copy() * centred.copy()}

    def value(self, sums: Sums) -> np.ndarray:
        total = sums["centred_squared"] - _ratio(sums["centred"] ** 2, sums["num_rows"])
        # Of equal labels rounding leaves a little more, or less, than nothing.
        return 1 - _ratio(sums["squared_error"], np.where(total > 1e-12 * sums["centred_squared"], total, 0.0))


class Accuracy(Metric):
    """The share of rows whose class is predicted; of two classes the positive one from a probability of 0.5"""

    name = "accuracy"
    tasks = ("binary", "classes")
    higher_is_better = True

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {"correct": _indicator(exp.EQ(this=roles("label"), expression=_predicted(roles, task, 0.5)))}

    def value(self, sums: Sums) -> np.ndarray:
        return _ratio(sums["correct"], sums["num_rows"])


class LogLoss(Metric):
    """- mean log(probability given to the true class), in nats"""

    name = "log_loss"
    tasks = ("binary", "classes")
    unit = "nats"

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        if task == "binary":
            positive = exp.EQ(this=roles("label"), expression=double(1.0))
            probability: exp.Expr = exp.Case().when(positive, roles("prediction")).else_(double(1.0) - roles("prediction"))
        else:
            probability = roles("label_probability")
        bounded = exp.Greatest(this=exp.Paren(this=probability), expressions=[double(SMALLEST_PROBABILITY)], ignore_nulls=True)
        return {"surprise": exp.Neg(this=exp.Ln(this=bounded))}

    def value(self, sums: Sums) -> np.ndarray:
        return _ratio(sums["surprise"], sums["num_rows"])


class TopK(Metric):
    """The share of rows whose class is among the k most probable"""

    name = "top_k"
    tasks = ("classes",)
    higher_is_better = True
    k: int = Field(default=5, ge=1)

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {f"top_{self.k}": _indicator(exp.LTE(this=roles("label_rank"), expression=double(self.k)))}

    def value(self, sums: Sums) -> np.ndarray:
        return _ratio(sums[f"top_{self.k}"], sums["num_rows"])


class Auc(Metric):
    """The probability that a positive row is given a higher probability than a negative one, ties counting half"""

    name = "auc"
    tasks = ("binary",)
    higher_is_better = True
    grouping = "scores"

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {}

    def value(self, sums: Sums) -> np.ndarray:
        return _ratio(sums["concordant"], sums["num_positive"] * sums["num_negative"])


class PrAuc(Metric):
    """Average precision: the precision at each distinct probability, weighted by the recall gained there"""

    name = "pr_auc"
    tasks = ("binary",)
    higher_is_better = True
    grouping = "scores"

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {}

    def value(self, sums: Sums) -> np.ndarray:
        return _ratio(sums["precision_sum"], sums["num_positive"])


class _Thresholded(Metric):
    """Of two classes the positive one from `threshold`; of more, the mean over the classes (macro average)."""

    tasks = ("binary", "classes")
    higher_is_better = True
    grouping = "confusion"
    threshold: float = Field(default=0.5, gt=0, lt=1)

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        if task != "binary":
            return {}
        positive = exp.EQ(this=roles("label"), expression=double(1.0))
        chosen = exp.GTE(this=roles("prediction"), expression=double(self.threshold))
        return {
            f"true_positive_{self.threshold}": _indicator(exp.And(this=positive, expression=chosen)),
            f"chosen_{self.threshold}": _indicator(chosen.copy()),
            "positive": _indicator(positive.copy()),
        }

    def _binary(self, sums: Sums) -> tuple[np.ndarray, np.ndarray] | None:
        if "positive" not in sums:
            return None
        true_positive = sums[f"true_positive_{self.threshold}"]
        precision = _ratio(true_positive, sums[f"chosen_{self.threshold}"], empty=0.0)
        return precision, _ratio(true_positive, sums["positive"], empty=0.0)


class Precision(_Thresholded):
    """True positives / predicted positives, 0 where none is predicted"""

    name = "precision"

    def value(self, sums: Sums) -> np.ndarray:
        binary = self._binary(sums)
        return binary[0] if binary else sums["macro_precision"]


class Recall(_Thresholded):
    """True positives / positives, 0 where there is none"""

    name = "recall"

    def value(self, sums: Sums) -> np.ndarray:
        binary = self._binary(sums)
        return binary[1] if binary else sums["macro_recall"]


class F1(_Thresholded):
    """The harmonic mean of precision and recall"""

    name = "f1"

    def value(self, sums: Sums) -> np.ndarray:
        binary = self._binary(sums)
        if binary is None:
            return sums["macro_f1"]
        precision, recall = binary
        return _ratio(2 * precision * recall, precision + recall, empty=0.0)


METRICS = table_of(
    MeanAbsoluteError, MeanSquaredError, RootMeanSquaredError, MeanAbsolutePercentageError, R2,
    Accuracy, Auc, PrAuc, Precision, Recall, F1, LogLoss, TopK,
)  # fmt: skip

METRIC_ALIASES = {
    "mean_absolute_error": "mae",
    "mean_squared_error": "mse",
    "root_mean_squared_error": "rmse",
    "mean_absolute_percentage_error": "mape",
    "r2_score": "r2",
    "acc": "accuracy",
    "binary_accuracy": "accuracy",
    "categorical_accuracy": "accuracy",
    "sparse_categorical_accuracy": "accuracy",
    "roc_auc": "auc",
    "average_precision": "pr_auc",
    "f1_score": "f1",
    "binary_crossentropy": "log_loss",
    "categorical_crossentropy": "log_loss",
    "sparse_categorical_crossentropy": "log_loss",
    "top_k_categorical_accuracy": "top_k",
    "sparse_top_k_categorical_accuracy": "top_k",
}


def metric_label(metric: Metric) -> str:
    """The name in tables: with its parameters where they are not the defaults (`top_k(k=3)`)."""
    parameters = ", ".join(f"{key}={value}" for key, value in metric.parameters().items())
    return f"{metric.name}({parameters})" if parameters else metric.name


def _predicted(roles: Roles, task: str, threshold: float) -> exp.Expr:
    if task == "classes":
        return roles("predicted_class")
    return _indicator(exp.GTE(this=roles("prediction"), expression=double(threshold)))


def _indicator(condition: exp.Expr) -> exp.Expr:
    return exp.Case().when(condition, double(1.0)).else_(double(0.0))


def _ratio(numerator: np.ndarray, denominator: np.ndarray, empty: float = np.nan) -> np.ndarray:
    denominator = np.asarray(denominator, dtype=np.float64)
    safe = np.where(denominator == 0, 1.0, denominator)
    return np.where(denominator == 0, empty, np.asarray(numerator, dtype=np.float64) / safe)
