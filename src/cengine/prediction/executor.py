"""What a worker of Spark does with its rows. It is sent there whole: a worker needs onnxruntime, NumPy and pyarrow, and not this package."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BLOCK_ROWS = 16_384
BITS = 62


@dataclass(frozen=True)
class Column:
    """A column that the ONNX file reads: its inputs, the column of the rows that it is, and the values that training knew, None without a list."""

    name: str
    null_input: str
    hash_input: str
    source: str
    kind: str
    vocabulary: tuple[Any, ...] | None


@dataclass(frozen=True)
class Job:
    """An ONNX file and how its inputs and outputs are called.

    Columns `passed` come out as they came in; then bits of cells that are null, bits of cells that training did not know, a number
    for each BITS inputs, and the outputs, one column for each class.
    """

    model: bytes
    inputs: tuple[Column, ...]
    outputs: tuple[str, ...]
    passed: tuple[str, ...]


def worker(job: Job) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for `mapInArrow`: one session for all batches of a task."""

    def predict(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(job.model, options, providers=["CPUExecutionProvider"])
        inputs = {one.name for one in session.get_inputs()}
        for batch in batches:
            for at in range(0, len(batch), BLOCK_ROWS):
                yield answer(job, session, inputs, batch.slice(at, BLOCK_ROWS))

    return predict


def answer(job: Job, session: Any, inputs: set[str], batch: pa.RecordBatch) -> pa.RecordBatch:
    """The answers to a batch."""
    nulls = np.zeros((-(-len(job.inputs) // BITS), len(batch)), np.int64)
    unseen = np.zeros_like(nulls)
    feeds = {}
    for place, one in enumerate(job.inputs):
        cells = batch.column(one.source)
        values, missing = _cells(cells, one.kind)
        if one.name in inputs:
            feeds[one.name] = values.reshape(-1, 1)
        if one.hash_input in inputs:
            feeds[one.hash_input] = _hashes(values).reshape(-1, 1)
        if missing.any():
            feeds[one.null_input] = missing.reshape(-1, 1)
        bit = np.int64(1 << place % BITS)
        nulls[place // BITS] |= missing * bit
        if one.vocabulary is not None:
            known = pc.is_in(cells, value_set=pa.array(one.vocabulary, cells.type)).to_numpy(zero_copy_only=False)
            unseen[place // BITS] |= (~known & ~missing) * bit
    columns = [batch.column(name) for name in job.passed]
    columns += [pa.array(row) for row in (*nulls, *unseen)]
    for found in session.run(list(job.outputs), feeds):
        columns += [pa.array(part) for part in (found.T if found.ndim == 2 else [found])]
    return pa.RecordBatch.from_arrays(columns, names=[f"c{place}" for place in range(len(columns))])


def _cells(cells: pa.Array, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The values of a column, and where there is none."""
    if kind == "timestamp":
        cells = cells.cast(pa.timestamp("us", cells.type.tz)).cast(pa.int64())
    missing: np.ndarray = pc.is_null(cells, nan_is_null=True).to_numpy(zero_copy_only=False)
    if kind == "float":
        missing = missing | ~np.isfinite(cells.to_numpy(zero_copy_only=False))
    instead: Any = {"boolean": False, "string": "", "float": 0.0}.get(kind, 0)
    return pc.fill_null(cells, instead).to_numpy(zero_copy_only=False), missing


def _hashes(values: np.ndarray) -> np.ndarray:
    """Seven hexadecimal digits of the MD5 of each value's text, as numbers."""
    texts = (str(one).lower() if isinstance(one, bool) else str(one) for one in values.tolist())
    digests = (hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() for text in texts)
    return np.array([int(digest[:7], 16) for digest in digests], np.int64)
