"""Evaluate: predictions of the rows that were not trained on, and how good they are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow.parquet as pq

from cengine.config.resolve import Resolved
from cengine.config.schema import TRAIN
from cengine.pipeline.stages.context import Context
from cengine.pipeline.stages.encoded import BLOCK_ROWS, Encoded, blocks
from cengine.pipeline.stages.fit import Fit
from cengine.pipeline.stages.sizes import num_weights, rows_of_splits
from cengine.pipeline.stages.split import Split
from cengine.pipeline.stages.stage import CPU, FIXED, KEPT, PEAK, SECONDS, Folders, Load, Rates, Stage, Work
from cengine.pipeline.stages.train import Train
from cengine.pipeline.stages.transform import Transform
from cengine.pipeline.warehouse import evaluated_rows, scratch_folder
from cengine.preprocess.source import Rows
from cengine.tables import ROW_ID

if TYPE_CHECKING:
    from keras import Model

    from cengine.preprocess.split import Split as FittedSplit

PREDICTIONS = "predictions.parquet"


class Evaluate(Stage):
    """The table of predictions, metrics overall and by slice, verdicts."""

    name = "Evaluate"
    after = (Split, Fit, Transform, Train)
    version = 3
    num_scans = 1
    loads_network = True
    follows_limits = True
    rates: ClassVar[Rates] = {
        SECONDS: {FIXED: 0.8, "cells": 5e-9, "rows": 1e-6, "sliced_rows": 2e-7, "products": 2e-11},
        CPU: {FIXED: 1.0, "cells": 1e-8, "rows": 1e-6, "sliced_rows": 2e-7, "products": 2e-11},
        PEAK: {FIXED: 7.5e8, "rows": 500},
        KEPT: {FIXED: 1e5, "rows": 30},
    }

    def settings(self, context: Context) -> Any:
        resolved = context.resolved
        return {
            "slices": [list(columns) for columns in resolved.slices],
            "metrics": [metric.identity() for metric in resolved.metrics or ()],
            "label_metrics": [[m.identity() for m in label.metrics or ()] for label in resolved.labels],
        }

    def size(self, context: Context, folders: Folders) -> int:
        return _num_evaluated(rows_of_splits(context, folders)) if Split.name in folders else 0

    def load(self, context: Context, folders: Folders, first_step: int = 0, last_step: int | None = None) -> Load:
        evaluated = _num_evaluated(rows_of_splits(context, folders))
        slices = 1 + len(context.resolved.slices)
        return {"cells": context.snapshot.schema.num_rows * len(self.columns(context)), "rows": evaluated, "sliced_rows": evaluated * slices,
                "products": evaluated * num_weights(context, folders)[0]}  # fmt: skip

    def columns(self, context: Context) -> set[str]:
        from cengine.evaluation.search import columns_beside

        return context.kept_columns | {label.name for label in context.resolved.labels} | set(columns_beside(context.resolved))

    def num_queries(self, resolved: Resolved) -> int:
        return 1

    def run(self, context: Context, work: Work) -> None:
        from cengine.evaluation.evaluate import evaluate
        from cengine.evaluation.predictions import write_predictions
        from cengine.evaluation.search import columns_beside
        from cengine.training.model import load_predictor, training_model

        resolved, encoded = context.resolved, Encoded.of(context, work)
        heads, split = encoded.heads, encoded.split
        model = training_model(load_predictor(work.of(Train)), len(heads))
        raw = work.folder / "raw.parquet"
        _predict(context, model, encoded, raw)
        beside = columns_beside(resolved)
        with context.engine() as engine, _rows_beside(context, split, [*beside, *(label.name for label in resolved.labels)]) as rows:
            predictions = work.folder / PREDICTIONS
            write_predictions(engine, rows, heads, encoded.statistics, raw, beside, predictions)
            raw.unlink()
            evaluate(engine, engine.parquet([predictions]), heads, resolved, encoded.statistics, split.names, work.folder)


def _num_evaluated(rows: dict[str, int]) -> int:
    return sum(rows.values()) - rows[TRAIN]


@contextlib.contextmanager
def _rows_beside(context: Context, split: FittedSplit, names: list[str]) -> Iterator[Rows]:
    """Rows that can be joined here; of a warehouse's table those that were not trained on are brought here first."""
    if context.warehouse is None:
        yield context.rows
        return
    with scratch_folder(context.project) as folder, context.table_engine() as engine:
        yield evaluated_rows(engine, context.rows, split, names, Path(folder) / "beside.parquet")


def _predict(context: Context, model: Model, encoded: Encoded, target: Path) -> None:
    """Predictions of every row that was not trained on, block by block."""
    from cengine.evaluation.predictions import prediction_columns, raw_schema, raw_table
    from cengine.training.predict import Predictor

    heads, file = encoded.heads, encoded.file
    predictor = Predictor(model, file.num_numbers)
    schema = raw_schema(heads)
    block_rows = min(BLOCK_ROWS, max(1, context.matrix_bytes // file.bytes_per_row))
    done = 0
    with pq.ParquetWriter(target, schema, compression="lz4") as writer:
        for number in range(1, len(encoded.split.names)):
            counts = file.split_rows(number)
            for groups in blocks(counts, block_rows):
                rows = file.load(number, groups, sum(counts[g] for g in groups))
                identities = file.column(ROW_ID, number, groups)
                columns = prediction_columns(heads, predictor.outputs(rows), rows.floats[:, file.num_numbers :])
                writer.write_table(raw_table(identities, number, columns, schema))
                done += len(rows)
                context.progress.advance(done)
