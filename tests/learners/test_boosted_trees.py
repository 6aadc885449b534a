"""Boosted trees: LightGBM's own on the same rows, the same to the bit however they come to be, and told in the label's unit."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import lightgbm
import numpy as np
import pytest
from encoded import INPUTS, columns_of, signal, write

from cengine.config.resolve import Label
from cengine.config.schema import EarlyStopping, LabelFacts
from cengine.errors import StoreError, TrainingError
from cengine.learners import boosted_trees, trees_library, trees_rows
from cengine.learners.boosted_trees import BoostedTrees
from cengine.learners.examples import Examples
from cengine.learners.learner import Course, Fitted
from cengine.learners.trees_rows import matrix_of
from cengine.networks.losses import LOSSES
from cengine.preprocess.targets import Target, targets_of
from cengine.stopping import Reason, Stopped, Wish

NUM_ROWS, EVERY = 2000, 5
OFFSET, SCALE = 50.0, 8.0


def regression(name: str = "y", loss: str | None = None, **parameters) -> Target:
    label = Label(name, "float", "regression", None, (), LOSSES[loss](**parameters) if loss else None, None)
    learnt = {"offset": OFFSET, "scale": SCALE, "transforms": []}
    return targets_of([label], {"labels": {name: learnt}})[0]


def classes(names: list[str], name: str = "kind", loss: str | None = None, **parameters) -> Target:
    label = Label(name, "string", "classes", None, (), LOSSES[loss](**parameters) if loss else None, None)
    learnt = {"classes": names, "counts": [1] * len(names), "transforms": []}
    return targets_of([label], {"labels": {name: learnt}})[0]


def rows(folder: Path, num_rows: int = NUM_ROWS, group_rows: int = 100) -> Examples:
    """Labels `y`, a number, and `kind` and `either`, classes of it; a fourth of the rows is not trained on."""
    columns = columns_of(num_rows)
    y = signal(columns) + np.random.default_rng(1).normal(0, 0.3, num_rows)
    labels = {"y": y, "kind": np.digitize(y, [-0.5, 0.5]), "either": (y > 0).astype(int)}
    folder.mkdir(parents=True, exist_ok=True)
    return write(folder / "encoded.parquet", labels, columns, np.arange(num_rows) % 4 == 3, group_rows)


def course(
    folder: Path,
    wish: Wish | None = None,
    memory_bytes: int = 2**26,
    report=lambda step, note: None,
    judged: str | None = "eval",
) -> Course:
    for name in ("model", "kept"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Course(
        folder=folder / "model", kept=folder / "kept", judged=judged, shown="eval", memory_bytes=memory_bytes, limit_bytes=2**31,
        num_features=3, wish=wish or Wish(), report=report, measure=lambda predicted, batch: {"rows": float(len(batch))},
    )  # fmt: skip


def learner(**keys) -> BoostedTrees:
    return BoostedTrees(**{"type": "regression", "trees": 23, "save_checkpoints_trees": EVERY, **keys})


def texts(folder: Path) -> list[str]:
    """The trees that were written."""
    return [file.read_text() for file in sorted((folder / "model").glob("trees-*.txt"))]


def test_they_are_lightgbms_own_on_the_same_rows(tmp_path) -> None:
    """Binned block by block from the file, as if all rows had been handed over at once."""
    examples, made = rows(tmp_path), learner()
    made.fit(examples, [regression()], course(tmp_path))
    train, other = examples.load("train"), examples.load("eval")
    parameters = {**made.parameters(), "num_threads": 1}
    data = lightgbm.Dataset(
        matrix_of(train).astype(np.float64), train.labels["y"], categorical_feature=[2], params=parameters
    )
    expected = lightgbm.train({**parameters, "objective": "regression"}, data, 23)
    found = made.read(tmp_path / "model", INPUTS, [regression()]).predict(other)["y"]
    np.testing.assert_array_equal(found, expected.predict(matrix_of(other)) * SCALE + OFFSET)


def test_they_are_the_same_with_memory_for_few_rows(tmp_path) -> None:
    examples, table = rows(tmp_path, 6000), trees_rows.TrainTable
    little = course(tmp_path / "little", memory_bytes=220_000)
    assert len(table(examples, little).groups) > 2
    assert len(table(examples, course(tmp_path / "much")).groups) == 1
    for part in ("little", "much"):
        learner(leaves=4).fit(examples, [regression()], little if part == "little" else course(tmp_path / part))
    assert texts(tmp_path / "little") == texts(tmp_path / "much")


def test_too_little_memory_is_told_with_what_helps(tmp_path) -> None:
    with pytest.raises(TrainingError, match=r"too small for boosted trees of 1,500 rows and 3 columns") as raised:
        learner().fit(rows(tmp_path), [regression()], course(tmp_path, memory_bytes=50_000))
    assert "--memory" in raised.value.render()


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "poisson"])
def test_every_loss_of_numbers_beats_a_constant_in_its_own_measure(tmp_path, loss) -> None:
    parameters = {"delta": 4.0} if loss == "huber" else {}
    target, examples = regression(loss=loss, **parameters), rows(tmp_path)
    fitted = learner(trees=100).fit(examples, [target], course(tmp_path, judged=None))
    batch = examples.load("eval")
    label = batch.labels["y"].astype(np.float64) * SCALE + OFFSET
    found = learner().read(tmp_path / "model", INPUTS, [target]).predict(batch)["y"]
    error = np.abs(label - found)
    measures = {
        "mse": (error**2).mean(),
        "mae": error.mean(),
        "huber": np.where(error <= 4, error**2 / 2, 4 * error - 8).mean(),
        "poisson": (found - label * np.log(found)).mean(),
    }
    # What the curve says is the loss in the label's unit.
    assert fitted.history[-1]["eval"]["loss"] == pytest.approx(measures[loss], rel=1e-6)
    assert error.mean() < 0.6 * np.abs(label - np.median(label)).mean()


@pytest.mark.parametrize(("name", "classes_of_it"), [("either", ["no", "yes"]), ("kind", ["a", "b", "c"])])
def test_classes_are_told_as_probabilities(tmp_path, name, classes_of_it) -> None:
    target, examples, made = classes(classes_of_it, name), rows(tmp_path), learner(type="classification", trees=60)
    fitted = made.fit(examples, [target], course(tmp_path, judged=None))
    batch = examples.load("eval")
    found = made.read(tmp_path / "model", INPUTS, [target]).predict(batch)[name]
    shares = found if found.shape[1] > 1 else np.column_stack([1 - found, found])
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    own = shares[np.arange(len(shares)), batch.labels[name].astype(int)]
    assert fitted.history[-1]["eval"]["loss"] == pytest.approx(-np.log(own).mean(), rel=1e-9)
    assert (shares.argmax(axis=1) == batch.labels[name]).mean() > 0.8


def test_several_labels_have_trees_of_their_own(tmp_path) -> None:
    examples, targets = rows(tmp_path), [regression(), classes(["no", "yes"], "either")]
    learner().fit(examples, targets, course(tmp_path))
    both = learner().read(tmp_path / "model", INPUTS, targets).predict(examples.load("eval"))
    for place, target in enumerate(targets):
        alone = tmp_path / str(place)
        learner().fit(examples, [target], course(alone))
        found = learner().read(alone / "model", INPUTS, [target]).predict(examples.load("eval"))
        np.testing.assert_array_equal(found[target.name], both[target.name])


# Ended and taken up again


def interrupted(examples: Examples, targets: list[Target], folder: Path, at: int, reason: Reason, **keys) -> Fitted:
    """A training with a wish to end that comes after `at` rounds."""
    wish = Wish()
    seen = course(folder, wish, report=lambda step, note: wish.express(reason) if step >= at else None)
    return learner(**keys).fit(examples, targets, seen)


@pytest.mark.parametrize("kind", ["mse", "mae", "two classes", "three classes", "two labels"])
def test_taken_up_again_it_is_the_same_to_the_bit(tmp_path, kind) -> None:
    """Also when it is ended between two checkpoints, and more than once."""
    targets = {
        "mse": [regression()],
        "mae": [regression(loss="mae")],
        "two classes": [classes(["no", "yes"], "either")],
        "three classes": [classes(["a", "b", "c"])],
        "two labels": [regression(), classes(["a", "b", "c"])],
    }[kind]
    examples, whole, parts = rows(tmp_path), tmp_path / "whole", tmp_path / "parts"
    expected = learner().fit(examples, targets, course(whole))
    for at in (7, 15):
        with pytest.raises(Stopped):
            interrupted(examples, targets, parts, at, Reason.INTERRUPTED)
        assert learner().first_step(parts / "kept") == at
    found = learner().fit(examples, targets, course(parts))
    assert found.first_step == 15
    assert texts(parts) == texts(whole)
    assert found.history == expected.history
    assert (found.best_step, found.num_steps) == (expected.best_step, expected.num_steps)


def test_what_a_limit_ends_is_a_model(tmp_path) -> None:
    examples = rows(tmp_path)
    limited = interrupted(examples, [regression()], tmp_path / "limited", 8, Reason.OUT_OF_TIME)
    assert (limited.num_steps, limited.planned_steps, limited.limit) == (8, 23, Reason.OUT_OF_TIME)
    assert [entry["step"] for entry in limited.history] == [5, 8]
    assert texts(tmp_path / "limited")[0].count("\nTree=") == 8
    whole = learner().fit(examples, [regression()], course(tmp_path / "whole"))
    gone_on = learner().fit(examples, [regression()], course(tmp_path / "limited"))
    assert gone_on.first_step == 8
    assert gone_on.history == whole.history
    assert texts(tmp_path / "limited") == texts(tmp_path / "whole")


def test_a_wish_before_the_first_round_leaves_nothing(tmp_path) -> None:
    wish = Wish()
    wish.express(Reason.OUT_OF_TIME)
    with pytest.raises(Stopped), wish.held(*Reason):
        learner().fit(rows(tmp_path), [regression()], course(tmp_path, wish))
    assert learner().first_step(tmp_path / "kept") == 0


THREADS = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_boosted_trees import course, learner, regression, rows
folder = Path(sys.argv[1])
for loss in ("mse", "mae"):
    learner(trees=6, leaves=15).fit(rows(folder / loss, 28_000, 5000), [regression(loss=loss)], course(folder / loss))
"""


