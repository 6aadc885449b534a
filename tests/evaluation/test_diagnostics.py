"""Where the errors are: counted like scikit-learn and NumPy count."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as sk

from cengine.config.resolve import Label
from cengine.evaluation.diagnostics import diagnose
from cengine.expressions.build import column
from cengine.preprocess.targets import Target
from cengine.tasks import task_named


def head(task: str, classes=(), kind: str = "float") -> Target:
    label = Label("y", kind, task, None, (), None, None)
    return Target(label, task_named(task), classes=tuple(classes))


def diagnosed(engine, task: str, rows: dict, classes=(), kind: str = "float") -> dict:
    num_rows = len(rows["label: y"])
    engine.register("rows", pa.table({"_row_id": np.arange(num_rows), "_split": np.ones(num_rows, np.int64), **rows}))
    (found,) = diagnose(engine, column("rows"), head(task, classes, kind), {1: num_rows}, ("train", "eval"))
    assert found["split"] == "eval"
    assert found["num_rows"] == found["sampled_rows"] == num_rows
    return found


def test_numbers(engine) -> None:
    random = np.random.default_rng(0)
    label = random.integers(1930, 2005, 5000)
    prediction = 0.3 * label + 0.7 * 1977 + random.normal(size=5000)
    found = diagnosed(
        engine, "regression", {"label: y": label.astype(float), "prediction: y": prediction}, kind="integer"
    )
    boxes = found["predicted_true"]
    counts = np.array(boxes["counts"])
    assert counts.shape == (len(boxes["true_edges"]) - 1, len(boxes["predicted_edges"]) - 1)
    assert counts.sum() == sum(found["residuals"]["counts"]) == 5000
    edges = np.array(boxes["true_edges"])
    assert (edges % 1 == 0.5).all()  # whole labels are never on an edge
    inner = np.histogram(label, bins=edges)[0]
    assert counts.sum(axis=1)[1:-1].tolist() == inner[1:-1].tolist()
    assert found["residual_mean"] == pytest.approx((label - prediction).mean())
    assert found["residual_quantiles"]["0.5"] == pytest.approx(np.median(label - prediction))


@pytest.mark.parametrize("label", [np.full(50, 3.0), np.array([2.0])])
def test_labels_that_are_all_the_same(engine, label) -> None:
    found = diagnosed(engine, "regression", {"label: y": label, "prediction: y": label})
    assert np.array(found["predicted_true"]["counts"]).sum() == len(label)
    assert found["residual_mean"] == 0


def test_two_classes_equal_scikit_learn(engine) -> None:
    random = np.random.default_rng(1)
    score = np.round(random.random(4000), 2)
    label = (random.random(4000) < score).astype(float)
    found = diagnosed(engine, "binary", {"label: y": label, "prediction: y": score}, ("no", "yes"))
    assert found["confusion"]["classes"] == ["no", "yes"]
    assert found["confusion"]["counts"] == sk.confusion_matrix(label, score >= 0.5).tolist()
    (curve,) = found["curves"]
    assert curve["class"] == "yes"
    assert (curve["num_positive"], curve["num_negative"]) == (label.sum(), (1 - label).sum())
    assert curve["auc"] == pytest.approx(sk.roc_auc_score(label, score), abs=1e-12)
    assert curve["average_precision"] == pytest.approx(sk.average_precision_score(label, score), abs=1e-12)
    fall_out, recall, _ = sk.roc_curve(label, score, drop_intermediate=False)
    at = dict(zip(fall_out, recall, strict=True))
    assert len(curve["roc"]["threshold"]) > 50
    for x, y in zip(curve["roc"]["false_positive_rate"], curve["roc"]["true_positive_rate"], strict=True):
        assert y == pytest.approx(np.interp(x, fall_out, recall)) or x in at
    for place in curve["reliability"]:
        own = (score * 10).astype(int).clip(0, 9) == round(place["low"] * 10)
        assert place["num_rows"] == own.sum()
        assert place["share"] == pytest.approx(label[own].mean())
        assert place["mean_predicted"] == pytest.approx(score[own].mean())
        assert place["share_low"] < place["share"] < place["share_high"]
    assert curve["calibration_error"] < 0.03


def test_curves_are_thinned(engine) -> None:
    random = np.random.default_rng(2)
    score = random.random(100_000)
    label = (random.random(100_000) < score).astype(float)
    (curve,) = diagnosed(engine, "binary", {"label: y": label, "prediction: y": score}, (0, 1))["curves"]
    assert len(curve["roc"]["threshold"]) < 450
    assert (curve["roc"]["false_positive_rate"][-1], curve["roc"]["true_positive_rate"][-1]) == (1.0, 1.0)
    x, y = curve["roc"]["false_positive_rate"], curve["roc"]["true_positive_rate"]
    assert np.trapezoid(y, x) == pytest.approx(curve["auc"], abs=2e-3)


def many_classes(num_classes: int, num_rows: int = 3000) -> tuple[dict, np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    scores = random.dirichlet(np.geomspace(1, 0.2, num_classes), num_rows).astype(np.float32)
    label = (random.random((num_rows, 1)) > scores.cumsum(axis=1)[:, :-1]).sum(axis=1)
    rows = {
        "label: y": label.astype(float),
        "prediction: y": scores.argmax(axis=1).astype(float),
        "predicted_probability: y": scores.max(axis=1),
    }
    if num_classes <= 20:
        rows["class_probabilities: y"] = pa.FixedSizeListArray.from_arrays(pa.array(scores.ravel()), num_classes)
    return rows, label, scores


def test_more_classes_equal_scikit_learn(engine) -> None:
    rows, label, scores = many_classes(4)
    found = diagnosed(engine, "classes", rows, ("a", "b", "c", "d"))
    assert found["confusion"]["counts"] == sk.confusion_matrix(label, scores.argmax(axis=1)).tolist()
    assert [curve["class"] for curve in found["curves"]] == ["a", "b", "c", "d"]
    for k, curve in enumerate(found["curves"]):
        assert curve["auc"] == pytest.approx(sk.roc_auc_score(label == k, scores[:, k]), abs=1e-9)


def test_of_many_classes_the_frequent_ones_are_shown(engine) -> None:
    rows, _, _ = many_classes(30)
    rows["label: y"][:7] = -1.0  # a class that train does not have
    found = diagnosed(engine, "classes", rows, tuple(range(30)))
    counts = np.array(found["confusion"]["counts"])
    assert found["confusion"]["classes"][-1] == "(others)"
    assert counts.shape == (21, 21)
    assert counts.sum() == 3000
    assert found["curves"] == []


def test_one_class_only_has_no_curve_to_speak_of(engine) -> None:
    (curve,) = diagnosed(engine, "binary", {"label: y": np.zeros(5), "prediction: y": np.linspace(0, 1, 5)}, (0, 1))[
        "curves"
    ]
    assert curve["auc"] is None
    assert curve["average_precision"] is None
