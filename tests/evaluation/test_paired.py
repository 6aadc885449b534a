"""Differences of two models on the same rows: right, and as uncertain as they say."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as sk

from cengine.config.resolve import Label
from cengine.evaluation.paired import Side, differences, join_pair
from cengine.metrics.table import METRICS
from cengine.preprocess.targets import targets_of

SPLITS = ("train", "eval")


def head_of(task: str):
    kind = "float" if task == "regression" else "string"
    label = Label("y", kind, "regression" if task == "regression" else "classes", None, (), None, None)
    fitted = (
        {"offset": 5.0, "scale": 1.0, "transforms": []}
        if task == "regression"
        else {"classes": list("abc")[: 2 if task == "binary" else 3]}
    )
    (head,) = targets_of([label], {"labels": {"y": fitted}})
    assert head.task.name == task
    return head


@pytest.fixture
def compare(engine, tmp_path):
    """The differences of two predictions of `y`; `ids` default to the same random ones."""

    def run(task, first, second, names, ids=None, splits=(SPLITS, SPLITS), numbers=None, **options):
        random = np.random.default_rng(7)
        sides = []
        for i, columns in enumerate((first, second)):
            n = len(columns["label: y"])
            identity = ids[i] if ids else np.random.default_rng(7).integers(0, 2**62, n)
            number = numbers[i] if numbers else np.ones(n)
            table = pa.table(
                {"_row_id": pa.array(identity, pa.int64()), "_split": pa.array(number, pa.int16()), **columns}
            )
            # Rows of predictions come in no order that two runs share.
            pq.write_table(table.take(random.permutation(n)), tmp_path / f"{i}.parquet")
            sides.append(Side(tmp_path / f"{i}.parquet", splits[i], {"y": head_of(task)}))
        pair = join_pair(engine, *sides, tmp_path / "pair.parquet")
        return differences(engine, pair, "y", [METRICS[name]() for name in names], **options)

    return run


def regression(y, p):
    return {"label: y": y, "prediction: y": p}


def binary(y, p):
    return {"label: y": y.astype(float), "prediction: y": p}


def classes(y, probabilities):
    rows = np.arange(len(y))
    own = probabilities[rows, y]
    return {
        "label: y": y.astype(float),
        "prediction: y": probabilities.argmax(axis=1).astype(float),
        "label_probability: y": own,
        "label_rank: y": 1.0 + (probabilities > own[:, None]).sum(axis=1),
    }


def two_models(random, n, worse=0.0):
    """Labels and two models' numbers with errors that have much in common."""
    y = 5 + random.normal(size=n)
    hard = random.normal(size=n)
    return y, y + hard + 0.3 * random.normal(size=n), y + hard + math.hypot(0.3, worse) * random.normal(size=n)


def two_scores(random, n, worse=0.0):
    """Classes 0 and 1 and two models' probabilities that have much in common."""
    z = random.normal(size=n)
    y = (z + 0.7 * random.normal(size=n) > 0.8).astype(int)
    first, second = (1 / (1 + np.exp(-2 * (z + noise * random.normal(size=n)) + 1.5)) for noise in (0.5, 0.5 + worse))
    return y, first, second


def test_means_are_numpys(compare) -> None:
    y, p, q = two_models(np.random.default_rng(0), 3_000, 0.5)
    first, second = np.abs(y - p), np.abs(y - q)
    (mae, mse) = compare("regression", regression(y, p), regression(y, q), ["mae", "mse"])
    assert (mae.label, mae.split, mae.metric, mae.num_rows) == ("y", "eval", "mae", 3_000)
    assert mae.first == pytest.approx(first.mean(), rel=1e-9)
    assert mae.second == pytest.approx(second.mean(), rel=1e-9)
    assert mae.difference == pytest.approx((second - first).mean(), rel=1e-9)
    error = (second - first).std(ddof=1) / math.sqrt(3_000)
    assert (mae.high - mae.low) / 2 == pytest.approx(1.9607 * error, rel=1e-4)
    error = (second**2 - first**2).std(ddof=1) / math.sqrt(3_000)
    assert (mse.high - mse.low) / 2 == pytest.approx(1.9607 * error, rel=1e-4)


def test_functions_of_sums_are_the_delta_methods(compare) -> None:
    y, p, q = two_models(np.random.default_rng(1), 2_000, 0.5)
    rmse, r2 = compare("regression", regression(y, p), regression(y, q), ["rmse", "r2"])
    first, second = ((y - x) ** 2 for x in (p, q))
    roots = math.sqrt(first.mean()), math.sqrt(second.mean())
    assert rmse.difference == pytest.approx(roots[1] - roots[0], rel=1e-9)
    error = (second / (2 * roots[1]) - first / (2 * roots[0])).std(ddof=1) / math.sqrt(2_000)
    assert (rmse.high - rmse.low) / 2 == pytest.approx(1.9612 * error, rel=1e-4)
    assert r2.difference == pytest.approx(sk.r2_score(y, q) - sk.r2_score(y, p), rel=1e-6)
    total = ((y - y.mean()) ** 2).mean()
    shares = [1 - x.mean() / total for x in (first, second)]
    influences = [
        -(x - x.mean()) / total + (1 - share) * ((y - y.mean()) ** 2 - total) / total
        for x, share in zip((first, second), shares, strict=True)
    ]
    error = (influences[1] - influences[0]).std(ddof=1) / math.sqrt(2_000)
    assert (r2.high - r2.low) / 2 == pytest.approx(1.9612 * error, rel=1e-4)


