"""Rows that count differently: in training, in the constants, in every metric; classes that do: in training alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as sklearn_metrics

import cengine
from cengine.errors import CengineError
from cengine.pipeline.execute import Outcome

NUM_ROWS = 900
DENSE = {
    "train_steps": 80,
    "train_batch_size": 64,
    "optimizer": {"type": "adam", "learning_rate": 0.02},
    "layers": [{"type": "dense", "units": 4}],
}
TREES = {"architecture": "boosted_trees", "trees": 8, "leaves": 5, "min_rows_in_leaf": 5}


def table(**changed: np.ndarray) -> pa.Table:
    random = np.random.default_rng(4)
    x, z = random.normal(size=(2, NUM_ROWS))
    price = np.round(100 + 20 * x + 10 * random.normal(size=NUM_ROWS))
    is_held_out = np.arange(NUM_ROWS) >= 600
    columns = {
        "x": x, "z": z, "price": price,
        "many": random.integers(0, 4, size=NUM_ROWS) + (x > 0),
        "rare": np.where(x + z + random.normal(size=NUM_ROWS) > 1.5, "yes", "no"),
        "part": np.where(is_held_out, "eval", "train"),
        "shop": np.array(["a", "b", "c"])[np.arange(NUM_ROWS) % 3],
        "n": random.integers(0, 4, size=NUM_ROWS),
    }  # fmt: skip
    return pa.table({**columns, **changed})


def run(folder: Path, labels: dict, rows: pa.Table, trainer: dict, *, kind: str = "regression", **more) -> Outcome:
    folder.mkdir()
    project = cengine.open_project(folder / "project")
    pq.write_table(rows, folder / "t.parquet")
    snapshot = cengine.register(project, "parquet", path=str(folder / "t.parquet"))
    config = {
        "features": ["x", "z"],
        "labels": labels,
        "split": {"categorize": {"by": "part", "categories": {"train": ["train"], "eval": ["eval"]}}, **more},
        "trainer": {"type": kind, **trainer},
        "evaluator": {"slices": [["shop"]]},
    }
    return cengine.execute(cengine.plan(project, cengine.parse_config(json.dumps(config)), snapshot))


def told(outcome: Outcome) -> dict[str, dict]:
    return {row["metric"]: row for row in outcome.results.overall_rows}


def held_out(outcome: Outcome, label: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label, prediction and weight of the evaluated rows."""
    found = outcome.predictions().to_pandas()
    return tuple(found[f"{what}: {label}"].to_numpy() for what in ("label", "prediction", "weight"))


