"""What is obeyed, but looks like a mistake: each function adds its warnings to a checker's problems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlglot import exp

from cengine.config.filter_facts import Range, outcomes, told_ranges
from cengine.config.resolve import Feature, Resolved
from cengine.config.schema import TRAIN
from cengine.metrics.verdicts import FEW_ROWS
from cengine.tables import Column
from cengine.transforms.calendar import Calendar

if TYPE_CHECKING:
    from cengine.config.checks import Checker

MANY_DISTINCT = 100


def of_filters(checker: Checker, filters: Sequence[tuple[int, exp.Expr]]) -> None:
    """Filters that every row passes."""
    for i, filter_ in filters:
        if checker.schema.num_rows and outcomes(filter_, checker.schema) == {True}:
            checker.add(
                "the filter is always true: it leaves no row out",
                ("split", "where", i),
                *told_ranges(filter_, checker.schema),
            )


def of_splits(checker: Checker) -> None:
    """Splits that can have a few rows at most."""
    split = checker.config.split
    if split.num_folds and split.num_folds <= checker.schema.num_rows < FEW_ROWS:
        checker.add(
            f"all folds together have {checker.schema.num_rows} rows: too few to tell how good a model is",
            ("split", "folds") if split.folds else ("split", "categorize", "folds"),
        )
    for path, shares in ((("ratio",), split.ratio), (("index", "ratio"), split.index.ratio)):
        for name, share in (shares or {}).items():
            if 0 < checker.schema.num_rows * share < FEW_ROWS:
                checker.add(
                    f"split '{name}' gets about {checker.schema.num_rows * share:.0f} of {checker.schema.num_rows:,} rows: "
                    + ("too few to learn from" if name == TRAIN else "too few to tell how good a model is"),
                    ("split", *path, name),
                    key=True,
                )


def _of_zones(checker: Checker, feature: Feature, column: Column) -> None:
    """A column without a time zone that is to be read in one."""
    for i, word in enumerate(feature.transforms):
        if isinstance(word, Calendar) and word.zone is not None and "WITH TIME ZONE" not in column.sql_type.upper():
            checker.add(
                f"column '{feature.name}' has no time zone: its times count as UTC, and are read as a clock in {word.zone} shows them",
                ("features", feature.name, "transform", i),
                "leave `zone` out if they are already those of such a clock",
            )


def of_columns(checker: Checker, resolved: Resolved) -> None:
    """Features that tell the answer, tell nothing, or are no quantity."""
    labels = {label.name for label in resolved.labels}
    for feature in resolved.features:
        path = ("features", feature.name)
        column = checker.schema[feature.name]
        _of_zones(checker, feature, column)
        if feature.name in labels:
            checker.add(
                f"'{feature.name}' is a label and a feature too: the network is told the answer",
                path,
                "remove it from features",
                key=True,
            )
        if column.num_nulls is not None and column.num_nulls == checker.schema.num_rows:
            checker.add(f"feature '{feature.name}' is null in every row", path, "remove it", key=True)
        elif column.minimum is not None and column.minimum == column.maximum and not column.num_nulls:
            checker.add(f"feature '{feature.name}' has one value only: {column.minimum}", path, "remove it", key=True)
        if _looks_like_id(feature, column.minimum, column.maximum):
            checker.add(
                f"feature '{feature.name}' looks like an identifier, and is scaled as a quantity",
                path,
                "`transform: compute_and_apply_vocabulary` lets the network learn each value by itself",
                key=True,
            )
    by = checker.config.split.categorize.by
    if by in checker.config.features and checker.config.split.whole_groups:
        checker.add(
            f"feature '{by}' is what whole groups are split by: the network never sees the groups it is evaluated on",
            ("features", str(by)),
            "remove it from features",
            key=True,
        )


def of_training(checker: Checker, resolved: Resolved, ranges: dict[str, Range]) -> None:
    """What the learner makes of its block, and of it beside each label."""
    for label in resolved.labels:
        checker.say(checker.config.trainer.suspicions(checker.label_facts(label, len(resolved.labels), ranges)))
    checker.say(checker.config.trainer.suspicions())


def _looks_like_id(feature: Feature, minimum: object, maximum: object) -> bool:
    if feature.kind != "integer" or not feature.name.lower().endswith(("_id", " id", "id")):
        return False
    wide = isinstance(minimum, int) and isinstance(maximum, int) and maximum - minimum > MANY_DISTINCT
    scaled = feature.transforms[-1].name in ("scale_to_z_score", "scale_to_0_1", "scale_by_min_max", "no_transform")
    return wide and scaled and feature.encoding.name in ("auto", "linear")
