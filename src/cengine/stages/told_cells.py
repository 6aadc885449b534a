"""What an autoencoder expects of a cell, and what it holds, as a person reads it: in the column's own unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cengine.config.resolve import Feature
from cengine.learners.reconstruction import CODE, FLAG, Part
from cengine.plain import Cell
from cengine.preprocess.apply import MISSING
from cengine.transforms import InvertibleTransform
from cengine.transforms.calendar import Calendar

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SIN, _COS = "_sin", "_cos"


def part_of(part: Part) -> str:
    """Which part of its feature an encoded column is, as `calendar` and indicators name them; nothing for most."""
    return part.column.rpartition(f"{part.feature}.")[2] if part.column.lstrip("_") != part.feature.lstrip("_") else ""


def shown_name(part: Part) -> str:
    """What a column is called for a person: `started_at, hour` of the sine of an hour."""
    own = part_of(part).removesuffix(_SIN).removesuffix(_COS).replace("_", " ")
    return f"{part.feature}, {own}" if own else part.feature


def told(feature: Feature, learnt: Mapping[str, Any], part: Part, value: float, others: Mapping[str, float]) -> Cell:
    """What an encoded value of a part means. `others` has the values of the same row's other parts, by encoded column."""
    own = part_of(part)
    if part.kind == FLAG:
        return ("missing" if value else "there") if own == MISSING else bool(value)
    if part.kind == CODE:
        return _of_code(feature, learnt["transforms"], part, int(value))
    if own.endswith((_SIN, _COS)):
        stem = part.column.removesuffix(_SIN).removesuffix(_COS)
        sine, cosine = (value if part.column == f"{stem}{end}" else others.get(f"{stem}{end}") for end in (_SIN, _COS))
        name = own.removesuffix(_SIN).removesuffix(_COS)
        return round(value, 3) if sine is None or cosine is None else _of_turn(name, sine, cosine)
    return _of_number(feature, learnt["transforms"], value)


def _of_code(feature: Feature, statistics: Sequence[Mapping[str, Any]], part: Part, index: int) -> Cell:
    if part.is_hashed:
        return f"bucket {index}"
    for word, learnt in zip(feature.transforms, statistics, strict=True):
        if "vocabulary" in learnt:
            values = learnt["vocabulary"]
            return values[index] if index < len(values) else "another value"
        if "edges" in learnt and word.gives == "code":
            edges = learnt["edges"]
            low, high = (f"{edges[at]:.6g}" if 0 <= at < len(edges) else "" for at in (index - 1, index))
            return f"{low} to {high}" if low and high else f"from {low}" if low else f"below {high}" if high else "any"
    return f"bucket {index}"


def _of_turn(name: str, sine: float, cosine: float) -> Cell:
    """A part of a time that goes round, from the sine and the cosine of how far it has gone."""
    turn = math.atan2(sine, cosine) / (2 * math.pi) % 1.0
    match name:
        case "month" | "day":
            return 1 + round(turn * (12 if name == "month" else 31)) % (12 if name == "month" else 31)
        case "day_of_week":
            return _DAYS[int(turn * 7 + 1e-6) % 7]
        case "hour":
            minutes = round(turn * 1440) % 1440
            return f"{minutes // 60:02d}:{minutes % 60:02d}"
    return round(turn * 60) % 60


def _of_number(feature: Feature, statistics: Sequence[dict[str, Any]], value: float) -> Cell:
    words = list(zip(feature.transforms, statistics, strict=True))
    if words and isinstance(words[-1][0], Calendar):  # the year
        learnt = words[-1][1]
        return round(value * learnt["scale"] + learnt.get("rest", 0.0) + learnt["offset"])
    found = np.array([value], np.float64)
    for word, learnt in reversed(words):
        if not isinstance(word, InvertibleTransform):
            return float(value)
        found = word.inverse(found, learnt)
    return float(found[0])
