"""What a model's SQL is called, what is refused, and how it comes to be a file."""

from __future__ import annotations

import dataclasses
import json

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import sqlglot
from click.testing import CliRunner
from sqlglot import exp
from untrained import untrained_models

from cengine.cli.export import export as command
from cengine.errors import ExportError
from cengine.exports import sql, sql_files
from cengine.exports.formats import SQL_DIALECTS, export
from cengine.exports.sql import sql_of, statement_of
from cengine.exports.sql_dialects import DIALECTS, dialect_named
from cengine.networks.layers import dense

SPLIT = "split: {ratio: {train: 0.8, eval: 0.2}, seed: 3}\n"
LAYERS = "layers: [{type: dense, units: 4}]"
PIPELINES = {
    "number": f"features: {{a: {{}}, word: {{}}}}\nlabels: {{y: {{}}}}\n{SPLIT}trainer: {{type: regression, {LAYERS}}}",
    "classes": f"features: {{a: {{}}, word: {{}}}}\nlabels: {{kind: {{}}}}\n{SPLIT}trainer: {{type: classification, {LAYERS}}}",
    "snapshot": f"features: {{a: {{transform: no_transform}}, word: {{}}}}\nlabels: {{y: {{}}}}\n{SPLIT}"
    "trainer: {type: regression, layers: [{type: dense, units: 2}]}",
    "times": "features: {at: {transform: {method: calendar, parameters: {zone: Europe/Berlin}}}}\nlabels: {y: {}}\n"
    f"{SPLIT}trainer: {{type: regression, {LAYERS}}}",
    "wide": f"features: {{a: {{}}}}\nlabels: {{y: {{}}}}\n{SPLIT}trainer: {{type: regression, layers: [{{type: dense, units: 1700}}]}}",
}

BIGQUERY = """WITH cengine_0 AS (
SELECT
`id` AS k0,
CAST(`a` AS INT64) AS g0,
CAST(`word` AS STRING) AS g1
FROM my-project.data.trips
),
cengine_1 AS (
SELECT
k0,
LEAST(COALESCE(GREATEST(COALESCE(CAST(COALESCE(`g0`, CAST(0 AS INT64)) AS FLOAT64), CAST(-1.152921504606847e+18 AS FLOAT64)), CAST(-1.152921504606847e+18 AS FLOAT64)), CAST(1.152921504606847e+18 AS FLOAT64)), CAST(1.152921504606847e+18 AS FLOAT64)) AS x0,
CAST(COALESCE((SELECT o FROM UNNEST(['x','it\\'s','nul','y']) AS w WITH OFFSET AS o WHERE w=COLLATE(CAST(COALESCE(`g1`, '') AS STRING),'')), CAST(4 AS INT64)) AS INT64) AS x1
FROM cengine_0
),
cengine_2 AS (
SELECT
k0,
x0,
CASE WHEN (x1 = 0) THEN 1.0 ELSE 0.0 END AS a0,
CASE WHEN (x1 = 1) THEN 1.0 ELSE 0.0 END AS a1,
CASE WHEN (x1 = 2) THEN 1.0 ELSE 0.0 END AS a2,
CASE WHEN (x1 = 3) THEN 1.0 ELSE 0.0 END AS a3,
CASE WHEN (x1 = 4) THEN 1.0 ELSE 0.0 END AS a4
FROM cengine_1
),
cengine_3 AS (
SELECT
k0,
greatest(((x0*0.21+a0*0.2+a1*0.55+a2*-0.33+a3*0.22+a4*0.02)+-0.22),0.0) AS b0,
greatest(((x0*0.5+a0*-0.8+a1*0.27+a2*0.36+a3*0.18+a4*0.33)+-0.05),0.0) AS b1
FROM cengine_2
)
SELECT
k0 AS `id`,
((((b0*-0.51+b1*0.64)+0.01)*6.311494350587664)+9.90625) AS `prediction`
FROM cengine_3"""  # noqa: E501


