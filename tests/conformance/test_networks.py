"""Every layer, loss, optimizer, schedule and encoding builds in Keras, and its fields are Keras' own arguments."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from cengine.config.resolve import Label
from cengine.learners.feedforward import Feedforward
from cengine.learners.heads import Head
from cengine.learners.model import build_model
from cengine.networks.encodings import ENCODINGS, ONE_HOT_UP_TO, Auto, Embedding, Linear, OneHot
from cengine.networks.keras_setup import import_keras
from cengine.networks.layers import LAYERS, ROW_LAYERS, SEQUENCE_LAYERS, LayerMisfitError, shapes
from cengine.networks.losses import LOSSES
from cengine.networks.optimizers import OPTIMIZERS, SCHEDULES
from cengine.preprocess.apply import Input
from cengine.preprocess.targets import Target
from cengine.summaries import Summary
from cengine.tasks import task_named

# Arguments without a default; every other one is left out.
LAYER_ARGUMENTS = {
    "dense": {"units": 5}, "dropout": {"rate": 0.5}, "alpha_dropout": {"rate": 0.5}, "gaussian_dropout": {"rate": 0.5},
    "gaussian_noise": {"stddev": 0.1}, "activation": {"activation": "tanh"},
    "lstm": {"units": 3}, "gru": {"units": 3}, "simple_rnn": {"units": 3}, "bidirectional": {"layer": LAYERS["gru"](units=3)},
    "conv1d": {"filters": 3, "kernel_size": 2}, "separable_conv1d": {"filters": 3, "kernel_size": 2},
    "average_pooling1d": {"pool_size": 2}, "multi_head_attention": {"num_heads": 2, "key_dim": 3},
    "time_distributed": {"layer": LAYERS["dense"](units=3)}, "spatial_dropout1d": {"rate": 0.5}, "repeat_vector": {"n": 4},
    "permute": {"dims": [2, 1]}, "reshape": {"target_shape": [-1, 4]},
}  # fmt: skip
SCHEDULE_ARGUMENTS = {"piecewise_constant_decay": {"boundaries": [10], "values": [0.1, 0.01]}}
# Where our default is another one than Keras' on purpose.
OWN_DEFAULTS = {(name, "activation"): "relu" for name in ("dense", "conv1d", "separable_conv1d")}
# Where Keras has no default, or one that is told in another way.
NO_DEFAULT = {"decay_steps", "decay_rate", "initial_learning_rate", "kernel_regularizer", "bias_regularizer"}


def keras_class(word):
    """Keras' class of a word: in one of its modules under the class' name."""
    keras = import_keras()
    if word.name == "activation":
        return keras.layers.Activation
    homes = {
        **dict.fromkeys(LAYERS.values(), keras.layers),
        **dict.fromkeys(LOSSES.values(), keras.losses),
        **dict.fromkeys(OPTIMIZERS.values(), keras.optimizers),
        **dict.fromkeys(SCHEDULES.values(), keras.optimizers.schedules),
    }
    return getattr(homes[word], word.__name__)


def built_class(word):
    """The class of the layer that a word builds: Keras', or one of ours that is derived from it."""
    if not word.keras_name().startswith("Sliced"):
        return keras_class(word)
    from cengine.networks import sliced

    found = getattr(sliced, word.keras_name())
    assert issubclass(found, keras_class(word))
    return found


# Losses that Keras has none of.
OWN_LOSSES = ("quantile",)
KERAS_WORDS = [
    *LAYERS.values(),
    *(loss for name, loss in LOSSES.items() if name not in OWN_LOSSES),
    *OPTIMIZERS.values(),
    *SCHEDULES.values(),
]


@pytest.mark.parametrize("word", KERAS_WORDS, ids=lambda word: f"{word.__module__.split('.')[-1]}-{word.name}")
def test_fields_are_keras_arguments_with_the_same_defaults(word) -> None:
    known = inspect.signature(keras_class(word).__init__).parameters
    for name, field in word.model_fields.items():
        if name in word.unsaid:  # a key of ours, which Keras is not given
            continue
        assert name in known, f"Keras' {word.__name__} takes no {name}"
        default = known[name].default
        if (word.name, name) in OWN_DEFAULTS:
            assert field.default == OWN_DEFAULTS[word.name, name] != default
        elif field.is_required() or name in NO_DEFAULT:
            assert default in (inspect.Parameter.empty, None)
        else:
            assert field.default == default, name


