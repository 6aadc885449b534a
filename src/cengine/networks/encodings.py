"""`encoding:`, how a preprocessed column enters the network.

`numbers` are float32 columns, `codes` int32 columns with indices. What an encoding learns of the train rows
(`piecewise_linear`'s edges) is fitted beside the transforms' statistics.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from cengine.errors import TrainingError
from cengine.networks.keras_setup import import_keras
from cengine.plugins import words_of
from cengine.summaries import Needs, Summary
from cengine.words import Word

ONE_HOT_UP_TO = 16
# Different values are looked for at so many quantiles. Of a column that is mostly 0, as many as MOST_VALUES are edges.
FINE, MOST_VALUES = 4096, 128
Statistics = Mapping[str, Any]


class Encoding(Word):
    """How a column enters the network; `accepts` tells numbers from codes. `size` is the number of indices of a code, None for a number."""

    accepts: ClassVar[tuple[str, ...]]
    together: ClassVar[bool] = False
    """Whether columns share a layer: hundreds of layers take a minute to compile."""

    def chosen(self, size: int | None, *, one_hot: bool) -> Encoding:
        """The encoding that it stands for."""
        return self

    @abstractmethod
    def width(self, size: int | None) -> int:
        """How many numbers enter the network."""

    def num_weights(self, size: int | None) -> int:
        """The number of weights that it learns."""
        return 0

    @abstractmethod
    def build(self, columns: Any, sizes: Sequence[int | None], statistics: Statistics) -> Any:
        """Keras tensors: the columns (b, n), float32 or int32 -> float32 (b, total width). More than one column where `together`.

        `statistics` are those of the column that `fit` gave.
        """

    def know_layers(self) -> None:
        """Registers the Keras layers of another package that `build` makes use of, so that a model that has them can be read."""

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

    def width(self, size: int | None) -> int:
        return self.chosen(size, one_hot=False).width(size)

    def build(self, columns: Any, sizes: Sequence[int | None], statistics: Statistics) -> Any:
        raise NotImplementedError("what it stands for is chosen before the network is built")

    def chosen(self, size: int | None, *, one_hot: bool) -> Encoding:
        if size is None:
            return Linear()
        return OneHot() if one_hot or size <= ONE_HOT_UP_TO else Embedding()


class Ordinal(Encoding):
    """The index as one number, divided by the greatest index."""

    name = "ordinal"
    accepts = ("code",)

    def width(self, size: int | None) -> int:
        return 1

    def build(self, columns: Any, sizes: Sequence[int | None], statistics: Statistics) -> Any:
        from cengine.networks.encoders import OrdinalCode

        return OrdinalCode(sizes[0] or 1)(columns)


class OneHot(Encoding):
    """One input for each index."""

    name = "one_hot"
    accepts = ("code",)
    together = True

    def width(self, size: int | None) -> int:
        return size or 1

    def build(self, columns: Any, sizes: Sequence[int | None], statistics: Statistics) -> Any:
        from cengine.networks.encoders import OneHotCode

        return OneHotCode([size or 1 for size in sizes])(columns)


class Embedding(Encoding):
    """A learnt vector of length `dim` for each index; left out, 1.6 * size ** 0.56, at most 64 (fastai's rule)."""

    name = "embedding"
    accepts = ("code",)
    dim: int | None = Field(default=None, ge=1, le=4096)

    def width(self, size: int | None) -> int:
        return self.dim or min(64, max(2, round(1.6 * (size or 1) ** 0.56)))

    def num_weights(self, size: int | None) -> int:
        return (size or 1) * self.width(size)

    def build(self, columns: Any, sizes: Sequence[int | None], statistics: Statistics) -> Any:
        keras = import_keras()
        found = keras.layers.Embedding(sizes[0] or 1, self.width(sizes[0]))(columns)
        points = columns.shape[1:-1]
        return keras.layers.Reshape((*points, found.shape[-1]))(found) if points else keras.layers.Flatten()(found)


class Linear(Encoding):
    """The number itself."""

    name = "linear"
    accepts = ("number",)
    together = True

    def width(self, size: int | None) -> int:
        return 1

    def build(self, columns: Any, sizes: Sequence[int | None], statistics: Statistics) -> Any:
        return columns


class PiecewiseLinear(Encoding):
    """One input for each bin between quantiles: 0 before it, 1 after it, linear within (Gorishniy and others 2022)."""

    name = "piecewise_linear"
    accepts = ("number",)
    num_bins: int = Field(default=32, ge=2, le=1024)

    def width(self, size: int | None) -> int:
        return self.num_bins

    def build(self, columns: Any, sizes: Sequence[int | None], statistics: Statistics) -> Any:
        from cengine.networks.encoders import PiecewiseLinearBins

        return PiecewiseLinearBins(statistics["edges"])(columns)

    def needs(self) -> Needs:
        return Needs(probabilities=tuple(i / self.num_bins for i in range(self.num_bins + 1)))

    def fit(self, summary: Summary) -> dict[str, Any]:
        return {"edges": _ascending(summary.quantiles)}


def _ascending(quantiles: Sequence[float]) -> list[float]:
    """Different edges, at least two."""
    edges = sorted({float(value) for value in quantiles})
    return edges if len(edges) > 1 else [(edges or [0.0])[0], (edges or [0.0])[0] + 1.0]


class Bins(Encoding):
    """The number itself, and beside it `piecewise_linear` with edges that divide the rows evenly, and as many that divide the values
    evenly: a column that is mostly 0 has bins where it is not, up to 128 of them.
    """

    name = "bins"
    accepts = ("number",)
    num_bins: int = Field(default=24, ge=2, le=1024)

    def width(self, size: int | None) -> int:
        return 2 * self.num_bins

    def build(self, columns: Any, sizes: Sequence[int | None], statistics: Statistics) -> Any:
        from cengine.networks.encoders import PiecewiseLinearBins

        return import_keras().layers.Concatenate()([columns, PiecewiseLinearBins(statistics["edges"])(columns)])

    @property
    def _probabilities(self) -> tuple[float, ...]:
        """Of the edges by rows, then of the values that stand for all."""
        return (*(i / self.num_bins for i in range(self.num_bins + 1)), *(i / FINE for i in range(1, FINE)))

    def needs(self) -> Needs:
        return Needs(probabilities=self._probabilities)

    def fit(self, summary: Summary) -> dict[str, Any]:
        rows = summary.quantiles[: self.num_bins + 1]
        values = sorted({*summary.quantiles})
        # Where most rows have the same few values, the others are told apart one by one.
        more = self.num_bins if len({*rows}) > self.num_bins // 2 else MOST_VALUES
        places = {round(i * (len(values) - 1) / more) for i in range(more + 1)} if values else set()
        return {"edges": _ascending([*rows, *(values[place] for place in places)])}


class Periodic(Encoding):
    """Sines and cosines of learnt frequencies, then a small dense layer with ReLU (Gorishniy and others 2022)."""

    name = "periodic"
    accepts = ("number",)
    num_frequencies: int = Field(default=24, ge=1, le=1024)
    sigma: float = Field(default=0.3, gt=0)
    dim: int = Field(default=16, ge=1, le=1024)

    def width(self, size: int | None) -> int:
        return self.dim

    def num_weights(self, size: int | None) -> int:
        return self.num_frequencies * (2 * self.dim + 1)

    def build(self, columns: Any, sizes: Sequence[int | None], statistics: Statistics) -> Any:
        from cengine.networks.encoders import PeriodicCode

        waves = PeriodicCode(self.num_frequencies, self.sigma)(columns)
        return import_keras().layers.Dense(self.dim, activation="relu")(waves)


ENCODINGS = words_of(
    "encoding", Encoding, TrainingError, Auto, Ordinal, OneHot, Embedding, Linear, PiecewiseLinear, Bins, Periodic
)
