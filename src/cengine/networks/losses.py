"""`loss:`, Keras' losses by their usual names; the fields are Keras' own arguments.

A loss names the tasks it fits. `shift_invariant` losses depend on the error alone, so that a label far from 0 can be centred first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cengine.errors import TrainingError
from cengine.networks.keras_setup import import_keras
from cengine.plugins import words_of
from cengine.tasks import Binary, Classes, Regression
from cengine.words import Word

if TYPE_CHECKING:
    from collections.abc import Callable

    import jax

    RowLosses = Callable[[jax.Array, jax.Array], jax.Array]


class Loss(Word):
    """What training makes small; the class' name is Keras'."""

    tasks: ClassVar[tuple[str, ...]]
    shift_invariant: ClassVar[bool] = False
    positive_labels: ClassVar[bool] = False

    def build(self) -> RowLosses:
        """A function (labels (b,), outputs (b, units)) -> losses (b,), all float32."""
        loss = getattr(import_keras().losses, type(self).__name__)(**self.model_dump(), reduction=None)

        def per_row(labels: jax.Array, outputs: jax.Array) -> jax.Array:
            # Keras averages over the last axis: one column gives one loss a row.
            losses: jax.Array = loss(labels.reshape((-1, 1)), outputs)
            return losses

        return per_row


class MeanSquaredError(Loss):
    """(y - p)^2"""

    name = "mse"
    tasks = (Regression.name,)
    shift_invariant = True


class MeanAbsoluteError(Loss):
    """|y - p|"""

    name = "mae"
    tasks = (Regression.name,)
    shift_invariant = True


class Huber(Loss):
    """Squared below `delta` (in the label's unit), linear above."""

    name = "huber"
    tasks = (Regression.name,)
    shift_invariant = True
    delta: float = Field(default=1.0, gt=0)


class LogCosh(Loss):
    """log(cosh(p - y)): about half the square of small errors, the size of large ones."""

    name = "log_cosh"
    tasks = (Regression.name,)
    shift_invariant = True


class MeanAbsolutePercentageError(Loss):
    """100 * |y - p| / |y|"""

    name = "mape"
    tasks = (Regression.name,)


class MeanSquaredLogarithmicError(Loss):
    """(log(1 + y) - log(1 + p))^2, for labels that are not negative."""

    name = "msle"
    tasks = (Regression.name,)
    positive_labels = True


class Poisson(Loss):
    """p - y * log(p), for counts."""

    name = "poisson"
    tasks = (Regression.name,)
    positive_labels = True


class BinaryCrossentropy(Loss):
    """- log(probability given to the true one of two classes)."""

    name = "binary_crossentropy"
    tasks = (Binary.name,)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)


class BinaryFocalCrossentropy(Loss):
    """Lin and others 2017: rows that are easy count less."""

    name = "binary_focal_crossentropy"
    tasks = (Binary.name,)
    apply_class_balancing: bool = False
    alpha: float = Field(default=0.25, ge=0, le=1)
    gamma: float = Field(default=2.0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)


class SparseCategoricalCrossentropy(Loss):
    """- log(probability given to the true class)."""

    name = "sparse_categorical_crossentropy"
    tasks = (Classes.name,)


class CategoricalCrossentropy(Loss):
    """- log(probability given to the true class), with label smoothing."""

    name = "categorical_crossentropy"
    tasks = (Classes.name,)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)

    def build(self) -> RowLosses:
        keras = import_keras()
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=self.label_smoothing, reduction=None)

        def per_row(labels: jax.Array, outputs: jax.Array) -> jax.Array:
            one_hot = keras.ops.one_hot(keras.ops.cast(labels, "int32"), outputs.shape[-1])
            losses: jax.Array = loss(one_hot, outputs)
            return losses

        return per_row


LOSSES = words_of(
    "loss",
    Loss,
    TrainingError,
    MeanSquaredError,
    MeanAbsoluteError,
    Huber,
    LogCosh,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    Poisson,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    SparseCategoricalCrossentropy,
    CategoricalCrossentropy,
)

LOSS_ALIASES = {
    "mean_squared_error": "mse",
    "mean_absolute_error": "mae",
    "mean_absolute_percentage_error": "mape",
    "mean_squared_logarithmic_error": "msle",
    "huber_loss": "huber",
    "logcosh": "log_cosh",
}
