"""Every metric against scikit-learn, overall and in every slice; a new metric without an oracle fails here."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as sk
from sqlglot import exp

from cengine.evaluation.slices import measure
from cengine.expressions.build import column, double
from cengine.metrics.table import METRICS, metric_label

NUM_CLASSES = 7
TASKS = ("regression", "quantiles", "binary", "classes", "reconstruction")
QUANTILES = (0.1, 0.4, 0.95)
SCALES = ("scale", "squared_scale")


def nonzero_percentage(rows):
    kept = rows["label"] != 0
    return 100 * sk.mean_absolute_percentage_error(rows["label"][kept], rows["prediction"][kept])


def chosen(rows, threshold=0.5):
    return (rows["prediction"] >= threshold).astype(float)


def average(of):
    """Precision, recall or F1 of two classes; of more the mean over the classes that occur."""

    def binary(rows, threshold=0.5):
        return of(rows["label"], chosen(rows, threshold), zero_division=0.0)

    def classes(rows, threshold=0.5):
        return of(rows["label"], rows["prediction"], average="macro", zero_division=0.0)

    return {"binary": binary, "classes": classes}


def of_numbers(of):
    """A metric of numbers, which of quantiles is one of the point prediction."""
    return {"regression": of, "quantiles": of}


def of_scores(of):
    """A metric of scores, of two classes or of odd rows."""
    return {"binary": of, "reconstruction": of}


def quantile_loss(rows):
    losses = [sk.mean_pinball_loss(rows["label"], rows[f"quantile_{share}"], alpha=share) for share in QUANTILES]
    return np.mean(losses)


def coverage(rows):
    return np.mean((rows["label"] >= rows["quantile_0.1"]) & (rows["label"] <= rows["quantile_0.95"]))


def interval_width(rows):
    return np.mean(rows["quantile_0.95"] - rows["quantile_0.1"])


def symmetric(rows):
    size = np.abs(rows["label"]) + np.abs(rows["prediction"])
    return 200 * np.mean(
        np.where(size == 0, 0.0, np.abs(rows["label"] - rows["prediction"]) / np.maximum(size, 1e-300))
    )


def weighted(rows):
    return np.abs(rows["label"] - rows["prediction"]).sum() / np.abs(rows["label"]).sum()


def scaled(power, scale):
    """The mean over the series of their mean error by their scale, each by its share; those without a scale are left out."""

    def of(rows):
        parts, shares = [], []
        for name in sorted(set(rows["series"][np.isfinite(rows[scale])])):
            own = rows["series"] == name
            errors = np.abs(rows["label"][own] - rows["prediction"][own]) ** power
            parts.append(errors.mean() / rows[scale][own][0])
            shares.append(rows["series_share"][own].sum())
        return np.average(parts, weights=shares) ** (1 / power) if parts else math.nan

    return of


ALL_CLASSES = list(range(NUM_CLASSES))
# metric -> task -> (rows, parameters) -> number
ORACLE = {
    "mae": of_numbers(lambda rows: sk.mean_absolute_error(rows["label"], rows["prediction"])),
    "mse": of_numbers(lambda rows: sk.mean_squared_error(rows["label"], rows["prediction"])),
    "rmse": of_numbers(lambda rows: sk.root_mean_squared_error(rows["label"], rows["prediction"])),
    "mape": of_numbers(nonzero_percentage),
    "r2": of_numbers(lambda rows: sk.r2_score(rows["label"], rows["prediction"])),
    "smape": of_numbers(symmetric),
    "wape": of_numbers(weighted),
    "mase": of_numbers(scaled(1, "scale")),
    "rmsse": of_numbers(scaled(2, "squared_scale")),
    "wql": {"quantiles": lambda rows: 2 * quantile_loss(rows) / np.abs(rows["label"]).mean()},
    "quantile_loss": {"quantiles": quantile_loss},
    "coverage": {"quantiles": coverage},
    "interval_width": {"quantiles": interval_width},
    "accuracy": {
        "binary": lambda rows: sk.accuracy_score(rows["label"], chosen(rows)),
        "classes": lambda rows: sk.accuracy_score(rows["label"], rows["prediction"]),
    },
    "auc": of_scores(lambda rows: sk.roc_auc_score(rows["label"], rows["prediction"])),
    "pr_auc": of_scores(lambda rows: sk.average_precision_score(rows["label"], rows["prediction"])),
    "squared_error": {"reconstruction": lambda rows: np.mean(rows["score_squared"])},
    "score": {"reconstruction": lambda rows: np.mean(rows["prediction"])},
    "above_threshold": {"reconstruction": lambda rows: np.mean(rows["score_above"])},
    "precision_above": {
        "reconstruction": lambda rows: sk.precision_score(rows["label"], rows["score_above"], zero_division=0.0)
    },
    "precision": average(sk.precision_score),
    "recall": average(sk.recall_score),
    "f1": average(sk.f1_score),
    "log_loss": {
        "binary": lambda rows: sk.log_loss(rows["label"], rows["prediction"], labels=[0.0, 1.0]),
        "classes": lambda rows: sk.log_loss(rows["label"], rows["shares"], labels=ALL_CLASSES),
    },
    "top_k": {
        "classes": lambda rows, k=5: sk.top_k_accuracy_score(rows["label"], rows["shares"], k=k, labels=ALL_CLASSES)
    },
}
PARAMETERS = {
    "top_k": {"k": 2},
    "precision": {"threshold": 0.3},
    "recall": {"threshold": 0.3},
    "f1": {"threshold": 0.3},
}
CASES = [
    pytest.param(METRICS[name](**parameters), task, id=f"{name}-{task}-{parameters}")
    for name in METRICS
    for task in METRICS[name].tasks
    for parameters in [{}, *([PARAMETERS[name]] if name in PARAMETERS else [])]
]


def made_rows(task, num_rows=3000):
    """Labels, predictions and slice columns: ties in the scores, a slice of one row, a null slice, single-class slices."""
    random = np.random.default_rng(11)
    rows = {
        "_split": random.integers(1, 3, num_rows),
        "city": np.array(["Wien", "Graz", "Linz", None], object)[random.integers(0, 4, num_rows)],
        "gender": random.integers(0, 3, num_rows),
    }
    rows["city"][0], rows["city"][1:40] = "one row", "one class"
    if task in ("regression", "quantiles"):
        # Labels far from 0, where sums of squares cancel; a few are 0.
        rows["label"] = np.where(random.random(num_rows) < 0.01, 0.0, np.round(random.normal(1978, 10, num_rows), 1))
        rows["prediction"] = rows["label"] + random.normal(1, 5, num_rows)
        rows["label"][1:40] = 1969.0
        rows["prediction"][60:70] = rows["label"][60:70] = 0.0
        rows["series"] = random.integers(0, 5, num_rows)
        # The last series is constant in train.
        rows["scale"] = np.array([2.0, 0.5, 30.0, 7.0, np.nan])[rows["series"]]
        rows["squared_scale"] = np.array([5.0, 0.7, 1200.0, 50.0, np.nan])[rows["series"]]
        rows["series_share"] = 1 / np.bincount(rows["series"])[rows["series"]]
        for share in QUANTILES if task == "quantiles" else ():
            rows[f"quantile_{share}"] = rows["prediction"] + random.normal(20 * (share - 0.4), 2, num_rows)
        if task == "quantiles":
            rows["quantile_0.1"][40:60] = rows["label"][40:60]  # the ends of an interval are within it
    elif task == "reconstruction":
        rows["label"] = (random.random(num_rows) < 0.1).astype(float)
        rows["prediction"] = np.round(rows["label"] + random.lognormal(0, 1, num_rows), 2)
        rows["score_squared"] = rows["prediction"] * random.random(num_rows)
        rows["score_above"] = (rows["prediction"] > 2).astype(float)
        rows["label"][1:40] = 1.0
    elif task == "binary":
        rows["label"] = random.integers(0, 2, num_rows).astype(float)
        rows["prediction"] = np.round(np.clip(0.3 * rows["label"] + random.random(num_rows) * 0.7, 0.01, 0.99), 2)
        rows["label"][1:40] = 1.0
    else:
        rows["label"] = random.integers(0, NUM_CLASSES, num_rows).astype(float)
        rows["label"][1:40] = 3.0
        scores = random.random((num_rows, NUM_CLASSES)) + 0.7 * np.eye(NUM_CLASSES)[rows["label"].astype(int)]
        rows["shares"] = scores / scores.sum(axis=1, keepdims=True)
        own = rows["shares"][np.arange(num_rows), rows["label"].astype(int)]
        rows["prediction"] = rows["shares"].argmax(axis=1).astype(float)
        rows["label_probability"], rows["label_rank"] = own, 1.0 + (rows["shares"] > own[:, None]).sum(axis=1)
    return rows


def roles(rows):
    """Where metrics find what they read."""

    def role(name):
        if name == "center":
            return double(float(rows["label"].mean()))
        if name == "quantiles":
            return exp.Tuple(expressions=[exp.Literal.number(str(share)) for share in QUANTILES])
        return column("prediction" if name == "predicted_class" else name)

    return role


def measured(engine, rows, task, metrics, slices, within=("_split",)):
    engine.register("predictions", arrow(rows))
    return measure(engine, exp.to_table("predictions"), roles(rows), task, metrics, slices, within)


def arrow(rows):
    """The rows as a table; a scale that is not known is null."""
    arrays = {name: array for name, array in rows.items() if array.ndim == 1}
    return pa.table({name: pa.array(array, from_pandas=name in SCALES) for name, array in arrays.items()})


def where(rows, **values):
    """The rows with these values in these columns."""
    kept = np.ones(len(rows["label"]), bool)
    for name, value in values.items():
        kept &= np.array([cell == value or (cell is None and value is None) for cell in rows[name]])
    return {name: array[kept] for name, array in rows.items()}


def expected(metric, task, rows):
    """What scikit-learn finds; NaN where the metric is not defined, whatever scikit-learn puts there."""
    labels = rows["label"]
    undefined = {
        "auc": len(set(labels)) < 2,
        "pr_auc": not labels.any(),
        "mape": not labels.any(),
        "wape": not labels.any(),
        "wql": not labels.any(),
        "r2": len(set(labels)) < 2,
    }
    if undefined.get(metric.name, False):
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ORACLE[metric.name][task](rows, **metric.parameters())


@pytest.mark.parametrize(("metric", "task"), CASES)
def test_metric_equals_scikit_learn_overall_and_per_slice(metric, task, engine) -> None:
    rows = made_rows(task)
    slices = ((), ("city",), ("city", "gender"))
    for keys, found in zip(slices, measured(engine, rows, task, [metric], slices), strict=True):
        assert found.keys == ("_split", *keys)
        table = found.table.to_pylist()
        assert sum(row["num_rows"] for row in table) == len(rows["label"])
        assert [row["num_rows"] for row in table] == sorted((row["num_rows"] for row in table), reverse=True)
        for row in table:
            part = where(rows, **{name: row[name] for name in found.keys})
            assert row["num_rows"] == len(part["label"])
            assert row[metric_label(metric)] == pytest.approx(
                expected(metric, task, part), rel=1e-9, abs=1e-9, nan_ok=True
            ), row


@pytest.mark.parametrize("task", TASKS)
def test_all_metrics_together_are_the_same_as_one_by_one(task, engine) -> None:
    rows = made_rows(task)
    metrics = [case.values[0] for case in CASES if case.values[1] == task]
    together = measured(engine, rows, task, metrics, [("city", "gender")])[0].table
    for metric in metrics:
        alone = measured(engine, rows, task, [metric], [("city", "gender")])[0].table
        assert alone["num_rows"].equals(together["num_rows"])
        np.testing.assert_array_equal(alone[metric_label(metric)].to_numpy(), together[metric_label(metric)].to_numpy())


@pytest.mark.parametrize(("metric", "task"), CASES)
def test_one_row_slice_gives_a_number_or_nan(metric, task, engine) -> None:
    rows = {name: array[:1] for name, array in made_rows(task).items()}
    (found,) = measured(engine, rows, task, [metric], [()])
    value = found.table[metric_label(metric)][0].as_py()
    assert value == pytest.approx(expected(metric, task, rows), rel=1e-9, nan_ok=True)
    if metric.name in ("auc", "r2"):
        assert math.isnan(value)


@pytest.mark.parametrize("name", ["mae", "mse", "accuracy", "log_loss", "quantile_loss", "coverage", "interval_width"])
def test_slices_weighted_by_their_rows_give_the_overall_metric(name, engine) -> None:
    task = METRICS[name].tasks[0]
    overall, slices = measured(engine, made_rows(task), task, [METRICS[name]()], [(), ("city", "gender")], within=())
    weights, values = slices.table["num_rows"].to_numpy(), slices.table[name].to_numpy()
    assert overall.table[name][0].as_py() == pytest.approx(np.average(values, weights=weights), rel=1e-9)


@pytest.mark.parametrize(
    "slice_name", ["p", "n", "hit", "correct", "positive", "_score", "_class", "actual", "_which", "a \"b\" 'c'"]
)
@pytest.mark.parametrize("task", ["binary", "classes"])
def test_slice_columns_may_have_any_name(slice_name, task, engine) -> None:
    rows = made_rows(task)
    metrics = [case.values[0] for case in CASES if case.values[1] == task]
    plain = measured(engine, rows, task, metrics, [("city",)])[0].table
    renamed = {slice_name if name == "city" else name: array for name, array in rows.items()}
    found = measured(engine, renamed, task, metrics, [(slice_name,)])[0].table
    assert found.num_rows == plain.num_rows
    for metric in metrics:
        np.testing.assert_array_equal(found[metric_label(metric)].to_numpy(), plain[metric_label(metric)].to_numpy())


def test_every_metric_has_an_oracle() -> None:
    assert {(name, task) for name in ORACLE for task in ORACLE[name]} == {
        (name, task) for name in METRICS for task in METRICS[name].tasks
    }
    for name, metric in METRICS.items():
        assert set(PARAMETERS.get(name, {})) == set(metric.model_fields), f"a parameter of {name} is never set"
