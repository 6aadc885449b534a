"""Boosted trees as ONNX and as SQL: the predictions of the model, on usual, odd and bordering rows."""

from __future__ import annotations

import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from exported import FEATURES, made

import cengine
from cengine.errors import ExportError
from cengine.exports.files import model_file
from cengine.exports.formats import export
from cengine.exports.runtime import session_of
from cengine.exports.sql_trees import threshold
from cengine.learners.examples import CODES, FLOATS, Batch
from cengine.tensors import FLOAT, INT32, Graph

TREES = "architecture: boosted_trees, trees: 20, leaves: 8, learning_rate: 0.3, min_rows_in_leaf: 5"
LABELS = {
    "a logarithm": "labels: {y: {transform: log}}\ntrainer: {type: regression, ",
    "counts": "labels: {y: {loss: poisson}}\ntrainer: {type: regression, ",
    "quantiles": "labels: {y: {loss: {type: quantile, at: [0.1, 0.4, 0.5, 0.9]}}}\ntrainer: {type: regression, ",
    "two labels": "labels: {kind: {}, rich: {}}\ntrainer: {type: classification, ",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trees")
    pq.write_table(made(), folder / "made.parquet")
    home = cengine.open_project(folder / "project")
    data = cengine.register(home, kind="parquet", path=str(folder / "made.parquet"))
    return {
        name: cengine.execute(cengine.plan(home, cengine.parse_config(f"{FEATURES}{label}{TREES}}}"), data))
        for name, label in LABELS.items()
    }


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("form", ["onnx", "sql", "bundle"])
def test_another_form_predicts_the_same(runs, tmp_path, name, form) -> None:
    run = runs[name]
    with run.evaluated() as tables:
        told = export(run.model(), form, tmp_path / "out", tables)
    told = told.get("onnx", told)
    assert told["rows"] == run.split.report.rows["eval"]
    assert told["made_up_rows"] > 1000
    assert told["classes_differ"] == 0
    assert told["largest_difference"] <= told["bound"]
    if form == "sql":
        assert "CASE WHEN" in (tmp_path / "out" / "model.sql").read_text()


def test_trees_that_are_too_large_for_sql_are_refused_by_name(runs, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("cengine.exports.sql.MOST_BYTES", 5_000)
    with pytest.raises(ExportError, match=r"these trees have [\d,]+ leaves: as SQL it would be 0\.\d+ MB") as raised:
        export(runs["counts"].model(), "sql", tmp_path / "out", ())
    assert "--format onnx has no such limit" in raised.value.render()
    assert not (tmp_path / "out").exists()


def test_a_border_in_fewer_digits_parts_the_same_numbers() -> None:
    random = np.random.default_rng(0)
    drawn = random.normal(size=300).astype(np.float32)
    for low in [*drawn, np.float32(0.1), np.float32(1e-35), np.float32(-3e38), np.float32(1)]:
        high = np.nextafter(low, np.float32(np.inf))
        for border in (float(low), (float(low) + float(high)) / 2, float(np.nextafter(float(high), -np.inf))):
            written = float(threshold(border))
            assert float(low) <= written < float(high)


def test_rows_beside_a_border_go_where_lightgbm_sends_them(runs) -> None:
    """Encoded numbers just below, at and above the border of every split, and every code."""
    predictor = runs["counts"].model().predictor
    text = predictor.boosters[0].model_to_string()
    borders = {float(b) for line in re.findall(r"^threshold=(.*)$", text, re.M) for b in line.split()}
    at = np.array(sorted(borders)).astype(np.float32)
    cells = np.concatenate([np.nextafter(at, np.float32(-np.inf)), at, np.nextafter(at, np.float32(np.inf))])
    num_numbers = sum(one.size is None for one in predictor.inputs)
    sizes = [one.size for one in predictor.inputs if one.size is not None]
    random = np.random.default_rng(0)
    numbers = random.choice(cells, (5000, num_numbers))
    codes = np.column_stack([random.integers(0, size, 5000) for size in sizes]).astype(np.int32)
    graph = Graph()
    inputs = graph.input("numbers", FLOAT, (None, num_numbers)), graph.input("codes", INT32, (None, len(sizes)))
    graph.output("found", predictor.predicting(*inputs)["y"], (None,))
    (found,) = session_of(model_file(graph, {}).SerializeToString()).run(None, {"numbers": numbers, "codes": codes})
    expected = predictor.predict(Batch({FLOATS: numbers, CODES: codes}))["y"]
    assert len(np.unique(expected)) > 200
    np.testing.assert_allclose(found, expected, rtol=1e-6)
