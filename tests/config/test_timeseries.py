"""`timeseries:`, its spellings, what becomes of columns, and what does not fit: one message, its place, and how to mend it."""

from __future__ import annotations

import pytest
from yamls import read, yaml

from cengine.config.checks import check
from cengine.config.flatten import flattened
from cengine.config.mapping import mapping_text
from cengine.config.read import parse_config
from cengine.config.resolve import explicit, resolve
from cengine.errors import ConfigError
from cengine.tables import Column, TableSchema
from cengine.transforms.resample import RESAMPLINGS

SCHEMA = TableSchema(
    (
        Column("Start Time", "TIMESTAMP", "timestamp", 0),
        Column("station", "BIGINT", "integer", 0, 1, 20),
        Column("temperature", "DOUBLE", "float", 10),
        Column("mode", "VARCHAR", "string", 0),
        Column("stopped", "BOOLEAN", "boolean", 0),
        Column("n", "BIGINT", "integer", 0, 1, 9),
    ),
    1000,
)
BLOCKS = {
    "features": "features: {trips: {resampling: count}, temperature: {filling: forward}, station: {}, start_time: {}}",
    "labels": "labels: {trips: {loss: mae}}",
    "split": "split: {index_ratio: {train: 0.8, eval: 0.2}}",
    "trainer": "trainer: {type: regression, architecture: sequential}",
    "timeseries": "timeseries: {process_sequence_w_timestamp: start_time, process_sequence_w_category: station, "
    "resampling_rate_in_secs: 3600, sequence_length: 24, horizon: 3}",
}
# The same without a forecast: the label is that of the last point.
LAST = BLOCKS | {
    "features": "features: {temperature: {}, mode: {}}",
    "labels": "labels: {stopped: {resampling: max}}",
    "trainer": "trainer: {type: classification, architecture: sequential}",
    "timeseries": "timeseries: {process_sequence_w_timestamp: start_time, resampling_rate_in_secs: 60, sequence_length: 4}",
}


def resolved(blocks, **others):
    file = parse_config(yaml(**(blocks | others)), "c.yaml")
    return check(file, SCHEMA)[0]


def refused(blocks, **others):
    """The one thing that is wrong: place, message, notes."""
    with pytest.raises(ConfigError) as caught:
        resolved(blocks, **others)
    (problem,) = caught.value.problems
    return str(problem.location).removeprefix("c.yaml:"), problem.message, problem.notes


# Spellings


def test_seconds_may_be_fractions_and_the_length_may_stand_under_trainer() -> None:
    words = read(
        **BLOCKS
        | {
            "timeseries": "timeseries: {process_sequence_w_timestamp: t, resampling_rate_in_secs: 0.000003, trip_gap_threshold_in_secs: 7.5}",
            "trainer": "trainer: {type: regression, sequence_length: 5}",
        }
    ).timeseries
    assert (words.rate, words.gap, words.length, words.shift, words.points) == (3, 7_500_000, 5, 1, 5)


def test_every_spelling_of_a_resampling() -> None:
    spellings = ("max", "{method: max}", "[{method: max, parameters: {}}]", "[max]")
    found = [read(features=f"features: {{a: {{resampling: {spelled}}}}}").features["a"] for spelled in spellings]
    assert {column.resampling for column in found} == {RESAMPLINGS["max"]()}


# What becomes of columns


def test_a_labels_past_is_a_feature_of_a_name_of_its_own() -> None:
    found = resolved(BLOCKS)
    assert [(f.name, f.kind, f.filling.name) for f in found.features] == [
        ("past trips", "integer", "min"),
        ("temperature", "float", "mean"),
        ("station", "integer", "min"),
        ("Start Time", "timestamp", "min"),
    ]
    assert [(label.name, label.kind) for label in found.labels] == [("trips", "integer")]
    assert found.split.index.by == "Start Time"
    series = found.series
    assert [
        (c.name, c.column, c.resampling and c.resampling.name, c.fill) for c in (*series.columns, *series.labels)
    ] == [
        ("past trips", None, "count", None),
        ("temperature", "temperature", "mean", "forward"),
        ("station", "station", None, None),
        ("Start Time", "Start Time", None, None),
        ("trips", None, "count", None),
    ]
    assert {c.name: c.sql_type for c in series.schema(SCHEMA, 7).columns} == {
        "past trips": "BIGINT",
        "temperature": "DOUBLE",
        "station": "BIGINT",
        "Start Time": "TIMESTAMP",
        "trips": "BIGINT",
    }


