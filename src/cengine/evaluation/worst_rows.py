"""Single rows with their features: those with the largest errors, and of classes typical ones and those on the border of two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import numpy as np
from sqlglot import exp

from cengine.engines.engine import Engine
from cengine.evaluation.attributions import Pushed
from cengine.evaluation.predictions import roles_of
from cengine.evaluation.raw_cells import raw_cells
from cengine.expressions.build import column, double
from cengine.metrics.table import METRICS
from cengine.preprocess.source import Rows
from cengine.preprocess.targets import Target
from cengine.tables import ROW_ID

NUM_WORST, NUM_TYPICAL, NUM_ON_BORDER = 10, 5, 5
# Of more features these are shown, the most important first.
MOST_SHOWN = 12

# The features that pushed the predictions of rows, by label, in the order of the rows' identities.
Pushing = Callable[[np.ndarray], Mapping[str, Sequence[list[Pushed]]]]


class ShownRow(TypedDict):
    """A row: what is true, what was predicted (of classes with its probability), its error, the cells of the features, and which pushed most."""

    label: Any
    prediction: Any
    probability: float | None
    error: float
    cells: list[Any]
    pushed: NotRequired[list[Pushed]]


class WorstRows(TypedDict):
    """Rows of one split and label: `kind` is worst, typical or border; `features` are the columns of the cells."""

    label: str
    split: str
    kind: str
    error: str
    features: list[str]
    rows: list[ShownRow]


def worst_rows(
    engine: Engine,
    predictions: exp.Expr,
    rows: Rows,
    targets: Sequence[Target],
    features: Sequence[str],
    split_names: Sequence[str],
    pushing: Pushing | None = None,
) -> list[WorstRows]:
    """Of each label the worst rows of the last split, and of classes typical ones and those on the border; `features` are shown.

    Where the model can tell it, `pushing` says which features pushed their predictions.
    """
    number, shown = len(split_names) - 1, list(features)[:MOST_SHOWN]
    found: list[tuple[Target, str, list[dict[str, Any]]]] = []
    for target in targets:
        for kind, (order, num) in _orders(target).items():
            found.append((target, kind, engine.fetch_rows(_query(predictions, target, number, order, num))))
    identities = np.array([row[ROW_ID] for _, _, picked in found for row in picked], np.int64)
    cells = raw_cells(engine, rows, shown, identities)
    pushed = pushing(identities) if pushing else None
    told: list[WorstRows] = []
    place = 0
    for target, kind, picked in found:
        told.append(
            {
                "label": target.name,
                "split": split_names[number],
                "kind": kind,
                "error": target.task.row_loss,
                "features": shown,
                "rows": [
                    _shown(target, row, [cells[name][place + k] for name in shown]) for k, row in enumerate(picked)
                ],
            }
        )
        if pushed is not None:
            for k, row in enumerate(told[-1]["rows"]):
                row["pushed"] = pushed[target.name][place + k]
        place += len(picked)
    return told


def _loss(target: Target) -> exp.Expr:
    """The error of a row; of classes the logarithm of the true one's probability, turned round."""
    (term,) = METRICS[target.task.row_loss]().sums(roles_of(target), target.task.name).values()
    return term


def _certainty(target: Target) -> exp.Expr:
    """How far the likeliest class is from being no more than a guess between two."""
    if target.task.one_output_a_class:
        return roles_of(target)("predicted_probability")
    return exp.Abs(this=exp.Paren(this=roles_of(target)("prediction") - double(0.5)))


def _orders(target: Target) -> dict[str, tuple[exp.Ordered, int]]:
    """What each kind of rows is ordered by, and how many are shown."""
    worst = (exp.Ordered(this=column("_loss"), desc=True, nulls_first=False), NUM_WORST)
    if not target.task.has_classes:
        return {"worst": worst}
    typical = (exp.Ordered(this=column("_loss"), desc=False, nulls_first=False), NUM_TYPICAL)
    border = (exp.Ordered(this=column("_certainty"), desc=False, nulls_first=False), NUM_ON_BORDER)
    return {"worst": worst, "typical": typical, "border": border}


def _query(predictions: exp.Expr, target: Target, number: int, order: exp.Ordered, num: int) -> exp.Select:
    name = target.name
    outputs = [
        column(ROW_ID),
        column(f"label: {name}").as_("_label"),
        column(f"prediction: {name}").as_("_prediction"),
        _loss(target).as_("_loss"),
    ]
    if target.task.has_classes:
        outputs.append(_certainty(target).as_("_certainty"))
    if target.task.one_output_a_class:
        outputs.append(column(f"predicted_probability: {name}").as_("_probability"))
    of_split = exp.EQ(this=column("_split"), expression=exp.convert(number))
    measured = exp.select(*outputs).from_(predictions.copy()).where(of_split)
    return exp.select("*").from_(measured.subquery("measured")).order_by(order, column(ROW_ID)).limit(num)


def _shown(target: Target, row: dict[str, Any], cells: list[Any]) -> ShownRow:
    label, prediction, probability = row["_label"], row["_prediction"], row.get("_probability")
    if target.task.has_classes:
        if not target.task.one_output_a_class:  # the probability of the second of two classes
            second = prediction > 0.5
            probability = prediction if second else 1 - prediction
            prediction = float(second)
        label, prediction = (_class(target, value) for value in (label, prediction))
    elif target.label.kind == "integer" and label is not None:
        label = int(label)
    return {
        "label": label,
        "prediction": prediction,
        "probability": probability,
        "error": row["_loss"],
        "cells": [
            value if value is None or isinstance(value, bool | int | float | str) else str(value) for value in cells
        ],
    }


def _class(target: Target, number: float) -> Any:
    """The class of this number; what the train rows do not have is none."""
    return target.classes[int(number)] if number >= 0 else None