def test_two_classes_are_sklearns(compare) -> None:
    y, p, q = two_scores(np.random.default_rng(2), 2_500, 0.4)
    names = ["accuracy", "auc", "pr_auc", "precision", "recall", "f1", "log_loss"]
    found = {d.metric: d for d in compare("binary", binary(y, p), binary(y, q), names)}
    assert list(found) == names
    for value, x in (("first", p), ("second", q)):
        expected = {
            "accuracy": sk.accuracy_score(y, x >= 0.5),
            "auc": sk.roc_auc_score(y, x),
            "pr_auc": sk.average_precision_score(y, x),
            "precision": sk.precision_score(y, x >= 0.5),
            "recall": sk.recall_score(y, x >= 0.5),
            "f1": sk.f1_score(y, x >= 0.5),
            "log_loss": sk.log_loss(y, x),
        }
        assert {name: getattr(found[name], value) for name in names} == pytest.approx(expected, rel=1e-9)
    for d in found.values():
        assert d.low < d.difference < d.high


def test_more_classes_are_sklearns(compare) -> None:
    random = np.random.default_rng(3)
    y = random.integers(0, 3, 2_000)
    truth = 2.0 * np.eye(3)[y]
    p, q = (np.exp(truth + noise * random.normal(size=(2_000, 3))) for noise in (1.0, 1.6))
    p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
    f1, accuracy = compare("classes", classes(y, p), classes(y, q), ["f1", "accuracy"])
    expected = [sk.f1_score(y, x.argmax(axis=1), average="macro") for x in (p, q)]
    assert [f1.first, f1.second] == pytest.approx(expected, rel=1e-9)
    assert f1.high < 0
    # Three classes alike, errors without preference: the two metrics know as much.
    assert f1.high - f1.low == pytest.approx(accuracy.high - accuracy.low, rel=0.4)


@pytest.mark.parametrize("leave_out", [True, False])
def test_groups_of_rows_agree_with_the_bootstrap(compare, leave_out) -> None:
    random = np.random.default_rng(4)
    n = 10_000
    y, p, q = two_scores(random, n, 0.3)
    found = compare("binary", binary(y, p), binary(y, q), ["auc", "pr_auc"], max_jackknife_rows=n if leave_out else 0)
    resampled = {"auc": [], "pr_auc": []}
    for _ in range(200):
        i = random.integers(0, n, n)
        resampled["auc"].append(sk.roc_auc_score(y[i], q[i]) - sk.roc_auc_score(y[i], p[i]))
        resampled["pr_auc"].append(sk.average_precision_score(y[i], q[i]) - sk.average_precision_score(y[i], p[i]))
    for d in found:
        half = 2.0096 * np.std(resampled[d.metric], ddof=1)
        # The jackknife's own standard error is 10 % with 50 groups, the bootstrap's 5 %.
        assert (d.high - d.low) / 2 == pytest.approx(half, rel=0.35), d.metric


def covered(found, truth) -> list[bool]:
    return [d.low <= t <= d.high for d, t in zip(found, truth, strict=True)]


@pytest.mark.slow
def test_intervals_hold_the_true_difference_19_times_of_20(compare) -> None:
    names = ["mae", "rmse", "r2"]
    y, p, q = two_models(np.random.default_rng(5), 1_000_000, 0.4)
    errors = [(np.abs(y - x).mean(), math.sqrt(((y - x) ** 2).mean()), sk.r2_score(y, x)) for x in (p, q)]
    truth = np.subtract(errors[1], errors[0])
    hits = []
    for seed in range(120):
        y, p, q = two_models(np.random.default_rng(1_000 + seed), 400, 0.4)
        hits.append(covered(compare("regression", regression(y, p), regression(y, q), names), truth))
    # Two standard errors of a share of 0.95 among 120 are 0.04.
    assert np.mean(hits, axis=0) == pytest.approx(np.full(3, 0.95), abs=0.05)


@pytest.mark.slow
def test_intervals_of_two_classes_hold_the_true_difference(compare) -> None:
    names = ["accuracy", "log_loss", "f1", "auc", "pr_auc"]
    y, p, q = two_scores(np.random.default_rng(6), 500_000, 0.4)
    of = [
        (
            sk.accuracy_score(y, x >= 0.5),
            sk.log_loss(y, x),
            sk.f1_score(y, x >= 0.5),
            sk.roc_auc_score(y, x),
            sk.average_precision_score(y, x),
        )
        for x in (p, q)
    ]
    truth = np.subtract(of[1], of[0])
    hits = []
    for seed in range(60):
        y, p, q = two_scores(np.random.default_rng(2_000 + seed), 1_000, 0.4)
        hits.append(covered(compare("binary", binary(y, p), binary(y, q), names), truth))
    assert np.mean(hits, axis=0) == pytest.approx(np.full(5, 0.95), abs=0.07)


