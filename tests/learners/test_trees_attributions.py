"""What features add to the predictions of trees: exact, in the label's unit, of the rows that are named, on the page and in JSON."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from encoded import INPUTS
from test_boosted_trees import classes, course, learner, regression, rows

import cengine
from cengine.cli.evaluate import results_json
from cengine.config.resolve import Label
from cengine.evaluation.attributions import pushing
from cengine.evaluation.truth import FILE
from cengine.learners import trees_attributions
from cengine.learners.trees_model import raw_scores
from cengine.learners.trees_rows import matrix_of
from cengine.preprocess.targets import targets_of
from cengine.reports.html import page
from cengine.transforms.table import TRANSFORMS


def transformed(word: str, **statistics):
    label = Label("y", "float", "regression", None, (TRANSFORMS[word](),), None, None)
    return targets_of([label], {"labels": {"y": {"offset": 1.0, "scale": 2.0, "transforms": [statistics]}}})[0]


TARGETS = {
    "a number": (regression(), "y"),
    "poisson": (regression(loss="poisson"), "the logarithm of y"),
    "a logarithm": (transformed("log"), "y after its transforms"),
    "a scaled number": (transformed("scale_to_z_score", offset=30.0, scale=7.0), "y"),
    "two classes": (classes(["no", "yes"], "either"), "log-odds of yes"),
    "classes": (classes(["a", "b", "c"]), "the score of the predicted class, before softmax"),
}


def explained(folder, target, **keys):
    examples = rows(folder)
    made = learner(type="classification" if target.task.has_classes else "regression", **keys)
    made.fit(examples, [target], course(folder))
    predictor = made.read(folder / "model", INPUTS, [target])
    return examples.load("eval"), predictor, made.explainer(predictor)


@pytest.mark.parametrize("name", TARGETS)
def test_they_add_up_to_the_raw_prediction(tmp_path, name) -> None:
    target, unit = TARGETS[name]
    batch, predictor, explainer = explained(tmp_path, target)
    found = explainer.contributions(batch)[target.name]
    assert (found.unit, found.features) == (unit, ("a", "b", "c"))
    total = found.values.sum(axis=1) + found.expected
    raw = raw_scores(predictor.boosters[0], predictor.objectives[0], matrix_of(batch))
    predicted = predictor.predict(batch)[target.name]
    if unit == "y":  # in the label's own unit
        np.testing.assert_allclose(total, predicted, atol=1e-6, rtol=0)
    elif name == "a logarithm":
        np.testing.assert_allclose(total, np.log(predicted), atol=1e-6, rtol=0)
    elif name == "poisson":
        np.testing.assert_allclose(np.exp(total), predicted, rtol=1e-6)
    else:
        np.testing.assert_allclose(total, raw.max(axis=1), atol=1e-6, rtol=0)
    assert np.abs(found.values).max() > 0.1


def test_what_no_tree_splits_by_has_exactly_nothing(tmp_path) -> None:
    _, _, explainer = explained(tmp_path, regression(), trees=1, leaves=2)
    batch = rows(tmp_path / "more").load("eval")
    values = explainer.contributions(batch)["y"].values
    used = np.flatnonzero(np.abs(values).sum(axis=0))
    assert len(used) == 1
    assert (np.delete(values, used, axis=1) == 0).all()


def test_trees_without_a_split_have_nothing_of_any(tmp_path) -> None:
    batch, predictor, explainer = explained(tmp_path, regression(), min_rows_in_leaf=10**6)
    found = explainer.contributions(batch)["y"]
    assert (found.values == 0).all()
    np.testing.assert_allclose(found.expected, predictor.predict(batch)["y"])


def test_blocks_and_an_empty_batch_change_nothing(tmp_path, monkeypatch) -> None:
    batch, _, explainer = explained(tmp_path, classes(["a", "b", "c"]))
    whole = explainer.contributions(batch)["kind"]
    monkeypatch.setattr(trees_attributions, "MOST_NUMBERS", 100)
    np.testing.assert_array_equal(explainer.contributions(batch)["kind"].values, whole.values)
    assert explainer.contributions(batch.part(0, 0))["kind"].values.shape == (0, 3)


def test_larger_models_are_explained_on_fewer_rows(tmp_path, monkeypatch) -> None:
    _, _, explainer = explained(tmp_path, regression(), leaves=8)
    assert explainer.most_rows == trees_attributions.MOST_ROWS
    work = sum(map(trees_attributions._work, explainer.predictor.boosters))
    assert 23 * 8 * 3**2 * 0.5 < work < 23 * 8 * 7**2
    monkeypatch.setattr(trees_attributions, "MOST_WORK", 100 * work)
    assert explainer.most_rows == 100
    monkeypatch.setattr(trees_attributions, "MOST_WORK", 1)
    assert explainer.most_rows == trees_attributions.LEAST_ROWS


def test_the_largest_pushes_of_a_row_come_first() -> None:
    found = pushing(["a", "b", "c", "d"], np.array([0.5, -2.0, 0.0, 1.0]))
    assert [(one["feature"], one["contribution"]) for one in found] == [("b", -2.0), ("d", 1.0), ("a", 0.5)]
    assert pushing(["a", "b"], np.array([0.0, 1.0])) == [{"feature": "b", "contribution": 1.0}]


# Whole runs

NUM_ROWS = 3000
YAML = """
features: ["<b>x", noise, member]
labels: {y: {}}
split: {ratio: {train: 0.7, eval: 0.3}}
trainer: {type: regression, TRAINER}
"""
TREES = "architecture: boosted_trees, trees: 60, leaves: 8"


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """y is 10 where x is above 0 and else 0; the others have nothing to do with it, and member is always the same."""
    folder = tmp_path_factory.mktemp("planted")
    x, noise = np.random.default_rng(0).normal(size=(2, NUM_ROWS))
    table = pa.table({"<b>x": x, "noise": noise, "member": ["no"] * NUM_ROWS, "y": np.where(x > 0, 10.0, 0.0)})
    pq.write_table(table, folder / "planted.parquet")
    home = cengine.open_project(folder / "project")
    return home, cengine.register(home, kind="parquet", path=str(folder / "planted.parquet"))


def executed(planted, trainer: str):
    home, data = planted
    return cengine.execute(cengine.plan(home, cengine.parse_config(YAML.replace("TRAINER", trainer)), data))


@pytest.fixture(scope="module")
def run(planted):
    return executed(planted, TREES)


def test_only_the_planted_feature_adds_anything(run) -> None:
    (found,) = run.results.truth["attributions"]
    assert (found["label"], found["split"], found["unit"]) == ("y", "eval", "y")
    assert found["num_rows"] == run.split.report.rows["eval"]
    sizes = {one["feature"]: one["value"] for one in found["features"]}
    assert found["features"][0]["feature"] == "<b>x"
    # Half of the rows are 10 and half are 0: all stand 5 beside what is expected.
    assert sizes["<b>x"] == pytest.approx(5, abs=0.4)
    assert sizes["noise"] < 0.1
    assert sizes["member"] == 0
    assert found["expected"] == pytest.approx(5, abs=0.5)


def test_a_single_rows_pushes_are_those_of_its_cells(run) -> None:
    (found,) = run.results.truth["worst_rows"]
    expected = run.results.truth["attributions"][0]["expected"]
    place = found["features"].index("<b>x")
    assert len(found["rows"]) == 10
    for row in found["rows"]:
        assert 1 <= len(row["pushed"]) <= 3
        first = row["pushed"][0]
        assert first["feature"] == "<b>x"
        assert row["cells"][place] is not None
        total = expected + sum(one["contribution"] for one in row["pushed"])
        assert total == pytest.approx(row["prediction"], abs=1e-6)  # two features have all of it, as member has none


def test_they_stand_in_json_and_on_the_page_as_text(run, tmp_path) -> None:
    told = json.loads(json.dumps(results_json(run.results, None)))
    assert told["attributions"] == run.results.truth["attributions"]
    text = page(run.summary, cache=tmp_path, sections=["features", "rows"])
    assert "exact Shapley values" in text
    assert "Pushed by, in <bdi>y</bdi>" in text
    assert "<bdi>&lt;b&gt;x</bdi>" in text
    assert "<b>x" not in text
    assert "Shapley" in run.view("features")._repr_html_()
    assert "Pushed by" in run.view("rows")._repr_html_()


def test_a_learner_that_cannot_tell_is_evaluated_as_ever(planted, tmp_path) -> None:
    other = executed(planted, "layers: [{type: dense, units: 4}], train_steps: 50")
    told = json.loads((other.predictions_file.parent / FILE).read_text())
    assert set(told) == {"associations", "repeated", "important", "dependences", "worst_rows"}
    assert all("pushed" not in row for one in told["worst_rows"] for row in one["rows"])
    assert other.results.truth["attributions"] == []
    text = page(other.summary, cache=tmp_path, sections=["features", "rows"])
    assert "Shapley" not in text
    assert "Pushed" not in text
