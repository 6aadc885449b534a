"""Transforms that give a number: z-score, quartiles, ranges, logarithm, normal scores, seconds."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import model_validator
from sqlglot import exp

from cengine.errors import PreprocessError
from cengine.expressions.build import as_double, as_number, bounded, double, step_function
from cengine.summaries import Needs, Summary
from cengine.tables import KINDS
from cengine.transforms.value import LARGEST_INPUT, NUMBERS, InvertibleTransform, Lookups, Transform, Value

NUM_QUANTILES = 129
# Where a sum of two numbers may be larger than a number can be, and how far from 0 a scaled number may be before it is one.
LARGE, FAR = 1e290, 2.0**1000
# From here on y / sqrt(1 + (y / 3)^2) is 3.
CLIPPED = 1e9


class NoTransform(InvertibleTransform):
    """The value as it is."""

    name = "no_transform"
    is_linear = True
    accepts = KINDS
    gives = None

    def needs(self) -> Needs:
        return Needs()

    def fit(self, summary: Summary, where: str) -> dict[str, Any]:
        return {}

    def apply(self, value: Value, statistics: dict[str, Any], lookups: Lookups) -> tuple[Value, ...]:
        return (value,)

    def inverse(self, array: np.ndarray, statistics: dict[str, Any]) -> np.ndarray:
        return array


class _Linear(InvertibleTransform):
    """(x - offset) / scale."""

    is_linear = True
    accepts = NUMBERS

    def apply(self, value: Value, statistics: dict[str, Any], lookups: Lookups) -> tuple[Value, ...]:
        number = as_double(as_number(value.expression, value.kind))
        result = scaled(number, statistics, any_size=value.kind == "float")
        return (Value(result, "float", part=value.part),)

    def inverse(self, array: np.ndarray, statistics: dict[str, Any]) -> np.ndarray:
        restored: np.ndarray = array * statistics["scale"] + statistics.get("rest", 0.0) + statistics["offset"]
        return restored


class ScaleToZScore(_Linear):
    """(x - mean) / deviation over the train rows; a column of one value becomes 0."""

    name = "scale_to_z_score"

    def needs(self) -> Needs:
        return Needs(moments=True)

    def fit(self, summary: Summary, where: str) -> dict[str, Any]:
        return standardizing(summary)


class Robust(Transform):
    """(x - median) / (distance of the quartiles) over the train rows, then y / sqrt(1 + (y / 3)^2): no value is beyond 3.

    Where the quartiles are equal, half the range stands for their distance (RealMLP, Holzmüller and others 2024, section 3).
    """

    name = "robust"
    accepts = ("integer", "float")

    def needs(self) -> Needs:
        return Needs(range=True, probabilities=(0.25, 0.5, 0.75))

    def fit(self, summary: Summary, where: str) -> dict[str, Any]:
        if not summary.quantiles:
            return {"offset": 0.0, "scale": 0.5}
        low, median, high = map(float, summary.quantiles)
        # Half the distance: that of two numbers may be larger than a number can be.
        half = (high / 2 - low / 2) or (float(summary.maximum) / 4 - float(summary.minimum) / 4)
        return {"offset": median, "scale": half or 0.5}

    def apply(self, value: Value, statistics: dict[str, Any], lookups: Lookups) -> tuple[Value, ...]:
        number = as_double(as_number(value.expression, value.kind))
        # Further away it is 3 to the last digit, and squares stay what a number can be.
        halves = bounded(scaled(number, statistics, any_size=value.kind == "float"), -CLIPPED, CLIPPED)
        share = exp.Paren(this=halves / double(6.0))
        length = exp.Sqrt(this=double(1.0) + exp.Paren(this=share * share.copy()))
        return (Value(exp.Paren(this=halves.copy() / exp.Paren(this=double(2.0) * length)), "float", part=value.part),)


class ScaleTo01(_Linear):
    """(x - min) / (max - min) over the train rows; unseen values may lie outside of [0, 1]."""

    name = "scale_to_0_1"

    def needs(self) -> Needs:
        return Needs(range=True)

    def fit(self, summary: Summary, where: str) -> dict[str, Any]:
        return _range_statistics(summary, 0.0, 1.0, where)


class ScaleByMinMax(_Linear):
    """The train rows' range mapped to [min, max]."""

    name = "scale_by_min_max"
    min: float = 0.0
    max: float = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> ScaleByMinMax:
        if not self.min < self.max:
            raise ValueError(f"min ({self.min}) must be less than max ({self.max})")
        if max(-self.min, self.max) > LARGEST_INPUT:
            raise ValueError(
                f"min ({self.min}) and max ({self.max}) must lie between {-LARGEST_INPUT:.4g} and {LARGEST_INPUT:.4g}"
            )
        return self

    def needs(self) -> Needs:
        return Needs(range=True)

    def fit(self, summary: Summary, where: str) -> dict[str, Any]:
        return _range_statistics(summary, self.min, self.max, where)


