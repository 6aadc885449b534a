"""The models that an evaluation measures, each with the rows that it has not learnt from: one, or one for each fold.

The model of a fold may know fewer classes than all rows have: its predictions are given in the classes of all rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cengine.stages.context import Context
from cengine.stages.encoded import Encoded
from cengine.stages.stage import Work
from cengine.stages.train import Train
from cengine.stages.yardsticks import Yardsticks, read_yardsticks
from cengine.tables import ROW_ID

if TYPE_CHECKING:
    from cengine.learners.examples import Batch
    from cengine.learners.learner import Predictor
    from cengine.preprocess.targets import Target


@dataclass(frozen=True)
class Measured:
    """A model and what stands beside it, `yardsticks` by name; `encoded` are the rows as it sees them.

    `targets` are the run's. `fold` (from 1) is the one that it did not learn from, None if rows are divided once.
    """

    encoded: Encoded
    predictor: Predictor
    yardsticks: Mapping[str, Predictor]
    targets: Sequence[Target]
    fold: int | None = None

    @property
    def splits(self) -> list[tuple[int, str]]:
        """Number and name of each split whose rows it is measured on."""
        return list(enumerate(self.encoded.split.names))[1:]

    @property
    def models(self) -> dict[str, Predictor]:
        """The model, under no name, and the others."""
        return {"": self.predictor, **self.yardsticks}

    def predictions(self, predictor: Predictor, batch: Batch) -> dict[str, np.ndarray]:
        """What one of them says of encoded rows, by label, float64 (n, outputs of the run's target)."""
        found = predictor.predict(batch)
        return {one.name: one.told(found[one.name]) for one in self._labels}

    def labels(self, batch: Batch) -> dict[str, np.ndarray]:
        """The labels of encoded rows in their units, or the run's numbers of their classes, float64 (n,)."""
        return {one.name: one.label(batch.labels[one.name]) for one in self._labels if one.has_label}

    @cached_property
    def _labels(self) -> list[_Label]:
        return [_Label(own, of_run) for own, of_run in zip(self.encoded.targets, self.targets, strict=True)]


class _Label:
    """A label as a model knows it, and as the run tells it."""

    def __init__(self, own: Target, of_run: Target) -> None:
        self.own, self.of_run, self.name = own, of_run, own.name
        self.has_label = own.task.has_label
        self.is_alike = own.task == of_run.task and own.classes == of_run.classes
        number = {value: place for place, value in enumerate(of_run.classes)}
        # The last place is that of a class which the model has not seen.
        self.numbers = np.array([*(number[value] for value in own.classes), -1], np.int64)

    def label(self, encoded: np.ndarray) -> np.ndarray:
        """See `Measured.labels`."""
        known = self.own.read_label(encoded)
        return known if self.is_alike else self.numbers[known.astype(np.int64)].astype(np.float64)

    def told(self, predicted: np.ndarray) -> np.ndarray:
        """See `Measured.predictions`."""
        if self.is_alike:
            return predicted
        own = predicted if self.own.task.one_output_a_class else np.column_stack([1 - predicted[:, 0], predicted[:, 0]])
        found = np.zeros((len(own), len(self.of_run.classes)))
        found[:, self.numbers[:-1]] = own
        return found if self.of_run.task.one_output_a_class else found[:, 1:]


def measured_models(context: Context, work: Work, encoded: Encoded) -> list[Measured]:
    """The models that are measured; `encoded` are the rows as the kept one sees them."""
    if not context.folds:
        return [_read(context, work, encoded, encoded.targets)]
    return [_of_fold(fold, work, encoded.targets) for fold in context.folds]


def kept_model(context: Context, work: Work, encoded: Encoded, models: Sequence[Measured]) -> Measured:
    """The model that the run keeps: the one that was measured, or of folds the last one, which stands beside no yardstick."""
    if not context.folds:
        return models[0]
    return Measured(encoded, _predictor(context, work, encoded), {}, encoded.targets)


def _of_fold(context: Context, work: Work, targets: Sequence[Target]) -> Measured:
    own = Work(context.seen(work.folders), work.folder, work.kept)
    return _read(context, own, Encoded.of(context, own), targets)


def _read(context: Context, work: Work, encoded: Encoded, targets: Sequence[Target]) -> Measured:
    yardsticks = read_yardsticks(context, work.of(Yardsticks), encoded)
    return Measured(encoded, _predictor(context, work, encoded), yardsticks, targets, context.fold)


def _predictor(context: Context, work: Work, encoded: Encoded) -> Predictor:
    return context.learner.read(work.of(Train), encoded.examples.inputs, encoded.targets)


class UnseenClasses:
    """The classes of rows whose class the model of a fold has not seen, found in the rows that the last model has learnt from."""

    def __init__(self, encoded: Encoded) -> None:
        self._encoded = encoded

    def fill(self, labels: Mapping[str, np.ndarray], identities: np.ndarray) -> dict[str, np.ndarray]:
        """The labels of rows of these identities, by label, with the classes that are -1 found."""
        found = dict(labels)
        for target in self._encoded.targets:
            if not target.task.has_classes:
                continue
            own = found[target.name]
            if (unseen := own < 0).any():
                found[target.name] = own = own.copy()
                own[unseen] = self._of(target.name)[np.searchsorted(self._identities, identities[unseen])]
        return found

    def _of(self, label: str) -> np.ndarray:
        return np.asarray(self._columns[f"label: {label}"].to_numpy()[self._order])

    @cached_property
    def _columns(self) -> pa.Table:
        names = [ROW_ID, *(f"label: {target.name}" for target in self._encoded.targets)]
        return pq.ParquetFile(self._encoded.examples.path).read(columns=names)

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self._columns[ROW_ID].to_numpy())

    @cached_property
    def _identities(self) -> np.ndarray:
        return np.asarray(self._columns[ROW_ID].to_numpy()[self._order])
