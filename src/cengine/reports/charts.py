"""Vega-Lite specs of the page as plain dicts: field names are fixed here, texts of the user are only ever values of the data."""
# ruff: noqa: RUF001  the page writes a true minus, dashes and a cross

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cengine.evaluation.dependence import Dependence
    from cengine.evaluation.diagnostics import PrecisionRecall, PredictedTrue, ReliabilityBin, Residuals, Roc
    from cengine.reports.sections import SeriesPoint

# What Vega-Lite reads, whose grammar is its own.
Spec = dict[str, Any]
# Rows of the data in a spec.
Points = list[dict[str, Any]]

# Colours are CSS variables of page.css, so that a drawn chart follows light, dark and print without being drawn anew.
SERIES = [f"var(--series-{number})" for number in range(1, 9)]
HEAT = [f"var(--heat-{number})" for number in range(1, 10)]
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
HEIGHT = 240
SQUARE = 300
NUM_DIGITS = 7

_CONFIG: Spec = {
    "aria": False,  # the figure has one description; each mark on its own would drown it
    "background": None,
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "titleColor": "var(--muted)",
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 12,
        "gridColor": "var(--grid)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelOverlap": True,
    },
    "legend": {
        "labelColor": "var(--ink)",
        "titleColor": "var(--muted)",
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "labelLimit": 220,
    },
    "header": {"labelColor": "var(--ink)", "titleColor": "var(--muted)"},
    "title": {"color": "var(--ink)", "fontWeight": "normal"},
    "text": {"color": "var(--ink)"},
    "rule": {"color": "var(--line)"},
    "range": {"category": SERIES},
    "bar": {"color": SERIES[0]},
    "line": {"color": SERIES[0]},
    "point": {"color": SERIES[0]},
    "area": {"color": SERIES[0]},
}


def themed(spec: Spec) -> Spec:
    """The spec in the page's fonts and colours, as wide as the place it stands in unless it says otherwise."""
    width = {} if {"width", "hconcat", "vconcat", "concat", "facet"} & spec.keys() else {"width": "container"}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "autosize": {"type": "fit", "contains": "padding"},
        **width,
        **spec,
        "config": _CONFIG | spec.get("config", {}),
    }


def curve(points: Sequence[SeriesPoint], best_step: int | None) -> Spec:
    """Values by step, a line each `series` (such as train and eval); a rule marks the step whose weights were kept."""
    rows = [
        {"step": p["step"], "series": p["series"], "value": _short(p["value"])}
        for p in points
        if p["value"] is not None
    ]
    lines = {
        "data": {"values": rows},
        "mark": {"type": "line", "point": {"size": 18, "filled": True}, "strokeWidth": 1.75},
        "encoding": {
            "x": {
                "field": "step",
                "type": "quantitative",
                "title": "step",
                "axis": {"grid": False, "format": ",d", "tickCount": 5},
            },
            "y": {
                "field": "value",
                "type": "quantitative",
                "title": None,
                "scale": {"zero": False},
                "axis": {"tickCount": 5},
            },
            "color": {"field": "series", "type": "nominal", "sort": None, "legend": {"orient": "top", "title": None}},
            "tooltip": [_told("series"), _told("step", ",d"), _told("value", ",.6~g")],
        },
    }
    best = {
        "data": {"values": [{"step": best_step, "told": "kept"}]},
        "encoding": {"x": {"field": "step", "type": "quantitative"}},
        "layer": [
            {"mark": {"type": "rule", "strokeDash": [4, 3], "color": "var(--muted)"}},
            {
                "mark": {"type": "text", "align": "right", "dx": -4, "y": 8, "color": "var(--muted)", "fontSize": 11},
                "encoding": {"text": {"field": "told"}},
            },
        ],
    }
    return {"height": HEIGHT, "layer": [lines, best] if best_step is not None else [lines]}