class Log(InvertibleTransform):
    """The natural logarithm; values below the least of the train rows count as that one."""

    name = "log"
    accepts = ("integer", "float")

    def needs(self) -> Needs:
        return Needs(range=True)

    def fit(self, summary: Summary, where: str) -> dict[str, Any]:
        if summary.minimum is None:
            return {"minimum": 1.0}
        if float(summary.minimum) <= 0:
            raise PreprocessError(
                f"{where}: the logarithm needs positive values, the least of the train rows is {summary.minimum}",
                "use quantile_normal or scale_to_z_score, or leave such rows out with `where`",
            )
        return {"minimum": float(summary.minimum)}

    def apply(self, value: Value, statistics: dict[str, Any], lookups: Lookups) -> tuple[Value, ...]:
        bounded = exp.Greatest(
            this=as_double(value.expression), expressions=[double(statistics["minimum"])], ignore_nulls=True
        )
        return (Value(exp.Ln(this=bounded), "float", part=value.part),)

    def inverse(self, array: np.ndarray, statistics: dict[str, Any]) -> np.ndarray:
        restored: np.ndarray = np.exp(array)
        return restored


class QuantileNormal(InvertibleTransform):
    """The score of a standard normal at the value's quantile among the train rows, linear between 129 quantiles.

    Quantile 0 and 1 count as 1e-7 and 1 - 1e-7, that is, scores of -5.2 and 5.2 (as scikit-learn's QuantileTransformer).
    """

    name = "quantile_normal"
    accepts = ("integer", "float")

    def needs(self) -> Needs:
        return Needs(probabilities=tuple(i / (NUM_QUANTILES - 1) for i in range(NUM_QUANTILES)))

    def fit(self, summary: Summary, where: str) -> dict[str, Any]:
        from statistics import NormalDist

        if not summary.quantiles:
            return {"values": [0.0], "scores": [0.0]}
        normal = NormalDist()
        points: dict[float, list[float]] = {}
        for probability, value in zip(self.needs().probabilities, summary.quantiles, strict=True):
            clipped = min(max(probability, 1e-7), 1 - 1e-7)
            points.setdefault(float(value), []).append(normal.inv_cdf(clipped))
        # A value that spans several quantiles takes the middle of its scores.
        return {"values": list(points), "scores": [(scores[0] + scores[-1]) / 2 for scores in points.values()]}

    def apply(self, value: Value, statistics: dict[str, Any], lookups: Lookups) -> tuple[Value, ...]:
        values, scores = statistics["values"], statistics["scores"]
        x = as_double(value.expression)
        lines: list[exp.Expr] = [double(scores[0])]
        for left in range(len(values) - 1):
            slope = _slope(values[left : left + 2], scores[left : left + 2])
            lines.append(double(scores[left]) + exp.Paren(this=x.copy() - double(values[left])) * double(slope))
        lines.append(double(scores[-1]))
        return (Value(step_function(x, [double(v) for v in values], lines), "float", part=value.part),)

    def inverse(self, array: np.ndarray, statistics: dict[str, Any]) -> np.ndarray:
        restored: np.ndarray = np.interp(array, statistics["scores"], statistics["values"])
        return restored


