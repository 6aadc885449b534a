"""`architecture: sequential`: a network that reads windows of points, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from cengine.config.schema import Finding, LabelFacts
from cengine.learners.feedforward import Feedforward
from cengine.learners.learner import Facts, Predictor

if TYPE_CHECKING:
    from cengine.preprocess.apply import Input
    from cengine.preprocess.targets import Target


class Sequential(Feedforward):
    """A network of windows. Without `layers` it is the linear net that is learnt fastest and is seldom beaten."""

    name = "sequential"
    reads_windows: ClassVar[bool] = True

    architecture: Literal["sequential"] = "sequential"  # type: ignore[assignment]  # a word of its own in the place of the base's

    def problems(self, label: LabelFacts) -> Iterator[Finding]:
        yield from super().problems(label)
        if self.ensemble:
            yield Finding("an ensemble has no members of windows", "ensemble", ("leave ensemble out",))

    def settings(self, labels: Sequence[Any]) -> dict[str, Any]:
        return {**super().settings(labels), "learner": self.name}

    def read(self, folder: Path, inputs: Sequence[Input], targets: Sequence[Target]) -> Predictor:
        return super().read(folder, inputs, targets)

    def products(self, facts: Facts) -> int:
        return super().products(facts)
