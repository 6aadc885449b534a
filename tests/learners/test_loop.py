"""The loop: it learns, it repeats itself exactly, it goes on where it stopped, and it says when numbers break."""

from __future__ import annotations

import numpy as np
import pytest
from encoded import Trained, class_head, columns_of, regression_head, signal, trainer, write

from cengine.config.schema import EarlyStopping
from cengine.errors import TrainingError
from cengine.learners.checkpoints import read_newest
from cengine.learners.loop import Plan
from cengine.networks.layers import LAYERS
from cengine.networks.optimizers import OPTIMIZERS
from cengine.stopping import Reason

NUM_ROWS = 3_000
SPLIT = np.arange(NUM_ROWS) % 5 == 4
FAST = OPTIMIZERS["adam"](learning_rate=0.01)


@pytest.fixture
def file(tmp_path):
    columns = columns_of(NUM_ROWS)
    return write(tmp_path / "encoded.parquet", {"y": signal(columns)}, columns, SPLIT, 1_000)


def assert_equal(one, other) -> None:
    for a, b in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_loss_falls(file, tmp_path) -> None:
    trained = Trained(
        file, [regression_head()], trainer(optimizer=FAST, train_steps=400, save_checkpoints_steps=100), tmp_path / "c"
    )
    assert [step for step, _ in trained.logged] == [100, 200, 300, 400]
    assert trained.losses()[-1] < 0.1
    assert trained.losses()[-1] < 0.5 * trained.losses()[0]
    assert trained.losses("train")[-1] < 0.1
    assert trained.result.best_step == 100 * (1 + int(np.argmin(trained.losses())))
    assert trained.result.num_steps == 400
    assert not trained.result.stopped_early


@pytest.mark.parametrize(
    "layers",
    [
        (LAYERS["dense"](units=8), LAYERS["dropout"](rate=0.3)),
        (LAYERS["dense"](units=8), LAYERS["batch_normalization"]()),
    ],
    ids=["dropout", "batch normalization"],
)
@pytest.mark.parametrize("stop", [40, 80])
def test_resumed_equals_undisturbed(file, tmp_path, layers, stop) -> None:
    config = trainer(layers=layers, optimizer=FAST)
    undisturbed = Trained(file, [regression_head()], config, tmp_path / "undisturbed")
    first = Trained(file, [regression_head()], config, tmp_path / "disturbed", until=stop)
    assert first.result is None
    assert read_newest(tmp_path / "disturbed").step == stop
    second = Trained(file, [regression_head()], config, tmp_path / "disturbed")
    assert second.steps[0][0] > stop
    assert second.result == undisturbed.result
    assert_equal(second, undisturbed)


WITH_STATE = (LAYERS["dense"](units=8), LAYERS["dropout"](rate=0.3), LAYERS["batch_normalization"]())


@pytest.fixture
def slow(monkeypatch):
    """Each compiled call does a few steps only, as with a network that takes long."""
    monkeypatch.setattr("cengine.learners.loop.FIRST_SLICE_STEPS", 3)
    monkeypatch.setattr("cengine.learners.loop.SLICE_SECONDS", 1e-9)


@pytest.mark.slow
def test_a_wish_to_end_leaves_a_checkpoint_just_there(file, tmp_path, slow) -> None:
    """However often, between checkpoints or at one: in the end everything is as if nobody had wished anything."""
    config = trainer(layers=WITH_STATE, optimizer=FAST, train_steps=60, save_checkpoints_steps=20)
    undisturbed = Trained(file, [regression_head()], config, tmp_path / "undisturbed")
    for step in (1, 5, 20, 38, 41, 59):
        left = Trained(file, [regression_head()], config, tmp_path / "disturbed", wish_at=step)
        assert (left.result, left.stopped_for) == (None, Reason.TERMINATED)
        found = read_newest(tmp_path / "disturbed")
        assert found.step == left.steps[-1][0] >= step
        assert [entry["step"] for entry in found.history] == list(range(20, found.step + 1, 20))
    last = Trained(file, [regression_head()], config, tmp_path / "disturbed")
    assert last.steps[0][0] > 59
    assert last.result == undisturbed.result
    assert_equal(last, undisturbed)


def test_in_whatever_portions_a_chunk_is_done(file, tmp_path, monkeypatch) -> None:
    config = trainer(layers=WITH_STATE, optimizer=FAST, train_steps=60, save_checkpoints_steps=20)
    whole = Trained(file, [regression_head()], config, tmp_path / "whole")
    monkeypatch.setattr("cengine.learners.loop.FIRST_SLICE_STEPS", 1)
    monkeypatch.setattr("cengine.learners.loop.SLICE_SECONDS", 1e-9)
    single = Trained(file, [regression_head()], config, tmp_path / "single")
    assert len(single.steps) == 60
    assert single.result == whole.result
    assert_equal(single, whole)


def test_a_wish_at_the_last_step_changes_nothing(file, tmp_path, slow) -> None:
    config = trainer(optimizer=FAST, train_steps=40, save_checkpoints_steps=20)
    trained = Trained(file, [regression_head()], config, tmp_path / "c", wish_at=40)
    assert trained.result.num_steps == 40
    assert trained.result.limit is None


