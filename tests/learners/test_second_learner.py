"""A learner of another package, boosted trees, from the YAML to the page: nothing else in the house knows of it."""

from __future__ import annotations

import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from terminal import Terminal

import cengine

# As long as it is, that is all that a learner is.
TREES = '''
import numpy as np
from typing import Literal
from sklearn.ensemble import HistGradientBoostingRegressor
from cengine.learners.learner import Fitted, Learner

class Trees(Learner):
    """Boosted trees, one a round."""
    name = "trees"
    architecture: Literal["trees"] = "trees"
    rounds: int = 30

    def num_steps(self, num_rows):
        return self.rounds

    def load(self, facts, first_step=0, last_step=None):
        return {"cells": facts.rows["train"] * facts.num_encoded * self.rounds}

    def products(self, facts):
        return 10 * self.rounds

    def fit(self, examples, targets, course):
        rows = examples.load("train")
        for target in targets:
            model = HistGradientBoostingRegressor(max_iter=self.rounds, random_state=self.seed)
            model.fit(np.hstack(list(rows.inputs.values())), rows.labels[target.name])
            np.savez(course.folder / "trees.npz", model._baseline_prediction, *[tree.nodes for (tree,) in model._predictors])
        return Fitted(self.rounds, self.rounds)

    def read(self, folder, inputs, targets):
        return Forest(list(np.load(folder / "trees.npz").values()), targets[0])

class Forest:
    def __init__(self, arrays, target):
        self.constant, self.trees, self.target = float(arrays[0].item()), arrays[1:], target

    def predict(self, batch):
        x, every = np.hstack(list(batch.inputs.values())).astype(np.float64), np.arange(len(batch))
        total = np.full(len(batch), self.constant)
        for nodes in self.trees:
            at = np.zeros(len(batch), int)
            while not nodes["is_leaf"][at].all():
                left = x[every, nodes["feature_idx"][at]] <= nodes["num_threshold"][at]
                at = np.where(nodes["is_leaf"][at], at, np.where(left, nodes["left"][at], nodes["right"][at]))
            total += nodes["value"][at]
        return {self.target.name: self.target.read_label(total)}
'''
YAML = """\
features: {x: {}, word: {}}
labels: {y: {metrics: [mae, r2]}}
split: {ratio: {train: 0.7, eval: 0.3}}
trainer: {type: regression, architecture: trees, rounds: 40}
evaluator: {slices: [[word]]}
"""
ENTRY_POINTS = """\
[cengine.learners]
trees = trees_learner:Trees
absent = no_such_module:X
other = trees_learner:Forest
"""


@pytest.fixture
def package(install_package):
    """A package with the learner, where Python finds it."""
    return install_package("trees-learner", {"trees_learner.py": TREES}, ENTRY_POINTS)


@pytest.fixture
def table(terminal: Terminal) -> None:
    """A step and a slope, which no line fits and trees do, and a little noise."""
    random = np.random.default_rng(0)
    x, word = random.uniform(0, 10, 3000), random.integers(0, 3, 3000)
    y = np.where(x > 5, 20.0, 0.0) + x * (word == 1) + random.normal(0, 0.3, 3000)
    lines = ["x,word,y", *(f"{a:.4f},{'abc'[b]},{c:.4f}" for a, b, c in zip(x, word, y, strict=True))]
    terminal("datasource", "create", "csv", terminal.write("t.csv", "\n".join(lines)), "--name", "t")


def test_it_is_no_longer_than_a_learner_may_be() -> None:
    learner = TREES[: TREES.index("class Forest")].strip().splitlines()
    assert len([line for line in learner if line.strip()]) <= 40


