"""Layers that arrange what they are given in another way, or look at all steps of a sequence at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, field_validator

from cengine.networks.keras_setup import KerasLayer, KerasTensor, import_keras
from cengine.networks.layers.dense import ROW_LAYERS
from cengine.networks.layers.layer import (
    NUM_ROW_AXES,
    NUM_SEQUENCE_AXES,
    Initializer,
    MisfitError,
    NoRate,
    PlainLayer,
    Rate,
    Regularizer,
    Shape,
    as_sequence,
    sizes,
    told,
)
from cengine.networks.layers.recurrent import Wrapper
from cengine.words import Word


class Flatten(PlainLayer):
    """(L, u) -> (L * u,): all steps side by side."""

    name = "flatten"
    of_sequences = True
    takes_mask = False

    def shape(self, given: Shape) -> Shape:
        return (None if None in given else math.prod(size for size in given if size is not None),)


class Reshape(PlainLayer):
    """The same numbers in another shape: [u] for rows, [L, u] for sequences; one of them may be -1, which is what is left."""

    name = "reshape"
    of_sequences = True
    takes_mask = False
    target_shape: tuple[int, ...] = Field(min_length=NUM_ROW_AXES, max_length=NUM_SEQUENCE_AXES)

    @field_validator("target_shape")
    @classmethod
    def _sizes(cls, target: tuple[int, ...]) -> tuple[int, ...]:
        if any(size < 1 and size != -1 for size in target) or target.count(-1) > 1:
            raise ValueError("sizes are 1 or more, and one of them may be -1")
        return target

    def shape(self, given: Shape) -> Shape:
        known = math.prod(size for size in self.target_shape if size != -1)
        if None in given:
            return tuple(None if size == -1 else size for size in self.target_shape)
        total = math.prod(size for size in given if size is not None)
        if (total % known if -1 in self.target_shape else total - known) != 0:
            raise MisfitError(
                f"reshape cannot make [{', '.join(map(str, self.target_shape))}] of {total:,} numbers ({told(given)})"
            )
        return tuple(total // known if size == -1 else size for size in self.target_shape)


class Permute(PlainLayer):
    """Steps and inputs change places with `dims: [2, 1]`: (L, u) -> (u, L)."""

    name = "permute"
    of_sequences = True
    takes_mask = False
    dims: tuple[int, ...] = Field(min_length=NUM_SEQUENCE_AXES, max_length=NUM_SEQUENCE_AXES)

    @field_validator("dims")
    @classmethod
    def _each_once(cls, dims: tuple[int, ...]) -> tuple[int, ...]:
        if sorted(dims) != [1, 2]:
            raise ValueError("expected [2, 1], or [1, 2] which changes nothing")
        return dims

    def shape(self, given: Shape) -> Shape:
        sequence = as_sequence(self, given)
        return tuple(sequence[axis - 1] for axis in self.dims)


class RepeatVector(PlainLayer):
    """(u,) -> (n, u): a plain row at each of `n` steps."""

    name = "repeat_vector"
    of_sequences = True
    takes_mask = False
    n: int = Field(ge=1, le=65_536)

    def shape(self, given: Shape) -> Shape:
        if len(given) != NUM_ROW_AXES:
            raise MisfitError(
                f"repeat_vector repeats plain rows (u), and is given {told(given)}",
                "put `flatten` or `global_average_pooling1d` before it, or `return_sequences: false`",
            )
        return (self.n, *given)


class Masking(PlainLayer):
    """Marks the steps at which every input is `mask_value`: the layers after it leave them out."""

    name = "masking"
    of_sequences = True
    mask_value: float = 0.0

    def shape(self, given: Shape) -> Shape:
        return as_sequence(self, given)


class SpatialDropout1D(PlainLayer):
    """Sets a share `rate` of the inputs to 0 at all steps while training."""

    name = "spatial_dropout1d"
    of_sequences = True
    rate: float = Rate

    def shape(self, given: Shape) -> Shape:
        return as_sequence(self, given)


class TimeDistributed(Wrapper):
    """A `layer` of rows at each step of a sequence, (L, u) -> (L, units). Layers such as `dense` do so without it."""

    name = "time_distributed"
    within: ClassVar[Mapping[str, Mapping[str, type[Word]]]] = {"layer": ROW_LAYERS}

    def build(self) -> KerasLayer:
        return import_keras().layers.TimeDistributed(self.layer.build())

    def shape(self, given: Shape) -> Shape:
        length, width = as_sequence(self, given)
        return (length, *self.layer.shape((width,)))

    def num_weights(self, given: Shape) -> int:
        return self.layer.num_weights(given[-1:])

    def products(self, given: Shape) -> int:
        return sizes(given)[0] * self.layer.products(given[-1:])


class MultiHeadAttention(PlainLayer):
    """(L, u) -> (L, u): each step looks at all steps of its own sequence (Vaswani and others 2017)."""

    name = "multi_head_attention"
    of_sequences = True
    num_heads: int = Field(ge=1, le=1024)
    key_dim: int = Field(ge=1, le=65_536)
    value_dim: int | None = Field(default=None, ge=1, le=65_536)
    dropout: float = NoRate
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    kernel_regularizer: Regularizer | None = None
    bias_regularizer: Regularizer | None = None

    def connected(self, hidden: KerasTensor) -> KerasTensor:
        return self.build()(hidden, hidden)

    def shape(self, given: Shape) -> Shape:
        return as_sequence(self, given)

    def num_weights(self, given: Shape) -> int:
        width, keys = sizes(given)[1], self.num_heads * self.key_dim
        values = self.num_heads * (self.value_dim or self.key_dim)
        biases = (2 * keys + values + width) if self.use_bias else 0
        return 2 * width * (keys + values) + biases

    def products(self, given: Shape) -> int:
        length = sizes(given)[0]
        looked_at = length * length * self.num_heads * (self.key_dim + (self.value_dim or self.key_dim))
        return length * self.num_weights(given) + looked_at
