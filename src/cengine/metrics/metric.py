"""What a metric is: sums over rows that any engine can form, and a value and an interval from them.

A metric is told by three parts: `rows` sums expressions over the rows of a slice, `scores` reads rows grouped by
predicted probability (AUC), `confusion` reads rows grouped by true and predicted class. `value` turns the sums,
arrays with one entry a slice, into the metric; NaN where it is not defined for a slice.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from sqlglot import exp

from cengine.expressions.build import double
from cengine.metrics.intervals import Interval
from cengine.words import Word

Sums = dict[str, np.ndarray]
# From a role ("label", "prediction", ...) to its column in the table of predictions.
Roles = Callable[[str], exp.Expr]


class Metric(Word):
    """A number that tells how good predictions are."""

    tasks: ClassVar[tuple[str, ...]]
    higher_is_better: ClassVar[bool] = False
    has_best_end: ClassVar[bool] = True
    """Whether more of it is always better, or less: not of a share that should be what was asked for."""
    of_series: ClassVar[bool] = False
    """Whether it divides by what is known of a series: without `timeseries:` there is none."""
    beside_yardsticks: ClassVar[bool] = True
    """Whether simpler models have it too, in the same sense."""
    unit: ClassVar[str] = ""
    grouping: ClassVar[str] = "rows"
    # What it may be at all; intervals end there.
    limits: ClassVar[tuple[float, float]] = (0.0, math.inf)

    @abstractmethod
    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        """Expressions over one row, by name; what is to be summed in each slice beside `num_rows`."""

    @abstractmethod
    def value(self, sums: Sums) -> np.ndarray:
        """The metric of each slice, float64."""

    @abstractmethod
    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        """What `interval` wants summed beside `sums`."""

    @abstractmethod
    def interval(self, sums: Sums) -> Interval:
        """The 95 % interval of each slice's metric, float64; NaN where it cannot be told. It may reach beyond `limits`."""

    def possible_interval(self, sums: Sums) -> Interval:
        """The part of the interval within `limits`. It holds the true value as often: that is never beyond them."""
        low, high = self.interval(sums)
        return np.clip(low, *self.limits), np.clip(high, *self.limits)


def indicator(condition: exp.Expr) -> exp.Expr:
    """1 where the condition holds, else 0."""
    return exp.Case().when(condition, double(1.0)).else_(double(0.0))


def ratio(numerator: np.ndarray, denominator: np.ndarray, empty: float = np.nan) -> np.ndarray:
    """numerator / denominator, `empty` where the denominator is 0."""
    denominator = np.asarray(denominator, dtype=np.float64)
    safe = np.where(denominator == 0, 1.0, denominator)
    return np.where(denominator == 0, empty, np.asarray(numerator, dtype=np.float64) / safe)
