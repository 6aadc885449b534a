"""A graph of operations as common table expressions: one for each layer, in which each value is calculated once.

A value that is used once stands where it is used. One that is used more often becomes columns of the table expression in which
all that it is made of is known, or one column with a list where the dialect has lists and the value is multiplied by weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from string import ascii_lowercase
from typing import Any

import numpy as np

from cengine.errors import ExportError
from cengine.exports.sql_dialects import Dialect
from cengine.exports.sql_operations import combined, reduced
from cengine.exports.sql_tracing import Traced, rearranged
from cengine.exports.sql_trees import sums_of_trees
from cengine.learners.trees_graph import OPERATOR as TREES
from cengine.tensors import Node

# Expressions that stand in one another so deeply are broken off.
MAX_DEPTH = 24
# Prefixes of our own columns elsewhere: given, kept, encoded.
_TAKEN = "gkx"


@dataclass
class Value:
    """Cells by row: texts, or numbers of a constant. `level` is the table expression in which the texts can stand."""

    cells: np.ndarray
    level: int = 0
    refs: frozenset[str] = frozenset()
    is_plain: bool = True
    depth: int = 0
    listed: str | None = None


@dataclass
class Column:
    """A column of a table expression: its text there, and the last level that reads it."""

    name: str
    text: str
    level: int
    is_number: bool = False
    last_read: int = 0


@dataclass
class Layers:
    """The table expressions of a graph, `first` the columns that are there before it, by name."""

    graph: Traced
    dialect: Dialect
    first: Sequence[str]
    columns: dict[str, Column] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._prefixes = (prefix for prefix in _prefixes() if prefix not in _TAKEN)
        self.columns = {name: Column(name, name, 0) for name in self.first}
        for name, array in self.graph.constants.items():
            self.values[name] = Value(_objects(array))

    def give(self, name: str, columns: Sequence[str]) -> None:
        """The columns, all among `first`, that are the value of an input of the graph."""
        cells = np.array([[*columns]], dtype=object).reshape(self.graph.shapes[name])
        self.values[name] = Value(cells, 1, frozenset(columns))

    def calculate(self, outputs: Iterable[str]) -> None:
        """Makes the values of all operations; those of `outputs` by name can be read afterwards."""
        uses, multiplied = self._uses(set(outputs))
        for node in self.graph.nodes:
            if not uses.get(node.output):
                continue
            value = self._value(node)
            is_view = self.graph.is_view(node)
            as_list = self.dialect.has_lists and node.output in multiplied
            if not is_view and not value.is_plain and (as_list or uses[node.output] > 1 or value.depth > MAX_DEPTH):
                is_number = self.graph.dtypes[node.output].kind == "f"
                value = self._stored(value, as_list=as_list, is_number=is_number)
            self.values[node.output] = value

    def read(self, value: Value, level: int) -> list[str]:
        """The texts of a value's cells at a level."""
        for name in value.refs:
            self.columns[name].last_read = max(self.columns[name].last_read, level)
        dtype = np.dtype(np.float64)
        return [self._text(cell, dtype) for cell in value.cells.flat]

    def stored(self, name: str) -> Value:
        """The value of an operation as columns."""
        value = self.values[name]
        if not value.is_plain:
            value = self.values[name] = self._stored(value, as_list=False)
        return value

    def levels(self, last: int) -> list[list[tuple[str, str]]]:
        """(name, text) of the columns of the table expressions 1 to `last` - 1; each reads the one before it."""
        found = []
        for level in range(1, last):
            kept = [(c.name, c.name) for c in self.columns.values() if c.level < level < c.last_read]
            made = self._made(level)
            if self.dialect.max_columns and len(kept) + len(made) > self.dialect.max_columns:
                raise ExportError(
                    f"a layer has {len(kept) + len(made):,} numbers, and a query of {self.dialect.called} "
                    f"at most {self.dialect.max_columns:,} columns",
                    "cengine predict has no such limit, and neither has --dialect duckdb",
                )
            found.append(kept + made)
        return found

    def _made(self, level: int) -> list[tuple[str, str]]:
        found = [c for c in self.columns.values() if c.level == level and c.last_read > level]
        apart = next((c for c in found if c.is_number), None)
        return [(c.name, self.dialect.planned_apart(c.text) if c is apart else c.text) for c in found]

    # One operation

    def _value(self, node: Node) -> Value:
        inputs = [self.values[name] for name in node.inputs]
        if node.operator == "MatMul":
            return self._multiplied(node, *inputs)
        texts = [self._texts(name) for name in node.inputs]
        known = [self.graph.constants.get(name) for name in node.inputs]
        shape = self.graph.shapes[node.output]
        if self.graph.is_view(node):
            return self._made_of(
                inputs, rearranged(node.operator, [v.cells for v in inputs], known, node.attributes), 0
            )
        if node.operator == TREES:
            cells = _objects_of(sums_of_trees(node.attributes, [*map(str, texts[0].flat)], self.dialect), shape)
        elif node.operator == "Gather":
            cells = self._looked_up(np.asarray(known[0]), inputs[1].cells)
        elif node.operator.startswith("Reduce"):
            cells = _objects_of([reduced(node.operator, [*map(str, texts[0].flat)], self.dialect)], shape)
        else:
            parts = [np.broadcast_to(part, shape) for part in texts]
            dtypes = [self.graph.dtypes[name] for name in node.inputs]
            to = self.graph.dtypes[node.output]
            rows = zip(*(part.flat for part in parts), strict=True)
            cells = _objects_of([combined(node.operator, row, dtypes, to, self.dialect) for row in rows], shape)
        return self._made_of(inputs, cells, 1)

    def _multiplied(self, node: Node, left: Value, right: Value) -> Value:
        weights = np.asarray(self.graph.constants[node.inputs[1]])
        dialect, shape = self.dialect, self.graph.shapes[node.output]
        if dialect.has_lists and len(weights) > 1:
            if left.listed is None:
                left = self.values[node.inputs[0]] = self._stored(left, as_list=True)
            products = [dialect.product_with(str(left.listed), [*column]) for column in weights.T]
            return self._made_of([left], _objects_of(products, shape), 1)
        if not left.is_plain:
            left = self.values[node.inputs[0]] = self._stored(left, as_list=False)
        cells = [self._text(cell, weights.dtype) for cell in left.cells.flat]
        sums = [dialect.weighted_sum(cells, [*column]) for column in weights.T]
        return self._made_of([left], _objects_of(sums, shape), 1)

    def _looked_up(self, numbers: np.ndarray, places: np.ndarray) -> np.ndarray:
        rest = numbers.shape[1:]
        cells = np.empty((*places.shape, *rest), dtype=object)
        for at in np.ndindex(places.shape):
            for element in np.ndindex(rest):
                cells[(*at, *element)] = self.dialect.element([*numbers[(slice(None), *element)]], str(places[at]))
        return cells

    def _made_of(self, inputs: Sequence[Value], cells: np.ndarray, deeper: int) -> Value:
        return Value(
            cells,
            max(1, *(one.level for one in inputs)),
            frozenset().union(*(one.refs for one in inputs)),
            is_plain=not deeper and all(one.is_plain for one in inputs),
            depth=deeper + max(one.depth for one in inputs),
        )

    def _stored(self, value: Value, *, as_list: bool, is_number: bool = True) -> Value:
        """The value as columns, made at its level and known from the next one on."""
        texts = self.read(value, value.level)
        prefix = next(self._prefixes)
        if as_list:
            self.columns[prefix] = Column(prefix, f"[{','.join(texts)}]", value.level)
            cells = [f"{prefix}[{place}]" for place in range(1, len(texts) + 1)]
            names, listed = [prefix], prefix
        else:
            names = cells = [f"{prefix}{place}" for place in range(len(texts))]
            listed = None
            for name, text in zip(names, texts, strict=True):
                self.columns[name] = Column(name, text, value.level, is_number)
        return Value(_objects_of(cells, value.cells.shape), value.level + 1, frozenset(names), listed=listed)

    # How often values are used

    def _uses(self, outputs: set[str]) -> tuple[dict[str, int], set[str]]:
        """How often a cell of each value is read at most, and the values that are multiplied by weights."""
        uses = dict.fromkeys(outputs, 1)
        multiplied = set()
        for node in reversed(self.graph.nodes):
            if not uses.get(node.output):
                continue
            passed_on = uses[node.output] if self.graph.is_view(node) else 1
            for place, name in enumerate(node.inputs):
                uses[name] = uses.get(name, 0) + passed_on * self._readings(node, place)
            if node.operator == "MatMul":
                multiplied.add(node.inputs[0])
        return uses, multiplied

    def _readings(self, node: Node, place: int) -> int:
        """How often an operation reads a cell of one of its inputs at most."""
        if node.operator == TREES:
            return len(node.attributes["nodes_treeids"])
        if node.operator == "MatMul":
            return 1 if self.dialect.has_lists else 2  # a list is stored anyway; of columns an output reads all
        size, own = (math.prod(self.graph.shapes[name]) for name in (node.output, node.inputs[place]))
        if node.operator == "Gather" and self.graph.is_view(node):
            counts = np.unique_counts(np.asarray(self.graph.constants[node.inputs[1]])).counts
            return int(counts.max(initial=1))
        return max(1, size // max(own, 1))

    # Texts

    def _texts(self, name: str) -> np.ndarray:
        value, dtype = self.values[name], self.graph.dtypes[name]
        return _objects_of([self._text(cell, dtype) for cell in value.cells.flat], value.cells.shape)

    def _text(self, cell: Any, dtype: np.dtype[Any]) -> str:
        return cell if isinstance(cell, str) else self.dialect.number(cell)


def _objects(array: np.ndarray) -> np.ndarray:
    """The array with its elements as objects of its own type, which know their digits."""
    return _objects_of([*array.flat], array.shape)


def _objects_of(cells: Sequence[Any], shape: tuple[int, ...]) -> np.ndarray:
    found = np.empty(len(cells), dtype=object)
    found[:] = cells
    return found.reshape(shape)


def _prefixes() -> Iterable[str]:
    """a, b, ..., z, aa, ab, ..."""
    for length in count(1):
        for number in range(26**length):
            yield "".join(ascii_lowercase[number // 26**place % 26] for place in reversed(range(length)))
