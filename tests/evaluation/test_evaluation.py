"""Evaluation: every row once, in the label's own unit, beside the truth about a constant."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cengine
from cengine.config.resolve import Label
from cengine.digests import fingerprint
from cengine.evaluation.baselines import Baseline, skill
from cengine.evaluation.results import labels_last
from cengine.evaluation.slices import by_harm
from cengine.evaluation.verdicts import verdict
from cengine.metrics.table import METRICS
from cengine.preprocess.targets import targets_of

NUM_ROWS = 1_200
TRAINER = {"type": "regression", "layers": [{"type": "dense", "units": 8}], "optimizer": {"type": "adam", "learning_rate": 0.02},
           "train_batch_size": 64, "train_steps": 60, "save_checkpoints_steps": 20}  # fmt: skip


def table() -> dict:
    random = np.random.default_rng(0)
    a, b = random.normal(size=NUM_ROWS), random.normal(size=NUM_ROWS)
    group = np.array(["north", "south", None], dtype=object)[np.arange(NUM_ROWS) % 3]
    score = a - b
    return {
        "a": a, "b": b, "group": group.tolist(), "size": (np.arange(NUM_ROWS) % 4).tolist(),
        "number": (1977 + 12 * score).tolist(), "price": np.exp(3 + score).tolist(), "noise": random.normal(size=NUM_ROWS).tolist(),
        "flag": (score > 0.3).tolist(), "bit": (score > 0.3).astype(int).tolist(),
        "yes_no": np.where(score > 0.3, "yes", "no").tolist(), "words": np.where(score > 0.3, "ill", "well").tolist(),
        "kind": np.array(["low", "mid", "high"], dtype=object)[np.digitize(score, [-0.7, 0.7])].tolist(),
        "grade": (np.digitize(score, [-0.7, 0.7]) + 5).tolist(),
    }  # fmt: skip


class Lab:
    """Runs configurations on one table; the same configuration once."""

    def __init__(self, folder) -> None:
        pq.write_table(pa.table(table()), folder / "table.parquet")
        self.project = cengine.open_project(folder)
        self.snapshot = cengine.register(self.project, "parquet", path=str(folder / "table.parquet"))
        self.runs: dict[str, cengine.Run] = {}

    def run(
        self,
        labels: dict,
        *,
        slices=(("group",), ("group", "size")),
        features=("a", "b"),
        split=None,
        metrics=None,
        **trainer,
    ):
        config = {
            "features": {name: {} for name in features},
            "labels": labels,
            "split": split or {"ratio": {"train": 0.7, "eval": 0.2, "test": 0.1}},
            "trainer": {**TRAINER, **trainer},
            "evaluator": {"slices": [list(columns) for columns in slices], **({"metrics": metrics} if metrics else {})},
        }
        key = fingerprint(config)
        if key not in self.runs:
            self.runs[key] = cengine.execute(
                cengine.plan(self.project, cengine.parse_config(json.dumps(config)), self.snapshot)
            )
        return self.runs[key]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Lab(tmp_path_factory.mktemp("lab"))


REGRESSION = {"number": {"loss": "mse", "metrics": ["mae", "rmse", "mse", "r2", "mape"]}}


def overall(run, split="eval") -> dict:
    return {row["metric"]: row for row in run.results.overall.to_pylist() if row["split"] == split}


def numbers(run, label: str, split: int):
    """Labels and predictions of a split."""
    found = run.predictions().to_pandas()
    found = found[found["_split"] == split]
    return found[f"label: {label}"].to_numpy(), found[f"prediction: {label}"].to_numpy()


def train_values(lab, run, name: str) -> np.ndarray:
    """The label of the rows that were trained on: those that no prediction was made for."""
    rows = pa.concat_tables([pq.read_table(file) for file in lab.snapshot.files]).to_pandas()
    evaluated = set(run.predictions()["_row_id"].to_pylist())
    return rows[~rows["_row_id"].isin(evaluated)][name].to_numpy()


# Rows


def test_every_row_that_was_not_trained_on_is_predicted_once(lab) -> None:
    predictions = lab.run(REGRESSION).predictions()
    ids = predictions["_row_id"].to_pylist()
    assert len(ids) == len(set(ids)) == 0.3 * NUM_ROWS
    assert np.bincount(predictions["_split"].to_numpy()).tolist() == [0, 240, 120]


def test_predictions_stand_beside_label_and_slice_columns(lab) -> None:
    """Joined by identity, so that a label cannot come to stand beside another row's prediction."""
    predictions = lab.run(REGRESSION).predictions()
    assert predictions.column_names == ["_row_id", "_split", "group", "size", "label: number", "prediction: number"]
    rows = {row["_row_id"]: row for file in lab.snapshot.files for row in pq.read_table(file).to_pylist()}
    for row in predictions.to_pylist():
        own = rows[row["_row_id"]]
        assert (row["group"], row["size"], row["label: number"]) == (own["group"], own["size"], own["number"])