def table() -> pa.Table:
    random = np.random.default_rng(2)
    a = random.integers(0, 9, 200)
    words = np.array(["x", "y", "nul\0l", "it's"])[a % 4]
    at = pa.array(random.integers(0, 2 * 10**15, 200), pa.timestamp("us"))
    return pa.table(
        {"a": a, "at": at, "word": words, "y": a * 2.5, "kind": np.array(["Yes", "yes", "NO " + "o" * 60])[a % 3]}
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return untrained_models(tmp_path_factory.mktemp("models"), table(), PIPELINES)


def asked(text: str) -> pa.Table:
    with duckdb.connect() as connection:
        connection.register("given", table())
        return connection.sql(text).to_arrow_table()


def test_a_statement_of_bigquery_is_what_was_agreed(models) -> None:
    """It is read by sqlglot, and each table expression reads the one before."""
    text = sql_of(models["snapshot"], "bigquery", "my-project.data.trips", keep=["id"])
    read = sqlglot.parse_one(text, dialect="bigquery")
    names = [one.alias for one in read.find_all(exp.CTE)]
    assert names == [f"cengine_{place}" for place in range(4)]
    assert {one.sql("bigquery") for one in read.find_all(exp.Table)} == {"my-project.data.trips", *names}
    assert read.named_selects == ["id", "prediction"]
    assert text == BIGQUERY


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_same_model_gives_the_same_text(models, dialect) -> None:
    assert sql_of(models["number"], dialect, "t") == sql_of(models["number"], dialect, "t")
    assert set(SQL_DIALECTS) == set(DIALECTS)


def test_words_with_the_character_0_are_found(models) -> None:
    found = asked(sql_of(models["number"], "duckdb", "given"))
    np.testing.assert_allclose(
        found["prediction"], models["number"].predict(table())["prediction"], rtol=1e-5, atol=1e-5
    )


def test_names_that_differ_in_case_alone_are_told_apart(models) -> None:
    statement = statement_of(models["classes"], "duckdb", "given", keep=["A"])
    assert statement.columns[:2] == ("A", "prediction")
    assert sorted(statement.columns[3:]) == ["probability_Yes", "probability_yes_2"]
    found = asked(f"SELECT * FROM ({statement.text}) AS p")
    assert tuple(found.column_names) == statement.columns
    expected = models["classes"].predict(table())
    assert found["prediction"].to_pylist() == expected["prediction"].to_pylist()


@pytest.mark.parametrize("column", ['"at"', "\"at\" AT TIME ZONE 'UTC'", 'CAST("at" AS DATE)'])
def test_times_are_utc_whatever_the_session_says(models, column) -> None:
    text = sql_of(models["times"], "duckdb", "zoned")
    with duckdb.connect() as connection:
        connection.register("given", table())
        connection.execute("SET TimeZone = 'Asia/Tokyo'")
        connection.execute(f'CREATE TABLE zoned AS SELECT {column} AS "at" FROM given')
        found = connection.sql(text).fetchnumpy()["prediction"]
    rows = table() if "DATE" not in column else pa.table({"at": table()["at"].cast(pa.date32(), safe=False)})
    np.testing.assert_allclose(found, models["times"].predict(rows)["prediction"], rtol=1e-5, atol=1e-5)


def test_a_table_may_be_called_as_our_expressions_are(models) -> None:
    text = sql_of(models["number"], "duckdb", "cengine_0")
    with duckdb.connect() as connection:
        connection.register("cengine_0", table())
        assert len(connection.sql(text).fetchall()) == 200


@pytest.mark.parametrize(("written", "said"), [
    ("trips", "FROM trips"), ("s.trips", "FROM s.trips"), ('"my trips"', 'FROM "my trips"'), ("my trips", 'FROM "my trips"'),
    ("t; DROP TABLE t", 'FROM "t; DROP TABLE t"'), ("t -- x", "FROM t\n"),
])  # fmt: skip
def test_a_table_is_a_name_whatever_is_written(models, written, said) -> None:
    assert said in sql_of(models["number"], "duckdb", written)


@pytest.mark.parametrize(("dialect", "table_name", "keep", "message"), [
    ("duckbd", "t", [], "did you mean 'duckdb'?"),
    ("duckdb", "", [], "is not the name of a table in DuckDB"),
    ("duckdb", "read_csv('/etc/passwd')", [], "is not the name of a table in DuckDB"),
    ("duckdb", 'a"; DROP TABLE t', [], "is not the name of a table in DuckDB"),
    ("duckdb", "a.b.c.d", [], "is not the name of a table in DuckDB"),
    ("duckdb", "t", ["Prediction"], "two columns 'Prediction'"),
    ("duckdb", "t", ["a", "A"], "two columns 'A'"),
])  # fmt: skip
def test_what_is_no_name_is_refused(models, dialect, table_name, keep, message) -> None:
    with pytest.raises(ExportError) as found:
        sql_of(models["number"], dialect, table_name, keep)
    assert message in str(found.value)


def test_limits_of_postgres_are_told(models) -> None:
    with pytest.raises(ExportError, match="PostgreSQL cuts names off after 63 bytes"):
        sql_of(models["classes"], "postgres", "t")
    with pytest.raises(ExportError, match="at most 1,600 columns"):
        sql_of(models["wide"], "postgres", "t")
    assert len(sql_of(models["wide"], "duckdb", "t")) < 200_000


def test_too_large_a_network_is_refused_with_the_way_out(models, monkeypatch) -> None:
    monkeypatch.setattr(sql, "MOST_WEIGHTS", 1000)
    with pytest.raises(ExportError, match="cengine predict does several times as many") as found:
        sql_of(models["wide"], "spark", "t")
    assert "this network has 5,1" in str(found.value)
    assert "--force" in str(found.value)
    assert sql_of(models["wide"], "spark", "t", force=True)
    monkeypatch.setattr(sql, "MOST_BYTES", 10_000)
    assert sql_of(models["wide"], "spark", "t", force=True)
    with pytest.raises(ExportError, match="BigQuery, which takes no larger statement"):
        sql_of(models["wide"], "bigquery", "t", force=True)


def test_a_slow_statement_comes_with_a_warning(models, monkeypatch) -> None:
    assert statement_of(models["wide"], "duckdb", "t").warning is None
    monkeypatch.setattr(sql, "MANY_WEIGHTS", 1000)
    warning = statement_of(models["wide"], "duckdb", "t").warning
    assert warning is not None
    assert "rows a second" in warning


def test_a_learner_without_a_form_is_refused_by_name(models) -> None:
    class Opaque:
        def predict(self, batch):
            raise AssertionError

    model = dataclasses.replace(models["number"].parts) and type(models["number"])(models["number"].parts)
    model.__dict__["predictor"] = Opaque()
    with pytest.raises(ExportError, match="the learner 'feedforward' has no form outside of itself"):
        sql_of(model, "duckdb", "t")


def test_a_layer_without_a_form_is_refused_by_name(models, monkeypatch) -> None:
    monkeypatch.setattr(dense, "ACTIVATIONS", {})
    with pytest.raises(ExportError, match="the activation 'relu' has no SQL form") as found:
        sql_of(models["number"], "spark", "t")
    assert "--format keras" in str(found.value)


def test_numbers_keep_their_digits() -> None:
    numbers = [np.float32(0.1), np.float32(1e-30), -0.5, 3, np.float32(1 / 3), np.int64(7)]
    assert [dialect_named("duckdb").number(n) for n in numbers] == [
        "0.1e0",
        "1e-30",
        "-0.5e0",
        "3",
        "0.33333334e0",
        "7",
    ]
    assert [dialect_named("spark").number(n) for n in numbers[:3]] == ["0.1D", "1e-30D", "-0.5D"]
    assert dialect_named("postgres").typed(0.5) == "CAST(0.5 AS float8)"
    assert dialect_named("bigquery").typed(np.inf) == "CAST('Infinity' AS FLOAT64)"


def test_a_file_comes_with_its_proof(models, tmp_path) -> None:
    rows = table().select(["a", "word"])
    told = export(
        models["classes"], "sql", tmp_path / "as_sql", iter([rows]), dialect="spark", table="db.t", keep=["a"]
    )
    certificate = json.loads((tmp_path / "as_sql" / "certificate.json").read_text())["exports"]["sql"]
    assert certificate == json.loads(json.dumps(told))
    assert (told["rows"], told["made_up_rows"], told["classes_differ"]) == (200, 20_000, 0)
    assert told["largest_difference"] < told["bound"] == 1e-4
    assert (told["dialect"], told["compared_on"]) == ("spark", "duckdb")
    assert (tmp_path / "as_sql" / "model.sql").read_text() == sql_of(models["classes"], "spark", "db.t", ["a"]) + "\n"


def test_a_statement_that_predicts_something_else_is_not_written(models, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sql_files, "BOUNDS", (1e-12, 1e-12))
    with pytest.raises(ExportError, match=r"model.sql does not predict what the model predicts"):
        export(models["number"], "sql", tmp_path / "as_sql", iter([table().select(["a", "word"])]))
    assert not list(tmp_path.iterdir())


def test_the_command_writes_it(models, tmp_path) -> None:
    models["number"].save(tmp_path / "model")
    arguments = [str(tmp_path / "model"), "-o", str(tmp_path / "out")]
    refused = CliRunner().invoke(command, [*arguments, "--format", "onnx", "--table", "t"])
    assert refused.exit_code == 2
    assert "--table is an option of --format sql" in refused.output
    unknown = CliRunner().invoke(command, [*arguments, "--format", "sql", "--dialect", "oracle"])
    assert unknown.exit_code == 2
    assert "'oracle' is not one of" in unknown.output
    done = CliRunner().invoke(
        command, [*arguments, "--format", "sql", "--dialect", "postgres", "--table", "t", "--keep", "a,word", "--json"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["columns"] == ["a", "word", "prediction"]
    assert "FROM t OFFSET 0" in (tmp_path / "out" / "model.sql").read_text()
