"""Evaluated rows through a model, with the cells of one feature taken from other rows: what importance and dependence ask."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cengine.learners.examples import CODES, FLOATS, Batch
from cengine.tables import ROW_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cengine.stages.measured import Measured


@dataclass(frozen=True)
class Exchange:
    """So many rows of a split, at equal distances: `identities` int64 (n,), and `batch` with their encoded cells.

    Of windows, a loss is the mean over all that is predicted of one, and features are exchanged for whole windows.

    `columns` has for each feature the places of what is made of it in the batch's arrays.
    """

    model: Measured
    batch: Batch
    identities: np.ndarray
    columns: dict[str, tuple[list[int], list[int]]]

    @staticmethod
    def of(model: Measured, split: str, num_rows: int, block_rows: int) -> Exchange:
        """At most so many rows of a split."""
        examples = model.encoded.examples
        batch = examples.thinned(split, num_rows, block_rows)
        identities = examples.column(ROW_ID, split, range(len(examples.group_rows)))
        identities = identities[:: examples.rows_per_example][examples.thinned_rows(split, num_rows)]
        columns: dict[str, tuple[list[int], list[int]]] = {}
        num = [0, 0]
        for known in examples.inputs:
            is_code = known.size is not None
            columns.setdefault(known.feature, ([], []))[is_code].append(num[is_code])
            num[is_code] += 1
        return Exchange(model, batch, identities, columns)

    @property
    def features(self) -> list[str]:
        """The features that enter the model, in its order."""
        return list(self.columns)

    def losses(self, rows: np.ndarray, place: int | None, donors: np.ndarray | None) -> np.ndarray:
        """Losses float64 (labels, n) of rows of these numbers, with the cells of a feature of the rows `donors`.

        They are as much larger than the row's own as it counts more than the others do on average.
        """
        taken = self._taken(rows, place, donors)
        predicted, labels = self.model.predictions(self.model.predictor, taken), self.model.labels(taken)
        weights, found = taken.weights, []
        for target in self.model.targets:
            losses = target.task.losses(predicted[target.name], labels[target.name])
            if target.name in weights:
                losses = losses * weights[target.name] / self.batch.weights[target.name].mean(dtype=np.float64)
            found.append(losses.reshape(len(rows), -1).mean(axis=1))
        return np.stack(found)

    def predictions(self, rows: np.ndarray, place: int, donor: int) -> dict[str, np.ndarray]:
        """Predictions by label, float64 (n, outputs), where all these rows have the cells of one."""
        taken = self._taken(rows, place, np.full(len(rows), donor))
        predicted = self.model.predictions(self.model.predictor, taken)
        return {name: found if found.ndim == 2 else found[:, None] for name, found in predicted.items()}

    def _taken(self, rows: np.ndarray, place: int | None, donors: np.ndarray | None) -> Batch:
        taken = self.batch.take(rows)
        if place is None or donors is None:
            return taken
        columns = dict(zip((FLOATS, CODES), self.columns[self.features[place]], strict=True))
        return taken.with_cells(self.batch, donors, columns)


@dataclass(frozen=True)
class Exchanges:
    """The same of several models, each with its own rows, which stand one after the other; features are taken from rows of the same model."""

    parts: Sequence[Exchange]

    @property
    def features(self) -> list[str]:
        """The features that enter the models, in their order."""
        return self.parts[0].features

    @cached_property
    def blocks(self) -> np.ndarray:
        """Whose each row is, int64 (n,)."""
        return np.repeat(np.arange(len(self.parts)), [len(part.batch) for part in self.parts])

    def losses(self, rows: np.ndarray, place: int | None, donors: np.ndarray | None) -> np.ndarray:
        """See `Exchange.losses`."""
        found = np.empty((len(self.parts[0].model.targets), len(rows)))
        first = 0
        for number, part in enumerate(self.parts):
            own = np.flatnonzero(self.blocks[rows] == number)
            if len(own):
                found[:, own] = part.losses(rows[own] - first, place, None if donors is None else donors[own] - first)
            first += len(part.batch)
        return found
