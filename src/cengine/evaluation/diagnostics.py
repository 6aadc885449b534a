"""Where the errors are: predicted against true and residuals of numbers; confusion and curves of classes.

Counted on at most 2**20 rows of each split, drawn by identity: more would not change a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from sqlglot import exp

from cengine.engines.engine import Engine
from cengine.evaluation.predictions import MAX_LISTED_CLASSES
from cengine.expressions.build import column
from cengine.expressions.keys import drawn
from cengine.networks.intervals import share_interval
from cengine.training.heads import Head

MAX_ROWS = 2**20
NUM_BINS = 40
NUM_RESIDUAL_BINS = 60
NUM_RELIABILITY_BINS = 10
NUM_CURVE_POINTS = 200
MAX_CONFUSED_CLASSES = 20
# The bins reach from the first to the second quantile; the outermost hold what lies beyond.
BULK = (0.005, 0.995)
THRESHOLD = 0.5


def diagnose(
    engine: Engine, predictions: exp.Expr, head: Head, num_rows: dict[int, int], split_names: Sequence[str]
) -> list[dict[str, Any]]:
    """Plain data for one label, an entry a split; `num_rows` are the rows of each evaluated split by its number."""
    found = []
    for number, count in num_rows.items():
        sample = engine.fetch(_sample(predictions, head, number, count))
        what = _of_numbers(head, sample) if head.task == "regression" else _of_classes(head, sample)
        found.append({"split": split_names[number], "num_rows": count, "sampled_rows": sample.num_rows, **what})
    return found


def _sample(predictions: exp.Expr, head: Head, number: int, count: int) -> exp.Select:
    name = head.label.name
    wanted = {"label": f"label: {name}", "prediction": f"prediction: {name}"}
    if head.task == "classes":
        wanted["probability"] = f"predicted_probability: {name}"
        if len(head.classes) <= MAX_LISTED_CLASSES:
            wanted["probabilities"] = f"class_probabilities: {name}"
    query = exp.select(*[column(own).as_(short) for short, own in wanted.items()]).from_(predictions.copy())
    query = query.where(exp.EQ(this=column("_split"), expression=exp.convert(number)))
    if count > MAX_ROWS:
        query = query.where(drawn("diagnostics", MAX_ROWS, count))
    return query


# Numbers


def _of_numbers(head: Head, sample: pa.Table) -> dict[str, Any]:
    true, predicted = (sample[name].to_numpy() for name in ("label", "prediction"))
    kept = np.isfinite(true) & np.isfinite(predicted)
    true, predicted = true[kept], predicted[kept]
    whole = head.label.kind == "integer"
    true_edges, predicted_edges = _edges(true, NUM_BINS, whole=whole), _edges(predicted, NUM_BINS, whole=False)
    counts = np.histogram2d(_within(true, true_edges), _within(predicted, predicted_edges), bins=(true_edges, predicted_edges))[0]
    residuals = true - predicted
    residual_edges = _edges(residuals, NUM_RESIDUAL_BINS, whole=False)
    quantiles = np.quantile(residuals, (0.05, 0.5, 0.95)) if len(residuals) else [np.nan] * 3
    return {
        "kind": "regression",
        "predicted_true": {"true_edges": true_edges.tolist(), "predicted_edges": predicted_edges.tolist(),
                           "counts": counts.astype(int).tolist()},
        "residuals": {"edges": residual_edges.tolist(),
                      "counts": np.histogram(_within(residuals, residual_edges), bins=residual_edges)[0].tolist()},
        "residual_mean": float(residuals.mean()) if len(residuals) else None,
        "residual_quantiles": dict(zip(("0.05", "0.5", "0.95"), map(float, quantiles), strict=True)),
    }  # fmt: skip


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
    return np.clip(values, edges[0], edges[-1])


# Classes


def _of_classes(head: Head, sample: pa.Table) -> dict[str, Any]:
    label = sample["label"].to_numpy().astype(np.int64)
    if head.task == "binary":
        score = sample["prediction"].to_numpy()
        return {"kind": "binary", "threshold": THRESHOLD, "confusion": _confusion(head, label, (score >= THRESHOLD).astype(np.int64)),
                "curves": [_curve(head.classes[1], label == 1, score)]}  # fmt: skip
    curves = []
    if "probabilities" in sample.column_names:
        scores = _matrix(sample["probabilities"], len(head.classes))
        curves = [_curve(name, label == k, scores[:, k].astype(np.float64)) for k, name in enumerate(head.classes)]
    return {"kind": "classes", "confusion": _confusion(head, label, sample["prediction"].to_numpy().astype(np.int64)), "curves": curves}


def _matrix(lists: pa.ChunkedArray, width: int) -> np.ndarray:
    flat = lists.combine_chunks().flatten()
    return np.asarray(flat.to_numpy(zero_copy_only=False)).reshape(-1, width)


def _confusion(head: Head, label: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """Rows true, columns predicted; beyond MAX_CONFUSED_CLASSES the rarest are one, and so are labels that train never had."""
    size = len(head.classes)
    counts = np.zeros((size + 1, size + 1), dtype=np.int64)
    np.add.at(counts, (np.where(label < 0, size, label), predicted), 1)
    by_count = np.argsort(-counts.sum(axis=1)[:size], kind="stable")
    kept = np.sort(by_count[:MAX_CONFUSED_CLASSES])
    rest = np.setdiff1d(np.arange(size + 1), kept)
    groups = [np.array([k]) for k in kept]
    names = [str(head.classes[k]) for k in kept]
    if counts[rest].any() or counts[:, rest].any():
        groups.append(rest)
        names.append("(others)")
    return {"classes": names, "counts": [[int(counts[np.ix_(row, col)].sum()) for col in groups] for row in groups]}


def _curve(name: Any, positive: np.ndarray, score: np.ndarray) -> dict[str, Any]:
    """ROC, precision-recall and reliability of one class against the others."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1) if len(ordered) else np.array([], dtype=np.int64)
    true_positive = np.cumsum(positive[order], dtype=np.float64)[last]
    false_positive = (last + 1) - true_positive
    num_positive, num_negative = int(positive.sum()), int(len(positive) - positive.sum())
    recall, fall_out = true_positive / max(num_positive, 1), false_positive / max(num_negative, 1)
    precision = true_positive / np.maximum(last + 1, 1)
    roc_x, roc_y = np.append(0.0, fall_out), np.append(0.0, recall)
    thresholds = ordered[last]
    known = num_positive > 0 and num_negative > 0
    roc = _thinned(roc_x, roc_y, np.append(np.inf, thresholds))
    curve = _thinned(recall, precision, thresholds)
    reliability = _reliability(positive, score)
    off = sum(bin["num_rows"] * abs(bin["share"] - bin["mean_predicted"]) for bin in reliability)
    return {
        "class": name, "num_positive": num_positive, "num_negative": num_negative,
        "auc": float(np.trapezoid(roc_y, roc_x)) if known else None,
        "average_precision": float((np.diff(np.append(0.0, recall)) * precision).sum()) if known else None,
        "roc": dict(zip(("false_positive_rate", "true_positive_rate", "threshold"), roc, strict=True)),
        "precision_recall": dict(zip(("recall", "precision", "threshold"), curve, strict=True)),
        "reliability": reliability, "calibration_error": off / max(len(score), 1),
    }  # fmt: skip


