"""A table whose columns are called like everything that our queries use runs from end to end, and its figures are right."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from names_of_queries import names_of_queries
from terminal import Terminal

from cengine.inspection.run import find_run
from cengine.inspection.slicing import slice_run
from cengine.names import Names

NUM_ROWS = 400
# What a table of predictions, a table of slices and encoded rows call their own columns, beside what queries do.
STORED = [
    "split",
    "mae: low",
    "label: prediction",
    "prediction: prediction",
    "column: mae",
    "column: column: mae",
    "seen.year",
    "where",
]
SLICES = [
    "total",
    "ROWS",
    "squares",
    "split",
    "num_rows",
    "mae",
    "mae: low",
    "_split",
    "label: prediction",
    "column: split",
    "column: mae",
    "_key_0",
]
COLUMNS_AT_ONCE = 40
# Numbers; the other columns are texts, whose identities cost less.
NUMBERS = [*SLICES, "count", "_first", "n", "_group", "seen.year"]
# Features beside the numbers.
WORDS = [
    "value_0",
    "_key",
    "_term_0",
    "place",
    "position",
    "asked",
    "edges",
    "bucket",
    "source",
    "base",
    "assigned",
    "_content",
    "_occurrence",
    "error",
]


def table() -> pa.Table:
    """Every other name in capitals: engines take both for the same. One column is named twice but for case, so it has another name."""
    names = [name.upper() if place % 2 else name for place, name in enumerate(names_of_queries())]
    lowered = {name.lower() for name in [*SLICES, *STORED, "prediction", "seen"]}
    names = [
        *(name for name in names if name.lower() not in lowered),
        *SLICES,
        *(name for name in STORED if name not in SLICES),
    ]
    random = np.random.default_rng(0)
    numbers = {name.lower() for name in NUMBERS}
    columns = {name: random.integers(0, 3, NUM_ROWS) for name in names}
    columns = {name: cells if name.lower() in numbers else cells.astype(str) for name, cells in columns.items()}
    columns["seen"] = pa.array(random.integers(0, 10**15, NUM_ROWS), pa.timestamp("us"))
    columns["prediction"] = random.normal(size=NUM_ROWS) + columns["total"]
    return pa.table(columns)


@pytest.fixture(scope="module")
def typed(tmp_path_factory) -> Terminal:
    folder = tmp_path_factory.mktemp("names")
    terminal = Terminal(folder / "project", folder)
    names = table().column_names
    pq.write_table(table(), folder / "t.parquet")
    assert "->" not in terminal("datasource", "create", "parquet", "--name", "t", "--path", folder / "t.parquet").out
    config = {
        "features": {name: {} for name in [*NUMBERS, *WORDS, "seen"] if Names(names).find(name)},
        "labels": {"prediction": {"loss": "mse", "metrics": ["mae"]}},
        "split": {
            "categorize_by": "_group",
            "index_ratio": {"train": 0.7, "rest": 0.3},
            "where": ['"count" + "_first" >= 0', "n < 3", "ROWS >= 0", "seen is not null"],
        },
        "trainer": {"type": "regression", "train_steps": 10},
        "evaluator": {"slices": [[name] for name in SLICES if name in names] + [["split", "mae"]]},
    }
    terminal("pipeline", "push", terminal.write("c.yaml", json.dumps(config)), "mine")
    terminal("pipeline", "run", "mine", "-y")
    return terminal


@pytest.fixture(scope="module")
def evaluated(typed):
    """The evaluated rows with all of their columns under the names of the file, and their errors."""
    run = find_run(typed.project, "mine")
    rows = pa.concat_tables([pq.read_table(file) for file in run.snapshot.files]).to_pandas()
    predicted = run.predictions().select(["_row_id", "prediction: prediction"]).to_pandas()
    found = rows.merge(predicted.rename(columns={"prediction: prediction": "_predicted"}), on="_row_id")
    return found.assign(_error=(found["prediction"] - found["_predicted"]).abs())


def expected(evaluated, names) -> dict:
    groups = evaluated.groupby(list(names))["_error"]
    return {key if isinstance(key, tuple) else (key,): (len(errors), errors.mean()) for key, errors in groups}


def measured(found) -> dict:
    keys = list(zip(*(found.table[key].to_pylist() for key in found.keys), strict=True))
    return dict(
        zip(keys, zip(found.table["num_rows"].to_pylist(), found.table["mae"].to_pylist(), strict=True), strict=True)
    )


def assert_same(found, wanted) -> None:
    assert found.keys() == wanted.keys()
    for key, (num_rows, mae) in wanted.items():
        assert found[key][0] == num_rows
        assert found[key][1] == pytest.approx(mae, rel=1e-6)


def test_slices_are_those_of_their_columns(typed, evaluated) -> None:
    run = find_run(typed.project, "mine")
    assert len(evaluated) == run.results.overall_rows[0]["num_rows"]
    assert abs(len(evaluated) - 0.3 * NUM_ROWS) <= 3  # three groups, each of which is cut for itself
    assert {found.columns for found in run.results.slices} >= {("split",), ("num_rows",), ("_split",), ("split", "mae")}
    for found in run.results.slices:
        assert_same(measured(found), expected(evaluated, found.columns))


def test_every_column_can_be_sliced_by(typed, evaluated) -> None:
    run = find_run(typed.project, "mine")
    names = [name for name in run.snapshot.schema.names if name not in ("seen", "prediction")]
    for start in range(0, len(names), COLUMNS_AT_ONCE):
        chosen = names[start : start + COLUMNS_AT_ONCE]
        quoted = ", ".join(f'"{name}"' for name in chosen)
        (found,) = slice_run(
            run, f"""{quoted} where "total" < 2 and "_SPLIT" >= 0 and "label: prediction" > 0"""
        ).tables
        passed = evaluated[(evaluated["total"] < 2) & (evaluated["label: prediction"] > 0)]
        assert_same(measured(found), expected(passed, chosen))


def test_page_statistics_and_the_terminal(typed, evaluated) -> None:
    answer = typed("pipeline", "evaluate", "mine", "--no-open")
    assert "page:" in answer.out
    assert "column: split" in answer.out
    assert json.loads(typed("pipeline", "evaluate", "mine", "--json").out)["slices"]
    by_name = {column["name"]: column for column in typed("datasource", "statistics", "t", "--json").json["columns"]}
    by_split = {column["name"]: column for column in typed("pipeline", "statistics", "mine", "--json").json["columns"]}
    source = table()
    assert list(by_name) == list(by_split) == source.column_names
    for name in source.column_names:
        assert by_name[name]["splits"]["all"]["num_distinct"] == len(source[name].unique())
        if pa.types.is_integer(source[name].type):
            assert by_name[name]["splits"]["all"]["mean"] == pytest.approx(source[name].to_numpy().mean(), abs=1e-9)
            assert by_split[name]["splits"]["rest"]["mean"] == pytest.approx(evaluated[name].mean(), abs=1e-9)


def test_runs_are_compared(typed) -> None:
    text = (typed.files / "c.yaml").read_text().replace('"train_steps": 10', '"train_steps": 20')
    typed("pipeline", "push", typed.write("d.yaml", text), "other")
    typed("pipeline", "run", "other", "-y")
    found = typed("pipeline", "compare", "mine", "other", "--json").json
    assert [label["name"] for label in found["labels"]] == ["prediction"]
