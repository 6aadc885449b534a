"""Tables of MySQL and MariaDB: types, odd texts, one consistent state, passwords, and what goes wrong, on a real server."""

from __future__ import annotations

import datetime

import pytest
from registering import everything_in, keyring_with, kinds, register, rows
from terminal import Terminal

from cengine.errors import SourceError


@pytest.fixture
def database(mysql):
    """A new database: `run(sql)` runs statements in it, `uri` is its address with the password, `plain` without."""
    return Database(mysql)


class Database:
    def __init__(self, server) -> None:
        self.server = server
        self.name = server.new_database()
        self.uri = server.url(self.name)
        self.plain = server.url(self.name, None)

    def run(self, *statements: str, values: tuple = ()) -> None:
        with self.server.connect(self.name) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement, values or None)


@pytest.fixture
def project(terminal: Terminal):
    terminal.project.folder.mkdir(parents=True)
    return terminal.project


TYPES = {
    # column: (type, a value, kind, what is stored)
    "tiny": ("tinyint", "-3", "integer", -3), "big": ("bigint", "9007199254740993", "integer", 9007199254740993), "flag": ("bool", "1", "integer", 1),
    "bits": ("bit(4)", "b'1010'", "integer", 10), "born": ("year", "1984", "integer", 1984), "single": ("float", "0.5", "float", 0.5),
    "tenth": ("float", "0.1", "float", 0.10000000149011612), "real": ("double", "0.1", "float", 0.1), "money": ("decimal(12,2)", "1234.25", "float", 1234.25),
    "serial": ("bigint unsigned", "18446744073709551615", "string", "18446744073709551615"),
    "code": ("decimal(20,0)", "99999999999999999999", "string", "99999999999999999999"),
    "whole": ("decimal(15,0)", "123456789012345", "integer", 123456789012345), "word": ("varchar(20)", "'ü 日'", "string", "ü 日"),
    "latin": ("varchar(20) character set latin1", "'é'", "string", "é"), "long": ("mediumtext", "'x'", "string", "x"),
    "mood": ("enum('glad','sad')", "'sad'", "string", "sad"), "many": ("set('a','b')", "'a,b'", "string", "a,b"),
    "document": ("json", "'{\"a\": [1]}'", "string", '{"a": [1]}'), "day": ("date", "'2020-02-29'", "timestamp", datetime.date(2020, 2, 29)),
    "moment": ("datetime(6)", "'2020-02-29 12:30:15.123456'", "timestamp", datetime.datetime(2020, 2, 29, 12, 30, 15, 123456)),
    "stamp": ("timestamp null", "'2020-06-01 10:00:00'", "timestamp", datetime.datetime(2020, 6, 1, 10)),
}  # fmt: skip


def test_every_type_is_mapped(database, project) -> None:
    columns = ", ".join(f"`{name}` {kind}" for name, (kind, *_) in TYPES.items())
    values = ", ".join(value for _, value, *_ in TYPES.values())
    database.run(
        "SET time_zone = '+00:00'",
        f"CREATE TABLE t (id int, {columns})",
        f"INSERT INTO t VALUES (1, {values})",
        "INSERT INTO t (id) VALUES (2)",
    )
    snapshot = register(project, "mysql", uri=database.uri, table="t")
    assert kinds(snapshot) == {"id": "integer", **{name: kind for name, (_, _, kind, _) in TYPES.items()}}
    first, second = rows(snapshot, "id")
    assert first == {"id": 1, **{name: value for name, (*_, value) in TYPES.items()}}
    assert second == {"id": 2, **dict.fromkeys(TYPES)}


@pytest.mark.parametrize(
    ("kind", "says"),
    [("time", "time_to_sec(x)"), ("blob", "hex(x)"), ("binary(3)", "hex(x)"), ("point", "st_astext(x)")],
)
def test_a_type_without_a_counterpart_is_refused_with_the_way_out(database, project, kind, says) -> None:
    database.run(f"CREATE TABLE t (id int, x {kind})", "INSERT INTO t VALUES (1, NULL)")
    with pytest.raises(SourceError) as caught:
        register(project, "mysql", uri=database.uri, table="t")
    assert "column 'x' is of type" in str(caught.value)
    assert says in str(caught.value)
    assert register(project, "mysql", uri=database.uri, query=f"select id, {says} as x from t").schema.num_rows == 1


ODD_TEXTS = [
    "",
    '"',
    '""',
    ",",
    "\\",
    "\\N",
    "NULL",
    "a\nb",
    "\r\n",
    "x\n",
    "'",
    '","',
    "ü🚲",
    " padded ",
    "\t",
    "\x01",
    "1",
    '"quoted"',
    "\\\\N",
]


def test_odd_texts_and_nulls_come_as_they_are(database, project) -> None:
    """The rows travel as lines of text; nothing that a cell holds may be taken for something else."""
    database.run("CREATE TABLE t (id int, one text character set utf8mb4, other text character set utf8mb4)")
    expected = []
    for number, text in enumerate([*ODD_TEXTS, None]):
        other = None if text is None else text[::-1]
        database.run("INSERT INTO t VALUES (%s, %s, %s)", values=(number, text, other))
        expected.append({"id": number, "one": text, "other": other})
    assert rows(register(project, "mysql", uri=database.uri, table="t"), "id") == expected


