"""What does not fit an autoencoder: its known anomalies, its yardstick and metrics; and what only an autoencoder has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cengine.config.normalize import Problems
from cengine.config.resolve import Resolved
from cengine.config.schema import AUTOENCODER
from cengine.config.source import Node
from cengine.metrics.table import METRICS
from cengine.tasks import Reconstruction

if TYPE_CHECKING:
    from cengine.config.checks import Checker

WITHOUT_LABELS = "without a label: `trainer: {type: autoencoder}` reconstructs rows, and finds the odd ones"
_INSTEAD_OF_LABELS = (
    "it reconstructs its features; leave `labels` out",
    "a column that tells odd rows is named in `evaluator: {anomaly: {column: NAME, positive: VALUE}}`",
)
_OF_ODD_ROWS = ("auc", "pr_auc", "precision_above")
_EVALUATOR = "evaluator"


def without_labels(root: Node, problems: Problems) -> bool:
    """Whether the YAML of these blocks is that of an autoencoder, which is refused labels."""
    trainer = root.value.get("trainer")
    kind = trainer.value.get("type") if trainer is not None and trainer.is_mapping else None
    if kind is None or kind.value != AUTOENCODER:
        return False
    if "labels" in root.value:
        problems.add("an autoencoder has no labels", root.keys["labels"], *_INSTEAD_OF_LABELS)
    return True


def check(checker: Checker, resolved: Resolved) -> None:
    """Adds what does not fit to the checker's problems."""
    if not resolved.is_autoencoder:
        for key in ("anomaly", "threshold"):
            if getattr(checker.config.evaluator, key) is not None:
                checker.add(
                    f"evaluator.{key} is for autoencoders, and this trainer predicts labels",
                    (_EVALUATOR, key),
                    "leave it out, or set `trainer: {type: autoencoder}` and leave `labels` out",
                    key=True,
                )
        return
    if resolved.yardstick is not None:
        told = "the yardstick of an autoencoder is PCA, which is always there; trees predict labels"
        checker.add(told, (_EVALUATOR, "yardstick"), "leave `yardstick` out")
    _metrics(checker, resolved)
    _anomaly(checker)


def _metrics(checker: Checker, resolved: Resolved) -> None:
    for i, metric in enumerate(resolved.metrics or ()):
        path = (_EVALUATOR, "metrics", i)
        if Reconstruction.name not in metric.tasks:
            known = [name for name, word in METRICS.usable().items() if Reconstruction.name in word.tasks]
            checker.add(f"metric '{metric.name}' is for labels", path, f"metrics of rows: {', '.join(known)}")
        elif metric.name in _OF_ODD_ROWS and resolved.anomaly is None:
            checker.add(
                f"metric '{metric.name}' needs to know which rows are odd",
                path,
                "name the column that tells: `evaluator: {anomaly: {column: NAME, positive: VALUE}}`",
            )


def _anomaly(checker: Checker) -> None:
    """The column is there, is no feature, and can hold the value."""
    anomaly = checker.config.evaluator.anomaly
    if anomaly is None:
        return
    path = (_EVALUATOR, "anomaly")
    if anomaly.column not in checker.schema:
        message, *notes = checker.schema.lookup.fault(anomaly.column, listing=not checker.problems.found)
        checker.add(message, (*path, "column"), *notes)
        return
    if anomaly.column in checker.config.features:
        checker.add(
            f"'{anomaly.column}' tells which rows are odd and is a feature too: the autoencoder would be told the answer",
            ("features", anomaly.column),
            "remove it from features",
            key=True,
        )
    column, value = checker.schema[anomaly.column], anomaly.positive
    is_number = isinstance(value, int | float)
    fits = {"string": True, "boolean": value in (0, 1), "integer": is_number, "float": is_number}
    if not fits.get(column.kind or "", False):
        checker.add(
            f"no cell of column '{anomaly.column}' can be {value!r}: its type is {column.kind or column.sql_type}",
            (*path, "positive"),
            "`positive` is the value of odd rows",
        )
    elif is_number and _is_beyond(value, column.minimum, column.maximum):
        checker.add(
            f"no cell of column '{anomaly.column}' is {value!r}: they lie between {column.minimum} and {column.maximum}",
            (*path, "positive"),
            "`positive` is the value of odd rows",
        )


def _is_beyond(value: Any, least: object, greatest: object) -> bool:
    """Whether a number lies outside of a known range."""
    known = isinstance(least, int | float) and isinstance(greatest, int | float)
    return known and not least <= value <= greatest
