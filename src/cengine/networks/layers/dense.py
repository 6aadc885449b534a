"""Layers that work on each row, or on each step of a sequence, by itself."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from cengine.errors import ExportError
from cengine.networks.activations import ACTIVATIONS, clipped, elu, leaky, rectified
from cengine.networks.keras_setup import KerasLayer, import_keras
from cengine.networks.layers.layer import (
    Activation,
    Initializer,
    Layer,
    PlainLayer,
    Rate,
    Regularizer,
    Shape,
    arguments_of,
    sizes,
)
from cengine.tensors import BOOL, FLOAT, INT64, Tensor
from cengine.words import table_of

# By which `unit_normalization` multiplies a row at most.
_LARGEST_FACTOR = 1e12


class Dense(PlainLayer):
    """activation(x W + b). The activation of a hidden layer left out is `relu`: without one, layers in a row are one."""

    name = "dense"
    units: int = Field(ge=1, le=65_536)
    activation: Activation = "relu"
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    kernel_regularizer: Regularizer | None = None
    bias_regularizer: Regularizer | None = None
    called: Literal["code"] | None = Field(default=None, alias="name")
    unsaid: ClassVar[frozenset[str]] = frozenset({"called"})

    def parameters(self) -> dict[str, Any]:
        """Of the layer with the code also its activation, which follows from that where it is left out."""
        return super().parameters() | ({"activation": self.activation} if self.called else {})

    def build(self) -> KerasLayer:
        return import_keras().layers.Dense(
            **arguments_of(self, without=("called",)), **({"name": self.called} if self.called else {})
        )

    def shape(self, given: Shape) -> Shape:
        return (*given[:-1], self.units)

    def num_weights(self, given: Shape) -> int:
        return (sizes(given)[1] + self.use_bias) * self.units

    def products(self, given: Shape) -> int:
        length, width = sizes(given)
        return length * (width + 1) * self.units

    @staticmethod
    def predicting(layer: Any, x: Tensor) -> Tensor:
        weighted = x.graph.add("MatMul", x, _constant(x, layer.kernel))
        summed = weighted + _constant(x, layer.bias) if layer.use_bias else weighted
        return activated(layer.activation, summed)


class Dropout(PlainLayer):
    """Sets a share `rate` of the inputs to 0 while training."""

    name = "dropout"
    rate: float = Rate


class AlphaDropout(PlainLayer):
    """Dropout that keeps mean and variance, for `selu`."""

    name = "alpha_dropout"
    rate: float = Rate


class GaussianDropout(PlainLayer):
    """Multiplies by noise around 1 while training."""

    name = "gaussian_dropout"
    rate: float = Rate


class GaussianNoise(PlainLayer):
    """Adds noise around 0 while training."""

    name = "gaussian_noise"
    stddev: float = Field(ge=0)


class BatchNormalization(PlainLayer):
    """Normalizes each input over the batch."""

    name = "batch_normalization"
    momentum: float = Field(default=0.99, ge=0, lt=1)
    epsilon: float = Field(default=0.001, gt=0)
    center: bool = True
    scale: bool = True

    def num_weights(self, given: Shape) -> int:
        return (2 + self.center + self.scale) * sizes(given)[1]

    @staticmethod
    def predicting(layer: Any, x: Tensor) -> Tensor:
        factor = np.float32(1) / np.sqrt(np.asarray(layer.moving_variance) + np.float32(layer.epsilon))
        factor = factor * np.asarray(layer.gamma) if layer.scale else factor
        shift = -np.asarray(layer.moving_mean) * factor
        return x * _constant(x, factor) + _constant(x, shift + np.asarray(layer.beta) if layer.center else shift)


class LayerNormalization(PlainLayer):
    """Normalizes each row over its inputs."""

    name = "layer_normalization"
    epsilon: float = Field(default=0.001, gt=0)
    center: bool = True
    scale: bool = True

    def num_weights(self, given: Shape) -> int:
        return (self.center + self.scale) * sizes(given)[1]

    @staticmethod
    def predicting(layer: Any, x: Tensor) -> Tensor:
        mean = _over_row("ReduceMean", x)
        distance = x - mean
        factor = (_over_row("ReduceMean", distance * distance) + float(layer.epsilon)).apply("Sqrt").apply("Reciprocal")
        factor = factor * _constant(x, layer.gamma) if layer.scale else factor
        shift = -mean * factor
        return x * factor + (shift + _constant(x, layer.beta) if layer.center else shift)


class RMSNormalization(PlainLayer):
    """Divides each row by its root mean square."""

    name = "rms_normalization"
    takes_mask = False
    epsilon: float = Field(default=1e-6, gt=0)

    def num_weights(self, given: Shape) -> int:
        return sizes(given)[1]

    @staticmethod
    def predicting(layer: Any, x: Tensor) -> Tensor:
        square = _over_row("ReduceMean", x * x) + float(layer.epsilon)
        return x * square.apply("Sqrt").apply("Reciprocal") * _constant(x, layer.scale)


class UnitNormalization(PlainLayer):
    """Divides each row by its length."""

    name = "unit_normalization"

    @staticmethod
    def predicting(layer: Any, x: Tensor) -> Tensor:
        factor = _over_row("ReduceSum", x * x).apply("Sqrt").apply("Reciprocal")
        return x * factor.apply("Min", _LARGEST_FACTOR)


class ActivationLayer(Layer):
    """An activation on its own."""

    name = "activation"
    activation: Activation

    def build(self) -> KerasLayer:
        return import_keras().layers.Activation(self.activation)

    @classmethod
    def keras_name(cls) -> str:
        return "Activation"

    @staticmethod
    def predicting(layer: Any, x: Tensor) -> Tensor:
        return activated(layer.activation, x)


class ReLU(PlainLayer):
    """max(x, 0), with Keras' options."""

    name = "relu"
    max_value: float | None = Field(default=None, ge=0)
    negative_slope: float = Field(default=0.0, ge=0)
    threshold: float = Field(default=0.0, ge=0)

    @staticmethod
    def predicting(layer: Any, x: Tensor) -> Tensor:
        slope, threshold, highest = float(layer.negative_slope), float(layer.threshold), layer.max_value
        over = x.apply("Greater", threshold, dtype=BOOL)
        kept = x.graph.where(over, x, x.graph.constant(0.0, x.dtype)) if threshold else rectified(x)
        kept = kept if highest is None else clipped(kept, 0.0, float(highest))
        return kept - rectified(-x + threshold) * slope if slope else kept