def test_the_number_of_threads_changes_nothing(tmp_path) -> None:
    for threads in (1, 2):
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, "-c", THREADS, str(tmp_path / str(threads)), str(Path(__file__).parent)]
        subprocess.run(command, env=environment, check=True)
    for loss in ("mse", "mae"):
        one, two = (texts(tmp_path / str(threads) / loss) for threads in (1, 2))
        assert one == two
        assert "Tree=5" in one[0]


# Which number of trees


def test_without_a_word_of_the_length_as_many_are_kept_as_are_best(tmp_path) -> None:
    made = BoostedTrees(type="regression", learning_rate=0.3)
    fitted = made.fit(rows(tmp_path), [regression()], course(tmp_path))
    losses = {entry["step"]: entry["eval"]["loss"] for entry in fitted.history}
    assert fitted.stopped_early
    assert fitted.num_steps < 1000 == fitted.planned_steps
    assert fitted.best_step == min(losses, key=losses.__getitem__) < fitted.num_steps
    assert texts(tmp_path)[0].count("\nTree=") == fitted.best_step


def test_the_trees_that_are_said_are_all_kept(tmp_path) -> None:
    """Even if fewer are better on the rows beside: nothing was asked to choose."""
    made = learner(trees=100, learning_rate=1.0, leaves=60)
    assert not made.chooses
    fitted = made.fit(rows(tmp_path), [regression()], course(tmp_path, judged=None))
    losses = [entry["eval"]["loss"] for entry in fitted.history]
    assert min(losses) < losses[-1]
    assert (fitted.best_step, fitted.stopped_early) == (100, False)