def test_models_that_differ_by_noise_alone_are_seldom_told_apart(compare) -> None:
    told = 0
    for seed in range(60):
        y, p, q = two_models(np.random.default_rng(3_000 + seed), 500)
        (d,) = compare("regression", regression(y, p), regression(y, q), ["mae"])
        told += not d.low <= 0 <= d.high
    assert told <= 8


def test_a_difference_far_below_either_models_own_noise_is_seen(compare) -> None:
    y, p, _ = two_models(np.random.default_rng(8), 2_000)
    q = y + 1.02 * (p - y)
    (d,) = compare("regression", regression(y, p), regression(y, q), ["mae"])
    assert 0 < d.low < d.difference < 1.96 * np.abs(y - p).std() / math.sqrt(2_000)


def test_the_same_predictions_differ_by_nothing(compare) -> None:
    y, p, _ = two_scores(np.random.default_rng(9), 500)
    for d in compare("binary", binary(y, p), binary(y, p), ["accuracy", "f1", "auc", "pr_auc"]):
        assert (d.difference, d.low, d.high) == (0, 0, 0), d.metric


def test_rows_of_one_run_only_are_left_out(compare) -> None:
    random = np.random.default_rng(10)
    y, p, q = two_models(random, 1_000)
    ids = random.integers(0, 2**62, 1_000)
    # The second run has the first's rows from the 400th on, 100 of them in another split.
    numbers = (np.ones(1_000), np.where(np.arange(600) < 100, 2, 1))
    names = ("train", "eval", "test")
    (d,) = compare(
        "regression",
        regression(y, p),
        regression(y[400:], q[400:]),
        ["mae"],
        ids=(ids, ids[400:]),
        numbers=numbers,
        splits=(names, names),
    )
    assert d.num_rows == 500
    assert d.difference == pytest.approx(np.abs(y[500:] - q[500:]).mean() - np.abs(y[500:] - p[500:]).mean(), rel=1e-9)


def test_splits_go_by_their_names(compare) -> None:
    y, p, q = two_models(np.random.default_rng(11), 100)
    numbers = (np.full(100, 1), np.full(100, 2))
    found = compare(
        "regression",
        regression(y, p),
        regression(y, q),
        ["mae"],
        numbers=numbers,
        splits=(("train", "eval"), ("train", "test", "eval")),
    )
    assert [(d.split, d.num_rows) for d in found] == [("eval", 100)]


def test_too_few_rows_tell_nothing(compare) -> None:
    y, p = np.array([1.0]), np.array([2.0])
    (mae, r2) = compare("regression", regression(y, p), regression(y, p + 1), ["mae", "r2"])
    assert mae.difference == 1
    assert math.isnan(mae.low)
    assert math.isnan(r2.difference)
    y = np.zeros(40)
    (auc,) = compare("binary", binary(y, np.linspace(0, 1, 40)), binary(y, np.linspace(0, 0.5, 40)), ["auc"])
    assert math.isnan(auc.difference)
    assert math.isnan(auc.low)


def test_no_common_rows(compare) -> None:
    y, p, q = two_models(np.random.default_rng(12), 50)
    ids = np.arange(100)
    assert compare("regression", regression(y, p), regression(y, q), ["mae"], ids=(ids[:50], ids[50:])) == []


def test_rows_without_a_term_count_nothing(compare) -> None:
    """Of a label 0 there is no percentage."""
    y, p, q = two_models(np.random.default_rng(13), 400, 0.5)
    y[:100] = 0
    (d,) = compare("regression", regression(y, p), regression(y, q), ["mape"])
    first, second = (np.abs(y[100:] - x[100:]) / np.abs(y[100:]) * 100 for x in (p, q))
    assert d.difference == pytest.approx(second.mean() - first.mean(), rel=1e-9)
    error = (second - first).std(ddof=1) / math.sqrt(300)
    assert (d.high - d.low) / 2 == pytest.approx(1.966 * error, rel=0.02)


def test_names_of_labels_are_names_only(engine, tmp_path) -> None:
    from dataclasses import replace

    name = 'y"); DROP TABLE x; --: 🚲'
    head = head_of("regression")
    head = replace(head, label=replace(head.label, name=name))
    table = pa.table(
        {
            "_row_id": [1, 2, 3],
            "_split": pa.array([1, 1, 1], pa.int16()),
            f"label: {name}": [1.0, 2, 3],
            f"prediction: {name}": [1.0, 2, 5],
        }
    )
    pq.write_table(table, tmp_path / "p.parquet")
    side = Side(tmp_path / "p.parquet", SPLITS, {name: head})
    (d,) = differences(engine, join_pair(engine, side, side, tmp_path / "pair.parquet"), name, [METRICS["mae"]()])
    assert (d.label, d.first, d.difference) == (name, pytest.approx(2 / 3), 0)
