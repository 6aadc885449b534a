"""Summaries of runs that never were, in the form that reports/summary.py makes: for tests of what is rendered."""

from __future__ import annotations

import math

import numpy as np

HOSTILE = (
    "<script>alert(1)</script>",
    '"; DROP TABLE trips; --',
    "<img src=x onerror=alert(2)>",
    "x" * 200,
    "</script><script>alert(3)</script>",
    "🚲 Docks & Sons 👩‍🔧",
    "شارع الملك فهد",
    "רחוב יפו 12",
    "{{ 7 * 7 }} ${alert(4)}",
    "a\u2028b\u2029c",
    "",
    None,
)
NUM_STATIONS = 5000


def regression_summary(*, seed: int = 0, run: int = 2, shift: float = 0.0, num_stations: int = NUM_STATIONS) -> dict:
    """A run on trips: two metrics, slices by gender, by gender and user type, and by 5,000 stations with hostile names."""
    rng = np.random.default_rng(seed)
    overall = [
        _overall("mae", 7.2612 + shift, 7.96, 0.012, "train median 1984") | _beside("linear", 7.5, -0.26, -0.22),
        _overall("mse", 98.31 + 10 * shift, 122.4, 0.2, "train mean 1982.1") | _beside("linear", 98.4, -0.3, 0.12),
    ]
    label = {
        "name": "birth_year", "task": "regression", "classes": [],
        "metrics": [_metric("mae", "label", "mean |y - p|"), _metric("mse", "label squared", "mean (y - p)²")],
        "overall": overall,
        "verdicts": [{"split": "eval", "sentence": "The model of birth_year has mae 7.261: better than a linear model (7.5) and "
                      "always saying 1984 (train median, 7.96)."}],
        "diagnostics": [_diagnosed_numbers(rng)],
        "slices": [
            _slices(rng, ["gender"], [[1, 2, 0]], shift),
            _slices(rng, ["gender", "usertype"], [[1, 1, 2, 2, 0, None], ["Subscriber", "Customer"] * 3], shift),
            _slices(rng, ["start_station_name"], [station_names(num_stations)], shift, num_left_out=123),
        ],
        "worst": _worst(),
    }  # fmt: skip
    return _summary(run, [label], _curves(rng, ("mae", "mse")))


def binary_summary(*, seed: int = 1) -> dict:
    """A run on the census: accuracy and the area under the ROC curve, one pair of slicing columns, two splits evaluated."""
    rng = np.random.default_rng(seed)
    classes = ["<=50K", ">50K"]
    metrics = [
        _metric("auc", "", "area under the ROC curve", higher=True),
        _metric("accuracy", "", "share of right classes", higher=True),
    ]
    overall = [
        {**_overall("auc", 0.9134, 0.5, 0.003, "any constant"), "skill": 0.827},
        {**_overall("accuracy", 0.8561, 0.7592, 0.005, "train mode <=50K"), "skill": 0.402},
    ]
    label = {
        "name": "income",
        "task": "binary",
        "classes": classes,
        "metrics": metrics,
        "overall": [
            {**row, "split": split, "num_rows": 12000 if split == "eval" else 4000}
            for split in ("eval", "test")
            for row in overall
        ],
        "verdicts": [
            {
                "split": split,
                "sentence": "The model of income has auc 0.9134: better than always saying 0.24 (train mean, 0.5).",
            }
            for split in ("eval", "test")
        ],
        "diagnostics": [
            {
                "split": "eval",
                "kind": "binary",
                "num_rows": 12000,
                "sampled_rows": 12000,
                "threshold": 0.5,
                "confusion": {"classes": classes, "counts": [[8500, 620], [1107, 1773]]},
                "curves": [_curve(rng, ">50K", 12000, 0.24)],
            }
        ],
        "slices": [
            _slices(rng, ["sex"], [["Male", "Female"]], 0.0, metrics=("auc", "accuracy"), split=split, base=0.9)
            for split in ("eval", "test")
        ],
        "worst": {**_worst(), "metric": "auc", "higher_is_better": True, "slices": [], "num_tried": 88},
    }
    return _summary(1, [label], _curves(rng, ("auc", "accuracy")))


