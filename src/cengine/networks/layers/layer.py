"""What a layer is: a word with Keras' own arguments as fields, that says which shapes it takes and gives."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from cengine.networks.keras_setup import KerasLayer, KerasRegularizer, KerasTensor, import_keras
from cengine.tensors import Tensor
from cengine.words import Word

Activation = Literal[
    "celu",
    "elu",
    "exponential",
    "gelu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
]
Initializer = Literal[
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]
Rate = Field(ge=0, lt=1)
NoRate = Field(default=0.0, ge=0, lt=1)
# Of one row: (u,) of a plain row, (L, u) of a sequence of L steps. A width that is not known yet is None.
Shape = tuple[int | None, ...]
NUM_ROW_AXES, NUM_SEQUENCE_AXES = 1, 2


class MisfitError(ValueError):
    """That a layer does not take what is given to it; `notes` say how to mend it."""

    def __init__(self, message: str, *notes: str) -> None:
        super().__init__(message)
        self.message, self.notes = message, notes


class Regularizer(BaseModel):
    """A penalty on weights: l1 * sum |w| + l2 * sum w^2."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    l1: float = Field(default=0.0, ge=0)
    l2: float = Field(default=0.0, ge=0)

    def build(self) -> KerasRegularizer:
        """Keras' regularizer."""
        return import_keras().regularizers.L1L2(self.l1, self.l2)


class Layer(Word):
    """A layer of the network."""

    of_sequences: ClassVar[bool] = False
    """Whether it is there for sequences, (L, u): a network of plain rows has none of them."""
    takes_mask: ClassVar[bool] = True
    """Whether it leaves out, or hands on, what `masking` marks as missing."""

    @abstractmethod
    def build(self) -> KerasLayer:
        """A new Keras layer."""

    def connected(self, hidden: KerasTensor) -> KerasTensor:
        """A new Keras layer at work on a tensor."""
        return self.build()(hidden)

    def shape(self, given: Shape) -> Shape:
        """The shape of what it gives. Raises MisfitError where it cannot take what is given."""
        return given

    def num_weights(self, given: Shape) -> int:
        """How many weights it has; widths that are not known count as 1."""
        return 0

    def products(self, given: Shape) -> int:
        """Multiplications for one row, near enough to tell time by."""
        return 0

    @classmethod
    def keras_name(cls) -> str:
        """The class of the layer that `build` makes."""
        return cls.__name__

    @staticmethod
    def predicting(layer: Any, x: Tensor) -> Tensor:
        """What the layer that `build` made, with the weights that it has learnt, does with (rows, n) when it predicts."""
        return x  # as all do that are at work in training alone


class PlainLayer(Layer):
    """A layer whose fields are Keras' arguments as they are; the class' name is Keras'."""

    def build(self) -> KerasLayer:
        return getattr(import_keras().layers, self.keras_name())(**arguments_of(self))


def arguments_of(layer: Layer, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields as Keras takes them: a regularizer is built."""
    found = {name: value for name, value in layer if name not in without}
    return {name: value.build() if isinstance(value, Regularizer) else value for name, value in found.items()}


def sizes(given: Shape) -> tuple[int, int]:
    """Length and width, for counting: plain rows are of length 1, as is what is not known."""
    length = given[0] if len(given) == NUM_SEQUENCE_AXES else 1
    return length or 1, given[-1] or 1


def told(given: Shape) -> str:
    """A shape in words."""
    shown = ", ".join("?" if size is None else f"{size:,}" for size in given)
    return f"sequences ({shown})" if len(given) == NUM_SEQUENCE_AXES else f"rows ({shown})"


def as_sequence(layer: Layer, given: Shape) -> tuple[int | None, int | None]:
    """Length and width of sequences. Raises MisfitError for plain rows."""
    if len(given) != NUM_SEQUENCE_AXES:
        raise MisfitError(
            f"{layer.name} reads sequences (steps, inputs), and is given {told(given)}",
            "a recurrent layer before it needs `return_sequences: true`; `repeat_vector` makes sequences of rows",
        )
    return given[0], given[1]
