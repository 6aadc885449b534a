"""What an autoencoder's YAML may say: which layer has the code, and one message for each thing that does not fit."""

from __future__ import annotations

import pytest
from yamls import problems

from cengine.config.checks import check
from cengine.config.read import parse_config
from cengine.config.resolve import resolve
from cengine.errors import ConfigError
from cengine.tables import Column, TableSchema

SCHEMA = TableSchema(
    (
        Column("age", "BIGINT", "integer", 0, 17, 90),
        Column("job", "VARCHAR", "string", 0),
        Column("fraud", "BIGINT", "integer", 0, 0, 1),
        Column("known", "BOOLEAN", "boolean", 0),
    ),
    1000,
)
TEXT = """\
features: {age: {}, job: {}}
split: {ratio: {train: 0.8, eval: 0.2}}
trainer: {type: autoencoder}
evaluator: {anomaly: {column: fraud, positive: 1}}
"""


@pytest.mark.parametrize(
    ("layers", "place", "activation"),
    [
        ("[{type: dense, units: 32}, {type: dense, units: 3}, {type: dense, units: 16}]", 1, "linear"),
        ("[{type: dense, units: 32}, {type: dense, units: 3, activation: relu}]", 1, "relu"),
        ("[{type: dense, units: 9, name: code}, {type: dense, units: 3}]", 0, "linear"),
        ("[{type: dense, units: 9, name: code, activation: relu}, {type: dense, units: 3}]", 0, "relu"),
        ("[{type: dropout, rate: 0.1}, {type: dense, units: 3}]", 1, "linear"),
    ],
)
def test_the_code_is_the_layer_of_that_name_or_the_narrowest(layers, place, activation) -> None:
    text = TEXT.replace("type: autoencoder", f"type: autoencoder, layers: {layers}")
    config = parse_config(text).config
    found = resolve(config, SCHEMA).trainer
    assert [getattr(layer, "called", None) for layer in found.layers].index("code") == place
    assert found.layers[place].activation == activation
    again = parse_config(config.to_nested()).config
    assert again == config
    assert resolve(again, SCHEMA).trainer.layers[place].activation == activation


@pytest.mark.parametrize(("num_features", "code"), [(1, 1), (2, 1), (5, 2), (15, 7), (16, 8), (400, 8)])
def test_without_layers_the_code_has_half_as_many_numbers_as_there_are_columns(num_features, code) -> None:
    trainer = parse_config(TEXT).config.trainer.beside(num_features)
    assert [layer.units for layer in trainer.layers] == [64, code, 64]
    assert [layer.activation for layer in trainer.layers] == ["tanh", "linear", "relu"]


def test_a_layer_without_a_name_is_told_as_before() -> None:
    text = "features: {age: {}}\nlabels: {fraud: {}}\nsplit: {ratio: {train: .8, eval: .2}}\ntrainer: {type: regression, layers: [{type: dense, units: 3}]}\n"
    (layer,) = parse_config(text).config.trainer.layers
    assert "name" not in layer.identity()
    assert "called" not in layer.identity()
    assert layer.parameters() == {"units": 3}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("split:", "labels: {fraud: {}}\nsplit:", "an autoencoder has no labels"),
        ("autoencoder}", "autoencoder, architecture: boosted_trees}", "predicts labels; an autoencoder has"),
        ("autoencoder}", "autoencoder, ensemble: 4}", "`ensemble` is for labels"),
        ("autoencoder}", "autoencoder, last_activation: relu}", "`last_activation` is for labels"),
        ("autoencoder}", "autoencoder, layers: [{type: dropout, rate: .1}]}", "needs a dense layer"),
        ("autoencoder}", "autoencoder, layers: [{type: dense, units: 3, name: kode}]}", "input should be 'code'"),
        (
            "autoencoder}",
            "autoencoder, layers: [{type: dense, units: 3, name: code}, {type: dense, units: 2, name: code}]}",
            "two layers have the name 'code'",
        ),
        ("positive: 1}", "positive: 1}, threshold: 99", "should be less than 1"),
        ("{column: fraud, positive: 1}", "fraud", "the column that tells odd rows"),
        ("column: fraud, ", "", "'column' is missing"),
    ],
)
def test_what_cannot_be_read_is_one_message(old, new, message) -> None:
    assert old in TEXT
    (found,) = problems(TEXT.replace(old, new))
    assert message in found[1]


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("job: {}", "job: {}, fraud: {}", "fraud: {}}", "'fraud' tells which rows are odd and is a feature too"),
        ("column: fraud", "column: frau", "frau,", "there is no column 'frau'"),
        ("positive: 1", "positive: yes please", "yes please", "no cell of column 'fraud' can be 'yes please'"),
        ("positive: 1", "positive: 2", "2}", "they lie between 0 and 1"),
        ("fraud, positive: 1", "known, positive: 7", "7}", "no cell of column 'known' can be 7"),
        ("positive: 1}", "positive: 1}, metrics: [mae]", "mae]", "metric 'mae' is for labels"),
        ("anomaly: {column: fraud, positive: 1}", "metrics: [auc]", "auc]", "needs to know which rows are odd"),
        ("positive: 1}", "positive: 1}, yardstick: trees", "trees}", "the yardstick of an autoencoder is PCA"),
    ],
)
def test_what_does_not_fit_the_table_is_one_message_at_its_place(old, new, place, message) -> None:
    assert old in TEXT
    text = TEXT.replace(old, new)
    with pytest.raises(ConfigError) as caught:
        check(parse_config(text, "c.yaml"), SCHEMA)
    (problem,) = caught.value.problems
    assert message in problem.message
    line = text.splitlines()[problem.location.line - 1]
    assert line[problem.location.column - 1 :].startswith(place)


def test_labels_have_no_anomaly_and_no_threshold() -> None:
    text = TEXT.replace("autoencoder", "classification").replace("split:", "labels: {known: {}}\nsplit:")
    text = text.replace("positive: 1}", "positive: 1}, threshold: .9")
    with pytest.raises(ConfigError) as caught:
        check(parse_config(text), SCHEMA)
    assert [problem.message.split(" is for")[0] for problem in caught.value.problems] == [
        "evaluator.anomaly",
        "evaluator.threshold",
    ]


def test_a_column_may_be_called_like_the_new_keys() -> None:
    text = TEXT.replace("anomaly: {column: fraud, positive: 1}", "anomaly: {}, threshold: {}")
    assert parse_config(text).config.evaluator.slices == (("anomaly",), ("threshold",))
