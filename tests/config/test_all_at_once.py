"""All mistakes of a YAML in one round, whether the text or the table shows them; and what can never work, before it is run."""

from __future__ import annotations

import pytest
from terminal import Terminal, table_text
from test_checks import SCHEMA, checked, refused
from yamls import only_problem, yaml

from cengine.config.checks import check
from cengine.config.read import parse_config
from cengine.errors import ConfigError
from cengine.tables import Column, TableSchema

TEN = """\
features:
  tripduratoin: {}
  usertype: {transform: log}
  price: {filling: mux}
labels:
  birth_year: {loss: mse, metrics: [maee]}
split:
  ratio: {train: 0.9, eval: 0.2}
  where: ["birth_year > 3000", "usertype = 7"]
trainer:
  type: regression
  layers: [{type: {dense: 8}}]
  seed: 4294967296
evaluator: {slices: [[usertyp]]}
"""


def test_ten_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        check(parse_config(TEN, "c.yaml", partly=True), SCHEMA)
    assert [(str(p.location).removeprefix("c.yaml:"), p.message) for p in caught.value.problems] == [
        ("2:3", "there is no column 'tripduratoin' in the datasource"),
        ("3:25", "transform 'log' does not apply to column 'usertype' (string)"),
        ("4:20", "unknown filling 'mux'"),
        ("6:37", "unknown metric 'maee'"),
        ("8:10", "the shares add up to 1.1, expected 1"),
        ("9:11", "the filter is never true: no row would be left"),
        ("9:32", "the filter compares column 'usertype', which is text, with a number: 7"),
        ("12:19", "expected the name of a layer, found a mapping"),
        ("13:9", "'seed': the greatest seed is 4294967295, found 4294967296"),
        ("14:23", "there is no column 'usertyp' in the datasource"),
    ]


def test_where_the_trainer_cannot_be_read_its_task_is_not_guessed() -> None:
    file = parse_config(
        yaml(trainer="trainer: {type: regresion}", labels="labels: {usertype: {metrics: [auc]}}"), "c.yaml", partly=True
    )
    with pytest.raises(ConfigError) as caught:
        check(file, SCHEMA)
    assert [p.message for p in caught.value.problems] == ["unknown type 'regresion'"]


def test_a_block_that_is_missing_hides_nothing() -> None:
    with pytest.raises(ConfigError) as caught:
        check(
            parse_config(
                "features: {x: {}}\nlabels: {birth_year: {}}\ntrainer: {type: regression}\n", "c.yaml", partly=True
            ),
            SCHEMA,
        )
    assert [p.message for p in caught.value.problems] == [
        "the block 'split' is missing",
        "there is no column 'x' in the datasource",
    ]


@pytest.fixture(scope="module")
def typed(tmp_path_factory) -> Terminal:
    folder = tmp_path_factory.mktemp("once")
    return Terminal(folder / "project", folder)


def test_the_yaml_is_told_of_where_there_is_no_table(typed) -> None:
    answer = typed("pipeline", "validate", typed.write("c.yaml", TEN), code=3)
    assert "unknown metric 'maee'" in answer.err


def test_validate_and_push_tell_all(typed) -> None:
    typed("datasource", "create", "csv", "--name", "t", "--path", typed.write("t.csv", table_text()))
    text = yaml(features="features: {xx: {}, x: {}}", labels="labels: {y: {metrics: [maee]}}")
    for words in (("validate",), ("push",)):
        answer = typed("pipeline", *words, typed.write("c.yaml", text), *(["p"] if words == ("push",) else []), code=3)
        assert "there is no column 'xx' in the datasource" in answer.err
        assert "unknown metric 'maee'" in answer.err
        assert answer.err.count("error:") == 2


# The YAML alone


@pytest.mark.parametrize(("blocks", "place", "message"), [
    ({"trainer": "trainer: {type: regression, seed: 4294967296}"}, "4:35", "'seed': the greatest seed is 4294967295, found 4294967296"),
    ({"trainer": "trainer: {type: regression, train_steps: 10000000000000}"}, "4:42",
     "'train_steps': input should be less than or equal to 1000000000000, found 10000000000000"),
    ({"trainer": "trainer: {type: regression, optimizer: {type: sgd, learning_rate: -0.1}}"}, "4:40", "learning_rate must be positive"),
    ({"trainer": "trainer: {type: regression, optimizer: {type: sgd, learning_rate: {type: piecewise_constant_decay, boundaries: [20, 10], "
                 "values: [1, 0.1, 0.01]}}}"}, "4:67", "boundaries are steps in rising order, the first at least 1"),
    ({"trainer": "trainer: {type: regression, optimizer: {type: sgd, learning_rate: {type: piecewise_constant_decay, boundaries: [10], "
                 "values: [1, -0.1]}}}"}, "4:67", "a learning rate cannot be negative, found -0.1 among the values"),
    ({"split": "split: {categorize_by: a, categories: {train: [x, 1], eval: [y, '1']}}"}, "3:65", "group '1' is in split 'train' already (line 3)"),
    ({"split": "split: {ratio: {train: 0.8, eval: 0.1, Eval: 0.1}}"}, "3:40", "splits 'eval' and 'Eval' differ in case only"),
    ({"split": "split: {ratio: {train: 0.9, Train: 0.1}}"}, "3:29", "splits 'train' and 'Train' differ in case only"),
])  # fmt: skip
def test_what_the_text_alone_shows(blocks: dict[str, str], place: str, message: str) -> None:
    found = only_problem(**blocks)
    assert found[:2] == (place, message)


