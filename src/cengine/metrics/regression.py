"""Metrics of numbers, in the label's unit."""

from __future__ import annotations

import functools
import math

import numpy as np
from sqlglot import exp

from cengine.expressions.build import double
from cengine.metrics.intervals import Interval, mean_interval, normal_interval, ratio_variance
from cengine.metrics.metric import Metric, Roles, Sums, ratio
from cengine.tasks import Quantiles, Regression

# Of quantiles the point prediction is measured.
_NUMBERS = (Regression.name, Quantiles.name)


def error_of(roles: Roles) -> exp.Expr:
    """y - p of a row."""
    return exp.Paren(this=roles("label") - roles("prediction"))


class MeanAbsoluteError(Metric):
    """mean |y - p|"""

    name = "mae"
    tasks = _NUMBERS
    unit = "label"

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {"absolute_error": exp.Abs(this=error_of(roles))}

    def value(self, sums: Sums) -> np.ndarray:
        return ratio(sums["absolute_error"], sums["num_rows"])

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return MeanSquaredError().sums(roles, task)

    def interval(self, sums: Sums) -> Interval:
        return mean_interval(self.value(sums), sums["squared_error"], sums["num_rows"])


class MeanSquaredError(Metric):
    """mean (y - p)^2"""

    name = "mse"
    tasks = _NUMBERS
    unit = "label squared"

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {"squared_error": error_of(roles) * error_of(roles)}

    def value(self, sums: Sums) -> np.ndarray:
        return ratio(sums["squared_error"], sums["num_rows"])

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {"fourth_error": error_of(roles) * error_of(roles) * error_of(roles) * error_of(roles)}

    def interval(self, sums: Sums) -> Interval:
        return mean_interval(self.value(sums), sums["fourth_error"], sums["num_rows"])


class RootMeanSquaredError(Metric):
    """sqrt(mse)"""

    name = "rmse"
    tasks = _NUMBERS
    unit = "label"

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return MeanSquaredError().sums(roles, task)

    def value(self, sums: Sums) -> np.ndarray:
        root: np.ndarray = np.sqrt(MeanSquaredError().value(sums))
        return root

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return MeanSquaredError().spread(roles, task)

    def interval(self, sums: Sums) -> Interval:
        low, high = MeanSquaredError().interval(sums)
        return np.sqrt(np.maximum(low, 0)), np.sqrt(high)


class MeanAbsolutePercentageError(Metric):
    """100 * mean |y - p| / |y|, over the rows whose label is not 0"""

    name = "mape"
    tasks = _NUMBERS
    unit = "%"

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        size = exp.Nullif(this=exp.Abs(this=roles("label")), expression=double(0.0))
        nonzero = exp.Case().when(exp.NEQ(this=roles("label"), expression=double(0.0)), double(1.0)).else_(double(0.0))
        return {"percentage_error": exp.Abs(this=error_of(roles)) / size, "num_nonzero": nonzero}

    def value(self, sums: Sums) -> np.ndarray:
        return 100 * ratio(sums["percentage_error"], sums["num_nonzero"])

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        share = exp.Paren(this=self.sums(roles, task)["percentage_error"])
        return {"percentage_error_squared": share * share.copy()}

    def interval(self, sums: Sums) -> Interval:
        low, high = mean_interval(self.value(sums) / 100, sums["percentage_error_squared"], sums["num_nonzero"])
        return 100 * low, 100 * high


class R2(Metric):
    """1 - sum (y - p)^2 / sum (y - mean y)^2, the mean being the slice's own"""

    name = "r2"
    tasks = _NUMBERS
    higher_is_better = True
    limits = (-math.inf, 1.0)

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        # Labels are centred on the overall mean: sums of squares of large labels would cancel.
        centred = exp.Paren(this=roles("label") - roles("center"))
        return {
            **MeanSquaredError().sums(roles, task),
            "centred": centred,
            "centred_squared": centred.copy() * centred.copy(),
        }

    def value(self, sums: Sums) -> np.ndarray:
        total = sums["centred_squared"] - ratio(sums["centred"] ** 2, sums["num_rows"])
        # Of equal labels rounding leaves a little more, or less, than nothing.
        return 1 - ratio(sums["squared_error"], np.where(total > 1e-12 * sums["centred_squared"], total, 0.0))

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        def product(d: int, e: int) -> exp.Expr:
            centred = exp.Paren(this=roles("label") - roles("center"))
            factors = [*(centred.copy() for _ in range(d)), *(error_of(roles) for _ in range(e))]
            return functools.reduce(lambda one, other: one * other, factors)

        return {
            "fourth_error": product(0, 4),
            "centred_3": product(3, 0),
            "centred_4": product(4, 0),
            "centred_error": product(1, 2),
            "centred_squared_error": product(2, 2),
        }

    def interval(self, sums: Sums) -> Interval:
        names = {"e2": "squared_error", "e4": "fourth_error", "d": "centred", "d2": "centred_squared", "d3": "centred_3",
                 "d4": "centred_4", "de2": "centred_error", "d2e2": "centred_squared_error"}  # fmt: skip
        return normal_interval(
            *ratio_variance({short: sums[name] for short, name in names.items()}, sums["num_rows"]), high=1.0
        )