@pytest.mark.parametrize("split", [1, 2])
def test_metrics_equal_numpys(lab, split) -> None:
    run = lab.run(REGRESSION)
    y, p = numbers(run, "number", split)
    train = train_values(lab, run, "number")
    found = overall(run, ("train", "eval", "test")[split])
    median, mean = np.median(train), train.mean()

    def expected(p, center):
        return {
            "mae": np.abs(y - p).mean(),
            "mse": ((y - p) ** 2).mean(),
            "rmse": np.sqrt(((y - p) ** 2).mean()),
            "mape": 100 * (np.abs(y - p) / np.abs(y)).mean(),
            "r2": 1 - ((y - p) ** 2).sum() / ((y - y.mean()) ** 2).sum(),
        }

    for name, value in expected(p, None).items():
        assert found[name]["model"] == pytest.approx(value, rel=1e-9), name
        constant = median if name in ("mae", "mape") else mean
        assert found[name]["constant"] == pytest.approx(expected(np.full_like(y, constant), None)[name], rel=1e-6), name
    assert found["mae"]["skill"] == pytest.approx(1 - found["mae"]["model"] / found["mae"]["constant"])


def test_slices_are_all_there_and_add_up(lab) -> None:
    run = lab.run(REGRESSION)
    predictions = run.predictions().to_pandas()
    by_group, by_both = run.results.slices
    assert by_group.columns == ("group",)
    assert by_both.columns == ("group", "size")
    assert by_group.table.num_rows == 2 * 3
    assert by_both.table.num_rows == 2 * 12
    for found in (by_group, by_both):
        for row in found.table.to_pylist():
            chosen = predictions[predictions["_split"] == {"eval": 1, "test": 2}[row["split"]]]
            for name in found.columns:
                chosen = chosen[chosen[name].isna()] if row[name] is None else chosen[chosen[name] == row[name]]
            error = chosen["label: number"] - chosen["prediction: number"]
            assert row["num_rows"] == len(chosen)
            assert row["mae"] == pytest.approx(error.abs().mean(), rel=1e-9)


@pytest.mark.parametrize(
    ("labels", "trainer"),
    [(REGRESSION, {}), ({"kind": {"metrics": ["accuracy", "log_loss"]}}, {"type": "classification"})],
)
def test_each_slice_stands_beside_the_constant_of_the_train_rows(lab, labels, trainer) -> None:
    run = lab.run(labels, **trainer)
    ((name, told),) = labels.items()
    train = pd.Series(train_values(lab, run, name))
    rows = run.predictions().to_pandas()
    rows["group"] = rows["group"].where(rows["group"].notna(), None)
    by_group = next(found for found in run.results.slices if found.columns == ("group",)).table.to_pylist()
    assert len(by_group) == 6
    for row in by_group:
        split = rows[rows["_split"] == {"eval": 1, "test": 2}[row["split"]]]
        own = split[split["group"].isna() if row["group"] is None else split["group"] == row["group"]]
        label = own[f"label: {name}"].to_numpy()
        if name == "kind":
            shares = train.value_counts(normalize=True)
            classes = run.targets[0].classes
            likelihood = np.array([shares[classes[int(number)]] for number in label])
            wanted = {
                "accuracy": np.mean([classes[int(number)] == shares.index[0] for number in label]),
                "log_loss": -np.log(likelihood).mean(),
            }
        else:
            wanted = {
                "mae": np.abs(label - train.median()).mean(),
                "rmse": np.sqrt(np.mean((label - train.mean()) ** 2)),
                "r2": 1 - np.sum((label - train.mean()) ** 2) / np.sum((label - label.mean()) ** 2),
            }
        found = {metric: row[f"{metric}: constant"] for metric in wanted}
        assert found == {metric: pytest.approx(value, rel=1e-6, abs=1e-9) for metric, value in wanted.items()}
        assert {metric for metric in told["metrics"] if f"{metric}: constant" in row} == {*told["metrics"]}


def test_slices_are_ordered_by_harm() -> None:
    table = pa.table(
        {
            "split": ["eval", "eval", "test", "eval", "eval"],
            "word": ["large", "bad", "other split", "not told", "good"],
            "num_rows": [100, 3, 50, 10, 20],
            "mae": [1.1, 4.0, 9.0, None, 0.5],
        }
    )
    found = by_harm(table, "mae", {"eval": 1.0, "test": 8.9}, higher_is_better=False)
    assert found["word"].to_pylist() == ["large", "bad", "other split", "good", "not told"]
    found = by_harm(table, "mae", {"eval": 1.0, "test": None}, higher_is_better=True)
    assert found["word"].to_pylist() == ["good", "bad", "large", "other split", "not told"]


