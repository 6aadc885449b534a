"""A trained model by itself: it predicts raw rows as the run predicted its evaluated ones, and lives in a folder that needs nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from every_kind import FEATURES, every_kind

import cengine
from cengine.errors import PreprocessError, StoreError
from cengine.models.artifact import MODEL

NUM_ROWS = 600
TRAINER = "layers: [{type: dense, units: 8}, {type: dropout, rate: 0.1}], train_steps: 60, optimizer: {type: adam, learning_rate: {type: cosine_decay}}"
PIPELINES = {
    "a number": FEATURES + f"labels: {{y: {{transform: scale_to_0_1}}}}\ntrainer: {{type: regression, {TRAINER}}}",
    "two classes": FEATURES + f"labels: {{rich: {{}}}}\ntrainer: {{type: classification, {TRAINER}}}",
    "classes": FEATURES + f"labels: {{kind: {{}}}}\ntrainer: {{type: classification, {TRAINER}}}",
    "two labels": FEATURES.replace("  Size: {filling: median}\n", "")
    + f"labels: {{y: {{}}, Size: {{loss: mae}}}}\ntrainer: {{type: regression, {TRAINER}}}",
}


def made() -> pa.Table:
    """Columns of every kind, some cells missing."""
    return every_kind(NUM_ROWS, ["red", "green", "blue", 'a "b"\n'])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each pipeline, on one table."""
    project = cengine.open_project(tmp_path_factory.mktemp("models"))
    table = cengine.register(project, made(), name="made")
    return {
        name: cengine.execute(cengine.plan(project, cengine.parse_config(text), table), name=name)
        for name, text in PIPELINES.items()
    }


def evaluated(run) -> tuple[pa.Table, pa.Table]:
    """The raw rows that were not trained on, and what the run predicted of them."""
    predictions = run.predictions()
    (file,) = run.snapshot.files
    raw = pq.read_table(file)
    places = {identity: place for place, identity in enumerate(raw["_row_id"].to_pylist())}
    return raw.take([places[identity] for identity in predictions["_row_id"].to_pylist()]), predictions


@pytest.mark.parametrize("name", PIPELINES)
def test_new_rows_are_predicted_as_the_run_predicted_them(runs, name) -> None:
    rows, predictions = evaluated(runs[name])
    found = runs[name].model().predict(rows)
    expected = {
        "a number": lambda: {"prediction": predictions["prediction: y"]},
        "two classes": lambda: {"probability_yes": predictions["prediction: rich"]},
        "classes": lambda: {
            "probability_8": pa.array([row[1] for row in predictions["class_probabilities: kind"].to_pylist()])
        },
        "two labels": lambda: {f"{label}: prediction": predictions[f"prediction: {label}"] for label in ("y", "Size")},
    }[name]()
    assert len(rows) > 100
    for column, values in expected.items():
        np.testing.assert_allclose(found[column].to_numpy(), values.to_numpy(), rtol=2e-6)


