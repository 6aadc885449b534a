"""How long a training is where the YAML does not say: it follows from the rows; what the YAML says is obeyed."""

from __future__ import annotations

import numpy as np
import pytest
from encoded import Trained, columns_of, regression_head, signal, trainer, write

from cengine.config.length import MANY_STEPS, PATIENCE
from cengine.config.read import parse_config
from cengine.config.schema import EarlyStopping
from cengine.learners.feedforward import Feedforward
from cengine.learners.loop import Plan
from cengine.networks.optimizers import OPTIMIZERS


def read(text: str) -> Feedforward:
    yaml = f"features: {{x: {{}}}}\nlabels: {{y: {{}}}}\nsplit: {{ratio: {{train: 0.9, eval: 0.1}}}}\ntrainer: {{type: regression, {text}}}"
    found = parse_config(yaml).config.trainer
    assert isinstance(found, Feedforward)
    return found


@pytest.mark.parametrize(("num_rows", "batch_rows", "steps"), [
    (1, 32, 4_000),
    (275, 32, 4_000),
    (1_499, 32, 4_000),
    (1_500, 64, 4_000),
    (4_000, 128, 4_000),
    (14_999, 128, 4_000),
    (15_000, 256, 4_000),
    (50_000, 256, 4_000),
    (100_000, 256, 7_820),
    (2_560_000, 256, 200_000),
    (30_500_000, 256, MANY_STEPS),
    (10**9, 256, 3_906_250),
])  # fmt: skip
def test_it_follows_from_the_rows(num_rows, batch_rows, steps) -> None:
    learner = read("layers: []")
    plan = Plan.of(learner, num_rows, 16)
    assert (plan.batch_rows, plan.num_steps, learner.num_steps(num_rows)) == (batch_rows, steps, steps)
    assert 20 <= -(-plan.num_steps // plan.every) <= 50
    taken = learner.filled_in(num_rows)
    rate = taken.optimizer.learning_rate
    assert (taken.optimizer.name, rate.name, rate.initial_learning_rate, rate.alpha) == (
        "adam",
        "cosine_decay",
        0.002,
        0,
    )
    assert taken.early_stopping == EarlyStopping(patience=PATIENCE)
    assert taken.filled_in(num_rows) == taken


@pytest.mark.parametrize(("text", "obeyed"), [
    ("train_batch_size: 10", {"train_batch_size": 10, "train_steps": 4_000}),
    ("train_batch_size: 1", {"train_batch_size": 1, "train_steps": 6_000}),
    ("optimizer: adam", {"optimizer": OPTIMIZERS["adam"]()}),
    ("early_stopping: false", {"early_stopping": False}),
    ("early_stopping: 2", {"early_stopping": EarlyStopping(patience=2)}),
    ("save_checkpoints_steps: 7", {"save_checkpoints_steps": 7}),
    ("train_steps: 50", {"train_steps": 50, "train_batch_size": 256, "optimizer": OPTIMIZERS["adam"](), "early_stopping": None}),
    ("epochs: 3, early_stopping: false", {"epochs": 3, "train_steps": None, "train_batch_size": 256, "early_stopping": None}),
])  # fmt: skip
def test_what_the_yaml_says_is_obeyed(text, obeyed) -> None:
    taken = read(text).filled_in(300)
    assert {key: getattr(taken, key) for key in obeyed} == obeyed


def test_what_it_chooses_by() -> None:
    assert [read(text).chooses for text in (
        "layers: []", "early_stopping: false", "train_steps: 5", "epochs: 1", "train_steps: 5, early_stopping: true", "epochs: 1, early_stopping: false",
    )] == [True, True, False, False, True, False]  # fmt: skip


def test_the_plan_says_what_is_taken() -> None:
    told = read("layers: []").told(275)
    assert told == (
        "4,000 steps in batches of 32 (465 passes over 275 rows), a checkpoint every 134 steps, an early end after 10 that are no better; "
        "adam, its learning rate falling from 0.002 to 0"
    )
    assert "learning rate" not in read("optimizer: sgd").told(275)
    assert "early end" not in read("early_stopping: false").told(275)
    assert read("epochs: 1").told(275) is None
    assert read("layers: []").told(0) is None


def test_a_training_is_as_long_as_the_plan_says(tmp_path) -> None:
    columns = columns_of(400)
    file = write(tmp_path / "encoded.parquet", {"y": signal(columns)}, columns, np.arange(400) % 5 == 4, 200)
    config = trainer(train_steps=None, save_checkpoints_steps=None, train_batch_size=None, early_stopping=False)
    trained = Trained(file, [regression_head()], config, tmp_path / "c")
    assert trained.result.num_steps == 4_000
    assert [step for step, _ in trained.logged] == [*range(134, 4_000, 134), 4_000]
    assert min(trained.losses()) < 0.05
