"""Columns keep the names of their file; the post's spelling, another case and quotes find them everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from terminal import Terminal

from cengine.inspection.run import find_run

NUM_ROWS = 300
YAML = """\
features:
  trip_duration: {}
  USERTYPE: {}
labels:
  birth_year: {loss: mse, metrics: [mae]}
split:
  categorize_by: start_station_name
  index_ratio: {train: 0.7, eval: 0.3}
  where:
    - birth_year > 1900
    - '"Birth Year" < 2000 and trip_duration >= 0'
trainer: {type: regression, train_steps: 10}
evaluator:
  Usertype: {}
  start_station_name: {}
"""


def text(header: str = "Trip Duration,usertype,birth year,Start Station Name") -> str:
    random = np.random.default_rng(0)
    cells = zip(
        random.integers(0, 9999, NUM_ROWS),
        random.integers(0, 2, NUM_ROWS),
        random.integers(1950, 1999, NUM_ROWS),
        strict=True,
    )
    return header + "\n" + "".join(f"{a},{'ab'[b]},{c},station {c % 3}\n" for a, b, c in cells)


@pytest.fixture(scope="module")
def typed(tmp_path_factory) -> Terminal:
    folder = tmp_path_factory.mktemp("spelled")
    terminal = Terminal(folder / "project", folder)
    terminal.write("t.csv", text())
    assert "->" not in terminal("datasource", "create", "csv", "--name", "t", "--path", folder / "t.csv").out
    terminal("pipeline", "push", terminal.write("c.yaml", YAML), "mine")
    terminal("pipeline", "run", "mine", "-y")
    return terminal


def test_results_name_columns_as_the_table_does(typed) -> None:
    run = find_run(typed.project, "mine")
    assert [feature.name for feature in run.resolved.features] == ["Trip Duration", "usertype"]
    assert [found.columns for found in run.results.slices] == [("usertype",), ("Start Station Name",)]
    assert "prediction: birth year" in run.predictions().column_names
    answer = typed("pipeline", "evaluate", "mine", "--no-open", "--slice", "USERTYPE")
    assert "model of birth year" in answer.out
    assert "by usertype" in answer.out
    assert "by Start Station Name" not in answer.out


def test_the_yaml_is_given_back_as_it_was_written(typed) -> None:
    assert typed("pipeline", "pull", "mine", "--original").out == YAML
    pulled = typed("pipeline", "pull", "mine").out
    assert "birth_year:" in pulled
    assert "by: start_station_name" in pulled


@pytest.mark.parametrize(
    "asked", ["start_station_name where birth_year > 1970", '"START STATION NAME" where "Birth Year" > 1970']
)
def test_slices_are_asked_for_in_any_spelling(typed, asked) -> None:
    found = typed("pipeline", "slice", "mine", asked, "--json").json
    assert found["columns"] == ["Start Station Name"]
    assert 0 < found["num_rows"] < found["num_evaluated"]


def test_statistics_find_a_column_in_any_spelling(typed) -> None:
    columns = typed("datasource", "statistics", "t", "--column", "birth_year", "--json").json["columns"]
    assert [column["name"] for column in columns] == ["birth year"]


def test_the_template_names_columns_as_they_are(typed) -> None:
    made = typed("pipeline", "template").out
    assert "'Trip Duration': {}" in made
    assert typed("pipeline", "validate", typed.write("made.yaml", made)).code == 0


@pytest.mark.parametrize(("old", "new", "says"), [
    ("trip_duration: {}", "tripduration: {}", "there is no column 'tripduration' in the datasource"),
    ("trip_duration: {}", "tripduration: {}", "did you mean 'Trip Duration'?"),
    ("USERTYPE: {}", "USERTYPE: {}\n  usertype: {}", "'USERTYPE' and 'usertype' are the same column of the datasource"),
    ("birth_year > 1900", "birthyear > 1900", "the filter reads column 'birthyear', which is not in the datasource"),
    ("categorize_by: start_station_name", "categorize_by: start station", "there is no column 'start station' in the datasource"),
])  # fmt: skip
def test_a_name_that_no_column_has_is_refused_where_it_stands(typed, old, new, says) -> None:
    answer = typed("pipeline", "validate", typed.write("wrong.yaml", YAML.replace(old, new, 1)), code=3)
    assert says in answer.err


def test_a_name_that_several_columns_may_have_is_refused(terminal) -> None:
    terminal.write("t.csv", text("Trip Duration,usertype,birth year,Birth-Year"))
    terminal("datasource", "create", "csv", "--name", "t", "--path", terminal.files / "t.csv")
    config = YAML.replace("start_station_name", "usertype").replace("  usertype: {}\n", "")
    answer = terminal("pipeline", "validate", terminal.write("c.yaml", config), code=3)
    assert (
        answer.err.count("'birth_year' may be any of the columns 'birth year', 'Birth-Year'") == 2
    )  # the label, the filter
    assert "write the name as the table has it, case and blanks included" in answer.err


def test_a_datasource_of_version_0_1_goes_on(terminal) -> None:
    """It called columns in another way; its pipelines find the columns of the next snapshot."""
    former = "trip_duration,usertype,birth_year,start_station_name"
    terminal.write("t.csv", text(former))
    terminal("datasource", "create", "csv", "--name", "t", "--path", terminal.files / "t.csv")
    terminal("pipeline", "push", terminal.write("c.yaml", YAML.replace("Birth Year", "Birth_Year")), "mine")
    terminal("pipeline", "run", "mine", "-y")
    records = terminal.project.records
    record = records.datasources.find("t")
    records.datasources.update(record.id, options={**record.options, "keep_headers": False})
    terminal.write("t.csv", text())
    said = terminal("datasource", "commit", "t").out
    assert "birth_year -> birth year (as in the file; a YAML may go on writing birth_year)" in said
    assert "snapshot 2 of t: 300 rows" in said
    terminal("pipeline", "run", "mine", "-y")
    assert find_run(terminal.project, "mine:1").targets[0].name == "birth_year"
    assert find_run(terminal.project, "mine:2").targets[0].name == "birth year"
    assert terminal("pipeline", "evaluate", "mine:1", "--no-open").code == 0
    compared = terminal("pipeline", "compare", "mine:1", "mine:2", "--json").json
    assert [label["name"] for label in compared["labels"]] == ["birth year"]
    assert {tuple(found["columns"]) for found in compared["labels"][0]["slices"]} == {
        ("usertype",),
        ("Start Station Name",),
    }
