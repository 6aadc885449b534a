"""Keras' convolutions along a sequence as shifted slices and one matrix product. Importing this module imports Keras.

XLA computes a convolution within a compiled loop on a CPU without its fast library, 30 times slower than outside of one
(jax-ml/jax issue 12868). Weights, arguments and results are those of Keras' layers, so that `as_keras` can put these back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cengine.networks.encoders import keras
from cengine.networks.keras_setup import KerasLayer, KerasTensor

if TYPE_CHECKING:

    class _Conv1D:
        """What is used here of Keras' layers, which have no types."""

        dilation_rate: tuple[int]
        filters: int
        kernel: KerasTensor
        padding: str
        strides: tuple[int]

    class _SeparableConv1D(_Conv1D):
        depthwise_kernel: KerasTensor
        pointwise_kernel: KerasTensor
else:
    _Conv1D, _SeparableConv1D = keras.layers.Conv1D, keras.layers.SeparableConv1D


@keras.saving.register_keras_serializable(package="cengine")
class SlicedConv1D(_Conv1D):
    """keras.layers.Conv1D: (b, L, u) -> (b, L', filters). Groups have no form here."""

    def call(self, inputs: KerasTensor) -> KerasTensor:
        return _finished(self, convolved(inputs, self.kernel, self.padding, self.strides[0], self.dilation_rate[0]))


@keras.saving.register_keras_serializable(package="cengine")
class SlicedSeparableConv1D(_SeparableConv1D):
    """keras.layers.SeparableConv1D: (b, L, u) -> (b, L', filters). Both kernels together are one of a plain convolution."""

    def call(self, inputs: KerasTensor) -> KerasTensor:
        _, width, depth = self.depthwise_kernel.shape
        mixed = keras.ops.reshape(self.pointwise_kernel, (width, depth, self.filters))
        kernel = keras.ops.einsum("kud,udf->kuf", self.depthwise_kernel, mixed)
        return _finished(self, convolved(inputs, kernel, self.padding, self.strides[0], self.dilation_rate[0]))


def convolved(inputs: KerasTensor, kernel: KerasTensor, padding: str, strides: int, dilation: int) -> KerasTensor:
    """(b, L, u) and a kernel (taps, u, filters) -> (b, L', filters), as Keras pads: what is missing of `same` is halved, more at the end."""
    taps, width, filters = kernel.shape
    length, span = inputs.shape[1], (taps - 1) * dilation + 1
    missing = span - 1
    if padding == "same":
        missing = max((-(-length // strides) - 1) * strides + span - length, 0)
    if padding != "valid" and missing:
        before = missing if padding == "causal" else missing // 2
        inputs = keras.ops.pad(inputs, [[0, 0], [before, missing - before], [0, 0]])
    places = (inputs.shape[1] - span) // strides + 1
    last = (places - 1) * strides + 1
    slices = [inputs[:, tap * dilation : tap * dilation + last : strides] for tap in range(taps)]
    together = keras.ops.concatenate(slices, axis=-1) if taps > 1 else slices[0]
    # As rows of one product: XLA takes its fast library for two axes alone.
    product = keras.ops.matmul(
        keras.ops.reshape(together, (-1, taps * width)), keras.ops.reshape(kernel, (taps * width, filters))
    )
    return keras.ops.reshape(product, (-1, places, filters))


def _finished(layer: Any, outputs: KerasTensor) -> KerasTensor:
    outputs = keras.ops.add(outputs, layer.bias) if layer.use_bias else outputs
    return outputs if layer.activation is None else layer.activation(outputs)


def as_keras(layer: Any) -> KerasLayer:
    """Keras' own layer with the weights of a sliced one that is built."""
    plain = getattr(keras.layers, type(layer).__name__.removeprefix("Sliced")).from_config(layer.get_config())
    plain.build(layer.input.shape)
    plain.set_weights(layer.get_weights())
    return plain
