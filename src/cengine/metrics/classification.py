"""Metrics of classes: accuracy, the areas under curves, precision and recall, log loss."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from sqlglot import exp

from cengine.expressions.build import double
from cengine.metrics.intervals import (
    Interval,
    auc_variance,
    logit_interval,
    mean_interval,
    normal_interval,
    share_interval,
)
from cengine.metrics.metric import Metric, Roles, Sums, indicator, ratio
from cengine.tasks import SMALLEST_PROBABILITY, Binary, Classes, Reconstruction, task_named


class Accuracy(Metric):
    """The share of rows whose class is predicted; of two classes the positive one from a probability of 0.5"""

    name = "accuracy"
    tasks = (Binary.name, Classes.name)
    higher_is_better = True
    limits = (0.0, 1.0)

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {"correct": indicator(exp.EQ(this=roles("label"), expression=_predicted(roles, task, 0.5)))}

    def value(self, sums: Sums) -> np.ndarray:
        return ratio(sums["correct"], sums["num_rows"])

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {}

    def interval(self, sums: Sums) -> Interval:
        return share_interval(sums["correct"], sums["num_rows"])


class LogLoss(Metric):
    """- mean log(probability given to the true class), in nats"""

    name = "log_loss"
    tasks = (Binary.name, Classes.name)
    unit = "nats"

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        if task == Binary.name:
            positive = exp.EQ(this=roles("label"), expression=double(1.0))
            probability: exp.Expr = (
                exp.Case().when(positive, roles("prediction")).else_(double(1.0) - roles("prediction"))
            )
        else:
            probability = roles("label_probability")
        bounded = exp.Greatest(
            this=exp.Paren(this=probability), expressions=[double(SMALLEST_PROBABILITY)], ignore_nulls=True
        )
        return {"surprise": exp.Neg(this=exp.Ln(this=bounded))}

    def value(self, sums: Sums) -> np.ndarray:
        return ratio(sums["surprise"], sums["num_rows"])

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        surprise = exp.Paren(this=self.sums(roles, task)["surprise"])
        return {"surprise_squared": surprise * surprise.copy()}

    def interval(self, sums: Sums) -> Interval:
        return mean_interval(self.value(sums), sums["surprise_squared"], sums["num_rows"])


class TopK(Metric):
    """The share of rows whose class is among the k most probable"""

    name = "top_k"
    tasks = (Classes.name,)
    higher_is_better = True
    limits = (0.0, 1.0)
    k: int = Field(default=5, ge=1, le=2**31 - 1)

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {f"top_{self.k}": indicator(exp.LTE(this=roles("label_rank"), expression=double(self.k)))}

    def value(self, sums: Sums) -> np.ndarray:
        return ratio(sums[f"top_{self.k}"], sums["num_rows"])

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {}

    def interval(self, sums: Sums) -> Interval:
        return share_interval(sums[f"top_{self.k}"], sums["num_rows"])


class _OfScores(Metric):
    """Of two classes, from rows grouped by the probability that they are given; or of odd rows, from their scores."""

    tasks = (Binary.name, Reconstruction.name)
    higher_is_better = True
    limits = (0.0, 1.0)
    grouping = "scores"

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {}

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {}


class Auc(_OfScores):
    """The probability that a positive row is given a higher probability than a negative one, ties counting half"""

    name = "auc"

    def value(self, sums: Sums) -> np.ndarray:
        return ratio(sums["concordant"], sums["num_positive"] * sums["num_negative"])

    def interval(self, sums: Sums) -> Interval:
        auc = self.value(sums)
        low, high = normal_interval(auc, auc_variance(auc, sums), 0.0, 1.0)
        # Of classes that do not overlap at all DeLong's variance is 0. The rarer one's rows are then so many trials of a share.
        apart = (auc == 0) | (auc == 1)
        rarer = np.where(apart, np.minimum(sums["num_positive"], sums["num_negative"]), 0.0)
        low_apart, high_apart = share_interval(np.where(apart, auc, 0.0) * rarer, rarer)
        return np.where(apart, low_apart, low), np.where(apart, high_apart, high)


class PrAuc(_OfScores):
    """Average precision: the precision at each distinct probability, weighted by the recall gained there"""

    name = "pr_auc"

    def value(self, sums: Sums) -> np.ndarray:
        return ratio(sums["precision_sum"], sums["num_positive"])

    def interval(self, sums: Sums) -> Interval:
        return logit_interval(self.value(sums), sums["num_positive"])


class _Thresholded(Metric):
    """Of two classes the positive one from `threshold`; of more, the mean over the classes (macro average)."""

    tasks = (Binary.name, Classes.name)
    higher_is_better = True
    limits = (0.0, 1.0)
    grouping = "confusion"
    threshold: float = Field(default=0.5, gt=0, lt=1)

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        if task != Binary.name:
            return {}
        positive = exp.EQ(this=roles("label"), expression=double(1.0))
        chosen = exp.GTE(this=roles("prediction"), expression=double(self.threshold))
        return {
            f"true_positive_{self.threshold}": indicator(exp.And(this=positive, expression=chosen)),
            f"chosen_{self.threshold}": indicator(chosen.copy()),
            "positive": indicator(positive.copy()),
        }

    def _binary(self, sums: Sums) -> tuple[np.ndarray, np.ndarray] | None:
        if "positive" not in sums:
            return None
        true_positive = sums[f"true_positive_{self.threshold}"]
        precision = ratio(true_positive, sums[f"chosen_{self.threshold}"], empty=0.0)
        return precision, ratio(true_positive, sums["positive"], empty=0.0)

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {}

    def _macro_interval(self, sums: Sums) -> Interval:
        return normal_interval(sums[f"macro_{self.name}"], sums[f"macro_{self.name}_variance"], 0.0, 1.0)


class Precision(_Thresholded):
    """True positives / predicted positives, 0 where none is predicted"""

    name = "precision"

    def value(self, sums: Sums) -> np.ndarray:
        binary = self._binary(sums)
        return binary[0] if binary else sums["macro_precision"]

    def interval(self, sums: Sums) -> Interval:
        if "positive" not in sums:
            return self._macro_interval(sums)
        return share_interval(sums[f"true_positive_{self.threshold}"], sums[f"chosen_{self.threshold}"])


class Recall(_Thresholded):
    """True positives / positives, 0 where there is none"""

    name = "recall"

    def value(self, sums: Sums) -> np.ndarray:
        binary = self._binary(sums)
        return binary[1] if binary else sums["macro_recall"]

    def interval(self, sums: Sums) -> Interval:
        if "positive" not in sums:
            return self._macro_interval(sums)
        return share_interval(sums[f"true_positive_{self.threshold}"], sums["positive"])


class F1(_Thresholded):
    """The harmonic mean of precision and recall"""

    name = "f1"

    def value(self, sums: Sums) -> np.ndarray:
        binary = self._binary(sums)
        if binary is None:
            return sums["macro_f1"]
        precision, recall = binary
        return ratio(2 * precision * recall, precision + recall, empty=0.0)

    def interval(self, sums: Sums) -> Interval:
        if "positive" not in sums:
            return self._macro_interval(sums)
        # F1 = 2 J / (1 + J), J the share of true positives among the rows that are positive or chosen.
        true_positive = sums[f"true_positive_{self.threshold}"]
        low, high = share_interval(true_positive, sums["positive"] + sums[f"chosen_{self.threshold}"] - true_positive)
        return 2 * low / (1 + low), 2 * high / (1 + high)


def _predicted(roles: Roles, task: str, threshold: float) -> exp.Expr:
    if task_named(task).one_output_a_class:
        return roles("predicted_class")
    return indicator(exp.GTE(this=roles("prediction"), expression=double(threshold)))
