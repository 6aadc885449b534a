"""Layers, activations, encodings and inverse transforms as ONNX, beside Keras and NumPy."""

from __future__ import annotations

import typing
from types import SimpleNamespace

import numpy as np
import pytest

from cengine.errors import ExportError
from cengine.exports.files import model_file
from cengine.exports.runtime import session_of
from cengine.learners.model import build_model
from cengine.networks.activations import ACTIVATIONS
from cengine.networks.encodings import ENCODINGS
from cengine.networks.keras_setup import import_keras
from cengine.networks.layers import LAYERS, ROW_LAYERS, Activation
from cengine.networks.predicting import predicted
from cengine.preprocess.apply import Input
from cengine.tensors import DOUBLE, FLOAT, INT32, INT64, Graph, interpolated, num_at_or_below
from cengine.transforms import TRANSFORMS, InvertibleTransform

WIDTH, NUM_ROWS = 7, 200
# Parameters beside the defaults, so that each is seen to act.
PARAMETERS = {
    "dense": [{"units": 5}, {"units": 5, "use_bias": False, "activation": "linear"}],
    "gaussian_noise": [{"stddev": 0.5}],
    "dropout": [{"rate": 0.5}],
    "alpha_dropout": [{"rate": 0.5}],
    "gaussian_dropout": [{"rate": 0.5}],
    "batch_normalization": [{}, {"center": False, "scale": False}, {"epsilon": 0.1, "scale": False}],
    "layer_normalization": [{}, {"center": False}, {"scale": False, "epsilon": 0.1}],
    "rms_normalization": [{}, {"epsilon": 0.5}],
    "activation": [{"activation": "selu"}],
    "relu": [
        {},
        {"max_value": 1.5},
        {"max_value": 6.0},
        {"negative_slope": 0.2},
        {"threshold": 0.7},
        {"max_value": 2.0, "negative_slope": 0.1, "threshold": 0.5},
    ],
    "leaky_relu": [{}, {"negative_slope": 0.0}],
    "elu": [{}, {"alpha": 0.4}],
}
CASES = [(name, parameters) for name in ROW_LAYERS for parameters in PARAMETERS.get(name, [{}])]


def rows(seed=1):
    """Numbers (rows, WIDTH) around 0, with zeros, small ones, and large ones."""
    found = np.random.default_rng(seed).normal(0, 2, (NUM_ROWS, WIDTH)).astype(np.float32)
    found[0], found[1], found[2], found[3] = 0.0, 1e-6, -1e-6, -0.0
    found[4], found[5] = 50.0, -50.0
    found[6, 0], found[7, 0] = 2.0**60, -(2.0**60)
    return found


def run(graph, **inputs):
    """The outputs of a graph, in order."""
    return session_of(model_file(graph, {}).SerializeToString()).run(None, inputs)


