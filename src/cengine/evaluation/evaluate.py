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
from cengine.evaluation.baselines import baseline_of, beside_constant, measure_beside
from cengine.evaluation.calibration import Calibration, calibrations
from cengine.evaluation.folds import over_folds, told
from cengine.evaluation.predictions import name_beside
from cengine.evaluation.results import OverallRow, Verdict
from cengine.evaluation.slices import OVERALL, with_split_names
from cengine.evaluation.verdicts import verdict
from cengine.evaluation.yardsticks import Reached
from cengine.metrics.table import metric_label
from cengine.preprocess.fit import Statistics
from cengine.preprocess.targets import Target


def evaluate(
    engine: Engine,
    predictions: exp.Expr,
    targets: Sequence[Target],
    resolved: Resolved,
    statistics: Statistics,
    split_names: Sequence[str],
    folder: Path,
    reached: Reached,
    of_folds: Sequence[Statistics] = (),
) -> None:
    """Measures the table of predictions and writes the results into `folder`; `reached` is what the yardsticks did.

    `of_folds` are the statistics of what each fold's model has learnt from, where there are folds.
    """
    overall: list[OverallRow] = []
    verdicts: list[Verdict] = []
    tables: list[dict[str, Any]] = []
    calibrated: list[Calibration] = []
    sets = [tuple(name_beside(name) for name in columns) for columns in resolved.slices]
    for target in targets:
        metrics = metrics_of(target.label, target.task.name, resolved.metrics)
        measured = measure_beside(engine, predictions, target, metrics, statistics, (OVERALL, *sets), of_folds)
        folds = over_folds(engine, predictions, target, metrics) if of_folds else {}
        for row in measured[0].table.to_pylist():
            split = split_names[row["_split"]]
            found_rows: list[OverallRow] = [
                {
                    "split": split,
                    "label": target.name,
                    "metric": metric_label(metric),
                    "num_rows": row["num_rows"],
                    **beside_constant(
                        target,
                        metric,
                        row,
                        statistics,
                        reached.get((target.name, split, metric_label(metric))),
                        of_folds=bool(of_folds),
                    ),
                    "unit": metric.unit,
                    "higher_is_better": metric.higher_is_better,
                    # mypy does not find an optional key in a mapping that may be empty.
                    **({"folds": folds[metric_label(metric)]} if folds else {}),  # type: ignore[typeddict-item]
                }
                for metric in metrics
            ]
            overall += found_rows
            baseline = baseline_of(target, metrics[0], statistics, of_folds=bool(of_folds))
            sentence = verdict(target, metrics[0], dict(found_rows[0]), baseline)
            verdicts.append({"split": split, "label": target.name, "sentence": sentence})
        calibrated += calibrations(engine, predictions, target, split_names)
        for number, found in enumerate(measured[1:]):
            name = f"slices-{len(tables):03d}.parquet"
            pq.write_table(with_split_names(found.table, split_names), folder / name)
            tables.append({"label": target.name, "columns": list(resolved.slices[number]), "file": name})
    record: dict[str, Any] = {"overall": overall, "verdicts": verdicts, "slices": tables}
    if calibrated:
        record["calibration"] = calibrated
    if of_folds:
        divided = resolved.split
        record["folds"] = told(len(of_folds), divided.categorize.by if divided.whole_groups else None)
    (folder / "results.json").write_text(json.dumps(record, ensure_ascii=False, indent=1, default=str))
