"""All that a page, a notebook or a comparison says about a finished run, as plain data. Rendering is elsewhere."""

from __future__ import annotations

import importlib.metadata
import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from cengine.config.flatten import flattened
from cengine.config.resolve import Resolved, metrics_of
from cengine.config.schema import TRAIN
from cengine.evaluation.baselines import BesideConstant, yardsticks_of
from cengine.evaluation.importance import importance_of
from cengine.evaluation.results import Results, SliceTable, labels_last
from cengine.evaluation.slices import BESIDE
from cengine.extras import DISTRIBUTION
from cengine.metrics.metric import Metric
from cengine.metrics.table import metric_label
from cengine.preprocess.split import Split
from cengine.preprocess.targets import Target
from cengine.reports.split_summary import SplitSummary, split_summary
from cengine.reports.training import Curves, curves_of

if TYPE_CHECKING:
    from cengine.config.flatten import FlatSetting
    from cengine.evaluation.attributions import Attributions
    from cengine.evaluation.dependence import Dependence
    from cengine.evaluation.diagnostics import Diagnosis
    from cengine.evaluation.drift import DescribedColumn
    from cengine.evaluation.folds import OverFolds
    from cengine.evaluation.importance import LabelImportance
    from cengine.evaluation.odd_rows import OddRows
    from cengine.evaluation.search import WorstSlices
    from cengine.evaluation.truth import Caution
    from cengine.evaluation.worst_rows import WorstRows

SUMMARY_VERSION = 1
# Of each set of slices the largest are carried, and of all sets together, so that a page stays small.
MAX_SLICES_OF_A_SET = 5_000
MAX_SLICES = 20_000
SIGNIFICANT_DIGITS = 7
PACKAGES = ("keras", "jax", "duckdb", "sqlglot", "numpy")


# Of each slice of a set the `value` of a metric, `low` and `high` of its interval, and what a `constant` reaches there.
Ends = dict[str, list[float | None]]


class PipelineSummary(TypedDict):
    """Which pipeline it is a run of."""

    id: int
    name: str
    config_name: str


class StageSummary(TypedDict):
    """What a stage took."""

    name: str
    seconds: float
    reused: bool
    saved_seconds: float | None


class RunSummary(TypedDict):
    """When it ran, and what it took."""

    number: int
    key: str
    started_at: str
    ended_at: str
    seconds: float
    saved_seconds: float
    stages: list[StageSummary]


class DataSummary(TypedDict):
    """The snapshot that it read, and the filters."""

    datasource: str
    snapshot: int
    num_rows: int
    num_columns: int
    content: str
    where: list[str]


class MetricFacts(TypedDict):
    """A metric as pages describe it."""

    name: str
    unit: str
    higher_is_better: bool
    has_best_end: NotRequired[bool]
    description: str


class OverallMetric(BesideConstant):
    """A metric over all rows of a split."""

    split: str
    metric: str
    num_rows: int
    folds: NotRequired[OverFolds]


class SplitVerdict(TypedDict):
    """Whether the model is worth anything on a split, in a sentence."""

    split: str
    sentence: str


class Slices(TypedDict):
    """A set of slices of one split, a place in the lists each; `values` has a list a column."""

    columns: list[str]
    split: str
    num_left_out: int
    values: list[list[Any]]
    num_rows: list[int]
    metrics: dict[str, Ends]


class SliceSet(Slices):
    """The largest slices of a set, and how many it has."""

    num_slices: int


class LabelSummary(TypedDict):
    """How well a label is predicted, and where not."""

    name: str
    task: str
    classes: list[str]
    metrics: list[MetricFacts]
    overall: list[OverallMetric]
    verdicts: list[SplitVerdict]
    diagnostics: list[Diagnosis]
    slices: list[SliceSet]
    worst: WorstSlices
    importance: LabelImportance | None
    dependences: list[Dependence]
    rows: list[WorstRows]
    attributions: Attributions | None
    odd_rows: NotRequired[OddRows]


class Configuration(TypedDict):
    """The YAML as it was pushed, and all that it means."""

    yaml: str
    resolved: list[FlatSetting]


class Seeds(TypedDict):
    """What the run drew its chance from."""

    split: int
    trainer: int


class Summary(TypedDict):
    """All that is told of a finished run."""

    version: int
    pipeline: PipelineSummary
    run: RunSummary
    data: DataSummary
    cautions: list[Caution]
    labels: list[LabelSummary]
    curves: Curves
    split: SplitSummary
    columns: list[DescribedColumn]
    configuration: Configuration
    seeds: Seeds
    versions: dict[str, str]


