"""`cengine pipeline slice`: new slices of an old run, from its kept predictions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from terminal import YAML, Terminal

NUM_ROWS = 600
HOSTILE = '"; DROP TABLE x; --, <script>'


def table() -> pa.Table:
    random = np.random.default_rng(0)
    x = random.normal(size=NUM_ROWS)
    return pa.table(
        {
            "x": x,
            "word": pa.array(np.array(list("abc"))[np.arange(NUM_ROWS) % 3]),
            "y": 3 * x + 10 + random.normal(size=NUM_ROWS),
            "gender": pa.array([(0, 1, 2, None)[i % 4] for i in range(NUM_ROWS)]),
            "Start Time": pa.array(np.arange(NUM_ROWS) * 10**9).cast(pa.timestamp("us")),
            HOSTILE: pa.array(["it's", "\x1b[31mred", "🚲"] * (NUM_ROWS // 3)),
            "share": pa.array([None, 1.0, 2.0] * (NUM_ROWS // 3)),
            "rich": pa.array(x > 0.3),
            "kind": pa.array(np.array(["low", "mid", "high"])[np.digitize(x, [-0.7, 0.7])]),
            "where": pa.array(np.arange(NUM_ROWS) % 2),
        }
    )


CLASSES = YAML.replace("y: {loss: mse, metrics: [mae]}", "LABEL").replace("type: regression", "type: classification")


@pytest.fixture(scope="module")
def typed(tmp_path_factory) -> Terminal:
    """A terminal with three finished runs: of a number, of two classes and of three."""
    folder = tmp_path_factory.mktemp("slice")
    terminal = Terminal(folder / "project", folder)
    pq.write_table(table(), folder / "t.parquet")
    terminal("datasource", "create", "parquet", "--name", "t", "--path", folder / "t.parquet")
    terminal(
        "pipeline", "push", terminal.write("c.yaml", YAML.replace("metrics: [mae]", "metrics: [mae, rmse]")), "number"
    )
    terminal(
        "pipeline",
        "push",
        terminal.write("b.yaml", CLASSES.replace("LABEL", "rich: {metrics: [accuracy, auc]}")),
        "two",
    )
    terminal("pipeline", "push", terminal.write("k.yaml", CLASSES.replace("LABEL", "kind: {}")), "three")
    terminal(
        "pipeline",
        "push",
        terminal.write("n.yaml", YAML.replace("  y: {loss", "  share: {loss: mae, metrics: [rmse]}\n  y: {loss")),
        "both",
    )
    for name in ("number", "two", "three", "both"):
        terminal("pipeline", "run", name, "-y")
    return terminal


@pytest.fixture(scope="module")
def evaluated(typed):
    """The evaluated rows of the first run with all of their columns, and their errors."""
    from cengine.inspection.run import find_run

    run = find_run(typed.project, "number")
    rows = pa.concat_tables([pq.read_table(file) for file in run.snapshot.files]).to_pandas()
    found = rows.merge(run.predictions().to_pandas()[["_row_id", "prediction: y"]], on="_row_id")
    return found.assign(error=(found["y"] - found["prediction: y"]).abs())


def slices(answer) -> list[dict]:
    ((label),) = answer.json["labels"]
    return label["slices"]


def test_slices_by_a_column_that_the_yaml_did_not_name(typed, evaluated) -> None:
    answer = typed("pipeline", "slice", "number", "gender where word = 'a'", "--json")
    chosen = evaluated[evaluated["word"] == "a"]
    assert (answer.json["columns"], answer.json["condition"]) == (["gender"], "word = 'a'")
    assert (answer.json["num_rows"], answer.json["num_evaluated"]) == (len(chosen), len(evaluated))
    found = {row["gender"]: row for row in slices(answer)}
    assert set(found) == {0, 1, 2, None}
    for value, row in found.items():
        own = chosen[chosen["gender"].isna() if value is None else chosen["gender"] == value]
        assert (row["split"], row["num_rows"]) == ("eval", len(own))
        assert row["mae"] == pytest.approx(own["error"].mean(), rel=1e-9)
        assert row["rmse"] == pytest.approx(np.sqrt((own["error"] ** 2).mean()), rel=1e-9)
        assert row["mae: low"] < row["mae"] < row["mae: high"]


def test_what_is_printed(typed, evaluated) -> None:
    answer = typed("pipeline", "slice", "number", "word")
    assert answer.out.splitlines()[0] == f"number, run 1: {len(evaluated)} evaluated rows"
    assert "\nby word\n" in answer.out
    rows = answer.rows("word|rows|mae|95 %|constant|rmse")
    assert {row[0] for row in rows} == {"a", "b", "c"}
    assert " to " in rows[0][3]
    assert "gender > 0" in typed("pipeline", "slice", "number", "where gender > 0").out.splitlines()[0]


def test_columns_may_be_several_or_none(typed, evaluated) -> None:
    found = slices(typed("pipeline", "slice", "1:1", "gender, word", "--json"))
    assert len(found) == 12
    assert sum(row["num_rows"] for row in found) == len(evaluated)
    (row,) = slices(typed("pipeline", "slice", "1", "where gender is null", "--json"))
    own = evaluated[evaluated["gender"].isna()]
    assert row["num_rows"] == len(own)
    assert row["mae"] == pytest.approx(own["error"].mean(), rel=1e-9)
    assert "word" not in row


def test_conditions_on_the_prediction_and_its_error(typed, evaluated) -> None:
    (row,) = slices(typed("pipeline", "slice", "1", "where ERROR > 1 and prediction < 10", "--json"))
    assert row["num_rows"] == ((evaluated["error"] > 1) & (evaluated["prediction: y"] < 10)).sum() > 0
    found = slices(typed("pipeline", "slice", "two", "rich where prediction > 0.5", "--json"))
    assert {row["rich"] for row in found} == {True, False}
    assert "there is no column 'error'" in typed("pipeline", "slice", "two", "where error > 1", code=4).err
    # Of several classes, or several labels, it would not be clear what they mean.
    for name in ("three", "both"):
        assert "there is no column 'prediction'" in typed("pipeline", "slice", name, "where prediction > 1", code=4).err


def test_every_label_has_its_slices(typed) -> None:
    answer = typed("pipeline", "slice", "both", "gender", "--sort", "mae")
    assert "\nshare, by gender\n" in answer.out
    assert "\ny, by gender\n" in answer.out
    labels = typed("pipeline", "slice", "both", "gender", "--json").json["labels"]
    assert [label["label"] for label in labels] == ["share", "y"]
    assert all("rmse" in row for row in labels[0]["slices"])


def test_order_and_number_of_slices(typed) -> None:
    by_size = slices(typed("pipeline", "slice", "1", "Start Time, word", "--json"))
    assert [row["num_rows"] for row in by_size] == [1] * len(by_size)
    found = slices(typed("pipeline", "slice", "1", "gender, word", "--sort", "mae", "--json"))
    assert [row["mae"] for row in found] == sorted((row["mae"] for row in found), reverse=True)
    higher = slices(typed("pipeline", "slice", "two", "word", "--sort", "accuracy", "--json"))
    assert [row["accuracy"] for row in higher] == sorted(row["accuracy"] for row in higher)
    printed = typed("pipeline", "slice", "1", "gender, word", "--rows", 2).out
    assert "by gender, word (2 of 12 slices, the most harmful first)" in printed
    together = slices(typed("pipeline", "slice", "1", "where true", "--json"))[0]["mae"]
    harm = [(row["mae"] - together) * row["num_rows"] for row in found]
    by_harm = slices(typed("pipeline", "slice", "1", "gender, word", "--json"))
    assert by_harm == [found[place] for place in np.argsort(-np.array(harm), kind="stable")]
    by_rows = typed("pipeline", "slice", "1", "gender, word", "--rows", 2, "--sort", "num_rows")
    assert "(2 of 12 slices, by num_rows)" in by_rows.out
    assert "slices)" not in typed("pipeline", "slice", "1", "gender, word", "--rows", 2, "--all").out
    least = min(row["num_rows"] for row in found)
    assert all(
        row["num_rows"] > least
        for row in slices(typed("pipeline", "slice", "1", "gender, word", "--min-count", least + 1, "--json"))
    )
    assert "there is no metric 'mea'" in typed("pipeline", "slice", "1", "word", "--sort", "mea", code=7).err
    assert "did you mean 'mae'?" in typed("pipeline", "slice", "1", "word", "--sort", "mea", code=7).err


@pytest.mark.parametrize(
    ("text", "columns", "condition"),
    [
        ("gender", ["gender"], None),
        (" GENDER ,Word ", ["gender", "word"], None),
        ("gender,gender", ["gender"], None),
        ("Start Time where gender=1", ["Start Time"], "gender=1"),
        ('"Start Time", word WHERE gender = 1', ["Start Time", "word"], "gender = 1"),
        ("word where\n gender in (1, 2)", ["word"], "gender in (1, 2)"),
        ("where word <> ' where '", [], "word <> ' where '"),
        ("where", ["where"], None),
        ('"where" where "where" = 1', ["where"], '"where" = 1'),
        (HOSTILE, [HOSTILE], None),
        ('"""; DROP TABLE x; --, <script>", gender', [HOSTILE, "gender"], None),
    ],
)
def test_what_can_be_asked_for(typed, text, columns, condition) -> None:
    answer = typed("pipeline", "slice", "1", text, "--json")
    assert (answer.json["columns"], answer.json["condition"]) == (columns, condition)
    assert slices(answer)


