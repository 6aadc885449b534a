"""Train: the network."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cengine.config.schema import TRAIN
from cengine.errors import TrainingError
from cengine.pipeline.stages.context import Context
from cengine.pipeline.stages.encoded import BLOCK_ROWS, Encoded, blocks
from cengine.pipeline.stages.fit import Fit
from cengine.pipeline.stages.sizes import num_weights, rows_of_splits
from cengine.pipeline.stages.split import Split
from cengine.pipeline.stages.stage import CPU, FIXED, KEPT, PEAK, SECONDS, Folders, Load, Rates, Stage, Work
from cengine.pipeline.stages.transform import Transform

if TYPE_CHECKING:
    from cengine.training.batches import EncodedFile, Matrices
    from cengine.training.loop import Plan

# The most rows on which checkpoints are judged, and on which the loss is measured beside.
EVALUATION_SAMPLE_ROWS = 2**19
TRAIN_SAMPLE_ROWS = 2**17
CHECKPOINTS, TENSORBOARD = "checkpoints", "tensorboard"
_STEP_RATES = {"cells": 1.5e-8, "steps": 4e-5, "drawn_cells": 1e-8, "products": 4e-11, "updates": 2e-9,
               "measured_rows": 2e-7, "measured_products": 3e-11}  # fmt: skip


class Train(Stage):
    """The network, of the checkpoint that was judged best; how training went; what TensorBoard shows."""

    name = "Train"
    after = (Split, Fit, Transform)
    unit = "steps"
    loads_network = True
    is_training = True
    rates: ClassVar[Rates] = {
        SECONDS: {FIXED: 6.0, **_STEP_RATES},
        CPU: {FIXED: 8.0, **_STEP_RATES},
        PEAK: {FIXED: 7.5e8, "cells": 10, "weights": 40},
        KEPT: {FIXED: 5e5, "weights": 8},
    }

    def settings(self, context: Context) -> Any:
        trainer = context.resolved.trainer
        return {
            "trainer": trainer.model_dump(mode="json", exclude={"layers", "optimizer", "eval_batch_size"}),
            "layers": [layer.identity() for layer in trainer.layers],
            "optimizer": trainer.optimizer.identity(),
            "losses": [label.loss.identity() if label.loss else None for label in context.resolved.labels],
        }

    def size(self, context: Context, folders: Folders) -> int:
        from cengine.training.loop import Plan

        trainer = context.resolved.trainer
        if trainer.train_steps or Split.name not in folders:
            return trainer.train_steps or 0
        return Plan.of(trainer, rows_of_splits(context, folders)[TRAIN], 1).num_steps

    def load(self, context: Context, folders: Folders, first_step: int = 0, last_step: int | None = None) -> Load:
        from cengine.training.loop import Plan

        rows = rows_of_splits(context, folders)
        columns = context.num_encoded
        multiplied, weights = num_weights(context, folders)
        plan = Plan.of(context.resolved.trainer, rows[TRAIN], 4 * columns)
        steps = max(0, (last_step or plan.num_steps) - first_step)
        judged = next((count for name, count in rows.items() if name != TRAIN), 0)
        measured = math.ceil(steps / plan.every) * (min(rows[TRAIN], TRAIN_SAMPLE_ROWS) + min(judged, EVALUATION_SAMPLE_ROWS))
        return {
            "cells": sum(rows.values()) * columns, "steps": steps, "drawn_cells": steps * plan.batch_rows * columns,
            "products": steps * plan.batch_rows * multiplied, "updates": steps * weights,
            "weights": weights, "measured_rows": measured, "measured_products": measured * multiplied,
        }  # fmt: skip

    def first_step(self, kept: Path) -> int:
        from cengine.training.checkpoints import newest_step

        return newest_step(kept / CHECKPOINTS)

    def run(self, context: Context, work: Work) -> None:
        from cengine.pipeline.monitor import Monitor
        from cengine.training.batches import TrainRows
        from cengine.training.graph import graph_of
        from cengine.training.loop import Plan, train
        from cengine.training.model import build_model, save_model, signature_of
        from cengine.training.tensorboard import TrainingLog, hyperparameters

        trainer, encoded = context.resolved.trainer, Encoded.of(context, work)
        split, inputs, heads, file = encoded.split, encoded.inputs, encoded.heads, encoded.file
        rows = TrainRows(file, trainer.seed, context.matrix_bytes)
        plan = Plan.of(trainer, rows.num_rows, file.bytes_per_row)
        model = build_model(inputs, trainer, heads)
        judged = split.names[1]
        num_judged = split.report.rows[judged]
        _check_memory(context, file, plan, min(rows.num_rows, TRAIN_SAMPLE_ROWS) + min(num_judged, EVALUATION_SAMPLE_ROWS))
        samples = {"train": rows.sample(TRAIN_SAMPLE_ROWS), judged: _evaluation_sample(file, num_judged)}
        tensorboard, signature = work.kept / TENSORBOARD, signature_of(inputs, heads)
        with context.engine() as engine, TrainingLog(tensorboard) as log:
            log.begin(
                graph_of(model, signature),
                hyperparameters(trainer, heads, len(context.resolved.features), plan.num_steps, model.count_params()),
            )
            monitor = Monitor(engine, heads, context.resolved.metrics, file.num_numbers)
            trained = train(
                model, heads, trainer, plan, rows, samples, monitor.measure, work.kept / CHECKPOINTS,
                lambda step, loss: context.progress.advance(step, f"loss {loss:.4g}"), log.write, work.wish,
            )  # fmt: skip
        save_model(model, work.folder, signature)
        shutil.copy(work.of(Fit) / "statistics.json", work.folder / "statistics.json")
        # Only in the copy: a training that a limit has ended may go on another time, and then knows nothing of that end.
        shutil.copytree(tensorboard, work.folder / TENSORBOARD, dirs_exist_ok=True)
        with TrainingLog(work.folder / TENSORBOARD) as log:
            if trained.unlogged is not None:
                log.write(*trained.unlogged)
            log.finish(trained.best_step, trained.best[judged])
        result = {"history": trained.history, "num_steps": trained.num_steps, "best_step": trained.best_step,
                  "stopped_early": trained.stopped_early, "judged_on": judged, "num_weights": model.count_params(),
                  "planned_steps": plan.num_steps, "limit": trained.limit.sentence if trained.limit else None}  # fmt: skip
        (work.folder / "training.json").write_text(json.dumps(result))
        work.limited_at = trained.num_steps if trained.limit else None
        work.details |= {"first_step": trained.first_step, "num_steps": trained.num_steps, "num_weights": model.count_params()}


def read_training(folder: Path) -> dict[str, Any]:
    """How training went: its history, steps, the step whose weights were kept, and what limit ended it."""
    found: dict[str, Any] = json.loads((folder / "training.json").read_text())
    return found


def _check_memory(context: Context, file: EncodedFile, plan: Plan, sample_rows: int) -> None:
    """Raises TrainingError where what training holds beside its windows of rows is more than the memory limit leaves for it."""
    needed = file.bytes_per_row * (sample_rows + 3 * plan.chunk_steps * plan.batch_rows)
    if needed > context.matrix_bytes:
        wanted = context.memory_bytes + 2 * (needed - context.matrix_bytes)
        raise TrainingError(
            f"the memory limit of {context.memory_bytes / 1e9:.1f} GB is too small to train on rows of {file.bytes_per_row:,} bytes in "
            f"batches of {plan.batch_rows:,}",
            f"give more with --memory, here --memory {math.ceil(wanted / 1e9)}GB, or a smaller train_batch_size",
        )


def _evaluation_sample(file: EncodedFile, num_rows: int) -> Matrices:
    """The split that checkpoints are judged on; of a large one every n-th row, so that evaluating stays cheap."""
    import numpy as np

    from cengine.training.batches import joined

    counts = file.split_rows(1)
    if num_rows <= EVALUATION_SAMPLE_ROWS:
        return file.load(1, range(len(counts)), num_rows)
    chosen = np.linspace(0, num_rows - 1, EVALUATION_SAMPLE_ROWS).astype(np.int64)
    parts, before = [], 0
    for groups in blocks(counts, BLOCK_ROWS):
        rows = sum(counts[group] for group in groups)
        parts.append(file.load(1, groups, rows).take(chosen[(chosen >= before) & (chosen < before + rows)] - before))
        before += rows
    return joined(parts)
