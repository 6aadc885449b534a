"""An autoencoder: a network that gives back the columns that it is given, through a code of few numbers.

The score of a row is the mean of its columns' losses, each divided by its constant's (see `reconstruction.py`). Beside the network's
files stand `reconstruction.json`, what is reconstructed, and `scores.npz`, the scores of the train rows (of many rows, of RANKED of them
at equal distances), by which a threshold is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cengine.config.schema import TRAIN
from cengine.errors import StoreError
from cengine.learners.codes import CODE
from cengine.learners.examples import Batch, Examples
from cengine.learners.learner import Course, Fitted
from cengine.learners.model import load_predictor, training_model
from cengine.learners.predict import NetworkPredictor
from cengine.learners.reconstruction import Layout
from cengine.learners.training import fit_network
from cengine.networks.keras_setup import KerasModel, import_keras
from cengine.networks.losses import Loss
from cengine.preprocess.targets import Target
from cengine.tasks import Reconstruction

if TYPE_CHECKING:
    import jax

    from cengine.learners.feedforward import Feedforward
    from cengine.learners.heads import Head
    from cengine.networks.losses import RowLosses

SCORES_FILE = "scores.npz"
# The scores of so many train rows say where a threshold lies: with the usual one the share above it is exact to 0.02 % of all rows.
RANKED = 2**18
# Rows that are read at a time, and rows and losses that are looked at together.
BLOCK_ROWS = 2**18
LEAST_ROWS, MOST_LOSSES = 2**13, 2**21


class RowLoss(Loss):
    """The mean over the columns of what each loses, divided by what its constant loses."""

    name = "reconstruction"
    tasks = (Reconstruction.name,)

    def build(self) -> RowLosses:
        return lambda losses, outputs: losses


@dataclass(frozen=True)
class ReconstructionHead:
    """The outputs for all columns together, where other networks have a head for each label."""

    target: Target
    layout: Layout
    loss: Loss = field(default_factory=RowLoss)
    activation: str = "linear"
    output_offset: float = 0.0
    output_scale: float = 1.0
    members: int = 1
    constant: float | None = None

    @property
    def units(self) -> int:
        """How many outputs there are."""
        return self.layout.num_outputs

    def encoded(self, rows: Batch) -> dict[str, Any]:
        """What outputs are compared with: what enters."""
        return rows.inputs

    def losses(self, per_row: RowLosses, encoded: dict[str, Any], outputs: jax.Array) -> jax.Array:
        """The loss of each row, inside a compiled step."""
        return self.layout.losses(outputs, encoded)[0].mean(axis=1)

    def mean(self, outputs: Any) -> Any:
        """The outputs: there are no members."""
        return outputs

    def read(self, outputs: np.ndarray) -> np.ndarray:
        """The outputs as they are; without the rows they say nothing of losses."""
        return outputs


def fit_autoencoder(learner: Feedforward, examples: Examples, target: Target, course: Course) -> Fitted:
    """Trains a network on the train rows and writes its files into the folder of `course`.

    Raises TrainingError where every column has one value.
    """
    block_rows = max(1, min(BLOCK_ROWS, course.memory_bytes // (4 * examples.bytes_per_row or 1)))
    layout = Layout.of(examples.inputs, (block for _, block in examples.blocks(TRAIN, block_rows)))
    heads: list[Head] = [ReconstructionHead(target, layout)]  # type: ignore[list-item]  # it has the methods of a head that are called here
    fitted = fit_network(learner, examples, heads, course)
    layout.write(course.folder)
    scoring = _Scoring(load_predictor(course.folder), layout)
    TrainScores.of(scoring, examples.thinned(TRAIN, RANKED, block_rows)).write(course.folder)
    return fitted


def read_autoencoder(folder: Path, target: Target) -> RowPredictor:
    """What `fit_autoencoder` wrote. Raises StoreError where its files are damaged."""
    layout = Layout.read(folder)
    return RowPredictor(_Scoring(load_predictor(folder), layout), TrainScores.read(folder), target)


@dataclass(frozen=True)
class Scored:
    """Rows with the losses and squared errors of their parts, float64 (n, parts), those of constants, and codes (n, code)."""

    losses: np.ndarray
    squares: np.ndarray
    constant_losses: np.ndarray
    constant_squares: np.ndarray
    codes: np.ndarray


@dataclass(frozen=True)
class TrainScores:
    """The scores of train rows, ascending, those that constants give them, and the mean loss of each part, float64."""

    scores: np.ndarray
    constant: np.ndarray
    columns: np.ndarray

    @staticmethod
    def of(scoring: _Scoring, rows: Batch) -> TrainScores:
        """Those of these rows."""
        scores, constant, columns = [], [], np.zeros(len(scoring.layout.parts))
        for found in scoring.of(rows):
            scores.append(found.losses.mean(axis=1))
            constant.append(found.constant_losses.mean(axis=1))
            columns += found.losses.sum(axis=0)
        return TrainScores(np.sort(np.concatenate(scores)), np.sort(np.concatenate(constant)), columns / len(rows))

    def write(self, folder: Path) -> None:
        """Writes them as arrays."""
        np.savez(
            folder / SCORES_FILE,
            allow_pickle=False,
            scores=self.scores,
            constant=self.constant,
            columns=self.columns,
        )

    @staticmethod
    def read(folder: Path) -> TrainScores:
        """What is kept of train rows. Raises StoreError where it is damaged."""
        try:
            with np.load(folder / SCORES_FILE, allow_pickle=False) as file:
                return TrainScores(file["scores"], file["constant"], file["columns"])
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(
                f"{folder / SCORES_FILE} is damaged: {error}",
                "cengine cache verify --repair removes it, and the next run builds it again",
            ) from error


class _Scoring:
    """A network whose outputs are losses: what a `NetworkPredictor` asks of a model."""

    def __init__(self, model: KerasModel, layout: Layout) -> None:
        inner = training_model(model, 1)
        code = model.get_layer(CODE).output
        self.model = import_keras().Model(inner.inputs, [inner.outputs[0], code])
        self.layout, self.inputs = layout, self.model.inputs
        self.trainable_variables = self.model.trainable_variables
        self.non_trainable_variables = self.model.non_trainable_variables
        self._predictor = NetworkPredictor(self, [])
        self._plain = NetworkPredictor(self.model, [])

    def stateless_call(
        self, weights: Any, others: Any, inputs: list[jax.Array], *, training: bool
    ) -> tuple[list[jax.Array], Any]:
        """Losses, squared errors and the code of rows, inside a compiled call."""
        (outputs, code), others = self.model.stateless_call(weights, others, inputs, training=training)
        return [*self.layout.losses(outputs, {"numbers": inputs[0], "codes": inputs[1]}), code], others

    def of(self, batch: Batch) -> Iterator[Scored]:
        """What is known of these rows, so many at a time that wide tables take no more memory than narrow ones."""
        at_once = max(LEAST_ROWS, min(BLOCK_ROWS, MOST_LOSSES // len(self.layout.parts)))
        for first in range(0, len(batch), at_once):
            rows = batch.part(first, first + at_once)
            losses, squares, codes = (found.astype(np.float64) for found in self._predictor.outputs(rows))
            yield Scored(losses, squares, *self.layout.constant(rows), codes)

    def outputs(self, batch: Batch) -> np.ndarray:
        """The outputs of few rows, float32 (n, num_outputs)."""
        return self._plain.outputs(batch)[0]


class RowPredictor:
    """An autoencoder that was read."""

    def __init__(self, scoring: _Scoring, train: TrainScores, target: Target) -> None:
        assert isinstance(target.task, Reconstruction)
        self._scoring, self.train, self.target = scoring, train, target
        self.layout = scoring.layout
        self.threshold, self._of_constant = (
            float(np.quantile(scores, target.task.threshold)) for scores in (train.scores, train.constant)
        )

    def predict(self, batch: Batch) -> dict[str, np.ndarray]:
        """The numbers of `tasks.SCORES` of each row, then its code: float64 (n, 7 + code)."""
        parts = [self._scores(found) for found in self._scoring.of(batch)]
        return {self.target.name: np.concatenate([np.empty((0, self.target.num_outputs)), *parts])}

    def _scores(self, found: Scored) -> np.ndarray:
        score, constant = found.losses.mean(axis=1), found.constant_losses.mean(axis=1)
        scores = [
            score,
            found.losses.max(axis=1),
            found.squares.mean(axis=1),
            score > self.threshold,
            constant,
            found.constant_squares.mean(axis=1),
            constant > self._of_constant,
        ]
        return np.column_stack([*scores, found.codes])

    def losses(self, batch: Batch) -> np.ndarray:
        """The loss of each part of few rows, float64 (n, parts)."""
        return np.concatenate([found.losses for found in self._scoring.of(batch)])

    def sums(self, batch: Batch) -> np.ndarray:
        """The sum of the losses of each part over many rows, float64 (parts,)."""
        found: np.ndarray = sum(
            (own.losses.sum(axis=0) for own in self._scoring.of(batch)), np.zeros(len(self.layout.parts))
        )
        return found

    def told(self, batch: Batch) -> list[np.ndarray]:
        """What is said of each part: see `Layout.told`."""
        return self.layout.told(self._scoring.outputs(batch))

    def summary(self) -> None:
        """Prints the network's layers."""
        self._scoring.model.summary()
