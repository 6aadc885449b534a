"""Metrics of a sample while training: the same definitions, the same SQL as for slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from sqlglot import exp

from cengine.config.resolve import metrics_of
from cengine.engines.engine import Engine
from cengine.evaluation.predictions import prediction_columns, roles_of, weight_of
from cengine.evaluation.slices import measure
from cengine.learners.examples import Batch
from cengine.metrics.metric import Metric
from cengine.preprocess.targets import Target


def measures_nothing(predicted: Mapping[str, np.ndarray], rows: Batch) -> dict[str, float]:
    """No metrics: the loss of an autoencoder is all that there is while it learns."""
    return {}


class Monitor:
    """Measures predictions that are in memory."""

    def __init__(self, engine: Engine, targets: Sequence[Target], metrics: tuple[Metric, ...] | None) -> None:
        self.engine = engine
        self.targets = targets
        self.metrics = metrics

    def measure(self, predicted: Mapping[str, np.ndarray], rows: Batch) -> dict[str, float]:
        """Each metric of each label; with several labels the names are `metric: label`."""
        columns = prediction_columns(self.targets, predicted, rows.labels)
        for target in self.targets:
            columns.setdefault(f"label: {target.name}", target.read_label(rows.labels[target.name]))
        columns |= {f"weight: {name}": values.astype(np.float64) for name, values in rows.weights.items()}
        # What is a list for each row is for pictures; no metric reads it.
        self.engine.register(
            "monitored", pa.table({name: values for name, values in columns.items() if values.ndim == 1})
        )
        found = {}
        for target in self.targets:
            metrics = metrics_of(target.label, target.task.name, self.metrics)
            # A sample in memory does not know which series its rows are of.
            metrics = tuple(metric for metric in metrics if not metric.of_series)
            (overall,) = measure(
                self.engine,
                exp.to_table("monitored"),
                roles_of(target),
                target.task.name,
                metrics,
                within=(),
                weight=weight_of(target),
            )
            row = overall.table.to_pylist()[0]
            for name, value in row.items():
                if name != "num_rows":
                    found[name if len(self.targets) == 1 else f"{name}: {target.name}"] = value
        return found