def test_early_stopping_may_be_forbidden() -> None:
    forbidden = BoostedTrees(type="regression", early_stopping=False)
    assert (forbidden.chooses, forbidden.stopping, forbidden.most_trees) == (False, None, 1000)
    assert BoostedTrees(type="regression").chooses


def test_without_rows_to_choose_by_few_trees_are_grown(tmp_path) -> None:
    """A thousand would learn the train rows by heart, and nobody would see it."""
    made = BoostedTrees(type="regression", leaves=4)
    fitted = made.fit(rows(tmp_path), [regression()], course(tmp_path, judged=None))
    assert (fitted.num_steps, fitted.planned_steps, fitted.best_step) == (200, 200, 200)
    asked = [{"trees": 900}, {"early_stopping": False}]
    assert [BoostedTrees(type="regression", **keys).most_beside(None) for keys in asked] == [900, 1000]


def test_early_stopping_without_rows_to_look_at_is_told(tmp_path) -> None:
    made = learner(early_stopping=EarlyStopping())
    assert made.chooses
    with pytest.raises(TrainingError, match="early_stopping has no rows to look at: of the 1,500 train rows"):
        made.fit(rows(tmp_path), [regression()], course(tmp_path, judged=None))


def test_early_stopping_that_is_said_is_obeyed(tmp_path) -> None:
    rule = EarlyStopping(patience=2)
    made = learner(trees=500, learning_rate=0.5, early_stopping=rule)
    fitted = made.fit(rows(tmp_path), [regression()], course(tmp_path))
    assert fitted.stopped_early
    assert fitted.num_steps == fitted.best_step + 2 * EVERY


