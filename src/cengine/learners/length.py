"""A network's trainer block with a value for each key that the YAML leaves to the number of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cengine.config.length import LEARNING_RATE, Length
from cengine.config.schema import EarlyStopping
from cengine.networks.optimizers import Adam, CosineDecay

if TYPE_CHECKING:
    from cengine.learners.feedforward import Feedforward


def filled_in(trainer: Feedforward, num_rows: int) -> Feedforward:
    """The trainer with a value for each key that its YAML leaves out; `num_rows` are those that are learnt from.

    Where the YAML says how long, nothing follows from the rows.
    """
    if trainer.has_length:
        return trainer
    length = Length.of(num_rows, trainer.train_batch_size)
    found: dict[str, Any] = {
        "train_batch_size": length.batch_rows,
        "train_steps": length.steps,
        "save_checkpoints_steps": trainer.save_checkpoints_steps or length.every,
        "optimizer": trainer.optimizer or Adam(learning_rate=CosineDecay(initial_learning_rate=LEARNING_RATE)),
    }
    if trainer.early_stopping is None:
        found["early_stopping"] = EarlyStopping(patience=length.patience)
    return trainer.model_copy(update=found)


def told(trainer: Feedforward, num_rows: int) -> str:
    """The numbers that are taken for so many rows."""
    taken = filled_in(trainer, num_rows)
    steps, batch_rows, every = taken.train_steps, taken.train_batch_size, taken.save_checkpoints_steps
    assert steps and batch_rows and every
    passes = steps * batch_rows / num_rows
    found = (
        f"{steps:,} steps in batches of {batch_rows:,} ({passes:,.3g} passes over {num_rows:,} rows), "
        f"a checkpoint every {every:,} steps"
    )
    if taken.early_stopping:
        found += f", an early end after {taken.early_stopping.patience} that are no better"
    if trainer.optimizer is None:
        found += f"; adam, its learning rate falling from {LEARNING_RATE:g} to 0"
    return found
