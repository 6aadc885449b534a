"""What the sections of the page show, worked out of a summary: plain data for the templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

from markupsafe import Markup, escape

from cengine.metrics.verdicts import BETTER, NOISE, PCA, WORSE, YARDSTICKS, against, level_of
from cengine.reports import formats, slicing
from cengine.reports.summary import OverallMetric
from cengine.reports.training import CurvePoint

if TYPE_CHECKING:
    from cengine.evaluation.diagnostics import Confusion
    from cengine.evaluation.drift import DescribedColumn
    from cengine.evaluation.importance import Importance
    from cengine.evaluation.search import WorstSlice
    from cengine.preprocess.describe import Bars, Shown, SplitStatistics
    from cengine.reports.summary import LabelSummary, MetricFacts, Summary
    from cengine.reports.training import Curves

MAX_WIDTH = 100.0
DRAWN = (300.0, 64.0)  # width and height of a small histogram
LEVELS = {"strong": 0, "moderate": 1, "same": 2}
_ENDS: tuple[Literal["low", "high", "value", "rest"], ...] = ("low", "high", "value", "rest")
_FIGURES: tuple[Literal["mean", "deviation", "minimum", "maximum"], ...] = ("mean", "deviation", "minimum", "maximum")


class OverallRow(OverallMetric):
    """A metric of the overall table; `difference` is this run's less that of the run beside it."""

    told: MetricFacts | None
    theirs: float | None
    difference: float | None
    better: bool | None


class SeriesPoint(CurvePoint):
    """A point of a chart's line."""

    series: str


class CurveGroup(TypedDict):
    """The points of one chart."""

    name: str
    points: list[SeriesPoint]


class ConfusionCell(TypedDict):
    """Rows of a true class with the same prediction: their share of the class, one of nine shades, whether it is right."""

    count: int
    share: float | None
    heat: int
    right: bool


class Yardstick(TypedDict):
    """A model beside this one: its key in the rows, and the heading of its column."""

    name: str
    title: str


class Standing(TypedDict):
    """better, worse or noise, in words, with the interval of the difference."""

    how: str
    told: str
    low: float | None
    high: float | None


class ConfusionRow(TypedDict):
    """A true class."""

    name: str
    total: int
    cells: list[ConfusionCell]


class LabelSlicing(TypedDict):
    """The slicing view of a label."""

    label: str
    data: slicing.SlicingData


class StatisticsRow(TypedDict):
    """A line of statistics, a text a split."""

    name: str
    told: list[str]


class RowsOfValue(TypedDict):
    """The rows of a split that have a value."""

    num_rows: int
    share: float


class TopValue(TypedDict):
    """A common value, and its rows by split."""

    value: Shown
    splits: dict[str, RowsOfValue]


def label_named(summary: Summary | None, name: str) -> LabelSummary | None:
    """The label of a summary that has this name."""
    return next((label for label in (summary["labels"] if summary else []) if label["name"] == name), None)


def overall_rows(label: LabelSummary, other: LabelSummary | None) -> list[OverallRow]:
    """The overall table: a row a metric and split; `theirs` and `difference` (this less the other) where a second run has it."""
    better = {metric["name"]: metric["higher_is_better"] for metric in label["metrics"]}
    told = {metric["name"]: metric for metric in label["metrics"]}
    theirs = {(row["split"], row["metric"]): row for row in (other["overall"] if other else [])}
    rows: list[OverallRow] = []
    for row in label["overall"]:
        beside = theirs.get((row["split"], row["metric"]))
        difference = None
        if beside is not None and row["model"] is not None and beside["model"] is not None:
            difference = row["model"] - beside["model"]
        rows.append(
            {
                **row,
                "told": told.get(row["metric"]),
                "theirs": beside["model"] if beside else None,
                "difference": difference,
                "better": (difference > 0) == better.get(row["metric"], False)
                if difference and _has_best_end(label, row["metric"])
                else None,
            }
        )
    return rows


def yardsticks(label: LabelSummary) -> list[Yardstick]:
    """The models beside this one that a metric was measured of; an earlier evaluation has none."""
    known = [name for name in YARDSTICKS if any(row.get(name) is not None for row in label["overall"])]
    told = {name: YARDSTICKS[name].removeprefix("a ") for name in known}
    return [{"name": name, "title": "PCA" if name == PCA else what.capitalize()} for name, what in told.items()]


def standing(label: LabelSummary, row: OverallRow, yardstick: str) -> Standing | None:
    """How the model stands against a yardstick in a metric, None where that cannot be told, as of a coverage that no yardstick has to beat."""
    how = against(row, yardstick, _is_higher_better(label, row["metric"]))
    if how is None or not _has_best_end(label, row["metric"]):
        return None
    low, high = (cast("float | None", row.get(f"{yardstick}_{end}")) for end in ("low", "high"))
    told = {BETTER: "the model is better", WORSE: "the model is worse", NOISE: "within noise"}[how]
    return {"how": how, "told": told, "low": low, "high": high}


