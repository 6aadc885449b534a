"""The training loop: many steps in one compiled call, while a thread prepares the rows of the next call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cengine.config.schema import TrainerConfig
from cengine.errors import TrainingError
from cengine.stopping import Reason, Stopped, Wish
from cengine.training.batches import Matrices, TrainRows
from cengine.training.checkpoints import Checkpoint, read_newest, write_checkpoint
from cengine.training.heads import Head
from cengine.training.model import training_model
from cengine.training.predict import Predictor
from cengine.training.prefetch import Prefetched

MAX_CHUNK_STEPS = 1000
MAX_CHUNK_BYTES = 32 * 2**20
NUM_CHECKPOINTS = 10
# A wish to end is asked for this often, also where a chunk takes longer; the first steps show how long one takes.
SLICE_SECONDS = 0.5
FIRST_SLICE_STEPS = 16

# Told steps done and the loss of the last step; metrics of a split's sample from its predictions and encoded rows.
Report = Callable[[int, float], None]
Measure = Callable[[list[np.ndarray], Matrices], dict[str, float]]
# Told a finished checkpoint: step, then values by split and name, then the network's weights by name.
Logged = Callable[[int, dict[str, dict[str, float]], dict[str, np.ndarray]], None]
Unlogged = tuple[int, dict[str, dict[str, float]], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Plan:
    """How long training goes on, and in which portions."""

    num_steps: int
    every: int
    batch_rows: int
    chunk_steps: int

    @staticmethod
    def of(trainer: TrainerConfig, num_rows: int, bytes_per_row: int) -> Plan:
        """The plan for so many train rows."""
        steps = trainer.train_steps or max(1, int(np.ceil((trainer.epochs or NUM_CHECKPOINTS) * num_rows / trainer.train_batch_size)))
        every = min(trainer.save_checkpoints_steps or -(-steps // NUM_CHECKPOINTS), steps)
        by_memory = MAX_CHUNK_BYTES // max(1, bytes_per_row * trainer.train_batch_size)
        return Plan(steps, every, trainer.train_batch_size, max(1, min(MAX_CHUNK_STEPS, every, by_memory)))

    def lengths(self, first_step: int) -> Iterator[int]:
        """Steps of each compiled call from `first_step` on; a checkpoint always falls on the end of one."""
        step = first_step
        while step < self.num_steps:
            boundary = min(self.num_steps, (step // self.every + 1) * self.every)
            length = min(self.chunk_steps, boundary - step)
            yield length
            step += length

    def is_checkpoint(self, step: int) -> bool:
        """Whether what is reached at this step is measured and kept."""
        return step % self.every == 0 or step == self.num_steps


@dataclass(frozen=True)
class Trained:
    """What training gave: what was measured at each checkpoint, and the step whose weights were kept.

    `first_step` is where this process took it up. `limit` is the limit that ended it before its last step; what was
    measured then between two checkpoints is `unlogged`: what `Logged` is told.
    """

    history: list[dict[str, Any]]
    num_steps: int
    best_step: int
    stopped_early: bool
    first_step: int = field(default=0, compare=False)
    limit: Reason | None = None
    unlogged: Unlogged | None = field(default=None, compare=False)

    @property
    def best(self) -> dict[str, dict[str, float]]:
        """What was measured at the step whose weights were kept, by split and name."""
        return next(entry for entry in self.history if entry["step"] == self.best_step)


def train(
    model: Any, heads: Sequence[Head], trainer: TrainerConfig, plan: Plan, rows: TrainRows, samples: dict[str, Matrices],
    measure: Measure, folder: Path, report: Report, logged: Logged, wish: Wish | None = None,
) -> Trained:  # fmt: skip
    """Trains `model` in place; it ends with the weights of the best checkpoint (least loss on the second sample).

    `samples` are encoded rows by split, train first, measured at each checkpoint. Checkpoints go to `folder`, and
    training goes on from the newest one found there: the result is that of an undisturbed training. A wish to end
    is heard after each compiled call: a checkpoint of just there is written, and Stopped raised. Where the wish is
    a limit, what was reached is measured instead, and is the result. Raises TrainingError at the first loss that is
    not a number.
    """
    wish = wish or Wish()
    course = _Course(_Trainee(model, heads, trainer, plan, rows), plan, samples, measure, folder)
    state, first_step, limit, unlogged = course.state, course.state.step, None, None
    stopped = _patience_over(state, trainer, course.judged)
    lengths = () if stopped else plan.lengths(first_step)
    chunks = Prefetched(_padded(rows.chunks(first_step, plan.lengths(first_step), plan.batch_rows), plan), idle=stopped)
    with wish.held(*Reason), chunks:
        for losses in _slices(course.trainee, chunks, lengths, wish):
            _check_finite(losses, state.step, trainer)
            state.add(losses)
            report(state.step, float(losses[-1]))
            if plan.is_checkpoint(state.step):
                logged(state.step, course.measured(), course.trainee.named_weights())
                stopped = _patience_over(state, trainer, course.judged)
                course.write()
                if stopped:
                    break
        if wish.reason is not None and state.step < plan.num_steps and not stopped:
            limit, unlogged = wish.reason, course.leave(wish.reason, first_step)
    course.trainee.keep(state.best_arrays)
    return Trained(state.history, state.step, state.best_step, stopped, first_step, limit, unlogged)


def _slices(trainee: _Trainee, chunks: Prefetched, lengths: Iterable[int], wish: Wish) -> Iterator[np.ndarray]:
    """The losses of one compiled call after the other, (n,): of a chunk, or of as much of it as SLICE_SECONDS are enough for.

    It ends with the last chunk, or when there is a wish to end.
    """
    at_once = FIRST_SLICE_STEPS
    for length in lengths:
        chunk, first = None, 0
        while first < length:
            if wish.reason is not None:
                return
            chunk = chunk or chunks.next()
            began = time.monotonic()
            losses = trainee.advance(chunk, first, min(at_once, length - first))
            at_once = max(1, int(len(losses) * SLICE_SECONDS / max(time.monotonic() - began, 1e-6)))
            first += len(losses)
            yield losses


class _Course:
    """A training on its way: the newest checkpoint in `folder`, and what is measured and written from there on."""

    def __init__(self, trainee: _Trainee, plan: Plan, samples: dict[str, Matrices], measure: Measure, folder: Path) -> None:
        self.trainee, self.plan, self.samples, self.measure, self.folder = trainee, plan, samples, measure, folder
        self.judged = list(samples)[-1]
        start = read_newest(folder) or Checkpoint(0, trainee.arrays())
        trainee.restore(start.arrays)
        self.state = replace(start, arrays=[])

    def measured(self) -> dict[str, dict[str, float]]:
        """What the weights reach by now; it goes into the history, and the best ones are remembered."""
        state = self.state
        values = self.trainee.measured(self.samples, self.measure)
        values["train"]["running_loss"] = state.take_running_loss()
        state.history.append({"step": state.step, **values})
        if values[self.judged]["loss"] < state.best_loss:
            state.best_loss, state.best_step = values[self.judged]["loss"], state.step
            state.best_arrays = self.trainee.weights()
        return values

    def write(self) -> None:
        """Writes a checkpoint."""
        self.state.arrays = self.trainee.arrays()
        write_checkpoint(self.folder, self.state)

    def leave(self, reason: Reason, first_step: int) -> Unlogged | None:
        """Leaves before the last step, with a checkpoint of just here. Raises Stopped, but for a limit gives what was yet to be logged.

        What a limit has measured is of its result only, and not in the checkpoint: who goes on from there never stopped here.
        """
        if self.state.num_losses and self.state.step > first_step:
            try:
                self.write()
            except OSError:
                if reason.is_limit:
                    raise
                # The one before is whole, and the wish to end is what is to be told.
        if not reason.is_limit or self.state.step == 0:
            raise Stopped(reason)
        return (self.state.step, self.measured(), self.trainee.named_weights()) if self.state.num_losses else None


class _Trainee:
    """The network's and the optimizer's variables between compiled calls."""

    def __init__(self, model: Any, heads: Sequence[Head], trainer: TrainerConfig, plan: Plan, rows: TrainRows) -> None:
        self.inner = training_model(model, len(heads))
        self.optimizer = trainer.optimizer.build(plan.num_steps)
        self.optimizer.build(self.inner.trainable_variables)
        self.predictor = Predictor(self.inner, rows.file.num_numbers, trainer.eval_batch_size)
        self.heads = heads
        self.num_numbers = rows.file.num_numbers
        self.per_row = [head.loss.build() for head in heads]
        self.norms = self._norms(rows)
        self.state = tuple([v.value for v in group] for group in self._variables())
        self.step = _compiled_steps(self)

    def _variables(self) -> tuple[Any, Any, Any]:
        return self.inner.trainable_variables, self.inner.non_trainable_variables, self.optimizer.variables

    def _norms(self, rows: TrainRows) -> list[float]:
        """The loss of the best constant at the start, by which each label's loss is divided.

        So gradients have the same size whatever unit a label has, and labels weigh the same beside each other.
        """
        import jax.numpy as jnp

        sample = rows.sample(8192).floats[:, self.num_numbers :]
        norms = []
        for i, head in enumerate(self.heads):
            if head.task != "regression":
                norms.append(1.0)
                continue
            center = (head.offset - head.output_offset) / head.output_scale
            outputs = jnp.full((len(sample), 1), center, dtype=jnp.float32)
            mean = float(jnp.mean(head.losses(self.per_row[i], jnp.asarray(sample[:, i]), outputs)))
            norms.append(mean if np.isfinite(mean) and mean > 0 else 1.0)
        return norms

    def row_losses(self, outputs: Any, labels: Any) -> list[Any]:
        """The losses of each row and label, (b,) each, in the labels' units."""
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        return [head.losses(self.per_row[i], labels[:, i], outputs[i]) for i, head in enumerate(self.heads)]

    def advance(self, chunk: tuple[Any, Any], first: int, length: int) -> np.ndarray:
        """Trains on `length` batches of a chunk from its `first` on; gives the loss of each step."""
        self.state, losses = self.step(self.state, *chunk, first, first + length)
        return np.asarray(losses)[first : first + length]

    def measured(self, samples: dict[str, Matrices], measure: Measure) -> dict[str, dict[str, float]]:
        """Loss and metrics of each sample with the present weights."""
        import jax.numpy as jnp

        values = {}
        for name, sample in samples.items():
            outputs = self.predictor.outputs(sample, self.state[0], self.state[1])
            labels = jnp.asarray(sample.floats[:, self.num_numbers :])
            losses = self.row_losses([jnp.asarray(o) for o in outputs], labels)
            total = sum(
                float(jnp.mean(loss)) / (norm if len(self.heads) > 1 else 1.0) for loss, norm in zip(losses, self.norms, strict=True)
            )
            values[name] = {"loss": total, **measure(outputs, sample)}
        return values

    def arrays(self) -> list[np.ndarray]:
        """All variables, network first."""
        return [np.array(array) for group in self.state for array in group]

    def weights(self) -> list[np.ndarray]:
        """The network's variables."""
        return [np.array(array) for group in self.state[:2] for array in group]

    def named_weights(self) -> dict[str, np.ndarray]:
        """The network's weights by layer and name; the state of random generators is none."""
        variables = [variable for group in self._variables()[:2] for variable in group]
        weights = {id(weight) for weight in self.inner.weights}
        return {v.path: array for v, array in zip(variables, self.weights(), strict=True) if id(v) in weights}

    def restore(self, arrays: list[np.ndarray]) -> None:
        """Puts back what `arrays` gave."""
        import jax.numpy as jnp

        rest = iter(arrays)
        self.state = tuple([jnp.asarray(next(rest), dtype=old.dtype) for old in group] for group in self.state)

    def keep(self, weights: list[np.ndarray]) -> None:
        """Gives the model these weights."""
        for variable, value in zip([*self.inner.trainable_variables, *self.inner.non_trainable_variables], weights, strict=True):
            variable.assign(value)


