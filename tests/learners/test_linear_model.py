"""The linear model beside every other: what scikit-learn finds, whatever the columns are, and no more rows than are asked for."""

from __future__ import annotations

import numpy as np
import pytest
from encoded import INPUTS, columns_of, signal, write
from sklearn.linear_model import LogisticRegression, Ridge

from cengine.config.resolve import Label
from cengine.errors import StoreError
from cengine.learners import linear_model
from cengine.learners.examples import Batch, Examples
from cengine.learners.linear_model import fit_linear, read_linear, rows_wanted
from cengine.networks.encodings import Linear, OneHot
from cengine.preprocess.apply import Input
from cengine.preprocess.targets import targets_of
from cengine.stopping import Reason, Stopped, Wish

NUM_ROWS = 3000


def nothing() -> None:
    """Nobody asks for an end."""


def regression(offset: float = 0.0, scale: float = 1.0):
    fitted = {"offset": offset, "scale": scale, "transforms": []}
    return targets_of([Label("y", "float", "regression", None, (), None, None)], {"labels": {"y": fitted}})


def classes(*names: str, one_output_a_class: bool = False):
    label = Label("y", "string", "classes", None, (), None, None)
    statistics = {"labels": {"y": {"classes": list(names), "transforms": []}}}
    return targets_of([label], statistics, one_output_a_class=one_output_a_class)


