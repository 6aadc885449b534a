"""Where the errors are: predicted against true and residuals of numbers; confusion and curves of classes.

Counted on at most 2**20 rows of each split, drawn by identity: more would not change a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

import numpy as np
import pyarrow as pa
from sqlglot import exp

from cengine.engines.engine import Engine
from cengine.expressions.build import column
from cengine.expressions.keys import drawn
from cengine.metrics.intervals import share_interval
from cengine.plain import Cell
from cengine.preprocess.targets import Target
from cengine.tasks import Regression

MAX_ROWS = 2**20
NUM_BINS = 40
NUM_RESIDUAL_BINS = 60
NUM_RELIABILITY_BINS = 10
NUM_CURVE_POINTS = 200
MAX_CONFUSED_CLASSES = 20
# The bins reach from the first to the second quantile; the outermost hold what lies beyond.
BULK = (0.005, 0.995)
THRESHOLD = 0.5


class PredictedTrue(TypedDict):
    """Rows by true and predicted value."""

    true_edges: list[float]
    predicted_edges: list[float]
    counts: list[list[int]]


class Residuals(TypedDict):
    """Rows by true less predicted value."""

    edges: list[float]
    counts: list[int]


class Confusion(TypedDict):
    """Rows of each true class by the class that was predicted."""

    classes: list[str]
    counts: list[list[int]]


class Roc(TypedDict):
    """A curve as its coordinates; the first threshold is above all scores."""

    false_positive_rate: list[float]
    true_positive_rate: list[float]
    threshold: list[float | None]


class PrecisionRecall(TypedDict):
    """A curve as its coordinates."""

    recall: list[float]
    precision: list[float]
    threshold: list[float | None]


class ReliabilityBin(TypedDict):
    """Rows of which the model says about the same, and the share of them that is so, with its interval."""

    low: float
    high: float
    mean_predicted: float
    share: float
    share_low: float
    share_high: float
    num_rows: int


# One class against the others; `class` is no name that a class body could have.
ClassCurve = TypedDict(
    "ClassCurve",
    {
        "class": Any,  # a value of the label
        "num_positive": int,
        "num_negative": int,
        "auc": float | None,
        "average_precision": float | None,
        "roc": Roc,
        "precision_recall": PrecisionRecall,
        "reliability": list[ReliabilityBin],
        "calibration_error": float,
    },
)


class Errors(TypedDict):
    """Where the errors are: of numbers the first four after `kind`, of classes the others."""

    kind: str
    predicted_true: NotRequired[PredictedTrue]
    residuals: NotRequired[Residuals]
    residual_mean: NotRequired[float | None]
    residual_quantiles: NotRequired[dict[str, float]]
    threshold: NotRequired[float]
    confusion: NotRequired[Confusion]
    curves: NotRequired[list[ClassCurve]]


class Diagnosis(Errors):
    """The errors of one split, counted on `sampled_rows` of its rows."""

    split: str
    num_rows: int
    sampled_rows: int


def diagnose(
    engine: Engine, predictions: exp.Expr, target: Target, num_rows: dict[int, int], split_names: Sequence[str]
) -> list[Diagnosis]:
    """Plain data for one label, an entry a split; `num_rows` are the rows of each evaluated split by its number."""
    found: list[Diagnosis] = []
    for number, count in num_rows.items():
        sample = engine.fetch(_sample(predictions, target, number, count))
        what = _of_classes(target, sample) if target.task.has_classes else _of_numbers(target, sample)
        found.append({"split": split_names[number], "num_rows": count, "sampled_rows": sample.num_rows, **what})
    return found


def _sample(predictions: exp.Expr, target: Target, number: int, count: int) -> exp.Select:
    name = target.name
    wanted = {"label": f"label: {name}", "prediction": f"prediction: {name}"}
    if target.task.one_output_a_class:
        wanted["probability"] = f"predicted_probability: {name}"
    if "class_probabilities" in target.task.columns(len(target.classes)):
        wanted["probabilities"] = f"class_probabilities: {name}"
    query = exp.select(*[column(own).as_(short) for short, own in wanted.items()]).from_(predictions.copy())
    query = query.where(exp.EQ(this=column("_split"), expression=exp.convert(number)))
    if count > MAX_ROWS:
        query = query.where(drawn("diagnostics", MAX_ROWS, count))
    return query


# Numbers


def _of_numbers(target: Target, sample: pa.Table) -> Errors:
    true, predicted = (sample[name].to_numpy() for name in ("label", "prediction"))
    kept = np.isfinite(true) & np.isfinite(predicted)
    true, predicted = true[kept], predicted[kept]
    whole = target.label.kind == "integer"
    true_edges, predicted_edges = _edges(true, NUM_BINS, whole=whole), _edges(predicted, NUM_BINS, whole=False)
    counts = np.histogram2d(
        _within(true, true_edges), _within(predicted, predicted_edges), bins=(true_edges, predicted_edges)
    )[0]
    residuals = true - predicted
    residual_edges = _edges(residuals, NUM_RESIDUAL_BINS, whole=False)
    quantiles = np.quantile(residuals, (0.05, 0.5, 0.95)) if len(residuals) else [np.nan] * 3
    return {
        "kind": Regression.name,  # of quantiles too: the errors are those of the point prediction
        "predicted_true": {
            "true_edges": true_edges.tolist(),
            "predicted_edges": predicted_edges.tolist(),
            "counts": counts.astype(int).tolist(),
        },
        "residuals": {
            "edges": residual_edges.tolist(),
            "counts": np.histogram(_within(residuals, residual_edges), bins=residual_edges)[0].tolist(),
        },
        "residual_mean": float(residuals.mean()) if len(residuals) else None,
        "residual_quantiles": dict(zip(("0.05", "0.5", "0.95"), map(float, quantiles), strict=True)),
    }


def _edges(values: np.ndarray, num_bins: int, *, whole: bool) -> np.ndarray:
    """Edges of bins of equal width over the bulk of the values; those of whole numbers lie halfway between them."""
    if len(values) == 0:
        return np.array([0.0, 1.0])
    low, high = np.quantile(values, BULK)
    if whole:
        width = max(1.0, np.ceil((high - low + 1) / num_bins))
        first = np.floor(low) - 0.5
        return np.asarray(first + width * np.arange(np.ceil((np.floor(high) + 0.5 - first) / width) + 1))
    if high <= low:
        reach = max(abs(low) * 1e-6, 0.5)
        low, high = low - reach, high + reach
    return np.linspace(low, high, num_bins + 1)


def _within(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    within: np.ndarray = np.clip(values, edges[0], edges[-1])
    return within


# Classes


def _of_classes(target: Target, sample: pa.Table) -> Errors:
    label = sample["label"].to_numpy().astype(np.int64)
    if not target.task.one_output_a_class:
        score = sample["prediction"].to_numpy()
        confusion = _confusion(target, label, (score >= THRESHOLD).astype(np.int64))
        curve = _curve(target.classes[1], label == 1, score)
        return {"kind": target.task.name, "threshold": THRESHOLD, "confusion": confusion, "curves": [curve]}
    curves = []
    if "probabilities" in sample.column_names:
        scores = _matrix(sample["probabilities"], len(target.classes))
        curves = [_curve(name, label == k, scores[:, k].astype(np.float64)) for k, name in enumerate(target.classes)]
    confusion = _confusion(target, label, sample["prediction"].to_numpy().astype(np.int64))
    return {"kind": target.task.name, "confusion": confusion, "curves": curves}


def _matrix(lists: pa.ChunkedArray, width: int) -> np.ndarray:
    flat = lists.combine_chunks().flatten()
    return np.asarray(flat.to_numpy(zero_copy_only=False)).reshape(-1, width)


def _confusion(target: Target, label: np.ndarray, predicted: np.ndarray) -> Confusion:
    """Rows true, columns predicted; beyond MAX_CONFUSED_CLASSES the rarest are one, and so are labels that train never had."""
    size = len(target.classes)
    counts = np.zeros((size + 1, size + 1), dtype=np.int64)
    np.add.at(counts, (np.where(label < 0, size, label), predicted), 1)
    by_count = np.argsort(-counts.sum(axis=1)[:size], kind="stable")
    kept = np.sort(by_count[:MAX_CONFUSED_CLASSES])
    rest = np.setdiff1d(np.arange(size + 1), kept)
    groups = [np.array([k]) for k in kept]
    names = [str(target.classes[k]) for k in kept]
    if counts[rest].any() or counts[:, rest].any():
        groups.append(rest)
        names.append("(others)")
    return {"classes": names, "counts": [[int(counts[np.ix_(row, col)].sum()) for col in groups] for row in groups]}


def _curve(name: Cell, positive: np.ndarray, score: np.ndarray) -> ClassCurve:
    """ROC, precision-recall and reliability of one class against the others."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last = (
        np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1) if len(ordered) else np.array([], dtype=np.int64)
    )
    true_positive = np.cumsum(positive[order], dtype=np.float64)[last]
    false_positive = (last + 1) - true_positive
    num_positive, num_negative = int(positive.sum()), int(len(positive) - positive.sum())
    recall, fall_out = true_positive / max(num_positive, 1), false_positive / max(num_negative, 1)
    precision = true_positive / np.maximum(last + 1, 1)
    roc_x, roc_y = np.append(0.0, fall_out), np.append(0.0, recall)
    thresholds = ordered[last]
    known = num_positive > 0 and num_negative > 0
    false_rate, true_rate, at = _thinned(roc_x, roc_y, np.append(np.inf, thresholds))
    roc: Roc = {"false_positive_rate": false_rate, "true_positive_rate": true_rate, "threshold": [*at]}
    recalls, precisions, at = _thinned(recall, precision, thresholds)
    curve: PrecisionRecall = {"recall": recalls, "precision": precisions, "threshold": [*at]}
    reliability = _reliability(positive, score)
    off = sum(bin["num_rows"] * abs(bin["share"] - bin["mean_predicted"]) for bin in reliability)
    return {
        "class": name,
        "num_positive": num_positive,
        "num_negative": num_negative,
        "auc": float(np.trapezoid(roc_y, roc_x)) if known else None,
        "average_precision": float((np.diff(np.append(0.0, recall)) * precision).sum()) if known else None,
        "roc": roc,
        "precision_recall": curve,
        "reliability": reliability,
        "calibration_error": off / max(len(score), 1),
    }


