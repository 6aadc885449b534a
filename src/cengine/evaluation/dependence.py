"""Partial dependence (Friedman 2001): the mean prediction where a feature has one value in all rows, for some of its values.

Values are those of rows: all that is made of a feature is taken from one row, so that nothing has to be encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from cengine.evaluation.importance import Important
from cengine.plain import Cell
from cengine.preprocess.targets import Target

# How many features of a label are drawn, values of each, rows at each value, and classes.
DRAWN_FEATURES, NUM_PLACES, NUM_ROWS, MOST_CLASSES = 6, 12, 512, 5
ORDERED = ("integer", "float", "timestamp")

# Predictions by label, float64 (n, outputs), of rows of these numbers where a feature (by its place) has the cells of one row.
Predictions = Callable[[np.ndarray, int, int], Mapping[str, np.ndarray]]


class Dependence(TypedDict):
    """Mean prediction of a label where a feature has each of `values` in all rows; a list a class, one list of numbers."""

    label: str
    feature: str
    kind: str
    values: list[Any]
    outputs: list[str]
    means: list[list[float]]


def drawn_features(important: Important) -> dict[str, list[str]]:
    """For each label the features that surely matter most."""
    found: dict[str, list[str]] = {}
    for one in important["features"]:
        own = found.setdefault(one["label"], [])
        if one["low"] > 0 and len(own) < DRAWN_FEATURES:
            own.append(one["feature"])
    return found


def dependences(
    drawn: Mapping[str, Sequence[str]],
    names: Sequence[str],
    kinds: Mapping[str, str],
    cells: Mapping[str, Sequence[Cell]],
    predictions: Predictions,
    targets: Sequence[Target],
) -> list[Dependence]:
    """Plain data; `cells` are the raw cells of the rows, by feature, and `names` the features in the model's order."""
    found: list[Dependence] = []
    known: dict[str, tuple[list[int], list[Mapping[str, np.ndarray]]]] = {}
    for target in targets:
        for name in drawn.get(target.name, ()):
            if name not in known:
                num = len(cells[name])
                rows = np.unique(np.linspace(0, num - 1, min(NUM_ROWS, num)).astype(np.int64))
                places = drawn_places(cells[name], kinds[name])
                known[name] = (places, [predictions(rows, names.index(name), place) for place in places])
            places, predicted = known[name]
            means = np.array([one[target.name].mean(axis=0) for one in predicted])
            if len(places) > 1:
                found.append(_told(target, name, kinds[name], [cells[name][place] for place in places], means))
    return found


def _told(target: Target, name: str, kind: str, values: list[Cell], means: np.ndarray) -> Dependence:
    outputs, chosen = [""], [target.task.point]
    if target.task.has_classes:
        chosen = sorted(np.argsort(-means.mean(axis=0), kind="stable")[:MOST_CLASSES].tolist())
        # A single probability is that of the second of two classes.
        outputs = [str(target.classes[k if means.shape[1] > 1 else 1]) for k in chosen]
    return {
        "label": target.name,
        "feature": name,
        "kind": kind,
        "values": [value if isinstance(value, bool | int | float | str) else str(value) for value in values],
        "outputs": outputs,
        "means": [means[:, k].tolist() for k in chosen],
    }


def drawn_places(values: Sequence[Cell], kind: str) -> list[int]:
    """Rows whose values are worth drawing a feature at: quantiles of numbers and times, the commonest of others; nulls are none."""
    present = [row for row, value in enumerate(values) if value is not None]
    first: dict[Any, int] = {}
    counts: dict[Any, int] = {}
    for row in present:
        first.setdefault(values[row], row)
        counts[values[row]] = counts.get(values[row], 0) + 1
    if kind in ORDERED:
        ordered: list[Any] = sorted(values[row] for row in present)
        shares = np.linspace(0.02, 0.98, NUM_PLACES)
        chosen = dict.fromkeys(ordered[round(share * (len(ordered) - 1))] for share in shares) if ordered else {}
    else:
        chosen = dict.fromkeys(sorted(counts, key=lambda one: (-counts[one], str(one)))[:NUM_PLACES])
    return [first[value] for value in chosen]
