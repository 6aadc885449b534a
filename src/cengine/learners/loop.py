"""The training loop: many steps in one compiled call, while a thread prepares the rows of the next call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cengine.errors import TrainingError
from cengine.learners.checkpoints import Checkpoint, leave, read_newest, write_checkpoint
from cengine.learners.examples import Batch, TrainRows
from cengine.learners.heads import Head
from cengine.learners.model import training_model
from cengine.learners.predict import NetworkPredictor, as_rows, network_inputs
from cengine.learners.prefetch import Prefetched
from cengine.networks.keras_setup import KerasModel, KerasVariables
from cengine.preprocess.targets import row_weights
from cengine.stopping import Reason, Wish

if TYPE_CHECKING:
    import jax

    from cengine.learners.feedforward import Feedforward

    # The variables of the network, trainable and not, and of the optimizer.
    State = tuple[list[jax.Array], ...]
    Carry = tuple[State, jax.Array]
    # The arrays of batches.
    Chunk = dict[str, jax.Array]

MAX_CHUNK_STEPS = 1000
MAX_CHUNK_BYTES = 32 * 2**20
NUM_CHECKPOINTS = 10
# The most rows on which checkpoints are judged, and on which the loss is measured beside.
EVALUATION_SAMPLE_ROWS = 2**19
TRAIN_SAMPLE_ROWS = 2**17
# A wish to end is asked for this often, also where a chunk takes longer; the first steps show how long one takes.
SLICE_SECONDS = 0.5
FIRST_SLICE_STEPS = 16

# Told steps done and the loss of the last step; metrics of a split's sample from its predictions and encoded rows.
Report = Callable[[int, float], None]
Measure = Callable[[dict[str, np.ndarray], Batch], dict[str, float]]
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
    def of(trainer: Feedforward, num_rows: int, bytes_per_row: int) -> Plan:
        """The plan for so many rows that are learnt from."""
        trainer = trainer.filled_in(num_rows)
        assert trainer.train_batch_size is not None
        steps = trainer.train_steps or max(1, int(np.ceil((trainer.epochs or 0) * num_rows / trainer.train_batch_size)))
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
    model: KerasModel,
    heads: Sequence[Head],
    trainer: Feedforward,
    plan: Plan,
    rows: TrainRows,
    samples: dict[str, Batch],
    judged: str | None,
    measure: Measure,
    folder: Path,
    report: Report,
    logged: Logged,
    wish: Wish | None = None,
) -> Trained:
    """Trains `model` in place; it ends with the weights of the best checkpoint (least loss on the sample `judged`), or with the last.

    `samples` are encoded rows by split, train first, measured at each checkpoint; only the one `judged` chooses. Checkpoints go to `folder`, and
    training goes on from the newest one found there: the result is that of an undisturbed training. A wish to end
    is heard after each compiled call: a checkpoint of just there is written, and Stopped raised. Where the wish is
    a limit, what was reached is measured instead, and is the result. Raises TrainingError at the first loss that is
    not a number.
    """
    wish, trainer = wish or Wish(), trainer.filled_in(rows.num_rows)
    course = _Course(_Trainee(model, heads, trainer, plan, rows), plan, samples, judged, measure, folder)
    state, first_step, limit, unlogged = course.state, course.state.step, None, None
    stopped = _patience_over(state, trainer, judged)
    lengths = () if stopped else plan.lengths(first_step)
    chunks = Prefetched(_padded(rows.chunks(first_step, plan.lengths(first_step), plan.batch_rows), plan), idle=stopped)
    with wish.held(*Reason), chunks:
        for losses in _slices(course.trainee, chunks, lengths, wish):
            _check_finite(losses, state.step, trainer)
            state.add(losses)
            report(state.step, float(losses[-1]))
            if plan.is_checkpoint(state.step):
                logged(state.step, course.measured(), course.trainee.named_weights())
                stopped = _patience_over(state, trainer, judged)
                course.write()
                if stopped:
                    break
        if wish.reason is not None and state.step < plan.num_steps and not stopped:
            limit, unlogged = wish.reason, course.leave(wish.reason, first_step)
    course.trainee.keep(state.best_arrays or course.trainee.weights())
    return Trained(state.history, state.step, state.best_step, stopped, first_step, limit, unlogged)


def _slices(trainee: _Trainee, chunks: Prefetched[Chunk], lengths: Iterable[int], wish: Wish) -> Iterator[np.ndarray]:
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

    def __init__(
        self,
        trainee: _Trainee,
        plan: Plan,
        samples: dict[str, Batch],
        judged: str | None,
        measure: Measure,
        folder: Path,
    ) -> None:
        self.trainee, self.plan, self.samples, self.measure, self.folder = trainee, plan, samples, measure, folder
        self.judged = judged
        start = read_newest(folder) or Checkpoint(0, trainee.arrays())
        trainee.restore(start.arrays)
        self.state = replace(start, arrays=[])

    def measured(self) -> dict[str, dict[str, float]]:
        """What the weights reach by now; it goes into the history, and the best ones are remembered, or that these are the last."""
        state = self.state
        values = self.trainee.measured(self.samples, self.measure)
        values["train"]["running_loss"] = state.take_running_loss()
        state.history.append({"step": state.step, **values})
        if self.judged is None:
            state.best_step = state.step
        elif values[self.judged]["loss"] < state.best_loss:
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
        is_new = self.state.num_losses > 0 and self.state.step > first_step
        leave(reason, self.state.step, self.write if is_new else None)
        return (self.state.step, self.measured(), self.trainee.named_weights()) if self.state.num_losses else None


class _Trainee:
    """The network's and the optimizer's variables between compiled calls."""

    def __init__(
        self, model: KerasModel, heads: Sequence[Head], trainer: Feedforward, plan: Plan, rows: TrainRows
    ) -> None:
        self.inner = training_model(model, len(heads))
        assert trainer.optimizer is not None, "it is filled in"
        self.optimizer = trainer.optimizer.build(plan.num_steps)
        self.optimizer.build(self.inner.trainable_variables)
        self.predictor = NetworkPredictor(self.inner, heads, trainer.eval_batch_size)
        self.heads = heads
        self.examples = rows.examples
        self.per_row = [head.loss.build() for head in heads]
        self.norms = self._norms(rows)
        self.state: State = tuple([v.value for v in group] for group in self._variables())
        self.step = _compiled_steps(self)

    def _variables(self) -> tuple[KerasVariables, ...]:
        return self.inner.trainable_variables, self.inner.non_trainable_variables, self.optimizer.variables

    def _norms(self, rows: TrainRows) -> list[float]:
        """The loss of the best constant at the start, by which each label's loss is divided.

        So gradients have the same size whatever unit a label has, and labels weigh the same beside each other.
        """
        import jax.numpy as jnp

        sample = rows.sample(8192)
        norms = []
        for head, per_row in zip(self.heads, self.per_row, strict=True):
            if head.constant is None:
                norms.append(1.0)
                continue
            encoded = head.encoded(sample)
            outputs = jnp.full((len(encoded), head.units), head.constant, dtype=jnp.float32)
            mean = float(jnp.mean(head.losses(per_row, jnp.asarray(encoded), outputs)))
            norms.append(mean if np.isfinite(mean) and mean > 0 else 1.0)
        return norms

    def mean_losses(
        self, outputs: jax.Array | list[jax.Array], rows: Batch, weights: Mapping[str, jax.Array]
    ) -> list[jax.Array]:
        """The mean loss of each label over rows of JAX's arrays, each times its weight, in the labels' units."""
        import jax.numpy as jnp

        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        found = []
        for i, head in enumerate(self.heads):
            name = head.target.name
            encoded = head.encoded(rows)
            losses = head.losses(self.per_row[i], encoded, as_rows(outputs[i]))
            counted = row_weights(head.target, encoded, weights.get(name))
            found.append(jnp.mean(losses if counted is None else losses * counted))
        return found

    def advance(self, chunk: Chunk, first: int, length: int) -> np.ndarray:
        """Trains on `length` batches of a chunk from its `first` on; gives the loss of each step."""
        self.state, losses = self.step(self.state, chunk, first, first + length)
        return np.asarray(losses)[first : first + length]

    def measured(self, samples: dict[str, Batch], measure: Measure) -> dict[str, dict[str, float]]:
        """Loss and metrics of each sample with the present weights."""
        import jax.numpy as jnp

        values = {}
        for name, sample in samples.items():
            outputs = self.predictor.outputs(sample, self.state[0], self.state[1])
            rows = sample.each(jnp.asarray)
            together = [head.mean(output) for head, output in zip(self.heads, outputs, strict=True)]
            weights = {name: column / jnp.mean(column) for name, column in rows.weights.items()}
            losses = self.mean_losses([jnp.asarray(o) for o in together], rows, weights)
            total = sum(
                float(loss) / (norm if len(self.heads) > 1 else 1.0)
                for loss, norm in zip(losses, self.norms, strict=True)
            )
            values[name] = {"loss": total, **measure(self.predictor.read(outputs), sample)}
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
        for variable, value in zip(
            [*self.inner.trainable_variables, *self.inner.non_trainable_variables], weights, strict=True
        ):
            variable.assign(value)


def _compiled_steps(trainee: _Trainee) -> Callable[[State, Chunk, int, int], Carry]:
    """A compiled function (state, chunk, first, end) -> (state, losses): a step for each batch from `first` to before `end`.

    A chunk is the arrays of n batches, (n, b, ...) by name. It always has the same n, so that one compilation
    serves every part of a chunk, and in whatever parts it is done the weights are the same to the bit.
    """
    import jax
    import jax.numpy as jnp

    inner, optimizer = trainee.inner, trainee.optimizer

    def objective(
        weights: list[jax.Array], others: list[jax.Array], batch: Chunk
    ) -> tuple[jax.Array | float, tuple[jax.Array | float, list[jax.Array]]]:
        rows = trainee.examples.batch(batch)
        outputs, others, penalties = inner.stateless_call(
            weights, others, network_inputs(rows.inputs), training=True, return_losses=True
        )
        losses = trainee.mean_losses(outputs, rows, rows.weights)
        normed = sum(loss / norm for loss, norm in zip(losses, trainee.norms, strict=True))
        told = losses[0] if len(losses) == 1 else normed
        return normed + sum(penalties, 0.0), (told, others)

    gradient = jax.value_and_grad(objective, has_aux=True)

    def step(i: jax.Array, carry: Carry, chunk: Chunk) -> Carry:
        (weights, others, slots), losses = carry
        (_, (loss, others)), gradients = gradient(weights, others, jax.tree.map(lambda array: array[i], chunk))
        weights, slots = optimizer.stateless_apply(slots, gradients, weights)
        return (list(weights), list(others), list(slots)), losses.at[i].set(loss)

    def steps(state: State, chunk: Chunk, first: int, end: int) -> Carry:
        losses = jnp.zeros(jax.tree.leaves(chunk)[0].shape[0], dtype=jnp.float32)
        done: Carry = jax.lax.fori_loop(first, end, lambda i, carry: step(i, carry, chunk), (state, losses))
        return done

    return jax.jit(steps, donate_argnums=0)


def _padded(chunks: Iterator[Batch], plan: Plan) -> Iterator[Chunk]:
    """Chunks as device arrays of one shape, (chunk_steps, batch_rows, ...); what a short one lacks is zeros."""
    import jax

    def on_device(array: np.ndarray) -> jax.Array:
        put: jax.Array = jax.device_put(array.reshape(plan.chunk_steps, plan.batch_rows, *array.shape[1:]))
        return put

    for chunk in chunks:
        whole = chunk.padded(plan.chunk_steps * plan.batch_rows)
        yield {name: on_device(array) for name, array in whole.arrays.items()}


def _check_finite(losses: np.ndarray, first_step: int, trainer: Feedforward) -> None:
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        rate = trainer.optimizer.learning_rate if trainer.optimizer else 0.0
        raise TrainingError(
            f"the loss is not a number any more at step {first_step + int(bad[0]) + 1:,}",
            f"try a smaller learning_rate (it is {rate if isinstance(rate, float) else rate.name}), `clipnorm: 1` for the optimizer,"
            " or look for extreme values with `cengine datasource show`",
        )


def _patience_over(state: Checkpoint, trainer: Feedforward, judged: str | None) -> bool:
    if not trainer.early_stopping or judged is None:
        return False
    return trainer.early_stopping.is_over([entry[judged]["loss"] for entry in state.history])
