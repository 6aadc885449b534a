"""Metrics of forecasts: errors beside the size of the labels, or beside what a naive forecast of the same series errs by."""

from __future__ import annotations

import numpy as np
from sqlglot import exp

from cengine.expressions.build import double
from cengine.metrics.intervals import Interval, mean_interval, quotient_interval, weighted_mean_interval
from cengine.metrics.metric import Metric, Roles, Sums, ratio
from cengine.metrics.quantiles import QuantileLoss
from cengine.metrics.regression import MeanAbsoluteError, error_of
from cengine.tasks import Quantiles, Regression

_NUMBERS = (Regression.name, Quantiles.name)


def _size(role: exp.Expr) -> exp.Expr:
    return exp.Abs(this=role)


class SymmetricPercentageError(Metric):
    """200 * mean |y - p| / (|y| + |p|), where 0 / 0 is 0: from 0 to 200"""

    name = "smape"
    tasks = _NUMBERS
    unit = "%"
    limits = (0.0, 200.0)

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        both = exp.Paren(this=_size(roles("label")) + _size(roles("prediction")))
        share = exp.Abs(this=error_of(roles)) / exp.Nullif(this=both.copy(), expression=double(0.0))
        nothing = exp.EQ(this=both, expression=double(0.0))
        return {"symmetric_error": exp.Case().when(nothing, double(0.0)).else_(share)}

    def value(self, sums: Sums) -> np.ndarray:
        return 200 * ratio(sums["symmetric_error"], sums["num_rows"])

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        share = exp.Paren(this=self.sums(roles, task)["symmetric_error"])
        return {"symmetric_error_squared": share * share.copy()}

    def interval(self, sums: Sums) -> Interval:
        low, high = mean_interval(self.value(sums) / 200, sums["symmetric_error_squared"], sums["num_rows"])
        return 200 * low, 200 * high


class WeightedPercentageError(Metric):
    """sum |y - p| / sum |y|"""

    name = "wape"
    tasks = _NUMBERS

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {**MeanAbsoluteError().sums(roles, task), "label_size": _size(roles("label"))}

    def value(self, sums: Sums) -> np.ndarray:
        return ratio(sums["absolute_error"], sums["label_size"])

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {
            **MeanAbsoluteError().spread(roles, task),
            "error_by_size": exp.Abs(this=error_of(roles)) * _size(roles("label")),
            "label_squared": roles("label") * roles("label"),
        }

    def interval(self, sums: Sums) -> Interval:
        squares = (sums["squared_error"], sums["error_by_size"], sums["label_squared"])
        return quotient_interval(self.value(sums), sums["label_size"], *squares, sums["num_rows"])


class WeightedQuantileLoss(Metric):
    """2 * sum of the pinball loss / sum |y|, on average over the quantiles; of the median alone it is `wape`"""

    name = "wql"
    tasks = (Quantiles.name,)

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {**QuantileLoss().sums(roles, task), "label_size": _size(roles("label"))}

    def value(self, sums: Sums) -> np.ndarray:
        return 2 * ratio(sums["pinball"], sums["label_size"])

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        loss = exp.Paren(this=QuantileLoss().sums(roles, task)["pinball"])
        return {
            **QuantileLoss().spread(roles, task),
            "pinball_by_size": loss * _size(roles("label")),
            "label_squared": roles("label") * roles("label"),
        }

    def interval(self, sums: Sums) -> Interval:
        squares = (sums["pinball_squared"], sums["pinball_by_size"], sums["label_squared"])
        low, high = quotient_interval(self.value(sums) / 2, sums["label_size"], *squares, sums["num_rows"])
        return 2 * low, 2 * high


class _Scaled(Metric):
    """Errors divided by what repeating the season before errs by in train, of each series its own.

    The roles `scale` and `squared_scale` are that mean absolute and mean squared error of the row's series, null where it is 0 or
    not known: then the row is left out. `series_share` is what a row counts, so that all series count alike.
    """

    tasks = _NUMBERS
    of_series = True

    def _counts(self, roles: Roles, scale: str) -> exp.Expr:
        unknown = exp.Is(this=roles(scale), expression=exp.null())
        return exp.Case().when(unknown, double(0.0)).else_(roles("series_share"))


class MeanAbsoluteScaledError(_Scaled):
    """The mean over the series of mae / the mae of repeating the season before in train; series constant there are left out

    Below 1 it is better than that. In a slice a series counts by how many of its rows are in it.
    """

    name = "mase"

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        scaled = exp.Abs(this=error_of(roles)) / roles("scale")
        return {"scaled_error": roles("series_share") * scaled, "scaled_counts": self._counts(roles, "scale")}

    def value(self, sums: Sums) -> np.ndarray:
        return ratio(sums["scaled_error"], sums["scaled_counts"])

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        counts, scaled = self._counts(roles, "scale"), exp.Paren(this=error_of(roles) / roles("scale"))
        return {
            "scaled_error_squared": roles("series_share") * scaled * scaled.copy(),
            "scaled_counts_squared": counts * roles("series_share"),
        }

    def interval(self, sums: Sums) -> Interval:
        counts = (sums["scaled_counts"], sums["scaled_counts_squared"])
        return weighted_mean_interval(self.value(sums), sums["scaled_error_squared"], *counts)


class RootMeanSquaredScaledError(_Scaled):
    """The root of the mean over the series of mse / the mse of repeating the season before in train

    Series constant in train are left out. Below 1 it is better than that.
    """

    name = "rmsse"

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        scaled = error_of(roles) * error_of(roles) / roles("squared_scale")
        return {
            "scaled_square": roles("series_share") * scaled,
            "scaled_square_counts": self._counts(roles, "squared_scale"),
        }

    def value(self, sums: Sums) -> np.ndarray:
        root: np.ndarray = np.sqrt(ratio(sums["scaled_square"], sums["scaled_square_counts"]))
        return root

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        counts = self._counts(roles, "squared_scale")
        scaled = exp.Paren(this=error_of(roles) * error_of(roles) / roles("squared_scale"))
        return {
            "scaled_square_squared": roles("series_share") * scaled * scaled.copy(),
            "scaled_square_counts_squared": counts * roles("series_share"),
        }

    def interval(self, sums: Sums) -> Interval:
        counts = (sums["scaled_square_counts"], sums["scaled_square_counts_squared"])
        low, high = weighted_mean_interval(self.value(sums) ** 2, sums["scaled_square_squared"], *counts)
        return np.sqrt(np.maximum(low, 0)), np.sqrt(high)
