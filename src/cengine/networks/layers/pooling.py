"""Layers that take several steps of a sequence together."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from cengine.networks.layers.convolution import num_places
from cengine.networks.layers.layer import PlainLayer, Shape, as_sequence


class Pooling(PlainLayer):
    """(L, u) -> (L', u): `pool_size` steps at a time become one; `strides` left out is `pool_size`."""

    of_sequences = True
    takes_mask = False

    pool_size: int = Field(ge=1, le=65_536)
    strides: int | None = Field(default=None, ge=1, le=65_536)
    padding: Literal["valid", "same"] = "valid"

    def shape(self, given: Shape) -> Shape:
        length, width = as_sequence(self, given)
        about, strides = f"pool_size {self.pool_size}", self.strides or self.pool_size
        return (num_places(self.name, length, self.pool_size, strides, self.padding, about), width)


class MaxPooling1D(Pooling):
    """The greatest of each `pool_size` steps."""

    name = "max_pooling1d"
    pool_size: int = Field(default=2, ge=1, le=65_536)


class AveragePooling1D(Pooling):
    """The mean of each `pool_size` steps."""

    name = "average_pooling1d"


class GlobalPooling(PlainLayer):
    """(L, u) -> (u,): all steps together."""

    of_sequences: ClassVar[bool] = True

    def shape(self, given: Shape) -> Shape:
        return (as_sequence(self, given)[1],)


class GlobalAveragePooling1D(GlobalPooling):
    """The mean of all steps."""

    name = "global_average_pooling1d"


class GlobalMaxPooling1D(GlobalPooling):
    """The greatest of all steps."""

    name = "global_max_pooling1d"
    takes_mask = False