def made(folder, label, columns=None, **options) -> Examples:
    """Rows of which the last third is evaluated."""
    columns = columns_of(len(label)) if columns is None else columns
    split = (np.arange(len(label)) >= 2 * len(label) // 3).astype(int)
    return write(folder / "encoded.parquet", {"y": label}, columns, split, options.get("group_rows", 500))


def spread(batch: Batch, train: Batch) -> np.ndarray:
    """The columns as a person would make them: numbers standardized by train, the code spread out."""
    numbers, of_train = batch.inputs["numbers"], train.inputs["numbers"].astype(np.float64)
    return np.hstack([(numbers - of_train.mean(axis=0)) / of_train.std(axis=0), np.eye(3)[batch.inputs["codes"][:, 0]]])


def test_of_a_number_it_is_scikit_learns_ridge_in_the_labels_unit(tmp_path) -> None:
    columns = columns_of(NUM_ROWS)
    examples = made(tmp_path, signal(columns) + np.random.default_rng(1).normal(size=NUM_ROWS), columns)
    train, evaluated = examples.load("train"), examples.load("eval")
    found = fit_linear(examples, regression(1980.0, 12.0), nothing).predict(evaluated)["y"]
    peer = Ridge().fit(spread(train, train), train.labels["y"].astype(np.float64))
    np.testing.assert_allclose(found, 1980 + 12 * peer.predict(spread(evaluated, train)), atol=2e-3)


@pytest.mark.parametrize("names", [("no", "yes"), ("low", "middle", "high")])
def test_of_classes_it_is_scikit_learns_logistic_regression(tmp_path, names) -> None:
    columns = columns_of(NUM_ROWS)
    score = signal(columns) + np.random.default_rng(1).normal(size=NUM_ROWS)
    label = np.digitize(score, [0.3] if len(names) == 2 else [-0.7, 0.5])
    examples = made(tmp_path, label, columns)
    train, evaluated = examples.load("train"), examples.load("eval")
    found = fit_linear(examples, classes(*names), nothing).predict(evaluated)["y"]
    peer = LogisticRegression(tol=1e-8, max_iter=1000).fit(spread(train, train), train.labels["y"].astype(int))
    expected = peer.predict_proba(spread(evaluated, train))
    np.testing.assert_allclose(found, expected[:, 1:] if len(names) == 2 else expected, atol=2e-3)


def test_two_classes_may_have_an_output_each(tmp_path) -> None:
    columns = columns_of(NUM_ROWS)
    examples = made(tmp_path, (signal(columns) > 0).astype(int), columns)
    found = fit_linear(examples, classes("a", "b", one_output_a_class=True), nothing).predict(examples.load("eval"))
    assert found["y"].shape == (NUM_ROWS // 3, 2)
    np.testing.assert_allclose(found["y"].sum(axis=1), 1)


def test_it_is_read_as_it_was_written_and_a_damaged_one_is_refused(tmp_path) -> None:
    columns = columns_of(NUM_ROWS)
    examples, targets = made(tmp_path, signal(columns), columns), regression(5.0, 2.0)
    model, evaluated = fit_linear(examples, targets, nothing), examples.load("eval")
    model.write(tmp_path)
    np.testing.assert_array_equal(
        read_linear(tmp_path, INPUTS, targets).predict(evaluated)["y"], model.predict(evaluated)["y"]
    )
    (tmp_path / linear_model.FILE).write_bytes(b"PK no such archive")
    with pytest.raises(StoreError, match="is damaged"):
        read_linear(tmp_path, INPUTS, targets)


def test_the_rarest_values_of_a_code_have_no_column(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(linear_model, "MOST_COLUMNS", 4)
    columns = columns_of(NUM_ROWS)
    columns["c"] = np.random.default_rng(3).choice(3, NUM_ROWS, p=[0.1, 0.6, 0.3]).astype(np.int32)
    model = fit_linear(made(tmp_path, signal(columns), columns), regression(), nothing)
    assert model.layout.width == 4
    assert [place >= 0 for place in model.layout.places[0]] == [False, True, True]


def test_of_more_numbers_than_columns_the_telling_ones_are_kept(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(linear_model, "MOST_COLUMNS", 1)
    columns = columns_of(NUM_ROWS)
    model = fit_linear(made(tmp_path, columns["b"] - 0.1 * columns["a"], columns), regression(), nothing)
    assert model.layout.kept.tolist() == [1]
    assert all((places < 0).all() for places in model.layout.places)


def test_what_is_extreme_or_the_same_in_all_rows_is_borne(tmp_path) -> None:
    columns = columns_of(NUM_ROWS)
    columns["a"][:] = 7
    columns["b"][::97] = 3e38
    label = np.where(np.arange(NUM_ROWS) == 5, 2.0**126, signal(columns_of(NUM_ROWS)))
    examples = made(tmp_path, label, columns)
    assert np.isfinite(fit_linear(examples, regression(), nothing).predict(examples.load("eval"))["y"]).all()
    examples = made(tmp_path, np.zeros(NUM_ROWS), columns)
    found = fit_linear(examples, classes("only"), nothing).predict(examples.load("eval"))["y"]
    np.testing.assert_array_equal(found, np.ones((NUM_ROWS // 3, 1)))


def test_a_prediction_stays_within_the_labels_of_train(tmp_path) -> None:
    columns = columns_of(NUM_ROWS)
    label = columns["a"].copy()
    columns["a"][-1] = 1e6  # the last row is evaluated
    examples = made(tmp_path, label, columns)
    found = fit_linear(examples, regression(), nothing).predict(examples.load("eval"))["y"]
    assert found[-1] == pytest.approx(label[: 2 * NUM_ROWS // 3].max())


def test_a_wish_to_end_is_heard_at_every_step(tmp_path) -> None:
    columns = columns_of(NUM_ROWS)
    examples = made(tmp_path, (signal(columns) > 0).astype(int), columns)
    asked: list[int] = []
    fit_linear(examples, classes("a", "b"), lambda: asked.append(1))
    for heard in range(len(asked)):
        wish, left = Wish(), [heard]

        def ask(wish=wish, left=left) -> None:
            if not left[0]:
                wish.express(Reason.INTERRUPTED)
            left[0] -= 1
            wish.raise_if_due()

        with pytest.raises(Stopped):
            fit_linear(examples, classes("a", "b"), ask)


# Rows that are drawn


def test_rows_are_drawn_evenly_and_alike_however_the_file_is_divided(tmp_path) -> None:
    columns = columns_of(30_000)
    columns["a"] = np.arange(30_000, dtype=np.float32)
    shares: list[float] = []
    drawn = []
    for group_rows in (1000, 7000):
        folder = tmp_path / str(group_rows)
        folder.mkdir()
        examples = made(folder, signal(columns), columns, group_rows=group_rows)
        sample = examples.drawn({"train": 2000}, folder / "drawn.parquet", shares.append)
        assert sample.num_rows("eval") == 0
        drawn.append(sample.load("train").inputs["numbers"][:, 0])
    assert shares[-1] == 1.0
    np.testing.assert_array_equal(*drawn)
    assert 1600 <= len(drawn[0]) <= 2000
    quarters = np.histogram(drawn[0], bins=4, range=(0, 20_000))[0]
    assert quarters.min() > 0.8 * len(drawn[0]) / 4


def test_few_rows_are_all_read_from_where_they_are(tmp_path) -> None:
    examples = made(tmp_path, np.zeros(NUM_ROWS))
    assert examples.drawn({"train": NUM_ROWS}, tmp_path / "drawn.parquet", lambda share: None) is examples
    assert not (tmp_path / "drawn.parquet").exists()


def test_what_is_held_of_a_wide_table_does_not_grow_with_its_rows() -> None:
    inputs = [Input("w", 10_000, OneHot(), {}), Input("n", None, Linear(), {})]
    assert linear_model.num_columns(inputs) == linear_model.MOST_COLUMNS
    for columns, num_inputs, scores in ((512, 5, 1), (5, 5000, 1), (80, 80, 1), (3, 3, 1000)):
        rows = rows_wanted(columns, num_inputs, scores)
        assert rows <= 200_000
        assert rows * max(columns, num_inputs) <= linear_model.MOST_CELLS
    assert rows_wanted(20, 20, 2) == 200_000
