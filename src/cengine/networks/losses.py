"""`loss:`, Keras' losses by their usual names; the fields are Keras' own arguments.

A loss names the tasks it fits. `shift_invariant` losses depend on the error alone, so that a label far from 0 can be centred first.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from cengine.errors import TrainingError
from cengine.networks.keras_setup import import_keras
from cengine.plugins import words_of
from cengine.tasks import MOST_QUANTILES, USUAL_QUANTILES, Binary, Classes, Quantiles, Regression, Task, task_named
from cengine.words import Word

if TYPE_CHECKING:
    from collections.abc import Callable

    import jax

    RowLosses = Callable[[jax.Array, jax.Array], jax.Array]

# Quantiles nearer to each other than this are one.
_NEAREST = 1e-6


class Loss(Word):
    """What training makes small; the class' name is Keras'."""

    tasks: ClassVar[tuple[str, ...]]
    shift_invariant: ClassVar[bool] = False
    positive_labels: ClassVar[bool] = False

    def asks(self, task: str) -> Task:
        """What is asked of a label with this loss, whose task has this name."""
        return task_named(task)

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


class Quantile(Loss):
    """The pinball loss, max(q (y - p), (q - 1) (y - p)), on average over the quantiles `at`, each of which is predicted."""

    name = "quantile"
    tasks = (Quantiles.name,)
    shift_invariant = True
    at: tuple[float, ...] = USUAL_QUANTILES

    @field_validator("at")
    @classmethod
    def _ascending(cls, at: tuple[float, ...]) -> tuple[float, ...]:
        told = f"found {list(at)}"
        if not 1 <= len(at) <= MOST_QUANTILES:
            raise ValueError(f"needs 1 to {MOST_QUANTILES} quantiles, {told}")
        if not all(0 < share < 1 for share in at):
            raise ValueError(f"quantiles lie between 0 and 1, as 0.05 and 0.95 do, {told}")
        if any(later - one < _NEAREST for one, later in itertools.pairwise(at)):
            raise ValueError(f"quantiles must ascend, each above the one before, {told}")
        return at

    def asks(self, task: str) -> Task:
        return Quantiles(at=self.at) if task == Quantiles.name else task_named(task)

    def build(self) -> RowLosses:
        import jax.numpy as jnp

        at = jnp.asarray(self.at, jnp.float32)

        def per_row(labels: jax.Array, outputs: jax.Array) -> jax.Array:
            error = labels.reshape((-1, 1)) - outputs
            return jnp.maximum(at * error, (at - 1.0) * error).mean(axis=-1)

        return per_row


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
    Quantile,
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
    "pinball": "quantile",
}
