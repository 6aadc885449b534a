"""Boosted trees as files, and what they predict.

trees.json     version, how many rounds, the columns in the order of the trees' features, and of each label the file of its trees
trees-0.txt    the trees of the first label, or of its first quantile, as LightGBM writes them, and so on
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cengine.errors import StoreError
from cengine.learners.examples import Batch
from cengine.learners.trees_graph import sums_of_leaves, without_rests
from cengine.learners.trees_library import import_lightgbm, threads_for
from cengine.learners.trees_objectives import Objective, objectives_of, predictions_of, traced_predictions
from cengine.learners.trees_rows import matrix_of, ordered
from cengine.preprocess.apply import Input
from cengine.preprocess.targets import Target
from cengine.tensors import Tensor
from cengine.terminal import say

if TYPE_CHECKING:
    import lightgbm

FILE, VERSION = "trees.json", 1


def write_trees(
    folder: Path,
    boosters: Sequence[lightgbm.Booster],
    objectives: Sequence[Objective],
    inputs: Sequence[Input],
    rounds: int,
) -> dict[str, dict[str, float]]:
    """Writes the first `rounds` rounds of each target's trees; gives the importance of the features by label.

    Gains are taken from the text, which has fewer digits of them than the trees that were just grown.
    """
    labels: list[dict[str, Any]] = []
    for place, (booster, objective) in enumerate(zip(boosters, objectives, strict=True)):
        text = booster.model_to_string(num_iteration=rounds).encode()
        file = folder / f"trees-{place}.txt"
        file.write_bytes(text)
        about: dict[str, Any] = {
            "label": objective.target.name,
            "file": file.name,
            "sha256": hashlib.sha256(text).hexdigest(),
        }
        about |= {} if objective.quantile is None else {"quantile": objective.quantile}
        labels.append({**about, "importance": importance(import_lightgbm().Booster(model_str=text.decode()), inputs)})
    columns = [one.column for one in ordered(inputs)]
    told = {"version": VERSION, "rounds": rounds, "columns": columns, "labels": labels}
    (folder / FILE).write_text(json.dumps(told, indent=1, ensure_ascii=False))
    return _of_labels(labels)


def _of_labels(labels: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The importance of the features by label: of quantiles the mean of theirs."""
    found: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(label["label"] for label in labels):
        own = [label["importance"] for label in labels if label["label"] == name]
        means = {feature: sum(one[feature] for one in own) / len(own) for feature in own[0]}
        found[name] = own[0] if len(own) == 1 else dict(sorted(means.items(), key=lambda item: -item[1]))
    return found


def importance(booster: lightgbm.Booster, inputs: Sequence[Input]) -> dict[str, float]:
    """By feature the share of all that splits gained which its splits gained; sums to 1, or to 0 where nothing was split."""
    gains = booster.feature_importance("gain")
    total = float(gains.sum()) or 1.0
    found: dict[str, float] = {}
    for one, gain in zip(ordered(inputs), gains, strict=True):
        name = one.feature or one.column
        found[name] = found.get(name, 0.0) + float(gain) / total
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def read_trees(folder: Path, inputs: Sequence[Input], targets: Sequence[Target]) -> TreesPredictor:
    """The model that `write_trees` wrote. Raises StoreError where its files are damaged."""
    try:
        told: dict[str, Any] = json.loads((folder / FILE).read_text())
        texts = [_whole(folder / Path(label["file"]).name, label["sha256"]) for label in told["labels"]]
        if told["version"] != VERSION:
            raise StoreError(f"{folder / FILE} is of a later version of cengine", "upgrade cengine")
        objectives = objectives_of(targets)
        if told["columns"] != [one.column for one in ordered(inputs)] or len(texts) != len(objectives):
            raise ValueError("its columns are others")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"the trained model {folder / FILE} is damaged: {error}",
            "cengine cache verify --repair removes it, and the next run builds it again",
        ) from error
    library = import_lightgbm()
    return TreesPredictor([library.Booster(model_str=text) for text in texts], objectives, inputs)


def _whole(file: Path, digest: str) -> str:
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError(f"{file.name} has another check sum")
    return content.decode()


class TreesPredictor:
    """Predictions of one booster an objective."""

    def __init__(
        self, boosters: Sequence[lightgbm.Booster], objectives: Sequence[Objective], inputs: Sequence[Input]
    ) -> None:
        self.boosters = boosters
        self.objectives = objectives
        self.inputs = inputs

    def predict(self, batch: Batch) -> dict[str, np.ndarray]:
        """Predictions by label: float64 (n,) in the label's unit, quantiles or probabilities (n, outputs)."""
        rows = matrix_of(batch)
        return predictions_of(
            self.objectives,
            [
                raw_scores(booster, objective, rows)
                for booster, objective in zip(self.boosters, self.objectives, strict=True)
            ],
        )

    def predicting(self, numbers: Tensor, codes: Tensor) -> dict[str, Tensor]:
        """The same as `predict` as operations on tensors: numbers (rows, n) and codes (rows, c) -> float64 by label."""
        inputs = [without_rests(numbers)] if any(one.size is None for one in self.inputs) else []
        inputs += [codes] if any(one.size is not None for one in self.inputs) else []
        return traced_predictions(
            self.objectives,
            [
                sums_of_leaves(booster, objective.num_scores, inputs)
                for booster, objective in zip(self.boosters, self.objectives, strict=True)
            ],
        )

    def summary(self) -> None:
        """Prints how many trees there are, how large, and what they split by most."""
        for booster, objective in zip(self.boosters, self.objectives, strict=True):
            leaves = num_leaves(booster)
            of = "" if objective.quantile is None else f", quantile {objective.quantile:g}"
            say(f"{objective.target.name}{of}: {booster.num_trees():,} trees with {leaves:,} leaves")
            for name, share in list(importance(booster, self.inputs).items())[:10]:
                say(f"  {share:6.1%}  {name}")


def raw_scores(
    booster: lightgbm.Booster, objective: Objective, rows: np.ndarray, first: int = 0, num_rounds: int | None = None
) -> np.ndarray:
    """Sums of leaves of the trees from round `first` on, of all or of `num_rounds`: float64 (n, num_scores)."""
    if not len(rows):
        return np.zeros((0, objective.num_scores))
    rounds = booster.current_iteration() - first if num_rounds is None else num_rounds
    found = booster.predict(
        rows, raw_score=True, start_iteration=first, num_iteration=rounds, num_threads=threads_for(len(rows))
    )
    return np.asarray(found, np.float64).reshape(len(rows), objective.num_scores)


def num_leaves(booster: lightgbm.Booster, rounds: int | None = None) -> int:
    """The leaves of the trees of the first `rounds` rounds, of all by default."""
    text = booster.model_to_string(num_iteration=rounds)
    return sum(int(line[11:]) for line in text.splitlines() if line.startswith("num_leaves="))
