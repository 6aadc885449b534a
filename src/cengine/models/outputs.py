"""What a model's answers are called, wherever they are given: as outputs of a file, as columns of a table. Plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cengine.names import quantile_name


def outputs_of(labels: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each label (`label`, `task`, its `classes`, or none, and where there are any its `at`, the quantiles) the names of the outputs:
    `prediction`, for classes `probabilities`, and `quantiles` where they are predicted.
    """
    several = len(labels) > 1
    told = []
    for one in labels:
        prefix = f"{one['label']}: " if several else ""
        classes = list(one["classes"]) or None
        probabilities = f"{prefix}probabilities" if classes else None
        names = {"prediction": f"{prefix}prediction", "probabilities": probabilities}
        of_quantiles = {"quantiles": f"{prefix}quantiles", "at": list(one["at"])} if one.get("at") else {}
        told.append({"label": one["label"], "task": one["task"], **names, "classes": classes, **of_quantiles})
    return told


def names_of(output: Mapping[str, Any]) -> list[str]:
    """The outputs of a label: the prediction, and for classes their probabilities, or the quantiles."""
    return [output[key] for key in ("prediction", "probabilities", "quantiles") if output.get(key)]


def columns_of(output: Mapping[str, Any]) -> list[str]:
    """The columns of a table of answers to a label: the prediction, and for classes the probability of each, or each quantile."""
    prefix = str(output["prediction"]).removesuffix("prediction")
    several = [f"probability_{told(one)}" for one in output["classes"] or ()]
    several += [quantile_name(share) for share in output.get("at", ())]
    return [output["prediction"], *(f"{prefix}{name}" for name in several)]


def told(value: object) -> str:
    """A class as it stands in the name of a column."""
    return str(value).lower() if isinstance(value, bool) else str(value)