def head(activation="linear"):
    label = Label("y", "float", "regression", None, (), None, None)
    return Head(Target(label, task_named(label.task)), LOSSES["mse"](), 1, activation)


def outputs(inputs, layers=(), num_rows=6):
    """What a model of these inputs and layers gives for six rows of numbers and codes."""
    random = np.random.default_rng(3)
    numbers = [random.normal(0, 2, num_rows) for column in inputs if column.size is None]
    codes = [random.integers(0, column.size, num_rows) for column in inputs if column.size is not None]
    trainer = Feedforward(type="regression", layers=layers)
    model = build_model(inputs, trainer, [head()])
    arrays = [np.array(numbers, np.float32).reshape(-1, num_rows).T, np.array(codes, np.int32).reshape(-1, num_rows).T]
    results = model(arrays, training=True)
    return model, np.asarray(results[0] if isinstance(results, list) else results)


@pytest.mark.parametrize("name", ROW_LAYERS)
def test_layer_runs_in_a_model(name) -> None:
    word = LAYERS[name](**LAYER_ARGUMENTS.get(name, {}))
    number = [Input(n, None, Linear(), {}) for n in ("a", "b", "c")]
    model, found = outputs(number, (LAYERS["dense"](units=4), word))
    assert found.shape == (6, 1)
    assert np.isfinite(found).all()
    assert any(type(layer) is keras_class(type(word)) for layer in model.layers)


# Words that turn rows into sequences; all others of the table read sequences.
OF_ROWS = ("repeat_vector", "reshape")
LENGTH, WIDTH = 6, 4


@pytest.mark.parametrize("name", SEQUENCE_LAYERS)
def test_layer_of_sequences_runs_in_a_model(name) -> None:
    word = LAYERS[name](**LAYER_ARGUMENTS.get(name, {}))
    number = [Input(n, None, Linear(), {}) for n in ("a", "b", "c")]
    before = (LAYERS["dense"](units=LENGTH * WIDTH), LAYERS["reshape"](target_shape=(LENGTH, WIDTH)))
    before = before[: 1 if name in OF_ROWS else 2]
    after = [LAYERS["global_average_pooling1d"]()] if len(shapes([*before, word], None, 3)[-1]) == 2 else []
    model, found = outputs(number, (*before, word, *after))
    assert found.shape == (6, 1)
    assert np.isfinite(found).all()
    assert any(type(layer) is built_class(type(word)) for layer in model.layers)


@pytest.mark.parametrize("length", [None, LENGTH])
@pytest.mark.parametrize("name", LAYERS)
def test_shape_and_number_of_weights_are_keras(name, length) -> None:
    keras = import_keras()
    word = LAYERS[name](**LAYER_ARGUMENTS.get(name, {}))
    given = (WIDTH,) if length is None else (length, WIDTH)
    is_misfit = name == "repeat_vector" if length else name in SEQUENCE_LAYERS and name not in (*OF_ROWS, "flatten")
    if is_misfit:
        with pytest.raises(LayerMisfitError, match=f"{name} re(ads sequences|peats plain rows)") as raised:
            shapes([LAYERS["elu"](), word], length, WIDTH)
        assert raised.value.index == 1
        return
    entered = keras.Input(given)
    gives = word.connected(entered)
    assert shapes([word], length, WIDTH) == [tuple(gives.shape[1:])]
    model = keras.Model(entered, gives)
    assert word.num_weights(given) == model.count_params()
    assert model.layers[-1].supports_masking == word.takes_mask
    assert word.products(given) >= 0
    unknown = shapes([word], length, None)[0]
    assert len(unknown) == len(gives.shape) - 1
    assert all(one in (None, size) for one, size in zip(unknown, gives.shape[1:], strict=True))


