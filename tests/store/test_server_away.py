"""A PostgreSQL that refuses, lacks something, or goes away: one clear message, no password in it, and short absences are survived."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
import time
import types

import pytest
import sqlalchemy as sa
from servers import HOST, PostgresServer, free_port, postgres_server

from cengine.connections import patience
from cengine.errors import StoreError
from cengine.store.opening import open_database
from cengine.store.records import Records, now

PASSWORD = PostgresServer.password


@pytest.fixture(scope="module")
def own():
    """A server of this file's own: it is stopped and started."""
    with postgres_server() as server:
        yield server


def refused(address: str) -> str:
    with pytest.raises(StoreError) as caught:
        Records(address)
    text = caught.value.render()
    assert PASSWORD not in text
    assert "%40" not in text
    seen = caught.value
    while seen is not None:  # what `--traceback` would print
        assert PASSWORD not in str(seen)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return text


def test_a_wrong_password(postgres) -> None:
    text = refused(postgres.url(password="wrong-word"))
    assert "refuses us: password authentication failed for user" in text
    assert f"postgresql://cengine:***@127.0.0.1:{postgres.server.port}/postgres" in text
    assert "wrong-word" not in text


def test_no_password(postgres, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    assert "PGPASSWORD, a keyring or ~/.pgpass" in refused(postgres.url(password=None))


def test_no_such_database(postgres) -> None:
    assert "make it: createdb nothing_here" in refused(postgres.url("nothing_here"))


def test_a_server_that_is_down() -> None:
    text = refused(f"postgresql://ada:{PASSWORD.replace('/', '%2F').replace('@', '%40')}@127.0.0.1:{free_port()}/x")
    assert "does not answer: Connection refused" in text
    assert "is it running" in text


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql://ada:secret@no-such-host.invalid/x", "does not answer"),
        ("postgresql://ada:sec/ret@host:5432/x", "does not answer|cannot be read"),
        ("postgresql://ada:secret@host:port/x", "cannot be read"),
        ("postgresql:///x", "names no server"),
        ("postgresql://", "names no server"),
        ("mysql://ada:secret@host/x", "begins with 'mysql'"),
        ("records.db", "is no address"),
        ("ada:secret", "no place for records"),
    ],
)
def test_addresses_that_are_none(address, said, monkeypatch) -> None:
    monkeypatch.delenv("PGHOST", raising=False)
    with pytest.raises(StoreError, match=said) as caught:
        Records(address)
    assert "secret" not in caught.value.render()


def test_a_user_who_may_not_make_tables(postgres) -> None:
    address = postgres.new_database()
    database = address.rpartition("/")[2]
    name = f"guest_{database}"
    with postgres.connect(database) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'guest'")
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    assert "may not be used" in refused(postgres.url(database, "guest", name))


# Where the password comes from


def test_a_password_from_the_environment(postgres, monkeypatch) -> None:
    database = postgres.new_database().rpartition("/")[2]
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    Records(postgres.url(database, password=None)).engine.dispose()