@pytest.mark.parametrize("step", [10, 20, 30])
def test_a_limit_gives_what_was_reached_and_forgets_it(file, tmp_path, slow, step) -> None:
    config = trainer(layers=WITH_STATE, optimizer=FAST, train_steps=60, save_checkpoints_steps=20)
    undisturbed = Trained(file, [regression_head()], config, tmp_path / "undisturbed")
    limited = Trained(file, [regression_head()], config, tmp_path / "c", wish_at=step, reason=Reason.OUT_OF_TIME)
    reached = limited.steps[-1][0]
    assert step <= reached < 60
    assert (limited.result.limit, limited.result.num_steps, limited.result.stopped_early) == (
        Reason.OUT_OF_TIME,
        reached,
        False,
    )
    losses = {entry["step"]: entry["eval"]["loss"] for entry in limited.result.history}
    assert max(losses) == reached
    assert limited.result.best_step == min(losses, key=losses.get)
    assert (limited.result.unlogged is None) == (reached % 20 == 0)
    rows = file.load("eval")
    assert np.mean((limited.predicted(rows) - rows.labels["y"]) ** 2) == pytest.approx(min(losses.values()), rel=1e-4)
    again = Trained(file, [regression_head()], config, tmp_path / "c")
    assert again.result == undisturbed.result
    assert_equal(again, undisturbed)


def test_a_limit_before_the_first_step_leaves_nothing_to_use(file, tmp_path) -> None:
    wished = Trained(file, [regression_head()], trainer(), tmp_path / "c", wish_at=0, reason=Reason.OUT_OF_MONEY)
    assert (wished.result, wished.stopped_for, wished.steps) == (None, Reason.OUT_OF_MONEY, [])
    assert read_newest(tmp_path / "c") is None


def test_same_seed_same_weights(file, tmp_path) -> None:
    one, same = (Trained(file, [regression_head()], trainer(seed=3), tmp_path / name) for name in "ab")
    other = Trained(file, [regression_head()], trainer(seed=4), tmp_path / "c")
    assert_equal(one, same)
    assert not np.array_equal(one.weights[0], other.weights[0])


@pytest.mark.parametrize("chunk_steps", [1, 7, 40])
def test_chunk_length_changes_nothing(file, tmp_path, chunk_steps) -> None:
    """The last chunk before a checkpoint is shorter than the others; padding is never trained on."""
    one = Trained(file, [regression_head()], trainer(), tmp_path / "one", chunk_steps=13)
    other = Trained(file, [regression_head()], trainer(), tmp_path / "other", chunk_steps=chunk_steps)
    for a, b in zip(one.weights, other.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert [step for step, _ in one.logged] == [step for step, _ in other.logged] == [40, 80, 120]


def test_steps_that_checkpoints_do_not_divide(file, tmp_path) -> None:
    trained = Trained(file, [regression_head()], trainer(train_steps=110), tmp_path / "c")
    assert [step for step, _ in trained.logged] == [40, 80, 110]
    assert trained.result.num_steps == 110


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1.0), (1977.0, 1e-3), (-5e3, 1e6), (1e-9, 1e-9)])
def test_any_unit_of_the_label_trains_as_well(file, tmp_path, offset, scale) -> None:
    """The encoded label is the same; only what the head says of its unit differs."""
    config = trainer(optimizer=FAST, train_steps=200, save_checkpoints_steps=200)
    trained = Trained(file, [regression_head(offset=offset, scale=scale)], config, tmp_path / "c")
    assert trained.losses()[-1] / scale**2 < 0.15
    rows = file.load("eval")
    predicted = trained.predicted(rows)
    truth = rows.labels["y"].astype(np.float64) * scale + offset
    if scale > 1e-6 * abs(offset):
        assert np.mean((predicted - truth) ** 2) / scale**2 < 0.2


@pytest.mark.parametrize("loss", ["mae", "huber", "log_cosh"])
def test_other_losses_learn_too(file, tmp_path, loss) -> None:
    config = trainer(optimizer=FAST, train_steps=200, save_checkpoints_steps=50)
    trained = Trained(file, [regression_head(loss=loss, offset=1977.0, scale=10.0)], config, tmp_path / "c")
    assert trained.losses()[-1] < 0.5 * trained.losses()[0] or trained.losses()[-1] < 3


def test_several_labels_weigh_the_same(tmp_path) -> None:
    """One label in the millions does not drown the other."""
    columns = columns_of(NUM_ROWS)
    labels = {"y": signal(columns), "z": -signal(columns)}
    file = write(tmp_path / "encoded.parquet", labels, columns, SPLIT, 1_000)
    heads = [regression_head("y", scale=1e6), regression_head("z", scale=1e-3)]
    trained = Trained(file, heads, trainer(optimizer=FAST, train_steps=300, save_checkpoints_steps=100), tmp_path / "c")
    rows = file.load("eval")
    for i, (name, scale) in enumerate({"y": 1e6, "z": 1e-3}.items()):
        error = trained.predicted(rows, i) / scale - rows.labels[name]
        assert np.mean(error**2) < 0.15
    assert trained.losses()[-1] < 0.3  # of two labels, each about 1 at the start