@pytest.mark.parametrize(
    ("layer", "length", "told"),
    [
        (LAYERS["conv1d"](filters=2, kernel_size=7), 6, "conv1d reaches over 7 steps .*, and the sequence has 6"),
        (LAYERS["conv1d"](filters=2, kernel_size=4, dilation_rate=2), 6, "reaches over 7 steps .*dilation_rate 2"),
        (LAYERS["max_pooling1d"](pool_size=7), 6, "max_pooling1d reaches over 7 steps"),
        (LAYERS["average_pooling1d"](pool_size=7), 6, "average_pooling1d reaches over 7 steps"),
        (LAYERS["reshape"](target_shape=(5, -1)), 6, r"reshape cannot make \[5, -1\] of 24 numbers"),
    ],
)
def test_what_does_not_fit_a_length_is_told_with_its_place(layer, length, told) -> None:
    with pytest.raises(LayerMisfitError, match=told) as raised:
        shapes([LAYERS["dropout"](rate=0.1), layer], length, WIDTH)
    assert raised.value.index == 1


def test_masking_before_a_layer_that_would_not_heed_it_is_an_error() -> None:
    masking, pooling = LAYERS["masking"](), LAYERS["global_max_pooling1d"]()
    with pytest.raises(LayerMisfitError, match="global_max_pooling1d does not leave out what `masking` marks"):
        shapes([masking, LAYERS["gru"](units=2, return_sequences=True), pooling], 6, 4)
    assert shapes([masking, LAYERS["gru"](units=2), LAYERS["repeat_vector"](n=3), pooling], 6, 4)[-1] == (2,)


def test_dense_regularizers_reach_keras() -> None:
    layer = LAYERS["dense"](units=2, kernel_regularizer={"l2": 0.25}, bias_regularizer={"l1": 0.5}).build()
    ones = np.ones((2, 3), np.float32)
    assert float(layer.kernel_regularizer(ones)) == pytest.approx(0.25 * 6)
    assert float(layer.bias_regularizer(ones)) == pytest.approx(0.5 * 6)


EXPECTED_LOSS = {
    "mse": lambda y, p: (y - p) ** 2,
    "mae": lambda y, p: abs(y - p),
    "huber": lambda y, p: np.where(abs(y - p) <= 1, 0.5 * (y - p) ** 2, abs(y - p) - 0.5),
    "log_cosh": lambda y, p: np.log(np.cosh(p - y)),
    "mape": lambda y, p: 100 * abs(y - p) / abs(y),
    "msle": lambda y, p: (np.log1p(y) - np.log1p(p)) ** 2,
    "poisson": lambda y, p: p - y * np.log(p),
    "binary_crossentropy": lambda y, p: -np.log(np.where(y == 1, p, 1 - p)),
    "binary_focal_crossentropy": lambda y, p: (
        -((1 - np.where(y == 1, p, 1 - p)) ** 2) * np.log(np.where(y == 1, p, 1 - p))
    ),
    "quantile": lambda y, p: np.mean([np.maximum(q * (y - p), (q - 1) * (y - p)) for q in (0.05, 0.5, 0.95)], axis=0),
    "sparse_categorical_crossentropy": lambda y, p: -np.log(p[np.arange(len(y)), y.astype(int)]),
    "categorical_crossentropy": lambda y, p: -np.log(p[np.arange(len(y)), y.astype(int)]),
}


