"""A network's outputs for many rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from cengine.training.batches import Matrices

MIN_ROWS_AT_ONCE = 16_384


class Predictor:
    """Outputs of `model`, whose layers end in `output_i`; rows go through in blocks of at least 16,384."""

    def __init__(self, model: Any, num_numbers: int, batch_rows: int = MIN_ROWS_AT_ONCE) -> None:
        import jax

        self.model = model
        self.num_numbers = num_numbers
        self.block_rows = max(batch_rows, MIN_ROWS_AT_ONCE)

        def call(weights: Any, others: Any, numbers: Any, codes: Any) -> Any:
            outputs, _ = model.stateless_call(weights, others, [numbers, codes], training=False)
            return list(outputs) if isinstance(outputs, list | tuple) else [outputs]

        self._call = jax.jit(call)

    def outputs(self, rows: Matrices, weights: Any = None, others: Any = None) -> list[np.ndarray]:
        """One float32 array (n, units) a head; without `weights` those of the model."""
        if weights is None:
            weights = [v.value for v in self.model.trainable_variables]
            others = [v.value for v in self.model.non_trainable_variables]
        blocks = []
        for start in range(0, len(rows), self.block_rows):
            numbers = rows.floats[start : start + self.block_rows, : self.num_numbers]
            codes = rows.codes[start : start + self.block_rows]
            missing = self.block_rows - len(numbers)
            if missing and len(rows) > self.block_rows:  # the last block takes the shape of the others
                numbers = np.concatenate([numbers, np.zeros((missing, numbers.shape[1]), numbers.dtype)])
                codes = np.concatenate([codes, np.zeros((missing, codes.shape[1]), codes.dtype)])
            size = min(self.block_rows, len(rows) - start)
            blocks.append([np.asarray(output)[:size] for output in self._call(weights, others, numbers, codes)])
        return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
