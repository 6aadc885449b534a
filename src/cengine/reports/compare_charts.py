"""Vega-Lite specs of a comparison, and what its scripts put into them: field names are fixed, texts of the user are values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

from cengine.reports.charts import HEAT, SERIES, Spec, themed
from cengine.reports.formats import number, run_name
from cengine.reports.settings import Axis, Tick, axes, axis

if TYPE_CHECKING:
    from cengine.reports.compare import ComparedLabel, ComparedSlices, ComparedSplit, Comparison
    from cengine.reports.summary import MetricFacts


class MetricAxis(TypedDict):
    """A metric of a label on a split as an axis; runs without it have no position."""

    path: str
    positions: list[float | None]
    told: list[str]
    ticks: list[Tick]
    title: str


class SlicedLabel(TypedDict):
    """A label's slices, its runs best first."""

    title: str
    num_splits: int
    metrics: list[str]
    runs: list[str]
    sets: list[ComparedSlices]


class Choices(TypedDict):
    """What can be chosen on the page."""

    keys: list[str]
    names: list[str]
    settings: list[Axis]
    metrics: list[MetricAxis]
    labels: list[SlicedLabel]
    has_slices: bool


def axis_choices(comparison: Comparison) -> Choices:
    """What the page's scripts show: runs by `keys` and `names`, `settings` that differ and `metrics` as axes, `labels` with slices.

    Settings of the trainer come first: they are what is mostly tried.
    """
    keys = [run["key"] for run in comparison["runs"]]
    rows = sorted(comparison["differing"], key=lambda row: not row["path"].startswith("trainer."))
    labels = [label for label in comparison["labels"] if label["slices"]]
    return {
        "keys": keys,
        "names": [run_name(run["pipeline"], run["key"]) for run in comparison["runs"]],
        "settings": axes(keys, rows),
        "metrics": [_metric_axis(keys, *part) for part in _metrics(comparison)],
        "labels": [_sliced(label) for label in labels],
        "has_slices": bool(labels),
    }


def slices_spec() -> Spec:
    """A metric by slice: a dot and its interval for each run, beside each other.

    Fields: slice, run, value, low, high, num_rows. The script sets the height, and the runs' colours.
    """
    axis_ = {"labelLimit": 260, "ticks": False, "domain": False, "grid": True, "tickBand": "extent"}
    y = {
        "field": "slice",
        "type": "nominal",
        "sort": None,
        "title": None,
        "axis": axis_,
        "scale": {"paddingOuter": 0, "paddingInner": 0.1},
    }
    offset = {"field": "run", "type": "nominal", "sort": None}
    color = {
        "field": "run",
        "type": "nominal",
        "sort": None,
        "legend": {"orient": "top", "title": None, "columns": 4, "labelLimit": 220},
    }
    x = {
        "type": "quantitative",
        "scale": {"zero": False, "nice": True},
        "title": None,
        "axis": {"orient": "top", "tickCount": 6},
    }
    interval = {
        "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.7},
        "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y, "yOffset": offset, "color": color},
    }
    told = [
        _told("slice"),
        _told("run"),
        _told("value", ",.6~g"),
        _told("low", ",.5~g"),
        _told("high", ",.5~g"),
        _told("num_rows", ",", "rows"),
    ]
    dots = {
        "mark": {"type": "point", "filled": True, "size": 42, "opacity": 1},
        "encoding": {"x": {**x, "field": "value"}, "y": y, "yOffset": offset, "color": color, "tooltip": told},
    }
    return themed({"data": {"name": "slices", "values": []}, "height": 100, "layer": [interval, dots]})


def parallel_spec() -> Spec:
    """Parallel coordinates (Inselberg 1985): an axis for each setting, the last the metric, a line for each run.

    Data sets: `points` (run, name, axis, position, title, told, metric: where the run is on the last axis), `dots` (the
    same, or none where they are too many to be told apart), `ticks` (axis, position, told), `axes` (axis, lines: the
    title, a line each). The signal `picked` is the run that stands out.
    """
    # Room for the ticks of the first axis, and for the title of the last.
    of_axes = {"nice": False, "zero": False, "range": [100, {"expr": "width - 50"}]}
    x = {"field": "axis", "type": "quantitative", "axis": None, "scale": of_axes}
    y = {"type": "quantitative", "axis": None, "scale": {"domain": [-0.03, 1.03], "nice": False}}
    rules, *texts = _axis_layers(x, y)
    return themed(
        {
            "width": 600,
            "height": 340,
            "autosize": "none",
            "padding": {"top": 34, "left": 0, "right": 0, "bottom": 8},
            "datasets": {"points": [], "dots": [], "ticks": [], "axes": []},
            "params": [{"name": "picked", "value": ""}],
            "layer": [rules, *_run_layers(x, {**y, "field": "position"}), *texts],
        }
    )


