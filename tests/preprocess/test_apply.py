"""Statistics applied: whole chains, new rows, and the file that training reads."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from sqlglot import exp

from cengine.config.read import parse_config
from cengine.config.resolve import resolve
from cengine.networks.encodings import Embedding, Linear, OneHot
from cengine.preprocess.apply import feature_outputs, inputs_of, write_encoded
from cengine.preprocess.fit import fit
from cengine.preprocess.split import fit_split

NUM_ROWS = 600
TIME = datetime.datetime(2018, 6, 1, 23, 59)


def people():
    random = np.random.default_rng(3)
    age = [None if x < 0.1 else int(20 + 60 * x) for x in random.random(NUM_ROWS)]
    return pa.table(
        {
            "row": pa.array(range(NUM_ROWS)),
            "age": pa.array(age, pa.int64()),
            "city": pa.array([["Wien", "Graz", "it's", None][n] for n in random.integers(0, 4, NUM_ROWS)]),
            "station": pa.array([f"station {n}" for n in random.integers(0, 30, NUM_ROWS)]),
            "member": pa.array([[True, False, None][n] for n in random.integers(0, 3, NUM_ROWS)]),
            "seen": pa.array(
                [TIME + datetime.timedelta(hours=int(n)) for n in random.integers(0, 9999, NUM_ROWS)],
                pa.timestamp("us"),
            ),
            "pay": pa.array(random.normal(1000, 200, NUM_ROWS)),
        }
    )


FEATURES = """
  row: {transform: no_transform}
  age: {filling: mean, transform: [scale_to_0_1, {method: scale_by_min_max, parameters: {min: 1, max: 3}}, log]}
  city: {}
  station: {}
  member: {}
  seen: {}
