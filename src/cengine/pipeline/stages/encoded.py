"""The encoded rows with what the stages before know of them, as training and evaluation read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cengine.pipeline.stages.context import Context
from cengine.pipeline.stages.fit import Fit
from cengine.pipeline.stages.split import Split
from cengine.pipeline.stages.stage import Work
from cengine.pipeline.stages.transform import ENCODED, Transform

if TYPE_CHECKING:
    from cengine.preprocess.apply import Input
    from cengine.preprocess.fit import Statistics
    from cengine.preprocess.split import Split as FittedSplit
    from cengine.training.batches import EncodedFile
    from cengine.training.heads import Head

# Rows that are predicted, or thinned out, at a time.
BLOCK_ROWS = 2**20


@dataclass(frozen=True)
class Encoded:
    """What Train and Evaluate both read of the stages before."""

    statistics: Statistics
    split: FittedSplit
    inputs: list[Input]
    heads: list[Head]
    file: EncodedFile

    @staticmethod
    def of(context: Context, work: Work) -> Encoded:
        """From the folders of the stages before."""
        from cengine.preprocess.apply import inputs_of
        from cengine.preprocess.fit import read_statistics
        from cengine.preprocess.split import read_split
        from cengine.training.batches import EncodedFile
        from cengine.training.heads import heads_of

        resolved = context.resolved
        statistics = read_statistics(work.of(Fit))
        inputs = inputs_of(resolved.features, statistics)
        heads = heads_of(resolved.labels, resolved.trainer, statistics)
        file = EncodedFile(work.of(Transform) / ENCODED, inputs, [label.name for label in resolved.labels])
        return Encoded(statistics, read_split(work.of(Split)), inputs, heads, file)


def blocks(counts: list[int], block_rows: int) -> Iterator[list[int]]:
    """Row groups in blocks of about so many rows."""
    block: list[int] = []
    rows = 0
    for group, count in enumerate(counts):
        block.append(group)
        rows += count
        if rows >= block_rows:
            yield block
            block, rows = [], 0
    if rows:
        yield block