def test_metrics_of_numbers_are_those_of_rows_repeated(tmp_path) -> None:
    outcome = run(
        tmp_path / "a", {"price": {"sample_weight": "n", "metrics": ["mae", "rmse", "r2", "mape"]}}, table(), DENSE
    )
    label, prediction, weight = held_out(outcome, "price")
    assert sorted(set(weight)) == [0, 1, 2, 3]
    label, prediction = np.repeat(label, weight.astype(int)), np.repeat(prediction, weight.astype(int))
    found = told(outcome)
    assert found["mae"]["model"] == pytest.approx(np.abs(label - prediction).mean())
    assert found["rmse"]["model"] == pytest.approx(np.sqrt(((label - prediction) ** 2).mean()))
    assert found["r2"]["model"] == pytest.approx(sklearn_metrics.r2_score(label, prediction))
    assert found["mape"]["model"] == pytest.approx(
        100 * sklearn_metrics.mean_absolute_percentage_error(label, prediction)
    )
    # The constant is that of train rows repeated, and so is what it reaches.
    rows = table().to_pandas()
    train = rows[rows["part"] == "train"]
    median = float(np.sort(np.repeat(train["price"], train["n"]))[int(train["n"].sum()) // 2 - 1])
    assert found["mae"]["constant_is"] == f"train median {median:g}"
    assert found["mae"]["constant"] == pytest.approx(np.abs(label - median).mean())
    mean = np.average(train["price"], weights=train["n"])
    assert found["rmse"]["constant"] == pytest.approx(np.sqrt(((label - mean) ** 2).mean()))
    assert outcome.results.overall_rows[0]["num_rows"] == 300


def test_quantiles_are_weighted_too(tmp_path) -> None:
    label = {
        "price": {
            "sample_weight": "n",
            "loss": {"type": "quantile", "at": [0.2, 0.8]},
            "metrics": ["coverage", "quantile_loss"],
        }
    }
    found = told(run(tmp_path / "a", label, table(), TREES))
    rows = table().to_pandas()
    train, held = (rows[rows["part"] == part] for part in ("train", "eval"))
    repeated = np.sort(np.repeat(train["price"], train["n"]).to_numpy())
    low, high = repeated[[int(np.ceil(share * len(repeated))) - 1 for share in (0.2, 0.8)]]
    assert found["coverage"]["constant"] == pytest.approx(
        np.average(held["price"].between(low, high), weights=held["n"])
    )
    assert found["quantile_loss"]["model"] < found["quantile_loss"]["constant"]


def test_folds_are_weighted_and_quantiles_attributed(tmp_path) -> None:
    """All at once: weighted rows in folds, quantiles by trees, what features add to the median."""
    label = {"price": {"sample_weight": "n", "loss": "quantile", "metrics": ["quantile_loss", "mae", "coverage"]}}
    (tmp_path / "a").mkdir()
    project = cengine.open_project(tmp_path / "a" / "project")
    pq.write_table(table(), tmp_path / "t.parquet")
    snapshot = cengine.register(project, "parquet", path=str(tmp_path / "t.parquet"))
    config = {
        "features": ["x", "z"],
        "labels": label,
        "split": {"folds": 3},
        "trainer": {"type": "regression", **TREES},
    }
    outcome = cengine.execute(cengine.plan(project, cengine.parse_config(json.dumps(config)), snapshot))
    found = outcome.predictions().to_pandas()
    assert len(found) == NUM_ROWS
    error = np.abs(found["label: price"] - found["prediction: price"])
    row = told(outcome)["mae"]
    assert row["model"] == pytest.approx(np.average(error, weights=found["weight: price"]))
    by_fold = [np.average(error[part.index], weights=part["weight: price"]) for _, part in found.groupby("_fold")]
    assert row["folds"]["values"] == pytest.approx(by_fold)
    (attributed,) = outcome.results.truth["attributions"]
    assert attributed["unit"] == "price, its quantile 0.5"
    assert attributed["features"][0]["feature"] == "x"
    assert attributed["features"][0]["value"] > 5 * attributed["features"][1]["value"]


def test_the_interval_is_that_of_fewer_rows(tmp_path) -> None:
    equal = run(tmp_path / "a", {"price": {"metrics": ["mae"]}}, table(), DENSE)
    heavy = run(
        tmp_path / "b", {"price": {"sample_weight": "w", "metrics": ["mae"]}}, table(w=np.full(NUM_ROWS, 7.5)), DENSE
    )
    for name, value in told(equal)["mae"].items():  # whatever the unit of equal weights
        assert told(heavy)["mae"][name] == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value), name
    weights = np.where(np.arange(NUM_ROWS) % 10 == 0, 50.0, 1.0)
    few = told(run(tmp_path / "c", {"price": {"sample_weight": "w", "metrics": ["mae"]}}, table(w=weights), DENSE))[
        "mae"
    ]
    label, prediction, weight = held_out(
        run(tmp_path / "d", {"price": {"sample_weight": "w", "metrics": ["mae"]}}, table(w=weights), DENSE), "price"
    )
    error = np.abs(label - prediction)
    mean = np.average(error, weights=weight)
    effective = weight.sum() ** 2 / (weight**2).sum()  # Kish 1965
    assert 30 < effective < 50
    spread = np.sqrt(np.average((error - mean) ** 2, weights=weight) / (effective - 1))
    from scipy.stats import t

    assert few["model"] == pytest.approx(mean)
    assert few["high"] - few["model"] == pytest.approx(t.ppf(0.975, effective - 1) * spread)


def test_metrics_of_classes_are_those_of_scikit_learn(tmp_path) -> None:
    two = ["accuracy", "auc", "log_loss", "pr_auc", "f1"]
    outcome = run(
        tmp_path / "a", {"rare": {"sample_weight": "n", "metrics": two}}, table(), DENSE, kind="classification"
    )
    label, probability, weight = held_out(outcome, "rare")
    by_hand = {
        "accuracy": sklearn_metrics.accuracy_score(label, probability >= 0.5, sample_weight=weight),
        "auc": sklearn_metrics.roc_auc_score(label, probability, sample_weight=weight),
        "log_loss": sklearn_metrics.log_loss(label, probability, sample_weight=weight),
        "pr_auc": sklearn_metrics.average_precision_score(label, probability, sample_weight=weight),
        "f1": sklearn_metrics.f1_score(label, probability >= 0.5, sample_weight=weight),
    }
    for name, value in by_hand.items():
        row = told(outcome)[name]
        assert row["model"] == pytest.approx(value), name
        assert row["low"] <= value <= row["high"], name
    many = ["accuracy", "f1", "precision", "recall"]
    outcome = run(
        tmp_path / "b", {"many": {"sample_weight": "n", "metrics": many}}, table(), DENSE, kind="classification"
    )
    label, chosen, weight = held_out(outcome, "many")
    for name, score in {"f1": "f1_score", "precision": "precision_score", "recall": "recall_score"}.items():
        value = getattr(sklearn_metrics, score)(label, chosen, sample_weight=weight, average="macro", zero_division=0)
        assert told(outcome)[name]["model"] == pytest.approx(value), name


def test_slices_curves_yardsticks_and_worst_slices_are_weighted_alike(tmp_path) -> None:
    outcome = run(tmp_path / "a", {"price": {"sample_weight": "n", "metrics": ["mae"]}}, table(), DENSE)
    found = outcome.predictions().to_pandas()
    slices = {row["shop"]: row["mae"] for row in outcome.results.slices[0].table.to_pylist()}
    for shop, part in found.groupby("shop"):
        error = np.abs(part["label: price"] - part["prediction: price"])
        assert slices[shop] == pytest.approx(np.average(error, weights=part["weight: price"]))
    last = outcome.training["history"][-1]["eval"]
    assert last["mae"] == pytest.approx(told(outcome)["mae"]["model"], rel=1e-4)
    assert told(outcome)["mae"]["linear_difference"] == pytest.approx(
        told(outcome)["mae"]["model"] - told(outcome)["mae"]["linear"], rel=1e-5
    )
    assert any("as much as its n says" in one["sentence"] for one in outcome.results.cautions)


@pytest.mark.parametrize("trainer", [DENSE, TREES], ids=["network", "trees"])
def test_rows_that_count_nothing_teach_nothing(tmp_path, trainer) -> None:
    """Their features are changed, and no prediction for another row, of the model or of the linear one, is another one."""
    count = np.where(np.arange(NUM_ROWS) % 5 == 0, 0.0, 1.0)
    labels = {"rare": {"sample_weight": "w", "metrics": ["accuracy", "log_loss"]}}
    flipped = np.where(
        count == 0, np.where(table()["rare"].to_numpy() == "yes", "no", "yes"), table()["rare"].to_numpy()
    )
    one = run(tmp_path / "a", labels, table(w=count), trainer, kind="classification")
    other = run(tmp_path / "b", labels, table(w=count, rare=flipped), trainer, kind="classification")
    predicted = [
        sorted(part.loc[part["weight: rare"] > 0, "prediction: rare"])
        for part in (one.predictions().to_pandas(), other.predictions().to_pandas())
    ]
    assert len(predicted[0]) == 240
    if trainer is TREES:  # binning reads all rows, gradients only those that count
        assert predicted[0] == pytest.approx(predicted[1], abs=1e-12)
    else:
        assert _by_step(one, "train") == pytest.approx(_by_step(other, "train"), rel=1e-5)
    for name in ("accuracy", "log_loss"):
        assert told(one)[name]["linear"] == pytest.approx(told(other)[name]["linear"], rel=1e-4)
        assert told(one)[name]["constant"] == pytest.approx(told(other)[name]["constant"])


def _by_step(outcome: Outcome, split: str) -> list[float]:
    return [entry[split]["log_loss"] for entry in outcome.training["history"]]


@pytest.mark.parametrize("trainer", [DENSE, TREES], ids=["network", "trees"])
def test_balanced_classes_are_rows_weighted_by_their_class(tmp_path, trainer) -> None:
    """The weights of balanced classes are 1 on average, so that a column with the same weights trains the same model."""
    rows = table().to_pandas()
    counts = rows.loc[rows["part"] == "train", "rare"].value_counts()
    weight = rows["rare"].map({name: 600 / (2 * count) for name, count in counts.items()}).to_numpy()
    by_class = run(tmp_path / "a", {"rare": {"class_weight": "balanced"}}, table(), trainer, kind="classification")
    by_row = run(tmp_path / "b", {"rare": {"sample_weight": "w"}}, table(w=weight), trainer, kind="classification")
    named = {"rare": {"class_weight": {name: 600 / (2 * count) for name, count in counts.items()}}}
    by_name = run(tmp_path / "c", named, table(), trainer, kind="classification")
    plain = run(tmp_path / "d", {"rare": {}}, table(), trainer, kind="classification")
    predicted = [
        np.sort(one.predictions().to_pandas()["prediction: rare"]) for one in (by_class, by_row, by_name, plain)
    ]
    assert predicted[0] == pytest.approx(predicted[1], abs=1e-5)
    assert predicted[0] == pytest.approx(predicted[2], abs=1e-9)
    assert predicted[0].mean() > predicted[3].mean() + 0.1  # the rare class is said more often
    assert told(by_class)["accuracy"]["constant"] == told(plain)["accuracy"]["constant"]  # metrics count all rows alike
    assert any("in training rows count by their class, no " in one["sentence"] for one in by_class.results.cautions)


@pytest.mark.parametrize(
    ("label", "changed", "said"),
    [
        ({"sample_weight": "weight"}, {}, "weight"),
        ({"sample_weight": "shop"}, {}, "sample_weight 'shop' is a string"),
        ({"sample_weight": "rare"}, {}, "cannot be its own sample_weight"),
        ({"sample_weight": "w"}, {"w": np.arange(NUM_ROWS) - 1.0}, "is below 0 in some rows, the least is -1"),
        ({"sample_weight": "w"}, {"w": np.where(np.arange(NUM_ROWS) < 3, np.nan, 1.0)}, "is missing in 3 rows"),
        ({"sample_weight": "w"}, {"w": np.zeros(NUM_ROWS)}, "is 0 in every train row"),
        ({"class_weight": {"maybe": 2}}, {}, "names 'maybe', which is no class"),
        ({"class_weight": {"yes": -1}}, {}, "expected balanced, or what the rows of each class count"),
        ({"class_weight": "even"}, {}, "class_weight"),
        ({"class_weight": {"yes": 0, "no": 0}}, {}, "is 0 for every class"),
    ],
)  # fmt: skip
def test_weights_that_are_none_are_refused(tmp_path, label, changed, said) -> None:
    with pytest.raises(CengineError) as refused:
        run(tmp_path / "a", {"rare": label}, table(**changed), DENSE, kind="classification")
    assert said in refused.value.render()
    assert len(refused.value.render().splitlines()) <= 8


def test_rows_without_a_weight_may_be_left_out_by_a_filter(tmp_path) -> None:
    weights = np.where(np.arange(NUM_ROWS) < 3, np.nan, 1.0)
    labels = {"rare": {"sample_weight": "w"}}
    kept = run(tmp_path / "a", labels, table(w=weights), DENSE, kind="classification", where=["abs(w) < 1e30"])
    assert told(kept)["accuracy"]["num_rows"] == 300
    with pytest.raises(CengineError, match="missing"):
        run(tmp_path / "b", labels, table(w=weights), DENSE, kind="classification", where=["x < 1000"])


@pytest.mark.parametrize("block", ["trainer", "evaluator", None])
def test_weights_in_another_block_are_told_where_they_stand(block) -> None:
    config = {
        "features": ["x"],
        "labels": ["price"],
        "split": {"ratio": {"train": 0.5, "eval": 0.5}},
        "trainer": {"type": "regression"},
        "evaluator": {},
    }
    (config if block is None else config[block])["sample_weight"] = "n"
    with pytest.raises(CengineError) as refused:
        cengine.parse_config(json.dumps(config))
    assert "sample_weight" in refused.value.render()
    assert block == "evaluator" or "labels: {NAME: {sample_weight: COLUMN}}" in refused.value.render()


def test_classes_that_are_numbers_are_named_as_numbers(tmp_path) -> None:
    labels = {"many": {"class_weight": {0: 2, 4: 0.5}}}
    outcome = run(tmp_path / "a", labels, table(), TREES, kind="classification")
    assert any("0 2, 1 1, 2 1, 3 1, 4 0.5" in one["sentence"] for one in outcome.results.cautions)


def test_class_weight_is_for_classes(tmp_path) -> None:
    with pytest.raises(CengineError, match="class_weight is for classes"):
        run(tmp_path / "a", {"price": {"class_weight": "balanced"}}, table(), DENSE)