def test_a_forecast_reads_the_labels_past_unless_it_is_told_not_to() -> None:
    labels, features = "labels: {trips: {resampling: count}}", "features: {temperature: {}}"
    assert [f.name for f in resolved(BLOCKS, labels=labels, features=features).features] == [
        "temperature",
        "past trips",
    ]
    without = BLOCKS["timeseries"].replace("horizon: 3", "horizon: 3, label_as_input: false")
    found = resolved(BLOCKS, labels=labels, features=features, timeseries=without)
    assert [f.name for f in found.features] == ["temperature"]
    last = BLOCKS["timeseries"].replace("horizon: 3", "label_as_input: true")
    shifted = labels.replace("count", "count, label_tuning: {method: shift, parameters: {shift_steps: -2}}")
    found = resolved(BLOCKS, labels=shifted, features=features, timeseries=last)
    assert [f.name for f in found.features] == ["temperature", "past trips"]


def test_kinds_are_those_of_points() -> None:
    tuned = (
        "labels: {n: {resampling: sum, label_tuning: [{method: leadup, parameters: {event_value: 3, duration: 60}}, "
        "{method: map, parameters: {mapper: {0: a}}}]}}"
    )
    found = resolved(
        LAST,
        labels=tuned,
        features="features: {stopped: {resampling: mean}, mode: {}, temperature: {resampling: count}}",
    )
    assert [f.kind for f in found.features] == ["float", "string", "integer"]
    (label,) = found.series.labels
    assert (found.labels[0].kind, label.untuned_kind) == ("string", "integer")


def test_defaults_of_a_kind_reach_points() -> None:
    found = resolved(
        LAST,
        timeseries="timeseries: {process_sequence_w_timestamp: start_time, resampling_rate_in_secs: 60, sequence_length: 4}\n"
        "preprocessing: {float: {filling: backwards, resampling: {method: threshold, parameters: {c_value: 3}}}}",
        features="features: {temperature: {}, n: {}}",
    )
    assert [(c.name, c.kind, c.resampling.name, c.fill) for c in found.series.columns] == [
        ("temperature", "integer", "threshold", None),  # the default of floats does not fill whole numbers
        ("n", "float", "mean", "backwards"),
    ]
    assert [f.filling.name for f in found.features] == ["min", "mean"]


@pytest.mark.parametrize(
    "blocks",
    [
        BLOCKS,
        LAST,
        BLOCKS | {"features": "features: {temperature: {}}", "labels": "labels: {trips: {resampling: count}}"},
    ],
)
def test_the_explicit_configuration_means_the_same(blocks) -> None:
    file = parse_config(yaml(**blocks))
    first = check(file, SCHEMA)[0]
    text = mapping_text(explicit(file.config, first, SCHEMA.lookup).to_nested())
    again = parse_config(text)
    assert resolve(again.config, SCHEMA) == first
    assert mapping_text(explicit(again.config, first, SCHEMA.lookup).to_nested()) == text
    paths = {setting["path"]: setting["value"] for setting in flattened(first)}
    assert paths["timeseries.process_sequence_w_timestamp"] == "Start Time"
    assert paths["timeseries.resampling_rate_in_secs"] in (60, 3600)


def test_what_only_a_learner_reads_changes_no_points() -> None:
    known = BLOCKS["timeseries"].replace("horizon: 3", "horizon: 3, season: 24, known_in_advance: [temperature]")
    assert resolved(BLOCKS, timeseries=known).series.identity() == resolved(BLOCKS).series.identity()
    longer = BLOCKS["timeseries"].replace("horizon: 3", "horizon: 4")
    assert resolved(BLOCKS, timeseries=longer).series.identity() != resolved(BLOCKS).series.identity()


# What does not fit


def of_block(**keys):
    given = {"process_sequence_w_timestamp": "start_time", "resampling_rate_in_secs": 60, "sequence_length": 4} | keys
    inside = ", ".join(f"{key}: {value}" for key, value in given.items() if value is not None)
    return {"timeseries": f"timeseries: {{{inside}}}"}


