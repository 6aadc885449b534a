"""Metrics of predicted quantiles: how good they are, how often the interval between them holds the label, and how wide it is."""

from __future__ import annotations

import functools

import numpy as np
from sqlglot import exp

from cengine.expressions.build import double
from cengine.metrics.intervals import Interval, mean_interval, share_interval
from cengine.metrics.metric import Metric, Roles, Sums, indicator, ratio
from cengine.names import quantile_name
from cengine.tasks import Quantiles


def shares_of(roles: Roles) -> list[float]:
    """The quantiles that are predicted, as the role `quantiles` tells them: a tuple of numbers."""
    return [float(one.name) for one in roles("quantiles").expressions]


def _ends(roles: Roles) -> tuple[exp.Expr | None, exp.Expr]:
    """The lowest and the highest quantile; a single one is the end of an interval that has no lower end."""
    shares = shares_of(roles)
    low = roles(quantile_name(shares[0])) if len(shares) > 1 else None
    return low, roles(quantile_name(shares[-1]))


class QuantileLoss(Metric):
    """The pinball loss, mean max(q (y - p), (q - 1) (y - p)), on average over the quantiles"""

    name = "quantile_loss"
    tasks = (Quantiles.name,)
    unit = "label"

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        shares = shares_of(roles)
        losses = [_pinball(share, roles) for share in shares]
        total = exp.Paren(this=functools.reduce(lambda one, other: one + other, losses))
        return {"pinball": total / double(float(len(shares)))}

    def value(self, sums: Sums) -> np.ndarray:
        return ratio(sums["pinball"], sums["num_rows"])

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        loss = exp.Paren(this=self.sums(roles, task)["pinball"])
        return {"pinball_squared": loss * loss.copy()}

    def interval(self, sums: Sums) -> Interval:
        return mean_interval(self.value(sums), sums["pinball_squared"], sums["num_rows"])


class Coverage(Metric):
    """The share of rows whose label lies between the lowest and the highest quantile; of a single one, at or below it

    Of quantiles 0.05 and 0.95 it should be 0.9: neither less nor more of it is better.
    """

    name = "coverage"
    tasks = (Quantiles.name,)
    higher_is_better = True  # where slices are put in order: too narrow is worse than too wide
    has_best_end = False
    limits = (0.0, 1.0)

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        low, high = _ends(roles)
        within: exp.Expr = exp.LTE(this=roles("label"), expression=high)
        if low is not None:
            within = exp.And(this=exp.GTE(this=roles("label"), expression=low), expression=within)
        return {"covered": indicator(within)}

    def value(self, sums: Sums) -> np.ndarray:
        return ratio(sums["covered"], sums["num_rows"])

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        return {}

    def interval(self, sums: Sums) -> Interval:
        return share_interval(sums["covered"], sums["num_rows"])


class IntervalWidth(Metric):
    """The mean distance from the lowest to the highest quantile, in the label's unit; of a single quantile 0

    It says how much is known beside a coverage that is as it should be; by itself neither less nor more is better.
    """

    name = "interval_width"
    tasks = (Quantiles.name,)
    unit = "label"
    has_best_end = False

    def sums(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        low, high = _ends(roles)
        return {"width": double(0.0) if low is None else exp.Paren(this=high - low)}

    def value(self, sums: Sums) -> np.ndarray:
        return ratio(sums["width"], sums["num_rows"])

    def spread(self, roles: Roles, task: str) -> dict[str, exp.Expr]:
        width = self.sums(roles, task)["width"]
        return {"width_squared": width * width.copy()}

    def interval(self, sums: Sums) -> Interval:
        return mean_interval(self.value(sums), sums["width_squared"], sums["num_rows"])


def _pinball(share: float, roles: Roles) -> exp.Expr:
    error = exp.Paren(this=roles("label") - roles(quantile_name(share)))
    return exp.Greatest(
        this=double(share) * error,
        expressions=[double(share - 1.0) * error.copy()],
        ignore_nulls=True,
    )
