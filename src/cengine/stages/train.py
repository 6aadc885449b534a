"""Train: the model."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from cengine.config.schema import TRAIN
from cengine.learners.learner import Course, Fitted
from cengine.stages.context import Context
from cengine.stages.encoded import Encoded
from cengine.stages.fit import Fit
from cengine.stages.sizes import facts, rows_by_use
from cengine.stages.split import Split
from cengine.stages.stage import CPU, FIXED, FIXED_OF_NETWORK, KEPT, PEAK, SECONDS, Folders, Load, Rates, Stage, Work
from cengine.stages.transform import Transform

_STEP_RATES = {"cells": 1.5e-8, "steps": 4e-5, "drawn_cells": 1e-8, "products": 4e-11, "updates": 2e-9,
               "measured_rows": 2e-7, "measured_products": 3e-11}  # fmt: skip


class Train(Stage):
    """The model, as its learner judged it best; how training went; what TensorBoard shows."""

    name = "Train"
    after = (Split, Fit, Transform)
    version = 2
    unit = "steps"
    loads_network = True
    is_training = True
    rates: ClassVar[Rates] = {
        SECONDS: {FIXED: 1.2, FIXED_OF_NETWORK: 4.8, **_STEP_RATES},
        CPU: {FIXED: 1.6, FIXED_OF_NETWORK: 6.4, **_STEP_RATES},
        PEAK: {FIXED: 3.6e8, FIXED_OF_NETWORK: 3.9e8, "cells": 10, "weights": 40},
        KEPT: {FIXED: 5e5, "weights": 8},
    }

    def settings(self, context: Context) -> dict[str, Any]:
        return context.learner.settings(context.resolved.labels)

    def size(self, context: Context, folders: Folders) -> int:
        return context.learner.num_steps(rows_by_use(context, folders)[TRAIN] if Split.name in folders else 0)

    def told(self, context: Context, folders: Folders) -> str | None:
        found = context.learner.told(rows_by_use(context, folders)[TRAIN])
        return found if found is None or Split.name in folders else f"about {found}"

    def load(self, context: Context, folders: Folders, first_step: int = 0, last_step: int | None = None) -> Load:
        return context.learner.load(facts(context, folders), first_step, last_step)

    def first_step(self, context: Context, kept: Path) -> int:
        return context.learner.first_step(kept)

    def run(self, context: Context, work: Work) -> None:
        from cengine.stages.monitor import Monitor, measures_nothing

        encoded, resolved = Encoded.of(context, work), context.resolved
        judged = resolved.judged if resolved.judged in encoded.examples.splits else None
        with context.engine() as engine:
            monitor = Monitor(engine, encoded.targets, resolved.metrics)
            course = Course(
                folder=work.folder,
                kept=work.kept,
                judged=judged,
                shown=resolved.shown if resolved.shown in encoded.examples.splits else None,
                memory_bytes=context.matrix_bytes,
                limit_bytes=context.memory_bytes,
                num_features=len(resolved.features),
                wish=work.wish,
                report=context.progress.advance,
                measure=monitor.measure if resolved.labels else measures_nothing,
            )
            fitted = context.learner.fit(encoded.examples, encoded.targets, course)
        if resolved.split.num_folds:
            work.wish.raise_if_due()  # models of folds that a limit has ended measure none that was trained longer; the next attempt goes on
        shutil.copy(work.of(Fit) / "statistics.json", work.folder / "statistics.json")
        _write_training(work.folder, fitted, judged, encoded.examples.num_rows(judged) if judged else 0)
        work.limited_at = fitted.num_steps if fitted.limit else None
        work.details |= {
            "first_step": fitted.first_step,
            "num_steps": fitted.num_steps,
            "num_weights": fitted.num_weights,
        }


def _write_training(folder: Path, fitted: Fitted, judged: str | None, num_judged: int) -> None:
    limit = fitted.limit.sentence if fitted.limit else None
    told = {**asdict(fitted), "judged_on": judged, "num_judged": num_judged, "limit": limit}
    del told["first_step"]
    (folder / "training.json").write_text(json.dumps(told))


def read_training(folder: Path) -> dict[str, Any]:
    """How training went: its history, steps, the step whose weights were kept, what limit ended it.

    `judged_on` is where the rows are by which that step was chosen and `num_judged` their number; null where nothing was chosen.
    """
    found: dict[str, Any] = json.loads((folder / "training.json").read_text())
    return found
