"""What a model's answers are called, wherever they are given: as outputs of a file, as columns of a table. Plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def outputs_of(labels: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each label (`label`, `task`, and its `classes`, or none) the names of the outputs: `prediction`, and for classes `probabilities`."""
    several = len(labels) > 1
    told = []
    for one in labels:
        prefix = f"{one['label']}: " if several else ""
        classes = list(one["classes"]) or None
        probabilities = f"{prefix}probabilities" if classes else None
        names = {"prediction": f"{prefix}prediction", "probabilities": probabilities}
        told.append({"label": one["label"], "task": one["task"], **names, "classes": classes})
    return told


def names_of(output: Mapping[str, Any]) -> list[str]:
    """The outputs of a label: the prediction, and for classes their probabilities."""
    return [output[key] for key in ("prediction", "probabilities") if output[key]]


def columns_of(output: Mapping[str, Any]) -> list[str]:
    """The columns of a table of answers to a label: the prediction, and for classes the probability of each."""
    prefix = str(output["prediction"]).removesuffix("prediction")
    return [output["prediction"], *(f"{prefix}probability_{told(one)}" for one in output["classes"] or ())]


def told(value: object) -> str:
    """A class as it stands in the name of a column."""
    return str(value).lower() if isinstance(value, bool) else str(value)