def _thinned(*curve: np.ndarray) -> list[list[float]]:
    """At most about 2 x NUM_CURVE_POINTS points of a curve: those where either coordinate has moved on visibly, and the ends."""
    if len(curve[0]) == 0:
        return [[] for _ in curve]
    steps = [np.floor(np.clip(axis, 0, 1) * NUM_CURVE_POINTS) for axis in curve[:2]]
    moved = np.concatenate([[True], np.any([np.diff(step) != 0 for step in steps], axis=0)])
    moved[-1] = True
    return [[float(v) for v in values[moved]] for values in curve]


def _reliability(positive: np.ndarray, score: np.ndarray) -> list[ReliabilityBin]:
    """What share is positive where the model says so much: bins of predicted probability (DeGroot and Fienberg 1983)."""
    place = np.clip((score * NUM_RELIABILITY_BINS).astype(np.int64), 0, NUM_RELIABILITY_BINS - 1)
    rows = np.bincount(place, minlength=NUM_RELIABILITY_BINS)
    hits = np.bincount(place, weights=positive, minlength=NUM_RELIABILITY_BINS)
    sums = np.bincount(place, weights=score, minlength=NUM_RELIABILITY_BINS)
    low, high = share_interval(hits, rows)
    return [
        {
            "low": k / NUM_RELIABILITY_BINS,
            "high": (k + 1) / NUM_RELIABILITY_BINS,
            "mean_predicted": float(sums[k] / rows[k]),
            "share": float(hits[k] / rows[k]),
            "share_low": float(low[k]),
            "share_high": float(high[k]),
            "num_rows": int(rows[k]),
        }
        for k in range(NUM_RELIABILITY_BINS)
        if rows[k]
    ]
