"""What every learner does, on encoded rows of which each task can be learnt."""

from __future__ import annotations

import concurrent.futures
import json
import math
import multiprocessing
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cengine.config.resolve import Label
from cengine.config.schema import INNER
from cengine.learners.examples import Batch, Examples
from cengine.learners.learner import BESIDE, Course, Facts, Fitted, Learner
from cengine.models.signature import learner_of
from cengine.networks.encodings import Linear, OneHot
from cengine.networks.losses import LOSSES
from cengine.preprocess.apply import Input
from cengine.preprocess.targets import Target, targets_of
from cengine.stages.train import Train
from cengine.stopping import Wish
from cengine.tasks import Quantiles

INPUTS = [Input("a", None, Linear(), {}), Input("b", None, Linear(), {}), Input("c", 3, OneHot(), {})]
SPLITS = ("train", "eval", INNER)
NUM_ROWS, GROUP_ROWS = 3000, 500
# Far from 0, as a year is: a learner that forgets to tell predictions in the label's unit is found out.
OFFSET, SCALE = 1980.0, 12.0
CLASSES: dict[str, tuple[Any, ...]] = {"regression": (), "binary": ("no", "yes"), "classes": ("low", "middle", "high")}


class LearnerSuite:
    """Derive a class `Test...` from it and set `learner`, one that learns in seconds; `tasks` are those that it can do."""

    learner: ClassVar[Learner]
    tasks: ClassVar[Sequence[str]] = tuple(CLASSES)

    def test_its_predictions_beat_a_constant(self, tmp_path: Path) -> None:
        """In the label's unit, or as probabilities of classes, in float64."""
        for task in self.tasks:
            made = Made(self.learner, task, tmp_path / task)
            predicted, label = made.predict(made.eval), made.label
            assert predicted.dtype == np.float64, task
            assert np.isfinite(predicted).all(), task
            if not CLASSES.get(task, ()):
                assert predicted.shape == label.shape, task
                assert np.abs(predicted - label).mean() < 0.7 * np.abs(np.median(label) - label).mean(), task
                continue
            probabilities = np.column_stack([1 - predicted, predicted]) if predicted.ndim == 1 else predicted
            if probabilities.shape[1] == 1:
                probabilities = np.column_stack([1 - probabilities, probabilities])
            assert probabilities.shape == (len(label), len(CLASSES.get(task, ()))), task
            np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4, err_msg=task)
            shares = np.bincount(label.astype(int)) / len(label)
            assert _log_loss(probabilities, label) < 0.8 * _log_loss(np.tile(shares, (len(label), 1)), label), task

    def test_its_quantiles_ascend_and_beat_a_constants(self, tmp_path: Path) -> None:
        """Of a learner that predicts quantiles, (rows, quantiles) in the label's unit."""
        if not self.learner.predicts_quantiles:
            return
        made = Made(self.learner, Quantiles.name, tmp_path)
        predicted, label, task = made.predict(made.eval), made.label, made.targets[0].task
        assert predicted.dtype == np.float64
        assert predicted.shape == (len(label), len(task.quantiles))
        assert (np.diff(predicted, axis=1) >= 0).all()
        constant = np.tile(np.quantile(label, task.quantiles), (len(label), 1))
        assert task.losses(predicted, label).mean() < 0.7 * task.losses(constant, label).mean()

    def test_the_same_seed_gives_the_same_predictions(self, tmp_path: Path) -> None:
        one, other = (Made(self.learner, self.tasks[0], tmp_path / name) for name in ("one", "other"))
        np.testing.assert_array_equal(one.predict(one.eval), other.predict(other.eval))

    def test_nothing_is_learnt_or_chosen_by_what_is_reported(self, tmp_path: Path) -> None:
        """With other labels in the split that is reported the same model comes out."""
        one = Made(self.learner, self.tasks[0], tmp_path / "one")
        poisoned = Made(self.learner, self.tasks[0], tmp_path / "poisoned", poisoned=True)
        assert not np.array_equal(one.label, poisoned.label)
        np.testing.assert_array_equal(one.predict(one.eval), poisoned.predict(one.eval))

    def test_a_rows_prediction_depends_on_that_row_alone(self, tmp_path: Path) -> None:
        """Not on the rows beside it, nor on their order."""
        made = Made(self.learner, self.tasks[0], tmp_path)
        whole, order = made.predict(made.eval), np.random.default_rng(1).permutation(len(made.eval))
        parts = [made.predict(made.eval.take(rows)) for rows in np.array_split(order, 7)]
        np.testing.assert_allclose(np.concatenate(parts), whole[order], rtol=1e-5, atol=1e-6)

    def test_its_files_need_no_code_to_be_read(self, tmp_path: Path) -> None:
        files = [file for file in Made(self.learner, self.tasks[0], tmp_path).files() if file.is_file()]
        assert files, "the learner has written nothing"
        for file in files:
            assert not _is_pickled(file.name, file.read_bytes()), f"{file.name} is pickled"
            if file.suffix in (".npz", ".npy"):
                loaded = np.load(file, allow_pickle=False)
                _ = dict(loaded) if file.suffix == ".npz" else loaded
            elif zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    assert not [name for name in archive.namelist() if _is_pickled(name, archive.read(name))]

    def test_a_moved_model_is_read_in_another_process(self, tmp_path: Path) -> None:
        made = Made(self.learner, self.tasks[0], tmp_path / "here")
        expected, moved = made.predict(made.eval), tmp_path / "there"
        shutil.copytree(made.folder, moved, ignore=shutil.ignore_patterns(*BESIDE))
        shutil.rmtree(tmp_path / "here")
        spawned = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(1, spawned) as pool:
            found = pool.submit(_read_and_predict, made.learner, moved, made.targets, made.eval).result()
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)

    def test_its_identity_is_read_back(self) -> None:
        identity = json.loads(json.dumps(self.learner.identity()))
        assert identity["word"] == self.learner.name == self.learner.architecture
        assert learner_of(type(self.learner), identity) == self.learner

    def test_its_settings_tell_models_apart(self) -> None:
        """A fingerprint reads them."""
        label = _label(self.tasks[0])
        other = self.learner.model_copy(update={"seed": self.learner.seed + 1})
        assert json.dumps(self.learner.settings([label])) != json.dumps(other.settings([label]))

    def test_it_tells_what_a_training_takes(self, tmp_path: Path) -> None:
        """The steps as they turn out, and what there is to do in the terms of the stage's rates: no less for more rows."""
        made = Made(self.learner, self.tasks[0], tmp_path)
        assert made.fitted.planned_steps == made.learner.num_steps(made.examples.num_rows("train"))
        assert 0 < made.fitted.num_steps <= made.fitted.planned_steps
        loads = [self.learner.load(_facts(num_rows)) for num_rows in (1_000, 100_000)]
        known = {name for rates in Train.rates.values() for name in rates}
        for load in loads:
            assert set(load) <= known | {"weights"}, f"known are {', '.join(sorted(known))}"
            assert all(math.isfinite(value) and value >= 0 for value in load.values())
        assert all(loads[1][name] >= value for name, value in loads[0].items())
        assert self.learner.products(_facts(1_000)) > 0


