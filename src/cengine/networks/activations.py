"""The activations by their names in the YAML, as operations on tensors: what Keras' functions calculate with JAX, in the same steps.

Differences of numbers that are nearly equal are avoided where JAX avoids them (`expm1`, `log1p`), and so is the approximation
of the logistic function by which onnxruntime never quite reaches 0: times 1e18 it would be a large number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

from cengine.tensors import BOOL, Tensor

# Klambauer and others 2017, "Self-Normalizing Neural Networks".
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
# Above it the exponential of a number of 32 bits is infinite.
LARGEST_EXPONENT = 88.72283

Activation = Callable[[Tensor], Tensor]


def clipped(x: Tensor, low: float, high: float) -> Tensor:
    """The number, or the nearer of two bounds."""
    return x.apply("Max", low).apply("Min", high)


def rectified(x: Tensor) -> Tensor:
    """max(x, 0)."""
    return x.apply("Relu")


def leaky(x: Tensor, slope: Tensor | float = 0.2) -> Tensor:
    """x where it is positive, slope * x elsewhere; the slope is Keras' default for the activation."""
    return x.graph.where(x.apply("Less", 0.0, dtype=BOOL), x * slope, x)


def exponential(x: Tensor) -> Tensor:
    """exp(x), infinite where that is no number of 32 bits: onnxruntime stops at the largest."""
    beyond = x.apply("Greater", LARGEST_EXPONENT, dtype=BOOL)
    return x.graph.where(beyond, x.graph.constant(float("inf"), x.dtype), x.apply("Exp"))


def less_one(x: Tensor) -> Tensor:
    """exp(x) - 1 = tanh(x / 2) (exp(x) + 1) for x <= 0, exact for small x too."""
    return (x * 0.5).apply("Tanh") * (x.apply("Exp") + 1.0)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where it is positive, alpha (exp(x) - 1) elsewhere."""
    return x.graph.where(x.apply("Greater", 0.0, dtype=BOOL), x, less_one(x.apply("Min", 0.0)) * alpha)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return ((-x).apply("Exp") + 1.0).apply("Reciprocal")


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) = max(x, 0) + log1p(u), u = exp(-|x|), log1p(u) = 2 atanh(u / (2 + u))."""
    u = (-x.apply("Abs")).apply("Exp")
    return rectified(x) + (u / (u + 2.0)).apply("Atanh") * 2.0


def hard_sigmoid(x: Tensor) -> Tensor:
    """relu6(x + 3) / 6."""
    return clipped(x + 3.0, 0.0, 6.0) / 6.0


def gelu(x: Tensor) -> Tensor:
    """x times the share of a standard normal below x."""
    return x * 0.5 * ((x * math.sqrt(0.5)).apply("Erf") + 1.0)


def _silu(x: Tensor) -> Tensor:
    return x * sigmoid(x)


def _hard_silu(x: Tensor) -> Tensor:
    return x * hard_sigmoid(x)


ACTIVATIONS: Mapping[str, Activation] = {
    "celu": lambda x: rectified(x) + less_one(x.apply("Min", 0.0)),
    "elu": elu,
    "exponential": exponential,
    "gelu": gelu,
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": _hard_silu,
    "hard_swish": _hard_silu,
    "hard_tanh": partial(clipped, low=-1.0, high=1.0),
    "leaky_relu": leaky,
    "linear": lambda x: x,
    "log_sigmoid": lambda x: -softplus(-x),
    "mish": lambda x: x * softplus(x).apply("Tanh"),
    "relu": rectified,
    "relu6": partial(clipped, low=0.0, high=6.0),
    "selu": lambda x: elu(x, SELU_ALPHA) * SELU_SCALE,
    "sigmoid": sigmoid,
    "silu": _silu,
    "softmax": lambda x: x.apply("Softmax", axis=-1),
    "softplus": softplus,
    "softsign": lambda x: x / (x.apply("Abs") + 1.0),
    "squareplus": lambda x: (x + (x * x + 4.0).apply("Sqrt")) / 2.0,
    "swish": _silu,
    "tanh": lambda x: x.apply("Tanh"),
    "tanh_shrink": lambda x: x - x.apply("Tanh"),
}
