"""Keras layers of our own, by which columns enter the network. Importing this module imports Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cengine.networks.keras_setup import KerasTensor, import_keras
from cengine.tensors import BOOL, FLOAT, INT64, Tensor

keras = import_keras()

if TYPE_CHECKING:

    class Layer:
        """What is used here of Keras' layers, which have no types."""

        built: bool

        def __init__(self, **kwargs: Any) -> None: ...

        def __call__(self, *inputs: KerasTensor) -> KerasTensor: ...

        def add_weight(self, **kwargs: Any) -> KerasTensor: ...

        def get_config(self) -> dict[str, Any]: ...
else:
    Layer = keras.layers.Layer


@keras.saving.register_keras_serializable(package="cengine")
class Columns(Layer):
    """The chosen columns of a matrix: (b, ..., n) -> (b, ..., len(indices)).

    All layers here read the last axis, so that points of a window are encoded as rows are.
    """

    def __init__(self, indices: list[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.indices = [int(i) for i in indices]

    def call(self, inputs: KerasTensor) -> KerasTensor:
        return keras.ops.take(inputs, self.indices, axis=-1)

    def predicting(self, x: Tensor) -> Tensor:
        """The same as operations on a tensor, as all layers here say it beside `call`."""
        return x.graph.add("Gather", x, x.graph.constant(self.indices, INT64), axis=1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], len(self.indices))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "indices": self.indices}


@keras.saving.register_keras_serializable(package="cengine")
class OneHotCode(Layer):
    """One input an index: int32 (b, n) -> float32 (b, sum of sizes). An index out of range gives zeros.

    `size` lists the number of indices of each column; models of version 0.1 have a number there, for one column. Columns share
    a layer, since hundreds of layers take a minute to compile.
    """

    def __init__(self, size: int | list[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = [int(size)] if isinstance(size, int) else [int(one) for one in size]

    def call(self, inputs: KerasTensor) -> KerasTensor:
        import numpy as np

        columns = np.repeat(np.arange(len(self.size)), self.size)
        indices = np.concatenate([np.arange(one, dtype=np.int32) for one in self.size])
        return keras.ops.cast(keras.ops.equal(keras.ops.take(inputs, columns, axis=-1), indices), "float32")

    def predicting(self, x: Tensor) -> Tensor:
        import numpy as np

        columns = np.repeat(np.arange(len(self.size)), self.size)
        indices = np.concatenate([np.arange(one) for one in self.size]).reshape(1, -1)
        repeated = x.graph.add("Gather", x, x.graph.constant(columns, INT64), axis=1)
        return repeated.apply("Equal", x.graph.constant(indices, x.dtype), dtype=BOOL).cast(FLOAT)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], sum(self.size))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable(package="cengine")
class OrdinalCode(Layer):
    """The index divided by the greatest: int32 (b, 1) -> float32 (b, 1) in [0, 1]."""

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = int(size)

    def call(self, inputs: KerasTensor) -> KerasTensor:
        return keras.ops.cast(inputs, "float32") / max(self.size - 1, 1)

    def predicting(self, x: Tensor) -> Tensor:
        return x.cast(FLOAT) / max(self.size - 1, 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable(package="cengine")
class PiecewiseLinearBins(Layer):
    """Piecewise linear encoding (Gorishniy and others 2022, eq. 1): (b, 1) -> (b, number of edges - 1).

    Entry t is 0 below bin t, 1 above it, and (x - edge[t]) / (edge[t + 1] - edge[t]) within. The first bin goes
    on below its edge and the last above, so that values outside of the train rows' range are told apart.
    """

    def __init__(self, edges: list[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.edges = [float(edge) for edge in edges]

    def call(self, inputs: KerasTensor) -> KerasTensor:
        import numpy as np

        low = np.asarray(self.edges[:-1], dtype=np.float32)
        width = np.maximum(np.asarray(self.edges[1:], dtype=np.float32) - low, np.float32(1e-30))
        share = (inputs - low) / width
        num_bins = len(low)
        first, last = np.arange(num_bins) == 0, np.arange(num_bins) == num_bins - 1
        share = keras.ops.where(first, share, keras.ops.maximum(share, 0.0))
        return keras.ops.where(last, share, keras.ops.minimum(share, 1.0))

    def predicting(self, x: Tensor) -> Tensor:
        import numpy as np

        low = np.asarray(self.edges[:-1], dtype=np.float32)
        width = np.maximum(np.asarray(self.edges[1:], dtype=np.float32) - low, np.float32(1e-30))
        least, most = np.zeros((1, len(low))), np.ones((1, len(low)))
        least[0, 0], most[0, -1] = -np.inf, np.inf
        share = (x - x.graph.constant(low, FLOAT)) / x.graph.constant(width, FLOAT)
        return share.apply("Max", x.graph.constant(least, FLOAT)).apply("Min", x.graph.constant(most, FLOAT))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], len(self.edges) - 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "edges": self.edges}


@keras.saving.register_keras_serializable(package="cengine")
class PeriodicCode(Layer):
    """sin and cos of 2 pi f x for learnt frequencies f, drawn from N(0, sigma): (b, 1) -> (b, 2 * num_frequencies)."""

    def __init__(self, num_frequencies: int, sigma: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_frequencies = int(num_frequencies)
        self.sigma = float(sigma)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.frequencies = self.add_weight(
            shape=(1, self.num_frequencies),
            name="frequencies",
            initializer=keras.initializers.RandomNormal(stddev=self.sigma),
        )
        self.built = True

    def call(self, inputs: KerasTensor) -> KerasTensor:
        angle = 6.283185307179586 * inputs * self.frequencies
        return keras.ops.concatenate([keras.ops.sin(angle), keras.ops.cos(angle)], axis=-1)

    def predicting(self, x: Tensor) -> Tensor:
        import numpy as np

        angle = 6.283185307179586 * x * x.graph.constant(np.asarray(self.frequencies), FLOAT)
        return x.graph.side_by_side([angle.apply("Sin"), angle.apply("Cos")])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], 2 * self.num_frequencies)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_frequencies": self.num_frequencies, "sigma": self.sigma}
