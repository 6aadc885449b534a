"""The encoded rows with what the stages before know of them, as training and evaluation read them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cengine.config.schema import INNER
from cengine.errors import TrainingError
from cengine.stages.context import Context
from cengine.stages.fit import Fit
from cengine.stages.series import Series
from cengine.stages.split import Split
from cengine.stages.stage import Work
from cengine.stages.transform import ENCODED, Transform

if TYPE_CHECKING:
    from cengine.learners.examples import Examples
    from cengine.preprocess.fit import Statistics
    from cengine.preprocess.split import Split as FittedSplit
    from cengine.preprocess.targets import Target


@dataclass(frozen=True)
class Encoded:
    """What Train and Evaluate both read of the stages before."""

    statistics: Statistics
    split: FittedSplit
    targets: list[Target]
    examples: Examples

    @staticmethod
    def of(context: Context, work: Work) -> Encoded:
        """From the folders of the stages before."""
        from cengine.learners.examples import Examples
        from cengine.learners.windows import WindowExamples, frame_of
        from cengine.preprocess.fit import read_statistics
        from cengine.preprocess.series import WINDOWS
        from cengine.preprocess.targets import targets_of_run

        resolved = context.resolved
        statistics, split = read_statistics(work.of(Fit)), context.split(work.of(Split))
        inputs = context.inputs(work.of(Fit))
        targets = targets_of_run(resolved, statistics)
        parts = [*split.names, INNER] if split.has_inner else split.names
        names, weighted = (
            [one.name for one in targets if one.task.has_label],
            [one.name for one in resolved.labels if one.sample_weight],
        )
        file = work.of(Transform) / ENCODED
        if resolved.series is None:
            examples = Examples(file, inputs, names, parts, weighted)
        else:
            windows = work.of(Series) / WINDOWS
            frame = frame_of(resolved.series, inputs, targets, resolved.features, statistics)
            examples = WindowExamples(file, windows, inputs, names, parts, frame)
            _check_memory(examples.points_bytes, context)
        return Encoded(statistics, split, targets, examples)


def _check_memory(points_bytes: int, context: Context) -> None:
    """Raises TrainingError where the points of all series are more than may be held at once."""
    if points_bytes > context.matrix_bytes:
        wanted = math.ceil((context.memory_bytes + 2 * (points_bytes - context.matrix_bytes)) / 1e9)
        raise TrainingError(
            f"the points of the series take {points_bytes / 1e9:.1f} GB, more than the memory limit of {context.memory_bytes / 1e9:.1f} GB leaves for them",
            f"give more with --memory, here --memory {wanted}GB, or take a longer resampling_rate_in_secs or fewer features",
        )
