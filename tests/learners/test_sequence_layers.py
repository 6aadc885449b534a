"""Layers of sequences in the training loop: they learn, repeat themselves and go on to the bit, and are read from their file."""

from __future__ import annotations

import numpy as np
import pytest
from encoded import INPUTS, Trained, columns_of, regression_head, signal, trainer, write
from hypothesis import given, settings
from hypothesis import strategies as st

from cengine.learners.checkpoints import read_newest
from cengine.learners.model import build_model, load_model, load_predictor, save_model
from cengine.networks.keras_setup import import_keras
from cengine.networks.layers import LAYERS, SEQUENCE_LAYERS, shapes
from cengine.networks.optimizers import OPTIMIZERS

NUM_ROWS, LENGTH, WIDTH = 2_000, 6, 4
SPLIT = np.arange(NUM_ROWS) % 5 == 4
FAST = OPTIMIZERS["adam"](learning_rate=0.01)
SEQUENCES = (LAYERS["dense"](units=LENGTH * WIDTH), LAYERS["reshape"](target_shape=(LENGTH, WIDTH)))
DROPPING = {"dropout": 0.2, "recurrent_dropout": 0.2}
TRIED = {
    "lstm": {"units": 6, **DROPPING},
    "gru": {"units": 6, **DROPPING},
    "simple_rnn": {"units": 6, "return_sequences": True, **DROPPING},
    "bidirectional": {"layer": LAYERS["gru"](units=3, return_sequences=True, **DROPPING)},
    "conv1d": {"filters": 8, "kernel_size": 3, "padding": "causal"},
    "separable_conv1d": {"filters": 8, "kernel_size": 3, "padding": "same"},
    "average_pooling1d": {"pool_size": 2},
    "multi_head_attention": {"num_heads": 2, "key_dim": 3, "dropout": 0.2},
    "time_distributed": {"layer": LAYERS["dropout"](rate=0.2)},
    "spatial_dropout1d": {"rate": 0.2},
    "repeat_vector": {"n": 3},
    "permute": {"dims": (2, 1)},
    "reshape": {"target_shape": (-1, 8)},
}
# Two layers of each kind, with the noise of all of them.
TOGETHER = (
    *SEQUENCES,
    LAYERS["conv1d"](**TRIED["conv1d"]),
    LAYERS["spatial_dropout1d"](rate=0.2),
    LAYERS["multi_head_attention"](**TRIED["multi_head_attention"]),
    LAYERS["bidirectional"](**TRIED["bidirectional"]),
    LAYERS["max_pooling1d"](),
    LAYERS["lstm"](**TRIED["lstm"]),
)


def network(name):
    """Layers around the one of this name, from rows to rows."""
    layers = (*SEQUENCES[: 1 if name == "repeat_vector" else 2], LAYERS[name](**TRIED.get(name, {})))
    ends = LAYERS["global_average_pooling1d"]() if len(shapes(layers, None, 5)[-1]) == 2 else LAYERS["elu"]()
    return (*layers, ends)


