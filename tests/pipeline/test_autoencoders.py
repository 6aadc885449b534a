"""Autoencoders from the YAML to predictions: planted rows are found, scores are what the files say, nothing is learnt from what is known."""

from __future__ import annotations

import json

import numpy as np
import planted
import pyarrow.parquet as pq
import pytest
from terminal import Terminal

import cengine
from cengine.errors import PreprocessError
from cengine.networks.keras_setup import import_keras


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return planted.planted(tmp_path_factory.mktemp("planted") / "rows.parquet")


@pytest.fixture(scope="module")
def terminal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("autoencoders")
    typed = Terminal(folder / "project", folder)
    planted.planted(folder / "rows.parquet")
    typed("datasource", "create", "parquet", "--name", "rows", "--path", folder / "rows.parquet")
    typed("pipeline", "push", typed.write("ae.yaml", planted.YAML), "ae")
    typed("pipeline", "run", "ae", "--yes")
    return typed


@pytest.fixture(scope="module")
def run(terminal):
    return cengine.find_run(terminal.project, "ae")


def test_planted_rows_are_found_and_told(run) -> None:
    rows = {row["metric"]: row for row in run.results.overall_rows}
    assert rows["auc"]["model"] > 0.98
    assert rows["auc"]["model"] > rows["auc"]["pca"] > rows["auc"]["constant"]
    assert rows["squared_error"]["model"] < 0.5 < rows["squared_error"]["constant"]
    assert rows["score"].get("pca") is None
    (verdict,) = run.results.verdicts
    assert "better than PCA with a code of the same size" in verdict["sentence"]
    found = run.results.odd_rows
    assert sum(row["known"] for row in found["rows"][: planted.NUM_ODD]) >= 0.8 * planted.NUM_ODD
    assert found["left_out"] == ["nothing"]
    assert any("Left out, one value in all train rows: nothing" in told for told in found["told"])


def test_the_oddest_rows_say_what_was_expected_in_the_columns_own_units(run, table) -> None:
    row = next(row for row in run.results.odd_rows["rows"] if row["known"])
    cells = {cell["column"]: cell for cell in row["cells"]}
    assert len(cells) == 3
    weights = table["weight"].to_numpy()
    assert "weight" in cells or "size" in cells
    for own in run.results.odd_rows["rows"]:
        for cell in own["cells"]:
            if cell["column"] == "weight":
                assert weights.min() - 20 < cell["expected"] < weights.max() + 20
                assert np.isclose(weights, cell["found"]).any()
            elif cell["column"] == "size":
                assert {cell["expected"], cell["found"]} <= {"small", "middle", "large", "another value"}
            elif cell["column"] == "seen_at, hour":
                assert all(len(told) == 5 and told[2] == ":" for told in (cell["expected"], cell["found"]))


