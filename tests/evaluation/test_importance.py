"""Permutation importance: useless features are worth 0 within their interval, others what they are worth; the effort is bounded."""

from __future__ import annotations

import numpy as np
import pytest

from cengine.evaluation.dependence import NUM_PLACES, dependences, drawn_features, drawn_places
from cengine.evaluation.importance import MOST_FEATURES, MOST_PREDICTED, MOST_PRODUCTS, Effort, importances, told
from cengine.preprocess.targets import Target
from cengine.tasks import TASKS, task_named


class Model:
    """A linear model of rows; `losses` and `predictions` as a stage gives them."""

    def __init__(self, cells: np.ndarray, label: np.ndarray, weights: np.ndarray) -> None:
        self.cells, self.label, self.weights = cells, label, weights
        self.num_predicted = 0

    def losses(self, rows: np.ndarray, place: int | None, donors: np.ndarray | None) -> np.ndarray:
        taken = self.cells[rows].copy()
        if place is not None:
            taken[:, place] = self.cells[donors, place]
        self.num_predicted += len(rows)
        return np.square(taken @ self.weights - self.label[rows])[None]

    def predictions(self, rows: np.ndarray, place: int, donor: int) -> dict[str, np.ndarray]:
        taken = self.cells[rows].copy()
        taken[:, place] = self.cells[donor, place]
        return {"y": (taken @ self.weights)[:, None]}


def made(seed: int, num_rows: int, weights=(2.0, 0.3, 0.0)) -> Model:
    """y = 2 a + noise; the model has learnt 0.3 of a column that has nothing to do with y, and nothing of the third."""
    random = np.random.default_rng(seed)
    cells = random.normal(size=(num_rows, len(weights)))
    return Model(cells, 2 * cells[:, 0] + random.normal(size=num_rows), np.array(weights))


def test_a_useless_feature_is_worth_nothing_within_its_interval() -> None:
    """Of 400 tables the interval of the learnt noise holds 0 in 380, give or take what chance leaves; the unused one is exactly 0."""
    held = 0
    for seed in range(400):
        _, _, found = importances(made(seed, 150).losses, 3, Effort(150, 4))
        held += abs(found[1, 0, 0]) <= found[1, 0, 1]
        assert found[2, 0].tolist() == [0.0, 0.0]
    assert 366 <= held <= 398


def test_a_feature_is_worth_what_it_explains() -> None:
    """Exchanging a adds 2 x 2^2 x var(a) = 8 to the mean squared error; the interval holds that nearly always."""
    held = 0
    for seed in range(200):
        means, places, found = importances(made(seed, 300).losses, 3, Effort(300, 4))
        assert places == [0, 1, 2]
        assert means[0] == pytest.approx(1.09, abs=0.4)
        held += abs(found[0, 0, 0] - 8) <= found[0, 0, 1]
    assert 180 <= held <= 199


def test_the_same_seed_gives_the_same_numbers_and_names_stand_in_order() -> None:
    first, second = (
        told("eval", Effort(200, 4), ["a", "b", "c"], [("y", "mse")], made(1, 200).losses) for _ in range(2)
    )
    assert first == second
    assert first["features"][0]["feature"] == "a"
    assert first["features"][0]["low"] > 0
    assert first["left_out"] == 0


def test_of_many_features_those_that_matter_are_looked_at_closely() -> None:
    weights = np.zeros(500)
    weights[[7, 499]] = (2.0, 1.0)
    random = np.random.default_rng(0)
    cells = random.normal(size=(1000, 500))
    model = Model(cells, cells @ weights + random.normal(size=1000), weights)
    found = told("eval", Effort.of(1000, 500, 1), [f"f{k}" for k in range(500)], [("y", "mse")], model.losses)
    assert [one["feature"] for one in found["features"][:2]] == ["f7", "f499"]
    assert found["left_out"] == 500 - MOST_FEATURES
    assert model.num_predicted < 1.5 * MOST_PREDICTED


