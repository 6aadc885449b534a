"""95 % intervals: they hold the true value about 95 times in a hundred, for every metric; and the edges."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as sk
from sqlglot import exp

from cengine.engines.duckdb import DuckDB
from cengine.evaluation.slices import measure
from cengine.expressions.build import column, double
from cengine.metrics.intervals import Z, logit_interval, mean_interval, share_interval
from cengine.metrics.table import METRICS, metric_label

NUM_TABLES, NUM_ROWS = 500, 400
# Of 500 tables so many may miss: a 95 % interval that is right misses between 11 and 41 in all but one of 10,000 cases;
# those of large-sample formulas are let miss a little more.
FEWEST_HITS, MOST_HITS = 0.905, 0.985
CASES = [(name, task) for name in METRICS for task in METRICS[name].tasks]


def made_rows(task: str, num_rows: int, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Rows of one population: labels, and predictions that know something of them."""
    if task in ("regression", "quantiles"):
        signal = random.normal(size=num_rows)
        label = 25 + 2 * signal + random.gamma(2.0, 0.7, num_rows)
        point = 26.4 + 1.5 * signal
        series = random.integers(0, 3, num_rows)
        of_series = {
            "scale": np.array([1.0, 2.0, 5.0])[series],
            "squared_scale": np.array([2.0, 5.0, 30.0])[series],
            "series_share": np.array([1.0, 0.5, 2.0])[series],
        }
        if task == "quantiles":
            return {
                **of_series,
                "label": label,
                "prediction": point,
                "quantile_0.1": point - 1.2,
                "quantile_0.9": point + np.exp(signal / 3),
            }
        return {**of_series, "label": label, "prediction": point}
    if task == "reconstruction":
        odd = random.random(num_rows) < 0.3
        score = random.gamma(3.0, 0.3, num_rows) * np.where(odd, 1.7, 1.0)
        return {
            "label": odd.astype(float),
            "prediction": score,
            "score_squared": score * random.gamma(4.0, 0.25, num_rows),
            "score_above": (score > 1.2).astype(float),
        }
    if task == "binary":
        probability = random.beta(1.2, 2.0, num_rows)
        return {"label": (random.random(num_rows) < probability).astype(float), "prediction": probability**0.8}
    scores = random.dirichlet((0.9, 0.7, 0.5, 0.4), num_rows)
    label = (random.random((num_rows, 1)) > scores.cumsum(axis=1)[:, :3]).sum(axis=1)
    own = scores[np.arange(num_rows), label]
    return {
        "label": label.astype(float),
        "prediction": scores.argmax(axis=1).astype(float),
        "label_probability": own,
        "label_rank": 1.0 + (scores > own[:, None]).sum(axis=1),
    }


def roles(wanted: str):
    if wanted == "quantiles":
        return exp.Tuple(expressions=[exp.Literal.number("0.1"), exp.Literal.number("0.9")])
    names = {"predicted_class": "prediction"}
    return double(26.0) if wanted == "center" else column(names.get(wanted, wanted))


