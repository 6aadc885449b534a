"""A graph of operations on tensors, written as ONNX names them; it becomes an ONNX file in `exports`.

Words that calculate say their form with it beside the code that trains: layers, encodings, activations, and the inverses of
transforms, which are traced as they are written for NumPy. Operators: https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cengine.errors import ExportError

# Texts have no type in NumPy that is only theirs.
TEXT = np.dtype(object)
BOOL, INT32, INT64 = np.dtype(np.bool_), np.dtype(np.int32), np.dtype(np.int64)
FLOAT, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
ML = "ai.onnx.ml"
# Above it, a number's place among ascending ones is found by halving instead of by comparing with all of them.
MOST_COMPARED = 256


@dataclass(frozen=True)
class Node:
    """An operation with one output."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    domain: str
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Port:
    """Where values enter or leave: None in `shape` is the number of rows. `default` makes an input optional."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]
    default: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value of the graph. Arithmetic with numbers and other tensors adds operations to it, as NumPy's functions do.

    `varies` tells whether it depends on the rows.
    """

    graph: Graph
    name: str
    dtype: np.dtype[Any]
    varies: bool

    def apply(
        self, operator: str, *others: Tensor | float, dtype: np.dtype[Any] | None = None, **attributes: Any
    ) -> Tensor:
        """An operation on this tensor and others; numbers become constants of its type, and so does the result unless `dtype` says else."""
        return self.graph.add(operator, self, *(self._beside(one) for one in others), dtype=dtype, **attributes)

    def cast(self, dtype: np.dtype[Any]) -> Tensor:
        """The same as another type."""
        return self if dtype == self.dtype else self.graph.add("Cast", self, dtype=dtype, to=dtype)

    def astype(self, dtype: Any) -> Tensor:
        """What NumPy calls `cast`."""
        return self.cast(np.dtype(dtype))

    def __add__(self, other: Tensor | float) -> Tensor:
        return self.apply("Add", other)

    def __radd__(self, other: float) -> Tensor:
        return self._beside(other).apply("Add", self)

    def __sub__(self, other: Tensor | float) -> Tensor:
        return self.apply("Sub", other)

    def __rsub__(self, other: float) -> Tensor:
        return self._beside(other).apply("Sub", self)

    def __mul__(self, other: Tensor | float) -> Tensor:
        return self.apply("Mul", other)

    def __rmul__(self, other: float) -> Tensor:
        return self._beside(other).apply("Mul", self)

    def __truediv__(self, other: Tensor | float) -> Tensor:
        return self.apply("Div", other)

    def __neg__(self) -> Tensor:
        return self.apply("Neg")

    def __getitem__(self, place: tuple[slice, int]) -> Tensor:
        rows, column = place
        if rows != slice(None) or not isinstance(column, int):
            raise ExportError(f"a part {place} of a tensor has no ONNX form here")
        return self.graph.add("Gather", self, self.graph.constant(column, INT64), dtype=self.dtype, axis=1)

    def __array_ufunc__(self, function: Any, method: str, *values: Any, **options: Any) -> Any:
        operator = _FUNCTIONS.get(function.__name__)
        if operator is None or method != "__call__" or options:
            raise ExportError(f"numpy.{function.__name__} has no ONNX form here")
        first, *others = values
        if isinstance(first, Tensor):
            return first.apply(operator, *others)
        return others[0]._beside(first).apply(operator, *others)

    def __array_function__(self, function: Any, types: Any, values: Any, options: Any) -> Any:
        if function is np.interp and not options:
            return interpolated(values[0], *(np.asarray(one, np.float64) for one in values[1:]))
        raise ExportError(f"numpy.{function.__name__} has no ONNX form here")

    def _beside(self, other: Tensor | float) -> Tensor:
        return other if isinstance(other, Tensor) else self.graph.constant(other, self.dtype)


_FUNCTIONS = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "negative": "Neg", "exp": "Exp", "log": "Log",
    "sqrt": "Sqrt", "maximum": "Max", "minimum": "Min", "absolute": "Abs", "floor": "Floor", "sin": "Sin", "cos": "Cos",
}  # fmt: skip