@pytest.mark.parametrize("num_rows", [1, 2, 300, 10**7])
@pytest.mark.parametrize("num_features", [1, 20, 5000])
@pytest.mark.parametrize("products", [0, 1000, 10**6])
def test_the_effort_is_bounded(num_rows, num_features, products) -> None:
    effort = Effort.of(num_rows, num_features, products)
    assert 1 <= effort.num_rows <= num_rows
    predicted = effort.num_rows * effort.repeats * min(num_features, MOST_FEATURES)
    least = 256 * 4 * MOST_FEATURES  # so much is always done
    assert predicted <= max(least, MOST_PREDICTED)
    assert predicted * products <= max(least * products, MOST_PRODUCTS)


def test_of_a_single_row_nothing_is_claimed() -> None:
    found = told("eval", Effort(1, 4), ["a", "b", "c"], [("y", "mse")], made(0, 1).losses)
    assert all(one["low"] < 0 < one["high"] for one in found["features"])
    assert drawn_features(found) == {"y": []}


def test_places_are_quantiles_of_numbers_and_the_commonest_of_words() -> None:
    numbers = [None, *range(1000, 0, -1)]
    places = drawn_places(numbers, "integer")
    drawn = [numbers[place] for place in places]
    assert drawn == sorted(drawn)
    assert len(drawn) == NUM_PLACES
    assert drawn[0] == pytest.approx(20, abs=2)
    words = ["b", "a", None, "b", "c", "a", "b"]
    assert [words[place] for place in drawn_places(words, "string")] == ["b", "a", "c"]
    assert drawn_places([None, None], "float") == drawn_places([], "string") == []


def test_dependence_of_a_linear_model_is_a_line(label_of) -> None:
    model = made(3, 400)
    cells = {"a": model.cells[:, 0].tolist()}
    (found,) = dependences({"y": ["a"]}, ["a", "b", "c"], {"a": "float"}, cells, model.predictions, [label_of("y")])
    slopes = np.diff(found["means"][0]) / np.diff(found["values"])
    assert slopes == pytest.approx(np.full(len(slopes), 2.0))
    assert found["outputs"] == [""]


@pytest.fixture
def label_of():
    from cengine.config.resolve import Label

    return lambda name: Target(Label(name, "float", "regression", None, (), None, None), task_named("regression"))


@pytest.mark.parametrize("task", TASKS)
def test_losses_of_rows_are_what_their_metric_averages(task, engine) -> None:
    """Those of NumPy beside those of SQL, over the same rows."""
    import pyarrow as pa

    from cengine.evaluation.predictions import roles_of
    from cengine.evaluation.slices import OVERALL, measure
    from cengine.metrics.table import METRICS, metric_label

    random = np.random.default_rng(0)
    word = task_named(task)
    num = 2 if task == "binary" else 3
    label = random.integers(0, num, 500) if word.has_classes else random.normal(size=500)
    outputs = random.dirichlet(np.ones(3), 500) if word.one_output_a_class else random.random((500, 1))
    predicted = outputs if word.has_classes else outputs[:, 0]
    if not word.has_label:
        predicted = random.random((500, word.num_outputs(0)))
    if word.quantiles:
        predicted = np.sort(random.normal(size=(500, 3)), axis=1)
    from cengine.config.resolve import Label

    target = Target(Label("y", "float", task, None, (), None, None), word, classes=tuple(range(num)))
    columns = {f"{what}: y": values for what, values in word.predictions(predicted, label.astype(np.float32)).items()}
    columns.pop("class_probabilities: y", None)
    engine.register("rows", pa.table({"_split": np.ones(500, np.int64), "label: y": label.astype(float)} | columns))
    metric = METRICS[word.row_loss]()
    from cengine.expressions.build import column

    (overall,) = measure(engine, column("rows"), roles_of(target), task, [metric], (OVERALL,))
    losses = word.losses(predicted, label.astype(np.float64))
    assert losses.mean() == pytest.approx(overall.table[metric_label(metric)][0].as_py(), rel=1e-5)
