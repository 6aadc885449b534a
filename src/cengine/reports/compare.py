"""A comparison of finished runs as plain data, with the sentences that say what is noise; and its page.

`difference` is the run's metric less the reference's, over the rows that both evaluated; `here` and `there` are both over
these rows. `verdict` is better, worse, noise, same, unknown (too few rows to tell) or no rows; of a metric that has
no best end higher or lower.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from cengine.evaluation.baselines import BesideConstant
from cengine.evaluation.paired import Difference
from cengine.reports.formats import number, run_name
from cengine.reports.settings import Differing, differing

if TYPE_CHECKING:
    from cengine.config.flatten import FlatSetting
    from cengine.reports.summary import Ends, MetricFacts

VERSION = 1
# From so many pairs on it is said that some look different by chance.
MANY_PAIRS = 5


class DataFacts(TypedDict):
    """The rows that a run read."""

    datasource: str
    snapshot: int
    rows: int


class ComparedRun(TypedDict):
    """A run that is compared."""

    key: str
    pipeline: str
    number: int
    started_at: str
    seconds: float
    data: DataFacts


class LeftOut(TypedDict):
    """What is not compared, and why."""

    name: str
    reason: str


class Alone(TypedDict):
    """A label that one run only has."""

    label: str
    task: str
    run: str


class Against(TypedDict):
    """How a run's metric differs from the reference's."""

    run: str
    here: float | None
    there: float | None
    difference: float | None
    low: float | None
    high: float | None
    verdict: str
    told: str
    sentence: str


class ComparedMetric(BesideConstant):
    """A run's metric; `against` is None for the reference itself."""

    best: bool
    against: Against | None


class RunOfSplit(TypedDict):
    """What a run reached on a split."""

    run: str
    num_rows: int
    num_common: int | None
    metrics: dict[str, ComparedMetric]


class ComparedSplit(TypedDict):
    """The runs on one split, best first."""

    name: str
    reference: str
    runs: list[RunOfSplit]


class SlicesOfRun(TypedDict):
    """What a run reached in each slice of a set, None where it has no such slice."""

    num_rows: list[int | None]
    metrics: dict[str, Ends]


class ComparedSlices(TypedDict):
    """A set of slices of one split, with the runs by their keys."""

    columns: list[str]
    split: str
    num_slices: int
    num_left_out: int
    values: list[list[Any]]
    runs: dict[str, SlicesOfRun]


class ComparedLabel(TypedDict):
    """The runs that predict a label."""

    name: str
    task: str
    runs: list[str]
    metrics: list[MetricFacts]
    splits: list[ComparedSplit]
    slices: list[ComparedSlices]


class Comparison(TypedDict):
    """Finished runs side by side; see above for what `labels` say."""

    version: int
    runs: list[ComparedRun]
    left_out: list[LeftOut]
    labels: list[ComparedLabel]
    alone: list[Alone]
    note: str | None
    differing: list[Differing]


