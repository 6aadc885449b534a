"""How much each stage has to do: plain quantities that its time, memory and disk space grow with, and what it reads."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlglot import exp

from cengine.config.resolve import Feature
from cengine.config.schema import TRAIN
from cengine.networks.encodings import Embedding, Periodic, PiecewiseLinear
from cengine.networks.layers import Dense
from cengine.pipeline.stages import (
    EVALUATION_SAMPLE_ROWS,
    NUM_FIT_QUERIES,
    NUM_SPLIT_QUERIES,
    STAGES,
    TRAIN_SAMPLE_ROWS,
    Context,
)  # fmt: skip
from cengine.tables import ROW_ID

# Different values of a column of text of which nothing is known yet.
GUESSED_VALUES = 100
ONE_HOT_WIDTH = 16

Load = dict[str, float]
Folders = Mapping[str, Path]


def load_of(stage: str, context: Context, folders: Folders, first_step: int = 0, last_step: int | None = None) -> Load:
    """What a stage has to do, as exactly as the results of the stages before it (`folders`) let it be known.

    Of training the steps after `first_step`, to `last_step` or to its end.
    """
    rows = _rows(context, folders)
    columns = len(context.resolved.features) + len(context.resolved.labels)
    match stage:
        case "Train":
            return _train_load(context, folders, rows, columns, first_step, last_step)
        case "Evaluate":
            evaluated = sum(rows.values()) - rows[TRAIN]
            table = context.snapshot.schema.num_rows * len(read_columns("Evaluate", context))
            slices = 1 + len(context.resolved.slices)
            return {"cells": table, "rows": evaluated, "sliced_rows": evaluated * slices,
                    "products": evaluated * num_weights(context, folders)[0]}  # fmt: skip
        case "Split":
            columns = len(read_columns(stage, context))
    return {"cells": context.snapshot.schema.num_rows * columns}


def _train_load(context: Context, folders: Folders, rows: dict[str, int], columns: int, first_step: int, last_step: int | None) -> Load:
    from cengine.training.loop import Plan

    trainer = context.resolved.trainer
    multiplied, weights = num_weights(context, folders)
    plan = Plan.of(trainer, rows[TRAIN], 4 * columns)
    steps = max(0, (last_step or plan.num_steps) - first_step)
    judged = next((count for name, count in rows.items() if name != TRAIN), 0)
    measured = math.ceil(steps / plan.every) * (min(rows[TRAIN], TRAIN_SAMPLE_ROWS) + min(judged, EVALUATION_SAMPLE_ROWS))
    return {
        "cells": sum(rows.values()) * columns, "steps": steps, "drawn_cells": steps * plan.batch_rows * columns,
        "products": steps * plan.batch_rows * multiplied, "updates": steps * weights,
        "weights": weights, "measured_rows": measured, "measured_products": measured * multiplied,
    }  # fmt: skip


def _rows(context: Context, folders: Folders) -> dict[str, int]:
    """Rows of each split; before they are split, what the shares make of all rows."""
    if "Split" in folders:
        from cengine.preprocess.split import read_split

        return read_split(folders["Split"]).report.rows
    total, split = context.snapshot.schema.num_rows, context.resolved.split
    shares = {name: float(share) for name, share in split.shares.items()} if split.shares else dict.fromkeys(split.names, 1.0)
    return {name: int(total * shares[name] / sum(shares.values())) for name in split.names}


def num_weights(context: Context, folders: Folders) -> tuple[int, int]:
    """Weights that each row is multiplied by, and all weights, near enough to tell time by; before Fit vocabularies are guessed."""
    resolved = context.resolved
    if "Fit" in folders:
        from cengine.preprocess.apply import inputs_of
        from cengine.preprocess.fit import read_statistics

        inputs = [(i.size, i.encoding) for i in inputs_of(resolved.features, read_statistics(folders["Fit"]))]
    else:
        inputs = [(_guessed_size(feature), feature.encoding) for feature in resolved.features]
    width = multiplied = looked_up = 0
    for size, encoding in inputs:
        more, table = _width(size, encoding)
        width, looked_up = width + more, looked_up + table
    for units in [*(layer.units for layer in resolved.trainer.layers if isinstance(layer, Dense)), len(resolved.labels)]:
        multiplied += (width + 1) * units
        width = units
    return multiplied, multiplied + looked_up


def _guessed_size(feature: Feature) -> int | None:
    return GUESSED_VALUES if feature.kind == "string" or any("vocabulary" in word.name for word in feature.transforms) else None


def _width(size: int | None, encoding: Any) -> tuple[int, int]:
    """How many numbers an input becomes, and the weights of its own table."""
    match encoding:
        case PiecewiseLinear():
            return encoding.num_bins, 0
        case Periodic():
            return encoding.dim, encoding.num_frequencies * (2 * encoding.dim + 1)
        case Embedding() if size:
            return encoding.width(size), size * encoding.width(size)
        case _ if size is None or encoding.name == "ordinal":
            return 1, 0
        case _ if encoding.name == "one_hot" or size <= ONE_HOT_WIDTH:
            return size, 0
    return Embedding().width(size), size * Embedding().width(size)


# What is read of the source


def read_columns(stage: str, context: Context) -> set[str]:
    """The columns of the table that a stage's queries read."""
    from cengine.evaluation.search import columns_beside

    resolved, split = context.resolved, context.resolved.split
    kept = {node.name for condition in context.filters for node in condition.find_all(exp.Column)}
    kept |= {label.name for label in resolved.labels if label.filling is None} | {ROW_ID}
    placed = kept | {name for name in (split.categorize.by, split.index.by) if name}
    labels = {label.name for label in resolved.labels}
    match stage:
        case "Split":
            return placed
        case "Fit" | "Transform":
            return placed | labels | {feature.name for feature in resolved.features}
        case "Evaluate":
            return kept | labels | set(columns_beside(resolved))
    return set()  # Train reads what Transform wrote


def scanned_bytes(context: Context) -> dict[str, int]:
    """Bytes of the source's columns that each stage reads, in Parquet as they are stored, as often as it reads them."""
    sizes = _column_bytes(context.snapshot.files)
    reads = {"Split": NUM_SPLIT_QUERIES, "Fit": NUM_FIT_QUERIES, "Transform": 1, "Evaluate": 1}
    return {
        stage.name: reads.get(stage.name, 0) * sum(sizes.get(name, 0) for name in read_columns(stage.name, context)) for stage in STAGES
    }


@functools.lru_cache(maxsize=4)
def _column_bytes(files: tuple[Path, ...]) -> dict[str, int]:
    """What each column takes in these Parquet files, which never change."""
    import pyarrow.parquet as pq

    sizes: dict[str, int] = {}
    for file in files:
        metadata = pq.read_metadata(file)
        for group in range(metadata.num_row_groups):
            for index in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(index)
                name = chunk.path_in_schema.split(".")[0]
                sizes[name] = sizes.get(name, 0) + chunk.total_compressed_size
    return sizes
