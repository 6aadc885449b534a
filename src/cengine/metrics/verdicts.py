"""From where on a model is called better than a constant or another yardstick: one meaning for the sentence and for its colour."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# A model that saves less of the constant's distance to perfection is hardly better than it.
HARDLY_BETTER = 0.05
# Of fewer evaluated rows a metric says next to nothing: nothing is claimed of them, and nothing is shown in green.
FEW_ROWS = 10
# The models that stand beside every model, and what a sentence calls them.
LINEAR, TREES = "linear", "trees"
# Beside autoencoders, and beside forecasts.
PCA, NAIVE, SEASONAL = "pca", "naive", "seasonal"
YARDSTICKS = {
    LINEAR: "a linear model",
    TREES: "boosted trees",
    PCA: "PCA with a code of the same size",
    NAIVE: "repeating the last value",
    SEASONAL: "repeating the last season",
}
# What a column of a table is called that has what they reach, at the terminal and on the page.
SHORT_YARDSTICKS = {LINEAR: "Linear", TREES: "Trees", PCA: "PCA", NAIVE: "Naive", SEASONAL: "Seasonal"}
TITLES = {
    LINEAR: "Linear model",
    TREES: "Boosted trees",
    PCA: "PCA",
    NAIVE: "Last value",
    SEASONAL: "Last season",
}
BETTER, HARDLY, WORSE, NOISE = "better", "hardly", "worse", "noise"


def is_known(*values: float | None) -> bool:
    """Whether all are numbers."""
    return all(value is not None and math.isfinite(value) for value in values)


def against(row: Mapping[str, Any], yardstick: str, higher_is_better: bool) -> str | None:
    """How a measured metric stands against a yardstick: better, worse, or no more apart than noise. None without the yardstick."""
    if not is_known(row.get(yardstick), row["model"]):
        return None
    difference, low, high = (row[f"{yardstick}_{what}"] for what in ("difference", "low", "high"))
    if not is_known(difference, low, high) or low <= 0 <= high:
        return NOISE
    return BETTER if (difference > 0) == higher_is_better else WORSE


def against_constant(row: Mapping[str, Any]) -> str:
    """The same against the constant, which it may also hardly beat; `skill` is known."""
    if row["skill"] <= 0:
        return WORSE
    if is_known(row["low"], row["high"], row["constant"]) and row["low"] <= row["constant"] <= row["high"]:
        return NOISE
    return HARDLY if row["skill"] < HARDLY_BETTER else BETTER


def level_of(row: Mapping[str, Any], higher_is_better: bool) -> str:
    """The colour of a metric: good where it beats the constant and the linear model (or PCA) beyond noise, bad where one of them beats it.

    Else hardly, and none where nothing can be said.
    """
    if row["skill"] is None or not math.isfinite(row["skill"]):
        return "none"
    constant = against_constant(row)
    if row["num_rows"] < FEW_ROWS:
        return "none" if not is_known(row["low"], row["high"]) else "bad" if constant == WORSE else "hardly"
    beside = against(row, LINEAR if row.get(PCA) is None else PCA, higher_is_better)
    if WORSE in (constant, beside):
        return "bad"
    return "good" if constant == BETTER and beside != NOISE else "hardly"
