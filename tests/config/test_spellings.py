"""Every spelling that config.md allows, and that all of them mean the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from yamls import read

from cengine.config.read import load_config, parse_config
from cengine.networks.layers import LAYERS, Dense
from cengine.networks.optimizers import SGD, Adam, CosineDecay
from cengine.transforms import FILLINGS, TRANSFORMS

POST = Path(__file__).parents[3] / "shared" / "post" / "citibike.yaml"
Z, LOG = TRANSFORMS["scale_to_z_score"](), TRANSFORMS["log"]()


@pytest.mark.real_data
@pytest.mark.skipif(not POST.exists(), reason="the post's YAML is not beside the project")
def test_the_posts_yaml_reads_as_it_stands() -> None:
    config = load_config(POST).config
    assert list(config.features) == ["end_station_id", "gender", "start_station_id", "tripduration", "usertype"]
    assert config.labels["birth_year"].loss.name == "mse"
    assert [metric.name for metric in config.labels["birth_year"].metrics] == ["mae"]
    assert config.split.categorize.by == "start_station_name"
    assert config.split.index.ratio == {"eval": 0.1, "train": 0.9}
    assert config.split.names == ("train", "eval")
    assert config.split.where == ("birth_year > 1900",)
    assert [layer.units for layer in config.trainer.layers] == [64, 32]
    assert (config.trainer.train_steps, config.trainer.train_batch_size, config.trainer.eval_batch_size) == (
        230_000,
        256,
        256,
    )
    assert config.trainer.optimizer == Adam()
    assert config.evaluator.slices == (("birth_year",), ("gender",), ("start_station_name",))
    assert set(config.preprocessing) == {"boolean", "float", "integer", "string"}
    assert config.preprocessing["string"].filling == FILLINGS["custom"](custom_value="")


@pytest.mark.parametrize("text", ["{a: {}, b: {}}", "{a: , b: null}", "[a, b]", "{a: {}, 'b': {}}"])
def test_features(text) -> None:
    config = read(features=f"features: {text}")
    assert list(config.features) == ["a", "b"]
    assert config.features["a"] == config.features["b"]
    assert config.features["a"].filling is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("log", (LOG,)),
        ("{method: log}", (LOG,)),
        ("{method: log, parameters: {}}", (LOG,)),
        ("{method: log, parameters: }", (LOG,)),
        ("[log, scale_to_z_score]", (LOG, Z)),
        ("[{method: log}, scale_to_z_score]", (LOG, Z)),
        ("{method: bucketize, parameters: {num_buckets: 7}}", (TRANSFORMS["bucketize"](num_buckets=7),)),
        ("{method: bucketize, num_buckets: 7}", (TRANSFORMS["bucketize"](num_buckets=7),)),
        ("{type: bucketize, num_buckets: 7}", (TRANSFORMS["bucketize"](num_buckets=7),)),
    ],
)
def test_transforms(text, words) -> None:
    assert read(features=f"features: {{a: {{transform: {text}}}}}").features["a"].transform == words


@pytest.mark.parametrize("value", ["''", "x", "3", "2.5", "true"])
def test_custom_values_keep_their_type(value) -> None:
    expected = {"''": "", "x": "x", "3": 3, "2.5": 2.5, "true": True}[value]
    found = (
        read(features=f"features: {{a: {{filling: {{method: custom, parameters: {{custom_value: {value}}}}}}}}}")
        .features["a"]
        .filling
    )
    assert found.custom_value == expected
    assert type(found.custom_value) is type(expected)


@pytest.mark.parametrize(
    ("flat", "nested"),
    [
        (
            "{categorize_by: g, index_ratio: {train: 0.9, eval: 0.1}}",
            "{categorize: {by: g}, index: {ratio: {train: 0.9, eval: 0.1}}}",
        ),
        (
            "{categorize_by: g, category_ratio: {train: 0.9, eval: 0.1}}",
            "{categorize: {by: g, ratio: {train: 0.9, eval: 0.1}}}",
        ),
        (
            "{categorize_by: g, categories: {train: [1], eval: [x]}}",
            "{categorize: {by: g, categories: {train: [1], eval: [x]}}}",
        ),
        ("{categorize_by: g, category_folds: 4}", "{categorize: {by: g, folds: 4}}"),
        ("{categorize_by: g, folds: 4}", "{categorize: {by: g}, folds: 4, seed: 0}"),
        ("{index_by: t, index_ratio: {train: 0.9, eval: 0.1}}", "{index: {by: t, ratio: {train: 0.9, eval: 0.1}}}"),
        ("{index_by: t, index: {ratio: {train: 0.9, eval: 0.1}}}", "{index: {by: t, ratio: {train: 0.9, eval: 0.1}}}"),
        ("{ratio: {train: 0.9, eval: 0.1}, where: x > 1}", "{ratio: {train: 0.9, eval: 0.1}, where: [x > 1], seed: 0}"),
    ],
)
def test_flat_and_nested_splits_are_the_same(flat, nested) -> None:
    assert read(split=f"split: {flat}").split == read(split=f"split: {nested}").split


def test_train_is_first_and_others_keep_their_order() -> None:
    assert read(split="split: {ratio: {z: 0.1, train: 0.5, a: 0.4}}").split.names == ("train", "z", "a")


def test_shares_are_exact() -> None:
    shares = read(split="split: {ratio: {train: 0.9, eval: 0.1}}").split.shares
    assert (shares["train"].numerator, shares["train"].denominator) == (9, 10)
    assert sum(read(split="split: {ratio: {train: 0.7, a: 0.1, b: 0.1, c: 0.1}}").split.shares.values()) == 1


@pytest.mark.parametrize(
    ("text", "slices"),
    [
        ("{a: {}, b: {}}", (("a",), ("b",))),
        ("[a, [a, b]]", (("a",), ("a", "b"))),
        ("{slices: [[a], [a, b]]}", (("a",), ("a", "b"))),
        ("{slices: [a, [a, b]], c: {}}", (("a",), ("a", "b"), ("c",))),
        ("{a: }", (("a",),)),
        ("", ()),
        ("{}", ()),
    ],
)
def test_slices(text, slices) -> None:
    assert read(evaluator=f"evaluator: {text}").evaluator.slices == slices


@pytest.mark.parametrize("text", ["mae", "[mae]", "mean_absolute_error", "{type: mae}", "[{type: mae}]"])
def test_metrics(text) -> None:
    (metric,) = read(evaluator=f"evaluator: {{metrics: {text}}}").evaluator.metrics
    assert metric.name == "mae"
    (metric,) = read(labels=f"labels: {{y: {{metrics: {text}}}}}").labels["y"].metrics
    assert metric.name == "mae"


@pytest.mark.parametrize("text", ["mse", "mean_squared_error", "{type: mse}", "{method: mse}"])
def test_losses(text) -> None:
    assert read(labels=f"labels: {{y: {{loss: {text}}}}}").labels["y"].loss.name == "mse"


@pytest.mark.parametrize(
    ("text", "optimizer"),
    [
        ("adam", Adam()),
        ("{type: adam, learning_rate: 1e-2}", Adam(learning_rate=0.01)),
        ("{type: sgd, momentum: 0.9, nesterov: true}", SGD(momentum=0.9, nesterov=True)),
        ("{type: sgd, learning_rate: {type: cosine_decay, alpha: 0.1}}", SGD(learning_rate=CosineDecay(alpha=0.1))),
        ("{type: sgd, learning_rate: cosine_decay}", None),
    ],
)
def test_optimizers(text, optimizer) -> None:
    found = read(trainer=f"trainer: {{type: regression, optimizer: {text}}}").trainer.optimizer
    assert found == (optimizer or SGD(learning_rate=CosineDecay()))


@pytest.mark.parametrize(
    ("text", "patience"), [("true", 3), ("5", 5), ("{patience: 5}", 5), ("{}", 3), ("false", None), ("null", None)]
)
def test_early_stopping(text, patience) -> None:
    found = read(trainer=f"trainer: {{type: regression, early_stopping: {text}}}").trainer.early_stopping
    assert (found.patience if found else None) == patience


def test_a_layer_alone_and_its_nested_parameters() -> None:
    text = "{type: dense, units: 4, activation: tanh, kernel_regularizer: {l2: 1e-4}}"
    (layer,) = read(trainer=f"trainer: {{type: regression, layers: {text}}}").trainer.layers
    assert layer == Dense(units=4, activation="tanh", kernel_regularizer={"l2": 0.0001})


def test_layers_within_layers_and_another_name() -> None:
    text = "[{type: bidirectional, layer: {type: gru, units: 4}}, {type: average_pooling, pool_size: 2}]"
    wrapped, pooling = read(trainer=f"trainer: {{type: regression, layers: {text}}}").trainer.layers
    assert wrapped == LAYERS["bidirectional"](layer=LAYERS["gru"](units=4))
    assert pooling == LAYERS["average_pooling1d"](pool_size=2)


def test_preprocessing_and_default_are_one_block() -> None:
    rest = "{integer: {filling: median, transform: [log, scale_to_z_score]}, timestamp: {transform: epoch_seconds}}"
    one, other = (read(preprocessing=f"{name}: {rest}").preprocessing for name in ("default", "preprocessing"))
    assert one == other
    assert one["integer"].transform == (LOG, Z)


def test_the_default_numbers_of_a_trainer() -> None:
    trainer = read().trainer
    assert (trainer.architecture, trainer.train_batch_size, trainer.train_steps, trainer.epochs, trainer.seed) == (
        "feedforward",
        None,
        None,
        None,
        0,
    )
    trainer = read(trainer="trainer: {type: regression, epochs: 1}").trainer
    assert (trainer.train_batch_size, trainer.optimizer.name, trainer.early_stopping) == (256, "adam", None)


def test_readme_style_yaml_with_aliases() -> None:
    text = """
default: &scaled
  integer: {transform: log}
features: {a: {}}
labels: {y: {}}
split: {ratio: &shares {train: 0.5, eval: 0.5}}
trainer: {type: regression}
"""
    assert parse_config(text).config.preprocessing["integer"].transform == (LOG,)
