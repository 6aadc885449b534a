"""An ensemble within one network: its members share the layers' weights. Importing this module imports Keras.

After each dense layer a member has its own scale and bias (BatchEnsemble, Wen and others 2020), and at the end its own output
(TabM, Gorishniy and others 2024). The first dense layer, which reads all inputs, is multiplied once for all members.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cengine.networks.encoders import Layer, keras
from cengine.networks.keras_setup import KerasTensor
from cengine.networks.layers import activated
from cengine.tensors import FLOAT, Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


@keras.saving.register_keras_serializable(package="cengine")
class MemberScale(Layer):
    """A scale and a bias of its own for each of `members`: (b, units) or (b, members, units) -> (b, members, units).

    Where members begin, their scales are drawn from N(0, 1), so that they learn different things; later on they start as 1.
    """

    def __init__(self, members: int, use_bias: bool = True, initializer: Any = "ones", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.members, self.use_bias = int(members), use_bias
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = (self.members, input_shape[-1])
        self.scale = self.add_weight(shape=shape, name="scale", initializer=self.initializer)
        self.bias = self.add_weight(shape=shape, name="bias", initializer="zeros") if self.use_bias else None
        self.built = True

    def call(self, inputs: KerasTensor) -> KerasTensor:
        apart = inputs if len(inputs.shape) == 3 else keras.ops.expand_dims(inputs, 1)
        scaled = apart * self.scale
        return scaled if self.bias is None else scaled + self.bias

    def predicting_members(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The same as operations on a tensor a member."""
        scale, bias = np.asarray(self.scale), None if self.bias is None else np.asarray(self.bias)
        found = []
        for member, x in enumerate(_apart(inputs, self.members)):
            scaled = x * x.graph.constant(scale[member], FLOAT)
            found.append(scaled if bias is None else scaled + x.graph.constant(bias[member], FLOAT))
        return found

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.members, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        initializer = keras.initializers.serialize(self.initializer)
        return {
            **super().get_config(),
            "members": self.members,
            "use_bias": self.use_bias,
            "initializer": initializer,
        }


@keras.saving.register_keras_serializable(package="cengine")
class MemberOutputs(Layer):
    """Each member's own output: (b, members, n) or, shared by all, (b, n) -> (b, members * units), a member after the other."""

    def __init__(self, members: int, units: int, activation: str, initializer: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.members, self.units = int(members), int(units)
        self.activation = keras.activations.get(activation)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = (self.members, input_shape[-1], self.units)
        self.kernel = self.add_weight(shape=shape, name="kernel", initializer=self.initializer)
        self.bias = self.add_weight(shape=(self.members, self.units), name="bias", initializer="zeros")
        self.built = True

    def call(self, inputs: KerasTensor) -> KerasTensor:
        how = "bki,kio->bko" if len(inputs.shape) == 3 else "bi,kio->bko"
        found = self.activation(keras.ops.einsum(how, inputs, self.kernel) + self.bias)
        return keras.ops.reshape(found, (-1, self.members * self.units))

    def predicting_members(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The same as operations on a tensor a member."""
        kernel, bias = np.asarray(self.kernel), np.asarray(self.bias)
        found = []
        for member, x in enumerate(_apart(inputs, self.members)):
            product = x.graph.add("MatMul", x, x.graph.constant(kernel[member], FLOAT))
            found.append(activated(self.activation, product + x.graph.constant(bias[member], FLOAT)))
        return found

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.members * self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "members": self.members,
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "initializer": keras.initializers.serialize(self.initializer),
        }


@keras.saving.register_keras_serializable(package="cengine")
class MemberMean(Layer):
    """What the members say on average: (b, members * units) -> (b, units)."""

    def __init__(self, members: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.members = int(members)

    def call(self, inputs: KerasTensor) -> KerasTensor:
        return keras.ops.mean(keras.ops.reshape(inputs, (-1, self.members, inputs.shape[-1] // self.members)), axis=1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], (input_shape[-1] or 0) // self.members)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "members": self.members}


def _apart(inputs: Sequence[Tensor], members: int) -> list[Tensor]:
    """A tensor a member; a single one is shared by all."""
    return [*inputs] if len(inputs) > 1 else [*inputs] * members


def outputs_initializer(num_inputs: int, units: int) -> Any:
    """Glorot's uniform initializer for each member's kernel; Keras' own would take the members for a part of the kernel."""
    limit = math.sqrt(6 / (num_inputs + units))
    return keras.initializers.RandomUniform(-limit, limit)
