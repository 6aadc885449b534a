"""The YAML to begin with: which label, which features, how rows are split, which numbers."""

from __future__ import annotations

import pytest

from cengine.config.checks import check
from cengine.config.length import Length
from cengine.config.read import parse_config
from cengine.config.resolve import resolve
from cengine.config.template import template
from cengine.tables import Column, TableSchema

X = Column("x", "DOUBLE", "float", 0, 0.0, 1.0)
TYPES = {"integer": "BIGINT", "float": "DOUBLE", "string": "VARCHAR", "boolean": "BOOLEAN", "timestamp": "TIMESTAMP"}


def table(*columns: Column | tuple, num_rows: int = 500) -> TableSchema:
    made = [one if isinstance(one, Column) else Column(one[0], TYPES[one[1]], one[1], 0, *one[2:]) for one in columns]
    return TableSchema(tuple(made), num_rows)


def read(schema: TableSchema, **options):
    return parse_config(template(schema, **options)).config


@pytest.mark.parametrize(("columns", "label", "told"), [
    ([("income", "string"), X], "income", "Taken for its name"),
    ([X, ("y", "float"), ("z", "float"), ("price", "integer")], "price", "Taken for its name"),
    ([X, ("y", "float"), ("z", "float")], "z", "GUESSED: the last column"),
    ([("age", "integer"), ("y", "string")], "y", "Taken for its name"),
    ([X, ("minutes", "float"), ("part", "string"), ("id", "integer")], "minutes", "GUESSED"),
    ([X, ("when", "timestamp")], "x", "GUESSED"),
])  # fmt: skip
def test_the_label(columns, label, told) -> None:
    schema = table(*columns)
    assert list(read(schema).labels) == [label]
    assert told in template(schema)
    assert "GUESSED" not in template(schema, label=label)


@pytest.mark.parametrize(("column", "reason"), [
    (("id", "integer"), "it looks like an identifier"),
    (("Row_Number", "integer"), "it looks like an identifier"),
    (("trip", "integer", 1, 500), "it looks like an identifier"),
    (("trip", "integer", 0, 499), "it looks like an identifier"),
    (("part", "string", "test", "train"), "it looks like a division of the rows"),
    (("trip", "integer", 1, 499), None),
    (("start_station_id", "integer", 3, 3700), None),
    (("part", "float", 0.0, 1.0), None),
])  # fmt: skip
def test_what_is_no_feature(column, reason) -> None:
    schema = table(X, column, ("price", "float"))
    assert (column[0] in read(schema).features) == (reason is None)
    assert reason is None or f"left out: {reason}" in template(schema)
    assert column[0] in read(schema, features=["x", column[0]]).features  # what is asked for is there


def test_ten_rows_that_are_counted_are_no_reason() -> None:
    assert "n" in read(table(X, ("n", "integer", 1, 10), ("price", "float"), num_rows=10)).features


@pytest.mark.parametrize(("label", "split_by", "metrics"), [
    (("kind", "string"), "kind", ["log_loss", "accuracy"]),
    (("kind", "integer", 0, 1), "kind", ["log_loss", "accuracy"]),
    (("kind", "integer", 0, 9), None, ["rmse", "mae", "r2"]),
])  # fmt: skip
def test_classes_are_stratified_and_the_first_metric_is_the_loss(label, split_by, metrics) -> None:
    found = read(table(X, label))
    assert found.split.categorize.by == split_by
    assert {name: float(share) for name, share in found.split.shares.items()} == {"train": 0.9, "eval": 0.1}
    assert [metric.name for metric in found.labels["kind"].metrics] == metrics