class Made:
    """A model of one task, from its rows to its predictor."""

    def __init__(self, learner: Learner, task: str, folder: Path, *, poisoned: bool = False) -> None:
        self.learner = learner.model_copy(update={"type": "classification" if CLASSES.get(task, ()) else "regression"})
        self.folder, kept = folder / "model", folder / "kept"
        for path in (self.folder, kept):
            path.mkdir(parents=True)
        self.targets = _targets(self.learner, task)
        file = _write(folder / "encoded.parquet", task, poisoned=poisoned)
        self.examples = Examples(file, INPUTS, ["y"], SPLITS)
        self.reported: list[int] = []
        course = Course(
            folder=self.folder,
            kept=kept,
            judged=INNER,
            memory_bytes=2**26,
            limit_bytes=2**31,
            num_features=len(INPUTS),
            wish=Wish(),
            report=self._report,
            measure=lambda predicted, rows: {},
            shown=SPLITS[1],
        )
        self.fitted: Fitted = self.learner.fit(self.examples, self.targets, course)
        self.eval = self.examples.load(SPLITS[1])
        self.label = self.targets[0].read_label(self.eval.labels["y"])
        self.predictor = self.learner.read(self.folder, INPUTS, self.targets)

    def predict(self, batch: Batch) -> np.ndarray:
        """The predictions of the one label."""
        return self.predictor.predict(batch)["y"]

    def files(self) -> list[Path]:
        """What belongs to the model."""
        return [file for path in self.folder.iterdir() if path.name not in BESIDE for file in [path, *path.rglob("*")]]

    def _report(self, step: int, note: str) -> None:
        self.reported.append(step)