def _thinned(*curve: np.ndarray) -> list[list[float]]:
    """At most about 2 x NUM_CURVE_POINTS points of a curve: those where either coordinate has moved on visibly, and the ends."""
    if len(curve[0]) == 0:
        return [[] for _ in curve]
    steps = [np.floor(np.clip(axis, 0, 1) * NUM_CURVE_POINTS) for axis in curve[:2]]
    moved = np.concatenate([[True], np.any([np.diff(step) != 0 for step in steps], axis=0)])
    moved[-1] = True
    return [[float(v) for v in values[moved]] for values in curve]


def _reliability(positive: np.ndarray, score: np.ndarray) -> list[dict[str, Any]]:
    """What share is positive where the model says so much: bins of predicted probability (DeGroot and Fienberg 1983)."""
    place = np.clip((score * NUM_RELIABILITY_BINS).astype(np.int64), 0, NUM_RELIABILITY_BINS - 1)
    rows = np.bincount(place, minlength=NUM_RELIABILITY_BINS)
    hits = np.bincount(place, weights=positive, minlength=NUM_RELIABILITY_BINS)
    sums = np.bincount(place, weights=score, minlength=NUM_RELIABILITY_BINS)
    low, high = share_interval(hits, rows)
    return [
        {"low": k / NUM_RELIABILITY_BINS, "high": (k + 1) / NUM_RELIABILITY_BINS, "mean_predicted": float(sums[k] / rows[k]),
         "share": float(hits[k] / rows[k]), "share_low": float(low[k]), "share_high": float(high[k]), "num_rows": int(rows[k])}
        for k in range(NUM_RELIABILITY_BINS) if rows[k]
    ]  # fmt: skip
