"""The defaults of config.md, column by column."""

from __future__ import annotations

import pytest
from yamls import read

from cengine.config.resolve import metrics_of, resolve, task_of
from cengine.networks.encodings import Auto
from cengine.tables import Column, TableSchema

SCHEMA = TableSchema(
    (
        Column("b", "BOOLEAN", "boolean"),
        Column("i", "BIGINT", "integer"),
        Column("f", "DOUBLE", "float"),
        Column("s", "VARCHAR", "string"),
        Column("t", "TIMESTAMP", "timestamp"),
        Column("y", "DOUBLE", "float"),
    ),
    100,
)


def resolved(**blocks):
    return resolve(read(**blocks), SCHEMA)


def words(feature):
    return feature.filling.name, *(word.name for word in feature.transforms)


def test_built_in_defaults() -> None:
    found = resolved(features="features: [b, i, f, s, t]", labels="labels: {y: {}}").features
    assert [(f.name, f.kind, *words(f)) for f in found] == [
        ("b", "boolean", "max", "no_transform"),
        ("i", "integer", "min", "scale_to_z_score"),
        ("f", "float", "max", "scale_to_z_score"),
        ("s", "string", "custom", "compute_and_apply_vocabulary"),
        ("t", "timestamp", "min", "calendar"),
    ]
    assert found[3].filling.custom_value == ""
    assert all(feature.encoding == Auto() for feature in found)


def test_the_files_defaults_replace_built_in_ones_step_by_step() -> None:
    found = resolved(
        features="features: [i, f]",
        labels="labels: {y: {}}",
        default="default: {integer: {filling: max}, float: {transform: log}}",
    )
    assert [words(f) for f in found.features] == [("max", "scale_to_z_score"), ("max", "log")]


def test_overrides_replace_the_defaults_of_that_step_only() -> None:
    features = "features: {i: {transform: [log, scale_to_0_1]}, f: {filling: median, encoding: periodic}}"
    found = resolved(
        features=features, labels="labels: {y: {}}", default="default: {integer: {filling: max, transform: bucketize}}"
    )
    assert [words(f) for f in found.features] == [("max", "log", "scale_to_0_1"), ("median", "scale_to_z_score")]
    assert found.features[1].encoding.name == "periodic"


def test_labels_take_no_transform_and_no_filling_unless_the_file_says_so() -> None:
    defaults = "default: {float: {filling: max, transform: scale_to_z_score}}"
    (label,) = resolved(features="features: [i]", labels="labels: {y: {}}", default=defaults).labels
    assert (label.filling, [word.name for word in label.transforms]) == (None, ["no_transform"])
    (label,) = resolved(
        features="features: [i]", labels="labels: {y: {filling: median, transform: log}}", default=defaults
    ).labels
    assert (label.filling.name, [word.name for word in label.transforms]) == ("median", ["log"])


@pytest.mark.parametrize(
    ("column", "loss", "num_classes", "task"),
    [
        ("b", "", 2, "binary"),
        ("s", "", 2, "binary"),
        ("s", "", 3, "classes"),
        ("i", "", 5, "classes"),
        ("s", "loss: binary_crossentropy", 2, "binary"),
        ("s", "loss: sparse_categorical_crossentropy", 2, "classes"),
        ("b", "loss: categorical_crossentropy", 2, "classes"),
    ],
)
def test_tasks_of_classification(column, loss, num_classes, task) -> None:
    (label,) = resolved(
        features="features: [f]", labels=f"labels: {{{column}: {{{loss}}}}}", trainer="trainer: {type: classification}"
    ).labels
    assert task_of(label, num_classes) == task


def test_metrics_are_the_labels_and_the_evaluators_or_those_of_the_task() -> None:
    def names(labels, evaluator, task="regression"):
        found = resolved(features="features: [i]", labels=f"labels: {labels}", evaluator=f"evaluator: {evaluator}")
        return [metric.name for metric in metrics_of(found.labels[0], task, found.metrics)]

    assert names("{y: {}}", "{}") == ["mae", "rmse", "r2"]
    assert names("{y: {metrics: [mse]}}", "{}") == ["mse"]
    assert names("{y: {metrics: [mse]}}", "{metrics: [mae, mse, auc]}") == ["mse", "mae"]
    assert names("{y: {}}", "{metrics: [auc]}") == ["mae", "rmse", "r2"]
    assert names("{y: {}}", "{}", "binary") == ["accuracy", "auc", "log_loss"]
    assert names("{y: {}}", "{}", "classes") == ["accuracy", "log_loss"]


def test_encodings_by_kind() -> None:
    """They hold where a column says nothing of its own; one whose own transform gives a code keeps its default."""
    found = resolved(
        features="features: {i: {transform: compute_and_apply_vocabulary}, f: {}, s: {}, t: {}, y: {encoding: linear}}",
        labels="labels: {b: {}}",
        trainer="trainer: {type: classification, layers: []}",
        preprocessing="preprocessing: {integer: {encoding: bins}, float: {transform: robust, encoding: {method: bins, num_bins: 5}}}",
    )
    assert [feature.encoding.name for feature in found.features] == ["auto", "bins", "auto", "auto", "linear"]
    assert found.features[1].encoding.num_bins == 5
    assert words(found.features[1])[1:] == ("robust",)


def test_slices_are_told_once() -> None:
    assert resolved(
        features="features: [i]", labels="labels: {y: {}}", evaluator="evaluator: [s, [s], [s, b], b, s]"
    ).slices == (
        ("s",),
        ("s", "b"),
        ("b",),
    )


def test_identity_of_a_feature_tells_words_parameters_and_kind() -> None:
    def identity(text):
        return resolved(features=f"features: {{i: {text}}}", labels="labels: {y: {}}").features[0].identity()

    plain = identity("{}")
    assert plain == identity("{filling: min, transform: scale_to_z_score, encoding: auto}")
    others = [
        "{filling: max}",
        "{transform: log}",
        "{encoding: periodic}",
        "{transform: {method: bucketize, num_buckets: 3}}",
        "{transform: bucketize}",
    ]
    assert len({str(identity(text)) for text in ["{}", *others]}) == 6
