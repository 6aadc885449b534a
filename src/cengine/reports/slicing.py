"""The slices of a summary as the slicing view's script reads them: short numbers, and not more of them than a page bears."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from cengine.reports.summary import LabelSummary, MetricFacts, Slices, SliceSet

# 8 characters each: with the rest of a page this stays under 6 MB.
MAX_NUMBERS = 450_000
VALUE_DIGITS, INTERVAL_DIGITS = 7, 5


class RunMetric(TypedDict):
    """A metric of a run over all rows of a split."""

    split: str
    metric: str
    model: float | None
    low: float | None
    high: float | None
    num_rows: int


class SlicedRun(TypedDict):
    """A label of one run."""

    name: str
    overall: list[RunMetric]
    sets: list[Slices]


class SlicingData(TypedDict):
    """A label of one run, or of two beside each other."""

    label: str | None
    metrics: list[MetricFacts]
    runs: list[SlicedRun]


def slicing_data(
    label: LabelSummary, other: LabelSummary | None, names: Sequence[str], *, several: bool = False
) -> SlicingData:
    """What the view of one label shows; `other` is the same label of a second run, `names` are those of the runs.

    Where there are `several` labels their names stand in the view's captions.
    """
    runs = [label] if other is None else [label, other]
    cap = _cap([found for run in runs for found in run["slices"]])
    return {
        "label": label["name"] if several else None,
        "metrics": [
            {
                "name": metric["name"],
                "unit": metric["unit"],
                "higher_is_better": metric["higher_is_better"],
                "has_best_end": metric.get("has_best_end", True),
                "description": metric["description"],
            }
            for metric in label["metrics"]
        ],
        "runs": [
            {"name": name, "overall": _overall(run), "sets": [_set(found, cap) for found in run["slices"]]}
            for name, run in zip(names, runs, strict=False)
        ],
    }


def _overall(label: LabelSummary) -> list[RunMetric]:
    return [
        {
            "split": row["split"],
            "metric": row["metric"],
            "model": row["model"],
            "low": row["low"],
            "high": row["high"],
            "num_rows": row["num_rows"],
        }
        for row in label["overall"]
    ]


def _cap(sets: list[SliceSet]) -> int:
    """How many slices of a set are carried so that all together are bearable."""
    cap = max((len(found["num_rows"]) for found in sets), default=0)
    while sum(min(len(found["num_rows"]), cap) * _width(found) for found in sets) > MAX_NUMBERS:
        cap = cap * 3 // 4
    return cap


def _width(found: SliceSet) -> int:
    return len(found["columns"]) + 1 + 4 * len(found["metrics"])


def _set(found: SliceSet, cap: int) -> Slices:
    num_slices = len(found["num_rows"])
    kept = (
        sorted(sorted(range(num_slices), key=lambda i: -found["num_rows"][i])[:cap])
        if num_slices > cap
        else range(num_slices)
    )
    return {
        "columns": found["columns"],
        "split": found["split"],
        "num_left_out": found["num_left_out"] + num_slices - len(kept),
        "values": [[column[i] for i in kept] for column in found["values"]],
        "num_rows": [found["num_rows"][i] for i in kept],
        "metrics": {
            name: {
                end: [_short(numbers[i], VALUE_DIGITS if end == "value" else INTERVAL_DIGITS) for i in kept]
                for end, numbers in values.items()
            }
            for name, values in found["metrics"].items()
        },
    }


def _short(value: float | None, digits: int) -> float | None:
    if value is None or isinstance(value, int):
        return value
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short
