"""Which numbers an output activation can give, and whether a label's are among them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from cengine.config.resolve import Label
from cengine.plain import Cell
from cengine.transforms.scale import ScaleByMinMax

# In the unit of the transformed label: these are not scaled by its deviation, see `heads.py`.
BOUNDED = {
    "sigmoid": (0.0, 1.0), "hard_sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "hard_tanh": (-1.0, 1.0), "softsign": (-1.0, 1.0), "relu6": (0.0, 6.0),
}  # fmt: skip
# How many deviations of the label below 0 (above it for log_sigmoid) the others reach; to the other side they have no end.
LEAST = {
    "relu": 0.0, "softplus": 0.0, "exponential": 0.0, "squareplus": 0.0, "elu": 1.0, "celu": 1.0, "selu": 1.7582, "gelu": 0.171,
    "silu": 0.279, "swish": 0.279, "mish": 0.309, "hard_silu": 0.376, "hard_swish": 0.376,
}  # fmt: skip
# The scores of quantile 0 and 1.
_NORMAL_ENDS = (NormalDist().inv_cdf(1e-7), -NormalDist().inv_cdf(1e-7))


@dataclass(frozen=True)
class Reach:
    """What an activation gives (`low` to `high`) beside where the transformed label lies (`label_low` to `label_high`)."""

    low: float
    high: float
    label_low: float
    label_high: float

    @property
    def misses_all(self) -> bool:
        """Whether no value of the label can be predicted."""
        return self.high < self.label_low or self.low > self.label_high

    @property
    def misses_some(self) -> bool:
        """Whether the least or the greatest of the label cannot be."""
        return self.label_low < self.low or self.label_high > self.high

    @property
    def told(self) -> str:
        """What the activation gives, for a message."""
        if math.isinf(self.high):
            return f"gives no number below {self.low:g}"
        return (
            f"gives no number above {self.high:g}"
            if math.isinf(self.low)
            else f"gives numbers from {self.low:g} to {self.high:g}"
        )

    def beside(self, label: Label) -> str:
        """Where the label lies, for a message."""
        words = [word.name for word in label.transforms if word.name != "no_transform"]
        after = f" after {', '.join(words)}" if words else ""
        reaches = "reaches at least" if "scale_to_z_score" in words else "lies"
        return f"but label '{label.name}'{after} {reaches} from {self.label_low:g} to {self.label_high:g}"


def reach_of(activation: str, label: Label, minimum: Cell, maximum: Cell) -> Reach | None:
    """The activation's reach beside a regression label of that least and greatest value; None where either is not known."""
    found = _transformed(label, float(minimum), float(maximum))
    if found is None:
        return None
    if activation in BOUNDED:
        return Reach(*BOUNDED[activation], *found)
    # No deviation is more than half of the way from the least to the greatest.
    deviation = 1.0 if any(word.name == "scale_to_z_score" for word in label.transforms) else (found[1] - found[0]) / 2
    if activation == "log_sigmoid":
        return Reach(-math.inf, 0.0, *found)
    return Reach(0.0 - LEAST[activation] * deviation, math.inf, *found) if activation in LEAST else None


def _transformed(label: Label, low: float, high: float) -> tuple[float, float] | None:
    """Where the transformed label lies: of a z-score, that it reaches from -1 or further to 1 or further is all that is known."""
    for word in label.transforms:
        if word.name == "log":
            if low <= 0:
                return None
            low, high = math.log(low), math.log(high)
        elif word.name == "scale_to_0_1":
            low, high = 0.0, 1.0
        elif isinstance(word, ScaleByMinMax):
            low, high = word.min, word.max
        elif word.name in ("scale_to_z_score", "quantile_normal"):
            low, high = (0.0, 0.0) if low == high else (-1.0, 1.0) if word.name == "scale_to_z_score" else _NORMAL_ENDS
        elif word.name != "no_transform":
            return None
    return low, high
