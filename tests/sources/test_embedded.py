"""Tables of SQLite and DuckDB files: types as the values are, queries, and what goes wrong."""

from __future__ import annotations

import datetime
import sqlite3

import duckdb
import pytest
from registering import kinds, register, rows
from terminal import Terminal

from cengine.errors import SourceError


@pytest.fixture
def project(terminal: Terminal):
    terminal.project.folder.mkdir(parents=True)
    return terminal.project


@pytest.fixture
def database(tmp_path):
    """`database("sqlite", statement, ...)` is the path of a new database."""

    def make(kind: str, *statements: str):
        path = tmp_path / f"t.{kind}"
        connection = sqlite3.connect(path) if kind == "sqlite" else duckdb.connect(str(path))
        for statement in statements:
            connection.execute(statement)
        if kind == "sqlite":
            connection.commit()
        connection.close()
        return path

    return make


def test_types_of_sqlite_are_those_of_the_values(database, project) -> None:
    path = database(
        "sqlite",
        "CREATE TABLE t (id, whole INT, real REAL, mixed, word TEXT, day DATE, moment DATETIME, code TEXT, bytes BLOB, empty, number_or_word)",
        "INSERT INTO t VALUES (1, 9007199254740993, 0.5, 1, 'ü', '2020-02-29', '2020-02-29 12:30:15.123456', '2020-99-99', x'0001', NULL, 1)",
        "INSERT INTO t VALUES (2, NULL, NULL, 1.5, NULL, NULL, '2020-06-01T12:00:00+02:00', 'x', NULL, NULL, 'one')",
    )
    snapshot = register(project, "sqlite", uri=str(path), table="t")
    assert kinds(snapshot) == {
        "id": "integer",
        "whole": "integer",
        "real": "float",
        "mixed": "float",
        "word": "string",
        "day": "timestamp",
        "moment": "timestamp",
        "code": "string",
        "bytes": None,
        "empty": "string",
        "number_or_word": "string",
    }
    first, second = rows(snapshot, "id")
    assert first["whole"] == 9007199254740993
    assert (first["mixed"], second["mixed"]) == (1.0, 1.5)
    assert first["day"] == datetime.datetime(2020, 2, 29)
    assert first["moment"] == datetime.datetime(2020, 2, 29, 12, 30, 15, 123456)
    assert second["moment"] == datetime.datetime(2020, 6, 1, 10)
    assert (first["number_or_word"], second["number_or_word"]) == ("1", "one")
    assert first["bytes"] == b"\x00\x01"


def test_whole_numbers_of_sqlite_keep_their_digits_beside_reals(database, project) -> None:
    """A real has the digits of whole numbers up to 2**53 only."""
    path = database("sqlite", "CREATE TABLE t (id)", "INSERT INTO t VALUES (9007199254740993), (2.0)")
    assert [row["id"] for row in rows(register(project, "sqlite", uri=str(path), table="t"), "id")] == [
        2,
        9007199254740993,
    ]


def test_a_view_of_sqlite_reaches_nothing_but_its_file(database, project) -> None:
    path = database(
        "sqlite",
        "CREATE TABLE t AS SELECT 1 AS n",
        "CREATE VIEW harmless AS SELECT n + 1 AS n FROM t",
        "CREATE VIEW loads AS SELECT load_extension('none') AS n",
    )
    assert rows(register(project, "sqlite", uri=str(path), table="harmless"), "n") == [{"n": 2}]
    with pytest.raises(SourceError, match=r"load_extension|not authorized"):
        register(project, "sqlite", uri=str(path), table="loads")


def test_types_of_duckdb(database, project) -> None:
    path = database(
        "duckdb",
        "CREATE TYPE mood AS ENUM ('glad', 'sad')",
        "CREATE TABLE t AS SELECT 1 AS id, 'glad'::mood AS mood, uuid '00000000-0000-0000-0000-00000000000a' AS key,"
        " 170141183460469231731687303715884105727 AS huge,"
        " 1.25::decimal(10,2) AS money, date '2020-02-29' AS day, timestamptz '2020-06-01 12:00:00+02' AS moment, [1, 2] AS list,"
        " {'a': 1} AS struct, true AS flag",
    )
    snapshot = register(project, "duckdb", uri=f"duckdb:///{path}", table="t")
    (row,) = rows(snapshot, "id")
    assert (row["mood"], row["key"], row["huge"]) == ("glad", "00000000-0000-0000-0000-00000000000a", str(2**127 - 1))
    assert (row["list"], row["struct"], row["flag"]) == ([1, 2], {"a": 1}, True)
    assert row["moment"].astimezone(datetime.UTC) == datetime.datetime(2020, 6, 1, 10, tzinfo=datetime.UTC)
    assert (kinds(snapshot)["money"], kinds(snapshot)["list"]) == ("float", None)


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_queries_views_and_odd_names(database, project, kind) -> None:
    path = database(
        kind,
        'CREATE TABLE "odd ""name" (id INT, "with space" TEXT)',
        """INSERT INTO "odd ""name" VALUES (1, 'a'), (2, NULL), (3, 'c')""",
        'CREATE VIEW seen AS SELECT * FROM "odd ""name" WHERE id > 1',
    )
    found = register(project, kind, uri=str(path), table='odd "name')
    assert rows(found, "id") == [
        {"id": 1, "with space": "a"},
        {"id": 2, "with space": None},
        {"id": 3, "with space": "c"},
    ]
    assert [row["id"] for row in rows(register(project, kind, uri=str(path), table="seen"), "id")] == [2, 3]
    query = "with few as (select id from seen) select id * 10 as tens from few order by 1 desc -- as it is"
    assert [row["tens"] for row in rows(register(project, kind, uri=str(path), query=query), "tens")] == [20, 30]


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_commit_hashes_the_file_and_reads_only_a_changed_one(terminal, database, kind, monkeypatch) -> None:
    path = database(kind, "CREATE TABLE t (x INT)", "INSERT INTO t VALUES (1), (2)")
    monkeypatch.chdir(path.parent)
    terminal("datasource", "create", kind, "--name", "t", "--uri", path.name, "--table", "t")
    monkeypatch.chdir("/")
    assert "nothing has changed" in terminal("datasource", "commit", "t").out
    database(kind, "CREATE TABLE other (y INT)")
    assert "nothing has changed" in terminal("datasource", "commit", "t").out
    database(kind, "INSERT INTO t VALUES (3)")
    assert "snapshot 2 of t: 3 rows" in terminal("datasource", "commit", "t").out


