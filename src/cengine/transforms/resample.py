"""`resampling:` and `label_tuning:`, words of time series: read and checked now, at work once time series are.

A table of single rows is not resampled, so nothing here changes a result.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from cengine.words import Word, table_of

Scalar = bool | int | float | str


def _spelled(cond: object) -> object:
    """A condition as it is called now: earlier versions read `greater_equal`."""
    return {"greater_equal": "greater_or_equal", "less_equal": "less_or_equal"}.get(str(cond), cond)


class Threshold(Word):
    """`set_value` where more than the share `threshold` of the period's values compare with `c_value` as `cond` says, else 0 or an empty text.

    A value `includes` a text that is part of it. Missing values are not counted; a period without a value is missing.
    """

    name = "threshold"
    c_value: Scalar = 0
    cond: Annotated[
        Literal["greater", "less", "equal", "greater_or_equal", "less_or_equal", "includes"], BeforeValidator(_spelled)
    ] = "greater"
    set_value: Scalar = 1
    threshold: float = Field(default=0, ge=0, le=1)


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
