"""What the page shows of an autoencoder: where scores lie, as a Vega-Lite spec, on a logarithmic scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cengine.reports.charts import SERIES, Points, Spec

if TYPE_CHECKING:
    from cengine.evaluation.odd_rows import OddRows
    from cengine.reports.summary import Summary


def of_summary(summary: Summary) -> OddRows | None:
    """What is known of reconstructed rows, None of a summary of labels."""
    return next((label["odd_rows"] for label in summary["labels"] if "odd_rows" in label), None)


def scores(found: OddRows) -> Spec:
    """A step line a split, and a rule at the threshold."""
    edges, points = found["edges"], []
    for own in found["splits"]:
        total = sum(own["counts"]) or 1
        shares: Points = [
            {"at": float(f"{edge:.6g}"), "share": count / total, "rows": count, "split": own["split"]}
            for edge, count in zip(edges, own["counts"], strict=False)
        ]
        points += [*shares, {"at": float(f"{edges[-1]:.6g}"), "share": 0.0, "rows": 0, "split": own["split"]}]
    x: Spec = {
        "field": "at",
        "type": "quantitative",
        "title": "score",
        "scale": {"type": "log", "nice": False},
        "axis": {"grid": False, "tickCount": 6, "format": "~g"},
    }
    return {
        "height": 280,
        "layer": [
            {
                "data": {"values": points},
                "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 1.8},
                "encoding": {
                    "x": x,
                    "y": {
                        "field": "share",
                        "type": "quantitative",
                        "title": "share of rows",
                        "axis": {"format": "~p", "tickCount": 5},
                    },
                    "color": {
                        "field": "split",
                        "type": "nominal",
                        "title": None,
                        "sort": None,
                        "scale": {"range": SERIES},
                        "legend": {"orient": "top"},
                    },
                    "tooltip": [
                        {"field": "split", "type": "nominal", "title": "split"},
                        {"field": "at", "type": "quantitative", "format": ".4~g", "title": "score from"},
                        {"field": "share", "type": "quantitative", "format": ".2~%", "title": "share"},
                        {"field": "rows", "type": "quantitative", "format": ",", "title": "rows"},
                    ],
                },
            },
            {
                "data": {"values": [{"at": found["threshold"]["value"], "told": "threshold"}]},
                "mark": {"type": "rule", "strokeDash": [4, 4], "color": "var(--ink)"},
                "encoding": {"x": x, "tooltip": [{"field": "told", "type": "nominal", "title": "rule"}]},
            },
        ],
    }
