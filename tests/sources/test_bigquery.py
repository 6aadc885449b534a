"""`datasource create bq`: what is kept of a table that stays in BigQuery, and what is said when it cannot be had."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import time

import pyarrow as pa
import pytest

from cengine.sources.bigquery import _places

DAY = 86_400
CREATE = ("datasource", "create", "bq", "--name", "trips", "--project", "some-project", "--dataset", "bikes")


def trips(num_rows=40):
    """A table with a column of every type that BigQuery has, as far as Arrow has it."""
    noon = datetime.datetime(2018, 3, 1, 12, 0, 0, 250_000)
    return pa.table(
        {
            "trip_id": pa.array(range(num_rows), pa.int64()),
            "weight": pa.array([None if i % 7 == 0 else i / 8 for i in range(num_rows)], pa.float64()),
            "fare": pa.array(list(range(num_rows)), pa.int64()).cast(pa.decimal128(38, 9)),
            "member": pa.array([i % 3 == 0 for i in range(num_rows)]),
            "station": pa.array([f"é {i % 5}" for i in range(num_rows)]),
            "day": pa.array([datetime.date(2018, 3, 1 + i % 20) for i in range(num_rows)]),
            "local_time": pa.array([noon + datetime.timedelta(hours=i) for i in range(num_rows)], pa.timestamp("us")),
            "start": pa.array([noon + datetime.timedelta(hours=i) for i in range(num_rows)], pa.timestamp("us", "UTC")),
            "clock": pa.array([datetime.time(i % 24) for i in range(num_rows)], pa.time64("us")),
            "photo": pa.array([b"x"] * num_rows),
            "stops": pa.array([[i] for i in range(num_rows)]),
            "rider": pa.array([{"age": i} for i in range(num_rows)]),
            "place": pa.array(["POINT(0 0)"] * num_rows),
            "notes": pa.array(["{}"] * num_rows),
        }
    )


@pytest.fixture
def table(bigquery):
    bigquery.put("some-project.bikes.trips", trips(), types={"place": "GEOGRAPHY", "notes": "JSON"})
    bigquery.put("some-project.bikes.riders", trips(3))
    bigquery.put("some-project.cars.trips", trips(3))
    return bigquery


def test_registering_reads_no_row(terminal, table) -> None:
    answer = terminal(*CREATE, "--table", "trips")
    size = table.tables.found["some-project", "bikes", "trips"].versions[-1].num_bytes
    assert f"datasource 1 (trips): 40 rows, 14 columns, {size / 1e3:.1f} kB, which stay where they are" in answer.out
    ((selection, number, name, rows, columns, _megabytes),) = terminal("datasource", "list").rows(
        "Selection | ID | Name | Rows | Cols | Size (MB)"
    )
    assert (selection, number, name, rows, columns) == ("*", "1", "trips", "40", "14")
    assert table.calls["tabledata.list"] == 0
    assert table.storage.offsets == []
    assert [job.text for job in table.queries] == ["SELECT CURRENT_TIMESTAMP() AS moment"]
    assert table.scanned_bytes == 0


def test_a_large_table_is_listed_as_the_post_shows_it(terminal, bigquery) -> None:
    """The figures are what BigQuery says of the table, not what was read."""
    version = bigquery.put("bigquery-public-data.new_york.citibike_trips", trips(3))
    version.num_rows, version.column_bytes = 33_319_019, {"all": 4_689_000_000}
    place = ("--project", "bigquery-public-data", "--dataset", "new_york", "--table", "citibike_trips")
    terminal("datasource", "create", "bq", "--name", "citibike_trips", *place, "--table_type", "public")
    rows = terminal("datasource", "list").rows("Selection | ID | Name | Rows | Cols | Size (MB)")
    assert rows == [["*", "1", "citibike_trips", "33319019", "14", "4689"]]


def test_every_type_is_mapped_or_named(terminal, table) -> None:
    terminal(*CREATE, "--table", "trips")
    kinds = {column["name"]: column["type"] for column in terminal("datasource", "show", "--json").json["columns"]}
    assert kinds == {
        "trip_id": "integer",
        "weight": "float",
        "fare": "float",
        "member": "boolean",
        "station": "string",
        "day": "timestamp",
        "local_time": "timestamp",
        "start": "timestamp",
        "clock": "time",
        "photo": "bytes",
        "stops": "array<integer>",
        "rider": "record",
        "place": "geography",
        "notes": "json",
    }


@pytest.mark.parametrize("name", ["clock", "photo", "stops", "rider", "place", "notes"])
def test_a_column_that_no_word_reads_is_refused_where_it_is_used(terminal, table, name) -> None:
    terminal(*CREATE, "--table", "trips")
    text = f"features: {{{name}: {{}}, station: {{}}}}\nlabels: {{weight: {{}}}}\n"
    text += "split: {index_ratio: {train: 0.8, eval: 0.2}}\ntrainer: {type: regression}\n"
    answer = terminal("pipeline", "push", terminal.write("c.yaml", text), "p", code=3)
    assert f"column '{name}' is of type" in answer.err
    assert "which no transform reads" in answer.err


def test_show_is_one_query_of_the_table(terminal, table) -> None:
    terminal(*CREATE, "--table", "trips")
    answer = terminal("datasource", "show")
    rows = {row[0]: row[1:] for row in answer.rows("Column | Type | Nulls | Distinct | Min | Mean | Max")}
    assert "trips: 40 rows, from some-project.bikes.trips" in answer.out
    assert rows["weight"][:2] == ["float", "6"]
    assert rows["station"][2] == "5"
    assert rows["start"][3] == "2018-03-01 12:00:00.250000"
    assert rows["fare"][3:] == ["0", "19.5", "39"]
    assert rows["rider"][1:3] == ["0", ""]
    asked = [job for job in table.queries if "CURRENT_TIMESTAMP" not in job.text]
    assert len(asked) == 1
    terminal("datasource", "show")
    assert len([job for job in table.queries if "CURRENT_TIMESTAMP" not in job.text]) == 1


def test_peek_costs_nothing(terminal, table) -> None:
    terminal(*CREATE, "--table", "trips")
    before = len(table.queries)
    rows = terminal("datasource", "peek", "--rows", 12, "--seed", 1, "--json").json
    assert len(rows) == len({row["trip_id"] for row in rows}) == 12
    assert rows == terminal("datasource", "peek", "--rows", 12, "--seed", 1, "--json").json
    assert rows != terminal("datasource", "peek", "--rows", 12, "--seed", 2, "--json").json
    assert len(terminal("datasource", "peek", "--rows", 100, "--json").json) == 40
    assert len(table.queries) == before


@pytest.mark.parametrize(("total", "wanted"), [(1, 1), (5, 5), (100, 7), (1000, 33), (12, 10), (33_319_019, 10)])
def test_places_are_within_the_table_and_apart(total, wanted) -> None:
    import random

    for seed in range(50):
        rows = [start + i for start, count in _places(total, wanted, random.Random(seed)) for i in range(count)]
        assert len(rows) == len(set(rows)) == wanted
        assert min(rows) >= 0 and max(rows) < total


def test_a_new_snapshot_is_taken_where_the_table_has_changed(terminal, table) -> None:
    terminal(*CREATE, "--table", "trips")
    assert "nothing has changed; snapshot 1 of trips" in terminal("datasource", "commit").out
    table.put("some-project.bikes.trips", trips(50))
    assert "snapshot 2 of trips: 50 rows" in terminal("datasource", "commit").out
    assert "nothing has changed; snapshot 2 of trips" in terminal("datasource", "commit").out


def test_who_pays_is_no_part_of_what_the_table_holds(terminal, table) -> None:
    terminal(*CREATE, "--table", "trips")
    other = ["another" if word == "trips" else word for word in CREATE]
    terminal(*other, "--table", "trips", "--billing_project", "someone-else")
    contents = {terminal("datasource", "show", name, "--json").json["content"] for name in ("trips", "another")}
    assert len(contents) == 1
    assert {job.project for job in table.jobs.values()} == {"some-project", "someone-else"}


# What goes wrong


def registered(terminal) -> list:
    return terminal("datasource", "list", "--json").json


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--table", "trip"),
            ["there is no table 'trip' in some-project.bikes", "its tables: riders, trips", "did you mean 'trips'?"],
        ),
        (
            ("--table", "trips", "--dataset", "bike"),
            ["there is no dataset 'bike'", "its datasets: bikes, cars", "did you mean 'bikes'?"],
        ),
        (
            ("--table", "trips", "--project", "sume-project"),
            ["there is no table sume-project.bikes.trips", "look at their spelling"],
        ),
        (("--table", "trips_*"), ["'trips_*' is no table's name"]),
        (("--table", "trips$20180301"), ["a partition ($) is no table"]),
        (("--table", "trips`; DROP TABLE x; --"), ["is no table's name"]),
        (("--table", "trips", "--dataset", "bikes.trips"), ["'bikes.trips' is no dataset's name"]),
        (("--table", "trips", "--project", "a b"), ["'a b' is no project id"]),
        (
            ("--table", "trips", "--credentials", "/nowhere/key.json"),
            ["cannot read the credentials '/nowhere/key.json': No such file"],
        ),
    ],
)
def test_what_is_not_there_is_told_with_what_is(terminal, table, words, said) -> None:
    answer = terminal(*CREATE, *words, code=4)
    for text in said:
        assert text in answer.err
    assert registered(terminal) == []
    assert terminal.leftovers() == []


@pytest.mark.parametrize(
    ("call", "reason", "said"),
    [
        (
            "tables.get",
            "accessDenied",
            ["BigQuery does not allow it", "roles/bigquery.dataViewer", "--billing-project"],
        ),
        ("jobs.insert", "accessDenied", ["BigQuery does not allow it", "roles/bigquery.jobUser"]),
        (
            "tables.get",
            "authError",
            ["credentials for BigQuery are expired or not valid", "gcloud auth application-default login"],
        ),
        (
            "jobs.insert",
            "quotaExceeded",
            ["a quota of the project some-project is used up", "wait until it is filled again"],
        ),
    ],
)
def test_a_refusal_says_what_to_do_and_registers_nothing(terminal, table, call, reason, said) -> None:
    table.faults.add(call, reason, f"told by BigQuery: {reason}", times=99)
    answer = terminal(*CREATE, "--table", "trips", code=4)
    for text in said:
        assert text in answer.err
    assert table.calls[call] == 1  # asking again would not help
    assert registered(terminal) == []
    assert terminal.leftovers() == []


@pytest.mark.parametrize(("call", "reason"), [("tables.get", "backendError"), ("jobs.insert", "rateLimitExceeded"), ("jobs.get", "cut"),
                                              ("getQueryResults", "backendError")])  # fmt: skip
def test_what_passes_is_tried_again_and_told(terminal, table, call, reason) -> None:
    table.faults.add(call, reason, "come back later", times=2)
    answer = terminal(*CREATE, "--table", "trips")
    assert answer.err.count("trying again") == 2
    assert "40 rows" in answer.out


def test_a_query_that_fails_for_a_passing_reason_is_run_again(terminal, table) -> None:
    table.faults.add("query", "backendError", "a worker was lost")
    answer = terminal(*CREATE, "--table", "trips")
    assert "a query failed (a worker was lost); running it again" in answer.err
    assert len(registered(terminal)) == 1


def test_a_view_has_no_states(terminal, table) -> None:
    table.tables.found["some-project", "bikes", "trips"].kind = "VIEW"
    answer = terminal(*CREATE, "--table", "trips", code=4)
    assert "some-project.bikes.trips is a view, not a table" in answer.err
    assert "CREATE TABLE ... AS SELECT" in answer.err


def test_an_empty_table_is_none(terminal, table) -> None:
    table.put("some-project.bikes.trips", trips(0))
    assert "some-project.bikes.trips holds no rows" in terminal(*CREATE, "--table", "trips", code=4).err


def test_a_table_that_changes_while_it_is_looked_at(terminal, table) -> None:
    table.before_query = lambda number: table.put("some-project.bikes.trips", trips(41)) if number == 0 else None
    assert "changed while it was looked at; nothing was registered" in terminal(*CREATE, "--table", "trips", code=4).err
    assert registered(terminal) == []


def test_rows_older_than_a_week_are_gone(terminal, table) -> None:
    """The table has changed since, and its snapshot lies further back than BigQuery remembers."""
    terminal(*CREATE, "--table", "trips")
    (snapshot,) = terminal.project.folder.glob("artifacts/snapshot/*")
    old = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=8)).isoformat()
    for path in snapshot.rglob("*.json"):
        data = json.loads(path.read_text())
        if "seen" in data.get("details", {}).get("remote", {}):
            data["details"]["remote"]["seen"]["taken_at"] = old
            path.write_text(json.dumps(data))
            break
    else:
        pytest.fail("the snapshot's details were not found")
    terminal("datasource", "show")  # it has not changed, so its rows are those of the snapshot
    table.put("some-project.bikes.trips", trips(50))
    answer = terminal("datasource", "statistics", code=4)
    assert "some-project.bikes.trips has changed since its snapshot" in answer.err
    assert "7 days" in answer.err
    assert "cengine datasource commit" in answer.err


def test_a_table_that_is_gone(terminal, table) -> None:
    terminal(*CREATE, "--table", "trips")
    del table.tables.found["some-project", "bikes", "trips"]
    answer = terminal("datasource", "show", code=4)
    assert "there is no table 'trips' in some-project.bikes" in answer.err


# Credentials


@pytest.fixture
def key(tmp_path, bigquery):
    """The file of a service account whose tokens come from the server on loopback."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path / "key.json"
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": "paying-project",
                "private_key_id": "1",
                "private_key": private.decode(),
                "client_email": "robot@paying-project.iam.gserviceaccount.com",
                "client_id": "1",
                "token_uri": f"{bigquery.endpoint}/token",
            }
        )
    )
    return path


