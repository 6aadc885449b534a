"""Everything that can be wrong in a YAML is told at once, with its place, what was expected, and a near miss."""

from __future__ import annotations

import pytest
from yamls import only_problem, problems, yaml

from cengine.config.read import load_config, parse_config
from cengine.errors import ConfigError, near_miss

MANY = """\
features:
  age: {filling: mux}
  city: {transform: [log, {method: bucketize, parameters: {num_buckets: 1}}]}
labels:
  birth_year:
    loss: msee
    metrics: [mae, acuracy]
split:
  index_ratio: {trian: 0.9, eval: 0.2}
  shuffle: true
trainer:
  type: regresion
  layers:
    - {type: dense}
    - {type: dropout, rate: 1.5}
  optimizer: {type: adam, lr: 0.1}
  train_steps: many
timeseries: {}
"""


def test_everything_at_once_in_the_order_of_the_file() -> None:
    found = [(place, message) for place, message, _ in problems(MANY)]
    assert found == [
        ("2:18", "unknown filling 'mux'"),
        ("3:73", "'num_buckets' of transform 'bucketize': input should be greater than or equal to 2, found 1"),
        ("6:11", "unknown loss 'msee'"),
        ("7:20", "unknown metric 'acuracy'"),
        ("9:16", "there is no split 'train'"),
        ("9:16", "the shares add up to 1.1, expected 1"),
        ("10:3", "unknown key 'shuffle'"),
        ("12:9", "unknown type 'regresion'"),
        ("14:7", "'units' of layer 'dense' is missing"),
        ("15:29", "'rate' of layer 'dropout': input should be less than 1, found 1.5"),
        ("16:27", "unknown key 'lr' of optimizer 'adam'"),
        ("17:16", "'train_steps': input should be a valid integer, unable to parse string as an integer, found 'many'"),
        ("18:13", "'process_sequence_w_timestamp' is missing"),
        ("18:13", "'sequence_length' is missing"),
    ]


def test_a_whole_message(tmp_path) -> None:
    path = tmp_path / "citibike.yaml"
    path.write_text(yaml(labels="labels:\n  birth_year:\n    loss: msee"))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.exit_code == 3
    assert str(caught.value) == (
        "error: unknown loss 'msee'\n"
        f"  --> {path}:4:11\n"
        "   |\n"
        "4  |     loss: msee\n"
        "   |           ^^^^\n"
        "   = known losses: binary_crossentropy, binary_focal_crossentropy, categorical_crossentropy, huber, log_cosh, mae, mape, mse, msle,"
        " poisson, quantile, sparse_categorical_crossentropy\n"
        "   = did you mean 'mse'?"
    )


def test_two_messages_stand_apart() -> None:
    text = yaml(features="features: {a: {loss: mse}}", version="version: 2")
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "c.yaml")
    assert caught.value.render() == (
        "error: unknown key 'loss'\n"
        "  --> c.yaml:1:16\n"
        "   |\n"
        "1  | features: {a: {loss: mse}}\n"
        "   |                ^^^^\n"
        "   = known keys: filling, missing_indicator, transform, resampling, encoding\n"
        "\n"
        "error: version 2 is not known\n"
        "  --> c.yaml:5:10\n"
        "   |\n"
        "5  | version: 2\n"
        "   |          ^\n"
        "   = this cengine reads version 1"
    )


def test_missing_blocks() -> None:
    assert [message for _, message, _ in problems("version: 1\n")] == [
        f"the block '{name}' is missing" for name in ("features", "labels", "split", "trainer")
    ]


LATER = [
    ("custom_code", {"custom_code": "custom_code: {}"}, "your own code (block `custom_code`)"),
    ("own", {"features": "features: {a: {transform: my.module:function}}"}, "your own code (custom_code)"),
    ("own layer", {"trainer": "trainer: {type: regression, layers: [{type: 'm:f'}]}"}, "your own code (custom_code)"),
]


@pytest.mark.parametrize(("blocks", "what"), [case[1:] for case in LATER], ids=[case[0] for case in LATER])
def test_what_comes_later_is_named(blocks, what) -> None:
    _, message, _ = only_problem(**blocks)
    assert message == f"not yet supported: {what}"


