"""A configuration against a table: what does not fit is an error with its place, what looks like a mistake a warning."""

from __future__ import annotations

import pytest
from yamls import yaml

from cengine.config.checks import check
from cengine.config.read import parse_config
from cengine.engines.duckdb import DuckDB
from cengine.errors import ConfigError
from cengine.tables import Column, TableSchema

SCHEMA = TableSchema(
    (
        Column("tripduration", "BIGINT", "integer", 0, 60, 9_000_000),
        Column("start_station_id", "BIGINT", "integer", 0, 3183, 3792),
        Column("start_station_name", "VARCHAR", "string", 3),
        Column("usertype", "VARCHAR", "string", 0),
        Column("member", "BOOLEAN", "boolean", 0),
        Column("price", "DOUBLE", "float", 10, -3.5, 90.0),
        Column("starttime", "TIMESTAMP", "timestamp", 0),
        Column("birth_year", "BIGINT", "integer", 40, 1887, 2002),
        Column("always", "INTEGER", "integer", 0, 7, 7),
        Column("empty", "INTEGER", "integer", 1000),
        Column("tags", "VARCHAR[]", None),
        Column("zone_id", "SMALLINT", "integer", 0, 1, 20),
    ),
    1000,
)


def checked(tmp_path=None, **blocks):
    file = parse_config(yaml(**blocks), "c.yaml")
    if tmp_path is None:
        return check(file, SCHEMA)
    with DuckDB(tmp_path) as engine:
        return check(file, SCHEMA, engine.bind_error)


def refused(tmp_path=None, **blocks):
    with pytest.raises(ConfigError) as caught:
        checked(tmp_path, **blocks)
    return [(str(p.location).removeprefix("c.yaml:"), p.message) for p in caught.value.problems]


def test_unknown_columns_everywhere_at_once() -> None:
    found = refused(
        features="features: {tripduratoin: {}, tags: {}}",
        labels="labels: {birthyear: {}}",
        split="split: {categorize_by: station, index_by: time, index_ratio: {train: 0.5, eval: 0.5}, where: [gendr = 1]}",
        evaluator="evaluator: {slices: [[usertyp]], gender: {}}",
    )
    assert found == [
        ("1:12", "there is no column 'tripduratoin' in the datasource"),
        ("1:30", "column 'tags' is of type VARCHAR[], which no transform reads"),
        ("2:10", "there is no column 'birthyear' in the datasource"),
        ("3:24", "there is no column 'station' in the datasource"),
        ("3:43", "there is no column 'time' in the datasource"),
        ("3:95", "the filter reads column 'gendr', which is not in the datasource"),
        ("5:23", "there is no column 'usertyp' in the datasource"),
        ("5:34", "there is no column 'gender' in the datasource"),
    ]


def test_a_whole_message() -> None:
    with pytest.raises(ConfigError) as caught:
        checked(features="features: {tripduratoin: {}}")
    assert str(caught.value) == (
        "error: there is no column 'tripduratoin' in the datasource\n"
        "  --> c.yaml:1:12\n"
        "   |\n"
        "1  | features: {tripduratoin: {}}\n"
        "   |            ^^^^^^^^^^^^\n"
        "   = its columns: tripduration, start_station_id, start_station_name, usertype, member, price, starttime, birth_year, always, empty,"
        " tags, zone_id\n"
        "   = did you mean 'tripduration'?"
    )


FEATURES = [
    ("usertype: {filling: mean}", "1:32", "filling 'mean' does not apply to column 'usertype' (string)"),
    (
        "price: {filling: {method: custom, custom_value: x}}",
        "1:29",
        "custom_value 'x' is no float, the kind of column 'price'",
    ),
    (
        "member: {filling: {method: custom, custom_value: 1}}",
        "1:30",
        "custom_value 1 is no boolean, the kind of column 'member'",
    ),
    ("usertype: {transform: log}", "1:34", "transform 'log' does not apply to column 'usertype' (string)"),
    (
        "price: {transform: compute_and_apply_vocabulary}",
        "1:31",
        "transform 'compute_and_apply_vocabulary' does not apply to column 'price' (float)",
    ),
    ("price: {transform: calendar}", "1:31", "transform 'calendar' does not apply to column 'price' (float)"),
    ("price: {transform: [bucketize, log]}", "1:43", "transform 'log' does not apply to what 'bucketize' gives (code)"),
    (
        "starttime: {transform: [calendar, log]}",
        "1:36",
        "calendar gives several columns and must be the last transform",
    ),
    (
        "tripduration: {filling: mean, transform: hash_strings}",
        "1:53",
        "transform 'hash_strings' does not apply to column 'tripduration' (float)",
    ),
    ("usertype: {transform: no_transform}", "1:12", "feature 'usertype' is a string; a network reads numbers"),
    ("starttime: {transform: no_transform}", "1:12", "feature 'starttime' is a timestamp; a network reads numbers"),
    ("price: {encoding: one_hot}", "1:30", "encoding 'one_hot' is for codes, but scale_to_z_score gives a number"),
    (
        "usertype: {encoding: periodic}",
        "1:33",
        "encoding 'periodic' is for numbers, but compute_and_apply_vocabulary gives a code",
    ),
]


