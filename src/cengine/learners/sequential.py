"""`architecture: sequential`: a network that reads windows of points, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from cengine.config.schema import Finding, LabelFacts
from cengine.learners.feedforward import Feedforward
from cengine.networks.layers import LayerMisfitError, shapes
from cengine.networks.layers.layer import NUM_SEQUENCE_AXES

if TYPE_CHECKING:
    from cengine.config.resolve import Label


class Sequential(Feedforward):
    """A network of windows. Without `layers` it is a linear one, which is learnt fastest and seldom beaten."""

    name = "sequential"
    reads_windows: ClassVar[bool] = True

    architecture: Literal["sequential"] = "sequential"  # type: ignore[assignment]  # a word of its own in the place of the base's

    def problems(self, label: LabelFacts) -> Iterator[Finding]:
        yield from super().problems(label)
        if self.ensemble:
            yield Finding("an ensemble has no members of windows", "ensemble", ("leave ensemble out",))

    def _layers_of_sequences(self) -> Iterator[Finding]:
        yield from ()  # whether they fit is told with the length of windows

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

    def settings(self, labels: Sequence[Label]) -> dict[str, Any]:
        return {**super().settings(labels), "learner": self.name}
