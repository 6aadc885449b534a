"""What each feature adds to predictions: how much on average, and which features pushed a single prediction most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

# The number of features that are named for a single row.
NUM_PUSHING = 3


class FeaturePart(TypedDict):
    """The mean size of what a feature adds to a prediction, in `unit` of the label's attributions."""

    feature: str
    value: float


class Attributions(TypedDict):
    """The features of a label by what they add to predictions: rows of one split, `unit` in words, `expected` without any feature."""

    label: str
    split: str
    num_rows: int
    unit: str
    expected: float
    features: list[FeaturePart]


class Pushed(TypedDict):
    """A feature that pushed the prediction of a row, up or down by so much."""

    feature: str
    contribution: float


def attributed(
    label: str, split: str, unit: str, features: Sequence[str], values: np.ndarray, expected: np.ndarray
) -> Attributions:
    """Of contributions (n, features) and what is expected (n,) the means over rows; the feature that adds most comes first."""
    sizes = np.abs(values).mean(axis=0) if len(values) else np.zeros(len(features))
    parts: list[FeaturePart] = [
        {"feature": name, "value": float(size)} for name, size in zip(features, sizes, strict=True)
    ]
    return {
        "label": label,
        "split": split,
        "num_rows": len(values),
        "unit": unit,
        "expected": float(expected.mean()) if len(expected) else 0.0,
        "features": sorted(parts, key=lambda one: (-one["value"], one["feature"])),
    }


def pushing(features: Sequence[str], values: np.ndarray) -> list[Pushed]:
    """Of one row's contributions (features,) the largest, up or down; features that add nothing are not among them."""
    order = np.argsort(-np.abs(values), kind="stable")[:NUM_PUSHING]
    return [{"feature": features[k], "contribution": float(values[k])} for k in order if values[k] != 0]