def test_slices_by_the_label_come_last(lab) -> None:
    run = lab.run(REGRESSION, slices=(("number",), ("group", "number"), ("group",), ("size",)))
    assert [found.columns for found in labels_last(run.results.slices)] == [
        ("group",), ("size",), ("number",), ("group", "number"),
    ]  # fmt: skip


def test_what_training_measured_is_what_evaluation_finds(lab) -> None:
    run = lab.run(REGRESSION)
    training = json.loads((run.folders["Train"] / "training.json").read_text())
    best = next(entry for entry in training["history"] if entry["step"] == training["best_step"])
    assert training["judged_on"] is None
    assert training["best_step"] == training["num_steps"]
    for name in ("mae", "rmse"):
        assert best["eval"][name] == pytest.approx(overall(run)[name]["model"], rel=1e-4)
    assert best["eval"]["loss"] == pytest.approx(overall(run)["mse"]["model"], rel=1e-3)


# Units


def test_a_log_label_is_told_in_its_own_unit(lab) -> None:
    run = lab.run({"price": {"loss": "mse", "metrics": ["mae"], "transform": "log"}}, train_steps=200)
    y, p = numbers(run, "price", 1)
    assert (p > 0).all()
    np.testing.assert_allclose(sorted(y)[-1], max(v for v in table()["price"] if v in set(y)), rtol=1e-9)
    assert np.corrcoef(np.log(y), np.log(p))[0, 1] > 0.95
    assert overall(run)["mae"]["model"] == pytest.approx(np.abs(y - p).mean(), rel=1e-9)
    assert overall(run)["mae"]["constant"] == pytest.approx(
        np.abs(y - np.median(train_values(lab, run, "price"))).mean(), rel=1e-6
    )


@pytest.mark.parametrize("name", ["flag", "bit", "yes_no", "words"])
def test_two_classes_of_any_spelling(lab, name) -> None:
    """The greater value is the positive class: true, 1, yes, and `well` of ill and well."""
    run = lab.run(
        {name: {"metrics": ["accuracy", "auc", "log_loss", "precision", "recall"]}},
        type="classification",
        train_steps=150,
    )
    y, p = numbers(run, name, 1)
    assert set(y) == {0.0, 1.0}
    assert ((p >= 0) & (p <= 1)).all()
    found = overall(run)
    chosen = p >= 0.5
    assert found["accuracy"]["model"] == pytest.approx((chosen == y).mean())
    assert found["accuracy"]["model"] > 0.9
    assert found["auc"]["model"] == pytest.approx(
        np.mean((p[y == 1][:, None] > p[y == 0]) + 0.5 * (p[y == 1][:, None] == p[y == 0]))
    )
    assert found["log_loss"]["model"] == pytest.approx(-np.log(np.where(y == 1, p, 1 - p)).mean())
    assert found["precision"]["model"] == pytest.approx((y[chosen] == 1).mean())
    assert found["recall"]["model"] == pytest.approx(chosen[y == 1].mean())
    train = train_values(lab, run, name)
    positive = {"flag": True, "bit": 1, "yes_no": "yes", "words": "well"}[name]
    share = np.mean(train == positive)
    assert found["accuracy"]["constant"] == pytest.approx(np.mean(y == (share > 0.5)))
    assert found["auc"]["constant"] == pytest.approx(0.5)
    assert found["log_loss"]["constant"] == pytest.approx(-np.log(np.where(y == 1, share, 1 - share)).mean())


@pytest.mark.parametrize("name", ["kind", "grade"])
def test_more_classes(lab, name) -> None:
    run = lab.run(
        {name: {"metrics": ["accuracy", "log_loss", {"type": "top_k", "k": 2}, "f1"]}},
        type="classification",
        train_steps=150,
    )
    y, p = numbers(run, name, 1)
    assert set(y) <= {0.0, 1.0, 2.0}
    found = overall(run)
    assert found["accuracy"]["model"] == pytest.approx((p == y).mean())
    assert found["accuracy"]["model"] > 0.8
    assert found["accuracy"]["model"] <= found["top_k(k=2)"]["model"] <= 1
    probability = run.predictions().to_pandas().query("_split == 1")[f"label_probability: {name}"].to_numpy()
    assert found["log_loss"]["model"] == pytest.approx(-np.log(probability).mean())
    train = train_values(lab, run, name)
    classes, counts = np.unique(train, return_counts=True)
    assert found["accuracy"]["constant"] == pytest.approx((y == counts.argmax()).mean())
    assert found["accuracy"]["constant_is"] == f"most frequent class {classes[counts.argmax()]}"


