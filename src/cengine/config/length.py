"""How long a network is trained, and how fast, where the YAML does not say: both follow from the number of rows to learn from.

A step is one batch. A small table needs some thousands of steps whatever its rows are, a larger one some passes, and beyond a certain
number of steps more of them bring little that is worth the wait.
"""

from __future__ import annotations

from dataclasses import dataclass

# With fewer rows than the first number of a pair batches have so many rows as the second says.
BATCHES = ((1_500, 32), (4_000, 64), (15_000, 128))
LARGE_BATCH = 256
PASSES, LEAST_STEPS = 20, 4_000
# What 20 passes come to with 2.5 million rows; of a larger table each row is seen less often, but at least once.
MANY_STEPS = 200_000
LEARNING_RATE = 0.002
NUM_CHECKPOINTS = 30
PATIENCE = 10


@dataclass(frozen=True)
class Length:
    """Steps, rows a batch, steps between checkpoints, and after how many of these without a better one training ends."""

    steps: int
    batch_rows: int
    every: int
    patience: int = PATIENCE

    @staticmethod
    def of(num_rows: int, batch_rows: int | None = None) -> Length:
        """The length for so many rows that are learnt from, in batches of the given size if there is one."""
        batch_rows = batch_rows or next((batch for below, batch in BATCHES if num_rows < below), LARGE_BATCH)
        a_pass = max(1, -(-num_rows // batch_rows))
        steps = max(LEAST_STEPS, min(PASSES * a_pass, max(MANY_STEPS, a_pass)))
        return Length(steps, batch_rows, -(-steps // NUM_CHECKPOINTS))