def _compiled_steps(trainee: _Trainee) -> Any:
    """A compiled function (state, floats, codes, first, end) -> (state, losses): a step for each batch from `first` to before `end`.

    floats (n, b, numbers + labels) and codes (n, b, codes) always have the same n, so that one compilation serves
    every part of a chunk, and in whatever parts it is done the weights are the same to the bit.
    """
    import jax
    import jax.numpy as jnp

    inner, optimizer, numbers = trainee.inner, trainee.optimizer, trainee.num_numbers

    def objective(weights: Any, others: Any, floats: Any, codes: Any) -> Any:
        outputs, others, penalties = inner.stateless_call(weights, others, [floats[:, :numbers], codes], training=True, return_losses=True)
        losses = [jnp.mean(loss) for loss in trainee.row_losses(outputs, floats[:, numbers:])]
        normed = sum(loss / norm for loss, norm in zip(losses, trainee.norms, strict=True))
        told = losses[0] if len(losses) == 1 else normed
        return normed + sum(penalties, 0.0), (told, others)

    gradient = jax.value_and_grad(objective, has_aux=True)

    def step(i: Any, carry: Any, floats: Any, codes: Any) -> Any:
        (weights, others, slots), losses = carry
        (_, (loss, others)), gradients = gradient(weights, others, floats[i], codes[i])
        weights, slots = optimizer.stateless_apply(slots, gradients, weights)
        return (list(weights), list(others), list(slots)), losses.at[i].set(loss)

    def steps(state: Any, floats: Any, codes: Any, first: Any, end: Any) -> Any:
        losses = jnp.zeros(floats.shape[0], dtype=jnp.float32)
        return jax.lax.fori_loop(first, end, lambda i, carry: step(i, carry, floats, codes), (state, losses))

    return jax.jit(steps, donate_argnums=0)


