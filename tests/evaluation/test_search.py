"""The worst slices: those that were made worse are found, and where nothing is wrong nothing is."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from test_diagnostics import head

from cengine.evaluation.search import worst_slices
from cengine.expressions.build import column
from cengine.metrics.table import METRICS

NUM_ROWS = 20_000


def made(seed: int, worse=None, task: str = "regression") -> dict:
    """Errors of one size in every slice, but those of `worse`, a mask of the rows."""
    random = np.random.default_rng(seed)
    columns = {
        "city": np.array(["Wien", "Graz", "Linz", None, '"; DROP TABLE rows; --'], object)[
            random.integers(0, 5, NUM_ROWS)
        ],
        "kind": random.integers(0, 12, NUM_ROWS),
        "member": random.random(NUM_ROWS) < 0.3,
    }
    scale = np.where(worse(columns), 2.0, 1.0) if worse else np.ones(NUM_ROWS)
    if task == "regression":
        label = random.normal(size=NUM_ROWS)
        prediction = label + scale * random.normal(size=NUM_ROWS)
    else:
        label = random.integers(0, 2, NUM_ROWS).astype(float)
        right = random.random(NUM_ROWS) > 0.15 * scale
        prediction = np.where(right, label, 1 - label) * 0.8 + 0.1
    return {"_split": random.integers(1, 3, NUM_ROWS), **columns, "label: y": label, "prediction: y": prediction}


def searched(engine, rows: dict, metric: str = "mae", task: str = "regression") -> dict:
    engine.register("rows", pa.table(rows))
    return worst_slices(
        engine,
        column("rows"),
        head(task, (0, 1)),
        METRICS[metric](),
        ["city", "kind", "member"],
        ("train", "eval", "test"),
    )


def test_where_nothing_is_wrong_nothing_is_found(engine) -> None:
    """A level of 5 % lets 2 of 40 searches of some 200 slices find something; 7 would be a false alarm."""
    num_found = 0
    for seed in range(40):
        found = searched(engine, made(seed))
        assert found["num_tried"] > 200
        num_found += bool(found["slices"])
    assert num_found <= 7


def test_a_slice_that_is_worse_comes_first(engine) -> None:
    found = searched(engine, made(1, lambda c: (c["city"] == "Graz") & (c["kind"] == 3)))
    for split in ("eval", "test"):
        worst = next(s for s in found["slices"] if s["split"] == split)
        assert dict(zip(worst["columns"], worst["values"], strict=True)) == {"city": "Graz", "kind": 3}
        assert worst["p_value"] < 1e-4
        assert worst["low"] < worst["value"] < worst["high"]
        assert worst["difference"] == pytest.approx(worst["value"] - worst["rest"])


def test_values_and_rest_are_those_of_the_rows(engine) -> None:
    rows = made(2, lambda c: np.equal(c["city"], None))
    worst = searched(engine, rows)["slices"][0]
    assert worst["columns"] == ["city"]
    assert worst["values"] == [None]
    error = np.abs(rows["label: y"] - rows["prediction: y"])
    own = np.equal(rows["city"], None)
    here = rows["_split"] == {"eval": 1, "test": 2}[worst["split"]]
    assert worst["num_rows"] == (own & here).sum()
    assert worst["value"] == pytest.approx(error[own & here].mean())
    assert worst["rest"] == pytest.approx(error[~own & here].mean())


def test_a_pair_that_is_only_as_bad_as_its_part_is_not_told_again(engine) -> None:
    found = searched(engine, made(3, lambda c: c["member"]))
    assert [s["columns"] for s in found["slices"]] == [["member"], ["member"]]
    assert all(s["values"] == [True] for s in found["slices"])


@pytest.mark.parametrize(("metric", "shown"), [("accuracy", "accuracy"), ("auc", "log_loss"), ("f1", "log_loss")])
def test_of_classes_too(engine, metric: str, shown: str) -> None:
    rows = made(4, lambda c: c["kind"] == 7, task="binary")
    found = searched(engine, rows, metric, "binary")
    assert found["metric"] == shown
    worst = found["slices"][0]
    assert (worst["columns"], worst["values"]) == (["kind"], [7])
    if shown == "accuracy":
        assert worst["value"] < worst["rest"]
        own = (rows["kind"] == 7) & (rows["_split"] == {"eval": 1, "test": 2}[worst["split"]])
        assert worst["value"] == pytest.approx(((rows["prediction: y"] >= 0.5) == rows["label: y"])[own].mean())


def test_small_slices_are_not_tried(engine) -> None:
    rows = made(5)
    rows["city"][:20] = "tiny"
    rows["prediction: y"][:20] += 50
    found = searched(engine, rows)
    assert not [s for s in found["slices"] if "tiny" in s["values"]]
    assert found["min_rows"] == 30


def test_no_columns_to_search(engine) -> None:
    engine.register("rows", pa.table(made(6)))
    found = worst_slices(engine, column("rows"), head("regression"), METRICS["rmse"](), [], ("train", "eval", "test"))
    assert (found["metric"], found["num_tried"], found["slices"]) == ("mae", 0, [])