@dataclass(frozen=True)
class Evidence:
    """What is known of a run: its records, its configuration, and what its stages and the report's own queries found.

    `diagnostics` and `worst` are by label; `training` is what Train wrote; `columns` are statistics with drift.
    """

    pipeline: PipelineSummary
    run: RunSummary
    data: DataSummary
    yaml: str
    resolved: Resolved
    targets: Sequence[Target]
    results: Results
    diagnostics: dict[str, list[Diagnosis]]
    worst: dict[str, WorstSlices]
    training: dict[str, Any]
    split: Split
    seen: Split
    """The same of what was learnt from: of points, where rows became points."""
    columns: list[DescribedColumn]


def summarize(evidence: Evidence) -> Summary:
    """The summary: JSON-able, numbers that are not finite as null."""
    resolved = evidence.resolved
    summary: Summary = {
        "version": SUMMARY_VERSION,
        "pipeline": evidence.pipeline,
        "run": evidence.run,
        "data": evidence.data,
        "cautions": evidence.results.cautions,
        "labels": [_label(evidence, target) for target in evidence.targets],
        "curves": curves_of(evidence.training),
        "split": split_summary(evidence),
        "columns": evidence.columns,
        "configuration": {
            "yaml": evidence.yaml,
            "resolved": flattened(
                as_trained(resolved, evidence.seen, evidence.training),
                {target.name: target.task.name for target in evidence.targets},
            ),
        },
        "seeds": {"split": resolved.split.seed, "trainer": resolved.trainer.seed},
        "versions": {
            "cengine": _version(DISTRIBUTION),
            "python": platform.python_version(),
            **{name: _version(name) for name in PACKAGES},
        },
    }
    finite: Summary = plain(summary)
    return finite


def as_trained(resolved: Resolved, split: Split, training: dict[str, Any]) -> Resolved:
    """With what followed from the number of train rows; in older runs nothing did."""
    return (
        resolved.filled_in(split.examples[TRAIN] - split.num_inner_examples) if "num_judged" in training else resolved
    )


def plain(data: Any) -> Any:
    """The data as JSON holds it."""
    if isinstance(data, dict):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(value) for value in data]
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    return data if data is None or isinstance(data, bool | int | str) else str(data)


def metric_facts(metric: Metric) -> MetricFacts:
    """A metric as pages describe it."""
    described = (metric.__doc__ or "").split("\n\n")[0]
    return {
        "name": metric_label(metric),
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
        "has_best_end": metric.has_best_end,
        "description": described,
    }


def _version(package: str) -> str:
    return importlib.metadata.version(package)


# Labels


def _label(evidence: Evidence, target: Target) -> LabelSummary:
    name = target.name
    results = evidence.results
    metrics = metrics_of(target.label, target.task.name, evidence.resolved.metrics)
    return {
        "name": name,
        "task": target.task.name,
        "classes": [str(value) for value in target.classes],
        "metrics": [metric_facts(m) for m in metrics],
        "overall": [
            {
                "split": row["split"],
                "metric": row["metric"],
                "model": row["model"],
                "low": row["low"],
                "high": row["high"],
                "constant": row["constant"],
                "constant_is": row["constant_is"],
                "skill": row["skill"],
                **yardsticks_of(row),
                "num_rows": row["num_rows"],
                # As in evaluate.py: mypy does not find an optional key in a mapping that may be empty.
                **({"folds": row["folds"]} if "folds" in row else {}),  # type: ignore[typeddict-item]
            }
            for row in results.overall_rows
            if row["label"] == name
        ],
        "verdicts": [{"split": v["split"], "sentence": v["sentence"]} for v in results.verdicts if v["label"] == name],
        "diagnostics": evidence.diagnostics[name],
        "slices": _slices(
            [found for found in labels_last(results.slices) if found.label == name], [metric_label(m) for m in metrics]
        ),
        "worst": evidence.worst[name],
        "importance": importance_of(results.truth["important"], name),
        "dependences": [one for one in results.truth["dependences"] if one["label"] == name],
        "rows": [one for one in results.truth["worst_rows"] if one["label"] == name],
        "attributions": next((one for one in results.truth["attributions"] if one["label"] == name), None),
        # As for `folds`.
        **({"odd_rows": results.odd_rows} if results.odd_rows else {}),  # type: ignore[typeddict-item]
    }


def _slices(tables: Sequence[SliceTable], metrics: Sequence[str]) -> list[SliceSet]:
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


def _slice_set(found: SliceTable, split: str, rows: list[int], cap: int, metrics: Sequence[str]) -> SliceSet:
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
            name: {
                end: [short(v) for v in table[column].to_pylist()]
                for end, column in (("value", name), *((end, f"{name}: {end}") for end in BESIDE))
                if column in table.column_names  # runs of before have no constants of slices
            }
            for name in metrics
        },
    }


def short(value: float | None) -> float | None:
    """A number with as many digits as a page needs, None for what is none."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{SIGNIFICANT_DIGITS}g}")
