"""The model: its encoders against NumPy, and the file that is whole by itself."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from encoded import INPUTS, class_head, regression_head, trainer

from cengine.config.resolve import Label
from cengine.errors import StoreError, TrainingError
from cengine.learners.feedforward import Feedforward
from cengine.learners.heads import heads_of
from cengine.learners.model import build_model, load_model, load_predictor, save_model, signature_of, training_model
from cengine.networks import encoders
from cengine.networks.encodings import Bins, Embedding, Linear, OneHot, Ordinal, Periodic, PiecewiseLinear
from cengine.networks.layers import LAYERS
from cengine.preprocess.apply import Input
from cengine.preprocess.targets import targets_of
from cengine.summaries import Summary

EDGES = [-1.0, 0.0, 0.5, 3.0]


def test_piecewise_linear() -> None:
    """0 before a bin, 1 after it, linear within; the outer bins go on beyond their edges."""
    x = np.array([-2.0, -1.0, -0.25, 0.0, 0.1, 0.5, 2.0, 3.0, 5.0], np.float32)
    low, high = np.array(EDGES[:-1]), np.array(EDGES[1:])
    share = (x[:, None] - low) / (high - low)
    expected = np.clip(share, 0, 1)
    expected[:, 0] = np.minimum(share[:, 0], 1)
    expected[:, -1] = np.maximum(share[:, -1], 0)
    found = np.asarray(encoders.PiecewiseLinearBins(EDGES)(x[:, None]))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_bins_stand_beside_the_number_and_divide_its_values() -> None:
    """A column that is 0 in 95 of 100 rows has bins where it is not; quantiles of rows alone would give it one."""
    word = Bins(num_bins=8)
    rows = np.concatenate([np.zeros(1900), np.linspace(1, 100, 100)])
    probabilities = word.needs().probabilities
    edges = word.fit(Summary(2000, quantiles=tuple(np.quantile(rows, probabilities))))["edges"]
    assert edges == sorted({*edges})
    assert (edges[0], edges[-1]) == (0.0, 100.0)
    assert 100 <= len(edges) <= 130
    assert max(np.diff(edges)) < 2
    even = np.linspace(0, 1, 2000)
    of_even = word.fit(Summary(2000, quantiles=tuple(np.quantile(even, probabilities))))["edges"]
    np.testing.assert_allclose(of_even, np.linspace(0, 1, 9), atol=1e-9)
    assert word.fit(Summary(0))["edges"] == [0.0, 1.0]
    assert word.fit(Summary(3, quantiles=(2.0,) * len(probabilities)))["edges"] == [2.0, 3.0]
    inputs = [Input("x", None, word, {"edges": edges}), Input("z", None, Linear(), {})]
    model = build_model(inputs, trainer(), [regression_head()])
    numbers = np.array([[0.0, 7.0], [3.5, 8.0], [500.0, 9.0]], np.float32)
    joined = [layer for layer in model.layers if type(layer).__name__ == "Concatenate"][-1]
    found = np.asarray(encoders.keras.Model(model.inputs, joined.output)([numbers, np.zeros((3, 0), np.int32)]))
    assert found.shape == (3, 1 + 1 + len(edges) - 1)
    np.testing.assert_array_equal(found[:, :2], numbers[:, ::-1])
    np.testing.assert_allclose(found[:, 2:], np.asarray(encoders.PiecewiseLinearBins(edges)(numbers[:, :1])), rtol=1e-6)


def test_periodic() -> None:
    layer = encoders.PeriodicCode(5, 0.7)
    x = np.linspace(-2, 2, 9, dtype=np.float32)[:, None]
    found = np.asarray(layer(x))
    angle = 2 * np.pi * x * np.asarray(layer.frequencies)
    np.testing.assert_allclose(found, np.concatenate([np.sin(angle), np.cos(angle)], axis=1), atol=1e-5)
    assert layer.frequencies.trainable


def test_one_hot_and_ordinal() -> None:
    codes = np.array([[0], [2], [3], [-1], [7]], np.int32)
    expected = np.zeros((5, 4), np.float32)
    expected[0, 0] = expected[1, 2] = expected[2, 3] = 1
    np.testing.assert_array_equal(np.asarray(encoders.OneHotCode(4)(codes)), expected)
    np.testing.assert_allclose(np.asarray(encoders.OrdinalCode(4)(codes))[:3, 0], [0, 2 / 3, 1], rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(encoders.OrdinalCode(1)(np.zeros((2, 1), np.int32)))[:, 0], [0, 0])


def test_one_hot_columns_side_by_side_are_each_column_by_itself() -> None:
    codes = np.random.default_rng(0).integers(-1, 5, (40, 3)).astype(np.int32)
    sizes = [2, 4, 3]
    apart = [np.asarray(encoders.OneHotCode(size)(codes[:, [n]])) for n, size in enumerate(sizes)]
    together = encoders.OneHotCode(sizes)
    np.testing.assert_array_equal(np.asarray(together(codes)), np.concatenate(apart, axis=1))
    assert encoders.OneHotCode.from_config(together.get_config()).size == sizes
    of_version_0_1 = {**together.get_config(), "size": 4}
    assert encoders.OneHotCode.from_config(of_version_0_1).size == [4]


def test_columns() -> None:
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(np.asarray(encoders.Columns([2, 0])(matrix)), matrix[:, [2, 0]])


ALL_INPUTS = [
    Input("plain", None, Linear(), {}),
    Input("bins", None, PiecewiseLinear(num_bins=3), {"edges": EDGES}),
    Input("waves", None, Periodic(num_frequencies=3, dim=4), {}),
    Input("other", None, Linear(), {}),
    Input("hot", 3, OneHot(), {}),
    Input("vector", 30, Embedding(dim=5), {}),
    Input("place", 9, Ordinal(), {}),
]


def rows(num_rows: int = 50):
    random = np.random.default_rng(0)
    numbers = random.normal(size=(num_rows, 4)).astype(np.float32)
    codes = np.stack([random.integers(0, size, num_rows) for size in (3, 30, 9)], axis=1).astype(np.int32)
    return numbers, codes


def test_every_encoding_enters_with_its_own_column() -> None:
    """The first layer sees plain numbers, then bins, waves, one-hot, vector and place, each of its own column."""
    model = build_model(ALL_INPUTS, trainer(), [regression_head()])
    numbers, codes = rows()
    joined = next(layer for layer in model.layers if type(layer).__name__ == "Concatenate")
    found = np.asarray(encoders.keras.Model(model.inputs, joined.output)([numbers, codes]))
    assert found.shape == (50, 2 + 3 + 4 + 3 + 5 + 1)
    np.testing.assert_array_equal(found[:, :2], numbers[:, [0, 3]])
    np.testing.assert_allclose(
        found[:, 2:5], np.asarray(encoders.PiecewiseLinearBins(EDGES)(numbers[:, 1:2])), rtol=1e-6
    )
    np.testing.assert_array_equal(found[:, 9:12], np.eye(3)[codes[:, 0]])
    vectors = next(layer for layer in model.layers if type(layer).__name__ == "Embedding").get_weights()[0]
    np.testing.assert_array_equal(found[:, 12:17], vectors[codes[:, 1]])
    np.testing.assert_allclose(found[:, 17], codes[:, 2] / 8, rtol=1e-6)


@pytest.mark.parametrize("only", ["numbers", "codes"])
def test_numbers_or_codes_alone(only, tmp_path) -> None:
    inputs = [i for i in ALL_INPUTS if (i.size is None) == (only == "numbers")]
    model = build_model(inputs, trainer(), [regression_head()])
    numbers, codes = rows()
    arrays = [numbers, codes[:, :0]] if only == "numbers" else [numbers[:, :0], codes]
    assert np.asarray(model(arrays)).reshape(-1).shape == (50,)
    save_model(model, tmp_path, signature_of(inputs, [regression_head()]))
    for load in (load_model, load_predictor):
        np.testing.assert_array_equal(np.asarray(load(tmp_path)(arrays)), np.asarray(model(arrays)))


@pytest.mark.parametrize("load", [load_model, load_predictor])
def test_a_saved_model_predicts_the_same(load, tmp_path) -> None:
    """Read in safe mode, so that no code of the file is run."""
    heads = [regression_head(offset=1977.0, scale=11.0), class_head(["a", "b", "c"], "z")]
    layers = (LAYERS["dense"](units=8), LAYERS["batch_normalization"](), LAYERS["dropout"](rate=0.5))
    model = build_model(ALL_INPUTS, trainer(layers=layers), heads)
    save_model(model, tmp_path, signature_of(ALL_INPUTS, heads))
    loaded = load(tmp_path)
    numbers, codes = rows()
    for found, expected in zip(loaded([numbers, codes]), model([numbers, codes]), strict=True):
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    signature = json.loads((tmp_path / "signature.json").read_text())
    assert signature["numbers"] == ["plain", "bins", "waves", "other"]
    assert signature["codes"] == [
        {"column": "hot", "size": 3},
        {"column": "vector", "size": 30},
        {"column": "place", "size": 9},
    ]
    assert [output["label"] for output in signature["outputs"]] == ["y", "z"]
    assert signature["outputs"][1]["classes"] == ["a", "b", "c"]


@pytest.mark.parametrize("load", [load_model, load_predictor])
@pytest.mark.parametrize("harm", ["cut", "gone", "other", "flipped"])
def test_a_damaged_model_says_what_removes_it(harm, load, tmp_path) -> None:
    save_model(build_model(INPUTS, trainer(), [regression_head()]), tmp_path, {})
    file = tmp_path / "model.keras"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 255
    match harm:
        case "gone":
            file.unlink()
        case _:
            file.write_bytes({"cut": data[:2000], "other": b"hello", "flipped": data}[harm])
    with pytest.raises(StoreError, match=r"model\.keras is damaged") as caught:
        load(tmp_path)
    assert "cengine cache verify --repair" in caught.value.render()


def test_outputs_are_in_the_labels_unit() -> None:
    head = regression_head(offset=1977.0, scale=11.0)
    model = build_model(INPUTS, trainer(), [head])
    arrays = [np.ones((4, 2), np.float32), np.ones((4, 1), np.int32)]
    inner, outer = (np.asarray(m(arrays)).reshape(-1) for m in (training_model(model, 1), model))
    np.testing.assert_allclose(outer, inner * 11 + 1977, rtol=1e-6)


def test_initial_weights_are_the_seeds_alone() -> None:
    one, same, other = (
        build_model(ALL_INPUTS, trainer(seed=seed), [regression_head()]).get_weights() for seed in (1, 1, 2)
    )
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one[0], other[0])


def test_a_network_that_cannot_be_is_told() -> None:
    label = Label("y", "string", "classes", None, (), None, None)
    fitted = {"labels": {"y": {"classes": ["a", "b", "c"], "counts": [1, 1, 1]}}}
    with pytest.raises(TrainingError, match="3 classes and needs 3 output units, found num_output_units: 7"):
        heads_of(targets_of([label], fitted), Feedforward(type="classification", num_output_units=7))


@pytest.mark.parametrize("is_own", [True, False])
def test_only_a_process_of_ours_keeps_keras_from_what_is_not_used(is_own) -> None:
    code = f"""
import sys
from cengine.networks import keras_setup
keras_setup.is_own_process = {is_own}
keras_setup.import_keras()
print(sorted(set(keras_setup.UNUSED) & sys.modules.keys()))
import pandas, sklearn
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ("pandas" in done.stdout, "sklearn" in done.stdout, done.stdout == "[]\n") == (
        not is_own,
        not is_own,
        is_own,
    )
