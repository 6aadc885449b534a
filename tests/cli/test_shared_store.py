"""Two machines that share records in PostgreSQL and artifacts in an object store: what one has done the other goes on from."""

from __future__ import annotations

import os
import time

import pytest
from servers import PostgresServer
from terminal import YAML, Terminal, table_text

LONG = YAML.replace("train_steps: 20", "train_steps: 50000000").replace(
    "save_checkpoints_steps: 10", "save_checkpoints_steps: 2000"
)
PATIENCE_SECONDS = 120


@pytest.fixture
def shared(postgres, s3, monkeypatch) -> str:
    """The environment of both: the address of the store."""
    address = postgres.new_database()
    for name, value in {
        **s3.environment,
        "CENGINE_STORE": address,
        "CENGINE_ARTIFACTS": f"{s3.new_bucket()}/team",
    }.items():
        monkeypatch.setenv(name, value)
    return address


@pytest.fixture
def ada(shared, tmp_path) -> Terminal:
    terminal = Terminal(tmp_path / "ada", tmp_path)
    terminal("datasource", "create", "csv", "--name", "t", "--path", terminal.write("t.csv", table_text()))
    terminal("pipeline", "push", terminal.write("c.yaml", YAML), "mine")
    return terminal


@pytest.fixture
def bob(ada, tmp_path) -> Terminal:
    return Terminal(tmp_path / "bob", tmp_path)


def test_what_one_has_run_the_other_does_not_run_again(ada, bob) -> None:
    first = ada("pipeline", "run", "mine", "-y", "--json")
    assert [row["name"] for row in bob("datasource", "list", "--json").json] == ["t"]
    second = bob("pipeline", "run", "mine", "-y", "--json")
    assert second.err.count("stored already") == 6
    assert second.json["metrics"] == first.json["metrics"]
    assert (first.json["run"], second.json["run"]) == (1, 2)
    assert bob("pipeline", "evaluate", "mine", "--no-open", "--json").json["metrics"] == first.json["metrics"]
    assert not (bob.project.folder / "records.db").exists()
    # The table is not read again where it is known already, from whichever machine.
    bob("pipeline", "push", bob.write("d.yaml", YAML.replace("units: 4", "units: 5")), "other")
    third = bob("pipeline", "run", "other", "-y", "--json")
    assert third.err.count("stored already") == 4
    shown = bob("workspace", "show").out
    assert "postgresql://cengine:***@127.0.0.1" in shown
    assert "s3://test-" in shown
    assert bob("cache", "verify").code == 0


def test_what_is_pruned_here_is_fetched_again(ada, bob) -> None:
    first = ada("pipeline", "run", "mine", "-y", "--json").json
    ada("cache", "prune", "--all", "--snapshots", "-y")
    assert [path for path in (ada.project.folder / "artifacts").glob("[!.]*/??/*") if path.is_dir()] == []
    again = ada("pipeline", "run", "mine", "-y", "--json")
    assert again.json["metrics"] == first["metrics"]
    assert again.err.count("stored already") == 6


def test_a_run_elsewhere_is_watched_and_cancelled(ada, bob) -> None:
    ada("pipeline", "push", ada.write("long.yaml", LONG), "long")
    ada("pipeline", "run", "long", "-y", "--detach")
    until = time.monotonic() + PATIENCE_SECONDS
    while bob("pipeline", "status", "--pipeline_id", "long", "--json").json[0]["status"] != "Running":
        assert time.monotonic() < until
        time.sleep(0.5)
    assert "its log is on " in bob("pipeline", "logs", "long", code=7).err
    assert "is cancelled" in bob("pipeline", "cancel", "long").out
    assert ada("pipeline", "runs", "long", "--json").json[0]["status"] == "Cancelled"
    assert "cancelled" in ada("pipeline", "logs", "long").out


def test_each_has_an_active_datasource_and_workspace(ada, bob) -> None:
    ada("datasource", "create", "csv", "--name", "u", "--path", ada.write("u.csv", table_text(300)))
    ada("workspace", "create", "team")
    assert [row["active"] for row in bob("workspace", "list", "--json").json] == [True, False]
    assert "no datasource is active" in bob("datasource", "show", code=7).err  # there are two, and Bob has chosen none
    bob("datasource", "set", "t")
    ada("workspace", "set", "default")
    assert [row["name"] for row in ada("datasource", "list", "--json").json if row["active"]] == ["u"]
    assert [row["name"] for row in bob("datasource", "list", "--json").json if row["active"]] == ["t"]


def test_the_password_is_nowhere(ada, postgres, shared) -> None:
    ada("pipeline", "run", "mine", "-y", "--detach")
    ada("pipeline", "attach", "mine")
    said = (
        ada("pipeline", "evaluate", "mine", "--no-open").out
        + ada("pipeline", "logs", "mine").out
        + ada("doctor", code=None).out
    )
    words = [PostgresServer.password, shared.split(":")[2].split("@")[0], os.environ["AWS_SECRET_ACCESS_KEY"]]
    assert not [word for word in words if word in said]
    files = [path for path in ada.project.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 20
    for file in files:
        content = file.read_bytes()
        assert not [word for word in words if word.encode() in content], file
    with postgres.connect(shared.rpartition("/")[2]) as connection:
        for (table,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
            text = str(connection.execute(f'SELECT t::text FROM "{table}" AS t').fetchall())
            assert not [word for word in words if word in text], table


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CENGINE_STORE", "mysql://x", "begins with 'mysql'"),
        ("CENGINE_STORE", "postgresql://ada:secret@127.0.0.1:1/x", "does not answer"),
        ("CENGINE_ARTIFACTS", "ftp://x", "begins with 'ftp'"),
        ("CENGINE_ARTIFACTS", "s3://no-such-bucket-here", "there is no bucket"),
    ],
)
def test_a_store_that_cannot_be_used(ada, monkeypatch, name, value, said) -> None:
    monkeypatch.setenv(name, value)
    error = ada("pipeline", "run", "mine", "-y", code=7).err
    assert said in error
    assert "secret" not in error
    assert len(error.splitlines()) < 8
