"""All that a page, a notebook or a comparison says about a finished run, as plain data. Rendering is elsewhere."""

from __future__ import annotations

import importlib.metadata
import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cengine.config.flatten import flattened
from cengine.config.resolve import Resolved, metrics_of
from cengine.evaluation.results import Results, SliceTable
from cengine.extras import DISTRIBUTION
from cengine.networks.metric import Metric
from cengine.networks.metrics import metric_label
from cengine.preprocess.split import Split
from cengine.training.heads import Head

SUMMARY_VERSION = 1
# Of each set of slices the largest are carried, and of all sets together, so that a page stays small.
MAX_SLICES_OF_A_SET = 5_000
MAX_SLICES = 20_000
SIGNIFICANT_DIGITS = 7
PACKAGES = ("keras", "jax", "duckdb", "sqlglot", "numpy")


@dataclass(frozen=True)
class Evidence:
    """What is known of a run: its records, its configuration, and what its stages and the report's own queries found.

    `diagnostics` and `worst` are by label; `training` is what Train wrote; `columns` are statistics with drift.
    """

    pipeline: dict[str, Any]
    run: dict[str, Any]
    data: dict[str, Any]
    yaml: str
    resolved: Resolved
    heads: Sequence[Head]
    results: Results
    diagnostics: dict[str, list[dict[str, Any]]]
    worst: dict[str, dict[str, Any]]
    training: dict[str, Any]
    split: Split
    columns: list[dict[str, Any]]


def summarize(evidence: Evidence) -> dict[str, Any]:
    """The summary: JSON-able, numbers that are not finite as null."""
    resolved = evidence.resolved
    summary = {
        "version": SUMMARY_VERSION,
        "pipeline": evidence.pipeline,
        "run": evidence.run,
        "data": evidence.data,
        "labels": [_label(evidence, head) for head in evidence.heads],
        "curves": _curves(evidence.training),
        "split": _split(evidence),
        "columns": evidence.columns,
        "configuration": {"yaml": evidence.yaml, "resolved": flattened(resolved, {head.label.name: head.task for head in evidence.heads})},
        "seeds": {"split": resolved.split.seed, "trainer": resolved.trainer.seed},
        "versions": {"cengine": _version(DISTRIBUTION), "python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
    }
    return dict(plain(summary))


def plain(data: Any) -> Any:
    """The data as JSON holds it."""
    if isinstance(data, dict):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(value) for value in data]
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    return data if data is None or isinstance(data, bool | int | str) else str(data)


def metric_facts(metric: Metric) -> dict[str, Any]:
    """A metric as pages describe it."""
    described = (metric.__doc__ or "").split("\n\n")[0]
    return {"name": metric_label(metric), "unit": metric.unit, "higher_is_better": metric.higher_is_better, "description": described}


def _version(package: str) -> str:
    return importlib.metadata.version(package)


# Labels


def _label(evidence: Evidence, head: Head) -> dict[str, Any]:
    name = head.label.name
    results = evidence.results
    metrics = metrics_of(head.label, head.task, evidence.resolved.metrics)
    return {
        "name": name,
        "task": head.task,
        "classes": [str(value) for value in head.classes],
        "metrics": [
            metric_facts(m)
            for m in metrics
        ],
        "overall": [
            {key: row[key] for key in ("split", "metric", "model", "low", "high", "constant", "constant_is", "skill", "num_rows")}
            for row in results.overall_rows
            if row["label"] == name
        ],
        "verdicts": [{"split": v["split"], "sentence": v["sentence"]} for v in results.verdicts if v["label"] == name],
        "diagnostics": evidence.diagnostics[name],
        "slices": _slices([found for found in results.slices if found.label == name], [metric_label(m) for m in metrics]),
        "worst": evidence.worst[name],
    }  # fmt: skip


def _slices(tables: Sequence[SliceTable], metrics: Sequence[str]) -> list[dict[str, Any]]:
    parts = []
    for found in tables:
        splits = found.table["split"].to_pylist()
        for split in dict.fromkeys(splits):
            rows = [i for i, of in enumerate(splits) if of == split]
            parts.append((found, split, rows))
    cap = MAX_SLICES_OF_A_SET
    while sum(min(len(rows), cap) for _, _, rows in parts) > MAX_SLICES:
        cap //= 2
    return [_slice_set(found, split, rows, cap, metrics) for found, split, rows in parts]


def _slice_set(found: SliceTable, split: str, rows: list[int], cap: int, metrics: Sequence[str]) -> dict[str, Any]:
    """One set of one split, largest slices first as the table has them."""
    table = found.table.take(rows[:cap])
    return {
        "columns": list(found.columns),
        "split": split,
        "num_slices": len(rows),
        "num_left_out": len(rows) - table.num_rows,
        "values": [table[name].to_pylist() for name in found.keys],
        "num_rows": table["num_rows"].to_pylist(),
        "metrics": {
            name: {end: [short(v) for v in table[column].to_pylist()]
                   for end, column in (("value", name), ("low", f"{name}: low"), ("high", f"{name}: high"))}
            for name in metrics
        },
    }  # fmt: skip


def short(value: float | None) -> float | None:
    """A number with as many digits as a page needs, None for what is none."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{SIGNIFICANT_DIGITS}g}")


# Training and split


def _curves(training: dict[str, Any]) -> dict[str, Any]:
    points = [
        {"step": entry["step"], "split": split, "name": name, "value": value}
        for entry in training["history"]
        for split, values in entry.items()
        if split != "step"
        for name, value in values.items()
    ]
    found = {key: training[key] for key in ("judged_on", "best_step", "stopped_early", "num_steps", "num_weights")}
    # Where a limit ended training, how long it was meant to be.
    return {**found, "planned_steps": training["planned_steps"] if training.get("limit") else None, "points": points}


def _split(evidence: Evidence) -> dict[str, Any]:
    split, report = evidence.split, evidence.split.report
    used = sum(report.rows.values()) + report.num_left_out
    return {
        "by": split.by, "order": split.order, "seed": split.seed, "rows": report.rows, "num_groups": report.num_groups,
        "num_small_groups": report.num_small_groups, "small_groups": report.small_groups, "num_left_out": report.num_left_out,
        "num_filtered": evidence.data["num_rows"] - used,
    }  # fmt: skip
