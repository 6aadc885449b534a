"""How many rows and weights a run has: exactly where the stages before tell, else as near as the configuration lets it be guessed."""

from __future__ import annotations

from typing import Any

from cengine.config.resolve import Feature
from cengine.networks.encodings import Embedding, Periodic, PiecewiseLinear
from cengine.networks.layers import Dense
from cengine.pipeline.stages.context import Context
from cengine.pipeline.stages.fit import Fit
from cengine.pipeline.stages.split import Split
from cengine.pipeline.stages.stage import Folders

# Different values of a column of text of which nothing is known yet.
GUESSED_VALUES = 100
ONE_HOT_WIDTH = 16


def rows_of_splits(context: Context, folders: Folders) -> dict[str, int]:
    """Rows of each split; before they are split, what the shares make of all rows."""
    if Split.name in folders:
        from cengine.preprocess.split import read_split

        return read_split(folders[Split.name]).report.rows
    total, split = context.snapshot.schema.num_rows, context.resolved.split
    shares = {name: float(share) for name, share in split.shares.items()} if split.shares else dict.fromkeys(split.names, 1.0)
    return {name: int(total * shares[name] / sum(shares.values())) for name in split.names}


def is_guessed(folders: Folders) -> bool:
    """Whether the sizes of vocabularies, and so the number of weights, are not known yet."""
    return Fit.name not in folders


def num_weights(context: Context, folders: Folders) -> tuple[int, int]:
    """Weights that each row is multiplied by, and all weights, near enough to tell time by; before Fit vocabularies are guessed."""
    resolved = context.resolved
    if is_guessed(folders):
        inputs = [(_guessed_size(feature), feature.encoding) for feature in resolved.features]
    else:
        from cengine.preprocess.apply import inputs_of
        from cengine.preprocess.fit import read_statistics

        inputs = [(i.size, i.encoding) for i in inputs_of(resolved.features, read_statistics(folders[Fit.name]))]
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
