"""`layers:`, Keras' layers by their names in snake case; the fields are Keras' own arguments."""

from __future__ import annotations

from collections.abc import Iterable

from cengine.networks.layers.convolution import Conv1D, SeparableConv1D
from cengine.networks.layers.dense import ROW_LAYERS, Dense, activated
from cengine.networks.layers.layer import Activation, Layer, MisfitError, Shape
from cengine.networks.layers.pooling import (
    AveragePooling1D,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    MaxPooling1D,
)
from cengine.networks.layers.recurrent import RECURRENT, Bidirectional
from cengine.networks.layers.shaping import (
    Flatten,
    Masking,
    MultiHeadAttention,
    Permute,
    RepeatVector,
    Reshape,
    SpatialDropout1D,
    TimeDistributed,
)
from cengine.words import table_of

SEQUENCE_LAYERS: dict[str, type[Layer]] = RECURRENT | table_of(
    Bidirectional,
    Conv1D,
    SeparableConv1D,
    MaxPooling1D,
    AveragePooling1D,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Flatten,
    MultiHeadAttention,
    TimeDistributed,
    SpatialDropout1D,
    Masking,
    RepeatVector,
    Permute,
    Reshape,
)
LAYERS: dict[str, type[Layer]] = ROW_LAYERS | SEQUENCE_LAYERS
LAYER_ALIASES = {"average_pooling": AveragePooling1D.name}


class LayerMisfitError(MisfitError):
    """That a layer does not take what the one before it gives: `index` is its place in the list."""

    def __init__(self, index: int, message: str, *notes: str) -> None:
        super().__init__(message, *notes)
        self.index = index


def shapes(layers: Iterable[Layer], length: int | None, width: int | None) -> list[Shape]:
    """What each layer gives, (u,) for rows or (L, u) for sequences, where `width` numbers enter at each of `length` steps.

    `length` None stands for plain rows; a width that is not known yet is None. Imports no Keras. Raises LayerMisfitError.
    """
    given: Shape = (width,) if length is None else (length, width)
    found: list[Shape] = []
    masked = False
    for index, layer in enumerate(layers):
        try:
            given = layer.shape(given)
        except MisfitError as error:
            raise LayerMisfitError(index, error.message, *error.notes) from error
        if masked and not layer.takes_mask:
            raise LayerMisfitError(
                index,
                f"{layer.name} does not leave out what `masking` marks",
                "recurrent layers, multi_head_attention and global_average_pooling1d do; put one of them before it",
            )
        # Where a sequence has become a row, nothing is left that could be missing.
        masked = len(given) > 1 and (masked or layer.name == Masking.name)
        found.append(given)
    return found


__all__ = [
    "LAYERS",
    "LAYER_ALIASES",
    "ROW_LAYERS",
    "SEQUENCE_LAYERS",
    "Activation",
    "Dense",
    "Layer",
    "LayerMisfitError",
    "MisfitError",
    "Shape",
    "activated",
    "shapes",
]