def learns_and_goes_on(folder, layers) -> None:
    columns = columns_of(NUM_ROWS)
    file = write(folder / "encoded.parquet", {"y": signal(columns)}, columns, SPLIT, 1_000)
    config = trainer(layers=layers, optimizer=FAST, train_steps=150, save_checkpoints_steps=50)
    undisturbed = Trained(file, [regression_head()], config, folder / "undisturbed")
    assert undisturbed.losses()[-1] < 0.5
    first = Trained(file, [regression_head()], config, folder / "disturbed", until=50)
    assert read_newest(folder / "disturbed").step == 50
    assert first.logged == undisturbed.logged[:1]
    second = Trained(file, [regression_head()], config, folder / "disturbed")
    assert second.steps[0][0] > 50
    assert second.result == undisturbed.result
    assert [step for step, _ in second.logged] == [100, 150]
    for one, other in zip(second.weights, undisturbed.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_layers_together_learn_and_go_on_to_the_bit(tmp_path) -> None:
    learns_and_goes_on(tmp_path, TOGETHER)


@pytest.mark.slow
@pytest.mark.parametrize("name", SEQUENCE_LAYERS)
def test_a_layer_learns_and_goes_on_to_the_bit(tmp_path, name) -> None:
    learns_and_goes_on(tmp_path, network(name))


def test_noise_changes_from_step_to_step(tmp_path) -> None:
    """The generators' states are among what a checkpoint keeps: they move on within the compiled loop."""
    columns = columns_of(NUM_ROWS)
    file = write(tmp_path / "encoded.parquet", {"y": signal(columns)}, columns, SPLIT, 1_000)
    before = build_model(INPUTS, trainer(layers=TOGETHER), [regression_head()])
    config = trainer(layers=TOGETHER, train_steps=2, save_checkpoints_steps=2)
    after = Trained(file, [regression_head()], config, tmp_path / "c").model
    states = [[np.asarray(v) for v in model.non_trainable_variables if "seed" in v.path] for model in (before, after)]
    assert len(states[0]) >= 4
    for one, other in zip(*states, strict=True):
        assert not np.array_equal(one, other)


@pytest.mark.parametrize("load", [load_model, load_predictor])
def test_the_file_is_read_again(tmp_path, load) -> None:
    separable = LAYERS["separable_conv1d"](**TRIED["separable_conv1d"])
    layers = (*TOGETHER[:3], separable, *TOGETHER[3:])
    model = build_model(INPUTS, trainer(layers=layers), [regression_head()])
    save_model(model, tmp_path, {})
    arrays = [np.ones((3, 2), np.float32), np.ones((3, 1), np.int32)]
    again = load(tmp_path)
    np.testing.assert_array_equal(np.asarray(again(arrays)), np.asarray(model(arrays)))
    assert {"SlicedConv1D", "SlicedSeparableConv1D"} <= {type(layer).__name__ for layer in again.layers}


@st.composite
def convolutions(draw):
    """A word with the length and width of sequences that it fits."""
    name = draw(st.sampled_from(["conv1d", "separable_conv1d"]))
    paddings = ["valid", "same"] + (["causal"] if name == "conv1d" else [])
    strides, dilation = draw(st.sampled_from([(1, 1), (2, 1), (3, 1), (5, 1), (1, 2), (1, 3)]))
    word = LAYERS[name](
        filters=draw(st.integers(1, 5)),
        kernel_size=draw(st.integers(1, 6)),
        padding=draw(st.sampled_from(paddings)),
        strides=strides,
        dilation_rate=dilation,
        activation=draw(st.sampled_from(["linear", "relu", "tanh"])),
        use_bias=draw(st.booleans()),
        bias_initializer="ones",
        **({"depth_multiplier": draw(st.integers(1, 3))} if name == "separable_conv1d" else {}),
    )
    span = (word.kernel_size - 1) * dilation + 1
    return word, draw(st.integers(span if word.padding == "valid" else 1, 24)), draw(st.integers(1, 5))


@settings(max_examples=60, deadline=None)
@given(convolutions(), st.integers(0, 2**16))
def test_a_convolution_is_that_of_keras(tried, seed) -> None:
    """With the same weights and arguments, so that Keras' own layer can be put back."""
    from cengine.networks.sliced import as_keras

    word, length, width = tried
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    entered = keras.Input((length, width))
    layer = word.build()
    gives = layer(entered)
    plain = as_keras(layer)
    assert type(plain) is getattr(keras.layers, type(word).__name__)
    assert plain.get_config() == layer.get_config()
    assert tuple(gives.shape[1:]) == tuple(plain(entered).shape[1:]) == shapes([word], length, width)[0]
    data = np.random.default_rng(seed).normal(size=(3, length, width)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(layer(data)), np.asarray(plain(data)), rtol=1e-6, atol=1e-6)
