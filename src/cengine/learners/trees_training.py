"""The growing of trees, round by round: a checkpoint is the text of the trees, from which growing goes on to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cengine.config.schema import TRAIN
from cengine.errors import TrainingError
from cengine.learners.checkpoints import CHECKPOINTS, Checkpoint, leave, read_newest, write_checkpoint
from cengine.learners.examples import Batch, Examples
from cengine.learners.learner import TENSORBOARD, Course, Fitted, nothing_to_judge_on
from cengine.learners.tensorboard import TrainingLog, finish_log
from cengine.learners.trees_library import import_lightgbm, threads_for
from cengine.learners.trees_model import num_leaves, raw_scores, write_trees
from cengine.learners.trees_objectives import Objective, objectives_of, predictions_of
from cengine.learners.trees_rows import TrainTable, check_memory, matrix_of
from cengine.preprocess.targets import Target, row_weights
from cengine.stopping import Reason

if TYPE_CHECKING:
    import lightgbm

    from cengine.learners.boosted_trees import BoostedTrees

# The most rows on which the trees are judged, and on which the loss is measured beside.
JUDGED_ROWS, TRAIN_SAMPLE_ROWS = 2**18, 2**16

Values = dict[str, dict[str, float]]


def fit_trees(learner: BoostedTrees, examples: Examples, targets: Sequence[Target], course: Course) -> Fitted:
    """Grows trees and writes them, and what TensorBoard shows, into the folder of `course`."""
    objectives, table = objectives_of(targets), TrainTable(examples, course)
    if learner.early_stopping and course.judged is None:
        raise nothing_to_judge_on(table.num_rows, "say how many trees")
    check_memory(table, objectives, course, learner.bins, learner.leaves)
    growing = _Growing(learner, objectives, table, course)
    with TrainingLog(course.kept / TENSORBOARD) as log:
        log.begin(None, _hyperparameters(learner, objectives, course))
        limit, unlogged = growing.grow(log)
    state = growing.state
    gains = write_trees(course.folder, growing.boosters, objectives, examples.inputs, state.best_step)
    reached = next(entry for entry in state.history if entry["step"] == state.best_step)
    finish_log(course, state.best_step, reached, None if unlogged is None else (state.step, unlogged, {}))
    return Fitted(
        num_steps=state.step,
        planned_steps=growing.most,
        num_weights=sum(num_leaves(booster, state.best_step) for booster in growing.boosters),
        history=state.history,
        best_step=state.best_step,
        stopped_early=growing.stopped_early,
        first_step=growing.first_step,
        limit=limit,
        steps_are="trees",
        weights_are="leaves",
        importance=gains,
    )


class _Growing:
    """Trees on their way: a booster an objective, the newest checkpoint, and what is measured from there on."""

    def __init__(
        self, learner: BoostedTrees, objectives: Sequence[Objective], table: TrainTable, course: Course
    ) -> None:
        self.learner, self.objectives, self.table, self.course = learner, objectives, table, course
        self.most = learner.most_beside(course.judged)
        start = read_newest(course.kept / CHECKPOINTS) or Checkpoint(0, [])
        self.first_step, self.state = start.step, replace(start, arrays=[])
        self.boosters = [self._booster(place, start) for place in range(len(objectives))]
        self.samples = [_Sample(name, self._sample(name, rows), objectives) for name, rows in self._samples()]
        self.norms = self._norms()
        self.stopped_early = self._patience_over()
        self.is_finished = False  # no split makes the loss any smaller

    def grow(self, log: TrainingLog) -> tuple[Reason | None, Values | None]:
        """Grows until the last round, or until there is no need to; gives the limit that ended it, and what was then measured, but not logged."""
        wish, state = self.course.wish, self.state
        with wish.held(*Reason):
            while state.step < self.most and not self.stopped_early and not self.is_finished:
                if wish.reason is not None:
                    return wish.reason, self._leave(wish.reason)
                self._round()
                if state.step % self.learner.every == 0 or state.step == self.most or self.is_finished:
                    log.write(state.step, self._measured(), {})
                    self.stopped_early = self._patience_over()
                    self._write()
                    self.course.report(state.step, self._note())
        return None, None

    def _round(self) -> None:
        """One more round of each objective."""
        try:
            ended = [booster.update() for booster in self.boosters]
        except import_lightgbm().basic.LightGBMError as error:
            raise TrainingError(f"the trees cannot be grown: {error}") from error
        self.is_finished = all(ended)
        if not self.is_finished or self.state.step == 0:
            self.state.step += 1
            self.course.report(self.state.step, self._note())

    def _booster(self, place: int, start: Checkpoint) -> lightgbm.Booster:
        """A booster with the trees of a checkpoint, ready for the next round."""
        library, objective = import_lightgbm(), self.objectives[place]
        threads = threads_for(self.table.num_rows)
        parameters = {**self.learner.parameters(), **objective.parameters, "num_threads": threads}
        try:
            if not start.step:
                booster: lightgbm.Booster = library.Booster(parameters, self.table.dataset(objective, parameters, None))
                return booster
            before = library.Booster(model_str=start.arrays[place].tobytes().decode())
            scores = np.concatenate([raw_scores(before, objective, matrix_of(rows)) for rows in self.table.blocks()])
            booster = library.Booster(parameters, self.table.dataset(objective, parameters, scores))
            # The trees of before in front of those to come, as lightgbm.train does it for an init_model that is given with all its rows.
            library.basic._safe_call(library.basic._LIB.LGBM_BoosterMerge(booster._handle, before._handle))
        except library.basic.LightGBMError as error:
            raise TrainingError(f"the rows cannot be binned for trees: {error}") from error
        return booster

    # What is measured

    def _samples(self) -> list[tuple[str, int]]:
        room = self.course.memory_bytes // (16 * max(1, self.table.examples.bytes_per_row))
        beside = dict.fromkeys(name for name in (self.course.judged, self.course.shown) if name is not None)
        return [(TRAIN, min(TRAIN_SAMPLE_ROWS, room)), *((name, min(JUDGED_ROWS, room)) for name in beside)]

    def _sample(self, split: str, num_rows: int) -> Batch:
        return self.table.examples.thinned(split, max(1, num_rows), self.table.block_rows)

    def _norms(self) -> list[float]:
        """By objective the loss of the best constant for its target, by which each of several labels' losses is divided, so that they
        weigh the same.
        """
        rows, norms = self.samples[0].rows, dict.fromkeys((one.target.name for one in self.objectives), 0.0)
        for objective in self.objectives:
            name, constant = objective.target.name, objective.constant
            if constant is None or len(norms) == 1:
                norms[name] = 1.0
                continue
            norms[name] += objective.share * _mean_loss(objective, np.tile(constant, (len(rows), 1)), rows)
        known = {name: mean if np.isfinite(mean) and mean > 0 else 1.0 for name, mean in norms.items()}
        return [known[objective.target.name] for objective in self.objectives]

    def _measured(self) -> Values:
        """What the trees reach by now; it goes into the history, and the best number of rounds is remembered."""
        state = self.state
        values = {sample.name: self._measure(sample) for sample in self.samples}
        state.history.append({"step": state.step, **values})
        judged = self.course.judged
        loss = values[judged or TRAIN]["loss"]
        if not np.isfinite(loss):
            raise TrainingError(
                f"the loss is not a number any more at round {state.step:,}",
                f"try a smaller learning_rate (it is {self.learner.learning_rate})",
            )
        if judged is None or loss < state.best_loss:
            state.best_loss, state.best_step = loss, state.step
        return values

    def _measure(self, sample: _Sample) -> dict[str, float]:
        scores = sample.advanced(self.boosters, self.objectives, self.learner.every, self.state.step)
        loss = 0.0
        for objective, raw, norm in zip(self.objectives, scores, self.norms, strict=True):
            loss += objective.share * _mean_loss(objective, raw, sample.rows) / norm
        return {"loss": loss, **self.course.measure(predictions_of(self.objectives, scores), sample.rows)}

    def _note(self) -> str:
        if not self.state.history:
            return ""
        name = self.course.judged or TRAIN
        return f"loss {self.state.history[-1][name]['loss']:.4g} on {name}"

    def _patience_over(self) -> bool:
        rule, judged = self.learner.stopping, self.course.judged
        if rule is None or judged is None:
            return False
        return rule.is_over([entry[judged]["loss"] for entry in self.state.history])

    # What is written

    def _write(self) -> None:
        """Writes a checkpoint."""
        texts = [booster.model_to_string(num_iteration=self.state.step).encode() for booster in self.boosters]
        self.state.arrays = [np.frombuffer(text, np.uint8) for text in texts]
        write_checkpoint(self.course.kept / CHECKPOINTS, self.state)
        self.state.arrays = []

    def _leave(self, reason: Reason) -> Values | None:
        """Leaves before the last round, with a checkpoint of just here. Raises Stopped, but for a limit gives what was yet to be logged.

        What a limit has measured is of its result only, and not in the checkpoint: who goes on from there never stopped here.
        """
        state = self.state
        is_measured = bool(state.history) and state.history[-1]["step"] == state.step
        is_new = state.step > self.first_step and not is_measured
        leave(reason, state.step, self._write if is_new else None)
        return None if is_measured else self._measured()


@dataclass
class _Sample:
    """Rows on which is measured what the trees reach, with the sums of leaves up to a checkpoint.

    The sums are added up checkpoint by checkpoint, whether or not growing was interrupted in between: the same bits come out.
    """

    name: str
    rows: Batch
    objectives: Sequence[Objective]

    def __post_init__(self) -> None:
        self.matrix = matrix_of(self.rows)
        self.scores = [np.zeros((len(self.rows), one.num_scores)) for one in self.objectives]
        self.step = 0

    def advanced(
        self, boosters: Sequence[lightgbm.Booster], objectives: Sequence[Objective], every: int, step: int
    ) -> list[np.ndarray]:
        """The sums of the first `step` rounds, (n, num_scores) of each target."""
        while self.step < step:
            more = min(every, step - self.step)
            for place, (booster, objective) in enumerate(zip(boosters, objectives, strict=True)):
                self.scores[place] = self.scores[place] + raw_scores(booster, objective, self.matrix, self.step, more)
            self.step += more
        return self.scores


def _mean_loss(objective: Objective, raw: np.ndarray, rows: Batch) -> float:
    """The mean loss over rows, each as often as it counts."""
    name = objective.target.name
    losses = objective.losses(raw, rows.labels[name])
    counted = row_weights(objective.target, rows.labels[name], rows.weights.get(name))
    return float(losses.mean() if counted is None else (losses * counted).sum() / counted.sum())


def _hyperparameters(learner: BoostedTrees, objectives: Sequence[Objective], course: Course) -> dict[str, float | str]:
    """What a run is told apart by, flat, under the words of the YAML."""
    found: dict[str, Any] = {
        "architecture": learner.name,
        "loss_function": ", ".join({objective.target.name: objective.loss for objective in objectives}.values()),
        "trees": learner.most_trees,
        "leaves": learner.leaves,
        "max_depth": learner.max_depth or "none",
        "learning_rate": learner.learning_rate,
        "min_rows_in_leaf": learner.min_rows_in_leaf,
        "l2": learner.l2,
        "bins": learner.bins,
        "seed": learner.seed,
        "num_features": course.num_features,
        "chosen_on": course.judged or "nothing, all trees are kept",
    }
    if learner.stopping is not None:
        found |= {f"early_stopping.{name}": value for name, value in learner.stopping}
    return found