def classes_summary(*, seed: int = 2) -> dict:
    """A run with five classes, one of which has a hostile name."""
    rng = np.random.default_rng(seed)
    classes = ["bus", "car", "bike", HOSTILE[0], "🚲"]
    counts = np.diag([900, 700, 400, 120, 60]) + rng.integers(0, 40, (5, 5))
    label = {
        "name": "vehicle",
        "task": "classes",
        "classes": classes,
        "metrics": [_metric("accuracy", "", "share of right classes", higher=True)],
        "overall": [_overall("accuracy", 0.84, 0.86, 0.01, "train mode bus")],
        "verdicts": [
            {
                "split": "eval",
                "sentence": "The model of vehicle has accuracy 0.84: NO BETTER than always saying bus (train mode, 0.86).",
            }
        ],
        "diagnostics": [
            {
                "split": "eval",
                "kind": "classes",
                "num_rows": int(counts.sum()),
                "confusion": {"classes": classes, "counts": counts.tolist()},
                "curves": [_curve(rng, name, 2500, 0.2) for name in classes],
            }
        ],
        "slices": [],
        "worst": {**_worst(), "metric": "accuracy", "higher_is_better": True},
    }
    label["overall"][0]["skill"] = -0.14
    return _summary(1, [label], _curves(rng, ("accuracy",)))


def station_names(number: int) -> list[str | None]:
    """Names of stations, the hostile ones first."""
    streets = ("Broadway", "W 4 St", "E 17 St", "Lafayette St", "Vesey Pl")
    return [*HOSTILE, *(f"{streets[k % 5]} & {k} Ave" for k in range(number - len(HOSTILE)))]


def _metric(name: str, unit: str, description: str, *, higher: bool = False) -> dict:
    return {"name": name, "unit": unit, "higher_is_better": higher, "description": description}


def _overall(name: str, model: float, constant: float, reach: float, constant_is: str) -> dict:
    return {
        "split": "eval",
        "metric": name,
        "model": model,
        "low": model - reach,
        "high": model + reach,
        "constant": constant,
        "constant_is": constant_is,
        "skill": 1 - model / constant,
        "num_rows": 3053205,
    }


def _beside(name: str, value: float, low: float, high: float) -> dict:
    """What another model reaches, and the interval of this one's metric less its own."""
    return {name: value, f"{name}_difference": (low + high) / 2, f"{name}_low": low, f"{name}_high": high}


def _slices(
    rng: np.random.Generator,
    columns: list[str],
    values: list[list],
    shift: float,
    *,
    num_left_out: int = 0,
    metrics: tuple[str, ...] = ("mae", "mse"),
    split: str = "eval",
    base: float | None = None,
) -> dict:
    number = len(values[0])
    rows = np.sort(np.maximum(1, rng.lognormal(5.5, 1.4, number)).astype(int))[::-1]
    found = {}
    for place, metric in enumerate(metrics):
        centre = base if base is not None else (7.26 + shift if place == 0 else 98.0)
        value = centre * np.exp(rng.normal(0, 0.03 if base else 0.12, number))
        reach = 0.6 * centre / np.sqrt(rows)
        found[metric] = {"value": value.tolist(), "low": (value - reach).tolist(), "high": (value + reach).tolist()}
        found[metric]["low"][-1] = found[metric]["high"][-1] = None
        found[metric]["constant"] = [centre * (0.95 if base else 1.1)] * number
    return {
        "columns": columns,
        "split": split,
        "num_slices": number + num_left_out,
        "num_left_out": num_left_out,
        "values": values,
        "num_rows": rows.tolist(),
        "metrics": found,
    }