def test_an_encoding_of_a_kind_that_fits_none_of_its_columns() -> None:
    told = "encoding 'bins' is for numbers, but compute_and_apply_vocabulary gives a code"
    found = refused(features="features: {usertype: {}}", preprocessing="preprocessing: {string: {encoding: bins}}")
    assert [message for _, message in found] == [told]


@pytest.mark.parametrize(("feature", "place", "message"), FEATURES)
def test_features(feature, place, message) -> None:
    assert refused(features=f"features: {{{feature}}}") == [(place, message)]


def test_a_default_that_does_not_fit_is_told_at_the_feature() -> None:
    assert refused(features="features: {price: {}}", default="default: {float: {transform: hash_strings}}") == [
        ("1:12", "transform 'hash_strings' does not apply to column 'price' (float)")
    ]


LABELS = [
    ("usertype: {loss: mse}", "", "2:27", "label 'usertype' is a string; loss 'mse' needs a number"),
    ("starttime: {}", "", "2:10", "label 'starttime' is a timestamp; a regression needs a number"),
    ("price: {}", "type: classification", "2:10", "label 'price' is a float; classes are booleans, words or integers"),
    ("empty: {}", "", "2:10", "label 'empty' is null in every row"),
    ("birth_year: {loss: binary_crossentropy}", "", "2:29", "loss 'binary_crossentropy' does not fit type 'regression'"),
    ("usertype: {loss: mse}", "type: classification", "2:27", "loss 'mse' does not fit type 'classification'"),
    ("birth_year: {metrics: [mae, auc]}", "", "2:38", "metric 'auc' does not fit type 'regression'"),
    ("price: {loss: poisson}", "", "2:24", "loss 'poisson' needs labels that are not negative, the least is -3.5"),
    ("birth_year: {transform: bucketize}", "", "2:34",
     "transform 'bucketize' cannot be undone, so predictions could not be told in the label's unit"),
    ("usertype: {transform: compute_and_apply_vocabulary}", "type: classification", "2:32",
     "classes take no transform: their vocabulary is learnt by itself"),
    ("birth_year: {filling: {method: custom, custom_value: x}}", "", "2:32", "custom_value 'x' is no integer, the kind of column 'birth_year'"),
    ("birth_year: {encoding: linear}", "", "2:23", "a label has no encoding"),
    ("birth_year: {}", "num_output_units: 3", "4:47", "a regression label needs 1 output unit, found 3"),
    ("birth_year: {}", "last_activation: softmax", "4:46", "last_activation 'softmax' gives shares of classes, not a number"),
    ("member: {}", "type: classification, last_activation: linear", "4:50",
     "two classes with one output need last_activation: sigmoid, found 'linear'"),
    ("usertype: {}", "type: classification, last_activation: linear", "4:50", "classes need last_activation: softmax, found 'linear'"),
    ("usertype: {loss: binary_crossentropy}", "type: classification, num_output_units: 2", "4:51",
     "loss 'binary_crossentropy' needs 1 output unit, found 2"),
    ("birth_year: {metrics: [mae, mase]}", "", "2:38",
     "metric 'mase' needs the block `timeseries`: it divides by the error of repeating a series' last season"),
    ("birth_year: {}, price: {}", "layers: [{type: dense, units: 4}, {type: lstm, units: 4}, {type: gru, units: 4}]", "4:63",
     "layer 'lstm' is for sequences, and architecture 'feedforward' reads plain rows"),
]  # fmt: skip


@pytest.mark.parametrize(("label", "trainer", "place", "message"), LABELS)
def test_labels(label, trainer, place, message) -> None:
    trainer = trainer if trainer.startswith("type") else f"type: regression, {trainer}".removesuffix(", ")
    assert refused(labels=f"labels: {{{label}}}", trainer=f"trainer: {{{trainer}}}") == [(place, message)]


FILTERS = [
    ("birth_year >", "the filter cannot be used: it is not an SQL expression: "),
    ("birth_year + 1", "the filter cannot be used: it gives a bigint, not true or false"),
    ("usertype + 1 > 3 AND lower(birth_year, 2) = 'x'", "the filter cannot be used: "),
    ("birth_year > 1900; DROP TABLE x", "the filter cannot be used: it holds more than one statement"),
    ("count(*) > 3", "the filter cannot be used: 'COUNT(*)' looks at more than one row"),
]


