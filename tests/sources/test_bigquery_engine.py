"""The engine where the table is: what travels with a query, and what comes back in which order."""

from __future__ import annotations

import datetime
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlglot import exp

from cengine.connections.bigquery import Account, Budget, Connection
from cengine.connections.bigquery_errors import told
from cengine.engines.bigquery import BigQuery
from cengine.engines.duckdb import DuckDB
from cengine.engines.engine import Setup
from cengine.errors import CengineError, PreprocessError, SourceError
from cengine.expressions.build import column
from cengine.expressions.filters import NotAFilter, parse_filter, with_columns
from cengine.expressions.queries import query
from cengine.preprocess.source import Rows, WarehouseTable
from cengine.tables import POSITION, ROW_ID, Column, TableSchema

NUM_ROWS = 30_000


def numbers(num_rows=NUM_ROWS):
    generator = np.random.default_rng(3)
    words = np.array(["Grove St", "Hamilton Park", "JC's", 'é \\ " `', "🚲", None], object)
    return pa.table(
        {
            "id": pa.array(generator.permutation(num_rows)),
            "word": pa.array(words[generator.integers(0, 6, num_rows)].tolist(), pa.string()),
            "value": pa.array(np.round(generator.normal(size=num_rows), 3)),
            "time": pa.array(
                [datetime.datetime(2018, 1, 1) + datetime.timedelta(minutes=i) for i in range(num_rows)],
                pa.timestamp("us", "UTC"),
            ),
        }
    )


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def opened(bigquery, tmp_path, said):
    """The engine on a project of its own, with a table of 30,000 rows."""
    bigquery.put("some-project.d.t", numbers())
    settings = {"account": Account("some-project"), "say": said.append, "budget": Budget()}
    with BigQuery.open(Setup(tmp_path / "scratch", 2**29, 2, settings=settings)) as engine:
        yield engine


def table(name="t"):
    return exp.to_table(f"`some-project`.d.{name}", dialect="bigquery")


def test_a_small_result_comes_with_the_answer(opened, bigquery) -> None:
    found = opened.fetch(
        query(
            "SELECT word, COUNT(*) AS n, MIN(CAST(time AS TIMESTAMP)) AS first FROM t GROUP BY word ORDER BY n",
            t=table(),
        )
    )
    assert sum(found["n"].to_pylist()) == NUM_ROWS
    assert found["first"].type == pa.timestamp("us")
    assert found["n"].to_pylist() == sorted(found["n"].to_pylist())
    assert bigquery.storage.offsets == []


def test_a_large_result_comes_by_the_storage_read_api_in_order(opened, bigquery) -> None:
    found = opened.fetch(query("SELECT id, word FROM t ORDER BY id", t=table()))
    assert found["id"].to_pylist() == list(range(NUM_ROWS))
    assert len({stream for stream, _ in bigquery.storage.offsets}) == 1


def test_rows_are_written_in_the_order_of_their_position(opened, bigquery, tmp_path) -> None:
    """Several streams arrive in any order; names that a stored result may not have come back as they were."""
    opened.write(
        query(f'SELECT word AS "label: w.ö", value, id AS {POSITION} FROM t', t=table()),
        tmp_path / "a.parquet",
        schema=pa.schema([("label: w.ö", pa.string()), ("value", pa.float32())]),
    )
    written = pq.read_table(tmp_path / "a.parquet")
    expected = numbers().sort_by("id")
    assert written.schema.names == ["label: w.ö", "value"]
    assert written["value"].type == pa.float32()
    assert written["label: w.ö"].to_pylist() == expected["word"].to_pylist()
    assert written["value"].to_pylist() == expected["value"].cast(pa.float32()).to_pylist()
    assert len({stream for stream, _ in bigquery.storage.offsets}) == 4
    assert not list((tmp_path / "scratch").rglob("*.parquet"))


def test_a_result_of_no_rows_is_a_file_of_none(opened, tmp_path) -> None:
    assert opened.write(query("SELECT id, word FROM t WHERE id < 0", t=table()), tmp_path / "a.parquet") == 0
    assert pq.read_table(tmp_path / "a.parquet").schema.names == ["id", "word"]


