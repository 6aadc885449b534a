"""What `where:` may say, and in which sentence it is refused."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from cengine.expressions.filters import NotAFilter, columns_of, comparing_digits, parse_filter, with_columns
from cengine.tables import DIGITS, Column, TableSchema

TABLE = pa.table({
    "row": [1, 2, 3, 4],
    "birth_year": [1899, 1969, None, 1990],
    "name": ["Grove St", "it's", None, "100% 'odd' -- no comment"],
    "speed": [0.5, -1.5, 2.0, None],
    "start time": pa.array(["2018-06-01 08:00:00", "2018-12-31 23:59:59", None, "2018-06-02 00:00:00"]).cast(pa.timestamp("us")),
    "member": [True, False, None, True],
})  # fmt: skip


def rows_that_pass(engine, text):
    engine.register("t", TABLE)
    expression = with_columns(parse_filter(text), TABLE.column_names)
    return engine.fetch(f'SELECT "row" FROM t WHERE {expression.sql("duckdb")} ORDER BY "row"')["row"].to_pylist()


ALLOWED = [
    ("birth_year > 1900", [2, 4]),
    ("BIRTH_YEAR > 1900", [2, 4]),
    ('"Birth_Year" > 1900', [2, 4]),
    ("birth_year <> 1969", [1, 4]),
    ("birth_year != 1969", [1, 4]),
    ("NOT birth_year = 1969", [1, 4]),
    ("birth_year IS NULL", [3]),
    ("birth_year IS NOT NULL and member", [1, 4]),
    ("birth_year between 1960 and 1980", [2]),
    ("birth_year in (1899, 1990)", [1, 4]),
    ("birth_year NOT IN (1899, 1990)", [2]),
    ("name = 'Grove St'", [1]),
    ("name = 'it''s'", [2]),
    ("name LIKE '%odd%'", [4]),
    ("name like 'grove%' or name ILIKE 'grove%'", [1]),
    ("name = '100% ''odd'' -- no comment'", [4]),
    ("starts_with(name, 'Gro')", [1]),
    ("length(name) > 4 and upper(name) = 'GROVE ST'", [1]),
    ("coalesce(birth_year, 0) = 0", [3]),
    ("case when speed > 1 then true else false end", [3]),
    ("abs(speed) >= 1.5", [2, 3]),
    ("-speed > 0", [2]),
    ("speed * 2 + 1 = 2", [1]),
    ("birth_year % 10 = 9", [1, 2]),
    ("cast(birth_year as varchar) = '1969'", [2]),
    ('"start time" >= \'2018-06-02\'', [2, 4]),
    ("\"start time\" < timestamp '2018-06-02 00:00:00'", [1]),
    ('extract(year from "start time") = 2018', [1, 2, 4]),
    ('year("start time") = 2018 and month("start time") = 6', [1, 4]),
    ('date_trunc(\'day\', "start time") = date \'2018-06-02\'', [4]),
    ("member", [1, 4]),
    ("member is true", [1, 4]),
    ("true", [1, 2, 3, 4]),
    ("(birth_year > 1900)", [2, 4]),
    ("birth_year > 1900 -- as the post does", [2, 4]),
    ("birth_year /* when born */ > 1900", [2, 4]),
    ("birth_year > 1900;", [2, 4]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "rows"), ALLOWED)
def test_filters_pass_the_rows_that_sql_says(text, rows, engine) -> None:
    assert rows_that_pass(engine, text) == rows


REFUSED = [
    ("", "it is empty"),
    ("   ", "it is empty"),
    ("birth_year >", "it is not an SQL expression: something is missing in it"),
    ("birth_year > AND 3", "it is not an SQL expression"),
    ("(birth_year > 3", "it is not an SQL expression: Expecting )"),
    ("birth_year > 3)", "it is not an SQL expression"),
    ("name = 'open", "it is not an SQL expression"),
    ("birth_year > 1900; DROP TABLE t", "it holds more than one statement"),
    ("true; true", "it holds more than one statement"),
    ("SELECT 1", "a query is not allowed, only an expression over the columns of a row"),
    ("birth_year > (SELECT 3)", "a query is not allowed, only an expression over the columns of a row"),
    ("birth_year in (select birth_year from t)", "a query is not allowed, only an expression over the columns of a row"),
    ("exists (select 1)", "is not allowed"),
    ("DROP TABLE t", "a statement is not allowed, only an expression such as `birth_year > 1900`"),
    ("INSERT INTO t VALUES (1)", "a statement is not allowed, only an expression such as `birth_year > 1900`"),
    ("DELETE FROM t", "a statement is not allowed, only an expression such as `birth_year > 1900`"),
    ("UPDATE t SET row = 3", "a statement is not allowed, only an expression such as `birth_year > 1900`"),
    ("COPY t TO 'x.csv'", "a statement is not allowed, only an expression such as `birth_year > 1900`"),
    ("CREATE TABLE x AS SELECT 1", "a statement is not allowed, only an expression such as `birth_year > 1900`"),
    ("ATTACH 'x.db'", "a statement is not allowed, only an expression such as `birth_year > 1900`"),
    ("PRAGMA database_list", "a statement is not allowed, only an expression such as `birth_year > 1900`"),
    ("SET memory_limit = '1GB'", "a statement is not allowed, only an expression such as `birth_year > 1900`"),
    ("INSTALL httpfs", "a statement is not allowed, only an expression such as `birth_year > 1900`"),
    ("count(*) > 3", "'COUNT(*)' looks at more than one row; only an expression over the columns of a row is allowed"),
    ("speed > avg(speed)", "'AVG(speed)' looks at more than one row; only an expression over the columns of a row is allowed"),
    ("row_number() over () < 10", "looks at more than one row"),
    ("random() < 0.5", "the function RAND is not allowed here"),
    ("uuid() = name", "is not allowed here"),
    ("now() > '2018-01-01'", "is not allowed here"),
    ("read_text('/etc/passwd') = name", "the function READ_TEXT is not allowed here"),
    ("read_csv('/etc/passwd') is null", "is not allowed here"),
    ("getenv('HOME') = name", "the function GETENV is not allowed here"),
    ("current_setting('memory_limit') = name", "the function CURRENT_SETTING is not allowed here"),
    ("row = ?", "is not allowed here"),
    ("row = $1", "is not allowed here"),
    ("row = (x -> x + 1)", "is not allowed here"),
    ("* is null", "is not allowed here"),
    ("birth_year > 1900 limit 3", "is not"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), REFUSED)
def test_everything_else_is_refused(text, sentence) -> None:
    with pytest.raises(NotAFilter) as caught:
        parse_filter(text)
    assert sentence in str(caught.value)


def test_columns_are_quoted_and_found() -> None:
    expression = parse_filter('a > 1 and "B c" = A and "d" is null')
    assert columns_of(expression) == ["a", "B c", "A", "d"]
    assert expression.sql("duckdb") == '"a" > 1 AND "B c" = "A" AND "d" IS NULL'
    assert with_columns(expression, ["A", "b C", "d"]).sql("duckdb") == '"A" > 1 AND "b C" = "A" AND "d" IS NULL'


@pytest.mark.parametrize("name", ["select", "a b", "ünï", "a.b", "100%", "it's", 'say "x"', "1st", "a;b", "-- c"])
def test_quoted_names_may_hold_anything(name, engine) -> None:
    engine.register("odd", pa.table({name: [1, 2, 3]}))
    expression = parse_filter('"' + name.replace('"', '""') + '" > 1')
    assert columns_of(expression) == [name]
    assert engine.fetch(f"SELECT COUNT(*) AS n FROM odd WHERE {expression.sql('duckdb')}")["n"].to_pylist() == [2]


def test_comments_do_not_reach_the_engine() -> None:
    assert parse_filter("a /* x */ > 1 -- y").sql("duckdb") == '"a" > 1'


def test_whole_numbers_kept_as_texts_are_compared_as_numbers() -> None:
    schema = TableSchema((Column("id", DIGITS, "string"), Column("age", "BIGINT", "integer")), 3)
    condition = comparing_digits(
        with_columns(parse_filter("id > 18446744073709551600 AND age > 9"), schema.names), schema
    )
    rows = pa.table({"id": ["9", "18446744073709551600", "18446744073709551601"], "age": [10, 10, 10]})  # noqa: F841  DuckDB reads it
    found = duckdb.sql(f"SELECT id FROM rows WHERE {condition.sql('duckdb')}").fetchall()
    assert found == [("18446744073709551601",)]
    for dialect in ("postgres", "spark"):
        assert "AS DECIMAL(38, 0)) > 18446744073709551600" in condition.sql(dialect)


CLOSED = [
    ("cast(speed as integr) > 1", "'integr' is no type that is allowed here", "did you mean 'INTEGER'?"),
    ('cast(speed as "marked type") > 1', "is no type that is allowed here", "types: BOOLEAN, "),
    ("cast(speed as decimal('marked')) > 1", "are not whole numbers", "write for example: DECIMAL(10, 2)"),
    ("cast(speed as decimal(marked)) > 1", "are not whole numbers", "write for example: DECIMAL(10, 2)"),
    ('cast(speed as decimal("")) > 1', "it is not an SQL expression", ""),
    ("cast(speed as timestamp(3)) > 1", "the type TIMESTAMP takes no parameters here", "write TIMESTAMP"),
    ("cast(speed as int[]) is null", "'INT[]' is no type that is allowed here", "types: BOOLEAN, "),
    ("extract(wek from \"start time\") = 1", "'wek' is no unit of time that is allowed here", "did you mean 'week'?"),
    ("extract(\"a b\" from \"start time\") = 1", "'a b' is no unit of time", "units: year, "),
    ("extract('a b' from \"start time\") = 1", "'a b' is no unit of time", "units: year, "),
    ("date_trunc('marked', \"start time\") is null", "'marked' is no unit of time", "units: year, "),
    ("date_trunc(lower('day'), \"start time\") is null", "is no unit of time", "units: year, "),
    ("date_trunc('day', \"start time\", 'x') is null", "'x' would be ignored where it stands", "leave it out"),
    ("date_diff('marked', \"start time\", \"start time\") > 1", "'marked' is no unit of time", "units: year, "),
    ("\"start time\" > \"start time\" + interval '1 day 2 hours'", "is not one number and one unit", "interval '1' day + interval '2' hour"),
    ("t.birth_year > 1900", "names a table", 'write "birth_year"'),
    ("birth_year in name", "what follows IN stands in brackets", "write for example: birth_year in (1, 2)"),
    ("birth_year in ()", "nothing stands in the brackets after IN", "write for example: birth_year in (1, 2)"),
    ("birth_year between symmetric 3 and 1", "BETWEEN SYMMETRIC", "least"),
    ("name = 'a\0b'", "NUL", "remove it"),
    ("(" * 60 + "true" + ")" * 60, "it is nested too deeply", "several filters"),
    ("birth_year" + " + 1" * 300 + " > 0", "it is nested too deeply", "several filters"),
    ("name = '" + "x" * 30_000 + "'", "more than 20,000", "several filters"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence", "way_out"), CLOSED)
def test_types_units_and_names_are_of_closed_lists(text, sentence, way_out) -> None:
    with pytest.raises(NotAFilter) as caught:
        parse_filter(text)
    assert sentence in str(caught.value)
    assert not way_out or any(way_out in note for note in caught.value.notes)
