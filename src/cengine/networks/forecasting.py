"""The default networks of forecasts: a linear map of a series' own past, and a small network beside it. Importing this module imports Keras.

The linear ones are NLinear and DLinear (Zeng and others 2023, "Are Transformers effective for time series forecasting?"): what is mapped
is the past less its last value, which is added again. DLinear maps the moving average over a season and the rest of the past by
matrices of their own. Their weights begin as 0, which repeats the last value.

The small network beside them sees what the linear map cannot: the points to come as far as they are known, what tells series
apart, and the last values of the other features. Its output begins as 0 too, so that it only ever adds to what is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cengine.networks.encoders import Layer, keras
from cengine.networks.keras_setup import KerasTensor

UNITS = 32


@dataclass(frozen=True)
class Forecast:
    """What is forecast from what: `length` points that enter, `horizon` that are predicted, `units` numbers for each of them.

    `own` is the place of the label's own past among the features of a point. What the label is standardized by may differ from
    what that feature is: the label is `own_scale` times the feature and `own_offset`. `season` is how many points a season has,
    None where there is none, or one as long as what enters.
    """

    length: int
    horizon: int
    own: int
    season: int | None = None
    units: int = 1
    own_scale: float = 1.0
    own_offset: float = 0.0

    @property
    def decomposes(self) -> bool:
        """Whether there is a season to average over."""
        return self.season is not None and 1 < self.season < self.length


@keras.saving.register_keras_serializable(package="cengine")
class MovingAverage(Layer):
    """The mean over a season around each point, (b, L) -> (b, L): beyond the ends the first and the last value go on.

    An even season has half a point more at both ends, so that each phase of it weighs the same.
    """

    def __init__(self, season: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.season = int(season)

    def call(self, inputs: KerasTensor) -> KerasTensor:
        return keras.ops.matmul(inputs, averaging(inputs.shape[1], self.season))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "season": self.season}


@keras.saving.register_keras_serializable(package="cengine")
class OwnPast(Layer):
    """A series' own past in the label's scale, (b, L, F) -> (b, L)."""

    def __init__(self, place: int, scale: float = 1.0, offset: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.place, self.scale, self.offset = int(place), float(scale), float(offset)

    def call(self, inputs: KerasTensor) -> KerasTensor:
        return inputs[:, :, self.place] * self.scale + self.offset

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape[:2]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "place": self.place, "scale": self.scale, "offset": self.offset}


@keras.saving.register_keras_serializable(package="cengine")
class LastPoint(Layer):
    """The last point, (b, L, ...) -> (b, 1, ...)."""

    def call(self, inputs: KerasTensor) -> KerasTensor:
        return inputs[:, -1:]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], 1, *input_shape[2:])


def averaging(length: int, season: int) -> np.ndarray:
    """The matrix (length, length) float32 by which a row of a past is multiplied for its moving average."""
    taps = np.ones(season) if season % 2 else np.concatenate([[0.5], np.ones(season - 1), [0.5]])
    reach = len(taps) // 2
    matrix = np.zeros((length, length))
    for place in range(length):
        read = np.clip(np.arange(place - reach, place + reach + 1), 0, length - 1)
        np.add.at(matrix[:, place], read, taps / season)
    return matrix.astype(np.float32)


def linear_forecast(past: KerasTensor, asked: Forecast) -> KerasTensor:
    """The linear net: the points that enter (b, L, F) -> (b, horizon, units)."""
    layers = keras.layers
    own = OwnPast(asked.own, asked.own_scale, asked.own_offset, name="own_past")(past)
    last = LastPoint(name="last_value")(own)
    changes = layers.Subtract(name="changes")([own, last])
    width = asked.horizon * asked.units
    if asked.decomposes:
        assert asked.season is not None
        trend = MovingAverage(asked.season, name="trend")(changes)
        rest = layers.Subtract(name="rest")([changes, trend])
        of_trend = layers.Dense(width, kernel_initializer="zeros", name="of_trend")(trend)
        of_rest = layers.Dense(width, kernel_initializer="zeros", use_bias=False, name="of_rest")(rest)
        mapped = layers.Add(name="of_past")([of_trend, of_rest])
    else:
        mapped = layers.Dense(width, kernel_initializer="zeros", name="of_past")(changes)
    by_point = layers.Reshape((asked.horizon, asked.units))(mapped)
    return layers.Add(name="linear")([by_point, layers.Reshape((1, 1))(last)])


def residual_forecast(
    past: KerasTensor, asked: Forecast, ahead: KerasTensor | None = None, static: KerasTensor | None = None
) -> KerasTensor:
    """What the small network adds, (b, horizon, units): `ahead` (b, horizon, A) are points to come as far as they are known, `static`
    (b, S) is what tells series apart.
    """
    layers = keras.layers
    own = OwnPast(asked.own, asked.own_scale, asked.own_offset)(past)
    tail = min(asked.length, asked.season or asked.horizon)
    changes = layers.Subtract()([own, LastPoint()(own)])
    seen = [layers.Cropping1D((asked.length - tail, 0))(layers.Reshape((asked.length, 1))(changes))]
    context = [layers.Flatten()(seen[0]), layers.Flatten()(LastPoint()(past))]
    if static is not None:
        context.append(static)
    together = layers.Concatenate(name="context")(context)
    of_context = layers.Dense(UNITS * 1, name="of_context")(together)
    per_step = layers.Reshape((1, UNITS))(of_context)
    if ahead is not None:
        per_step = layers.Add()([per_step, layers.Dense(UNITS, use_bias=False, name="of_ahead")(ahead)])
    hidden = layers.Activation("relu")(per_step)
    added = layers.Dense(asked.units, kernel_initializer="zeros", name="residual")(hidden)
    return added