def test_a_service_accounts_key_is_read_when_it_is_used_and_kept_nowhere(terminal, table, key, monkeypatch) -> None:
    table.token = "a-token-of-the-test"
    monkeypatch.chdir(key.parent)
    terminal(*CREATE, "--table", "trips", "--table_type", "public", "--credentials", "key.json")
    assert {job.project for job in table.jobs.values()} == {"paying-project"}
    monkeypatch.chdir("/")
    terminal("datasource", "show", "trips")
    secret = json.loads(key.read_text())["private_key"].splitlines()[1]
    kept = [path for path in terminal.project.folder.rglob("*") if path.is_file()]
    assert any(str(key).encode() in path.read_bytes() for path in kept)
    for path in kept:
        assert secret.encode() not in path.read_bytes()
        assert b"a-token-of-the-test" not in path.read_bytes()


def test_without_valid_credentials_it_says_how_to_get_some(terminal, table) -> None:
    table.token = "another-token"
    answer = terminal(*CREATE, "--table", "trips", code=4)
    assert "the credentials for BigQuery are expired or not valid" in answer.err


@pytest.mark.parametrize("text", ["", "not JSON", "{}", '{"type": "service_account", "private_key": "SECRET"}'])
def test_a_file_that_is_no_key(terminal, table, tmp_path, text) -> None:
    path = tmp_path / "key.json"
    path.write_text(text)
    answer = terminal(*CREATE, "--table", "trips", "--credentials", path, code=4)
    assert f"'{path}' is no key of a service account" in answer.err
    assert "SECRET" not in answer.err


def test_without_the_packages_it_says_how_to_install_them(tmp_path) -> None:
    code = (
        "import sys; sys.modules['google.cloud.bigquery'] = None; from cengine.cli.main import run; "
        f"sys.exit(run({[*CREATE, '--table', 'trips']!r}))"
    )
    environment = {**os.environ, "CENGINE_PROJECT": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 4
    assert "BigQuery needs packages that are not installed" in done.stderr
    assert "pip install 'cengine-ml[bigquery]'" in done.stderr


def test_no_credentials_at_all(terminal, table, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    answer = terminal(*CREATE, "--table", "trips", code=4)
    assert "there are no credentials for BigQuery" in answer.err
    assert "gcloud auth application-default login" in answer.err


def test_the_time_of_the_test_is_not_in_the_future(table) -> None:
    """A version made in the past is the one of its time."""
    old = time.time() - 3 * DAY
    table.put("some-project.bikes.old", trips(5), since=old)
    table.put("some-project.bikes.old", trips(6), since=old + DAY)
    found = table.tables.found["some-project", "bikes", "old"]
    assert [found.at(old + d * DAY).num_rows for d in (0.5, 1.5)] == [5, 6]
