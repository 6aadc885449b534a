"""The default network of forecasts: a linear map of a series' own past, and a small network beside it. Importing this module imports Keras.

The linear map is NLinear (Zeng and others 2023, "Are Transformers effective for time series forecasting?"): what is mapped is the past
less its last value, which is added again; DLinear, of the same paper, maps the moving average over a season and the rest of the past
by matrices of their own. Their weights begin as 0, which repeats the last value.

The small network beside it sees what a linear map cannot: points to come as far as they are known, what tells series apart, and the
last values of other features. It reads the past, and adds to the forecast, in units of how much the past goes up and down, so that a
series that has shrunk is not given the swings of its better days. What it adds begins as 0 too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cengine.networks.encoders import Columns, Layer, keras
from cengine.networks.keras_setup import KerasTensor
from cengine.tensors import FLOAT, INT64, Tensor

UNITS = 32
# The least variance of a past, in the label's standardized unit: what is constant is no reason to divide by 0.
LEAST_VARIANCE = 1e-4
# Adam moves every weight alike, so that a map of more points moves farther: what enters it is made so much smaller above this length.
STEADY_LENGTH = 64
# What the small network adds is made so much smaller, and so it is learnt after the linear map: an early checkpoint hardly has it.
PATIENCE = 0.1


@dataclass(frozen=True)
class Forecast:
    """What is forecast from what: of `length` points that enter the `horizon` points after them, `units` numbers for each.

    `own` is the place of the label's own past among the features of a point. Where that feature is standardized in another way than
    the label, the label is `own_scale` times the feature and `own_offset`. `season` is how many points a season has, None where there
    is none. `residual` asks for the small network beside the linear map, `decomposed` for a map that knows the season (DLinear).
    """

    length: int
    horizon: int
    own: int
    season: int | None = None
    units: int = 1
    own_scale: float = 1.0
    own_offset: float = 0.0
    residual: bool = True
    decomposed: bool = False

    @property
    def tail(self) -> int:
        """How many of the last points the small network sees: a season, or as many as are predicted."""
        return min(self.length, self.season or self.horizon)


def forecast(
    past: KerasTensor, asked: Forecast, ahead: KerasTensor | None = None, static: KerasTensor | None = None
) -> KerasTensor:
    """Points that enter (b, length, F) -> what is predicted, (b, horizon, units), as the label is standardized.

    `ahead` (b, horizon, A) are the points to come as far as they are known, `static` (b, S) is what tells series apart; the small
    network alone reads them.
    """
    layers = keras.layers
    own = OwnPast(asked.own, asked.own_scale, asked.own_offset)(past)
    last = Tail(1)(own)
    changes = layers.Subtract()([own, last])
    found = layers.Add()([_mapped(changes, asked), layers.Reshape((1, 1))(last)])
    if not asked.residual:
        return found
    return layers.Add()([found, _residual(past, own, changes, asked, ahead, static)])


def _mapped(changes: KerasTensor, asked: Forecast) -> KerasTensor:
    """The linear map, (b, length) -> (b, horizon, units)."""
    layers, width = keras.layers, asked.horizon * asked.units
    if asked.length > STEADY_LENGTH:
        changes = layers.Rescaling(STEADY_LENGTH / asked.length)(changes)
    if asked.decomposed and asked.season and 1 < asked.season < asked.length:
        trend = MovingAverage(asked.season)(changes)
        of_trend = layers.Dense(width, kernel_initializer="zeros")(trend)
        rest = layers.Subtract()([changes, trend])
        of_rest = layers.Dense(width, kernel_initializer="zeros", use_bias=False)(rest)
        mapped = layers.Add()([of_trend, of_rest])
    else:
        mapped = layers.Dense(width, kernel_initializer="zeros")(changes)
    return layers.Reshape((asked.horizon, asked.units))(mapped)


def _residual(
    past: KerasTensor,
    own: KerasTensor,
    changes: KerasTensor,
    asked: Forecast,
    ahead: KerasTensor | None,
    static: KerasTensor | None,
) -> KerasTensor:
    """What the small network adds, (b, horizon, units): the same weights at each step, of which only what is known ahead differs, and
    a vector for each.
    """
    layers = keras.layers
    context = [layers.Multiply()([Tail(asked.tail)(changes), WindowScale(inverse=True)(own)])]
    others = [place for place in range(past.shape[2]) if place != asked.own]
    if others:
        context.append(Columns(others)(layers.Flatten()(Tail(1)(past))))
    if static is not None:
        context.append(static)
    together = context[0] if len(context) == 1 else layers.Concatenate()(context)
    hidden = StepVectors(asked.horizon)(layers.Reshape((1, UNITS))(layers.Dense(UNITS)(together)))
    if ahead is not None:
        hidden = layers.Add()([hidden, layers.Dense(UNITS, use_bias=False)(ahead)])
    added = layers.Dense(asked.units, kernel_initializer="zeros")(layers.Activation("relu")(hidden))
    scale = layers.Rescaling(PATIENCE)(layers.Reshape((1, 1))(WindowScale()(own)))
    return layers.Multiply()([added, scale])


@keras.saving.register_keras_serializable(package="cengine")
class OwnPast(Layer):
    """A series' own past in the label's scale, (b, L, F) -> (b, L)."""

    def __init__(self, place: int, scale: float = 1.0, offset: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.place, self.scale, self.offset = int(place), float(scale), float(offset)

    def call(self, inputs: KerasTensor) -> KerasTensor:
        return inputs[:, :, self.place] * self.scale + self.offset

    def predicting(self, x: Tensor) -> Tensor:
        own = x.graph.add("Gather", x, x.graph.constant(self.place, INT64), axis=2)
        return own * self.scale + self.offset

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape[:2]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "place": self.place, "scale": self.scale, "offset": self.offset}


@keras.saving.register_keras_serializable(package="cengine")
class Tail(Layer):
    """The last points, (b, L, ...) -> (b, num_points, ...)."""

    def __init__(self, num_points: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_points = int(num_points)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.length = int(input_shape[1] or 0)
        self.built = True

    def call(self, inputs: KerasTensor) -> KerasTensor:
        return inputs[:, -self.num_points :]

    def predicting(self, x: Tensor) -> Tensor:
        places = np.arange(self.length - self.num_points, self.length)
        return x.graph.add("Gather", x, x.graph.constant(places, INT64), axis=1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.num_points, *input_shape[2:])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_points": self.num_points}


@keras.saving.register_keras_serializable(package="cengine")
class WindowScale(Layer):
    """How much a past goes up and down, its standard deviation, or 1 / that: (b, L) -> (b, 1)."""

    def __init__(self, inverse: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inverse = bool(inverse)

    def call(self, inputs: KerasTensor) -> KerasTensor:
        distance = inputs - keras.ops.mean(inputs, axis=1, keepdims=True)
        scale = keras.ops.sqrt(keras.ops.mean(distance * distance, axis=1, keepdims=True) + LEAST_VARIANCE)
        return 1.0 / scale if self.inverse else scale

    def predicting(self, x: Tensor) -> Tensor:
        distance = x - _mean(x)
        scale = (_mean(distance * distance) + LEAST_VARIANCE).apply("Sqrt")
        return scale.apply("Reciprocal") if self.inverse else scale

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "inverse": self.inverse}


@keras.saving.register_keras_serializable(package="cengine")
class StepVectors(Layer):
    """A learnt vector for each step ahead, added: (b, 1, u) -> (b, horizon, u)."""

    def __init__(self, horizon: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.horizon = int(horizon)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        start = keras.initializers.RandomNormal(stddev=0.1)
        self.vectors = self.add_weight(shape=(self.horizon, input_shape[-1]), name="vectors", initializer=start)
        self.built = True

    def call(self, inputs: KerasTensor) -> KerasTensor:
        return inputs + self.vectors

    def predicting(self, x: Tensor) -> Tensor:
        return x + x.graph.constant(np.asarray(self.vectors), FLOAT)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.horizon, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "horizon": self.horizon}


@keras.saving.register_keras_serializable(package="cengine")
class MovingAverage(Layer):
    """The mean over a season around each point, (b, L) -> (b, L): beyond the ends the first and the last value go on.

    An even season has half a point more at both ends, so that each of its phases weighs the same.
    """

    def __init__(self, season: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.season = int(season)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.matrix = averaging(int(input_shape[1] or 0), self.season)
        self.built = True

    def call(self, inputs: KerasTensor) -> KerasTensor:
        return keras.ops.matmul(inputs, self.matrix)

    def predicting(self, x: Tensor) -> Tensor:
        return x.graph.add("MatMul", x, x.graph.constant(self.matrix, FLOAT))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "season": self.season}


def averaging(length: int, season: int) -> np.ndarray:
    """The matrix (length, length) float32 that gives the moving average of a past by which it is multiplied."""
    taps = np.ones(season) if season % 2 else np.concatenate([[0.5], np.ones(season - 1), [0.5]])
    reach = len(taps) // 2
    matrix = np.zeros((length, length))
    for place in range(length):
        read = np.clip(np.arange(place - reach, place + reach + 1), 0, length - 1)
        np.add.at(matrix[:, place], read, taps / season)
    return matrix.astype(np.float32)


def _mean(x: Tensor) -> Tensor:
    return x.graph.add("ReduceMean", x, x.graph.constant([1], INT64), keepdims=1)
