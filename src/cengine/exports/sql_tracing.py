"""A model's calculation, recorded as a graph of the operations that every SQL engine has, with the shape of each value.

Softmax and Erf are recorded as the operations that they consist of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cengine.errors import ExportError
from cengine.learners.trees_graph import OPERATOR as TREES
from cengine.tensors import BOOL, INT64, Graph, Node, Tensor

Shape = tuple[int, ...]
# Operations that calculate nothing: they choose cells, or put them elsewhere.
VIEWS = ("Gather", "Concat", "Reshape", "Squeeze", "Unsqueeze", "Identity")
# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: at most 1.5e-7 beside the error function.
_ERF_P = 0.3275911
_ERF_A = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


@dataclass
class Traced(Graph):
    """The graph. `shapes` and `dtypes` tell of each value by name; the first axis of what varies by row is 1 there."""

    shapes: dict[str, Shape] = field(default_factory=dict)
    dtypes: dict[str, np.dtype[Any]] = field(default_factory=dict)

    def input(self, name: str, dtype: np.dtype[Any], shape: tuple[int | None, ...], default: Any = None) -> Tensor:
        return self._known_as(
            super().input(name, dtype, shape, default), tuple(1 if size is None else size for size in shape)
        )

    def constant(self, value: Any, dtype: np.dtype[Any]) -> Tensor:
        found = super().constant(value, dtype)
        return self._known_as(found, self.constants[found.name].shape)

    def add(
        self, operator: str, *inputs: Tensor, dtype: np.dtype[Any] | None = None, domain: str = "", **attributes: Any
    ) -> Tensor:
        """As a Graph does it. Raises ExportError for an operation without words in SQL."""
        if operator in _MADE_OF and not domain:
            return _MADE_OF[operator](inputs[0])
        found = super().add(operator, *inputs, dtype=dtype, domain=domain, **attributes)
        if found.name in self.shapes:
            return found
        return self._known_as(found, self._shape(operator, domain, inputs, attributes))

    def is_view(self, node: Node) -> bool:
        """Whether the operation only chooses cells; to look up what varies by row in fixed numbers is more than that."""
        if node.operator == "Cast":
            return self.dtypes[node.inputs[0]].kind == self.dtypes[node.output].kind
        return node.operator in VIEWS and not (node.operator == "Gather" and node.inputs[0] in self.constants)

    def _known_as(self, found: Tensor, shape: Shape) -> Tensor:
        self.shapes[found.name], self.dtypes[found.name] = shape, found.dtype
        return found

    def _shape(self, operator: str, domain: str, inputs: tuple[Tensor, ...], attributes: Mapping[str, Any]) -> Shape:
        shapes = [self.shapes[one.name] for one in inputs]
        if operator == TREES:
            return (shapes[0][0], int(attributes["n_targets"]))
        if operator not in KNOWN or domain:
            raise ExportError(
                f"the operation '{operator}' of this model has no words in SQL",
                "cengine predict and --format keras do without them, and --format onnx may have them",
            )
        if operator in VIEWS or operator.startswith("Reduce"):
            cells = [np.zeros(shape) for shape in shapes]
            known = [self.constants.get(one.name) for one in inputs]
            return rearranged(operator, cells, known, attributes).shape
        if operator == "MatMul":
            if inputs[1].varies or len(shapes[0]) != 2:
                raise ExportError("a product of two matrices that vary by row has no words in SQL")
            return (shapes[0][0], shapes[1][1])
        return np.broadcast_shapes(*shapes)


def rearranged(
    operator: str, cells: list[np.ndarray], known: list[np.ndarray | None], attributes: Mapping[str, Any]
) -> np.ndarray:
    """The cells of the result of a view, or those that a reduction has a number for, whatever the cells are.

    `known` are the values of inputs that are constants.
    """
    first, other = cells[0], known[1] if len(known) > 1 else None
    match operator:
        case "Gather":
            # Places that vary by row are looked up elsewhere; of them the shape alone counts here.
            places = np.zeros(cells[1].shape, np.int64) if other is None else other
            return np.take(first, places, axis=attributes.get("axis", 0))
        case "Concat":
            return np.concatenate(cells, axis=attributes["axis"])
        case "Reshape":
            assert other is not None
            return first.reshape([1, *(int(size) for size in other[1:])])
        case "Squeeze":
            return np.squeeze(first, tuple(int(axis) for axis in np.atleast_1d(other if other is not None else 1)))
        case "Unsqueeze":
            return np.expand_dims(first, tuple(int(axis) for axis in np.atleast_1d(other if other is not None else 1)))
        case "Identity" | "Cast":
            return first
    keeps = bool(attributes.get("keepdims", 1))
    return first[..., :1] if keeps else first[..., 0]


def _softmax(x: Tensor) -> Tensor:
    graph = x.graph
    axes = graph.constant([-1], INT64)
    powers = (x - graph.add("ReduceMax", x, axes, keepdims=1)).apply("Exp")
    return powers / graph.add("ReduceSum", powers, axes, keepdims=1)


def _erf(x: Tensor) -> Tensor:
    size = x.apply("Abs")
    t = (size * _ERF_P + 1.0).apply("Reciprocal")
    total = t * _ERF_A[-1]
    for factor in reversed(_ERF_A[:-1]):
        total = (total + factor) * t
    below_one = 1.0 - total * (-(size * size)).apply("Exp")
    return x.graph.where(x.apply("Less", 0.0, dtype=BOOL), -below_one, below_one)


_MADE_OF: Mapping[str, Callable[[Tensor], Tensor]] = {"Softmax": _softmax, "Erf": _erf}
KNOWN = frozenset(
    {
        *VIEWS, "MatMul", "Add", "Sub", "Mul", "Div", "Neg", "Max", "Min", "Relu", "Clip", "Abs", "Sqrt", "Reciprocal", "Exp",
        "Log", "Floor", "Sin", "Cos", "Tanh", "Atanh", "Sigmoid", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal",
        "And", "Or", "Not", "Where", "Cast", "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin",
    }
)  # fmt: skip