def predicted_true(found: PredictedTrue) -> Spec:
    """A heatmap of rows by true (across) and predicted value (up), with the diagonal on which a perfect model lies."""
    across, up = found["true_edges"], found["predicted_edges"]
    starts = _starts(max((count for row in found["counts"] for count in row), default=1))
    bands = [
        *(f"{a:,} – {b - 1:,}" if b - a > 1 else f"{a:,}" for a, b in pairwise(starts)),
        f"{starts[-1]:,} and more",
    ]
    # The scales are those of what is drawn: the diagonal would otherwise stretch a model that says nearly the same for all.
    from_, to = max(across[0], up[0]), min(across[-1], up[-1])
    diagonal = [{"t0": at, "p0": at} for at in ([from_, to] if from_ < to else [])]
    colours = [HEAT[round((len(HEAT) - 1) * (k + 1) / len(bands))] for k in range(len(bands))]
    return {
        "height": 340,
        "layer": [
            {
                "data": {"values": _heat_cells(found, starts, bands)},
                "mark": {"type": "rect"},
                "encoding": {
                    "x": _axis("t0", "true value", grid=False, nice=False),
                    "x2": {"field": "t1"},
                    "y": _axis("p0", "predicted value", grid=False, nice=False),
                    "y2": {"field": "p1"},
                    "color": {
                        "field": "band",
                        "type": "ordinal",
                        "scale": {"domain": bands[::-1], "range": colours[::-1]},
                        "legend": {
                            "title": "rows",
                            "orient": "right",
                            "symbolType": "square",
                            "symbolSize": 180,
                            "symbolStrokeWidth": 0,
                        },
                    },
                    "tooltip": [
                        _told("t0", ",.6~g", "true from"),
                        _told("t1", ",.6~g", "to"),
                        _told("p0", ",.6~g", "predicted from"),
                        _told("p1", ",.6~g", "to"),
                        _told("num_rows", ",", "rows"),
                    ],
                },
            },
            {
                "data": {"values": diagonal},
                "mark": {"type": "line", "strokeDash": [5, 4], "color": "var(--ink)", "strokeWidth": 1},
                "encoding": {
                    "x": {"field": "t0", "type": "quantitative"},
                    "y": {"field": "p0", "type": "quantitative"},
                },
            },
        ],
    }


def _heat_cells(found: PredictedTrue, starts: list[int], bands: list[str]) -> Points:
    """The cells that have rows, each with its corners and the band that its number of rows falls into."""
    across, up = found["true_edges"], found["predicted_edges"]
    cells: Points = []
    for i, row in enumerate(found["counts"]):
        for j, count in enumerate(row):
            if count:
                corners = {
                    "t0": _short(across[i]),
                    "t1": _short(across[i + 1]),
                    "p0": _short(up[j]),
                    "p1": _short(up[j + 1]),
                }
                cells.append({**corners, "num_rows": count, "band": bands[bisect_right(starts, count) - 1]})
    return cells


def residuals(found: Residuals, mean: float | None) -> Spec:
    """A histogram of true minus predicted value; rules at 0 and at the mean."""
    edges = found["edges"]
    bars = [
        {"e0": _short(edges[k]), "e1": _short(edges[k + 1]), "num_rows": count}
        for k, count in enumerate(found["counts"])
    ]
    rules = [{"at": 0.0, "told": "0"}] + ([{"at": _short(mean), "told": "mean"}] if mean is not None else [])
    return {
        "height": 340,
        "layer": [
            {
                "data": {"values": bars},
                "mark": {"type": "bar", "binSpacing": 0.5, "color": SERIES[0]},
                "encoding": {
                    "x": _axis("e0", "true − predicted", grid=False, nice=False) | {"bin": "binned"},
                    "x2": {"field": "e1"},
                    "y": {
                        "field": "num_rows",
                        "type": "quantitative",
                        "title": "rows",
                        "axis": {"format": "~s", "tickCount": 5},
                    },
                    "tooltip": [
                        _told("e0", ",.6~g", "from"),
                        _told("e1", ",.6~g", "to"),
                        _told("num_rows", ",", "rows"),
                    ],
                },
            },
            {
                "data": {"values": rules},
                "mark": {"type": "rule", "strokeWidth": 1.5, "clip": True},
                "encoding": {
                    "x": {"field": "at", "type": "quantitative"},
                    "color": {
                        "field": "told",
                        "type": "nominal",
                        "sort": None,
                        "scale": {"range": ["var(--ink)", SERIES[1]]},
                        "legend": {"title": None, "orient": "top", "symbolType": "stroke"},
                    },
                },
            },
        ],
    }


def roc(found: Roc) -> Spec:
    """True positive rate by false positive rate; the diagonal is guessing."""
    points = _points(found["false_positive_rate"], found["true_positive_rate"], found["threshold"])
    guess = [{"x": 0, "y": 0}, {"x": 1, "y": 1}]
    return _shares(points, "false positive rate", "true positive rate", guess)


def precision_recall(found: PrecisionRecall, share: float) -> Spec:
    """Precision by recall; the dashed line is the share of the class, which guessing reaches."""
    points = _points(found["recall"], found["precision"], found["threshold"])
    return _shares(points, "recall", "precision", [{"x": 0, "y": _short(share)}, {"x": 1, "y": _short(share)}])