class EpochSeconds(Transform):
    """Seconds since 1970-01-01 00:00 UTC, z-scored over the train rows."""

    name = "epoch_seconds"
    accepts = ("timestamp",)

    def needs(self) -> Needs:
        return Needs(moments=True)

    def fit(self, summary: Summary, where: str) -> dict[str, Any]:
        return standardizing(summary)

    def apply(self, value: Value, statistics: dict[str, Any], lookups: Lookups) -> tuple[Value, ...]:
        result = scaled(epoch_seconds(value.expression), statistics)
        return (Value(result, "float", part=value.part),)


def _slope(values: list[float], scores: list[float]) -> float:
    """How steep the line is between two points, as steep as a number can say where they are closer together than that."""
    width = values[1] - values[0]
    return min((scores[1] - scores[0]) / width, sys.float_info.max) if width else 0.0


def standardizing(summary: Summary) -> dict[str, float]:
    """Statistics for `scaled` that give mean 0 and deviation 1, or 0 where there is one value."""
    scale = summary.deviation or 1.0
    # The mean of large numbers that lie close together has more digits than a number holds.
    rest = {"rest": summary.rest} if abs(summary.rest) > scale * 2**-30 else {}
    return {"offset": summary.mean or 0.0, "scale": scale, **rest}


def scaled(number: exp.Expr, statistics: Mapping[str, float], *, any_size: bool = False) -> exp.Expr:
    """(number - offset) / scale of a DOUBLE. One of `any_size` may be as large as a DOUBLE can be.

    No step of it overflows, which gives infinity on some engines and is an error on others: halves are subtracted of what
    is that large, and what would be beyond 2**1000 after the division counts as that.
    """
    offset, scale = statistics["offset"], statistics["scale"]
    if any_size and scale < 1:
        far = scale * FAR
        number = bounded(number, max(offset - far, -sys.float_info.max), min(offset + far, sys.float_info.max))
    if any_size and abs(offset) >= LARGE:
        halved = exp.Sub(
            this=exp.Paren(this=exp.Mul(this=number, expression=double(0.5))), expression=double(offset / 2)
        )
        return exp.Paren(this=exp.Div(this=exp.Paren(this=halved), expression=double(scale / 2)))
    distance = exp.Sub(this=number, expression=double(offset))
    if statistics.get("rest"):
        distance = exp.Sub(this=distance, expression=double(statistics["rest"]))
    return exp.Paren(this=exp.Div(this=exp.Paren(this=distance), expression=double(scale)))


def epoch_seconds(expression: exp.Expr) -> exp.Expr:
    """Seconds since 1970 of a timestamp, DOUBLE with a fraction."""
    micros = exp.Anonymous(this="epoch_us", expressions=[exp.cast(expression.copy(), "timestamp")])
    return exp.Paren(this=as_double(micros) / double(1e6))


def _range_statistics(summary: Summary, low: float, high: float, where: str) -> dict[str, Any]:
    if summary.minimum is None:
        return {"offset": 0.0, "scale": 1.0}
    minimum, width = float(summary.minimum), float(summary.maximum) - float(summary.minimum)
    scale = (width or 1.0) / (high - low)
    offset = minimum - low * scale
    if not (math.isfinite(scale) and math.isfinite(offset)):
        raise PreprocessError(
            f"{where}: the train rows lie between {summary.minimum} and {summary.maximum}, wider apart than a number can say",
            "leave such rows out with `where`, or use quantile_normal",
        )
    return {"offset": offset, "scale": scale}