@pytest.mark.parametrize(("text", "beginning"), FILTERS)
def test_filters(text, beginning, tmp_path) -> None:
    ((place, message),) = refused(tmp_path, split=f'split: {{ratio: {{train: 0.5, eval: 0.5}}, where: ["{text}"]}}')
    assert place == "3:49"
    assert message.startswith(beginning)


def test_filters_that_can_be_used(tmp_path) -> None:
    where = "[birth_year > 1900, BIRTH_YEAR is not null, usertype in ('Subscriber'), member, starttime >= '2018-06-01']"
    resolved, _ = checked(tmp_path, split=f"split: {{ratio: {{train: 0.5, eval: 0.5}}, where: {where}}}")
    assert len(resolved.split.where) == 5


def test_a_text_that_is_no_time_is_refused_before_a_row_is_read(tmp_path) -> None:
    ((place, message),) = refused(
        tmp_path, split="split: {ratio: {train: 0.5, eval: 0.5}, where: [\"starttime > 'yesterday'\"]}"
    )
    assert place.startswith("3:")
    assert "'yesterday'" in message or '"yesterday"' in message


def test_a_slice_may_be_by_a_column_that_is_called_like_a_metric() -> None:
    schema = TableSchema((*SCHEMA.columns, Column("mae", "INTEGER", "integer", 0, 0, 9)), SCHEMA.num_rows)
    resolved, _ = check(parse_config(yaml(evaluator="evaluator: {mae: {}}"), "c.yaml"), schema)
    assert resolved.slices == (("mae",),)


def test_a_warm_up_needs_its_target() -> None:
    trainer = (
        "trainer: {type: regression, optimizer: {type: adam, learning_rate: {type: cosine_decay, warmup_steps: 10}}}"
    )
    with pytest.raises(ConfigError, match="warmup_steps and warmup_target go together"):
        parse_config(yaml(trainer=trainer), "c.yaml")


@pytest.mark.parametrize(
    "blocks", [{"features": "features: {usertype: {transform: []}}"}, {"labels": "labels: {birth_year: {metrics: []}}"}]
)
def test_an_empty_list_is_not_the_default(blocks) -> None:
    with pytest.raises(ConfigError, match="the list is empty; leave the key out for the default"):
        parse_config(yaml(**blocks), "c.yaml")


WARNINGS = [
    (
        {"features": "features: {birth_year: {}, price: {}}"},
        "1:12",
        "'birth_year' is a label and a feature too: the network is told the answer",
        "remove it from features",
    ),
    ({"features": "features: {always: {}}"}, "1:12", "feature 'always' has one value only: 7", "remove it"),
    ({"features": "features: {empty: {}}"}, "1:12", "feature 'empty' is null in every row", "remove it"),
    (
        {"features": "features: {start_station_id: {}}"},
        "1:12",
        "feature 'start_station_id' looks like an identifier, and is scaled as a quantity",
        "`transform: compute_and_apply_vocabulary` lets the network learn each value by itself",
    ),
    (
        {"trainer": "trainer: {type: regression, train_steps: 10, save_checkpoints_steps: 20}"},
        "4:70",
        "save_checkpoints_steps (20) is more than train_steps (10): one checkpoint, at the end",
        None,
    ),
]


@pytest.mark.parametrize(("blocks", "place", "message", "note"), WARNINGS)
def test_warnings(blocks, place, message, note) -> None:
    _, (warning,) = checked(**blocks)
    assert (str(warning.location), warning.message, warning.notes) == (
        f"c.yaml:{place}",
        message,
        (note,) if note else (),
    )


def test_a_warnings_text() -> None:
    _, (warning,) = checked(features="features: {always: {}}")
    assert warning.render("warning") == (
        "warning: feature 'always' has one value only: 7\n"
        "  --> c.yaml:1:12\n"
        "   |\n"
        "1  | features: {always: {}}\n"
        "   |            ^^^^^^\n"
        "   = remove it"
    )


@pytest.mark.parametrize(
    "features",
    ["start_station_id: {transform: compute_and_apply_vocabulary}", "start_station_id: {transform: bucketize}", "zone_id: {}",
     "start_station_id: {encoding: piecewise_linear}", "tripduration: {}", "starttime: {}", "member: {transform: one_hot_encode}"],
)  # fmt: skip
def test_no_warning_without_a_reason(features) -> None:
    assert checked(features=f"features: {{{features}}}")[1] == ()


def test_a_column_of_a_list_type_may_still_stand_in_the_table() -> None:
    resolved, warnings = checked()
    assert [feature.name for feature in resolved.features] == ["tripduration"]
    assert warnings == ()