def randomized(model, seed=3):
    """The model with weights that a training may have led to: of a variance, none below 0."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        values = random.normal(0, 1, weight.shape)
        weight.assign(np.abs(values) + 0.1 if "variance" in weight.path else values)
    return model


def beside_keras(model, *arrays):
    """What the graph of a Keras model gives, and what Keras does."""
    graph = Graph()
    given = [
        graph.input(f"in{n}", INT32 if array.dtype == np.int32 else FLOAT, (None, array.shape[1]))
        for n, array in enumerate(arrays)
    ]
    ((output,),) = predicted(model, given)
    graph.output("out", output, (None, None))
    (found,) = run(graph, **{f"in{n}": array for n, array in enumerate(arrays)})
    return found, np.asarray(model(list(arrays) if len(arrays) > 1 else arrays[0], training=False))


def assert_close(found, expected) -> None:
    """To 1e-6 of the number, or of 1 where that is larger: a few of the 2^23 steps of a number of 32 bits."""
    assert found.dtype == expected.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def in_keras(layer):
    keras = import_keras()
    given = keras.Input((WIDTH,))
    return randomized(keras.Model(given, layer.build()(given)))


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=[f"{n}-{p}" for n, p in CASES])
def test_a_layer_predicts_what_it_does_in_keras(name, parameters) -> None:
    model = in_keras(LAYERS[name](**parameters))
    data = rows()
    if "normalization" in name and not name.startswith("batch"):
        # Squares of the largest leave 32 bits, see below; what is left of rows of 50 is 50 - 50, times 31.
        data = data[[n for n in range(NUM_ROWS) if n not in (4, 5, 6, 7)]]
    found, expected = beside_keras(model, data)
    scale = np.maximum(1.0, np.abs(data).max(axis=1, keepdims=True) * (4.0 if name == "dense" else 1.0))
    assert_close((found / scale).astype(np.float32), (expected / scale).astype(np.float32))


@pytest.mark.parametrize("name", [name for name in ROW_LAYERS if name.endswith("normalization")])
def test_rows_of_large_numbers_are_normalized_alike(name) -> None:
    found, expected = beside_keras(in_keras(LAYERS[name]()), rows()[6:8])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", typing.get_args(Activation))
def test_an_activation_is_that_of_keras(name) -> None:
    model = in_keras(LAYERS["activation"](activation=name))
    data = rows()
    found, expected = beside_keras(model, data)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(found[~finite], expected[~finite])
    scale = np.maximum(1.0, np.abs(expected[finite]))
    np.testing.assert_allclose(found[finite] / scale, expected[finite] / scale, rtol=0, atol=1e-6)
    # Within a few units too, where the numbers are those of a hidden layer.
    near = np.abs(data) <= 4
    np.testing.assert_allclose(found[near], expected[near], rtol=2e-6, atol=3e-7)


def test_every_activation_has_a_form() -> None:
    assert set(ACTIVATIONS) == set(typing.get_args(Activation))


@pytest.mark.parametrize("activation", typing.get_args(Activation))
def test_layers_in_a_row_predict_what_they_do_in_keras(activation) -> None:
    """Every layer that learns after every activation, as a network has them."""
    keras = import_keras()
    given = hidden = keras.Input((WIDTH,))
    learning = ("batch_normalization", "layer_normalization", "rms_normalization", "prelu", "unit_normalization")
    for name in learning:
        hidden = LAYERS["dense"](units=WIDTH, activation=activation).build()(hidden)
        hidden = LAYERS[name]().build()(hidden)
    model = keras.Model(given, hidden)
    random = np.random.default_rng(5)
    for weight in model.weights:
        # Of a size that keeps numbers where they are, as initializers do.
        values = random.normal(0, 0.4, weight.shape)
        weight.assign(np.abs(values) + 0.5 if "variance" in weight.path or "gamma" in weight.path else values)
    found, expected = beside_keras(model, random.normal(0, 1, (NUM_ROWS, WIDTH)).astype(np.float32))
    # Ten layers, each of which rounds.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def network(inputs):
    """An untrained network with these inputs."""
    from cengine.learners.feedforward import Feedforward

    trainer = Feedforward(type="regression", layers=[LAYERS["dense"](units=6)])
    head = SimpleNamespace(units=1, activation="linear", output_scale=3.0, output_offset=1980.0, members=1)
    return randomized(build_model(inputs, trainer, [head]))


@pytest.mark.parametrize("name", [name for name in ENCODINGS if name != "auto"])
def test_an_encoding_predicts_what_it_does_in_keras(name) -> None:
    word = ENCODINGS[name]()
    size = 5 if "code" in word.accepts else None
    edges = {"edges": [-2.0, -0.5, 0.0, 0.25, 3.0]} if name in ("piecewise_linear", "bins") else {}
    inputs = [Input("a", size, word, edges), Input("b", size, word, edges), Input("c", None, ENCODINGS["linear"](), {})]
    model = network(inputs)
    numbers = rows()[8:, : 1 if size else 3]
    codes = np.random.default_rng(2).integers(0, 5, (len(numbers), 2 if size else 0)).astype(np.int32)
    found, expected = beside_keras(model, numbers, codes)
    # In the label's unit, in which 32 bits have steps of 1e-4.
    np.testing.assert_allclose((found - 1980) / 3, (expected - 1980) / 3, rtol=2e-6, atol=1e-4)


def test_a_layer_without_a_form_is_named() -> None:
    keras = import_keras()
    given = keras.Input((WIDTH,))
    with pytest.raises(ExportError, match=r"the layer 'repeated' \(RepeatVector\) has no ONNX form"):
        beside_keras(keras.Model(given, keras.layers.RepeatVector(2, name="repeated")(given)), rows())

    class Dense(keras.layers.Layer):
        def call(self, inputs):
            return inputs * 2

    with pytest.raises(ExportError, match=r"the layer 'other' \(Dense\) has no ONNX form"):
        beside_keras(keras.Model(given, Dense(name="other")(given)), rows())

    def doubled(x):
        return 2 * x

    with pytest.raises(ExportError, match="the activation 'doubled' has no ONNX form"):
        beside_keras(keras.Model(given, keras.layers.Dense(3, activation=doubled)(given)), rows())


def test_a_layer_of_another_package_says_its_form_itself() -> None:
    keras = import_keras()

    class Doubled(keras.layers.Layer):
        def call(self, inputs):
            return inputs * 2

        def predicting(self, x):
            return x * 2.0

    given = keras.Input((WIDTH,))
    found, expected = beside_keras(keras.Model(given, Doubled()(given)), rows())
    np.testing.assert_array_equal(found, expected)


STATISTICS = {
    "no_transform": {},
    "scale_to_z_score": {"offset": 1979.25, "scale": 11.75, "rest": 1e-12},
    "scale_to_0_1": {"offset": 18.0, "scale": 70.0},
    "scale_by_min_max": {"offset": -3.0, "scale": 0.1},
    "log": {"minimum": 0.5},
    "quantile_normal": {"values": [1.0, 2.0, 2.5, 100.0], "scores": [-5.2, -0.3, 0.1, 5.2]},
}


@pytest.mark.parametrize("name", [name for name, word in TRANSFORMS.items() if issubclass(word, InvertibleTransform)])
def test_an_inverse_is_traced_as_numpy_runs_it(name) -> None:
    word, learnt = TRANSFORMS[name](), STATISTICS[name]
    data = np.array([-700.0, -6.0, -5.2, -1.0, -0.3, -0.0, 0.0, 0.05, 0.1, 1.0, 5.2, 5.3, 709.0, 1000.0])
    graph = Graph()
    graph.output("out", word.inverse(graph.input("in", DOUBLE, (None,)), learnt), (None,))
    (found,) = run(graph, **{"in": data})
    with np.errstate(over="ignore"):
        expected = word.inverse(data, learnt)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=4e-15, atol=0)


@pytest.mark.parametrize("points", [[3.0], [0.0, 1.0], [-2.0, -1.0, 5.0, 1e6]])
def test_lines_between_points_are_those_of_numpy(points) -> None:
    values = np.linspace(7.0, 9.0, len(points))
    data = np.array([-1e300, -2.0, -1.5, 0.0, 0.3, 1.0, 3.0, 5.0, 1e5, 1e6, 1e300])
    graph = Graph()
    graph.output("out", interpolated(graph.input("in", DOUBLE, (None,)), np.array(points), values), (None,))
    (found,) = run(graph, **{"in": data})
    np.testing.assert_allclose(found, np.interp(data, points, values), rtol=1e-15)


@pytest.mark.parametrize("num_edges", [1, 2, 9, 255, 256, 257, 511, 512, 1000])
@pytest.mark.parametrize("dtype", [DOUBLE, INT64])
def test_places_among_edges_are_those_of_numpy(num_edges, dtype) -> None:
    """By comparison with all of them, and by halving."""
    random = np.random.default_rng(num_edges)
    edges = np.unique(random.integers(-(2**60), 2**60, num_edges)).astype(dtype)
    data = np.concatenate([edges, edges + 1, edges - 1, [-(2**62), 2**62]]).astype(dtype).reshape(-1, 1)
    if dtype == DOUBLE:
        data = np.concatenate([data, [[np.inf], [-np.inf]]])
    graph = Graph()
    graph.output("out", num_at_or_below(graph.input("in", dtype, (None, 1)), edges), (None, 1))
    (found,) = run(graph, **{"in": data})
    np.testing.assert_array_equal(found[:, 0], np.searchsorted(edges, data[:, 0], side="right"))


def test_what_numpy_function_has_no_form_is_named() -> None:
    graph = Graph()
    given = graph.input("in", DOUBLE, (None,))
    for call, name in ((np.arctan, "arctan"), (np.cumsum, "cumsum"), (np.sort, "sort")):
        with pytest.raises(ExportError, match=f"numpy.{name} has no ONNX form"):
            call(given)
    with pytest.raises(ExportError, match="tells its inputs and outputs apart by their names: 'in'"):
        graph.output("in", given, (None,))


def test_what_is_said_twice_is_there_once() -> None:
    graph = Graph()
    given = graph.input("in", DOUBLE, (None,))
    assert (given * 2.0 + 1.0).name == (given * 2.0 + 1.0).name != (given * 2.0 + 1.5).name
    assert len(graph.nodes) == 3
