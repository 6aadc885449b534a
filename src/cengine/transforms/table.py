"""The table of transforms."""

from __future__ import annotations

from cengine.transforms.calendar import Calendar
from cengine.transforms.discrete import Bucketize, ComputeAndApplyVocabulary, HashStrings, OneHotEncode
from cengine.transforms.scale import EpochSeconds, Log, NoTransform, QuantileNormal, ScaleByMinMax, ScaleTo01, ScaleToZScore
from cengine.words import table_of

TRANSFORMS = table_of(
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
    Calendar,
    EpochSeconds,
)
