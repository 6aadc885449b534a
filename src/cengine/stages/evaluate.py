"""Evaluate: predictions of the rows that were not trained on, and how good they are."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow.parquet as pq

from cengine.config.resolve import Resolved
from cengine.config.schema import TRAIN
from cengine.stages.context import Context
from cengine.stages.encoded import Encoded
from cengine.stages.fit import Fit
from cengine.stages.sizes import facts, rows_of_splits
from cengine.stages.split import Split
from cengine.stages.stage import CPU, FIXED, KEPT, PEAK, SECONDS, Folders, Load, Rates, Stage, Work
from cengine.stages.train import Train
from cengine.stages.transform import Transform
from cengine.stages.yardsticks import Yardsticks, read_yardsticks
from cengine.tables import ROW_ID

if TYPE_CHECKING:
    from cengine.learners.learner import Predictor

PREDICTIONS = "predictions.parquet"
# Rows that are predicted at a time.
BLOCK_ROWS = 2**20


class Evaluate(Stage):
    """The table of predictions, metrics overall and by slice, verdicts."""

    name = "Evaluate"
    after = (Split, Fit, Transform, Yardsticks, Train)
    version = 6
    num_scans = 1
    loads_network = True
    follows_limits = True
    rates: ClassVar[Rates] = {
        SECONDS: {FIXED: 0.8, "cells": 5e-9, "rows": 1e-6, "sliced_rows": 2e-7, "products": 2e-11},
        CPU: {FIXED: 1.0, "cells": 1e-8, "rows": 1e-6, "sliced_rows": 2e-7, "products": 2e-11},
        PEAK: {FIXED: 7.5e8, "rows": 500},
        KEPT: {FIXED: 1e5, "rows": 30},
    }

    def settings(self, context: Context) -> dict[str, Any]:
        resolved, explains = context.resolved, context.learner.explains
        return {
            **({"attributions": explains} if explains else {}),
            "slices": [list(columns) for columns in resolved.slices],
            "metrics": [metric.identity() for metric in resolved.metrics or ()],
            "label_metrics": [[m.identity() for m in label.metrics or ()] for label in resolved.labels],
            "yardsticks": {"version": Yardsticks.version, **Yardsticks().settings(context)},
        }

    def size(self, context: Context, folders: Folders) -> int:
        return _num_evaluated(rows_of_splits(context, folders)) if Split.name in folders else 0

    def load(self, context: Context, folders: Folders, first_step: int = 0, last_step: int | None = None) -> Load:
        evaluated = _num_evaluated(rows_of_splits(context, folders))
        slices = 1 + len(context.resolved.slices)
        return {
            "cells": context.snapshot.schema.num_rows * len(self.columns(context)),
            "rows": evaluated,
            "sliced_rows": evaluated * slices,
            "products": evaluated * context.learner.products(facts(context, folders)),
        }

    def columns(self, context: Context) -> set[str]:
        from cengine.evaluation.search import columns_beside

        return context.learnt_columns | set(columns_beside(context.resolved))

    def num_queries(self, resolved: Resolved) -> int:
        return 3  # leaks, repeated rows, what stands beside predictions

    def run(self, context: Context, work: Work) -> None:
        from cengine.evaluation.evaluate import evaluate
        from cengine.evaluation.predictions import write_predictions
        from cengine.evaluation.search import columns_beside
        from cengine.evaluation.truth import found_in_rows, write_truth
        from cengine.evaluation.yardsticks import beside_yardsticks
        from cengine.stages.looking import found_in_predictions

        resolved, encoded = context.resolved, Encoded.of(context, work)
        targets, split = encoded.targets, encoded.split
        # Workers are given back by now: files are read here, and only a warehouse's table where it is.
        with context.engine() if context.snapshot.is_here else context.table_engine() as engine:
            truth = found_in_rows(engine, context.rows, split, resolved)
        inputs = encoded.examples.inputs
        predictor = context.learner.read(work.of(Train), inputs, targets)
        yardsticks = read_yardsticks(context, work.of(Yardsticks), inputs, targets)
        raw = work.folder / "raw.parquet"
        beside_raw = {name: work.folder / f"raw-{name}.parquet" for name in yardsticks}
        _predict(context, encoded, {raw: predictor, **{beside_raw[name]: yardsticks[name] for name in yardsticks}})
        beside, features = columns_beside(resolved), [feature.name for feature in resolved.features]
        with (
            context.engine() as engine,
            context.joinable_rows(split, [*beside, *features, *(label.name for label in resolved.labels)]) as rows,
        ):
            predictions = work.folder / PREDICTIONS
            write_predictions(engine, rows, targets, encoded.statistics, raw, beside, predictions)
            raw.unlink()
            reached = beside_yardsticks(engine, predictions, beside_raw, targets, resolved, split.names)
            for file in beside_raw.values():
                file.unlink()
            evaluate(
                engine,
                engine.parquet([predictions]),
                targets,
                resolved,
                encoded.statistics,
                split.names,
                work.folder,
                reached,
            )
            products = context.learner.products(facts(context, work.folders))
            scan = engine.parquet([predictions])
            more = found_in_predictions(context, encoded, predictor, engine, scan, rows, products)
            more["associations"], more["repeated"] = truth["associations"], truth["repeated"]
            write_truth(more, work.folder)


def _num_evaluated(rows: dict[str, int]) -> int:
    return sum(rows.values()) - rows[TRAIN]


def _predict(context: Context, encoded: Encoded, predictors: Mapping[Path, Predictor]) -> None:
    """Each model's predictions of every row that was not trained on, block by block, into its file."""
    from cengine.evaluation.predictions import prediction_columns, raw_schema, raw_table

    targets, examples = encoded.targets, encoded.examples
    schema = raw_schema(targets)
    block_rows = min(BLOCK_ROWS, max(1, context.matrix_bytes // examples.bytes_per_row))
    done = 0
    with contextlib.ExitStack() as open_files:
        writers = {
            file: open_files.enter_context(pq.ParquetWriter(file, schema, compression="lz4")) for file in predictors
        }
        for number, split in enumerate(encoded.split.names[1:], start=1):
            for groups, batch in examples.blocks(split, block_rows):
                identities = examples.column(ROW_ID, split, groups)
                for file, predictor in predictors.items():
                    columns = prediction_columns(targets, predictor.predict(batch), batch.labels)
                    writers[file].write_table(raw_table(identities, number, columns, schema))
                done += len(batch)
                context.progress.advance(done)
