"""Convolutions along a sequence. They are built as layers of ours that compute the same: see `networks/sliced.py`."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

from pydantic import Field, model_validator

from cengine.networks.keras_setup import KerasLayer
from cengine.networks.layers.layer import (
    Activation,
    Initializer,
    Layer,
    MisfitError,
    Regularizer,
    Shape,
    arguments_of,
    as_sequence,
    sizes,
)


def num_places(word: str, length: int | None, span: int, strides: int, padding: str, about: str) -> int | None:
    """How often a window of `span` steps fits a sequence. Raises MisfitError where it does not."""
    if length is None:
        return None
    if padding != "valid":
        return -(-length // strides)
    if span > length:
        raise MisfitError(
            f"{word} reaches over {span:,} steps ({about}), and the sequence has {length:,} here",
            "make it smaller, or pad: `padding: same`",
        )
    return (length - span) // strides + 1


class Convolution(Layer):
    """(L, u) -> (L', filters): what it says of each step, and of those around it, with the same weights everywhere."""

    of_sequences = True
    takes_mask = False

    filters: int = Field(ge=1, le=65_536)
    kernel_size: int = Field(ge=1, le=65_536)
    strides: int = Field(default=1, ge=1, le=65_536)
    dilation_rate: int = Field(default=1, ge=1, le=65_536)
    activation: Activation = "relu"
    use_bias: bool = True
    bias_initializer: Initializer = "zeros"
    bias_regularizer: Regularizer | None = None

    @model_validator(mode="after")
    def _strides_or_dilation(self) -> Convolution:
        if self.strides > 1 and self.dilation_rate > 1:
            raise ValueError("strides and dilation_rate cannot both be above 1")
        return self

    def build(self) -> KerasLayer:
        from cengine.networks import sliced

        return getattr(sliced, self.keras_name())(**arguments_of(self))

    @classmethod
    def keras_name(cls) -> str:
        return f"Sliced{cls.__name__}"

    def shape(self, given: Shape) -> Shape:
        length, _ = as_sequence(self, given)
        span = (self.kernel_size - 1) * self.dilation_rate + 1
        about = f"kernel_size {self.kernel_size}" + (
            f", dilation_rate {self.dilation_rate}" if self.dilation_rate > 1 else ""
        )
        return (num_places(self.name, length, span, self.strides, self._padding, about), self.filters)

    @property
    @abstractmethod
    def _padding(self) -> str:
        """How the ends of a sequence are filled up."""

    def products(self, given: Shape) -> int:
        return (self.shape(given)[0] or 1) * (self.kernel_size * sizes(given)[1] + 1) * self.filters


class Conv1D(Convolution):
    """A convolution; `causal` sees no later step. The activation left out is `relu`, as that of a dense layer."""

    name = "conv1d"
    padding: Literal["valid", "same", "causal"] = "valid"
    kernel_initializer: Initializer = "glorot_uniform"
    kernel_regularizer: Regularizer | None = None

    @property
    def _padding(self) -> str:
        return self.padding

    def num_weights(self, given: Shape) -> int:
        return (self.kernel_size * sizes(given)[1] + self.use_bias) * self.filters


class SeparableConv1D(Convolution):
    """A convolution of each input by itself, then a product over the inputs: fewer weights than `conv1d`."""

    name = "separable_conv1d"
    padding: Literal["valid", "same"] = "valid"
    depth_multiplier: int = Field(default=1, ge=1, le=65_536)
    depthwise_initializer: Initializer = "glorot_uniform"
    pointwise_initializer: Initializer = "glorot_uniform"
    depthwise_regularizer: Regularizer | None = None
    pointwise_regularizer: Regularizer | None = None

    @property
    def _padding(self) -> str:
        return self.padding

    def num_weights(self, given: Shape) -> int:
        deep = sizes(given)[1] * self.depth_multiplier
        return self.kernel_size * deep + (deep + self.use_bias) * self.filters
