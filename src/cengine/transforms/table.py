"""The table of transforms; one of another package comes by the entry point `cengine.transforms`."""

from __future__ import annotations

from cengine.errors import PreprocessError
from cengine.plugins import words_of
from cengine.transforms.calendar import Calendar
from cengine.transforms.discrete import Bucketize, ComputeAndApplyVocabulary, HashStrings, OneHotEncode
from cengine.transforms.scale import (
    EpochSeconds,
    Log,
    NoTransform,
    QuantileNormal,
    Robust,
    ScaleByMinMax,
    ScaleTo01,
    ScaleToZScore,
)
from cengine.transforms.value import Transform

TRANSFORMS = words_of(
    "transform",
    Transform,
    PreprocessError,
    NoTransform,
    ScaleToZScore,
    ScaleTo01,
    ScaleByMinMax,
    Bucketize,
    ComputeAndApplyVocabulary,
    HashStrings,
    OneHotEncode,
    Log,
    QuantileNormal,
    Robust,
    Calendar,
    EpochSeconds,
)