def _run_layers(x: Spec, y: Spec) -> list[Spec]:
    """A line and dots for each run, coloured by its metric; the one that is picked before the others."""
    picked, none = "picked === datum.run", "picked === ''"
    # Colours are CSS variables, between which nothing can be interpolated.
    of_metric = {"type": "quantize", "domain": [0, 1], "range": HEAT[4:]}
    stands_out = {"test": picked, "value": SERIES[1]}
    color = {"condition": stands_out, "field": "metric", "type": "quantitative", "scale": of_metric, "legend": None}
    opacity = {"condition": [{"test": picked, "value": 1}, {"test": none, "value": 0.8}], "value": 0.12}
    width = {"condition": {"test": picked, "value": 3.5}, "value": 1.5}
    told = [_told("name", title="run"), _told("title", title="setting"), _told("told", title="value")]
    return [
        {
            "data": {"name": "points"},
            "mark": {"type": "line", "interpolate": "linear", "strokeJoin": "round"},
            "encoding": {
                "x": x,
                "y": y,
                "detail": {"field": "run"},
                "order": {"field": "axis"},
                "stroke": color,
                "opacity": opacity,
                "strokeWidth": width,
            },
        },
        {
            "data": {"name": "dots"},
            "mark": {"type": "point", "filled": True, "size": 70},
            "encoding": {"x": x, "y": y, "fill": color, "opacity": opacity, "tooltip": told},
        },
    ]


def _axis_layers(x: Spec, y: Spec) -> list[Spec]:
    """The axes, their ticks with a halo that keeps them legible over lines, their titles."""
    text = {"type": "text", "align": "right", "dx": -8, "fontSize": 11, "limit": 88}
    ticks = {
        "data": {"name": "ticks"},
        "encoding": {"x": x, "y": {**y, "field": "position"}, "text": {"field": "told"}},
    }
    title = {
        "type": "text",
        "baseline": "top",
        "fontSize": 11,
        "color": "var(--ink)",
        "limit": 130,
        "lineHeight": 13,
        "dy": -24,
    }
    return [
        {
            "data": {"name": "axes"},
            "mark": {"type": "rule", "color": "var(--line)", "strokeWidth": 1.5},
            "encoding": {"x": x, "y": {**y, "datum": 0}, "y2": {"datum": 1}},
        },
        {
            **ticks,
            "mark": {**text, "color": "var(--paper)", "stroke": "var(--paper)", "strokeWidth": 4, "opacity": 0.85},
        },
        {**ticks, "mark": {**text, "color": "var(--muted)"}},
        {
            "data": {"name": "axes"},
            "mark": title,
            "encoding": {"x": x, "y": {**y, "datum": 1.03}, "text": {"field": "lines"}},
        },
    ]


def _sliced(label: ComparedLabel) -> SlicedLabel:
    """A label's slices, its runs in the order of the primary metric."""
    first, split = label["metrics"][0], label["splits"][0]
    values = {run["run"]: run["metrics"][first["name"]]["model"] for run in split["runs"]}
    sign = -1 if first["higher_is_better"] else 1

    def rank(key: str) -> float:
        value = values.get(key)
        return math.inf if value is None else sign * value

    return {
        "title": label["name"],
        "num_splits": len(label["splits"]),
        "metrics": [metric["name"] for metric in label["metrics"]],
        "runs": sorted(label["runs"], key=rank),
        "sets": label["slices"],
    }


def _metrics(comparison: Comparison) -> list[tuple[ComparedLabel, ComparedSplit, MetricFacts]]:
    return [
        (label, split, metric)
        for label in comparison["labels"]
        for split in label["splits"]
        for metric in label["metrics"]
    ]


def _metric_axis(keys: Sequence[str], label: ComparedLabel, split: ComparedSplit, metric: MetricFacts) -> MetricAxis:
    values = {run["run"]: run["metrics"][metric["name"]]["model"] for run in split["runs"]}
    known = [key for key in keys if values.get(key) is not None]
    placed = axis(metric["name"], [values[key] for key in known])
    positions = dict(zip(known, placed["positions"], strict=True))
    return {
        "path": placed["path"],
        "positions": [positions.get(key) for key in keys],
        "told": [number(values.get(key)) for key in keys],
        "ticks": placed["ticks"],
        "title": f"{metric['name']} of {label['name']} on {split['name']}",
    }


def _told(field: str, format_: str | None = None, title: str | None = None) -> Spec:
    kind = {"type": "quantitative", "format": format_} if format_ else {"type": "nominal"}
    return {"field": field, "title": title or field, **kind}