def test_from_the_yaml_to_the_page(terminal: Terminal, package, table) -> None:
    push = terminal("pipeline", "push", terminal.write("p.yaml", YAML), "p")
    assert "unknown" not in push.err
    assert "Train" in terminal("pipeline", "run", "p", "--explain").out
    said = terminal("pipeline", "run", "p", "--yes").out
    assert "better than a linear model (" in said
    page = terminal.files / "page"
    terminal("pipeline", "evaluate", "p", "--no-open", "--output", page)
    assert "40 steps" in (page / "report.html").read_text()
    assert "its learner draws no curves" in terminal("pipeline", "tensorboard", "p", "--no-open", code=7).err
    (r2,) = [
        row["model"] for row in cengine.find_run(terminal.project, "p").results.overall_rows if row["metric"] == "r2"
    ]
    assert r2 > 0.99
    assert "word" in terminal("pipeline", "slice", "p", "word").out
    assert "stored" in terminal("pipeline", "run", "p", "--explain").out


def test_its_model_stands_by_itself(terminal: Terminal, package, table, tmp_path) -> None:
    terminal("pipeline", "push", terminal.write("p.yaml", YAML), "p")
    terminal("pipeline", "run", "p", "--yes")
    model = cengine.find_run(terminal.project, "p").model()
    rows = pa.table({"word": ["a", "b", None], "x": [9.0, 2.0, 8.0]})
    found = model.predict(rows)["prediction"].to_pylist()
    assert found[:2] == pytest.approx([20, 2], abs=1)
    assert cengine.load_model(model.save(tmp_path / "model")).predict(rows)["prediction"].to_pylist() == found
    assert [file.name for file in (tmp_path / "model" / "learner").iterdir()] == ["trees.npz"]


def test_its_predictions_are_scikit_learns(terminal: Terminal, package, table) -> None:
    """What it has written is read again, row by row."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    terminal("pipeline", "push", terminal.write("p.yaml", YAML), "p")
    terminal("pipeline", "run", "p", "--yes")
    (encoded,) = terminal.folder.rglob("encoded.parquet")
    (predictions,) = terminal.folder.rglob("predictions.parquet")
    rows = pq.read_table(encoded).to_pandas()
    train, evaluated = rows[rows["_split"] == 0], rows[rows["_split"] == 1].set_index("_row_id")
    model = HistGradientBoostingRegressor(max_iter=40, random_state=0).fit(
        train[["x", "word"]].to_numpy(np.float32), train["label: y"]
    )
    fitted = json.loads(next(terminal.folder.rglob("statistics.json")).read_text())["labels"]["y"]
    found = pq.read_table(predictions).to_pandas().set_index("_row_id")["prediction: y"]
    expected = (
        model.predict(evaluated.loc[found.index, ["x", "word"]].to_numpy(np.float32)) * fitted["scale"]
        + fitted["offset"]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(("trainer", "message"), [
    ("{type: regression, architecture: trees, rounds: 1, layers: []}", "unknown key 'layers'"),
    ("{type: regression, architecture: trees, rounds: many}", "'rounds'"),
    ("{type: regression, architecture: tree}", "did you mean 'trees'?"),
    ("{type: regression, architecture: absent}", "the learner 'absent' of the package trees-learner 1.0 cannot be used: ModuleNotFoundError"),
    ("{type: regression, architecture: other}", "it is no class derived from cengine.learners.learner.Learner"),
])  # fmt: skip
def test_what_is_wrong_with_it_is_told(terminal: Terminal, package, table, trainer, message) -> None:
    yaml = YAML.replace("{type: regression, architecture: trees, rounds: 40}", trainer)
    answer = terminal("pipeline", "push", terminal.write("p.yaml", yaml), "p", code=None)
    assert answer.code in (3, 4)
    assert message in answer.err


def test_where_its_package_is_gone_the_run_can_still_be_looked_at(
    terminal: Terminal, package, table, monkeypatch
) -> None:
    terminal("pipeline", "push", terminal.write("p.yaml", YAML), "p")
    terminal("pipeline", "run", "p", "--yes")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(package)])
    assert "unknown architecture 'trees'" in terminal("pipeline", "run", "p", "--yes", code=3).err