SHIFT = "label_tuning: {method: shift, parameters: {shift_steps: -1}}"
FORECAST = "labels: {n: {resampling: sum}}"
REFUSED = [
    (
        "gap below rate",
        of_block(trip_gap_threshold_in_secs=59.5),
        "59.5}",
        "trip_gap_threshold_in_secs (59.5) is below resampling_rate_in_secs (60): every empty period would end a trip",
    ),
    (
        "no time",
        of_block(process_sequence_w_timestamp="mode"),
        "mode",
        "column 'mode' holds no times but is of type VARCHAR",
    ),
    (
        "unknown time",
        of_block(process_sequence_w_timestamp="time"),
        "time",
        "there is no column 'time' in the datasource",
    ),
    (
        "unknown category",
        of_block(process_sequence_w_category="statoin"),
        "statoin",
        "there is no column 'statoin' in the datasource",
    ),
    (
        "numbers as category",
        of_block(process_sequence_w_category="temperature"),
        "temperature",
        "column 'temperature' is of type DOUBLE; what tells series apart are texts or whole numbers",
    ),
    (
        "time as category",
        of_block(process_sequence_w_category="start_time"),
        "start_time",
        "'Start Time' is the time of the series; the category tells one series from another",
    ),
    (
        "category is label",
        of_block(process_sequence_w_category="stopped"),
        "stopped",
        "'stopped' tells the series apart and is a label",
    ),
    (
        "kept without rate",
        of_block(resampling_rate_in_secs=None, empty_periods="keep") | {"labels": "labels: {stopped: {}}"},
        "keep}",
        "empty_periods: keep needs resampling_rate_in_secs: without periods none is empty",
    ),
    (
        "resampled without rate",
        of_block(resampling_rate_in_secs=None),
        "max}",
        "resampling needs resampling_rate_in_secs: without it each row is a point",
    ),
    (
        "known without horizon",
        of_block(known_in_advance="[mode]"),
        "[mode]",
        "known_in_advance is of the points after a window: it needs `horizon`",
    ),
    (
        "known is no feature",
        of_block(known_in_advance="[n]", horizon=2),
        "n]",
        "known_in_advance: 'n' is not among the features",
    ),
    (
        "known is label",
        of_block(known_in_advance="[stopped]", horizon=2),
        "stopped]",
        "'stopped' is a label: it is not known in advance",
    ),
    (
        "random rows",
        {"split": "split: {ratio: {train: 0.8, eval: 0.2}}"},
        "{train",
        "`ratio` draws rows at random: a window would stand in train and, one row later, in what it is measured on",
    ),
    (
        "random folds",
        {"split": "split: {folds: 5}"},
        "5}",
        "`folds` draws rows at random: a window would stand in train and, one row later, in what it is measured on",
    ),
    (
        "folds of series",
        {"split": "split: {categorize_by: station, category_folds: 4}"},
        "4}",
        "`category_folds` divides rows, not windows: a model of windows is measured on one split",
    ),
    (
        "ordered by another",
        {"split": "split: {index_by: n, index_ratio: {train: 0.8, eval: 0.2}}"},
        "n,",
        "rows of a time series are cut by their time 'Start Time', not by 'n'",
    ),
    (
        "horizon and shift",
        of_block(horizon=2) | {"labels": f"labels: {{stopped: {{{SHIFT}}}}}"},
        "{method: shift",
        "`horizon` and label_tuning 'shift' both say how far from a window its label is",
    ),
    (
        "label and feature",
        {"features": "features: {temperature: {}, stopped: {}}"},
        "stopped: {}",
        "'stopped' is a label and a feature too: the last point of a window has the answer",
    ),
    (
        "label as input",
        of_block(label_as_input="true"),
        "true}",
        "label_as_input: the last point of a window has the value of 'stopped', which is the answer",
    ),
    (
        "backwards forecast",
        of_block(horizon=2) | {"features": "features: {temperature: {filling: backwards}}"},
        "backwards",
        "filling 'backwards' takes values of the future, which a forecast does not have",
    ),
    (
        "filled label",
        {"labels": "labels: {stopped: {filling: forward}}"},
        "forward",
        "a label takes no neighbour's value: what is to be predicted would be made up",
    ),
    (
        "wrong kind",
        {"features": "features: {mode: {resampling: sum}}"},
        "sum",
        "resampling 'sum' does not apply to column 'mode' (string)",
    ),
    (
        "wrong threshold",
        {"features": "features: {mode: {resampling: threshold}}"},
        "threshold",
        "resampling 'threshold' of column 'mode': a text is compared by cond: equal or includes, not greater",
    ),
    (
        "resampled time",
        {"features": "features: {start_time: {resampling: max}}"},
        "max",
        "'Start Time' is the time of the series: it is the same all over a point, take `resampling` out",
    ),
    (
        "wrong event",
        {
            "labels": "labels: {stopped: {label_tuning: {method: leadup, parameters: {event_value: often, duration: 9}}}}"
        },
        "{method: leadup",
        "label_tuning 'leadup' of label 'stopped': event_value 'often' is no boolean",
    ),
    ("slice of rows", {"evaluator": "evaluator: {n: {}}"}, "n: {}", "slice 'n' is none of a point's columns"),
    (
        "slice by step",
        {"evaluator": "evaluator: {horizon_step: {}}"},
        "horizon_step",
        "a slice by horizon_step needs `horizon`",
    ),
    (
        "weighted rows",
        {"labels": "labels: {stopped: {sample_weight: n}}"},
        "n}",
        "sample_weight is of rows, and a point is made of several: windows are not weighted yet",
    ),
]