def _padded(chunks: Iterator[Matrices], plan: Plan) -> Iterator[tuple[Any, Any]]:
    """Chunks as device arrays of one shape, (chunk_steps, batch_rows, columns); what a short one lacks is zeros."""
    import jax

    full = plan.chunk_steps * plan.batch_rows
    for chunk in chunks:
        shaped = []
        for matrix in (chunk.floats, chunk.codes):
            if len(matrix) < full:
                matrix = np.concatenate([matrix, np.zeros((full - len(matrix), matrix.shape[1]), dtype=matrix.dtype)])
            shaped.append(jax.device_put(matrix.reshape(plan.chunk_steps, plan.batch_rows, matrix.shape[1])))
        yield shaped[0], shaped[1]


def _check_finite(losses: np.ndarray, first_step: int, trainer: TrainerConfig) -> None:
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        rate = trainer.optimizer.learning_rate
        raise TrainingError(
            f"the loss is not a number any more at step {first_step + int(bad[0]) + 1:,}",
            f"try a smaller learning_rate (it is {rate if isinstance(rate, float) else rate.name}), `clipnorm: 1` for the optimizer,"
            " or look for extreme values with `cengine datasource show`",
        )


def _patience_over(state: Checkpoint, trainer: TrainerConfig, judged: str) -> bool:
    """Whether the last `patience` checkpoints all failed to be better than the best before them."""
    rule = trainer.early_stopping
    if rule is None or len(state.history) <= rule.patience:
        return False
    losses = [entry[judged]["loss"] for entry in state.history]
    return min(losses[-rule.patience :]) >= min(losses[: -rule.patience]) - rule.min_delta
