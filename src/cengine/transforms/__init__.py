"""The words under `filling:` and `transform:`: one class each, listed in one table."""

from cengine.transforms.fill import FILLINGS
from cengine.transforms.table import TRANSFORMS
from cengine.transforms.value import Filling, InvertibleTransform, Lookups, NoLookups, Transform, Value, as_input

__all__ = [
    "FILLINGS",
    "TRANSFORMS",
    "Filling",
    "InvertibleTransform",
    "Lookups",
    "NoLookups",
    "Transform",
    "Value",
    "as_input",
]
