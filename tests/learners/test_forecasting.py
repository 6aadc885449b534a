"""The default network of forecasts: where it begins, what it keeps, that it learns, and that it is read and exported as it is."""

from __future__ import annotations

import numpy as np
import pytest

from cengine.exports.files import model_file
from cengine.exports.runtime import session_of
from cengine.learners.model import load_model, load_predictor, save_model
from cengine.networks.forecasting import Forecast, averaging, forecast, keras
from cengine.networks.predicting import predicted
from cengine.tensors import FLOAT, Graph

LENGTH, HORIZON, WIDTH, AHEAD, STATIC = 12, 5, 3, 2, 4
KINDS = {
    "linear": {"residual": False},
    "decomposed": {"residual": False, "decomposed": True, "season": 4},
    "residual": {"season": 4},
    "all": {"decomposed": True, "season": 5, "units": 3, "own_scale": 2.0, "own_offset": -0.5},
}


def network(kind, *, beside=True):
    """A model of what enters, what is known ahead, and what tells series apart."""
    keras.utils.set_random_seed(1)
    asked = Forecast(LENGTH, HORIZON, 1, **KINDS[kind])
    past, ahead, static = (
        keras.Input(shape, name=name)
        for name, shape in (("past", (LENGTH, WIDTH)), ("ahead", (HORIZON, AHEAD)), ("static", (STATIC,)))
    )
    given = (ahead, static) if beside else ()
    return keras.Model([past, *given], forecast(past, asked, *given))


def arrays(seed=2, num_rows=6):
    random = np.random.default_rng(seed)
    shapes = ((LENGTH, WIDTH), (HORIZON, AHEAD), (STATIC,))
    return [random.normal(size=(num_rows, *shape)).astype(np.float32) for shape in shapes]


def randomized(model):
    random = np.random.default_rng(3)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.5, weight.shape))
    return model


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_it_begins_by_repeating_the_last_value(kind, beside) -> None:
    model, given = network(kind, beside=beside), arrays()[: 3 if beside else 1]
    scale, offset, units = (
        KINDS[kind].get(key, usual) for key, usual in (("own_scale", 1), ("own_offset", 0), ("units", 1))
    )
    last = given[0][:, -1, 1] * scale + offset
    found = np.asarray(model(given))
    assert found.shape == (6, HORIZON, units)
    np.testing.assert_allclose(found, np.broadcast_to(last[:, None, None], found.shape), rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_series_that_lies_higher_is_forecast_higher(kind) -> None:
    model, (past, ahead, static) = randomized(network(kind)), arrays()
    raised = past.copy()
    raised[:, :, 1] += 7.0
    moved = np.asarray(model([raised, ahead, static])) - np.asarray(model([past, ahead, static]))
    np.testing.assert_allclose(moved, 7.0 * KINDS[kind].get("own_scale", 1.0), rtol=1e-4)


@pytest.mark.parametrize("length", [64, 65, 128])
def test_a_long_past_enters_the_map_smaller(length) -> None:
    """So that a step of Adam, which moves every weight alike, moves the forecast no farther than that of a short one."""
    past = keras.Input((length, 1))
    model = keras.Model(past, forecast(past, Forecast(length, HORIZON, 0, residual=False)))
    model.weights[0].assign(np.ones((length, HORIZON)))
    found = np.asarray(model(np.ones((1, length, 1), np.float32) * np.arange(length)[None, :, None]))[0, 0, 0]
    changes = np.arange(length) - (length - 1.0)
    assert found == pytest.approx(length - 1 + changes.sum() * min(1, 64 / length), rel=1e-5)


def test_a_series_that_swings_less_is_given_smaller_swings() -> None:
    """But for the bias of the linear map all of the forecast is in units of how much the past goes up and down."""
    model, (past, ahead, static) = randomized(network("residual")), arrays()
    bias = next(weight for weight in model.weights if weight.shape == (HORIZON,))
    bias.assign(np.zeros(HORIZON))
    larger = past.copy()
    larger[:, :, 1] *= 100.0
    one, hundred = np.asarray(model([past, ahead, static])), np.asarray(model([larger, ahead, static]))
    np.testing.assert_allclose(hundred, 100.0 * one, rtol=1e-2, atol=1e-2 * np.abs(hundred).max())


@pytest.mark.parametrize("load", [load_model, load_predictor])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_read_from_its_file(kind, load, tmp_path) -> None:
    model = randomized(network(kind))
    save_model(model, tmp_path, {})
    np.testing.assert_array_equal(np.asarray(load(tmp_path)(arrays())), np.asarray(model(arrays())))


@pytest.mark.parametrize("kind", KINDS)
def test_its_graph_predicts_the_same(kind) -> None:
    model, given = randomized(network(kind)), arrays(num_rows=200)
    graph = Graph()
    inputs = [graph.input(f"in{n}", FLOAT, (None, *array.shape[1:])) for n, array in enumerate(given)]
    ((output,),) = predicted(model, inputs)
    graph.output("out", output, (None, HORIZON, KINDS[kind].get("units", 1)))
    session = session_of(model_file(graph, {}).SerializeToString())
    # The linear net reads the past alone.
    names = {one.name for one in session.get_inputs()}
    (found,) = session.run(None, {f"in{n}": array for n, array in enumerate(given) if f"in{n}" in names})
    np.testing.assert_allclose(found, np.asarray(model(given)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("length", "season"), [(12, 4), (12, 5), (30, 7), (3, 2)])
def test_a_moving_average_leaves_a_trend_and_no_season(length, season) -> None:
    matrix = averaging(length, season)
    np.testing.assert_allclose(matrix.sum(axis=0), 1.0, rtol=1e-6)
    reach = season // 2
    inside = slice(reach, length - reach)
    place = np.arange(length)
    pattern = np.random.default_rng(0).normal(size=season)
    pattern -= pattern.mean()
    np.testing.assert_allclose((pattern[place % season] @ matrix)[inside], 0.0, atol=1e-6)
    np.testing.assert_allclose((place.astype(float) @ matrix)[inside], place[inside], rtol=1e-5)


def test_what_is_known_ahead_is_learnt() -> None:
    """Every point is the last one plus what is known ahead, times the swing of the past: a linear map of the past cannot know it."""
    random = np.random.default_rng(5)
    own = random.normal(size=(2_000, LENGTH)).astype(np.float32)
    past = np.stack([np.zeros_like(own), own, np.zeros_like(own)], axis=2)
    ahead = random.normal(size=(2_000, HORIZON, AHEAD)).astype(np.float32)
    wanted = own[:, -1:] + ahead[:, :, 0] * own.std(axis=1, keepdims=True)
    errors = {}
    for kind in ("linear", "residual"):
        model = network(kind)
        model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
        given = [past, ahead, np.zeros((2_000, STATIC), np.float32)]
        model.fit(given, wanted[:, :, None], batch_size=256, epochs=30, verbose=0)
        errors[kind] = float(np.mean((np.asarray(model(given))[:, :, 0] - wanted) ** 2))
    assert errors["residual"] < 0.1
    assert errors["residual"] < 0.2 * errors["linear"]
