"""Rows that are predicted by Spark's workers: the model goes there as ONNX, its answers come back as one file, in the table's order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from cengine.engines.engine import Progress
from cengine.expressions.build import column
from cengine.models.blocks import Counts, Encoding, Given
from cengine.models.inputs import hash_input, null_input
from cengine.models.outputs import columns_of, names_of
from cengine.prediction import executor
from cengine.prediction.executor import BITS, Column, Job
from cengine.prediction.parts import without_first
from cengine.tables import POSITION

if TYPE_CHECKING:
    from cengine.engines.spark import Spark
    from cengine.models.model import Model

_SQL_TYPES = {bool: "boolean", int: "bigint", float: "double"}


def onnx_file(model: Model) -> bytes:
    """The model as workers run it. Raises ExportError for one that has no ONNX form."""
    from cengine.exports.onnx import onnx_of

    file: bytes = onnx_of(model, hash_outside=True).SerializeToString()
    return file


def write_answers(
    engine: Spark, encoding: Encoding, onnx: bytes, given: Given, target: Path, progress: Progress | None
) -> None:
    """Writes the answers to all rows, for `answers`. Raises PreprocessError if Spark fails."""
    model = encoding.model
    sources = tuple(f"_in_{place}" for place in range(len(model.features)))
    kept = tuple(f"_kept_{place}" for place in range(len(encoding.kept)))
    cells = [given.cells[name].as_(source, quoted=True) for name, source in zip(model.features, sources, strict=True)]
    cells += [given.kept[name].as_(inner, quoted=True) for name, inner in zip(encoding.kept, kept, strict=True)]
    query = exp.select(*cells, column(POSITION)).from_(given.item)
    for condition in given.conditions:
        query = query.where(condition)
    inputs = tuple(
        Column(
            one.name, null_input(one.name), hash_input(one.name), source, one.kind, model.signature.vocabulary(one.name)
        )
        for one, source in zip(model.signature.features, sources, strict=True)
    )
    outputs = [name for one in model.outputs for name in names_of(one)]
    job = Job(onnx, inputs, tuple(outputs), (POSITION, *kept))
    engine.write_mapped(query, executor, executor.worker(job), job.passed, _types(model), target, progress)


def answers(encoding: Encoding, file: Path, batch_rows: int, skip: int) -> Iterator[tuple[pa.Table, Counts]]:
    """What `write_answers` wrote, in blocks, but for the first `skip` rows: kept columns and predictions, and what was odd."""
    model, num_kept = encoding.model, len(encoding.kept)
    num_masks = -(-len(model.features) // BITS)
    names = [*encoding.kept, *(name for one in model.outputs for name in columns_of(one))]
    with pq.ParquetFile(file) as reader:
        for batch in without_first(reader.iter_batches(batch_rows), skip):
            block = pa.Table.from_batches([batch])
            masks = [found.to_numpy() for found in block.columns[num_kept : num_kept + 2 * num_masks]]
            columns = [*block.columns[:num_kept], *block.columns[num_kept + 2 * num_masks :]]
            counts = _counts(model, len(block), masks[:num_masks], masks[num_masks:])
            yield pa.table(columns, names=names), counts


def _counts(model: Model, num_rows: int, nulls: list[np.ndarray], unseen: list[np.ndarray]) -> Counts:
    found = Counts(num_rows)
    for place, name in enumerate(model.features):
        bit = 1 << place % BITS
        found.missing[name] = int(np.count_nonzero(nulls[place // BITS] & bit))
        if model.signature.vocabulary(name) is not None:
            found.unseen[name] = int(np.count_nonzero(unseen[place // BITS] & bit))
    return found


def _types(model: Model) -> list[str]:
    """The SQL types of bits, predictions and probabilities."""
    types = ["bigint"] * (2 * -(-len(model.features) // BITS))
    for target in model.signature.targets:
        kinds = {_SQL_TYPES.get(type(one), "string") for one in target.classes}
        numbers = kinds <= {"bigint", "double"}
        types.append(("double" if "double" in kinds or not kinds else kinds.pop()) if numbers or len(kinds) == 1 else "string")  # fmt: skip
        types += ["double"] * (len(target.classes) + len(target.task.quantiles))
    return types
