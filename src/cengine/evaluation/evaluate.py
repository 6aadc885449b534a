"""What is measured of a table of predictions, written as plain data and read again by `results.py`: overall, constants, slices, verdicts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from sqlglot import exp

from cengine.config.resolve import Resolved, metrics_of
from cengine.engines.engine import Engine
from cengine.evaluation.baselines import baseline_of, beside_constant, measure_baselines, verdict
from cengine.evaluation.predictions import roles_of
from cengine.evaluation.slices import OVERALL, measure, with_split_names
from cengine.networks.metrics import metric_label
from cengine.preprocess.fit import Statistics
from cengine.training.heads import Head


def evaluate(
    engine: Engine, predictions: exp.Expr, heads: Sequence[Head], resolved: Resolved, statistics: Statistics,
    split_names: Sequence[str], folder: Path,
) -> None:  # fmt: skip
    """Measures the table of predictions and writes the results into `folder`."""
    overall: list[dict[str, Any]] = []
    verdicts: list[dict[str, str]] = []
    tables: list[dict[str, Any]] = []
    for head in heads:
        metrics = metrics_of(head.label, head.task, resolved.metrics)
        measured = measure(engine, predictions, roles_of(head), head.task, metrics, (OVERALL, *resolved.slices), intervals=True)
        constants = measure_baselines(engine, predictions, head, metrics, statistics)
        for row in measured[0].table.to_pylist():
            number = row["_split"]
            for metric in metrics:
                overall.append({
                    "split": split_names[number], "label": head.label.name, "metric": metric_label(metric), "num_rows": row["num_rows"],
                    **beside_constant(head, metric, row, constants[number][metric_label(metric)], statistics),
                    "unit": metric.unit, "higher_is_better": metric.higher_is_better,
                })  # fmt: skip
            first = metric_label(metrics[0])
            baseline, ends = baseline_of(head, metrics[0], statistics), (row[f"{first}: low"], row[f"{first}: high"])
            sentence = verdict(head, metrics[0], row[first], constants[number][first], baseline, ends, row["num_rows"])
            verdicts.append({"split": split_names[number], "label": head.label.name, "sentence": sentence})
        for number, found in enumerate(measured[1:]):
            name = f"slices-{len(tables):03d}.parquet"
            pq.write_table(with_split_names(found.table, split_names), folder / name)
            tables.append({"label": head.label.name, "columns": list(resolved.slices[number]), "file": name})
    record = {"overall": overall, "verdicts": verdicts, "slices": tables}
    (folder / "results.json").write_text(json.dumps(record, ensure_ascii=False, indent=1, default=str))