@pytest.mark.parametrize("name", LOSSES)
def test_loss_equals_its_formula_row_by_row(name) -> None:
    loss = LOSSES[name]()
    labels, predictions = np.array([0.5, 2.0, 3.5], np.float32), np.array([[0.25], [2.5], [6.0]], np.float32)
    if "binary" in loss.tasks:
        labels, predictions = np.array([0.0, 1.0, 1.0], np.float32), np.array([[0.2], [0.7], [0.01]], np.float32)
    if "classes" in loss.tasks:
        labels = np.array([0.0, 2.0, 1.0], np.float32)
        predictions = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.9, 0.05, 0.05]], np.float32)
    found = np.asarray(loss.build()(labels, predictions))
    column = predictions if "classes" in loss.tasks else predictions[:, 0]
    assert found.shape == (3,)
    np.testing.assert_allclose(found, EXPECTED_LOSS[name](labels, column), rtol=1e-5)


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.shift_invariant])
def test_shift_invariant_losses_are(name) -> None:
    per_row = LOSSES[name]().build()
    labels, predictions = np.array([0.5, 2.0], np.float32), np.array([[0.25], [6.5]], np.float32)
    np.testing.assert_allclose(
        np.asarray(per_row(labels + 16, predictions + 16)), np.asarray(per_row(labels, predictions)), rtol=1e-6
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_steps_against_the_gradient(name) -> None:
    keras = import_keras()
    weight = keras.Variable(np.array([1.0, -1.0], np.float32))
    optimizer = OPTIMIZERS[name]().build(train_steps=10)
    optimizer.build([weight])
    optimizer.apply([np.array([0.5, -0.5], np.float32)], [weight])
    moved = np.asarray(weight)
    assert moved[0] < 1.0
    assert moved[1] > -1.0
    assert np.isfinite(moved).all()


# Rates at the first, middle and last of 100 steps, with no arguments but those that Keras asks for.
RATES = {
    "cosine_decay": (0.001, 0.0005, 0.0),
    "exponential_decay": (0.001, 0.001 * 0.1**0.5, 0.0001),
    "polynomial_decay": (0.001, 0.00055, 0.0001),
    "inverse_time_decay": (0.001, 0.001 / 1.5, 0.0005),
    "piecewise_constant_decay": (0.1, 0.01, 0.01),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_spans_the_whole_training(name) -> None:
    schedule = SCHEDULES[name](**SCHEDULE_ARGUMENTS.get(name, {}))
    optimizer = OPTIMIZERS["sgd"](learning_rate=schedule).build(train_steps=100)
    rates = [float(optimizer._learning_rate(step)) for step in (0, 50, 100)]
    assert rates == pytest.approx(RATES[name], rel=1e-5, abs=1e-9)


def test_warm_up_comes_before_the_decay() -> None:
    schedule = SCHEDULES["cosine_decay"](initial_learning_rate=0.0, warmup_target=0.1, warmup_steps=20).build(100)
    assert [float(schedule(step)) for step in (0, 10, 20, 60, 100)] == pytest.approx(
        [0.0, 0.05, 0.1, 0.05, 0.0], abs=1e-7
    )


# encoding -> inputs that an index of 20 values, or a number, becomes
WIDTHS = {"one_hot": 20, "ordinal": 1, "embedding": 9, "linear": 1, "piecewise_linear": 32, "bins": 25, "periodic": 16}


@pytest.mark.parametrize("name", [name for name in ENCODINGS if name != "auto"])
def test_encoding_enters_a_model(name) -> None:
    encoding = ENCODINGS[name]()
    size = 20 if encoding.accepts == ("code",) else None
    needs = encoding.needs()
    quantiles = tuple(np.quantile(np.linspace(-5, 5, 1000), needs.probabilities)) if needs else ()
    column = Input("a", size, encoding, encoding.fit(Summary(1000, quantiles=quantiles)))
    model, found = outputs([column])
    assert np.isfinite(found).all()
    assert len(set(found[:, 0])) > 1
    kernel = model.get_layer("output_0").kernel
    assert kernel.shape == (WIDTHS[name], 1)


def test_auto_is_one_hot_up_to_sixteen_values_and_embedded_above() -> None:
    assert ONE_HOT_UP_TO == 16
    assert Auto().chosen(None, one_hot=False) == Linear()
    assert Auto().chosen(16, one_hot=False) == OneHot()
    assert Auto().chosen(17, one_hot=False) == Embedding()
    assert Auto().chosen(5000, one_hot=True) == OneHot()


@pytest.mark.parametrize(("size", "width"), [(1, 2), (20, 9), (800, 64), (100_000, 64)])
def test_embedding_width_is_fastais_rule(size, width) -> None:
    assert Embedding().width(size) == width
    assert Embedding(dim=3).width(size) == 3


def test_every_word_is_tried() -> None:
    assert set(EXPECTED_LOSS) == set(LOSSES)
    assert set(RATES) == set(SCHEDULES)
    assert set(WIDTHS) == set(ENCODINGS) - {"auto"}
