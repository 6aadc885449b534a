"""A linear model and boosted trees stand beside every model, on the same rows; the sentence and its colour name them."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cengine
from cengine.config.resolve import Label
from cengine.errors import ConfigError
from cengine.evaluation.baselines import Baseline
from cengine.evaluation.verdicts import verdict
from cengine.learners import linear_model
from cengine.metrics.table import METRICS
from cengine.metrics.verdicts import level_of
from cengine.pipeline.execute import execute
from cengine.preprocess.targets import targets_of
from cengine.stages.yardsticks import Yardsticks
from cengine.stopping import Reason, Stopped, Wish

NUM_ROWS = 1500


def table() -> pa.Table:
    random = np.random.default_rng(0)
    a, b = random.normal(size=NUM_ROWS), random.normal(size=NUM_ROWS)
    return pa.table({
        "a": a, "b": b,
        "line": 1980 + 12 * a - 5 * b + random.normal(size=NUM_ROWS),
        "bent": 10 * np.abs(a) + random.normal(size=NUM_ROWS) / 2,
        "kind": np.array(["low", "mid", "high"])[np.digitize(a - b + random.normal(size=NUM_ROWS) / 3, [-0.7, 0.7])],
    })  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("yardsticks")
    pq.write_table(table(), folder / "table.parquet")
    project = cengine.open_project(folder / "project")
    snapshot = cengine.register(project, "parquet", path=str(folder / "table.parquet"))

    def planned(labels, *, kind="regression", steps=5, yardstick=None, **more):
        config = {
            "features": ["a", "b"],
            "labels": labels,
            "split": {"ratio": {"train": 0.7, "eval": 0.3}},
            "trainer": {"type": kind, "train_steps": steps, "train_batch_size": 64, "layers": [{"type": "dense", "units": 4}]},
            "evaluator": {**({"yardstick": yardstick} if yardstick else {}), **more},
        }  # fmt: skip
        return cengine.plan(project, cengine.parse_config(json.dumps(config)), snapshot)

    return planned


def rows_of(run) -> dict[str, dict]:
    return {row["metric"]: row for row in run.results.overall_rows}


def test_what_the_linear_model_reaches_is_measured_on_the_same_rows(lab) -> None:
    run = cengine.execute(lab({"line": {"metrics": ["mae", "r2"]}}))
    row, predictions = rows_of(run)["mae"], run.predictions().to_pandas()
    by_hand = table().to_pandas().set_index("line").loc[predictions["label: line"]]
    design = np.column_stack([np.ones(NUM_ROWS), table()["a"], table()["b"]])
    weights, *_ = np.linalg.lstsq(design, table()["line"].to_numpy(), rcond=None)
    errors = np.abs(np.column_stack([np.ones(len(by_hand)), by_hand[["a", "b"]]]) @ weights - by_hand.index.to_numpy())
    assert row["linear"] == pytest.approx(errors.mean(), rel=0.02)
    assert row["linear_difference"] == pytest.approx(row["model"] - row["linear"], rel=1e-6)
    assert row["linear_low"] < row["linear_difference"] < row["linear_high"]
    assert row["trees"] is None
    assert rows_of(run)["r2"]["linear"] > 0.98
    said = run.results.verdicts[0]["sentence"]
    assert f"has mae {row['model']:.4g}: worse than a linear model ({row['linear']:.4g})" in said
    assert " % " not in said
    assert level_of(row, higher_is_better=False) == "bad"


def test_trees_are_there_where_they_are_asked_for(lab) -> None:
    plan = lab({"bent": {"metrics": ["mae"]}}, yardstick="trees")
    run = cengine.execute(plan)
    row, said = rows_of(run)["mae"], run.results.verdicts[0]["sentence"]
    assert row["trees"] < 1 < row["linear"]
    assert f"worse than boosted trees ({row['trees']:.4g})" in said
    assert said.index("boosted trees") < said.index("a linear model") < said.index("always saying")
    left = sorted(file.name for file in run.folders["Yardsticks"].rglob("*") if file.is_file())
    assert left == ["artifact.json", "linear.npz", "trees-0.txt", "trees.json"]
    again = cengine.execute(lab({"bent": {"metrics": ["mae", "rmse"]}}, yardstick="trees"))
    assert [stage.name for stage in again.stages if not stage.reused] == ["Evaluate"]
    without = cengine.execute(lab({"bent": {"metrics": ["mae"]}}))
    assert [stage.name for stage in without.stages if not stage.reused] == ["Yardsticks", "Evaluate"]
    assert rows_of(without)["mae"]["linear"] == row["linear"]


def test_a_loss_that_trees_lack_is_no_reason_to_be_without_them(lab) -> None:
    run = cengine.execute(lab({"line": {"loss": "log_cosh", "metrics": ["mae"]}}, yardstick="trees"))
    assert rows_of(run)["mae"]["trees"] < 5


def test_classes(lab) -> None:
    run = cengine.execute(lab({"kind": {}}, kind="classification", yardstick="trees"))
    found = rows_of(run)
    assert found["accuracy"]["linear"] > 0.85 > found["accuracy"]["constant"]
    assert found["log_loss"]["linear_difference"] == pytest.approx(
        found["log_loss"]["model"] - found["log_loss"]["linear"]
    )
    assert 0.8 < found["accuracy"]["trees"] <= 1


@pytest.mark.parametrize("yardstick", [None, "trees"])
def test_a_run_that_is_stopped_in_the_stage_goes_on(lab, yardstick, monkeypatch) -> None:
    labels = {"bent": {"metrics": ["mae"], "loss": "mae"}, **({} if yardstick else {"line": {}})}
    wish, before = Wish(), linear_model.fit_linear

    def stopping(examples, targets, ask):
        """The wish comes while the stage is at work."""
        if yardstick is None:
            wish.express(Reason.INTERRUPTED)
        return before(examples, targets, ask)

    from cengine.learners import trees_training

    rounds, grow = [0], trees_training._Growing._round

    def stopping_round(self):
        rounds[0] += 1
        if rounds[0] == 30:
            wish.express(Reason.INTERRUPTED)
        grow(self)

    with monkeypatch.context() as patched:
        patched.setattr(linear_model, "fit_linear", stopping)
        patched.setattr(trees_training._Growing, "_round", stopping_round)
        with pytest.raises(Stopped):
            execute(lab(labels, yardstick=yardstick), wish=wish)
    plan = lab(labels, yardstick=yardstick)
    assert next(stage.name for stage in plan.stages if stage.stored_seconds is None) == "Yardsticks"
    if yardstick:
        (planned,) = [stage for stage in plan.stages if stage.name == "Yardsticks"]
        kept = plan.project.artifacts.work_folder("Yardsticks", planned.fingerprint)
        assert BoostedTreesSteps.of(kept) == 30
    run = cengine.execute(plan)
    assert rows_of(run)["mae"]["linear"] > 0
    if yardstick:
        undisturbed = cengine.execute(lab({**labels, "line": {}}, yardstick=yardstick))
        trees = [(run.folders["Yardsticks"] / "trees" / "trees-0.txt").read_text() for run in (run, undisturbed)]
        assert trees[0] == trees[1]


class BoostedTreesSteps:
    """How far trees were grown in a folder of what was kept."""

    @staticmethod
    def of(kept) -> int:
        from cengine.learners.checkpoints import CHECKPOINTS, newest_step

        return newest_step(kept / CHECKPOINTS)


# Sentences and colours

MAE = {"model": 2.0, "low": 1.9, "high": 2.1, "constant": 8.0, "num_rows": 500, "skill": 0.75}


def beside(name: str, value: float, low: float, high: float) -> dict[str, float]:
    """`low` and `high` are the ends of the model's metric less the yardstick's."""
    return {name: value, f"{name}_difference": MAE["model"] - value, f"{name}_low": low, f"{name}_high": high}


@pytest.mark.parametrize(
    ("yardsticks", "says", "level"),
    [
        (beside("linear", 3, -1.1, -0.9), "better than a linear model (3) and always saying 7 (train median, 8).", "good"),
        (beside("linear", 1, 0.9, 1.1), "worse than a linear model (1), better than always saying 7 (train median, 8).", "bad"),
        (beside("linear", 2.1, -0.3, 0.1), "not to be told from a linear model (2.1), better than always saying 7 (train median, 8).", "hardly"),
        (beside("linear", 2.1, math.nan, math.nan), "not to be told from a linear model (2.1), better than always saying 7 (train median, 8).", "hardly"),
        ({}, "better than always saying 7 (train median, 8).", "good"),
        (beside("linear", 3, -1.1, -0.9) | beside("trees", 1, 0.9, 1.1),
         "worse than boosted trees (1), better than a linear model (3) and always saying 7 (train median, 8).", "good"),
        (beside("linear", 3, -1.1, -0.9) | beside("trees", 2.5, -0.6, -0.4),
         "better than boosted trees (2.5), a linear model (3) and always saying 7 (train median, 8).", "good"),
    ],
)  # fmt: skip
def test_the_best_yardstick_is_named_first_and_green_is_what_beats_the_linear_model(yardsticks, says, level) -> None:
    label = Label("y", "float", "regression", None, (), None, None)
    (target,) = targets_of([label], {"labels": {"y": {"offset": 0.0, "scale": 1.0, "transforms": []}}})
    row = MAE | yardsticks
    assert verdict(target, METRICS["mae"](), row, Baseline("train median", 7.0)) == f"The model of y has mae 2: {says}"
    assert level_of(row, higher_is_better=False) == level


# What is written wrong


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("tree", "unknown yardstick 'tree'"),
        (["trees"], "'yardstick' takes one word"),
        (7, "'yardstick' takes one word"),
    ],
)
def test_another_yardstick_is_refused(lab, written, says) -> None:
    with pytest.raises(ConfigError, match=says):
        lab({"line": {}}, yardstick=written)


def test_a_column_that_is_called_so_is_a_slice() -> None:
    text = "features: [a]\nlabels: [y]\nsplit: {ratio: {train: 0.5, eval: 0.5}}\ntrainer: {type: regression}\n"
    config = cengine.parse_config(text + "evaluator: {yardstick: {}}\n").config
    assert (config.evaluator.slices, config.evaluator.yardstick) == ((("yardstick",),), None)
    config = cengine.parse_config(text + "evaluator: {yardstick: trees, g: {}}\n").config
    assert (config.evaluator.slices, config.evaluator.yardstick) == ((("g",),), "trees")
    assert cengine.parse_config(config.to_nested()).config == config


def test_what_is_missing_to_grow_them_is_said_before_anything_runs(lab, monkeypatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    with pytest.raises(ConfigError) as raised:
        lab({"line": {}}, yardstick="trees")
    assert "yardstick: trees needs the package lightgbm" in str(raised.value)
    assert "pip install 'cengine-ml[trees]'" in raised.value.render()


def test_the_stage_is_another_one_where_trees_are_asked_for(lab) -> None:
    stages = [Yardsticks().settings(lab({"line": {}}, yardstick=word).context) for word in (None, "trees")]
    assert stages[0] == {"linear": linear_model.VERSION}
    assert stages[1]["trees"]["learner"]["word"] == "boosted_trees"