def test_classes_are_those_of_the_column(runs) -> None:
    found = runs["classes"].model().predict(made())
    assert found.column_names == ["prediction", "probability_7", "probability_8", "probability_9"]
    assert found["prediction"].type == pa.int64()
    shares = np.column_stack([found[f"probability_{kind}"] for kind in (7, 8, 9)])
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(found["prediction"], np.array([7, 8, 9])[shares.argmax(axis=1)])
    two = runs["two classes"].model().predict(made())
    assert two.column_names == ["prediction", "probability_no", "probability_yes"]
    np.testing.assert_array_equal(np.array(two["prediction"]) == "yes", np.array(two["probability_yes"]) >= 0.5)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_folder_is_enough(runs, name, tmp_path) -> None:
    """Read by another process, in which there is no project."""
    model = runs[name].model()
    folder = model.save(tmp_path / "model")
    pq.write_table(made(), tmp_path / "rows.parquet")
    code = """
import cengine, pyarrow.parquet as pq
pq.write_table(cengine.load_model("model").predict(pq.read_table("rows.parquet")), "predicted.parquet")
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert pq.read_table(tmp_path / "predicted.parquet").equals(model.predict(made()))
    assert {path.name for path in folder.iterdir()} == {"model.json", "certificate.json", "learner"}
    assert {path.name for path in (folder / "learner").iterdir()} == {"model.keras", "signature.json"}
    with zipfile.ZipFile(folder / "learner" / "model.keras") as archive:
        assert {name.rpartition(".")[2] for name in archive.namelist()} == {"json", "h5"}
    certificate = json.loads((folder / "certificate.json").read_text(), parse_constant=pytest.fail)
    assert certificate["verdicts"] == runs[name].results.verdicts
    assert cengine.load_model(folder).fingerprints == {stage.name: stage.fingerprint for stage in runs[name].stages}


def test_tables_of_all_makers_say_the_same(runs) -> None:
    model, table = runs["a number"].model(), made()
    expected = model.predict(table)
    others = table.select(["at", "member", "word", "grams", "Size"]).rename_columns(
        ["at", "member", "WORD", "grams", "size"]
    )
    assert model.predict(others).equals(expected)
    assert model.predict(pl.from_arrow(table)).equals(expected)
    # pandas has whole numbers with gaps as floats.
    assert model.predict(table.to_pandas()).equals(expected)
    assert model.predict(table.slice(0, 0)).num_rows == 0
    assert model.predict(table.slice(7, 1)).equals(expected.slice(7, 1)) or np.allclose(
        model.predict(table.slice(7, 1))["prediction"], expected["prediction"][7].as_py(), rtol=1e-6
    )


def test_a_model_is_shown_by_what_it_takes_and_gives(runs) -> None:
    shown = repr(runs["two labels"].model())
    assert shown == "Model('feedforward', features=('grams', 'word', 'member', 'at'), labels=('y', 'Size'))"


def test_rows_of_extremes_are_predicted(runs) -> None:
    """Missing cells, words never seen, numbers beyond all bounds: a finite prediction each."""
    table = pa.table(
        {
            "Size": pa.array([None, 2**62, -(2**62)], pa.int64()),
            "grams": pa.array([float("nan"), 1e300, float("-inf")]),
            "word": pa.array([None, "never seen", ""]),
            "member": pa.nulls(3),
            "at": pa.array([None, 0, 4_000_000_000_000_000], pa.timestamp("us")),
        }
    )
    assert np.isfinite(runs["a number"].model().predict(table)["prediction"].to_numpy()).all()


@pytest.mark.parametrize(("change", "messages"), [
    (lambda t: t.drop_columns(["word", "grams"]), ["column 'word' is missing", "column 'grams' is missing"]),
    (lambda t: t.rename_columns([{"word": "wrod"}.get(name, name) for name in t.column_names]), ["did you mean 'wrod'?"]),
    (lambda t: t.set_column(0, "Size", pa.array([1.5] * NUM_ROWS)), ["column 'Size' cannot be read as integer"]),
    (lambda t: t.set_column(0, "Size", pa.array(["1"] * NUM_ROWS)), ["column 'Size' is of type string, the model was trained on integer"]),
    (lambda t: t.set_column(2, "word", pa.array(range(NUM_ROWS))), ["column 'word' is of type int64, the model was trained on string"]),
])  # fmt: skip
def test_rows_that_do_not_fit_are_refused(runs, change, messages) -> None:
    with pytest.raises(PreprocessError) as found:
        runs["a number"].model().predict(change(made()))
    for message in messages:
        assert message in str(found.value)


def test_what_is_no_model_is_told(runs, tmp_path) -> None:
    model = runs["a number"].model()
    folder = model.save(tmp_path / "model")
    with pytest.raises(StoreError, match="exists already"):
        model.save(folder)
    with pytest.raises(StoreError, match="there is no model in"):
        cengine.load_model(tmp_path)
    data = json.loads((folder / MODEL).read_text())
    for changed, message in (
        ({**data, "version": 2}, "is of version 2, this cengine reads version 1"),
        ({"version": 1}, "is damaged"),
        ({**data, "learner": {**data["learner"], "word": "trees"}}, "the learner 'trees' is not known here"),
        (
            {**data, "features": [{**data["features"][0], "filling": {"word": "medain", "version": 1}}]},
            "did you mean 'median'?",
        ),
        (
            {**data, "features": [{**data["features"][0], "filling": {"word": "median", "version": 9}}]},
            "'median' is of version 9",
        ),
    ):
        (folder / MODEL).write_text(json.dumps(changed))
        with pytest.raises(StoreError, match=message.replace("?", r"\?")):
            cengine.load_model(folder)
    (folder / MODEL).write_text("{")
    with pytest.raises(StoreError, match="is damaged"):
        cengine.load_model(folder)
