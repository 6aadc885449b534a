"""`architecture: boosted_trees`: trees one after the other, each of which corrects the sum of those before (LightGBM)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from cengine.config.schema import TRAIN, Block, EarlyStopping, Finding, LabelFacts
from cengine.extras import install_command
from cengine.learners.learner import Course, Explainer, Facts, Fitted, Learner, Load, Predictor
from cengine.learners.trees_library import EXTRA, MISSING, is_installed

if TYPE_CHECKING:
    from cengine.learners.examples import Examples
    from cengine.preprocess.apply import Input
    from cengine.preprocess.targets import Target

MOST_TREES = 100_000
# Where neither `trees` nor `early_stopping` is said.
USUAL_TREES, USUAL_PATIENCE = 1000, 4
# Instead of as many as are best, where neither is said and no rows are there to choose by, as where train is of one time.
TREES_WITHOUT_CHOICE = 200
CHECKPOINTS_A_TRAINING = 40
# To look a row up in one split takes the time of so many multiplications of a network.
_PRODUCTS_A_SPLIT = 100
# To bin a cell, and to add it to a histogram, take the time of so many cells that are drawn for a batch.
_DRAWN_A_BIN, _DRAWN_A_SUM = 11, 0.15


class BoostedTrees(Learner):
    """Gradient boosting of decision trees, by LightGBM: needs the extra `trees`.

    `trees` is how many are grown for each label, of each class where there are several. Without it, and without
    `early_stopping`, up to 1,000 are grown, and as many are kept as are best on rows that were not trained on.
    """

    name = "boosted_trees"
    explains = 1
    blocks: ClassVar[Mapping[str, type[Block]]] = {"early_stopping": EarlyStopping}
    predicts_quantiles: ClassVar[bool] = True

    architecture: Literal["boosted_trees"] = "boosted_trees"
    trees: int | None = Field(default=None, ge=1, le=MOST_TREES)
    leaves: int = Field(default=63, ge=2, le=131_072)
    max_depth: int | None = Field(default=None, ge=1, le=1000)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    min_rows_in_leaf: int = Field(default=20, ge=1, le=10**9)
    l2: float = Field(default=0.0, ge=0)
    bins: int = Field(default=255, ge=2, le=65_535)
    save_checkpoints_trees: int | None = Field(default=None, ge=1, le=MOST_TREES)
    early_stopping: EarlyStopping | Literal[False] | None = None

    # What fits

    def problems(self, label: LabelFacts) -> Iterator[Finding]:
        from cengine.learners.trees_objectives import OBJECTIVES, refused

        if not is_installed():
            yield Finding(MISSING, "architecture", (install_command(EXTRA),))
        if (told := refused(label.label)) is not None:
            known = ", ".join(OBJECTIVES)
            yield Finding(
                f"label '{label.label.name}': {told}",
                "architecture",
                (f"they have: {known}", "architecture: feedforward has all losses"),
            )

    def suspicions(self, label: LabelFacts | None = None) -> Iterator[Finding]:
        if label is None and self.trees and self.save_checkpoints_trees and self.save_checkpoints_trees > self.trees:
            told = f"save_checkpoints_trees ({self.save_checkpoints_trees}) is more than trees ({self.trees}): one checkpoint, at the end"
            yield Finding(told, "save_checkpoints_trees")

    # What it takes

    @property
    def most_trees(self) -> int:
        """How many rounds there are at most."""
        return self.trees or USUAL_TREES

    def most_beside(self, judged: str | None) -> int:
        """The same, given the rows to choose by: without any, more trees than are safe are not grown unless the YAML asks for them."""
        asked = self.trees is not None or self.early_stopping is not None or judged is not None
        return self.most_trees if asked else min(self.most_trees, TREES_WITHOUT_CHOICE)

    @property
    def every(self) -> int:
        """Rounds between two checkpoints."""
        return min(self.save_checkpoints_trees or max(1, self.most_trees // CHECKPOINTS_A_TRAINING), self.most_trees)

    @property
    def chooses(self) -> bool:
        return self.stopping is not None

    @property
    def stopping(self) -> EarlyStopping | None:
        """When training ends before its last round: as the YAML says, or by default where it says nothing of the length."""
        if self.early_stopping is not None or self.trees is not None:
            return self.early_stopping or None
        return EarlyStopping(patience=USUAL_PATIENCE)

    def parameters(self) -> dict[str, Any]:
        """LightGBM's parameters. The same rows give the same trees, whatever the number of threads.

        With `force_col_wise` a feature's histogram is summed up by one thread, in the order of the rows.
        """
        return {
            "num_leaves": self.leaves,
            "max_depth": self.max_depth or -1,
            "learning_rate": self.learning_rate,
            "min_data_in_leaf": self.min_rows_in_leaf,
            "lambda_l2": self.l2,
            "max_bin": self.bins,
            "seed": self.seed,
            "deterministic": True,
            "force_col_wise": True,
            "use_missing": False,  # fillings leave no missing cells
            "verbosity": -1,
        }

    def num_steps(self, num_rows: int) -> int:
        return self.most_trees

    def load(self, facts: Facts, first_step: int = 0, last_step: int | None = None) -> Load:
        steps = max(0, (last_step or self.most_trees) - first_step)
        rows, width = facts.rows[TRAIN], max(1, facts.num_encoded)
        judged = sum(facts.rows[name] for name in {facts.judged, facts.shown} if name is not None)
        levels = math.log2(self.leaves)
        return {
            "cells": sum(facts.rows.values()) * facts.num_encoded,
            "steps": steps,
            "drawn_cells": rows * width * facts.num_labels * (_DRAWN_A_BIN + steps * levels * _DRAWN_A_SUM),
            "products": 0,
            "updates": 0,
            "weights": steps * self.leaves * facts.num_labels,
            "measured_rows": math.ceil(steps / self.every) * judged,
            "measured_products": judged * self.products(facts) * steps // self.most_trees,
        }

    def products(self, facts: Facts) -> int:
        return round(self.most_trees * math.log2(self.leaves) * _PRODUCTS_A_SPLIT) * facts.num_labels

    # What it does

    def first_step(self, kept: Path) -> int:
        from cengine.learners.checkpoints import CHECKPOINTS, newest_step

        return newest_step(kept / CHECKPOINTS)

    def fit(self, examples: Examples, targets: Sequence[Target], course: Course) -> Fitted:
        from cengine.learners.trees_training import fit_trees

        return fit_trees(self, examples, targets, course)

    def read(self, folder: Path, inputs: Sequence[Input], targets: Sequence[Target]) -> Predictor:
        from cengine.learners.trees_model import read_trees

        return read_trees(folder, inputs, targets)

    def explainer(self, predictor: Predictor) -> Explainer | None:
        from cengine.learners.trees_attributions import TreesExplainer
        from cengine.learners.trees_model import TreesPredictor

        assert isinstance(predictor, TreesPredictor)
        return TreesExplainer(predictor)
