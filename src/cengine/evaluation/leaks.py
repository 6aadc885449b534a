"""Features that all but determine a label alone: mostly they are made from it, or known only after it.

Looked for in train rows, at most SAMPLE_ROWS of them, drawn by identity: one query for all columns, on every engine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlglot import exp

from cengine.config.resolve import Resolved
from cengine.config.schema import TRAIN
from cengine.engines.engine import Engine
from cengine.evaluation.alone import Told, told_alone
from cengine.expressions.build import column
from cengine.expressions.keys import drawn
from cengine.preprocess.source import Rows
from cengine.preprocess.split import Split
from cengine.tables import ROW_ID
from cengine.tasks import task_named

SAMPLE_ROWS = 2**16
# From these shares on a column all but determines a label: of the errors of a constant, and of the variance of ranks.
# Carat tells 0.94 of a diamond's price, and is no leak.
LEAST_OF_CLASSES, LEAST_OF_NUMBERS = 0.95, 0.98


class Association(TypedDict):
    """How much a feature alone tells of a label (see `alone.py`), and a sentence where that is so much that it looks like a leak."""

    label: str
    column: str
    share: float
    right: float | None
    sentence: str | None


def associations(engine: Engine, rows: Rows, split: Split, resolved: Resolved) -> list[Association]:
    """What each feature tells of each label, the most first."""
    names = list(dict.fromkeys([*(one.name for one in resolved.features), *(one.name for one in resolved.labels)]))
    assigned = split.assigned(engine, rows, names).subquery("assigned", copy=False)
    of_train = exp.EQ(this=column(rows.split_column), expression=exp.convert(0))
    # Columns are called by their places: engines disagree on which names may stand in a file.
    cells = [column(name).as_(f"c{place}", copy=False) for place, name in enumerate(names)]
    query = exp.select(*cells, column(ROW_ID), copy=False).from_(assigned, copy=False).where(of_train, copy=False)
    num_rows = split.report.rows[TRAIN]
    if num_rows > SAMPLE_ROWS:
        query = query.where(drawn("leaks", SAMPLE_ROWS, num_rows))
    engine.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="leaks-", dir=engine.scratch) as folder:
        file = Path(folder) / "sample.parquet"
        engine.write(query, file)
        with pq.ParquetFile(file) as sample:
            return associations_in(_Sample(sample, names), resolved)


class _Sample:
    """Columns of a written sample, one at a time, in the order of the rows' identities."""

    def __init__(self, file: pq.ParquetFile, names: Sequence[str]) -> None:
        self._file = file
        self._places = {name: f"c{place}" for place, name in enumerate(names)}
        self._order = pa.array(np.argsort(file.read(columns=[ROW_ID])[ROW_ID].to_numpy()))

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        return self._file.read(columns=[self._places[name]])[self._places[name]].take(self._order)


def associations_in(sample: pa.Table | _Sample, resolved: Resolved) -> list[Association]:
    """The same of rows that are at hand, in an order that has nothing to do with what they hold."""
    found: list[Association] = []
    labels = {label.name for label in resolved.labels}
    features = [feature.name for feature in resolved.features if feature.name not in labels]
    for label in resolved.labels:
        classes = task_named(label.task).has_classes
        cells = sample[label.name]
        present = pc.is_valid(cells)
        answers = _numbers(cells.filter(present), classes=classes)
        for name in features:
            told = told_alone(sample[name].filter(present), answers, classes=classes)
            if told is not None:
                found.append(_association(label.name, name, told, classes=classes))
    return sorted(found, key=lambda one: (-one["share"], one["label"], one["column"]))


def _numbers(cells: pa.ChunkedArray, *, classes: bool) -> np.ndarray:
    """Labels without nulls as numbers of classes, or as numbers."""
    if classes:
        codes = pc.dictionary_encode(cells.combine_chunks()).indices
        return np.asarray(codes.to_numpy(zero_copy_only=False).astype(np.int64))
    return np.asarray(cells.cast(pa.float64(), safe=False).to_numpy())


def _association(label: str, name: str, told: Told, *, classes: bool) -> Association:
    sentence = None
    if told.share >= (LEAST_OF_CLASSES if classes else LEAST_OF_NUMBERS):
        sentence = _sentence(label, name, told)
    return {
        "label": label,
        "column": name,
        "share": round(told.share, 4),
        "right": None if told.right is None else round(told.right, 4),
        "sentence": sentence,
    }


def _sentence(label: str, name: str, told: Told) -> str:
    if told.right is not None:
        much = f"alone it is right about {_percent(told.right)} of the rows"
    else:
        much = f"alone it explains {_percent(told.share)} of how the rows differ"
    return f"'{name}' all but determines '{label}': {much}. Is it made from the label, or known only after it? Then remove it from features."


def _percent(share: float) -> str:
    """A share that is not rounded up to all."""
    return "all" if share == 1 else f"{min(share, 0.9999) * 100:.4g} %"
