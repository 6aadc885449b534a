"""Yardsticks: simple models of the same rows, which the model has to beat."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cengine.config.schema import INNER, TRAIN
from cengine.config.timeseries import seasons_of
from cengine.learners import linear_model, pca, window_yardsticks
from cengine.learners.boosted_trees import BoostedTrees
from cengine.learners.learner import TENSORBOARD, Course
from cengine.learners.windows import Frame, WindowExamples
from cengine.metrics.verdicts import LINEAR, NAIVE, PCA, SEASONAL, TREES
from cengine.stages.context import Context
from cengine.stages.encoded import Encoded
from cengine.stages.fit import Fit
from cengine.stages.sizes import facts, rows_by_use
from cengine.stages.split import Split
from cengine.stages.stage import CPU, FIXED, KEPT, PEAK, SECONDS, Folders, Load, Rates, Stage, Work
from cengine.stages.transform import Transform

if TYPE_CHECKING:
    from cengine.config.resolve import Label
    from cengine.learners.learner import Predictor
    from cengine.preprocess.apply import Input
    from cengine.preprocess.targets import Target

# The most train rows from which trees are grown, and the most by which it is chosen how many of them.
TREES_ROWS, JUDGED_ROWS = 200_000, 50_000
# The file that says which season is repeated.
SEASON = "season.json"


class Yardsticks(Stage):
    """A linear model, and boosted trees where the YAML asks for them; of an autoencoder principal components."""

    name = "Yardsticks"
    after = (Split, Fit, Transform)
    is_beside = True
    rates: ClassVar[Rates] = {
        SECONDS: {FIXED: 0.1, "cells": 4e-9, "products": 3e-11, "tree_cells": 1.2e-7},
        CPU: {FIXED: 0.15, "cells": 8e-9, "products": 6e-11, "tree_cells": 2.4e-7},
        PEAK: {FIXED: 4e8, "tree_cells": 8},
        KEPT: {FIXED: 2e4, "tree_cells": 0.3},
    }

    def settings(self, context: Context) -> dict[str, Any]:
        if context.resolved.is_autoencoder:
            return {"pca": pca.VERSION, "code": context.resolved.trainer.code_size}
        learner = _trees(context)
        if context.resolved.series is not None:
            return {"lags": window_yardsticks.VERSION, "seasons": seasons_of(context.resolved.series.words)}
        found: dict[str, Any] = {"linear": linear_model.VERSION}
        if learner is not None:
            found["trees"] = {**learner.settings(_labels(context)), "rows": [TREES_ROWS, JUDGED_ROWS]}
        return found

    def load(self, context: Context, folders: Folders, first_step: int = 0, last_step: int | None = None) -> Load:
        known, rows = facts(context, folders), rows_by_use(context, folders)
        width = min(linear_model.MOST_COLUMNS, sum(size or 1 for size, _ in known.inputs))
        learnt = min(rows[TRAIN], linear_model.rows_wanted(width, len(known.inputs), 1))
        return {
            "cells": context.snapshot.schema.num_rows * context.num_encoded,
            "products": learnt * width * (width + 100),
            "tree_cells": min(rows[TRAIN], TREES_ROWS) * context.num_encoded if context.resolved.yardstick else 0,
        }

    def run(self, context: Context, work: Work) -> None:
        encoded, learner = Encoded.of(context, work), _trees(context)
        total = self.size(context, work.folders)
        if isinstance(encoded.examples, WindowExamples):
            _fit_beside_windows(
                context, encoded.examples, encoded, work, lambda share: context.progress.advance(share * total)
            )
            return
        if context.resolved.is_autoencoder:
            _fit_pca(context, encoded, work, lambda share: context.progress.advance(share * total))
            return
        linear_share = 1.0 if learner is None else 0.2
        _fit_linear(encoded, work, lambda share: context.progress.advance(share * linear_share * total))
        if learner is not None:
            labels = _labels(context)
            targets = [replace(one, label=label) for one, label in zip(encoded.targets, labels, strict=True)]

            def report(share: float, note: str = "") -> None:
                context.progress.advance((linear_share + share * (1 - linear_share)) * total, note)

            _fit_trees(context, learner, replace(encoded, targets=targets), work, report)


def read_yardsticks(context: Context, folder: Path, encoded: Encoded) -> dict[str, Predictor]:
    """The models that the stage has left, by name."""
    inputs, targets, frame = encoded.examples.inputs, encoded.targets, encoded.examples.frame
    if frame is not None:
        return _read_beside_windows(folder, frame, inputs, targets)
    if context.resolved.is_autoencoder:
        return {PCA: pca.read_pca(folder, targets[0])}
    found: dict[str, Predictor] = {LINEAR: linear_model.read_linear(folder, inputs, targets)}
    learner = _trees(context)
    if learner is not None:
        known = [replace(one, label=label) for one, label in zip(targets, _labels(context), strict=True)]
        found[TREES] = learner.read(folder / TREES, inputs, known)
    return found


def _fit_beside_windows(
    context: Context, examples: WindowExamples, encoded: Encoded, work: Work, report: Callable[[float], None]
) -> None:
    """A linear model of the last points or of the label's own past, and the season that is repeated."""
    words = context.resolved.series
    assert words is not None
    of_rows = examples.frame.horizon is None
    season = None
    if of_rows:
        linear_model.fit_linear(examples.last_points, encoded.targets, lambda: report(0.9)).write(work.folder)
    else:
        window_yardsticks.fit_lags(examples, encoded.targets, TRAIN, report).write(work.folder)
        season = window_yardsticks.best_season(examples, encoded.targets, TRAIN, seasons_of(words.words))
    (work.folder / SEASON).write_text(json.dumps({"season": season}))