def test_broken_streams_are_taken_up_where_they_broke(opened, bigquery, tmp_path, said) -> None:
    bigquery.faults.add("ReadRows", "unavailable", "connection reset", times=3, after_messages=1)
    opened.write(query(f"SELECT word, value, id, id AS {POSITION} FROM t", t=table()), tmp_path / "a.parquet")
    assert pq.read_table(tmp_path / "a.parquet")["id"].to_pylist() == list(range(NUM_ROWS))
    later = [offset for _, offset in bigquery.storage.offsets if offset]
    assert len(later) == 3
    assert len(said) == 3
    assert all("a stream broke at row 4,096" in text and "taking it up again" in text for text in said)


def test_a_stream_that_breaks_for_ever_is_given_up(opened, bigquery, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("cengine.connections.bigquery_streams.FIRST_WAIT_SECONDS", 0.01)
    bigquery.faults.add("ReadRows", "unavailable", "connection reset", times=1000)
    with pytest.raises(SourceError, match=r"cannot be reached: .*connection reset"):
        opened.write(query("SELECT id FROM t", t=table()), tmp_path / "a.parquet")
    assert not (tmp_path / "a.parquet").exists()


@pytest.mark.parametrize(
    ("call", "reason", "message"),
    [
        ("CreateReadSession", "accessDenied", "roles/bigquery.readSessionUser"),
        ("ReadRows", "quotaExceeded", "a quota of the project some-project is used up"),
    ],
)
def test_what_the_storage_read_api_refuses(opened, bigquery, tmp_path, call, reason, message) -> None:
    bigquery.faults.add(call, reason, "no", times=99)
    with pytest.raises(SourceError, match=message):
        opened.write(query("SELECT id FROM t", t=table()), tmp_path / "a.parquet")


def test_without_a_storage_endpoint_rows_come_by_rest(bigquery, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("BIGQUERY_STORAGE_EMULATOR_HOST")
    bigquery.put("some-project.d.t", numbers())
    with BigQuery.open(Setup(tmp_path / "scratch", 2**29, 2, settings={"account": Account("some-project")})) as engine:
        engine.write(query(f"SELECT id, word, id AS {POSITION} FROM t", t=table()), tmp_path / "a.parquet")
    assert pq.read_table(tmp_path / "a.parquet")["id"].to_pylist() == list(range(NUM_ROWS))
    assert bigquery.wire.sent["arrow"] == 0


# What travels with a query


@pytest.mark.parametrize(
    "values",
    [
        pa.array([5, -(2**62), None, 2**62]),
        pa.array([0.1, None, -1.5e300]),
        pa.array([True, None, False]),
        pa.array(["", None, "it's", 'a "b" `c` \\ \n', "🚲"]),
        pa.array([datetime.date(1999, 12, 31), None]),
        pa.array(
            [datetime.datetime(2018, 1, 1, 12, 30, 15, 250_001), None, datetime.datetime(1960, 1, 1)],
            pa.timestamp("us"),
        ),
        pa.array([None, None], pa.string()),
    ],
)
def test_a_small_table_travels_with_the_query(opened, values) -> None:
    opened.register("small", pa.table({"place": pa.array(range(len(values))), "value": values}))
    found = opened.fetch(query("SELECT small.value FROM small ORDER BY small.place"))
    assert found["value"].to_pylist() == values.to_pylist()


def test_a_table_of_the_same_name_takes_its_place(opened) -> None:
    for number in (1, 2):
        opened.register("small", pa.table({"n": [number]}))
        assert opened.fetch(query("SELECT n FROM small"))["n"].to_pylist() == [number]


def test_look_ups_find_what_is_there(opened) -> None:
    words = ['é \\ " `', "Grove St", "🚲", "not there", ""]
    index = opened.index_of_text(column("word"), pa.array(words))
    beside = opened.beside(column("word"), pa.array(words), pa.chunked_array([[0.5, None, 2.5], [3.5, 4.5]]))
    found = opened.fetch(exp.select(column("word"), index.as_("place"), beside.as_("other")).distinct().from_(table()))
    told_of = {row["word"]: (row["place"], row["other"]) for row in found.to_pylist()}
    assert told_of == {
        'é \\ " `': (0, 0.5),
        "Grove St": (1, None),
        "🚲": (2, 2.5),
        "Hamilton Park": (None, None),
        "JC's": (None, None),
        None: (None, None),
    }


def test_look_ups_of_nothing(opened) -> None:
    nothing = pa.array([], pa.string())
    cells = exp.select(
        opened.index_of_text(column("word"), nothing).as_("a"), opened.beside(column("word"), nothing, nothing).as_("b")
    )
    assert opened.fetch(cells.from_(table()).limit(1)).to_pylist() == [{"a": None, "b": None}]


def test_a_list_that_is_too_long_is_told(opened, bigquery) -> None:
    words = pa.array([f"{i:040d}" for i in range(200_000)])
    with pytest.raises(PreprocessError, match=r"a list of 200,000 values is too long.*\n.*top_k"):
        opened.fetch(exp.select(opened.index_of_text(column("word"), words).as_("i")).from_(table()))


# Money


def test_the_bytes_of_a_query_are_told_without_running_it(opened, bigquery) -> None:
    sizes = bigquery.tables.found["some-project", "d", "t"].versions[-1].column_bytes
    assert opened.scanned_by(query("SELECT word FROM t WHERE id > 3", t=table())) == sizes["word"] + sizes["id"]
    assert bigquery.queries == []


def test_a_budget_bounds_all_queries_together(bigquery, tmp_path) -> None:
    bigquery.put("some-project.d.t", numbers())
    budget = Budget(25 * 2**20)
    with BigQuery.open(
        Setup(tmp_path / "s", settings={"account": Account("some-project"), "budget": budget})
    ) as engine:
        for _ in range(2):  # BigQuery bills at least 10 MiB a query
            engine.fetch(query("SELECT COUNT(*) AS n FROM t WHERE id > 3", t=table()))
        with pytest.raises(
            PreprocessError, match=r"the bound of 0\.0262144 GB scanned is reached: 0\.02 GB were scanned"
        ):
            engine.fetch(query("SELECT COUNT(*) AS n FROM t WHERE id > 3", t=table()))
    assert len(bigquery.queries) == 2


def test_bigquery_itself_refuses_a_query_above_the_bound(bigquery, tmp_path) -> None:
    version = bigquery.put("some-project.d.t", numbers())
    version.column_bytes["id"] = 10**9
    setup = Setup(tmp_path / "s", settings={"account": Account("some-project"), "budget": Budget(10**8)})
    with BigQuery.open(setup) as engine, pytest.raises(PreprocessError, match="give more with --max-gb-scanned"):
        engine.fetch(query("SELECT COUNT(*) AS n FROM t WHERE id > 3", t=table()))
    assert bigquery.queries == []


# What the user writes


@pytest.mark.parametrize(
    "text",
    [
        "1 = 1; DROP TABLE d.t",
        "TRUE) ; DELETE FROM d.t WHERE (TRUE",
        "id > 0 UNION ALL SELECT 1",
        "EXISTS (SELECT 1 FROM d.secrets)",
        "id > (SELECT MAX(id) FROM `other-project.d.t`)",
        "SESSION_USER() = 'x'",
        "id > 0 -- '\n; SELECT 1",
        "EXTERNAL_QUERY('c', 'select 1') IS NULL",
        "ERROR('x')",
        "id > $keys_1",
    ],
)
def test_no_filter_becomes_anything_else(text) -> None:
    """What is no expression over a row's columns never leaves this machine."""
    with pytest.raises(NotAFilter):
        parse_filter(text)


@pytest.mark.parametrize(
    "text",
    [
        "x'; DROP TABLE d.t; --",
        "\\'; DROP TABLE d.t; --",
        "\\\\'); SELECT 1; --",
        '"; DROP TABLE d.t; --',
        "`; DROP TABLE d.t; --",
        "\n\r\t'",
        "r'''",
    ],
)
def test_a_text_in_a_filter_stays_a_text(opened, bigquery, text) -> None:
    """Where quotes end is another thing in BigQuery than here: a backslash escapes there."""
    bigquery.put("some-project.d.hostile", pa.table({"id": [1, 2], "word": [text, "other"]}))
    escaped = text.replace("'", "''")
    condition = with_columns(parse_filter(f"word = '{escaped}'"), ["id", "word"])
    found = opened.fetch(exp.select(column("id")).from_(table("hostile")).where(condition))
    assert found["id"].to_pylist() == [1]
    assert set(bigquery.statements) == {"SELECT"}


def test_a_name_in_a_filter_stays_a_name(opened, bigquery) -> None:
    name = "a` = 1 OR `id"
    condition = with_columns(parse_filter('"a` = 1 OR `id" > 0'), [name])
    with pytest.raises(CengineError, match="a"):
        opened.fetch(exp.select(column("id")).from_(table()).where(condition))
    assert set(bigquery.statements) <= {"SELECT"}


def test_several_statements_are_not_sent(opened) -> None:
    """What no check of ours lets through: a slot that is written as it is. A semicolon in a text is one of its characters."""
    with pytest.raises(CengineError, match="one statement"):
        opened.fetch(exp.select(exp.Var(this="1 AS n; SELECT 2")))
    assert opened.fetch(exp.select(exp.Literal.string("a; b").as_("n")))["n"].to_pylist() == ["a; b"]


def test_a_filter_that_means_nothing_there_is_told(opened) -> None:
    schema = TableSchema(
        (
            Column("word", "VARCHAR", "string"),
            Column("time", "TIMESTAMP", "timestamp"),
            Column("place", "GEOGRAPHY", None),
        ),
        1,
    )
    assert opened.bind_error(parse_filter("word = 'x'"), schema) is None
    assert "other" in opened.bind_error(parse_filter("other > 3"), schema)
    assert "word" in opened.bind_error(parse_filter("word + 3 > time"), schema) or "No function" in opened.bind_error(
        parse_filter("word + 3 > time"), schema
    )


# The same rows


@pytest.fixture
def both(bigquery, opened, register_table):
    """The same rows here and there: (engine, rows) of each. Some rows are equal, and only their number tells them apart."""
    rows = numbers(3000).drop_columns(["id"])
    rows = pa.concat_tables([rows, rows.slice(0, 500), rows.slice(0, 20)])
    plain = rows.set_column(2, "time", rows["time"].cast(pa.timestamp("us")))
    snapshot = register_table(plain)
    bigquery.put("some-project.d.same", rows)
    schema = TableSchema(tuple(Column(c.name, c.sql_type, c.kind) for c in snapshot.schema.columns), len(rows))
    there = WarehouseTable(table("same"), {"time": exp.cast(column("time"), "timestamp")})
    return snapshot, schema, there


def test_rows_have_the_same_identities_there_as_here(both, opened, tmp_path) -> None:
    snapshot, schema, there = both
    filters = (with_columns(parse_filter("value > -1 AND word <> 'JC''s'"), schema.names),)
    with DuckDB(tmp_path / "local") as local:
        here = local.fetch(Rows(snapshot.files, snapshot.schema, filters, ()).select(local, ["word", "value", "time"]))
    remote = opened.fetch(Rows(there, schema, filters, ()).select(opened, ["word", "value", "time"]))
    assert len(set(here[ROW_ID].to_pylist())) == here.num_rows > 1000
    assert remote.select(here.column_names).sort_by(ROW_ID).to_pylist() == here.sort_by(ROW_ID).to_pylist()


def test_the_message_of_a_call_is_told_without_its_address() -> None:
    class Failed(Exception):
        message = "POST http://127.0.0.1:1/bigquery/v2/projects/p/jobs?prettyPrint=false: Quota exceeded: too many\n\nJob ID: 7\n"

    assert told(Failed()) == "Quota exceeded: too many"


def test_clients_are_made_when_they_are_needed() -> None:
    """Nothing is asked of the machine or the network to have a connection."""
    connection = Connection(Account("p", credentials=f"/nowhere/{random.random()}"))
    connection.close()
    assert set(connection.__dict__) == {"account", "say"}