@pytest.mark.parametrize(("blocks", "place", "message"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_what_does_not_fit_is_one_message(blocks, place, message) -> None:
    text = yaml(**(LAST | blocks))
    found, told, _ = refused(LAST, **blocks)
    line, character = map(int, found.split(":"))
    assert told == message
    assert text.splitlines()[line - 1][character - 1 :].startswith(place)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"resampling_rate_in_secs": 0}, "'resampling_rate_in_secs': expected more than 0 seconds, found 0"),
        ({"trip_gap_threshold_in_secs": -3}, "'trip_gap_threshold_in_secs': expected more than 0 seconds, found -3"),
        ({"resampling_rate_in_secs": "hourly"}, "'resampling_rate_in_secs': expected a number of seconds, found 'hourly'"),
        ({"resampling_rate_in_secs": 0.0000001}, "'resampling_rate_in_secs': a microsecond, 0.000001, is the finest, found 1e-07"),
        ({"sequence_length": 0}, "'sequence_length': input should be greater than or equal to 1, found 0"),
        ({"sequence_length": None}, "'sequence_length' is missing"),
        ({"empty_periods": "fill"}, "'empty_periods': input should be 'drop' or 'keep', found 'fill'"),
        ({"length": 3}, "unknown key 'length'"),
    ],
)  # fmt: skip
def test_a_block_that_cannot_be_read(keys, message) -> None:
    assert refused(LAST, **of_block(**keys))[1] == message


def test_a_rate_that_cannot_be_read_is_told_of_once() -> None:
    words = of_block(resampling_rate_in_secs=0, empty_periods="keep")
    _, message, _ = refused(LAST, **words, features="features: {temperature: {resampling: mean}}")
    assert message == "'resampling_rate_in_secs': expected more than 0 seconds, found 0"


def test_a_length_in_two_places() -> None:
    place, message, _ = refused(LAST, trainer="trainer: {type: classification, sequence_length: 4}")
    assert (place, message) == ("4:33", "'sequence_length' stands under `timeseries` too; keep one of the two")


def test_learners_and_blocks_go_together() -> None:
    plain = {"split": "split: {ratio: {train: 0.8, eval: 0.2}}", "labels": "labels: {stopped: {}}"}
    place, message, (note,) = refused(LAST, **plain, timeseries="")
    assert (place, message) == (
        "4:47",
        "architecture 'sequential' learns from windows of rows, and no block `timeseries` makes them",
    )
    assert note.startswith("for example: timeseries: {process_sequence_w_timestamp: COLUMN")
    place, message, (note,) = refused(LAST, trainer="trainer: {type: classification, architecture: boosted_trees}")
    assert (place, message) == (
        "4:47",
        "architecture 'boosted_trees' learns from single rows, and `timeseries` makes windows of them",
    )
    assert note == "write `architecture: sequential`, or remove the block `timeseries`"


def test_an_autoencoder_takes_no_windows() -> None:
    _, message, _ = refused(
        {name: text for name, text in LAST.items() if name != "labels"},
        labels="",
        trainer="trainer: {type: autoencoder, architecture: sequential}",
    )
    assert message == "an autoencoder reconstructs single rows; windows of `timeseries` it does not take yet"


def test_an_order_of_rows_is_needed() -> None:
    plain = LAST | {
        "timeseries": "",
        "trainer": "trainer: {type: classification}",
        "split": "split: {ratio: {train: 0.8, eval: 0.2}}",
        "labels": "labels: {stopped: {}}",
    }
    _, message, _ = refused(plain, features="features: {temperature: {filling: forward}}")
    assert message == "filling 'forward' needs the block `timeseries`: rows have no order without it"
    _, message, _ = refused(plain, labels=f"labels: {{stopped: {{{SHIFT}}}}}")
    assert message == "label_tuning needs the block `timeseries`: rows have no order without it"
