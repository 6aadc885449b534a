"""`layers:`, Keras' layers by their names in snake case; the fields are Keras' own arguments."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cengine.networks.keras_setup import import_keras
from cengine.words import Word, table_of

Activation = Literal[
    "celu", "elu", "exponential", "gelu", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "leaky_relu", "linear",
    "log_sigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "squareplus",
    "swish", "tanh", "tanh_shrink",
]  # fmt: skip
Initializer = Literal[
    "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform", "ones", "orthogonal",
    "random_normal", "random_uniform", "truncated_normal", "variance_scaling", "zeros",
]  # fmt: skip
Rate = Field(ge=0, lt=1)


class Regularizer(BaseModel):
    """A penalty on weights: l1 * sum |w| + l2 * sum w^2."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    l1: float = Field(default=0.0, ge=0)
    l2: float = Field(default=0.0, ge=0)

    def build(self) -> Any:
        """Keras' regularizer."""
        return import_keras().regularizers.L1L2(self.l1, self.l2)


class Layer(Word):
    """A layer of the network."""

    @abstractmethod
    def build(self) -> Any:
        """A new Keras layer."""


class Dense(Layer):
    """activation(x W + b). The activation of a hidden layer left out is `relu`: without one, layers in a row are one."""

    name = "dense"
    units: int = Field(ge=1, le=65_536)
    activation: Activation = "relu"
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    kernel_regularizer: Regularizer | None = None
    bias_regularizer: Regularizer | None = None

    def build(self) -> Any:
        arguments = self.model_dump(exclude={"kernel_regularizer", "bias_regularizer"})
        for name in ("kernel_regularizer", "bias_regularizer"):
            regularizer = getattr(self, name)
            arguments[name] = regularizer.build() if regularizer else None
        return import_keras().layers.Dense(**arguments)


class _PlainLayer(Layer):
    """A layer whose fields are Keras' arguments as they are; the class' name is Keras'."""

    def build(self) -> Any:
        return getattr(import_keras().layers, type(self).__name__)(**self.model_dump())


class Dropout(_PlainLayer):
    """Sets a share `rate` of the inputs to 0 while training."""

    name = "dropout"
    rate: float = Rate


class AlphaDropout(_PlainLayer):
    """Dropout that keeps mean and variance, for `selu`."""

    name = "alpha_dropout"
    rate: float = Rate


class GaussianDropout(_PlainLayer):
    """Multiplies by noise around 1 while training."""

    name = "gaussian_dropout"
    rate: float = Rate


class GaussianNoise(_PlainLayer):
    """Adds noise around 0 while training."""

    name = "gaussian_noise"
    stddev: float = Field(ge=0)


class BatchNormalization(_PlainLayer):
    """Normalizes each input over the batch."""

    name = "batch_normalization"
    momentum: float = Field(default=0.99, ge=0, lt=1)
    epsilon: float = Field(default=0.001, gt=0)
    center: bool = True
    scale: bool = True


class LayerNormalization(_PlainLayer):
    """Normalizes each row over its inputs."""

    name = "layer_normalization"
    epsilon: float = Field(default=0.001, gt=0)
    center: bool = True
    scale: bool = True


class RMSNormalization(_PlainLayer):
    """Divides each row by its root mean square."""

    name = "rms_normalization"
    epsilon: float = Field(default=1e-6, gt=0)


class UnitNormalization(_PlainLayer):
    """Divides each row by its length."""

    name = "unit_normalization"


class ActivationLayer(Layer):
    """An activation on its own."""

    name = "activation"
    activation: Activation

    def build(self) -> Any:
        return import_keras().layers.Activation(self.activation)


class ReLU(_PlainLayer):
    """max(x, 0), with Keras' options."""

    name = "relu"
    max_value: float | None = Field(default=None, ge=0)
    negative_slope: float = Field(default=0.0, ge=0)
    threshold: float = Field(default=0.0, ge=0)


class LeakyReLU(_PlainLayer):
    """x where positive, negative_slope * x elsewhere."""

    name = "leaky_relu"
    negative_slope: float = Field(default=0.3, ge=0)


class PReLU(_PlainLayer):
    """Leaky ReLU with a learnt slope for each input."""

    name = "prelu"


class ELU(_PlainLayer):
    """x where positive, alpha * (exp(x) - 1) elsewhere."""

    name = "elu"
    alpha: float = 1.0


LAYERS = table_of(
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
