"""How a network answers: its outputs for each target, and how they are read in the label's own unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from cengine.config.resolve import default_loss
from cengine.errors import TrainingError
from cengine.networks.losses import Loss
from cengine.preprocess.targets import Target
from cengine.tensors import Tensor

if TYPE_CHECKING:
    import jax

    from cengine.learners.examples import Batch
    from cengine.learners.feedforward import Feedforward
    from cengine.networks.losses import RowLosses

Array = TypeVar("Array", bound=Any)

# Activations whose outputs reach everywhere can be centred; the others mean a value in the label's own unit.
_CENTRED = ("linear", "leaky_relu", "tanh_shrink")
_BOUNDED = ("sigmoid", "hard_sigmoid", "tanh", "hard_tanh", "softsign", "relu6")


@dataclass(frozen=True)
class Head:
    """A target's output: `units` and `activation`, and for regression the unit the network works in.

    The network's output o stands for o * output_scale + output_offset in the unit of the transformed label. An ensemble has
    the outputs of its `members` side by side.
    """

    target: Target
    loss: Loss
    units: int
    activation: str
    output_offset: float = 0.0
    output_scale: float = 1.0
    members: int = 1

    def read(self, outputs: np.ndarray) -> np.ndarray:
        """Predictions in the label's unit: float64 (n,) of numbers, quantiles or probabilities (n, units). Members are averaged."""
        found = self.mean(outputs)
        if self.target.task.has_classes:
            return found.astype(np.float64)
        return self.target.numbers(self._transformed(found))

    def traced(self, outputs: Sequence[Tensor]) -> Tensor:
        """The same as operations on a tensor a member, by the same code: NumPy's functions take tensors as they take arrays."""
        first, *others = outputs
        mean = sum(others, first) / len(outputs) if others else first
        return mean.astype(np.float64) if self.target.task.has_classes else self.target.traced(self._transformed(mean))

    def mean(self, outputs: Array) -> Array:
        """What the members say on average: outputs (n, members * units) -> (n, units)."""
        if self.members == 1:
            return outputs
        return cast(Array, outputs.reshape((-1, self.members, self.units)).mean(axis=1))

    def _transformed(self, outputs: Array) -> list[Array]:
        """The transformed label that each output (n,) stands for."""
        return [
            outputs[:, place].astype(np.float64) * self.output_scale + self.output_offset for place in range(self.units)
        ]

    def losses(self, per_row: RowLosses, encoded: jax.Array, outputs: jax.Array) -> jax.Array:
        """The loss of each row in the unit of the transformed label, inside a compiled step: outputs (n, units), or those of all
        members, each of which learns for itself: (n, members * units), whose losses are averaged.
        """
        members = outputs.shape[-1] // self.units
        if members > 1:
            alone = self._losses(per_row, encoded.repeat(members), outputs.reshape((-1, self.units)))
            return alone.reshape((-1, members)).mean(axis=1)
        return self._losses(per_row, encoded, outputs)

    def _losses(self, per_row: RowLosses, encoded: jax.Array, outputs: jax.Array) -> jax.Array:
        target = self.target
        if target.task.has_classes:
            return per_row(encoded, outputs)
        shift = target.offset if self.loss.shift_invariant else 0.0
        label = encoded * target.scale + (target.offset - shift)
        return per_row(label, outputs * self.output_scale + (self.output_offset - shift))

    def encoded(self, rows: Batch) -> Any:
        """What outputs are compared with: the encoded label, (n,) as `rows` are, of NumPy or of JAX."""
        return rows.labels[self.target.name]

    @property
    def constant(self) -> float | None:
        """The output that says the mean of the train rows' labels; None for classes."""
        return None if self.target.task.has_classes else (self.target.offset - self.output_offset) / self.output_scale


def heads_of(targets: Sequence[Target], trainer: Feedforward) -> list[Head]:
    """One head a target. Raises TrainingError where the YAML's outputs do not fit the classes that were found."""
    return [_head(target, trainer) for target in targets]


def _head(target: Target, trainer: Feedforward) -> Head:
    loss = target.label.loss or default_loss(target.task.name)
    if target.task.has_classes:
        units, activation = _units(target, trainer), _activation(target, trainer)
        return Head(target, loss, units, activation, members=trainer.ensemble or 1)
    activation = trainer.last_activation or "linear"
    output_offset = target.offset if activation in _CENTRED else 0.0
    output_scale = 1.0 if activation in _BOUNDED else target.scale
    return Head(target, loss, target.num_outputs, activation, output_offset, output_scale, trainer.ensemble or 1)


def _units(target: Target, trainer: Feedforward) -> int:
    if trainer.num_output_units not in (None, target.num_outputs):
        raise TrainingError(
            f"label '{target.name}' has {len(target.classes)} classes and needs {target.num_outputs} output units, "
            f"found num_output_units: {trainer.num_output_units}",
            "leave num_output_units out",
        )
    return target.num_outputs


def _activation(target: Target, trainer: Feedforward) -> str:
    wanted = "softmax" if target.task.one_output_a_class else "sigmoid"
    activation = trainer.last_activation or wanted
    if (wanted == "sigmoid") != (activation in ("sigmoid", "hard_sigmoid")):
        raise TrainingError(
            f"label '{target.name}' has {len(target.classes)} classes and needs last_activation: {wanted}, found {activation}",
            "leave last_activation out",
        )
    return activation