class LeakyReLU(PlainLayer):
    """x where positive, negative_slope * x elsewhere."""

    name = "leaky_relu"
    negative_slope: float = Field(default=0.3, ge=0)

    @staticmethod
    def predicting(layer: Any, x: Tensor) -> Tensor:
        return leaky(x, float(layer.negative_slope))


class PReLU(PlainLayer):
    """Leaky ReLU with a learnt slope for each input."""

    name = "prelu"

    def num_weights(self, given: Shape) -> int:
        return math.prod(sizes(given))

    @staticmethod
    def predicting(layer: Any, x: Tensor) -> Tensor:
        return rectified(x) - rectified(-x) * _constant(x, layer.alpha)


class ELU(PlainLayer):
    """x where positive, alpha * (exp(x) - 1) elsewhere."""

    name = "elu"
    alpha: float = 1.0

    @staticmethod
    def predicting(layer: Any, x: Tensor) -> Tensor:
        return elu(x, float(layer.alpha))


ROW_LAYERS: dict[str, type[Layer]] = table_of(
    Dense,
    Dropout,
    AlphaDropout,
    GaussianDropout,
    GaussianNoise,
    BatchNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
    ActivationLayer,
    ReLU,
    LeakyReLU,
    PReLU,
    ELU,
)


def activated(activation: Any, x: Tensor) -> Tensor:
    """The tensor after one of Keras' activations. Raises ExportError for one that is no word of the YAML."""
    name = getattr(activation, "__name__", type(activation).__name__)
    if name not in ACTIVATIONS:
        raise ExportError(f"the activation '{name}' has no ONNX form", "--format keras writes the network as it is")
    return ACTIVATIONS[name](x)


def _constant(x: Tensor, weights: Any) -> Tensor:
    return x.graph.constant(np.asarray(weights), FLOAT)


def _over_row(operator: str, x: Tensor) -> Tensor:
    return x.graph.add(operator, x, x.graph.constant([1], INT64), keepdims=1)