"""


@pytest.fixture
def prepared(make_rows, engine, tmp_path):
    """The rows, split and fitted: `prepared(features, labels, task)` gives all that applying needs."""

    def run(table, features=FEATURES, labels="{pay: {}}", task="regression"):
        split_by = "split: {index_by: row, index_ratio: {train: 0.75, eval: 0.25}}"
        file = parse_config(f"features: {features}\nlabels: {labels}\ntrainer: {{type: {task}}}\n{split_by}")
        rows = make_rows(table)
        resolved = resolve(file.config, rows.schema)
        rows = make_rows(table, labels=resolved.labels)
        split = fit_split(engine, rows, resolved.split, tmp_path)
        return rows, split, resolved, fit(engine, rows, split, resolved)

    return run


def encoded_file(prepared_rows, engine, tmp_path):
    rows, split, resolved, statistics = prepared_rows
    target = tmp_path / "encoded.parquet"
    num_rows = write_encoded(engine, rows, split, resolved.features, resolved.labels, statistics, target)
    table = pq.read_table(target)
    assert num_rows == table.num_rows
    return table


def test_columns_of_the_encoded_file(prepared, engine, tmp_path) -> None:
    ready = prepared(people())
    table = encoded_file(ready, engine, tmp_path)
    inputs = inputs_of(ready[2].features, ready[3])
    assert table.column_names == [*(i.column for i in inputs), "label: pay", "_split", "_row_id"]
    assert [(i.column, i.size, i.encoding) for i in inputs[:5]] == [
        ("row", None, Linear()),
        ("age", None, Linear()),
        ("city", 5, OneHot()),
        ("station", 31, Embedding()),
        ("member", None, Linear()),
    ]
    assert [i.column for i in inputs[5:]] == [
        "seen.year",
        *(f"seen.{p}_{f}" for p in ("month", "day_of_week", "hour", "minute") for f in ("sin", "cos")),
    ]
    assert {str(table.schema.field(i.column).type) for i in inputs if i.size} == {"int32"}
    assert {str(table.schema.field(i.column).type) for i in inputs if not i.size} <= {"float", "int32"}


def test_rows_keep_their_order_and_all_splits_are_there(prepared, engine, tmp_path) -> None:
    table = encoded_file(prepared(people()), engine, tmp_path)
    assert table["row"].to_pylist() == list(range(NUM_ROWS))
    assert table["_split"].to_pylist() == [0] * 450 + [1] * 150
    # Train rows are not looked up again, and their identities would cost eight bytes each.
    assert table["_row_id"].is_null().to_pylist() == [True] * 450 + [False] * 150


def test_chain_equals_the_oracle(prepared, engine, tmp_path) -> None:
    source = people()
    table = encoded_file(prepared(source), engine, tmp_path)
    ages = reference.fill(source["age"].to_pylist(), reference.FILLINGS["mean"](source["age"].to_pylist()[:450]))
    for name, parameters in (("scale_to_0_1", {}), ("scale_by_min_max", {"min": 1, "max": 3}), ("log", {})):
        ages = reference.TRANSFORMS[name](ages[:450], ages, **parameters)[""].tolist()
    np.testing.assert_allclose(table["age"].to_numpy(), ages, rtol=1e-6, atol=1e-7)


def test_label_is_standardized_over_the_train_rows(prepared, engine, tmp_path) -> None:
    source = people()
    table = encoded_file(prepared(source), engine, tmp_path)
    pay = source["pay"].to_numpy()
    np.testing.assert_allclose(
        table["label: pay"].to_numpy(), (pay - pay[:450].mean()) / pay[:450].std(), rtol=1e-5, atol=1e-6
    )


def test_classes_are_numbered_and_unseen_ones_are_minus_one(prepared, engine, tmp_path) -> None:
    source = people()
    words = ["yes" if i % 3 else "no" for i in range(450)] + ["maybe"] * 10 + ["yes"] * 140
    source = source.append_column("z", pa.array(words))
    table = encoded_file(
        prepared(source, "{row: {transform: no_transform}}", "{z: {}}", "classification"), engine, tmp_path
    )
    expected = [{"no": 0, "yes": 1, "maybe": -1}[word] for word in words]
    assert table["label: z"].to_pylist() == expected


def test_new_rows_are_encoded_as_the_file_was(prepared, engine, tmp_path) -> None:
    source = people()
    ready = prepared(source)
    table = encoded_file(ready, engine, tmp_path)
    engine.register("new_rows", source)
    query = exp.select(*feature_outputs(ready[2].features, ready[3], engine)).from_("new_rows")
    found = engine.fetch(query).sort_by("row")
    assert found.column_names == table.column_names[: len(found.column_names)]
    for name in found.column_names:
        assert found[name].to_pylist() == table[name].to_pylist()


def test_unseen_words_times_and_nulls_of_new_rows(prepared, engine) -> None:
    ready = prepared(people())
    vocabulary = ready[3]["features"]["city"]["transforms"][0]["vocabulary"]
    new = pa.table({
        "row": [0, 1, 2], "age": pa.array([None, 10**6, -4], pa.int64()), "city": ["Linz", None, "it's"],
        "station": [None, "", "station 3"], "member": [None, True, False],
        "seen": pa.array([None, datetime.datetime(1800, 1, 1), datetime.datetime(2200, 12, 31)], pa.timestamp("us")),
    })  # fmt: skip
    engine.register("new_rows", new)
    query = exp.select(*feature_outputs(ready[2].features, ready[3], engine)).from_("new_rows")
    found = engine.fetch(query).sort_by("row")
    assert all(column.null_count == 0 for column in found.columns)
    assert found["city"].to_pylist() == [4, vocabulary.index(""), vocabulary.index("it's")]
    assert found["station"].to_pylist()[:2] == [30, 30]
    assert found["member"].to_pylist() == [1, 1, 0]
    assert all(np.isfinite(column.to_numpy()).all() for column in found.columns)
    assert found["age"][1].as_py() > found["age"][0].as_py() > found["age"][2].as_py() == 0.0


@pytest.mark.parametrize(
    "name", ['odd "name"', "select", "a.b", "ünï", "lookup_0", "rows", "value", "position", "cuts", "n", "key"]
)
def test_columns_may_have_any_name(name, prepared, engine, tmp_path) -> None:
    source = people().rename_columns(["row", "age", name, "station", "member", "seen", "pay"])
    ready = prepared(source, {"row": {"transform": "no_transform"}, name: {}})
    table = encoded_file(ready, engine, tmp_path)
    words = reference.fill(source[name].to_pylist(), "")
    assert table[name].to_pylist() == reference.vocabulary(words[:450], words)[""].tolist()


@pytest.mark.parametrize(
    ("name", "called"), [("_row_id", "_row_id_2"), ("_POSITION", "_POSITION_2"), ("_split", "_split"), ("_KEY", "_KEY")]
)
def test_only_names_that_are_stored_beside_the_columns_are_taken(name, called, make_rows) -> None:
    assert make_rows({name: [1, 2]}).schema.names == (called,)


def test_encoded_columns_have_names_of_their_own(prepared, engine, tmp_path) -> None:
    """The parts of a time, the label and the split stand beside features, one of which may be called so."""
    source = people().rename_columns(["row", "label: pay", "seen.year", "SEEN.Hour_Sin", "_split", "seen", "pay"])
    features = ["row", "label: pay", "seen.year", "SEEN.Hour_Sin", "seen"]
    ready = prepared(source, {name: {} for name in features} | {"row": {"transform": "no_transform"}})
    table = encoded_file(ready, engine, tmp_path)
    inputs = [known.column for known in inputs_of(ready[2].features, ready[3])]
    assert inputs[:6] == ["row", "_label: pay", "seen.year", "SEEN.Hour_Sin", "_seen.year", "seen.month_sin"]
    assert {"_seen.hour_sin", "seen.hour_cos"} < set(inputs)
    assert table.column_names == [*inputs, "label: pay", "_split", "_row_id"]
    assert table["_split"].to_pylist() == [0] * 450 + [1] * 150
    plain = encoded_file(prepared(people()), engine, tmp_path)
    assert table["_seen.year"].to_pylist() == plain["seen.year"].to_pylist()
    assert (
        table["seen.year"].to_pylist() == plain["station"].to_pylist()
        or table["seen.year"].to_pylist() == plain["city"].to_pylist()
    )
