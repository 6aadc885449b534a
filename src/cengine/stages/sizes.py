"""How many rows and inputs a run has: exactly where the stages before tell, else as near as the configuration lets it be guessed."""

from __future__ import annotations

from cengine.config.resolve import Feature
from cengine.config.schema import INNER, INNER_SHARE, TRAIN
from cengine.learners.learner import Facts
from cengine.networks.encodings import Auto, Encoding
from cengine.stages.context import Context
from cengine.stages.fit import Fit
from cengine.stages.split import Split
from cengine.stages.stage import Folders

# Different values of a column of text of which nothing is known yet.
GUESSED_VALUES = 100


def rows_of_splits(context: Context, folders: Folders) -> dict[str, int]:
    """Rows of each split; before they are split, what the shares make of all rows."""
    if Split.name in folders:
        return context.split(folders[Split.name]).examples
    total, split = context.snapshot.schema.num_rows, context.resolved.split
    shares = (
        {name: float(share) for name, share in split.shares.items()}
        if split.shares
        else dict.fromkeys(split.names, 1.0)
    )
    if split.num_folds and context.fold is None:
        return {TRAIN: total}  # the last model learns from all rows
    return {name: int(total * shares[name] / sum(shares.values())) for name in split.names}


def rows_by_use(context: Context, folders: Folders) -> dict[str, int]:
    """The same with the part of train by which a model is chosen apart from the rows that it is learnt from."""
    rows, inner = rows_of_splits(context, folders), 0
    if context.resolved.has_inner:
        known = context.split(folders[Split.name]).num_inner_examples if Split.name in folders else None
        inner = int(rows[TRAIN] * INNER_SHARE) if known is None else known
    return {**rows, TRAIN: rows[TRAIN] - inner, INNER: inner} if inner else rows


def is_guessed(folders: Folders) -> bool:
    """Whether the sizes of vocabularies, and so the number of weights, are not known yet."""
    return Fit.name not in folders


def facts(context: Context, folders: Folders) -> Facts:
    """What a learner is told to say how long it takes; before Fit vocabularies are guessed."""
    resolved, rows = context.resolved, rows_by_use(context, folders)
    known = [] if is_guessed(folders) else context.inputs(folders[Fit.name])
    inputs = [(i.size, i.encoding) for i in known] or [
        *(_guessed(feature) for feature in resolved.features),
        *((None, Auto().chosen(None, one_hot=False)) for feature in resolved.features if feature.missing_indicator),
    ]
    judged = resolved.judged if resolved.judged in rows else None
    shown = resolved.shown if resolved.shown in rows else None  # a model of all rows has none beside
    outputs = sum(max(1, len(label.asked().quantiles)) for label in resolved.labels)
    if resolved.is_autoencoder:
        outputs = sum(size or 1 for size, _ in inputs)
    words = None if resolved.series is None else resolved.series.words
    window = None if words is None else (words.length, words.horizon or 1)
    return Facts(rows, inputs, context.num_encoded, outputs, judged, shown, window)


def _guessed(feature: Feature) -> tuple[int | None, Encoding]:
    has_words = feature.kind == "string" or any("vocabulary" in word.name for word in feature.transforms)
    size = GUESSED_VALUES if has_words else None
    return size, feature.encoding.chosen(size, one_hot=False)