def _worst() -> dict:
    slices = [
        {
            "split": "eval",
            "columns": ["gender", "usertype"],
            "values": [0, "Customer"],
            "num_rows": 41200,
            "value": 11.2,
            "low": 10.9,
            "high": 11.5,
            "rest": 7.2,
            "difference": 4.0,
            "p_value": 1e-12,
        },
        {
            "split": "eval",
            "columns": ["start_station_name"],
            "values": [HOSTILE[0]],
            "num_rows": 412,
            "value": 9.8,
            "low": 8.9,
            "high": 10.7,
            "rest": 7.3,
            "difference": 2.5,
            "p_value": 0.0031,
        },
    ]
    return {
        "metric": "mae",
        "higher_is_better": False,
        "num_tried": 812,
        "min_rows": 300,
        "columns": ["gender", "usertype"],
        "level": 0.05,
        "note": "All values of gender and usertype and all pairs.",
        "slices": slices,
    }


def _diagnosed_numbers(rng: np.random.Generator) -> dict:
    true = 1980 + 12 * rng.standard_normal(200_000)
    predicted = 1979 + 0.35 * (true - 1980) + 4 * rng.standard_normal(len(true))
    edges = np.linspace(1945, 2003, 30), np.linspace(1962, 1998, 37)
    counts = np.histogram2d(np.clip(true, 1945, 2003), np.clip(predicted, 1962, 1998), bins=edges)[0]
    residual = true - predicted
    bins = np.linspace(-30, 30, 61)
    return {
        "split": "eval",
        "kind": "regression",
        "num_rows": 3053205,
        "sampled_rows": 200_000,
        "predicted_true": {
            "true_edges": edges[0].tolist(),
            "predicted_edges": edges[1].tolist(),
            "counts": counts.astype(int).tolist(),
        },
        "residuals": {"edges": bins.tolist(), "counts": np.histogram(np.clip(residual, -30, 30), bins)[0].tolist()},
        "residual_mean": float(residual.mean()),
        "residual_quantiles": {str(q): float(np.quantile(residual, q)) for q in (0.05, 0.5, 0.95)},
    }


def _curve(rng: np.random.Generator, name: str, number: int, share: float) -> dict:
    positive = rng.random(number) < share
    score = 1 / (1 + np.exp(-(rng.normal(0, 1, number) + np.where(positive, 1.2, -1.6))))
    order = np.argsort(-score)
    hits = np.cumsum(positive[order])
    at = np.unique(np.linspace(0, number - 1, 120).astype(int))
    recall, fall_out, precision = hits[at] / hits[-1], (at + 1 - hits[at]) / (number - hits[-1]), hits[at] / (at + 1)
    bins = []
    for k in range(10):
        inside = (score >= k / 10) & (score < (k + 1) / 10)
        truth, rows = positive[inside].mean(), int(inside.sum())
        reach = 1.96 * math.sqrt(max(truth * (1 - truth), 1e-4) / rows)
        bins.append(
            {
                "low": k / 10,
                "high": (k + 1) / 10,
                "mean_predicted": float(score[inside].mean()),
                "share": float(truth),
                "share_low": max(0.0, truth - reach),
                "share_high": min(1.0, truth + reach),
                "num_rows": rows,
            }
        )
    thresholds = score[order][at].tolist()
    return {
        "class": name,
        "num_positive": int(positive.sum()),
        "num_negative": int((~positive).sum()),
        "auc": 0.9134,
        "average_precision": 0.781,
        "roc": {
            "false_positive_rate": [0.0, *fall_out.tolist()],
            "true_positive_rate": [0.0, *recall.tolist()],
            "threshold": [None, *thresholds],
        },
        "precision_recall": {"recall": recall.tolist(), "precision": precision.tolist(), "threshold": thresholds},
        "reliability": bins,
        "calibration_error": 0.021,
    }


def _curves(rng: np.random.Generator, metrics: tuple[str, ...]) -> dict:
    points = []
    for step in range(15_000, 230_001, 15_000):
        fall = math.exp(-step / 60_000)
        for split, gap in (("train", 0.0), ("eval", 2.0 + 3e-5 * max(0, step - 180_000))):
            for name in ("loss", *metrics):
                points.append(
                    {
                        "step": step,
                        "split": split,
                        "name": name,
                        "value": 98 + 40 * fall + gap + float(rng.normal(0, 0.3)),
                    }
                )
        points.append(
            {
                "step": step,
                "split": "train",
                "name": "running_loss",
                "value": 99 + 44 * fall + float(rng.normal(0, 0.8)),
            }
        )
    return {
        "told": ["The weights of step 180,000 were kept: their loss is the least on 27 rows that were kept back <b>."],
        "judged_on": "inner validation",
        "best_step": 180_000,
        "stopped_early": False,
        "planned_steps": None,
        "num_steps": 225_000,
        "num_weights": 5281,
        "steps_are": "steps",
        "weights_are": "weights",
        "importance": [],
        "points": points,
    }


