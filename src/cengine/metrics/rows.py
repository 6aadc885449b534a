"""Metrics of reconstructed rows: what a mean row loses, and how well scores tell the rows that are known to be odd."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sqlglot import exp

from cengine.expressions.build import double
from cengine.metrics.intervals import Interval, mean_interval, share_interval
from cengine.metrics.metric import Metric, Roles, Sums, indicator, ratio
from cengine.tasks import Reconstruction


class _MeanOfRows(Metric):
    """The mean of a column of the table of predictions."""

    tasks = (Reconstruction.name,)
    role: ClassVar[str]

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {self.name: roles(self.role)}

    def value(self, sums: Sums) -> np.ndarray:
        return ratio(sums[self.name], sums["num_rows"])

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        term = exp.Paren(this=roles(self.role))
        return {f"{self.name}_squares": term * term.copy()}

    def interval(self, sums: Sums) -> Interval:
        return mean_interval(self.value(sums), sums[f"{self.name}_squares"], sums["num_rows"])


class SquaredError(_MeanOfRows):
    """The mean squared error of the columns, of codes that of their shares, each divided by its constant's; 1 has learnt nothing"""

    name = "squared_error"
    role = "score_squared"


class Score(_MeanOfRows):
    """The mean score: squared errors of numbers and log losses of codes, each divided by its constant's; 1 has learnt nothing"""

    name = "score"
    role = "prediction"
    beside_yardsticks = False


class AboveThreshold(Metric):
    """The share of rows whose score is above the threshold"""

    name = "above_threshold"
    tasks = (Reconstruction.name,)
    has_best_end = False
    beside_yardsticks = False
    limits = (0.0, 1.0)

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {"above": roles("score_above")}

    def value(self, sums: Sums) -> np.ndarray:
        return ratio(sums["above"], sums["num_rows"])

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {}

    def interval(self, sums: Sums) -> Interval:
        return share_interval(sums["above"], sums["num_rows"])


class PrecisionAbove(Metric):
    """The share of rows above the threshold that are known to be odd, 0 where none is above it"""

    name = "precision_above"
    tasks = (Reconstruction.name,)
    higher_is_better = True
    limits = (0.0, 1.0)

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        odd = exp.EQ(this=roles("label"), expression=double(1.0))
        above = exp.EQ(this=roles("score_above"), expression=double(1.0))
        return {"odd_above": indicator(exp.And(this=odd, expression=above)), "above": roles("score_above")}

    def value(self, sums: Sums) -> np.ndarray:
        return ratio(sums["odd_above"], sums["above"], empty=0.0)

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {}

    def interval(self, sums: Sums) -> Interval:
        return share_interval(sums["odd_above"], sums["above"])