def reliability(bins: Sequence[ReliabilityBin]) -> Spec:
    """The share that is so, by what the model predicts, with 95 % intervals; on the diagonal a probability means what it says."""
    points = [
        {
            "x": _short(b["mean_predicted"]),
            "y": _short(b["share"]),
            "low": _short(b["share_low"]),
            "high": _short(b["share_high"]),
            "num_rows": b["num_rows"],
            "order": k,
        }
        for k, b in enumerate(bins)
    ]
    spec = _shares(
        points, "predicted probability", "share in truth", [{"x": 0, "y": 0}, {"x": 1, "y": 1}], extra="num_rows"
    )
    interval = {
        "data": {"values": points},
        "mark": {"type": "rule", "color": SERIES[0], "strokeWidth": 1.5},
        "encoding": {
            "x": {"field": "x", "type": "quantitative"},
            "y": {"field": "low", "type": "quantitative"},
            "y2": {"field": "high"},
        },
    }
    spec["layer"].append(interval)
    spec["layer"][1]["mark"]["point"] = {"size": 36, "filled": True}
    return spec


def dependence(found: Dependence) -> Spec:
    """Mean prediction by a feature's value: a line over numbers, points over other values."""
    title = "prediction" if found["outputs"] == [""] else "probability"
    points = [
        {"x": value, "y": _short(mean), "output": output}
        for output, means in zip(found["outputs"], found["means"], strict=True)
        for value, mean in zip(found["values"], means, strict=True)
    ]
    measured = found["kind"] in ("integer", "float")
    kind: Spec = {"type": "quantitative", "scale": {"zero": False}} if measured else {"type": "ordinal", "sort": None}
    several = len(found["outputs"]) > 1
    colour: Spec = {"field": "output", "type": "nominal", "title": None, "sort": None, "scale": {"range": SERIES}}
    told = [
        _told("x", title="value"),
        *([_told("output", title="class")] if several else []),
        _told("y", ".4~g", title),
    ]
    return {
        "data": {"values": points},
        "width": "container",
        "height": HEIGHT,
        "mark": {"type": "line", "point": True} if measured else {"type": "point", "filled": True, "size": 60},
        "encoding": {
            "x": {"field": "x", "title": None, "axis": {"labelLimit": 120}, **kind},
            "y": {"field": "y", "type": "quantitative", "title": title, "scale": {"zero": False}},
            "color": colour if several else {"value": SERIES[0]},
            "tooltip": told,
        },
    }


def _points(x: Sequence[float], y: Sequence[float], thresholds: Sequence[float | None]) -> Points:
    # A threshold above all scores (infinity, so null) is the corner where nothing is called positive.
    return [
        {"order": k, "x": _short(a), "y": _short(b), "threshold": _short(at)}
        for k, (a, b, at) in enumerate(zip(x, y, thresholds, strict=True))
    ]


def _shares(points: Points, x: str, y: str, guess: Points, *, extra: str = "threshold") -> Spec:
    scale = {"domain": [0, 1]}
    format_ = "," if extra == "num_rows" else ".3~f"
    return {
        "height": SQUARE,
        "layer": [
            {
                "data": {"values": guess},
                "mark": {"type": "line", "strokeDash": [4, 4], "color": "var(--muted)", "strokeWidth": 1},
                "encoding": {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"}},
            },
            {
                "data": {"values": points},
                "mark": {"type": "line", "strokeWidth": 2, "point": {"size": 8, "filled": True, "opacity": 0}},
                "encoding": {
                    "x": {
                        "field": "x",
                        "type": "quantitative",
                        "title": x,
                        "scale": scale,
                        "axis": {"format": "~p", "tickCount": 5},
                    },
                    "y": {
                        "field": "y",
                        "type": "quantitative",
                        "title": y,
                        "scale": scale,
                        "axis": {"format": "~p", "tickCount": 5},
                    },
                    "order": {"field": "order", "type": "quantitative"},
                    "tooltip": [
                        _told("x", ".2~%", x),
                        _told("y", ".2~%", y),
                        _told(extra, format_, extra.replace("num_", "")),
                    ],
                },
            },
        ],
    }


def _axis(field: str, title: str, *, grid: bool, nice: bool) -> Spec:
    # Years and the like are written without separators.
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": {"zero": False, "nice": nice},
        "axis": {"grid": grid, "format": "~r", "tickCount": 6},
    }


def _told(field: str, format_: str | None = None, title: str | None = None) -> Spec:
    kind = {"type": "quantitative", "format": format_} if format_ else {"type": "nominal"}
    return {"field": field, "title": title or field, **kind}


def _starts(largest: int) -> list[int]:
    """Where each colour begins: numbers of rows in about equal ratios, no more than there are colours."""
    for marks in ((1, 2, 5), (1, 3), (1,)):
        starts = [mark * 10**power for power in range(19) for mark in marks if mark * 10**power <= max(1, largest)]
        if len(starts) < len(HEAT):
            break
    return starts[: len(HEAT) - 1]


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{NUM_DIGITS}g}")