@dataclass
class Graph:
    """Operations in the order in which they run. The same operation on the same values is there once."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    _known: dict[Any, Tensor] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)

    def input(self, name: str, dtype: np.dtype[Any], shape: tuple[int | None, ...], default: Any = None) -> Tensor:
        """A value that is given; all of them before the first operation. Raises ExportError for a name that is taken."""
        self._take(name)
        self.inputs.append(Port(name, dtype, shape, None if default is None else np.asarray(default, dtype)))
        return Tensor(self, name, dtype, varies=True)

    def output(self, name: str, value: Tensor, shape: tuple[int | None, ...]) -> None:
        """Gives the value out under a name. Raises ExportError for a name that is taken."""
        self._take(name)
        self.nodes.append(Node("Identity", (value.name,), name, "", {}))
        self.outputs.append(Port(name, value.dtype, shape))

    def constant(self, value: Any, dtype: np.dtype[Any]) -> Tensor:
        """A value that stays the same."""
        array = np.asarray(value, dtype)
        key = ("constant", str(dtype), array.shape, tuple(array.flat) if dtype == TEXT else array.tobytes())
        if key not in self._known:
            name = self._free_name()
            self.constants[name] = array
            self._known[key] = Tensor(self, name, dtype, varies=False)
        return self._known[key]

    def add(
        self, operator: str, *inputs: Tensor, dtype: np.dtype[Any] | None = None, domain: str = "", **attributes: Any
    ) -> Tensor:
        """The result of an operation, of the first input's type unless `dtype` says else."""
        names = tuple(one.name for one in inputs)
        key = (operator, names, domain, repr(sorted(attributes.items(), key=lambda item: item[0])))
        # A list of a million words is not compared by its text.
        known = self._known.get(key) if len(key[-1]) < 1000 else None
        if known is None:
            known = Tensor(self, self._free_name(), dtype or inputs[0].dtype, any(one.varies for one in inputs))
            self.nodes.append(Node(operator, names, known.name, domain, attributes))
            self._known[key] = known
        return known

    def side_by_side(self, tensors: Sequence[Tensor]) -> Tensor:
        """Tensors (rows, n) as one (rows, sum of n)."""
        return tensors[0] if len(tensors) == 1 else self.add("Concat", *tensors, axis=1)

    def where(self, condition: Tensor, one: Tensor, other: Tensor) -> Tensor:
        """`one` where the condition holds, else `other`; onnxruntime has no Where of booleans."""
        if one.dtype != BOOL:
            return self.add("Where", condition, one, other, dtype=one.dtype)
        chosen = self.add("And", condition, one)
        return self.add("Or", chosen, self.add("And", self.add("Not", condition), other))

    def _free_name(self) -> str:
        number = len(self._names)
        while f"t{number}" in self._names:
            number += 1
        self._names.add(f"t{number}")
        return f"t{number}"

    def _take(self, name: str) -> None:
        if name in self._names or not name:
            raise ExportError(
                f"an ONNX file tells its inputs and outputs apart by their names: '{name}' would stand for two of them",
                "rename the column, or take --format keras",
            )
        self._names.add(name)


def num_at_or_below(number: Tensor, edges: np.ndarray) -> Tensor:
    """How many of the ascending `edges` (n,) are <= the number (rows, 1): int64 (rows, 1)."""
    graph = number.graph
    if len(edges) <= MOST_COMPARED:
        beyond = number.apply("GreaterOrEqual", graph.constant(edges.reshape(1, -1), number.dtype), dtype=BOOL)
        return graph.add("ReduceSum", beyond.cast(INT64), graph.constant([1], INT64), keepdims=1)
    steps = [2**power for power in reversed(range(len(edges).bit_length()))]
    # Edges that no number reaches make their count one less than a power of two.
    last = np.inf if number.dtype.kind == "f" else np.iinfo(number.dtype).max
    padded = np.full(2 * steps[0] - 1, last, number.dtype)
    padded[: len(edges)] = edges
    table = graph.constant(padded, number.dtype)
    place = graph.constant([[0]], INT64)
    for step in steps:
        further = place + step
        edge = graph.add("Gather", table, further - 1, axis=0)
        place = graph.where(number.apply("GreaterOrEqual", edge, dtype=BOOL), further, place)
    return graph.add("Min", place, graph.constant([[len(edges)]], INT64))


def interpolated(number: Tensor, points: np.ndarray, values: np.ndarray) -> Tensor:
    """What `numpy.interp` gives: piecewise linear between ascending points, constant beyond them; float64 of the number's shape."""
    graph = number.graph
    column = graph.add("Unsqueeze", number.cast(DOUBLE), graph.constant([1], INT64))
    if len(points) == 1:
        return (number * 0.0) + float(values[0])
    place = num_at_or_below(column, points)
    below = graph.add("Squeeze", place, graph.constant([1], INT64))
    left = graph.add("Clip", below - 1, graph.constant(0, INT64), graph.constant(len(points) - 2, INT64))
    slopes = np.diff(values) / np.diff(points)
    line = _at(slopes, left) * (number - _at(points, left)) + _at(values, left)
    before = below.apply("Less", 1, dtype=BOOL)
    after = below.apply("GreaterOrEqual", len(points), dtype=BOOL)
    inner = graph.where(after, graph.constant(values[-1], DOUBLE), line)
    return graph.where(before, graph.constant(values[0], DOUBLE), inner)


def _at(values: np.ndarray, place: Tensor) -> Tensor:
    return place.graph.add("Gather", place.graph.constant(values, DOUBLE), place, axis=0)