def test_a_password_from_a_file(postgres, monkeypatch, tmp_path) -> None:
    database = postgres.new_database().rpartition("/")[2]
    word = PASSWORD.replace(":", "\\:")
    file = tmp_path / "pgpass"
    file.write_text(f"127.0.0.1:{postgres.server.port}:*:cengine:{word}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    Records(postgres.url(database, password=None)).engine.dispose()


def test_a_password_from_a_keyring(postgres, monkeypatch, tmp_path) -> None:
    keyring = pytest.importorskip("keyring", reason="keyring is not installed")
    from file_keyring import FileKeyring

    address = postgres.url(postgres.new_database().rpartition("/")[2], password=None)
    monkeypatch.setenv("TEST_KEYRING", str(tmp_path / "keyring.json"))
    before = keyring.get_keyring()
    keyring.set_keyring(FileKeyring())
    try:
        keyring.set_password("cengine", address, PASSWORD)
        Records(address).engine.dispose()
        (tmp_path / "keyring.json").unlink()
        monkeypatch.setenv("PGPASSFILE", "/nowhere")
        assert "refuses us" in refused(address)
    finally:
        keyring.set_keyring(before)


def test_without_psycopg(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"pip install 'cengine-ml\[postgres\]'"):
        open_database("postgresql://ada@host/x")


# A server that goes away


def test_a_restart_is_survived_and_said(own, caplog) -> None:
    records = Records(own.new_database())
    records.set_setting("before", 1)
    own.server.stop()
    thread = threading.Thread(target=lambda: (time.sleep(1.0), own.server.start()))
    thread.start()
    with caplog.at_level(logging.WARNING, "cengine"):
        records.set_setting("after", 2)
    thread.join()
    assert (records.setting("before"), records.setting("after")) == (1, 2)
    assert "trying again in" in caplog.text
    assert "cengine:***@127.0.0.1" in caplog.text
    assert PASSWORD not in caplog.text
    records.engine.dispose()


def test_what_was_begun_when_the_server_went_away_is_done_once(own) -> None:
    records = Records(own.new_database())
    datasource = records.datasources.insert(name="d", type="csv", options={}, created_at=now())
    begun = []

    def work(connection: sa.Connection) -> None:
        connection.execute(sa.text("INSERT INTO settings VALUES ('k', '1')"))
        if not begun:
            begun.append(1)
            own.server.stop()
            own.server.start()
            connection.execute(sa.text("SELECT 1"))

    records.database.write(work)
    assert records.setting("k") == 1
    assert datasource == 1
    records.engine.dispose()


class Wire:
    """Passes bytes between a client and the server; once `armed`, at the first COMMIT it lets the server do it and keeps the answer back."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.listener = socket.create_server((HOST, 0))
        self.port = self.listener.getsockname()[1]
        self.armed, self.cut, self.lost = threading.Event(), threading.Event(), threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection((HOST, self.target))
                threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, to_server: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if to_server and b"COMMIT" in data and self.armed.is_set():
                    self.cut.set()
                if not to_server and b"COMMIT" in data and self.cut.is_set() and not self.lost.is_set():
                    self.lost.set()
                    break
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def test_a_commit_whose_answer_is_lost_is_not_done_again(postgres, caplog) -> None:
    """The server has written it, and we do not hear so: what was begun a second time would count twice."""
    address = postgres.new_database()
    records = Records(address)
    datasource = records.datasources.insert(name="d", type="csv", options={}, created_at=now())
    wire = Wire(postgres.server.port)
    through = Records(address.replace(f":{postgres.server.port}/", f":{wire.port}/"))
    wire.armed.set()
    with caplog.at_level(logging.WARNING, "cengine"):
        row = through.snapshots.insert_numbered(
            datasource_id=datasource,
            content="c",
            num_rows=1,
            num_columns=1,
            num_bytes=1,
            num_rejected=0,
            created_at=now(),
        )
    wire.listener.close()
    assert wire.lost.is_set()
    assert "trying again" in caplog.text
    assert row.number == 1
    assert [found.number for found in records.snapshots.all()] == [1]
    for opened in (records, through):
        opened.engine.dispose()


def test_a_server_that_stays_away_is_an_error_in_the_end(own, monkeypatch) -> None:
    records = Records(own.new_database())
    own.server.stop()
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 1.0)
    try:
        with pytest.raises(StoreError, match="does not answer") as caught:
            records.setting("k")
        assert PASSWORD not in caught.value.render()
    finally:
        own.server.start()
    assert records.setting("k") is None
    records.engine.dispose()


def test_a_connection_that_is_cut_is_made_anew(own) -> None:
    address = own.new_database()
    records = Records(address)
    with own.connect() as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cengine'")
    assert records.setting("k") is None
    records.engine.dispose()


def test_nothing_shows_the_password(postgres, caplog) -> None:
    with caplog.at_level(logging.DEBUG):
        records = Records(postgres.new_database())
    shown = [records.database.name, repr(records.engine), str(records.engine.url), repr(records.database), caplog.text]
    assert all(PASSWORD not in text and "%40tests" not in text for text in shown)
    assert isinstance(sys.modules["psycopg"], types.ModuleType)
    records.engine.dispose()
