"""`resampling:` and `label_tuning:`, words of time series: read and checked now, at work once time series are.

A table of single rows is not resampled, so nothing here changes a result.
"""

from __future__ import annotations

from typing import Literal

from cengine.words import Word, table_of


class Threshold(Word):
    """`set_value` where the value compares with `threshold` as `cond` says, `c_value` elsewhere."""

    name = "threshold"
    c_value: float = 0
    cond: Literal["greater", "less", "equal", "greater_equal", "less_equal"] = "greater"
    set_value: float = 1
    threshold: float = 0


class Mean(Word):
    """The mean of the period."""

    name = "mean"


class Median(Word):
    """The median of the period."""

    name = "median"


class Mode(Word):
    """The most frequent value of the period."""

    name = "mode"


class Min(Word):
    """The least value of the period."""

    name = "min"


class Max(Word):
    """The greatest value of the period."""

    name = "max"


class NoTuning(Word):
    """The label as it is."""

    name = "no_tuning"


RESAMPLINGS = table_of(Threshold, Mean, Median, Mode, Min, Max)
LABEL_TUNINGS = table_of(NoTuning)
