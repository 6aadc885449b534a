"""Older stores are upgraded and keep what they hold; ids go on where they were."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from cengine.errors import StoreError
from cengine.runs.pushed import run_config
from cengine.store.lifecycle import INTERRUPTED, settle
from cengine.store.migrate import upgrade
from cengine.store.records import Records, metadata, now

KEPT = Path(__file__).parent / "kept"


@pytest.fixture(params=sorted(KEPT.glob("records-*.sql")), ids=lambda path: path.stem)
def kept(request, tmp_path) -> Path:
    """A database that a cengine of that time wrote."""
    with sqlite3.connect(tmp_path / "records.db") as connection:
        connection.executescript(request.param.read_text())
    connection.close()
    return tmp_path / "records.db"


def kept_version(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]


def check_what_it_held(records: Records) -> None:
    assert [(row.name, row.workspace_id) for row in records.pipelines.all()] == [("first", 1), ("second", 1)]
    assert records.setting("active_datasource") is None
    assert records.setting("active_datasource/1") == 1
    runs = records.runs.all()
    assert [(run.number, run.status, run.attempt) for run in runs] == [(1, "Succeeded", 1), (2, "Running", 1)]
    assert settle(records, runs)[1].status == INTERRUPTED


def check_that_it_works(records: Records) -> None:
    with records.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    with pytest.raises(StoreError, match="a pipeline named 'first' already"):
        records.pipelines.insert(name="first", config_name="c", config_text="", datasource_id=1, created_at=now())
    third = records.pipelines.insert(name="third", config_name="c", config_text="", datasource_id=1, created_at=now())
    assert third > 2
    run = records.runs.insert_numbered(
        pipeline_id=1,
        snapshot_id=1,
        status="Queued",
        completion_ratio=0.0,
        compute_cost=0.0,
        training_cost=0.0,
        started_at=now(),
        process_id=1,
        stages=[],
    )
    assert run.number == 3
    with pytest.raises(sa.exc.IntegrityError):
        records.pipelines.insert(name="fourth", config_name="c", config_text="", datasource_id=99, created_at=now())


def test_a_file_of_an_older_version(kept) -> None:
    records = Records(kept)
    check_what_it_held(records)
    check_that_it_works(records)
    with records.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_ids_of_rows_that_are_gone_are_not_given_again(kept) -> None:
    with sqlite3.connect(kept) as connection:
        connection.execute("UPDATE sqlite_sequence SET seq = 40 WHERE name = 'pipelines'")
    connection.close()
    records = Records(kept)
    assert (
        records.pipelines.insert(name="third", config_name="c", config_text="", datasource_id=1, created_at=now()) == 41
    )


def test_an_upgrade_that_fails_changes_nothing(kept) -> None:
    if kept_version(kept) >= "0003":
        pytest.skip("it has the locks of 0003")
    with sqlite3.connect(kept) as connection:
        connection.execute("CREATE TABLE locks (something TEXT)")  # in the way of 0003
        before = connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    connection.close()
    with pytest.raises(StoreError, match="locks"):
        Records(kept)
    with sqlite3.connect(kept) as connection:
        assert connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall() == before
    connection.close()


def test_what_a_newer_migration_meets_changes_nothing_either(kept) -> None:
    with sqlite3.connect(kept) as connection:
        connection.execute("ALTER TABLE runs ADD COLUMN config_text TEXT")  # in the way of 0004
        before = connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    connection.close()
    with pytest.raises(StoreError, match="config_text"):
        Records(kept)
    with sqlite3.connect(kept) as connection:
        assert connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall() == before
    connection.close()


def test_runs_of_before_have_the_yaml_of_their_pipeline(kept) -> None:
    records = Records(kept)
    pipeline, (run, *_) = records.pipelines.get(1), records.runs.all()
    assert run.config_text is None
    assert run_config(pipeline, run).document.text == pipeline.config_text


@pytest.mark.parametrize("version", ["0001", "0002", "0003"])
def test_a_server_of_an_older_version(postgres, version) -> None:
    """The schema as that version's migrations make it, the rows of that version's kept copy."""
    address = postgres.new_database()
    engine = sa.create_engine(sa.make_url(address).set(drivername="postgresql+psycopg"))
    source = sqlite3.connect(":memory:")
    source.executescript((KEPT / f"records-{version}.sql").read_text())
    source.row_factory = sqlite3.Row
    with engine.begin() as connection:
        upgrade(connection, version)
        for table in ("settings", "datasources", "snapshots", "pipelines", "runs"):
            for row in source.execute(f"SELECT * FROM {table} ORDER BY 1"):
                names = [name for name in row.keys() if name != "id"]  # noqa: SIM118
                marks = ", ".join(f":{name}" for name in names)
                quoted = ", ".join(f'"{name}"' for name in names)
                connection.execute(
                    sa.text(f"INSERT INTO {table} ({quoted}) VALUES ({marks})"),
                    {name: as_json(row[name], name) for name in names},
                )
    engine.dispose()
    source.close()
    records = Records(address)
    check_what_it_held(records)
    check_that_it_works(records)
    records.engine.dispose()


def as_json(value: object, name: str) -> object:
    """SQLite keeps a JSON number as a number."""
    return str(value) if name == "value" else value