def read_season(folder: Path) -> int | None:
    """How many points the season has that is repeated; None if there is none."""
    found: int | None = json.loads((folder / SEASON).read_text())["season"]
    return found


def _read_beside_windows(
    folder: Path, frame: Frame, inputs: Sequence[Input], targets: Sequence[Target]
) -> dict[str, Predictor]:
    if frame.horizon is None:
        return {LINEAR: window_yardsticks.OfLastPoint(linear_model.read_linear(folder, inputs, targets))}
    season = read_season(folder)
    found: dict[str, Predictor] = {
        LINEAR: window_yardsticks.read_lags(folder, targets, frame),
        NAIVE: window_yardsticks.Repeated(targets, frame, 1),
    }
    if season is not None:
        found[SEASONAL] = window_yardsticks.Repeated(targets, frame, season)
    return found


def _fit_linear(encoded: Encoded, work: Work, report: Any) -> None:
    examples, drawn = encoded.examples, work.folder / "drawn.parquet"
    scores = max(len(target.classes) for target in encoded.targets)
    columns = linear_model.num_columns(examples.inputs)
    wanted = linear_model.rows_wanted(columns, len(examples.inputs), scores)
    sample = examples.drawn({TRAIN: wanted}, drawn, lambda share: report(0.9 * share))
    linear_model.fit_linear(sample, encoded.targets, lambda: report(0.9)).write(work.folder)
    drawn.unlink(missing_ok=True)


def _fit_pca(context: Context, encoded: Encoded, work: Work, report: Any) -> None:
    examples, drawn = encoded.examples, work.folder / "drawn.parquet"
    wanted = linear_model.rows_wanted(linear_model.num_columns(examples.inputs), len(examples.inputs), 1)
    sample = examples.drawn({TRAIN: wanted}, drawn, lambda share: report(0.9 * share))
    components = pca.fit_pca(sample, context.resolved.trainer.code_size, lambda: report(0.9))
    pca.write_pca(components, work.folder)
    drawn.unlink(missing_ok=True)


def _fit_trees(context: Context, learner: BoostedTrees, encoded: Encoded, work: Work, report: Any) -> None:
    """Grown on a part of the rows that is drawn alike at each attempt, so that growing goes on from a checkpoint."""
    judged = INNER if INNER in encoded.examples.splits else context.resolved.split.validation
    most = {TRAIN: TREES_ROWS, **({judged: JUDGED_ROWS} if judged else {})}
    folder, drawn = work.folder / TREES, work.folder / "drawn.parquet"
    folder.mkdir()
    course = Course(
        folder=folder,
        kept=work.kept,
        judged=judged,
        memory_bytes=context.matrix_bytes,
        limit_bytes=context.memory_bytes,
        num_features=len(context.resolved.features),
        wish=work.wish,
        report=lambda step, note: report(min(1.0, step / learner.most_trees), note),
        measure=lambda predicted, rows: {},
    )
    learner.fit(encoded.examples.drawn(most, drawn, lambda share: report(0.0)), encoded.targets, course)
    work.wish.raise_if_due()  # trees that a limit has ended are no yardstick; the next attempt goes on from them
    shutil.rmtree(folder / TENSORBOARD, ignore_errors=True)  # curves are those of the model alone
    drawn.unlink(missing_ok=True)


def _trees(context: Context) -> BoostedTrees | None:
    """The trees that are asked for, with their defaults."""
    resolved = context.resolved
    return BoostedTrees(type=resolved.trainer.type, seed=resolved.trainer.seed) if resolved.yardstick else None


def _labels(context: Context) -> list[Label]:
    """The labels with the losses that trees have: the task's own stands for another one."""
    from cengine.learners.trees_objectives import refused

    return [label if refused(label) is None else replace(label, loss=None) for label in context.resolved.labels]