def test_two_and_more_classes(tmp_path) -> None:
    columns = columns_of(NUM_ROWS)
    cases = {
        "binary": (class_head(["no", "yes"]), signal(columns) > 0),
        "classes": (class_head(["a", "b", "c"]), columns["c"]),
    }
    for task, (head, label) in cases.items():
        assert head.target.task.name == task
        assert (head.units, head.activation) == ((1, "sigmoid") if task == "binary" else (3, "softmax"))
        file = write(tmp_path / f"{task}.parquet", {"y": label}, columns, SPLIT, 1_000)
        config = trainer(type="classification", optimizer=FAST, train_steps=300, save_checkpoints_steps=100)
        trained = Trained(file, [head], config, tmp_path / task)
        assert trained.losses()[-1] < 0.3


def test_a_class_that_no_train_row_has_is_no_nan(tmp_path) -> None:
    """Rows of evaluation may hold label -1."""
    columns = columns_of(NUM_ROWS)
    label = columns["c"].astype(float)
    label[SPLIT & (np.arange(NUM_ROWS) % 50 == 4)] = -1
    file = write(tmp_path / "encoded.parquet", {"y": label}, columns, SPLIT, 1_000)
    trained = Trained(file, [class_head(["a", "b", "c"])], trainer(type="classification"), tmp_path / "c")
    assert np.isfinite(trained.losses()).all()


def test_not_a_number_ends_with_the_step_and_a_hint(file, tmp_path) -> None:
    config = trainer(optimizer=OPTIMIZERS["sgd"](learning_rate=1e25), train_steps=500)
    with pytest.raises(TrainingError, match=r"not a number any more at step \d+") as caught:
        Trained(file, [regression_head()], config, tmp_path / "c")
    assert "learning_rate (it is 1e+25)" in str(caught.value)
    assert "clipnorm" in str(caught.value)


def test_extreme_cells_are_named_as_the_cause_too(tmp_path) -> None:
    columns = columns_of(NUM_ROWS)
    columns["a"][10] = np.float32(np.nan)
    file = write(tmp_path / "encoded.parquet", {"y": signal(columns_of(NUM_ROWS))}, columns, SPLIT, 1_000)
    with pytest.raises(TrainingError, match="extreme values"):
        Trained(file, [regression_head()], trainer(), tmp_path / "c")


def test_early_stopping_and_the_best_checkpoint(tmp_path) -> None:
    """Noise cannot be learnt: what is learnt of it is worse on other rows, and the best checkpoint is an early one."""
    columns = columns_of(300)
    noise = np.random.default_rng(9).normal(size=300)
    file = write(tmp_path / "encoded.parquet", {"y": noise}, columns, np.arange(300) % 2 == 1, 300)
    config = trainer(
        layers=(LAYERS["dense"](units=64), LAYERS["dense"](units=64)),
        optimizer=FAST,
        train_steps=2_000,
        save_checkpoints_steps=20,
        early_stopping=EarlyStopping(patience=4),
    )
    trained = Trained(file, [regression_head()], config, tmp_path / "c")
    losses = trained.losses()
    assert trained.result.stopped_early
    assert trained.result.num_steps == 20 * len(losses) < 2_000
    assert min(losses[-4:]) >= min(losses[:-4])
    assert trained.result.best_step == 20 * (1 + int(np.argmin(losses)))
    rows = file.load("eval", range(1))
    predicted = trained.predicted(rows)
    assert np.mean((predicted - rows.labels["y"]) ** 2) == pytest.approx(min(losses), rel=1e-4)
    again = Trained(file, [regression_head()], config, tmp_path / "c")
    assert again.steps == []
    assert again.result == trained.result
    assert_equal(again, trained)


def test_windows_train_as_well(file, tmp_path) -> None:
    config = trainer(optimizer=FAST, train_steps=400, save_checkpoints_steps=400)
    trained = Trained(file, [regression_head()], config, tmp_path / "c", memory_bytes=16 * 1_000)
    assert not trained.rows.fits
    assert trained.losses()[-1] < 0.12


def test_the_plan_counts_steps() -> None:
    assert Plan.of(trainer(train_steps=None, epochs=2, save_checkpoints_steps=None), 1_000, 16).num_steps == 63
    assert Plan.of(trainer(train_steps=10, save_checkpoints_steps=1_000), 1_000, 16).every == 10
    plan = Plan(1_050, 500, 32, 300)
    assert list(plan.lengths(0)) == [300, 200, 300, 200, 50]
    assert list(plan.lengths(500)) == [300, 200, 50]
    assert list(plan.lengths(1_050)) == []
    wide = Plan.of(trainer(train_steps=10_000, save_checkpoints_steps=10_000, train_batch_size=100_000), 10**6, 4_000)
    assert wide.chunk_steps == 1
