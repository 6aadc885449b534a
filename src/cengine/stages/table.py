"""The stages of a run, in order. A new one is a class and a line here."""

from __future__ import annotations

import functools
from pathlib import Path

from cengine.config.resolve import Resolved
from cengine.stages.context import Context
from cengine.stages.evaluate import Evaluate
from cengine.stages.fit import Fit
from cengine.stages.series import Series
from cengine.stages.split import Split
from cengine.stages.stage import Stage
from cengine.stages.train import Train
from cengine.stages.transform import Transform
from cengine.stages.yardsticks import Yardsticks

__all__ = [
    "STAGES",
    "Evaluate",
    "Fit",
    "Series",
    "Split",
    "Stage",
    "Train",
    "Transform",
    "Yardsticks",
    "scanned_bytes",
    "stage_named",
    "stages_of",
]

STAGES: tuple[Stage, ...] = (Split(), Series(), Fit(), Transform(), Yardsticks(), Train(), Evaluate())
_BY_NAME = {stage.name: stage for stage in STAGES}


def stages_of(resolved: Resolved) -> tuple[tuple[Stage, int | None], ...]:
    """The stages of a run of this configuration, each with the fold (from 1) that its model does not learn from, None for the others.

    Of folds each has a model with its yardsticks; a last model of all rows follows, which is beside none.
    """
    stages = [stage for stage in STAGES if resolved.series is not None or not isinstance(stage, Series)]
    if not resolved.split.num_folds:
        return tuple((stage, None) for stage in stages)
    first, *of_model, last = stages
    folds = range(1, resolved.split.num_folds + 1)
    of_folds = [(stage, fold) for fold in folds for stage in of_model]
    return (first, None), *of_folds, *((stage, None) for stage in of_model if not stage.is_beside), (last, None)


def stage_named(name: str) -> Stage | None:
    """The stage that a record or an artifact names, with a fold or without, None where it is another kind of artifact."""
    return _BY_NAME.get(name.partition(" ")[0])


def scanned_bytes(stage: Stage, context: Context) -> int:
    """Bytes of the source's columns that a stage reads, in Parquet as they are stored, as often as it reads them."""
    sizes = _column_bytes(context.snapshot.files)
    return stage.num_scans * sum(sizes.get(name, 0) for name in stage.columns(context)) if stage.num_scans else 0


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