def _is_higher_better(label: LabelSummary, metric: str) -> bool:
    return next((one["higher_is_better"] for one in label["metrics"] if one["name"] == metric), False)


def _has_best_end(label: LabelSummary, metric: str) -> bool:
    return next((one.get("has_best_end", True) for one in label["metrics"] if one["name"] == metric), True)


def verdict_level(label: LabelSummary, split: str) -> str:
    """How the primary metric of a split stands against the constant and the linear model: good, hardly or bad."""
    row = next((row for row in label["overall"] if row["split"] == split), None)
    if row is None:
        return "none"
    return level_of(row, _is_higher_better(label, row["metric"]))


def curve_groups(curves: Curves) -> list[CurveGroup]:
    """Groups of points that share a chart: the loss with the running loss, then each metric."""
    groups: dict[str, list[SeriesPoint]] = {}
    for point in curves["points"]:
        running = point["name"] == "running_loss"
        series = f"{point['split']}, while training" if running else point["split"]
        groups.setdefault("loss" if running else point["name"], []).append({**point, "series": series})
    names = sorted(groups, key=lambda name: name != "loss")
    # The running loss comes last, so that train and eval have the same colours in every chart.
    return [
        {"name": name, "points": sorted(groups[name], key=lambda point: point["name"] == "running_loss")}
        for name in names
    ]


def confusion_rows(confusion: Confusion) -> list[ConfusionRow]:
    """The confusion matrix: for each true class its rows and cells with count, share of the row, and one of nine shades."""
    rows: list[ConfusionRow] = []
    for place, (name, counts) in enumerate(zip(confusion["classes"], confusion["counts"], strict=True)):
        total = sum(counts)
        cells: list[ConfusionCell] = [
            {
                "count": count,
                "share": count / total if total else None,
                "heat": _heat(count / total if total else 0.0),
                "right": place == k,
            }
            for k, count in enumerate(counts)
        ]
        rows.append({"name": name, "total": total, "cells": cells})
    return rows


def _heat(share: float) -> int:
    return 0 if share == 0 else 1 + min(8, int(share * 9))