def test_scores_are_what_the_files_say(run) -> None:
    """The network's outputs, the statistics of the columns and the encoded rows give the scores again, in NumPy."""
    folder, encoded = run.folders["Train"], pq.read_table(run.folders["Transform"] / "encoded.parquet")
    layout = json.loads((folder / "reconstruction.json").read_text())
    signature = json.loads((folder / "signature.json").read_text())
    numbers = np.column_stack([encoded[name].to_numpy() for name in signature["numbers"]]).astype(np.float32)
    codes = np.column_stack([encoded[code["column"]].to_numpy() for code in signature["codes"]]).astype(np.int32)
    network = run.model().network
    whole = import_keras().Model(network.inputs, network.get_layer("output_0").output)
    outputs = np.asarray(whole.predict([numbers, codes], verbose=0), np.float64)
    losses, first = [], 0
    for part in layout["parts"]:
        if part["kind"] == "number":
            true = (numbers[:, part["place"]] - part["mean"]) / part["scale"]
            losses.append((outputs[:, first] - true) ** 2)
            first += 1
            continue
        source = codes[:, part["place"]] if part["kind"] == "code" else (numbers[:, part["place"]] > 0.5).astype(int)
        raw = outputs[:, first : first + part["size"]]
        shares = np.exp(raw - raw.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        known = np.array([share for share in part["shares"] if share > 0])
        losses.append(-np.log(shares[np.arange(len(raw)), source]) / -(known * np.log(known)).sum())
        first += 1 << (part["size"] - 1).bit_length()
    assert {part["kind"] for part in layout["parts"]} == {"number", "flag", "code"}
    score, number = np.mean(losses, axis=0), encoded["_split"].to_numpy()
    of_eval = dict(zip(encoded["_row_id"].to_pylist(), zip(score, np.max(losses, axis=0), strict=True), strict=True))
    predicted = run.predictions()
    own = np.array([of_eval[identity] for identity in predicted["_row_id"].to_pylist()])
    np.testing.assert_allclose(predicted["prediction: reconstruction"], own[:, 0], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(predicted["score_max: reconstruction"], own[:, 1], rtol=1e-3, atol=1e-5)
    threshold = np.quantile(score[number == 0], 0.98)
    assert run.results.odd_rows["threshold"] == {
        "level": 0.98,
        "value": pytest.approx(threshold, rel=1e-3),
        "num_rows": planted.NUM_TRAIN,
    }
    above = {row["metric"]: row["model"] for row in run.results.overall_rows}["above_threshold"]
    assert above == pytest.approx((own[:, 0] > run.results.odd_rows["threshold"]["value"]).mean(), abs=2e-3)


def test_each_column_is_measured_by_its_constant(run) -> None:
    """A model that always said the mean would lose 1 of each column in the train rows."""
    from cengine.learners.learner import Learner

    learner = run.resolved.trainer
    assert isinstance(learner, Learner)
    model = run.model()
    blocks = list(
        model.encoded(pq.read_table(run.project.folder.parent.parent / "rows.parquet").slice(0, planted.NUM_TRAIN))
    )
    from cengine.learners.examples import batch_of

    losses, squares = model.predictor.layout.constant(batch_of(blocks[0], model.inputs))
    np.testing.assert_allclose(losses.mean(axis=0), 1.0, rtol=1e-4)
    np.testing.assert_allclose(squares.mean(axis=0), 1.0, rtol=1e-4)


def test_what_is_known_of_odd_rows_changes_no_model(terminal, run) -> None:
    without = planted.YAML.replace("anomaly: {column: odd, positive: true}, ", "")
    terminal("pipeline", "push", terminal.write("other.yaml", without), "unknown")
    terminal("pipeline", "run", "unknown", "--yes")
    other = cengine.find_run(terminal.project, "unknown")
    reused = {stage.name: stage.reused for stage in other.stages}
    assert reused == {**dict.fromkeys(reused, True), "Evaluate": False}
    assert {row["metric"] for row in other.results.overall_rows} == {"squared_error", "score", "above_threshold"}
    assert other.results.odd_rows["anomaly"] is None
    assert other.results.odd_rows["rows"][0]["known"] is None


def test_new_rows_get_scores_and_codes(terminal, run, table, tmp_path) -> None:
    found = run.predict(table)
    assert found.column_names == ["score", "score_max", "above_threshold", "code_0", "code_1", "code_2"]
    evaluated = np.sort(run.predictions()["prediction: reconstruction"].to_numpy())
    np.testing.assert_allclose(np.sort(found["score"].to_numpy()[planted.NUM_TRAIN :]), evaluated, rtol=1e-3, atol=1e-6)
    assert run.embed(table).column_names == ["code_0", "code_1", "code_2"]
    assert cengine.load_model(run.model().save(tmp_path / "model")).predict(table).equals(found)
    terminal(
        "predict", "ae", "--input", terminal.files / "rows.parquet", "-o", tmp_path / "scores.parquet", "--keep", "odd"
    )
    written = pq.read_table(tmp_path / "scores.parquet")
    assert written.column_names == ["odd", *found.column_names]
    np.testing.assert_allclose(written["score"], found["score"], rtol=1e-3, atol=1e-6)


def test_only_an_autoencoder_has_a_code(tmp_path, table) -> None:
    text = "features: {length: {}}\nlabels: {weight: {}}\nsplit: {ratio: {train: .8, eval: .2}}\ntrainer: {type: regression, train_steps: 5}\n"
    home = cengine.open_project(tmp_path)
    pq.write_table(table, tmp_path / "rows.parquet")
    snapshot = cengine.register(home, "parquet", path=str(tmp_path / "rows.parquet"))
    run = cengine.execute(cengine.plan(home, cengine.parse_config(text), snapshot))
    with pytest.raises(PreprocessError, match="only an autoencoder has a code"):
        run.embed(table)


@pytest.mark.parametrize("form", ["onnx", "keras", "sql", "bundle"])
def test_other_formats_are_refused_by_one_error(terminal, run, form, tmp_path) -> None:
    answer = terminal("export", "ae", "--format", form, "-o", tmp_path / "out", code=9)
    assert answer.err.count("error:") == 1
    assert "an autoencoder has no" in answer.err
    assert not (tmp_path / "out").exists()


def test_folds_and_comparisons(terminal, run) -> None:
    text = planted.YAML.replace("categorize_by: part, categories: {train: [train], eval: [eval]}", "folds: 2")
    terminal("pipeline", "push", terminal.write("folds.yaml", text.replace("1200", "300")), "folds")
    assert "over the 2 folds" in terminal("pipeline", "run", "folds", "--yes").out
    folded = cengine.find_run(terminal.project, "folds")
    assert folded.predictions().num_rows == planted.NUM_TRAIN + planted.NUM_EVAL
    assert {row["metric"]: row for row in folded.results.overall_rows}["auc"]["model"] > 0.9
    compared = terminal("pipeline", "compare", "ae", "folds").out
    assert "reconstruction, eval" in compared
    assert " PCA " in compared


def test_the_terminal_fits_80_columns(terminal, run) -> None:
    out = terminal("pipeline", "evaluate", "ae", "--no-open", "--output", terminal.files / "page").out
    tables = [line for line in out.splitlines() if "|" in line]
    assert max(map(len, tables)) <= 80
    assert "the oddest rows of eval" in out
    assert "Left out, one value in all train rows: nothing." in out
    found = terminal("pipeline", "evaluate", "ae", "--json").json
    assert len(found["odd_rows"]["rows"]) == 100
    assert terminal("pipeline", "slice", "ae", "size where odd").out.count("large") >= 1


def test_the_template_is_one_that_runs(terminal) -> None:
    text = terminal("pipeline", "template", "--datasource", "rows", "--autoencoder").out
    assert "anomaly: {column: odd, positive: true}" in text
    assert "labels:" not in text
    terminal("pipeline", "validate", terminal.write("template.yaml", text), "--datasource", "rows")
    assert (
        "an autoencoder has no label"
        in terminal("pipeline", "template", "--datasource", "rows", "--autoencoder", "--label", "length", code=2).err
    )