def test_hostile_names_and_values_are_text(typed) -> None:
    out = typed("pipeline", "slice", "1", HOSTILE).out
    assert "it's" in out
    assert "🚲" in out
    assert "\x1b" not in out
    assert "<script>" in out


def test_missing_values_are_a_slice_and_pass_no_comparison(typed) -> None:
    found = slices(typed("pipeline", "slice", "1", "share", "--json"))
    assert {row["share"] for row in found} == {None, 1.0, 2.0}
    found = slices(typed("pipeline", "slice", "1", "share where share > 1", "--json"))
    assert [row["share"] for row in found] == [2.0]


def test_times_are_compared_as_times(typed, evaluated) -> None:
    text = "where \"Start Time\" < '1970-01-03'"
    answer = typed("pipeline", "slice", "1", text, "--json")
    assert answer.json["num_rows"] == (evaluated["Start Time"] < "1970-01-03").sum() > 0


def test_no_row_passes(typed) -> None:
    answer = typed("pipeline", "slice", "1", "word where gender = 9")
    assert answer.out.splitlines()[0].startswith("number, run 1: 0 of ")
    assert slices(typed("pipeline", "slice", "1", "word where gender = 9", "--json")) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "nothing is asked for"),
        ("   ", "nothing is asked for"),
        ("gendr", "there is no column 'gendr'"),
        ("gendr", "did you mean 'gender'?"),
        ("gender, ", "a column is missing beside a comma"),
        ("gender,", "a column is missing beside a comma"),
        (",gender", "a column is missing beside a comma"),
        ('"gender', "no list of columns"),
        ('"gender" word', "no list of columns"),
        ("gender where", "nothing stands after `where`"),
        ("gender where gendr = 1", "did you mean 'gender'?"),
        ("gender where gender = 1; drop table x", "it holds more than one statement"),
        ("gender; drop table x", "there is no column"),
        ("gender where drop table x", "the condition cannot be used"),
        ("gender where avg(gender) > 1", "looks at more than one row"),
        ("gender where gender in (select 1)", "a query is not allowed"),
        ("gender where gender", "it gives a bigint, not true or false"),
        ("gender where word > timestamp 'x'", "the condition cannot be used"),
        ("gender where gender = ", "the condition cannot be used"),
        ("gender where read_text('/etc/passwd') = ''", "the condition cannot be used"),
        ("prediction", "there is no column 'prediction'"),
        ("_row_id", "there is no column '_row_id'"),
    ],
)
def test_what_cannot_be_asked_for(typed, text, says) -> None:
    answer = typed("pipeline", "slice", "1", text, code=4)
    assert says in answer.err
    assert answer.out == ""


def test_runs_that_are_not_there(typed) -> None:
    assert "there is no pipeline 'numbr'" in typed("pipeline", "slice", "numbr", "gender", code=7).err
    assert "has no results" in typed("pipeline", "slice", "1:9", "gender", code=7).err


def test_nothing_is_left_behind(typed) -> None:
    typed("pipeline", "slice", "1", "gender where error > 1")
    assert typed.leftovers() == []
