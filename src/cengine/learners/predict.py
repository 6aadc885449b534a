"""A network's outputs for many rows, and what they say of each label."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from cengine.learners.examples import MODEL_INPUTS, Batch
from cengine.learners.heads import Head
from cengine.networks.keras_setup import KerasModel
from cengine.networks.predicting import predicted
from cengine.tensors import Tensor

if TYPE_CHECKING:
    import jax

Array = TypeVar("Array", bound=Any)
# A block's activations stay in the processor's caches; many blocks in one call save what a call costs.
BLOCK_ROWS, MOST_BLOCKS, MOST_BYTES = 8192, 32, 2**25


def network_inputs(inputs: Mapping[str, Array]) -> list[Array]:
    """The arrays of a batch in the order of the model's inputs."""
    return [inputs[name] for name in MODEL_INPUTS if name in inputs]


def as_rows(outputs: Array) -> Array:
    """Outputs (n, ..., units) as rows (m, units); what is one number a row stays (n,)."""
    return outputs if outputs.ndim <= 2 else cast(Array, outputs.reshape(-1, outputs.shape[-1]))


class NetworkPredictor:
    """Predictions of `model`, whose layers end in `output_i`; rows go through in blocks of at least 8,192."""

    def __init__(self, model: KerasModel, heads: Sequence[Head], batch_rows: int = BLOCK_ROWS) -> None:
        import jax

        self.model = model
        self.heads = heads
        points = math.prod(model.inputs[0].shape[1:-1])
        self.block_rows = max(batch_rows, BLOCK_ROWS) // points or 1

        def call(weights: list[jax.Array], others: list[jax.Array], inputs: dict[str, jax.Array]) -> list[jax.Array]:
            outputs, _ = model.stateless_call(weights, others, network_inputs(inputs), training=False)
            return list(outputs) if isinstance(outputs, list | tuple) else [outputs]

        def calls(weights: list[jax.Array], others: list[jax.Array], inputs: dict[str, jax.Array]) -> list[jax.Array]:
            blocks = {
                name: rows.reshape(len(rows) // self.block_rows, self.block_rows, *rows.shape[1:])
                for name, rows in inputs.items()
            }
            found = jax.lax.map(lambda block: call(weights, others, block), blocks)
            return [output.reshape(-1, *output.shape[2:]) for output in found]

        self._calls = jax.jit(calls)
        self._call = jax.jit(call)

    def predicting(self, numbers: Tensor, codes: Tensor) -> dict[str, Tensor]:
        """The same as `predict` as operations on tensors: numbers (rows, n) and codes (rows, c) -> float64 by label."""
        found = predicted(self.model, [numbers, codes])
        return {head.target.name: head.traced(output) for head, output in zip(self.heads, found, strict=True)}

    def summary(self) -> None:
        """Prints the network's layers."""
        self.model.summary()

    def predict(self, batch: Batch) -> dict[str, np.ndarray]:
        """Predictions by label: float64 (n,) in the label's unit, or probabilities (n, units)."""
        return self.read(self.outputs(batch))

    def read(self, outputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """What these outputs say of each label."""
        return {head.target.name: head.read(found) for head, found in zip(self.heads, outputs, strict=True)}

    def outputs(
        self, rows: Batch, weights: list[jax.Array] | None = None, others: list[jax.Array] | None = None
    ) -> list[np.ndarray]:
        """One float32 array (n, units) a head; without `weights` those of the model. A window has a row for each of its labels."""
        if weights is None:
            weights = [v.value for v in self.model.trainable_variables]
            others = [v.value for v in self.model.non_trainable_variables]
        blocks = []
        for part, size in self._parts(rows):
            call = self._calls if len(part) > self.block_rows else self._call
            blocks.append([np.asarray(output)[:size] for output in call(weights, others, part.inputs)])
        return [as_rows(np.concatenate(parts)) for parts in zip(*blocks, strict=True)]

    def _parts(self, rows: Batch) -> Iterator[tuple[Batch, int]]:
        """The rows in parts, each with how many of its rows are not padding. Few rows are one part of their own size.

        Compiling for a size takes longer than a block of it, so that all parts of many rows have one of two sizes.
        """
        if len(rows) <= self.block_rows:
            yield rows, len(rows)
            return
        num_blocks = MOST_BYTES // (rows.bytes_per_row * self.block_rows or 1)
        many, start = self.block_rows * min(max(num_blocks, 1), MOST_BLOCKS), 0
        while start < len(rows):
            size = many if len(rows) - start >= many else self.block_rows
            part = rows.part(start, start + size)
            yield part.padded(size), len(part)
            start += size
