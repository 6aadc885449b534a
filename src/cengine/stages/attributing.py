"""The rows whose predictions are explained by what each feature adds, if the learner can explain them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cengine.tables import ROW_ID

if TYPE_CHECKING:
    from cengine.evaluation.attributions import Attributions, Pushed
    from cengine.learners.examples import Examples
    from cengine.learners.learner import Explainer


@dataclass(frozen=True)
class Attributing:
    """Attributions of rows of a split; so many of them are read at a time."""

    explainer: Explainer
    examples: Examples
    split: str
    block_rows: int

    def means(self) -> list[Attributions]:
        """Of each label what the features add to a prediction, over rows that are drawn by their identities."""
        from cengine.evaluation.attributions import attributed

        chosen = self.examples.drawn_rows(self._identities, self.explainer.most_rows)
        found = self.explainer.contributions(self.examples.picked(self.split, chosen, self.block_rows))
        return [
            attributed(label, self.split, one.unit, one.features, one.values, one.expected)
            for label, one in found.items()
        ]

    def pushed(self, identities: np.ndarray) -> dict[str, list[list[Pushed]]]:
        """By label the features that pushed most, for each of these rows in their order."""
        from cengine.evaluation.attributions import pushing

        order = np.argsort(self._identities, kind="stable")
        places = order[np.searchsorted(self._identities, identities, sorter=order)]
        chosen, back = np.unique(places, return_inverse=True)
        found = self.explainer.contributions(self.examples.picked(self.split, chosen, self.block_rows))
        return {label: [pushing(one.features, one.values[k]) for k in back] for label, one in found.items()}

    @cached_property
    def _identities(self) -> np.ndarray:
        """Those of all rows of the split, int64 (n,), in their order in the file."""
        return self.examples.column(ROW_ID, self.split, range(len(self.examples.group_rows)))