def interval_places(slices: Sequence[WorstSlice]) -> list[dict[str, float]]:
    """Where the interval, the value and the rest's value of each slice stand, in per cent of the width of the drawing."""
    ends = [s[key] for s in slices for key in _ENDS if s[key] is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    reach = (high - low) or 1.0

    def place(value: float | None) -> float:
        return round(MAX_WIDTH * ((low if value is None else value) - low) / reach, 2)

    return [
        {
            "low": place(s["low"] if s["low"] is not None else s["value"]),
            "high": place(s["high"] if s["high"] is not None else s["value"]),
            "value": place(s["value"]),
            "rest": place(s["rest"]),
        }
        for s in slices
    ]


def importance_places(features: Sequence[Importance]) -> list[dict[str, float]]:
    """Where the interval and the value of each feature stand beside 0, in per cent of the width of the drawing."""
    ends = [end for one in features for end in (one["low"], one["high"], 0.0) if end is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    reach = (high - low) or 1.0
    told: list[dict[str, float | None]] = [
        {"low": one["low"], "high": one["high"], "value": one["value"], "rest": 0.0} for one in features
    ]
    return [
        {name: round(MAX_WIDTH * ((low if end is None else end) - low) / reach, 2) for name, end in one.items()}
        for one in told
    ]


def slicing_of(summary: Summary, other: Summary | None) -> list[LabelSlicing]:
    """The data of the slicing view of each label that has slices, with the label's name."""
    several = len(summary["labels"]) > 1
    names = tuple(f"run {run['run']['key']}" for run in (summary, other) if run)
    found: list[LabelSlicing] = []
    for label in summary["labels"]:
        if label["slices"]:
            found.append(
                {
                    "label": label["name"],
                    "data": slicing.slicing_data(label, label_named(other, label["name"]), names, several=several),
                }
            )
    return found


def run_name(summary: Summary) -> str:
    """A run as a person calls it: `birth_year 1:2`."""
    return f"{summary['pipeline']['name']} {summary['run']['key']}"


def columns_in_order(columns: Sequence[DescribedColumn]) -> list[DescribedColumn]:
    """Columns with drift first, the strongest of them before the others; otherwise in the table's order."""
    return sorted(columns, key=lambda column: LEVELS[drift_level(column) or "same"])


def drift_level(column: DescribedColumn) -> str | None:
    """The strongest drift of any split, or None where drift was not looked for."""
    drift = column.get("drift")
    splits = ((drift and drift.get("splits")) or {}).values()
    return min((split["level"] for split in splits), key=LEVELS.__getitem__, default=None)


def drawn_histogram(histogram: Bars, told: str | None = None) -> Markup:
    """A small histogram as SVG, with `told` for screen readers; the page draws many, so no script is needed for them."""
    # Markup's own `format` takes longer than all else here: what stands in the paths are our numbers, and only `told` is to be escaped.
    paths = "".join(
        f'<path class="split-{place % 4}" d="{found["path"]}"/>'
        for place, found in enumerate(histogram_paths(histogram))
    )
    spoken = f'role="img" aria-label="{escape(told)}"' if told else 'aria-hidden="true"'
    return Markup(
        f'<svg viewBox="0 -1 {DRAWN[0]:g} {DRAWN[1] + 2:g}" preserveAspectRatio="none" {spoken}>{paths}</svg>'
    )


def statistics_rows(column: DescribedColumn) -> list[StatisticsRow]:
    """The statistics of a column as lines of text, a text a split; lines that no split has are left out."""
    splits = list(column["splits"].values())
    rows: list[StatisticsRow] = [
        {"name": "rows", "told": [formats.number(split["num_rows"]) for split in splits]},
        {"name": "missing", "told": [_with_share(split["num_nulls"], split["num_rows"]) for split in splits]},
        {"name": "distinct values", "told": [_distinct(split) for split in splits]},
    ]
    for figure in _FIGURES:
        rows.append({"name": figure, "told": [_number(split.get(figure), column, figure) for split in splits]})
    levels = dict.fromkeys(level for split in splits for level in split.get("quantiles") or {})
    for level in sorted(levels, key=float):
        name = "median" if float(level) == 0.5 else f"{formats.percent(float(level), 0)} are below"
        told = [_number((split.get("quantiles") or {}).get(level), column, name) for split in splits]
        rows.append({"name": name, "told": told})
    return [row for row in rows if any(text != formats.MISSING for text in row["told"])]


def _number(value: Shown | None, column: DescribedColumn, name: str) -> str:
    # A deviation of times is a span, not a time.
    return formats.at(value, column if name != "deviation" else None)


def _distinct(split: SplitStatistics) -> str:
    if split.get("num_distinct") is None:
        return formats.MISSING
    return ("" if split.get("distinct_exact", True) else "about ") + formats.number(split["num_distinct"])


def _with_share(num_rows: int | None, total: int) -> str:
    if not num_rows or not total:
        return formats.number(num_rows)
    return f"{formats.number(num_rows)} ({formats.percent(num_rows / total, 2)})"


def shape(column: DescribedColumn) -> Bars | None:
    """What the line of a column draws: its histogram, or its commonest categories one beside the other."""
    if histogram := column.get("histogram"):
        return histogram
    categories = column.get("categories")
    if not categories or not categories["values"]:
        return None
    return {"edges": [float(k) for k in range(len(categories["values"]) + 1)], "counts": categories["counts"]}


def judged_columns(columns: Sequence[DescribedColumn]) -> list[DescribedColumn]:
    """Columns whose drift was looked for."""
    return [column for column in columns if drift_level(column) is not None]


def histogram_paths(histogram: Bars) -> list[dict[str, str]]:
    """The outline of each split's histogram as an SVG path, in shares of the split so that splits compare."""
    edges, width, height = histogram["edges"], *DRAWN
    reach = (edges[-1] - edges[0]) or 1.0
    places = [width * (edge - edges[0]) / reach for edge in edges]
    shares = {split: [count / (sum(counts) or 1) for count in counts] for split, counts in histogram["counts"].items()}
    highest = max((share for found in shares.values() for share in found), default=0.0) or 1.0
    paths = []
    for split, found in shares.items():
        steps = "".join(f"V{height * (1 - share / highest):.1f}H{places[k + 1]:.1f}" for k, share in enumerate(found))
        paths.append({"split": split, "path": f"M0 {height:g}{steps}V{height:g}"})
    return paths


def top_values(column: DescribedColumn) -> list[TopValue]:
    """The commonest values over all splits: for each its rows and share by split (None where it is not among that split's)."""
    found: dict[tuple[str, Any], TopValue] = {}
    for split, told in column["splits"].items():
        for value, num_rows in told.get("top") or []:
            entry = found.setdefault((type(value).__name__, value), {"value": value, "splits": {}})
            entry["splits"][split] = _rows_of(num_rows, told)
    categories = column.get("categories") or {"values": [], "counts": {}}
    for split, counts in categories["counts"].items():
        for value, num_rows in zip(categories["values"], counts, strict=True):
            if (type(value).__name__, value) in found:
                found[type(value).__name__, value]["splits"].setdefault(
                    split, _rows_of(num_rows, column["splits"][split])
                )
    return list(found.values())


def _rows_of(num_rows: int, split: SplitStatistics) -> RowsOfValue:
    return {"num_rows": num_rows, "share": num_rows / split["num_rows"] if split["num_rows"] else 0.0}
