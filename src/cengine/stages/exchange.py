"""Evaluated rows through a model, with the cells of one feature taken from other rows: what importance and dependence ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cengine.learners.examples import CODES, FLOATS, Batch
from cengine.tables import ROW_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cengine.evaluation.importance import Effort
    from cengine.learners.examples import Examples
    from cengine.learners.learner import Predictor
    from cengine.preprocess.targets import Target


@dataclass(frozen=True)
class Exchange:
    """So many rows of a split, at equal distances: `identities` int64 (n,), and `batch` with their encoded cells.

    `columns` has for each feature the places of what is made of it in the batch's arrays.
    """

    predictor: Predictor
    targets: Sequence[Target]
    batch: Batch
    identities: np.ndarray
    columns: dict[str, tuple[list[int], list[int]]]

    @staticmethod
    def of(
        predictor: Predictor, targets: Sequence[Target], examples: Examples, split: str, effort: Effort, block_rows: int
    ) -> Exchange:
        """The rows of a split that importance looks at."""
        batch = examples.thinned(split, effort.num_rows, block_rows)
        identities = examples.column(ROW_ID, split, range(len(examples.group_rows)))
        identities = identities[examples.thinned_rows(split, effort.num_rows)]
        columns: dict[str, tuple[list[int], list[int]]] = {}
        num = [0, 0]
        for known in examples.inputs:
            is_code = known.size is not None
            columns.setdefault(known.feature, ([], []))[is_code].append(num[is_code])
            num[is_code] += 1
        return Exchange(predictor, targets, batch, identities, columns)

    @property
    def features(self) -> list[str]:
        """The features that enter the model, in its order."""
        return list(self.columns)

    def losses(self, rows: np.ndarray, place: int | None, donors: np.ndarray | None) -> np.ndarray:
        """Losses float64 (labels, n) of rows of these numbers, with the cells of a feature of the rows `donors`.

        They are as much larger than the row's own as it counts more than the others do on average.
        """
        taken = self._taken(rows, place, donors)
        predicted, labels, weights = self.predictor.predict(taken), taken.labels, taken.weights
        found = []
        for target in self.targets:
            losses = target.task.losses(predicted[target.name], target.read_label(labels[target.name]))
            if target.name in weights:
                losses = losses * weights[target.name] / self.batch.weights[target.name].mean(dtype=np.float64)
            found.append(losses)
        return np.stack(found)

    def predictions(self, rows: np.ndarray, place: int, donor: int) -> dict[str, np.ndarray]:
        """Predictions by label, float64 (n, outputs), where all these rows have the cells of one."""
        predicted = self.predictor.predict(self._taken(rows, place, np.full(len(rows), donor)))
        return {name: found if found.ndim == 2 else found[:, None] for name, found in predicted.items()}

    def _taken(self, rows: np.ndarray, place: int | None, donors: np.ndarray | None) -> Batch:
        taken = self.batch.take(rows)
        if place is None or donors is None:
            return taken
        for kind, places in zip((FLOATS, CODES), self.columns[self.features[place]], strict=True):
            if places:
                taken.arrays[kind][:, places] = self.batch.arrays[kind][donors[:, None], places]
        return taken