def test_the_greatest_seed_is_read() -> None:
    assert parse_config(yaml(trainer="trainer: {type: regression, seed: 4294967295}")).config.trainer.seed == 2**32 - 1


# The table's ranges


def activation(name: str, label: str = "birth_year: {}") -> dict[str, str]:
    return {"labels": f"labels: {{{label}}}", "trainer": f"trainer: {{type: regression, last_activation: {name}}}"}


@pytest.mark.parametrize(("name", "label", "message"), [
    ("sigmoid", "birth_year: {}", "last_activation 'sigmoid' gives numbers from 0 to 1, but label 'birth_year' lies from 1887 to 2002: none of it "
     "can be predicted"),
    ("tanh", "birth_year: {}", "last_activation 'tanh' gives numbers from -1 to 1, but label 'birth_year' lies from 1887 to 2002: none of it can be predicted"),
    ("relu6", "birth_year: {transform: log}", "last_activation 'relu6' gives numbers from 0 to 6, but label 'birth_year' after log lies from 7.54274 to "
                                              "7.6019: none of it can be predicted"),
    ("log_sigmoid", "birth_year: {}", "last_activation 'log_sigmoid' gives no number above 0, but label 'birth_year' lies from 1887 to 2002: none of it can "
                                      "be predicted"),
    ("relu", "below: {}", "last_activation 'relu' gives no number below 0, but label 'below' lies from -90 to -5: none of it can be predicted"),
])  # fmt: skip
def test_outputs_that_no_label_has(name: str, label: str, message: str) -> None:
    schema = TableSchema((*SCHEMA.columns, Column("below", "BIGINT", "integer", 0, -90, -5)), 1000)
    with pytest.raises(ConfigError) as caught:
        check(parse_config(yaml(**activation(name, label)), "c.yaml"), schema)
    (problem,) = caught.value.problems
    assert (str(problem.location), problem.message) == ("c.yaml:4:46", message)


@pytest.mark.parametrize(
    ("name", "label", "message"),
    [
        (
            "sigmoid",
            "birth_year: {transform: scale_to_z_score}",
            "last_activation 'sigmoid' gives numbers from 0 to 1, but label 'birth_year' after "
            "scale_to_z_score reaches at least from -1 to 1: a part of it cannot be predicted",
        ),
        (
            "relu",
            "price: {}",
            "last_activation 'relu' gives no number below 0, but label 'price' lies from -3.5 to 90: a part of it cannot be predicted",
        ),
        (
            "tanh",
            "price: {}",
            "last_activation 'tanh' gives numbers from -1 to 1, but label 'price' lies from -3.5 to 90: a part of it cannot be predicted",
        ),
    ],
)
def test_outputs_that_some_labels_have(name: str, label: str, message: str) -> None:
    _, warnings = checked(**activation(name, label))
    assert [(str(w.location), w.message) for w in warnings] == [("c.yaml:4:46", message)]


@pytest.mark.parametrize(("name", "label"), [
    ("relu", "birth_year: {}"), ("softplus", "birth_year: {}"), ("linear", "birth_year: {}"), ("leaky_relu", "price: {}"), ("sigmoid", "member: {}"),
    ("sigmoid", "birth_year: {transform: scale_to_0_1}"), ("tanh", "price: {transform: {method: scale_by_min_max, parameters: {min: -1, max: 1}}}"),
    ("tanh", "price: {transform: scale_to_z_score}"), ("elu", "birth_year: {}"), ("elu", "price: {}"),
])  # fmt: skip
def test_outputs_that_reach_the_label(name: str, label: str) -> None:
    assert [w.message for w in checked(**activation(name, label))[1]] == []


def test_a_filter_brings_a_label_within_reach() -> None:
    blocks = activation("relu", "price: {}") | {
        "split": "split: {ratio: {train: 0.9, eval: 0.1}, where: [price > 0.001]}"
    }
    assert checked(**blocks)[1] == ()


@pytest.mark.parametrize(
    ("label", "trainer", "found"),
    [
        (
            "member: {metrics: [auc, top_k]}",
            "type: classification",
            [("2:34", "metric 'top_k' does not fit label 'member', which has two classes")],
        ),
        (
            "usertype: {loss: sparse_categorical_crossentropy, metrics: [auc]}",
            "type: classification",
            [("2:70", "metric 'auc' does not fit label 'usertype', which has classes")],
        ),
        (
            "birth_year: {metrics: [accuracy]}",
            "type: regression",
            [("2:33", "metric 'accuracy' does not fit type 'regression'")],
        ),
    ],
)
def test_metrics_that_do_not_fit_their_label(label: str, trainer: str, found: list[tuple[str, str]]) -> None:
    assert refused(labels=f"labels: {{{label}}}", trainer=f"trainer: {{{trainer}}}") == found


def test_a_metric_of_the_evaluator_that_fits_no_label() -> None:
    assert refused(evaluator="evaluator: {usertype: {}, metrics: [rmse, auc]}") == [
        ("5:43", "metric 'auc' fits no label")
    ]
    assert checked(
        labels="labels: {usertype: {}}",
        trainer="trainer: {type: classification}",
        evaluator="evaluator: {metrics: [auc, top_k]}",
    )


def test_splits_of_a_few_rows() -> None:
    _, warnings = checked(split="split: {ratio: {train: 0.994, eval: 0.006}}")
    assert [(str(w.location), w.message) for w in warnings] == [
        ("c.yaml:3:31", "split 'eval' gets about 6 of 1,000 rows: too few to tell how good a model is")
    ]
    assert checked(split="split: {ratio: {train: 0.99, eval: 0.01}}")[1] == ()
