"""`architecture: sequential`: a network that reads windows of points, in order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from cengine.config.schema import Finding, LabelFacts
from cengine.learners.feedforward import Feedforward
from cengine.networks.layers import LayerMisfitError, shapes
from cengine.networks.layers.layer import NUM_SEQUENCE_AXES, Shape

if TYPE_CHECKING:
    from cengine.config.resolve import Label
    from cengine.learners.learner import Facts


class Sequential(Feedforward):
    """A network of windows. Without `layers` a forecast is a linear map of the label's own past, to which a small network may add."""

    name = "sequential"
    reads_windows: ClassVar[bool] = True

    architecture: Literal["sequential"] = "sequential"  # type: ignore[assignment]  # a word of its own in the place of the base's

    def problems(self, label: LabelFacts) -> Iterator[Finding]:
        yield from super().problems(label)
        if self.ensemble:
            yield Finding("an ensemble has no members of windows", "ensemble", ("leave ensemble out",))

    def _layers_of_sequences(self) -> Iterator[Finding]:
        yield from ()  # `problems_of_windows` checks them, which knows the length of windows

    def problems_of_windows(self, length: int, horizon: int | None) -> Iterator[Finding]:
        try:
            given = shapes(self.layers, length, None)
        except LayerMisfitError as error:
            yield Finding(error.message, "layers", error.notes, (error.index,))
            return
        if given and len(given[-1]) == NUM_SEQUENCE_AXES:
            told = f"the {horizon} answers of a window are" if horizon else "the answer of a window is"
            yield Finding(
                f"the last layer gives a sequence, and {told} made of one row",
                "layers",
                (
                    "add `{type: global_average_pooling1d}` or `{type: flatten}`, or leave `return_sequences: true` out of the last recurrent layer",
                ),
                (len(given) - 1,),
            )

    def _num_weights(self, facts: Facts) -> tuple[int, int]:
        assert facts.window is not None
        length, num_labels = facts.window
        width = sum(encoding.width(size) for size, encoding in facts.inputs)
        looked_up = sum(encoding.num_weights(size) for size, encoding in facts.inputs)
        outputs = num_labels * facts.num_labels
        if (
            not self.layers
        ):  # a map of the own past, and 32 units that read no more numbers than a window and a point have
            multiplied = length * outputs + 32 * (length + width + num_labels * width)
            return multiplied, multiplied + looked_up
        given: Shape = (length, width)
        multiplied, weights = 0, looked_up
        for layer, found in zip(self.layers, shapes(self.layers, length, width), strict=True):
            multiplied, weights = multiplied + layer.products(given), weights + layer.num_weights(given)
            given = found
        last = math.prod(size or 1 for size in given) * outputs
        return multiplied + last, weights + last

    def settings(self, labels: Sequence[Label]) -> dict[str, Any]:
        return {**super().settings(labels), "learner": self.name}
