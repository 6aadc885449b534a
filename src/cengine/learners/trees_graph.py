"""Trees as one operation of a graph: ONNX' TreeEnsembleRegressor, in 64 bits, so that every split is where LightGBM has it.

https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html. A split by categories is a chain of nodes, a category each, whose
true branches are one and the same node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cengine.tensors import BOOL, DOUBLE, ML, Tensor

if TYPE_CHECKING:
    import lightgbm

# Numbers below it count as 0. LightGBM splits between 0 and all that is beside it, however near; and what is 0 on paper, such as the sine
# of a half turn, comes out as another rest in each engine.
LEAST_NUMBER = np.float32(1e-15)
OPERATOR = "TreeEnsembleRegressor"
AT_MOST, EQUAL, LEAF = "BRANCH_LEQ", "BRANCH_EQ", "LEAF"


@dataclass
class Nodes:
    """The nodes of all trees, as the operation lists them: an entry a node in each list, in `leaves` one a leaf."""

    trees: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    lower: list[int] = field(default_factory=list)
    """The next node if the condition holds."""
    other: list[int] = field(default_factory=list)
    leaves: list[tuple[int, int, int, float]] = field(default_factory=list)
    """Tree, node, which of the sums it is added to, value."""

    def grow(self, tree: int, root: dict[str, Any], target: int) -> None:
        """A tree as LightGBM tells it: the part `tree_structure` of its dump."""
        first, waiting = len(self.trees), [(root, self._new(tree))]
        while waiting:
            part, at = waiting.pop()
            if "split_feature" not in part:
                self.leaves.append((tree, at - first, target, float(part["leaf_value"])))
                continue
            branches = [(part[side], self._new(tree)) for side in ("left_child", "right_child")]
            (_, left), (_, right) = branches
            self._split(tree, first, at, part, left - first, right - first)
            waiting += branches

    def _split(self, tree: int, first: int, at: int, part: dict[str, Any], left: int, right: int) -> None:
        if part["decision_type"] != "==":
            self._branch(at, AT_MOST, part["split_feature"], float(part["threshold"]), left, right)
            return
        categories = [float(category) for category in str(part["threshold"]).split("||")]
        for category in categories[:-1]:
            further = self._new(tree)
            self._branch(at, EQUAL, part["split_feature"], category, left, further - first)
            at = further
        self._branch(at, EQUAL, part["split_feature"], categories[-1], left, right)

    def _new(self, tree: int) -> int:
        """A node, a leaf as long as nothing else is said of it: its place among all."""
        known = len(self.trees)
        self.places.append(self.places[-1] + 1 if known and self.trees[-1] == tree else 0)
        self.trees.append(tree)
        self.modes.append(LEAF)
        self.features.append(0)
        self.values.append(0.0)
        self.lower.append(0)
        self.other.append(0)
        return known

    def _branch(self, at: int, mode: str, feature: int, value: float, lower: int, other: int) -> None:
        self.modes[at], self.features[at], self.values[at] = mode, feature, value
        self.lower[at], self.other[at] = lower, other

    def attributes(self, num_targets: int) -> dict[str, Any]:
        """Those of the operation."""
        trees, places, targets, values = zip(*self.leaves, strict=True)
        return {
            "n_targets": num_targets,
            "aggregate_function": "SUM",
            "post_transform": "NONE",
            "nodes_treeids": self.trees,
            "nodes_nodeids": self.places,
            "nodes_featureids": self.features,
            "nodes_modes": self.modes,
            "nodes_values_as_tensor": np.array(self.values),
            "nodes_truenodeids": self.lower,
            "nodes_falsenodeids": self.other,
            "target_treeids": list(trees),
            "target_nodeids": list(places),
            "target_ids": list(targets),
            "target_weights_as_tensor": np.array(values),
        }


def without_rests(numbers: Tensor) -> Tensor:
    """Numbers, those nearest to 0 as 0."""
    is_rest = numbers.apply("Abs").apply("Less", float(LEAST_NUMBER), dtype=BOOL)
    return numbers.graph.where(is_rest, numbers.graph.constant(0.0, numbers.dtype), numbers)


def sums_of_leaves(booster: lightgbm.Booster, num_scores: int, inputs: Sequence[Tensor]) -> Tensor:
    """Raw scores, float64 (rows, num_scores), of tensors (rows, n) that stand side by side in the order of the trees' features."""
    nodes = Nodes()
    for number, tree in enumerate(booster.dump_model()["tree_info"]):
        nodes.grow(number, tree["tree_structure"], number % num_scores)
    graph = inputs[0].graph
    rows = graph.side_by_side([one.cast(DOUBLE) for one in inputs])
    # The sums are of 64 bits; the operation gives them out in 32.
    found = graph.add(OPERATOR, rows, dtype=np.dtype(np.float32), domain=ML, **nodes.attributes(num_scores))
    return found.cast(DOUBLE)