def test_several_labels(lab) -> None:
    run = lab.run({"number": {"metrics": ["mae"]}, "price": {"metrics": ["mae"], "transform": "log"}}, train_steps=150)
    rows = run.results.overall.to_pylist()
    assert [(row["split"], row["label"]) for row in rows] == [
        ("eval", "number"),
        ("test", "number"),
        ("eval", "price"),
        ("test", "price"),
    ]
    for row in rows:
        y, p = numbers(run, row["label"], {"eval": 1, "test": 2}[row["split"]])
        assert row["model"] == pytest.approx(np.abs(y - p).mean(), rel=1e-9)
        assert row["skill"] > 0.5
    history = json.loads((run.folders["Train"] / "training.json").read_text())["history"]
    assert {"mae: number", "mae: price"} <= set(history[-1]["eval"])
    assert [s.label for s in run.results.slices] == ["number", "number", "price", "price"]


def test_the_label_may_be_a_slice_and_slices_no_features(lab) -> None:
    run = lab.run({"grade": {"metrics": ["accuracy"]}}, type="classification", slices=(("grade",), ("flag",)))
    by_label, by_flag = run.results.slices
    assert {row["grade"] for row in by_label.table.to_pylist()} == {5, 6, 7}
    assert {row["flag"] for row in by_flag.table.to_pylist()} == {True, False}


# Sentences


def sentence(run) -> str:
    return next(row["sentence"] for row in run.results.verdicts if row["split"] == "eval")


def test_a_model_that_is_better_is_said_to_be(lab) -> None:
    run = lab.run(REGRESSION, train_steps=300)
    assert "worse than a linear model (" in sentence(run)  # of a label that is a line
    assert re.search(r"always saying [\d.]+ \(train median, ", sentence(run))


def test_a_model_that_learnt_nothing_is_said_to_be_no_better(lab) -> None:
    trainer = {
        "train_steps": 400,
        "save_checkpoints_steps": 400,
        "layers": [{"type": "dense", "units": 64}, {"type": "dense", "units": 64}],
    }
    run = lab.run({"noise": {"metrics": ["mae"]}}, **trainer)
    assert sentence(run).startswith("The model of noise has mae ")
    assert "NO BETTER than always saying" in sentence(run)
    row = overall(run)["mae"]
    assert row["model"] > row["constant"]
    assert row["skill"] < 0


@pytest.mark.parametrize(("model", "constant", "says"), [
    (7.0, 8.0, "The model of birth_year has mae 7: better than always saying 1983 (train median, 8)."),
    (7.84, 8.0, "has mae 7.84: hardly better than always saying 1983 (train median, 8)."),
    (8.0, 8.0, "has mae 8: NO BETTER than always saying 1983"),
    (9.0, 8.0, "NO BETTER than always saying 1983"),
    (0.0, 0.0, "always saying 1983 (train median) is perfect already"),
])  # fmt: skip
def test_sentences(model, constant, says) -> None:
    label = Label("birth_year", "integer", "regression", None, (), None, None)
    statistics = {"labels": {"birth_year": {"offset": 0.0, "scale": 1.0, "transforms": []}}}
    (head,) = targets_of([label], statistics)
    assert says in verdict(head, METRICS["mae"](), measured(model, constant), Baseline("train median", 1983.0))


def test_a_difference_within_the_noise_is_not_praised() -> None:
    label = Label("number", "float", "regression", None, (), None, None)
    (head,) = targets_of([label], {"labels": {"number": {"offset": 0, "scale": 1, "transforms": []}}})
    baseline = Baseline("train median", 1977)
    mae = METRICS["mae"]()
    assert verdict(head, mae, measured(9.0, 10.0, (7.5, 10.5)), baseline) == (
        "The model of number has mae 9: not to be told from always saying 1977 (train median, 10)."
    )
    assert "mae 9: better than always" in verdict(head, mae, measured(9.0, 10.0, (8.8, 9.2)), baseline)
    assert "NO BETTER" in verdict(head, mae, measured(10.1, 10.0, (8.0, 12.0)), baseline)


def measured(model: float, constant: float, interval: tuple[float, float] | None = None) -> dict[str, Any]:
    """A row of results without yardsticks; by default its interval is narrow."""
    low, high = interval or (model - 1e-9, model + 1e-9)
    return {
        "model": model,
        "low": low,
        "high": high,
        "constant": constant,
        "num_rows": 1000,
        "skill": skill(METRICS["mae"](), model, constant),
    }
