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
YARDSTICKS = {LINEAR: "a linear model", TREES: "boosted trees"}
BETTER, WORSE, NOISE = "better", "worse", "noise"


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


def level_of(row: Mapping[str, Any], higher_is_better: bool) -> str:
    """The colour of a metric: good where it beats the constant and the linear model beyond noise, bad where one of them beats it.

    Else hardly, and none where nothing can be said.
    """
    if row["skill"] is None or not math.isfinite(row["skill"]):
        return "none"
    beats_nothing = row["skill"] <= 0
    if row["num_rows"] < FEW_ROWS:
        return "none" if not is_known(row["low"], row["high"]) else "bad" if beats_nothing else "hardly"
    beside = against(row, LINEAR, higher_is_better)
    if beats_nothing or beside == WORSE:
        return "bad"
    within = is_known(row["low"], row["high"], row["constant"]) and row["low"] <= row["constant"] <= row["high"]
    return "hardly" if within or row["skill"] < HARDLY_BETTER or beside == NOISE else "good"
