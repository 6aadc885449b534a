"""What each feature has added to a prediction of trees: exact Shapley values (TreeSHAP, Lundberg et al. 2018), which LightGBM computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cengine.learners.examples import Batch
from cengine.learners.learner import Contributions
from cengine.learners.trees_model import TreesPredictor
from cengine.learners.trees_objectives import Objective
from cengine.learners.trees_rows import matrix_of, ordered

if TYPE_CHECKING:
    import lightgbm

MOST_ROWS, LEAST_ROWS = 2048, 64
# A row takes, for each leaf, the square of the leaf's depth, each 3 ns: this is 6 s of one core.
MOST_WORK = 2e9
# Numbers of 64 bits that are held at a time.
MOST_NUMBERS = 2**22


class TreesExplainer:
    """Contributions to the sums of leaves of one booster a target; those of all columns that are made of a feature are added up."""

    def __init__(self, predictor: TreesPredictor) -> None:
        self.predictor = predictor
        made_of = [one.feature or one.column for one in ordered(predictor.inputs)]
        self.features = tuple(dict.fromkeys(made_of))
        self._places = np.array([self.features.index(name) for name in made_of], np.int64)

    @property
    def most_rows(self) -> int:
        """How many rows are explained in a few seconds."""
        work = sum(_work(booster) for booster in self.predictor.boosters)
        return int(np.clip(MOST_WORK / max(1, work), LEAST_ROWS, MOST_ROWS))

    def contributions(self, batch: Batch) -> dict[str, Contributions]:
        """By label. Of several classes they are those to the score of the class that is predicted, of quantiles those to the point prediction."""
        rows = matrix_of(batch)
        return {
            objective.target.name: self._of_target(booster, objective, rows)
            for booster, objective in zip(self.predictor.boosters, self.predictor.objectives, strict=True)
            if objective.is_point
        }

    def _of_target(self, booster: lightgbm.Booster, objective: Objective, rows: np.ndarray) -> Contributions:
        width = len(self._places) + 1
        block = max(1, MOST_NUMBERS // (width * objective.num_scores))
        parts = [self._of_block(booster, objective, rows[at : at + block]) for at in range(0, len(rows), block)]
        empty = (np.zeros((0, len(self.features))), np.zeros(0))
        values, expected = (np.concatenate([empty[k], *(part[k] for part in parts)]) for k in range(2))
        factor, offset, unit = objective.told_in
        return Contributions(self.features, unit, values * factor, expected * factor + offset)

    def _of_block(
        self, booster: lightgbm.Booster, objective: Objective, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of raw scores the contributions (n, features), and what is expected (n,)."""
        found = np.asarray(booster.predict(rows, pred_contrib=True), np.float64)
        found = found.reshape(len(rows), objective.num_scores, -1)
        chosen = found[np.arange(len(rows)), found.sum(axis=2).argmax(axis=1)]
        values = np.zeros((len(rows), len(self.features)))
        for column, place in enumerate(self._places):
            values[:, place] += chosen[:, column]
        return values, chosen[:, -1]


def _work(booster: lightgbm.Booster) -> int:
    """The sum over all leaves of the square of their depths, from the text of the trees."""
    return sum(_work_of_tree(text.splitlines()) for text in booster.model_to_string().split("\nTree=")[1:])


def _work_of_tree(lines: Sequence[str]) -> int:
    told = dict(line.split("=", 1) for line in lines if "=" in line)
    children = [[int(child) for child in told.get(f"{side}_child", "").split()] for side in ("left", "right")]
    if not children[0]:
        return 1
    work, waiting = 0, [(0, 1)]
    while waiting:
        node, depth = waiting.pop()
        for side in children:
            if side[node] < 0:  # a leaf
                work += depth * depth
            else:
                waiting.append((side[node], depth + 1))
    return work