def test_it_ends_where_no_split_helps(tmp_path) -> None:
    made = learner(min_rows_in_leaf=10**6)
    fitted = made.fit(rows(tmp_path), [regression()], course(tmp_path))
    assert (fitted.num_steps, fitted.planned_steps) == (1, 23)
    found = made.read(tmp_path / "model", INPUTS, [regression()]).predict(rows(tmp_path / "more").load("eval"))["y"]
    assert len(np.unique(found)) == 1


# Its files


def test_importance_is_the_share_of_the_gain(tmp_path) -> None:
    learner(trees=60).fit(rows(tmp_path), [regression()], course(tmp_path))
    (label,) = json.loads((tmp_path / "model" / "trees.json").read_text())["labels"]
    assert sum(label["importance"].values()) == pytest.approx(1)
    assert next(iter(label["importance"])) == "a"
    assert set(label["importance"]) == {"a", "b", "c"}


@pytest.mark.parametrize("damage", ["text", "json", "gone", "columns"])
def test_damaged_files_are_told(tmp_path, damage) -> None:
    folder = tmp_path / "model"
    learner().fit(rows(tmp_path), [regression()], course(tmp_path))
    if damage == "text":
        trees = folder / "trees-0.txt"
        trees.write_text(trees.read_text().replace("leaf_value=", "leaf_value=1", 1))
    elif damage == "json":
        (folder / "trees.json").write_text("{")
    elif damage == "gone":
        (folder / "trees-0.txt").unlink()
    inputs = INPUTS[::-1] if damage == "columns" else INPUTS
    if damage == "columns":
        inputs = [INPUTS[1], INPUTS[0], INPUTS[2]]
    with pytest.raises(StoreError, match="damaged") as raised:
        learner().read(folder, inputs, [regression()])
    assert "cengine cache verify --repair" in raised.value.render()


# What is wrong is told before anything runs


def told(target: Target, **keys) -> list[str]:
    found = learner(**keys).problems(LabelFacts(target.label, 1, None))
    return list(itertools.chain.from_iterable((one.message, *one.notes) for one in found))


def test_what_they_cannot_learn_is_told(monkeypatch) -> None:
    assert told(regression()) == []
    assert "label 'y': boosted trees have no loss 'log_cosh'" in told(regression(loss="log_cosh"))
    smooth = classes(["no", "yes"], loss="binary_crossentropy", label_smoothing=0.1)
    assert "label 'kind': boosted trees have no label_smoothing" in told(smooth)


def test_a_missing_extra_is_told(monkeypatch) -> None:
    monkeypatch.setattr(boosted_trees, "is_installed", lambda: False)
    message, command = told(regression())
    assert message == "boosted trees need the package lightgbm"
    assert command.endswith("-m pip install 'cengine-ml[trees]'")
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(TrainingError, match="boosted trees need the package lightgbm"):
        trees_library.import_lightgbm()


def test_threads_wait_without_spinning_unless_the_user_says_else() -> None:
    code = "import os; from cengine.learners.trees_library import import_lightgbm; import_lightgbm(); print(os.environ['OMP_WAIT_POLICY'])"
    for given, expected in (({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")):
        environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | given
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected


@pytest.mark.parametrize("keys", [{"trees": 0}, {"leaves": 1}, {"learning_rate": 0}, {"bins": 1}, {"layers": []}])
def test_keys_without_sense_are_refused(keys) -> None:
    with pytest.raises(ValueError, match=next(iter(keys))):
        learner(**keys)
