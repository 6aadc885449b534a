"""Tables of PostgreSQL: types, ranges of one snapshot, queries, passwords, and what goes wrong, on a real server."""

from __future__ import annotations

import contextlib
import datetime
import socket
import threading
from urllib.parse import quote, urlsplit

import pytest
from registering import everything_in, keyring_with, kinds, register, rows, stored
from servers import PostgresServer
from terminal import Terminal

from cengine.errors import SourceError
from cengine.sources import postgres as postgres_module

pytest.importorskip("adbc_driver_postgresql", reason="pip install 'cengine-ml[postgres]'")


@pytest.fixture
def database(postgres):
    """A new database: `run(sql)` runs statements in it, `uri` is its address with the password."""
    return Database(postgres.new_database())


class Database:
    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.plain = uri.replace(f":{quote(PostgresServer.password, safe='')}@", "@")
        assert self.plain != uri

    def run(self, *statements: str) -> None:
        import psycopg

        with psycopg.connect(self.uri, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


@pytest.fixture
def project(terminal: Terminal):
    terminal.project.folder.mkdir(parents=True)
    return terminal.project


TYPES = {
    # column: (type, a value, kind, what is stored)
    "small": ("int2", "-3", "integer", -3), "big": ("int8", "9007199254740993", "integer", 9007199254740993), "flag": ("bool", "true", "boolean", True),
    "single": ("float4", "0.5", "float", 0.5), "real": ("float8", "'NaN'", "float", None), "money": ("numeric(12,2)", "1234.25", "float", 1234.25),
    "word": ("varchar(20)", "'ü 日'", "string", "ü 日"), "padded": ("char(3)", "'ab'", "string", "ab "),
    "day": ("date", "'2020-02-29'", "timestamp", datetime.date(2020, 2, 29)),
    "moment": ("timestamp", "'2020-02-29 12:30:15.123456'", "timestamp", datetime.datetime(2020, 2, 29, 12, 30, 15, 123456)),
    "forever": ("timestamp", "'infinity'", "timestamp", None), "hour": ("time", "'12:30'", None, datetime.time(12, 30)),
    "key": ("uuid", "'00000000-0000-0000-0000-00000000000a'", "string", "00000000-0000-0000-0000-00000000000a"),
    "document": ("jsonb", "'{\"a\": [1]}'", "string", '{"a": [1]}'), "mood": ("mood", "'glad'", "string", "glad"), "age": ("years", "41", "integer", 41),
    "bytes": ("bytea", "'\\x0001'", None, b"\x00\x01"), "list": ("int4[]", "'{1,2}'", None, [1, 2]), "words": ("text[]", "'{a,NULL}'", None, ["a", None]),
    "address": ("inet", "'10.0.0.1'", "string", "10.0.0.1/32"),
}  # fmt: skip


def test_every_type_is_mapped(database, project) -> None:
    columns = ", ".join(f'"{name}" {kind}' for name, (kind, *_) in TYPES.items())
    values = ", ".join(value for _, value, *_ in TYPES.values())
    database.run(
        "CREATE TYPE mood AS ENUM ('glad', 'sad')",
        "CREATE DOMAIN years AS int4 CHECK (value >= 0)",
        f"CREATE TABLE t (id int, {columns})",
        f"INSERT INTO t VALUES (1, {values})",
        "INSERT INTO t (id) VALUES (2)",
    )
    snapshot = register(project, "postgres", uri=database.uri, table="t")
    assert kinds(snapshot) == {"id": "integer", **{name: kind for name, (_, _, kind, _) in TYPES.items()}}
    first, second = rows(snapshot, "id")
    assert first["real"] != first["real"]
    assert {name: first[name] for name in TYPES if name != "real"} == {
        name: value for name, (*_, value) in TYPES.items() if name != "real"
    }
    assert second == {"id": 2, **dict.fromkeys(TYPES)}


def test_whole_numbers_of_numeric_keep_their_digits(database, project) -> None:
    database.run(
        "CREATE TABLE ids (y int, wide numeric(20,0), long numeric, short numeric, part numeric(20,3))",
        "INSERT INTO ids VALUES (1, 18446744073709551615, 9007199254740993, 5, 0.125), (2, NULL, -1, NULL, 2)",
    )
    snapshot = register(project, "postgres", uri=database.uri, table="ids")
    assert kinds(snapshot) == {"y": "integer", "wide": "string", "long": "integer", "short": "float", "part": "float"}
    assert rows(snapshot, "y") == [
        {"y": 1, "wide": "18446744073709551615", "long": 9007199254740993, "short": 5.0, "part": 0.125},
        {"y": 2, "wide": None, "long": -1, "short": None, "part": 2.0},
    ]


def test_a_time_with_zone_is_the_same_moment_whatever_the_session_says(database, project, monkeypatch) -> None:
    monkeypatch.setenv("PGTZ", "America/New_York")
    database.run("CREATE TABLE t (at timestamptz)", "INSERT INTO t VALUES ('2020-06-01 12:00:00+02')")
    (row,) = stored(register(project, "postgres", uri=database.uri, table="t")).to_pylist()
    assert row["at"].astimezone(datetime.UTC) == datetime.datetime(2020, 6, 1, 10, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("kind", "says"),
    [("interval", "extract(epoch from x)"), ("point", "cast(x as text)"), ("int4range", "cast(x as text)")],
)
def test_a_type_without_a_counterpart_is_refused_with_the_way_out(database, project, kind, says) -> None:
    database.run(f"CREATE TABLE t (id int, x {kind})", "INSERT INTO t VALUES (1, NULL)")
    with pytest.raises(SourceError) as caught:
        register(project, "postgres", uri=database.uri, table="t")
    assert f"column 'x' is of type {kind}" in str(caught.value)
    assert says in str(caught.value)
    cast = f"select id, {says} as x from t"
    assert register(project, "postgres", uri=database.uri, query=cast).schema.num_rows == 1


# Ranges


@pytest.fixture
def short_ranges(monkeypatch) -> None:
    """Ranges of a few pages, so that small tables have many."""
    monkeypatch.setattr(postgres_module, "RANGE_PAGES", 4)


NUMBERS = "CREATE TABLE numbers AS SELECT i::int AS n, i % 7 AS word, repeat('x', 100) AS filler FROM generate_series(1, 20000) i"


@pytest.mark.parametrize("threads", [1, 3])
def test_ranges_give_every_row_once_and_in_order(database, project, short_ranges, threads) -> None:
    database.run(NUMBERS, "DELETE FROM numbers WHERE n BETWEEN 5000 AND 9000")
    snapshot = register(project, "postgres", uri=database.uri, table="numbers", threads=threads)
    assert stored(snapshot)["n"].to_pylist() == [n for n in range(1, 20001) if not 5000 <= n <= 9000]


def test_ranges_are_of_one_state_though_others_write(database, project, short_ranges) -> None:
    """Rows move all the time; whenever one looks there are as many, with the same sum."""
    database.run(NUMBERS, "CREATE TABLE moving AS SELECT n, 1 AS owner FROM numbers")
    stop = threading.Event()

    def write() -> None:
        import psycopg

        with psycopg.connect(database.uri, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute(
                    "WITH gone AS (DELETE FROM moving WHERE n % 10 = 3 RETURNING n) INSERT INTO moving SELECT n, 2 FROM gone"
                )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = [stored(register(project, "postgres", uri=database.uri, table="moving")) for _ in range(3)]
    finally:
        stop.set()
        writer.join()
    for table in found:
        assert sorted(table["n"].to_pylist()) == list(range(1, 20001))


def test_a_view_a_partitioned_table_and_an_empty_one(database, project, short_ranges) -> None:
    database.run(
        NUMBERS,
        "CREATE VIEW few AS SELECT n FROM numbers WHERE n < 10",
        "CREATE TABLE parted (n int) PARTITION BY RANGE (n)",
        "CREATE TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (100)",
        "CREATE TABLE high PARTITION OF parted DEFAULT",
        "INSERT INTO parted SELECT n FROM numbers",
        "CREATE TABLE nothing (n int)",
    )
    assert [row["n"] for row in rows(register(project, "postgres", uri=database.uri, table="few"), "n")] == list(
        range(1, 10)
    )
    assert register(project, "postgres", uri=database.uri, table="parted").schema.num_rows == 20000
    with pytest.raises(SourceError, match="holds no rows"):
        register(project, "postgres", uri=database.uri, table="nothing")


def test_odd_names(database, project) -> None:
    database.run(
        'CREATE SCHEMA "Odd one"',
        'CREATE TABLE "Odd one"."a "" table" ("with space" int, "quo""te" int, "Up" int, select_ int)',
        'INSERT INTO "Odd one"."a "" table" VALUES (1, 2, 3, 4)',
    )
    snapshot = register(project, "postgres", uri=database.uri, table='"Odd one"."a "" table"')
    assert rows(snapshot, "Up") == [{"with space": 1, 'quo"te': 2, "Up": 3, "select_": 4}]


def test_the_same_data_is_the_same_snapshot_and_a_change_is_another(terminal, database, monkeypatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PostgresServer.password)
    database.run("CREATE TABLE t (n int, x float8)", "INSERT INTO t SELECT i, i * 1e-13 FROM generate_series(1, 100) i")
    terminal("datasource", "create", "postgres", "--name", "t", "--uri", database.plain, "--table", "t")
    database.run(
        "CREATE TABLE other AS SELECT * FROM t ORDER BY n DESC", "DROP TABLE t", "ALTER TABLE other RENAME TO t"
    )
    assert "nothing has changed; snapshot 1 of t" in terminal("datasource", "commit", "t").out
    # Less than a row's identity can tell.
    database.run("UPDATE t SET x = 1.5e-13 WHERE n = 1")
    assert "snapshot 2 of t: 100 rows" in terminal("datasource", "commit", "t").out


# Queries


def test_a_query_sends_only_what_it_names(database, project) -> None:
    """Counted on the wire."""
    database.run(NUMBERS)

    def received(**options: str) -> int:
        with Relay(urlsplit(database.uri).port) as relay:
            register(
                project,
                "postgres",
                uri=database.uri.replace(f":{urlsplit(database.uri).port}/", f":{relay.port}/"),
                **options,
            )
        return relay.num_bytes

    whole = received(table="numbers")
    assert whole > 20000 * 100
    assert received(query="select n from numbers -- and no more") < 0.3 * whole
    assert received(query="select * from numbers where n <= 500") < 0.1 * whole  # the names of the types, mostly


@pytest.mark.parametrize(("query", "says"), [
    ("select 1 as a; drop table t", "2 statements"), ("drop table t", "is a DROP"), ("with g as (delete from t returning n) select * from g", "a DELETE"),
    ("select * into u from t", "INTO"), ("select n from t for update", "LOCK"), ("selec n from t", "cannot be read"), ("", "at least 1 character"),
    ("select n from nowhere", 'relation "nowhere" does not exist'), ("select n, n from t", "two columns called 'n'"), ("select 1", "has no name"),
    ("select nosuch from t", 'column "nosuch" does not exist'), ("select n / 0 as x from t", "division by zero"),
    ("select 1 as a) as q; drop table t; --", "cannot be read"),
])  # fmt: skip
def test_a_query_that_cannot_be_run(terminal, database, query, says) -> None:
    database.run("CREATE TABLE t AS SELECT 1 AS n")
    answer = terminal(
        "datasource", "create", "postgres", "--name", "t", "--uri", database.uri, "--query", query, code=4
    )
    assert says in answer.err
    nothing_is_left(terminal)
    assert terminal("datasource", "create", "postgres", "--name", "t", "--uri", database.uri, "--table", "t").code == 0


def nothing_is_left(terminal: Terminal) -> None:
    assert terminal("datasource", "list", "--json").json == []
    assert terminal.leftovers() == []
    assert not list((terminal.project.folder / "artifacts").glob("snapshot/*/*"))


def test_a_function_that_writes_is_stopped_by_the_transaction(database, project) -> None:
    database.run(
        "CREATE TABLE t AS SELECT 1 AS n",
        "CREATE FUNCTION spoil() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (2) RETURNING n'",
    )
    with pytest.raises(SourceError, match="read-only transaction"):
        register(project, "postgres", uri=database.uri, query="select spoil() as n")


# Passwords


def test_a_typed_password_is_used_and_never_kept(terminal, database, monkeypatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    database.run("CREATE TABLE t AS SELECT 1 AS n")
    answer = terminal("datasource", "create", "postgres", "--name", "t", "--uri", database.uri, "--table", "t")
    assert "the password is used now and not kept" in answer.err
    refused = terminal("datasource", "commit", "t", code=4)
    assert "PGPASSWORD" in refused.err
    assert database.plain in terminal("datasource", "show", "t").out
    said = answer.out + answer.err + refused.out + refused.err
    for secret in (PostgresServer.password, quote(PostgresServer.password, safe="")):
        assert secret not in said
        assert secret.encode() not in everything_in(terminal.project.folder)
    monkeypatch.setenv("PGPASSWORD", PostgresServer.password)
    assert "nothing has changed" in terminal("datasource", "commit", "t").out


def test_a_password_from_the_keyring(terminal, database, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", "/nowhere")
    database.run("CREATE TABLE t AS SELECT 1 AS n")
    create = ("datasource", "create", "postgres", "--name", "t", "--uri", database.plain, "--table", "t")
    assert f"keyring set cengine '{database.plain}'" in terminal.start(*create).answer().err
    keyring_with(database.plain, PostgresServer.password, tmp_path, monkeypatch)
    created = terminal.start(*create).answer()
    assert (created.code, created.err) == (0, "")
    assert PostgresServer.password.encode() not in everything_in(terminal.project.folder)


def test_a_variable_in_the_address_is_kept_as_it_is_written(terminal, database, monkeypatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    database.run("CREATE TABLE t AS SELECT 1 AS n")
    written = database.plain.replace("cengine@", "cengine:${DB_WORD}@")
    create = ("datasource", "create", "postgres", "--table", "t", "--uri")
    assert "${DB_WORD}" in terminal(*create, written, "--name", "t", code=4).err
    monkeypatch.setenv("DB_WORD", PostgresServer.password)
    monkeypatch.setenv("DB_ALL", database.uri)
    assert terminal(*create, written, "--name", "t").err == ""
    terminal(*create, "${DB_ALL}", "--name", "all")
    assert "nothing has changed" in terminal("datasource", "commit", "t").out
    assert "nothing has changed" in terminal("datasource", "commit", "all").out
    assert PostgresServer.password.encode() not in everything_in(terminal.project.folder)


BAD_ADDRESSES = {
    "wrong password": ("postgresql://cengine:hunter2@{host}", ("password authentication failed", "PGPASSWORD")),
    "an @ in the password": ("postgresql://cengine:hunter2@x@{host}", ("%40",)),
    "a / in the password": ("postgresql://cengine:hunter2/x@{host}", ("%2F",)),
    "a # in the password": ("postgresql://cengine:hunter2#x@{host}", ("%23",)),
    "another scheme": ("mysql://cengine:hunter2@{host}", ("begins with postgresql://",)),
    "no scheme": ("host=h password=hunter2", ("begins with a scheme",)),
    "no such database": ("postgresql://cengine:hunter2@{host}_none", ("password authentication failed",)),
    "nobody listens": ("postgresql://cengine:hunter2@127.0.0.1:9/d", ("cannot be made", "Connection refused")),
    "password as a parameter": ("postgresql://cengine@{host}?password=hunter2", ("password authentication failed",)),
}


@pytest.mark.parametrize("case", BAD_ADDRESSES)
def test_bad_address(terminal, database, case, monkeypatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    template, says = BAD_ADDRESSES[case]
    uri = template.format(host=database.plain.partition("@")[2])
    answer = terminal("datasource", "create", "postgres", "--name", "t", "--uri", uri, "--table", "t", code=4)
    assert answer.err.startswith("error: ")
    for text in says:
        assert text in answer.err
    assert "hunter2" not in answer.err
    nothing_is_left(terminal)


def test_no_such_table_no_permission_and_neither_table_nor_query(terminal, database, postgres) -> None:
    role = f"reader_{urlsplit(database.uri).path.removeprefix('/test_')}"
    database.run(
        "CREATE TABLE trips AS SELECT 1 AS n",
        "CREATE SCHEMA hidden",
        "CREATE TABLE hidden.trips AS SELECT 1 AS n",
        f"CREATE ROLE {role} LOGIN PASSWORD 'w'",
    )
    create = ("datasource", "create", "postgres", "--name", "t", "--uri", database.uri)
    missing = terminal(*create, "--table", "trisp", code=4).err
    assert "has no table 'trisp'" in missing
    assert "did you mean 'trips'?" in missing
    assert "hidden.trips" in missing
    assert "--table or --query" in terminal(*create, code=4).err
    assert "not both" in terminal(*create, "--table", "trips", "--query", "select 1 as n", code=4).err
    uri = postgres.url(urlsplit(database.uri).path[1:], "w", role)
    answer = terminal("datasource", "create", "postgres", "--name", "t", "--uri", uri, "--table", "trips", code=4)
    assert "permission denied for table trips" in answer.err
    assert "SELECT" in answer.err
    nothing_is_left(terminal)


# Cut in the middle


class Relay:
    """Stands between a client and a server: counts what the server sends, and cuts all lines when told."""

    def __init__(self, port: int, cut_after: int | None = None) -> None:
        self.target = port
        self.cut_after = cut_after
        self.num_bytes = 0
        self.sockets: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()
        self.cut()

    def cut(self) -> None:
        for one in self.sockets:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            self.sockets += [client, server]
            threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
                self.num_bytes += len(data) if counted else 0
                if self.cut_after is not None and self.num_bytes > self.cut_after:
                    break
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_line_that_is_cut_is_told_and_nothing_is_registered(terminal, database, short_ranges, threads) -> None:
    database.run(NUMBERS)
    port = urlsplit(database.uri).port
    with Relay(port, cut_after=1_000_000) as relay:
        uri = database.uri.replace(f":{port}/", f":{relay.port}/")
        answer = terminal(
            "datasource",
            "create",
            "postgres",
            "--name",
            "t",
            "--uri",
            uri,
            "--table",
            "numbers",
            "--threads",
            threads,
            code=4,
        )
    assert "the connection to" in answer.err
    assert "nothing was registered" in answer.err
    nothing_is_left(terminal)


def test_a_server_that_ends_the_connection_is_told(terminal, database) -> None:
    """The server's own word for it, not a broken line."""
    database.run(NUMBERS)
    query = "select n, pg_terminate_backend(pg_backend_pid()) as gone from numbers where n > 10000"
    answer = terminal(
        "datasource", "create", "postgres", "--name", "t", "--uri", database.uri, "--query", query, code=4
    )
    assert "terminating connection due to administrator command" in answer.err
    assert "run the command again" in answer.err
    nothing_is_left(terminal)


def test_a_missing_package_is_told_with_the_command(database, project, monkeypatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    with pytest.raises(SourceError, match=r"pip install 'cengine-ml\[postgres\]'"):
        register(project, "postgres", uri=database.uri, table="t")
