"""Bundles: what is in them, that they are whole, and that nothing is written that predicts something else."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
from exported import PIPELINES, made, models_in

import cengine
from cengine.errors import ExportError, StoreError
from cengine.exports import bundle as bundles
from cengine.exports import folders
from cengine.exports.bundle import check_bundle
from cengine.exports.certificate import Comparison, certified
from cengine.exports.folders import answers
from cengine.exports.formats import FORMATS, export, unpacked
from cengine.exports.pages import SERVING

ROOT = Path(__file__).parents[2]
NAMES = ("a number", "classes")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return models_in(tmp_path_factory.mktemp("bundles"), {name: PIPELINES[name] for name in NAMES})


@pytest.fixture(scope="module")
def bundle(models, tmp_path_factory):
    """The folder of a bundle of classes."""
    folder = tmp_path_factory.mktemp("written") / "bundle"
    export(models["classes"], "bundle", folder, iter([made().slice(0, 300), made().slice(300)]))
    return folder


@pytest.fixture
def copied(bundle, tmp_path):
    return Path(shutil.copytree(bundle, tmp_path / "copied"))


def test_a_bundle_has_all_that_it_takes(models, bundle) -> None:
    assert {path.name for path in bundle.iterdir()} == {
        "model.json", "certificate.json", "learner", "model.onnx", "model.keras", "golden.parquet", "golden.json",
        "README.md", "openapi.json", "Dockerfile",
    }  # fmt: skip
    certificate = json.loads((bundle / "certificate.json").read_text(), parse_constant=pytest.fail)
    told = certificate["exports"]["onnx"]
    assert (told["rows"], told["made_up_rows"], told["classes_differ"]) == (500, 20_000, 0)
    assert told["largest_difference"] <= told["bound"] == 1e-6
    assert certificate["verdicts"] == models["classes"].certificate["verdicts"]
    assert set(certificate["files"]) == {
        path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()
    } - {"certificate.json"}
    onnx.checker.check_model(onnx.load(bundle / "model.onnx"), full_check=True)
    assert cengine.load_model(bundle).predict(made()).equals(models["classes"].predict(made()))


def test_golden_rows_are_rows_of_the_table_and_what_the_model_says(models, bundle) -> None:
    golden = json.loads((bundle / "golden.json").read_text(), parse_constant=pytest.fail)
    rows = pq.read_table(bundle / "golden.parquet")
    assert len(rows) == len(golden["rows"]) == 100
    features = models["classes"].features
    assert [list(row) for row in golden["rows"]] == [list(features)] * 100
    assert {row["member"] for row in golden["rows"]} == {True, False, None}
    found = answers(models["classes"], rows)
    assert golden["predictions"]["prediction"] == found["prediction"].tolist()
    np.testing.assert_array_equal(golden["predictions"]["probabilities"], found["probabilities"])
    moments = [None if cell is None else cell.astimezone(None).timestamp() for cell in rows["at"].to_pylist()]
    read = [row["at"] for row in golden["rows"]]
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d", text) for text in read if text)
    assert [text is None for text in read] == [moment is None for moment in moments]


def test_a_bundle_describes_the_service(bundle) -> None:
    told = json.loads((bundle / "openapi.json").read_text())
    schemas = told["components"]["schemas"]
    assert told["openapi"] == "3.1.0"
    (row,) = (schema for name, schema in schemas.items() if name.endswith(".row"))
    (prediction,) = (schema for name, schema in schemas.items() if name.endswith(".prediction"))
    assert row["properties"]["Size"] == {"type": ["integer", "null"], "format": "int64"}
    assert row["required"] == ["Size", "grams", 'a "b" é', "member", "at"]
    assert prediction["properties"]["prediction"]["enum"] == [7, 8, 9]
    assert list(prediction["properties"])[1:] == ["probability_7", "probability_8", "probability_9"]
    readme = (bundle / "README.md").read_text()
    assert '`a "b" é` | a text' in readme
    assert "<b>" not in readme and "knows nothing" in readme
    assert "on 500 evaluated rows and 20,000 made-up ones" in readme


def test_an_image_installs_what_the_extra_installs(bundle) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {one.partition(";")[0].strip() for one in project["optional-dependencies"]["serve"]}
    assert needed < set(SERVING)
    others = {one.partition(">")[0] for one in SERVING} - {one.partition(">")[0] for one in needed}
    assert others == {"click", "rich"}
    text = (bundle / "Dockerfile").read_text()
    copied = re.search(r"COPY (.*) /bundle/", text).group(1).split()
    assert all((bundle / name).is_file() for name in copied)
    assert f'--no-deps "cengine-ml=={cengine.__version__}"' in text
    assert re.search(r"^USER \d+$", text, re.M)


def test_a_bundle_is_checked_again(copied, tmp_path) -> None:
    told = check_bundle(copied)
    assert (told["rows"], told["made_up_rows"], told["classes_differ"]) == (100, 20_000, 0)


def test_an_archive_is_read_as_a_folder_is(models, tmp_path) -> None:
    file = tmp_path / "bundle.zip"
    export(models["a number"], "bundle", file, [made()])
    with zipfile.ZipFile(file) as archive:
        assert "model.onnx" in archive.namelist()
    with unpacked(file) as folder:
        assert check_bundle(folder)["rows"] == 100
    # One that was packed with its folder is one too.
    with unpacked(file) as folder:
        shutil.make_archive(str(tmp_path / "other"), "zip", folder.parent, folder.name)
    with unpacked(tmp_path / "other.zip") as folder:
        assert (folder / "model.json").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"bundle.zip", "other.zip"}


@pytest.mark.parametrize(("damage", "message"), [
    (lambda folder: (folder / "model.onnx").write_bytes(b"x"), "model.onnx has changed"),
    (lambda folder: (folder / "golden.json").unlink(), "golden.json is missing"),
    (lambda folder: (folder / "learner" / "model.keras").write_bytes(b""), "learner/model.keras has changed"),
    (lambda folder: (folder / "certificate.json").write_text("{}"), "has no digests of files"),
    (lambda folder: (folder / "certificate.json").write_text("["), "is damaged"),
    (lambda folder: (folder / "model.json").unlink(), "there is no model in"),
])  # fmt: skip
def test_a_damaged_bundle_is_told(copied, damage, message) -> None:
    damage(copied)
    with pytest.raises(StoreError, match=message):
        check_bundle(copied)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"text"])
def test_a_file_that_is_no_archive_is_told(tmp_path, content) -> None:
    (tmp_path / "bundle.zip").write_bytes(content)
    with pytest.raises(StoreError, match="is no bundle, or is damaged"), unpacked(tmp_path / "bundle.zip"):
        pytest.fail("it was opened")


def test_weights_that_were_exchanged_are_found_by_what_they_predict(models, copied, monkeypatch) -> None:
    """The digests fit, the predictions do not."""
    graph = onnx.load(copied / "model.onnx")
    name, weights = next(
        (one.name, onnx.numpy_helper.to_array(one))
        for one in graph.graph.initializer
        if len(one.dims) == 2 and one.dims[0] > 1 and one.data_type == onnx.TensorProto.FLOAT
    )
    (place,) = [i for i, one in enumerate(graph.graph.initializer) if one.name == name]
    graph.graph.initializer[place].CopyFrom(onnx.numpy_helper.from_array(weights * np.float32(1.001), name))
    onnx.save(graph, copied / "model.onnx")
    monkeypatch.setattr(bundles, "_refuse_changes", lambda folder, known: None)
    with pytest.raises(ExportError, match="does not predict what the model predicts: label 'kind' differs by"):
        check_bundle(copied)


def test_what_predicts_something_else_is_not_written(models, tmp_path, monkeypatch) -> None:
    right = folders.OnnxPredictor.predict

    def wrong(self, table):
        found = right(self, table)
        return {**found, "prediction": found["prediction"] + 1e-3}

    monkeypatch.setattr(folders.OnnxPredictor, "predict", wrong)
    with pytest.raises(ExportError, match=r"label 'y' differs by 0.00101 in the unit of y, the bound is 0.00028"):
        export(models["a number"], "bundle", tmp_path / "bundle", [made()])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "change"), [
    ("a number", lambda f: {"prediction": np.where(np.arange(len(f["prediction"])) == 7, np.nan, f["prediction"])}),
    ("classes", lambda f: {**f, "prediction": 16 - f["prediction"]}),
    ("classes", lambda f: {**f, "probabilities": f["probabilities"][:, ::-1]}),
])  # fmt: skip
def test_what_is_wrong_in_any_output_is_a_difference(models, name, change) -> None:
    model = models[name]
    comparison = certified(model, lambda table: answers(model, table), [made()])
    assert [one.largest for one in comparison.labels] == [0.0]
    comparison = Comparison(model, lambda table: change(answers(model, table)))
    comparison.add(made())
    with pytest.raises(ExportError):
        comparison.refuse_differences("it")


def test_all_formats_are_written(models, tmp_path) -> None:
    for name in FORMATS:
        told = export(models["a number"], name, tmp_path / name, iter([made()]))
        assert told["rows"] == 500 and told["largest_difference"] <= told["bound"]
    assert {path.name for path in (tmp_path / "keras").iterdir()} == {
        "model.keras",
        "signature.json",
        "certificate.json",
    }
    assert {path.name for path in (tmp_path / "onnx").iterdir()} == {"model.onnx", "certificate.json"}
    for name in FORMATS:
        with pytest.raises(StoreError, match="exists already"):
            export(models["a number"], name, tmp_path / name, [made()])


def test_a_model_without_rows_is_compared_on_made_up_ones(models, tmp_path) -> None:
    models["classes"].save(tmp_path / "saved")
    told = export(cengine.load_model(tmp_path / "saved"), "bundle", tmp_path / "bundle", [])
    assert (told["rows"], told["made_up_rows"]) == (0, 20_000)
    assert check_bundle(tmp_path / "bundle")["rows"] == 100


def test_a_format_that_is_none_is_told(models, tmp_path) -> None:
    with pytest.raises(ExportError, match="did you mean 'onnx'"):
        export(models["classes"], "onx", tmp_path / "x", [])


def test_a_folder_that_cannot_be_written_is_told(models, tmp_path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        export(models["classes"], "onnx", tmp_path / "none" / "x", [])
    parts = dataclasses.replace(models["classes"].parts, learner_folder=tmp_path)
    with pytest.raises(ExportError, match="is no Keras network"):
        export(type(models["classes"])(parts), "keras", tmp_path / "x", [])
    assert list(tmp_path.iterdir()) == []
