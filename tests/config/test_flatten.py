"""Every setting of a configuration under a path of its own."""

from __future__ import annotations

import json

from yamls import read

from cengine.config.flatten import BY_CLASSES, flattened
from cengine.config.resolve import resolve
from cengine.tables import Column, TableSchema

SCHEMA = TableSchema(
    (
        Column("i", "BIGINT", "integer"),
        Column("s", "VARCHAR", "string"),
        Column("a.b", "DOUBLE", "float"),
        Column("y", "DOUBLE", "float"),
        Column("k", "VARCHAR", "string"),
    ),
    100,
)


def settings(tasks=None, **blocks):
    found = flattened(resolve(read(**blocks), SCHEMA), tasks)
    paths = [setting["path"] for setting in found]
    assert len(set(paths)) == len(paths)
    assert json.loads(json.dumps(found)) == found
    return {setting["path"]: setting["value"] for setting in found}


def test_every_default_is_told() -> None:
    found = settings(features="features: [i, s]", labels="labels: {y: {}}")
    assert {path: value for path, value in found.items() if path.startswith("features")} == {
        "features.i.kind": "integer",
        "features.i.filling": "min",
        "features.i.transform": "scale_to_z_score",
        "features.i.encoding": "auto",
        "features.s.kind": "string",
        "features.s.filling": "custom",
        "features.s.filling.custom_value": "",
        "features.s.transform": "compute_and_apply_vocabulary",
        "features.s.transform.top_k": None,
        "features.s.transform.num_oov_buckets": 1,
        "features.s.encoding": "auto",
    }
    assert {path: value for path, value in found.items() if path.startswith("labels")} == {
        "labels.y.kind": "float",
        "labels.y.task": "regression",
        "labels.y.filling": None,
        "labels.y.transform": "no_transform",
        "labels.y.loss": "mse",
        "labels.y.metrics": ["mae", "rmse", "r2"],
    }
    assert (found["split.ratio.train"], found["split.ratio.eval"], found["split.where"], found["split.seed"]) == (
        0.9,
        0.1,
        [],
        0,
    )
    assert (found["trainer.layers[0]"], found["trainer.layers[0].units"], found["trainer.layers[0].activation"]) == (
        "dense",
        8,
        "relu",
    )
    # They follow from the number of rows where nothing is said of the length.
    assert (found["trainer.train_batch_size"], found["trainer.optimizer"]) == (None, None)
    assert found["evaluator.slices"] == []


def test_words_within_words_and_several_words() -> None:
    optimizer = "{type: adam, learning_rate: {type: cosine_decay, initial_learning_rate: 0.1}}"
    layer = "{type: dense, units: 8, kernel_regularizer: {l2: 0.5}}"
    found = settings(
        features="features: {i: {transform: [log, scale_to_0_1]}}",
        labels="labels: {y: {}}",
        trainer=f"trainer: {{type: regression, layers: [{layer}], optimizer: {optimizer}}}",
    )
    assert (found["features.i.transform[0]"], found["features.i.transform[1]"]) == ("log", "scale_to_0_1")
    assert found["trainer.optimizer.learning_rate"] == "cosine_decay"
    assert found["trainer.optimizer.learning_rate.initial_learning_rate"] == 0.1
    assert found["trainer.layers[0].kernel_regularizer.l2"] == 0.5


def test_names_that_could_be_taken_for_paths_stand_in_quotes() -> None:
    found = settings(features='features: ["a.b"]', labels="labels: {y: {}}")
    assert found['features."a.b".kind'] == "float"


def test_what_follows_from_the_number_of_classes() -> None:
    blocks = {
        "features": "features: [i]",
        "labels": "labels: {k: {}}",
        "trainer": "trainer: {type: classification, layers: [{type: dense, units: 8}]}",
    }
    found = settings(**blocks)
    assert (found["labels.k.task"], found["labels.k.loss"], found["labels.k.metrics"]) == (BY_CLASSES,) * 3
    found = settings({"k": "binary"}, **blocks)
    assert (found["labels.k.task"], found["labels.k.loss"]) == ("binary", "binary_crossentropy")
    assert found["labels.k.metrics"] == ["accuracy", "auc", "log_loss"]


def test_splits_by_groups() -> None:
    split = "split: {categorize: {by: s, categories: {train: [a, b], eval: [c]}}, where: ['i > 3']}"
    found = settings(features="features: [i]", labels="labels: {y: {}}", split=split)
    assert {path: value for path, value in found.items() if path.startswith("split")} == {
        "split.categorize.by": "s",
        "split.categorize.categories.train": ["a", "b"],
        "split.categorize.categories.eval": ["c"],
        "split.where": ["i > 3"],
        "split.seed": 0,
    }