def metric_of(name: str):
    return METRICS["top_k"](k=2) if name == "top_k" else METRICS[name]()


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Every metric of 500 tables of 400 rows of one population, and of one of 400,000, by task."""
    found = {}
    with DuckDB(tmp_path_factory.mktemp("scratch") / "s", memory_bytes=2**30, threads=2) as engine:
        for task in ("regression", "quantiles", "binary", "classes", "reconstruction"):
            metrics = [metric_of(name) for name, of in CASES if of == task]
            random = np.random.default_rng(3)
            small = made_rows(task, NUM_TABLES * NUM_ROWS, random)
            engine.register("small", pa.table({"_split": np.repeat(np.arange(NUM_TABLES), NUM_ROWS), **small}))
            engine.register(
                "large", pa.table({"_split": np.zeros(400_000, np.int64), **made_rows(task, 400_000, random)})
            )
            found[task] = [
                measure(engine, column(name), roles, task, metrics, intervals=True)[0].table
                for name in ("small", "large")
            ]
    return found


@pytest.mark.parametrize(("name", "task"), CASES)
def test_an_interval_holds_the_truth_as_often_as_it_says(measured, name: str, task: str) -> None:
    small, large = measured[task]
    label = metric_label(metric_of(name))
    truth = large[label][0].as_py()
    low, high = (small[f"{label}: {end}"].to_numpy() for end in ("low", "high"))
    hits = np.mean((low <= truth) & (truth <= high))
    assert FEWEST_HITS <= hits <= MOST_HITS
    assert (low <= small[label].to_numpy()).all()
    assert (small[label].to_numpy() <= high).all()


def test_a_thousand_times_the_rows_have_narrow_intervals(measured) -> None:
    for small, large in measured.values():
        for name in [n.removesuffix(": low") for n in large.column_names if n.endswith(": low")]:
            widths = [np.mean(t[f"{name}: high"].to_numpy() - t[f"{name}: low"].to_numpy()) for t in (small, large)]
            assert widths[1] < 0.08 * widths[0], name


def test_of_one_row_nothing_is_known_of_the_spread() -> None:
    low, high = mean_interval(np.array([3.0]), np.array([9.0]), np.array([1]))
    assert np.isnan(low[0])
    assert np.isnan(high[0])


def test_shares_stay_within_nought_and_one() -> None:
    low, high = share_interval(np.array([0, 5, 10, 0]), np.array([10, 10, 10, 0]))
    assert low[0] == pytest.approx(0, abs=1e-12)
    assert high[0] == pytest.approx(0.2775, abs=1e-4)  # Wilson's interval of 0 in 10
    assert low[2] == pytest.approx(1 - 0.2775, abs=1e-4)
    assert high[2] == pytest.approx(1, abs=1e-12)
    assert low[1] + high[1] == pytest.approx(1)
    assert np.isnan([low[3], high[3]]).all()


def test_a_perfect_average_precision_has_no_interval() -> None:
    assert np.isnan(logit_interval(np.array([1.0]), np.array([50]))).all()


def test_delong_equals_its_definition(tmp_path) -> None:
    """Placements counted pair by pair, with ties."""
    random = np.random.default_rng(0)
    score = np.round(random.random(120), 1)
    label = (random.random(120) < score).astype(float)
    above = (score[label == 1][:, None] > score[label == 0][None, :]) + 0.5 * (
        score[label == 1][:, None] == score[label == 0][None, :]
    )
    variance = above.mean(axis=1).var(ddof=1) / (label == 1).sum() + above.mean(axis=0).var(ddof=1) / (label == 0).sum()
    with DuckDB(tmp_path / "s", memory_bytes=2**28, threads=2) as engine:
        engine.register("rows", pa.table({"_split": np.zeros(120, np.int64), "label": label, "prediction": score}))
        (found,) = measure(engine, column("rows"), roles, "binary", [METRICS["auc"]()], intervals=True)
    (row,) = found.table.to_pylist()
    assert row["auc"] == pytest.approx(sk.roc_auc_score(label, score), rel=1e-12)
    assert row["auc: high"] == pytest.approx(row["auc"] + Z * np.sqrt(variance), rel=1e-9)
    assert row["auc: low"] == pytest.approx(row["auc"] - Z * np.sqrt(variance), rel=1e-9)


def test_slices_without_a_label_of_both_kinds(tmp_path) -> None:
    """No AUC, no interval, and no warning."""
    with DuckDB(tmp_path / "s", memory_bytes=2**28, threads=2) as engine:
        engine.register(
            "rows", pa.table({"_split": [1, 1, 2], "label": [1.0, 1.0, 0.0], "prediction": [0.3, 0.9, 0.2]})
        )
        metrics = [METRICS[name]() for name in ("auc", "pr_auc", "precision", "recall", "f1", "log_loss")]
        (found,) = measure(engine, column("rows"), roles, "binary", metrics, intervals=True)
    rows = {row["_split"]: row for row in found.table.to_pylist()}
    assert np.isnan([rows[1]["auc"], rows[1]["auc: low"], rows[2]["auc"], rows[2]["recall: high"]]).all()
    assert rows[1]["precision: low"] > 0
