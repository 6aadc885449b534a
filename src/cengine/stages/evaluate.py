"""Evaluate: predictions of the rows that were not trained on, and how good they are."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow.parquet as pq

from cengine.config.resolve import Resolved
from cengine.config.schema import TRAIN
from cengine.names import HORIZON_STEP, POINT
from cengine.stages.context import Context
from cengine.stages.encoded import Encoded
from cengine.stages.fit import Fit
from cengine.stages.measured import Measured, UnseenClasses, kept_model, measured_models
from cengine.stages.odd_rows import odd_rows_settings
from cengine.stages.sizes import facts, rows_of_splits
from cengine.stages.split import Split
from cengine.stages.stage import CPU, FIXED, KEPT, PEAK, SECONDS, Folders, Load, Rates, Stage, Work
from cengine.stages.train import Train
from cengine.stages.transform import Transform
from cengine.stages.yardsticks import Yardsticks, read_season
from cengine.tables import ROW_ID

if TYPE_CHECKING:
    from cengine.evaluation.truth import Truth
    from cengine.preprocess.split import Split as FittedSplit

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
    joins_folds = True
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
            **odd_rows_settings(resolved),
            "yardsticks": {"version": Yardsticks.version, **Yardsticks().settings(context)},
        }

    def size(self, context: Context, folders: Folders) -> int:
        return _num_evaluated(context, rows_of_splits(context, folders)) if Split.name in folders else 0

    def load(self, context: Context, folders: Folders, first_step: int = 0, last_step: int | None = None) -> Load:
        evaluated = _num_evaluated(context, rows_of_splits(context, folders))
        slices = 1 + len(context.resolved.slices)
        return {
            "cells": context.snapshot.schema.num_rows * len(self.columns(context)),
            "rows": evaluated,
            "sliced_rows": evaluated * slices,
            "products": evaluated * context.learner.products(facts(context, folders)),
        }

    def columns(self, context: Context) -> set[str]:
        from cengine.evaluation.search import columns_beside

        anomaly = context.resolved.anomaly
        return context.learnt_columns | set(columns_beside(context.resolved)) | ({anomaly.column} if anomaly else set())

    def num_queries(self, resolved: Resolved) -> int:
        return 3  # leaks, repeated rows, what stands beside predictions

    def run(self, context: Context, work: Work) -> None:
        from cengine.evaluation.evaluate import evaluate
        from cengine.evaluation.predictions import write_predictions
        from cengine.evaluation.search import columns_beside
        from cengine.evaluation.truth import weights_told, write_truth
        from cengine.evaluation.yardsticks import beside_yardsticks
        from cengine.stages.looking import found_in_predictions, found_in_windows
        from cengine.stages.odd_rows import found_in_scores
        from cengine.stages.scaling import add_scales

        resolved, encoded = context.resolved, Encoded.of(context, work)
        targets, split = encoded.targets, encoded.split
        truth = _found_in_rows(context, split)
        models = measured_models(context, work, encoded)
        raw = {name: work.folder / (f"raw-{name}.parquet" if name else "raw.parquet") for name in models[0].models}
        _predict(context, models, encoded, raw)
        of_model, beside_raw = raw[""], {name: file for name, file in raw.items() if name}
        beside, features = columns_beside(resolved), [feature.name for feature in resolved.features]
        of_labels = [name for label in resolved.labels for name in (label.name, label.sample_weight) if name]
        of_labels += [resolved.anomaly.column] if resolved.anomaly else []
        with (
            context.engine() as engine,
            context.joinable_rows(split, [*beside, *features, *of_labels]) as rows,
        ):
            predictions = work.folder / PREDICTIONS
            write_predictions(
                engine, rows, targets, encoded.statistics, of_model, beside, predictions, resolved.anomaly
            )
            of_model.unlink()
            if context.points is not None:
                season = read_season(work.of(Yardsticks)) or 1
                work.details["scales"] = add_scales(context, encoded, engine, predictions, season)
            reached = beside_yardsticks(engine, predictions, beside_raw, targets, resolved, split.measured_names)
            for file in beside_raw.values():
                file.unlink()
            evaluate(
                engine,
                engine.parquet([predictions]),
                targets,
                resolved,
                encoded.statistics,
                split.measured_names,
                work.folder,
                reached,
                [model.encoded.statistics for model in models] if context.folds else (),
            )
            products = context.learner.products(facts(context, work.folders))
            if context.points is not None:
                truth = found_in_windows(context, models[0], products)
            else:
                scan = engine.parquet([predictions])
                if resolved.is_autoencoder:
                    found = found_in_scores(context, models, engine, scan, rows, work.folder)
                else:
                    kept = kept_model(context, work, encoded, models)
                    found = found_in_predictions(context, models, kept, engine, scan, rows, products)
                truth = {**found, "associations": truth["associations"], "repeated": truth["repeated"]}
            write_truth({**truth, "weights": weights_told(targets)}, work.folder)


def _found_in_rows(context: Context, split: FittedSplit) -> Truth:
    """What the raw rows say of a model of rows. Windows of points are not looked at: each shares its points with the next one."""
    from cengine.evaluation.truth import empty_truth, found_in_rows

    if context.points is not None:
        return empty_truth()
    # Workers are given back by now: files are read here, and only a warehouse's table where it is.
    with context.engine() if context.snapshot.is_here else context.table_engine() as engine:
        return found_in_rows(engine, context.rows, split, context.resolved)


def _of_points(context: Context) -> list[str]:
    """What stands beside predictions of points."""
    series = context.resolved.series
    return [] if series is None else [POINT, *([HORIZON_STEP] if series.words.horizon else [])]


def _num_evaluated(context: Context, rows: dict[str, int]) -> int:
    series = context.resolved.series
    of_each = series.words.horizon or 1 if series is not None else 1
    return of_each * (sum(rows.values()) if context.folds else sum(rows.values()) - rows[TRAIN])


def _predict(context: Context, models: Sequence[Measured], encoded: Encoded, files: Mapping[str, Path]) -> None:
    """What each of the models says of every row that it has not learnt from, block by block, into the file of its name."""
    from cengine.evaluation.predictions import prediction_columns, raw_schema, raw_table

    schema, unseen = (
        raw_schema(encoded.targets, of_folds=bool(context.folds), of_points=_of_points(context)),
        UnseenClasses(encoded),
    )
    done = 0
    with contextlib.ExitStack() as open_files:
        writers = {
            name: open_files.enter_context(pq.ParquetWriter(file, schema, compression="lz4"))
            for name, file in files.items()
        }
        for model in models:
            examples = model.encoded.examples
            block_rows = min(BLOCK_ROWS, max(1, context.matrix_bytes // examples.bytes_per_row))
            for number, split in model.splits:
                for groups, batch in examples.blocks(split, block_rows):
                    identities = examples.column(ROW_ID, split, groups)
                    labels = batch.labels if model.fold is None else unseen.fill(model.labels(batch), identities)
                    for name, predictor in model.models.items():
                        columns = prediction_columns(encoded.targets, model.predictions(predictor, batch), labels)
                        columns |= examples.beside(split, groups)
                        writers[name].write_table(raw_table(identities, number, columns, schema, model.fold))
                    done += len(batch)
                    context.progress.advance(done)
