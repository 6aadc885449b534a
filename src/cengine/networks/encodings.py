"""`encoding:`, how a preprocessed column enters the network.

`numbers` are float32 columns, `codes` int32 columns with indices. What an encoding learns of the train rows
(`piecewise_linear`'s edges) is fitted beside the transforms' statistics.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from cengine.summaries import Needs, Summary
from cengine.words import Word, table_of

ONE_HOT_UP_TO = 16


class Encoding(Word):
    """How a column enters the network; `accepts` tells numbers from codes."""

    accepts: ClassVar[tuple[str, ...]]

    def needs(self) -> Needs:
        """What `fit` has to know of the transformed column's train rows."""
        return Needs()

    def fit(self, summary: Summary) -> dict[str, Any]:
        """JSON-able statistics."""
        return {}


class Auto(Encoding):
    """Numbers `linear`; indices `one_hot` up to 16 values, `embedding` above."""

    name = "auto"
    accepts = ("number", "code")

    def chosen(self, size: int | None, *, one_hot: bool) -> Encoding:
        """The encoding it stands for, of an index of `size` values or of a number (None)."""
        if size is None:
            return Linear()
        return OneHot() if one_hot or size <= ONE_HOT_UP_TO else Embedding()


class Ordinal(Encoding):
    """The index as one number, divided by the greatest index."""

    name = "ordinal"
    accepts = ("code",)


class OneHot(Encoding):
    """One input for each index."""

    name = "one_hot"
    accepts = ("code",)


class Embedding(Encoding):
    """A learnt vector of length `dim` for each index; left out, 1.6 * size ** 0.56, at most 64 (fastai's rule)."""

    name = "embedding"
    accepts = ("code",)
    dim: int | None = Field(default=None, ge=1, le=4096)

    def width(self, size: int) -> int:
        """The length of the vector."""
        return self.dim or min(64, max(2, round(1.6 * size**0.56)))


class Linear(Encoding):
    """The number itself."""

    name = "linear"
    accepts = ("number",)


class PiecewiseLinear(Encoding):
    """One input for each bin between quantiles: 0 before it, 1 after it, linear within (Gorishniy and others 2022)."""

    name = "piecewise_linear"
    accepts = ("number",)
    num_bins: int = Field(default=32, ge=2, le=1024)

    def needs(self) -> Needs:
        return Needs(probabilities=tuple(i / self.num_bins for i in range(self.num_bins + 1)))

    def fit(self, summary: Summary) -> dict[str, Any]:
        edges = sorted({float(value) for value in summary.quantiles})
        return {"edges": edges if len(edges) > 1 else [(edges or [0.0])[0], (edges or [0.0])[0] + 1.0]}


class Periodic(Encoding):
    """Sines and cosines of learnt frequencies, then a small dense layer with ReLU (Gorishniy and others 2022)."""

    name = "periodic"
    accepts = ("number",)
    num_frequencies: int = Field(default=24, ge=1, le=1024)
    sigma: float = Field(default=0.3, gt=0)
    dim: int = Field(default=16, ge=1, le=1024)


ENCODINGS = table_of(Auto, Ordinal, OneHot, Embedding, Linear, PiecewiseLinear, Periodic)
