"""What a model takes and gives, as plain data: columns with their words and statistics, targets, and the learner."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cengine.config.learners import LEARNERS
from cengine.config.resolve import Feature, Label
from cengine.config.schema import TrainerConfig
from cengine.errors import StoreError
from cengine.learners.learner import Learner
from cengine.networks.encodings import ENCODINGS
from cengine.networks.losses import LOSSES
from cengine.plain import Cell
from cengine.preprocess.fit import Statistics
from cengine.preprocess.targets import Target
from cengine.tasks import TASKS, Reconstruction
from cengine.transforms import FILLINGS, TRANSFORMS, Transform
from cengine.words import read


@dataclass(frozen=True)
class Signature:
    """What enters a model and what it predicts. `statistics` are those that Fit learned of both."""

    features: tuple[Feature, ...]
    targets: tuple[Target, ...]
    statistics: Statistics
    learner: Learner

    def vocabulary(self, column: str) -> tuple[Cell, ...] | None:
        """The values that a feature's first word looks up, None if it has no list of them."""
        words = self.statistics["features"][column]["transforms"]
        known = words[0].get("vocabulary") if words else None
        return None if known is None else tuple(known)

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads."""
        learnt = self.statistics
        told = {
            "features": [{**one.identity(), "statistics": learnt["features"][one.name]} for one in self.features],
            "targets": [{**_target(one), "statistics": learnt["labels"].get(one.name, {})} for one in self.targets],
            "learner": self.learner.identity(),
        }
        plain: dict[str, Any] = json.loads(json.dumps(told, default=str))
        return plain

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Signature:
        """The signature that `to_json` told. Raises StoreError for words that this cengine does not know, or not in this version."""
        statistics: Statistics = {
            "features": {one["column"]: one["statistics"] for one in data["features"]},
            "labels": {one["column"]: one["statistics"] for one in data["targets"]},
        }
        targets = tuple(_read_target(one) for one in data["targets"])
        return Signature(
            tuple(_read_feature(one) for one in data["features"]), targets, statistics, _read_learner(data["learner"])
        )


def _target(target: Target) -> dict[str, Any]:
    label = target.label
    return {
        **label.identity(),
        "task": target.task.name,
        "label_task": label.task,
        "classes": list(target.classes),
        "offset": target.offset,
        "scale": target.scale,
        "loss": label.loss.identity() if label.loss else None,
        **(target.task.model_dump() if isinstance(target.task, Reconstruction) else {}),
    }


def _read_feature(data: Mapping[str, Any]) -> Feature:
    return Feature(
        data["column"],
        data["kind"],
        read(data["filling"], FILLINGS),
        _words(data["transforms"]),
        read(data["encoding"], ENCODINGS),
        bool(data.get("missing_indicator")),
    )


def _read_target(data: Mapping[str, Any]) -> Target:
    filling, loss = data["filling"], data["loss"]
    label = Label(
        data["column"],
        data["kind"],
        data["label_task"],
        read(filling, FILLINGS) if filling else None,
        _words(data["transforms"]),
        read(loss, LOSSES) if loss else None,
        None,
    )
    if data["task"] not in TASKS:
        raise StoreError(f"the task '{data['task']}' is not known to this cengine")
    if data["task"] == Reconstruction.name:
        return Target(label, Reconstruction(threshold=data["threshold"], code=data["code"]))
    learnt = data["statistics"].get("transforms", ()) if not data["classes"] else ()
    return Target(
        label, label.asked(data["task"]), data["offset"], data["scale"], tuple(data["classes"]), tuple(learnt)
    )


def _words(identities: Sequence[Mapping[str, Any]]) -> tuple[Transform, ...]:
    return tuple(read(one, TRANSFORMS) for one in identities)


def _read_learner(identity: Mapping[str, Any]) -> Learner:
    name, version = identity["word"], identity["version"]
    if name not in LEARNERS:
        raise StoreError(f"the learner '{name}' is not known here", "install the package that brings it")
    found = LEARNERS[name]
    if version != found.version:
        raise StoreError(f"the learner '{name}' is of version {version}, here it has version {found.version}")
    return learner_of(found, identity)


def learner_of(found: type[TrainerConfig], identity: Mapping[str, Any]) -> Learner:
    """The learner of this class of which `identity` tells: the inverse of `Learner.identity`."""
    values = {key: value for key, value in identity.items() if key not in ("word", "version")}
    for key, words in found.words.items():
        value = values.get(key)
        if value is not None:
            values[key] = tuple(read(one, words.table) for one in value) if words.many else read(value, words.table)
    learner = found.model_validate(values)
    assert isinstance(learner, Learner)
    return learner
