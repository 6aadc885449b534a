"""The layer of an autoencoder whose outputs are the code: which one it is, and what layers there are where the YAML names none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from cengine.networks.layers import Dense, Layer

CODE: Literal["code"] = "code"
MOST_CODES, UNITS = 8, 64


def usual_layers(num_features: int) -> tuple[Layer, ...]:
    """The layers of an autoencoder of so many columns: a code of half as many numbers, at most 8, between two wider layers.

    The first is bounded: a relu would follow a number however far it is from those of the train rows, and reconstruct what is odd.
    """
    code = Dense(units=max(1, min(MOST_CODES, num_features // 2)), activation="linear", name=CODE)
    return Dense(units=UNITS, activation="tanh"), code, Dense(units=UNITS)


def with_code(layers: Sequence[Any]) -> tuple[Any, ...]:
    """The layers with the code's named: the one that is, or else the narrowest; it is linear where the YAML says nothing.

    Raises ValueError where no layer can have the code, or where several are to.
    """
    dense = [place for place, layer in enumerate(layers) if isinstance(layer, Dense)]
    if not dense:
        raise ValueError("an autoencoder needs a dense layer, whose outputs are the code")
    named = [place for place in dense if layers[place].called == CODE]
    if len(named) > 1:
        raise ValueError("two layers have the name 'code'")
    place = named[0] if named else min(dense, key=lambda at: layers[at].units)
    own = layers[place]
    activation = own.activation if "activation" in own.model_fields_set else "linear"
    code = own.model_copy(update={"called": CODE, "activation": activation})
    return (*layers[:place], code, *layers[place + 1 :])


def code_size(layers: Sequence[Any]) -> int:
    """How many numbers the code has."""
    return next(layer.units for layer in layers if isinstance(layer, Dense) and layer.called == CODE)
