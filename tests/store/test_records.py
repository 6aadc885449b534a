"""Records: migrations, names, numbers, and databases that are not ours."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import cengine.store
from cengine.errors import StoreError
from cengine.store.records import HEAD, Records, metadata, now
from cengine.store.rows import DatasourceRow, PipelineRow, RunRow, SnapshotRow, WorkspaceRow
from cengine.store.schema import TABLES


def add(records, name: str) -> int:
    return records.datasources.insert(name=name, type="csv", options={"path": "x"}, created_at=now())


def snapshot(records, datasource_id: int):
    return records.snapshots.insert_numbered(
        datasource_id=datasource_id,
        content="c",
        num_rows=1,
        num_columns=1,
        num_bytes=1,
        num_rejected=0,
        created_at=now(),
    )


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(cengine.store.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_migrations_make_the_tables_that_the_code_speaks_of(records) -> None:
    with records.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_newer_database_is_refused(records, address) -> None:
    with records.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"newer cengine \(version 9999") as caught:
        Records(address)
    assert "upgrade cengine" in str(caught.value)


def test_opened_again_it_holds_the_same(records, address) -> None:
    add(records, "a")
    assert [row.name for row in Records(address).datasources.all()] == ["a"]


def test_names_are_unique_among_the_living(records) -> None:
    first = add(records, "a")
    with pytest.raises(StoreError, match="a datasource named 'a' already"):
        add(records, "a")
    records.datasources.update(first, deleted_at=now())
    second = add(records, "a")
    assert second > first
    assert [row.id for row in records.datasources.all()] == [second]
    assert records.datasources.get(first).name == "a"


def test_ids_are_never_given_twice(records) -> None:
    """Not even when the newest row is gone: an id in somebody's notes must not mean something else."""
    first = add(records, "a")
    with records.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM datasources"))
    assert add(records, "b") == first + 1


def test_numbers_count_within_their_parent(records) -> None:
    one, other = add(records, "a"), add(records, "b")
    assert [snapshot(records, parent).number for parent in (one, other, one, one)] == [1, 1, 2, 3]
    assert records.snapshots.last(datasource_id=one).number == 3
    assert records.snapshots.last(datasource_id=99) is None


def test_a_row_needs_its_parent(records) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        snapshot(records, 99)


def test_found_by_id_or_name(records) -> None:
    first = add(records, "trips")
    assert records.datasources.find("trips").id == records.datasources.find(str(first)).id == first
    with pytest.raises(StoreError) as caught:
        records.datasources.find("trisp")
    assert "known datasources: 1 (trips)" in str(caught.value)
    assert "did you mean 'trips'?" in str(caught.value)


def test_many_names_are_not_all_listed(records) -> None:
    for number in range(12):
        add(records, f"n{number}")
    with pytest.raises(StoreError, match=r"10 \(n9\), \.\.\."):
        records.datasources.find("zebra")


def test_settings(records) -> None:
    assert records.setting("active_datasource") is None
    for value in (3, 4, None):
        records.set_setting("active_datasource", value)
        assert records.setting("active_datasource") == value


def test_odd_names_and_values(records) -> None:
    name = "'; DROP TABLE datasources; -- 🚲\n"
    row_id = records.datasources.insert(name=name, type="csv", options={"ü": [1, None, {"a": True}]}, created_at=now())
    assert records.datasources.find(name).options == {"ü": [1, None, {"a": True}]}
    assert records.datasources.get(row_id).name == name


def test_many_threads_write_at_once(records, address) -> None:
    parent = add(records, "a")
    failed = []

    def work() -> None:
        try:
            own = Records(address)
            for number in range(5):
                snapshot(own, parent)
                own.set_setting("last", number)
            own.engine.dispose()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(row.number for row in records.snapshots.all()) == list(range(1, 41))
    assert records.setting("last") == 4


def test_many_threads_open_a_new_database_at_once(address) -> None:
    opened, failed = [], []

    def work() -> None:
        try:
            opened.append(Records(address))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(opened) == 8
    assert [row.name for row in opened[0].workspaces.all()] == ["default"]
    for own in opened:
        own.engine.dispose()


def test_work_that_fails_leaves_nothing(records) -> None:
    def half(connection):
        connection.execute(TABLES["datasources"].insert().values(name="half", type="csv", options={}, created_at=now()))
        raise ValueError

    with pytest.raises(ValueError):
        records.database.write(half)
    assert records.datasources.all() == []


def test_a_row_that_is_not_there(records) -> None:
    assert not records.update_run(99, ("Running",), status="Failed")
    records.runs.update(99, status="Failed")
    assert records.runs.all() == []


@pytest.mark.parametrize("kind", [WorkspaceRow, DatasourceRow, SnapshotRow, PipelineRow, RunRow])
def test_rows_have_the_columns_of_their_tables(kind) -> None:
    table = metadata.tables[f"{kind.__name__.removesuffix('Row').lower()}s"]
    assert {field.name for field in dataclasses.fields(kind)} == {column.name for column in table.columns}
