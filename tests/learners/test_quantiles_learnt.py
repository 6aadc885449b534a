"""Quantiles as learners have them: the pinball loss against NumPy, outputs that cross are sorted, and trainings that go on to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from encoded import INPUTS, Trained, columns_of, signal, trainer, write
from test_boosted_trees import course, interrupted, learner, rows, texts

from cengine.config.resolve import Label
from cengine.learners.checkpoints import read_newest
from cengine.learners.heads import heads_of
from cengine.learners.linear_model import fit_linear, read_linear
from cengine.learners.trees_objectives import objectives_of, predictions_of
from cengine.networks.losses import LOSSES
from cengine.networks.optimizers import OPTIMIZERS
from cengine.preprocess.targets import Target, targets_of
from cengine.stopping import Reason, Stopped
from cengine.tasks import Quantiles, ascending
from cengine.transforms import TRANSFORMS

AT, OFFSET, SCALE = (0.1, 0.5, 0.9), 50.0, 8.0
FAST = OPTIMIZERS["adam"](learning_rate=0.01)


def target(at=AT, transforms=(), learnt=()) -> Target:
    label = Label("y", "float", "quantiles", None, tuple(transforms), LOSSES["quantile"](at=at), None)
    statistics = {"offset": OFFSET, "scale": SCALE, "transforms": list(learnt)}
    return targets_of([label], {"labels": {"y": statistics}})[0]


def pinball(label: np.ndarray, told: np.ndarray, at=AT) -> np.ndarray:
    losses = [
        np.where(label >= q, share * (label - q), (1 - share) * (q - label))
        for share, q in zip(at, told.T, strict=True)
    ]
    return np.mean(losses, axis=0)


@pytest.mark.parametrize("num", range(1, 8))
def test_values_are_sorted_among_each_other(num) -> None:
    values = np.random.default_rng(0).normal(size=(50, num)).round(1)
    np.testing.assert_array_equal(np.column_stack(ascending([*values.T])), np.sort(values, axis=1))


@pytest.mark.parametrize(
    ("at", "point"), [((0.05, 0.5, 0.95), 1), ((0.4, 0.6), 0), ((0.1, 0.45, 0.6), 1), ((0.9,), 0), ((0.3, 0.7, 0.8), 0)]
)
def test_the_point_prediction_is_the_quantile_nearest_to_the_median(at, point) -> None:
    assert Quantiles(at=at).point == point


def test_outputs_that_cross_are_sorted_and_told_in_the_labels_unit() -> None:
    (head,) = heads_of([target(transforms=[TRANSFORMS["log"]()], learnt=[{"minimum": 1.0}])], trainer())
    assert (head.units, head.output_offset, head.output_scale) == (3, OFFSET, SCALE)
    outputs = np.array([[0.1, 0.0, -0.1], [-0.2, 0.3, 0.1]], np.float32)
    expected = np.exp(np.sort(outputs.astype(np.float64), axis=1) * SCALE + OFFSET)
    np.testing.assert_allclose(head.read(outputs), expected, rtol=1e-12)


def test_members_are_averaged_before_they_are_sorted_and_learn_for_themselves() -> None:
    (head,) = heads_of([target()], trainer(ensemble=2))
    outputs = np.array([[0.3, 0.1, 0.5, -0.5, 0.1, 0.9]], np.float32)
    np.testing.assert_allclose(head.read(outputs), np.array([[-0.1, 0.1, 0.7]]) * SCALE + OFFSET, rtol=1e-6)
    encoded = np.array([0.2], np.float32)
    members = [outputs[:, :3], outputs[:, 3:]]
    expected = np.mean([pinball(encoded * SCALE, one * SCALE) for one in members], axis=0)
    found = head.losses(head.loss.build(), encoded, outputs)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5)


@pytest.mark.parametrize("ensemble", [None, 3])
def test_a_network_learns_them_and_goes_on_to_the_same_weights(tmp_path, ensemble) -> None:
    columns = columns_of(2_000)
    label = signal(columns) + np.random.default_rng(1).normal(0, 0.5, 2_000)
    file = write(tmp_path / "encoded.parquet", {"y": label}, columns, np.arange(2_000) % 5 == 4, 1_000)
    config = trainer(optimizer=FAST, **({"ensemble": ensemble} if ensemble else {}))
    heads = heads_of([target()], config)
    whole = Trained(file, heads, config, tmp_path / "whole")
    Trained(file, heads, config, tmp_path / "parts", until=40)
    assert read_newest(tmp_path / "parts").step == 40
    found = Trained(file, heads, config, tmp_path / "parts")
    assert found.result == whole.result
    for one, other in zip(found.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    batch = file.load("eval")
    best = np.quantile(label * SCALE, AT)
    constant = pinball(batch.labels["y"] * SCALE, np.tile(best, (len(batch), 1))).mean()
    assert whole.losses()[-1] < 0.7 * constant


def test_trees_learn_them_and_say_their_mean_loss(tmp_path) -> None:
    examples, wanted = rows(tmp_path), target()
    fitted = learner(trees=80, leaves=8).fit(examples, [wanted], course(tmp_path, judged=None))
    batch = examples.load("eval")
    label = batch.labels["y"].astype(np.float64) * SCALE + OFFSET
    model = learner().read(tmp_path / "model", INPUTS, [wanted])
    found = model.predict(batch)["y"]
    assert (np.diff(found, axis=1) >= 0).all()
    np.testing.assert_allclose(np.mean(label[:, None] <= found, axis=0), AT, atol=0.12)
    # What the curve says is the loss of trees that may cross, which sorting makes no greater.
    told = fitted.history[-1]["eval"]["loss"]
    assert 0 <= told - pinball(label, found).mean() < 0.01 * told
    assert pinball(label, found).mean() < 0.5 * pinball(label, np.tile(np.quantile(label, AT), (len(label), 1))).mean()
    assert sum(fitted.importance["y"].values()) == pytest.approx(1)
    assert len(texts(tmp_path)) == 3


def test_trees_of_quantiles_are_taken_up_again_to_the_bit(tmp_path) -> None:
    examples, wanted = rows(tmp_path), [target()]
    expected = learner().fit(examples, wanted, course(tmp_path / "whole"))
    for at in (7, 15):
        with pytest.raises(Stopped):
            interrupted(examples, wanted, tmp_path / "parts", at, Reason.INTERRUPTED)
    found = learner().fit(examples, wanted, course(tmp_path / "parts"))
    assert found.first_step == 15
    assert texts(tmp_path / "parts") == texts(tmp_path / "whole")
    assert found.history == expected.history


def test_trees_that_cross_are_sorted() -> None:
    wanted = target()
    raw = [np.array([[value]]) for value in (0.5, -0.5, 0.0)]
    found = predictions_of(objectives_of([wanted]), raw)["y"]
    np.testing.assert_allclose(found, np.array([[-0.5, 0.0, 0.5]]) * SCALE + OFFSET)


def test_a_linear_model_adds_the_quantiles_of_its_errors(tmp_path) -> None:
    examples, wanted = rows(tmp_path), target()
    model = fit_linear(examples, [wanted], lambda: None)
    train = examples.load("train")
    label = train.labels["y"].astype(np.float64) * SCALE + OFFSET
    found = model.predict(train)["y"]
    np.testing.assert_allclose(np.mean(label[:, None] <= found, axis=0), AT, atol=0.01)
    widths = found[:, 2] - found[:, 0]
    assert np.median(widths) == pytest.approx(
        widths.max(), rel=1e-6
    )  # the same for all rows but those cut off at the ends
    model.write(tmp_path)
    np.testing.assert_array_equal(read_linear(tmp_path, INPUTS, [wanted]).predict(train)["y"], found)