def test_a_column_alone_and_odd_names(database, project) -> None:
    database.run(
        "CREATE TABLE `a ``odd, one` (`with space` text, `Up` int)",
        "INSERT INTO `a ``odd, one` VALUES ('', 1), (NULL, 2), ('x', 3)",
    )
    snapshot = register(project, "mysql", uri=database.uri, table="`a ``odd, one`")
    assert rows(snapshot, "Up") == [
        {"with space": "", "Up": 1},
        {"with space": None, "Up": 2},
        {"with space": "x", "Up": 3},
    ]
    alone = register(
        project, "mysql", uri=database.uri, query="select `with space` as w from `a ``odd, one` order by `Up`"
    )
    assert sorted(str(row["w"]) for row in rows(alone, "w")) == ["", "None", "x"]


def test_more_rows_than_a_batch(database, project) -> None:
    database.run("CREATE TABLE t AS SELECT seq AS n, seq % 7 AS word FROM seq_1_to_50000")
    snapshot = register(project, "mysql", uri=database.uri, table="t")
    assert [row["n"] for row in rows(snapshot, "n")] == list(range(1, 50001))


def test_a_typed_password_is_used_and_never_kept(terminal, database, monkeypatch) -> None:
    monkeypatch.delenv("MYSQL_PWD", raising=False)
    database.run("CREATE TABLE t AS SELECT 1 AS n")
    answer = terminal("datasource", "create", "mysql", "--name", "t", "--uri", database.uri, "--table", "t")
    refused = terminal("datasource", "commit", "t", code=4)
    assert "MYSQL_PWD" in refused.err
    assert database.server.password not in answer.out + answer.err + refused.err
    assert database.server.password.encode() not in everything_in(terminal.project.folder)
    monkeypatch.setenv("MYSQL_PWD", database.server.password)
    assert "nothing has changed" in terminal("datasource", "commit", "t").out


def test_a_password_from_the_keyring(terminal, database, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("MYSQL_PWD", raising=False)
    database.run("CREATE TABLE t AS SELECT 1 AS n")
    create = ("datasource", "create", "mysql", "--name", "t", "--uri", database.plain, "--table", "t")
    assert f"keyring set cengine '{database.plain}'" in terminal.start(*create).answer().err
    keyring_with(database.plain, database.server.password, tmp_path, monkeypatch)
    created = terminal.start(*create).answer()
    assert (created.code, created.err) == (0, "")
    assert database.server.password.encode() not in everything_in(terminal.project.folder)


WRONG = {
    "no such table": ({"table": "trisp"}, ("has no table 'trisp'", "did you mean 'trips'?")),
    "two statements": ({"query": "select 1 as a; drop table trips"}, ("2 statements",)),
    "a query that writes": ({"query": "delete from trips"}, ("is a DELETE",)),
    "into a file": ({"query": "select n from trips into outfile '/tmp/x'"}, ("--query",)),
    "no such column": ({"query": "select nosuch from trips"}, ("Unknown column 'nosuch'",)),
    "the same name twice": ({"query": "select n, n from trips"}, ("Duplicate column name 'n'",)),
    "neither": ({}, ("--table or --query",)),
    "no such database": ({"table": "trips", "uri": "{base}_none"}, ("Unknown database",)),
    "wrong password": ({"table": "trips", "uri": "mysql://cengine:hunter2@{host}"}, ("Access denied", "MYSQL_PWD")),
    "nobody listens": ({"table": "trips", "uri": "mysql://cengine:hunter2@127.0.0.1:9/d"}, ("cannot be made",)),
    "an unknown parameter": ({"table": "trips", "uri": "{base}?sslmode=on"}, ("unknown parameter 'sslmode'", "ssl_ca")),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_and_nothing_is_left(terminal, database, case) -> None:
    database.run("CREATE TABLE trips AS SELECT 1 AS n")
    given, says = WRONG[case]
    options = {"uri": database.uri, **given}
    options["uri"] = options["uri"].format(base=database.uri, host=database.plain.partition("@")[2])
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    answer = terminal("datasource", "create", "mysql", "--name", "t", *words, code=4)
    for text in says:
        assert text in answer.err
    assert "hunter2" not in answer.err
    assert terminal("datasource", "list", "--json").json == []
    assert terminal.leftovers() == []
    assert not list((terminal.project.folder / "artifacts").glob("snapshot/*/*"))
    assert terminal("datasource", "create", "mysql", "--name", "t", "--uri", database.uri, "--table", "trips").code == 0


def test_a_connection_that_is_ended_is_told(terminal, database) -> None:
    database.run("CREATE TABLE t AS SELECT seq AS n, repeat('x', 200) AS filler FROM seq_1_to_100000")
    database.run(
        "CREATE FUNCTION ended(n int) RETURNS int NO SQL BEGIN IF n > 60000 THEN KILL CONNECTION CONNECTION_ID(); END IF; RETURN n; END"
    )
    answer = terminal(
        "datasource",
        "create",
        "mysql",
        "--name",
        "t",
        "--uri",
        database.uri,
        "--query",
        "select ended(n) as n, filler from t",
        code=4,
    )
    assert "the connection to" in answer.err
    assert terminal("datasource", "list", "--json").json == []
    assert terminal.leftovers() == []
