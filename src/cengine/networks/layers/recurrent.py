"""Layers that go through a sequence step by step, and remember."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, SerializeAsAny, field_validator

from cengine.networks.keras_setup import KerasLayer, import_keras
from cengine.networks.layers.layer import (
    Activation,
    Initializer,
    Layer,
    NoRate,
    PlainLayer,
    Regularizer,
    Shape,
    as_sequence,
    sizes,
)
from cengine.words import Word, table_of


class Recurrent(PlainLayer):
    """(L, u) -> (units,), what is remembered at the end; (L, units) with `return_sequences`."""

    of_sequences = True
    num_gates: ClassVar[int] = 1

    units: int = Field(ge=1, le=65_536)
    activation: Activation = "tanh"
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    recurrent_initializer: Initializer = "orthogonal"
    bias_initializer: Initializer = "zeros"
    kernel_regularizer: Regularizer | None = None
    recurrent_regularizer: Regularizer | None = None
    bias_regularizer: Regularizer | None = None
    dropout: float = NoRate
    recurrent_dropout: float = NoRate
    return_sequences: bool = False
    go_backwards: bool = False
    stateful: bool = False

    @field_validator("stateful")
    @classmethod
    def _begins_anew(cls, stateful: bool) -> bool:
        if stateful:
            raise ValueError("must be false, since batches are shuffled and none goes on where another ended")
        return stateful

    def shape(self, given: Shape) -> Shape:
        length, _ = as_sequence(self, given)
        return (length, self.units) if self.return_sequences else (self.units,)

    def num_weights(self, given: Shape) -> int:
        return self.num_gates * self.units * (sizes(given)[1] + self.units + self.num_biases)

    def products(self, given: Shape) -> int:
        length, width = sizes(given)
        return length * self.num_gates * self.units * (width + self.units + 1)

    @property
    def num_biases(self) -> int:
        """How many biases each unit of a gate has."""
        return int(self.use_bias)


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997)."""

    name = "lstm"
    num_gates = 4
    recurrent_activation: Activation = "sigmoid"
    unit_forget_bias: bool = True


class GRU(Recurrent):
    """Gated recurrent unit (Cho and others 2014)."""

    name = "gru"
    num_gates = 3
    recurrent_activation: Activation = "sigmoid"
    reset_after: bool = True

    @property
    def num_biases(self) -> int:
        return (1 + self.reset_after) * self.use_bias


class SimpleRNN(Recurrent):
    """Each step sees its input and what the step before gave."""

    name = "simple_rnn"


RECURRENT: dict[str, type[Recurrent]] = table_of(LSTM, GRU, SimpleRNN)


class Wrapper(Layer):
    """A layer that has another one within it."""

    of_sequences = True
    layer: SerializeAsAny[Layer]

    @abstractmethod
    def build(self) -> KerasLayer:
        """A new Keras layer, with a new one within it."""


class Bidirectional(Wrapper):
    """A recurrent `layer` and a copy of it that goes backwards, side by side (`concat`) or as `sum`, `mul` or `ave`."""

    name = "bidirectional"
    within: ClassVar[Mapping[str, Mapping[str, type[Word]]]] = {"layer": RECURRENT}
    merge_mode: Literal["concat", "sum", "mul", "ave"] = "concat"

    def build(self) -> KerasLayer:
        return import_keras().layers.Bidirectional(self.layer.build(), merge_mode=self.merge_mode)

    def shape(self, given: Shape) -> Shape:
        as_sequence(self, given)
        *length, width = self.layer.shape(given)
        return (*length, width * 2 if width and self.merge_mode == "concat" else width)

    def num_weights(self, given: Shape) -> int:
        return 2 * self.layer.num_weights(given)

    def products(self, given: Shape) -> int:
        return 2 * self.layer.products(given)