LAYERS = [
    ("{type: lstm, units: 4, stateful: true}", "4:71",
     "'stateful' of layer 'lstm': must be false, since batches are shuffled and none goes on where another ended, found True"),
    ("{type: gru, units: 4, unroll: true}", "4:60", "unknown key 'unroll' of layer 'gru'"),
    ("{type: bidirectional, layer: {type: dense, units: 3}}", "4:74", "unknown layer 'dense'"),
    ("{type: bidirectional, layer: 5}", "4:67", "expected the name of a layer, found 5"),
    ("{type: time_distributed, layer: {type: dense}}", "4:70", "'units' of layer 'dense' is missing"),
    ("{type: conv1d, filters: 3, kernel_size: 2, strides: 2, dilation_rate: 2}", "4:38", "strides and dilation_rate cannot both be above 1"),
    ("{type: permute, dims: [1, 3]}", "4:60", "'dims' of layer 'permute': expected [2, 1], or [1, 2] which changes nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "message"), LAYERS)
def test_layers_of_sequences(text, place, message) -> None:
    found = problems(yaml(trainer=f"trainer: {{type: regression, layers: [{text}]}}"))
    assert [(where, told) for where, told, _ in found] == [(place, message)]


FEATURES = [
    ("3", "1:11", "'features' must be columns, each with {} or overrides, found 3"),
    ("", "1:1", "'features' must be columns, each with {} or overrides, found nothing"),
    ("{}", "1:11", "'features' names no column"),
    ("[]", "1:11", "'features' names no column"),
    ("[a, [b]]", "1:15", "expected the name of a column"),
    ("{a: 3}", "1:15", "column 'a' must be a mapping: {} or overrides, found 3"),
    ("{a: {filling: 3}}", "1:25", "expected the name of a filling, found 3"),
    ("{a: {filling: [min, max]}}", "1:25", "expected the name of a filling, found a list"),
    ("{a: {filling: {value: 3}}}", "1:25", "a filling needs its name: {method: ...}"),
    ("{a: {filling: {method: custom}}}", "1:25", "'custom_value' of filling 'custom' is missing"),
    ("{a: {filling: {method: min, parameters: 3}}}", "1:51", "'parameters' must be a mapping, found 3"),
    ("{a: {filling: {method: custom, custom_value: 1, parameters: {}}}}", "1:42", "'custom_value' must stand under 'parameters'"),
    ("{a: {transform: {method: scale_by_min_max, min: 2, max: 1}}}", "1:27", "min (2.0) must be less than max (1.0)"),
    ("{a: {transform: {method: scale_by_min_max, min: .nan}}}", "1:59",
     "'min' of transform 'scale_by_min_max': input should be a finite number, found nan"),
    ("{a: {transform: {method: calendar, parts: []}}}", "1:53",
     "'parts' of transform 'calendar': list should have at least 1 item after validation, not 0"),
    ("{a: {transform: {method: calendar, parts: [yeer]}}}", "1:54",
     "'parts' of transform 'calendar': input should be 'year', 'month', 'day', 'day_of_week', 'hour' or 'minute', found 'yeer'"),
    ("{a: {transform: {method: calendar, zone: Europe/Berln}}}", "1:52",
     "'zone' of transform 'calendar': there is no such time zone, found 'Europe/Berln'"),
    ("{a: {transform: {method: calendar, zone: 1}}}", "1:52", "'zone' of transform 'calendar': input should be a valid string, found 1"),
    ("{a: {encoding: embeding}}", "1:26", "unknown encoding 'embeding'"),
    ("{a: {encoding: {method: embedding, dim: 0}}}", "1:51", "'dim' of encoding 'embedding': input should be greater than or equal to 1, found 0"),
    ("{a: {resampling: summ}}", "1:28", "unknown resampling 'summ'"),
    ("{a: {resampling: [sum, min]}}", "1:28", "one resampling makes the value of a period, found 2"),
    ("{a: {filling: forwards}}", "1:25", "unknown filling 'forwards'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "message"), FEATURES)
def test_columns(text, place, message) -> None:
    assert only_problem(features=f"features: {text}")[:2] == (place, message)


SPLITS = [
    ("", "3:1", "'split' must be how rows are divided, found nothing"),
    ("random", "3:8", "'split' must be how rows are divided, found 'random'"),
    ("{}", "3:8", "the split does not say how rows are divided"),
    ("{categorize_by: g}", "3:8", "the split does not say how rows are divided"),
    ("{ratio: {train: 0.9, eval: 0.2}}", "3:16", "the shares add up to 1.1, expected 1"),
    ("{ratio: {train: 0.9, eval: 0.0999}}", "3:16", "the shares add up to 0.9999, expected 1"),
    ("{ratio: {train: 0.9, eval: x}}", "3:35", "the share of 'eval' must be a number, found 'x'"),
    ("{ratio: {train: 0.9, eval: true}}", "3:35", "the share of 'eval' must be a number, found True"),
    ("{ratio: {train: 0, eval: 1}}", "3:24", "the share of 'train' must lie between 0 and 1, found 0"),
    ("{ratio: {train: 1.5, eval: -0.5}}", "3:24", "the share of 'train' must lie between 0 and 1, found 1.5"),
    ("{ratio: {train: .nan, eval: 0.1}}", "3:24", "the share of 'train' must lie between 0 and 1, found nan"),
    ("{ratio: 0.9}", "3:16", "expected a mapping from split to share, such as {train: 0.9, eval: 0.1}"),
    ("{ratio: {trian: 0.9, eval: 0.1}}", "3:16", "there is no split 'train'"),
    ("{ratio: {train: 0.5, e-val: 0.5}}", "3:29", "the name of split 'e-val' may only hold letters, digits and _"),
    ("{ratio: {train: 0.5, eval: 0.5}, index_ratio: {train: 0.5, eval: 0.5}}", "3:54",
     "rows are divided by ratio already, and here by index ratio; keep one of the two"),
    ("{folds: 1}", "3:16", "expected the number of folds, 2 to 20, not 1"),
    ("{folds: 500}", "3:16", "expected the number of folds, 2 to 20, not 500"),
    ("{folds: true}", "3:16", "expected the number of folds, 2 to 20, not True"),
    ("{folds: 2.5}", "3:16", "expected the number of folds, 2 to 20, not 2.5"),
    ("{folds: {train: 1, eval: 0}}", "3:16", "expected the number of folds, 2 to 20, not a mapping or a list"),
    ("{folds: 5, ratio: {train: 0.5, eval: 0.5}}", "3:16", "rows are divided by ratio already, and here by folds; keep one of the two"),
    ("{folds: 5, index_by: t}", "3:29",
     "folds have no order: with `index_by` models would learn from rows that come after those they are measured on"),
    ("{category_folds: 5}", "3:25", "category folds needs the column that makes the groups"),
    ("{category_ratio: {train: 0.5, eval: 0.5}}", "3:25", "category ratio needs the column that makes the groups"),
    ("{categories: {train: [a], eval: [b]}}", "3:21", "categories needs the column that makes the groups"),
    ("{categorize_by: g, categories: {train: [a]}}", "3:39", "a split besides 'train' is needed to evaluate on"),
    ("{categorize_by: g, categories: {train: a, eval: [b]}}", "3:47", "'categories': input should be a list, found 'a'"),
    ("{categorize_by: g, categorize: {by: h}, ratio: {train: 0.5, eval: 0.5}}", "3:9",
     "'categorize_by' says the same as 'categorize: {by: ...}'; keep one of the two"),
    ("{ratio: {train: 0.5, eval: 0.5}, index: {by: t, ratoi: 3}}", "3:56", "unknown key 'ratoi'"),
    ("{ratio: {train: 0.5, eval: 0.5}, where: [3]}", "3:49", "'where': input should be a valid string, found 3"),
    ("{ratio: {train: 0.5, eval: 0.5}, where: }", "3:41", "'where': input should be a list"),
    ("{ratio: {train: 0.5, eval: 0.5}, seed: -1}", "3:47", "'seed': input should be greater than or equal to 0, found -1"),
    ("{ratio: {train: 0.5, eval: 0.5}, seed: 1.5}", "3:47",
     "'seed': input should be a valid integer, got a number with a fractional part, found 1.5"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "message"), SPLITS)
def test_splits(text, place, message) -> None:
    assert only_problem(split=f"split: {text}")[:2] == (place, message)


TRAINERS = [
    ("", "4:1", "'trainer' must be the network and how it is trained, found nothing"),
    ("{}", "4:10", "'type' is missing"),
    ("{type: regresion}", "4:17", "unknown type 'regresion'"),
    ("{type: regression, architecture: feedforwad}", "4:43", "unknown architecture 'feedforwad'"),
    ("{type: regression, layers: dense}", "4:37", "'units' of layer 'dense' is missing"),
    ("{type: regression, layers: [{dense: 8}]}", "4:38", "a layer needs its name: {type: ...}"),
    ("{type: regression, layers: [{type: dense, units: 8, unit: 3}]}", "4:62", "unknown key 'unit' of layer 'dense'"),
    ("{type: regression, layers: [{type: dense, units: 8, kernel_regularizer: {l3: 1}}]}", "4:83", "unknown key 'l3' of layer 'dense'"),
    ("{type: regression, layers: [{type: dense, units: 0}]}", "4:59", "'units' of layer 'dense': input should be greater than or equal to 1, found 0"),
    ("{type: regression, optimizer: adm}", "4:40", "unknown optimizer 'adm'"),
    ("{type: regression, optimizer: {type: adam, learning_rate: -1}}", "4:40", "learning_rate must be positive"),
    ("{type: regression, optimizer: {type: adam, learning_rate: {type: cosine_deca}}}", "4:75", "unknown learning rate schedule 'cosine_deca'"),
    ("{type: regression, optimizer: {type: adam, learning_rate: fast}}", "4:68", "unknown learning rate schedule 'fast'"),
    ("{type: regression, optimizer: {type: sgd, learning_rate: {type: piecewise_constant_decay, boundaries: [1], values: [1.0]}}}", "4:125",
     "'values' of learning rate schedule 'piecewise_constant_decay': list should have at least 2 items after validation, not 1"),
    ("{type: regression, epochs: 3, train_steps: 4}", "4:10", "give train_steps or epochs, not both"),
    ("{type: regression, train_steps: 0}", "4:42", "'train_steps': input should be greater than or equal to 1, found 0"),
    ("{type: regression, learning_rate: 0.1}", "4:29", "unknown key 'learning_rate'"),
    ("{type: regression, early_stopping: {patiece: 3}}", "4:46", "unknown key 'patiece' of 'early_stopping'"),
    ("{type: regression, early_stopping: 0}", "4:45", "'early_stopping': input should be greater than or equal to 1, found 0"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "message"), TRAINERS)
def test_trainers(text, place, message) -> None:
    assert only_problem(trainer=f"trainer: {text}")[:2] == (place, message)


OTHERS = [
    ("evaluator: {a: {b: c}}", "5:16", "slice 'a' takes no settings: write `a: {}`"),
    ("evaluator: 3", "5:12", "'evaluator' must be a mapping of columns"),
    ("evaluator: {slices: [[a, 3]]}", "5:26", "'slices': input should be a valid string, found 3"),
    ("evaluator: {metrics: [maee]}", "5:23", "unknown metric 'maee'"),
    ("default: {flot: {}}", "5:11", "unknown kind of column 'flot'"),
    ("default: {float: {loss: mse}}", "5:19", "unknown key 'loss'"),
    ("preprocessing: []", "5:16", "'preprocessing' must be kinds of columns, found a list"),
    (
        "default: {}\npreprocessing: {}",
        "6:1",
        "'preprocessing' is another name of the block on line 5; keep one of the two",
    ),
    ("evaluater: {}", "5:1", "unknown block 'evaluater'"),
    ("version: '1'", "5:10", "version '1' is not known"),
    ("version: true", "5:10", "version True is not known"),
]


@pytest.mark.parametrize(("text", "place", "message"), OTHERS)
def test_other_blocks(text, place, message) -> None:
    assert only_problem(other=text)[:2] == (place, message)


@pytest.mark.parametrize(
    ("blocks", "note"),
    [
        ({"trainer": "trainer: {type: regresion}"}, "did you mean 'regression'?"),
        ({"trainer": "trainer: {type: regression, last_activation: linar}"}, "did you mean 'linear'?"),
        ({"trainer": "trainer: {type: regression, train_step: 3}"}, "did you mean 'train_steps'?"),
        ({"trainer": "trainer: {type: regression, early_stopping: {patiece: 3}}"}, "did you mean 'patience'?"),
        ({"split": "split: {ratio: {trian: 0.9, eval: 0.1}}"}, "is 'trian' meant to be 'train'?"),
        ({"features": "features: {a: {transform: scale_to_zscore}}"}, "did you mean 'scale_to_z_score'?"),
        ({"features": "features: {a: {transform: {method: log, base: 2}}}"}, "it takes no parameters"),
        ({"features": "features: {a: {filing: min}}"}, "did you mean 'filling'?"),
        ({"labels": "labels: {a: {loss: MSE}}"}, "did you mean 'mse'?"),
        ({"labels": "labels: {a: {metrics: [mean_absolut_error]}}"}, "did you mean 'mean_absolute_error'?"),
        ({"other": "evaluater: {}"}, "did you mean 'evaluator'?"),
    ],
)
def test_near_misses(blocks, note) -> None:
    assert only_problem(**blocks)[2][-1] == note


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [("xyz", ["mse"], ()), ("", ["mse"], ()), ("eams", ["same", "mean"], ("did you mean 'same'?",))],
)
def test_near_miss_says_nothing_where_nothing_is_near(word, known, expected) -> None:
    assert near_miss(word, known) == expected
