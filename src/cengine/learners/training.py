"""The training of a network, from its rows to the files of its model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cengine.config.schema import TRAIN
from cengine.errors import TrainingError
from cengine.learners.checkpoints import CHECKPOINTS
from cengine.learners.examples import Examples, TrainRows
from cengine.learners.graph import graph_of
from cengine.learners.heads import Head
from cengine.learners.learner import TENSORBOARD, Course, Fitted, nothing_to_judge_on
from cengine.learners.loop import EVALUATION_SAMPLE_ROWS, TRAIN_SAMPLE_ROWS, Plan, train
from cengine.learners.model import build_model, save_model, signature_of
from cengine.learners.tensorboard import TrainingLog, finish_log, hyperparameters

if TYPE_CHECKING:
    from cengine.learners.feedforward import Feedforward

# Rows that are thinned out at a time.
BLOCK_ROWS = 2**20


def fit_network(learner: Feedforward, examples: Examples, heads: Sequence[Head], course: Course) -> Fitted:
    """Trains a network and writes its model, its signature and what TensorBoard shows into the folder of `course`."""
    rows = TrainRows(examples, learner.seed, course.memory_bytes)
    plan = Plan.of(learner, rows.num_rows, examples.bytes_per_row)
    model = build_model(examples.inputs, learner, heads, examples.frame)
    if learner.early_stopping and course.judged is None:
        raise nothing_to_judge_on(rows.num_rows, "say train_steps")
    learner = learner.filled_in(rows.num_rows)
    beside = list(dict.fromkeys(name for name in (course.judged, course.shown) if name is not None))
    most_train, most_beside = (n // examples.rows_per_example for n in (TRAIN_SAMPLE_ROWS, EVALUATION_SAMPLE_ROWS))
    num_beside = sum(min(examples.num_rows(name), most_beside) for name in beside)
    _check_memory(course, examples, plan, min(rows.num_rows, most_train) + num_beside)
    samples = {TRAIN: rows.sample(most_train)}
    samples |= {name: examples.thinned(name, most_beside, BLOCK_ROWS) for name in beside}
    signature = signature_of(examples.inputs, heads)
    with TrainingLog(course.kept / TENSORBOARD) as log:
        num_weights = model.count_params()
        log.begin(
            graph_of(model, signature),
            hyperparameters(learner, heads, course.num_features, plan.num_steps, num_weights)
            | {"chosen_on": course.judged or "nothing, the last step is kept"},
        )
        trained = train(
            model,
            heads,
            learner,
            plan,
            rows,
            samples,
            course.judged,
            course.measure,
            course.kept / CHECKPOINTS,
            lambda step, loss: course.report(step, f"loss {loss:.4g}"),
            log.write,
            course.wish,
        )
    save_model(model, course.folder, signature)
    finish_log(course, trained.best_step, trained.best, trained.unlogged)
    return Fitted(
        trained.num_steps,
        plan.num_steps,
        num_weights,
        trained.history,
        trained.best_step,
        trained.stopped_early,
        trained.first_step,
        trained.limit,
    )


def _check_memory(course: Course, examples: Examples, plan: Plan, sample_rows: int) -> None:
    """Raises TrainingError where what training holds beside its windows of rows is more than the memory limit leaves for it."""
    needed = examples.held_bytes_per_row * sample_rows + examples.bytes_per_row * 3 * plan.chunk_steps * plan.batch_rows
    if needed > course.memory_bytes:
        wanted = course.limit_bytes + 2 * (needed - course.memory_bytes)
        raise TrainingError(
            f"the memory limit of {course.limit_bytes / 1e9:.1f} GB is too small to train on rows of {examples.bytes_per_row:,} bytes in "
            f"batches of {plan.batch_rows:,}",
            f"give more with --memory, here --memory {math.ceil(wanted / 1e9)}GB, or a smaller train_batch_size",
        )