WRONG = {
    "no such file": ("sqlite", {"uri": "{folder}/none.db", "table": "t"}, ("there is no file",)),
    "no such table": ("sqlite", {"table": "trisp"}, ("has no table 'trisp'", "did you mean 'trips'?")),
    "no such table of DuckDB": ("duckdb", {"table": "trisp"}, ("has no table 'trisp'", "did you mean 'trips'?")),
    "two statements": ("sqlite", {"query": "select 1 as a; drop table trips"}, ("2 statements",)),
    "a query that writes": ("duckdb", {"query": "insert into trips values (1) returning *"}, ("is an INSERT",)),
    "a query that reads files": ("duckdb", {"query": "select * from read_text('/etc/hostname')"}, ("disabled",)),
    "a query that attaches": ("sqlite", {"query": "attach 'x' as y"}, ("is an ATTACH",)),
    "no such column": ("sqlite", {"query": "select nosuch from trips"}, ("no such column: nosuch",)),
    "no database": ("sqlite", {"uri": "{folder}/text.db", "table": "t"}, ("file is not a database",)),
    "no DuckDB": ("duckdb", {"uri": "{folder}/text.db", "table": "t"}, ("text.db",)),
    "bytes beside a text": (
        "sqlite",
        {"query": "select x'00' as b union all select 'a'"},
        ("column 'b' holds bytes beside a text", "hex(b)"),
    ),
    "digits and fractions": (
        "sqlite",
        {"query": "select 9007199254740993 as n union all select 0.5"},
        ("column 'n' holds whole numbers above 2**53 beside numbers with a fraction", "CAST(n AS TEXT)"),
    ),
    "an address": ("sqlite", {"uri": "postgresql://host/db", "table": "t"}, ("is no file",)),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_and_nothing_is_left(terminal, database, case) -> None:
    kind, given, says = WRONG[case]
    path = database(kind, "CREATE TABLE trips (n INT)", "INSERT INTO trips VALUES (1)")
    terminal.write("text.db", "this is a text and no database" * 100)
    options = {"uri": str(path), **given}
    words = [word for name, value in options.items() for word in (f"--{name}", value.format(folder=terminal.files))]
    answer = terminal("datasource", "create", kind, "--name", "t", *words, code=4)
    for text in says:
        assert text in answer.err
    assert terminal("datasource", "list", "--json").json == []
    assert terminal.leftovers() == []
    assert not (terminal.files / "none.db").exists()


def test_a_duckdb_that_is_open_elsewhere(database, project) -> None:
    path = database("duckdb", "CREATE TABLE t AS SELECT 1 AS n")
    writer = duckdb.connect(str(path))
    try:
        with pytest.raises(SourceError, match="open in this program"):
            register(project, "duckdb", uri=str(path), table="t")
    finally:
        writer.close()
    assert register(project, "duckdb", uri=str(path), table="t").schema.num_rows == 1


def test_the_same_rows_are_the_same_snapshot_wherever_they_come_from(database, project, tmp_path) -> None:
    statements = ("CREATE TABLE t (x BIGINT, word TEXT)", "INSERT INTO t VALUES (1, 'a'), (1, 'a'), (2, NULL)")
    contents = {
        register(project, kind, uri=str(database(kind, *statements)), table="t").content
        for kind in ("sqlite", "duckdb")
    }
    turned = "select x, word from (select * from t order by x desc)"
    contents |= {register(project, "sqlite", uri=str(tmp_path / "t.sqlite"), query=turned).content}
    assert len(contents) == 1
    assert (
        register(project, "sqlite", uri=str(tmp_path / "t.sqlite"), query="select distinct x, word from t").content
        not in contents
    )