class Reached(TypedDict):
    """What a run reached on a split, by metric."""

    num_rows: int
    metrics: dict[str, BesideConstant]


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run beside its metrics; `settings` are those of `config/flatten.py` and of the data."""

    key: str
    pipeline: str
    number: int
    started_at: str
    seconds: float
    data: DataFacts
    settings: list[FlatSetting]


@dataclass
class LabelFacts:
    """What the runs of one label reached: `values` by split and run, `differences` and `num_common` by split and run.

    `references` has the run that the others of a split are compared with.
    """

    name: str
    task: str
    runs: list[str]
    metrics: list[MetricFacts]
    values: dict[str, dict[str, Reached]] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    differences: dict[tuple[str, str], list[Difference]] = field(default_factory=dict)
    num_common: dict[tuple[str, str], int] = field(default_factory=dict)
    slices: list[ComparedSlices] = field(default_factory=list)

    def choose_references(self, wanted: str | None) -> None:
        """The wanted run where it has the split, else the best one by the first metric."""
        for split, of_runs in self.values.items():
            best = sorted(best_runs(of_runs, self.metrics[0]), key=self.runs.index)
            self.references[split] = wanted if wanted in of_runs else next(iter([*best, *of_runs]))


def best_runs(of_runs: Mapping[str, Reached], metric: MetricFacts) -> set[str]:
    """The runs whose metric is best, several where they are equal; none where a metric has no best end."""
    values = {key: found["metrics"][metric["name"]]["model"] for key, found in of_runs.items()}
    known = {key: value for key, value in values.items() if value is not None and math.isfinite(value)}
    if not known or not metric.get("has_best_end", True):
        return set()
    best = max(known.values()) if metric["higher_is_better"] else min(known.values())
    return {key for key, value in known.items() if value == best}


def compared(
    runs: Sequence[RunFacts],
    labels: Sequence[LabelFacts],
    alone: Sequence[Alone],
    left_out: Sequence[LeftOut],
) -> Comparison:
    """The comparison; numbers that are not finite are for `summary.plain` to make null."""
    names = {run.key: run_name(run.pipeline, run.key) for run in runs}
    num_pairs = len({(label.references[split], key) for label in labels for split, key in label.differences})
    return {
        "version": VERSION,
        "runs": [
            {
                "key": r.key,
                "pipeline": r.pipeline,
                "number": r.number,
                "started_at": r.started_at,
                "seconds": r.seconds,
                "data": r.data,
            }
            for r in runs
        ],
        "left_out": list(left_out),
        "labels": [_label(label, names) for label in labels],
        "alone": list(alone),
        "note": _note(num_pairs),
        "differing": differing({run.key: run.settings for run in runs}),
    }


def sentence(found: Difference, metric: MetricFacts, verdict: str, here: str, there: str, rest: str) -> str:
    """What a difference means, as a person says it; `rest` tells of rows that are not compared."""
    name, split = metric["name"], found.split
    unit = _unit(metric)
    if verdict == "unknown":
        return f"{split}: whether the {name} of {here} and {there} differs by more than noise cannot be told from {_rows(found.num_rows)}.{rest}"
    if verdict == "same":
        return f"{split}: {here} and {there} have the same {name}.{rest}"
    if verdict == "noise":
        size, ends = _short(abs(found.difference)), f"{_short(found.low)} to {_short(found.high)}"
        return f"{split}: the {name} of {here} and {there} differs by {size}{unit} ({ends}), which is within the noise of the {split} sample.{rest}"
    low, size, high = (_short(value) for value in sorted(map(abs, (found.low, found.difference, found.high))))
    direction = "higher" if found.difference > 0 else "lower"
    if verdict == direction:
        return f"{split}: the {name} of {here} is {direction} than that of {there}, by {size}{unit} ({low} to {high}).{rest}"
    return f"{split}: {here} is {verdict} than {there}, its {name} {direction} by {size}{unit} ({low} to {high}).{rest}"


def verdict_of(found: Difference, higher_is_better: bool, *, has_best_end: bool = True) -> str:
    """better, worse, noise, same or unknown; without a best end higher or lower."""
    if not math.isfinite(found.low) or not math.isfinite(found.high):
        return "unknown"
    if found.difference == found.low == found.high == 0:
        return "same"
    if found.low <= 0 <= found.high:
        return "noise"
    if not has_best_end:
        return "higher" if found.difference > 0 else "lower"
    return "better" if (found.difference > 0) == higher_is_better else "worse"


def page(comparison: Comparison, *, cache: Path) -> str:
    """The page of a comparison."""
    from cengine.reports.compare_charts import axis_choices, parallel_spec, slices_spec
    from cengine.reports.html import render

    choices = axis_choices(comparison)
    return render(
        "compare.html",
        cache=cache,
        comparison=comparison,
        choices=choices,
        slices_spec=slices_spec(),
        parallel_spec=parallel_spec(),
    )


def _label(label: LabelFacts, names: Mapping[str, str]) -> ComparedLabel:
    splits: list[ComparedSplit] = []
    for split, of_runs in label.values.items():
        best = {metric["name"]: best_runs(of_runs, metric) for metric in label.metrics}
        runs: list[RunOfSplit] = []
        for key in _best_first([key for key in label.runs if key in of_runs], of_runs, label.metrics[0]):
            found = {d.metric: d for d in label.differences.get((split, key), [])}
            metrics: dict[str, ComparedMetric] = {
                metric["name"]: {
                    **of_runs[key]["metrics"][metric["name"]],
                    "best": key in best[metric["name"]],
                    "against": _against(label, split, key, metric, found.get(metric["name"]), names),
                }
                for metric in label.metrics
            }
            runs.append(
                {
                    "run": key,
                    "num_rows": of_runs[key]["num_rows"],
                    "num_common": label.num_common.get((split, key)),
                    "metrics": metrics,
                }
            )
        splits.append({"name": split, "reference": label.references[split], "runs": runs})
    return {
        "name": label.name,
        "task": label.task,
        "runs": label.runs,
        "metrics": label.metrics,
        "splits": splits,
        "slices": label.slices,
    }


def _best_first(keys: Sequence[str], of_runs: Mapping[str, Reached], metric: MetricFacts) -> list[str]:
    def rank(key: str) -> float:
        value = of_runs[key]["metrics"][metric["name"]]["model"]
        if value is None or not math.isfinite(value):
            return math.inf
        return -value if metric["higher_is_better"] else value

    return sorted(keys, key=rank)


def _against(
    label: LabelFacts,
    split: str,
    key: str,
    metric: MetricFacts,
    found: Difference | None,
    names: Mapping[str, str],
) -> Against | None:
    reference = label.references[split]
    if key == reference:
        return None
    here, there = names[key], names[reference]
    if found is None:
        told = f"{split}: there is no row that both {here} and {there} evaluated, so that nothing can be said."
        return {
            "run": reference,
            "here": None,
            "there": None,
            "difference": None,
            "low": None,
            "high": None,
            "verdict": "no rows",
            "told": "no common rows",
            "sentence": told,
        }
    verdict = verdict_of(found, metric["higher_is_better"], has_best_end=metric.get("has_best_end", True))
    rest = _rest(label, split, key, here, there)
    return {
        "run": reference,
        "here": found.second,
        "there": found.first,
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "verdict": verdict,
        "told": _told(found, verdict),
        "sentence": sentence(found, metric, verdict, here, there, rest),
    }


def _told(found: Difference, verdict: str) -> str:
    """What a difference means, for a table: worse by 0.31 (0.29 to 0.33)."""
    if verdict in ("better", "worse", "higher", "lower"):
        low, size, high = (_short(value) for value in sorted(map(abs, (found.low, found.difference, found.high))))
        return f"{verdict} by {size} ({low} to {high})"
    if verdict == "noise":
        return f"within noise: {_short(found.difference)} ({_short(found.low)} to {_short(found.high)})"
    return {"same": "the same", "unknown": "too few rows to tell"}[verdict]


def _rest(label: LabelFacts, split: str, key: str, here: str, there: str) -> str:
    """Which rows are not compared, where the two did not evaluate the same ones."""
    common = label.num_common[split, key]
    of_here, of_there = (label.values[split][run]["num_rows"] - common for run in (key, label.references[split]))
    if not of_here and not of_there:
        return ""
    return f" Compared over the {_rows(common)} that both evaluated; {of_here:,} of {here} and {of_there:,} of {there} are not comparable."


def _short(value: float) -> str:
    return number(float(f"{value:.3g}"))


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def _unit(metric: MetricFacts) -> str:
    return {"%": " %", "nats": " nats"}.get(metric["unit"], "")


def _note(num_pairs: int) -> str | None:
    if num_pairs < MANY_PAIRS:
        return None
    return (
        f"Each interval is for one pair of runs: of pairs that do not differ 1 in 20 looks as if it did, and these are {num_pairs}. "
        "The best of many runs is a little flattered."
    )
