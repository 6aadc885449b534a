"""Metrics of a sample while training: the same definitions, the same SQL as for slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from sqlglot import exp

from cengine.config.resolve import metrics_of
from cengine.engines.engine import Engine
from cengine.evaluation.predictions import prediction_columns, roles_of
from cengine.evaluation.slices import measure
from cengine.networks.metric import Metric
from cengine.training.batches import Matrices
from cengine.training.heads import Head


class Monitor:
    """Measures predictions that are in memory."""

    def __init__(self, engine: Engine, heads: Sequence[Head], metrics: tuple[Metric, ...] | None, num_numbers: int) -> None:
        self.engine = engine
        self.heads = heads
        self.metrics = metrics
        self.num_numbers = num_numbers

    def measure(self, outputs: list[np.ndarray], rows: Matrices) -> dict[str, float]:
        """Each metric of each label; with several labels the names are `metric: label`."""
        labels = rows.floats[:, self.num_numbers :]
        columns = prediction_columns(self.heads, outputs, labels)
        for i, head in enumerate(self.heads):
            columns.setdefault(f"label: {head.label.name}", head.read_label(labels[:, i]))
        # What is a list for each row is for pictures; no metric reads it.
        self.engine.register("monitored", pa.table({name: values for name, values in columns.items() if values.ndim == 1}))
        found = {}
        for head in self.heads:
            metrics = metrics_of(head.label, head.task, self.metrics)
            (overall,) = measure(self.engine, exp.to_table("monitored"), roles_of(head), head.task, metrics, within=())
            row = overall.table.to_pylist()[0]
            for name, value in row.items():
                if name != "num_rows":
                    found[name if len(self.heads) == 1 else f"{name}: {head.label.name}"] = value
        return found
