"""`ensemble: k`: members that share the layers, each against NumPy; their losses, their mean, their file, and a training that goes on."""

from __future__ import annotations

import numpy as np
import pytest
from encoded import INPUTS, Trained, class_head, columns_of, regression_head, signal, trainer, write

from cengine.config.read import parse_config
from cengine.errors import ConfigError
from cengine.learners.checkpoints import read_newest
from cengine.learners.model import build_model, load_model, load_predictor, save_model, signature_of, training_model
from cengine.networks.layers import LAYERS
from cengine.networks.optimizers import OPTIMIZERS

MEMBERS, NUM_ROWS = 3, 40
LAYERS_OF_TWO = (LAYERS["dense"](units=6, activation="tanh"), LAYERS["dropout"](rate=0.5), LAYERS["dense"](units=4))
FAST = OPTIMIZERS["adam"](learning_rate=0.01)


def rows():
    random = np.random.default_rng(1)
    return [random.normal(size=(NUM_ROWS, 2)).astype(np.float32), random.integers(0, 3, (NUM_ROWS, 1)).astype(np.int32)]


def ensemble(*heads, **settings):
    """A network with weights as after a training."""
    model = build_model(INPUTS, trainer(ensemble=MEMBERS, **settings), heads)
    random = np.random.default_rng(2)
    for weight in model.weights:
        if "seed" not in weight.path:
            weight.assign(random.normal(0, 0.5, weight.shape))
    return model


def alone(model, member: int, hidden: np.ndarray) -> np.ndarray:
    """What a member gives before its activation at the end, calculated as its own network."""
    dense = [layer for layer in model.layers if type(layer).__name__ == "Dense"]
    scales = [layer for layer in model.layers if type(layer).__name__ == "MemberScale"]
    for shared, own, activation in zip(dense, scales, (np.tanh, lambda x: np.maximum(x, 0)), strict=True):
        product = hidden @ np.asarray(shared.kernel) * np.asarray(own.scale)[member] + np.asarray(own.bias)[member]
        hidden = activation(product)
    output = model.get_layer("output_0")
    return hidden @ np.asarray(output.kernel)[member] + np.asarray(output.bias)[member]


def test_each_member_is_a_network_of_its_own_and_they_are_averaged() -> None:
    head = regression_head(offset=1977.0, scale=11.0, ensemble=MEMBERS)
    model = ensemble(head, layers=LAYERS_OF_TWO)
    joined = next(layer for layer in model.layers if type(layer).__name__ == "Concatenate")
    inner = training_model(model, 1)
    apart = np.asarray(inner(rows()))
    entered = np.asarray(type(model)(model.inputs, joined.output)(rows()))
    expected = np.hstack([alone(model, member, entered) for member in range(MEMBERS)])
    np.testing.assert_allclose(apart, expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(apart, axis=1).min() > 1e-3
    told = expected.mean(axis=1) * 11 + 1977
    np.testing.assert_allclose(np.asarray(model(rows()))[:, 0], told, rtol=1e-6)
    np.testing.assert_allclose(head.read(apart), told, rtol=1e-6)


def test_of_classes_the_probabilities_are_averaged() -> None:
    head = class_head(["a", "b", "c"], ensemble=MEMBERS)
    model = ensemble(head, layers=LAYERS_OF_TWO)
    apart = np.asarray(training_model(model, 1)(rows())).reshape(NUM_ROWS, MEMBERS, 3)
    np.testing.assert_allclose(apart.sum(axis=2), 1, rtol=1e-5)
    found = head.read(apart.reshape(NUM_ROWS, -1))
    np.testing.assert_allclose(found, apart.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(np.asarray(model(rows())), found, rtol=1e-6)


def test_members_learn_for_themselves_and_are_judged_together() -> None:
    """The loss of a step is the mean of the members' losses; at a checkpoint it is that of their mean, which is less."""
    import jax.numpy as jnp

    head = regression_head(scale=2.0, ensemble=MEMBERS)
    outputs = np.random.default_rng(3).normal(size=(NUM_ROWS, MEMBERS)).astype(np.float32)
    label = np.random.default_rng(4).normal(size=NUM_ROWS).astype(np.float32)
    per_row = head.loss.build()
    errors = 2 * (outputs - label[:, None])
    found = head.losses(per_row, jnp.asarray(label), jnp.asarray(outputs))
    np.testing.assert_allclose(found, (errors**2).mean(axis=1), rtol=1e-5)
    together = head.losses(per_row, jnp.asarray(label), jnp.asarray(head.mean(outputs)))
    np.testing.assert_allclose(together, errors.mean(axis=1) ** 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("load", [load_model, load_predictor])
@pytest.mark.parametrize("layers", [LAYERS_OF_TWO, (), (LAYERS["dense"](units=4, use_bias=False),)])
def test_a_saved_ensemble_predicts_the_same(load, layers, tmp_path) -> None:
    heads = [
        regression_head(offset=3.0, scale=2.0, ensemble=MEMBERS),
        class_head(["a", "b", "c"], "z", ensemble=MEMBERS),
    ]
    model = ensemble(*heads, layers=layers)
    save_model(model, tmp_path, signature_of(INPUTS, heads))
    for found, expected in zip(load(tmp_path)(rows()), model(rows()), strict=True):
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_the_first_layer_is_multiplied_once() -> None:
    """The weights of an ensemble are those of one network, a scale and a bias a unit and member, and the members' outputs."""
    one, many = (
        sum(np.size(weight) for weight in build_model(INPUTS, settings, [head]).get_weights())
        for settings, head in (
            (trainer(layers=LAYERS_OF_TWO), regression_head()),
            (trainer(layers=LAYERS_OF_TWO, ensemble=MEMBERS), regression_head(ensemble=MEMBERS)),
        )
    )
    biases, output = 6 + 4, 4 + 1
    assert many == one - biases - output + MEMBERS * (2 * biases + output)


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(tmp_path) -> None:
    columns = columns_of(2_000)
    file = write(tmp_path / "encoded.parquet", {"y": signal(columns)}, columns, np.arange(2_000) % 5 == 4, 1_000)
    config, head = trainer(ensemble=MEMBERS, layers=LAYERS_OF_TWO, optimizer=FAST), regression_head(ensemble=MEMBERS)
    undisturbed = Trained(file, [head], config, tmp_path / "undisturbed")
    assert undisturbed.losses()[-1] < undisturbed.losses()[0]
    Trained(file, [head], config, tmp_path / "disturbed", until=40)
    assert read_newest(tmp_path / "disturbed").step == 40
    second = Trained(file, [head], config, tmp_path / "disturbed")
    assert second.result == undisturbed.result
    for a, b in zip(second.weights, undisturbed.weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("given", ["1", "0", "many", "1000", "[2]"])
def test_what_is_no_number_of_members_is_refused_at_its_line(given) -> None:
    text = f"""features: {{x: {{}}}}
labels: {{y: {{}}}}
split: {{ratio: {{train: 0.9, eval: 0.1}}}}
trainer:
  type: regression
  ensemble: {given}
"""
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert "ensemble" in caught.value.render()
    assert "<text>:6" in caught.value.render() or ":6:" in caught.value.render()