def _read_and_predict(learner: Learner, folder: Path, targets: Sequence[Target], batch: Batch) -> np.ndarray:
    return learner.read(folder, INPUTS, targets).predict(batch)["y"]


def _label(task: str) -> Label:
    loss = LOSSES["quantile"]() if task == Quantiles.name else None
    return Label("y", "string" if CLASSES.get(task) else "float", task, None, (), loss, None)


def _targets(learner: Learner, task: str) -> list[Target]:
    learnt: dict[str, Any] = {"offset": OFFSET, "scale": SCALE, "transforms": []}
    if CLASSES.get(task, ()):
        learnt = {"classes": list(CLASSES.get(task, ())), "counts": [1] * len(CLASSES.get(task, ())), "transforms": []}
    statistics: Any = {"features": {}, "labels": {"y": learnt}}
    return targets_of([_label(task)], statistics, one_output_a_class=learner.one_output_a_class)


def _write(path: Path, task: str, *, poisoned: bool = False) -> Path:
    """Encoded rows as Transform writes them; `poisoned` are labels of the rows that are reported."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, NUM_ROWS))
    c = random.integers(0, 3, NUM_ROWS)
    raw = a - 0.5 * b + 2 * (c == 1) + random.normal(0, 0.2, NUM_ROWS)
    label = (raw - raw.mean()) / raw.std()
    if CLASSES.get(task, ()):
        label = np.digitize(
            label, np.quantile(label, np.arange(1, len(CLASSES.get(task, ()))) / len(CLASSES.get(task, ())))
        )
    place = np.arange(NUM_ROWS)
    split = np.where(place % 4 == 0, 1, np.where(place % 10 == 5, 2, 0)).astype(np.int16)
    if poisoned:
        label = np.where(split == 1, label[::-1], label)
    columns = {
        "a": a.astype(np.float32), "b": b.astype(np.float32), "c": c.astype(np.int32),
        "label: y": label.astype(np.float32), "_split": split, "_row_id": np.arange(NUM_ROWS),
    }  # fmt: skip
    pq.write_table(pa.table(columns), path, row_group_size=GROUP_ROWS)
    return path


def _facts(num_rows: int) -> Facts:
    rows = {"train": num_rows, "eval": num_rows // 4, INNER: num_rows // 10}
    return Facts(rows, [(one.size, one.encoding) for one in INPUTS], len(INPUTS), 1, INNER, SPLITS[1])


def _log_loss(probabilities: np.ndarray, label: np.ndarray) -> float:
    chosen = probabilities[np.arange(len(label)), label.astype(int)]
    return float(-np.log(np.maximum(chosen, 1e-7)).mean())


def _is_pickled(name: str, content: bytes) -> bool:
    named = Path(name).suffix in (".pkl", ".pickle", ".joblib", ".dill")
    return named or (
        content[:1] == b"\x80" and content[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and content[-1:] == b"."
    )