def _looked_into(label: dict) -> dict:
    """Importance, dependence and single rows of a label, with hostile names and cells."""
    features = [
        {"label": label["name"], "feature": HOSTILE[0], "value": 0.5, "low": 0.4, "high": 0.6, "share": 0.1},
        {"label": label["name"], "feature": "gender", "value": 0.0, "low": -0.1, "high": 0.1, "share": None},
    ]
    outputs = label["classes"][:3] or [""]
    drawn = {"label": label["name"], "outputs": outputs}
    means = [[0.1, 0.5, 0.3] for _ in outputs]
    shown = {
        "label": 1984,
        "prediction": "x" if label["classes"] else 1960.5,
        "probability": 0.9 if label["classes"] else None,
        "error": 23.5,
        "cells": [HOSTILE[2], None],
        "pushed": [{"feature": HOSTILE[0], "contribution": -3.25}, {"feature": "gender", "contribution": 0.5}],
    }
    return {
        "importance": {
            "split": "eval",
            "loss": "mae",
            "num_rows": 4000,
            "repeats": 4,
            "left_out": 3,
            "features": features,
        },
        "attributions": {
            "label": label["name"],
            "split": "eval",
            "num_rows": 2048,
            "unit": f"log-odds of {HOSTILE[2]}",
            "expected": 0.25,
            "features": [{"feature": HOSTILE[0], "value": 0.5}, {"feature": "gender", "value": 0.0}],
        },
        "dependences": [
            {**drawn, "feature": HOSTILE[0], "kind": "string", "values": list(HOSTILE[:3]), "means": means},
            {**drawn, "feature": "gender", "kind": "integer", "values": [0, 1, 2], "means": means},
        ],
        "rows": [
            {
                "label": label["name"],
                "split": "eval",
                "kind": kind,
                "error": "mae",
                "features": [HOSTILE[4], "gender"],
                "rows": [shown, shown],
            }
            for kind in (("worst", "typical", "border") if label["classes"] else ("worst",))
        ],
    }


def _summary(run: int, labels: list[dict], curves: dict) -> dict:
    labels = [{**_looked_into(label), **label} for label in labels]
    return {
        "version": 1,
        "pipeline": {"id": 1, "name": f"{labels[0]['name']} <b>of all</b>", "config_name": "citibike.yaml"},
        "cautions": [
            {
                "kind": "leak",
                "sentence": f"'{HOSTILE[0]}' all but determines 'birth_year': alone it explains 99.2 % of how the rows differ.",
                "is_warning": True,
            },
            {"kind": "repeated", "sentence": "12 of 4,000 rows of eval stand in train too.", "is_warning": False},
        ],
        "run": {
            "number": run,
            "key": f"1:{run}",
            "started_at": "2020-05-04T10:20:00+00:00",
            "ended_at": "2020-05-04T10:20:47.500000+00:00",
            "seconds": 47.5,
            "saved_seconds": 12.0,
            "stages": [
                {
                    "name": name,
                    "seconds": seconds,
                    "reused": name == "Split",
                    "saved_seconds": 12.0 if name == "Split" else 0.0,
                }
                for name, seconds in (
                    ("Split", 0.0),
                    ("Fit", 3.2),
                    ("Transform", 9.1),
                    ("Train", 31.0),
                    ("Evaluate", 4.2),
                )
            ],
        },
        "data": {
            "datasource": "trips",
            "snapshot": 1,
            "num_rows": 33_319_019,
            "num_columns": 15,
            "content": "9f" * 32,
            "where": ["birth_year > 1900"],
        },
        "labels": labels,
        "curves": curves,
        "split": {
            "by": "start_station_name",
            "order": None,
            "seed": 0,
            "rows": {"train": 29_976_489, "eval": 3_330_000},
            "num_groups": 800,
            "num_small_groups": 14,
            "small_groups": list(HOSTILE[:10]),
            "num_left_out": 0,
            "num_filtered": 12_530,
        },
        "columns": _columns(),
        "configuration": {
            "yaml": "features:\n  gender: {}\n  # </pre><script>alert(5)</script>\nlabels:\n  birth_year: {loss: mse, metrics: [mae]}\n",
            "resolved": [
                {"path": "features.gender.encoding", "value": "one_hot"},
                {"path": "split.seed", "value": 0},
                {"path": 'features."<script>alert(6)</script>".filling', "value": HOSTILE[0]},
                {"path": "evaluator.slices", "value": [["gender"]]},
            ],
        },
        "seeds": {"split": 0, "trainer": 0},
        "versions": {
            "cengine": "0.1.0",
            "python": "3.11.9",
            "keras": "3.12.0",
            "jax": "0.7.0",
            "duckdb": "1.4.0",
            "numpy": "2.2.0",
        },
    }


