"""Trees in SQL: one CASE a tree, from the operation that ONNX has for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cengine.exports.sql_dialects import Dialect
from cengine.learners.trees_graph import AT_MOST, LEAF


def sums_of_trees(attributes: Mapping[str, Any], cells: Sequence[str], dialect: Dialect) -> list[str]:
    """The text of each sum of leaves; `cells` are those of the features."""
    leaves = {
        (tree, place): (target, value)
        for tree, place, target, value in zip(
            attributes["target_treeids"],
            attributes["target_nodeids"],
            attributes["target_ids"],
            attributes["target_weights_as_tensor"],
            strict=True,
        )
    }
    terms: list[list[str]] = [[] for _ in range(attributes["n_targets"])]
    for tree in _trees(attributes, leaves, cells, dialect):
        terms[tree.target].append(tree.text(0))
    return [dialect.total(found) if found else dialect.typed(0.0) for found in terms]


@dataclass
class _Tree:
    """A tree's nodes by their numbers: mode, feature, value, and the next node if the condition holds and if it does not."""

    nodes: dict[int, tuple[str, int, float, int, int]]
    leaves: dict[int, float]
    target: int
    cells: Sequence[str]
    dialect: Dialect

    def text(self, at: int) -> str:
        """What the tree gives from a node on. One leaf is said to be a DOUBLE, which makes all of them DOUBLE."""
        if self.nodes[at][0] == LEAF:
            return f"CAST({self._leaf(at)} AS {self.dialect.double})"
        return self._text(at, is_first=True)

    def _text(self, at: int, *, is_first: bool) -> str:
        mode, feature, value, lower, other = self.nodes[at]
        if mode == LEAF:
            return f"CAST({self._leaf(at)} AS {self.dialect.double})" if is_first else self._leaf(at)
        if mode == AT_MOST:
            condition = f"{self.cells[feature]}<={threshold(value)}"
        else:
            categories = [int(value)]
            # Further categories of one split lead to the same node.
            while self.nodes[other][0] not in (LEAF, AT_MOST) and self.nodes[other][3] == lower:
                categories.append(int(self.nodes[other][2]))
                other = self.nodes[other][4]
            condition = f"{self.cells[feature]} IN ({','.join(map(str, categories))})"
        one, two = self._text(lower, is_first=is_first), self._text(other, is_first=False)
        return f"CASE WHEN {condition} THEN {one} ELSE {two} END"

    def _leaf(self, at: int) -> str:
        return self.dialect.number(np.float32(self.leaves[at]))


def _trees(
    attributes: Mapping[str, Any],
    leaves: Mapping[tuple[int, int], tuple[int, float]],
    cells: Sequence[str],
    dialect: Dialect,
) -> list[_Tree]:
    found: dict[int, _Tree] = {}
    for tree, place, mode, feature, value, lower, other in zip(
        attributes["nodes_treeids"],
        attributes["nodes_nodeids"],
        attributes["nodes_modes"],
        attributes["nodes_featureids"],
        attributes["nodes_values_as_tensor"],
        attributes["nodes_truenodeids"],
        attributes["nodes_falsenodeids"],
        strict=True,
    ):
        one = found.setdefault(tree, _Tree({}, {}, 0, cells, dialect))
        one.nodes[place] = (mode, feature, float(value), lower, other)
        if mode == LEAF:
            one.target, one.leaves[place] = leaves[tree, place]
    return list(found.values())


def threshold(value: float) -> str:
    """A border with as few digits as part the numbers of 32 bits as it does: each of them is at most the border, or above it."""
    below = np.float32(value)
    if float(below) > value:
        below = np.nextafter(below, np.float32(-np.inf))
    above = float(np.nextafter(below, np.float32(np.inf)))
    for digits in range(1, 18):
        text = f"{value:.{digits}g}"
        if float(below) <= float(text) < above:
            return text
    return repr(value)