@pytest.mark.parametrize("num_rows", [1, 500, 20_000, 33_000_000])
def test_the_numbers_are_those_that_follow_from_the_rows(num_rows) -> None:
    """Of few rows a tenth is kept back to choose by; of more all are learnt from."""
    schema = table(X, ("price", "float"), num_rows=num_rows)
    num_learnt = round(0.9 * num_rows * (0.9 if num_rows <= 1_500 else 1))
    written, length = read(schema).trainer, Length.of(num_learnt)
    left_to_it = written.model_copy(
        update={"train_steps": None, "train_batch_size": None, "optimizer": None, "early_stopping": None}
    )
    told = left_to_it.filled_in(num_learnt)
    assert written.chooses == (num_rows <= 1_500)
    assert written == (told if written.chooses else told.model_copy(update={"early_stopping": None}))
    assert written.train_steps == length.steps


@pytest.mark.parametrize(("column", "is_name"), [
    (("start_station_id", "integer", 3, 3700), True),
    (("bikeid", "integer", 3, 3700), True),
    (("zip code", "integer", 501, 99950), True),
    (("productId", "integer", 1, 50), True),
    (("paid", "integer", 1, 50), False),
    (("idle", "integer", 1, 50), False),
    (("id_of_nothing", "float", 1.0, 50.0), False),
    (("code", "string", "a", "b"), False),
])  # fmt: skip
def test_numbers_that_are_names_are_learnt_one_by_one(column, is_name) -> None:
    """And not as quantities; what the YAML says of them fits their column."""
    schema = table(X, column, ("price", "float"))
    found = parse_config(template(schema))
    feature = next(one for one in resolve(found.config, schema).features if one.name == column[0])
    assert ("numbers that are names" in template(schema)) == is_name
    by_name = feature.transforms[-1].name == "compute_and_apply_vocabulary"
    assert by_name == (is_name or column[1] == "string")
    check(found, schema)


def test_missing_numbers_are_told_to_the_network() -> None:
    """Where there are any; and a text that is another one in each row is named and left out."""
    column = Column("age", "DOUBLE", "float", 3, 0.0, 1.0)
    schema = TableSchema((*table(X, ("note", "string", "a", "b"), ("price", "float")).columns, column), 1000)
    text = template(schema, "price", of_single_rows={"note"})
    found = resolve(parse_config(text).config, schema)
    assert {one.name: one.missing_indicator for one in found.features} == {"x": False, "age": True}
    assert "# note: {}" in text
    assert "left out: another text in nearly every row" in text
    assert "missing_indicator" not in template(table(X, ("price", "float")))


@pytest.mark.parametrize(("label", "num_rows", "dropout"), [
    (("kind", "string"), 500, [0.15, 0.15]),
    (("kind", "string"), 500_000, [0.15, 0.15]),
    (("price", "float"), 500, [0.1, 0.1]),
    (("price", "float"), 50_000, []),
    (("price", "float"), 500_000, []),
])  # fmt: skip
def test_the_network_is_what_was_measured_best(label, num_rows, dropout) -> None:
    found = read(table(X, label, ("word", "string", "a", "b"), num_rows=num_rows), label=label[0])
    assert found.trainer.ensemble == (8 if num_rows == 50_000 else 4)
    assert [layer.units for layer in found.trainer.layers if layer.name == "dense"] == [64, 64]
    assert [layer.rate for layer in found.trainer.layers if layer.name == "dropout"] == dropout
    of_numbers = found.preprocessing["float"]
    assert (of_numbers.filling.name, of_numbers.transform[0].name, of_numbers.encoding.name) == (
        "median",
        "robust",
        "bins",
    )


@pytest.mark.parametrize(("columns", "sliced"), [
    ([("word", "string", "a", "b"), ("flag", "boolean")], "flag"),
    ([("word", "string", "a", "b"), ("n", "integer", 3, 9)], "n"),
    ([("word", "string", "a", "b"), ("n", "integer", 3, 900)], "word"),
    ([("told", "string", "a" * 80, "b"), ("id", "integer", 0, 5)], None),
])  # fmt: skip
def test_what_is_sliced_by_has_few_values(columns, sliced) -> None:
    slices = read(table(X, *columns, ("price", "float"))).evaluator.slices
    assert slices == (((sliced,),) if sliced else ())