def _columns() -> list[dict]:
    edges = np.linspace(0, 3600, 31)
    middle = (edges[1:] + edges[:-1]) / 2
    shape = middle * np.exp(-middle / 500)
    numbers = {
        "name": "tripduration",
        "kind": "integer",
        "roles": ["feature"],
        "splits": {
            split: {
                "num_rows": rows,
                "num_nulls": 12,
                "num_distinct": 3400,
                "distinct_exact": False,
                "mean": 800.123456,
                "deviation": 612.9,
                "minimum": 60,
                "maximum": 99_999,
                "quantiles": {
                    "0.01": 90,
                    "0.05": 170,
                    "0.25": 380,
                    "0.5": 620,
                    "0.75": 1065,
                    "0.95": 2100,
                    "0.99": 3200,
                },
                "top": [[360, rows // 900], [420, rows // 950]],
            }
            for split, rows in (("train", 29_976_489), ("eval", 3_330_000))
        },
        "histogram": {
            "edges": edges.tolist(),
            "counts": {"train": (shape * 9000).astype(int).tolist(), "eval": (shape * 1000).astype(int).tolist()},
        },
        "drift": _drift("same", 0.001, "eval is like train."),
    }
    times = {
        **numbers,
        "name": "starttime",
        "kind": "timestamp",
        "roles": [],
        "histogram": {
            "edges": [1.58e9 + 86_400 * k for k in range(31)],
            "counts": numbers["histogram"]["counts"],
            "is_time": True,
        },
        "drift": _drift("strong", 0.42, "eval differs strongly from train (psi 0.42): it is later."),
    }
    for split in ("train", "eval"):
        times["splits"] = times["splits"] | {
            split: {
                **times["splits"][split],
                "mean": None,
                "deviation": None,
                "minimum": "2020-02-01T00:00:00",
                "maximum": "2020-03-02T00:00:00",
                "quantiles": {"0.5": "2020-02-14T08:00:00"},
                "top": [],
            }
        }
    texts = {
        "name": "start_station_name",
        "kind": "string",
        "roles": ["slice", "split group"],
        "splits": {
            split: {
                "num_rows": rows,
                "num_nulls": 0,
                "num_distinct": 800,
                "distinct_exact": True,
                "mean": None,
                "deviation": None,
                "minimum": None,
                "maximum": None,
                "quantiles": {},
                "top": [[name, rows // (300 + 10 * k)] for k, name in enumerate(HOSTILE[:10])],
            }
            for split, rows in (("train", 29_976_489), ("eval", 3_330_000))
        },
        "histogram": None,
        "drift": _drift("moderate", 0.13, f"eval differs from train (psi 0.13): most of all {HOSTILE[0]}."),
    }
    return [numbers, times, texts, {**texts, "name": HOSTILE[4], "roles": [], "drift": None}]


def _drift(level: str, psi: float, sentence: str) -> dict:
    told = {"psi": psi, "noise": 0.0001, "level": level, "num_unseen": 0, "unseen_share": 0.0, "sentence": sentence}
    return {"reference": "train", "splits": {"eval": told}}
