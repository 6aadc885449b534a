"""A model as ONNX predicts what the model predicts, from raw columns."""

from __future__ import annotations

import dataclasses
import datetime
import json

import numpy as np
import onnx
import pyarrow as pa
import pytest
from exported import PIPELINES, hard_rows, made, models_in
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cengine.errors import ExportError
from cengine.exports.certificate import Comparison
from cengine.exports.onnx import onnx_of
from cengine.exports.runtime import OnnxPredictor
from cengine.models.given import fitting
from cengine.models.model import Model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Each model beside its ONNX file."""
    return {name: (model, onnx_of(model)) for name, model in models_in(tmp_path_factory.mktemp("exports")).items()}


def predictor_of(model, file):
    return OnnxPredictor(file.SerializeToString(), model.signature.features)


def beside(model, file, table):
    """What the file says and what the model says of a table, by the names of the file's outputs."""
    rows = fitting(table, model.signature.features)
    found, expected = predictor_of(model, file).predict(rows), model.predict(table)
    told = json.loads(file.metadata_props[0].value)["outputs"]
    wanted = {}
    for one in told:
        wanted[one["prediction"]] = np.asarray(expected[one["prediction"]].to_pylist())
        if one["probabilities"]:
            prefix = one["probabilities"].removesuffix("probabilities")
            names = [f"{prefix}probability_{str(c).lower() if isinstance(c, bool) else c}" for c in one["classes"]]
            wanted[one["probabilities"]] = np.column_stack([expected[name].to_numpy() for name in names])
        if one.get("quantiles"):
            names = [f"quantile_{share}" for share in one["at"]]
            wanted[one["quantiles"]] = np.column_stack([expected[name].to_numpy() for name in names])
            assert (found[one["quantiles"]][:, 1:] >= found[one["quantiles"]][:, :-1]).all()
    assert set(found) == set(wanted)
    return [(name, found[name], wanted[name]) for name in wanted]


@pytest.mark.parametrize("name", PIPELINES)
def test_a_file_predicts_what_the_model_predicts(exported, name) -> None:
    for told, found, expected in beside(*exported[name], made()):
        assert found.shape == expected.shape
        if found.dtype.kind == "f":
            # The label's deviation is 28; of a probability little more than one step of 32 bits.
            atol = 1e-6 if "probabilities" in told else 1e-5
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=atol, err_msg=told)
        else:
            assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("name", PIPELINES)
def test_hard_rows_are_predicted_alike(exported, name) -> None:
    for told, found, expected in beside(*exported[name], hard_rows()):
        if found.dtype.kind == "f":
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=told)
        else:
            assert found.tolist() == expected.tolist()


def test_a_file_says_what_enters_and_what_leaves(exported) -> None:
    model, file = exported["two labels"]
    told = json.loads({prop.key: prop.value for prop in file.metadata_props}["cengine"])
    assert told["inputs"] == [
        {"name": "Size", "kind": "integer"},
        {"name": "grams", "kind": "float"},
        {"name": 'a "b" é', "kind": "string"},
        {"name": "member", "kind": "boolean"},
        {"name": "at", "kind": "timestamp"},
    ]
    names = [(one["label"], one["prediction"], one["probabilities"], one["classes"]) for one in told["outputs"]]
    assert names == [
        ("kind", "kind: prediction", "kind: probabilities", [7, 8, 9]),
        ("rich", "rich: prediction", "rich: probabilities", ["no", "yes"]),
    ]
    assert [(one.domain, one.version) for one in file.opset_import] == [("", 22), ("ai.onnx.ml", 4)]
    assert file.ir_version == 10
    onnx.checker.check_model(file, full_check=True)
    # Who has no nulls leaves out the inputs that tell of them.
    needed = {one.name for one in predictor_of(model, file).session.get_inputs()}
    assert needed == {one["name"] for one in told["inputs"]}


def test_no_rows_are_no_rows(exported) -> None:
    for name, rows in (("yes or no", 2), ("a number", None)):
        model, file = exported[name]
        found = predictor_of(model, file).predict(fitting(made().slice(0, 0), model.signature.features))
        assert {value.shape for value in found.values()} <= {(0,), (0, rows)}


def test_rows_without_one_another_are_predicted_the_same(exported) -> None:
    model, file = exported["yes or no"]
    rows = fitting(pa.concat_tables([made().select(hard_rows().column_names).slice(0, 20)]), model.signature.features)
    predictor = predictor_of(model, file)
    together = predictor.predict(rows)["probabilities"]
    alone = np.concatenate([predictor.predict(rows.slice(at, 1))["probabilities"] for at in range(len(rows))])
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_a_learner_without_a_form_is_named(exported) -> None:
    class OfTrees(Model):
        predictor = object()

    with pytest.raises(ExportError, match="a model of the learner 'feedforward' has no ONNX form"):
        onnx_of(OfTrees(exported["classes"][0].parts))


def test_a_column_called_as_an_output_is_refused(exported) -> None:
    """An ONNX file could not tell them apart."""
    model, _ = exported["two labels"]
    parts, signature = model.parts, model.signature
    features = (dataclasses.replace(signature.features[0], name="rich: prediction"), *signature.features[1:])
    learnt = signature.statistics["features"]
    statistics = {**signature.statistics, "features": {**learnt, "rich: prediction": learnt["Size"]}}
    renamed = dataclasses.replace(signature, features=features, statistics=statistics)
    with pytest.raises(ExportError, match="'rich: prediction' would stand for two of them"):
        onnx_of(Model(dataclasses.replace(parts, signature=renamed)))


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_row_is_predicted_within_the_bound(exported, data) -> None:
    """Whatever its cells: told by the certificate, which knows how a network's own rounding grows."""
    cells = {
        "Size": st.integers(-(2**63), 2**63 - 1), "grams": st.floats(), "member": st.booleans(),
        'a "b" é': st.text(st.characters(exclude_categories=["Cs"])),
        "at": st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31)),
    }  # fmt: skip
    types = {
        "Size": pa.int64(),
        "grams": pa.float64(),
        "member": pa.bool_(),
        'a "b" é': pa.string(),
        "at": pa.timestamp("us"),
    }
    drawn = {name: data.draw(st.lists(st.none() | one, min_size=8, max_size=8)) for name, one in cells.items()}
    rows = pa.table({name: pa.array(values, types[name]) for name, values in drawn.items()})
    for name in ("a number", "two labels"):
        model, file = exported[name]
        comparison = Comparison(model, predictor_of(model, file).predict)
        comparison.add(rows)
        comparison.refuse_differences("the file")
